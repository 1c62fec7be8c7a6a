//! What all rooms together recommend: what the rate needs, what the backlog adds, what is held, and
//! what windows and limits leave of it.
//!
//! The order matters and is the order of the trail. Up: the rate may always ask; the backlog may
//! ask unless it is held, spent its one step, or has asked in vain. Down: only when everything that
//! could be wrong is known to be right.

mod ahead;
mod tolerance;

use super::State;
use super::gates::{Gate, STALLED_HOLD, settles};
use super::pipeline::Picture;
use crate::calendar::Floor;
use crate::capacity::Capacity;
use crate::policy::Policy;
use crate::sizing::{Demand, whole_replicas};
use crate::stabilizer::{self, Extreme};
use crate::time::Timestamp;

/// The way from what is there to what is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recommendation {
    pub capacity: Option<Capacity>,
    /// What was asked for last; what is there at a cold start.
    pub base: u32,
    /// What the inbound rate needs.
    pub by_rate: u32,
    /// What rate and backlog need, nothing held.
    pub by_lag: u32,
    /// What is left of that after holds.
    pub held: u32,
    /// What the rate needs once no backlog is left and everybody is there, where more is asked for.
    pub settled: Option<u32>,
    /// What the windows let through.
    pub stabilized: u32,
    /// What an event takes that is known ahead, before the limits.
    pub floor: Option<Floor>,
    /// What the windows let through, and no less than the floor.
    pub raised: u32,
    /// The floor explains the count: the load would do with less.
    pub is_ahead: bool,
    /// What is asked for: between the limits.
    pub limited: u32,
    /// Which way it went, and for what.
    pub direction: Direction,
    /// The backlog asked for more and was not let.
    pub refused: Option<Gate>,
    /// What could be enough, where it is less than `base`.
    pub lower: Option<u32>,
    /// The upper limit, and what it is made of.
    pub most: u32,
    /// The lower limit.
    pub least: u32,
    /// What was right, and the HPA would have taken for what is there.
    pub tolerated: Option<u32>,
}

/// Which way a recommendation goes, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// More, for the inbound rate.
    UpForRate,
    /// More, for the backlog.
    UpForLag,
    /// As it is.
    Stay,
    /// As it is, though less would do.
    StayThoughLower(Gate),
    /// Less.
    Down,
}

/// How far up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Up {
    by_rate: u32,
    by_lag: u32,
    held: u32,
    wanted: u32,
    for_rate: bool,
    refused: Option<Gate>,
}

