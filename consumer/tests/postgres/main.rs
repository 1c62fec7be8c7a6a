//! The PostgreSQL sink against a real PostgreSQL, alone and in a consumer on librdkafka's mock
//! cluster. Held against what counts: what is in the tables.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy's allowance for tests does not reach the helpers of a test crate"
)]

mod consumers;
mod database;

use database::Database;
use evenkeel_consumer::batch::{NOTHING_STORED, Record, Step};
use evenkeel_consumer::postgres::Postgres;
use evenkeel_consumer::sink::{Lease, Sink, SinkError};
use evenkeel_consumer::trade::Trades;
use std::num::NonZeroU64;
use std::time::Duration;

fn sink(database: &Database) -> Postgres {
    let (group, topic) = ("workers".to_owned(), "trades".to_owned());
    Postgres::new(database.config(), group, topic).unwrap()
}

fn trade(partition: i32, offset: i64) -> Record {
    let mut trades = Trades::new(NonZeroU64::MIN, 1);
    let payload = serde_json::to_vec(&trades.next_at(Duration::ZERO)).unwrap();
    Record {
        partition,
        offset,
        produced_at: None,
        key: None,
        payload: Some(payload),
        headers: None,
    }
}

fn step(partition: i32, from: i64, to: i64) -> Step {
    Step {
        partition,
        from,
        to,
    }
}

const COUNT: &str = "SELECT count(*) FROM trades";
const REACHED: &str = "SELECT sum(next_offset)::bigint FROM consumer_offsets";

const REACHED_ROWS: &str = "SELECT count(*) FROM consumer_offsets WHERE next_offset > 0";

#[test]
fn a_batch_and_its_offsets_are_written_together_or_not_at_all() {
    let database = Database::start();
    let mut first = sink(&database);
    let stored = first.positions(&[0, 1]).unwrap();
    assert_eq!(stored.into_iter().collect::<Vec<_>>(), [(0, -1), (1, -1)]);

    let batch = [trade(0, 5), trade(1, 0), trade(0, 6)];
    let steps = [step(0, NOTHING_STORED, 7), step(1, NOTHING_STORED, 1)];
    first.write(&batch, &steps, &Lease::default()).unwrap();
    assert_eq!((database.number(COUNT), database.number(REACHED)), (3, 8));

    // The same again, and one whose partition 1 is behind: the fence keeps both out, whole.
    for steps in [steps, [step(0, 7, 8), step(1, NOTHING_STORED, 1)]] {
        let again = sink(&database).write(&batch, &steps, &Lease::default());
        assert!(matches!(again, Err(SinkError::Fenced)), "{again:?}");
    }
    // The lease has ended.
    let ended = Lease::default();
    ended.end();
    let late = first.write(&batch, &[step(0, 7, 9), step(1, 1, 2)], &ended);
    assert!(matches!(late, Err(SinkError::GivenUp)), "{late:?}");
    assert_eq!((database.number(COUNT), database.number(REACHED)), (3, 8));

    // Offsets of records that went elsewhere; then the session goes on as if nothing had been.
    first
        .write(&[], &[step(0, 7, 9)], &Lease::default())
        .unwrap();
    first
        .write(&[trade(0, 9)], &[step(0, 9, 10)], &Lease::default())
        .unwrap();
    assert_eq!((database.number(COUNT), database.number(REACHED)), (4, 11));
}

