//! The lag that counts: what replicas could actually work off.
//!
//! The intuition: the distance between commit and log end is not a queue. Some of it is the normal
//! breath of a consumer that commits once a batch; some of it lies behind a poison record and would
//! lie there with any number of replicas; some of it grew while a rebalance had everybody stand
//! still, and shrinks by itself. Only what is left after all of these asks for replicas. The raw lag
//! still decides whether the target is awake: nothing is too stuck to keep a consumer running.
//!
//! What this does not do: turn lag into replicas (`sizing`), or decide when a hold starts and ends
//! (`rebalance`).

use std::time::Duration;

use crate::group::GroupMemory;
use crate::history::EndHistory;
use crate::partition::{Owner, PartitionMemory, Partitions};
use crate::policy::{OffsetReset, Policy};
use crate::rate::Slopes;
use crate::time::Timestamp;

/// A commit that has not moved for this long, while the owner commits elsewhere, is stuck. Long
/// enough for a batch that waits for a slow database; KEDA's own `excludePersistentLag` takes one
/// poll for it and so misfires at every consumer that commits more slowly than it polls. So long for
/// each partition of the owner that has a backlog: consumers serve them in turn.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// ... or this many commit intervals, for consumers with long batches.
const STUCK_COMMIT_INTERVALS: u32 = 3;

/// ... and this long at most, however many wait for their turn; also while nobody has been seen to
/// commit twice: how often a healthy consumer of this group commits is not known then.
const STUCK_LONGEST: Duration = Duration::from_secs(600);

/// ... and at least this many polls in which it could have moved.
const STUCK_POLLS: u32 = 3;

/// Which part of the lag is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// None of it.
    None,
    /// What grew in partitions that moved or have no owner.
    Moved,
    /// What grew in any partition.
    All,
}

/// The lag of one target at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lag {
    /// Undamped, records, all partitions.
    pub total_records: u64,
    /// What each partition's backlog counts for, held or not, in the partitions' order.
    pub due: Vec<f64>,
    /// The same without any hold; empty where nothing is held.
    pub due_unheld: Vec<f64>,
    /// The sum of `due`.
    pub counted_records: u64,
    /// The age of the oldest uncommitted record, where it can be known.
    pub seconds: Option<f64>,
    /// Records of it that ask for nobody: in partitions that are stuck, stalled, owned by nobody or
    /// excluded by the policy, and what grew while the owner commits elsewhere only.
    pub excluded_records: u64,
    /// Partitions that have lag or an inbound rate.
    pub busy_partitions: u32,
    /// A partition with records and without a commit keeps the target awake.
    pub awaits_first_commit: bool,
    /// Stuck partitions: the first by name, and how many.
    pub stuck: Option<(String, Duration, u32)>,
    /// Partitions that no member of a settled group owns: the first by name, and how many.
    pub unowned: Option<(String, u32)>,
    /// Members that hold lag and commit nothing anywhere.
    pub stalled_members: u32,
    /// For how long the first of them has.
    pub stalled_for: Duration,
}

/// What it takes to judge the lag.
pub(crate) struct LagQuestion<'a> {
    pub policy: &'a Policy,
    pub group: Option<&'a GroupMemory>,
    /// Records per second into each partition, in the partitions' order.
    pub inbound: &'a [f64],
    /// How often the group commits, as far as that is known.
    pub commit_interval: Duration,
    pub hold: Hold,
    /// Commits before this do not prove anything: a rebalance was going on.
    pub settled_at: Option<Timestamp>,
    /// Nobody can be called stuck while this is so.
    pub rebalancing: bool,
    pub at: Timestamp,
}

/// What one partition adds.
struct Judged {
    raw: u64,
    counted: u64,
    stuck: bool,
    stalled: bool,
}

// === impl Lag ===

