//! What the coordinators say about groups: commits and members, all groups of a coordinator at once.
//!
//! A group speaks one of two protocols and each has its own question (DescribeGroups,
//! ConsumerGroupDescribe). Which one a group speaks is remembered, also while it is empty or cannot be
//! read, so that a steady tick asks each group once; one that turns out to have changed is asked the
//! other question in the same tick, and one that is unknown is asked both.

use std::collections::{BTreeMap, HashMap};

use evenkeel_engine::{GroupObservation, GroupProtocol, GroupState};
use futures::future::join_all;
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, DescribeGroupsRequest, GroupId};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use super::brokers::Brokers;
use super::coordinators::Coordinators;
use super::failure::Failure;
use super::members::{self, Absent, Described, Description};
use super::offsets::{self, GroupOffsets, Wanted};

/// Groups of one describing request. A member takes some four hundred bytes (its ids, subscription
/// and assignment), so that two thousand groups of forty members each stay within the default limit
/// of an answer, 32 MiB. With fewer, 5,000 groups on three brokers would take several requests each.
const GROUPS_PER_REQUEST: usize = 2_000;

/// Everything that was asked about one group.
#[derive(Clone, Debug)]
pub struct GroupAnswer {
    /// What it has committed.
    pub committed: GroupOffsets,
    /// What it is.
    pub description: Result<Description, Failure>,
}

/// What is remembered about groups between ticks.
#[derive(Debug, Default)]
pub struct Groups {
    coordinators: Coordinators,
    protocols: HashMap<String, GroupProtocol>,
}

// === impl GroupAnswer ===

impl GroupAnswer {
    fn failed(failure: Failure) -> Self {
        Self {
            committed: Err(failure.clone()),
            description: Err(failure),
        }
    }

    fn coordinator_may_have_moved(&self) -> bool {
        let committed = self.committed.as_ref().err();
        let description = self.description.as_ref().err();
        committed
            .into_iter()
            .chain(description)
            .any(Failure::coordinator_may_have_moved)
    }
}

// === impl Groups ===

impl Groups {
    /// Forgets all groups but those that `keep` wants.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.coordinators.retain(&keep);
        self.protocols.retain(|group, _| keep(group));
    }

    /// Asks the coordinators of all groups at once. Where a coordinator has moved it is looked up
    /// and asked again once.
    pub async fn ask(
        &mut self,
        brokers: &mut Brokers,
        wanted: &BTreeMap<String, Wanted>,
        latest: Instant,
    ) -> BTreeMap<String, GroupAnswer> {
        let mut answers = BTreeMap::new();
        let first: Vec<&str> = wanted.keys().map(String::as_str).collect();
        let moved = self
            .ask_once(brokers, wanted, &first, &mut answers, latest)
            .await;
        if !moved.is_empty() {
            let again: Vec<&str> = moved.iter().map(String::as_str).collect();
            self.ask_once(brokers, wanted, &again, &mut answers, latest)
                .await;
        }
        answers
    }

    /// Adds to `answers`; answers which groups' coordinators may have moved.
    async fn ask_once(
        &mut self,
        brokers: &mut Brokers,
        wanted: &BTreeMap<String, Wanted>,
        groups: &[&str],
        answers: &mut BTreeMap<String, GroupAnswer>,
        latest: Instant,
    ) -> Vec<String> {
        for (group, failure) in self.coordinators.find(brokers, groups, latest).await {
            answers.insert(group, GroupAnswer::failed(failure));
        }
        let mut by_node: BTreeMap<i32, Vec<(&str, &Wanted)>> = BTreeMap::new();
        for &group in groups {
            if let (Some(node), Some(wanted)) = (self.coordinators.node(group), wanted.get(group)) {
                by_node.entry(node).or_default().push((group, wanted));
            }
        }
        let asked = by_node
            .iter()
            .map(|(&node, groups)| ask_coordinator(brokers, node, groups, &self.protocols, latest));
        let mut moved = Vec::new();
        for (group, answer) in join_all(asked).await.into_iter().flatten() {
            if answer.coordinator_may_have_moved() {
                self.coordinators.forget(&group);
                moved.push(group.clone());
            }
            if let Ok(description) = &answer.description {
                let described = &description.observation;
                match described.state {
                    GroupState::Dead => self.protocols.remove(&group),
                    _ => self.protocols.insert(group.clone(), described.protocol),
                };
            }
            answers.insert(group, answer);
        }
        moved
    }
}

async fn ask_coordinator(
    brokers: &Brokers,
    node: i32,
    groups: &[(&str, &Wanted)],
    protocols: &HashMap<String, GroupProtocol>,
    latest: Instant,
) -> Vec<(String, GroupAnswer)> {
    let names: Vec<&str> = groups.iter().map(|(group, _)| *group).collect();
    let (mut committed, mut described) = tokio::join!(
        offsets::fetch(brokers, node, groups, latest),
        describe(brokers, node, &names, protocols, latest),
    );
    let answer = |group: &str| {
        let answer = GroupAnswer {
            committed: committed.remove(group).unwrap_or(Err(Failure::Unanswered)),
            description: described.remove(group).unwrap_or(Err(Failure::Unanswered)),
        };
        (group.to_owned(), answer)
    };
    names.into_iter().map(answer).collect()
}

