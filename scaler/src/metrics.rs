//! Every metric of the process that is counted where it happens.
//!
//! What describes a target (replicas, lag, verdict, ...) is not here: it is rendered from the
//! published decisions when Prometheus asks, so that a target that is gone leaves no stale series
//! (`admin`). Label values are bounded: apis, brokers, methods and codes are closed or small sets.

use std::time::Duration;

use evenkeel_engine::Verdict;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::notices::Notices;

/// Handles to the counters; cheap to clone, all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Requests to Kafka brokers.
    pub kafka_requests: Family<KafkaRequestLabels, Counter>,
    /// Connections opened to Kafka brokers.
    pub kafka_connections: Family<KafkaConnectionLabels, Counter>,
    /// Queries to Prometheus.
    pub prometheus_requests: Family<PrometheusRequestLabels, Counter>,
    /// gRPC calls that have ended.
    pub rpcs: Family<RpcLabels, Counter>,
    /// How long gRPC calls take.
    pub rpc_durations: RpcDurations,
    /// Ticks of the observing loops.
    pub ticks: Family<TickLabels, Counter>,
    /// Panics of the engine; the target's last decision stood.
    pub engine_panics: Counter,
    /// Panics of a cluster's loop; it was started again.
    pub loop_panics: Counter,
    /// How often this replica has begun to lead.
    pub leader_changes: Counter,
    /// Decisions published, over all targets.
    pub decisions: Family<DecisionLabels, Counter>,
    /// 1 where the files of a setting cannot be used as they are now.
    pub credentials_bad: Family<SettingLabels, Gauge>,
    /// When a certificate expires, in seconds since 1970: ours of a setting, or the first of a
    /// cluster's brokers.
    pub certificate_expiries: Family<SettingLabels, Gauge>,
    /// 1 where every certificate of a server is accepted.
    pub tls_unverified: Family<SettingLabels, Gauge>,
    /// The same three as sentences, where they are worth one.
    pub notices: Notices,
}

/// Something that the configuration has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SettingLabels {
    /// Its path in the configuration, such as `clusters.orders.tls`.
    pub setting: String,
}

/// One request to a broker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KafkaRequestLabels {
    /// The Kafka cluster: a profile's name, or the ad-hoc addresses. Not `cluster`, which is what
    /// Prometheis that send to one place call their Kubernetes clusters.
    pub kafka_cluster: String,
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
    /// As in [`KafkaRequestLabels`].
    pub kafka_cluster: String,
    /// `ok`, or a cause's label.
    pub result: &'static str,
}

/// One query to Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PrometheusRequestLabels {
    /// `ok`, or a cause's label.
    pub result: &'static str,
}

/// One gRPC call that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RpcLabels {
    /// The method; `other` for every path that is none of ours.
    pub method: &'static str,
    /// The gRPC code (`OK`, `UNAVAILABLE`, ...).
    pub code: &'static str,
}

/// The method of gRPC calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RpcMethodLabels {
    /// As in [`RpcLabels`].
    pub method: &'static str,
}

/// A histogram for every method, in seconds.
#[derive(Clone, Debug)]
pub struct RpcDurations(Family<RpcMethodLabels, Histogram>);

/// One tick of an observing loop.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TickLabels {
    /// As in [`KafkaRequestLabels`].
    pub kafka_cluster: String,
    /// `full` or `asleep`.
    pub kind: &'static str,
}

/// One published decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DecisionLabels {
    /// The verdict's label.
    pub verdict: &'static str,
}

/// Upper bounds of the histogram's buckets in seconds: an answer from memory takes 0.1 ms, a call
/// that waits for a target's first observation 2 s and a little, and 10 s is the longest that any
/// may take.
const RPC_DURATION_BUCKETS: [f64; 11] = [
    0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 2.5, 10.0,
];

// === impl RpcDurations ===

impl Default for RpcDurations {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| {
            Histogram::new(RPC_DURATION_BUCKETS)
        }))
    }
}

impl RpcDurations {
    /// Adds a call that took `duration`.
    pub fn observe(&self, method: &'static str, duration: Duration) {
        self.0
            .get_or_create(&RpcMethodLabels { method })
            .observe(duration.as_secs_f64());
    }
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

    /// Notes that our certificate of `setting` holds until `not_after`, in time since 1970.
    pub fn note_certificate(&self, setting: &str, not_after: Duration) {
        self.notices.own(setting, not_after);
        self.set_expiry(setting, not_after);
    }

    /// Notes the same of the server at `address`, which was reached under `setting`.
    pub fn note_server_certificate(&self, setting: &str, address: &str, not_after: Duration) {
        let first = self.notices.server(setting, address, not_after);
        self.set_expiry(setting, first);
    }

    fn set_expiry(&self, setting: &str, not_after: Duration) {
        let labels = SettingLabels {
            setting: setting.to_owned(),
        };
        self.certificate_expiries
            .get_or_create(&labels)
            .set(i64::try_from(not_after.as_secs()).unwrap_or(i64::MAX));
    }

    /// Notes that every certificate is accepted under `setting`.
    pub fn note_unverified(&self, setting: &str) {
        let labels = SettingLabels {
            setting: setting.to_owned(),
        };
        self.tls_unverified.get_or_create(&labels).set(1);
        self.notices.unverified(setting);
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
            "gRPC calls that have ended, by method and code; a stream counts when it ends",
            self.rpcs.clone(),
        );
        registry.register(
            "evenkeel_rpc_duration_seconds",
            "Time to the answer of gRPC calls, by method; for streams to the head of the answer",
            self.rpc_durations.0.clone(),
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
            "evenkeel_leader_changes",
            "How often this replica has begun to lead",
            self.leader_changes.clone(),
        );
        registry.register(
            "evenkeel_decisions",
            "Decisions published, by verdict, over all targets",
            self.decisions.clone(),
        );
        registry.register(
            "evenkeel_credentials_bad",
            "1 where the files of a setting cannot be used: what was read before stays in use",
            self.credentials_bad.clone(),
        );
        registry.register(
            "evenkeel_certificate_expiry_timestamp_seconds",
            "When the certificate of a setting or the first of a cluster's brokers expires, in seconds \
             since 1970",
            self.certificate_expiries.clone(),
        );
        registry.register(
            "evenkeel_tls_unverified",
            "1 where insecureSkipVerify accepts every certificate",
            self.tls_unverified.clone(),
        );
    }
}
