//! Trigger metadata: strings in, a checked target out, every error at once.
//!
//! KEDA does not check the metadata of an external scaler, so a typo would otherwise be silent: an
//! unknown key is an error here. What a key takes and its default stand in `options`; this file
//! says which keys go together, as KEDA's own Kafka trigger does, and builds the target.
//!
//! It does not ask Kafka anything: whether the topic exists is found out by observing.

pub mod error;
pub mod fields;
pub mod sources;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::{OffsetReset, Policy, Tuning};

pub use error::{ErrorKind, MetadataError, MetadataErrors};
use fields::{Environment, Fields};
use sources::Asker;

use crate::config::Config;
use crate::control::target::{ClusterRef, TargetKey, TargetSpec};
use crate::observe::{Isolation, Subscription, TopicSelection};

/// How far back the log is asked at a cold start: the slow window over which the engine judges
/// whether the inbound rate has really dropped. With less a restarted scaler would have to wait for
/// that window to fill before it could lower anything.
const HISTORY: Duration = Duration::from_secs(300);
/// Kubernetes' own limit on the length of a name or a namespace.
const MAX_NAME_BYTES: usize = 253;
/// A group's name is a Kafka string; longer than a topic's name it is a mistake.
const MAX_GROUP_BYTES: usize = 255;
/// Two polls have to fit into the staleness that a target bears, or one slow answer makes it stale.
const POLLS_WITHIN_STALENESS: u32 = 2;

/// Reads the metadata of one ScaledObject's trigger, as KEDA hands it over.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(
    namespace: &str,
    name: &str,
    metadata: &HashMap<String, String>,
    config: &Config,
) -> Result<TargetSpec, MetadataErrors> {
    let pairs = sorted(metadata);
    let mut fields = Fields::read(&pairs, Environment::Resolved);
    let draft = draft(&mut fields, namespace, name, Some(config));
    let errors = std::mem::take(&mut fields.errors);
    match draft {
        Some((cluster, subscription, prometheus, policy)) if errors.is_empty() => Ok(TargetSpec {
            key: key(namespace, name, metadata),
            cluster,
            subscription: Arc::new(subscription),
            prometheus,
            policy,
            notes: fields.notes,
        }),
        _ => Err(MetadataErrors(errors)),
    }
}

/// Checks metadata as it stands in a file, where `…FromEnv` values are not known yet; with a
/// configuration also its profiles. The notes say what has no effect.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(
    namespace: &str,
    name: &str,
    metadata: &HashMap<String, String>,
    config: Option<&Config>,
) -> Result<Vec<String>, MetadataErrors> {
    let pairs = sorted(metadata);
    let mut fields = Fields::read(&pairs, Environment::Names);
    // A key whose value is not known yet leaves the draft incomplete, which is no error.
    draft(&mut fields, namespace, name, config);
    if fields.errors.is_empty() {
        Ok(fields.notes)
    } else {
        Err(MetadataErrors(fields.errors))
    }
}

/// Who a target is. Cheap: it is computed on every call.
pub fn key(namespace: &str, name: &str, metadata: &HashMap<String, String>) -> TargetKey {
    TargetKey {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        metadata_hash: metadata_hash(metadata),
    }
}

/// FNV-1a, 64 bits, over the sorted pairs. Stable between processes and versions. Two triggers of
/// one ScaledObject may collide only by intent, and then only their own author is hurt.
pub fn metadata_hash(metadata: &HashMap<String, String>) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    /// Never part of UTF-8, so it keeps keys and values apart.
    const SEPARATOR: u8 = 0xff;

    let mut hash = OFFSET_BASIS;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    for (key, value) in sorted(metadata) {
        key.bytes().for_each(&mut add);
        add(SEPARATOR);
        value.bytes().for_each(&mut add);
        add(SEPARATOR);
    }
    hash
}

fn sorted(metadata: &HashMap<String, String>) -> BTreeMap<&str, &str> {
    metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

type Draft = (
    ClusterRef,
    Subscription,
    Option<crate::control::target::PrometheusRef>,
    Policy,
);

/// Everything but the key; none where a part is missing. What is wrong is noted in `fields`.
fn draft(
    fields: &mut Fields<'_>,
    namespace: &str,
    name: &str,
    config: Option<&Config>,
) -> Option<Draft> {
    identity(fields, "namespace", namespace);
    identity(fields, "name", name);
    let consumer_group = consumer_group(fields);
    let topics = topics(fields);
    let partitions = fields.partitions();
    let isolation = if fields.chose("isolationLevel", "read_committed") {
        Isolation::ReadCommitted
    } else {
        Isolation::ReadUncommitted
    };
    let asker = Asker {
        namespace,
        consumer_group: consumer_group.as_deref(),
        topics: &topics,
    };
    let cluster = sources::cluster(fields, config, asker);
    let prometheus = sources::prometheus(fields, config, asker);
    let policy = policy(fields, config);
    combinations(fields, &policy, config);
    let subscription = Subscription {
        consumer_group: consumer_group?,
        topics,
        partitions,
        isolation,
        history: HISTORY,
    };
    Some((cluster?, subscription, prometheus, policy))
}

/// Refuses what is no Kubernetes name: it becomes a label and part of a path.
fn identity(fields: &mut Fields<'_>, what: &str, text: &str) {
    let right = (1..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-')
        });
    if !right {
        fields.errors.push(MetadataError::new(
            ErrorKind::Invalid,
            format!("ScaledObject {what}"),
            "is no Kubernetes name",
        ));
    }
}

