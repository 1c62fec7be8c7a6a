//! Who is in the group: replicas, members, and who owns which partition.
//!
//! The intuition: what the scaler asks for are replicas, what Kafka shows are members. Members that
//! share an address are one replica (a pod with several consumer threads); on the loopback every
//! process shares one address, so there each member counts. Where it is known how many members a replica
//! has and addresses say something else, the members are dealt out by that. Classic groups show assignments only
//! while they are stable and have no generation to compare, so a fingerprint over member and
//! partitions tells that a rebalance happened between two polls.
//!
//! What this does not do: decide what a change means (`rebalance`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::observation::{AssignedTopic, GroupObservation, GroupProtocol, GroupState, Member};
use crate::partition::{Owner, PartitionMemory, Partitions};
use crate::time::Timestamp;

/// The group as last known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupMemory {
    pub at: Timestamp,
    pub protocol: GroupProtocol,
    pub state: GroupState,
    pub assignor: String,
    /// Members, each id once.
    pub members: u32,
    /// Distinct hosts; members on the loopback.
    pub replicas: u32,
    /// Each member's place in the sorted list is its index here.
    pub places: Vec<Place>,
    /// Over members and what they own; `None` while it was never visible.
    pub fingerprint: Option<u64>,
    /// Some member was last seen to own something, of whatever topic.
    pub assigns: bool,
    /// Members last seen to own partitions of other topics only.
    #[serde(default)]
    pub strangers: u32,
    /// The most members that one address has; `None` where some address says nothing.
    #[serde(default)]
    pub most_of_an_address: Option<u32>,
    /// How members divide into replicas where addresses do not tell.
    #[serde(default)]
    pub dealt: Option<Dealt>,
}

/// Members dealt out to replicas by count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dealt {
    /// How many a replica gets.
    each: f64,
    replicas: u32,
}

/// One member, by its place in the sorted list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Which replica it belongs to, by its address.
    pub replica: u32,
    /// Its place among the members that may read the target's topics.
    #[serde(default)]
    pub reader: u32,
    /// When one of its partitions last moved on.
    pub advanced_at: Timestamp,
}

/// What changed in the group since the last observation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupChange {
    /// The state itself names a rebalance.
    pub unsettled: bool,
    /// Members are not where they are to be.
    pub reconciling: bool,
    /// Assignments are not what they were.
    pub reassigned: bool,
    /// There was nobody before.
    pub from_zero: bool,
}

impl GroupChange {
    /// Whether there is evidence of a rebalance.
    pub fn is_evidence(self) -> bool {
        self.unsettled || self.reconciling || self.reassigned
    }
}

// === impl GroupMemory ===

impl GroupMemory {
    /// Members a replica has, at least one.
    pub fn members_per_replica(&self) -> u32 {
        match self.dealt {
            Some(dealt) => whole_members(dealt.each.round()).max(1),
            None => self.members.div_ceil(self.replicas.max(1)).max(1),
        }
    }

    /// Members that may read the target's topics: those that own nothing may be waiting for some.
    pub fn readers(&self) -> u32 {
        self.members.saturating_sub(self.strangers)
    }

    /// How readers divide into replicas of so many each; `None` where addresses say the same.
    pub fn deal(&self, each: f64) -> Option<Dealt> {
        let replicas = whole_members((f64::from(self.readers()) / each.max(1.0)).round());
        let told = self.strangers == 0 && self.replicas == replicas;
        (!told).then_some(Dealt {
            each: each.max(1.0),
            replicas: replicas.max(1),
        })
    }

    /// How many replicas its members divide into, whoever's they are.
    pub fn divided(&self) -> u32 {
        self.dealt.map_or(self.replicas, |dealt| dealt.replicas)
    }

    /// The replica that a member belongs to.
    pub fn replica_at(&self, place: &Place) -> u32 {
        self.dealt.map_or(place.replica, |dealt| {
            // Ids sort by the number of the consumer in its pod, if by anything.
            place.reader % dealt.replicas.max(1)
        })
    }

    /// The replica that owns a partition, as last seen.
    pub fn replica_of(&self, partition: &PartitionMemory) -> Option<u32> {
        self.place_of(partition)
            .map(|place| self.replica_at(&place))
    }

    /// The member that owns a partition, as last seen.
    pub fn place_of(&self, partition: &PartitionMemory) -> Option<Place> {
        self.places.get(partition.owner?.index()?).copied()
    }

    /// Whether the group is settled and nobody in it owns the partition: its members read other topics,
    /// or have not noticed a new one.
    pub fn leaves_out(&self, partition: &PartitionMemory) -> bool {
        self.state == GroupState::Stable && self.assigns && partition.owner.is_none()
    }

    /// Notes which members have moved on.
    pub fn note_progress(&mut self, advanced_places: &[u32], at: Timestamp) {
        for &place in advanced_places {
            if let Some(place) = usize::try_from(place)
                .ok()
                .and_then(|place| self.places.get_mut(place))
            {
                place.advanced_at = at;
            }
        }
    }

