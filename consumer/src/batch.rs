//! What is written together, and when it is due: at a size in records or bytes, or a time after its
//! first record.
//!
//! One batch mixes partitions, because a bulk write costs the same whatever it mixes; within a
//! partition the order stays. Records are decoded as they come, and what they were made of is kept, all
//! in one buffer, until they are written: a row that the sink refuses becomes a dead letter.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::message::{Headers, Message, OwnedHeaders, OwnedMessage};

use crate::clock;

/// A row that can be made of a record.
pub trait Decode: Sized + Send + 'static {
    /// Reads key, value and headers of one record.
    ///
    /// # Errors
    /// Why this can never be a row: the record becomes a dead letter, and the sentence goes with it. It
    /// is not logged, since it may quote the record.
    fn decode(record: &impl Message) -> Result<Self, String>;
}

/// When a batch is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records that make a batch full.
    pub records: usize,
    /// Bytes of keys and values that make a batch full; the record that reaches it is in it.
    pub bytes: usize,
    /// How long the first record waits for company.
    pub timeout: Duration,
}

/// A decoded record.
#[derive(Clone, Debug)]
pub struct Row<T> {
    /// The partition it came from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// What was decoded.
    pub value: T,
    origin: Origin,
}

/// What a row was made of.
#[derive(Clone, Debug)]
struct Origin {
    timestamp: rdkafka::Timestamp,
    key: Option<Range<usize>>,
    payload: Option<Range<usize>>,
    headers: Option<OwnedHeaders>,
}

/// A record that can never be written.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The record as it came.
    pub record: OwnedMessage,
    /// `undecodable` or `refused`.
    pub kind: &'static str,
    /// Why it is here; it may quote the record.
    pub reason: String,
}

/// A batch; also the one that is being filled.
#[derive(Debug)]
pub struct Batch<T> {
    /// What can be written, as far as is known.
    pub rows: Vec<Row<T>>,
    /// What cannot.
    pub dead: Vec<DeadLetter>,
    bytes: Vec<u8>,
    first_at: Option<Instant>,
}

// === impl Row ===

impl<T> Row<T> {
    /// When it was produced, in milliseconds since the Unix epoch.
    pub fn produced_at(&self) -> Option<i64> {
        self.origin.timestamp.to_millis()
    }

    /// The same row with another value, for a sink that decodes further.
    pub fn with<U>(&self, value: U) -> Row<U> {
        let Self { partition, offset, ref origin, .. } = *self;
        Row { partition, offset, value, origin: origin.clone() }
    }

    /// Its headers.
    pub fn headers(&self) -> Option<&OwnedHeaders> {
        self.origin.headers.as_ref()
    }
}

// === impl DeadLetter ===

impl DeadLetter {
    /// The partition it came from.
    pub fn partition(&self) -> i32 {
        self.record.partition()
    }
}

// === impl Batch ===

impl<T> Default for Batch<T> {
    fn default() -> Self {
        let (rows, dead, bytes) = (Vec::new(), Vec::new(), Vec::new());
        Self { rows, dead, bytes, first_at: None }
    }
}

