//! The closed loop: a world, a policy, and KEDA and the HPA between them.
//!
//! Second by second: the world goes on, the policy looks, KEDA polls every 30 s and the HPA every 15,
//! out of step as two controllers are; a push wakes a target at once. What is set comes back to the
//! policy only through what it observes.

use std::time::Duration;

use crate::chance::{Purpose, stream};
use crate::hpa::{Behavior, Hpa};
use crate::keda::{Activation, Fallback};
use crate::outcome::{Change, Outcome};
use crate::prometheus::Prometheus;
use crate::scaler::{Answer, Scaler, Sight};
use crate::workload::Workload;
use crate::world::{World, WorldSpec};

/// KEDA's default `pollingInterval`.
const POLL_SECONDS: u64 = 30;

/// The default sync period of Kubernetes' controller manager.
const SYNC_SECONDS: u64 = 15;

/// A ScaledObject and the HPA that KEDA makes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaledObject {
    /// `minReplicaCount`.
    pub min_replicas: u32,
    /// `maxReplicaCount`.
    pub max_replicas: u32,
    /// `cooldownPeriod`.
    pub cooldown: Duration,
    /// The HPA's behaviour.
    pub behavior: Behavior,
    /// `fallback`, applied to each trigger.
    pub fallback: Option<Fallback>,
}

/// One run, ready to go.
pub struct Run<'a> {
    workload: &'a Workload,
    world: World,
    scaler: Box<dyn Scaler>,
    prometheus: Prometheus,
    object: ScaledObject,
    activation: Activation,
    hpa: Hpa,
    poll_phase: u64,
    sync_phase: u64,
    applied_at_second: u64,
    changes: Vec<Change>,
}

// === impl Run ===

impl<'a> Run<'a> {
    /// A run of `workload` on a world of `spec` under `scaler`, whose ScaledObject is applied after so
    /// many seconds, with this seed.
    pub fn new(
        workload: &'a Workload,
        spec: WorldSpec,
        scaler: Box<dyn Scaler>,
        object: ScaledObject,
        applied_at_second: u64,
        seed: u64,
    ) -> Self {
        let mut chance = stream(seed, Purpose::Polls, 0);
        Self {
            workload,
            world: World::new(spec, workload, seed),
            scaler,
            prometheus: Prometheus::default(),
            activation: Activation::new(object.min_replicas, object.cooldown),
            hpa: Hpa::new(object.behavior.clone()),
            object,
            poll_phase: chance.u64(0..POLL_SECONDS),
            sync_phase: chance.u64(0..SYNC_SECONDS),
            applied_at_second,
            changes: Vec::new(),
        }
    }

    /// Runs it to its end.
    pub fn to_the_end(mut self) -> Outcome {
        for _ in 0..self.workload.seconds() {
            self.second();
        }
        Outcome::of(self.world, self.changes, self.workload)
    }

    /// One second.
    fn second(&mut self) {
        self.world.second(self.workload);
        let now = self.world.now();
        self.prometheus.second(now, self.world.written());
        if now < self.applied_at_second {
            return;
        }
        let sight = Sight {
            world: &self.world,
            prometheus: &self.prometheus,
            workload: self.workload,
        };
        self.scaler.look(sight);
        let replicas = self.world.replicas();
        let polls = now % POLL_SECONDS == self.poll_phase;
        let syncs = now % SYNC_SECONDS == self.sync_phase;
        let woken = replicas == 0 && self.scaler.pushes();
        if !polls && !syncs && !woken {
            return;
        }
        let mut wanted = replicas;
        match self.scaler.answer(sight) {
            Answer::Replicas(count) => {
                wanted = count.clamp(self.object.min_replicas, self.object.max_replicas);
            }
            Answer::Metrics {
                mut metrics,
                active,
            } => {
                let at = self.world.timestamp();
                if (polls || woken)
                    && let Some(active) = active
                {
                    wanted = self.activation.told(at, active, wanted);
                }
                if let Some(fallback) = &mut self.object.fallback {
                    for metric in &mut metrics {
                        metric.value_milli = fallback.tell(metric.value_milli, metric.target_milli);
                    }
                }
                if syncs && let Some(outcome) = self.hpa.sync(at, wanted, &metrics) {
                    wanted = outcome.desired;
                }
            }
        }
        self.set(wanted);
    }

    fn set(&mut self, wanted: u32) {
        let from = self.world.replicas();
        if wanted == from {
            return;
        }
        self.changes.push(Change {
            second: self.world.now(),
            from,
            to: wanted,
            rebalancing: self.world.rebalancing(),
            waiting: crate::chance::whole(self.world.waiting().sum()),
        });
        self.world.scale(wanted);
    }
}
