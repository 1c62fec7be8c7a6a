//! A loop for each cluster that some target is on, and the end of targets that nobody asks for.
//!
//! A loop starts with the first target of its cluster and ends with the last. Loops know nothing of
//! each other: a slow cluster delays only its own targets. One that panics (an error of this
//! program) is counted, logged and started again, cold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use super::Sources;
use super::cluster_loop::{ClusterLoop, LoopContext};
use super::target::ClusterRef;

/// How often idle targets are looked for and crashed loops started again. Idle times are minutes, so
/// a second is exact enough, and a loop that crashes at once costs one attempt a second.
const ROUND: Duration = Duration::from_secs(1);

/// Runs all loops.
#[derive(Debug)]
pub struct Supervisor<S: Sources> {
    context: LoopContext<S>,
    target_idle: Duration,
    loops: JoinSet<()>,
    running: BTreeMap<ClusterRef, AbortHandle>,
}

// === impl Supervisor ===

impl<S: Sources> Supervisor<S> {
    /// A supervisor of no loops yet; forgets targets that nobody asked for in `target_idle`.
    pub fn new(context: LoopContext<S>, target_idle: Duration) -> Self {
        Self {
            context,
            target_idle,
            loops: JoinSet::new(),
            running: BTreeMap::new(),
        }
    }

    /// Runs until it is dropped, which ends every loop.
    pub async fn run(mut self) {
        let mut changes = self.context.registry.changes();
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = rounds.tick() => self.expire(),
                Ok(()) = changes.changed() => {}
            }
            self.bury();
            self.start_and_end();
        }
    }

    fn expire(&self) {
        let now = self.context.clock.now();
        for key in self.context.registry.expire(self.target_idle, now) {
            tracing::info!(
                namespace = key.namespace,
                name = key.name,
                idle_seconds = self.target_idle.as_secs(),
                "nobody asks for this target any more: forgotten"
            );
        }
    }

    /// Notes loops that ended. They only end by panic or because they were told to.
    fn bury(&mut self) {
        while let Some(ended) = self.loops.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                self.context.metrics.loop_panics.inc();
                tracing::error!("a cluster's loop panicked and is started again: {error}");
            }
        }
        self.running.retain(|_, handle| !handle.is_finished());
    }

    fn start_and_end(&mut self) {
        let wanted: BTreeSet<ClusterRef> = self
            .context
            .registry
            .all()
            .into_iter()
            .map(|target| target.spec.cluster.clone())
            .collect();
        self.running.retain(|cluster, handle| {
            let keep = wanted.contains(cluster);
            if !keep {
                tracing::info!(%cluster, "no target is left: its loop ends");
                handle.abort();
            }
            keep
        });
        for cluster in wanted {
            if !self.running.contains_key(&cluster) {
                tracing::info!(%cluster, "a first target is registered: its loop starts");
                let cluster_loop = ClusterLoop::new(self.context.clone(), cluster.clone());
                let handle = self.loops.spawn(cluster_loop.run());
                self.running.insert(cluster, handle);
            }
        }
    }
}
