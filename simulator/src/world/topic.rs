//! The topic: what was written to each partition, what was processed, what is committed.

use std::collections::VecDeque;

use super::Tally;
use crate::chance::whole;

/// Below this many records nothing waits: what is left of sums of fractions.
const NOTHING: f64 = 1e-6;

/// All partitions.
#[derive(Debug)]
pub(super) struct Topic {
    partitions: Vec<Partition>,
}

/// One partition.
#[derive(Debug, Default)]
pub(super) struct Partition {
    /// The log end offset.
    pub end: f64,
    /// How far it is processed.
    pub position: f64,
    /// The committed offset.
    pub committed: u64,
    /// Unprocessed records by the second in which they came, from `first_second` on.
    queue: VecDeque<f64>,
    first_second: u64,
}

// === impl Topic ===

impl Topic {
    pub fn new(partitions: usize) -> Self {
        let partition = || Partition {
            // A log that has been written to before: offsets never start at 0 in life.
            end: 1e6,
            position: 1e6,
            committed: 1_000_000,
            ..Partition::default()
        };
        Self {
            partitions: std::iter::repeat_with(partition).take(partitions).collect(),
        }
    }

    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    pub fn waiting(&self) -> impl Iterator<Item = f64> {
        self.partitions.iter().map(Partition::waiting)
    }

    pub fn append(&mut self, second: u64, arrived: &[f64]) {
        for (partition, &records) in self.partitions.iter_mut().zip(arrived) {
            partition.append(second, records);
        }
    }

    /// Processes up to `capacity` records of the partitions that are `open`, fairly divided.
    pub fn process(
        &mut self,
        own: &[usize],
        open: impl Fn(usize) -> bool,
        capacity: f64,
        second: u64,
        tally: &mut Tally,
    ) {
        let waiting = |partition: &usize| {
            let known = self.partitions.get(*partition);
            known.map_or(0.0, Partition::waiting)
        };
        let mut left = capacity;
        let mut hungry: Vec<(usize, f64)> = own
            .iter()
            .filter(|partition| open(**partition))
            .map(|partition| (*partition, waiting(partition)))
            .filter(|(_, waiting)| *waiting > NOTHING)
            .collect();
        let total: f64 = hungry.iter().map(|(_, waiting)| waiting).sum();
        if total > left {
            // The smallest first: whoever needs less than its fair share leaves the rest to others.
            hungry.sort_by(|a, b| a.1.total_cmp(&b.1));
        }
        let mut others = hungry.len();
        for (place, waiting) in hungry {
            let taken = waiting.min(left / others as f64);
            left -= taken;
            others -= 1;
            if let Some(partition) = self.partitions.get_mut(place) {
                partition.take(taken, second, tally);
            }
        }
    }

    /// Commits of the partitions whose turn it is: members do not commit in step.
    pub fn commit(&mut self, second: u64, interval: u64) {
        for (place, partition) in self.partitions.iter_mut().enumerate() {
            let turn = second + u64::try_from(place).unwrap_or(0);
            if turn.is_multiple_of(interval.max(1)) {
                partition.committed = whole(partition.position);
            }
        }
    }

    pub fn commit_all(&mut self) {
        for partition in &mut self.partitions {
            partition.committed = whole(partition.position);
        }
    }

    /// Counts what still waits with the age that it has.
    pub fn end(&mut self, second: u64, tally: &mut Tally) {
        for partition in &mut self.partitions {
            let waiting = partition.waiting();
            partition.take(waiting, second, tally);
        }
    }
}

// === impl Partition ===

impl Partition {
    pub fn waiting(&self) -> f64 {
        self.end - self.position
    }

    /// The age of the oldest record that waits.
    pub fn age_seconds(&self, now: u64) -> u64 {
        if self.waiting() > NOTHING {
            now.saturating_sub(self.first_second)
        } else {
            0
        }
    }

    fn append(&mut self, second: u64, records: f64) {
        if self.queue.is_empty() {
            if records <= 0.0 {
                return;
            }
            self.first_second = second;
        }
        self.end += records;
        self.queue.push_back(records);
    }

    fn take(&mut self, records: f64, second: u64, tally: &mut Tally) {
        let mut left = records;
        while left > 0.0
            && let Some(oldest) = self.queue.front_mut()
        {
            let age = second.saturating_sub(self.first_second);
            if *oldest > left {
                *oldest -= left;
                tally.processed(age, left);
                break;
            }
            left -= *oldest;
            if *oldest > 0.0 {
                tally.processed(age, *oldest);
            }
            self.queue.pop_front();
            self.first_second += 1;
        }
        self.position += records;
        if self.end - self.position <= NOTHING {
            self.position = self.end;
            self.queue.clear();
        }
    }
}
