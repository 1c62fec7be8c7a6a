//! Another table: the newest price of each symbol. The record's key is the symbol, its value a price as
//! JSON, and a record without a value (a tombstone) deletes the row.
//!
//! ```sql
//! CREATE TABLE prices (symbol text PRIMARY KEY, price double precision NOT NULL);
//! ```
//!
//! Rows are copied into a table of the transaction and merged from there. Of a symbol that a batch has
//! several times the last record counts: a key is always in one partition, so its offset says which.

use std::fmt::Display;

use batch_consumer::consume::{Stop, run};
use batch_consumer::metrics::Metrics;
use batch_consumer::options::{Options, parse, refuse};
use batch_consumer::postgres::{Columns, Database, EncodeError, Postgres, Table};
use batch_consumer::sink::{Decode, Row};
use clap::Parser;
use rdkafka::message::{Message as _, OwnedMessage};
use tokio_postgres::types::Type;

/// The newest price of a symbol, or none.
#[derive(Clone, Debug)]
pub struct Price {
    symbol: String,
    price: Option<f64>,
}

fn said(error: impl Display) -> String {
    error.to_string()
}

impl Decode for Price {
    fn decode(record: &OwnedMessage) -> Result<Self, String> {
        let key = record.key().ok_or("it has no key")?;
        let symbol = String::from_utf8(key.to_vec()).map_err(said)?;
        let price = record.payload().map(serde_json::from_slice).transpose().map_err(said)?;
        Ok(Self { symbol, price })
    }
}

impl Table for Price {
    // It may run several times in a transaction, when rows are refused.
    const BEFORE: &'static str = "CREATE TEMPORARY TABLE IF NOT EXISTS staged \
        (symbol text, price double precision, kafka_offset bigint) ON COMMIT DROP; \
        TRUNCATE staged;";

    const COPY: &'static str =
        "COPY staged (symbol, price, kafka_offset) FROM STDIN (FORMAT binary)";

    const AFTER: &'static str = "DELETE FROM staged AS older USING staged AS newer \
        WHERE older.symbol = newer.symbol AND older.kafka_offset < newer.kafka_offset; \
        DELETE FROM prices USING staged \
        WHERE prices.symbol = staged.symbol AND staged.price IS NULL; \
        INSERT INTO prices SELECT symbol, price FROM staged WHERE price IS NOT NULL \
        ON CONFLICT (symbol) DO UPDATE SET price = excluded.price";

    fn columns(row: &Row<Self>, columns: &mut Columns) -> Result<(), EncodeError> {
        columns.row(&[
            (&row.value.symbol, Type::TEXT),
            (&row.value.price, Type::FLOAT8),
            (&row.record.offset(), Type::INT8),
        ])
    }
}

#[derive(Debug, Parser)]
struct Given {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    database: Database,
}

#[allow(dead_code, reason = "the tests take the rest of this file")]
fn main() -> anyhow::Result<()> {
    let Given { options, database } = parse();
    let sink = Postgres::<Price>::new(&database, &options.group, &options.topic);
    let sink = sink.unwrap_or_else(|error| refuse(error));
    run::<_, _, ()>(options, sink, Metrics::default(), Stop::default())
}
