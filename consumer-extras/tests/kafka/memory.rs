//! How much memory a catch-up takes: a bound that does not grow with what there is to read.

use std::process::{Command, Stdio};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::world::{World, wait_for};

const BACKLOG: &str = "backlog";
const PARTITIONS: i32 = 100;
const VALUE_BYTES: usize = 10_000;

/// The chart's limit is 256 MiB.
const RESIDENT_KIB_AT_MOST: u64 = 160 * 1024;

/// Megabytes to be caught up with; `EVENKEEL_BACKLOG_MEGABYTES=5000` for the whole of it.
fn megabytes() -> usize {
    let given = std::env::var("EVENKEEL_BACKLOG_MEGABYTES").ok();
    given.map_or(300, |text| text.parse().expect("a number of megabytes"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catch_up_over_many_partitions_stays_in_bounds() {
    let world = World::start().await;
    let keeps = [("retention.bytes", "-1"), ("retention.ms", "-1")];
    world
        .broker
        .topics()
        .create_topic(BACKLOG, PARTITIONS, 1, &keeps)
        .await
        .unwrap();
    let records = megabytes() * 1_000_000 / VALUE_BYTES;
    let producer: ThreadedProducer<DefaultProducerContext> = world.client().create().unwrap();
    let value = vec![b'x'; VALUE_BYTES];
    for number in 0..records {
        let partition = i32::try_from(number % 100).unwrap();
        let mut record = BaseRecord::<[u8], [u8]>::to(BACKLOG)
            .payload(&value)
            .partition(partition);
        while let Err((_, unsent)) = producer.send(record) {
            record = unsent;
            std::thread::park_timeout(std::time::Duration::from_millis(10));
        }
    }
    producer.flush(std::time::Duration::from_secs(600)).unwrap();
    let mut consumer = Command::new(env!("CARGO_BIN_EXE_evenkeel-consumer"))
        .args([
            "--bootstrap-servers",
            &world.broker.bootstrap_servers(),
            "--topic",
            BACKLOG,
        ])
        .args([
            "--group",
            "catch-up",
            "--sink",
            "stdout",
            "--metrics-listen",
            "none",
        ])
        .args(["--batch-size", "5000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let asking: BaseConsumer = world.client().set("group.id", "catch-up").create().unwrap();
    let mut all = rdkafka::TopicPartitionList::new();
    all.add_partition_range(BACKLOG, 0, PARTITIONS - 1);
    wait_for("the whole backlog", async || {
        let within = std::time::Duration::from_secs(60);
        // Refused while the group is being set up.
        let Ok(committed) = asking.committed_offsets(all.clone(), within) else {
            return false;
        };
        let committed = committed.elements();
        let reached = committed.iter().filter_map(|one| one.offset().to_raw());
        let last: i64 = reached.filter(|at| *at > 0).sum();
        usize::try_from(last).unwrap() == records
    })
    .await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", consumer.id())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("{} MB caught up with in {peak} KiB", megabytes());
    consumer.kill().unwrap();
    consumer.wait().unwrap();
    assert!(peak < RESIDENT_KIB_AT_MOST, "{peak} KiB");
}
