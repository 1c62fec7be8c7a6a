//! The options of `evenkeel-consumer`: those of the copied consumer, the blueprint's, and which sink.
//!
//! The sink has no default: a process that throws records away and commits them is asked for by name.

use std::time::Duration;

use batch_consumer::group::FINISH_WITHIN;
use batch_consumer::options::{Options, seconds};
use batch_consumer::postgres::Database;
use clap::{Parser, ValueEnum};
use rdkafka::ClientConfig;

/// The least `max.poll.interval.ms`: a revocation may keep the polling thread for [`FINISH_WITHIN`], and
/// the commit after it needs room too.
const MAX_POLL_INTERVAL_AT_LEAST: Duration = FINISH_WITHIN.saturating_mul(2);

/// The reference batch consumer with sinks to choose from.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct ConsumerOptions {
    /// What every consumer has.
    #[command(flatten)]
    pub options: Options,

    /// Where batches go
    #[arg(long, env = "SINK", value_enum)]
    pub sink: SinkKind,

    /// PostgreSQL: postgres://user:password@host:port/database; plain, unless ?sslmode=require or
    /// verify-full, which both check the server's certificate and name, against the system's certificates
    /// (or SSL_CERT_FILE's)
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// PostgreSQL: make the tables of schema.sql where they are missing
    #[arg(long, env = "CREATE_TABLES")]
    pub create_tables: bool,

    /// PostgreSQL: connections that write side by side; each batch is dealt out to them by partitions
    #[arg(long, env = "WRITERS", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub writers: u8,

    /// PostgreSQL: a topic for records that can never be written, in place of the table dead_letters
    #[arg(long, env = "DEAD_LETTER_TOPIC")]
    pub dead_letter_topic: Option<String>,

    /// Seconds that one batch takes at least, whatever its size [default: 1 with simulate, else 0]
    #[arg(long, env = "BATCH_PROCESSING_TIME", value_parser = seconds)]
    pub batch_processing_time: Option<Duration>,

    /// Which group protocol to speak; `consumer` is KIP-848 and needs Kafka 4
    #[arg(long, env = "GROUP_PROTOCOL", value_enum, default_value = "classic")]
    pub group_protocol: GroupProtocol,

    /// How a classic group shares its partitions [default: cooperative-sticky]
    #[arg(long, env = "ASSIGNOR", value_parser = ["cooperative-sticky", "range", "roundrobin"])]
    pub assignor: Option<String>,

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

    /// Print one JSON line a second, and a last one at the end (see report.rs for its fields)
    #[arg(long)]
    pub report_json: bool,
}

const EXAMPLES: &str = "Examples:
  evenkeel-consumer --topic trades --group workers --sink simulate
  evenkeel-consumer --topic trades --group workers --sink stdout --metrics-listen none \\
      -X fetch.wait.max.ms=100
  DATABASE_URL=postgres://me:secret@localhost/trading evenkeel-consumer --topic trades \\
      --group workers --sink postgres --create-tables --batch-size 5000";

/// Where batches go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SinkKind {
    /// Nowhere: one sleep a batch stands for the write, and the records are thrown away.
    Simulate,
    /// To standard output, one line a record.
    Stdout,
    /// Into PostgreSQL, exactly once.
    Postgres,
}

/// Who computes the assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GroupProtocol {
    /// The group's members, by an assignor that all of them know.
    Classic,
    /// The broker (KIP-848).
    Consumer,
}

/// Options that do not go together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A classic group's option in a KIP-848 group.
    #[error("{0} belongs to classic groups: leave it out with --group-protocol consumer")]
    ClassicOnly(&'static str),
    /// PostgreSQL without an address.
    #[error("--sink postgres needs --database-url (or DATABASE_URL)")]
    NoDatabase,
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
    /// What the copied consumer says.
    #[error("{0}")]
    Client(String),
}

// === impl ConsumerOptions ===

impl ConsumerOptions {
    /// The database, where there is one.
    pub fn database(&self) -> Option<Database> {
        let (database_url, create_tables) = (self.database_url.clone()?, self.create_tables);
        Some(Database {
            database_url,
            create_tables,
        })
    }

    /// The client's properties.
    ///
    /// # Errors
    /// When options do not go together.
    pub fn client_config(&self) -> Result<ClientConfig, ConfigError> {
        self.consumer()?.client().map_err(ConfigError::Client)
    }

