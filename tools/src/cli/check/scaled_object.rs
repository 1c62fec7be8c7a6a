//! Finds our triggers in YAML documents and says what is wrong with their metadata, each with its line.

use std::collections::HashMap;

use evenkeel_engine::Policy;
use evenkeel_engine::coarse::EvenLoad;

use super::calendar;
use super::connection;
use super::report::Report;
use super::traps;
use crate::cli::manifests;
use evenkeel_scaler::config::Config;
use evenkeel_scaler::config::yaml::{self, Node, Value};
use evenkeel_scaler::grpc::metadata;
use evenkeel_scaler::observe::TopicSelection;
use evenkeel_scaler::schema::{closest, trigger};

/// What the files are held against.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The server's configuration, if it is to be checked against.
    pub config: Option<&'a Config>,
    /// The namespace of ScaledObjects that name none.
    pub namespace: &'a str,
    /// Partitions of the topic, and the records per second into it.
    pub load: Option<(u32, f64)>,
}

/// Checks every ScaledObject in `text`.
pub fn check(text: &str, options: Options<'_>) -> Report {
    let mut report = Report::default();
    match yaml::read(text) {
        Ok(documents) => {
            for document in &documents {
                manifests::objects(document, &mut |object| {
                    check_object(object, options, &mut report);
                });
            }
        }
        Err(error) => {
            let line = error.line.unwrap_or(1);
            report.error(line, manifests::no_yaml(text, &error.why));
        }
    }
    // A scaler's address that nobody looked at: a key above it or the kind is written otherwise.
    let is_passed_by = |line: &str| line.contains("scalerAddress") && line.contains("evenkeel");
    if report.triggers == 0
        && report.findings.is_empty()
        && let Some(before) = text.lines().position(is_passed_by)
    {
        report.error(
            u64::try_from(before + 1).unwrap_or(1),
            "scalerAddress: of no evenkeel trigger: it is one of kind ScaledObject, under spec.triggers, \
             with type and metadata",
        );
    }
    report.findings.sort_by_key(|finding| finding.line);
    report
}

fn check_object(object: &Node, options: Options<'_>, report: &mut Report) {
    let triggers = object.get("spec").and_then(|spec| spec.get("triggers"));
    let triggers = triggers.map_or(&[][..], Node::items);
    let mut ours = triggers
        .iter()
        .filter(|trigger| manifests::is_ours(trigger));
    match manifests::kind(object) {
        Some("ScaledObject") => report.scaled_objects += 1,
        Some("ScaledJob") => {
            if let Some(trigger) = ours.next() {
                report.error(trigger.line, format!("kind: {}", manifests::NO_JOBS));
            }
            return;
        }
        None if object.get("triggers").is_some() => {
            report.error(
                object.line,
                "a part of a ScaledObject: give it whole, with apiVersion, kind, metadata and spec",
            );
            return;
        }
        _ => return,
    }
    for (index, trigger) in triggers.iter().enumerate() {
        strange_type(index, trigger, report);
    }
    if ours.next().is_none() {
        return;
    }
    traps::check(object, triggers, report);
    let name = manifests::about(object, "name").unwrap_or_default();
    let namespace = manifests::about(object, "namespace").unwrap_or(options.namespace);
    for (index, trigger) in triggers.iter().enumerate() {
        let Some(metadata) = trigger
            .get("metadata")
            .filter(|_| manifests::is_ours(trigger))
        else {
            continue;
        };
        report.triggers += 1;
        let place = Place {
            name,
            namespace,
            index,
        };
        check_trigger(place, trigger, metadata, options, report);
    }
}

/// A trigger with the address of a scaler whose type is nearly one of KEDA's two for that.
fn strange_type(index: usize, trigger: &Node, report: &mut Report) {
    const EXTERNAL: [&str; 2] = ["external-push", "external"];
    let has_address = trigger
        .get("metadata")
        .is_some_and(|metadata| metadata.get("scalerAddress").is_some());
    let kind = manifests::trigger_type(trigger).unwrap_or_default();
    if has_address
        && !EXTERNAL.contains(&kind)
        && let Some(meant) = closest(kind, EXTERNAL)
    {
        let line = trigger.get("type").map_or(trigger.line, |node| node.line);
        report.error(
            line,
            format!("triggers[{index}].type: unknown, did you mean {meant}?"),
        );
    }
}