/// Recommends.
pub(super) fn recommend(
    policy: &Policy,
    state: &mut State,
    picture: &Picture,
    now: Timestamp,
) -> Recommendation {
    let capacity = state.capacity.capacity(policy, now);
    let base = base(policy, state, picture, now);
    let most = most(policy, picture);
    let up = match capacity {
        _ if !picture.active => Up::nothing(base),
        Some(capacity) => up_by_capacity(policy, state, picture, capacity, base, now),
        None => up_by_threshold(policy, state, picture, base, now),
    };
    let lower = lower(policy, state, picture, capacity, base, now);
    let mut wanted = up.wanted;
    if !policy.scale_up_window.is_zero() {
        let least = state
            .up
            .add(wanted, Extreme::Smallest, policy.scale_up_window, now);
        let whole = state.up.missing(policy.scale_up_window, now).is_zero();
        wanted = if whole { least.max(base) } else { base };
    }
    let (stabilized, direction) = if wanted > base {
        let _ = state
            .down
            .add(wanted, Extreme::Largest, policy.scale_down_window, now);
        let direction = if up.for_rate {
            Direction::UpForRate
        } else {
            Direction::UpForLag
        };
        (wanted, direction)
    } else {
        down(policy, state, picture, (base, lower, capacity), now)
    };
    let stays = stays(policy, state, picture, base);
    let least = fewest(policy, picture);
    let bounded = |replicas: u32| {
        replicas
            .min(most)
            .max(least)
            .max(stays)
            .min(scaled_to(picture))
    };
    let floor = ahead::floor(policy, state, picture, capacity);
    let raised = |replicas: u32| floor.map_or(replicas, |floor| floor.replicas.max(replicas));
    let by_load = bounded(stabilized);
    let limited = bounded(raised(stabilized));
    let direction = match direction {
        Direction::UpForRate | Direction::UpForLag if limited <= base => Direction::Stay,
        other => other,
    };
    let without = match direction {
        Direction::StayThoughLower(_) => lower,
        _ => by_load,
    };
    let is_ahead =
        floor.is_some_and(|floor| without < limited && limited == bounded(floor.replicas));
    let (limited, direction, tolerated) = tolerance::heed(
        (policy, state, picture, capacity),
        (base, limited, most.min(scaled_to(picture))),
        (direction, is_ahead),
    );
    if let Some(floor) = floor.filter(|_| is_ahead) {
        state.calendar.note(floor.event, limited);
        let more = limited.saturating_sub(without);
        state.foreseen.note_spent(floor.event, more, now);
    }
    let bounds = (capacity, most.min(scaled_to(picture)));
    ahead::foretell(policy, state, picture, bounds, now);
    let stabilized = match direction {
        Direction::StayThoughLower(Gate::Tolerated) => base,
        _ => stabilized,
    };
    let too_few_now = direction == Direction::UpForRate
        && capacity.is_some_and(|capacity| {
            let demand = demand(policy, state, picture, &picture.inbound_up, capacity.up);
            demand.as_of_now().rate_exceeds(base)
        });
    note_outgrown(state, picture, direction, (base, too_few_now), now);
    let settled = capacity
        .filter(|_| matches!(direction, Direction::UpForRate | Direction::UpForLag))
        .map(|capacity| settled(policy, state, picture, capacity));
    if settled.is_some_and(|settled| by_load > settled) {
        state.surplus_at = Some(now);
    }
    if direction == Direction::UpForRate && !stepping(policy, state, now) {
        state.stepped_at = Some(now);
    }
    if direction == Direction::UpForLag {
        state.rebalance.last_lag_step_at = Some(now);
        let before = picture.processing_rate.unwrap_or(0.0);
        state.effect.begin(picture.observed, limited, before);
    }
    Recommendation {
        capacity,
        base,
        by_rate: up.by_rate,
        by_lag: up.by_lag,
        held: up.held,
        settled,
        stabilized,
        floor,
        raised: raised(stabilized),
        is_ahead,
        limited,
        direction,
        refused: up.refused,
        lower: (lower < base).then_some(lower),
        most: most.min(scaled_to(picture)),
        least,
        tolerated,
    }
}

/// Remembers that `base` was too few for the rate: all of it was there, and the rate of now, not what it
/// leads to, asked for more; or it fell behind, so that the backlog did.
fn note_outgrown(
    state: &mut State,
    picture: &Picture,
    direction: Direction,
    (base, too_few_now): (u32, bool),
    now: Timestamp,
) {
    let there = picture.observed == base && base > 0;
    let inbound = picture.inbound.up.unwrap_or(0.0);
    let falls_behind = picture
        .processing_rate
        .is_some_and(|processed| processed < inbound);
    let outgrown = match direction {
        Direction::UpForRate => too_few_now,
        Direction::UpForLag => falls_behind,
        Direction::Stay | Direction::StayThoughLower(_) | Direction::Down => false,
    };
    if there && outgrown {
        state.outgrown.note(base, inbound, now);
    }
}

/// What the rate needs once no backlog is left and everybody is there.
fn settled(policy: &Policy, state: &State, picture: &Picture, capacity: Capacity) -> u32 {
    let demand = demand(policy, state, picture, &picture.inbound_up, capacity.up);
    let there = Demand {
        present: f64::INFINITY,
        ..demand.without_lag()
    };
    there.size()
}

/// Whether a step up for the rate has just begun and may still be made larger.
fn stepping(policy: &Policy, state: &State, now: Timestamp) -> bool {
    state
        .stepped_at
        .is_some_and(|at| now.since(at) <= policy.tuning.step_time)
}

