//! One Kafka trigger of KEDA's, key by key, as evenkeel's trigger.
//!
//! The table of trigger metadata knows every key: what evenkeel reads stays where it is, what has no effect goes,
//! what is a credential goes into a profile. What nobody knows stays, so that the check at the end
//! complains about it with its line.

use super::edit::map;
use super::remarks::Remarks;
use super::sources::{Parameters, Source, Workload};
use super::{Context, rate::Rate};
use crate::cli::manifests;
use evenkeel_scaler::config::yaml::{Entry, Node, Value};
use evenkeel_scaler::schema::trigger::{FROM_ENV, find};
use evenkeel_scaler::schema::{Kind, boolean};

/// What the ScaledObject around it brings along.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings {
    /// `minReplicaCount`, where it is above 0.
    pub min_replicas: Option<u64>,
    /// `maxReplicaCount`, where it is given.
    pub max_replicas: Option<u64>,
    /// The window for coming down, where it is not the default, in seconds.
    pub window_seconds: Option<u64>,
}

/// The value of `key`, under its own name or from the environment: the key as written, and the text.
pub fn given<'n>(trigger: &'n Node, key: &str) -> Option<(&'n str, &'n str)> {
    let metadata = trigger.get("metadata")?;
    let from_env = format!("{key}{FROM_ENV}");
    metadata
        .entries()
        .iter()
        .filter(|entry| entry.key == key || entry.key == from_env)
        .find_map(|entry| Some((entry.key.as_str(), entry.node.text()?)))
        .filter(|(_, text)| !text.is_empty())
}

/// Whether the text says true, as Go reads it.
fn is_true(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) | Value::Other(text)
        if boolean(text) == Some(true))
}

/// Turns `trigger` into evenkeel's; what it had for its connection.
pub fn convert(
    trigger: &mut Node,
    context: &Context<'_>,
    workload: Workload<'_>,
    remarks: &mut Remarks<'_>,
) -> Parameters {
    let mut parameters = Parameters::default();
    let was_experimental = manifests::trigger_type(trigger) == Some("apache-kafka");
    let line = trigger.line;
    trigger.set("type", Value::Text("external-push".to_owned()));
    if let Some(metric_type) = trigger.get("metricType")
        && metric_type.text() != Some("AverageValue")
    {
        remarks.note(
            metric_type.line,
            "metricType is AverageValue now: the value is the replica count itself",
        );
        trigger.set("metricType", Value::Text("AverageValue".to_owned()));
    }
    if let Some(cached) = trigger.get("useCachedMetrics").cloned() {
        if is_true(&cached) {
            remarks.note(
                cached.line,
                "useCachedMetrics is gone: evenkeel answers from memory, and a cache in KEDA would \
                 delay every step by up to pollingInterval",
            );
        }
        trigger.remove("useCachedMetrics");
    }
    if let Some(metadata) = trigger.get_mut("metadata") {
        keys(metadata, context, workload, &mut parameters, remarks);
        topics(metadata, was_experimental, line, remarks);
    }
    if let Some(reference) = trigger.get("authenticationRef").cloned() {
        parameters.follow(&reference, context.files, workload);
        trigger.remove("authenticationRef");
        remarks.note(
            reference.line,
            "authenticationRef is gone: KEDA hands an external scaler no credentials, they live in \
             evenkeel's connection profile",
        );
    }
    parameters
}

/// What becomes of each key.
fn keys(
    metadata: &mut Node,
    context: &Context<'_>,
    workload: Workload<'_>,
    parameters: &mut Parameters,
    remarks: &mut Remarks<'_>,
) {
    for Entry { key, line, node } in metadata.entries().to_vec() {
        let Some((setting, is_from_env)) = find(&key) else {
            continue;
        };
        let text = match &node.value {
            Value::Text(text) | Value::Other(text) => text.as_str(),
            _ => "",
        };
        match setting.kind {
            Kind::Ignored => {
                remarks.note(
                    line,
                    format!(
                        "{key} is gone, it would have no effect: {}",
                        setting.meaning
                    ),
                );
                metadata.remove(&key);
            }
            Kind::Credential { .. } => {
                if !text.is_empty() {
                    let source = if is_from_env {
                        context.files.variable(workload, None, text)
                    } else {
                        Source::Text(text.to_owned())
                    };
                    parameters.add(setting.key, source);
                }
                metadata.remove(&key);
            }
            // `unsafeSsl`: in KEDA's Kafka trigger it is about Kafka's certificate, here about evenkeel's.
            Kind::Passed => {
                parameters.add(setting.key, Source::Text(text.to_owned()));
                metadata.remove(&key);
            }
            _ => {
                if let Value::Other(text) = &node.value {
                    remarks.note(
                        line,
                        format!("{key}: {text} is in quotes now: Kubernetes takes strings only"),
                    );
                    metadata.set(&key, Value::Text(text.clone()));
                }
            }
        }
    }
}

