//! The process configuration: one YAML file, overlaid by `EVENKEEL__...` variables.
//!
//! Read and checked before any socket opens; every error is reported at once. What belongs to one
//! target comes from its trigger metadata instead (`grpc::metadata`). This file holds the types;
//! `schema::process` is the table of settings with their defaults, `load` reads them.

pub mod access;
pub mod kubernetes;
pub mod load;
pub mod yaml;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use self::access::{PrometheusAccessConfig, SaslConfig, ServerTlsConfig, TlsConfig};
use self::kubernetes::{KubernetesConfig, LeaderConfig, StateConfig};

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where KEDA calls.
    pub grpc: GrpcConfig,
    /// Where people and Prometheus look.
    pub admin: AdminConfig,
    /// How often Kafka and Prometheus are asked.
    pub poll: PollConfig,
    /// Kafka clusters by profile name.
    pub clusters: BTreeMap<String, ClusterConfig>,
    /// Prometheus servers by profile name.
    pub prometheus: BTreeMap<String, PrometheusConfig>,
    /// Whether a ScaledObject may name addresses that are no profile (plaintext, no credentials).
    pub adhoc_clusters: bool,
    /// What is asked of Kubernetes.
    pub kubernetes: KubernetesConfig,
    /// How one of several replicas is chosen to answer; this one answers where absent.
    pub leader: Option<LeaderConfig>,
    /// Where what was learned is kept; nowhere where absent.
    pub state: Option<StateConfig>,
    /// The bounds of the process.
    pub limits: Limits,
    /// Log lines as JSON rather than text.
    pub log_json: bool,
}

/// Where KEDA calls.
#[derive(Clone, Debug)]
pub struct GrpcConfig {
    /// The listening address.
    pub listen: SocketAddr,
    /// Connections are asked to close after this, so that KEDA finds new replicas.
    pub max_connection_age: Duration,
    /// How long a shutdown waits for calls in flight.
    pub drain: Duration,
    /// TLS; plaintext where absent.
    pub tls: Option<ServerTlsConfig>,
}

/// Where people and Prometheus look.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// The listening address.
    pub listen: SocketAddr,
    /// Holds the token that opens the page and the API; they are open to everybody where absent.
    pub token_file: Option<PathBuf>,
}

/// How often Kafka and Prometheus are asked.
#[derive(Clone, Copy, Debug)]
pub struct PollConfig {
    /// Targets that are awake.
    pub interval: Duration,
    /// Sleeping targets with a push stream open: log ends only.
    pub asleep_interval: Duration,
    /// One request to a broker or to Prometheus.
    pub request_timeout: Duration,
}

/// One Kafka cluster profile.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// `host:port` in lower case, sorted, at least one.
    pub bootstrap_servers: Vec<String>,
    /// Globs of the namespaces that may use it.
    pub namespaces: Globs,
    /// Globs of the topics that may be read through it.
    pub topics: Globs,
    /// Globs of the consumer groups that may be read through it.
    pub consumer_groups: Globs,
    /// TLS; plaintext where absent.
    pub tls: Option<TlsConfig>,
    /// Authentication; none where absent.
    pub sasl: Option<SaslConfig>,
}

/// One Prometheus profile.
#[derive(Clone, Debug)]
pub struct PrometheusConfig {
    /// The base URL.
    pub url: String,
    /// How it is reached and who the scaler is there; by the system's authorities and as nobody
    /// where absent.
    pub access: Option<PrometheusAccessConfig>,
    /// A query template with `{topic}` and `{consumerGroup}`, for targets that name none.
    pub query: Option<String>,
    /// Globs of the namespaces that may use it.
    pub namespaces: Globs,
}

/// A list of globs; an empty list matches everything.
#[derive(Clone, Debug, Default)]
pub struct Globs(pub Vec<globset::GlobMatcher>);

/// The bounds of the process. Each has a metric.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Targets at once; the next one gets RESOURCE_EXHAUSTED.
    pub targets: usize,
    /// Targets that nobody asks for are forgotten after this.
    pub target_idle: Duration,
    /// Ad-hoc clusters at once.
    pub adhoc_clusters: usize,
    /// Bytes of one gRPC request.
    pub grpc_message_bytes: usize,
    /// gRPC calls in flight, over all connections; more are refused at once.
    pub grpc_concurrency: usize,
    /// Bytes of one answer from a broker.
    pub kafka_frame_bytes: usize,
    /// Points of history kept a target; see [`crate::control::history`].
    pub history_points: usize,
    /// Prometheus queries in flight.
    pub prometheus_concurrency: usize,
}

// === impl Globs ===

impl Globs {
    /// Whether `name` matches one of them, or there are none.
    pub fn allows(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|glob| glob.is_match(name))
    }
}
