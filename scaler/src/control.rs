//! The one caller of the engine: a loop a cluster, a target a ScaledObject, published decisions.
//!
//! Loops run at their own pace; calls from KEDA only read what was published and never cause I/O.
//! Reading order: [`registry`] (which targets there are), [`target`] (one of them, and what was
//! published for it), [`history`] (what is remembered of that), [`recording`]
//! (decisions with what they were made of, on request), [`kept`] (what was learned of each), [`supervisor`] (a loop for each
//! cluster that is asked about), [`cluster_loop`] (when a loop asks Kafka what), [`baselines`]
//! (Prometheus beside it), `earlier` (what Prometheus knows of earlier days), `from_log` (what the
//! logs themselves know of them), [`watched`] (from a reading to a published decision), [`announcements`] (what people
//! are told of it).

pub mod announcements;
pub mod baselines;
pub mod cluster_loop;
mod earlier;
mod from_log;
pub mod history;
pub mod kept;
pub mod recording;
pub mod registry;
pub mod supervisor;
pub mod target;
pub mod watched;

use std::sync::Arc;

use evenkeel_engine::{Decision, Observation, Policy, State, Timestamp};

use self::target::{ClusterRef, TargetKey};
use crate::observe::prometheus::ObservePrometheus;
use crate::observe::{ObserveKafka, Problem, WorkloadReading};

/// The decision: [`evenkeel_engine::decide`], or a stand-in in tests of the loops.
pub type Decide = fn(&Policy, State, &Observation, Timestamp) -> (State, Decision);

/// Makes the adapters that a loop observes with.
pub trait Sources: Send + Sync + 'static {
    /// One Kafka cluster.
    type Kafka: ObserveKafka;
    /// All Prometheus servers.
    type Prometheus: ObservePrometheus;

    /// An observer of `cluster` that has not connected yet. Does no I/O.
    ///
    /// # Errors
    /// When the cluster may not be observed; asked again at every full tick.
    fn kafka(&self, cluster: &ClusterRef) -> Result<Self::Kafka, Problem>;

    /// The one Prometheus observer of the process.
    fn prometheus(&self) -> Arc<Self::Prometheus>;

    /// What Kubernetes knows of the workload of a target. Does no I/O.
    fn workload(&self, target: &TargetKey, now: Timestamp) -> WorkloadReading;
}
