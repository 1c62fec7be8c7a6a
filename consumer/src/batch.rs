//! Decides when records become a batch: at a size, or a time after its first record.
//!
//! One batch mixes all assigned partitions, because a bulk write costs the same whatever it mixes;
//! within a partition the order stays. Nothing here reads a clock or talks to Kafka.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

/// A record that we own, so that it outlives the client's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The partition it came from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// When it was produced, since the Unix epoch; `None` if the record does not say.
    pub produced_at: Option<Duration>,
    /// Its key; `None` for a null key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
}

/// When a batch is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Records that make a batch full.
    pub size_records: NonZeroUsize,
    /// How long the first record waits for company.
    pub timeout: Duration,
}

/// The batch that is being filled.
#[derive(Debug)]
pub struct Filling {
    limits: BatchLimits,
    records: Vec<Record>,
    first_at: Option<Instant>,
}

/// Per partition the offset to read next: what a commit says to Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets(BTreeMap<i32, i64>);

// === impl Record ===

impl From<&BorrowedMessage<'_>> for Record {
    fn from(message: &BorrowedMessage<'_>) -> Self {
        Self {
            partition: message.partition(),
            offset: message.offset(),
            produced_at: message
                .timestamp()
                .to_millis()
                .and_then(|milliseconds| u64::try_from(milliseconds).ok())
                .map(Duration::from_millis),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
        }
    }
}

// === impl Filling ===

impl Filling {
    /// An empty batch.
    pub fn new(limits: BatchLimits) -> Self {
        Self {
            limits,
            records: Vec::with_capacity(limits.size_records.get()),
            first_at: None,
        }
    }

    /// Adds a record. A full batch takes it too: a record that Kafka has handed out is never
    /// dropped while its partition is ours.
    pub fn push(&mut self, record: Record, now: Instant) {
        self.first_at.get_or_insert(now);
        self.records.push(record);
    }

    /// Whether another record fits.
    pub fn has_room(&self) -> bool {
        self.records.len() < self.limits.size_records.get()
    }

    /// When the batch is due by time; `None` while it is empty.
    pub fn due_at(&self) -> Option<Instant> {
        self.first_at.map(|first| first + self.limits.timeout)
    }

    /// Whether the batch should be written now.
    pub fn is_due(&self, now: Instant) -> bool {
        !self.has_room() || self.due_at().is_some_and(|due| due <= now)
    }

    /// Takes the batch and starts an empty one.
    pub fn take(&mut self) -> Vec<Record> {
        self.first_at = None;
        let empty = Vec::with_capacity(self.limits.size_records.get());
        std::mem::replace(&mut self.records, empty)
    }

    /// Drops the records of partitions that are no longer ours; their next owner reads them again.
    pub fn forget(&mut self, partitions: &[i32]) {
        self.records
            .retain(|record| !partitions.contains(&record.partition));
        if self.records.is_empty() {
            self.first_at = None;
        }
    }
}

// === impl Offsets ===

impl Offsets {
    /// What to commit once all of `records` are written.
    pub fn after(records: &[Record]) -> Self {
        let mut offsets = Self::default();
        for record in records {
            offsets.advance(record.partition, record.offset + 1);
        }
        offsets
    }

    /// Adds what another batch reached.
    pub fn merge(&mut self, others: Self) {
        for (partition, next_offset) in others.0 {
            self.advance(partition, next_offset);
        }
    }

    /// The part that concerns `partitions`.
    pub fn only(&self, partitions: &[i32]) -> Self {
        let kept = |(partition, _): &(&i32, &i64)| partitions.contains(partition);
        Self(self.0.iter().filter(kept).map(|(p, o)| (*p, *o)).collect())
    }

    /// Drops what concerns `partitions`.
    pub fn forget(&mut self, partitions: &[i32]) {
        self.0
            .retain(|partition, _| !partitions.contains(partition));
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same in Kafka's words.
    ///
    /// # Errors
    /// When an offset is none that Kafka could have given out.
    pub fn to_list(&self, topic: &str) -> Result<TopicPartitionList, rdkafka::error::KafkaError> {
        let mut list = TopicPartitionList::with_capacity(self.0.len());
        for (partition, next_offset) in &self.0 {
            list.add_partition_offset(topic, *partition, Offset::Offset(*next_offset))?;
        }
        Ok(list)
    }

    fn advance(&mut self, partition: i32, next_offset: i64) {
        let reached = self.0.entry(partition).or_insert(next_offset);
        *reached = next_offset.max(*reached);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(partition: i32, offset: i64) -> Record {
        Record {
            partition,
            offset,
            produced_at: None,
            key: None,
            payload: None,
        }
    }

    fn filling(size_records: usize) -> Filling {
        Filling::new(BatchLimits {
            size_records: NonZeroUsize::new(size_records).unwrap(),
            timeout: Duration::from_millis(100),
        })
    }

    #[test]
    fn an_empty_batch_is_never_due() {
        let now = crate::clock::now();
        assert!(!filling(2).is_due(now + Duration::from_secs(3600)));
        assert_eq!(filling(2).due_at(), None);
    }

    #[test]
    fn a_batch_is_due_when_full() {
        let now = crate::clock::now();
        let mut batch = filling(2);
        batch.push(record(0, 7), now);
        assert!(!batch.is_due(now));
        batch.push(record(1, 3), now);
        assert!(!batch.has_room());
        assert!(batch.is_due(now));
    }

    #[test]
    fn a_batch_is_due_when_its_first_record_has_waited_long_enough() {
        let now = crate::clock::now();
        let mut batch = filling(100);
        batch.push(record(0, 7), now);
        batch.push(record(0, 8), now + Duration::from_millis(99));
        assert!(!batch.is_due(now + Duration::from_millis(99)));
        assert!(batch.is_due(now + Duration::from_millis(100)));
    }

    #[test]
    fn taking_a_batch_starts_an_empty_one() {
        let now = crate::clock::now();
        let mut batch = filling(2);
        batch.push(record(0, 7), now);
        assert_eq!(batch.take(), vec![record(0, 7)]);
        assert_eq!(batch.take(), vec![]);
        assert_eq!(batch.due_at(), None);
    }

    #[test]
    fn a_forgotten_partition_leaves_the_others() {
        let now = crate::clock::now();
        let mut batch = filling(10);
        batch.push(record(0, 7), now);
        batch.push(record(1, 3), now);
        batch.forget(&[0]);
        assert!(batch.due_at().is_some());
        batch.forget(&[1]);
        assert_eq!(batch.due_at(), None, "nothing is left to wait for");
    }

    #[test]
    fn a_commit_names_the_next_offset_of_each_partition() {
        let offsets = Offsets::after(&[record(0, 7), record(1, 3), record(0, 8)]);
        assert_eq!(offsets, Offsets(BTreeMap::from([(0, 9), (1, 4)])));
        let list = offsets.to_list("trades").unwrap();
        let found = list.find_partition("trades", 0).unwrap();
        assert_eq!(found.offset(), Offset::Offset(9));
    }

    #[test]
    fn merged_offsets_never_go_back() {
        let mut offsets = Offsets::after(&[record(0, 7)]);
        offsets.merge(Offsets::after(&[record(0, 5), record(2, 1)]));
        assert_eq!(offsets, Offsets(BTreeMap::from([(0, 8), (2, 2)])));
        assert_eq!(offsets.only(&[2]), Offsets(BTreeMap::from([(2, 2)])));
        offsets.forget(&[0, 2]);
        assert!(offsets.is_empty());
    }
}
