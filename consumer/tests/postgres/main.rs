//! The PostgreSQL sink against a real PostgreSQL, alone, behind PgBouncer, and in a consumer on librdkafka's
//! mock cluster. Held against what counts: what is in the tables.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "clippy's allowance for tests does not reach the helpers of a test crate"
)]

mod consumers;
mod corners;
mod database;
mod merge;
mod pooler;
mod processes;

use std::collections::BTreeMap;

use batch_consumer::batch::Batch;
use batch_consumer::postgres::Postgres;
use batch_consumer::sink::{NOTHING_STORED, Row, Sink, Step, WriteError};
use batch_consumer::trade::Trade;
use database::Database;
use rdkafka::Timestamp;
use rdkafka::message::OwnedMessage;

const COUNT: &str = "SELECT count(*) FROM trades";
const LETTERS: &str = "SELECT count(*) FROM dead_letters";
const REACHED: &str = "SELECT sum(next_offset)::bigint FROM consumer_offsets";
const REACHED_ROWS: &str = "SELECT count(*) FROM consumer_offsets WHERE next_offset > 0";

/// A sink, and what runs it.
pub struct Writer {
    sink: Postgres<Trade>,
    runtime: tokio::runtime::Runtime,
}

impl Writer {
    pub fn new(database: &Database) -> Self {
        Self::at(&database.given())
    }

    pub fn at(given: &batch_consumer::postgres::Database) -> Self {
        let sink = Postgres::new(given, "workers", "trades").unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Self { sink, runtime }
    }

    pub fn positions(
        &mut self,
        cluster: &str,
        partitions: &[i32],
    ) -> Result<BTreeMap<i32, i64>, WriteError> {
        self.runtime.block_on(self.sink.positions(cluster, partitions))
    }

    pub fn write(&mut self, batch: &Batch<Trade>, steps: &[Step]) -> Result<(), WriteError> {
        let (rows, dead): (Vec<_>, Vec<_>) =
            (batch.rows.iter().collect(), batch.dead.iter().collect());
        self.runtime.block_on(self.sink.write(&rows, &dead, steps))
    }

    /// Lets its connections do their work: a consumer's thread does between two attempts.
    pub fn pass(&self) {
        let moment = std::time::Duration::from_millis(50);
        self.runtime.block_on(async { tokio::time::sleep(moment).await });
    }

    /// Gives the write up after a moment, as a rebalance does.
    pub fn give_up(&mut self, batch: &Batch<Trade>, steps: &[Step], after: std::time::Duration) {
        let rows: Vec<&Row<Trade>> = batch.rows.iter().collect();
        let write = self.sink.write(&rows, &[], steps);
        let ended = self.runtime.block_on(async { tokio::time::timeout(after, write).await });
        assert!(ended.is_err(), "it was to be given up: {ended:?}");
    }
}

/// JSON of one trade.
pub fn trade(number: i64) -> String {
    format!(
        "{{\"account_id\":\"account-{}\",\"trade_id\":\"trade-{number}\",\"symbol\":\"IBM\",\
         \"trade_type\":\"BUY\",\"quantity\":1,\"price\":1.5,\"timestamp\":1700000000000}}",
        number % 100
    )
}

pub fn batch(records: &[(i32, i64, String)]) -> Batch<Trade> {
    let mut batch = Batch::default();
    for (partition, offset, payload) in records {
        let payload = Some(payload.clone().into_bytes());
        let now = Timestamp::CreateTime(1_700_000_000_000);
        let topic = "trades".to_owned();
        batch.push(OwnedMessage::new(payload, None, topic, now, *partition, *offset, None));
    }
    batch
}

pub fn trades(of: &[(i32, i64)]) -> Batch<Trade> {
    let records: Vec<_> = of.iter().map(|(one, offset)| (*one, *offset, trade(*offset))).collect();
    batch(&records)
}

pub fn step(partition: i32, from: i64, to: i64) -> Step {
    Step { partition, from, first: from.max(0), to }
}

#[test]
fn a_batch_and_its_offsets_are_written_together_or_not_at_all() {
    let database = Database::start();
    let mut first = Writer::new(&database);
    let stored = first.positions("kafka", &[0, 1]).unwrap();
    assert_eq!(stored.into_iter().collect::<Vec<_>>(), [(0, -1), (1, -1)]);

    let rows = trades(&[(0, 5), (1, 0), (0, 6)]);
    let steps = [step(0, NOTHING_STORED, 7), step(1, NOTHING_STORED, 1)];
    first.write(&rows, &steps).unwrap();
    assert_eq!((database.number(COUNT), database.number(REACHED)), (3, 8));

    // The same again, and one whose partition 1 is behind: the fence keeps both out, whole.
    for steps in [steps, [step(0, 7, 8), step(1, NOTHING_STORED, 1)]] {
        let again = Writer::new(&database).write(&rows, &steps);
        assert_eq!(again, Err(WriteError::Moved));
    }
    assert_eq!((database.number(COUNT), database.number(REACHED)), (3, 8));

    // Offsets without rows; then the session goes on as if nothing had been.
    first.write(&Batch::default(), &[step(0, 7, 9)]).unwrap();
    first.write(&trades(&[(0, 9)]), &[step(0, 9, 10)]).unwrap();
    assert_eq!((database.number(COUNT), database.number(REACHED)), (4, 11));
}

