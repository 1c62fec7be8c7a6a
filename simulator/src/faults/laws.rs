//! The laws of the decision as witnesses: each looks at every decision of a run and complains.
//!
//! One checker a law, in the words of docs/laws.md and with the bounds that stand there. Laws
//! about one decision decide again from the same state; laws about the time after something keep a
//! twin of the state beside the run and feed it what the run's own state gets.

mod ahead;
mod damping;
mod data;
mod limits;
mod rest;

use evenkeel_engine::{
    Decision, Desired, Observation, Stage, State, Step, Timestamp, Verdict, decide,
};
use fastrand::Rng;

use super::bend::Bent;
use super::past::Past;
use super::plan::Plan;
use super::{Complaint, LAWS};
use crate::scaler::Sight;

/// One decision with all that it was made of.
pub(super) struct Tick<'a> {
    pub plan: &'a Plan,
    /// Seconds since the run began.
    pub second: u64,
    /// The scaler's clock.
    pub now: Timestamp,
    /// The truth.
    pub sight: Sight<'a>,
    /// What the scaler would have seen without faults.
    pub truth: &'a Observation,
    /// What it saw.
    pub observation: &'a Observation,
    /// What it saw the last time; `None` after a start.
    pub observed_before: Option<&'a Observation>,
    /// Its state before; the true one only where it is `sampled`.
    pub before: &'a State,
    /// Its state after.
    pub after: &'a State,
    pub decision: &'a Decision,
    /// The last decision; `None` after a start.
    pub previous: Option<&'a Decision>,
    pub bent: Bent,
    pub past: &'a Past,
    /// To be looked at by the laws that decide again.
    pub sampled: bool,
    /// The state before was empty.
    pub restarted: bool,
    /// The clock has gone back, and is not yet where it was.
    pub clock_behind: bool,
    pub samples: &'a mut Rng,
    pub checks: &'a mut [u64; LAWS],
    pub complaints: &'a mut Vec<Complaint>,
}

/// What is kept of a decision for comparing whole runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub second: u64,
    pub desired: Desired,
    /// Members stand still with lag.
    stalled: bool,
    /// What the rate alone needs.
    by_rate: Option<u32>,
    /// Over the bytes of the whole decision.
    print: u64,
}

/// All checkers of one run.
#[derive(Debug)]
pub(super) struct Checks {
    ahead: ahead::Ahead,
    limits: limits::Limits,
    larger: Option<limits::Larger>,
    data: data::Data,
    restart: data::Restart,
    doubled: damping::Doubled,
    starving: damping::Starving,
    calm: Option<damping::Calm>,
    rest: rest::Rest,
    steady: rest::Steady,
}

// === impl Checks ===

impl Checks {
    pub fn new(plan: &Plan) -> Self {
        Self {
            ahead: ahead::Ahead::of(plan),
            limits: limits::Limits::default(),
            larger: limits::Larger::of(plan),
            data: data::Data::default(),
            restart: data::Restart::default(),
            doubled: damping::Doubled::default(),
            starving: damping::Starving::default(),
            calm: damping::Calm::of(plan),
            rest: rest::Rest::default(),
            steady: rest::Steady::default(),
        }
    }

    /// Looks at one decision.
    pub fn look(&mut self, tick: &mut Tick<'_>) {
        self.ahead.look(tick);
        self.limits.look(tick);
        if let Some(larger) = &mut self.larger {
            larger.look(tick);
        }
        limits::more_never_lowers(tick);
        limits::fed_again_nothing_changes(tick);
        self.data.look(tick);
        self.restart.look(tick);
        self.doubled.look(tick);
        self.starving.look(tick);
        if let Some(calm) = &mut self.calm {
            calm.look(tick);
        }
        self.rest.look(tick);
        self.steady.look(tick);
    }
}

// === impl Tick ===

impl Tick<'_> {
    /// Notes that a law was looked at, and complains where it does not hold.
    pub fn check(&mut self, law: usize, holds: bool, sentence: impl FnOnce() -> String) {
        self.check_of(law, holds, None, sentence);
    }

    /// The same about another decision than the run's own.
    pub fn check_of(
        &mut self,
        law: usize,
        holds: bool,
        decision: Option<&Decision>,
        sentence: impl FnOnce() -> String,
    ) {
        if let Some(count) = self.checks.get_mut(law - 1) {
            *count += 1;
        }
        if !holds {
            self.complaints.push(Complaint {
                law,
                second: self.second,
                sentence: sentence(),
                decision: Some(Box::new(decision.unwrap_or(self.decision).clone())),
            });
        }
    }

    /// Decides again, from the state before, about another observation.
    pub fn decide_about(&self, observation: &Observation) -> Decision {
        decide(
            &self.plan.policy,
            self.before.clone(),
            observation,
            self.now,
        )
        .1
    }

    /// The most that may be asked for with this many partitions.
    pub fn most(&self, partitions: u32) -> u32 {
        let policy = &self.plan.policy;
        let max = policy.max_replicas.unwrap_or(u32::MAX);
        if policy.allow_idle_consumers {
            max
        } else {
            max.min(partitions).max(policy.min_replicas)
        }
    }
}

