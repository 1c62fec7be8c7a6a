//! What the demo's ScaledObject, HPA and consumers are set to, and how that is said to people.
//!
//! One place, so that the sentence in the closing table and the numbers that were used cannot part.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use evenkeel_sim::hpa::{Behavior, DEFAULT_TOLERANCE, Rules, ToleranceRule};

use super::programs::ScalerProcess;
use super::{Options, PolicyChoice};

/// What one consumer can do: batches of 100 records that take a second each, as published.
pub const CAPACITY_PER_REPLICA: u32 = 100;

// === impl PolicyChoice ===

impl PolicyChoice {
    pub(super) fn label(self) -> String {
        match self {
            Self::Evenkeel => "evenkeel".to_owned(),
            Self::KedaLag { threshold_records } => {
                format!("keda-lag (lagThreshold {threshold_records})")
            }
        }
    }
}

/// The embedded broker rebalances faster than any in production; what is shown here should not. And it
/// is never killed here, so it may miss heartbeats on a busy machine: a single broker that is fenced
/// answers that there is no broker, and librdkafka 2.12 then forgets it, at times for ever.
pub fn timing_of_a_cluster() -> Vec<(String, String)> {
    [
        ("group.initial.rebalance.delay.ms", "3000"),
        ("group.consumer.min.heartbeat.interval.ms", "5000"),
        ("group.consumer.heartbeat.interval.ms", "5000"),
        ("group.consumer.min.session.timeout.ms", "45000"),
        ("group.consumer.session.timeout.ms", "45000"),
        ("broker.session.timeout.ms", "60000"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec()
}

/// The reference consumer's, for one that can do `capacity` records/s.
pub fn consumer_arguments(
    group_protocol: &str,
    bootstrap_servers: &str,
    topic: &str,
    group: &str,
    capacity: u32,
    database_url: Option<&str>,
) -> Vec<String> {
    let sink: &[&str] = match database_url {
        Some(url) => &[
            "--sink",
            "postgres",
            "--create-tables",
            "--database-url",
            url,
        ],
        None => &["--sink", "simulate"],
    };
    let arguments = [
        "--bootstrap-servers",
        bootstrap_servers,
        "--topic",
        topic,
        "--group",
        group,
        "--group-protocol",
        group_protocol,
        "--batch-size",
        &capacity.to_string(),
        "--batch-processing-time",
        "1",
        "--metrics-listen",
        "none",
        "--report-json",
    ]
    .map(str::to_owned);
    arguments
        .into_iter()
        .chain(sink.iter().map(|word| (*word).to_owned()))
        .collect()
}

/// The trigger of the demo's ScaledObject.
pub(super) fn metadata(options: &Options, topic: &str, group: &str) -> HashMap<String, String> {
    let window = options.scale_down_window.as_secs().to_string();
    let capacity = CAPACITY_PER_REPLICA.to_string();
    let startup = options.pod_start.as_secs() + 15;
    let own = [
        ("cluster", "demo"),
        ("topic", topic),
        ("consumerGroup", group),
        ("offsetResetPolicy", "earliest"),
        ("capacityPerReplica", &capacity),
        ("scaleDownStabilizationWindowSeconds", &window),
        ("startupSeconds", &startup.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    own.into_iter()
        .chain(options.metadata.iter().cloned())
        .collect()
}

pub(super) fn behavior(options: &Options) -> Behavior {
    let down_window = match options.policy {
        // evenkeel has its own window; a second one would only add to it.
        PolicyChoice::Evenkeel => Duration::ZERO,
        PolicyChoice::KedaLag { .. } => options.scale_down_window,
    };
    let (up, down) = if options.published_hpa {
        (Rules::blueprint_up(), Rules::blueprint_down())
    } else {
        (
            Rules::unlimited(Duration::ZERO, DEFAULT_TOLERANCE),
            Rules::unlimited(down_window, DEFAULT_TOLERANCE),
        )
    };
    Behavior {
        min_replicas: 1,
        max_replicas: options.partitions,
        up,
        down,
        tolerance_rule: ToleranceRule::Between,
    }
}

pub(super) fn behavior_in_words(options: &Options) -> String {
    let window = options.scale_down_window.as_secs();
    let rules = match (options.published_hpa, options.policy) {
        (true, _) => "the blueprint's policies (up 10 pods or 500 % a minute after 60 s, down \
                      50 % in 120 s after 120 s)"
            .to_owned(),
        (false, PolicyChoice::Evenkeel) => {
            format!("down at once by the HPA, after {window} s by evenkeel's own window")
        }
        (false, PolicyChoice::KedaLag { .. }) => {
            format!("up at once, down after {window} s of the HPA's window")
        }
    };
    format!(
        "poll 30 s, sync 15 s, tolerance {DEFAULT_TOLERANCE}, {rules}, cooldown {} s, pods start after {} s",
        options.cooldown.as_secs(),
        options.pod_start.as_secs()
    )
}

pub(super) fn heading(options: &Options, servers: &str) -> String {
    format!(
        "evenkeel demo: policy {}, {} partitions, Kafka at {servers}",
        options.policy.label(),
        options.partitions
    )
}

/// What else one may look at while it runs, as commands to paste: `program` is this one.
pub(super) fn hints(
    program: &Path,
    scaler: &ScalerProcess,
    metadata: &HashMap<String, String>,
) -> Vec<String> {
    let here = std::env::current_dir().ok();
    let program = here
        .and_then(|here| program.strip_prefix(here).ok())
        .unwrap_or(program);
    let mut pairs: Vec<String> = metadata
        .iter()
        .map(|(key, value)| format!("\"{key}\":\"{value}\""))
        .collect();
    pairs.sort();
    vec![
        format!("web page   http://{}/", scaler.admin),
        format!(
            "why        {} explain demo/workers --server http://{}",
            program.display(),
            scaler.admin
        ),
        format!(
            "as KEDA    grpcurl -plaintext -d '{{\"scaledObjectRef\":{{\"name\":\"workers\",\
             \"namespace\":\"demo\",\"scalerMetadata\":{{{}}}}},\"metricName\":\
             \"evenkeel-replicas\"}}' {} externalscaler.ExternalScaler/GetMetrics",
            pairs.join(","),
            scaler.grpc
        ),
    ]
}