impl Lag {
    /// Judges every partition's lag, and notes in each what the next decision has to know of it: the
    /// lag that no hold covered, and whether a backlog lasted.
    pub fn judge(partitions: &mut Partitions, question: &LagQuestion<'_>) -> Self {
        let count = question.inbound.len();
        let mut lag = Self {
            due: Vec::with_capacity(count),
            seconds: Some(0.0),
            ..Self::default()
        };
        if question.hold != Hold::None {
            lag.due_unheld.reserve(count);
        }
        let dead_band = question.dead_band_seconds();
        let queues = question.queues(partitions);
        let mut stalled_places: Vec<u32> = Vec::new();
        let mut rates = question.inbound.iter();
        for topic in &mut partitions.topics {
            for (place, partition) in topic.partitions.iter_mut().enumerate() {
                let inbound = rates.next().copied().unwrap_or(0.0);
                let owner = partition.owner.and_then(Owner::index);
                let queue = owner.and_then(|place| queues.get(place).copied());
                let judged = question.judge(partition, queue.unwrap_or(0));
                lag.add_raw(partition, judged.raw, question);
                let excluded = judged.raw.saturating_sub(judged.counted);
                lag.excluded_records = lag.excluded_records.saturating_add(excluded);
                if judged.raw > 0 {
                    let ends = (&topic.ends, place);
                    lag.add_age(partition, ends, question.policy, question.at);
                }
                if question.is_unowned(partition) {
                    let name = || format!("{}-{}", topic.name, partition.number);
                    lag.unowned.get_or_insert_with(|| (name(), 0)).1 += 1;
                }
                if judged.stuck {
                    lag.add_stuck(&topic.name, partition, question);
                }
                if judged.stalled
                    && let Some(owner) = partition.owner
                {
                    lag.stalled_for = lag.stalled_for.max(question.waiting(partition));
                    stalled_places.push(owner.place);
                }
                lag.add_due(partition, &judged, inbound * dead_band, question);
            }
        }
        stalled_places.sort_unstable();
        stalled_places.dedup();
        lag.stalled_members = u32::try_from(stalled_places.len()).unwrap_or(u32::MAX);
        lag.counted_records = crate::rate::whole_records(lag.due.iter().sum());
        lag
    }

    /// What counts of it above the `normal` records of the dead band, held and not.
    fn add_due(
        &mut self,
        partition: &mut PartitionMemory,
        judged: &Judged,
        normal: f64,
        question: &LagQuestion<'_>,
    ) {
        let due = |records: u64| (records as f64 - normal).max(0.0);
        let held = match question.hold {
            Hold::None => false,
            Hold::Moved => partition.moved || partition.owner.is_none(),
            Hold::All => true,
        };
        let unheld = due(judged.counted);
        if question.hold != Hold::None {
            self.due_unheld.push(unheld);
        }
        if held {
            let counted = judged.counted.min(partition.lag_before_hold);
            self.due.push(due(counted));
        } else {
            self.due.push(unheld);
            partition.lag_before_hold = judged.raw;
        }
        partition.backlogged &= unheld > 0.0;
        partition.stuck = judged.stuck;
        partition.stalled = judged.stalled;
        if !question.rebalancing {
            partition.moved = false;
        }
    }

    fn add_stuck(&mut self, topic: &str, partition: &PartitionMemory, question: &LagQuestion<'_>) {
        match &mut self.stuck {
            Some((_, _, stuck)) => *stuck += 1,
            None => {
                let name = format!("{topic}-{}", partition.number);
                self.stuck = Some((name, question.waiting(partition), 1));
            }
        }
    }

    /// The undamped part: what activation and people look at.
    fn add_raw(&mut self, partition: &PartitionMemory, raw: u64, question: &LagQuestion<'_>) {
        self.total_records = self.total_records.saturating_add(raw);
        let arrives = |slopes: Slopes| slopes.short > 0.0 || slopes.slow > 0.0;
        if raw > 0 || partition.slopes.is_some_and(arrives) {
            self.busy_partitions += 1;
        }
        let policy = question.policy;
        if partition.resets(policy)
            && partition.log.is_some_and(|log| log.end > log.start)
            && policy.offset_reset == OffsetReset::Latest
            && !policy.scale_to_zero_on_invalid_offset
        {
            self.awaits_first_commit = true;
        }
    }

    /// How long the oldest uncommitted record of a partition has waited.
    fn add_age(
        &mut self,
        partition: &PartitionMemory,
        (ends, place): (&EndHistory, usize),
        policy: &Policy,
        at: Timestamp,
    ) {
        let from = partition.log.map(|log| {
            let committed = partition.committed_offset().unwrap_or(0);
            let from = if partition.resets(policy) {
                0
            } else {
                committed
            };
            from.max(log.start)
        });
        let slow = partition.slopes.map_or(0.0, |slopes| slopes.slow);
        let age = from.and_then(|from| ends.age_seconds(place, from, slow, at));
        self.seconds = match (self.seconds, age) {
            (Some(worst), Some(age)) => Some(worst.max(age)),
            _ => None,
        };
    }
}

// === impl LagQuestion ===

