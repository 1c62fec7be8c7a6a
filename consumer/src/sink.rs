//! The two traits that you implement: [`Decode`] makes a row of a record, [`Sink`] writes rows.
//!
//! A sink writes one batch and says what came of it. It neither retries nor knows Kafka: what follows
//! from an error is decided in [`crate::writer`]. A sink that stores the steps in the transaction of
//! the rows, as [`crate::postgres`] does, makes the whole consumer exactly once; any other is at least
//! once, and its write has to be idempotent.

use std::collections::BTreeMap;

pub use crate::batch::Decode;
use crate::batch::{DeadLetter, Row};

/// The stored offset of each partition, or why it cannot be told.
pub type Positions = Result<BTreeMap<i32, i64>, WriteError>;

/// What a batch does to one partition; an offset says what to read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The partition.
    pub partition: i32,
    /// Where the batch begins: what was stored last, [`NOTHING_STORED`] at first.
    pub from: i64,
    /// Where it ends.
    pub to: i64,
}

/// The stored offset of a partition of which nothing has been written yet.
pub const NOTHING_STORED: i64 = -1;

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

/// Writes batches somewhere durable.
#[expect(async_fn_in_trait, reason = "a sink stays on its one thread")]
pub trait Sink<T>: Send + 'static {
    /// The stored offset of each partition, [`NOTHING_STORED`] where it is nothing. Left as it is, Kafka's
    /// own committed offsets count. `cluster` is Kafka's cluster id.
    ///
    /// # Errors
    /// [`WriteError::Retry`] when it cannot be told.
    async fn positions(&mut self, cluster: &str, partitions: &[i32]) -> Positions {
        let _ = (cluster, partitions);
        Ok(BTreeMap::new())
    }

    /// Writes all of the batch, and returns once it is durable. Dropped in the middle when the partitions
    /// are taken away: nothing may be left running then.
    ///
    /// A sink that keeps positions stores each step's `to` in the same transaction if what is stored is
    /// its `from`, and else writes nothing. There may be steps without rows.
    ///
    /// # Errors
    /// When the batch is not known to be written; the kind decides what happens next.
    async fn write(
        &mut self,
        rows: &[&Row<T>],
        dead: &[&DeadLetter],
        steps: &[Step],
    ) -> Result<(), WriteError>;
}
