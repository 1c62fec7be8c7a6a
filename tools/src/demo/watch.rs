//! What the demo itself sees of the group, once a second: lag, log ends, and who owns what.
//!
//! The same for every policy, so that they are measured alike. A rebalance is counted when the group
//! leaves its stable state or an owner changes; seconds of rebalancing that follow each other closely
//! are one. What could not be read is left out of the sample, never counted as 0.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::{Committed, GroupState, Timestamp};

use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::metrics::Metrics;
use evenkeel_scaler::observe::kafka::{Access, KafkaObserver, KafkaObserverConfig};
use evenkeel_scaler::observe::{
    Depth, Isolation, KafkaReading, ObserveKafka, Request, Subscription, TopicSelection,
};

/// Rebalancing that pauses for less than this is still the same rebalance: members join one after
/// the other, and a cooperative one has two rounds.
const EPISODE_GAP: Duration = Duration::from_secs(4);

/// How long one look at the broker may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest answer that is read.
const FRAME_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// Everything readable about the group at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// The lag of each partition. Partitions never committed count from their log's start.
    pub lags: Vec<u64>,
    /// The sum of all log end offsets.
    pub log_end_total: u64,
    /// The sum of all committed offsets; a partition never committed counts its log's start.
    pub committed_total: u64,
}

/// The group at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSight {
    /// Its state, in Kafka's words.
    pub state: &'static str,
    /// How many members it has.
    pub members: u32,
}

/// Watches one topic and one group.
#[derive(Debug)]
pub struct Watch<Kafka> {
    kafka: Kafka,
    request: Request,
    rebalances: Rebalances,
    group: Option<GroupSight>,
    problem: Option<String>,
}

/// Counts rebalances.
#[derive(Clone, Debug, Default)]
pub struct Rebalances {
    owners: BTreeMap<(String, u32), String>,
    /// Who owned each partition last, those included that nobody owns just now: a cooperative
    /// rebalance takes a partition away first and gives it to its new owner a round later.
    last_owners: BTreeMap<(String, u32), String>,
    seen_at: Option<Timestamp>,
    count: u32,
    moves: u32,
}

// === impl Watch ===

impl Watch<KafkaObserver> {
    /// Watches `topic` and `group` of the cluster at `servers`, in plaintext.
    pub fn of(servers: &str, topic: &str, group: &str, clock: Clock) -> Self {
        let observer = KafkaObserverConfig {
            name: "demo".to_owned(),
            bootstrap_servers: servers.split(',').map(str::to_owned).collect(),
            access: Access::default(),
            request_timeout: REQUEST_TIMEOUT,
            frame_limit_bytes: FRAME_LIMIT_BYTES,
        };
        let kafka = KafkaObserver::new(observer, clock, Metrics::default());
        Self::new(kafka, topic, group)
    }
}

impl<Kafka: ObserveKafka> Watch<Kafka> {
    /// Watches `topic` and `group` through `kafka`.
    pub fn new(kafka: Kafka, topic: &str, group: &str) -> Self {
        let subscription = Subscription {
            consumer_group: group.to_owned(),
            topics: TopicSelection::Named(vec![topic.to_owned()]),
            partitions: None,
            isolation: Isolation::ReadUncommitted,
            history: Duration::ZERO,
        };
        Self {
            kafka,
            request: Request {
                subscription: Arc::new(subscription),
                depth: Depth::Full,
                cold: false,
                earlier: None,
            },
            rebalances: Rebalances::default(),
            group: None,
            problem: None,
        }
    }

    /// Looks once. None when any partition could not be read.
    pub async fn look(&mut self, now: Timestamp) -> Option<Sight> {
        let readings = self
            .kafka
            .observe(std::slice::from_ref(&self.request))
            .await;
        let reading = readings.into_iter().next()?;
        self.problem = reading
            .problems
            .first()
            .map(|problem| problem.sentence.clone());
        if let Some(group) = reading.group.known() {
            self.group = Some(GroupSight {
                state: group.state.label(),
                members: u32::try_from(group.members.len()).unwrap_or(u32::MAX),
            });
            let owners = group.members.iter().flat_map(|member| {
                member.assigned.iter().flat_map(move |assigned| {
                    let key = |partition: &u32| (assigned.topic.clone(), *partition);
                    assigned
                        .partitions
                        .iter()
                        .map(move |partition| (key(partition), member.id.clone()))
                })
            });
            self.rebalances.saw(now, group.state, owners.collect());
        }
        Sight::of(&reading)
    }

