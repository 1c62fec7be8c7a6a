//! The consumer's options, and the Kafka client's properties that follow from them.
//!
//! Every option is also an environment variable; the names are those of the blueprint that this
//! consumer stands in for, where it has one. Everything else that librdkafka knows is set with
//! `-X name=value` or as `KAFKA_NAME_WITH_UNDERSCORES`; IAM's rights on Amazon MSK need the cargo
//! feature `msk-iam`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use rdkafka::ClientConfig;

use crate::batch::BatchLimits;
use crate::consume::OWNED_PROPERTIES;
use crate::dead_letter::DeadLetters;
use crate::postgres;
use crate::rebalance::FINISH_WITHIN;

pub mod connection;

use connection::Connection;

/// How far the client fetches ahead. librdkafka's defaults (100,000 records a partition, 64 MB) would
/// keep minutes of work in memory that a rebalance throws away and the next owner fetches again. With
/// so little ahead, a queue that is full must be looked at again soon: by default that takes a second,
/// which caps a partition at a few thousand records/s and stops it for as long after a rebalance.
const FETCH_AHEAD: [(&str, &str); 3] = [
    ("queued.min.messages", "1000"),
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.queue.backoff.ms", "10"),
];

/// The least `max.poll.interval.ms`: a revocation may keep the polling thread for
/// [`FINISH_WITHIN`], and the commit after it needs room too.
const MAX_POLL_INTERVAL_AT_LEAST: Duration = FINISH_WITHIN.saturating_mul(2);

/// The reference batch consumer: reads a topic in a group, writes in batches, commits after.
#[derive(Debug, Parser)]
#[command(version, after_help = CONSUMER_EXAMPLES)]
pub struct ConsumerOptions {
    /// The connection.
    #[command(flatten)]
    pub connection: Connection,

    /// Topic to consume
    #[arg(long, env = "TOPIC")]
    pub topic: String,

    /// Consumer group
    #[arg(long, env = "GROUP_ID")]
    pub group: String,

    /// Which group protocol to speak; `consumer` is KIP-848 and needs Kafka 4
    #[arg(long, env = "GROUP_PROTOCOL", value_enum, default_value = "classic")]
    pub group_protocol: GroupProtocol,

    /// How a classic group shares its partitions [default: cooperative-sticky]
    #[arg(long, env = "ASSIGNOR", value_enum)]
    pub assignor: Option<Assignor>,

    /// Static membership: a name that this pod keeps over restarts, so that they cause no rebalance
    #[arg(long, env = "GROUP_INSTANCE_ID")]
    pub group_instance_id: Option<String>,

    /// Silence after which Kafka gives the partitions to others, classic groups [default: 10]
    #[arg(long, env = "SESSION_TIMEOUT_SECONDS", value_parser = seconds)]
    pub session_timeout_seconds: Option<Duration>,

    /// Time between heartbeats, classic groups [default: 1]
    #[arg(long, env = "HEARTBEAT_INTERVAL_SECONDS", value_parser = seconds)]
    pub heartbeat_interval_seconds: Option<Duration>,

    /// Time without a poll after which the consumer counts as stuck; a rebalance waits as long for a
    /// member that does not come back
    #[arg(long, env = "MAX_POLL_INTERVAL_SECONDS", value_parser = seconds, default_value = "60")]
    pub max_poll_interval_seconds: Duration,

    /// Where a group without a committed offset begins
    #[arg(
        long,
        env = "AUTO_OFFSET_RESET",
        value_enum,
        default_value = "earliest"
    )]
    pub auto_offset_reset: OffsetReset,

    /// Records that make a batch full
    #[arg(long, env = "BATCH_SIZE", default_value = "100")]
    pub batch_size: NonZeroUsize,

    /// Bytes of keys and values that make a batch full
    #[arg(long, env = "BATCH_BYTES", default_value = "8388608")]
    pub batch_bytes: NonZeroUsize,

    /// How long the first record of a batch waits for company
    #[arg(long, env = "BATCH_TIMEOUT_SECONDS", value_parser = seconds, default_value = "0.1")]
    pub batch_timeout_seconds: Duration,

    /// Where batches go
    #[arg(long, env = "SINK", value_enum, default_value = "simulate")]
    pub sink: SinkKind,

    /// Batches written side by side; each has a share of the partitions, and a connection
    #[arg(long, env = "WRITERS", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub writers: u8,

    /// PostgreSQL: postgres://user:password@host:port/database; plain, unless ?sslmode=require, which
    /// checks the server's certificate against the system's (or SSL_CERT_FILE's)
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    #[arg(required_if_eq("sink", "postgres"))]
    pub database_url: Option<String>,

    /// PostgreSQL: make the tables of schema.sql where they are missing
    #[arg(long, env = "CREATE_TABLES")]
    pub create_tables: bool,

    /// Where records go that can never be written [default: TOPIC-dead-letters]
    #[arg(long, env = "DEAD_LETTER_TOPIC")]
    pub dead_letter_topic: Option<String>,

    /// Seconds that one batch takes at least, whatever its size [default: 1 with simulate, else 0]
    #[arg(long, env = "BATCH_PROCESSING_TIME", value_parser = seconds)]
    pub batch_processing_time: Option<Duration>,

    /// Address of /metrics, /livez and /readyz; port 0 takes a free one, `none` serves nothing
    #[arg(long, env = "METRICS_LISTEN", default_value = "0.0.0.0:8000")]
    pub metrics_listen: Listen,

    /// Print one JSON line a second, and a last one at the end (see report.rs for its fields)
    #[arg(long)]
    pub report_json: bool,
}

