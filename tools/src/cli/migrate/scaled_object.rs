//! One ScaledObject moved: which triggers go together, what becomes of the rest, what to say.
//!
//! A ScaledObject moves as a whole or not at all. What comes of it has passed the check that a
//! running server makes.

use std::collections::HashMap;

use super::access::Access;
use super::profile::{Profiles, Section};
use super::rate::{self, Rate};
use super::remarks::Remarks;
use super::sources::Workload;
use super::trigger::{self, Surroundings, given};
use super::{Context, behavior};
use crate::cli::finding::Finding;
use crate::cli::manifests::{self, is_ours, trigger_type};
use evenkeel_scaler::config::yaml::{Node, Value};
use evenkeel_scaler::grpc::metadata;

/// KEDA's default of `pollingInterval`, in seconds.
const DEFAULT_POLLING_SECONDS: u64 = 30;

/// What came of a file.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is to be said.
    pub remarks: Vec<Finding>,
    /// The profiles that the moved triggers name.
    pub profiles: Profiles,
    /// ScaledObjects that are evenkeel's now.
    pub moved: usize,
    /// Objects with Kafka triggers that are as they were.
    pub left: usize,
}

/// Moves `object` where it is one with KEDA's Kafka triggers.
pub fn migrate(object: &mut Node, context: &Context<'_>, outcome: &mut Outcome) {
    let triggers = triggers_of(object);
    let kafka: Vec<usize> = (0..triggers.len())
        .filter(|nth| triggers.get(*nth).is_some_and(is_kafka))
        .collect();
    let kind = manifests::kind(object).unwrap_or_default().to_owned();
    if kafka.is_empty() || !matches!(kind.as_str(), "ScaledObject" | "ScaledJob") {
        return;
    }
    let namespace = manifests::about(object, "namespace")
        .unwrap_or(context.namespace)
        .to_owned();
    let name = manifests::about(object, "name")
        .unwrap_or_default()
        .to_owned();
    let from = outcome.remarks.len();
    let mut remarks = Remarks::new(
        format!("{namespace}/{name}"),
        object.line,
        &mut outcome.remarks,
    );
    let mut profiles = outcome.profiles.clone();
    let before = object.clone();
    if kind == "ScaledJob" {
        remarks.error(object.line, manifests::NO_JOBS);
    } else {
        obstacles(object, &mut remarks);
    }
    if !remarks.has_errors_since(from) {
        let asked = Asked {
            namespace: &namespace,
            name: &name,
            is_namespaced: manifests::about(object, "namespace").is_some(),
            kafka: &kafka,
        };
        move_triggers(object, context, asked, &mut profiles, &mut remarks);
    }
    if remarks.has_errors_since(from) {
        remarks.keep_errors_since(from);
        *object = before;
        outcome.left += 1;
    } else {
        outcome.profiles = profiles;
        outcome.moved += 1;
    }
}

fn is_kafka(trigger: &Node) -> bool {
    matches!(trigger_type(trigger), Some("kafka" | "apache-kafka"))
}

fn triggers_of(object: &Node) -> Vec<Node> {
    let triggers = object.get("spec").and_then(|spec| spec.get("triggers"));
    triggers.map_or(&[][..], Node::items).to_vec()
}

/// What keeps a ScaledObject from being moved, whatever its triggers say.
fn obstacles(object: &Node, remarks: &mut Remarks<'_>) {
    let version = object.get("apiVersion");
    if !version
        .and_then(Node::text)
        .is_some_and(|version| version.starts_with("keda.sh/"))
    {
        remarks.error(
            version.map_or(0, |node| node.line),
            "apiVersion has to be keda.sh/v1alpha1: KEDA 1's ScaledObjects cannot be moved",
        );
    }
    let formula = object.get("spec").and_then(|spec| {
        spec.get("advanced")?
            .get("scalingModifiers")?
            .get("formula")
    });
    if let Some(formula) = formula {
        remarks.error(
            formula.line,
            "scalingModifiers.formula computes with the triggers' values; evenkeel's is a replica \
             count and not a lag: take the formula out first",
        );
    }
    if let Some(ours) = triggers_of(object).iter().find(|trigger| is_ours(trigger)) {
        remarks.error(
            ours.line,
            "there is an evenkeel trigger already: take the Kafka trigger out, the larger of the two \
             would win",
        );
    }
}

