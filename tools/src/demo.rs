//! The demo: a real broker, real consumers, and a driver that calls as KEDA and the HPA do.
//!
//! Nothing here is needed to serve: the scaler never starts a process. The embedded broker
//! ([`broker`]) is also what the tests and benches run against. A [`mod@run`] is started (broker,
//! topic, scaler, producer, no pods yet), goes on second by second, and is stopped whatever happens. The arithmetic of Kubernetes and KEDA is the simulator's ([`evenkeel_sim::hpa`],
//! [`evenkeel_sim::keda`]), the figures are pure too ([`report`]); all policies run on the same
//! broker, pods and load ([`mod@run`]) and are measured in the same way ([`watch`]).

pub mod broker;
pub mod driver;
pub mod load;
pub mod pods;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod report;
pub mod run;
pub mod scaler;
pub mod settings;
pub mod view;
pub mod watch;

use std::path::PathBuf;
use std::time::Duration;

use broker::BrokerError;
use load::Load;
use report::Report;
use run::Run;
use tokio_util::sync::CancellationToken;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who decides.
    pub policy: PolicyChoice,
    /// The load.
    pub load: Load,
    /// Partitions of the topic.
    pub partitions: u32,
    /// How long a pod takes until its process starts.
    pub pod_start: Duration,
    /// `scaleDownStabilizationWindowSeconds`: evenkeel's own, or the HPA's for KEDA's rule.
    pub scale_down_window: Duration,
    /// `cooldownPeriod`.
    pub cooldown: Duration,
    /// The published blueprint's HPA policies instead of unlimited ones.
    pub published_hpa: bool,
    /// More trigger metadata for evenkeel; wins over the demo's own.
    pub metadata: Vec<(String, String)>,
    /// Where the consumers write.
    pub sink: SinkChoice,
    /// The consumers' group protocol, as Kafka names it.
    pub group_protocol: &'static str,
    /// A Kafka cluster that is there already; an embedded broker otherwise.
    pub bootstrap_servers: Option<String>,
    /// Where the consumer and the producer are.
    pub bin_folder: Option<PathBuf>,
}

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyChoice {
    /// evenkeel, over gRPC.
    Evenkeel,
    /// KEDA's own `kafka` trigger.
    KedaLag {
        /// Its `lagThreshold`.
        threshold_records: u64,
    },
}

/// Where the consumers write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkChoice {
    /// Nowhere: a sleep stands for the write.
    Simulate,
    /// Into a PostgreSQL that the demo starts.
    Postgres,
}

/// Why the demo cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// No database.
    #[error(transparent)]
    Postgres(#[from] postgres::PostgresError),
    /// A program of this workspace has not been built.
    #[error(
        "{program} was not found beside this program or on the PATH: `cargo build --workspace` \
         builds it, --bin-dir says where it is"
    )]
    MissingProgram {
        /// Its name.
        program: &'static str,
    },
    /// A file or a process could not be worked with.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A program ended that should run.
    #[error("{program} ended too early; the end of its log:\n{log}")]
    Ended {
        /// Which.
        program: &'static str,
        /// The end of its log.
        log: String,
    },
    /// The scaler does not answer.
    #[error("evenkeel serve did not answer within {seconds} s: {said}")]
    NoAnswer {
        /// How long was waited.
        seconds: u64,
        /// What it said last.
        said: String,
    },
    /// An address makes no sense to the gRPC client.
    #[error("no gRPC client: {0}")]
    Client(#[from] tonic::transport::Error),
}

/// Runs the demo until it is over or `stop` is cancelled. None when it was stopped before anything
/// had begun.
///
/// # Errors
/// When a part of it cannot be started or ends too early. Whatever was started has been ended.
pub async fn run(options: &Options, stop: &CancellationToken) -> Result<Option<Report>, DemoError> {
    // Dropping a half-started run kills what it has started.
    let Some(run) = stop.run_until_cancelled(Run::start(options)).await else {
        return Ok(None);
    };
    let mut run = run?;
    let ended = run.go_on(options, stop).await;
    run.stop().await;
    ended.map(Some)
}
