//! Laws 12 and 13: a load that has ended is at rest, and so is one that does not change.

use evenkeel_engine::Stage;

use super::super::plan::{HOUR_SECONDS, SETTLE_SECONDS, Shape};
use super::{Tick, is_tolerated, known, rises, step};
use crate::chance::whole;
use crate::workload::Skew;
use crate::world::Protocol;

/// How long after the last commit a target may be awake: a minute for the last commit and the rate's
/// short window, and a rebalance that settles for two commit intervals of a minute at most.
const FALLS_ASLEEP: u64 = 60 + 120;

/// At a constant load no more than this waits, in seconds of the load, a rebalance apart.
const BACKLOG_SECONDS: f64 = 15.0;

/// A backlog of the faults is gone within so many times what it takes at least.
const DRAIN_TIMES: u64 = 3;

/// Law 12.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Since when there has been nothing to do and nobody has moved.
    since: Option<u64>,
    members: u32,
}

/// Law 13.
#[derive(Debug, Default)]
pub(super) struct Steady {
    /// When the faults were over, their backlog could be gone, and it had settled.
    from: Option<u64>,
    last: Option<u32>,
    changes: u32,
    /// A rise was followed: in a constant load that is chance.
    chance: bool,
}

// === impl Rest ===

impl Rest {
    pub fn look(&mut self, tick: &mut Tick<'_>) {
        let world = tick.sight.world;
        let at_rest = tick.plan.shape == Shape::Rest
            && tick.second >= tick.plan.faults_end
            && tick.sight.workload.rate(tick.second) <= 0.0
            && !world.rebalancing()
            && world.members() == self.members
            && !tick.clock_behind
            && world.lags().iter().all(|lag| *lag == 0);
        self.members = world.members();
        if !at_rest {
            self.since = None;
            return;
        }
        let rest = tick.second - *self.since.get_or_insert(tick.second);
        let policy = &tick.plan.policy;
        let asleep_after = FALLS_ASLEEP + 3 * tick.plan.poll_seconds();
        if rest >= asleep_after {
            let asleep = known(tick.decision).is_some_and(|(_, active)| !active);
            tick.check(12, asleep, || {
                format!("not asleep after {rest} s without a record")
            });
        }
        // Without Prometheus nothing is lowered for a window, and then what a window asked for counts.
        let windows = if tick.plan.with_prometheus { 2 } else { 1 };
        if rest >= asleep_after + windows * policy.scale_down_window.as_secs() {
            let least = policy.min_replicas;
            let lowest = known(tick.decision).is_some_and(|(replicas, _)| replicas == least);
            tick.check(12, lowest, || {
                format!("not at {least} replicas after {rest} s without a record")
            });
        }
    }
}

// === impl Steady ===

impl Steady {
    pub fn look(&mut self, tick: &mut Tick<'_>) {
        let steady = tick.plan.shape == Shape::Steady && tick.plan.feasible;
        let lasts = tick.second < tick.sight.workload.seconds();
        if !steady || !lasts || tick.second < tick.plan.faults_end || tick.clock_behind {
            return;
        }
        let from = *self
            .from
            .get_or_insert_with(|| tick.second + SETTLE_SECONDS + DRAIN_TIMES * drain(tick));
        if !(from..from + HOUR_SECONDS).contains(&tick.second) {
            return;
        }
        let replicas = known(tick.decision).map(|(replicas, _)| replicas);
        let last = std::mem::replace(&mut self.last, replicas);
        let changed = last.is_some() && last != replicas;
        self.changes += u32::from(changed);
        self.chance |= changed && replicas > last && rises(tick.decision);
        let changes = self.changes;
        tick.check(13, replicas.is_some(), || {
            "no answer though nothing goes wrong".to_owned()
        });
        if tick.plan.policy.capacity_per_replica.is_some() {
            // Up by chance, and back: once in some thousand hours (docs/laws.md).
            let most = most_changes(tick) + if self.chance { 2 } else { 0 };
            tick.check(13, !changed || changes <= most, || {
                format!("change {changes} in an hour of constant load, from {last:?}")
            });
        }
        // Until a capacity is known only lag sizes, and what a fault has cut off a log is none any more,
        // though the pods of this world still have it.
        if tick.plan.policy.capacity_per_replica.is_none()
            && tick.plan.faults.iter().any(|fault| fault.kind.cuts_logs())
        {
            return;
        }
        // What the HPA takes for the same it does not follow, however much waits (docs/laws.md).
        let limited = step(tick.decision, Stage::Limit);
        if limited.is_some_and(|it| it.after < it.before && is_tolerated(tick, it.before, it.after))
        {
            return;
        }
        let rate = tick.sight.workload.rate(tick.second);
        let behind = tick.sight.world.waiting().sum::<f64>() / rate.max(1.0);
        // A change makes everybody pause.
        let pause = tick
            .plan
            .scenario
            .world
            .pause
            .0
            .last()
            .copied()
            .unwrap_or(0.0);
        let bound = BACKLOG_SECONDS + if changes > 0 { 2.0 * pause } else { 0.0 };
        tick.check(13, behind <= bound, || {
            format!("{behind:.0} s of a constant load wait, more than {bound:.0} s")
        });
    }
}

/// One change an hour. Where load is skewed and the assignor deals partitions out blindly, a lower
/// count can be dealt a bad hand: then it is left once more, and not gone back to (ALGORITHM, 4).
fn most_changes(tick: &Tick<'_>) -> u32 {
    let scenario = &tick.plan.scenario;
    let blind = scenario.world.protocol != Protocol::Eager;
    if blind && scenario.workload.skew != Skew::Even {
        3
    } else {
        1
    }
}

/// How long the present backlog takes to be worked off at least, in seconds: a partition by a pod of
/// its own, all of it by as many pods as there may be.
fn drain(tick: &Tick<'_>) -> u64 {
    let world = &tick.plan.scenario.world;
    let rate = tick.sight.workload.rate(tick.second);
    let partitions = u32::try_from(world.partitions).unwrap_or(u32::MAX);
    let all = world.capacity * f64::from(tick.plan.scenario.max_replicas.min(partitions));
    let waiting: f64 = tick.sight.world.waiting().sum();
    let shares = tick.sight.world.shares().iter();
    let of_each = tick.sight.world.waiting().zip(shares);
    let longest = of_each
        .map(|(waiting, share)| waiting / (world.capacity - rate * share))
        .fold(waiting / (all - rate), f64::max);
    whole(longest)
}
