//! Ours: the engine of `evenkeel serve`, observing as it does and asked as it is.
//!
//! It polls every 5 s, a sleeping target every second, and not quite on time; between polls its last
//! decision is what KEDA and the HPA get. It sees committed offsets, log ends and the group, never the
//! world itself.

use std::time::Duration;

use evenkeel_engine::{
    Decision, Desired, Observation, OffsetReset, Past, Policy, PrometheusObservation, Scaling,
    State, Timestamp, Tuning, WorkloadObservation, decide,
};
use fastrand::Rng;

use crate::chance::{Purpose, stream};
use crate::hpa::Metric;
use crate::prometheus::Prometheus;
use crate::scaler::{Answer, Scaler, Sight};
use crate::world::EPOCH_SECONDS;

/// How often a target that sleeps is looked at.
const ASLEEP_POLL_SECONDS: u64 = 1;

/// One poll in so many is a second late.
const LATE_ONE_IN: u32 = 8;

/// The product's defaults for a pod of this capacity, learned where absent, and a start of this many
/// seconds.
pub fn default_policy(capacity: Option<f64>, startup_seconds: u64) -> Policy {
    Policy {
        min_replicas: 0,
        max_replicas: None,
        allow_idle_consumers: false,
        limit_to_partitions_with_lag: false,
        exclude_persistent_lag: false,
        offset_reset: OffsetReset::Latest,
        scale_to_zero_on_invalid_offset: false,
        read_committed: false,
        lag_threshold_records: 10,
        activation_lag_records: 0,
        activation_records_per_second: None,
        capacity_per_replica: capacity,
        target_utilization: 0.8,
        catch_up: Duration::from_secs(120),
        target_lag: None,
        scale_down_window: Duration::from_secs(300),
        scale_up_window: Duration::ZERO,
        rebalance_hold: Duration::from_secs(120),
        startup: Duration::from_secs(startup_seconds),
        max_staleness: Duration::from_secs(120),
        poll_interval: Duration::from_secs(2),
        learns_calendar: false,
        calendar_max_replicas: None,
        tuning: Tuning::default(),
    }
}

/// The scaler.
#[derive(Debug)]
pub struct Evenkeel {
    policy: Policy,
    state: State,
    decision: Option<Decision>,
    next_poll: u64,
    chance: Rng,
    with_prometheus: bool,
    /// Kubernetes is asked, and scales within these bounds.
    kubernetes: Option<Scaling>,
    clocks: Clocks,
}

/// What clocks on the wall show.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clocks {
    /// The local minute since 1970-01-01 at which the run begins; 0 where nothing asks for it.
    pub begins: u32,
    /// The second from which on they are an hour ahead of before.
    pub change: Option<u64>,
}

// === impl Evenkeel ===

impl Evenkeel {
    /// A scaler that has just started.
    pub fn new(policy: Policy, with_prometheus: bool, seed: u64) -> Self {
        Self {
            policy,
            state: State::default(),
            decision: None,
            next_poll: 0,
            chance: stream(seed, Purpose::Polls, 1),
            with_prometheus,
            kubernetes: None,
            clocks: Clocks::default(),
        }
    }

    /// The same in a place with these clocks.
    #[must_use]
    pub fn with_clocks(self, clocks: Clocks) -> Self {
        Self { clocks, ..self }
    }

    /// The same, knowing what came in before.
    #[must_use]
    pub fn with_past(self, past: &Past) -> Self {
        Self {
            state: self.state.with_past(past),
            ..self
        }
    }

    /// The same, asking Kubernetes, which scales within these bounds.
    #[must_use]
    pub fn with_kubernetes(self, scaling: Scaling) -> Self {
        Self {
            kubernetes: Some(scaling),
            ..self
        }
    }

    /// The last decision.
    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }

    fn baseline(&self, prometheus: &Prometheus) -> PrometheusObservation {
        if !self.with_prometheus {
            return PrometheusObservation::NotConfigured;
        }
        prometheus.rate().map_or(
            PrometheusObservation::Unknown(evenkeel_engine::Cause::NotYetObserved),
            |(records_per_second, at)| PrometheusObservation::Known {
                records_per_second,
                at: Timestamp::from_secs(EPOCH_SECONDS + at),
            },
        )
    }

    fn decide(&mut self, observation: &Observation, now: Timestamp) {
        let state = std::mem::take(&mut self.state);
        let (state, decision) = decide(&self.policy, state, observation, now);
        self.state = state;
        self.decision = Some(decision);
    }
}

// === impl Clocks ===

impl Clocks {
    /// How far they are ahead of the engine's clock at this second of the run.
    fn offset_minutes(self, second: u64) -> i32 {
        if self.begins == 0 {
            return 0;
        }
        let is_changed = self.change.is_some_and(|change| second >= change);
        let began = i32::try_from(EPOCH_SECONDS / 60).unwrap_or(0);
        let begins = i32::try_from(self.begins).unwrap_or(i32::MAX);
        begins - began + if is_changed { 60 } else { 0 }
    }
}

impl Scaler for Evenkeel {
    fn look(&mut self, sight: Sight<'_>) {
        let now = sight.world.now();
        if now < self.next_poll {
            return;
        }
        let asleep = sight.world.replicas() == 0 && !self.pushes();
        let interval = if asleep {
            ASLEEP_POLL_SECONDS
        } else {
            self.policy.poll_interval.as_secs()
        };
        let late = u64::from(self.chance.u32(0..LATE_ONE_IN) == 0);
        self.next_poll = now + interval + late;
        let baseline = self.baseline(sight.prometheus);
        let mut observation = sight.world.observe(sight.workload.rate(0), baseline);
        observation.utc_offset_minutes = self.clocks.offset_minutes(now);
        if let Some(scaling) = self.kubernetes {
            observation.workload = WorkloadObservation::Known(sight.world.workload(scaling));
        }
        self.decide(&observation, sight.world.timestamp());
    }

    fn answer(&mut self, sight: Sight<'_>) -> Answer {
        let decision = self.decision.as_ref();
        let fresh = decision.filter(|decision| sight.world.timestamp() <= decision.valid_until);
        let (replicas, active) = match fresh.map(|decision| decision.desired) {
            Some(Desired::Known { replicas, active }) => (Some(replicas), Some(active)),
            Some(Desired::Unknown { .. }) | None => (None, None),
        };
        Answer::Metrics {
            metrics: vec![Metric {
                value_milli: replicas.map(|replicas| u64::from(replicas) * 1_000),
                target_milli: 1_000,
            }],
            active,
        }
    }

    fn pushes(&self) -> bool {
        let decision = self.decision.as_ref();
        decision
            .is_some_and(|decision| matches!(decision.desired, Desired::Known { active: true, .. }))
    }
}