/// The ScaledObject as its triggers see it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    namespace: &'a str,
    name: &'a str,
    /// Whether its namespace is written.
    is_namespaced: bool,
    /// Which triggers are Kafka's.
    kafka: &'a [usize],
}

fn move_triggers(
    object: &mut Node,
    context: &Context<'_>,
    asked: Asked<'_>,
    profiles: &mut Profiles,
    remarks: &mut Remarks<'_>,
) {
    let Some(spec) = object.get_mut("spec") else {
        return;
    };
    let mut triggers = spec.get("triggers").map_or(&[][..], Node::items).to_vec();
    let firsts = merge(&mut triggers, asked.kafka, remarks);
    let target = spec.get("scaleTargetRef").cloned();
    let workload = Workload {
        namespace: asked.namespace,
        target: target.as_ref(),
    };
    let mut rate = take_rate(&mut triggers, firsts.len() == 1, context, workload, remarks);
    if let Some(rate) = &mut rate {
        name_prometheus(rate, asked.namespace, profiles);
    }
    let surroundings = Surroundings {
        min_replicas: manifests::whole(spec.get("minReplicaCount")).filter(|least| *least > 0),
        max_replicas: manifests::whole(spec.get("maxReplicaCount")),
        window_seconds: match triggers
            .iter()
            .find(|trigger| manifests::needs_damping(trigger))
        {
            None => behavior::change(spec, remarks),
            Some(other) => {
                remarks.note(
                    other.line,
                    "the HPA's behaviour stays as it is, because this trigger needs its windows; they \
                     hold evenkeel's steps back too",
                );
                None
            }
        },
    };
    for nth in firsts {
        let Some(trigger) = triggers.get_mut(nth) else {
            continue;
        };
        let parameters = trigger::convert(trigger, context, workload, remarks);
        let mut access = Access::kafka(&parameters, context.files);
        let servers = given(trigger, "bootstrapServers")
            .map(|(key, text)| (key == "bootstrapServers", text.to_owned()));
        trigger::complete(trigger, context, surroundings, rate.as_ref(), remarks);
        if access.is_empty() && context.cluster.is_none() {
            profiles.keep_addresses();
        } else if let Some((is_known, servers)) = servers {
            let line = trigger.line;
            let servers = if is_known {
                servers
            } else if let Some(known) = context.files.literal(workload, &servers) {
                known
            } else {
                access.to_fill_in.insert(format!(
                    "bootstrapServers, which the workload's variable {servers} holds"
                ));
                format!("{}:9092", servers.to_ascii_lowercase().replace('_', "-"))
            };
            if !asked.is_namespaced {
                remarks.note(
                    line,
                    format!(
                        "no namespace is written, so the profile is open to {}: give yours by --namespace",
                        asked.namespace
                    ),
                );
            }
            match profiles.name(
                Section::Clusters,
                context.cluster,
                &servers,
                asked.namespace,
                &access,
            ) {
                Some(name) => trigger::name_profile(trigger, &name),
                None => remarks.error(
                    line,
                    "another trigger has other bootstrapServers or credentials: one --cluster cannot be both",
                ),
            }
        }
        validate(trigger, nth, asked, remarks);
    }
    rest(spec, &triggers, remarks);
    spec.set("triggers", Value::List(triggers));
}

