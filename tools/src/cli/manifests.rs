//! Kubernetes manifests as `check` and `migrate` read them: files, objects, whose trigger is whose.
//!
//! Nothing is judged here.

use std::io::Read as _;
use std::path::Path;

use evenkeel_scaler::config::yaml::{Node, Value};
use evenkeel_scaler::schema::{Kind, trigger};

/// The largest file that is read. Whole clusters' worth of ScaledObjects fit.
const MAX_FILE_BYTES: u64 = 16 * 1_024 * 1_024;

/// What a file's name says when standard input is meant.
pub const STANDARD_INPUT: &str = "-";

/// KEDA's default of `maxReplicaCount`.
pub const KEDA_MAX_REPLICAS: u64 = 100;

/// Why a ScaledJob gets no replicas of us.
pub const NO_JOBS: &str = "a ScaledJob starts a job for each piece of work; evenkeel answers how many \
     replicas of a long-running consumer there should be";

/// A file's text; `-` is standard input.
///
/// # Errors
/// When it cannot be read, is no text or too large.
pub fn read(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let mut limited = if file == Path::new(STANDARD_INPUT) {
        Box::new(std::io::stdin()) as Box<dyn std::io::Read>
    } else {
        Box::new(std::fs::File::open(file)?)
    }
    .take(MAX_FILE_BYTES + 1);
    let read = limited.read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read > MAX_FILE_BYTES) {
        return Err(std::io::Error::other("is larger than 16 MiB"));
    }
    Ok(text)
}

/// What makes a text no YAML, and what to do where it looks like a template or is too much at once:
/// the reader takes 1,024 documents and 250,000 nodes, which also bounds what aliases can unfold to.
pub fn no_yaml(text: &str, why: &str) -> String {
    if why.contains("budget breached") {
        return format!("too much for one file, split it: {why}");
    }
    let hint = if text.contains("{{") {
        "; it looks like a template: give the manifests that come of it (helm template, kustomize build)"
    } else {
        ""
    };
    format!("no YAML: {why}{hint}")
}

/// Every object of a document: itself, or the items of a `List`.
pub fn objects<'n>(document: &'n Node, visit: &mut impl FnMut(&'n Node)) {
    if is_list(document) {
        for item in document.get("items").map_or(&[][..], Node::items) {
            objects(item, visit);
        }
    } else {
        visit(document);
    }
}

/// As [`objects`], to change them.
pub fn objects_mut(document: &mut Node, visit: &mut impl FnMut(&mut Node)) {
    if !is_list(document) {
        visit(document);
    } else if let Some(Value::List(items)) = document.get_mut("items").map(|node| &mut node.value) {
        for item in items {
            objects_mut(item, visit);
        }
    }
}

fn is_list(document: &Node) -> bool {
    // `kubectl get -o yaml` says List, typed clients say ScaledObjectList.
    kind(document).is_some_and(|kind| kind.ends_with("List")) && document.get("items").is_some()
}

/// The object's kind.
pub fn kind(object: &Node) -> Option<&str> {
    object.get("kind").and_then(Node::text)
}

/// A key of the object's own metadata: `name`, `namespace`.
pub fn about<'n>(object: &'n Node, key: &str) -> Option<&'n str> {
    object.get("metadata")?.get(key)?.text()
}

/// A whole number, written as one or as text; none where it is absent or no such number.
pub fn whole(node: Option<&Node>) -> Option<u64> {
    match &node?.value {
        Value::Other(text) | Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}

/// The trigger's type.
pub fn trigger_type(trigger: &Node) -> Option<&str> {
    trigger.get("type").and_then(Node::text)
}

/// Whether the HPA's damping is there for this trigger too: a measured value that is not ours. Of
/// KEDA's Kafka triggers it is known that they go, and a schedule does not waver.
pub fn needs_damping(trigger: &Node) -> bool {
    let kind = trigger_type(trigger);
    kind.is_some() && !matches!(kind, Some("kafka" | "apache-kafka" | "cron")) && !is_ours(trigger)
}

/// Whether a trigger is for evenkeel: KEDA's external scaler with one of our keys, or with an address
/// that says so.
pub fn is_ours(trigger: &Node) -> bool {
    let is_external = matches!(trigger_type(trigger), Some("external" | "external-push"));
    let Some(metadata) = trigger.get("metadata").filter(|_| is_external) else {
        return false;
    };
    metadata.entries().iter().any(|entry| {
        let has_our_key =
            trigger::find(&entry.key).is_some_and(|(setting, _)| setting.kind != Kind::Passed);
        let is_our_address = entry.key == "scalerAddress"
            && entry
                .node
                .text()
                .is_some_and(|address| address.contains("evenkeel"));
        has_our_key || is_our_address
    })
}
