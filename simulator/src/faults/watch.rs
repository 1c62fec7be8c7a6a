//! The scaler of a run of the swarm: observes, has the observation bent, decides, and has every
//! decision looked at.

use std::cell::RefCell;
use std::rc::Rc;

use evenkeel_engine::{
    Cause, Decision, Desired, Observation, PrometheusObservation, State, Timestamp,
    WorkloadObservation, decide,
};
use fastrand::Rng;

use super::bend::{Bender, shift_clock, shifted};
use super::laws::{Checks, Record, Tick};
use super::past::Past;
use super::plan::{Kind, Plan};
use super::{Complaint, LAWS};
use crate::chance::{Purpose, stream};
use crate::hpa::Metric;
use crate::prometheus::Prometheus;
use crate::scaler::{Answer, Scaler, Sight};
use crate::world::EPOCH_SECONDS;

/// One decision in so many is looked at by the laws that decide again.
const SAMPLED_ONE_IN: u32 = 16;

/// The same while a rebalance goes on, when more can go wrong.
const SAMPLED_REBALANCING_ONE_IN: u32 = 4;

/// A clock goes back by no more than this in all, seconds: before its zero it would stand still.
const MOST_BACK: i64 = 3_500;

/// What is kept of a life beside its decisions, and how its state goes from one to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Keep {
    /// A print of each decision's bytes.
    pub bytes: bool,
    /// The decision of this second, as a whole.
    pub decision_at: Option<u64>,
    /// The state is written down and read back between two decisions.
    pub written_down: bool,
}

/// The scaler and its witnesses.
pub(super) struct Watch {
    plan: Rc<Plan>,
    keep: Keep,
    bender: Bender,
    polls: Rng,
    samples: Rng,
    state: State,
    decision: Option<Decision>,
    observed: Option<Observation>,
    next_poll: u64,
    polled_at: Option<u64>,
    /// By how much its clock is off, seconds.
    offset: i64,
    /// The latest that its clock has said since it started.
    newest: Timestamp,
    past: Past,
    laws: Checks,
    pub records: Vec<Record>,
    pub kept: Option<Box<Decision>>,
    pub checks: [u64; LAWS],
    pub complaints: Vec<Complaint>,
}

/// The watch as the simulator's run holds it.
pub(super) struct Shared(pub Rc<RefCell<Watch>>);

// === impl Watch ===

impl Default for Watch {
    fn default() -> Self {
        Self::new(Rc::new(Plan::draw(0)), Keep::default())
    }
}

impl Watch {
    pub fn new(plan: Rc<Plan>, keep: Keep) -> Self {
        let seed = plan.seed;
        Self {
            bender: Bender::new(&plan, stream(seed, Purpose::Faults, 1)),
            polls: stream(seed, Purpose::Polls, 1),
            samples: stream(seed, Purpose::Faults, 2),
            laws: Checks::new(&plan),
            plan,
            keep,
            state: State::default(),
            decision: None,
            observed: None,
            next_poll: 0,
            polled_at: None,
            offset: 0,
            newest: Timestamp::default(),
            past: Past::default(),
            records: Vec::new(),
            kept: None,
            checks: [0; LAWS],
            complaints: Vec::new(),
        }
    }

    fn baseline(&self, prometheus: &Prometheus) -> PrometheusObservation {
        if !self.plan.with_prometheus {
            return PrometheusObservation::NotConfigured;
        }
        prometheus.rate().map_or(
            PrometheusObservation::Unknown(Cause::NotYetObserved),
            |(records_per_second, at)| PrometheusObservation::Known {
                records_per_second,
                // Prometheus has its own clock.
                at: Timestamp::from_secs(EPOCH_SECONDS + at),
            },
        )
    }

    /// What happens to the scaler itself; whether it starts anew.
    fn befall(&mut self, second: u64) -> bool {
        let mut restarted = self.polled_at.is_none();
        let began: Vec<Kind> = self.bender.began(self.polled_at, second).collect();
        for kind in began {
            match kind {
                Kind::Restart => restarted = true,
                Kind::ReadBack => self.read_back(),
                Kind::Clock { by } => self.offset = self.offset.saturating_add(by).max(-MOST_BACK),
                _ => {}
            }
        }
        if restarted {
            self.state = State::default();
            self.decision = None;
            self.observed = None;
            self.newest = Timestamp::default();
        }
        if self.keep.written_down {
            self.read_back();
        }
        restarted
    }