/// Makes one trigger of those for one group on one cluster: the first keeps all topics, the others
/// become nothing. Returns which are left.
fn merge(triggers: &mut [Node], kafka: &[usize], remarks: &mut Remarks<'_>) -> Vec<usize> {
    let mut firsts: Vec<usize> = Vec::new();
    for nth in kafka {
        let Some(other) = triggers.get(*nth).cloned() else {
            continue;
        };
        let group = |trigger: &Node| {
            ["bootstrapServers", "consumerGroup"]
                .map(|key| given(trigger, key).map(|(key, text)| (key.to_owned(), text.to_owned())))
        };
        let first = firsts.iter().copied().find(|first| {
            triggers
                .get(*first)
                .is_some_and(|first| group(first) == group(&other))
        });
        match first.and_then(|first| triggers.get_mut(first)) {
            None => firsts.push(*nth),
            Some(first) => {
                if let Err(why) = join(first, &other) {
                    remarks.error(other.line, why);
                    continue;
                }
                remarks.note(
                    other.line,
                    "its topics are counted together with those of the other trigger for the same \
                     group; the HPA took the larger of the two",
                );
                if let Some(trigger) = triggers.get_mut(*nth) {
                    trigger.value = Value::Null;
                }
            }
        }
    }
    if firsts.len() > 1 {
        remarks.note(
            remarks.line,
            format!(
                "it has {} evenkeel triggers, one for each consumer group: as before, the HPA takes \
                 the largest",
                firsts.len()
            ),
        );
    }
    firsts
}

/// Adds the topics of `other` to `first`. What else they say has to agree, but for thresholds, of
/// which the lower is kept.
fn join(first: &mut Node, other: &Node) -> Result<(), String> {
    let topic = |trigger: &Node| {
        given(trigger, "topic")
            .filter(|(key, _)| *key == "topic")
            .map(|(_, text)| text.to_owned())
    };
    let (Some(ours), Some(theirs)) = (topic(first), topic(other)) else {
        return Err(
            "two triggers for one group can be joined only if both name their topic".to_owned(),
        );
    };
    let reference = |trigger: &Node, key: &str| {
        let reference = trigger.get("authenticationRef")?;
        Some(reference.get(key)?.text()?.to_owned())
    };
    let are_one = ["name", "kind"]
        .iter()
        .all(|key| reference(first, key) == reference(other, key));
    if !are_one {
        return Err(
            "it is for the same group as the trigger before it, and authenticationRef differs: evenkeel \
             reads a group's topics with one profile, so make them agree first"
                .to_owned(),
        );
    }
    let metadata = |trigger: &Node| trigger.get("metadata").cloned().unwrap_or_default();
    let (mut joined, second) = (metadata(first), metadata(other));
    let number = |node: &Node, key: &str| manifests::whole(node.get(key));
    let keys = joined.entries().iter().chain(second.entries());
    let differing = keys.map(|entry| entry.key.clone()).find(|key| {
        let is_judged = matches!(
            key.as_str(),
            "topic" | "lagThreshold" | "activationLagThreshold"
        );
        !is_judged && joined.get(key).and_then(Node::text) != second.get(key).and_then(Node::text)
    });
    if let Some(key) = differing {
        return Err(format!(
            "it is for the same group as the trigger before it, and {key} differs: evenkeel reads a \
             group's topics as one load, so make them agree first"
        ));
    }
    // What is absent is KEDA's default.
    for (key, default) in [("lagThreshold", 10), ("activationLagThreshold", 0)] {
        let given = [number(&joined, key), number(&second, key)];
        if given.iter().any(Option::is_some) {
            let [one, another] = given.map(|number| number.unwrap_or(default));
            joined.set(key, Value::Text(one.min(another).to_string()));
        }
    }
    joined.set("topic", Value::Text(format!("{ours},{theirs}")));
    first.set("metadata", joined.value);
    Ok(())
}

