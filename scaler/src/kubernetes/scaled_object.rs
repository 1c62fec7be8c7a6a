//! What a ScaledObject says of how its workload is scaled.
//!
//! Read field by field out of what the API server sends: what is missing has KEDA's default, and a
//! field that makes no sense counts as missing. KEDA judges ScaledObjects; this does not.

use evenkeel_engine::{Paused, Scaling};
use kube::api::DynamicObject;
use serde_json::Value;

/// KEDA's default of `maxReplicaCount`.
const DEFAULT_MAX: u32 = 100;
/// What a target without a kind is.
const DEFAULT_KIND: &str = "Deployment";
const DEFAULT_API_VERSION: &str = "apps/v1";
/// The tolerance of every HPA that names none (kube-controller-manager's default).
const DEFAULT_TOLERANCE: f64 = 0.1;

/// What a ScaledObject says of how its workload is scaled.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ScaledObject {
    /// Its uid, for Events.
    pub uid: String,
    /// Its version in the API server's terms, for Events.
    pub api_version: String,
    /// What it scales.
    pub target: TargetRef,
    /// Within which bounds.
    pub scaling: Scaling,
}

/// The workload that a ScaledObject scales, in its own namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TargetRef {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
}

/// The kind of a workload: enough to ask the API server for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WorkloadKind {
    /// Its group; empty for the core group.
    pub group: String,
    /// Its version.
    pub version: String,
    /// Its kind.
    pub kind: String,
    /// Its plural: the resource's name.
    pub resource: String,
}

// === impl ScaledObject ===

impl ScaledObject {
    /// Reads it; nothing where it names no target.
    pub fn of(object: &DynamicObject) -> Option<Self> {
        let spec = object.data.get("spec")?;
        Some(Self {
            uid: object.metadata.uid.clone().unwrap_or_default(),
            api_version: object.types.as_ref().map_or_else(
                || "keda.sh/v1alpha1".to_owned(),
                |types| types.api_version.clone(),
            ),
            target: TargetRef {
                kind: WorkloadKind::of(&object.data)?,
                name: text(spec, "/scaleTargetRef/name")?.to_owned(),
            },
            scaling: scaling(spec, object),
        })
    }
}

fn scaling(spec: &Value, object: &DynamicObject) -> Scaling {
    let behavior = |direction: &str| {
        let path =
            format!("/advanced/horizontalPodAutoscalerConfig/behavior/{direction}/tolerance");
        spec.pointer(&path).and_then(quantity)
    };
    Scaling {
        min: count(spec, "/minReplicaCount").unwrap_or(0),
        max: count(spec, "/maxReplicaCount").unwrap_or(DEFAULT_MAX),
        idle: count(spec, "/idleReplicaCount"),
        tolerance_up: behavior("scaleUp").unwrap_or(DEFAULT_TOLERANCE),
        tolerance_down: behavior("scaleDown").unwrap_or(DEFAULT_TOLERANCE),
        paused: paused(object),
    }
}

/// KEDA's annotations: `paused` and `paused-replicas` stop everything, the others one direction.
fn paused(object: &DynamicObject) -> Paused {
    let annotation = |name: &str| {
        let annotations = object.metadata.annotations.as_ref()?;
        annotations.get(&format!("autoscaling.keda.sh/{name}"))
    };
    let is_set = |name: &str| {
        annotation(name).is_some_and(|value| crate::schema::boolean(value).unwrap_or(true))
    };
    let (down, up) = (is_set("paused-scale-in"), is_set("paused-scale-out"));
    if is_set("paused") || annotation("paused-replicas").is_some() || (down && up) {
        Paused::All
    } else if down {
        Paused::Down
    } else if up {
        Paused::Up
    } else {
        Paused::No
    }
}

// === impl WorkloadKind ===

impl WorkloadKind {
    /// That of ScaledObjects themselves.
    pub fn scaled_object() -> Self {
        Self {
            group: "keda.sh".to_owned(),
            version: "v1alpha1".to_owned(),
            kind: "ScaledObject".to_owned(),
            resource: "scaledobjects".to_owned(),
        }
    }

    /// What KEDA found the target to be; by its reference where KEDA has not looked yet.
    fn of(object: &Value) -> Option<Self> {
        let found = object.pointer("/status/scaleTargetGVKR");
        let reference = object.pointer("/spec/scaleTargetRef")?;
        let kind = text(reference, "/kind").unwrap_or(DEFAULT_KIND);
        let api_version = text(reference, "/apiVersion").unwrap_or(DEFAULT_API_VERSION);
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let given = Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            resource: plural(kind),
        };
        let found = found.and_then(|found| {
            Some(Self {
                group: text(found, "/group").unwrap_or_default().to_owned(),
                version: text(found, "/version")?.to_owned(),
                kind: text(found, "/kind")?.to_owned(),
                resource: text(found, "/resource")?.to_owned(),
            })
        });
        // The status is of an older reference as long as KEDA has not looked again.
        let is_of_reference = |found: &Self| found.group == given.group && found.kind == given.kind;
        Some(found.filter(is_of_reference).unwrap_or(given))
    }
}

