//! Topic administration: make, remove, grow and truncate topics, and move their leaders.
//!
//! Every call is bounded and returns when the change can be seen in the metadata (or when nothing is
//! left to wait for), so that a test may go on at once.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, CreatePartitionsRequest, CreateTopicsRequest,
    DeleteRecordsRequest, DeleteTopicsRequest, ElectLeadersRequest, ListOffsetsRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use super::BrokerError;
use super::client::{Client, ClientError};

/// How long the broker may take for one change, and how long it may take to show.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for the protocol's own field.
const CHANGE_TIMEOUT_MS: i32 = 30_000;

/// The timestamp that asks for a log's end.
const LATEST: i64 = -1;

/// How often the metadata is looked at while a change is not yet to be seen.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Administers the topics of one cluster, through whichever of its brokers answers.
#[derive(Clone, Debug)]
pub struct TopicAdmin {
    bootstrap_servers: Vec<String>,
}

/// One partition as the cluster shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionPlace {
    /// Its number.
    pub partition: i32,
    /// The node that leads it, if any does.
    pub leader: Option<i32>,
    /// The leader's `host:port`.
    pub leader_address: Option<String>,
    /// The nodes in sync.
    pub in_sync: Vec<i32>,
}

// === impl TopicAdmin ===

impl TopicAdmin {
    /// For a cluster that answers at any of `bootstrap_servers` (`host:port`), in plaintext.
    pub fn new(bootstrap_servers: Vec<String>) -> Self {
        Self { bootstrap_servers }
    }