/// What was asked for last. For one window after a start that is at least what is there: replicas
/// that still join were asked for by whoever decided before, and what they asked for is known from
/// Kubernetes only.
fn base(policy: &Policy, state: &State, picture: &Picture, now: Timestamp) -> u32 {
    let observed = picture.observed;
    let starting = state
        .first_at
        .is_none_or(|first| now.since(first) < policy.scale_down_window);
    match state.desired {
        Some(desired) if starting => desired.max(observed),
        Some(desired) => desired,
        None => {
            let asked = picture.replicas.workload().map(|workload| workload.asked);
            observed.max(asked.unwrap_or(0))
        }
    }
}

/// The most that may be asked for.
fn most(policy: &Policy, picture: &Picture) -> u32 {
    let asked = policy.max_replicas.unwrap_or(u32::MAX);
    if policy.allow_idle_consumers {
        asked
    } else {
        asked.min(picture.partitions)
    }
}

/// What stays because a part cannot be read, which must not make the target look smaller than it is: its
/// partitions are a bound only where every topic's are known.
fn stays(policy: &Policy, state: &State, picture: &Picture, base: u32) -> u32 {
    if picture.whole {
        0
    } else if state.partitions.are_all_listed() {
        base.min(most(policy, picture))
    } else {
        base.min(policy.max_replicas.unwrap_or(base))
    }
}

/// The most that KEDA and the HPA scale to, where that is known.
fn scaled_to(picture: &Picture) -> u32 {
    let scaling = picture.replicas.scaling();
    scaling.map_or(u32::MAX, |scaling| scaling.max)
}

/// The fewest that may be asked for. KEDA keeps `minReplicaCount` asleep too, unless it is to idle.
fn fewest(policy: &Policy, picture: &Picture) -> u32 {
    let scaling = picture.replicas.scaling();
    let scaling = scaling.filter(|scaling| picture.awake() || scaling.idle.is_none());
    let kept = scaling.map_or(0, |scaling| scaling.min);
    policy
        .min_replicas
        .max(kept.min(policy.max_replicas.unwrap_or(kept)))
}

/// At most as many as there are partitions with work, where the policy says so. It bounds what is
/// newly asked for; that work comes and goes with every batch moves nothing by itself.
fn with_work(policy: &Policy, picture: &Picture, replicas: u32) -> u32 {
    if policy.limit_to_partitions_with_lag {
        replicas.min(picture.lag.busy_partitions.max(1))
    } else {
        replicas
    }
}

fn demand<'a>(
    policy: &'a Policy,
    state: &State,
    picture: &'a Picture,
    inbound: &'a [f64],
    capacity: f64,
) -> Demand<'a> {
    Demand {
        policy,
        layout: &picture.layout,
        inbound,
        rise: picture.inbound.relative_rise(),
        due: &picture.lag.due,
        capacity,
        present: f64::from(picture.there) * capacity,
        pause: state.rebalance.pause(),
        startup: state.flight.startup(policy),
    }
}

// === impl Up ===

impl Up {
    fn nothing(base: u32) -> Self {
        Self {
            by_rate: 0,
            by_lag: 0,
            held: 0,
            wanted: base,
            for_rate: false,
            refused: None,
        }
    }
}

