//! Described groups as the engine knows them: states, members, assignments.
//!
//! A classic member's assignment is bytes that its group's leader wrote, opaque to the broker. What
//! cannot be read there costs that member its assignment and nothing else, and is reported.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use evenkeel_engine::{AssignedTopic, Cause, GroupObservation, GroupProtocol, GroupState, Member};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::ConsumerProtocolAssignment;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup as ConsumerGroup,
};
use kafka_protocol::messages::describe_groups_response::DescribedGroup as ClassicGroup;
use kafka_protocol::protocol::StrBytes;

use super::failure::Failure;
use super::protocol::decode;
use super::shape::ASSIGNMENT;
use crate::observe::Problem;

/// The protocol type of groups whose members are consumers; Kafka Connect and others use their own.
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// The newest version of the assignment that is known. Newer ones only add to its end.
const NEWEST_ASSIGNMENT: i16 = 3;

/// A group as its coordinator describes it.
#[derive(Clone, Debug)]
pub struct Description {
    /// The group.
    pub observation: GroupObservation,
    /// What about it could not be understood.
    pub problems: Vec<Problem>,
}

/// A group in one protocol, or why the coordinator has none in that protocol.
pub type Described = Result<Result<Description, Absent>, Failure>;

/// Why there is no group in the protocol that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// None of that name is known.
    Unknown,
    /// One is, of another kind.
    OfAnotherKind,
}

/// A group from an answer to DescribeGroups.
pub fn classic(group: &ClassicGroup) -> (String, Described) {
    let id = group.group_id.to_string();
    let described = match ResponseError::try_from_code(group.error_code) {
        Some(error) if is_absent(error) => Ok(Err(Absent::of(group.error_message.as_ref()))),
        Some(error) => Err(Failure::Broker(error)),
        None => read_classic(&id, group),
    };
    (id, described)
}

fn read_classic(id: &str, group: &ClassicGroup) -> Described {
    let state = state(&group.group_state)?;
    if state == GroupState::Dead {
        return Ok(Err(Absent::Unknown));
    }
    let mut problems = Vec::new();
    let of_consumers = group.protocol_type.as_str() == CONSUMER_PROTOCOL_TYPE;
    if !of_consumers && !group.members.is_empty() {
        problems.push(Problem {
            cause: Cause::Failed,
            sentence: format!(
                "group {id} is not a group of consumers but of type {:?}: who reads what in it is \
                 unknown; set consumerGroup to the group that reads the topics",
                group.protocol_type.as_str()
            ),
        });
    }
    let mut members: Vec<Member> = group
        .members
        .iter()
        .map(|member| {
            let assigned = if of_consumers {
                read_assignment(&member.member_assignment).unwrap_or_else(|detail| {
                    problems.push(Problem {
                        cause: Cause::Malformed,
                        sentence: format!(
                            "the assignment of member {} of group {id} cannot be read ({detail}): \
                             it counts as owning nothing",
                            member.member_id.as_str()
                        ),
                    });
                    Vec::new()
                })
            } else {
                Vec::new()
            };
            Member {
                id: member.member_id.to_string(),
                host: host(&member.client_host),
                assigned,
                target: None,
            }
        })
        .collect();
    members.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Ok(Description {
        observation: GroupObservation {
            protocol: GroupProtocol::Classic,
            state,
            assignor: group.protocol_data.to_string(),
            members,
        },
        problems,
    }))
}

/// A group from an answer to ConsumerGroupDescribe.
pub fn consumer(group: &ConsumerGroup) -> (String, Described) {
    let id = group.group_id.to_string();
    let described = match ResponseError::try_from_code(group.error_code) {
        Some(error) if is_absent(error) => Ok(Err(Absent::of(group.error_message.as_ref()))),
        Some(error) => Err(Failure::Broker(error)),
        None => read_consumer(group),
    };
    (id, described)
}

fn read_consumer(group: &ConsumerGroup) -> Described {
    let state = state(&group.group_state)?;
    if state == GroupState::Dead {
        return Ok(Err(Absent::Unknown));
    }
    let mut members: Vec<Member> = group
        .members
        .iter()
        .map(|member| Member {
            id: member.member_id.to_string(),
            host: host(&member.client_host),
            assigned: topics(&member.assignment),
            target: Some(topics(&member.target_assignment)),
        })
        .collect();
    members.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Ok(Description {
        observation: GroupObservation {
            protocol: GroupProtocol::Consumer,
            state,
            assignor: group.assignor_name.to_string(),
            members,
        },
        problems: Vec::new(),
    }))
}

fn state(name: &str) -> Result<GroupState, Failure> {
    match name {
        "Empty" => Ok(GroupState::Empty),
        "PreparingRebalance" => Ok(GroupState::PreparingRebalance),
        // Kafka's name for it until 1.1.
        "CompletingRebalance" | "AwaitingSync" => Ok(GroupState::CompletingRebalance),
        "Assigning" => Ok(GroupState::Assigning),
        "Reconciling" => Ok(GroupState::Reconciling),
        "Stable" => Ok(GroupState::Stable),
        "Dead" => Ok(GroupState::Dead),
        other => Err(Failure::Malformed {
            address: "the coordinator".to_owned(),
            detail: format!("a group state {other:?}"),
        }),
    }
}

