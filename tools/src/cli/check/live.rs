//! What of a cluster stands in the way of a ScaledObject now: what KEDA and the HPA say of themselves, what
//! its workload has and has not, and where its bounds are reached.
//!
//! Repeats what they say rather than judging anew. What evenkeel itself says is `evenkeel explain`'s.

use evenkeel_scaler::kubernetes::live::Live;
use serde_json::Value;

use super::report::Report;
use crate::cli::manifests::KEDA_MAX_REPLICAS;

/// `namespace/name`.
pub fn name(live: &Live) -> String {
    let part = |path| text(&live.scaled_object, path).unwrap_or_default();
    format!("{}/{}", part("/metadata/namespace"), part("/metadata/name"))
}

/// Adds what stands in the way.
pub fn check(live: &Live, report: &mut Report) {
    let paused = is_paused(&live.scaled_object);
    if let Some(annotation) = &paused {
        report.warn(1, format!("{annotation} is set: KEDA does not scale it"));
    }
    of_keda(&live.scaled_object, report);
    match &live.workload {
        Err(sentence) => report.warn(1, sentence.clone()),
        Ok(None) => report.error(1, "what scaleTargetRef names does not exist"),
        Ok(Some(workload)) => of_workload(workload, &live.scaled_object, report),
    }
    match &live.autoscaler {
        Err(sentence) => report.warn(1, sentence.clone()),
        Ok(None) if paused.is_none() => {
            report.error(1, "KEDA has made no HPA for it: see the condition Ready");
        }
        Ok(None) => {}
        Ok(Some(autoscaler)) => of_autoscaler(autoscaler, report),
    }
}

fn is_paused(object: &Value) -> Option<String> {
    let annotations = object.pointer("/metadata/annotations")?.as_object()?;
    let pausing = [
        "paused",
        "paused-replicas",
        "paused-scale-in",
        "paused-scale-out",
    ];
    pausing
        .map(|name| format!("autoscaling.keda.sh/{name}"))
        .into_iter()
        .find(|name| annotations.get(name).is_some_and(|value| value != "false"))
}

fn of_keda(object: &Value, report: &mut Report) {
    for condition in conditions(object) {
        let (kind, says) = (condition.kind, &condition.says);
        match (kind, condition.status) {
            ("Ready", "False") => report.error(1, format!("KEDA: not ready: {says}")),
            ("Ready", "Unknown") => report.warn(1, format!("KEDA: not known to be ready: {says}")),
            ("Fallback", "True") => {
                report.warn(1, format!("KEDA: its fallback is in use: {says}"));
            }
            _ => {}
        }
    }
}

fn of_workload(workload: &Value, object: &Value, report: &mut Report) {
    let count = |path: &str| workload.pointer(path).and_then(Value::as_u64);
    let asked = count("/spec/replicas").unwrap_or(1);
    let exist = count("/status/replicas").unwrap_or(0);
    if exist < asked {
        let failed = conditions(workload).find(|condition| condition.kind == "ReplicaFailure");
        let why = failed.map_or_else(
            || "its pods are not made: a quota, or an admission rule".to_owned(),
            |condition| condition.says,
        );
        report.error(1, format!("{exist} of {asked} replicas exist: {why}"));
    }
    // Kinds that tell nothing of ready pods are left alone.
    let tells = text(workload, "/apiVersion").is_some_and(|version| version.starts_with("apps/"));
    let ready = count("/status/readyReplicas").unwrap_or(0);
    if tells && ready < exist {
        report.warn(
            1,
            format!("{ready} of {exist} pods are ready: kubectl describe pods says why"),
        );
    }
    let most = object
        .pointer("/spec/maxReplicaCount")
        .and_then(Value::as_u64);
    let most = most.unwrap_or(KEDA_MAX_REPLICAS);
    if asked >= most {
        report.warn(
            1,
            format!("at its maxReplicaCount, {asked}: no more can come"),
        );
    }
}

fn of_autoscaler(autoscaler: &Value, report: &mut Report) {
    for condition in conditions(autoscaler) {
        let is_off = text(autoscaler, "/status/desiredReplicas").is_none()
            && autoscaler
                .pointer("/status/currentReplicas")
                .and_then(Value::as_u64)
                == Some(0);
        match (condition.kind, condition.status) {
            // At no replicas the HPA is off by design, and KEDA wakes it.
            ("ScalingActive", "False") if condition.reason == "ScalingDisabled" || is_off => {}
            ("AbleToScale" | "ScalingActive", "False") => {
                report.error(1, format!("the HPA does not scale: {}", condition.says));
            }
            _ => {}
        }
    }
}

struct Condition<'a> {
    kind: &'a str,
    status: &'a str,
    reason: &'a str,
    /// Its reason and message.
    says: String,
}

fn conditions(object: &Value) -> impl Iterator<Item = Condition<'_>> {
    let all = object
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    all.into_iter().flatten().filter_map(|condition| {
        let of = |key: &str| condition.get(key).and_then(Value::as_str);
        let reason = of("reason").unwrap_or_default();
        Some(Condition {
            kind: of("type")?,
            status: of("status")?,
            reason,
            says: match of("message") {
                Some(message) if !message.is_empty() => format!("{reason}: {message}"),
                _ => reason.to_owned(),
            },
        })
    })
}

fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path)?.as_str()
}
