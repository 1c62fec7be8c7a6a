//! Where batches go: the [`Sink`] trait, which a database of your own implements, and two sinks
//! without a database.
//!
//! A sink writes one batch and says whether it is durable. It neither retries nor knows Kafka: what
//! follows from an error is decided by [`crate::worker`], on whose thread it runs. A sink that
//! stores the steps in the same transaction as the records makes the whole consumer exactly once;
//! one that does not is at least once.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::batch::{Record, Step};
use crate::clock;

/// Writes batches somewhere durable.
pub trait Sink: Send + 'static {
    /// Whether [`Sink::write`] stores the steps together with the records. Partitions then wait
    /// for [`Sink::positions`] before they are read.
    fn keeps_offsets(&self) -> bool {
        false
    }

    /// What was stored last of each of the partitions, [`NOTHING_STORED`] where it is nothing.
    /// Only asked of sinks that keep offsets.
    ///
    /// [`NOTHING_STORED`]: crate::batch::NOTHING_STORED
    ///
    /// # Errors
    /// When the sink cannot tell.
    fn positions(&mut self, partitions: &[i32]) -> Result<BTreeMap<i32, i64>, SinkError> {
        let _ = partitions;
        Ok(BTreeMap::new())
    }

    /// Writes all of the batch; returns once it is durable. May block as long as it must.
    ///
    /// A sink that keeps offsets stores each step's `to` if what is stored is its `from`, and
    /// else writes nothing; it looks at the lease last thing before it makes the batch durable.
    /// There may be steps without records: those of records that went elsewhere.
    ///
    /// # Errors
    /// When the batch is not known to be written. The kind decides what happens next.
    fn write(&mut self, records: &[Record], steps: &[Step], lease: &Lease)
    -> Result<(), SinkError>;
}

/// Why a batch could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Not the batch's fault: it is tried again until it works or its partitions are taken.
    #[error("the sink is not available: {0}")]
    Unavailable(String),
    /// These records can never be written, the others might: they go to the dead letters.
    #[error("{} records cannot be decoded", .0.len())]
    Undecodable(Vec<Refusal>),
    /// Some record of the batch can never be written: the batch is halved until it is found.
    #[error("refused by the sink: {0}")]
    Refused(String),
    /// The stored offsets are not those that the steps begin at: somebody else has written.
    #[error("another member has written these partitions")]
    Fenced,
    /// The lease ended before the batch was made durable.
    #[error("the batch was given up")]
    GivenUp,
    /// It will never work again: the process ends with nothing committed.
    #[error("{0}")]
    Broken(String),
}

/// A record that can never be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its place in the batch.
    pub index: usize,
    /// Why, for people.
    pub reason: String,
}

/// The right to make a batch durable. It ends when the partitions are taken; clones end together.
#[derive(Clone, Debug, Default)]
pub struct Lease(Arc<AtomicBool>);

/// A stand-in for a bulk insert: the same sleep for every batch, whatever its size. With another sink
/// behind it, it stands for one that is slower than yours.
///
/// With 100 records a batch and a sleep of 1 s, a saturated consumer does 100 records/s.
pub struct Simulate {
    /// How long one write takes, before the sink behind it.
    pub processing_time: Duration,
    /// Where batches go then; nowhere by default.
    pub then: Option<Box<dyn Sink>>,
}

/// One line a record: partition, offset, value.
#[derive(Debug)]
pub struct Stdout;

// === impl Lease ===

impl Lease {
    /// Ends it, for good.
    pub fn end(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the batch may be made durable.
    pub fn is_held(&self) -> bool {
        !self.0.load(Ordering::Acquire)
    }
}

// === impl Simulate ===

impl Sink for Simulate {
    fn keeps_offsets(&self) -> bool {
        self.then.as_ref().is_some_and(|then| then.keeps_offsets())
    }

    fn positions(&mut self, partitions: &[i32]) -> Result<BTreeMap<i32, i64>, SinkError> {
        match &mut self.then {
            Some(then) => then.positions(partitions),
            None => Ok(BTreeMap::new()),
        }
    }

    fn write(
        &mut self,
        records: &[Record],
        steps: &[Step],
        lease: &Lease,
    ) -> Result<(), SinkError> {
        clock::wait_until(clock::now() + self.processing_time);
        match &mut self.then {
            Some(then) => then.write(records, steps, lease),
            None => Ok(()),
        }
    }
}

// === impl Stdout ===

impl Sink for Stdout {
    fn write(&mut self, records: &[Record], _: &[Step], _: &Lease) -> Result<(), SinkError> {
        let mut output = std::io::stdout().lock();
        let printed = records.iter().try_for_each(|record| {
            let payload = String::from_utf8_lossy(record.payload.as_deref().unwrap_or_default());
            writeln!(output, "{} {} {payload}", record.partition, record.offset)
        });
        printed.and_then(|()| output.flush()).map_err(|error| {
            SinkError::Broken(format!(
                "cannot write to standard output ({error}): keep its reader open, or choose \
                 another sink"
            ))
        })
    }
}
