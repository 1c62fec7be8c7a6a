//! The rooms in order: take in, look at rebalances, rates and lag, recommend, stabilise, limit.
//!
//! This file moves the state of one target from room to room and keeps the order; what each room
//! decides is the room's own. It is also where the picture is judged to be whole, partial or too old.

use std::time::Duration;

use super::explain::{Told, tell};
use super::recommend::{self, Recommendation};
use super::standing::{group_state, last_stands, unknown};
use super::throughput::{commit_interval, note_processed, processing_rate};
use super::usable::{Usable, awaits_kubernetes, usable};
use super::{Decision, Desired, Inputs, State};
use crate::assignor::{Assignor, Layout, Present};
use crate::calendar::Outlook;
use crate::capacity::Source;
use crate::group::{GroupChange, GroupMemory};
use crate::lag::{Hold, Lag, LagQuestion};
use crate::observation::{Cause, Event, GroupState, Observation, PrometheusObservation, Reading};
use crate::partition::Intake;
use crate::past::Watch;
use crate::policy::Policy;
use crate::rate::{Inbound, Slopes, WitnessTrouble};
use crate::rebalance::{Flight, Holding, Progress};
use crate::replicas::{Known, Replicas};
use crate::stabilizer::TrialView;
use crate::time::Timestamp;
use crate::tuning::Tuning;

/// A picture older than this many polls is not fresh enough to lower anything by.
const FRESH_POLLS: u32 = 3;
/// A sleep that ends sooner is none: KEDA's default `cooldownPeriod`, in seconds.
const SHORT_SLEEP_SECONDS: f64 = 300.0;

/// Everything that the rooms said, for the recommendation and for the explanation.
pub(super) struct Picture {
    pub intake: Intake,
    /// Whether all of it was read for this decision.
    pub whole: bool,
    /// What could not be read for so long that only what could decides, and only upward.
    pub part: Option<Cause>,
    /// When the oldest part of it was read.
    pub data_at: Timestamp,
    pub layout: Layout,
    pub partitions: u32,
    /// Replicas that are in the group.
    pub observed: u32,
    /// Those, and what else is in it and is not scaled with them.
    pub there: u32,
    pub replicas: Replicas,
    pub inbound: Inbound,
    pub inbound_up: Vec<f64>,
    pub inbound_down: Vec<f64>,
    /// Each partition's part of the inbound rate.
    pub shares: Vec<f64>,
    pub holding: Holding,
    pub flight: Flight,
    pub lag: Lag,
    pub commit_interval: Duration,
    pub processing_rate: Option<f64>,
    /// What is known to come.
    pub outlook: Outlook,
    /// There is work, or it cannot be seen that there is none.
    pub active: bool,
    /// There is work, as far as can be seen.
    pub works: bool,
    /// Until when the backlog may not ask for more.
    pub blocked_until: Option<Timestamp>,
}

impl Picture {
    /// There is work, or there will be before a replica that is asked for now is there.
    pub fn awake(&self) -> bool {
        self.active || self.outlook.stands()
    }
}

