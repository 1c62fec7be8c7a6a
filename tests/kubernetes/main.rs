//! What the scaler asks of Kubernetes, against a scripted API server with every fault it has to live with.
//!
//! Nothing here concludes from how long something took: what has to come is waited for, and what must
//! never be is looked for at every look. The real API server is in `make cluster-test`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly"
)]

#[path = "../connections/authority.rs"]
#[expect(dead_code, reason = "another test uses the rest of it")]
mod authority;
mod events;
#[path = "../support/eventually.rs"]
mod eventually;
#[path = "../support/fake_kubernetes.rs"]
mod fake_kubernetes;
mod kept;
mod lease;
#[path = "../support/process.rs"]
#[expect(dead_code, reason = "another test uses the rest of it")]
mod process;
mod replicas;
mod workloads;

use evenkeel_scaler::config::kubernetes::KubernetesConfig;
use evenkeel_scaler::kubernetes::Cluster;
use fake_kubernetes::FakeKubernetes;
use serde_json::{Value, json};
use tempfile::TempDir;

const SCALED_OBJECTS: &str = "/apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";

/// An API server and a way to it.
struct World {
    api: FakeKubernetes,
    cluster: Cluster,
    _folder: TempDir,
}

// === impl World ===

impl World {
    async fn start() -> Self {
        evenkeel_scaler::tls::use_ring();
        let api = FakeKubernetes::start().await;
        let folder = tempfile::tempdir().unwrap();
        let config = KubernetesConfig {
            enabled: None,
            kubeconfig: Some(api.kubeconfig(folder.path()).into()),
            namespace: None,
            workloads: true,
            events: true,
        };
        let cluster = Cluster::of(&config).await.unwrap().unwrap();
        Self {
            api,
            cluster,
            _folder: folder,
        }
    }
}

/// A ScaledObject over a Deployment of the same name.
fn scaled_object(target: &str) -> Value {
    json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {},
        "spec": {"scaleTargetRef": {"name": target}, "minReplicaCount": 1, "maxReplicaCount": 40},
    })
}

fn deployment(asked: u32, exist: u32, ready: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {},
        "spec": {"replicas": asked},
        "status": {"replicas": exist, "readyReplicas": ready, "updatedReplicas": exist},
    })
}
