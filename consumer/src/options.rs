//! The options, and the Kafka client's properties.
//!
//! Every option is also an environment variable. Everything else that librdkafka knows is set with
//! `-X name=value` or as `KAFKA_NAME_WITH_UNDERSCORES`, TLS and SASL among it. No value of a property is
//! ever repeated: it may be a password.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{Args, Parser};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use tracing_subscriber::EnvFilter;

use crate::position::{OffsetReset, OnGap};

/// What the client is told unless somebody says otherwise.
///
/// How far it fetches ahead, over all partitions, and what one answer of a broker may hold: that bounds
/// the memory of a catch-up. It is little, because a rebalance throws it away; a queue that is full must
/// then be looked at again soon, which by default takes a second. And it takes part or is gone within a
/// minute: a rebalance waits as long for a member that does not come back.
const DEFAULTS: [(&str, &str); 6] = [
    ("max.poll.interval.ms", "60000"),
    ("queued.min.messages", "20000"),
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.queue.backoff.ms", "10"),
    ("fetch.max.bytes", "8388608"),
    ("statistics.interval.ms", "2000"),
];

/// The same for classic groups. With KIP-848 the broker decides these, and librdkafka refuses to be told.
const CLASSIC: [(&str, &str); 3] = [
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("session.timeout.ms", "10000"),
    ("heartbeat.interval.ms", "1000"),
];

/// What the loop depends on. The client commits by itself, but only what it is told to be written; and
/// it never jumps over records that are there.
const OWNED: [(&str, &str); 4] = [
    ("enable.auto.commit", "true"),
    ("enable.auto.offset.store", "false"),
    ("auto.commit.interval.ms", "100"),
    ("auto.offset.reset", "earliest"),
];

/// What is logged without `RUST_LOG`; PostgreSQL's notices of a rollback are none of it.
const DEFAULT_LOG: &str = "info,tokio_postgres=warn";

/// The exit code for options that make no sense (`EX_USAGE` of BSD's sysexits).
const EXIT_USAGE: i32 = 64;

/// How to reach Kafka, and how to talk about it.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// Brokers to ask first, host:port, comma separated
    #[arg(long, env = "BOOTSTRAP_SERVERS", default_value = "localhost:9092")]
    pub bootstrap_servers: String,
    /// Any librdkafka property, NAME=VALUE; may be repeated. The same from the environment:
    /// KAFKA_SSL_CA_LOCATION sets ssl.ca.location
    #[arg(short = 'X', value_name = "NAME=VALUE", hide_default_value = true)]
    pub properties: Vec<String>,
    /// Logs for people (text) or for machines (json); RUST_LOG says how much
    #[arg(long, env = "LOG_FORMAT", value_parser = ["text", "json"], default_value = "text")]
    pub log_format: String,
}

/// What to read, as whom, in which batches.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The connection.
    #[command(flatten)]
    pub connection: Connection,
    /// Topic to consume
    #[arg(long, env = "TOPIC")]
    pub topic: String,
    /// Consumer group
    #[arg(long, env = "GROUP_ID")]
    pub group: String,
    /// Where a group begins that has neither stored nor committed anything
    #[arg(long, env = "AUTO_OFFSET_RESET", value_enum, default_value = "earliest")]
    pub auto_offset_reset: OffsetReset,
    /// What follows from records that were deleted before they were read
    #[arg(long, env = "ON_GAP", value_enum, default_value = "continue")]
    pub on_gap: OnGap,
    /// When a batch is due.
    #[command(flatten)]
    pub limits: Limits,
    /// Address of /metrics, /livez and /readyz; port 0 takes a free one, `none` serves nothing
    #[arg(long, env = "METRICS_LISTEN", default_value = "0.0.0.0:8000", value_parser = listen)]
    pub metrics_listen: Listen,
}

/// When a batch is due.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records that make a batch full
    #[arg(long, env = "BATCH_SIZE", default_value = "100")]
    pub batch_size: NonZeroUsize,
    /// Bytes of keys and values that make a batch full; up to three batches are in memory
    #[arg(long, env = "BATCH_BYTES", default_value = "4194304")]
    pub batch_bytes: NonZeroUsize,
    /// How long the first record of a batch waits for company
    #[arg(long, env = "BATCH_TIMEOUT_SECONDS", value_parser = seconds, default_value = "0.1")]
    pub batch_timeout_seconds: Duration,
}

/// An address to serve at, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

impl Options {
    /// The client's properties.
    ///
    /// # Errors
    /// A sentence that repeats no value.
    pub fn client(&self) -> Result<ClientConfig, String> {
        let mut client = self.connection.client()?;
        if let Some((name, _)) = OWNED.iter().find(|(name, _)| client.get(name).is_some()) {
            return Err(format!("-X {name}: the consumer depends on it, and sets it itself"));
        }
        let is_classic = client.get("group.protocol") != Some("consumer");
        let classic = CLASSIC.iter().filter(|_| is_classic);
        for (name, value) in DEFAULTS.iter().chain(classic).chain(&OWNED) {
            if client.get(name).is_none() {
                client.set(*name, *value);
            }
        }
        client.set("group.id", &self.group);
        Ok(client)
    }
}