/// Up by rate and backlog over a known capacity.
fn up_by_capacity(
    policy: &Policy,
    state: &State,
    picture: &Picture,
    capacity: Capacity,
    base: u32,
    now: Timestamp,
) -> Up {
    let demand = |capacity| demand(policy, state, picture, &picture.inbound_up, capacity);
    let (of_rate, of_lag) = (demand(capacity.up), demand(capacity.backlog));
    let limit = |replicas: u32| with_work(policy, picture, replicas);
    let backlog = picture.lag.due.iter().any(|due| *due > 0.0);
    let anything_held = !picture.lag.due_unheld.is_empty();
    let by_rate = limit(of_rate.without_lag().size());
    let held = if backlog {
        limit(of_lag.size()).max(by_rate)
    } else {
        by_rate
    };
    let by_lag = if anything_held {
        limit(of_lag.with_due(&picture.lag.due_unheld).size()).max(by_rate)
    } else {
        held
    };
    let stepping = picture.observed < base && stepping(policy, state, now);
    let rate_asks = (of_rate.rate_exceeds(base) || stepping) && by_rate > base;
    let lag_asks = backlog && of_lag.lag_exceeds(base) && held > base;
    let lag_would_ask = anything_held
        && by_lag > base
        && of_lag.with_due(&picture.lag.due_unheld).lag_exceeds(base);
    let forbidden = forbidden(policy, state, picture, now);
    let refused = match forbidden {
        Some(why) if lag_asks || lag_would_ask => Some(why),
        _ if lag_would_ask && !lag_asks && picture.flight.replicas > 0 => Some(Gate::LagInFlight),
        _ if lag_would_ask && !lag_asks => Some(Gate::LagRebalance),
        _ => None,
    };
    let lag_allowed = forbidden.is_none();
    let with_lag = if lag_allowed { held } else { by_rate };
    let wanted = if rate_asks || (lag_asks && lag_allowed) {
        with_lag.max(base)
    } else {
        base
    };
    Up {
        by_rate,
        by_lag,
        held: with_lag,
        wanted,
        for_rate: rate_asks,
        refused,
    }
}

/// Whether the backlog may not ask for more at all, and why.
fn forbidden(policy: &Policy, state: &State, picture: &Picture, now: Timestamp) -> Option<Gate> {
    if picture.blocked_until.is_some() {
        return Some(Gate::LagDownstream);
    }
    let step_taken = state
        .rebalance
        .last_lag_step_at
        .is_some_and(|at| now.since(at) < policy.rebalance_hold);
    (picture.holding.spent && step_taken).then_some(Gate::LagStepTaken)
}

/// Up by KEDA's own rule, until the capacity is known.
fn up_by_threshold(
    policy: &Policy,
    state: &State,
    picture: &Picture,
    base: u32,
    now: Timestamp,
) -> Up {
    let threshold = policy.lag_threshold_records.max(1) as f64;
    let replicas = |due: &[f64]| {
        let replicas = whole_replicas(due.iter().sum::<f64>() / threshold);
        with_work(policy, picture, replicas)
    };
    let held = replicas(&picture.lag.due);
    let by_lag = if picture.lag.due_unheld.is_empty() {
        held
    } else {
        replicas(&picture.lag.due_unheld)
    };
    let forbidden = forbidden(policy, state, picture, now);
    let held = if forbidden.is_some() { 1 } else { held };
    let refused = if by_lag <= held.max(base) {
        None
    } else if forbidden.is_some() {
        forbidden
    } else if picture.flight.replicas > 0 {
        Some(Gate::LagInFlight)
    } else {
        Some(Gate::LagRebalance)
    };
    Up {
        by_rate: 1,
        by_lag,
        held,
        wanted: held.max(base),
        for_rate: false,
        refused,
    }
}

/// What would be enough: with the lower capacity, at the rate that has to have dropped, and more than
/// what that rate has outgrown.
fn lower(
    policy: &Policy,
    state: &State,
    picture: &Picture,
    capacity: Option<Capacity>,
    base: u32,
    now: Timestamp,
) -> u32 {
    if !picture.active {
        return fewest(policy, picture);
    }
    let Some(capacity) = capacity else {
        return base;
    };
    let down = demand(policy, state, picture, &picture.inbound_down, capacity.down);
    let inbound = picture.inbound.down.unwrap_or(0.0);
    let outgrown = state
        .outgrown
        .too_few_for(inbound, &policy.tuning, now)
        .map_or(0, |replicas| picture.layout.next_useful(replicas));
    with_work(policy, picture, down.size().max(outgrown))
        .max(fewest(policy, picture))
        .max(1)
}