/// What is wrong with where KEDA is to find evenkeel.
fn scaler_address(address: Option<&Node>) -> Option<&'static str> {
    let Some(text) = address.and_then(Node::text).filter(|text| !text.is_empty()) else {
        return Some("missing: where KEDA finds evenkeel, host:port");
    };
    let has_port = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    (is_url || !has_port).then_some("has to be host:port, without http://")
}

/// Which trigger of which ScaledObject.
#[derive(Clone, Copy)]
struct Place<'a> {
    name: &'a str,
    namespace: &'a str,
    index: usize,
}

fn check_trigger(
    place: Place<'_>,
    trigger: &Node,
    node: &Node,
    options: Options<'_>,
    report: &mut Report,
) {
    let path = format!("triggers[{}]", place.index);
    let beginning = trigger
        .entries()
        .iter()
        .find(|entry| entry.key == "metadata")
        .map_or(node.line, |entry| entry.line);
    let address = node.get("scalerAddress");
    if let Some(why) = scaler_address(address) {
        report.error(
            address.map_or(beginning, |address| address.line),
            format!("{path}.metadata.scalerAddress: {why}"),
        );
    }
    let mut pairs = HashMap::new();
    for entry in node.entries() {
        let path = format!("{path}.metadata.{}", entry.key);
        if entry.key == "topicFromEnv" {
            report.note(
                entry.line,
                format!("{path}: where the workload has no such variable KEDA drops the key without a word, and \
                         all topics of the group count"),
            );
        }
        match &entry.node.value {
            Value::Text(text) => {
                pairs.insert(entry.key.clone(), text.clone());
            }
            Value::Other(text) => {
                report.error(
                    entry.line,
                    format!("{path}: has to be a string, which Kubernetes insists on: quote it"),
                );
                pairs.insert(entry.key.clone(), text.clone());
            }
            Value::Null => {
                pairs.insert(entry.key.clone(), String::new());
            }
            Value::List(_) | Value::Map(_) => {
                report.error(
                    entry.line,
                    format!("{path}: has to be a string; write lists with commas"),
                );
                // Present, so that it is not reported as missing too.
                if trigger::find(&entry.key).is_some() {
                    continue;
                }
                pairs.insert(entry.key.clone(), String::new());
            }
        }
    }
    let checked = metadata::check(place.namespace, place.name, &pairs, options.config);
    match checked {
        Ok(Some(checked)) => {
            for words in calendar::words(&checked.calendar) {
                report.note(trigger.line, format!("{path} {words}"));
            }
            let topics = &checked.subscription.topics;
            if let Some(load) = options.load
                && matches!(topics, TopicSelection::Named(names) if names.len() == 1)
            {
                partitions(load, &checked.policy, (trigger.line, &path), report);
            }
            if let Some(config) = options.config {
                let mut note = |words: String| {
                    report.note(trigger.line, format!("{path} reads {words}"));
                };
                note(connection::words(&checked.cluster, config));
                if let Some(prometheus) = checked.prometheus {
                    note(connection::rate_words(&prometheus, config));
                }
            }
        }
        Ok(None) => {}
        Err(errors) => {
            for error in errors.errors {
                let entry = node.entries().iter().find(|entry| entry.key == error.key);
                let line = entry.map_or(beginning, |entry| entry.line);
                report.error(line, format!("{path}.metadata.{error}"));
            }
        }
    }
}