const CONSUMER_EXAMPLES: &str = "Examples:
  evenkeel-consumer --bootstrap-servers localhost:9092 --topic trades --group workers
  evenkeel-consumer --topic trades --group workers --group-protocol consumer
  evenkeel-consumer --topic trades --group workers --sink stdout --metrics-listen none \\
      -X fetch.wait.max.ms=100
  DATABASE_URL=postgres://me:secret@localhost/trading evenkeel-consumer --topic trades \\
      --group workers --sink postgres --create-tables --batch-size 5000";

/// An address to serve at, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

/// Who computes the assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GroupProtocol {
    /// The group's members, by an assignor that all of them know.
    Classic,
    /// The broker (KIP-848).
    Consumer,
}

/// How a classic group shares its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Assignor {
    /// Evenly, and only the partitions that must move stop.
    CooperativeSticky,
    /// Ranges per topic; everything stops at a rebalance.
    Range,
    /// In turn; everything stops at a rebalance.
    #[value(name = "roundrobin")]
    RoundRobin,
}

/// Where a group without a committed offset begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OffsetReset {
    /// At the oldest record.
    Earliest,
    /// At the next record.
    Latest,
}

/// Where batches go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SinkKind {
    /// Nowhere: one sleep a batch stands for the bulk insert.
    Simulate,
    /// To standard output, one line a record.
    Stdout,
    /// Into PostgreSQL, exactly once.
    Postgres,
}

/// Options that do not go together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A classic group's option in a KIP-848 group.
    #[error("{0} belongs to classic groups: leave it out with --group-protocol consumer")]
    ClassicOnly(&'static str),
    /// A property that the loop depends on.
    #[error("-X {0} cannot be set: offsets are committed when a batch is written, never otherwise")]
    Owned(String),
    /// An address that PostgreSQL's clients do not know.
    #[error("--database-url: {0}; write postgres://user:password@host:port/database")]
    DatabaseUrl(String),
    /// Two writers on standard output.
    #[error("--report-json and --sink stdout both write to standard output: leave one out")]
    StandardOutputTwice,
    /// Polls that cannot come often enough.
    #[error(
        "--max-poll-interval-seconds must be at least {}: giving partitions back may take half",
        MAX_POLL_INTERVAL_AT_LEAST.as_secs()
    )]
    MaxPollIntervalTooShort,
    /// Heartbeats too seldom.
    #[error("--heartbeat-interval-seconds must be below --session-timeout-seconds: a third of it")]
    HeartbeatTooLong,
}

// === impl ConsumerOptions ===

impl ConsumerOptions {
    /// When a batch is due.
    pub fn batch_limits(&self) -> BatchLimits {
        BatchLimits {
            size_records: self.batch_size,
            size_bytes: self.batch_bytes,
            timeout: self.batch_timeout_seconds,
        }
    }

    /// How to reach the database, where there is one.
    ///
    /// # Errors
    /// When the address makes no sense. It is not repeated, as it may hold a password.
    pub fn database(&self) -> Result<Option<tokio_postgres::Config>, ConfigError> {
        let parsed = self.database_url.as_deref().map(postgres::parse_url);
        parsed.transpose().map_err(ConfigError::DatabaseUrl)
    }

