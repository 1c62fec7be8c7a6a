//! The Kafka observer against a scripted cluster: batching, and every fault it has to live with.
//!
//! Time is moved by hand where something has to age; nothing here waits for a clock but the tests of
//! brokers that stay silent, which wait a short request timeout.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly"
)]

#[path = "kafka_faults/connections.rs"]
mod connections;
#[path = "support/fake_broker.rs"]
mod fake_broker;
#[path = "kafka_faults/groups.rs"]
mod groups;
#[path = "kafka_faults/moves.rs"]
mod moves;
#[path = "kafka_faults/topics.rs"]
mod topics;

use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::{
    Cause, Committed, GroupObservation, LogOffsets, PartitionObservation, Reading,
};
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::metrics::Metrics;
use evenkeel_scaler::observe::kafka::{Access, KafkaObserver, KafkaObserverConfig};
use evenkeel_scaler::observe::{
    Depth, Isolation, KafkaReading, ObserveKafka, Problem, Request, Subscription, TopicSelection,
};
use fake_broker::FakeCluster;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Short enough to wait for where a broker is to stay silent.
const IMPATIENCE: Duration = Duration::from_millis(400);

fn observer(cluster: &FakeCluster) -> KafkaObserver {
    observer_of(cluster.bootstrap_servers(), PATIENCE, Metrics::default())
}

fn observer_of(
    bootstrap_servers: Vec<String>,
    request_timeout: Duration,
    metrics: Metrics,
) -> KafkaObserver {
    let config = KafkaObserverConfig {
        name: "test".to_owned(),
        bootstrap_servers,
        access: Access::adhoc(),
        request_timeout,
        frame_limit_bytes: 4 << 20,
    };
    KafkaObserver::new(config, Clock::start(), metrics)
}

fn subscription(group: &str, topics: TopicSelection) -> Subscription {
    Subscription {
        consumer_group: group.to_owned(),
        topics,
        partitions: None,
        isolation: Isolation::ReadUncommitted,
        history: Duration::from_secs(300),
    }
}

fn request(subscription: Subscription) -> Request {
    Request {
        subscription: Arc::new(subscription),
        depth: Depth::Full,
        cold: false,
        earlier: None,
    }
}

fn named(group: &str, topics: &[&str]) -> Request {
    let names = topics.iter().map(|&topic| topic.to_owned()).collect();
    request(subscription(group, TopicSelection::Named(names)))
}

fn of_group(group: &str) -> Request {
    request(subscription(group, TopicSelection::OfGroup))
}

async fn one(observer: &mut KafkaObserver, request: &Request) -> KafkaReading {
    let mut readings = observer.observe(std::slice::from_ref(request)).await;
    assert_eq!(readings.len(), 1);
    readings.remove(0)
}

/// Lets `by` pass at once, for everything that ages.
async fn pass(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

fn partitions(reading: &KafkaReading, topic: &str) -> Vec<PartitionObservation> {
    let found = reading.topics.iter().find(|found| found.name == topic);
    match &found.expect("the topic is in the reading").partitions {
        Reading::Known(partitions) => partitions.clone(),
        Reading::Unknown(cause) => panic!("topic {topic} is unknown: {cause:?}"),
    }
}

fn log(start: u64, end: u64) -> Reading<LogOffsets> {
    Reading::Known(LogOffsets { start, end })
}

fn at(offset: u64) -> Reading<Committed> {
    Reading::Known(Committed::At(offset))
}

/// What a topic's partitions look like when all is well.
fn check_all(reading: &KafkaReading, topic: &str, count: u32, end: u64, committed: u64) {
    let expected: Vec<_> = (0..count)
        .map(|partition| PartitionObservation {
            partition,
            log: log(0, end),
            committed: at(committed),
            history: None,
        })
        .collect();
    assert_eq!(
        partitions(reading, topic),
        expected,
        "{:?}",
        reading.problems
    );
}

fn check_problem(reading: &KafkaReading, cause: Cause, words: &str) {
    let said = |problem: &Problem| problem.cause == cause && problem.sentence.contains(words);
    assert!(
        reading.problems.iter().any(said),
        "no problem {cause:?} with {words:?} in {:#?}",
        reading.problems
    );
}

fn group(reading: &KafkaReading) -> &GroupObservation {
    match &reading.group {
        Reading::Known(group) => group,
        Reading::Unknown(cause) => panic!("the group is unknown: {cause:?}"),
    }
}

/// Of each partition, what is known of its log.
fn logs(reading: &KafkaReading, topic: &str) -> Vec<Reading<LogOffsets>> {
    let partitions = partitions(reading, topic);
    partitions.iter().map(|partition| partition.log).collect()
}

/// Of each partition, what is known of its commit.
fn commits(reading: &KafkaReading, topic: &str) -> Vec<Reading<Committed>> {
    let partitions = partitions(reading, topic);
    partitions
        .iter()
        .map(|partition| partition.committed)
        .collect()
}

fn topic_names(reading: &KafkaReading) -> Vec<&str> {
    reading
        .topics
        .iter()
        .map(|topic| topic.name.as_str())
        .collect()
}

/// A cluster of three brokers, topic `t` of six partitions with logs 0 to 100, and group `g` that
/// has committed 40 everywhere.
async fn cluster() -> FakeCluster {
    let cluster = FakeCluster::start(3).await;
    cluster.change(|world| {
        world.topic("t", 6, 100);
        world.classic_group("g", "t", 40);
    });
    cluster
}
