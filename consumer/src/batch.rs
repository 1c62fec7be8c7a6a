//! Decides when records become a batch: at a size in records or bytes, or a time after its first.
//!
//! One batch mixes partitions, because a bulk write costs the same whatever it mixes; within a
//! partition the order stays. What a batch does to each partition is a [`Step`]: it takes it from
//! one offset to another, and nothing between the two is missing. Nothing here reads a clock or
//! talks to Kafka.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use rdkafka::message::{BorrowedMessage, Message, OwnedHeaders};

/// The stored offset of a partition of which nothing has been stored yet.
pub const NOTHING_STORED: i64 = -1;

/// A record that we own, so that it outlives the client's buffer.
#[derive(Clone, Debug)]
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
    /// Its headers; `None` if it has none.
    pub headers: Option<OwnedHeaders>,
}

/// What a batch does to one partition. Offsets say what to read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The partition.
    pub partition: i32,
    /// Where the batch before it ended, or what the sink has stored: [`NOTHING_STORED`] at first.
    pub from: i64,
    /// Where this batch ends.
    pub to: i64,
}

/// When a batch is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Records that make a batch full.
    pub size_records: NonZeroUsize,
    /// Bytes of keys and values that make a batch full; the record that reaches it is in it.
    pub size_bytes: NonZeroUsize,
    /// How long the first record waits for company.
    pub timeout: Duration,
}

/// The batch that is being filled.
#[derive(Debug)]
pub struct Filling {
    limits: BatchLimits,
    records: Vec<Record>,
    bytes: usize,
    first_at: Option<Instant>,
}

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
            headers: message.headers().map(|headers| headers.detach()),
        }
    }
}

impl Record {
    /// Bytes of its key and value.
    pub fn bytes(&self) -> usize {
        let length = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        length(&self.key) + length(&self.payload)
    }
}

// === impl Step ===

impl Step {
    /// Cuts the steps of `left` and `right`, which follow each other, in two. A partition that
    /// `right` does not hold is done with `left`.
    pub fn split(steps: &[Self], left: &[Record], right: &[Record]) -> (Vec<Self>, Vec<Self>) {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for step in steps {
            let is_its = |record: &&Record| record.partition == step.partition;
            if !right.iter().any(|record| is_its(&record)) {
                first.push(*step);
                continue;
            }
            let middle = left.iter().rfind(is_its).map(|record| record.offset + 1);
            if let Some(to) = middle {
                first.push(Self { to, ..*step });
            }
            second.push(Self {
                from: middle.unwrap_or(step.from),
                ..*step
            });
        }
        (first, second)
    }
}

// === impl Filling ===

impl Filling {
    /// An empty batch.
    pub fn new(limits: BatchLimits) -> Self {
        Self {
            limits,
            records: Vec::new(),
            bytes: 0,
            first_at: None,
        }
    }

    /// Adds a record. A full batch takes it too: a record that Kafka has handed out is never
    /// dropped while its partition is ours.
    pub fn push(&mut self, record: Record, now: Instant) {
        self.first_at.get_or_insert(now);
        self.bytes += record.bytes();
        self.records.push(record);
    }

    /// Whether another record fits.
    pub fn has_room(&self) -> bool {
        self.records.len() < self.limits.size_records.get()
            && self.bytes < self.limits.size_bytes.get()
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
        self.bytes = 0;
        // The next one will be about as long.
        let next = Vec::with_capacity(self.records.len());
        std::mem::replace(&mut self.records, next)
    }

    /// The offset of the partition's first record.
    pub fn first_of(&self, partition: i32) -> Option<i64> {
        let mut records = self.records.iter();
        let first = records.find(|record| record.partition == partition);
        first.map(|record| record.offset)
    }

    /// Drops the records of partitions that are no longer ours; their next owner reads them again.
    pub fn forget(&mut self, partitions: &[i32]) {
        self.records
            .retain(|record| !partitions.contains(&record.partition));
        self.bytes = self.records.iter().map(Record::bytes).sum();
        if self.records.is_empty() {
            self.first_at = None;
        }
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
            payload: Some(b"0123456789".to_vec()),
            headers: None,
        }
    }

    fn filling(size_records: usize, size_bytes: usize) -> Filling {
        Filling::new(BatchLimits {
            size_records: NonZeroUsize::new(size_records).unwrap(),
            size_bytes: NonZeroUsize::new(size_bytes).unwrap(),
            timeout: Duration::from_millis(100),
        })
    }

    fn step(partition: i32, from: i64, to: i64) -> Step {
        Step {
            partition,
            from,
            to,
        }
    }

    #[test]
    fn an_empty_batch_is_never_due() {
        let now = crate::clock::now();
        assert!(!filling(2, 1000).is_due(now + Duration::from_secs(3600)));
        assert_eq!(filling(2, 1000).due_at(), None);
    }

    #[test]
    fn a_batch_is_due_when_full() {
        let now = crate::clock::now();
        for (size_records, size_bytes) in [(2, 1000), (1000, 20), (1000, 11)] {
            let mut batch = filling(size_records, size_bytes);
            batch.push(record(0, 7), now);
            assert!(!batch.is_due(now));
            batch.push(record(1, 3), now);
            assert!(!batch.has_room());
            assert!(batch.is_due(now));
        }
    }

    #[test]
    fn a_batch_is_due_when_its_first_record_has_waited_long_enough() {
        let now = crate::clock::now();
        let mut batch = filling(100, 1000);
        batch.push(record(0, 7), now);
        batch.push(record(0, 8), now + Duration::from_millis(99));
        assert!(!batch.is_due(now + Duration::from_millis(99)));
        assert!(batch.is_due(now + Duration::from_millis(100)));
    }

    #[test]
    fn taking_a_batch_starts_an_empty_one() {
        let now = crate::clock::now();
        let mut batch = filling(2, 10);
        batch.push(record(0, 7), now);
        assert_eq!(batch.take().len(), 1);
        assert!(batch.take().is_empty() && batch.has_room());
        assert_eq!(batch.due_at(), None);
    }

    #[test]
    fn a_forgotten_partition_leaves_the_others() {
        let now = crate::clock::now();
        let mut batch = filling(10, 20);
        batch.push(record(0, 7), now);
        batch.push(record(1, 3), now);
        batch.forget(&[0]);
        assert!(batch.due_at().is_some() && batch.has_room());
        batch.forget(&[1]);
        assert_eq!(batch.due_at(), None, "nothing is left to wait for");
    }

    #[test]
    fn split_steps_leave_nothing_out() {
        // Partition 0 is in both halves, 1 in the left, 2 in the right; 3 had only poison. Offsets
        // may have holes: 0 goes on at 12 although its last record here is 10.
        let steps = [step(0, 5, 12), step(1, -1, 4), step(2, 7, 8), step(3, 0, 9)];
        let left = [record(0, 5), record(1, 3)];
        let right = [record(0, 10), record(2, 7)];
        let (first, second) = Step::split(&steps, &left, &right);
        assert_eq!(first, [step(0, 5, 6), step(1, -1, 4), step(3, 0, 9)]);
        assert_eq!(second, [step(0, 6, 12), step(2, 7, 8)]);
    }
}
