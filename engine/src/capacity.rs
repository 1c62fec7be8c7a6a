//! What one replica can do, in records per second.
//!
//! The intuition: a replica that has nothing left to do shows the load, not its capacity. Only one
//! that has a backlog all the time does, and only while nothing moves around it. So the group is
//! measured over several commit intervals at a time, a measurement is thrown away whenever anything
//! changes, and of the replicas that were saturated throughout each gives one sample.
//!
//! A low quantile of the samples counts for going up and a lower one for coming down: capacity that
//! is overestimated by 30 % makes 4..17 % of records late, underestimated by as much it costs
//! 13..44 % more replicas (the sketch behind docs/ALGORITHM.md).
//!
//! Until there are samples, replicas are planned to carry the most that they have carried without a
//! backlog: a group that was never overloaded would otherwise never come down.
//!
//! What was told is believed until most of a group was saturated and did something else: then what
//! they do counts. A capacity told 30 % too high plans a backlog away that in truth stays for ever, and
//! makes every rise late; one told too low costs replicas.
//!
//! What this does not do: guess. Before the first measurement the lag threshold sizes.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::group::GroupMemory;
use crate::partition::{Owner, Partitions};
use crate::policy::Policy;
use crate::time::Timestamp;
use crate::tuning::Tuning;

/// One measurement covers this many commit intervals, so that the sawtooth of commits is at most a
/// quarter of it.
const COMMIT_INTERVALS: u32 = 4;

/// ... and at least this long, so that one slow batch does not make a sample.
const SHORTEST_MEASUREMENT: Duration = Duration::from_secs(30);

/// Samples needed before they count.
const ENOUGH_SAMPLES: usize = 3;

/// Samples kept: at 30 s a measurement and a few saturated replicas, some hours of overload.
const MOST_SAMPLES: usize = 256;

/// Samples that one measurement may add, so that a large group's one bad minute does not fill the
/// memory: evenly picked from all of them.
const MOST_SAMPLES_A_MEASUREMENT: usize = 16;

/// Replicas that were slowed down count as slow for this long: for the backlog that it has left, and not
/// for the day after a quarter of an hour of a slow database.
const SLOWED: Duration = Duration::from_secs(600);

/// Samples that are newer by this are worth being kept beside those that were.
const WORTH_WRITING: Duration = Duration::from_secs(3_600);

/// Samples older than this describe yesterday's code.
const OLDEST_SAMPLE: Duration = Duration::from_secs(24 * 3_600);

/// What has been learned of the capacity of a replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CapacityMemory {
    samples: VecDeque<Sample>,
    /// The quantiles over `samples`, taken when they change.
    learned: Option<Capacity>,
    measuring_since: Option<Timestamp>,
    /// What most of the group did, all of them saturated.
    shown: Option<Shown>,
    /// The same where they have carried more today: something slowed them.
    slowed: Option<Shown>,
    /// The most that replicas have carried through a measurement, saturated or not.
    proven: Option<Proven>,
}

/// What outlives a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LearnedCapacity {
    /// When, records per second, and whether most of the group was saturated with it.
    samples: Vec<(Timestamp, f64, bool)>,
    shown: Option<Shown>,
    slowed: Option<Shown>,
    proven: Option<Proven>,
}

/// One saturated replica over one measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Sample {
    at: Timestamp,
    records_per_second: f64,
    /// Most of the group was saturated with it: it is not the affair of a slow or hot replica.
    among_most: bool,
}

/// The capacity of a group most of which was saturated, and when it last was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Shown {
    at: Timestamp,
    up: f64,
    down: f64,
}

/// What replicas have carried through one measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Proven {
    at: Timestamp,
    records_per_second: f64,
}

/// The capacity of one replica, in records per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Capacity {
    /// For going up.
    pub up: f64,
    /// For coming down.
    pub down: f64,
    /// For working a backlog off: less than `up` where replicas do less than they were told to.
    pub backlog: f64,
    /// Where it comes from.
    pub source: Source,
}