/// Runs the pipeline.
pub(super) fn run(
    policy: &Policy,
    mut state: State,
    observation: &Observation,
    now: Timestamp,
) -> (State, Decision) {
    if state.last_at.is_some_and(|last| now < last) {
        let back = state
            .last_at
            .map_or(Duration::ZERO, |last| last.since(now))
            .as_secs_f64();
        let why = format!("The clock went back by {back:.1} s: the last decision stands.");
        let decision = last_stands(&state, why, now);
        return (state, decision);
    }
    // A long silence is a gap in the windows: what was recommended in between is unknown.
    if state
        .last_at
        .is_some_and(|last| now.since(last) > policy.max_staleness)
    {
        state.down.restart();
        state.up.restart();
    }
    state.last_at = Some(now);
    state.first_at.get_or_insert(now);
    let at = observation.at.min(now);
    let mut intake = state.partitions.take_in(observation, now);
    state.partitions.measure(&policy.tuning);
    if !intake.resets.is_empty() || state.watched_from.is_none() {
        state.watched_from = Some(now);
        state.arrivals.forget();
        state.watch = Watch::default();
    }
    state.arrivals.note(at, intake.arrived_records, policy);
    if policy.learns_calendar {
        let arrived = (intake.arrived_records, intake.missing == 0);
        (state.watch).take_in(&mut state.past, arrived, observation.utc_offset_minutes, at);
    }
    let change = take_group(&mut state, &observation.group, at, &mut intake);
    let (data_at, part) = match usable(policy, &state, &intake, now) {
        Usable::Since(data_at) => (data_at, None),
        Usable::Part(newest, cause) => (newest, Some(cause)),
        Usable::Hold(cause) => {
            let why = super::explain::no_answer(policy, &intake, cause);
            state.down.restart();
            state.unanswered = None;
            let decision = last_stands(&state, why, now);
            return (state, decision);
        }
        Usable::Not(cause) => {
            let decision = none(policy, &mut state, &intake, cause, now);
            return (state, decision);
        }
    };
    let Some(mut group) = state.group.take() else {
        let decision = none(policy, &mut state, &intake, Cause::NotYetObserved, now);
        return (state, decision);
    };
    let mut picture = look(
        policy,
        &mut state,
        &mut group,
        observation,
        (intake, change, data_at),
        now,
    );
    state.group = Some(group);
    picture.part = part;
    if awaits_kubernetes(&state, &picture.replicas, now) {
        let decision = none(
            policy,
            &mut state,
            &picture.intake,
            Cause::NotYetObserved,
            now,
        );
        return (state, decision);
    }
    if let Some(cause) = part
        && !picture.works
        && !picture.outlook.stands()
    {
        let decision = none(policy, &mut state, &picture.intake, cause, now);
        return (state, decision);
    }
    let recommendation = recommend::recommend(policy, &mut state, &picture, now);
    let decision = conclude(policy, &mut state, picture, &recommendation, now);
    (state, decision)
}

/// No answer, and why.
fn none(
    policy: &Policy,
    state: &mut State,
    intake: &Intake,
    cause: Cause,
    now: Timestamp,
) -> Decision {
    let why = super::explain::no_answer(policy, intake, cause);
    let until = now.plus(policy.max_staleness);
    unknown(state, why, (cause, until), now)
}

/// Takes in the group, or counts it among what is missing.
fn take_group(
    state: &mut State,
    reading: &Reading<crate::observation::GroupObservation>,
    at: Timestamp,
    intake: &mut Intake,
) -> Option<GroupChange> {
    let mut change = None;
    match reading {
        Reading::Known(observed) => {
            let known = state.group.take();
            let (group, changed) = GroupMemory::take_in(known, observed, &mut state.partitions, at);
            state.group = Some(group);
            change = Some(changed);
            intake.anything_read = true;
        }
        Reading::Unknown(cause) => {
            intake.missing = intake.missing.saturating_add(1);
            let name = "the consumer group".to_owned();
            if state.group.is_none() && intake.never_known.is_none() {
                intake.never_known = Some((name.clone(), *cause));
            }
            intake.first_missing.get_or_insert((name, *cause));
        }
    }
    if let Some(group) = &mut state.group {
        group.note_progress(&intake.advanced_places, at);
    }
    change
}