    /// Makes a topic and waits until every partition has a leader that knows it.
    ///
    /// # Errors
    /// When the cluster refuses (it exists already, too few brokers) or does not answer.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replication: i16,
        configs: &[(&str, &str)],
    ) -> Result<(), BrokerError> {
        let configs = configs
            .iter()
            .map(|(key, value)| {
                CreatableTopicConfig::default()
                    .with_name(text(key))
                    .with_value(Some(text(value)))
            })
            .collect();
        let topic = CreatableTopic::default()
            .with_name(TopicName(text(name)))
            .with_num_partitions(partitions)
            .with_replication_factor(replication)
            .with_configs(configs);
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(CHANGE_TIMEOUT_MS);
        let answer = self.connect().await?.send(&request).await?;
        for topic in &answer.topics {
            accepted(&format!("creating topic {name}"), topic.error_code)?;
        }
        self.wait_until_led(name, partitions).await
    }

    /// Removes a topic and waits until it is gone.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub async fn delete_topic(&self, name: &str) -> Result<(), BrokerError> {
        let mut client = self.connect().await?;
        let state = DeleteTopicState::default().with_name(Some(TopicName(text(name))));
        let by_state = DeleteTopicsRequest::default()
            .with_topics(vec![state])
            .with_timeout_ms(CHANGE_TIMEOUT_MS);
        let answer = client.send(&by_state).await?;
        for topic in &answer.responses {
            accepted(&format!("deleting topic {name}"), topic.error_code)?;
        }
        self.wait_until(name, "is gone", <[PartitionPlace]>::is_empty)
            .await
    }

    /// Raises the number of partitions to `total` and waits until each has a leader.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub async fn create_partitions(&self, name: &str, total: i32) -> Result<(), BrokerError> {
        let topic = CreatePartitionsTopic::default()
            .with_name(TopicName(text(name)))
            .with_count(total)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(CHANGE_TIMEOUT_MS);
        let answer = self.connect().await?.send(&request).await?;
        for topic in &answer.results {
            accepted(&format!("adding partitions to {name}"), topic.error_code)?;
        }
        self.wait_until_led(name, total).await
    }

    /// Truncates a partition: every record before `before_offset` is gone (-1: all of them). Returns
    /// the new log start offset.
    ///
    /// # Errors
    /// When the leader refuses or does not answer.
    pub async fn delete_records(
        &self,
        name: &str,
        partition: i32,
        before_offset: i64,
    ) -> Result<i64, BrokerError> {
        let what = format!("truncating {name}-{partition}");
        let deadline = Instant::now() + CHANGE_TIMEOUT;
        loop {
            let (code, start) = self.truncate(name, partition, before_offset).await?;
            // The metadata shows a new leader a moment before the broker knows that it leads.
            let too_early = code == ResponseError::NotLeaderOrFollower.code();
            if !too_early || Instant::now() >= deadline {
                return accepted(&what, code).map(|()| start);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Asks the leader once; the error code, and the new log start offset.
    async fn truncate(
        &self,
        name: &str,
        partition: i32,
        before_offset: i64,
    ) -> Result<(i16, i64), BrokerError> {
        let refused = |error: &str| BrokerError::Refused {
            what: format!("truncating {name}-{partition}"),
            error: error.to_owned(),
        };
        let places = self.describe(name).await?;
        let leader = places
            .into_iter()
            .find(|place| place.partition == partition)
            .and_then(|place| place.leader_address)
            .ok_or_else(|| refused("it has no leader"))?;
        let target = DeleteRecordsPartition::default()
            .with_partition_index(partition)
            .with_offset(before_offset);
        let topic = DeleteRecordsTopic::default()
            .with_name(TopicName(text(name)))
            .with_partitions(vec![target]);
        let request = DeleteRecordsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(CHANGE_TIMEOUT_MS);
        let answer = Client::connect(&leader).await?.send(&request).await?;
        let mut results = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let result = results
            .next()
            .ok_or_else(|| refused("the answer names no partition"))?;
        Ok((result.error_code, result.low_watermark))
    }

    /// Moves a partition to `replicas`, the first of which becomes its leader; waits until it leads.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub async fn move_partition(
        &self,
        name: &str,
        partition: i32,
        replicas: &[i32],
    ) -> Result<(), BrokerError> {
        let target = ReassignablePartition::default()
            .with_partition_index(partition)
            .with_replicas(Some(replicas.iter().copied().map(BrokerId).collect()));
        let topic = ReassignableTopic::default()
            .with_name(TopicName(text(name)))
            .with_partitions(vec![target]);
        let request = AlterPartitionReassignmentsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(CHANGE_TIMEOUT_MS);
        let what = format!("moving {name}-{partition}");
        let answer = self.connect().await?.send(&request).await?;
        accepted(&what, answer.error_code)?;
        for partition in answer.responses.iter().flat_map(|topic| &topic.partitions) {
            accepted(&what, partition.error_code)?;
        }
        let preferred = replicas.first().copied();
        self.wait_until(name, "has its replicas in sync", |places| {
            places.iter().any(|place| {
                place.partition == partition
                    && replicas.iter().all(|node| place.in_sync.contains(node))
            })
        })
        .await?;
        self.elect_preferred_leader(name, partition).await?;
        self.wait_until(name, "is led by the first replica", |places| {
            places
                .iter()
                .any(|place| place.partition == partition && place.leader == preferred)
        })
        .await
    }

    /// Gives a partition back to its preferred leader.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer. That it leads already is no error.
    pub async fn elect_preferred_leader(
        &self,
        name: &str,
        partition: i32,
    ) -> Result<(), BrokerError> {
        let target = TopicPartitions::default()
            .with_topic(TopicName(text(name)))
            .with_partitions(vec![partition]);
        let request = ElectLeadersRequest::default()
            .with_election_type(0)
            .with_topic_partitions(Some(vec![target]))
            .with_timeout_ms(CHANGE_TIMEOUT_MS);
        let what = format!("electing the leader of {name}-{partition}");
        let answer = self.connect().await?.send(&request).await?;
        accepted(&what, answer.error_code)?;
        let results = answer.replica_election_results.iter();
        for partition in results.flat_map(|topic| &topic.partition_result) {
            if partition.error_code != ResponseError::ElectionNotNeeded.code() {
                accepted(&what, partition.error_code)?;
            }
        }
        Ok(())
    }

    /// The partitions of a topic, sorted by number; empty when the topic does not exist.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn describe(&self, name: &str) -> Result<Vec<PartitionPlace>, BrokerError> {
        let answer = self.connect().await?.metadata(&[name]).await?;
        let address = |leader: BrokerId| {
            answer
                .brokers
                .iter()
                .find(|broker| broker.node_id == leader)
                .map(|broker| format!("{}:{}", broker.host.as_str(), broker.port))
        };
        let mut places: Vec<PartitionPlace> = answer
            .topics
            .iter()
            .filter(|topic| topic.error_code == 0)
            .flat_map(|topic| &topic.partitions)
            .map(|partition| PartitionPlace {
                partition: partition.partition_index,
                leader: Some(partition.leader_id.0).filter(|leader| *leader >= 0),
                leader_address: address(partition.leader_id),
                in_sync: partition.isr_nodes.iter().map(|node| node.0).collect(),
            })
            .collect();
        places.sort_by_key(|place| place.partition);
        Ok(places)
    }

    async fn wait_until(
        &self,
        name: &str,
        wanted: &str,
        seen: impl Fn(&[PartitionPlace]) -> bool,
    ) -> Result<(), BrokerError> {
        let deadline = Instant::now() + CHANGE_TIMEOUT;
        loop {
            if seen(&self.describe(name).await?) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(BrokerError::Refused {
                    what: format!("waiting until topic {name} {wanted}"),
                    error: format!("not within {} s", CHANGE_TIMEOUT.as_secs()),
                });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until all `partitions` have a leader that answers: the metadata shows one a moment before
    /// the broker knows that it leads, or of the topic.
    async fn wait_until_led(&self, name: &str, partitions: i32) -> Result<(), BrokerError> {
        let deadline = Instant::now() + CHANGE_TIMEOUT;
        loop {
            let code = self.ask_leaders(name, partitions).await?;
            let too_early = [
                ResponseError::NotLeaderOrFollower,
                ResponseError::OffsetNotAvailable,
                ResponseError::UnknownTopicOrPartition,
            ];
            let too_early = too_early.map(|error| error.code()).contains(&code);
            if !too_early || Instant::now() >= deadline {
                return accepted(&format!("asking the leaders of {name}"), code);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Asks the leader of each of the `partitions` where its log ends; the first error code.
    async fn ask_leaders(&self, name: &str, partitions: i32) -> Result<i16, BrokerError> {
        let not_yet = ResponseError::NotLeaderOrFollower.code();
        let places = self.describe(name).await?;
        if i32::try_from(places.len()) != Ok(partitions) {
            return Ok(not_yet);
        }
        let mut by_leader: BTreeMap<String, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for place in places {
            let Some(leader) = place.leader_address else {
                return Ok(not_yet);
            };
            let partition = ListOffsetsPartition::default()
                .with_partition_index(place.partition)
                .with_timestamp(LATEST);
            by_leader.entry(leader).or_default().push(partition);
        }
        for (leader, partitions) in by_leader {
            let topic = ListOffsetsTopic::default()
                .with_name(TopicName(text(name)))
                .with_partitions(partitions);
            let request = ListOffsetsRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_topics(vec![topic]);
            // A broker that has just gone is shown as the leader for a moment, too.
            let Ok(mut client) = Client::connect(&leader).await else {
                return Ok(not_yet);
            };
            let answer = client.send(&request).await?;
            let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            if let Some(wrong) = partitions.find(|partition| partition.error_code != 0) {
                return Ok(wrong.error_code);
            }
        }
        Ok(0)
    }

    async fn connect(&self) -> Result<Client, BrokerError> {
        let mut last = None;
        for address in &self.bootstrap_servers {
            match Client::connect(address).await {
                Ok(client) => return Ok(client),
                Err(error) => last = Some(error),
            }
        }
        Err(last
            .unwrap_or_else(|| ClientError::Protocol {
                address: "(none)".to_owned(),
                problem: "no bootstrap server was given".to_owned(),
            })
            .into())
    }
}

fn accepted(what: &str, code: i16) -> Result<(), BrokerError> {
    if code == 0 {
        return Ok(());
    }
    let error = ResponseError::try_from_code(code)
        .map_or_else(|| format!("error {code}"), |error| error.to_string());
    Err(BrokerError::Refused {
        what: what.to_owned(),
        error,
    })
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}
