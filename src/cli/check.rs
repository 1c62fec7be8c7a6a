//! `evenkeel check`: ScaledObject files, checked offline, every error at once with its line.
//!
//! KEDA does not look into the metadata of an external scaler, so a typo shows only in a cluster;
//! here it shows in a pull request. Only triggers that are ours are looked at. Nothing is asked of
//! Kafka or Kubernetes, and what KEDA's own admission checks is left to it.

mod scaled_object;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::EXIT_USAGE;
use crate::config::Config;
use scaled_object::{Options, Report};

/// The largest file that is read. Whole clusters' worth of ScaledObjects fit.
const MAX_FILE_BYTES: u64 = 16 * 1_024 * 1_024;

/// Arguments of `evenkeel check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  evenkeel check scaledobject.yaml
  evenkeel check --config evenkeel.yaml deploy/*.yaml

Exits with 0 when nothing is wrong and with 64 otherwise.")]
pub struct Args {
    /// Files with ScaledObjects, of one or many YAML documents.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The configuration of the server: its profiles and permissions are then checked as well.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The namespace of ScaledObjects that name none.
    #[arg(long, short, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
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
            Some(path) => match Config::load(Some(path), std::iter::empty()) {
                Ok(config) => Some(config),
                Err(errors) => {
                    eprintln!("{errors}");
                    return Ok(ExitCode::from(EXIT_USAGE));
                }
            },
        };
        let options = Options {
            config: config.as_ref(),
            namespace: &self.namespace,
        };
        let mut total = Report::default();
        for file in &self.files {
            let report = match read(file) {
                Ok(text) => scaled_object::check(&text, options),
                Err(error) => Report::unreadable(&error),
            };
            for finding in &report.findings {
                println!("{}:{}: {}", file.display(), finding.line, finding.text);
            }
            total.add(report);
        }
        println!("{total}");
        Ok(if total.findings.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(EXIT_USAGE)
        })
    }
}

fn read(file: &Path) -> std::io::Result<String> {
    if std::fs::metadata(file)?.len() > MAX_FILE_BYTES {
        return Err(std::io::Error::other("is larger than 16 MiB"));
    }
    std::fs::read_to_string(file)
}