/// Where a capacity comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Source {
    /// The policy.
    Configured,
    /// Saturated replicas.
    Learned,
    /// Saturated replicas, which did not do what the policy says.
    Shown,
    /// No replica was ever saturated; this much was carried without a backlog.
    Proven,
}

/// One replica's share of a measurement.
#[derive(Clone, Copy, Debug)]
struct Measured {
    records: u64,
    /// Every member that owns anything was saturated.
    saturated: bool,
    owns: bool,
}

// === impl CapacityMemory ===

impl CapacityMemory {
    /// The capacity to decide with: configured, learned, proven, or unknown. What was only proven
    /// counts as the target utilization of a capacity: replicas are planned to carry what they have
    /// carried.
    pub fn capacity(&self, policy: &Policy, now: Timestamp) -> Option<Capacity> {
        let same = |rate: f64, source| Capacity {
            up: rate,
            down: rate,
            backlog: rate,
            source,
        };
        let configured = policy
            .capacity_per_replica
            .filter(|rate| rate.is_finite() && *rate > 0.0);
        let proven = self.proven.filter(|_| policy.tuning.use_proven);
        configured
            .map(|rate| match self.shown(rate, &policy.tuning, now) {
                Some(shown) => Capacity {
                    up: shown.up,
                    down: shown.down,
                    backlog: shown.up,
                    source: Source::Shown,
                },
                None => same(rate, Source::Configured),
            })
            .map(|known| Capacity {
                backlog: self
                    .slowed(now)
                    .map_or(known.backlog, |slowed| slowed.min(known.up)),
                ..known
            })
            .or(self.learned)
            .or(proven.map(|proven| {
                let planned = policy.target_utilization;
                same(proven.records_per_second / planned, Source::Proven)
            }))
    }

    /// What most of the group did of late while it was saturated, where that is clearly not what was
    /// `told`. Few with a backlog are the slow ones and say nothing of the others.
    fn shown(&self, told: f64, tuning: &Tuning, now: Timestamp) -> Option<Shown> {
        self.shown
            .filter(|shown| now.since(shown.at) <= OLDEST_SAMPLE)
            .filter(|shown| (shown.up / told - 1.0).abs() > tuning.capacity_doubt)
    }

    /// What replicas do that were slowed down not long ago.
    fn slowed(&self, now: Timestamp) -> Option<f64> {
        let slowed = self.slowed?;
        (now.since(slowed.at) <= SLOWED).then_some(slowed.up)
    }

    /// What outlives a restart.
    pub fn learned(&self) -> LearnedCapacity {
        let samples = self.samples.iter();
        LearnedCapacity {
            samples: samples
                .map(|sample| (sample.at, sample.records_per_second, sample.among_most))
                .collect(),
            shown: self.shown,
            slowed: self.slowed,
            proven: self.proven,
        }
    }

    /// A memory that knows what was learned, as far as the rates in it are `believable`. What seems to be
    /// of the future was noted by a clock that is ahead: it is of now.
    pub fn with_learned(
        learned: &LearnedCapacity,
        believable: impl Fn(f64) -> bool,
        tuning: &Tuning,
        now: Timestamp,
    ) -> Self {
        let surplus = learned.samples.len().saturating_sub(MOST_SAMPLES);
        let kept = learned.samples.iter().skip(surplus);
        let mut samples: VecDeque<Sample> = kept
            .filter(|(_, records_per_second, _)| believable(*records_per_second))
            .map(|&(at, records_per_second, among_most)| Sample {
                at: at.min(now),
                records_per_second,
                among_most,
            })
            .collect();
        samples.make_contiguous().sort_by_key(|sample| sample.at);
        let shown = |shown: Option<Shown>| {
            let sound = |shown: &Shown| believable(shown.up) && believable(shown.down);
            shown.filter(sound).map(|shown| Shown {
                at: shown.at.min(now),
                ..shown
            })
        };
        let proven = learned.proven;
        let proven = proven.filter(|proven| believable(proven.records_per_second));
        Self {
            learned: learned_of(&samples, tuning),
            samples,
            measuring_since: None,
            shown: shown(learned.shown),
            slowed: shown(learned.slowed),
            proven: proven.map(|proven| Proven {
                at: proven.at.min(now),
                ..proven
            }),
        }
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        self.samples.len()
    }

