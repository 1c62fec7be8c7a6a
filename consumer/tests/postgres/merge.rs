//! The example into another table: the newest value by key, and tombstones.

#[path = "../../examples/upsert.rs"]
mod upsert;

use batch_consumer::batch::Batch;
use batch_consumer::postgres::Postgres;
use batch_consumer::sink::{Sink, WriteError};
use rdkafka::Timestamp;
use rdkafka::message::OwnedMessage;
use upsert::Price;

use super::database::Database;
use super::step;

const PRICES: &str = "SELECT coalesce(sum(price), 0)::bigint FROM prices";
const SYMBOLS: &str = "SELECT count(*) FROM prices";

fn batch(records: &[(i64, &str, Option<&str>)]) -> Batch<Price> {
    let mut batch = Batch::default();
    for (offset, key, value) in records {
        let [key, value] =
            [Some(*key), *value].map(|part| part.map(|text| text.as_bytes().to_vec()));
        let (topic, now) = ("prices".to_owned(), Timestamp::NotAvailable);
        batch.push(OwnedMessage::new(value, key, topic, now, 0, *offset, None));
    }
    batch
}

#[test]
fn the_newest_value_counts_a_tombstone_deletes_and_poison_is_found() {
    let database = Database::start();
    let owner = database.connect().unwrap();
    let table = "CREATE TABLE prices (symbol text PRIMARY KEY, \
        price double precision NOT NULL CHECK (price > 0))";
    database.run(&owner, table);
    let mut sink = Postgres::<Price>::new(&database.given(), "workers", "prices").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(sink.positions("kafka", &[0])).unwrap();
    let mut write = |records: &[(i64, &str, Option<&str>)], from, to| {
        let batch = batch(records);
        let (rows, dead): (Vec<_>, Vec<_>) =
            (batch.rows.iter().collect(), batch.dead.iter().collect());
        runtime.block_on(sink.write(&rows, &dead, &[step(0, from, to)]))
    };
    write(&[(0, "IBM", Some("10")), (1, "SAP", Some("5")), (2, "IBM", Some("20"))], -1, 3).unwrap();
    assert_eq!((database.number(SYMBOLS), database.number(PRICES)), (2, 25));
    write(
        &[(3, "SAP", Some("6")), (4, "SAP", None), (5, "IBM", None), (6, "IBM", Some("1"))],
        3,
        7,
    )
    .unwrap();
    assert_eq!((database.number(SYMBOLS), database.number(PRICES)), (1, 1));
    // The table's own rule refuses one; its batch comes without it.
    let refused = write(&[(7, "SAP", Some("7")), (8, "A", Some("-1")), (9, "B", Some("2"))], 7, 10);
    let Err(WriteError::Poison(rows)) = refused else { panic!("{refused:?}") };
    assert!(rows.len() == 1 && rows[0].0 == 1 && rows[0].1.contains("23514"), "{rows:?}");
    assert_eq!((database.number(SYMBOLS), database.number(PRICES)), (1, 1));
}