/// What it costs to have so many partitions at such a rate.
fn partitions(
    (partitions, rate): (u32, f64),
    policy: &Policy,
    (line, path): (u64, &str),
    report: &mut Report,
) {
    let Some(capacity) = policy.capacity_per_replica else {
        let words = "has no capacityPerReplica: what its partitions cost cannot be said";
        report.note(line, format!("{path} {words}"));
        return;
    };
    let load = EvenLoad::new(policy, rate, capacity);
    let replicas = load.replicas(partitions);
    if policy.allow_idle_consumers {
        return;
    }
    if let Some(other) = load.better((partitions, replicas)) {
        report.warn(
            line,
            format!(
                "{path}: {partitions} partitions need {replicas} replicas for {rate} records/s, and {} \
                 partitions would need {}: partitions do not divide (CoarsePartitions)",
                other.partitions, other.replicas
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: consumer
  namespace: shop
spec:
  scaleTargetRef: {name: consumer}
  triggers:
    - type: external-push
      metricType: AverageValue
      metadata:
        scalerAddress: evenkeel.keda:9090
        cluster: main
        consumerGroup: trades
        topic: orders
        lagThreshold: \"100\"
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown: {stabilizationWindowSeconds: 0}
";

    /// Checks that exactly these findings come, as `line: text`.
    #[track_caller]
    fn check_findings(text: &str, config: Option<&Config>, expected: &[&str]) {
        let options = Options {
            config,
            namespace: "default",
            load: None,
        };
        let report = check(text, options);
        let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        assert_eq!(findings, expected);
    }

    #[test]
    fn what_keda_may_drop_is_said() {
        let from_environment = RIGHT.replace("topic: orders", "topicFromEnv: TOPIC");
        check_findings(
            &from_environment,
            None,
            &[
                "15: note: triggers[0].metadata.topicFromEnv: where the workload has no such variable KEDA \
                 drops the key without a word, and all topics of the group count",
            ],
        );
    }

    #[test]
    fn nothing_is_wrong_with_what_is_right() {
        check_findings(RIGHT, None, &[]);
    }

    #[test]
    fn every_error_comes_with_its_line() {
        let wrong = RIGHT
            .replace("AverageValue", "Value")
            .replace("cluster: main", "clustr: main")
            .replace("\"100\"", "100")
            .replace("topic: orders", "topic: [a, b]")
            .replace("scalerAddress: evenkeel.keda:9090", "catchUpSeconds: soon");
        check_findings(
            &wrong,
            None,
            &[
                "10: error: triggers[0].metricType: has to be AverageValue or absent: with another the \
                 HPA would not land on the number it is given",
                "11: error: triggers[0].metadata.scalerAddress: missing: where KEDA finds evenkeel, \
                 host:port",
                "11: error: triggers[0].metadata.cluster: missing: give cluster, the name of a \
                 connection profile, or bootstrapServers",
                "12: error: triggers[0].metadata.catchUpSeconds = \"soon\": has to be a whole number \
                 from 1 to 86400",
                "13: error: triggers[0].metadata.clustr: unknown key, did you mean cluster?",
                "15: error: triggers[0].metadata.topic: has to be a string; write lists with commas",
                "16: error: triggers[0].metadata.lagThreshold: has to be a string, which Kubernetes \
                 insists on: quote it",
            ],
        );
    }

    #[test]
    fn what_keda_would_not_know_is_said_before_it_does() {
        let wrong = RIGHT
            .replace("keda.sh/v1alpha1", "keda.sh/v1alpha2")
            .replace("  triggers:", "  minReplicasCount: 2\n  triggers:")
            .replace("evenkeel.keda:9090", "http://evenkeel.keda:9090");
        check_findings(
            &wrong,
            None,
            &[
                "1: error: apiVersion: has to be keda.sh/v1alpha1",
                "8: error: minReplicasCount: unknown key, did you mean minReplicaCount?",
                "13: error: triggers[0].metadata.scalerAddress: has to be host:port, without http://",
            ],
        );
        let strange = RIGHT.replace("external-push", "extrenal-push");
        let expected = "9: error: triggers[0].type: unknown, did you mean external-push?";
        check_findings(&strange, None, &[expected]);
        let portless = RIGHT.replace("evenkeel.keda:9090", "evenkeel.keda");
        let expected =
            "12: error: triggers[0].metadata.scalerAddress: has to be host:port, without http://";
        check_findings(&portless, None, &[expected]);
        for (right, wrong) in [
            ("ScaledObject", "Scaledobject"),
            ("triggers:", "trigger:"),
            ("metadata:\n        s", "metdata:\n        s"),
        ] {
            let passed_by = RIGHT.replace(right, wrong);
            assert_ne!(passed_by, RIGHT, "{right}");
            let report = check(
                &passed_by,
                Options {
                    config: None,
                    namespace: "default",
                    load: None,
                },
            );
            assert!(!report.findings.is_empty(), "{wrong}");
        }
        let (_, part) = RIGHT.split_once("  triggers:").unwrap();
        let (part, _) = part.split_once("  advanced:").unwrap();
        let expected = "1: error: a part of a ScaledObject: give it whole, with apiVersion, kind, metadata \
                        and spec";
        check_findings(&format!("triggers:{part}"), None, &[expected]);
    }

    #[test]
    fn every_document_and_every_item_of_a_list_is_checked() {
        let second = RIGHT.replace("lagThreshold: \"100\"", "lagThreshold: none");
        let documents = format!("{RIGHT}---\n# nothing\n---\n{second}");
        let expected = "39: error: triggers[0].metadata.lagThreshold = \"none\": has to be a whole \
                        number, 1 or more";
        check_findings(&documents, None, &[expected]);
        let indented = second.replace('\n', "\n    ");
        let list = format!("kind: List\nitems:\n  -\n    {indented}\n");
        check_findings(
            &list,
            None,
            &[
                "19: error: triggers[0].metadata.lagThreshold = \"none\": has to be a whole number, 1 or \
               more",
            ],
        );
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let other = RIGHT
            .replace("evenkeel.keda", "other")
            .replace("cluster:", "foo:")
            .replace("consumerGroup:", "bar:")
            .replace("topic:", "baz:")
            .replace("lagThreshold: \"100\"", "value: 5");
        check_findings(&other, None, &[]);
        let built_in = RIGHT
            .replace("external-push", "kafka")
            .replace("evenkeel.keda", "other");
        check_findings(&built_in, None, &[]);
        check_findings("kind: Deployment\nspec: {triggers: [1]}\n", None, &[]);
        check_findings("just text\n---\n- a list\n", None, &[]);
    }

    #[test]
    fn with_a_configuration_its_profiles_count() {
        let yaml = "clusters: {mian: {bootstrapServers: [a:1]}}";
        let config = Config::read(yaml, None, std::iter::empty()).unwrap();
        check_findings(
            RIGHT,
            Some(&config),
            &[
                "13: error: triggers[0].metadata.cluster = \"main\": no such connection profile; there \
               are mian, did you mean mian?",
            ],
        );
    }

    #[test]
    fn events_are_checked_and_their_next_occurrence_is_said() {
        let events = |events: &str| {
            let key = format!("topic: orders\n        calendarEvents: |\n{events}");
            RIGHT.replace("topic: orders", &key)
        };
        let wrong = events(
            "          - {timezone: Mars/Olympus, start: 0 8 31 4 *, duration: 1h, desiredReplicas: 2}\n",
        );
        check_findings(
            &wrong,
            None,
            &[
                "16: error: triggers[0].metadata.calendarEvents: event 1: timezone = \"Mars/Olympus\": is no \
                 time zone of the IANA database",
                "16: error: triggers[0].metadata.calendarEvents: event 1: start = \"0 8 31 4 *\": never \
                 comes: there is no such day",
            ],
        );
        let right = events(
            "          - timezone: Asia/Tokyo\n            start: 0 8 L 2 *\n            end: 30 9 * * *\n            \
             recordsPerSecond: 1500\n",
        );
        let options = Options {
            config: None,
            namespace: "default",
            load: None,
        };
        let report = check(&right, options);
        let [finding] = report.findings.as_slice() else {
            panic!("{report:?}")
        };
        let finding = finding.to_string();
        let expected = "9: note: triggers[0] expects 1500 records/s from ";
        assert!(finding.starts_with(expected), "{finding}");
        assert!(
            finding.ends_with(" 08:00 to 09:30, Asia/Tokyo"),
            "{finding}"
        );
    }

    #[test]
    fn what_is_no_yaml_is_said_so() {
        let report = check(
            "a: [\n",
            Options {
                config: None,
                namespace: "default",
                load: None,
            },
        );
        assert_eq!(report.findings.len(), 1);
        assert!(report.findings[0].text.starts_with("no YAML"), "{report:?}");
    }

    #[test]
    fn the_summary_counts() {
        let options = Options {
            config: None,
            namespace: "default",
            load: None,
        };
        let mut report = check(RIGHT, options);
        report.add(check(&RIGHT.replace("cluster", "clustr"), options));
        assert_eq!(
            report.to_string(),
            "2 evenkeel triggers in 2 ScaledObjects, 2 errors"
        );
    }
}
