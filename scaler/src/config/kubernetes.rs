//! What is asked of Kubernetes, how one of several replicas is chosen, and where what was learned is kept.
//!
//! This file holds the types; whether there is a cluster at all is found out when the process starts.

use std::path::PathBuf;
use std::time::Duration;

/// What is asked of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// Whether it is asked at all; where absent, where there is something to ask it with.
    pub enabled: Option<bool>,
    /// How it is reached from outside; as a pod does where absent.
    pub kubeconfig: Option<PathBuf>,
    /// Where the Lease and the ConfigMaps are; the pod's own namespace where absent.
    pub namespace: Option<String>,
    /// Whether ScaledObjects and the workloads that they scale are watched.
    pub workloads: bool,
    /// Whether decisions are written as Events on ScaledObjects.
    pub events: bool,
}

/// How one of several replicas of the scaler is chosen to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderConfig {
    /// The Lease's name.
    pub lease: String,
    /// Who this replica is, for people; the host's name where absent.
    pub identity: Option<String>,
    /// Where the others reach this replica.
    pub host: String,
    /// How long a Lease lasts that is not renewed.
    pub duration: Duration,
}

/// Where what was learned is kept over restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateConfig {
    /// In ConfigMaps whose names begin so.
    ConfigMaps(String),
    /// In files of a folder.
    Folder(PathBuf),
}
