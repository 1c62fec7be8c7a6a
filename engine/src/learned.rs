//! What a target has taught the engine, apart from what was only observed of it: what outlives a restart.
//!
//! The intuition: capacity, pauses, starts and shares take hours to learn and stay true for days, while
//! windows and lag are true for minutes. So the first are one value that a caller may keep and give back,
//! and the second begin anew: nothing is lowered before a whole window has been watched, whatever was
//! learned. What is given back may be old, of another machine's clock, or edited by hand: each figure
//! that makes no sense is left out, and the others count.
//!
//! What this does not do: keep anything anywhere, or know of versions. Both are the caller's.

use serde::{Deserialize, Serialize};

use crate::capacity::{CapacityMemory, LearnedCapacity};
use crate::decision::State;
use crate::partition::Usual;
use crate::policy::Policy;
use crate::rebalance::{LONGEST_PAUSE, LONGEST_START};
use crate::replicas::ReplicaMemory;
use crate::stabilizer::Outgrown;
use crate::time::Timestamp;

/// Partitions whose shares are kept: with 14 bytes each, 10,000 are 140 kB of JSON. Where there are more,
/// none is kept, because a share says something only beside all others.
const MOST_SHARES: usize = 10_000;

/// More records than this in the half hour that shares are taken from are none.
const MOST_RECORDS: u64 = 1_000_000_000_000_000;

/// More records per second than this no replica and no topic has.
const HIGHEST_RATE: f64 = 1e12;

/// A commit interval is no longer than this, in seconds; a longer gap is an incident.
const LONGEST_COMMIT_SECONDS: f64 = 3_600.0;

/// A replica has no more members than this.
const MOST_MEMBERS: f64 = 10_000.0;

/// Figures that lie nearer to each other than this share are the same, as far as keeping them goes.
const SAME: f64 = 0.1;

/// Everything learned of one target. Opaque; at most 32 KiB of JSON for 1,000 partitions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Learned {
    capacity: LearnedCapacity,
    pause_seconds: Option<f64>,
    startup_seconds: Option<f64>,
    commit_interval_seconds: Option<f64>,
    /// The share of what rises were expected to bring that did not come.
    rises_missed: f64,
    outgrown: Outgrown,
    members_per_replica: Option<f64>,
    /// Records of each partition, by topic: how a load divides.
    shares: Usual,
}

// === impl State ===

impl State {
    /// What this target has taught so far.
    pub fn learned(&self) -> Learned {
        let shares = self.partitions.usual();
        let fits = shares.values().map(Vec::len).sum::<usize>() <= MOST_SHARES;
        Learned {
            capacity: self.capacity.learned(),
            pause_seconds: self.rebalance.pause_seconds,
            startup_seconds: self.flight.startup_seconds,
            commit_interval_seconds: self.commit_interval_seconds,
            rises_missed: self.trend.missed,
            outgrown: self.outgrown.clone(),
            members_per_replica: self.replicas.each,
            shares: if fits { shares } else { Usual::new() },
        }
    }

    /// The same state, knowing what was `learned`, less what makes no sense. Windows of observation are
    /// left as they are.
    #[must_use]
    pub fn with_learned(mut self, learned: &Learned, policy: &Policy, now: Timestamp) -> Self {
        let within =
            |value: Option<f64>, most: f64| value.filter(|value| (0.0..=most).contains(value));
        let believable = |rate: f64| rate > 0.0 && rate <= HIGHEST_RATE;
        self.capacity =
            CapacityMemory::with_learned(&learned.capacity, believable, &policy.tuning, now);
        self.rebalance.pause_seconds = within(learned.pause_seconds, LONGEST_PAUSE.as_secs_f64());
        self.flight.startup_seconds = within(learned.startup_seconds, LONGEST_START.as_secs_f64());
        self.commit_interval_seconds =
            within(learned.commit_interval_seconds, LONGEST_COMMIT_SECONDS);
        self.trend.missed = within(Some(learned.rises_missed), 1.0).unwrap_or_default();
        self.outgrown = learned.outgrown.sound(believable, now);
        let each = within(learned.members_per_replica, MOST_MEMBERS);
        self.replicas = ReplicaMemory::with_each(each.filter(|each| *each >= 1.0));
        // One share that makes no sense makes all others too large or too small.
        let shares = || learned.shares.values().flatten();
        let sound = shares().count() <= MOST_SHARES
            && shares().all(|&(_, records)| records <= MOST_RECORDS);
        self.partitions.expect_usual(if sound {
            learned.shares.clone()
        } else {
            Usual::new()
        });
        self
    }
}

// === impl Learned ===

impl Learned {
    /// Whether this is so different from what was `written` that it is worth writing: figures that are off
    /// by a tenth, other outgrown counts, another division of the load, or samples an hour newer.
    pub fn is_worth_writing_over(&self, written: &Self) -> bool {
        let differ = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => (one - other).abs() > SAME * one.abs().max(other.abs()),
            (None, None) => false,
            _ => true,
        };
        self.capacity.differs(&written.capacity, differ)
            || differ(self.pause_seconds, written.pause_seconds)
            || differ(self.startup_seconds, written.startup_seconds)
            || differ(
                self.commit_interval_seconds,
                written.commit_interval_seconds,
            )
            || (self.rises_missed - written.rises_missed).abs() > SAME
            || differ(self.members_per_replica, written.members_per_replica)
            || self.outgrown.differs(&written.outgrown, differ)
            || shares_differ(&self.shares, &written.shares)
    }
}

/// Whether a tenth of the load lies elsewhere, or there is four times as much evidence.
fn shares_differ(one: &Usual, other: &Usual) -> bool {
    let total = |usual: &Usual| -> f64 {
        let records = usual.values().flatten().map(|&(_, records)| records as f64);
        records.sum::<f64>().max(1.0)
    };
    let (one_total, other_total) = (total(one), total(other));
    if one_total > 4.0 * other_total {
        return true;
    }
    let same_topics = one.len() == other.len() && one.keys().eq(other.keys());
    let pairs = one.values().zip(other.values());
    let same_partitions = same_topics
        && pairs.clone().all(|(one, other)| {
            let numbers = |usual: &[(u32, u64)]| usual.iter().map(|&(number, _)| number).collect();
            let (one, other): (Vec<u32>, Vec<u32>) = (numbers(one), numbers(other));
            one == other
        });
    if !same_partitions {
        return true;
    }
    let moved: f64 = pairs
        .flat_map(|(one, other)| one.iter().zip(other))
        .map(|(&(_, one), &(_, other))| {
            (one as f64 / one_total - other as f64 / other_total).abs() / 2.0
        })
        .sum();
    moved > SAME
}

#[cfg(test)]
mod tests;