/// Looks at rebalances, rates and lag.
fn look(
    policy: &Policy,
    state: &mut State,
    group: &mut GroupMemory,
    observation: &Observation,
    taken: (Intake, Option<GroupChange>, Timestamp),
    now: Timestamp,
) -> Picture {
    let (intake, change, data_at) = taken;
    let fresh_for = policy.poll_interval.saturating_mul(FRESH_POLLS);
    let fresh = now.since(data_at) <= fresh_for;
    let lately_whole = state
        .complete_at
        .is_some_and(|complete| now.since(complete) <= fresh_for);
    let whole = fresh && intake.missing == 0 && intake.never_known.is_none();
    if whole {
        state.complete_at = Some(data_at);
    }
    note_processed(state, now);
    let commit_interval = commit_interval(state, &intake, lately_whole);
    let processing_rate = processing_rate(state, commit_interval, now);
    let progress = Progress {
        processed_records: state.partitions.processed_records,
        processing_rate: processing_rate.unwrap_or(0.0),
        idle: !intake.waiting,
        commit_interval,
    };
    let holding = state.rebalance.follow(change, group, policy, progress, now);
    let replicas = who_is_there(policy, state, observation, (group, holding), now);
    let group = &*group;
    let asked = replicas.workload().map(|workload| workload.asked);
    let flight = state.flight.follow((replicas.observed, asked), policy, now);
    let (inbound, inbound_up, inbound_down, shares) =
        rates(policy, state, group, observation.prometheus, now);
    note_prometheus(state, observation.prometheus, &inbound, now);
    let hold = if flight.replicas > 0 {
        Hold::All
    } else {
        holding.hold
    };
    let lag = judge_lag(
        policy,
        state,
        group,
        &inbound_up,
        (hold, holding, commit_interval),
        now,
    );
    learn_capacity(
        state,
        group,
        &lag,
        (whole && !holding.rebalancing, commit_interval),
        &policy.tuning,
        now,
    );
    let blocked_until = state.effect.follow(
        TrialView {
            observed: replicas.observed,
            processed_records: state.partitions.processed_records,
            backlog: lag.due.iter().any(|due| *due > 0.0),
            settled: !holding.rebalancing && flight.replicas == 0,
            inbound: inbound.up.unwrap_or(0.0),
        },
        policy.tuning.effective_share,
        now,
    );
    let lead = (state.flight.lead(policy), state.rebalance.pause());
    let learned = foreseen(policy, state, observation, inbound.offsets, now);
    let known = (&*observation.events, &*learned);
    let outlook = state.calendar.follow(known, lead, now);
    let mut picture = Picture {
        layout: Layout {
            assignor: if policy.tuning.know_assignor {
                Assignor::named(&group.assignor)
            } else {
                Assignor::Divisible
            },
            topic_sizes: state
                .partitions
                .topics
                .iter()
                .map(|topic| topic.partitions.len())
                .collect(),
            members_per_replica: usize::try_from(group.members_per_replica()).unwrap_or(1),
            present: present(policy, state, (group, replicas.observed), holding),
        },
        partitions: state.partitions.count(),
        observed: replicas.observed,
        there: match replicas.known {
            Known::Guessed => group.replicas,
            Known::Read(_) | Known::Counted(_) => group.divided(),
        },
        replicas,
        intake,
        whole,
        part: None,
        data_at,
        inbound,
        inbound_up,
        inbound_down,
        shares,
        outlook,
        holding,
        flight,
        lag,
        commit_interval,
        processing_rate,
        active: false,
        works: false,
        blocked_until,
    };
    picture.works = works(policy, state.active, &picture);
    // What is missing, stale or in the middle of a rebalance puts nobody to sleep.
    let blind = !picture.whole || picture.holding.rebalancing;
    picture.active = picture.works || (blind && state.active);
    picture
}

/// The events that the load's own past tells of.
fn foreseen(
    policy: &Policy,
    state: &mut State,
    observation: &Observation,
    rates: Option<Slopes>,
    now: Timestamp,
) -> Vec<Event> {
    if !policy.learns_calendar {
        return Vec::new();
    }
    let rate = rates.map(|slopes| slopes.short);
    let offset = observation.utc_offset_minutes;
    state.foreseen.follow(&state.past, rate, offset, now);
    state.foreseen.events().collect()
}

/// Which replicas there are. Where that is known in another way than before, a whole window is watched
/// anew: one count is not held against the other.
fn who_is_there(
    policy: &Policy,
    state: &mut State,
    observation: &Observation,
    (group, holding): (&mut GroupMemory, Holding),
    now: Timestamp,
) -> Replicas {
    let read = observation.group.known().is_some();
    let quiet = read && !holding.rebalancing && group.state == GroupState::Stable;
    let start = state.flight.startup(policy);
    let asked = (quiet, start, policy.max_staleness);
    let replicas = state
        .replicas
        .follow(&observation.workload, group, asked, now);
    if replicas.turned {
        state.down.restart();
    }
    replicas
}

