//! `evenkeel check`: ScaledObject files, checked offline, everything at once with its line.
//!
//! KEDA does not look into the metadata of an external scaler, so a typo shows only in a cluster;
//! here it shows in a pull request. Errors are what a server, KEDA or the HPA would refuse or cannot
//! do; warnings are what works and does something else than people expect. Only ScaledObjects with a
//! trigger of ours are looked at. Nothing is asked of Kafka or Kubernetes.

mod connection;
mod report;
mod scaled_object;
mod traps;

use std::path::PathBuf;
use std::process::ExitCode;

use super::manifests;
use evenkeel_scaler::cli::EXIT_USAGE;
use evenkeel_scaler::config::Config;
use report::Report;
use scaled_object::Options;

/// Arguments of `evenkeel check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  evenkeel check scaledobject.yaml
  evenkeel check --config evenkeel.yaml --strict deploy/*.yaml
  evenkeel check --namespace shop scaledobject.yaml
  evenkeel migrate scaledobject.yaml | evenkeel check -

Exits with 0 when nothing is wrong, with 1 when there are errors (with --strict: or warnings), with 64
when a file or the configuration cannot be read.")]
pub struct Args {
    /// Files with ScaledObjects, of one or many YAML documents; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The configuration of the server, or the values of its chart with one: its profiles and
    /// permissions are then checked as well, and which profile each trigger will meet is said.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The namespace of ScaledObjects that name none.
    #[arg(long, short, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// Warnings fail as errors do.
    #[arg(long)]
    strict: bool,
}

// === impl Args ===

impl Args {
    /// Prints what is wrong with the files.
    ///
    /// # Errors
    /// None; wrong input is an exit code.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let config = match &self.config {
            None => None,
            Some(path) => match Config::load_values(path) {
                Ok(config) => Some(config),
                Err(errors) => {
                    eprintln!("{errors:#}");
                    return Ok(ExitCode::from(EXIT_USAGE));
                }
            },
        };
        let options = Options {
            config: config.as_ref(),
            namespace: &self.namespace,
        };
        let mut total = Report::default();
        let mut is_unreadable = false;
        for file in &self.files {
            let report = match manifests::read(file) {
                Ok(text) => scaled_object::check(&text, options),
                Err(error) => {
                    is_unreadable = true;
                    Report::unreadable(&error)
                }
            };
            for finding in &report.findings {
                println!("{}:{finding}", file.display());
            }
            total.add(report);
        }
        println!("{total}");
        Ok(if is_unreadable {
            ExitCode::from(EXIT_USAGE)
        } else if total.errors() > 0 || (self.strict && total.warnings() > 0) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}
