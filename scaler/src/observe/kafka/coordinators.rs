//! Which broker coordinates which group: kept until a broker says otherwise.
//!
//! Asked for many groups at once where the broker can (FindCoordinator 4, Kafka 3.0), one by one
//! with bounded concurrency where it cannot.

use std::collections::{BTreeMap, HashMap};

use futures::StreamExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use super::brokers::Brokers;
use super::failure::Failure;

/// The version from which on one request asks for many groups.
const BATCHED_SINCE: i16 = 4;

/// Groups of one FindCoordinator request. An answer takes about 60 bytes a group.
const GROUPS_PER_REQUEST: usize = 1_000;

/// Requests in flight at once on brokers that are asked one group at a time.
const SINGLE_REQUESTS_IN_FLIGHT: usize = 16;

/// Kafka's key type of groups.
const KEY_TYPE_GROUP: i8 = 0;

/// The coordinators found so far.
#[derive(Debug, Default)]
pub struct Coordinators {
    nodes: HashMap<String, i32>,
}

/// One group's coordinator, as a broker answered.
struct Found {
    group: String,
    node: Result<(i32, String, i32), Failure>,
}

// === impl Coordinators ===

impl Coordinators {
    /// A group's coordinator, if it was found.
    pub fn node(&self, group: &str) -> Option<i32> {
        self.nodes.get(group).copied()
    }

    /// The group is looked up again before it is next asked.
    pub fn forget(&mut self, group: &str) {
        self.nodes.remove(group);
    }

    /// Forgets all groups but those that `keep` wants.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.nodes.retain(|group, _| keep(group));
    }

    /// Finds the coordinators of those of `groups` that have none yet; answers why some have none.
    pub async fn find(
        &mut self,
        brokers: &mut Brokers,
        groups: &[&str],
        latest: Instant,
    ) -> BTreeMap<String, Failure> {
        let unknown: Vec<&str> = groups
            .iter()
            .copied()
            .filter(|group| !self.nodes.contains_key(*group))
            .collect();
        let mut failures = BTreeMap::new();
        for chunk in unknown.chunks(GROUPS_PER_REQUEST) {
            for found in ask(brokers, chunk, latest).await {
                match found.node {
                    Ok((node_id, host, port)) => {
                        brokers.learn(node_id, &host, port);
                        self.nodes.insert(found.group, node_id);
                    }
                    Err(failure) => {
                        failures.insert(found.group, failure);
                    }
                }
            }
            for &group in chunk {
                if !self.nodes.contains_key(group) {
                    failures
                        .entry(group.to_owned())
                        .or_insert(Failure::Unanswered);
                }
            }
        }
        failures
    }
}

/// One batched question; where the broker takes only one group at a time, the first group in it and
/// the others after it.
async fn ask(brokers: &Brokers, groups: &[&str], latest: Instant) -> Vec<Found> {
    let Some((first, others)) = groups.split_first() else {
        return Vec::new();
    };
    let answer = brokers
        .ask_any(latest, |version| request(version, groups))
        .await;
    match answer {
        Ok(answer) if answer.coordinators.is_empty() => {
            let mut asked = Vec::new();
            for group in others {
                asked.push(ask_single(brokers, (*group).to_owned(), latest));
            }
            let mut found: Vec<Found> = futures::stream::iter(asked)
                .buffer_unordered(SINGLE_REQUESTS_IN_FLIGHT)
                .collect()
                .await;
            found.push(single(first, &answer));
            found
        }
        Ok(answer) => answer
            .coordinators
            .iter()
            .map(|found| Found {
                group: found.key.to_string(),
                node: node(
                    found.error_code,
                    found.node_id.0,
                    found.host.as_str(),
                    found.port,
                ),
            })
            .collect(),
        Err(failure) => groups
            .iter()
            .map(|&group| Found {
                group: group.to_owned(),
                node: Err(failure.clone()),
            })
            .collect(),
    }
}

async fn ask_single(brokers: &Brokers, group: String, latest: Instant) -> Found {
    let answer = brokers
        .ask_any(latest, |version| request(version, &[&group]))
        .await;
    match answer {
        Ok(answer) => single(&group, &answer),
        Err(failure) => Found {
            group,
            node: Err(failure),
        },
    }
}

fn request(version: i16, groups: &[&str]) -> FindCoordinatorRequest {
    let key = |group: &&str| StrBytes::from_string((*group).to_owned());
    let request = FindCoordinatorRequest::default().with_key_type(KEY_TYPE_GROUP);
    if version >= BATCHED_SINCE {
        request.with_coordinator_keys(groups.iter().map(key).collect())
    } else {
        request.with_key(groups.first().map(key).unwrap_or_default())
    }
}

fn single(group: &str, answer: &FindCoordinatorResponse) -> Found {
    Found {
        group: group.to_owned(),
        node: node(
            answer.error_code,
            answer.node_id.0,
            answer.host.as_str(),
            answer.port,
        ),
    }
}

fn node(error: i16, node_id: i32, host: &str, port: i32) -> Result<(i32, String, i32), Failure> {
    match ResponseError::try_from_code(error) {
        Some(error) => Err(Failure::Broker(error)),
        None => Ok((node_id, host.to_owned(), port)),
    }
}
