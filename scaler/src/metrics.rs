//! Every metric of the process that is counted where it happens.
//!
//! What describes a target (replicas, lag, verdict, ...) is not here: it is rendered from the
//! published decisions when Prometheus asks, so that a target that is gone leaves no stale series
//! (`admin`). Label values are bounded: apis, brokers, methods and codes are closed or small sets.

use evenkeel_engine::Verdict;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Handles to the counters; cheap to clone, all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Requests to Kafka brokers.
    pub kafka_requests: Family<KafkaRequestLabels, Counter>,
    /// Connections opened to Kafka brokers.
    pub kafka_connections: Family<KafkaConnectionLabels, Counter>,
    /// Queries to Prometheus.
    pub prometheus_requests: Family<PrometheusRequestLabels, Counter>,
    /// Calls from KEDA.
    pub rpcs: Family<RpcLabels, Counter>,
    /// Ticks of the observing loops.
    pub ticks: Family<TickLabels, Counter>,
    /// Panics of the engine; the target's last decision stood.
    pub engine_panics: Counter,
    /// Panics of a cluster's loop; it was started again.
    pub loop_panics: Counter,
    /// Decisions published, over all targets.
    pub decisions: Family<DecisionLabels, Counter>,
}

/// One request to a broker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KafkaRequestLabels {
    /// The cluster: a profile's name, or the ad-hoc addresses.
    pub cluster: String,
    /// The broker's id, or `bootstrap`.
    pub broker: String,
    /// The api, as Kafka names it (`ListOffsets`).
    pub api: &'static str,
    /// `ok`, or a cause's label.
    pub result: &'static str,
}

/// One connection to a broker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KafkaConnectionLabels {
    /// The cluster: a profile's name, or the ad-hoc addresses.
    pub cluster: String,
    /// `ok`, or a cause's label.
    pub result: &'static str,
}

/// One query to Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PrometheusRequestLabels {
    /// `ok`, or a cause's label.
    pub result: &'static str,
}

/// One call from KEDA.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RpcLabels {
    /// The method's name.
    pub method: &'static str,
    /// The gRPC code (`OK`, `UNAVAILABLE`, ...).
    pub code: &'static str,
}

/// One tick of an observing loop.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TickLabels {
    /// The cluster: a profile's name, or the ad-hoc addresses.
    pub cluster: String,
    /// `full` or `asleep`.
    pub kind: &'static str,
}

/// One published decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DecisionLabels {
    /// The verdict's label.
    pub verdict: &'static str,
}

// === impl Metrics ===

impl Metrics {
    /// Counts a published decision.
    pub fn count_decision(&self, verdict: Verdict) {
        let verdict = verdict.label();
        self.decisions
            .get_or_create(&DecisionLabels { verdict })
            .inc();
    }

    /// Registers every counter under its `evenkeel_` name.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "evenkeel_kafka_requests",
            "Requests to Kafka brokers by api and result",
            self.kafka_requests.clone(),
        );
        registry.register(
            "evenkeel_kafka_connections",
            "Connections opened to Kafka brokers",
            self.kafka_connections.clone(),
        );
        registry.register(
            "evenkeel_prometheus_requests",
            "Queries to Prometheus by result",
            self.prometheus_requests.clone(),
        );
        registry.register(
            "evenkeel_rpcs",
            "Calls by method and gRPC code",
            self.rpcs.clone(),
        );
        registry.register(
            "evenkeel_ticks",
            "Ticks of the observing loops by cluster and kind",
            self.ticks.clone(),
        );
        registry.register(
            "evenkeel_engine_panics",
            "Panics of the engine, each an error of the program: the last decision stood",
            self.engine_panics.clone(),
        );
        registry.register(
            "evenkeel_loop_panics",
            "Panics of a cluster's loop, each an error of the program: it was started again",
            self.loop_panics.clone(),
        );
        registry.register(
            "evenkeel_decisions",
            "Decisions published, by verdict, over all targets",
            self.decisions.clone(),
        );
    }
}
