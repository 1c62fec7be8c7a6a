//! Where logs start, end, and ended some time ago: one ListOffsets a leader and question.
//!
//! A request cannot name a partition twice and carries one isolation level, so each question is its
//! own request. Log ends are asked every tick. Log starts move only by retention, so they are kept
//! and asked seldom. Where a log ended at a time is told by the dates of its records, and a record that
//! is dated ahead tells nothing. A partition whose leader has moved is asked again once, at the new
//! leader.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel_engine::Timestamp;
use futures::future::join_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest, ListOffsetsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use super::brokers::Brokers;
use super::failure::Failure;
use super::metadata::Metadata;
use crate::observe::Isolation;

/// Partitions of one request, about 30 bytes each in the answer.
const PARTITIONS_PER_REQUEST: usize = 50_000;

/// Kafka's replica id of a client that is no replica.
const CONSUMER_REPLICA: i32 = -1;

/// The version from which on the broker is told how long it may take (KIP-1075).
const TIMEOUT_SINCE: i16 = 10;

/// How long a broker may look for an offset in tiered storage; answers later than the request
/// timeout are of no use, and less than that is no trouble.
const BROKER_TIMEOUT_MILLIS: i32 = 1_000;

/// One question about a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    timestamp: i64,
    isolation_level: i8,
}

/// Partitions by topic.
pub type Partitions = BTreeMap<String, BTreeSet<u32>>;

/// A record that is dated further ahead than producers' clocks differ was not written lately, whatever it
/// says: where it is in the log tells nothing of when.
const DATED_AHEAD: Duration = Duration::from_secs(60);

/// What is asked about which partitions.
pub type Questions = BTreeMap<Question, Partitions>;

/// The answer where a date makes no sense.
const TELLS_NOTHING: i64 = -2;

/// One answer for each partition asked about. -1 where no record is as new as the time asked for, and -2
/// where that cannot be told.
pub type Answers = BTreeMap<Question, BTreeMap<String, BTreeMap<u32, Result<i64, Failure>>>>;

// === impl Question ===

impl Question {
    /// The log's start.
    pub const START: Self = Self {
        timestamp: -2,
        isolation_level: 0,
    };

    /// The log's end.
    pub const fn end(isolation: Isolation) -> Self {
        Self {
            timestamp: -1,
            isolation_level: match isolation {
                Isolation::ReadUncommitted => 0,
                Isolation::ReadCommitted => 1,
            },
        }
    }

    /// The first record of `at` or later.
    pub fn since(at: Timestamp) -> Self {
        Self {
            timestamp: i64::try_from(at.as_millis()).unwrap_or(i64::MAX),
            isolation_level: 0,
        }
    }
}

/// Asks, and asks again once where a leader may have moved.
pub async fn ask(
    brokers: &mut Brokers,
    metadata: &mut Metadata,
    questions: &Questions,
    now: Timestamp,
    latest: Instant,
) -> Answers {
    let mut answers = ask_leaders(brokers, metadata, questions, (now, latest)).await;
    let mut again = Questions::new();
    let mut topics = BTreeSet::new();
    for (question, by_topic) in &answers {
        for (topic, partitions) in by_topic {
            for (&partition, answer) in partitions {
                if answer.as_ref().is_err_and(Failure::leader_may_have_moved) {
                    metadata.suspect(topic);
                    topics.insert(topic.clone());
                    again
                        .entry(*question)
                        .or_default()
                        .entry(topic.clone())
                        .or_default()
                        .insert(partition);
                }
            }
        }
    }
    if !again.is_empty() {
        metadata.refresh(brokers, &topics, now, latest).await;
        for (question, by_topic) in ask_leaders(brokers, metadata, &again, (now, latest)).await {
            for (topic, partitions) in by_topic {
                let known = answers
                    .entry(question)
                    .or_default()
                    .entry(topic)
                    .or_default();
                known.extend(partitions);
            }
        }
    }
    answers
}

