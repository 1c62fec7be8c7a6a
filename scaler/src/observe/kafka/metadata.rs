//! Which topics there are, their partitions, and who leads them: kept, and asked again when there is
//! a reason.
//!
//! Reasons: a topic not seen yet, an answer from a broker that contradicts what is kept, and age, so
//! that added partitions are noticed. Only topics that somebody wants are asked for, never all of a
//! cluster, and a question never creates a topic. Where one is asked for, those that soon would be are
//! asked for with it: topics that came one after the other would else have a question each, every minute.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use evenkeel_engine::Timestamp;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use super::brokers::Brokers;
use super::failure::Failure;

/// How old an answer may get. Partitions are added seldom and consumers themselves notice only after
/// five minutes (`metadata.max.age.ms`), so a minute is early enough and costs next to nothing.
pub const METADATA_AGE: Duration = Duration::from_secs(60);

/// A topic that is so old is asked for with others that are due.
const COMPANY_AGE: Duration = Duration::from_secs(30);

/// How soon a topic that could not be read is asked for again without further reason: one tick of
/// the default poll interval, so that a topic that has just been created is seen at the next.
pub const METADATA_RETRY: Duration = Duration::from_secs(5);

/// How long it is said that a topic was deleted and created again: long enough for a person to see.
pub const RECREATION_NOTICE: Duration = Duration::from_secs(600);

/// Topics of one Metadata request. An answer takes about 50 bytes a partition: with a hundred
/// partitions a topic this stays near ten megabytes.
const TOPICS_PER_REQUEST: usize = 2_000;

/// Who leads a partition, or why nobody does.
pub type Leader = Result<i32, Failure>;

/// What is known of one topic.
#[derive(Clone, Debug)]
pub struct Topic {
    /// The partitions by number, or why they are not known.
    pub partitions: Result<BTreeMap<u32, Leader>, Failure>,
    /// When it was last seen to have been deleted and created again.
    pub recreated_at: Option<Timestamp>,
    /// The identity that survives no deletion (KIP-516); zeros on brokers that give none.
    id: [u8; 16],
    checked_at: Timestamp,
    used_at: Timestamp,
    suspect: bool,
}

/// What is known of the cluster's topics.
#[derive(Debug, Default)]
pub struct Metadata {
    topics: HashMap<String, Topic>,
}

// === impl Topic ===

impl Topic {
    fn is_due(&self, now: Timestamp) -> bool {
        let age = now.since(self.checked_at);
        self.suspect || age >= METADATA_AGE || (self.partitions.is_err() && age >= METADATA_RETRY)
    }
}

// === impl Metadata ===

impl Metadata {
    /// What is known of a topic.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// Who leads a partition.
    pub fn leader(&self, topic: &str, partition: u32) -> Leader {
        match self.topic(topic).map(|topic| &topic.partitions) {
            Some(Ok(partitions)) => partitions
                .get(&partition)
                .cloned()
                .unwrap_or(Err(Failure::Broker(ResponseError::UnknownTopicOrPartition))),
            Some(Err(failure)) => Err(failure.clone()),
            None => Err(Failure::Unanswered),
        }
    }

