//! What a workload, or its scale subresource, says of its replicas.
//!
//! A Deployment and a StatefulSet tell how many of their pods are ready and whether a rolling update
//! goes on; of any other kind only its scale subresource is known, which tells neither.

use k8s_openapi::api::autoscaling::v1::Scale;
use kube::api::DynamicObject;

use super::scaled_object::count;

/// What a workload says of its replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replicas {
    /// How many it is to have.
    pub asked: u32,
    /// How many pods exist.
    pub exist: u32,
    /// How many of them are ready, where that is told.
    pub ready: Option<u32>,
    /// Whether a rolling update goes on.
    pub updating: bool,
}

// === impl Replicas ===

impl Replicas {
    /// Of a Deployment or a StatefulSet.
    pub fn of_object(object: &DynamicObject) -> Self {
        let status = |name: &str| count(&object.data, &format!("/status/{name}"));
        // The API server writes down a default of 1; a status that lacks a count means none.
        let asked = count(&object.data, "/spec/replicas").unwrap_or(1);
        let exist = status("replicas").unwrap_or(0);
        let updated = status("updatedReplicas").unwrap_or(0);
        Self {
            asked,
            exist,
            ready: Some(status("readyReplicas").unwrap_or(0)),
            updating: updated < exist,
        }
    }

    /// Of a scale subresource.
    pub fn of_scale(scale: &Scale) -> Self {
        let count = |count: i32| u32::try_from(count).unwrap_or(0);
        let exist = scale
            .status
            .as_ref()
            .map_or(0, |status| count(status.replicas));
        let asked = scale.spec.as_ref().and_then(|spec| spec.replicas);
        Self {
            // Left out where it is 0.
            asked: asked.map_or(0, count),
            exist,
            ready: None,
            updating: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(object: serde_json::Value) -> Replicas {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        Replicas::of_object(&object)
    }

    #[test]
    fn a_deployment_tells_asked_existing_and_ready() {
        let read = of(json!({
            "metadata": {}, "spec": {"replicas": 12},
            "status": {"replicas": 10, "readyReplicas": 8, "updatedReplicas": 10},
        }));
        assert_eq!(
            read,
            Replicas {
                asked: 12,
                exist: 10,
                ready: Some(8),
                updating: false
            }
        );
    }

    #[test]
    fn old_pods_beside_new_ones_are_a_rolling_update() {
        let read = of(json!({
            "metadata": {}, "spec": {"replicas": 12},
            "status": {"replicas": 15, "readyReplicas": 12, "updatedReplicas": 3},
        }));
        assert!(read.updating);
        assert_eq!((read.exist, read.ready), (15, Some(12)));
    }

    #[test]
    fn counts_that_are_left_out_are_none_and_a_missing_replicas_is_one() {
        let read = of(json!({"metadata": {}, "spec": {}, "status": {}}));
        assert_eq!(
            read,
            Replicas {
                asked: 1,
                exist: 0,
                ready: Some(0),
                updating: false
            }
        );
    }

    #[test]
    fn a_scale_subresource_tells_asked_and_existing() {
        let scale: Scale = serde_json::from_value(json!({
            "metadata": {"name": "rollout"}, "spec": {"replicas": 4},
            "status": {"replicas": 3, "selector": "app=rollout"},
        }))
        .unwrap();
        assert_eq!(
            Replicas::of_scale(&scale),
            Replicas {
                asked: 4,
                exist: 3,
                ready: None,
                updating: false
            }
        );
        let none: Scale = serde_json::from_value(json!({"metadata": {}, "spec": {}})).unwrap();
        assert_eq!(
            (
                Replicas::of_scale(&none).asked,
                Replicas::of_scale(&none).exist
            ),
            (0, 0)
        );
    }
}
