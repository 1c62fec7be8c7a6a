//! A `prometheus` trigger beside a Kafka trigger: is it the inbound rate?
//!
//! If so it becomes the baseline of evenkeel's trigger. Only a query that plainly counts what is
//! written to a topic is taken: taking a consumption rate for an inbound one would let a group that
//! has stalled look as if nothing came in.

use super::access::Access;
use super::sources::{Files, Parameters, Source, Workload};
use crate::cli::manifests;
use evenkeel_scaler::config::yaml::{Node, Value};

/// What names of metrics say when they count what is written: Kafka's own counter of messages in, and
/// the exporters' log end offsets.
const INBOUND: &[&str] = &[
    "messagesin",
    "messages_in",
    "topic_partition_current_offset",
    "log_end_offset",
    "logendoffset",
    "high_water_mark",
    "highwatermark",
];
/// What they say when they count something else, outside of quoted labels.
const NOT_INBOUND: &[&str] = &["lag", "consumer", "committed"];
/// Keys of the trigger that go into a connection profile.
const OF_A_PROFILE: &[&str] = &[
    "authModes",
    "unsafeSsl",
    "customHeaders",
    "queryParameters",
    "namespace",
    "awsRegion",
];
/// What evenkeel can take over of the trigger besides, or needs not.
const KNOWN: &[&str] = &[
    "serverAddress",
    "query",
    "threshold",
    "activationThreshold",
    "ignoreNullValues",
    "metricName",
    "timeout",
];

/// An inbound rate that evenkeel can ask for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The keys of evenkeel's trigger.
    pub keys: Vec<(String, String)>,
    /// What one replica was given, in records/s.
    pub capacity: Option<String>,
    /// What its server needs of a connection profile.
    pub access: Access,
    /// A key that evenkeel cannot take over; then nothing is asked for.
    pub obstacle: Option<String>,
}

/// The inbound rate that `trigger` asks for; none where it asks for something else.
pub fn read(trigger: &Node, files: &Files, workload: Workload<'_>) -> Option<Rate> {
    if manifests::trigger_type(trigger) != Some("prometheus") {
        return None;
    }
    let metadata = trigger.get("metadata")?;
    let query = metadata.get("query").and_then(Node::text)?;
    if !is_inbound_rate(query) {
        return None;
    }
    let text = |key: &str| match &metadata.get(key)?.value {
        Value::Text(text) | Value::Other(text) => Some(text.trim().to_owned()),
        _ => None,
    };
    let mut parameters = Parameters::default();
    for key in OF_A_PROFILE.iter().chain(&["serverAddress"]) {
        if let Some(text) = text(key) {
            parameters.add(key, Source::Text(text));
        }
    }
    if let Some(reference) = trigger.get("authenticationRef") {
        parameters.follow(reference, files, workload);
    }
    let access = Access::prometheus(&parameters, files);
    let mut keys = metadata.entries().iter().map(|entry| entry.key.as_str());
    let obstacle = keys
        .find(|key| !KNOWN.contains(key) && !OF_A_PROFILE.contains(key))
        .map(ToOwned::to_owned)
        .or_else(|| access.cannot.first().cloned());
    let is_a_replicas = matches!(
        trigger.get("metricType").and_then(Node::text),
        None | Some("AverageValue")
    );
    let keys = match &obstacle {
        Some(_) => Vec::new(),
        None => ["serverAddress", "query", "activationThreshold"]
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), text(key)?)))
            .collect(),
    };
    Some(Rate {
        keys,
        capacity: text("threshold").filter(|_| is_a_replicas),
        access,
        obstacle,
    })
}

/// Whether the query of `trigger` names a topic that is none of `topics`, which are given with commas.
pub fn names_another(trigger: &Node, topics: &str) -> bool {
    const LABEL: &str = "topic=\"";
    let query = trigger
        .get("metadata")
        .and_then(|metadata| metadata.get("query")?.text());
    let named = query.unwrap_or_default().split(LABEL).skip(1);
    let mut named = named.filter_map(|rest| rest.split('"').next());
    named.any(|topic| !topics.split(',').any(|own| own.trim() == topic))
}

fn is_inbound_rate(query: &str) -> bool {
    let query = query.to_ascii_lowercase();
    // Every second part is inside quotes: a topic may be called after its consumer.
    let bare: String = query.split(['"', '\'']).step_by(2).collect();
    // A number of records per second, and nothing computed of it.
    let is_computed = bare.contains(['*', '/', '+', '-', '>', '<', '%'])
        || [" or ", " and ", " unless "]
            .iter()
            .any(|word| bare.contains(word));
    bare.matches("rate(").count() == 1
        && !is_computed
        && INBOUND.iter().any(|word| query.contains(word))
        && !NOT_INBOUND.iter().any(|word| bare.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_to_a_topic_is_an_inbound_rate() {
        for inbound in [
            r#"sum(rate(kafka_server_BrokerTopicMetrics_Count{name="MessagesInPerSec",topic="t"}[1m]))"#,
            r#"sum(irate(kafka_topic_partition_current_offset{topic="consumer-lag"}[2m]))"#,
            r#"sum(rate(kafka_log_Log_Value{name="LogEndOffset"}[1m]))"#,
        ] {
            assert!(is_inbound_rate(inbound), "{inbound}");
        }
        for other in [
            r#"sum(kafka_consumergroup_lag{group="g"})"#,
            r#"sum(rate(kafka_consumergroup_current_offset{group="g"}[1m]))"#,
            r#"sum(rate(http_requests_total{topic="MessagesIn"}[1m])) * on() kafka_consumer_lag"#,
            r#"sum(kafka_topic_partition_current_offset{topic="t"})"#,
            r#"avg(rate(container_cpu_usage_seconds_total[1m]))"#,
            r#"sum(rate(kafka_topic_partition_current_offset{topic="t"}[2m])) * 60"#,
            r#"sum(rate(kafka_topic_partition_current_offset{topic="t"}[2m])) / 60"#,
            r#"sum(rate(kafka_topic_partition_current_offset{topic="t"}[2m])) or vector(0)"#,
            r#"sum(rate(kafka_topic_partition_current_offset[2m])) - sum(rate(kafka_x_current_offset[2m]))"#,
        ] {
            assert!(!is_inbound_rate(other), "{other}");
        }
    }

    #[test]
    fn the_rate_of_another_topic_is_not_this_ones() {
        let trigger = |query: &str| {
            let text = format!("metadata: {{query: '{query}'}}");
            evenkeel_scaler::config::yaml::read(&text)
                .unwrap()
                .remove(0)
        };
        for (query, another) in [
            ("sum(rate(x{topic=\"a\"}[1m]))", false),
            ("sum(rate(x{topic=\"b\"}[1m]))", false),
            ("sum(rate(x{topic=\"c\"}[1m]))", true),
            ("sum(rate(x{topic=~\"c.*\"}[1m]))", false),
            ("sum(rate(x[1m]))", false),
        ] {
            assert_eq!(names_another(&trigger(query), "a, b"), another, "{query}");
        }
    }
}
