//! Trigger metadata: strings in, a checked target out, every error at once.
//!
//! KEDA does not check the metadata of an external scaler, so a typo would otherwise be silent: an
//! unknown key is an error here (`given`). What a key takes and its default stand in
//! `schema::trigger`; this file says which keys go together, as KEDA's own Kafka trigger does, and
//! builds the target.
//!
//! It does not ask Kafka anything: whether the topic exists is found out by observing.

mod given;
mod sources;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::{OffsetReset, Policy, Tuning};

use given::Environment;
use sources::Asker;

use crate::calendar::{Calendar, LocalTime};
use crate::config::Config;
use crate::control::target::{ClusterRef, PrometheusRef, TargetKey, TargetSpec, fnv_1a};
use crate::observe::{Isolation, PartitionSelection, Subscription, TopicSelection};
use crate::schema::process::SETTINGS;
use crate::schema::{Errors, Place, Values};

/// How far back the log is asked at a cold start: the slow window over which the engine judges
/// whether the inbound rate has really dropped. With less a restarted scaler would have to wait for
/// that window to fill before it could lower anything.
const HISTORY: Duration = Duration::from_secs(300);
/// Kubernetes' own limit on the length of a name or a namespace.
const MAX_NAME_BYTES: usize = 253;
/// A group's name is a Kafka string; longer than a topic's name it is a mistake.
const MAX_GROUP_BYTES: usize = 255;
/// Said where no topic is named: KEDA drops a `topicFromEnv` that it cannot resolve without a word.
const ALL_TOPICS: &str = "topic is not given, or KEDA could not resolve topicFromEnv: all topics that the group has \
                          committed to or been assigned count.";
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
) -> Result<TargetSpec, Errors> {
    let pairs = sorted(metadata);
    let (mut values, mut notes) = given::read(&pairs, Environment::Resolved);
    let draft = draft(&mut values, namespace, name, Some(config));
    match draft {
        Some(draft) if values.errors.is_empty() => {
            if matches!(draft.subscription.topics, TopicSelection::OfGroup) {
                notes.push(ALL_TOPICS.to_owned());
            }
            Ok(TargetSpec {
                key: key(namespace, name, metadata),
                cluster: draft.cluster,
                subscription: Arc::new(draft.subscription),
                prometheus: draft.prometheus,
                policy: draft.policy,
                calendar: draft.calendar,
                local_time: draft.local_time,
                notes,
            })
        }
        _ => Err(all(values)),
    }
}

/// Checks metadata as it stands in a file, where `…FromEnv` values are not known yet; with a
/// configuration also its profiles. Returns where Kafka and Prometheus are, which topics are read, how it is
/// decided and what is known ahead; none where one of those values would tell.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(
    namespace: &str,
    name: &str,
    metadata: &HashMap<String, String>,
    config: Option<&Config>,
) -> Result<Option<Draft>, Errors> {
    let pairs = sorted(metadata);
    let (mut values, _notes) = given::read(&pairs, Environment::Names);
    // A key whose value is not known yet leaves the draft incomplete, which is no error.
    let draft = draft(&mut values, namespace, name, config);
    if values.errors.is_empty() {
        Ok(draft)
    } else {
        Err(all(values))
    }
}

