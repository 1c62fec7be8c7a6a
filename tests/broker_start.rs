//! The embedded broker on its own: it starts, keeps its data through a kill, refuses jars that are
//! not those of the lock list, and leaves no process behind.
#![allow(clippy::expect_used, reason = "a test's own helpers may fail the test")]

use std::borrow::Cow;
use std::path::Path;

use evenkeel_tools::demo::broker::jars::{Bundle, JMX_AGENT};
use evenkeel_tools::demo::broker::{
    BrokerError, BrokerOptions, EmbeddedBroker, EmbeddedCluster, KafkaTools, Progress,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_killed_broker_comes_back_with_its_data_and_goes_with_its_handle() {
    let mut broker = EmbeddedBroker::start(BrokerOptions::default())
        .await
        .expect("the broker starts (make setup)");
    let topics = broker.topics();
    topics
        .create_topic("orders", 3, 1, &[("retention.ms", "60000")])
        .await
        .expect("the topic is made");
    let first = broker.process_id().expect("it runs");

    broker.kill().await.expect("it is killed");
    assert!(!is_running(first), "SIGKILL ends it before kill() returns");
    broker.restart().await.expect("it starts again");
    let second = broker.process_id().expect("it runs again");
    assert_ne!(first, second);

    let places = topics.describe("orders").await.expect("it answers");
    assert_eq!(places.len(), 3, "the topic has outlived the kill");
    topics
        .create_partitions("orders", 5)
        .await
        .expect("partitions are added");
    assert_eq!(
        topics
            .delete_records("orders", 4, -1)
            .await
            .expect("an empty partition can be truncated"),
        0
    );
    topics.delete_topic("orders").await.expect("it is deleted");
    let again = topics.delete_topic("orders").await;
    assert!(matches!(again, Err(BrokerError::Refused { .. })));

    drop(broker);
    assert!(!is_running(second), "dropping the handle ends the process");
}

#[tokio::test]
async fn a_cluster_moves_leaders_and_outlives_one_of_its_nodes() {
    let mut cluster = EmbeddedCluster::start(3)
        .await
        .expect("the brokers start (make setup)");
    let topics = cluster.topics();
    topics
        .create_topic("orders", 1, 3, &[])
        .await
        .expect("the topic is made");
    let led_by = |places: Vec<evenkeel_tools::demo::broker::topics::PartitionPlace>| {
        places.first().and_then(|place| place.leader)
    };
    for replicas in [[2, 3, 1], [3, 1, 2]] {
        topics
            .move_partition("orders", 0, &replicas)
            .await
            .expect("the leader moves");
        let places = topics.describe("orders").await.expect("they answer");
        assert_eq!(led_by(places), Some(replicas[0]));
    }

    cluster.kill(2).await.expect("node 3 is killed");
    assert_eq!(cluster.process_id(2), None);
    cluster.restart(2).await.expect("node 3 comes back");
    let places = topics.describe("orders").await.expect("they answer");
    assert!(led_by(places).is_some());
}

#[tokio::test]
async fn a_broker_shows_its_request_counters_and_kafkas_own_tools_reach_it() {
    let options = BrokerOptions {
        jmx: true,
        ..BrokerOptions::default()
    };
    let broker = EmbeddedBroker::start(options)
        .await
        .expect("the broker starts (make setup)");
    broker
        .topics()
        .create_topic("orders", 1, 1, &[])
        .await
        .expect("the topic is made");

    let port = broker.jmx_port().expect("the counters were asked for");
    let counters = counters_at(port).await;
    let line = "kafka_requests{request=\"CreateTopics\"";
    assert!(counters.contains(line), "no {line} in {counters}");

    let tools = KafkaTools::provision()
        .await
        .expect("the tools are there (make setup)");
    let servers = broker.bootstrap_servers();
    let output = tools
        .run(
            "org.apache.kafka.tools.TopicCommand",
            ["--bootstrap-server", &servers, "--list"],
        )
        .await
        .expect("the tool runs");
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(listed.lines().any(|topic| topic == "orders"), "{output:?}");
}

#[tokio::test]
async fn a_jar_that_is_not_the_locked_one_is_refused_by_name() {
    let cache = tempfile::tempdir().expect("a temporary folder");
    let tampered = JMX_AGENT.lock.replace(" 7d61", " 0d61");
    assert_ne!(tampered, JMX_AGENT.lock, "the list has been changed");
    let bundle = Bundle {
        lock: Cow::Owned(tampered),
        ..JMX_AGENT
    };
    let refused = bundle
        .provision(cache.path(), &Progress::nothing())
        .await
        .expect_err("the sha256 differs");
    let said = refused.to_string();
    assert!(said.contains("jmx_prometheus_javaagent"), "{said}");
    assert!(said.contains("sha256"), "{said}");
    let left: Vec<_> = std::fs::read_dir(cache.path())
        .expect("the folder is there")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.ends_with(".lock"))
        .collect();
    assert!(left.is_empty(), "nothing refused stays: {left:?}");
}

/// The answer of the agent, which closes the connection after it.
async fn counters_at(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("the agent listens");
    stream
        .write_all(b"GET /metrics HTTP/1.0\r\n\r\n")
        .await
        .expect("it takes the request");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("it answers");
    answer
}

fn is_running(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}
