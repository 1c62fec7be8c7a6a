//! Reads what is asked of Kubernetes, how a leader is chosen, and where what was learned is kept.

use crate::config::kubernetes::{KubernetesConfig, LeaderConfig, StateConfig};
use crate::schema::Values;

pub(super) fn kubernetes(values: &mut Values) -> KubernetesConfig {
    KubernetesConfig {
        enabled: values.decided("kubernetes.enabled"),
        kubeconfig: values.path("kubernetes.kubeconfig"),
        namespace: values.name("kubernetes.namespace"),
        workloads: values.boolean("kubernetes.workloads"),
        events: values.boolean("kubernetes.events"),
    }
}

/// How a leader is chosen, where one is.
pub(super) fn leader(values: &mut Values, kubernetes: &KubernetesConfig) -> Option<LeaderConfig> {
    let duration = values.duration("leader.leaseDuration");
    let (identity, host) = (values.text("leader.identity"), values.host("leader.host"));
    let Some(lease) = values.name("leader.lease") else {
        for key in ["leader.identity", "leader.host"] {
            if values.is_given(key) {
                values.wrong(
                    key,
                    "means nothing without leader.lease: add it, or remove this",
                );
            }
        }
        return None;
    };
    values.require("leader.host");
    if kubernetes.enabled == Some(false) {
        let why = "needs the cluster, and kubernetes.enabled is false: remove one of the two";
        values.wrong("leader.lease", why);
    }
    Some(LeaderConfig {
        lease,
        identity,
        host: host.unwrap_or_default(),
        duration: duration.unwrap_or_default(),
    })
}

/// Where what was learned is kept, where it is.
pub(super) fn state(values: &mut Values, kubernetes: &KubernetesConfig) -> Option<StateConfig> {
    let (config_maps, path) = (values.name("state.configMaps"), values.path("state.path"));
    if config_maps.is_some() && kubernetes.enabled == Some(false) {
        let why = "needs the cluster, and kubernetes.enabled is false: use state.path";
        values.wrong("state.configMaps", why);
    }
    if config_maps.is_some() && path.is_some() {
        values.wrong(
            "state.path",
            "stands beside state.configMaps: remove one of the two",
        );
    }
    match (config_maps, path) {
        (Some(name), _) => Some(StateConfig::ConfigMaps(name)),
        (None, Some(path)) => Some(StateConfig::Folder(path)),
        (None, None) => None,
    }
}