    /// Takes in a description of the group and who owns what.
    pub fn take_in(
        previous: Option<Self>,
        observed: &GroupObservation,
        partitions: &mut Partitions,
        at: Timestamp,
    ) -> (Self, GroupChange) {
        let members = sorted_members(&observed.members);
        let visible =
            observed.protocol == GroupProtocol::Consumer || observed.state == GroupState::Stable;
        let fingerprint = visible.then(|| fingerprint(&members));
        let known_fingerprint = previous.as_ref().and_then(|group| group.fingerprint);
        let reassigned = match (known_fingerprint, fingerprint) {
            (Some(before), Some(after)) => before != after,
            _ => false,
        };
        let change = GroupChange {
            unsettled: matches!(
                observed.state,
                GroupState::PreparingRebalance
                    | GroupState::CompletingRebalance
                    | GroupState::Assigning
                    | GroupState::Reconciling
            ),
            reconciling: members.iter().any(|member| {
                member
                    .target
                    .as_ref()
                    .is_some_and(|target| !same_assignment(target, &member.assigned))
            }),
            reassigned,
            from_zero: previous.as_ref().is_some_and(|group| group.members == 0)
                && !members.is_empty(),
        };
        let replica_of = replicas(&members);
        let replicas = replica_of.iter().max().map_or(0, |last| last + 1);
        let addresses_tell = members.iter().all(|member| !member.shares_its_address());
        let relearn = fingerprint.is_some() && fingerprint != known_fingerprint;
        let same_places = previous
            .as_ref()
            .is_some_and(|group| group.places.len() == members.len());
        let (known_strangers, dealt) = previous
            .as_ref()
            .map_or((0, None), |group| (group.strangers, group.dealt));
        let mut places = match previous {
            Some(group) if same_places && !relearn => group.places,
            _ => (0..)
                .zip(&replica_of)
                .map(|(reader, &replica)| Place {
                    replica,
                    reader,
                    advanced_at: at,
                })
                .collect(),
        };
        // A topic that comes back, or a new partition, is of the same members as before.
        let unknown = || partitions.iter().any(|partition| partition.owner.is_none());
        let mut strangers = known_strangers;
        if relearn || (fingerprint.is_some() && unknown()) {
            learn_owners(&members, partitions, at);
            strangers = number_readers(&members, partitions, &mut places);
        }
        if change.reconciling {
            mark_moving(&members, partitions);
        }
        let group = Self {
            at,
            protocol: observed.protocol,
            state: observed.state,
            assignor: observed.assignor.clone(),
            members: u32::try_from(members.len()).unwrap_or(u32::MAX),
            replicas,
            places,
            fingerprint: fingerprint.or(known_fingerprint),
            assigns: members.iter().any(|member| !member.assigned.is_empty()),
            strangers,
            most_of_an_address: addresses_tell.then(|| most_of_one(&replica_of)),
            dealt,
        };
        (group, change)
    }
}

/// The members sorted by id, each once: the contract, made sure of.
fn sorted_members(members: &[Member]) -> Vec<&Member> {
    let mut sorted: Vec<&Member> = members.iter().collect();
    if !sorted.is_sorted_by(|a, b| a.id < b.id) {
        sorted.sort_by(|a, b| a.id.cmp(&b.id));
        sorted.dedup_by(|a, b| a.id == b.id);
    }
    sorted
}

/// For each member the number of its replica, counted from 0 in the order of hosts.
fn replicas(members: &[&Member]) -> Vec<u32> {
    let mut by_host: Vec<usize> = (0..members.len()).collect();
    let host = |place: usize| members.get(place).map_or("", |member| member.host.as_str());
    let shares = |place: usize| {
        members
            .get(place)
            .is_some_and(|one| one.shares_its_address())
    };
    by_host.sort_by(|&a, &b| host(a).cmp(host(b)));
    let mut replica_of = vec![0_u32; members.len()];
    let mut next: u32 = 0;
    let mut last: Option<&str> = None;
    for place in by_host {
        let same = last == Some(host(place)) && !shares(place);
        if !same && last.is_some() {
            next = next.saturating_add(1);
        }
        last = Some(host(place));
        if let Some(replica) = replica_of.get_mut(place) {
            *replica = next;
        }
    }
    replica_of
}

/// The most members that one replica has.
fn most_of_one(replica_of: &[u32]) -> u32 {
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    for &replica in replica_of {
        *counts.entry(replica).or_default() += 1;
    }
    counts.into_values().max().unwrap_or(1)
}