    /// Something contradicts what is known of a topic: it is asked for at the next chance.
    pub fn suspect(&mut self, topic: &str) {
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.suspect = true;
        }
    }

    /// A group has to do with partition `highest` of a topic: where metadata does not know it, the
    /// topic is asked for at the next chance, but no more often than a topic that cannot be read
    /// (commits outlive partitions where a topic was created again with fewer).
    pub fn suspect_outgrown(&mut self, topic: &str, highest: u32, now: Timestamp) {
        if let Some(topic) = self.topics.get_mut(topic)
            && now.since(topic.checked_at) >= METADATA_RETRY
            && let Ok(partitions) = &topic.partitions
            && !partitions.contains_key(&highest)
        {
            topic.suspect = true;
        }
    }

    /// Forgets topics that nobody wanted to know of in `idle`.
    pub fn forget_unused(&mut self, idle: Duration, now: Timestamp) {
        self.topics
            .retain(|_, topic| now.since(topic.used_at) < idle);
    }

    /// Asks for those of `names` that there is a reason to ask for. What could not be asked keeps
    /// its last answer; a topic that has none says why.
    pub async fn refresh(
        &mut self,
        brokers: &mut Brokers,
        names: &BTreeSet<String>,
        now: Timestamp,
        latest: Instant,
    ) {
        let (mut due, mut soon) = (Vec::new(), Vec::new());
        for name in names {
            match self.topics.get_mut(name) {
                Some(topic) => {
                    topic.used_at = now;
                    if topic.is_due(now) {
                        due.push(name);
                    } else if now.since(topic.checked_at) >= COMPANY_AGE {
                        soon.push(name);
                    }
                }
                None => due.push(name),
            }
        }
        if !due.is_empty() {
            due.append(&mut soon);
        }
        for chunk in due.chunks(TOPICS_PER_REQUEST) {
            let answer = brokers
                .ask_any(latest, |_version| request(chunk.iter().copied()))
                .await;
            match answer {
                Ok(answer) => {
                    let listed: Vec<i32> = answer.brokers.iter().map(|b| b.node_id.0).collect();
                    for broker in &answer.brokers {
                        brokers.learn(broker.node_id.0, &broker.host, broker.port);
                    }
                    brokers.keep_only(&listed);
                    for topic in &answer.topics {
                        self.note(topic, now);
                    }
                    for &name in chunk {
                        self.note_missing(name, &Failure::Unanswered, now);
                    }
                }
                Err(failure) => {
                    for &name in chunk {
                        self.note_missing(name, &failure, now);
                    }
                }
            }
        }
    }

    fn note(&mut self, answer: &MetadataResponseTopic, now: Timestamp) {
        let Some(name) = &answer.name else {
            return;
        };
        let id = *answer.topic_id.as_bytes();
        let partitions = match ResponseError::try_from_code(answer.error_code) {
            Some(error) => Err(Failure::Broker(error)),
            None => Ok(partitions(answer)),
        };
        let before = self.topics.get(name.as_str());
        let recreated = partitions.is_ok()
            && before.is_some_and(|before| before.id != id && before.id != [0; 16]);
        let recreated_at = if recreated {
            Some(now)
        } else {
            before
                .and_then(|before| before.recreated_at)
                .filter(|&at| now.since(at) < RECREATION_NOTICE)
        };
        // While a topic is gone its old identity is remembered, so that its return is recognised.
        let id = match before {
            Some(before) if partitions.is_err() => before.id,
            _ => id,
        };
        let topic = Topic {
            partitions,
            recreated_at,
            id,
            checked_at: now,
            used_at: now,
            suspect: false,
        };
        self.topics.insert(name.to_string(), topic);
    }

    /// A topic for which there is no answer: the last one stands.
    fn note_missing(&mut self, name: &str, failure: &Failure, now: Timestamp) {
        if !self.topics.contains_key(name) {
            let topic = Topic {
                partitions: Err(failure.clone()),
                recreated_at: None,
                id: [0; 16],
                checked_at: now,
                used_at: now,
                // An answer is still owed: the next tick asks again.
                suspect: true,
            };
            self.topics.insert(name.to_owned(), topic);
        } else if let Some(topic) = self.topics.get_mut(name)
            && topic.checked_at != now
            && topic.partitions.is_err()
        {
            topic.partitions = Err(failure.clone());
        }
    }
}

fn request<'a>(names: impl Iterator<Item = &'a String>) -> MetadataRequest {
    let topics = names.map(|name| {
        MetadataRequestTopic::default()
            .with_name(Some(TopicName(StrBytes::from_string(name.clone()))))
    });
    MetadataRequest::default()
        .with_topics(Some(topics.collect()))
        .with_allow_auto_topic_creation(false)
}

fn partitions(answer: &MetadataResponseTopic) -> BTreeMap<u32, Leader> {
    answer
        .partitions
        .iter()
        .filter_map(|partition| {
            let number = u32::try_from(partition.partition_index).ok()?;
            let error = ResponseError::try_from_code(partition.error_code)
                // Said of followers; the leader is there.
                .filter(|error| *error != ResponseError::ReplicaNotAvailable);
            let leader = match error {
                Some(error) => Err(Failure::Broker(error)),
                None if partition.leader_id.0 < 0 => {
                    Err(Failure::Broker(ResponseError::LeaderNotAvailable))
                }
                None => Ok(partition.leader_id.0),
            };
            Some((number, leader))
        })
        .collect()
}
