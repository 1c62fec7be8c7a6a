//! What a run came to: lateness, cost, and how often things were moved, in figures that mean the same
//! for every policy.
//!
//! Message time is a record's age when it has been processed: what it waited, half a batch until its
//! turn and a whole batch to be done. Records that still wait at the end count with the age they have.
//! A change of the replica count is harmful when it could be seen afterwards to have been wrong: a
//! step down that was taken back within ten minutes, or a step up in the middle of a rebalance without
//! which the next ten minutes would have been carried as well.

use crate::rivals::enough;
use crate::workload::Workload;
use crate::world::{Minute, World};

/// The objective: a record processed later than this is late.
pub const OBJECTIVE_SECONDS: f64 = 30.0;

/// Two changes in opposite directions within this contradict each other.
const CONTRADICTION_SECONDS: u64 = 600;

/// One change of the replica count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Seconds since the run began.
    pub second: u64,
    /// Pods before.
    pub from: u32,
    /// Pods after.
    pub to: u32,
    /// The group was in the middle of a rebalance.
    pub rebalancing: bool,
    /// Records that waited.
    pub waiting: u64,
}

/// The figures of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Records later than the objective, percent.
    pub late_percent: f64,
    /// Records later than 10 s, percent.
    pub later_than_10_percent: f64,
    /// Records later than 120 s, percent.
    pub later_than_120_percent: f64,
    /// Message time on average over all records, seconds: what all lateness together comes to.
    pub message_mean_seconds: f64,
    /// Message time that half of the records do not exceed, seconds.
    pub message_p50_seconds: f64,
    /// That 99 % do not exceed.
    pub message_p99_seconds: f64,
    /// The greatest.
    pub message_max_seconds: f64,
    /// Pods over time, started or not.
    pub replica_hours: f64,
    /// Pods on average.
    pub mean_replicas: f64,
    /// Changes of the replica count.
    pub rescales: u32,
    /// Rebalances of the group.
    pub rebalances: u64,
    /// Changes against the one before, within ten minutes of it.
    pub reversals: u32,
    /// Changes that were wrong.
    pub harmful: u32,
    /// The longest time without a moment at which nothing was late, seconds.
    pub drain_seconds: u64,
    /// The run minute by minute.
    pub minutes: Vec<RunMinute>,
    /// Every change.
    pub changes: Vec<Change>,
}

/// One minute of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunMinute {
    /// Records that came, per second.
    pub inbound: f64,
    /// Records that were processed, per second.
    pub processed: f64,
    /// Mean message time of what was processed, seconds; `None` when nothing was.
    pub message_mean_seconds: Option<f64>,
    /// The oldest record that waited, seconds.
    pub oldest_seconds: u64,
    /// Records that waited at the end of it.
    pub waiting: f64,
    /// Pods at the end of it.
    pub replicas: u32,
    /// Those of them that have joined.
    pub members: u32,
    /// Rebalances that began in it.
    pub rebalances: u64,
}

// === impl Outcome ===

impl Outcome {
    /// The figures of a run that is over.
    pub(crate) fn of(world: World, changes: Vec<Change>, workload: &Workload) -> Self {
        let spec = *world.spec();
        let shares = world.shares().to_vec();
        let tally = world.end();
        let base = spec.batch_seconds * 1.5;
        let ages = tally.ages();
        let total: f64 = ages.iter().sum();
        let later_than = |objective: f64| {
            let ages = ages.iter().enumerate();
            let late = ages.filter(|(age, _)| *age as f64 + base > objective);
            let records = late.fold(0.0, |sum, (_, records)| sum + records);
            100.0 * records / total.max(1.0)
        };
        let waited = ages.iter().enumerate();
        let waited: f64 = waited.map(|(age, records)| age as f64 * records).sum();
        let oldest = ages.iter().rposition(|records| *records > 0.0);
        let minutes = tally
            .minutes()
            .iter()
            .map(|minute| RunMinute::of(minute, base));
        let seconds = workload.seconds().max(1) as f64;
        let replica_hours = tally.replica_seconds() as f64 / 3_600.0;
        let needed = |from: u64, waiting: f64| {
            let until = from + CONTRADICTION_SECONDS;
            let worst =
                (from..until).max_by(|a, b| workload.rate(*a).total_cmp(&workload.rate(*b)));
            let rate = worst.map_or(0.0, |second| workload.rate(second));
            let backlog = waiting / CONTRADICTION_SECONDS as f64;
            let needs: Vec<f64> = shares
                .iter()
                .map(|share| (rate + backlog) * share)
                .collect();
            enough(spec.protocol, &needs, spec.capacity)
        };
        Self {
            late_percent: later_than(OBJECTIVE_SECONDS),
            later_than_10_percent: later_than(10.0),
            later_than_120_percent: later_than(120.0),
            message_mean_seconds: waited / total.max(1.0) + base,
            message_p50_seconds: quantile(ages, total, 0.5) + base,
            message_p99_seconds: quantile(ages, total, 0.99) + base,
            message_max_seconds: oldest.unwrap_or(0) as f64 + base,
            replica_hours,
            mean_replicas: replica_hours * 3_600.0 / seconds,
            rescales: count(changes.len()),
            rebalances: tally.rebalances(),
            reversals: count(contradictions(&changes).count()),
            harmful: count(
                contradictions(&changes)
                    .filter(|change| change.to > change.from)
                    .count(),
            ) + count(
                changes
                    .iter()
                    .filter(|change| change.to > change.from && change.from > 0)
                    .filter(|change| change.rebalancing)
                    .filter(|change| needed(change.second, change.waiting as f64) <= change.from)
                    .count(),
            ),
            drain_seconds: longest_spell(tally.minutes(), base),
            minutes: minutes.collect(),
            changes,
        }
    }
}

// === impl RunMinute ===

impl RunMinute {
    fn of(minute: &Minute, base: f64) -> Self {
        Self {
            inbound: minute.arrived / 60.0,
            processed: minute.processed / 60.0,
            message_mean_seconds: (minute.processed > 0.0)
                .then(|| minute.age_seconds / minute.processed + base),
            oldest_seconds: minute.oldest_seconds,
            waiting: minute.waiting,
            replicas: minute.replicas,
            members: minute.members,
            rebalances: minute.rebalances,
        }
    }
}

/// Changes against the one before, within [`CONTRADICTION_SECONDS`] of it.
fn contradictions(changes: &[Change]) -> impl Iterator<Item = &Change> {
    changes.windows(2).filter_map(|pair| {
        let [before, after] = pair else {
            return None;
        };
        let soon = after.second - before.second < CONTRADICTION_SECONDS;
        let against = (before.to > before.from) != (after.to > after.from);
        (soon && against).then_some(after)
    })
}

/// The age that a share of the records does not exceed.
fn quantile(ages: &[f64], total: f64, share: f64) -> f64 {
    let wanted = total * share;
    let mut counted = 0.0;
    for (age, records) in ages.iter().enumerate() {
        counted += records;
        if counted >= wanted {
            return age as f64;
        }
    }
    0.0
}

/// The longest row of minutes in each of which something that waited was late.
fn longest_spell(minutes: &[Minute], base: f64) -> u64 {
    let (mut longest, mut now) = (0, 0);
    for minute in minutes {
        let late = minute.oldest_seconds as f64 + base > OBJECTIVE_SECONDS;
        now = if late { now + 60 } else { 0 };
        longest = longest.max(now);
    }
    longest
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