#[test]
fn dead_letters_are_written_with_the_batch_or_not_at_all() {
    let database = Database::start();
    let mut writer = Writer::new(&database);
    writer.positions("kafka", &[0]).unwrap();
    let rows = batch(&[(0, 0, trade(0)), (0, 1, "{".to_owned()), (0, 2, trade(2))]);
    assert_eq!(writer.write(&rows, &[step(0, 5, 6)]), Err(WriteError::Moved));
    assert_eq!((database.number(COUNT), database.number(LETTERS)), (0, 0));
    writer.write(&rows, &[step(0, -1, 3)]).unwrap();
    assert_eq!((database.number(COUNT), database.number(LETTERS)), (2, 1));
    let whole = "SELECT count(*) FROM dead_letters WHERE kafka_partition = 0 AND kafka_offset = 1 \
        AND kind = 'undecodable' AND value = '{' AND key IS NULL AND topic = 'trades' \
        AND produced_at = to_timestamp(1700000000) AND buried_at > produced_at";
    assert_eq!(database.number(whole), 1);
}

#[test]
fn only_data_is_refused_and_all_else_is_worth_trying_again() {
    let mut database = Database::start();
    let mut writer = Writer::new(&database);
    writer.positions("kafka", &[0]).unwrap();
    let steps = [step(0, NOTHING_STORED, 1)];
    let mut write = |payload: String| writer.write(&batch(&[(0, 0, payload)]), &steps);
    let poison = |outcome: Result<(), WriteError>, word: &str| match outcome {
        Err(WriteError::Poison(rows)) => {
            assert_eq!(rows.len(), 1);
            assert!(rows[0].0 == 0 && rows[0].1.contains(word), "{rows:?}");
        }
        other => panic!("{other:?}"),
    };
    poison(write(trade(0).replace("IBM", "\\u0000")), "22021");

    // What triggers, views and indexes refuse: classes and codes beside 22 and 23.
    let owner = database.connect().unwrap();
    for code in ["P0001", "54000", "44000", "23514"] {
        let trigger = format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$; \
             CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON trades FOR EACH ROW \
             WHEN (NEW.symbol = 'BAD') EXECUTE FUNCTION refuse()"
        );
        database.run(&owner, &trigger);
        poison(write(trade(0).replace("IBM", "BAD")), code);
    }

    let unique = "ALTER TABLE trades ADD UNIQUE (trade_id) DEFERRABLE INITIALLY DEFERRED";
    database.run(&owner, unique);
    write(trade(0)).unwrap();
    database.run(&owner, "UPDATE consumer_offsets SET next_offset = -1");
    poison(write(trade(0)), "23505");

    let is_tried_again = |outcome| matches!(outcome, Err(WriteError::Retry(_)));
    database.run(&owner, "ALTER TABLE trades RENAME TO renamed");
    assert!(is_tried_again(write(trade(0))));
    database.run(&owner, "ALTER TABLE renamed RENAME TO trades; TRUNCATE trades");
    database.crash();
    assert!(is_tried_again(write(trade(0))));
    database.start_again();
    write(trade(0)).unwrap();
    assert_eq!(database.number(COUNT), 1);
}

#[test]
fn all_refused_rows_of_a_batch_are_found_at_once_and_nothing_of_the_search_stays() {
    let database = Database::start();
    let mut writer = Writer::new(&database);
    writer.positions("kafka", &[0]).unwrap();
    let is_bad = |offset: i64| offset % 7 == 3;
    let payload = |offset| match is_bad(offset) {
        true => trade(offset).replace("IBM", "\\u0000"),
        false => trade(offset),
    };
    let records: Vec<_> = (0..100).map(|offset| (0, offset, payload(offset))).collect();
    let outcome = writer.write(&batch(&records), &[step(0, -1, 100)]);
    let Err(WriteError::Poison(rows)) = outcome else { panic!("{outcome:?}") };
    let found: Vec<usize> = rows.iter().map(|(index, _)| *index).collect();
    let expected: Vec<usize> = (0..100_usize).filter(|index| index % 7 == 3).collect();
    assert_eq!(found, expected);
    assert_eq!((database.number(COUNT), database.number(REACHED)), (0, -1));
}

#[test]
fn a_crash_in_the_middle_of_a_batch_writes_nothing_of_it() {
    let mut database = Database::start();
    let mut writer = Writer::new(&database);
    writer.positions("kafka", &[0]).unwrap();
    let blocker = database.connect().unwrap();
    database.run(&blocker, "BEGIN; LOCK TABLE consumer_offsets");
    let writing = std::thread::spawn(move || {
        let outcome = writer.write(&trades(&[(0, 0)]), &[step(0, -1, 1)]);
        (writer, outcome)
    });
    consumers::wait_for("the batch to wait for the lock", || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        database.number(waiting) == 1
    });
    database.crash();
    let (mut writer, outcome) = writing.join().unwrap();
    assert!(matches!(outcome, Err(WriteError::Retry(_))), "{outcome:?}");
    database.start_again();
    assert_eq!((database.number(COUNT), database.number(REACHED)), (0, -1));
    writer.write(&trades(&[(0, 0)]), &[step(0, -1, 1)]).unwrap();
    assert_eq!((database.number(COUNT), database.number(REACHED)), (1, 1));
}
