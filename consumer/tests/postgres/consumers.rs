//! Whole consumers, exactly once whatever happens: poison, a database that goes and comes, a session
//! that is lost in the middle of a batch, where a group begins, an operator who sets an offset.

use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use batch_consumer::clock;
use batch_consumer::consume::{Stop, consume};
use batch_consumer::metrics::{Metrics, label};
use batch_consumer::options::Options;
use batch_consumer::postgres::Postgres;
use batch_consumer::trade::Trade;
use clap::Parser;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::database::Database;
use super::{COUNT, LETTERS, REACHED, REACHED_ROWS, trade};

const PARTITIONS: i32 = 4;
const DEADLINE: Duration = Duration::from_secs(120);
const PARTITIONS_WITH_ROWS: &str = "SELECT count(DISTINCT kafka_partition) FROM trades";
const DISTINCT: &str = "SELECT count(DISTINCT (kafka_partition, kafka_offset)) FROM trades";

/// A Kafka, a PostgreSQL, and what was sent.
pub struct World {
    pub cluster: MockCluster<'static, DefaultProducerContext>,
    pub database: Database,
    sent: i32,
}

/// One consumer on its own threads.
struct Member {
    stop: Stop,
    metrics: Metrics,
    thread: JoinHandle<anyhow::Result<()>>,
}

#[derive(Debug, Parser)]
struct Given {
    #[command(flatten)]
    options: Options,
}

// === impl World ===

impl World {
    pub fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("trades", PARTITIONS, 1).unwrap();
        Self { cluster, database: Database::start(), sent: 0 }
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.cluster.bootstrap_servers());
        client
    }

    /// Sends trades to all partitions in turn, the payload changed by `change`.
    pub fn send(&mut self, count: i32, change: impl Fn(i32, String) -> String) {
        let producer: ThreadedProducer<DefaultProducerContext> = self.client().create().unwrap();
        for _ in 0..count {
            let payload = change(self.sent, trade(self.sent.into()));
            let record = BaseRecord::<str, str>::to("trades").payload(&payload).key("account");
            let record = record.partition(self.sent % PARTITIONS);
            producer.send(record).map_err(|(error, _)| error).unwrap();
            self.sent += 1;
        }
        producer.flush(DEADLINE).unwrap();
    }

    fn join(&self) -> Member {
        self.join_from("earliest")
    }

    /// With `--auto-offset-reset`.
    fn join_from(&self, beginning: &str) -> Member {
        let servers = self.cluster.bootstrap_servers();
        let given =
            ["test", "--topic", "trades", "--group", "workers", "--bootstrap-servers", &servers];
        let batches = ["--batch-size", "25", "--batch-timeout-seconds", "0.02"];
        let begin = ["--auto-offset-reset", beginning];
        let timing = ["-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=100"];
        let given = given.iter().chain(&batches).chain(&begin).chain(&timing);
        let options = Given::parse_from(given).options;
        let client = options.client().unwrap();
        let sink = Postgres::<Trade>::new(&self.database.given(), "workers", "trades").unwrap();
        let (stop, metrics) = (Stop::default(), Metrics::default());
        let thread = std::thread::spawn({
            let (stop, metrics) = (stop.clone(), metrics.clone());
            move || consume::<Trade, _, ()>(options, client, sink, metrics, &stop)
        });
        Member { stop, metrics, thread }
    }

    /// Waits until so many rows are there, and holds them against each other.
    fn wait_for_rows(&self, rows: i32) {
        wait_for("the rows", || self.database.number(COUNT) >= i64::from(rows));
        let counts = (self.database.number(COUNT), self.database.number(DISTINCT));
        assert_eq!(counts, (i64::from(rows), i64::from(rows)));
    }
}

// === impl Member ===

impl Member {
    fn rebalances(&self) -> u64 {
        let changes = |kind| self.metrics.rebalances.get_or_create(&label("kind", kind)).get();
        ["assigned", "revoked", "lost"].map(changes).iter().sum()
    }

    fn leave(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap().unwrap();
    }
}

