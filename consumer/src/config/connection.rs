//! How both programs reach Kafka, and every property of librdkafka that nobody made an option of.
//!
//! Properties come from `-X name=value` and from the environment. They are not checked here: what is
//! unknown or makes no sense, librdkafka says when the client is made.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::logging::LogFormat;

/// Beginnings of variables that Kubernetes makes for a Service named `kafka`; no properties.
const KUBERNETES_OWN: [&str; 2] = ["KAFKA_PORT", "KAFKA_SERVICE_"];

/// How to reach Kafka; the producer takes the same.
#[derive(Clone, Debug, Args)]
pub struct Connection {
    /// Brokers to ask first, host:port, comma separated
    #[arg(long, env = "BOOTSTRAP_SERVERS", default_value = "localhost:9092")]
    pub bootstrap_servers: String,

    /// Name that Kafka's logs and metrics show
    #[arg(long, env = "CLIENT_ID", default_value = "evenkeel")]
    pub client_id: String,

    /// Any librdkafka property; may be repeated, and wins over every other option. The same from the
    /// environment: KAFKA_SSL_CA_LOCATION sets ssl.ca.location
    #[arg(short = 'X', value_name = "NAME=VALUE")]
    pub properties: Vec<Property>,

    /// Logs for people or for machines; RUST_LOG says how much
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

/// One librdkafka property. Its value may be a password, and is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Property {
    /// Its name, as in librdkafka's CONFIGURATION.md.
    pub name: String,
    /// Its value; librdkafka checks it.
    pub value: String,
}

// === impl Connection ===

impl Connection {
    /// The properties that every client needs; `-X` ones are the caller's to add last.
    pub fn client_config(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            // Which lines are shown is for `RUST_LOG` to say.
            .set_log_level(RDKafkaLogLevel::Debug)
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.client_id);
        client
    }

    /// Properties of the environment, then those of the command line, which win.
    pub fn all_properties(&self) -> Vec<Property> {
        let mut all = properties_from(std::env::vars());
        all.extend(self.properties.iter().cloned());
        all
    }
}

/// `KAFKA_FETCH_MIN_BYTES=1` is `fetch.min.bytes=1`: librdkafka's names have only dots.
fn properties_from(variables: impl Iterator<Item = (String, String)>) -> Vec<Property> {
    let property = |(name, value): (String, String)| {
        if KUBERNETES_OWN.iter().any(|own| name.starts_with(own)) {
            return None;
        }
        let name = name
            .strip_prefix("KAFKA_")?
            .to_lowercase()
            .replace('_', ".");
        Some(Property { name, value })
    };
    variables.filter_map(property).collect()
}

// === impl Property ===

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=...", self.name)
    }
}

impl FromStr for Property {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("write NAME=VALUE, for example -X fetch.wait.max.ms=100".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_shown() {
        let property: Property = "sasl.password=hush".parse().unwrap();
        assert_eq!(format!("{property:?}"), "sasl.password=...");
    }

    #[test]
    fn the_environment_sets_properties_too() {
        let variables = [
            ("KAFKA_SSL_CA_LOCATION", "/ca.pem"),
            ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
            ("KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1"),
            ("KAFKA_SERVICE_HOST", "10.0.0.1"),
            ("TOPIC", "trades"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let expected = "ssl.ca.location=/ca.pem".parse::<Property>().unwrap();
        assert_eq!(properties_from(variables.into_iter()), [expected]);
    }
}