    /// Ends the present measurement without a result: something changed.
    pub fn interrupt(&mut self) {
        self.measuring_since = None;
    }

    /// Goes on measuring a group that is stable and settled. `due` is the backlog of each partition
    /// above its dead band, without holds; `lag` notes in each whether it lasts.
    pub fn measure(
        &mut self,
        partitions: &mut Partitions,
        group: &GroupMemory,
        (due, commit_interval): (&[f64], Duration),
        tuning: &Tuning,
        at: Timestamp,
    ) {
        let Some(since) = self.measuring_since else {
            self.measuring_since = Some(at);
            for (partition, due) in partitions.iter_mut().zip(due) {
                partition.measured_from = partition.committed_offset();
                partition.backlogged = *due > 0.0;
            }
            return;
        };
        let elapsed = at.since(since);
        if elapsed < SHORTEST_MEASUREMENT.max(commit_interval * COMMIT_INTERVALS) {
            return;
        }
        let measured = measured(partitions, group);
        let seconds = elapsed.as_secs_f64();
        let rates = |saturated: bool| -> Vec<f64> {
            measured
                .iter()
                .filter(|replica| replica.owns && replica.records > 0)
                .filter(|replica| replica.saturated || !saturated)
                .map(|replica| replica.records as f64 / seconds)
                .collect()
        };
        let (all, saturated) = (rates(false), rates(true));
        let among_most = 2 * saturated.len() > all.len();
        self.prove(all, tuning, at);
        self.add(saturated, among_most, tuning, at);
        self.measuring_since = None;
    }

    /// Notes what replicas have carried, if it is the most for a day: nearly the least busy of them,
    /// so that one quick replica proves nothing for the others.
    fn prove(&mut self, mut rates: Vec<f64>, tuning: &Tuning, at: Timestamp) {
        rates.sort_unstable_by(f64::total_cmp);
        let Some(records_per_second) = quantile(&rates, tuning.capacity_quantile_up) else {
            return;
        };
        let beaten = self.proven.is_none_or(|known| {
            known.records_per_second <= records_per_second || at.since(known.at) > OLDEST_SAMPLE
        });
        if beaten {
            self.proven = Some(Proven {
                at,
                records_per_second,
            });
        }
    }

    fn add(&mut self, mut rates: Vec<f64>, among_most: bool, tuning: &Tuning, at: Timestamp) {
        rates.sort_unstable_by(f64::total_cmp);
        let step = rates.len().div_ceil(MOST_SAMPLES_A_MEASUREMENT).max(1);
        let picked: Vec<f64> = rates.into_iter().step_by(step).collect();
        if picked.is_empty() {
            return;
        }
        for records_per_second in picked {
            self.samples.push_back(Sample {
                at,
                records_per_second,
                among_most,
            });
        }
        while self.samples.len() > MOST_SAMPLES
            || self
                .samples
                .front()
                .is_some_and(|sample| at.since(sample.at) > OLDEST_SAMPLE)
        {
            self.samples.pop_front();
        }
        self.learned = learned_of(&self.samples, tuning).or(self.learned);
        let newest = self.samples.iter().rev().filter(|sample| sample.among_most);
        let newest = newest.take(MOST_SAMPLES_A_MEASUREMENT);
        if among_most && let Some((up, down)) = quantiles(newest, tuning) {
            let carried = self.proven.map_or(0.0, |proven| proven.records_per_second);
            let shown = Some(Shown { at, up, down });
            if up < carried * (1.0 - tuning.capacity_doubt) {
                self.slowed = shown;
            } else {
                self.shown = shown;
            }
        }
    }
}

// === impl LearnedCapacity ===

impl LearnedCapacity {
    /// One of these samples, and with the same shown, slowed and proven, whatever they are.
    #[cfg(test)]
    pub fn bent(
        samples: Vec<(Timestamp, f64, bool)>,
        shown: Option<(Timestamp, f64, f64)>,
    ) -> Self {
        let proven = shown.map(|(at, records_per_second, _)| Proven {
            at,
            records_per_second,
        });
        let shown = shown.map(|(at, up, down)| Shown { at, up, down });
        Self {
            samples,
            shown,
            slowed: shown,
            proven,
        }
    }

