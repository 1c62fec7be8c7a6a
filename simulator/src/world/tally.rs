//! What is counted of a world while it runs: ages of records, pods, rebalances.

use super::topic::Topic;

/// Ages are counted by the second up to this; what is older counts as this old.
pub(crate) const OLDEST_SECONDS: usize = 14_400;

/// A minute of a run, for tables and plots.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Minute {
    pub arrived: f64,
    pub processed: f64,
    /// Records times seconds of age of what was processed.
    pub age_seconds: f64,
    /// The oldest record that waited at the end of a second.
    pub oldest_seconds: u64,
    /// Records that waited at its end.
    pub waiting: f64,
    /// Pods at its end.
    pub replicas: u32,
    /// Members of the group at its end.
    pub members: u32,
    /// Rebalances that began in it.
    pub rebalances: u64,
}

/// The counts.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Records processed, by their age in seconds.
    ages: Vec<f64>,
    minutes: Vec<Minute>,
    now: Minute,
    replica_seconds: u64,
    rebalances: u64,
    rebalances_before: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            ages: vec![0.0; 64],
            minutes: Vec::new(),
            now: Minute::default(),
            replica_seconds: 0,
            rebalances: 0,
            rebalances_before: 0,
        }
    }
}

// === impl Tally ===

impl Tally {
    pub fn arrived(&mut self, records: f64) {
        self.now.arrived += records;
    }

    pub fn processed(&mut self, age_seconds: u64, records: f64) {
        let age = usize::try_from(age_seconds)
            .unwrap_or(OLDEST_SECONDS)
            .min(OLDEST_SECONDS);
        if self.ages.len() <= age {
            self.ages.resize(age + 1, 0.0);
        }
        if let Some(count) = self.ages.get_mut(age) {
            *count += records;
        }
        self.now.processed += records;
        self.now.age_seconds += records * age_seconds as f64;
    }

    pub(super) fn second(
        &mut self,
        topic: &Topic,
        (replicas, members): (u32, u32),
        rebalances: u64,
        second: u64,
    ) {
        self.replica_seconds += u64::from(replicas);
        self.rebalances = rebalances;
        let ages = topic.partitions().iter();
        let oldest = ages.map(|partition| partition.age_seconds(second)).max();
        self.now.oldest_seconds = self.now.oldest_seconds.max(oldest.unwrap_or(0));
        if (second + 1).is_multiple_of(60) {
            self.now.waiting = topic.waiting().sum();
            self.now.replicas = replicas;
            self.now.members = members;
            self.now.rebalances = rebalances - self.rebalances_before;
            self.rebalances_before = rebalances;
            self.minutes.push(self.now);
            self.now = Minute::default();
        }
    }

    /// Records by their age in seconds.
    pub fn ages(&self) -> &[f64] {
        &self.ages
    }

    /// The minutes that are over.
    pub fn minutes(&self) -> &[Minute] {
        &self.minutes
    }

    pub fn replica_seconds(&self) -> u64 {
        self.replica_seconds
    }

    pub fn rebalances(&self) -> u64 {
        self.rebalances
    }
}
