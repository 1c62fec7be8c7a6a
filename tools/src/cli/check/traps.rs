//! The traps of a ScaledObject around a trigger of ours: what KEDA or the HPA make of it.
//!
//! Each comes with what it does and what to set instead. Which values KEDA's own schema takes is left
//! to KEDA, and so is everything about a ScaledObject without a trigger of ours.

use super::keys;
use super::report::Report;
use crate::cli::manifests::{self, KEDA_MAX_REPLICAS, trigger_type};
use evenkeel_scaler::config::yaml::{Node, Value};

/// The HPA's default window for coming down, in seconds.
const HPA_DOWN_WINDOW_SECONDS: u64 = 300;
/// A second window up to this long only smooths; a longer one adds to evenkeel's.
const SHORT_WINDOW_SECONDS: u64 = 60;
/// KEDA's default of `pollingInterval`, in seconds.
const POLLING_SECONDS: u64 = 30;
/// KEDA's default of `cooldownPeriod`, in seconds: written out it asks for nothing.
const COOLDOWN_SECONDS: u64 = 300;
/// What cannot be scaled: it has no scale subresource.
const NOT_SCALABLE: &[&str] = &["DaemonSet", "Job", "CronJob", "Pod"];

/// What the ScaledObject says of replicas.
#[derive(Clone, Copy)]
struct Replicas {
    least: u64,
    most: u64,
    /// `idleReplicaCount` is given.
    idles: bool,
}

/// Looks at everything of `object` but the metadata of our triggers.
pub fn check(object: &Node, triggers: &[Node], report: &mut Report) {
    let version = object.get("apiVersion");
    if version.and_then(Node::text) != Some("keda.sh/v1alpha1") {
        report.error(
            version.map_or(object.line, |node| node.line),
            "apiVersion: has to be keda.sh/v1alpha1",
        );
    }
    let Some(spec) = object.get("spec") else {
        return;
    };
    keys::check(spec, report);
    target(spec, report);
    let replicas = replicas(spec, report);
    timing(spec, triggers, replicas, report);
    fallback(spec, report);
    for (index, trigger) in triggers.iter().enumerate() {
        beside(index, trigger, triggers, report);
        if manifests::is_ours(trigger) {
            ours(index, trigger, replicas, report);
        }
    }
    let advanced = spec.get("advanced");
    if let Some(formula) =
        advanced.and_then(|advanced| advanced.get("scalingModifiers")?.get("formula"))
    {
        report.warn(
            formula.line,
            "advanced.scalingModifiers.formula: evenkeel's value is a replica count, and only right \
             with a target of 1: leave the formula out",
        );
    }
    if triggers.iter().any(manifests::needs_damping) {
        // Whatever it is, it is there for that trigger, too.
        return;
    }
    let behavior = advanced.and_then(|advanced| {
        advanced
            .get("horizontalPodAutoscalerConfig")?
            .get("behavior")
    });
    down(behavior, spec.line, replicas, report);
    up(behavior, replicas, report);
}

fn target(spec: &Node, report: &mut Report) {
    let target = spec.get("scaleTargetRef");
    let name = target.and_then(|target| target.get("name"));
    if name.and_then(Node::text).is_none_or(str::is_empty) {
        report.error(
            target.map_or(spec.line, |node| node.line),
            "scaleTargetRef.name: missing: what is to be scaled, such as the name of the Deployment",
        );
    }
    if let Some(kind) = target.and_then(|target| target.get("kind"))
        && kind.text().is_some_and(|kind| NOT_SCALABLE.contains(&kind))
    {
        report.error(
            kind.line,
            format!(
                "scaleTargetRef.kind: a {} cannot be scaled: a Deployment or a StatefulSet can",
                kind.text().unwrap_or_default()
            ),
        );
    }
}

fn replicas(spec: &Node, report: &mut Report) -> Replicas {
    let mut number = |key: &str| {
        let node = spec.get(key)?;
        let number = manifests::whole(Some(node));
        if number.is_none() {
            report.error(
                node.line,
                format!("{key}: has to be a whole number, 0 or more"),
            );
        }
        number
    };
    let least = number("minReplicaCount").unwrap_or(0);
    let most = number("maxReplicaCount").unwrap_or(KEDA_MAX_REPLICAS);
    let idle = number("idleReplicaCount");
    let line = |key: &str| spec.get(key).map_or(spec.line, |node| node.line);
    if least > most {
        report.error(
            line("minReplicaCount"),
            format!("minReplicaCount: {least} lies above maxReplicaCount {most}"),
        );
    }
    if let Some(idle) = idle {
        let at = line("idleReplicaCount");
        if idle >= least {
            report.error(
                at,
                format!(
                    "idleReplicaCount: {idle} has to be below minReplicaCount {least}; to go to zero \
                     minReplicaCount: 0 alone does it"
                ),
            );
        } else if idle > 0 {
            report.error(
                at,
                format!(
                    "idleReplicaCount: {idle}: only 0 works in KEDA, the HPA would raise any other"
                ),
            );
        }
    }
    Replicas {
        least,
        most,
        idles: idle.is_some(),
    }
}