/// Java prints an address as `name/address`, the name mostly empty.
fn host(client_host: &str) -> String {
    client_host
        .rsplit_once('/')
        .map_or(client_host, |(_name, address)| address)
        .to_owned()
}

fn topics(assignment: &Assignment) -> Vec<AssignedTopic> {
    let owned = assignment
        .topic_partitions
        .iter()
        .map(|topic| (topic.topic_name.as_str(), topic.partitions.as_slice()));
    sorted(owned)
}

/// An assignment's bytes: a version, then the message. None at all while the group rebalances.
fn read_assignment(bytes: &Bytes) -> Result<Vec<AssignedTopic>, String> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut body = bytes.clone();
    let version = body
        .try_get_i16()
        .map_err(|_| "it ends within its version".to_owned())?;
    if version < 0 {
        return Err(format!("version {version}"));
    }
    let assignment: ConsumerProtocolAssignment =
        decode(&ASSIGNMENT, body, version.min(NEWEST_ASSIGNMENT))?;
    let owned = assignment
        .assigned_partitions
        .iter()
        .map(|topic| (topic.topic.as_str(), topic.partitions.as_slice()));
    Ok(sorted(owned))
}

/// By topic and partition, each once. Negative numbers are no partitions.
fn sorted<'a>(owned: impl Iterator<Item = (&'a str, &'a [i32])>) -> Vec<AssignedTopic> {
    let mut by_topic: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (topic, partitions) in owned {
        let numbers = partitions.iter().filter_map(|&p| u32::try_from(p).ok());
        by_topic.entry(topic).or_default().extend(numbers);
    }
    by_topic
        .into_iter()
        .map(|(topic, mut partitions)| {
            partitions.sort_unstable();
            partitions.dedup();
            AssignedTopic {
                topic: topic.to_owned(),
                partitions,
            }
        })
        .collect()
}

// === impl Absent ===

impl Absent {
    /// By the coordinator's sentence: it has one error code for both.
    fn of(said: Option<&StrBytes>) -> Self {
        let said = said
            .map(|text| text.trim_end_matches('.'))
            .unwrap_or_default();
        let kinds = [" is not a classic group", " is not a consumer group"];
        match kinds.iter().any(|kind| said.ends_with(kind)) {
            true => Self::OfAnotherKind,
            false => Self::Unknown,
        }
    }
}

/// Whether an error says that there is no such group in the protocol asked for.
fn is_absent(error: ResponseError) -> bool {
    matches!(
        error,
        // KIP-848 known to the broker but switched off (group.version 0).
        ResponseError::GroupIdNotFound | ResponseError::UnsupportedVersion
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<&[(&str, &[u32])], ()>) {
        let read = read_assignment(&Bytes::copy_from_slice(bytes)).map_err(|_| ());
        let expected = expected.map(|topics| {
            topics
                .iter()
                .map(|(topic, partitions)| AssignedTopic {
                    topic: (*topic).to_owned(),
                    partitions: partitions.to_vec(),
                })
                .collect::<Vec<_>>()
        });
        assert_eq!(read, expected, "{bytes:?}");
    }

    /// Version 1, topics b [2, 0] and a [1], no user data.
    const ASSIGNED: &[u8] = &[
        0, 1, 0, 0, 0, 2, 0, 1, b'b', 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 0, 1,
        0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff,
    ];

    #[test]
    fn an_assignment_is_read_sorted() {
        check(ASSIGNED, Ok(&[("a", &[1]), ("b", &[0, 2])]));
    }

    #[test]
    fn an_assignment_of_a_newer_version_is_read_as_the_newest_known() {
        let mut newer = ASSIGNED.to_vec();
        newer[1] = 9;
        newer.extend([1, 2, 3]);
        check(&newer, Ok(&[("a", &[1]), ("b", &[0, 2])]));
    }

    #[test]
    fn no_bytes_are_no_assignment() {
        check(&[], Ok(&[]));
    }

    #[test]
    fn an_assignment_cut_anywhere_is_refused() {
        for length in 1..ASSIGNED.len() {
            check(&ASSIGNED[..length], Err(()));
        }
    }

    #[test]
    fn an_assignment_that_claims_more_than_memory_holds_is_refused() {
        check(&[0, 0, 0x7f, 0xff, 0xff, 0xff], Err(()));
        check(&[0, 0, 0xff, 0xff, 0xff, 0xf0], Err(()));
    }

    #[test]
    fn the_host_is_the_address_alone() {
        assert_eq!(host("/10.0.0.5"), "10.0.0.5");
        assert_eq!(host("pod-1.kafka/10.0.0.5"), "10.0.0.5");
        assert_eq!(host("10.0.0.5"), "10.0.0.5");
    }
}