    /// Whether there are samples of another capacity, by `differ`, or an hour newer ones.
    pub fn differs(
        &self,
        written: &Self,
        differ: impl Fn(Option<f64>, Option<f64>) -> bool,
    ) -> bool {
        let newest = |learned: &Self| learned.samples.iter().map(|sample| sample.0).max();
        let is_newer = match (newest(self), newest(written)) {
            (Some(newest), Some(before)) => newest.since(before) > WORTH_WRITING,
            _ => false,
        };
        let median = |learned: &Self| {
            let samples = learned.samples.iter();
            let mut rates: Vec<f64> = samples.map(|sample| sample.1).collect();
            rates.sort_unstable_by(f64::total_cmp);
            quantile(&rates, 0.5).filter(|_| rates.len() >= ENOUGH_SAMPLES)
        };
        let up = |shown: Option<Shown>| shown.map(|shown| shown.up);
        let proven = |learned: &Self| learned.proven.map(|proven| proven.records_per_second);
        is_newer
            || differ(median(self), median(written))
            || differ(up(self.shown), up(written.shown))
            || differ(up(self.slowed), up(written.slowed))
            || differ(proven(self), proven(written))
    }
}

/// The capacity that samples show, where there are enough.
fn learned_of(samples: &VecDeque<Sample>, tuning: &Tuning) -> Option<Capacity> {
    let (up, down) = quantiles(samples.iter(), tuning)?;
    Some(Capacity {
        up,
        down,
        backlog: up,
        source: Source::Learned,
    })
}

/// What each replica did since the measurement began, and whether it was saturated throughout.
fn measured(partitions: &Partitions, group: &GroupMemory) -> Vec<Measured> {
    let mut members = vec![
        Measured {
            records: 0,
            saturated: false,
            owns: false,
        };
        group.places.len()
    ];
    for partition in partitions.iter() {
        let Some(member) = partition
            .owner
            .and_then(Owner::index)
            .and_then(|place| members.get_mut(place))
        else {
            continue;
        };
        let (Some(from), Some(to)) = (partition.measured_from, partition.committed_offset()) else {
            continue;
        };
        let records = to.saturating_sub(from);
        member.owns = true;
        member.records = member.records.saturating_add(records);
        // A partition with a backlog that does not move is stuck: it saturates nobody.
        member.saturated |= partition.backlogged && records > 0;
    }
    let count = usize::try_from(group.divided()).unwrap_or(0);
    let mut replicas = vec![
        Measured {
            records: 0,
            saturated: true,
            owns: false,
        };
        count
    ];
    for (member, place) in members.iter().zip(&group.places) {
        let replica = usize::try_from(group.replica_at(place))
            .ok()
            .and_then(|replica| replicas.get_mut(replica));
        if let Some(replica) = replica
            && member.owns
        {
            replica.owns = true;
            replica.records = replica.records.saturating_add(member.records);
            replica.saturated &= member.saturated;
        }
    }
    replicas
}

/// What nearly all replicas did, for going up and for coming down.
fn quantiles<'a>(samples: impl Iterator<Item = &'a Sample>, tuning: &Tuning) -> Option<(f64, f64)> {
    let mut rates: Vec<f64> = samples.map(|sample| sample.records_per_second).collect();
    if rates.len() < ENOUGH_SAMPLES {
        return None;
    }
    rates.sort_unstable_by(f64::total_cmp);
    let up = quantile(&rates, tuning.capacity_quantile_up)?;
    Some((up, quantile(&rates, tuning.capacity_quantile_down)?))
}

/// The value below which `share` of the sorted values lie; the lower neighbour.
#[expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "the share lies between 0 and 1 and the count is small"
)]
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let index = (last as f64 * share).floor() as usize;
    sorted.get(index).copied()
}

#[cfg(test)]
mod tests;
