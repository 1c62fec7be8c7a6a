//! Laws 1, 3, 9 and 11: limits, monotony, rest when fed again, and no scale of its own.

use evenkeel_engine::{
    Committed, Decision, Observation, Policy, Reading, State, Timestamp, Verdict, decide,
};

use super::super::bend::{enlarged, with_more};
use super::{Tick, known, makes_up_for_a_stall, rises, says};
use crate::chance::whole;
use crate::faults::plan::Plan;

/// Law 1, and that an answer is valid for as long as it may be.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Partitions when they were last listed.
    partitions: Option<u32>,
    newest: Timestamp,
}

/// Law 11: two twins, one with a load and a capacity that are larger by a power of two, for which
/// every figure is exact. Neither asks whether a surge is chance: how much records scatter depends on
/// how many they are (docs/laws.md).
#[derive(Debug)]
pub(super) struct Larger {
    times: u64,
    policy: Policy,
    state: State,
    larger_policy: Policy,
    larger_state: State,
    broken: bool,
}

/// What replicas are taken to do, for the rate and, in words, for the backlog.
fn replicas_do(decision: &Decision) -> (Option<f64>, Option<&str>) {
    let mut findings = decision.findings.iter();
    let doubt = findings.find(|finding| finding.verdict == Verdict::CapacityMismatch);
    let shown = doubt.map(|finding| finding.why.as_str());
    (decision.inputs.capacity_per_replica, shown)
}

/// What is said by looking at which commits move.
const BY_COMMITS: [Verdict; 3] = [
    Verdict::DownstreamLimited,
    Verdict::StuckPartition,
    Verdict::MembersStalled,
];

// === impl Limits ===

impl Limits {
    pub fn look(&mut self, tick: &mut Tick<'_>) {
        if tick.restarted {
            *self = Self::default();
        }
        let listed: Option<Vec<usize>> = tick
            .observation
            .topics
            .iter()
            .map(|topic| topic.partitions.known().map(Vec::len))
            .collect();
        if let Some(listed) = listed.filter(|listed| !listed.is_empty()) {
            self.partitions = u32::try_from(listed.iter().sum::<usize>()).ok();
        }
        self.newest = self.newest.max(tick.now);
        let Some((replicas, _)) = known(tick.decision) else {
            return;
        };
        let least = tick.plan.policy.min_replicas;
        let most = tick.most(self.partitions.unwrap_or(u32::MAX));
        tick.check(1, (least..=most).contains(&replicas), || {
            format!("{replicas} replicas are not between {least} and {most}")
        });
        let until = tick.decision.valid_until;
        let latest = self.newest.plus(tick.plan.policy.max_staleness);
        let now = tick.now;
        tick.check(1, (now..=latest).contains(&until), || {
            format!("valid until {until:?}, which is not between {now:?} and {latest:?}")
        });
    }
}

// === impl Larger ===

impl Larger {
    pub fn of(plan: &Plan) -> Option<Self> {
        let mut policy = plan.policy.clone();
        policy.tuning.surge_deviations = 0.0;
        let mut larger = policy.clone();
        let times = plan.larger;
        larger.capacity_per_replica = larger.capacity_per_replica.map(|rate| rate * times as f64);
        larger.lag_threshold_records *= times;
        larger.activation_lag_records *= times;
        if let Some(rate) = &mut larger.activation_records_per_second {
            *rate *= times as f64;
        }
        // Until there is a capacity there is nothing to scale with the load.
        (times > 1 && policy.capacity_per_replica.is_some()).then_some(Self {
            times,
            policy,
            state: State::default(),
            larger_policy: larger,
            larger_state: State::default(),
            broken: false,
        })
    }

    pub fn look(&mut self, tick: &mut Tick<'_>) {
        if tick.restarted {
            self.state = State::default();
            self.larger_state = State::default();
        }
        let state = std::mem::take(&mut self.state);
        let (state, decision) = decide(&self.policy, state, tick.observation, tick.now);
        self.state = state;
        let observation = enlarged(tick.observation, self.times);
        let state = std::mem::take(&mut self.larger_state);
        let (state, larger) = decide(&self.larger_policy, state, &observation, tick.now);
        self.larger_state = state;
        // One difference is one complaint: what follows from it is not another.
        let same = larger.desired == decision.desired || self.broken;
        self.broken |= !same;
        let times = self.times;
        let says: Vec<&str> = larger.trail.iter().map(|step| step.why.as_str()).collect();
        tick.check_of(11, same, Some(&decision), || {
            format!(
                "a load and a capacity {times} times as large get {:?}: {says:?}",
                larger.desired
            )
        });
    }
}

