//! What a cluster has of each ScaledObject, read once, for `evenkeel check --live`.
//!
//! Reads as whoever asks: the kubeconfig's user, not the scaler. Judges nothing.

use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use serde_json::Value;

use super::scaled_object::{ScaledObject, WorkloadKind};
use super::workloads::api_resource;
use super::{Cluster, in_time};
use crate::observe::Problem;

/// A ScaledObject and what belongs to it.
#[derive(Clone, Debug)]
pub struct Live {
    /// The ScaledObject, whole.
    pub scaled_object: Value,
    /// What it scales, whole; none where there is none. The sentence, where it could not be read.
    pub workload: Result<Option<Value>, String>,
    /// KEDA's HPA for it, whole; none where there is none.
    pub autoscaler: Result<Option<Value>, String>,
}

/// Every ScaledObject of `namespace`, or of all where absent, that `is_meant`.
///
/// # Errors
/// A sentence, where ScaledObjects cannot be listed.
pub async fn look(
    cluster: &Cluster,
    namespace: Option<&str>,
    is_meant: impl Fn(&Value) -> bool,
) -> Result<Vec<Live>, String> {
    let resource = api_resource(&WorkloadKind::scaled_object());
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(cluster.client.clone(), namespace, &resource),
        None => Api::all_with(cluster.client.clone(), &resource),
    };
    let listed = in_time(api.list(&ListParams::default())).await;
    let listed = listed.map_err(|refused| {
        let Problem { sentence, .. } = refused.problem("ScaledObjects cannot be listed");
        sentence
    })?;
    let mut found = Vec::new();
    for mut object in listed.items {
        // A list leaves out what all of its items have in common.
        object.types = Some(kube::api::TypeMeta {
            api_version: resource.api_version.clone(),
            kind: resource.kind.clone(),
        });
        let Ok(value) = serde_json::to_value(&object) else {
            continue;
        };
        if !is_meant(&value) {
            continue;
        }
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let workload = match ScaledObject::of(&object) {
            None => Ok(None),
            Some(read) => {
                let kind = api_resource(&read.target.kind);
                one(cluster, &namespace, &kind, &read.target.name).await
            }
        };
        let named = value.pointer("/status/hpaName").and_then(Value::as_str);
        let of_keda = || {
            format!(
                "keda-hpa-{}",
                object.metadata.name.clone().unwrap_or_default()
            )
        };
        let name = named.map_or_else(of_keda, ToOwned::to_owned);
        found.push(Live {
            autoscaler: one(cluster, &namespace, &autoscalers(), &name).await,
            scaled_object: value,
            workload,
        });
    }
    Ok(found)
}

fn autoscalers() -> ApiResource {
    api_resource(&WorkloadKind {
        group: "autoscaling".to_owned(),
        version: "v2".to_owned(),
        kind: "HorizontalPodAutoscaler".to_owned(),
        resource: "horizontalpodautoscalers".to_owned(),
    })
}

async fn one(
    cluster: &Cluster,
    namespace: &str,
    resource: &ApiResource,
    name: &str,
) -> Result<Option<Value>, String> {
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), namespace, resource);
    let found = in_time(api.get_opt(name)).await.map_err(|refused| {
        refused
            .problem(&format!(
                "{} {namespace}/{name} cannot be read",
                resource.kind
            ))
            .sentence
    })?;
    Ok(found.and_then(|object| serde_json::to_value(object).ok()))
}
