//! Laws 5, 6 and 7: rebalances raise nothing, hold no rate, and hold nothing for ever.

use std::collections::VecDeque;
use std::time::Duration;

use evenkeel_engine::{
    Committed, Observation, Reading, SLOW_WINDOW, State, Timestamp, Verdict, decide,
};

use super::super::bend::with_more;
use super::super::plan::{Kind, Plan, Shape};
use super::{Tick, is_tolerated, known, makes_up_for_a_stall, says};
use crate::workload::Skew;
use crate::world::Addresses;

/// Replicas in flight hold lag no longer than this (ALGORITHM, 5).
const LONGEST_FLIGHT: u64 = 600;

/// A longer time than this many polls between two looks was not watched.
const WATCHED_POLLS: u64 = 3;

/// An episode ends when there was no evidence for this long, or for two commit intervals, and an
/// interval counts as no longer than a minute.
const LONGEST_SETTLE: u64 = 120;

/// So much of an even share a partition is taken to have, whatever scatters and was hot.
const SURELY: f64 = 0.8;

/// Scatter is judged over no less than this.
const SCATTER_SECONDS: f64 = 5.0;

/// Law 5: a twin that sees the same world without its rebalances.
#[derive(Debug)]
pub(super) struct Calm {
    state: State,
    /// The most that the twin, or the run before its first rebalance, has asked for.
    most: Option<u32>,
}

/// Law 7: for how long a backlog that certainly needs more has got nothing.
#[derive(Debug, Default)]
pub(super) struct Starving {
    last: Option<(u64, u32)>,
    /// Since when replicas that were asked for count as still starting, on the scaler's clock.
    flight_since: Option<Timestamp>,
    /// While nothing was in flight.
    held_seconds: u64,
    all_seconds: u64,
}

// === impl Calm ===

impl Calm {
    pub fn of(plan: &Plan) -> Option<Self> {
        (plan.shape == Shape::Rebalances).then(|| Self {
            state: State::default(),
            most: None,
        })
    }

    /// At a constant rate no rebalance that is over before the hold raises desired: it never lies
    /// above what was asked for before the first one, nor above what the same state would have asked
    /// for had it seen none of them.
    pub fn look(&mut self, tick: &mut Tick<'_>) {
        let state = std::mem::take(&mut self.state);
        let (state, calm) = decide(&tick.plan.policy, state, tick.truth, tick.now);
        self.state = state;
        let Some((replicas, _)) = known(tick.decision) else {
            return;
        };
        let faults = &tick.plan.faults;
        let first = faults.iter().find(|fault| fault.kind == Kind::Rebalancing);
        let begun = first.is_some_and(|fault| fault.from <= tick.second);
        if !begun {
            self.most = Some(replicas);
        }
        self.most = self.most.max(known(&calm).map(|(replicas, _)| replicas));
        let most = self.most;
        if begun {
            tick.check(5, Some(replicas) <= most, || {
                format!("{replicas} replicas, and never more than {most:?} without the rebalances")
            });
        }
    }
}

/// Law 6: what the log's ends came to at the last polls.
#[derive(Debug, Default)]
pub(super) struct Doubled {
    polls: VecDeque<(Timestamp, u64)>,
}

// === impl Doubled ===

impl Doubled {
    /// The rate doubles within the last poll, while a rebalance goes on: desired rises in the same
    /// tick, where what is asked for could not carry twice the rate and more is allowed. It has to be
    /// a surge as ALGORITHM has it: three polls that lie above the usual rate by more than 15 %, and
    /// by more than records scatter. A target below its activation sleeps on.
    pub fn look(&mut self, tick: &mut Tick<'_>) {
        let arrived = tick
            .observed_before
            .map(|last| arrivals(last, tick.observation));
        let Some((arrived, last)) = arrived
            .filter(|some| !some.is_empty() && !tick.clock_behind)
            .zip(tick.observed_before)
        else {
            self.polls.clear();
            return;
        };
        if tick.observation.at <= last.at {
            return;
        }
        let new: u64 = arrived.iter().sum();
        let total = self.polls.back().map_or(new, |(_, total)| total + new);
        self.polls.push_back((tick.observation.at, total));
        if self.polls.len() > 4 {
            self.polls.pop_front();
        }
        let elapsed = tick.observation.at.since(last.at).as_secs_f64();
        let (Some(before), Some(capacity)) = (
            self.before(tick, new, elapsed),
            tick.decision.inputs.capacity_per_replica,
        ) else {
            return;
        };
        let even = new as f64 / arrived.len() as f64;
        let no_hot = arrived
            .iter()
            .all(|&one| one as f64 <= even * 1.5 + 3.0 * even.sqrt())
            && 2.0 * even / elapsed < capacity * 0.8;
        let most = tick.most(u32::try_from(arrived.len()).unwrap_or(u32::MAX));
        let needed = 2.0 * new as f64 / elapsed / capacity;
        // The HPA takes a little more for the same.
        let is_most = is_tolerated(tick, most, before);
        if !no_hot || is_most || needed <= f64::from(before) * 1.05 {
            return;
        }
        let mut more = arrived.into_iter();
        let doubled = with_more(tick.observation, |log, _| {
            log.end += more.next().unwrap_or(0)
        });
        let decision = tick.decide_about(&doubled);
        let rises = known(&decision).is_some_and(|(doubled, _)| doubled > before);
        let sleeps = before == 0 && known(&decision) == Some((0, false));
        let holds = rises || sleeps || makes_up_for_a_stall(&decision);
        tick.check_of(6, holds, Some(&decision), || {
            format!(
                "the rate doubles during a rebalance, {needed:.1} replicas' worth: {:?} after \
                 {before}",
                decision.desired
            )
        });
    }