/// Who owns what, where that is settled and can be seen.
fn present(
    policy: &Policy,
    state: &State,
    (group, replicas): (&GroupMemory, u32),
    holding: Holding,
) -> Option<Present> {
    // Beside members of others each of ours owns less than it will have to.
    let alone = group.divided() == replicas;
    let settled = !holding.rebalancing && group.state == GroupState::Stable && alone;
    (policy.tuning.know_owners && settled).then(|| Present {
        replicas,
        owners: state
            .partitions
            .iter()
            .map(|partition| group.replica_of(partition))
            .collect(),
    })
}

/// The inbound rate, whole and by partition: for going up, and for coming down.
fn rates(
    policy: &Policy,
    state: &mut State,
    group: &GroupMemory,
    prometheus: PrometheusObservation,
    now: Timestamp,
) -> (Inbound, Vec<f64>, Vec<f64>, Vec<f64>) {
    let tuning = &policy.tuning;
    let mut total: Option<Slopes> = None;
    let mut usual_total = 0.0;
    let mut partitions: Vec<(f64, f64)> = Vec::new();
    for partition in state.partitions.iter() {
        // A log that has not been read for so long says nothing of now.
        let known = now.since(partition.log_at) <= policy.max_staleness;
        let known = partition.slopes.filter(|_| known);
        let slopes = known.unwrap_or_default();
        if known.is_some() {
            total.get_or_insert_default().add(slopes);
        }
        usual_total += partition.usual_records;
        partitions.push((partition.usual_records, slopes.slow));
    }
    let watched = state
        .watched_from
        .is_some_and(|first| now.since(first) >= crate::rate::SLOW_WINDOW);
    let start = state.flight.lead(policy);
    let rise = state.trend.follow(&state.arrivals, start, policy, now);
    let offsets = (total, &state.arrivals, rise);
    let inbound = Inbound::weigh(offsets, prometheus, watched, policy, now);
    let count = f64::from(state.partitions.count().max(1));
    let slow_total = total.map_or(0.0, |slopes| slopes.slow);
    let capacity = state.capacity.capacity(policy, now);
    let evidence = crate::rate::even_evidence(capacity.map(|capacity| capacity.up), tuning);
    let mut shares: Vec<f64> = partitions
        .into_iter()
        .map(|(usual, slow)| {
            let usual = (usual, usual_total);
            crate::rate::share(usual, (slow, slow_total), evidence, count, tuning)
        })
        .collect();
    crate::rate::take_scatter_out(&mut shares, 1.0 / count, tuning);
    // What nobody of this group reads is no replica's work.
    let read = |partition| f64::from(u8::from(!group.leaves_out(partition)));
    let shares = shares.iter().zip(state.partitions.iter());
    let shares: Vec<f64> = shares
        .map(|(share, partition)| share * read(partition))
        .collect();
    let times = |rate: Option<f64>| {
        let rate = rate.unwrap_or(0.0);
        shares.iter().map(|share| share * rate).collect()
    };
    let (up, down) = (times(inbound.up), times(inbound.down));
    (inbound, up, down, shares)
}

/// Remembers since when Prometheus has been missing.
fn note_prometheus(
    state: &mut State,
    prometheus: PrometheusObservation,
    inbound: &Inbound,
    now: Timestamp,
) {
    let missing = matches!(inbound.trouble, WitnessTrouble::Missing(_))
        && prometheus != PrometheusObservation::NotConfigured;
    state.prometheus_missing_since = match state.prometheus_missing_since {
        Some(since) if missing => Some(since),
        _ if missing => Some(now),
        _ => None,
    };
}

fn judge_lag(
    policy: &Policy,
    state: &mut State,
    group: &GroupMemory,
    inbound: &[f64],
    (hold, holding, commit_interval): (Hold, Holding, Duration),
    now: Timestamp,
) -> Lag {
    let settled_at = state.rebalance.settled_at;
    Lag::judge(
        &mut state.partitions,
        &LagQuestion {
            policy,
            group: Some(group),
            inbound,
            commit_interval,
            hold,
            settled_at,
            rebalancing: holding.rebalancing,
            at: now,
        },
    )
}