/// Law 3: more records that came, more that wait, or both, in the same observation from the same
/// state, never lower the recommendation. Whether a scale-up helped, a record is poison, a member
/// stands still or a rebalance is over is judged by what is processed, and so is what a replica can do:
/// where that judgement differs, all else is not equal, and neither where a log has just been made
/// again or truncated. While a stall is made up for the rate stands, and records that come to the
/// partitions with less make the busiest replica's share smaller.
pub(super) fn more_never_lowers(tick: &mut Tick<'_>) {
    let Some(last) = tick.observed_before else {
        return;
    };
    // Until a capacity is known lagThreshold sizes, and the dead band of normal lag grows with the rate
    // (docs/laws.md).
    if tick.decision.inputs.capacity_per_replica.is_none() {
        return;
    }
    let (true, true, Some((replicas, active))) = (
        tick.sampled,
        tick.observation.at > last.at && !tick.clock_behind,
        known(tick.decision),
    ) else {
        return;
    };
    // A log that has ended later is another one; with more records it may end where the first did.
    let went_back = ends(last).zip(ends(tick.observation)).any(|(last, now)| {
        let ends = last.zip(now);
        ends.is_some_and(|(last, now)| now < last)
    });
    if went_back {
        return;
    }
    let most = whole(tick.plan.scenario.world.capacity * 10.0);
    let amount = tick.samples.u64(1..=most.max(1));
    let one_in = *tick.samples.choice(&[1, 3, 20]).unwrap_or(&1);
    let seed = tick.samples.u64(..);
    let picks = || {
        let mut chance = fastrand::Rng::with_seed(seed);
        move || u64::from(chance.u32(0..one_in) == 0) * amount
    };
    let (mut arrivals, mut both) = (picks(), picks());
    let more = [
        (
            "arrived",
            with_more(tick.observation, |log, _| log.end += arrivals()),
        ),
        (
            "arrived and were processed",
            with_more(tick.observation, |log, committed| {
                let more = both();
                log.end += more;
                *committed += more;
            }),
        ),
        ("wait", less_processed(tick.observation, last, picks())),
    ];
    for (what, observation) in more {
        let decision = tick.decide_about(&observation);
        let judged = BY_COMMITS
            .iter()
            .any(|verdict| says(&decision, *verdict) != says(tick.decision, *verdict))
            || decision.inputs.rebalancing != tick.decision.inputs.rebalancing
            || replicas_do(&decision) != replicas_do(tick.decision)
            || rises(&decision) != rises(tick.decision)
            || makes_up_for_a_stall(&decision);
        let holds = judged
            || known(&decision).is_some_and(|(more, awake)| more >= replicas && awake >= active);
        let trail = &tick.decision.trail;
        let tick_says: Vec<&str> = trail.iter().map(|step| step.why.as_str()).collect();
        tick.check_of(3, holds, Some(&decision), || {
            format!(
                "{amount} more records {what} in one of {one_in} partitions: {:?} instead of \
                 {replicas}, active {active}: {:?}",
                decision.desired, tick_says
            )
        });
    }
}

/// Where each log of the known topics ends, in order.
fn ends(observation: &Observation) -> impl Iterator<Item = Option<u64>> {
    let topics = observation.topics.iter();
    let partitions = topics.filter_map(|topic| topic.partitions.known());
    partitions
        .flatten()
        .map(|partition| partition.log.known().map(|log| log.end))
}

/// The same observation with commits less far, though never back to where they were before: that
/// would be another event.
fn less_processed(
    observation: &Observation,
    last: &Observation,
    mut less: impl FnMut() -> u64,
) -> Observation {
    let partitions = |observation: &Observation| {
        let topics = observation.topics.iter();
        let known = topics.filter_map(|topic| topic.partitions.known().cloned());
        known.flatten().collect::<Vec<_>>()
    };
    let before = partitions(last);
    let mut places = partitions(observation).into_iter();
    with_more(observation, |_, committed| {
        // Only partitions that are known as a whole are asked about; find this one.
        let this = places.by_ref().find(|partition| {
            partition.committed == Reading::Known(Committed::At(*committed))
                && partition.log.known().is_some()
        });
        let number = this.map(|partition| partition.partition);
        let was = before
            .iter()
            .find(|partition| Some(partition.partition) == number);
        let was = was.and_then(|partition| match partition.committed {
            Reading::Known(Committed::At(offset)) => Some(offset),
            _ => None,
        });
        let less = less();
        if let Some(was) = was.filter(|was| *committed > was + 1) {
            *committed = committed.saturating_sub(less).max(was + 1);
        }
    })
}

/// Law 9: the same observation at the same time changes nothing more.
pub(super) fn fed_again_nothing_changes(tick: &mut Tick<'_>) {
    if !tick.sampled {
        return;
    }
    let state = tick.after.clone();
    let (_, again) = decide(&tick.plan.policy, state, tick.observation, tick.now);
    let same = again.desired == tick.decision.desired;
    tick.check_of(9, same, Some(&again), || {
        format!(
            "fed again it says {:?} after {:?}",
            again.desired, tick.decision.desired
        )
    });
}
