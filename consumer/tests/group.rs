//! The consuming loop in a group: members come, leave and lose their session while batches are in
//! flight, against librdkafka's own mock cluster, with a sink that stores no offsets. Held against what
//! counts: every record written at least once, every offset committed, and exactly once where the
//! hand-over was orderly.
//!
//! The mock coordinator is not Kafka's: while members join it refuses commits that Kafka takes, so
//! an eager revocation may repeat records here that it would not repeat there.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy's allowance for tests does not reach the helpers of a test crate"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use batch_consumer::clock;
use batch_consumer::consume::{Stop, consume};
use batch_consumer::metrics::{Metrics, label};
use batch_consumer::options::Options;
use batch_consumer::sink::{DeadLetter, Decode, Row, Sink, Step, Written};
use clap::Parser;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message as _, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const TOPIC: &str = "trades";
const PARTITIONS: i32 = 6;
const DEADLINE: Duration = Duration::from_secs(60);

/// A cluster with one topic, and everything that any member has written.
struct Group {
    cluster: MockCluster<'static, DefaultProducerContext>,
    written: Times,
    produced: i64,
}

/// How often each (partition, offset) was written.
type Times = Arc<Mutex<BTreeMap<(i32, i64), u32>>>;

/// One consumer on its own threads.
struct Member {
    stop: Stop,
    metrics: Metrics,
    gate: Gate,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// Lets writes through, or holds them: whether it is closed, and whether a write has come to it.
#[derive(Clone, Default)]
struct Gate(Arc<[AtomicBool; 2]>);

/// Anything.
struct Any;

#[derive(Debug, Parser)]
struct Given {
    #[command(flatten)]
    options: Options,
}

#[derive(Clone)]
struct Recording {
    written: Times,
    gate: Gate,
}

// === impl Group ===

impl Group {
    fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, PARTITIONS, 1).unwrap();
        Self { cluster, written: Times::default(), produced: 0 }
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.cluster.bootstrap_servers());
        client
    }

    /// Adds as many records to each partition.
    fn produce(&mut self, per_partition: i64) {
        let client = self.client();
        let producer: ThreadedProducer<DefaultProducerContext> = client.create().unwrap();
        for _ in 0..per_partition {
            for partition in 0..PARTITIONS {
                let record = BaseRecord::<(), str>::to(TOPIC).payload("trade");
                producer.send(record.partition(partition)).map_err(|(error, _)| error).unwrap();
            }
        }
        producer.flush(DEADLINE).unwrap();
        self.produced += per_partition;
    }

    fn join(&self, assignor: &str, gate: Gate) -> Member {
        let servers = self.cluster.bootstrap_servers();
        let given =
            ["test", "--topic", TOPIC, "--group", "workers", "--bootstrap-servers", &servers];
        let batches = ["--batch-size", "10", "--batch-timeout-seconds", "0.02"];
        let strategy = format!("partition.assignment.strategy={assignor}");
        let timing =
            ["-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=100", "-X", &strategy];
        let given = given.iter().chain(&batches).chain(&timing);
        let options = Given::parse_from(given).options;
        let client = options.client().unwrap();
        let (stop, metrics) = (Stop::default(), Metrics::default());
        let sink = Recording { written: self.written.clone(), gate: gate.clone() };
        let thread = std::thread::spawn({
            let (stop, metrics) = (stop.clone(), metrics.clone());
            move || consume::<Any, _, ()>(options, client, sink, metrics, &stop)
        });
        Member { stop, metrics, gate, thread }
    }

    fn committed(&self) -> Vec<Offset> {
        let mut client = self.client();
        let asking: BaseConsumer = client.set("group.id", "workers").create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(TOPIC, 0, PARTITIONS - 1);
        let committed = asking.committed_offsets(list, DEADLINE).unwrap();
        committed.elements().iter().map(|e| e.offset()).collect()
    }

    /// Waits until all that was produced is written and committed.
    fn wait_until_all_is_committed(&self) {
        let ends = vec![Offset::Offset(self.produced); 6];
        wait_for("all offsets to be committed", || self.committed() == ends);
    }

    /// How often the records were written that were written most and least often.
    fn written_times(&self) -> (u32, u32) {
        let written = self.written.lock().unwrap();
        let all = usize::try_from(self.produced * i64::from(PARTITIONS)).unwrap();
        assert_eq!(written.len(), all, "records lost");
        let times = || written.values().copied();
        (times().min().unwrap(), times().max().unwrap())
    }
}

// === impl Member ===

impl Member {
    fn leave(self) {
        self.gate.open();
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap().unwrap();
    }

    fn wait_for_partitions(&self, count: i64) {
        let what = format!("{count} partitions");
        wait_for(&what, || self.metrics.assigned_partitions.get() == count);
    }
}

// === impl Gate ===