/// Goes on measuring replicas that are saturated, or starts over when something moved.
fn learn_capacity(
    state: &mut State,
    group: &GroupMemory,
    lag: &Lag,
    (calm, commit_interval): (bool, Duration),
    tuning: &Tuning,
    now: Timestamp,
) {
    let at = state.partitions.at.unwrap_or(now);
    if !calm {
        state.capacity.interrupt();
        return;
    }
    let due = if lag.due_unheld.is_empty() {
        &lag.due
    } else {
        &lag.due_unheld
    };
    state.capacity.measure(
        &mut state.partitions,
        group,
        (due, commit_interval),
        tuning,
        at,
    );
}

/// Whether there is work: undamped lag or a rate above its threshold. Where only the lag has one, less
/// wakes nobody; who is awake stays so at a rate that would pass it within [`SHORT_SLEEP_SECONDS`].
fn works(policy: &Policy, was_active: bool, picture: &Picture) -> bool {
    let rate = picture
        .inbound
        .offsets
        .map(|slopes| slopes.short)
        .or(picture.inbound.up)
        .unwrap_or(0.0);
    let is_awake = was_active || picture.observed > 0;
    let by_rate = match (
        policy.activation_records_per_second,
        policy.activation_lag_records,
    ) {
        (Some(threshold), _) => rate > threshold,
        (None, 0) => rate > 0.0,
        (None, lag) => is_awake && rate * SHORT_SLEEP_SECONDS > lag as f64,
    };
    picture.lag.total_records > policy.activation_lag_records
        || by_rate
        || picture.lag.awaits_first_commit
}

/// Applies the limits, remembers what was decided, and puts it into words.
fn conclude(
    policy: &Policy,
    state: &mut State,
    picture: Picture,
    recommendation: &Recommendation,
    now: Timestamp,
) -> Decision {
    let replicas = recommendation.limited;
    state.desired = Some(replicas);
    let active = picture.awake();
    state.active = active;
    state.unanswered = None;
    state.valid_until = picture.data_at.plus(policy.max_staleness);
    let wanted = if active { replicas } else { 0 };
    let wanted = picture.replicas.may_come(wanted);
    state.flight.ask(wanted, picture.observed, now);
    let Told {
        verdict,
        reason,
        findings,
        trail,
    } = tell(policy, state, &picture, recommendation, now);
    Decision {
        at: now,
        desired: Desired::Known { replicas, active },
        verdict,
        reason,
        findings,
        trail,
        inputs: inputs(state, picture, recommendation),
        valid_until: state.valid_until,
    }
}

fn inputs(state: &State, picture: Picture, recommendation: &Recommendation) -> Inputs {
    let offsets = picture.inbound.offsets;
    Inputs {
        observed_replicas: picture.observed,
        replicas_read: picture.replicas.workload().is_some(),
        replicas_in_flight: picture.flight.replicas,
        calendar_floor: recommendation.floor.map(|floor| floor.replicas),
        partitions: picture.partitions,
        lag_records: picture.lag.total_records,
        lag_counted_records: picture.lag.counted_records,
        lag_seconds: picture.lag.seconds,
        inbound_up: picture.inbound.up,
        inbound_down: picture.inbound.down,
        inbound_offsets_fast: offsets.map(|slopes| slopes.fast),
        inbound_offsets_slow: offsets.map(|slopes| slopes.slow),
        inbound_prometheus: picture.inbound.prometheus,
        processing_rate: picture.processing_rate,
        capacity_per_replica: recommendation.capacity.map(|capacity| capacity.up),
        capacity_learned: recommendation
            .capacity
            .is_some_and(|capacity| capacity.source != Source::Configured),
        group_state: group_state(state),
        rebalancing: picture.holding.rebalancing,
        rebalances: state.rebalance.episodes,
        held_seconds: picture.holding.held_seconds,
    }
}