/// What depends on whether the trigger names its topic.
fn topics(metadata: &mut Node, was_experimental: bool, line: u64, remarks: &mut Remarks<'_>) {
    let is_named = ["topic", "topicFromEnv"].iter().any(|key| {
        metadata
            .get(key)
            .and_then(Node::text)
            .is_some_and(|text| !text.is_empty())
    });
    if is_named {
        return;
    }
    if let Some(limitation) = metadata.get("partitionLimitation").cloned() {
        remarks.note(
            limitation.line,
            "partitionLimitation is gone: KEDA ignores it where no topic is named",
        );
        metadata.remove("partitionLimitation");
    }
    let counted = if was_experimental {
        "every topic of the cluster, whoever reads it"
    } else {
        "what the group has committed to, or every topic where it has committed to none"
    };
    remarks.note(
        line,
        format!(
            "no topic is named: KEDA counted {counted}; evenkeel counts the topics that the group \
             has committed to or been assigned"
        ),
    );
}

/// Gives a converted trigger what comes from around it.
pub fn complete(
    trigger: &mut Node,
    context: &Context<'_>,
    surroundings: Surroundings,
    rate: Option<&Rate>,
    remarks: &mut Remarks<'_>,
) {
    let line = trigger.line;
    let Some(metadata) = trigger.get_mut("metadata") else {
        return;
    };
    first(metadata, "scalerAddress", context.scaler_address);
    if let Some(rate) = rate {
        for (key, text) in &rate.keys {
            metadata.set(key, Value::Text(text.clone()));
        }
    }
    let from_rate = rate.and_then(|rate| rate.capacity.as_deref());
    if let Some(capacity) = context.capacity.or(from_rate) {
        metadata.set("capacityPerReplica", Value::Text(capacity.to_owned()));
        if let Some(threshold) = metadata.get("lagThreshold").cloned() {
            remarks.note(
                threshold.line,
                "lagThreshold is gone: the inbound rate and the capacity of a replica size it, and a \
                 backlog is worked off within catchUpSeconds (120)",
            );
            metadata.remove("lagThreshold");
        }
    } else {
        remarks.note(
            line,
            "capacityPerReplica is not given: evenkeel learns it, and until then sizes by \
             lagThreshold and lowers nothing; --capacity-per-replica sets it",
        );
    }
    let numbers = [
        (
            "scaleDownStabilizationWindowSeconds",
            surroundings.window_seconds,
        ),
        ("minReplicas", surroundings.min_replicas),
        ("maxReplicas", surroundings.max_replicas),
    ];
    for (key, number) in numbers {
        if let Some(number) = number {
            metadata.set(key, Value::Text(number.to_string()));
        }
    }
}

/// Names a profile in place of the addresses.
pub fn name_profile(trigger: &mut Node, name: &str) {
    if let Some(metadata) = trigger.get_mut("metadata") {
        metadata.remove("bootstrapServers");
        metadata.remove("bootstrapServersFromEnv");
        let Value::Map(entries) = &mut metadata.value else {
            return;
        };
        let node = Node {
            value: Value::Text(name.to_owned()),
            line: 0,
        };
        let at = entries.len().min(1);
        entries.insert(
            at,
            Entry {
                key: "cluster".to_owned(),
                line: 0,
                node,
            },
        );
    }
}

/// Puts a key before all others.
fn first(metadata: &mut Node, key: &str, text: &str) {
    let value = Value::Text(text.to_owned());
    if let (Value::Map(entries), Value::Map(new)) = (&mut metadata.value, map([(key, value)])) {
        entries.retain(|entry| entry.key != key);
        entries.splice(0..0, new);
    }
}
