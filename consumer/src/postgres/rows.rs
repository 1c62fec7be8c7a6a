//! From records to rows of the table `trades`: what you change for a table of your own.
//!
//! Rows are written in PostgreSQL's binary COPY format by hand: it is the fastest way in, and it is
//! only lengths and values. Values that PostgreSQL will not have (a NUL in a text, a constraint of
//! yours) are its to refuse; what is not a trade at all is named here.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;

use crate::batch::Record;
use crate::sink::Refusal;

/// The statement that takes the rows; its columns are those of [`Rows::push`], in order.
pub const COPY: &str = "COPY trades (account_id, trade_id, symbol, trade_type, quantity, price, \
                        traded_at, kafka_partition, kafka_offset) FROM STDIN (FORMAT binary)";

/// How many they are.
const COLUMNS: i16 = 9;

/// PostgreSQL counts microseconds from the year 2000.
const EPOCH_2000_MILLISECONDS: i64 = 946_684_800_000;

/// A trade, as the producer sends it.
///
/// The price is what JSON can carry, a double. A ledger of your own would send a decimal as a string
/// and store it as numeric.
#[derive(Debug, Deserialize)]
struct Trade<'a> {
    #[serde(borrow)]
    account_id: Cow<'a, str>,
    #[serde(borrow)]
    trade_id: Cow<'a, str>,
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    trade_type: Cow<'a, str>,
    quantity: i64,
    price: f64,
    /// Milliseconds since the Unix epoch.
    timestamp: i64,
}

/// Rows in the binary COPY format; empty but for the header at first.
#[derive(Debug)]
pub struct Rows(BytesMut);

// === impl Trade ===

impl<'a> Trade<'a> {
    fn decode(record: &'a Record) -> Result<Self, String> {
        let payload = record.payload.as_deref().ok_or("it has no value")?;
        let trade: Self = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        if trade.microseconds().is_none() {
            return Err(format!("timestamp {} is out of range", trade.timestamp));
        }
        Ok(trade)
    }

    fn microseconds(&self) -> Option<i64> {
        let milliseconds = self.timestamp.checked_sub(EPOCH_2000_MILLISECONDS)?;
        milliseconds.checked_mul(1000)
    }
}

// === impl Rows ===

impl Default for Rows {
    fn default() -> Self {
        let mut buffer = BytesMut::new();
        buffer.put_slice(b"PGCOPY\n\xff\r\n\0");
        // No flags, no extension of the header.
        buffer.put_i32(0);
        buffer.put_i32(0);
        Self(buffer)
    }
}

impl Rows {
    /// The next rows, those of `records`, ready to be sent.
    ///
    /// # Errors
    /// Names every record that is no trade, by its place in `records`.
    pub fn encode(&mut self, records: &[Record]) -> Result<Bytes, Vec<Refusal>> {
        // JSON is about as long as its row.
        self.0.reserve(records.iter().map(Record::bytes).sum());
        let mut refusals = Vec::new();
        for (index, record) in records.iter().enumerate() {
            match Trade::decode(record) {
                Ok(trade) => self.push(&trade, record),
                Err(reason) => refusals.push(Refusal { index, reason }),
            }
        }
        if refusals.is_empty() {
            Ok(self.0.split().freeze())
        } else {
            Err(refusals)
        }
    }

    /// What has to come last.
    pub fn end(mut self) -> Bytes {
        self.0.put_i16(-1);
        self.0.freeze()
    }

    fn push(&mut self, trade: &Trade<'_>, record: &Record) {
        self.0.put_i16(COLUMNS);
        self.field(trade.account_id.as_bytes());
        self.field(trade.trade_id.as_bytes());
        self.field(trade.symbol.as_bytes());
        self.field(trade.trade_type.as_bytes());
        self.field(&trade.quantity.to_be_bytes());
        self.field(&trade.price.to_be_bytes());
        self.field(&trade.microseconds().unwrap_or_default().to_be_bytes());
        self.field(&record.partition.to_be_bytes());
        self.field(&record.offset.to_be_bytes());
    }

    fn field(&mut self, value: &[u8]) {
        // A record is far below 2 GB: Kafka's own limit is an i32.
        self.0
            .put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
        self.0.put_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(payload: Option<&str>) -> Record {
        Record {
            partition: 3,
            offset: 7,
            produced_at: None,
            key: None,
            payload: payload.map(|text| text.as_bytes().to_vec()),
            headers: None,
        }
    }

    const GOOD: &str = r#"{"account_id":"a","trade_id":"t","symbol":"S","trade_type":"BUY",
        "quantity":1,"price":2.5,"timestamp":1700000000000,"unknown":null}"#;

    #[test]
    fn what_is_no_trade_is_named_with_its_reason() {
        let huge = GOOD.replace("1700000000000", "9223372036854775807");
        let bad = [
            None,
            Some(""),
            Some("{"),
            Some("\u{fffd}"),
            Some("[]"),
            Some(r#"{"account_id":"a"}"#),
            Some(huge.as_str()),
        ];
        let mut records = vec![record(Some(GOOD))];
        records.extend(bad.iter().map(|payload| record(*payload)));
        let refusals = Rows::default().encode(&records).unwrap_err();
        let named: Vec<usize> = refusals.iter().map(|refusal| refusal.index).collect();
        assert_eq!(named, [1, 2, 3, 4, 5, 6, 7]);
        assert!(refusals.iter().all(|refusal| !refusal.reason.is_empty()));
    }

    #[test]
    fn escapes_are_undone() {
        let escaped = GOOD.replace("\"a\"", r#""\u00e4\n""#);
        let rows = Rows::default().encode(&[record(Some(&escaped))]).unwrap();
        let expected = "ä\n".as_bytes();
        assert!(
            rows.windows(expected.len())
                .any(|window| window == expected)
        );
    }
}