#[track_caller]
pub fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = clock::now() + DEADLINE;
    while !reached() {
        assert!(clock::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn unchanged(_: i32, payload: String) -> String {
    payload
}

#[test]
fn poison_goes_to_the_dead_letters_and_everything_else_into_the_table() {
    let mut world = World::new();
    // 40, 44 and 48 are no JSON; PostgreSQL refuses 41, 42 and 199.
    world.send(200, |number, payload| match number {
        40 | 44 | 48 => payload.replace('}', ""),
        41 | 42 | 199 => payload.replace("\"BUY\"", "\"\\u0000\""),
        _ => payload,
    });
    let member = world.join();
    world.wait_for_rows(194);
    wait_for("the offsets", || world.database.number(REACHED) == 200);
    assert_eq!(world.database.number(LETTERS), 6);
    let expected = "SELECT count(*) FROM dead_letters JOIN (VALUES (0, 10, 'undecodable'), \
        (0, 11, 'undecodable'), (0, 12, 'undecodable'), (1, 10, 'refused'), (2, 10, 'refused'), \
        (3, 49, 'refused')) AS letter (one, record, said) ON one = kafka_partition \
        AND record = kafka_offset AND said = kind \
        WHERE key = 'account' AND (kind = 'undecodable' OR reason LIKE '%22021%')";
    assert_eq!(world.database.number(expected), 6);
    assert!(
        world.database.number("SELECT count(*) FROM dead_letters WHERE octet_length(value) > 50")
            == 6
    );
    let metrics = member.metrics.clone();
    member.leave();
    assert!(metrics.text().contains("kafka_dead_letters_total{reason=\"refused\"} 3"));
}

#[test]
fn a_database_that_is_away_stops_the_partitions_and_loses_nothing() {
    let mut world = World::new();
    world.send(100, unchanged);
    world.database.crash();
    let member = world.join();
    wait_for("trouble to be told", || member.metrics.trouble().is_some());
    world.database.start_again();
    world.wait_for_rows(100);
    // And once more, now in the middle.
    world.database.crash();
    world.send(100, unchanged);
    wait_for("trouble to be told", || member.metrics.trouble().is_some());
    world.database.start_again();
    world.wait_for_rows(200);
    wait_for("the trouble to be over", || member.metrics.trouble().is_none());
    assert_eq!(member.rebalances(), 1, "the group has not noticed");
    member.leave();
}

#[test]
fn a_lost_session_in_the_middle_of_a_batch_repeats_nothing() {
    let mut world = World::new();
    world.send(100, unchanged);
    // Holds up every batch before its commit.
    let blocker = world.database.connect().unwrap();
    let member = world.join();
    wait_for("the partitions", || world.database.number(REACHED_ROWS) == 4);
    world.database.run(&blocker, "BEGIN; LOCK TABLE consumer_offsets IN EXCLUSIVE MODE");
    world.send(100, unchanged);
    wait_for("a batch in flight", || {
        world.database.number("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0
    });
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    world.cluster.request_errors(RDKafkaApiKey::Heartbeat, &[unknown]);
    wait_for("the member to rejoin", || member.rebalances() >= 3);
    world.database.run(&blocker, "COMMIT");
    world.wait_for_rows(200);
    member.leave();
}

#[test]
fn a_new_group_begins_where_it_is_told_to_and_skips_nothing_from_there() {
    for beginning in ["earliest", "latest"] {
        let mut world = World::new();
        world.send(40, unchanged);
        let member = world.join_from(beginning);
        wait_for("every partition to begin", || {
            world.send(PARTITIONS, unchanged);
            world.database.number(PARTITIONS_WITH_ROWS) == i64::from(PARTITIONS)
        });
        let skipped = "SELECT sum(first)::bigint FROM \
            (SELECT min(kafka_offset) AS first FROM trades GROUP BY kafka_partition) AS firsts";
        let skipped = i32::try_from(world.database.number(skipped)).unwrap();
        assert_eq!(skipped > 0, beginning == "latest");
        world.wait_for_rows(world.sent - skipped);
        member.leave();
    }
}

#[test]
fn a_group_that_has_committed_goes_on_there_when_nothing_is_stored() {
    let mut world = World::new();
    world.send(40, unchanged);
    let mut client = world.client();
    client.set("group.id", "workers");
    let before: BaseConsumer = client.create().unwrap();
    let mut reached = TopicPartitionList::new();
    let offset = Offset::Offset(7);
    reached.add_partition_offset("trades", 2, offset).unwrap();
    before.commit(&reached, CommitMode::Sync).unwrap();
    let member = world.join();
    world.wait_for_rows(40 - 7);
    member.leave();
}

#[test]
fn without_a_place_to_begin_a_partition_waits_for_a_person() {
    let mut world = World::new();
    world.send(40, unchanged);
    let member = world.join_from("error");
    wait_for("the partitions to be told", || {
        member.metrics.stuck_partitions.get() == i64::from(PARTITIONS)
    });
    assert_eq!(world.database.number(COUNT), 0);
    // Who then says where, is heard without a restart.
    let owner = world.database.connect().unwrap();
    world.database.run(&owner, "UPDATE consumer_offsets SET next_offset = 3");
    world.wait_for_rows(40 - 4 * 3);
    assert_eq!(member.metrics.stuck_partitions.get(), 0);
    member.leave();
}

#[test]
fn a_replay_by_the_readmes_statements_is_followed_by_members_that_run() {
    let mut world = World::new();
    world.send(400, unchanged);
    let (first, second) = (world.join(), world.join());
    world.wait_for_rows(400);
    let owner = world.database.connect().unwrap();
    // Records keep coming, and batches are in flight.
    for round in 0..10 {
        world.send(40, unchanged);
        // Where the members have not come beyond the one before, it has nothing to do.
        let refusal = world.database.refusal(&owner, &recipe(round, "kafka_partition >= 0"));
        assert!(refusal.is_none_or(|why| why.contains("nothing was changed")));
    }
    // Whoever writes next finds the offsets moved.
    world.send(4, unchanged);
    let sent = world.sent;
    world.wait_for_rows(sent);
    first.leave();
    second.leave();
}

/// README's recipe, from this offset on, of these partitions.
fn recipe(from: i64, partitions: &str) -> String {
    let readme = include_str!("../../README.md");
    let (_, recipe) = readme.split_once("## Replay").unwrap();
    let (_, recipe) = recipe.split_once("```sql").unwrap();
    let (recipe, _) = recipe.split_once("```").unwrap();
    assert!(recipe.contains("kafka_partition = 0") && recipe.contains("1000"));
    recipe.replace("kafka_partition = 0", partitions).replace("1000", &from.to_string())
}

#[test]
fn a_replay_is_followed_where_no_record_comes_and_deletes_nothing_that_is_not_read_again() {
    let mut world = World::new();
    world.send(40, unchanged);
    let member = world.join();
    world.wait_for_rows(40);
    let owner = world.database.connect().unwrap();
    // A typo in the group, and an offset that was not reached.
    for wrong in [
        recipe(3, "kafka_partition = 0").replace("'workers'", "'worker'"),
        recipe(99, "kafka_partition = 0"),
    ] {
        let refusal = world.database.refusal(&owner, &wrong);
        assert!(refusal.is_some_and(|why| why.contains("nothing was changed")));
        assert_eq!(world.database.number(COUNT), 40);
    }
    world.database.run(&owner, &recipe(3, "kafka_partition = 0"));
    assert!(world.database.number(COUNT) < 40);
    world.wait_for_rows(40);
    member.leave();
}

#[test]
fn a_topic_that_ends_before_what_is_stored_is_left_alone_until_that_is_set_by_hand() {
    let mut world = World::new();
    world.send(40, unchanged);
    let owner = world.database.connect().unwrap();
    let stored = "INSERT INTO consumer_offsets VALUES ('workers', 'trades', 0, 1000)";
    world.database.run(&owner, stored);
    let member = world.join();
    wait_for("the partition to be told", || member.metrics.stuck_partitions.get() == 1);
    world.wait_for_rows(30);
    let by_hand = "UPDATE consumer_offsets SET next_offset = 0 WHERE kafka_partition = 0";
    world.database.run(&owner, by_hand);
    world.wait_for_rows(40);
    member.leave();
}