fn timing(spec: &Node, triggers: &[Node], replicas: Replicas, report: &mut Report) {
    let never_zero = replicas.least > 0 && !replicas.idles;
    if let Some(cooldown) = spec.get("cooldownPeriod").filter(|_| never_zero)
        && manifests::whole(Some(cooldown)) != Some(COOLDOWN_SECONDS)
    {
        report.warn(
            cooldown.line,
            format!(
                "cooldownPeriod: has no effect: it applies when scaling to zero only, and minReplicaCount is \
                 {}; coming down is scaleDownStabilizationWindowSeconds in the trigger",
                replicas.least
            ),
        );
    }
    let Some(polling) = spec.get("pollingInterval") else {
        return;
    };
    let is_short = manifests::whole(Some(polling)).is_some_and(|polling| polling < POLLING_SECONDS);
    let pushes = triggers
        .iter()
        .filter(|trigger| manifests::is_ours(trigger))
        .all(|trigger| trigger_type(trigger) == Some("external-push"));
    if is_short && (pushes || never_zero) {
        let why = if never_zero {
            "nothing goes to zero here"
        } else {
            "external-push wakes from zero by itself"
        };
        report.warn(
            polling.line,
            format!(
                "pollingInterval: makes nothing quicker: {why}, and between 1 and N the HPA asks every \
                 15 s whatever it is; leave it out"
            ),
        );
    }
}

fn fallback(spec: &Node, report: &mut Report) {
    let replicas = spec
        .get("fallback")
        .and_then(|fallback| fallback.get("replicas"));
    if let Some(replicas) = replicas.filter(|replicas| manifests::whole(Some(replicas)) == Some(0))
    {
        report.warn(
            replicas.line,
            "fallback.replicas: with 0 KEDA goes to zero on errors, whatever the behavior: make it 1 or \
             more, or leave fallback out; then the replicas stay as they are",
        );
    }
}

/// Another trigger, of which the HPA takes the larger count.
fn beside(index: usize, trigger: &Node, triggers: &[Node], report: &mut Report) {
    let path = format!("triggers[{index}]");
    match trigger_type(trigger) {
        Some(kind @ ("kafka" | "apache-kafka")) => report.warn(
            trigger.line,
            format!(
                "{path}: {kind}: the HPA takes the larger count of all triggers, so its flapping comes \
                 back: take it out"
            ),
        ),
        Some("prometheus") => report.warn(
            trigger.line,
            format!(
                "{path}: prometheus: the HPA takes the larger count of all triggers: if it is the \
                 inbound rate, put serverAddress and query into evenkeel's trigger instead"
            ),
        ),
        _ if manifests::is_ours(trigger) => {
            let group = |trigger: &Node| {
                trigger
                    .get("metadata")
                    .and_then(|metadata| metadata.get("consumerGroup")?.text())
                    .map(ToOwned::to_owned)
            };
            let earlier = triggers.iter().take(index);
            let is_second = earlier
                .filter(|earlier| manifests::is_ours(earlier))
                .any(|earlier| group(earlier).is_some() && group(earlier) == group(trigger));
            if is_second {
                report.warn(
                    trigger.line,
                    format!(
                        "{path}: is the second for one consumer group, and the HPA takes the larger \
                         count: name all its topics in one trigger, `topic: a,b`, and they are one load"
                    ),
                );
            }
        }
        _ => {}
    }
}

/// What surrounds the metadata in one of our triggers.
fn ours(index: usize, trigger: &Node, replicas: Replicas, report: &mut Report) {
    let path = format!("triggers[{index}]");
    if let Some(metric_type) = trigger.get("metricType")
        && metric_type.text() != Some("AverageValue")
    {
        report.error(
            metric_type.line,
            format!(
                "{path}.metricType: has to be AverageValue or absent: with another the HPA \
                 would not land on the number it is given"
            ),
        );
    }
    if let Some(cached) = trigger.get("useCachedMetrics")
        && matches!(&cached.value, Value::Other(text) if text == "true")
    {
        report.warn(
            cached.line,
            format!(
                "{path}.useCachedMetrics: delays every step by up to pollingInterval; evenkeel answers \
                 from memory: leave it out"
            ),
        );
    }
    // With TLS it is there for evenkeel's own certificate.
    let has_tls = trigger
        .get("metadata")
        .is_some_and(|metadata| metadata.get("enableTLS").is_some());
    if let Some(reference) = trigger.get("authenticationRef").filter(|_| !has_tls) {
        report.warn(
            reference.line,
            format!(
                "{path}.authenticationRef: KEDA uses it for the connection to evenkeel alone; what \
                 Kafka wants stands in evenkeel's connection profile"
            ),
        );
    }
    let metadata = trigger.get("metadata");
    let number = |key: &str| {
        let node = metadata?.get(key)?;
        Some((node.line, manifests::whole(Some(node))?))
    };
    if let Some((line, most)) = number("maxReplicas")
        && most > replicas.most
    {
        report.warn(
            line,
            format!(
                "{path}.metadata.maxReplicas: {most} lies above maxReplicaCount {}, where the HPA \
                 stops: evenkeel would wait for replicas that never come; make them the same",
                replicas.most
            ),
        );
    }
    if let Some((line, least)) = number("minReplicas")
        && least > replicas.most
    {
        report.error(
            line,
            format!(
                "{path}.metadata.minReplicas: {least} lies above maxReplicaCount {}",
                replicas.most
            ),
        );
    }
}