impl Connection {
    /// The properties that were given, the command line last.
    ///
    /// # Errors
    /// A sentence that repeats no value.
    pub fn client(&self) -> Result<ClientConfig, String> {
        let mut client = ClientConfig::new();
        // Which lines are shown is for `RUST_LOG` to say.
        client.set_log_level(RDKafkaLogLevel::Debug);
        client.set("bootstrap.servers", &self.bootstrap_servers);
        for (name, value) in std::env::vars().filter_map(|(name, value)| property(&name, value)) {
            client.set(name, value);
        }
        for property in &self.properties {
            let (name, value) = property.split_once('=').ok_or("-X: write NAME=VALUE")?;
            client.set(name, value);
        }
        client.create_native_config().map_err(|error| refusal(&error))?;
        Ok(client)
    }

    /// Starts logging to standard error; librdkafka's own lines are among them.
    pub fn start_logging(&self) {
        let lines = tracing_subscriber::fmt()
            .with_env_filter(
                EnvFilter::try_from_default_env().unwrap_or_else(|_| DEFAULT_LOG.into()),
            )
            .with_writer(std::io::stderr)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
        if self.log_format == "json" { lines.json().init() } else { lines.init() }
    }
}

/// `KAFKA_FETCH_MIN_BYTES=1` is `fetch.min.bytes=1`: librdkafka's names have only dots. What Kubernetes
/// sets for a Service named `kafka` is none.
fn property(variable: &str, value: String) -> Option<(String, String)> {
    let name = variable.strip_prefix("KAFKA_")?;
    let is_other = name.starts_with("PORT") || name.starts_with("SERVICE_");
    (!is_other).then(|| (name.to_lowercase().replace('_', "."), value))
}

/// Why a client could not be made. What librdkafka and its binding say of a property that is refused
/// repeats its value, which may be a password: it is named without.
pub fn refusal(error: &KafkaError) -> String {
    let KafkaError::ClientConfig(_, _, name, _) = error else { return error.to_string() };
    format!("librdkafka knows no property {name}, or does not take its value")
}

/// Parses the command line; ends the process for `--help`, `--version` and mistakes.
pub fn parse<Given: Parser>() -> Given {
    Given::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        std::process::exit(if error.use_stderr() { EXIT_USAGE } else { 0 })
    })
}

/// Ends the process because of options that do not go together.
pub fn refuse(error: impl std::fmt::Display) -> ! {
    eprintln!("error: {error}");
    std::process::exit(EXIT_USAGE)
}

/// Parses seconds with a fraction (`0.1`).
///
/// # Errors
/// A sentence, when it is no number of seconds that time could have.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "write seconds, 0 or more, for example 0.1".to_owned())
}

fn listen(text: &str) -> Result<Listen, String> {
    let address = (text != "none").then(|| text.parse()).transpose();
    address.map(Listen).map_err(|_| "write ADDRESS:PORT (0.0.0.0:8000) or none".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Given {
        #[command(flatten)]
        options: Options,
    }

    fn options(more: &[&str]) -> Result<Options, clap::Error> {
        let given = ["batch-consumer", "--topic", "trades", "--group", "workers"];
        Given::try_parse_from(given.iter().chain(more)).map(|given| given.options)
    }

    #[test]
    fn the_environment_sets_properties_and_kubernetes_own_variables_do_not() {
        let found = |name| property(name, "value".to_owned()).map(|(name, _)| name);
        assert_eq!(found("KAFKA_SSL_CA_LOCATION").as_deref(), Some("ssl.ca.location"));
        for other in ["KAFKA_PORT_9092_TCP_ADDR", "KAFKA_SERVICE_HOST", "TOPIC"] {
            assert_eq!(found(other), None);
        }
    }

    #[test]
    fn any_property_can_be_set_but_those_that_the_consumer_owns() {
        let given = options(&["-X", "fetch.wait.max.ms=50", "-X", "sasl.password=a=b"]).unwrap();
        let client = given.client().unwrap();
        assert_eq!(client.get("fetch.wait.max.ms"), Some("50"));
        assert_eq!(client.get("sasl.password"), Some("a=b"));
        for (name, value) in OWNED {
            let given = options(&["-X", &format!("{name}={value}")]).unwrap();
            assert!(given.client().unwrap_err().contains(name));
        }
        let client = options(&["-X", "group.protocol=consumer"]).unwrap().client().unwrap();
        assert!(CLASSIC.iter().all(|(name, _)| client.get(name).is_none()));
        client.create_native_config().unwrap();
    }

    #[test]
    fn values_that_mean_nothing_are_refused() {
        for more in [
            ["--batch-size", "0"],
            ["--batch-timeout-seconds", "-1"],
            ["--batch-timeout-seconds", "soon"],
            ["--metrics-listen", "8000"],
            ["--on-gap", "ignore"],
        ] {
            assert!(options(&more).is_err(), "{more:?}");
        }
        assert!(options(&[]).unwrap().client().is_ok());
        assert_eq!(options(&["--metrics-listen", "none"]).unwrap().metrics_listen, Listen(None));
    }

    #[test]
    fn a_property_that_is_refused_is_named_without_its_value() {
        for name in ["security.protocol", "sasl.pasword", "session.timeout.ms"] {
            let said = options(&["-X", &format!("{name}=hush")]).unwrap().client().unwrap_err();
            assert!(said.contains(name) && !said.contains("hush"), "{said}");
        }
    }
}