impl Gate {
    fn closed() -> Self {
        let gate = Self::default();
        gate.is_closed().store(true, Ordering::Release);
        gate
    }

    fn is_closed(&self) -> &AtomicBool {
        &self.0[0]
    }

    fn is_waited_at(&self) -> &AtomicBool {
        &self.0[1]
    }

    fn open(&self) {
        self.is_closed().store(false, Ordering::Release);
    }

    async fn pass(&self) {
        self.is_waited_at().store(true, Ordering::Release);
        while self.is_closed().load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until a batch is in flight.
    fn wait_for_a_batch(&self) {
        wait_for("a batch in flight", || self.is_waited_at().load(Ordering::Acquire));
    }
}

impl Decode for Any {
    fn decode(_: &OwnedMessage) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Sink<Any> for Recording {
    async fn write(&mut self, rows: &[&Row<Any>], _: &[&DeadLetter], _: &[Step]) -> Written {
        self.gate.pass().await;
        let mut written = self.written.lock().unwrap();
        for row in rows {
            *written.entry((row.record.partition(), row.record.offset())).or_default() += 1;
        }
        Ok(())
    }
}

impl Member {
    /// Changes of its assignment.
    fn rebalances(&self) -> u64 {
        let changes = |kind| self.metrics.rebalances.get_or_create(&label("kind", kind)).get();
        ["assigned", "revoked", "lost"].map(changes).iter().sum()
    }
}

#[track_caller]
fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = clock::now() + DEADLINE;
    while !reached() {
        assert!(clock::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Returns how often the records were written, at least and at most.
fn join_and_leave(assignor: &str) -> (u32, u32) {
    let mut group = Group::new();
    group.produce(50);
    let first = group.join(assignor, Gate::default());
    first.wait_for_partitions(6);
    let second = group.join(assignor, Gate::default());
    first.wait_for_partitions(3);
    second.wait_for_partitions(3);
    group.produce(50);
    first.leave();
    second.wait_for_partitions(6);
    group.produce(50);
    group.wait_until_all_is_committed();
    second.leave();
    group.written_times()
}

#[test]
fn members_join_and_leave_cooperatively_without_losing_or_repeating_a_record() {
    assert_eq!(join_and_leave("cooperative-sticky"), (1, 1));
}

#[test]
fn members_join_and_leave_eagerly_without_losing_a_record() {
    let (least, _) = join_and_leave("range");
    assert_eq!(least, 1);
}

#[test]
fn a_batch_in_flight_is_committed_before_its_partitions_are_given_back() {
    let mut group = Group::new();
    group.produce(50);
    let first = group.join("cooperative-sticky", Gate::closed());
    first.gate.wait_for_a_batch();
    let second = group.join("cooperative-sticky", Gate::default());
    // The second member is in the group with nothing, since the first still holds everything.
    wait_for("the second to join", || second.rebalances() > 0);
    first.gate.open();
    second.wait_for_partitions(3);
    group.wait_until_all_is_committed();
    first.leave();
    second.leave();
    assert_eq!(group.written_times(), (1, 1), "orderly, so exactly once");
}

#[test]
fn a_stop_request_lets_the_batch_in_flight_finish_and_commits_it() {
    let mut group = Group::new();
    group.produce(1);
    let member = group.join("cooperative-sticky", Gate::closed());
    member.gate.wait_for_a_batch();
    member.leave();
    group.produced = 1;
    let committed: i64 =
        group.committed().iter().filter_map(|o| o.to_raw()).filter(|o| *o > 0).sum();
    let written = i64::try_from(group.written.lock().unwrap().len()).unwrap();
    assert!(written > 0);
    assert_eq!(committed, written, "what is written is committed, and nothing else");
}

#[test]
fn a_lost_session_commits_nothing_and_the_records_come_again() {
    let mut group = Group::new();
    group.produce(50);
    let member = group.join("cooperative-sticky", Gate::closed());
    member.gate.wait_for_a_batch();
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    group.cluster.request_errors(RDKafkaApiKey::Heartbeat, &[unknown]);
    // Assigned, lost, assigned again.
    wait_for("the member to rejoin", || member.rebalances() >= 3);
    member.wait_for_partitions(6);
    assert_eq!(group.committed(), [Offset::Invalid; 6], "nothing was committed");
    member.gate.open();
    group.wait_until_all_is_committed();
    member.leave();
    assert_eq!(group.written_times(), (1, 1), "what was in flight was given up, and came again");
}

#[test]
fn a_commit_that_fails_in_a_rebalance_is_made_up_for() {
    for error in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
    ] {
        let mut group = Group::new();
        group.produce(5);
        group.cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[error, error]);
        let member = group.join("cooperative-sticky", Gate::default());
        group.wait_until_all_is_committed();
        member.leave();
        group.written_times();
    }
}
