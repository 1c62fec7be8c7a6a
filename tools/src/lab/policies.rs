//! The ScaledObjects that compete: evenkeel's, and the two rules of KEDA's own triggers.
//!
//! The published rule is the blueprint's: `kafka` with a `lagThreshold`. Lag and rate is the same with
//! the inbound rate beside it, as the blueprint's article advises. evenkeel's is what `evenkeel migrate`
//! makes of the published rule when it is told what a replica can do, applied as it comes out: what is
//! compared is what a user of the blueprint gets. Once more with two consumers in each pod, where
//! nothing but what Kubernetes says tells members from replicas; and with a calendar, which a Prometheus
//! tells of earlier days.

use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::LabError;
use super::cluster::fed;
use super::scenario::{Behavior, Scenario};
use crate::demo::process;
use crate::demo::settings::CAPACITY_PER_REPLICA;

/// The rate that lag and rate gives a replica: 80 % of what it can do.
const RATE_PER_REPLICA: u32 = 80;

/// Two of what follows; a signal to end goes to all three.
const TWO_CONSUMERS: &str = r#"trap : TERM; "$0" "$@" & "$0" "$@" & wait; wait"#;

/// The name of the Deployment and of its ScaledObject.
pub const NAME: &str = "trade-workers";

/// Who decides.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// evenkeel, moved over from the published rule.
    #[default]
    Evenkeel,
    /// The same, of pods that are two consumers of half the capacity each.
    TwoAPod,
    /// The same as the first with a calendar, and a Prometheus that knows earlier days.
    Calendar,
    /// KEDA's `kafka` trigger alone.
    Published,
    /// KEDA's `kafka` trigger and the inbound rate out of Prometheus.
    LagAndRate,
}

/// Where a policy finds everything.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// Kafka.
    pub bootstrap_servers: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The consumer group.
    pub group: &'a str,
    /// Prometheus, where a policy needs it.
    pub prometheus: Option<&'a str>,
    /// The program `evenkeel`.
    pub evenkeel: &'a Path,
    /// Where it answers KEDA.
    pub scaler: &'a str,
}

// === impl Policy ===

impl Policy {
    /// As it is called in options, files and namespaces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Evenkeel => "evenkeel",
            Self::TwoAPod => "two-a-pod",
            Self::Calendar => "calendar",
            Self::Published => "published",
            Self::LagAndRate => "lag-and-rate",
        }
    }

    /// As it is called in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Evenkeel => "evenkeel",
            Self::TwoAPod => "evenkeel, two consumers a pod",
            Self::Calendar => "evenkeel, with a calendar",
            Self::Published => "the published rule (lag)",
            Self::LagAndRate => "lag and rate",
        }
    }

    /// Whether evenkeel decides.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Evenkeel | Self::TwoAPod | Self::Calendar)
    }

    /// Whether it asks Prometheus.
    pub fn asks_prometheus(self) -> bool {
        matches!(self, Self::Calendar | Self::LagAndRate)
    }

    /// Its topic.
    pub fn topic(self) -> String {
        format!("trade-tx-{}", self.name())
    }

    /// Consumers in each pod.
    pub fn consumers_a_pod(self) -> u32 {
        if self == Self::TwoAPod { 2 } else { 1 }
    }

    /// What a pod runs, of a consumer and its arguments.
    pub fn pod_command(self, consumer: String, arguments: Vec<String>) -> Vec<String> {
        let shell = ["/bin/sh", "-c", TWO_CONSUMERS].map(str::to_owned);
        let shell = shell.into_iter().filter(|_| self == Self::TwoAPod);
        shell.chain([consumer]).chain(arguments).collect()
    }

    /// Its ScaledObject for `scenario`, as `kubectl apply` takes it.
    ///
    /// # Errors
    /// When `evenkeel migrate` fails.
    pub async fn scaled_object(
        self,
        scenario: &Scenario,
        place: &Place<'_>,
    ) -> Result<String, LabError> {
        let mut triggers = vec![lag(scenario, place)];
        if self == Self::LagAndRate {
            triggers.push(rate(place));
        }
        let keda = scaled_object(scenario, place, triggers);
        let keda = serde_json::to_string_pretty(&keda).unwrap_or_default();
        if !self.is_ours() {
            return Ok(keda);
        }
        let mut migrate = process::bound_command(place.evenkeel);
        migrate
            .args(["migrate", "--scaler-address", place.scaler])
            .args(["--capacity-per-replica", &CAPACITY_PER_REPLICA.to_string()])
            .arg("-");
        let migrated = fed("evenkeel migrate", migrate, &keda).await?;
        if self != Self::Calendar {
            return Ok(migrated);
        }
        let mut ours: Value = serde_json::from_str(&migrated).unwrap_or_default();
        let metadata = ours.pointer_mut("/spec/triggers/0/metadata");
        if let Some(metadata) = metadata.and_then(Value::as_object_mut) {
            metadata.insert("calendar".to_owned(), json!("on"));
            metadata.insert("serverAddress".to_owned(), json!(place.prometheus));
            metadata.insert("query".to_owned(), json!(query(place)));
        }
        Ok(ours.to_string())
    }
}

fn scaled_object(scenario: &Scenario, place: &Place, triggers: Vec<Value>) -> Value {
    let mut scaled_object = json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": NAME, "namespace": place.namespace},
        "spec": {
            "scaleTargetRef": {"name": NAME},
            "pollingInterval": 30,
            "cooldownPeriod": scenario.cooldown.as_secs(),
            "minReplicaCount": scenario.min_replicas,
            "maxReplicaCount": scenario.max_replicas,
            "triggers": triggers,
        },
    });
    let spec = scaled_object.pointer_mut("/spec");
    if scenario.behavior == Behavior::Published
        && let Some(spec) = spec.and_then(Value::as_object_mut)
    {
        spec.insert("advanced".to_owned(), published_behavior());
    }
    scaled_object
}

fn published_behavior() -> Value {
    json!({"horizontalPodAutoscalerConfig": {"behavior": {
        "scaleUp": {
            "stabilizationWindowSeconds": 60,
            "tolerance": "0.1",
            "selectPolicy": "Min",
            "policies": [
                {"type": "Pods", "value": 10, "periodSeconds": 60},
                {"type": "Percent", "value": 500, "periodSeconds": 60},
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 120,
            "tolerance": "0.1",
            "policies": [{"type": "Percent", "value": 50, "periodSeconds": 120}],
        },
    }}})
}

fn lag(scenario: &Scenario, place: &Place) -> Value {
    json!({
        "type": "kafka",
        "metricType": "AverageValue",
        "metadata": {
            "bootstrapServers": place.bootstrap_servers,
            "consumerGroup": place.group,
            "topic": place.topic,
            "lagThreshold": scenario.lag_threshold_records.to_string(),
        },
    })
}

/// The inbound rate, as the broker counts it.
fn query(place: &Place) -> String {
    format!("sum(rate({}[1m]))", written(place.topic))
}

/// The broker's own counter of the records that were written to a topic.
pub(super) fn written(topic: &str) -> String {
    format!("kafka_server_BrokerTopicMetrics_Count{{name=\"MessagesInPerSec\",topic=\"{topic}\"}}")
}

fn rate(place: &Place) -> Value {
    json!({
        "type": "prometheus",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": place.prometheus.unwrap_or_default(),
            "query": query(place),
            "threshold": RATE_PER_REPLICA.to_string(),
        },
    })
}