    /// The client's properties.
    ///
    /// # Errors
    /// When options do not go together.
    pub fn client_config(&self) -> Result<ClientConfig, ConfigError> {
        if self.report_json && self.sink == SinkKind::Stdout {
            return Err(ConfigError::StandardOutputTwice);
        }
        if self.max_poll_interval_seconds < MAX_POLL_INTERVAL_AT_LEAST {
            return Err(ConfigError::MaxPollIntervalTooShort);
        }
        let mut client = self.connection.client_config();
        client
            .set("group.id", &self.group)
            .set(
                "max.poll.interval.ms",
                milliseconds(self.max_poll_interval_seconds),
            )
            .set("auto.offset.reset", self.auto_offset_reset.name());
        for (name, value) in FETCH_AHEAD {
            client.set(name, value);
        }
        if let Some(id) = &self.group_instance_id {
            client.set("group.instance.id", id);
        }
        match self.group_protocol {
            GroupProtocol::Classic => self.set_classic(&mut client)?,
            GroupProtocol::Consumer => self.set_consumer(&mut client)?,
        }
        for property in self.connection.all_properties() {
            if OWNED_PROPERTIES
                .iter()
                .any(|(owned, _)| *owned == property.name)
            {
                return Err(ConfigError::Owned(property.name.clone()));
            }
            client.set(&property.name, &property.value);
        }
        Ok(client)
    }

    /// The sender of dead letters.
    pub fn dead_letters(&self) -> DeadLetters {
        let topic = self.dead_letter_topic.clone();
        let topic = topic.unwrap_or_else(|| format!("{}-dead-letters", self.topic));
        let mut client = self.connection.client_config();
        for property in self.connection.all_properties() {
            client.set(&property.name, &property.value);
        }
        DeadLetters::new(client, topic, self.topic.clone())
    }

    fn set_classic(&self, client: &mut ClientConfig) -> Result<(), ConfigError> {
        let session = self.session_timeout_seconds;
        let session = session.unwrap_or(Duration::from_secs(10));
        let heartbeat = self.heartbeat_interval_seconds;
        let heartbeat = heartbeat.unwrap_or(Duration::from_secs(1));
        if heartbeat >= session {
            return Err(ConfigError::HeartbeatTooLong);
        }
        let assignor = self.assignor.unwrap_or(Assignor::CooperativeSticky);
        client
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", assignor.name())
            .set("session.timeout.ms", milliseconds(session))
            .set("heartbeat.interval.ms", milliseconds(heartbeat));
        Ok(())
    }

    /// With KIP-848 the broker decides all three, and librdkafka refuses to be told.
    fn set_consumer(&self, client: &mut ClientConfig) -> Result<(), ConfigError> {
        if self.assignor.is_some() {
            return Err(ConfigError::ClassicOnly("--assignor"));
        }
        if self.session_timeout_seconds.is_some() {
            return Err(ConfigError::ClassicOnly("--session-timeout-seconds"));
        }
        if self.heartbeat_interval_seconds.is_some() {
            return Err(ConfigError::ClassicOnly("--heartbeat-interval-seconds"));
        }
        client.set("group.protocol", "consumer");
        Ok(())
    }
}

// === impl Assignor ===

impl Assignor {
    fn name(self) -> &'static str {
        match self {
            Self::CooperativeSticky => "cooperative-sticky",
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
        }
    }
}

// === impl OffsetReset ===

impl OffsetReset {
    fn name(self) -> &'static str {
        match self {
            Self::Earliest => "earliest",
            Self::Latest => "latest",
        }
    }
}

// === impl Listen ===

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self(None));
        }
        let address = text.parse().map(Some).map(Self);
        address.map_err(|_| "write ADDRESS:PORT (0.0.0.0:8000) or none".to_owned())
    }
}

/// The exit code for options that make no sense (`EX_USAGE` of BSD's sysexits).
pub const EXIT_USAGE: i32 = 64;

/// Parses the command line; ends the process for `--help`, `--version` and mistakes.
pub fn parse_options<Options: Parser>() -> Options {
    Options::try_parse().unwrap_or_else(|error| {
        let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
        let _ = error.print();
        std::process::exit(code)
    })
}

/// Ends the process because of options that do not go together.
pub fn refuse_options(error: impl std::error::Error) -> ! {
    eprintln!("error: {error}");
    std::process::exit(EXIT_USAGE)
}

/// Parses seconds with a fraction (`0.1`).
///
/// # Errors
/// A sentence, when it is no number of seconds that time could have.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let complaint = || "write seconds, 0 or more, for example 0.1".to_owned();
    let seconds: f64 = text.parse().map_err(|_| complaint())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| complaint())
}