    /// The same as options of the copied consumer.
    ///
    /// # Errors
    /// When options do not go together.
    pub fn consumer(&self) -> Result<Options, ConfigError> {
        if self.report_json && self.sink == SinkKind::Stdout {
            return Err(ConfigError::StandardOutputTwice);
        }
        if self.sink == SinkKind::Postgres && self.database_url.is_none() {
            return Err(ConfigError::NoDatabase);
        }
        if self.max_poll_interval_seconds < MAX_POLL_INTERVAL_AT_LEAST {
            return Err(ConfigError::MaxPollIntervalTooShort);
        }
        let milliseconds = |time: Duration| time.as_millis().to_string();
        let mut more = vec![
            (
                "max.poll.interval.ms",
                Some(milliseconds(self.max_poll_interval_seconds)),
            ),
            ("group.instance.id", self.group_instance_id.clone()),
        ];
        match self.group_protocol {
            GroupProtocol::Classic => self.check_classic()?,
            GroupProtocol::Consumer => self.check_kip_848()?,
        }
        let is_kip_848 = self.group_protocol == GroupProtocol::Consumer;
        more.extend([
            ("group.protocol", is_kip_848.then(|| "consumer".to_owned())),
            ("partition.assignment.strategy", self.assignor.clone()),
            (
                "session.timeout.ms",
                self.session_timeout_seconds.map(milliseconds),
            ),
            (
                "heartbeat.interval.ms",
                self.heartbeat_interval_seconds.map(milliseconds),
            ),
        ]);
        let mut options = self.options.clone();
        let given = more
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        // Before those of -X, which count more.
        options.connection.properties.splice(0..0, given);
        Ok(options)
    }

    fn check_classic(&self) -> Result<(), ConfigError> {
        let session = self
            .session_timeout_seconds
            .unwrap_or(Duration::from_secs(10));
        let heartbeat = self
            .heartbeat_interval_seconds
            .unwrap_or(Duration::from_secs(1));
        if heartbeat >= session {
            return Err(ConfigError::HeartbeatTooLong);
        }
        Ok(())
    }

    /// With KIP-848 the broker decides all three, and librdkafka refuses to be told.
    fn check_kip_848(&self) -> Result<(), ConfigError> {
        for (name, is_given) in [
            ("--assignor", self.assignor.is_some()),
            (
                "--session-timeout-seconds",
                self.session_timeout_seconds.is_some(),
            ),
            (
                "--heartbeat-interval-seconds",
                self.heartbeat_interval_seconds.is_some(),
            ),
        ] {
            if is_given {
                return Err(ConfigError::ClassicOnly(name));
            }
        }
        Ok(())
    }
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
        let more = [&["--sink", "simulate"], more].concat();
        let client = options(&more).unwrap().client_config().unwrap();
        client.get(name).map(str::to_owned)
    }

    fn refused(more: &[&str]) -> ConfigError {
        let more = [&["--sink", "simulate"], more].concat();
        options(&more).unwrap().client_config().unwrap_err()
    }

    #[test]
    fn a_sink_has_to_be_named() {
        let error = options(&[]).unwrap_err();
        assert!(error.to_string().contains("--sink"), "{error}");
        let without = options(&["--sink", "postgres"]).unwrap().client_config();
        assert_eq!(without.unwrap_err(), ConfigError::NoDatabase);
        let url = [
            "--sink",
            "postgres",
            "--database-url",
            "postgres:///trading",
        ];
        assert!(options(&url).unwrap().client_config().is_ok());
    }

    #[test]
    fn the_group_protocol_decides_which_properties_are_set() {
        let strategy = "partition.assignment.strategy";
        assert_eq!(
            property(&[], strategy).as_deref(),
            Some("cooperative-sticky")
        );
        assert_eq!(
            property(&["--assignor", "range"], strategy).as_deref(),
            Some("range")
        );
        assert_eq!(
            property(&[], "session.timeout.ms").as_deref(),
            Some("10000")
        );
        let consumer = ["--group-protocol", "consumer"];
        assert_eq!(
            property(&consumer, "group.protocol").as_deref(),
            Some("consumer")
        );
        for name in [strategy, "session.timeout.ms", "heartbeat.interval.ms"] {
            assert_eq!(property(&consumer, name), None);
        }
        for (more, option) in [
            (["--assignor", "range"], "--assignor"),
            (
                ["--session-timeout-seconds", "6"],
                "--session-timeout-seconds",
            ),
            (
                ["--heartbeat-interval-seconds", "1"],
                "--heartbeat-interval-seconds",
            ),
        ] {
            let refused = refused(&[&consumer[..], &more[..]].concat());
            assert_eq!(refused, ConfigError::ClassicOnly(option));
        }
    }

    #[test]
    fn what_does_not_go_together_is_said() {
        let too_short = ["--max-poll-interval-seconds", "19"];
        assert_eq!(refused(&too_short), ConfigError::MaxPollIntervalTooShort);
        let seldom = ["--heartbeat-interval-seconds", "10"];
        assert_eq!(refused(&seldom), ConfigError::HeartbeatTooLong);
        let twice = options(&["--sink", "stdout", "--report-json"]).unwrap();
        assert_eq!(
            twice.client_config().unwrap_err(),
            ConfigError::StandardOutputTwice
        );
        assert!(options(&["--sink", "simulate", "--writers", "0"]).is_err());
    }
}