/// Asks each partition's leader, all leaders at once.
async fn ask_leaders(
    brokers: &Brokers,
    metadata: &Metadata,
    questions: &Questions,
    (now, latest): (Timestamp, Instant),
) -> Answers {
    let ahead = i64::try_from(now.plus(DATED_AHEAD).as_millis()).unwrap_or(i64::MAX);
    let mut answers = Answers::new();
    let mut routed: BTreeMap<(i32, Question), Vec<(&str, u32)>> = BTreeMap::new();
    for (&question, by_topic) in questions {
        for (topic, partitions) in by_topic {
            for &partition in partitions {
                let failure = match metadata.leader(topic, partition) {
                    Ok(leader) => {
                        let asked = routed.entry((leader, question)).or_default();
                        asked.push((topic, partition));
                        Failure::Unanswered
                    }
                    Err(failure) => failure,
                };
                note(&mut answers, question, topic, partition, Err(failure));
            }
        }
    }
    let asked = routed.iter().flat_map(|(&(leader, question), partitions)| {
        partitions
            .chunks(PARTITIONS_PER_REQUEST)
            .map(move |chunk| ask_leader(brokers, leader, question, chunk, latest))
    });
    for (question, partitions, answer) in join_all(asked).await {
        match answer {
            Ok(answer) => {
                for topic in &answer.topics {
                    for p in &topic.partitions {
                        let offset = match ResponseError::try_from_code(p.error_code) {
                            Some(error) => Err(Failure::Broker(error)),
                            None if question.timestamp >= 0 && p.timestamp > ahead => {
                                Ok(TELLS_NOTHING)
                            }
                            None => Ok(p.offset),
                        };
                        if let Ok(number) = u32::try_from(p.partition_index) {
                            note(&mut answers, question, &topic.name, number, offset);
                        }
                    }
                }
            }
            Err(failure) => {
                for &(topic, partition) in partitions {
                    note(
                        &mut answers,
                        question,
                        topic,
                        partition,
                        Err(failure.clone()),
                    );
                }
            }
        }
    }
    answers
}

async fn ask_leader<'a>(
    brokers: &Brokers,
    leader: i32,
    question: Question,
    partitions: &'a [(&'a str, u32)],
    latest: Instant,
) -> (
    Question,
    &'a [(&'a str, u32)],
    Result<ListOffsetsResponse, Failure>,
) {
    let answer = brokers
        .ask(leader, latest, |version| {
            request(version, question, partitions)
        })
        .await;
    (question, partitions, answer)
}

fn request(version: i16, question: Question, partitions: &[(&str, u32)]) -> ListOffsetsRequest {
    let topics = partitions
        .chunk_by(|(one, _), (other, _)| one == other)
        .filter_map(|same_topic| {
            let (topic, _) = same_topic.first()?;
            let partitions = same_topic.iter().filter_map(|&(_, partition)| {
                Some(
                    ListOffsetsPartition::default()
                        .with_partition_index(i32::try_from(partition).ok()?)
                        .with_timestamp(question.timestamp),
                )
            });
            Some(
                ListOffsetsTopic::default()
                    .with_name(TopicName(StrBytes::from_string((*topic).to_owned())))
                    .with_partitions(partitions.collect()),
            )
        });
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(CONSUMER_REPLICA))
        .with_isolation_level(question.isolation_level)
        .with_topics(topics.collect());
    if version >= TIMEOUT_SINCE {
        request.with_timeout_ms(BROKER_TIMEOUT_MILLIS)
    } else {
        request
    }
}

fn note(
    answers: &mut Answers,
    question: Question,
    topic: &str,
    partition: u32,
    answer: Result<i64, Failure>,
) {
    let by_topic = answers.entry(question).or_default();
    // Looked up before it is made: a topic's name is copied once, not once a partition.
    if let Some(partitions) = by_topic.get_mut(topic) {
        partitions.insert(partition, answer);
    } else {
        by_topic.insert(topic.to_owned(), BTreeMap::from([(partition, answer)]));
    }
}