fn milliseconds(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(more: &[&str]) -> Result<ConsumerOptions, clap::Error> {
        let given = [
            "evenkeel-consumer",
            "--topic",
            "trades",
            "--group",
            "workers",
        ];
        ConsumerOptions::try_parse_from(given.iter().chain(more))
    }

    fn property(more: &[&str], name: &str) -> Option<String> {
        let client = options(more).unwrap().client_config().unwrap();
        client.get(name).map(str::to_owned)
    }

    fn check_refused(more: &[&str], expected: ConfigError) {
        assert_eq!(
            options(more).unwrap().client_config().unwrap_err(),
            expected
        );
    }

    #[test]
    fn the_defaults_are_the_blueprints() {
        let options = options(&[]).unwrap();
        assert_eq!(options.batch_size.get(), 100);
        assert_eq!(options.batch_timeout_seconds, Duration::from_millis(100));
        assert_eq!(options.metrics_listen.0.unwrap().port(), 8000);
        assert_eq!(property(&[], "session.timeout.ms").unwrap(), "10000");
        assert_eq!(property(&[], "heartbeat.interval.ms").unwrap(), "1000");
        let assignor = property(&[], "partition.assignment.strategy");
        assert_eq!(assignor.unwrap(), "cooperative-sticky");
    }

    #[test]
    fn a_kip_848_group_is_told_nothing_that_the_broker_decides() {
        let consumer = ["--group-protocol", "consumer"];
        for name in [
            "partition.assignment.strategy",
            "session.timeout.ms",
            "heartbeat.interval.ms",
        ] {
            assert_eq!(property(&consumer, name), None, "{name}");
        }
        for (option, value) in [
            ("--assignor", "range"),
            ("--session-timeout-seconds", "10"),
            ("--heartbeat-interval-seconds", "1"),
        ] {
            let more = [consumer[0], consumer[1], option, value];
            check_refused(&more, ConfigError::ClassicOnly(option));
        }
    }

    #[test]
    fn librdkafka_takes_both_protocols() {
        for protocol in ["classic", "consumer"] {
            let options = options(&["--group-protocol", protocol]).unwrap();
            let client = options.client_config().unwrap();
            client.create_native_config().unwrap();
        }
    }

    #[test]
    fn any_property_can_be_set_but_those_that_the_loop_owns() {
        let more = ["-X", "fetch.wait.max.ms=50", "-X", "sasl.password=a=b"];
        assert_eq!(property(&more, "fetch.wait.max.ms").unwrap(), "50");
        assert_eq!(property(&more, "sasl.password").unwrap(), "a=b");
        let owned = "enable.auto.commit".to_owned();
        check_refused(
            &["-X", "enable.auto.commit=true"],
            ConfigError::Owned(owned),
        );
    }

    #[test]
    fn the_database_is_needed_where_it_is_used_and_its_password_is_not_repeated() {
        assert!(options(&["--sink", "postgres"]).is_err());
        let url = "postgres://me:secret@db:5433/trading";
        let given = options(&["--sink", "postgres", "--database-url", url]).unwrap();
        let config = given.database().unwrap().unwrap();
        assert_eq!(config.get_dbname(), Some("trading"));
        for url in ["postgres://me:secret@db:port/x", "secret", "host=db secret"] {
            let given = options(&["--database-url", url]).unwrap();
            let text = given.database().unwrap_err().to_string();
            assert!(
                text.contains("--database-url") && !text.contains("secret"),
                "{text}"
            );
        }
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let both = ["--report-json", "--sink", "stdout"];
        check_refused(&both, ConfigError::StandardOutputTwice);
        let slow = ["--heartbeat-interval-seconds", "10"];
        check_refused(&slow, ConfigError::HeartbeatTooLong);
        let hasty = ["--max-poll-interval-seconds", "19"];
        check_refused(&hasty, ConfigError::MaxPollIntervalTooShort);
    }

    #[test]
    fn values_that_mean_nothing_are_refused() {
        for more in [
            ["--batch-size", "0"],
            ["--batch-timeout-seconds", "-1"],
            ["--batch-timeout-seconds", "soon"],
            ["--batch-processing-time", "NaN"],
            ["--metrics-listen", "8000"],
            ["--assignor", "fair"],
            ["-X", "no-value"],
        ] {
            assert!(options(&more).is_err(), "{more:?}");
        }
    }

    #[test]
    fn metrics_can_be_turned_off() {
        let options = options(&["--metrics-listen", "none"]).unwrap();
        assert_eq!(options.metrics_listen, Listen(None));
    }
}