/// The inbound rate of a `prometheus` trigger, which becomes nothing.
fn take_rate(
    triggers: &mut [Node],
    is_one_group: bool,
    context: &Context<'_>,
    workload: Workload<'_>,
    remarks: &mut Remarks<'_>,
) -> Option<Rate> {
    let mut rates: Vec<(usize, Rate)> = triggers
        .iter()
        .enumerate()
        .filter_map(|(nth, trigger)| Some((nth, rate::read(trigger, context.files, workload)?)))
        .collect();
    if rates.len() != 1 || !is_one_group {
        return None;
    }
    let topics = triggers
        .iter()
        .find(|trigger| is_kafka(trigger))
        .and_then(|trigger| given(trigger, "topic"))
        .filter(|(key, _)| *key == "topic")
        .map(|(_, text)| text.to_owned());
    let (nth, rate) = rates.pop()?;
    let trigger = triggers.get_mut(nth)?;
    if topics.is_some_and(|topics| rate::names_another(trigger, &topics)) {
        return None;
    }
    let line = trigger.line;
    trigger.value = Value::Null;
    if let Some(key) = &rate.obstacle {
        remarks.note(
            line,
            format!(
                "the prometheus trigger is gone and its query not taken over: evenkeel cannot use \
                 {key}; it takes the inbound rate from the log's own offsets"
            ),
        );
    } else {
        remarks.note(
            line,
            "the prometheus trigger is the inbound-rate baseline now; where it answers nothing, that \
             is unknown and not 0, and keeps replicas from going down",
        );
    }
    if let (Some(capacity), None) = (&rate.capacity, context.capacity) {
        remarks.note(
            line,
            format!(
                "its threshold {capacity} is capacityPerReplica now, of which 80 % are planned \
                 (targetUtilization): if it had room in it already, give what a saturated replica does"
            ),
        );
    }
    Some(rate)
}

/// Names a profile in place of the address of Prometheus, where one is needed.
fn name_prometheus(rate: &mut Rate, namespace: &str, profiles: &mut Profiles) {
    if rate.obstacle.is_some() {
        return;
    }
    if rate.access.is_empty() {
        profiles.keep_addresses();
        return;
    }
    for (key, value) in &mut rate.keys {
        if key == "serverAddress"
            && let Some(name) =
                profiles.name(Section::Prometheus, None, value, namespace, &rate.access)
        {
            *key = "prometheus".to_owned();
            *value = name;
        }
    }
}

/// The check of a running server, with lines.
fn validate(trigger: &Node, nth: usize, asked: Asked<'_>, remarks: &mut Remarks<'_>) {
    let Some(metadata) = trigger.get("metadata") else {
        remarks.error(trigger.line, format!("triggers[{nth}].metadata is missing"));
        return;
    };
    let text = |node: &Node| node.text().unwrap_or_default().to_owned();
    let pairs: HashMap<String, String> = metadata
        .entries()
        .iter()
        .map(|entry| (entry.key.clone(), text(&entry.node)))
        .collect();
    let checked = metadata::check(asked.namespace, asked.name, &pairs, None);
    for error in checked.err().map_or_else(Vec::new, |errors| errors.errors) {
        let entry = metadata
            .entries()
            .iter()
            .find(|entry| entry.key == error.key);
        let line = entry.map(|entry| entry.line).filter(|line| *line > 0);
        remarks.error(
            line.unwrap_or(trigger.line),
            format!("triggers[{nth}].metadata.{error}"),
        );
    }
}

/// What stays, where it means something else now.
fn rest(spec: &Node, triggers: &[Node], remarks: &mut Remarks<'_>) {
    for trigger in triggers {
        let words = match trigger_type(trigger) {
            Some("prometheus") => {
                "the prometheus trigger stays: it is not plainly the inbound rate of this group. The \
                 HPA takes the larger count; a trigger that looks at lag brings the flapping back"
            }
            Some("cpu" | "memory") => {
                "the cpu or memory trigger stays: the HPA takes the larger count"
            }
            _ => continue,
        };
        remarks.note(trigger.line, words);
    }
    if let Some(polling) = spec.get("pollingInterval")
        && manifests::whole(Some(polling)).is_some_and(|seconds| seconds < DEFAULT_POLLING_SECONDS)
    {
        remarks.note(
            polling.line,
            "pollingInterval may go back to 30: evenkeel wakes from zero by itself, and between 1 and N \
             the HPA asks every 15 s",
        );
    }
    if let Some(fallback) = spec.get("fallback") {
        let words = if manifests::whole(fallback.get("replicas")) == Some(0) {
            "fallback.replicas is 0: KEDA goes to zero on errors; make it 1 or more, or take it out"
        } else {
            "fallback stays: it counts when evenkeel answers errors, 120 s after its last data. While \
             evenkeel is away KEDA keeps the replicas"
        };
        remarks.note(fallback.line, words);
    }
}
