//! What groups have committed: one OffsetFetch a coordinator for all its groups.
//!
//! Brokers before Kafka 3.0 take one group a request; those are pipelined with a bound. A group or a
//! partition that fails does so alone.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_engine::Committed;
use futures::StreamExt;
use futures::future::join_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use super::brokers::Brokers;
use super::failure::Failure;

/// The version from which on one request asks for many groups.
const BATCHED_SINCE: i16 = 8;

/// Requests in flight at once on brokers that are asked one group at a time.
pub const SINGLE_REQUESTS_IN_FLIGHT: usize = 16;

/// Groups of one request. With the partition bound below it keeps answers to a few megabytes.
const GROUPS_PER_REQUEST: usize = 5_000;

/// Partitions of one request, about 40 bytes each in the answer. Groups asked for all they have
/// count as none: how many that are is known only afterwards.
const PARTITIONS_PER_REQUEST: usize = 100_000;

/// What is asked about one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Every partition that the group has committed to.
    All,
    /// These partitions.
    Named(BTreeMap<String, BTreeSet<u32>>),
}

/// What one group has committed, by topic and partition. Partitions that were not asked are absent,
/// and so are those without a commit where all were asked.
pub type CommittedOffsets = BTreeMap<String, BTreeMap<u32, Result<Committed, Failure>>>;

/// One group's part of an answer.
pub type GroupOffsets = Result<CommittedOffsets, Failure>;

// === impl Wanted ===

impl Wanted {
    /// Asks for what either wants.
    pub fn merge(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::All, _) => {}
            (Self::Named(_), Self::All) => *self = Self::All,
            (Self::Named(mine), Self::Named(theirs)) => {
                for (topic, partitions) in theirs {
                    mine.entry(topic).or_default().extend(partitions);
                }
            }
        }
    }

    fn partitions(&self) -> usize {
        match self {
            Self::All => 0,
            Self::Named(topics) => topics.values().map(BTreeSet::len).sum(),
        }
    }
}

/// What `groups` have committed, asked of their coordinator.
pub async fn fetch(
    brokers: &Brokers,
    node_id: i32,
    groups: &[(&str, &Wanted)],
    latest: Instant,
) -> BTreeMap<String, GroupOffsets> {
    let batched = match brokers.version::<OffsetFetchRequest>(node_id).await {
        Ok(version) => version >= BATCHED_SINCE,
        Err(failure) => return all_failed(groups, &failure),
    };
    let chunks = if batched {
        in_chunks(groups)
    } else {
        groups.chunks(1).collect()
    };
    let mut asked = Vec::new();
    for chunk in chunks {
        asked.push(fetch_chunk(brokers, node_id, chunk, latest));
    }
    let answers: Vec<_> = if batched {
        join_all(asked).await
    } else {
        futures::stream::iter(asked)
            .buffer_unordered(SINGLE_REQUESTS_IN_FLIGHT)
            .collect()
            .await
    };
    answers.into_iter().flatten().collect()
}

fn all_failed(groups: &[(&str, &Wanted)], failure: &Failure) -> BTreeMap<String, GroupOffsets> {
    groups
        .iter()
        .map(|(group, _)| ((*group).to_owned(), Err(failure.clone())))
        .collect()
}

