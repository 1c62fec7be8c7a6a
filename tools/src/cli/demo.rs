//! `evenkeel demo`: its arguments, and how it is ended.
//!
//! There is no way to speed it up: the consumers' batches, their rebalances and Kafka's timers are
//! real and keep the wall's time, so a faster driver would show the scaler against pods that lag
//! behind. `--load` and `--minutes` make a run shorter.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use tokio_util::sync::CancellationToken;

use crate::demo::broker::{self, Progress};
use crate::demo::load::Load;
use crate::demo::report::Completeness;
use crate::demo::{Options, PolicyChoice, SinkChoice};
use evenkeel_scaler::cli::EXIT_USAGE;

/// Ended by Ctrl-C, as shells say it.
const EXIT_INTERRUPTED: u8 = 130;

/// Arguments of `evenkeel demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Who decides: evenkeel over gRPC, or KEDA's own lag rule on the same load
    #[arg(long, value_enum, default_value = "evenkeel")]
    policy: PolicyName,

    /// Rates in records/s that follow each other, each with its seconds if you like
    /// (RATE or RATE:SECONDS, by comma); steps without share what --minutes leaves
    #[arg(long, default_value = "200:80,1000:170,0:120")]
    load: String,

    /// How long the whole load lasts, where --load does not say
    #[arg(long, default_value = "7")]
    minutes: f64,

    /// Partitions of the topic, and so the most replicas that make sense
    #[arg(long, default_value = "24", value_parser = clap::value_parser!(u32).range(1..=1000))]
    partitions: u32,

    /// How long a pod takes until its process starts
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    pod_start_seconds: u64,

    /// The scale-down window: evenkeel's own, or the HPA's for keda-lag. A cluster would have 300;
    /// a run of minutes would not show it coming down
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    scale_down_window_seconds: u64,

    /// How long there has to be no work before KEDA goes to zero. A cluster would have 300
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    cooldown_seconds: u64,

    /// keda-lag: its lagThreshold, records a replica. 1000 is what a demo consumer does in 10 s; the
    /// published blueprint has 10000
    #[arg(long, value_name = "RECORDS", default_value = "1000",
          value_parser = clap::value_parser!(u64).range(1..))]
    lag_threshold: u64,

    /// The HPA's scaling policies: any step at once, or those of the published blueprint
    #[arg(long, value_enum, default_value = "unlimited")]
    hpa: HpaName,

    /// Where the consumers write: nowhere (a sleep stands for it), or into a PostgreSQL that the demo
    /// starts; each batch takes a second either way
    #[arg(long, value_enum, default_value = "simulate")]
    sink: SinkName,

    /// The consumers' group protocol; `consumer` is KIP-848
    #[arg(long, value_enum, default_value = "classic")]
    group_protocol: GroupProtocolName,

    /// More trigger metadata for evenkeel (KEY=VALUE); may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,

    /// A Kafka cluster of yours (host:port,...), plaintext; a topic is made there and removed again
    #[arg(long)]
    bootstrap_servers: Option<String>,

    /// Where evenkeel-consumer and evenkeel-producer are, if not beside this program
    #[arg(long)]
    bin_dir: Option<PathBuf>,

    /// Write everything that was measured to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Only fetch and prepare what the embedded broker needs
    #[arg(long)]
    prepare: bool,
}

const EXAMPLES: &str = "Examples:
  evenkeel demo
  evenkeel demo --policy keda-lag
  evenkeel demo --load 1000,5000 --minutes 10 --partitions 100
  evenkeel demo --sink postgres --load 500:60,0:60
  evenkeel demo --group-protocol consumer --metadata targetUtilization=0.9 --json run.json
  evenkeel demo --bootstrap-servers localhost:9092";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PolicyName {
    Evenkeel,
    KedaLag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HpaName {
    Unlimited,
    Published,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SinkName {
    Simulate,
    Postgres,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum GroupProtocolName {
    Classic,
    Consumer,
}

// === impl Args ===

impl Args {
    /// Runs it. Exits with 1 when records were lost or left, with 130 after Ctrl-C.
    ///
    /// # Errors
    /// When a part of it cannot be started or ends too early, or the arguments make no sense.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let stop = CancellationToken::new();
        tokio::spawn(cancel_on_signals(stop.clone()));
        if self.prepare {
            return prepare(&stop).await;
        }
        let options = match self.options() {
            Ok(options) => options,
            Err(sentence) => {
                eprintln!("evenkeel: {sentence}");
                return Ok(ExitCode::from(EXIT_USAGE));
            }
        };
        let Some(report) = crate::demo::run(&options, &stop).await? else {
            return Ok(ExitCode::from(EXIT_INTERRUPTED));
        };
        if let Some(path) = &self.json {
            let json = serde_json::to_vec_pretty(&report)?;
            std::fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(match report.completeness() {
            Completeness::Complete => ExitCode::SUCCESS,
            _ if report.interrupted => ExitCode::from(EXIT_INTERRUPTED),
            _ => ExitCode::FAILURE,
        })
    }

    fn options(&self) -> Result<Options, String> {
        let total = Duration::try_from_secs_f64(self.minutes * 60.0)
            .map_err(|_| format!("--minutes {}: write minutes above 0", self.minutes))?;
        Ok(Options {
            policy: match self.policy {
                PolicyName::Evenkeel => PolicyChoice::Evenkeel,
                PolicyName::KedaLag => PolicyChoice::KedaLag {
                    threshold_records: self.lag_threshold,
                },
            },
            load: Load::parse(&self.load, total).map_err(|why| format!("--load: {why}"))?,
            partitions: self.partitions,
            pod_start: Duration::from_secs(self.pod_start_seconds),
            scale_down_window: Duration::from_secs(self.scale_down_window_seconds),
            cooldown: Duration::from_secs(self.cooldown_seconds),
            published_hpa: self.hpa == HpaName::Published,
            metadata: self.metadata.clone(),
            sink: match self.sink {
                SinkName::Simulate => SinkChoice::Simulate,
                SinkName::Postgres => SinkChoice::Postgres,
            },
            group_protocol: match self.group_protocol {
                GroupProtocolName::Classic => "classic",
                GroupProtocolName::Consumer => "consumer",
            },
            bootstrap_servers: self.bootstrap_servers.clone(),
            bin_folder: self.bin_dir.clone(),
        })
    }
}

async fn prepare(stop: &CancellationToken) -> anyhow::Result<ExitCode> {
    let progress = Progress::shown();
    let prepared = stop.run_until_cancelled(broker::prepare(&progress)).await;
    progress.done();
    match prepared {
        Some(result) => result.map(|()| ExitCode::SUCCESS).map_err(Into::into),
        None => Ok(ExitCode::from(EXIT_INTERRUPTED)),
    }
}

/// Cancels `stop` at the first Ctrl-C or SIGTERM; a second one ends the process at once, and the
/// operating system ends its children.
pub async fn cancel_on_signals(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return;
    };
    for again in [false, true] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if again {
            std::process::exit(i32::from(EXIT_INTERRUPTED));
        }
        stop.cancel();
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE, for example targetUtilization=0.9".to_owned()),
    }
}