    fn read_back(&mut self) {
        let written = serde_json::to_string(&self.state);
        match written.and_then(|written| serde_json::from_str(&written)) {
            Ok(state) => self.state = state,
            Err(error) => self.complaints.push(Complaint {
                law: 2,
                second: self.polled_at.unwrap_or(0),
                sentence: format!("the state cannot be written down and read back: {error}"),
                decision: None,
            }),
        }
    }

    fn poll(&mut self, sight: Sight<'_>) {
        let second = sight.world.now();
        let restarted = self.befall(second);
        let baseline = self.baseline(sight.prometheus);
        let mut observation = sight.world.observe(sight.workload.rate(0), baseline);
        if let Some(scaling) = self.plan.kubernetes {
            observation.workload = WorkloadObservation::Known(sight.world.workload(scaling));
        }
        shift_clock(&mut observation, self.offset);
        let now = observation.at;
        let truth = observation.clone();
        let bent = self.bender.bend(&mut observation, second);
        if restarted && self.polled_at.is_some() {
            observation = self.past.remembered(&observation, now);
        }
        self.past.note(&observation);
        let rebalancing = |decision: &Decision| decision.inputs.rebalancing;
        let one_in = if self.decision.as_ref().is_some_and(rebalancing) {
            SAMPLED_REBALANCING_ONE_IN
        } else {
            SAMPLED_ONE_IN
        };
        let sampled = self.samples.u32(0..one_in) == 0;
        let before = if sampled || restarted {
            self.state.clone()
        } else {
            State::default()
        };
        let state = std::mem::take(&mut self.state);
        let (state, decision) = decide(&self.plan.policy, state, &observation, now);
        self.state = state;
        let clock_behind = now < self.newest;
        self.newest = self.newest.max(now);
        let mut tick = Tick {
            plan: &self.plan,
            second,
            now,
            sight,
            truth: &truth,
            observation: &observation,
            observed_before: self.observed.as_ref(),
            before: &before,
            after: &self.state,
            decision: &decision,
            previous: self.decision.as_ref(),
            bent,
            past: &self.past,
            sampled,
            restarted,
            clock_behind,
            samples: &mut self.samples,
            checks: &mut self.checks,
            complaints: &mut self.complaints,
        };
        self.laws.look(&mut tick);
        self.records
            .push(Record::of(second, &decision, self.keep.bytes));
        if self.keep.decision_at == Some(second) {
            self.kept = Some(Box::new(decision.clone()));
        }
        self.decision = Some(decision);
        self.observed = Some(observation);
        self.polled_at = Some(second);
    }

    fn look(&mut self, sight: Sight<'_>) {
        let now = sight.world.now();
        if now < self.next_poll || self.bender.on(now).any(|kind| kind == Kind::Gap) {
            return;
        }
        let asleep = sight.world.replicas() == 0 && !self.awake();
        let interval = if asleep { 1 } else { self.plan.poll_seconds() };
        let late = u64::from(self.polls.u32(0..8) == 0);
        self.next_poll = now + interval + late;
        self.poll(sight);
    }

    fn awake(&self) -> bool {
        let desired = self.decision.as_ref().map(|decision| decision.desired);
        matches!(desired, Some(Desired::Known { active: true, .. }))
    }

    fn answer(&self, at: Timestamp) -> Answer {
        let now = shifted(at, self.offset);
        let fresh = self
            .decision
            .as_ref()
            .filter(|decision| now <= decision.valid_until);
        let (replicas, active) = match fresh.map(|decision| decision.desired) {
            Some(Desired::Known { replicas, active }) => (Some(replicas), Some(active)),
            _ => (None, None),
        };
        Answer::Metrics {
            metrics: vec![Metric {
                value_milli: replicas.map(|replicas| u64::from(replicas) * 1_000),
                target_milli: 1_000,
            }],
            active,
        }
    }
}

// === impl Shared ===

impl Scaler for Shared {
    fn look(&mut self, sight: Sight<'_>) {
        self.0.borrow_mut().look(sight);
    }

    fn answer(&mut self, sight: Sight<'_>) -> Answer {
        self.0.borrow().answer(sight.world.timestamp())
    }

    fn pushes(&self) -> bool {
        self.0.borrow().awake()
    }
}
