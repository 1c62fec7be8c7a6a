//! What a scaling policy is to the simulator: it looks, and it answers when it is asked.

use crate::hpa::Metric;
use crate::prometheus::Prometheus;
use crate::workload::Workload;
use crate::world::World;

/// All that there is to be seen. What a policy may look at is its own honesty: only the oracles look
/// at the workload, or at the world beyond what a broker tells.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// The world at this moment.
    pub world: &'a World,
    /// What Prometheus has scraped.
    pub prometheus: &'a Prometheus,
    /// The load, past and future.
    pub workload: &'a Workload,
}

/// What a policy answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Metrics for the HPA, and activity for KEDA.
    Metrics {
        /// One a trigger.
        metrics: Vec<Metric>,
        /// Whether any trigger is active; `None` when none of them answers.
        active: Option<bool>,
    },
    /// A policy that sets the replicas itself, with no HPA in between.
    Replicas(u32),
}

/// A scaling policy in the loop.
pub trait Scaler {
    /// Called every second, before anybody asks. A policy that observes at its own pace does it here.
    fn look(&mut self, sight: Sight<'_>);

    /// What it answers at this moment.
    fn answer(&mut self, sight: Sight<'_>) -> Answer;

    /// Whether it wakes a sleeping target by itself at this moment, without being asked.
    fn pushes(&self) -> bool {
        false
    }
}
