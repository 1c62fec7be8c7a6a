//! The two traits that you implement: [`Decode`] makes a row of a record, [`Sink`] writes rows.
//!
//! A sink writes one batch and says what came of it. It neither retries nor knows Kafka: what follows
//! from an error is decided in [`crate::writer`]. A sink that stores the steps in the transaction of
//! the rows, as [`crate::postgres`] does, makes the whole consumer exactly once; any other is at least
//! once, and its write has to be idempotent.

use std::collections::BTreeMap;

use rdkafka::message::OwnedMessage;

/// A row that can be made of a record.
pub trait Decode: Sized + Send + Sync + 'static {
    /// Reads key, value and headers of one record.
    ///
    /// # Errors
    /// Why this can never be a row: the record becomes a dead letter, and the sentence goes with it. It
    /// is not logged, since it may quote the record.
    fn decode(record: &OwnedMessage) -> Result<Self, String>;
}

/// A record, and what was decoded of it.
#[derive(Clone, Debug)]
pub struct Row<T> {
    /// The record as it came.
    pub record: OwnedMessage,
    /// What was decoded.
    pub value: T,
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

/// The stored offset of a partition of which nothing has been written yet.
pub const NOTHING_STORED: i64 = -1;

/// What a batch does to one partition; an offset says what to read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The partition.
    pub partition: i32,
    /// What was stored last, [`NOTHING_STORED`] at first.
    pub from: i64,
    /// Where the batch begins: at `from`, or behind what Kafka no longer had.
    pub first: i64,
    /// Where it ends.
    pub to: i64,
}

/// What came of a write that did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// Not the batch's fault: it is tried again until it works or its partitions are gone.
    Retry(String),
    /// These rows (their index, and why) can never be written, the others might. They come again as
    /// dead letters.
    Poison(Vec<(usize, String)>),
    /// The stored offsets are not those that the steps begin at: somebody else has written.
    Moved,
}

/// What came of a write.
pub type Written = Result<(), WriteError>;

/// The stored offset of each partition, or why it cannot be told.
pub type Positions = Result<BTreeMap<i32, i64>, WriteError>;

/// Writes batches somewhere durable. A clone has connections of its own.
pub trait Sink<T>: Clone + Send + 'static {
    /// The stored offset of each partition, [`NOTHING_STORED`] where it is nothing. Left as it is, Kafka's
    /// own committed offsets count. `cluster` is Kafka's cluster id.
    ///
    /// # Errors
    /// [`WriteError::Retry`] when it cannot be told.
    fn positions(
        &mut self,
        _cluster: &str,
        _partitions: &[i32],
    ) -> impl Future<Output = Positions> + Send {
        async { Ok(BTreeMap::new()) }
    }

    /// Writes all of the batch, and returns once it is durable. Dropped in the middle when the partitions
    /// are taken away: nothing may be left running then.
    ///
    /// A sink that keeps positions stores each step's `to` in the same transaction if what is stored is
    /// its `from`, and else writes nothing. There may be steps without rows.
    ///
    /// # Errors
    /// When the batch is not known to be written; the kind decides what happens next.
    fn write(
        &mut self,
        rows: &[&Row<T>],
        dead: &[&DeadLetter],
        steps: &[Step],
    ) -> impl Future<Output = Written> + Send;
}
