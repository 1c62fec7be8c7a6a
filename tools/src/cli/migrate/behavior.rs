//! The HPA's behaviour: what of it evenkeel takes over, and what has to go.
//!
//! Lag needs damping, so these settings are full of it: windows, steps of a few pods a minute. A
//! decided count needs none of that. Each step is a rebalance of its own, and a second window after
//! evenkeel's only comes later. So up is one step, down is one step, and the window for coming down
//! moves into the trigger. A direction that is disabled stays so.

use super::edit::map;
use super::remarks::Remarks;
use crate::cli::manifests::{self, KEDA_MAX_REPLICAS};
use evenkeel_scaler::config::yaml::{Node, Value};

/// How often the HPA looks, in seconds: a policy over this period is one step each time.
const HPA_SYNC_SECONDS: &str = "15";
/// The HPA's own default window for coming down, in seconds; also evenkeel's.
const DEFAULT_WINDOW_SECONDS: u64 = 300;
/// The longest window, the HPA's and evenkeel's.
const MAX_WINDOW_SECONDS: u64 = 3_600;

/// Changes the ScaledObject's behaviour section; the window for coming down that the trigger has to
/// have, in seconds, where it is not the default.
pub fn change(spec: &mut Node, remarks: &mut Remarks<'_>) -> Option<u64> {
    let most = manifests::whole(spec.get("maxReplicaCount")).unwrap_or(KEDA_MAX_REPLICAS);
    let path = ["advanced", "horizontalPodAutoscalerConfig", "behavior"];
    let mut section = &mut *spec;
    let mut was_there = true;
    for key in path {
        if !section
            .get(key)
            .is_some_and(|node| matches!(node.value, Value::Map(_)))
        {
            was_there = false;
            section.set(key, Value::Map(Vec::new()));
        }
        section = section.get_mut(key)?;
    }
    let line = section.line;
    let up = step("Pods", &most.to_string());
    let down = step("Percent", "100");
    let window = direction(section, "scaleDown", "one step down", down, remarks);
    direction(
        section,
        "scaleUp",
        "one step up, whatever its size",
        up,
        remarks,
    );
    if was_there {
        tolerance(section, line, remarks);
    } else {
        remarks.note(
            remarks.line,
            format!(
                "the HPA's behaviour is set: one step up, one step down, no window; evenkeel has \
                 its own, {DEFAULT_WINDOW_SECONDS} s before it lowers, and the HPA's default would \
                 come on top"
            ),
        );
    }
    order(section);
    window
}

/// One direction; its window in seconds where it had one that is not the default.
fn direction(
    section: &mut Node,
    key: &str,
    words: &str,
    policies: Value,
    remarks: &mut Remarks<'_>,
) -> Option<u64> {
    let had = section.get(key).cloned();
    let line = had.as_ref().map_or(0, |node| node.line);
    if let Some(had) = &had
        && had.get("selectPolicy").and_then(Node::text) == Some("Disabled")
    {
        remarks.note(
            line,
            format!("behavior.{key} is disabled and stays so: the HPA never moves that way"),
        );
        return None;
    }
    let mut now = had.clone().unwrap_or_default();
    if !matches!(now.value, Value::Map(_)) {
        now.value = Value::Map(Vec::new());
    }
    let window = manifests::whole(now.get("stabilizationWindowSeconds"));
    now.remove("selectPolicy");
    now.set("stabilizationWindowSeconds", Value::Other("0".to_owned()));
    now.set("policies", policies);
    let changed = had
        .as_ref()
        .is_some_and(|had| !super::edit::same(had, &now));
    section.set(key, now.value);
    if !changed {
        return None;
    }
    let is_down = key == "scaleDown";
    let moved = window
        .filter(|window| is_down && *window != DEFAULT_WINDOW_SECONDS)
        .map(|window| window.min(MAX_WINDOW_SECONDS));
    let had_words = had.as_ref().map(describe).unwrap_or_default();
    let after = match (is_down, moved) {
        (true, Some(window)) => format!(
            "its window of {window} s is now scaleDownStabilizationWindowSeconds, which starts again \
             after an outage and does not count rebalances"
        ),
        (true, None) => {
            format!("evenkeel's own window of {DEFAULT_WINDOW_SECONDS} s comes before it lowers")
        }
        (false, _) => {
            "each step is a rebalance; where the limit protects what the consumers write \
                       to, set maxReplicaCount, or put the policy back"
                .to_owned()
        }
    };
    remarks.note(
        line,
        format!("behavior.{key} was {had_words} and is {words}: {after}"),
    );
    moved
}

/// A behaviour that lets `value` pods or percent through at each look.
fn step(kind: &str, value: &str) -> Value {
    let policy = map([
        ("type", Value::Text(kind.to_owned())),
        ("value", Value::Other(value.to_owned())),
        ("periodSeconds", Value::Other(HPA_SYNC_SECONDS.to_owned())),
    ]);
    Value::List(vec![Node {
        value: policy,
        line: 0,
    }])
}

/// What a direction said, in a few words.
fn describe(direction: &Node) -> String {
    let mut words = Vec::new();
    if let Some(window) = manifests::whole(direction.get("stabilizationWindowSeconds")) {
        words.push(format!("a window of {window} s"));
    }
    for policy in direction.get("policies").map_or(&[][..], Node::items) {
        let number = |key| manifests::whole(policy.get(key)).unwrap_or_default();
        let (value, period) = (number("value"), number("periodSeconds"));
        let unit = match policy.get("type").and_then(Node::text) {
            Some("Percent") => "%",
            _ if value == 1 => "pod",
            _ => "pods",
        };
        words.push(format!("{value} {unit} in {period} s"));
    }
    if words.is_empty() {
        "the HPA's default".to_owned()
    } else {
        words.join(", ")
    }
}

/// A tolerance that is given becomes 0; where there is none, the cluster may not know the field.
fn tolerance(section: &mut Node, line: u64, remarks: &mut Remarks<'_>) {
    let mut changed = false;
    for key in ["scaleUp", "scaleDown"] {
        if let Some(direction) = section.get_mut(key)
            && let Some(tolerance) = direction.get_mut("tolerance")
            && !matches!(&tolerance.value, Value::Other(text) if text == "0")
        {
            tolerance.value = Value::Other("0".to_owned());
            changed = true;
        }
    }
    if changed {
        remarks.note(
            line,
            "tolerance is 0 now: the HPA would swallow steps that evenkeel means",
        );
    }
}

/// Up before down, as everybody writes it, where both are new.
fn order(section: &mut Node) {
    if let Value::Map(entries) = &mut section.value
        && entries.iter().all(|entry| entry.line == 0)
    {
        entries.sort_by_key(|entry| entry.key != "scaleUp");
    }
}