impl<T: Decode> Batch<T> {
    /// Decodes a record and adds it. A full batch takes it too: what Kafka has handed out is never
    /// dropped while its partition is ours.
    pub fn push(&mut self, record: &impl Message) {
        self.first_at.get_or_insert_with(clock::now);
        let (partition, offset) = (record.partition(), record.offset());
        let origin = Origin {
            timestamp: record.timestamp(),
            key: record.key().map(|key| self.keep(key)),
            payload: record.payload().map(|payload| self.keep(payload)),
            headers: record
                .headers()
                .map(|headers| headers.iter().fold(OwnedHeaders::new(), OwnedHeaders::insert)),
        };
        match T::decode(record) {
            Ok(value) => self.rows.push(Row { partition, offset, value, origin }),
            Err(reason) => {
                let record = self.original(record.topic(), partition, offset, origin);
                self.dead.push(DeadLetter { record, kind: "undecodable", reason });
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        from..self.bytes.len()
    }
}

impl<T> Batch<T> {
    /// Makes dead letters of rows that the sink refuses: their index, and why.
    pub fn bury(&mut self, topic: &str, refused: Vec<(usize, String)>) {
        let mut reasons: BTreeMap<usize, String> = refused.into_iter().collect();
        for (index, row) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            let Some(reason) = reasons.remove(&index) else {
                self.rows.push(row);
                continue;
            };
            let record = self.original(topic, row.partition, row.offset, row.origin);
            self.dead.push(DeadLetter { record, kind: "refused", reason });
        }
    }

    fn original(&self, topic: &str, partition: i32, offset: i64, origin: Origin) -> OwnedMessage {
        let kept = |part: Option<Range<usize>>| Some(self.bytes.get(part?)?.to_vec());
        let (key, payload, topic) = (kept(origin.key), kept(origin.payload), topic.to_owned());
        let Origin { timestamp, headers, .. } = origin;
        OwnedMessage::new(payload, key, topic, timestamp, partition, offset, headers)
    }

    /// Whether no other record fits.
    pub fn is_full(&self, limits: &Limits) -> bool {
        self.rows.len() + self.dead.len() >= limits.records || self.bytes.len() >= limits.bytes
    }

    /// When its first record came; `None` while it is empty.
    pub fn first_at(&self) -> Option<Instant> {
        self.first_at
    }

    /// Drops the records of a partition that is no longer ours; its next owner reads them again.
    pub fn forget(&mut self, partition: i32) {
        self.rows.retain(|row| row.partition != partition);
        self.dead.retain(|letter| letter.record.partition() != partition);
        if self.rows.is_empty() && self.dead.is_empty() {
            self.clear();
        }
    }

    /// Empties it; what it has grown to, it keeps.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.dead.clear();
        self.bytes.clear();
        self.first_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::Timestamp;

    struct Text(String);

    impl Decode for Text {
        fn decode(record: &impl Message) -> Result<Self, String> {
            let payload = record.payload().ok_or("it has no value")?;
            Ok(Self(String::from_utf8_lossy(payload).into_owned()))
        }
    }

    fn record(partition: i32, offset: i64, payload: Option<&str>) -> OwnedMessage {
        let payload = payload.map(|text| text.as_bytes().to_vec());
        let key = Some(b"k".to_vec());
        OwnedMessage::new(
            payload,
            key,
            "t".to_owned(),
            Timestamp::NotAvailable,
            partition,
            offset,
            None,
        )
    }

    #[test]
    fn a_batch_is_full_at_a_size_in_records_or_bytes_and_an_empty_one_is_not_due() {
        for (records, bytes) in [(2, 1000), (1000, 22), (1000, 12)] {
            let limits = Limits { records, bytes, timeout: Duration::ZERO };
            let mut batch = Batch::<Text>::default();
            assert_eq!(batch.first_at(), None);
            batch.push(&record(0, 7, Some("0123456789")));
            assert!(!batch.is_full(&limits) && batch.first_at().is_some());
            batch.push(&record(1, 3, None));
            batch.push(&record(1, 4, Some("0123456789")));
            assert!(batch.is_full(&limits));
            batch.clear();
            assert!(!batch.is_full(&limits) && batch.first_at().is_none());
        }
    }

    #[test]
    fn a_forgotten_partition_leaves_the_others() {
        let mut batch = Batch::<Text>::default();
        [record(0, 7, Some("a")), record(1, 3, None)].iter().for_each(|one| batch.push(one));
        batch.forget(0);
        assert_eq!((batch.rows.len(), batch.dead.len()), (0, 1));
        assert!(batch.first_at().is_some());
        batch.forget(1);
        assert_eq!(batch.first_at(), None, "nothing is left to wait for");
    }

    #[test]
    fn a_dead_letter_is_the_record_as_it_came() {
        let mut batch = Batch::<Text>::default();
        for (offset, payload) in [(0, Some("a")), (1, None), (2, Some("b")), (3, Some("c"))] {
            batch.push(&record(5, offset, payload));
        }
        batch.bury("t", vec![(1, "too long".to_owned())]);
        let left: Vec<&str> = batch.rows.iter().map(|row| row.value.0.as_str()).collect();
        assert_eq!(left, ["a", "c"]);
        let dead = batch.dead.iter().map(|letter| {
            let record = &letter.record;
            (record.offset(), record.key(), record.payload(), letter.kind, letter.reason.as_str())
        });
        let key = Some(&b"k"[..]);
        assert_eq!(
            dead.collect::<Vec<_>>(),
            [
                (1, key, None, "undecodable", "it has no value"),
                (2, key, Some(&b"b"[..]), "refused", "too long")
            ]
        );
    }
}
