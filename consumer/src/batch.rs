//! What is written together, and when it is due: at a size in records or bytes, or a time after its
//! first record.
//!
//! One batch mixes partitions, because a bulk write costs the same whatever it mixes; within a
//! partition the order stays. Records are decoded as they come, and are kept until they are written: a
//! row that the sink refuses becomes a dead letter.

use std::collections::BTreeMap;
use std::time::Instant;

use rdkafka::message::{Message, OwnedMessage};

use crate::clock;
use crate::options::Limits;
use crate::sink::{DeadLetter, Decode, Row};

/// A batch; also the one that is being filled.
#[derive(Debug)]
pub struct Batch<T> {
    /// What can be written, as far as is known.
    pub rows: Vec<Row<T>>,
    /// What cannot.
    pub dead: Vec<DeadLetter>,
    bytes: usize,
    first_at: Option<Instant>,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), dead: Vec::new(), bytes: 0, first_at: None }
    }
}

impl<T: Decode> Batch<T> {
    /// Decodes a record and adds it. A full batch takes it too: what Kafka has handed out is never
    /// dropped while its partition is ours.
    pub fn push(&mut self, record: OwnedMessage) {
        self.first_at.get_or_insert_with(clock::now);
        let length = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        self.bytes += length(record.key()) + length(record.payload());
        match T::decode(&record) {
            Ok(value) => self.rows.push(Row { record, value }),
            Err(reason) => self.dead.push(DeadLetter { record, kind: "undecodable", reason }),
        }
    }
}

impl<T> Batch<T> {
    /// Makes dead letters of rows that the sink refuses: their index, and why.
    pub fn bury(&mut self, refused: Vec<(usize, String)>) {
        let mut reasons: BTreeMap<usize, String> = refused.into_iter().collect();
        for (index, row) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            match reasons.remove(&index) {
                None => self.rows.push(row),
                Some(reason) => {
                    self.dead.push(DeadLetter { record: row.record, kind: "refused", reason });
                }
            }
        }
    }

    /// Whether no other record fits.
    pub fn is_full(&self, limits: &Limits) -> bool {
        let records = self.rows.len() + self.dead.len();
        records >= limits.batch_size.get() || self.bytes >= limits.batch_bytes.get()
    }

    /// When it has to be written at the latest; `None` while it is empty.
    pub fn due_at(&self, limits: &Limits) -> Option<Instant> {
        Some(self.first_at? + limits.batch_timeout_seconds)
    }

    /// Drops the records of a partition that is no longer ours; its next owner reads them again.
    pub fn forget(&mut self, partition: i32) {
        self.rows.retain(|row| row.record.partition() != partition);
        self.dead.retain(|letter| letter.record.partition() != partition);
        if self.rows.is_empty() && self.dead.is_empty() {
            self.clear();
        }
    }

    /// Empties it; what it has grown to, it keeps.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.dead.clear();
        (self.bytes, self.first_at) = (0, None);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use super::*;
    use rdkafka::Timestamp;

    struct Text(String);

    impl Decode for Text {
        fn decode(record: &OwnedMessage) -> Result<Self, String> {
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
            let [batch_size, batch_bytes] =
                [records, bytes].map(|one| NonZeroUsize::new(one).unwrap());
            let limits = Limits { batch_size, batch_bytes, batch_timeout_seconds: Duration::ZERO };
            let mut batch = Batch::<Text>::default();
            assert_eq!(batch.first_at, None);
            batch.push(record(0, 7, Some("0123456789")));
            assert!(!batch.is_full(&limits) && batch.first_at.is_some());
            batch.push(record(1, 3, None));
            batch.push(record(1, 4, Some("0123456789")));
            assert!(batch.is_full(&limits));
            batch.clear();
            assert!(!batch.is_full(&limits) && batch.first_at.is_none());
        }
    }

    #[test]
    fn a_forgotten_partition_leaves_the_others() {
        let mut batch = Batch::<Text>::default();
        [record(0, 7, Some("a")), record(1, 3, None)].into_iter().for_each(|one| batch.push(one));
        batch.forget(0);
        assert_eq!((batch.rows.len(), batch.dead.len()), (0, 1));
        assert!(batch.first_at.is_some());
        batch.forget(1);
        assert_eq!(batch.first_at, None, "nothing is left to wait for");
    }

    #[test]
    fn a_dead_letter_is_the_record_as_it_came() {
        let mut batch = Batch::<Text>::default();
        for (offset, payload) in [(0, Some("a")), (1, None), (2, Some("b")), (3, Some("c"))] {
            batch.push(record(5, offset, payload));
        }
        batch.bury(vec![(1, "too long".to_owned())]);
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