impl LagQuestion<'_> {
    /// The lag that a working consumer has, in seconds of its inbound rate: commits come once an
    /// interval and are seen once a poll. Never more than the time a backlog is worked off in: a
    /// partition's need, `inbound + due / catch_up`, must not fall when its inbound rate rises.
    fn dead_band_seconds(&self) -> f64 {
        let intervals = self
            .commit_interval
            .saturating_add(self.policy.poll_interval)
            .as_secs_f64();
        let horizon = self.policy.horizon().as_secs_f64();
        (intervals * self.policy.tuning.dead_band).min(horizon)
    }

    /// How long this partition's commit has not moved, a rebalance apart.
    fn waiting(&self, partition: &PartitionMemory) -> Duration {
        let since = self
            .settled_at
            .map_or(partition.advanced_at, |at| at.max(partition.advanced_at));
        self.at.since(since)
    }

    /// Whether nobody of this group works on the partition, whatever the number of replicas.
    fn is_unowned(&self, partition: &PartitionMemory) -> bool {
        self.group.is_some_and(|group| group.leaves_out(partition))
    }

    /// How many partitions with a backlog each member owns, those apart that nobody works on.
    fn queues(&self, partitions: &Partitions) -> Vec<u32> {
        let mut queues = vec![0; self.group.map_or(0, |group| group.places.len())];
        let dead_band = self.dead_band_seconds();
        for (partition, inbound) in partitions.iter().zip(self.inbound) {
            let owner = partition.owner.and_then(Owner::index);
            if let Some(queue) = owner.and_then(|place| queues.get_mut(place))
                && !partition.stuck
                && !partition.stalled
                && raw_lag_records(partition, self.policy) as f64 > inbound * dead_band
            {
                *queue += 1;
            }
        }
        queues
    }

    /// Judges one partition, of whose owner's `queue` have a backlog now.
    fn judge(&self, partition: &mut PartitionMemory, queue: u32) -> Judged {
        let raw = raw_lag_records(partition, self.policy);
        let mut judged = Judged {
            raw,
            counted: raw,
            stuck: false,
            stalled: false,
        };
        if raw > 0 && (partition.stuck || partition.stalled) {
            // A rebalance alone moves no record that cannot be processed, and brings no database back.
            judged.stuck = partition.stuck;
            judged.stalled = partition.stalled;
            judged.counted = 0;
            return judged;
        }
        if self.is_unowned(partition) {
            judged.counted = 0;
            return judged;
        }
        let unmoved = raw > 0 && partition.unmoved_polls > 0;
        let before = if unmoved { partition.queue } else { 0 };
        partition.queue = before.max(queue);
        if !unmoved || self.rebalancing {
            return judged;
        }
        let waiting = self.waiting(partition);
        let patience = if self.commit_interval.is_zero() {
            STUCK_LONGEST
        } else {
            STUCK_AFTER.max(self.commit_interval * STUCK_COMMIT_INTERVALS)
        };
        if self.policy.exclude_persistent_lag
            && partition.unmoved_polls >= 2
            && waiting > self.commit_interval * 2
        {
            judged.counted = 0;
        }
        let Some(place) = self.group.and_then(|group| group.place_of(partition)) else {
            return judged;
        };
        let long = |patience| waiting >= patience && partition.unmoved_polls >= STUCK_POLLS;
        if self.at.since(place.advanced_at) >= patience {
            judged.stalled = long(patience);
        } else if place.advanced_at > partition.advanced_at {
            // The owner works, only not here. Where it had nothing else to work off, what grows behind
            // the record it stands at says nothing about how many replicas are needed. After as long as
            // all that it has had to work off may take in turn, it is called stuck.
            if partition.queue < 2 {
                judged.counted = judged.counted.min(partition.lag_at_advance);
            }
            let turns = patience.saturating_mul(partition.queue);
            judged.stuck = long(patience.max(turns.min(STUCK_LONGEST)));
        }
        if judged.stuck || judged.stalled {
            judged.counted = 0;
        }
        judged
    }
}

/// A partition's lag before anything is excluded: what lies between the commit, or where the group
/// would start without one, and the log's end.
fn raw_lag_records(partition: &PartitionMemory, policy: &Policy) -> u64 {
    let from_the_start =
        policy.offset_reset == OffsetReset::Earliest && !policy.scale_to_zero_on_invalid_offset;
    match partition.log {
        Some(log) if partition.resets(policy) && from_the_start => {
            log.end.saturating_sub(log.start)
        }
        _ => partition.uncommitted_records(),
    }
}

#[cfg(test)]
mod tests;
