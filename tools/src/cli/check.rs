//! `evenkeel check`: ScaledObjects, in files or in a cluster, everything that is wrong at once.
//!
//! KEDA does not look into the metadata of an external scaler, so a typo shows only in a cluster;
//! here it shows in a pull request. Errors are what a server, KEDA or the HPA would refuse or cannot
//! do; warnings are what works and does something else than people expect. Only ScaledObjects with a
//! trigger of ours are looked at. Nothing is asked of Kafka, and of Kubernetes only with `--live`.

mod calendar;
mod connection;
mod keys;
mod live;
mod report;
mod scaled_object;
mod traps;

use std::path::PathBuf;
use std::process::ExitCode;

use super::manifests;
use evenkeel_scaler::cli::EXIT_USAGE;
use evenkeel_scaler::config::{Config, yaml};
use evenkeel_scaler::kubernetes::Cluster;
use evenkeel_scaler::kubernetes::live::look;
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
  evenkeel check --partitions 100 --rate 5000 scaledobject.yaml
  evenkeel check --live --namespace shop

Exits with 0 when nothing is wrong, with 1 when there are errors (with --strict: or warnings), with 64
when a file or the configuration cannot be read.")]
pub struct Args {
    /// Files with ScaledObjects, of one or many YAML documents; - is standard input.
    #[arg(required_unless_present = "live", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Look at the ScaledObjects of a cluster instead, and at what stands in their way there: KEDA's and
    /// the HPA's conditions, pods that do not come, bounds that are reached.
    #[arg(long, conflicts_with = "files")]
    live: bool,
    /// With --live: the cluster, where it is not kubectl's.
    #[arg(long, value_name = "FILE", requires = "live")]
    kubeconfig: Option<PathBuf>,
    /// The configuration of the server, or the values of its chart with one: its profiles and
    /// permissions are then checked as well, and which profile each trigger will meet is said.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The namespace of ScaledObjects that name none (default where absent); with --live the only one that
    /// is looked at (all where absent).
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Partitions of the topic, so that it can be said whether other numbers need far fewer replicas;
    /// capacityPerReplica has to be given.
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "rate",
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    partitions: Option<u32>,
    /// The records/s that come into the topic at their most.
    #[arg(long, value_name = "RECORDS", requires = "partitions", value_parser = rate)]
    rate: Option<f64>,
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
    pub async fn run(self) -> anyhow::Result<ExitCode> {
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
            namespace: self.namespace.as_deref().unwrap_or("default"),
            load: self.partitions.zip(self.rate),
        };
        if self.live {
            return self.run_live(options).await;
        }
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
        } else {
            self.verdict(&total)
        })
    }

    async fn run_live(&self, options: Options<'_>) -> anyhow::Result<ExitCode> {
        evenkeel_scaler::tls::use_ring();
        let found = async {
            let cluster = Cluster::of_user(self.kubeconfig.as_deref()).await;
            let cluster = cluster.map_err(|error| error.to_string())?;
            look(&cluster, self.namespace.as_deref(), is_ours).await
        };
        let found = match found.await {
            Ok(found) => found,
            Err(sentence) => {
                eprintln!("{sentence}");
                return Ok(ExitCode::from(EXIT_USAGE));
            }
        };
        let mut total = Report::default();
        for one in found {
            let mut report = scaled_object::check(&one.scaled_object.to_string(), options);
            live::check(&one, &mut report);
            // The object is not a file of theirs, so its lines mean nothing.
            for finding in &report.findings {
                println!("{}: {}: {}", live::name(&one), finding.weight, finding.text);
            }
            total.add(report);
        }
        println!("{total}");
        Ok(self.verdict(&total))
    }

    fn verdict(&self, total: &Report) -> ExitCode {
        if total.errors() > 0 || (self.strict && total.warnings() > 0) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (1.0..=1e12).contains(rate));
    rate.ok_or_else(|| "write records per second, 1 or more".to_owned())
}

/// Whether a ScaledObject of a cluster has a trigger of ours.
fn is_ours(object: &serde_json::Value) -> bool {
    let documents = yaml::read(&object.to_string()).unwrap_or_default();
    let triggers = documents
        .first()
        .and_then(|object| object.get("spec")?.get("triggers"));
    triggers.is_some_and(|triggers| triggers.items().iter().any(manifests::is_ours))
}