/// Numbers the members that may read the target's topics, and counts those that own others only.
fn number_readers(members: &[&Member], partitions: &Partitions, places: &mut [Place]) -> u32 {
    let is_of_target = |assigned: &AssignedTopic| {
        let topics = &partitions.topics;
        let found = topics.binary_search_by(|topic| topic.name.as_str().cmp(&assigned.topic));
        found.is_ok()
    };
    let mut strangers = 0;
    for (number, (member, place)) in (0_u32..).zip(members.iter().zip(places)) {
        place.reader = number - strangers;
        let owned = member.assigned.iter();
        let mut owned = owned.filter(|assigned| !assigned.partitions.is_empty());
        let owns = owned.clone().next().is_some();
        if owns && !owned.any(is_of_target) {
            strangers += 1;
        }
    }
    strangers
}

#[expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "float to integer casts saturate, and NaN becomes 0"
)]
fn whole_members(share: f64) -> u32 {
    share as u32
}

/// Notes for each partition who owns it now, and which of them changed hands.
fn learn_owners(members: &[&Member], partitions: &mut Partitions, at: Timestamp) {
    let mut owners: Vec<Vec<Option<Owner>>> = partitions
        .topics
        .iter()
        .map(|topic| vec![None; topic.partitions.len()])
        .collect();
    for (place, member) in members.iter().enumerate() {
        let owner = Owner {
            place: u32::try_from(place).unwrap_or(u32::MAX),
            identity: hash_text(SEED, &member.id),
        };
        for_each_assigned(&member.assigned, partitions, |topic, partition| {
            if let Some(slot) = owners
                .get_mut(topic)
                .and_then(|topic| topic.get_mut(partition))
            {
                *slot = Some(owner);
            }
        });
    }
    let memories = partitions.iter_mut();
    for (memory, owner) in memories.zip(owners.into_iter().flatten()) {
        let identity = |owner: Option<Owner>| owner.map(|owner| owner.identity);
        if identity(memory.owner) != identity(owner) {
            memory.moved = true;
            memory.advanced_at = memory.advanced_at.max(at);
            memory.unmoved_polls = 0;
            memory.measured_from = None;
        }
        memory.owner = owner;
    }
}

/// Marks the partitions that a member is to give up or to get.
fn mark_moving(members: &[&Member], partitions: &mut Partitions) {
    let mut moving: Vec<(usize, usize)> = Vec::new();
    for member in members {
        let Some(target) = &member.target else {
            continue;
        };
        if same_assignment(target, &member.assigned) {
            continue;
        }
        let collect = |assignment: &[AssignedTopic]| {
            let mut places = Vec::new();
            for_each_assigned(assignment, partitions, |topic, partition| {
                places.push((topic, partition));
            });
            places.sort_unstable();
            places
        };
        let now = collect(&member.assigned);
        let then = collect(target);
        moving.extend(
            now.iter()
                .filter(|place| then.binary_search(place).is_err()),
        );
        moving.extend(
            then.iter()
                .filter(|place| now.binary_search(place).is_err()),
        );
    }
    for (topic, partition) in moving {
        if let Some(memory) = partitions
            .topics
            .get_mut(topic)
            .and_then(|topic| topic.partitions.get_mut(partition))
        {
            memory.moved = true;
        }
    }
}

/// Whether two assignments name the same partitions, in whatever order, topics without any left out.
fn same_assignment(one: &[AssignedTopic], other: &[AssignedTopic]) -> bool {
    fn flat(assignment: &[AssignedTopic]) -> Vec<(&str, u32)> {
        let mut flat: Vec<(&str, u32)> = assignment
            .iter()
            .flat_map(|topic| {
                let name = topic.topic.as_str();
                topic.partitions.iter().map(move |&number| (name, number))
            })
            .collect();
        flat.sort_unstable();
        flat.dedup();
        flat
    }
    one == other || flat(one) == flat(other)
}

/// Calls `each` with the places of the assigned partitions that belong to the target.
fn for_each_assigned(
    assigned: &[AssignedTopic],
    partitions: &Partitions,
    mut each: impl FnMut(usize, usize),
) {
    for assignment in assigned {
        let Ok(place) = partitions
            .topics
            .binary_search_by(|topic| topic.name.as_str().cmp(&assignment.topic))
        else {
            continue;
        };
        let Some(topic) = partitions.topics.get(place) else {
            continue;
        };
        for number in &assignment.partitions {
            if let Ok(partition) = topic
                .partitions
                .binary_search_by(|partition| partition.number.cmp(number))
            {
                each(place, partition);
            }
        }
    }
}

/// FNV-1a's offset basis and prime; a fingerprint needs no more than to differ, and to be the same
/// on every machine.
const SEED: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(PRIME)
}

fn hash_text(hash: u64, text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(hash, |hash, byte| mix(hash, u64::from(byte)));
    mix(hash, u64::MAX)
}

fn fingerprint(members: &[&Member]) -> u64 {
    let mut hash = SEED;
    for member in members {
        hash = hash_text(hash, &member.id);
        for assignment in &member.assigned {
            hash = hash_text(hash, &assignment.topic);
            for &partition in &assignment.partitions {
                hash = mix(hash, u64::from(partition) + 1);
            }
        }
    }
    hash
}

#[cfg(test)]
mod tests;