    /// The group as last seen.
    pub fn group(&self) -> Option<&GroupSight> {
        self.group.as_ref()
    }

    /// Rebalances so far.
    pub fn rebalances(&self) -> &Rebalances {
        &self.rebalances
    }

    /// What went wrong when it looked last.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

// === impl Sight ===

impl Sight {
    fn of(reading: &KafkaReading) -> Option<Self> {
        let mut sight = Self {
            lags: Vec::new(),
            log_end_total: 0,
            committed_total: 0,
        };
        for topic in &reading.topics {
            for partition in topic.partitions.known()? {
                let log = partition.log.known()?;
                let committed = match partition.committed.known()? {
                    Committed::At(offset) => (*offset).max(log.start),
                    Committed::Never => log.start,
                };
                sight.lags.push(log.end.saturating_sub(committed));
                sight.log_end_total += log.end;
                sight.committed_total += committed.min(log.end);
            }
        }
        (!sight.lags.is_empty()).then_some(sight)
    }

    /// Records not yet committed.
    pub fn lag_records(&self) -> u64 {
        self.lags.iter().sum()
    }
}

// === impl Rebalances ===

impl Rebalances {
    /// Notes one look at the group.
    fn saw(&mut self, now: Timestamp, state: GroupState, owners: BTreeMap<(String, u32), String>) {
        let unsettled = matches!(
            state,
            GroupState::PreparingRebalance
                | GroupState::CompletingRebalance
                | GroupState::Assigning
                | GroupState::Reconciling
        );
        // A classic group shows no owners while it rebalances: that is not a change of owners.
        if !unsettled {
            for (partition, owner) in &owners {
                let before = self.last_owners.insert(partition.clone(), owner.clone());
                if before.is_some_and(|before| before != *owner) {
                    self.moves += 1;
                }
            }
        }
        // The last member's going leaves nobody to rebalance.
        let changed = !unsettled && !owners.is_empty() && owners != self.owners;
        if unsettled || changed {
            let continues = self.seen_at.is_some_and(|at| now.since(at) < EPISODE_GAP);
            if !continues {
                self.count += 1;
            }
            self.seen_at = Some(now);
        }
        if !unsettled {
            self.owners = owners;
        }
    }

    /// How many there were.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How many times a partition went from one owner to another.
    pub fn moves(&self) -> u32 {
        self.moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_follow_each_other_closely_are_one_rebalance() {
        let mut rebalances = Rebalances::default();
        let mut check = |second, state, owners: &[&str], count, moves| {
            let owners = owners.iter().zip(0_u32..);
            let owners =
                owners.map(|(owner, partition)| (("t".to_owned(), partition), (*owner).to_owned()));
            rebalances.saw(Timestamp::from_secs(second), state, owners.collect());
            let found = (rebalances.count(), rebalances.moves());
            assert_eq!(found, (count, moves), "second {second}");
        };
        check(1, GroupState::Empty, &[], 0, 0);
        check(2, GroupState::Stable, &["a", "a"], 1, 0);
        check(3, GroupState::Stable, &["a", "a"], 1, 0);
        check(20, GroupState::PreparingRebalance, &[], 2, 0);
        check(22, GroupState::Stable, &["a", "b"], 2, 1);
        check(40, GroupState::Stable, &["a"], 3, 1);
        check(41, GroupState::Stable, &["a", "c"], 3, 2);
        check(60, GroupState::Stable, &["a", "c"], 3, 2);
        check(80, GroupState::Empty, &[], 3, 2);
        check(99, GroupState::Stable, &["d", "d"], 4, 4);
    }
}