fn down(behavior: Option<&Node>, line: u64, replicas: Replicas, report: &mut Report) {
    let direction = behavior.and_then(|behavior| behavior.get("scaleDown"));
    let window = direction.and_then(|direction| direction.get("stabilizationWindowSeconds"));
    let line = [window, direction, behavior]
        .into_iter()
        .flatten()
        .next()
        .map_or(line, |node| node.line);
    let path = "advanced.horizontalPodAutoscalerConfig.behavior.scaleDown";
    if let Some(line) = disabled(direction) {
        report.warn(
            line,
            format!("{path}.selectPolicy: Disabled: nothing is ever lowered, but to zero"),
        );
        return;
    }
    let seconds = match window {
        Some(window) => manifests::whole(Some(window)).unwrap_or(0),
        None => HPA_DOWN_WINDOW_SECONDS,
    };
    if seconds > SHORT_WINDOW_SECONDS {
        let whose = if window.is_some() {
            ""
        } else {
            ", the HPA's default,"
        };
        report.warn(
            line,
            format!(
                "{path}.stabilizationWindowSeconds: {seconds} s{whose} come on top of evenkeel's own \
                 window, which knows of rebalances and outages: set 0"
            ),
        );
    }
    steps(direction, path, replicas, report);
    tolerance(direction, path, report);
}

fn up(behavior: Option<&Node>, replicas: Replicas, report: &mut Report) {
    let direction = behavior.and_then(|behavior| behavior.get("scaleUp"));
    let path = "advanced.horizontalPodAutoscalerConfig.behavior.scaleUp";
    if let Some(line) = disabled(direction) {
        report.warn(
            line,
            format!("{path}.selectPolicy: Disabled: nothing is ever raised, but from zero"),
        );
        return;
    }
    if let Some(window) =
        direction.and_then(|direction| direction.get("stabilizationWindowSeconds"))
        && manifests::whole(Some(window)).is_some_and(|seconds| seconds > 0)
    {
        report.warn(
            window.line,
            format!(
                "{path}.stabilizationWindowSeconds: holds every step up back, while records pile up: \
                 set 0; evenkeel does not follow a spike of lag"
            ),
        );
    }
    steps(direction, path, replicas, report);
    tolerance(direction, path, report);
}

/// The line that switches a direction off.
fn disabled(direction: Option<&Node>) -> Option<u64> {
    let policy = direction?.get("selectPolicy")?;
    (policy.text() == Some("Disabled")).then_some(policy.line)
}

/// Policies that make several steps, each with its rebalance, of one.
fn steps(direction: Option<&Node>, path: &str, replicas: Replicas, report: &mut Report) {
    let Some(policies) = direction.and_then(|direction| direction.get("policies")) else {
        return;
    };
    let is_one_step = |policy: &Node| {
        let value = manifests::whole(policy.get("value")).unwrap_or(u64::MAX);
        match policy.get("type").and_then(Node::text) {
            Some("Percent") if path.ends_with("scaleDown") => value >= 100,
            // From one replica to the most there can be.
            Some("Percent") => value >= replicas.most.saturating_sub(1).saturating_mul(100),
            _ => value >= replicas.most.saturating_sub(replicas.least.max(1)),
        }
    };
    let takes_the_least = direction
        .and_then(|direction| direction.get("selectPolicy")?.text())
        .is_some_and(|policy| policy == "Min");
    let items = policies.items();
    let lets_one_step_through = if takes_the_least {
        items.iter().all(is_one_step)
    } else {
        items.iter().any(is_one_step)
    };
    if !items.is_empty() && !lets_one_step_through {
        let instead = if path.ends_with("scaleDown") {
            "{type: Percent, value: 100, periodSeconds: 15}".to_owned()
        } else {
            format!(
                "{{type: Pods, value: {}, periodSeconds: 15}}",
                replicas.most
            )
        };
        report.warn(
            policies.line,
            format!(
                "{path}.policies: make several steps of one decision, each with its rebalance: let one \
                 step through, {instead}"
            ),
        );
    }
}

fn tolerance(direction: Option<&Node>, path: &str, report: &mut Report) {
    let Some(tolerance) = direction.and_then(|direction| direction.get("tolerance")) else {
        return;
    };
    match &tolerance.value {
        Value::Other(text) if text.contains('.') => report.error(
            tolerance.line,
            format!("{path}.tolerance: {text}: KEDA's schema takes a fraction as a string only; set 0"),
        ),
        Value::Other(text) | Value::Text(text) if text != "0" => report.warn(
            tolerance.line,
            format!("{path}.tolerance: {text}: the HPA swallows smaller steps that evenkeel means: set 0"),
        ),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