/// The replicas of a decision that has an answer.
pub(super) fn known(decision: &Decision) -> Option<(u32, bool)> {
    match decision.desired {
        Desired::Known { replicas, active } => Some((replicas, active)),
        Desired::Unknown { .. } => None,
    }
}

/// Whether a decision says this, as its verdict or beside it.
pub(super) fn says(decision: &Decision, verdict: Verdict) -> bool {
    decision.verdict == verdict
        || decision
            .findings
            .iter()
            .any(|finding| finding.verdict == verdict)
}

/// Whether what comes in is taken for what a stall held back: then the rate is not the fast window's
/// (ALGORITHM, 1).
pub(super) fn makes_up_for_a_stall(decision: &Decision) -> bool {
    decision.inputs.inbound_up < decision.inputs.inbound_offsets_fast
}

/// Whether the rate is followed to where it leads: more that comes in one poll makes a step of a rise,
/// and a step leads nowhere (ALGORITHM, 1).
pub(super) fn rises(decision: &Decision) -> bool {
    let mut trail = decision.trail.iter();
    trail.any(|step| step.why.contains("more in each second"))
}

/// The step of a decision's trail that is of this stage.
pub(super) fn step(decision: &Decision, stage: Stage) -> Option<&Step> {
    decision.trail.iter().find(|step| step.stage == stage)
}

/// Whether the HPA takes so many replicas for those that are there.
pub(super) fn is_tolerated(tick: &Tick<'_>, wanted: u32, there: u32) -> bool {
    let tolerance = (tick.plan.kubernetes).map_or(0.0, |scaling| scaling.tolerance_up);
    f64::from(wanted) <= f64::from(there) * (1.0 + tolerance)
}

// === impl Record ===

impl Record {
    pub fn of(second: u64, decision: &Decision, bytes: bool) -> Self {
        let print = if bytes { print(decision) } else { 0 };
        Self {
            second,
            desired: decision.desired,
            stalled: says(decision, Verdict::MembersStalled),
            by_rate: step(decision, Stage::Rate).map(|step| step.after),
            print,
        }
    }
}

/// FNV-1a over the bytes of a decision.
fn print(decision: &Decision) -> u64 {
    let bytes = serde_json::to_vec(decision).unwrap_or_default();
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Within so many seconds members that commit nothing are seen to stall: a minute, or three commit
/// intervals of up to 20 s, the commit before it and some polls.
const STALL_SEEN: u64 = 120;

/// Two runs, decision by decision.
pub(super) struct Compared {
    pub law: usize,
    /// How many decisions.
    pub looked: u64,
    /// The first second that was wrong, and the sentence.
    pub wrong: Option<(u64, String)>,
}

/// Law 2: the same run twice gives the same bytes, the second time with its state written down and
/// read back after every decision.
pub(super) fn same_twice(one: &[Record], other: &[Record]) -> Compared {
    let differs = one.iter().zip(other).find(|(one, other)| one != other);
    Compared {
        law: 2,
        looked: one.len() as u64,
        wrong: differs.map(|(one, other)| {
            let sentence = format!("the same run, its state written down: {one:?}, then {other:?}");
            (one.second, sentence)
        }),
    }
}

/// Law 8: while one partition is poison at a constant load, every decision is that of the same run
/// without it. Only where its owner owns nothing else (its members then hold lag and commit nothing)
/// nothing is lowered, so that more may stand than in the other run; and in the minute before that is
/// seen, its lag may ask for what the rate alone needs.
pub(super) fn same_without_poison(
    plan: &Plan,
    poisoned: &[Record],
    healthy: &[Record],
) -> Compared {
    let during: Vec<(&Record, &Record)> = poisoned
        .iter()
        .zip(healthy)
        .filter(|(one, _)| plan.scenario.workload.troubles(one.second).next().is_some())
        .collect();
    let seen_at = during.iter().find(|(one, _)| one.stalled);
    let seen_at = seen_at.map(|(one, _)| one.second);
    let from = during.first().map_or(0, |(one, _)| one.second);
    let soon = seen_at.filter(|seen| seen - from <= STALL_SEEN);
    let mut stalled = soon.is_some();
    let mut highest = None;
    let differs = during.iter().find(|(one, other)| {
        stalled |= one.stalled;
        highest = highest.max(replicas(other));
        if soon.is_some_and(|seen| one.second < seen) {
            highest = highest.max(one.by_rate);
        }
        let same = one.desired == other.desired;
        let kept = stalled && replicas(one) >= replicas(other) && replicas(one) <= highest;
        !same && !kept
    });
    Compared {
        law: 8,
        looked: during.len() as u64,
        wrong: differs.map(|(one, other)| {
            let sentence = format!(
                "with a poison partition {:?}, without {:?}",
                one.desired, other.desired
            );
            (one.second, sentence)
        }),
    }
}

fn replicas(record: &Record) -> Option<u32> {
    match record.desired {
        Desired::Known { replicas, .. } => Some(replicas),
        Desired::Unknown { .. } => None,
    }
}