/// Down, where everything allows it.
fn down(
    policy: &Policy,
    state: &mut State,
    picture: &Picture,
    (base, lower, capacity): (u32, u32, Option<Capacity>),
    now: Timestamp,
) -> (u32, Direction) {
    // In the first polls after a fall the short window still holds some of what was before: what is
    // recommended then is neither the old count nor the new one. One step waits until those are over;
    // while the load goes on falling, for no longer than it does.
    let settles = settles(policy);
    let window = policy.scale_down_window.max(settles);
    let trusted = if picture.whole {
        lower
    } else {
        lower.max(base)
    };
    let before = state.down.extreme_in(settles, window, now);
    let largest = state.down.add(trusted, Extreme::Largest, window, now);
    // Nobody is there and nothing is to do: there is nothing to protect. Pods that are not ready are there.
    let pods = picture.replicas.workload().map_or(0, |it| it.exist);
    let asleep = !picture.active && picture.observed == 0 && pods == 0 && picture.whole;
    if asleep && !picture.holding.rebalancing {
        let least = fewest(policy, picture);
        let direction = if least < base {
            Direction::Down
        } else {
            Direction::Stay
        };
        return (least, direction);
    }
    if lower >= base {
        return (base, Direction::Stay);
    }
    let least = least(policy, state, picture, capacity);
    let target = largest.max(least);
    // By what was recommended before, too: more that comes now must not end the wait (law 3).
    let soon = state.down.extreme_in(settles, window, now);
    let falls = before.is_some_and(|before| before < target)
        || soon.is_some_and(|soon| soon.max(lower).max(least) < target);
    let settling = picture.active && falls;
    let is_shut = |gate: Gate| match gate {
        // What is fed again says nothing new, so nothing is lowered by it.
        Gate::Partial => !picture.whole || !picture.intake.new,
        Gate::Rebalance => picture.holding.rebalancing,
        Gate::InFlight => picture.active && picture.flight.replicas > 0,
        Gate::Stalled => picture.lag.stalled_members > 0 && picture.lag.stalled_for <= STALLED_HOLD,
        Gate::Prometheus => state
            .prometheus_missing_since
            .is_some_and(|since| now.since(since) < window),
        Gate::Warmup => !state.down.missing(window, now).is_zero(),
        Gate::Window => target >= base || settling,
        Gate::Surplus => {
            let kept = |at| now.since(at) < policy.tuning.surplus_kept;
            picture.active && state.surplus_at.is_some_and(kept)
        }
        Gate::NotWorthIt => {
            picture.active && !pays(policy, state, picture, (base, target, capacity))
        }
        // Where that is so is seen once the limits are applied.
        Gate::Tolerated => false,
        Gate::LagRebalance | Gate::LagInFlight | Gate::LagStepTaken | Gate::LagDownstream => false,
    };
    let kept = Gate::ALL.into_iter().find(|gate| is_shut(*gate));
    match kept {
        Some(kept) => (base, Direction::StayThoughLower(kept)),
        None => (target, Direction::Down),
    }
}

/// The fewest replicas that would not ask for more at once.
fn least(policy: &Policy, state: &State, picture: &Picture, capacity: Option<Capacity>) -> u32 {
    capacity.filter(|_| picture.active).map_or(0, |capacity| {
        let demand = |capacity| demand(policy, state, picture, &picture.inbound_up, capacity);
        let by_rate = demand(capacity.up).least_by_rate();
        by_rate.max(demand(capacity.backlog).least_by_lag())
    })
}

/// Whether the replicas saved are worth the pause.
fn pays(
    policy: &Policy,
    state: &State,
    picture: &Picture,
    (base, lower, capacity): (u32, u32, Option<Capacity>),
) -> bool {
    let inbound = picture.inbound.down.unwrap_or(0.0);
    let needed = capacity.map_or(0.0, |capacity| inbound / capacity.down);
    let pause = state.rebalance.pause();
    stabilizer::pays((base, lower), needed, pause, policy.tuning.payback)
}