/// Cuts `groups` so that each part stays within both bounds, or is a single group.
fn in_chunks<'a, 'b>(groups: &'a [(&'b str, &'b Wanted)]) -> Vec<&'a [(&'b str, &'b Wanted)]> {
    let mut chunks = Vec::new();
    let mut rest = groups;
    while !rest.is_empty() {
        let mut partitions = 0;
        let fitting = rest
            .iter()
            .take(GROUPS_PER_REQUEST)
            .take_while(|(_, wanted)| {
                partitions += wanted.partitions();
                partitions <= PARTITIONS_PER_REQUEST
            })
            .count();
        let (chunk, remaining) = rest.split_at(fitting.max(1));
        chunks.push(chunk);
        rest = remaining;
    }
    chunks
}

async fn fetch_chunk(
    brokers: &Brokers,
    node_id: i32,
    groups: &[(&str, &Wanted)],
    latest: Instant,
) -> BTreeMap<String, GroupOffsets> {
    let answer = brokers
        .ask(node_id, latest, |version| request(version, groups))
        .await;
    let mut read = match answer {
        Ok(answer) => match groups.first() {
            Some((group, _)) if answer.groups.is_empty() => {
                BTreeMap::from([((*group).to_owned(), read_single(&answer))])
            }
            _ => read_batch(&answer),
        },
        Err(failure) => return all_failed(groups, &failure),
    };
    for (group, _) in groups {
        read.entry((*group).to_owned())
            .or_insert(Err(Failure::Unanswered));
    }
    read
}

fn request(version: i16, groups: &[(&str, &Wanted)]) -> OffsetFetchRequest {
    let text = |name: &str| StrBytes::from_string(name.to_owned());
    if version >= BATCHED_SINCE {
        let groups = groups.iter().map(|(group, wanted)| {
            let topics = named(wanted).map(|topics| {
                topics
                    .map(|(topic, partitions)| {
                        OffsetFetchRequestTopics::default()
                            .with_name(TopicName(text(topic)))
                            .with_partition_indexes(partitions)
                    })
                    .collect()
            });
            OffsetFetchRequestGroup::default()
                .with_group_id(GroupId(text(group)))
                .with_topics(topics)
        });
        return OffsetFetchRequest::default().with_groups(groups.collect());
    }
    let Some((group, wanted)) = groups.first() else {
        return OffsetFetchRequest::default();
    };
    let topics = named(wanted).map(|topics| {
        topics
            .map(|(topic, partitions)| {
                OffsetFetchRequestTopic::default()
                    .with_name(TopicName(text(topic)))
                    .with_partition_indexes(partitions)
            })
            .collect()
    });
    OffsetFetchRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(topics)
}

fn named(wanted: &Wanted) -> Option<impl Iterator<Item = (&String, Vec<i32>)>> {
    match wanted {
        Wanted::All => None,
        Wanted::Named(topics) => Some(topics.iter().map(|(topic, partitions)| {
            let numbers = partitions.iter().filter_map(|&p| i32::try_from(p).ok());
            (topic, numbers.collect())
        })),
    }
}

fn read_single(answer: &OffsetFetchResponse) -> GroupOffsets {
    whole_group(answer.error_code)?;
    let mut read = CommittedOffsets::new();
    for topic in &answer.topics {
        let partitions = read.entry(topic.name.to_string()).or_default();
        for p in &topic.partitions {
            note(
                partitions,
                p.partition_index,
                p.error_code,
                p.committed_offset,
            );
        }
    }
    Ok(read)
}

fn read_batch(answer: &OffsetFetchResponse) -> BTreeMap<String, GroupOffsets> {
    let group_offsets = |group: &OffsetFetchResponseGroup| {
        whole_group(group.error_code)?;
        let mut read = CommittedOffsets::new();
        for topic in &group.topics {
            let partitions = read.entry(topic.name.to_string()).or_default();
            for p in &topic.partitions {
                note(
                    partitions,
                    p.partition_index,
                    p.error_code,
                    p.committed_offset,
                );
            }
        }
        Ok(read)
    };
    answer
        .groups
        .iter()
        .map(|group| (group.group_id.to_string(), group_offsets(group)))
        .collect()
}

/// A coordinator that knows no such group says that it has committed nothing.
fn whole_group(error: i16) -> Result<(), Failure> {
    match ResponseError::try_from_code(error) {
        None | Some(ResponseError::GroupIdNotFound) => Ok(()),
        Some(error) => Err(Failure::Broker(error)),
    }
}

fn note(
    partitions: &mut BTreeMap<u32, Result<Committed, Failure>>,
    number: i32,
    error: i16,
    offset: i64,
) {
    let Ok(number) = u32::try_from(number) else {
        return;
    };
    let committed = match (ResponseError::try_from_code(error), u64::try_from(offset)) {
        (Some(error), _) => Err(Failure::Broker(error)),
        (None, Ok(offset)) => Ok(Committed::At(offset)),
        (None, Err(_)) if offset == -1 => Ok(Committed::Never),
        (None, Err(_)) => Err(Failure::Malformed {
            address: "the coordinator".to_owned(),
            detail: format!("a committed offset of {offset}"),
        }),
    };
    partitions.insert(number, committed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(partitions: u32) -> Wanted {
        Wanted::Named(BTreeMap::from([(
            "t".to_owned(),
            (0..partitions).collect(),
        )]))
    }

    #[test]
    fn requests_stay_within_both_bounds_and_lose_no_group() {
        let (small, large) = (wanted(10), wanted(60_000));
        let mut groups = vec![("g", &small); 5_500];
        groups.extend([("g", &large), ("g", &large)]);
        let sizes: Vec<usize> = in_chunks(&groups).iter().map(|chunk| chunk.len()).collect();
        assert_eq!(sizes, [5_000, 501, 1]);
    }

    #[test]
    fn a_group_larger_than_a_request_is_still_asked() {
        let huge = wanted(200_000);
        assert_eq!(in_chunks(&[("g", &huge)]).len(), 1);
    }

    #[test]
    fn all_swallows_names_and_names_add_up() {
        let mut first = wanted(2);
        first.merge(wanted(5));
        assert_eq!(first, wanted(5));
        first.merge(Wanted::All);
        first.merge(wanted(1));
        assert_eq!(first, Wanted::All);
    }
}