fn consumer_group(fields: &mut Fields<'_>) -> Option<String> {
    if !fields.is_given("consumerGroup") {
        fields.errors.push(MetadataError::new(
            ErrorKind::Missing,
            "consumerGroup",
            "missing: the consumer group whose lag counts",
        ));
        return None;
    }
    let group = fields.text("consumerGroup")?;
    if group.len() > MAX_GROUP_BYTES || group.chars().any(char::is_control) {
        fields.invalid(
            "consumerGroup",
            format!("has to be at most {MAX_GROUP_BYTES} bytes without control characters"),
        );
        return None;
    }
    Some(group.to_owned())
}

fn topics(fields: &mut Fields<'_>) -> TopicSelection {
    let named = fields.topics();
    let pattern = fields.pattern();
    if fields.is_given("topic") && fields.is_given("topicPattern") {
        fields.errors.push(MetadataError::new(
            ErrorKind::Combination,
            "topicPattern",
            "excludes topic: keep one of them",
        ));
    }
    match (named, pattern) {
        (Some(names), _) => TopicSelection::Named(names),
        (None, Some(pattern)) => TopicSelection::Pattern(pattern),
        (None, None) => TopicSelection::OfGroup,
    }
}

/// The policy. Every default comes from the option table, so the fallbacks below are never reached.
fn policy(fields: &mut Fields<'_>, config: Option<&Config>) -> Policy {
    let offset_reset = if fields.chose("offsetResetPolicy", "earliest") {
        OffsetReset::Earliest
    } else {
        OffsetReset::Latest
    };
    Policy {
        min_replicas: fields.replicas("minReplicas").unwrap_or_default(),
        max_replicas: fields.replicas("maxReplicas"),
        allow_idle_consumers: fields.boolean("allowIdleConsumers"),
        limit_to_partitions_with_lag: fields.boolean("limitToPartitionsWithLag"),
        exclude_persistent_lag: fields.boolean("excludePersistentLag"),
        offset_reset,
        scale_to_zero_on_invalid_offset: fields.boolean("scaleToZeroOnInvalidOffset"),
        lag_threshold_records: fields.integer("lagThreshold").unwrap_or_default(),
        activation_lag_records: fields.integer("activationLagThreshold").unwrap_or_default(),
        activation_records_per_second: fields.decimal("activationThreshold").unwrap_or_default(),
        capacity_per_replica: fields.decimal("capacityPerReplica"),
        target_utilization: fields.decimal("targetUtilization").unwrap_or_default(),
        catch_up: fields.seconds("catchUpSeconds").unwrap_or_default(),
        target_lag: fields.seconds("targetLagSeconds"),
        scale_down_window: fields
            .seconds("scaleDownStabilizationWindowSeconds")
            .unwrap_or_default(),
        scale_up_window: fields
            .seconds("scaleUpStabilizationWindowSeconds")
            .unwrap_or_default(),
        rebalance_hold: fields.seconds("rebalanceHoldSeconds").unwrap_or_default(),
        startup: fields.seconds("startupSeconds").unwrap_or_default(),
        max_staleness: fields.seconds("maxStalenessSeconds").unwrap_or_default(),
        poll_interval: config.map_or(Duration::from_secs(2), |config| config.poll.interval),
        tuning: Tuning::default(),
    }
}

/// Which keys go together.
fn combinations(fields: &mut Fields<'_>, policy: &Policy, config: Option<&Config>) {
    let mut wrong = |key: &str, why: String| {
        let error = fields.about(ErrorKind::Combination, key, why);
        fields.errors.push(error);
    };
    if policy.limit_to_partitions_with_lag && policy.allow_idle_consumers {
        wrong(
            "limitToPartitionsWithLag",
            "excludes allowIdleConsumers: one allows more replicas than partitions, the other \
             fewer"
                .to_owned(),
        );
    }
    if let Some(max) = policy.max_replicas
        && policy.min_replicas > max
    {
        wrong("minReplicas", format!("lies above maxReplicas {max}"));
    }
    if let Some(config) = config
        && policy.max_staleness < config.poll.interval * POLLS_WITHIN_STALENESS
    {
        wrong(
            "maxStalenessSeconds",
            format!(
                "has to be at least {} s, twice the polling interval",
                (config.poll.interval * POLLS_WITHIN_STALENESS).as_secs_f64()
            ),
        );
    }
    let of_group = !fields.is_given("topic") && !fields.is_given("topicPattern");
    if of_group {
        for (key, used) in [
            (
                "limitToPartitionsWithLag",
                policy.limit_to_partitions_with_lag,
            ),
            (
                "partitionLimitation",
                fields.is_given("partitionLimitation"),
            ),
        ] {
            if used {
                let error =
                    fields.about(ErrorKind::Combination, key, "needs topic or topicPattern");
                fields.errors.push(error);
            }
        }
    }
    // The table's ranges cover all of this; if they ever do not, the user hears of it here and not
    // from a decision that makes no sense.
    if fields.errors.is_empty() {
        for error in policy.validate() {
            fields.errors.push(MetadataError::new(
                ErrorKind::Invalid,
                "metadata",
                error.to_string(),
            ));
        }
    }
}

#[cfg(test)]
mod tests;