/// Describes each group in the protocol that it is known to speak, in both where that is not known.
async fn describe(
    brokers: &Brokers,
    node: i32,
    groups: &[&str],
    protocols: &HashMap<String, GroupProtocol>,
    latest: Instant,
) -> BTreeMap<String, Result<Description, Failure>> {
    let speaking = |other: GroupProtocol| -> Vec<&str> {
        let may = |group: &&str| protocols.get(*group) != Some(&other);
        groups.iter().copied().filter(may).collect()
    };
    let (mut classic, mut consumer) = tokio::join!(
        describe_classic(brokers, node, speaking(GroupProtocol::Consumer), latest),
        describe_consumer(brokers, node, speaking(GroupProtocol::Classic), latest),
    );
    // Those that no longer speak what they spoke before are asked in the other protocol.
    let changed = |answers: &BTreeMap<String, Described>, was: GroupProtocol| -> Vec<&str> {
        let is = |group: &&str| {
            protocols.get(*group) == Some(&was) && matches!(answers.get(*group), Some(Ok(Err(_))))
        };
        groups.iter().copied().filter(is).collect()
    };
    let (more_classic, more_consumer) = tokio::join!(
        describe_classic(
            brokers,
            node,
            changed(&consumer, GroupProtocol::Consumer),
            latest
        ),
        describe_consumer(
            brokers,
            node,
            changed(&classic, GroupProtocol::Classic),
            latest
        ),
    );
    classic.extend(more_classic);
    consumer.extend(more_consumer);
    groups
        .iter()
        .map(|&group| {
            let description = either(consumer.remove(group), classic.remove(group));
            (group.to_owned(), description)
        })
        .collect()
}

/// One description of a group from its answers in both protocols, each absent if not asked.
fn either(consumer: Option<Described>, classic: Option<Described>) -> Result<Description, Failure> {
    match (consumer, classic) {
        (Some(Ok(Ok(description))), _) | (_, Some(Ok(Ok(description)))) => Ok(description),
        (Some(Err(failure)), _) | (_, Some(Err(failure))) => Err(failure),
        (None, None) => Err(Failure::Unanswered),
        (Some(Ok(Err(Absent::OfAnotherKind))), Some(Ok(Err(Absent::OfAnotherKind)))) => {
            Err(Failure::OfAnotherKind)
        }
        (Some(Ok(Err(_))) | None, Some(Ok(Err(_))) | None) => Ok(Description {
            observation: GroupObservation {
                protocol: GroupProtocol::Classic,
                state: GroupState::Dead,
                assignor: String::new(),
                members: Vec::new(),
            },
            problems: Vec::new(),
        }),
    }
}

async fn describe_classic(
    brokers: &Brokers,
    node: i32,
    groups: Vec<&str>,
    latest: Instant,
) -> BTreeMap<String, Described> {
    let asked = groups.chunks(GROUPS_PER_REQUEST).map(async |chunk| {
        let request = DescribeGroupsRequest::default().with_groups(ids(chunk));
        match brokers.ask(node, latest, |_version| request).await {
            Ok(answer) => all_of(chunk, answer.groups.iter().map(members::classic)),
            Err(failure) => all_failed(chunk, &failure),
        }
    });
    join_all(asked).await.into_iter().flatten().collect()
}

async fn describe_consumer(
    brokers: &Brokers,
    node: i32,
    groups: Vec<&str>,
    latest: Instant,
) -> BTreeMap<String, Described> {
    let asked = groups.chunks(GROUPS_PER_REQUEST).map(async |chunk| {
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(ids(chunk));
        match brokers.ask(node, latest, |_version| request).await {
            Ok(answer) => all_of(chunk, answer.groups.iter().map(members::consumer)),
            // A broker without KIP-848 has no groups that speak it.
            Err(Failure::Unsupported { .. }) => all_of(
                chunk,
                chunk
                    .iter()
                    .map(|&group| (group.to_owned(), Ok(Err(Absent::Unknown)))),
            ),
            Err(failure) => all_failed(chunk, &failure),
        }
    });
    join_all(asked).await.into_iter().flatten().collect()
}

fn ids(groups: &[&str]) -> Vec<GroupId> {
    groups
        .iter()
        .map(|&group| GroupId(StrBytes::from_string(group.to_owned())))
        .collect()
}

fn all_of(
    groups: &[&str],
    answered: impl Iterator<Item = (String, Described)>,
) -> BTreeMap<String, Described> {
    let mut described: BTreeMap<String, Described> = answered.collect();
    for &group in groups {
        described
            .entry(group.to_owned())
            .or_insert(Err(Failure::Unanswered));
    }
    described
}

fn all_failed(groups: &[&str], failure: &Failure) -> BTreeMap<String, Described> {
    groups
        .iter()
        .map(|&group| (group.to_owned(), Err(failure.clone())))
        .collect()
}