#[test]
fn only_data_is_refused_and_all_else_is_worth_trying_again() {
    let mut database = Database::start();
    let mut writer = sink(&database);
    let mut write = |record: Record| {
        let step = step(record.partition, NOTHING_STORED, record.offset + 1);
        writer.write(&[record], &[step], &Lease::default())
    };
    database.number(
        "WITH row AS (INSERT INTO consumer_offsets VALUES ('workers', 'trades', 0, -1)
                     RETURNING 1) SELECT count(*) FROM row",
    );

    let mut no_trade = trade(0, 0);
    no_trade.payload = Some(b"{".to_vec());
    let refused = write(no_trade);
    assert!(matches!(&refused, Err(SinkError::Undecodable(named)) if named.len() == 1));

    let mut with_nul = trade(0, 0);
    let payload = String::from_utf8(with_nul.payload.unwrap()).unwrap();
    with_nul.payload = Some(payload.replace("account-", "account\\u0000").into_bytes());
    let refused = write(with_nul);
    assert!(matches!(refused, Err(SinkError::Refused(_))), "{refused:?}");

    let owner = database.connect().unwrap();
    database.run(
        &owner,
        "ALTER TABLE trades ADD UNIQUE (trade_id) DEFERRABLE INITIALLY DEFERRED",
    );
    write(trade(0, 0)).unwrap();
    database.run(&owner, "UPDATE consumer_offsets SET next_offset = -1");
    let twice = write(trade(0, 0));
    assert!(matches!(twice, Err(SinkError::Refused(_))), "{twice:?}");

    database.run(&owner, "ALTER TABLE trades RENAME TO renamed");
    let missing = write(trade(0, 0));
    assert!(
        matches!(missing, Err(SinkError::Unavailable(_))),
        "{missing:?}"
    );
    database.run(
        &owner,
        "ALTER TABLE renamed RENAME TO trades; TRUNCATE trades",
    );
    database.crash();
    let away = write(trade(0, 0));
    assert!(matches!(away, Err(SinkError::Unavailable(_))), "{away:?}");
    database.start_again();
    write(trade(0, 0)).unwrap();
    assert_eq!(database.number(COUNT), 1);
}

#[test]
fn tls_is_spoken_where_it_is_asked_for_and_the_certificate_is_checked() {
    let (database, port, certificate) = Database::start_with_tls();
    let made = |more: &str, trusted: &std::path::Path| {
        // A topic that nobody has: it ends by itself only if the tables cannot be made.
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres{more}");
        let mut consumer = std::process::Command::new(env!("CARGO_BIN_EXE_evenkeel-consumer"))
            .args([
                "--topic",
                "none",
                "--group",
                "none",
                "--metrics-listen",
                "none",
            ])
            .args(["--bootstrap-servers", "127.0.0.1:1", "--sink", "postgres"])
            .args(["--create-tables", "--database-url", &url])
            .env("SSL_CERT_FILE", trusted)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut refused = false;
        consumers::wait_for("the tables, or a refusal", || {
            refused = consumer.try_wait().unwrap().is_some();
            let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'trades'";
            refused || database.number(tables) == 1
        });
        consumer.kill().unwrap();
        let said = consumer.wait_with_output().unwrap().stderr;
        (!refused, String::from_utf8_lossy(&said).into_owned())
    };
    let (_elsewhere, _, unrelated) = Database::start_with_tls();
    for (more, trusted, word) in [
        ("", &certificate, "no encryption"),
        ("?sslmode=require", &unrelated, "certificate"),
    ] {
        let (worked, said) = made(more, trusted);
        assert!(!worked && said.contains(word), "{said}");
    }
    let (worked, said) = made("?sslmode=require", &certificate);
    assert!(worked, "{said}");
}

#[test]
fn a_crash_in_the_middle_of_a_batch_writes_nothing_of_it() {
    let mut database = Database::start();
    let mut writer = sink(&database);
    writer.positions(&[0]).unwrap();
    let blocker = database.connect().unwrap();
    database.run(&blocker, "BEGIN; LOCK TABLE consumer_offsets");
    let writing = std::thread::spawn(move || {
        let outcome = writer.write(&[trade(0, 0)], &[step(0, -1, 1)], &Lease::default());
        (writer, outcome)
    });
    consumers::wait_for("the batch to wait for the lock", || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        database.number(waiting) == 1
    });
    database.crash();
    let (mut writer, outcome) = writing.join().unwrap();
    assert!(
        matches!(outcome, Err(SinkError::Unavailable(_))),
        "{outcome:?}"
    );
    database.start_again();
    assert_eq!((database.number(COUNT), database.number(REACHED)), (0, -1));
    writer
        .write(&[trade(0, 0)], &[step(0, -1, 1)], &Lease::default())
        .unwrap();
    assert_eq!((database.number(COUNT), database.number(REACHED)), (1, 1));
}