    /// What was asked for before, where a doubled rate would be a surge and nothing else is in its way.
    fn before(&self, tick: &Tick<'_>, new: u64, elapsed: f64) -> Option<u32> {
        let policy = &tick.plan.policy;
        let ready = tick.sampled
            && tick.decision.inputs.rebalancing
            && elapsed > 0.0
            && policy.scale_up_window.is_zero()
            && !policy.limit_to_partitions_with_lag
            && tells_replicas(tick);
        let (before, replicas) = (known(tick.previous?)?.0, known(tick.decision)?.0);
        if !ready || replicas > before || self.polls.len() < 4 {
            return None;
        }
        let ((from, least), (to, most)) = (self.polls.front()?, self.polls.back()?);
        let short = (most - least + new) as f64 / to.since(*from).as_secs_f64();
        let slow = tick.decision.inputs.inbound_offsets_slow?
            + new as f64 / SLOW_WINDOW.as_secs_f64().min(elapsed.max(60.0));
        let excess = (short - slow) * SCATTER_SECONDS;
        let usual = slow * SCATTER_SECONDS;
        (excess > (usual * 0.2).max(4.0 * usual.sqrt())).then_some(before)
    }
}

/// Whether the replicas can be told: by Kubernetes, which neither is silent nor lies, or by addresses.
/// Members that share one are taken for one replica, and more replicas of several than the partitions
/// take for no use.
fn tells_replicas(tick: &Tick<'_>) -> bool {
    let appearance = tick.plan.scenario.world.appearance;
    let by_addresses = appearance.addresses == Addresses::OfPods && appearance.consumers_a_pod == 1;
    by_addresses || tick.observation.workload == tick.truth.workload
}

/// Records that came to each partition that is known as a whole, in order; empty where the two
/// observations are not of the same partitions.
fn arrivals(last: &Observation, now: &Observation) -> Vec<u64> {
    let ends = |observation: &Observation| -> Option<Vec<(u32, u64)>> {
        let mut ends = Vec::new();
        for topic in &observation.topics {
            for partition in topic.partitions.known()? {
                let end = partition.log.known()?.end;
                matches!(partition.committed, Reading::Known(Committed::At(_))).then_some(())?;
                ends.push((partition.partition, end));
            }
        }
        Some(ends)
    };
    let (Some(last), Some(now)) = (ends(last), ends(now)) else {
        return Vec::new();
    };
    if last.len() != now.len() {
        return Vec::new();
    }
    let pairs = now.iter().zip(&last);
    pairs
        .map(|(now, last)| now.1.saturating_sub(last.1))
        .collect()
}

// === impl Starving ===