/// The plural by the rule that almost every kind follows.
fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    if lower.ends_with('s') || lower.ends_with('x') {
        format!("{lower}es")
    } else if let Some(stem) = lower.strip_suffix('y') {
        format!("{stem}ies")
    } else {
        format!("{lower}s")
    }
}

/// The count at `path`, where there is one.
pub(super) fn count(value: &Value, path: &str) -> Option<u32> {
    u32::try_from(value.pointer(path)?.as_u64()?).ok()
}

fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value
        .pointer(path)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// A quantity as the API server writes it: `0.1`, `100m` or a number.
fn quantity(value: &Value) -> Option<f64> {
    let quantity = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => match text.strip_suffix('m') {
            Some(milli) => milli.parse::<f64>().ok()? / 1_000.0,
            None => text.parse().ok()?,
        },
        _ => return None,
    };
    (quantity.is_finite() && quantity >= 0.0).then_some(quantity)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(object: Value) -> Option<ScaledObject> {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        ScaledObject::of(&object)
    }

    fn with(spec: Value, annotations: Value) -> ScaledObject {
        let metadata =
            json!({"name": "trades", "namespace": "back-office", "annotations": annotations});
        read(json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata, "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn what_is_missing_has_kedas_defaults() {
        let read = with(json!({"scaleTargetRef": {"name": "consumer"}}), json!({}));
        assert_eq!(read.target.name, "consumer");
        assert_eq!(read.target.kind.resource, "deployments");
        assert_eq!(
            (
                read.target.kind.group.as_str(),
                read.target.kind.version.as_str()
            ),
            ("apps", "v1")
        );
        let scaling = Scaling {
            min: 0,
            max: 100,
            idle: None,
            tolerance_up: 0.1,
            tolerance_down: 0.1,
            paused: Paused::No,
        };
        assert_eq!(read.scaling, scaling);
    }

    #[test]
    fn bounds_and_tolerances_are_read() {
        let spec = json!({
            "scaleTargetRef": {"name": "consumer", "kind": "StatefulSet"},
            "minReplicaCount": 2, "maxReplicaCount": 40, "idleReplicaCount": 0,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {
                "scaleUp": {"tolerance": "50m"}, "scaleDown": {"tolerance": "0.02"},
            }}},
        });
        let read = with(spec, json!({}));
        assert_eq!(read.target.kind.resource, "statefulsets");
        let scaling = Scaling {
            min: 2,
            max: 40,
            idle: Some(0),
            tolerance_up: 0.05,
            tolerance_down: 0.02,
            paused: Paused::No,
        };
        assert_eq!(read.scaling, scaling);
    }

    #[test]
    fn annotations_pause_as_keda_reads_them() {
        let paused = |annotations: Value| {
            with(json!({"scaleTargetRef": {"name": "consumer"}}), annotations)
                .scaling
                .paused
        };
        assert_eq!(
            paused(json!({"autoscaling.keda.sh/paused": "true"})),
            Paused::All
        );
        assert_eq!(
            paused(json!({"autoscaling.keda.sh/paused": "false"})),
            Paused::No
        );
        assert_eq!(
            paused(json!({"autoscaling.keda.sh/paused-replicas": "0"})),
            Paused::All
        );
        assert_eq!(
            paused(json!({"autoscaling.keda.sh/paused-scale-in": "true"})),
            Paused::Down
        );
        assert_eq!(
            paused(json!({"autoscaling.keda.sh/paused-scale-out": "true"})),
            Paused::Up
        );
    }

    #[test]
    fn what_keda_found_names_the_resource_as_long_as_it_is_of_this_reference() {
        let object = |kind: &str| {
            json!({
                "metadata": {"name": "trades"},
                "spec": {"scaleTargetRef": {"name": "c", "apiVersion": "argoproj.io/v1alpha1", "kind": kind}},
                "status": {"scaleTargetGVKR": {
                    "group": "argoproj.io", "version": "v1beta1", "kind": "Rollout", "resource": "rolls",
                }},
            })
        };
        let of_rollout = read(object("Rollout")).unwrap().target.kind;
        assert_eq!(
            (of_rollout.resource.as_str(), of_rollout.version.as_str()),
            ("rolls", "v1beta1")
        );
        let of_policy = read(object("Policy")).unwrap().target.kind;
        assert_eq!(
            (of_policy.resource.as_str(), of_policy.version.as_str()),
            ("policies", "v1alpha1")
        );
    }

    #[test]
    fn nonsense_counts_as_missing() {
        let spec = json!({
            "scaleTargetRef": {"name": "consumer"}, "minReplicaCount": -1, "maxReplicaCount": "many",
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleUp": {"tolerance": "NaN"}}}},
        });
        let scaling = with(spec, json!({})).scaling;
        assert_eq!(
            (scaling.min, scaling.max, scaling.tolerance_up),
            (0, 100, 0.1)
        );
        assert_eq!(read(json!({"metadata": {}, "spec": {}})), None);
        assert_eq!(read(json!({"metadata": {}})), None);
    }
}
