//! What you change, together with `schema.sql`: the row, how it is read from a record, and how it goes
//! into its table.

use std::time::{Duration, UNIX_EPOCH};

use rdkafka::message::{Message, OwnedMessage};
use serde::Deserialize;
use tokio_postgres::types::Type;

use crate::postgres::{Columns, EncodeError, Table};
use crate::sink::{Decode, Row};

/// PostgreSQL's times end later, those of most readers here.
const YEAR_9999_MILLISECONDS: u64 = 253_402_300_799_999;

/// One trade, as JSON.
///
/// The price is what JSON can carry, a double. A ledger of your own would send a decimal as a string and
/// store it as numeric.
#[derive(Clone, Debug, Deserialize)]
pub struct Trade {
    account_id: String,
    trade_id: String,
    symbol: String,
    trade_type: String,
    quantity: i64,
    price: f64,
    /// Milliseconds since the Unix epoch.
    timestamp: u64,
}

impl Decode for Trade {
    fn decode(record: &OwnedMessage) -> Result<Self, String> {
        let payload = record.payload().ok_or("it has no value")?;
        let trade: Self = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        let is_past = trade.timestamp <= YEAR_9999_MILLISECONDS;
        if is_past { Ok(trade) } else { Err("its timestamp is out of range".to_owned()) }
    }
}

impl Table for Trade {
    const COPY: &'static str = "COPY trades (account_id, trade_id, symbol, trade_type, quantity, price, \
        traded_at, kafka_partition, kafka_offset) FROM STDIN (FORMAT binary)";

    fn columns(row: &Row<Self>, columns: &mut Columns) -> Result<(), EncodeError> {
        let (trade, record) = (&row.value, &row.record);
        columns.row(&[
            (&trade.account_id, Type::TEXT),
            (&trade.trade_id, Type::TEXT),
            (&trade.symbol, Type::TEXT),
            (&trade.trade_type, Type::TEXT),
            (&trade.quantity, Type::INT8),
            (&trade.price, Type::FLOAT8),
            (&(UNIX_EPOCH + Duration::from_millis(trade.timestamp)), Type::TIMESTAMPTZ),
            (&record.partition(), Type::INT4),
            (&record.offset(), Type::INT8),
        ])
    }
}