impl Starving {
    /// A backlog that the replicas asked for could not work off in several times the patience is
    /// answered with more within the bounds of the holds: a rebalance holds for `rebalanceHoldSeconds`
    /// and then lets one step a hold through, replicas that do not come hold for ten minutes.
    pub fn look(&mut self, tick: &mut Tick<'_>) {
        self.holds_are_bounded(tick);
        // A time without an answer holds nothing, and neither does one that was not watched.
        let answer = known(tick.decision).map(|(replicas, _)| (tick.second, replicas));
        let last = std::mem::replace(&mut self.last, answer);
        let watched = WATCHED_POLLS * tick.plan.poll_seconds();
        let last = last.filter(|(at, _)| !tick.restarted && tick.second - at <= watched);
        let (Some((_, replicas)), Some((last_second, before))) = (answer, last) else {
            self.held_seconds = 0;
            self.all_seconds = 0;
            return;
        };
        let elapsed = tick.second - last_second;
        if replicas > before || !certainly_short(tick, before) {
            self.held_seconds = 0;
            self.all_seconds = 0;
            return;
        }
        self.all_seconds += elapsed;
        if tick.decision.inputs.replicas_in_flight == 0 {
            self.held_seconds += elapsed;
        }
        let hold = tick.plan.policy.rebalance_hold.as_secs();
        let polls = 3 * tick.plan.poll_seconds() + elapsed;
        let (held, held_bound) = (self.held_seconds, 2 * hold + LONGEST_SETTLE + polls);
        let (all, all_bound) = (self.all_seconds, held_bound + LONGEST_FLIGHT);
        tick.check(7, held <= held_bound && all <= all_bound, || {
            format!(
                "a backlog that needs more than {before} has got nothing for {all} s (at most \
                 {all_bound}), {held} s of them with nothing in flight (at most {held_bound})"
            )
        });
    }

    /// One episode holds lag no longer than `rebalanceHoldSeconds` (and the polls that begin and end
    /// it), and replicas count as starting no longer than ten minutes.
    fn holds_are_bounded(&mut self, tick: &mut Tick<'_>) {
        let inputs = &tick.decision.inputs;
        if tick.restarted || tick.clock_behind || inputs.replicas_in_flight == 0 {
            self.flight_since = None;
        }
        let polls = 3 * tick.plan.poll_seconds();
        if inputs.rebalancing {
            let (held, bound) = (
                inputs.held_seconds,
                tick.plan.policy.rebalance_hold.as_secs() + polls,
            );
            tick.check(7, held <= bound as f64, || {
                format!("a rebalance has held lag for {held} s, more than {bound} s")
            });
        }
        if tick.decision.inputs.replicas_in_flight > 0 && !tick.clock_behind {
            let since = *self.flight_since.get_or_insert(tick.now);
            let flight = tick.now.since(since).as_secs();
            let bound = LONGEST_FLIGHT + polls;
            tick.check(7, flight <= bound, || {
                format!("replicas have been starting for {flight} s, more than {bound} s")
            });
        }
    }
}

/// Whether what waits needs more than `before` replicas, whatever was learned of starts and commits,
/// and nothing but a hold could be in the way.
fn certainly_short(tick: &Tick<'_>, before: u32) -> bool {
    let policy = &tick.plan.policy;
    let Some(capacity) = policy.capacity_per_replica else {
        return false;
    };
    let other_reasons = [
        Verdict::DownstreamLimited,
        Verdict::StuckPartition,
        Verdict::MembersStalled,
        Verdict::Stale,
    ];
    if policy.limit_to_partitions_with_lag
        || policy.exclude_persistent_lag
        || !policy.scale_up_window.is_zero()
        || tick.clock_behind
        || other_reasons
            .iter()
            .any(|reason| says(tick.decision, *reason))
    {
        return false;
    }
    let horizon = policy
        .target_lag
        .map_or(policy.catch_up, |lag| policy.catch_up.min(lag));
    let patience = 2.0 * horizon.as_secs_f64() + LONGEST_FLIGHT as f64;
    let band = (Duration::from_secs(60) + policy.poll_interval)
        .min(horizon)
        .as_secs_f64();
    let inbound = tick.decision.inputs.inbound_up.unwrap_or(0.0);
    let even = tick.plan.scenario.workload.skew == Skew::Even;
    let shares = tick.sight.world.shares();
    let mut partitions = 0;
    let (mut needed, mut waits) = (0.0, false);
    for topic in &tick.observation.topics {
        for partition in topic.partitions.known().into_iter().flatten() {
            let share = shares.get(partitions).copied().unwrap_or(1.0);
            partitions += 1;
            let (Reading::Known(log), Reading::Known(Committed::At(committed))) =
                (partition.log, partition.committed)
            else {
                continue;
            };
            let lag = log.end.saturating_sub(committed.max(log.start)) as f64;
            // A hot partition may have many times its share.
            let due = lag - inbound * (share * 12.0).min(1.0) * band;
            waits |= due > 0.0;
            // Shares of an even load are taken for even; of a skewed one only the backlog is certain.
            let comes = if even { inbound * share * SURELY } else { 0.0 };
            needed += (comes + due.max(0.0) / patience).clamp(0.0, capacity) / capacity;
        }
    }
    let most = tick.most(u32::try_from(partitions).unwrap_or(u32::MAX));
    waits && before < most && needed > f64::from(before) * 1.05
}
