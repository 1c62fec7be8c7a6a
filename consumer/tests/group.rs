//! The consuming loop in a group: members come, leave and lose their session while batches are in
//! flight, against librdkafka's own mock cluster. Held against what counts: every record written at
//! least once, every offset committed, and exactly once where the hand-over was orderly.
//!
//! The mock coordinator is not Kafka's: while members join it refuses commits that Kafka takes, so
//! an eager revocation may repeat records here that it would not repeat there.

#![allow(
    clippy::unwrap_used,
    reason = "clippy's allowance for tests does not reach the helpers of a test crate"
)]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use evenkeel_consumer::batch::{BatchLimits, Record, Step};
use evenkeel_consumer::clock;
use evenkeel_consumer::consume::{ConsumeError, Task, consume};
use evenkeel_consumer::metrics::Metrics;
use evenkeel_consumer::sink::{Lease, Sink, SinkError};
use evenkeel_consumer::stop::StopSignal;
use rdkafka::consumer::{BaseConsumer, Consumer};
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
    written: Written,
    produced: i64,
}

/// How often each (partition, offset) was written.
type Written = Arc<Mutex<BTreeMap<(i32, i64), u32>>>;

/// One consumer on its own threads.
struct Member {
    stop: StopSignal,
    metrics: Metrics,
    gate: Gate,
    thread: JoinHandle<Result<(), ConsumeError>>,
}

/// Lets writes through, or holds them.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    closed: bool,
    waiting: bool,
}

struct Recording {
    written: Written,
    gate: Gate,
}

// === impl Group ===

impl Group {
    fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, PARTITIONS, 1).unwrap();
        Self {
            cluster,
            written: Written::default(),
            produced: 0,
        }
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
                producer
                    .send(record.partition(partition))
                    .map_err(|(error, _)| error)
                    .unwrap();
            }
        }
        producer.flush(DEADLINE).unwrap();
        self.produced += per_partition;
    }

    fn join(&self, assignor: &str, gate: Gate) -> Member {
        let mut client = self.client();
        client
            .set("group.id", "workers")
            .set("partition.assignment.strategy", assignor)
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "100")
            .set("auto.offset.reset", "earliest");
        let limits = BatchLimits {
            size_records: NonZeroUsize::new(10).unwrap(),
            size_bytes: NonZeroUsize::MAX,
            timeout: Duration::from_millis(20),
        };
        let (stop, metrics) = (StopSignal::default(), Metrics::default());
        let task = Task {
            client,
            topic: TOPIC.to_owned(),
            limits,
            dead_letters: None,
        };
        let sink: Box<dyn Sink> = Box::new(Recording {
            written: self.written.clone(),
            gate: gate.clone(),
        });
        let thread = std::thread::spawn({
            let (stop, metrics) = (stop.clone(), metrics.clone());
            move || consume(&task, vec![sink], metrics, &stop)
        });
        Member {
            stop,
            metrics,
            gate,
            thread,
        }
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
        self.stop.raise();
        self.thread.join().unwrap().unwrap();
    }

    fn wait_for_partitions(&self, count: i64) {
        let what = format!("{count} partitions");
        wait_for(&what, || self.metrics.assigned_partitions() == count);
    }
}

// === impl Gate ===

impl Gate {
    fn closed() -> Self {
        let gate = Self::default();
        gate.0.0.lock().unwrap().closed = true;
        gate
    }

    fn open(&self) {
        self.0.0.lock().unwrap().closed = false;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.waiting = true;
        drop(self.0.1.wait_while(state, |state| state.closed).unwrap());
    }

    /// Waits until a batch is in flight.
    fn wait_for_a_batch(&self) {
        wait_for("a batch in flight", || self.0.0.lock().unwrap().waiting);
    }
}

impl Sink for Recording {
    fn write(&mut self, records: &[Record], _: &[Step], _: &Lease) -> Result<(), SinkError> {
        self.gate.pass();
        let mut written = self.written.lock().unwrap();
        for record in records {
            *written
                .entry((record.partition, record.offset))
                .or_default() += 1;
        }
        Ok(())
    }
}

#[track_caller]
fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = clock::now() + DEADLINE;
    while !reached() {
        assert!(clock::now() < deadline, "waited in vain for {what}");
        clock::wait_until(clock::now() + Duration::from_millis(10));
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
    wait_for("the second to join", || second.metrics.rebalances() > 0);
    assert_eq!(second.metrics.assigned_partitions(), 0);
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
    let committed: i64 = group
        .committed()
        .iter()
        .filter_map(|o| o.to_raw())
        .filter(|o| *o > 0)
        .sum();
    let written = i64::try_from(group.written.lock().unwrap().len()).unwrap();
    assert!(written > 0);
    assert_eq!(
        committed, written,
        "what is written is committed, and nothing else"
    );
}

#[test]
fn a_lost_session_commits_nothing_and_the_records_come_again() {
    let mut group = Group::new();
    group.produce(50);
    let member = group.join("cooperative-sticky", Gate::closed());
    member.gate.wait_for_a_batch();
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    group
        .cluster
        .request_errors(RDKafkaApiKey::Heartbeat, &[unknown]);
    // Assigned, lost, assigned again.
    wait_for("the member to rejoin", || member.metrics.rebalances() >= 3);
    member.wait_for_partitions(6);
    assert_eq!(
        group.committed(),
        [Offset::Invalid; 6],
        "nothing was committed"
    );
    member.gate.open();
    group.wait_until_all_is_committed();
    member.leave();
    let (least, most) = group.written_times();
    assert_eq!(
        (least, most),
        (1, 2),
        "the batch that was in flight came again"
    );
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
        group
            .cluster
            .request_errors(RDKafkaApiKey::OffsetCommit, &[error, error]);
        let member = group.join("cooperative-sticky", Gate::default());
        group.wait_until_all_is_committed();
        member.leave();
        group.written_times();
    }
}