fn all(values: Values) -> Errors {
    Errors {
        subject: "the trigger metadata".to_owned(),
        errors: values.errors,
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
    /// Never part of UTF-8, so it keeps keys and values apart.
    const SEPARATOR: u8 = 0xff;

    let texts = sorted(metadata)
        .into_iter()
        .flat_map(|(key, value)| [key, value]);
    fnv_1a(texts.flat_map(|text| text.bytes().chain([SEPARATOR])))
}

fn sorted(metadata: &HashMap<String, String>) -> BTreeMap<&str, &str> {
    metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// What metadata lead to.
#[derive(Debug)]
pub struct Draft {
    /// Where Kafka is.
    pub cluster: ClusterRef,
    /// What is read of it.
    pub subscription: Subscription,
    /// Where the inbound rate is asked for, if anywhere.
    pub prometheus: Option<PrometheusRef>,
    /// How it is decided.
    pub policy: Policy,
    /// What is known to come.
    pub calendar: Calendar,
    /// The clocks by which days recur.
    pub local_time: LocalTime,
}

/// Everything but the key; none where a part is missing. What is wrong is noted in `values`.
fn draft(
    values: &mut Values,
    namespace: &str,
    name: &str,
    config: Option<&Config>,
) -> Option<Draft> {
    identity(values, "namespace", namespace);
    identity(values, "name", name);
    let consumer_group = consumer_group(values);
    let topics = topics(values);
    let partitions = values.partitions("partitionLimitation");
    let isolation = if values.chose("isolationLevel", "read_committed") {
        Isolation::ReadCommitted
    } else {
        Isolation::ReadUncommitted
    };
    let asker = Asker {
        namespace,
        consumer_group: consumer_group.as_deref(),
        topics: &topics,
    };
    let cluster = sources::cluster(values, config, asker);
    let prometheus = sources::prometheus(values, config, asker);
    let policy = policy(values, config);
    combinations(values, &policy, config);
    let calendar = calendar(values);
    let local_time = local_time(values);
    let subscription = Subscription {
        consumer_group: consumer_group?,
        topics,
        partitions: partitions.map(PartitionSelection),
        isolation,
        history: HISTORY,
    };
    Some(Draft {
        cluster: cluster?,
        subscription,
        prometheus,
        policy,
        calendar,
        local_time,
    })
}

/// Refuses what is no Kubernetes name: it becomes a label and part of a path.
fn identity(values: &mut Values, what: &str, text: &str) {
    let right = (1..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-')
        });
    if !right {
        values.wrong(&format!("ScaledObject {what}"), "is no Kubernetes name");
    }
}

fn consumer_group(values: &mut Values) -> Option<String> {
    let group = values.text("consumerGroup")?;
    if group.len() > MAX_GROUP_BYTES || group.chars().any(char::is_control) {
        let why = format!("has to be at most {MAX_GROUP_BYTES} bytes without control characters");
        values.wrong("consumerGroup", why);
        return None;
    }
    Some(group)
}

fn topics(values: &mut Values) -> TopicSelection {
    let named = values.topics("topic");
    let pattern = values.pattern("topicPattern");
    if values.is_given("topic") && values.is_given("topicPattern") {
        values.wrong(
            "topicPattern",
            "cannot be used with topic: keep one of them",
        );
    }
    match (named, pattern) {
        (Some(names), _) => TopicSelection::Named(names),
        (None, Some(pattern)) => TopicSelection::Pattern(pattern),
        (None, None) => TopicSelection::OfGroup,
    }
}

/// The policy. Every default comes from the table, so the fallbacks below are never reached.
fn policy(values: &mut Values, config: Option<&Config>) -> Policy {
    let offset_reset = if values.chose("offsetResetPolicy", "earliest") {
        OffsetReset::Earliest
    } else {
        OffsetReset::Latest
    };
    let poll_interval = match config {
        Some(config) => config.poll.interval,
        None => Values::new(SETTINGS, "", Place::Unknown)
            .duration("poll.interval")
            .unwrap_or_default(),
    };
    Policy {
        min_replicas: values.integer("minReplicas").unwrap_or_default(),
        max_replicas: values.integer("maxReplicas"),
        allow_idle_consumers: values.boolean("allowIdleConsumers"),
        limit_to_partitions_with_lag: values.boolean("limitToPartitionsWithLag"),
        exclude_persistent_lag: values.boolean("excludePersistentLag"),
        offset_reset,
        scale_to_zero_on_invalid_offset: values.boolean("scaleToZeroOnInvalidOffset"),
        read_committed: values.chose("isolationLevel", "read_committed"),
        lag_threshold_records: values.integer("lagThreshold").unwrap_or_default(),
        activation_lag_records: values.integer("activationLagThreshold").unwrap_or_default(),
        activation_records_per_second: values.decimal("activationThreshold"),
        capacity_per_replica: values.decimal("capacityPerReplica"),
        target_utilization: values.decimal("targetUtilization").unwrap_or_default(),
        catch_up: values.seconds("catchUpSeconds").unwrap_or_default(),
        target_lag: values.seconds("targetLagSeconds"),
        scale_down_window: values
            .seconds("scaleDownStabilizationWindowSeconds")
            .unwrap_or_default(),
        scale_up_window: values
            .seconds("scaleUpStabilizationWindowSeconds")
            .unwrap_or_default(),
        rebalance_hold: values.seconds("rebalanceHoldSeconds").unwrap_or_default(),
        startup: values.seconds("startupSeconds").unwrap_or_default(),
        max_staleness: values.seconds("maxStalenessSeconds").unwrap_or_default(),
        poll_interval,
        learns_calendar: values.chose("calendar", "on"),
        calendar_max_replicas: values.integer("calendarMaxReplicas"),
        tuning: Tuning::default(),
    }
}

/// What is known ahead. Each error says which event it is about, so the whole is not repeated.
fn calendar(values: &mut Values) -> Calendar {
    let Some(text) = values.text("calendarEvents") else {
        return Calendar::default();
    };
    Calendar::read(&text).unwrap_or_else(|errors| {
        for why in errors {
            let mut error = values.about("calendarEvents", why);
            error.value = None;
            values.errors.push(error);
        }
        Calendar::default()
    })
}

/// The clocks by which days recur.
fn local_time(values: &mut Values) -> LocalTime {
    let Some(name) = values.text("calendarTimeZone") else {
        return LocalTime::default();
    };
    LocalTime::read(&name).unwrap_or_else(|why| {
        values.wrong("calendarTimeZone", why);
        LocalTime::default()
    })
}

/// Which keys go together.
fn combinations(values: &mut Values, policy: &Policy, config: Option<&Config>) {
    if policy.limit_to_partitions_with_lag && policy.allow_idle_consumers {
        let why = "cannot be used with allowIdleConsumers: one allows more replicas than partitions, the other \
                   fewer";
        values.wrong("limitToPartitionsWithLag", why);
    }
    if let Some(max) = policy.max_replicas
        && policy.min_replicas > max
    {
        values.wrong("minReplicas", format!("lies above maxReplicas {max}"));
    }
    if let Some(config) = config
        && policy.max_staleness < config.poll.interval * POLLS_WITHIN_STALENESS
    {
        let least = (config.poll.interval * POLLS_WITHIN_STALENESS).as_secs_f64();
        let why = format!("has to be at least {least} s, twice the polling interval");
        values.wrong("maxStalenessSeconds", why);
    }
    if !values.is_given("topic") && !values.is_given("topicPattern") {
        let limits = policy.limit_to_partitions_with_lag;
        let selects = values.is_given("partitionLimitation");
        for (key, is_used) in [
            ("limitToPartitionsWithLag", limits),
            ("partitionLimitation", selects),
        ] {
            if is_used {
                values.wrong(key, "needs topic or topicPattern");
            }
        }
    }
    // The table's ranges cover all of this; if they ever do not, the user hears of it here and not
    // from a decision that makes no sense.
    if values.errors.is_empty() {
        for error in policy.validate() {
            values.wrong("metadata", error.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
