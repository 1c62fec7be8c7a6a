//! Where batches go, and the thread that takes them there.
//!
//! A [`Sink`] writes one batch and says whether it is durable; only then are its offsets committed.
//! It runs on a thread of its own with at most one batch in flight, so that the consuming thread
//! keeps answering the group while a write takes its time. It does not retry and knows nothing of
//! Kafka: a failed write ends the process with nothing committed, and the records come again.

use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::batch::Record;
use crate::clock;
use crate::metrics::Metrics;

/// Writes batches somewhere durable.
pub trait Sink: Send + 'static {
    /// Writes all of the batch; returns once it is durable. May block as long as it must.
    ///
    /// # Errors
    /// When the batch is not known to be written: the process then ends without committing it.
    fn write(&mut self, records: &[Record]) -> Result<(), SinkError>;
}

/// Why a batch could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Standard output is closed or full.
    #[error("cannot write to standard output ({0}): keep its reader open, or choose another sink")]
    Stdout(#[from] std::io::Error),
    /// The sink's thread is gone; its panic is on standard error.
    #[error("the sink's thread has died: see its message above, nothing of its batch is committed")]
    Died,
}

/// A stand-in for a bulk insert: the same sleep for every batch, whatever its size.
///
/// With 100 records a batch and a sleep of 1 s, a saturated consumer does 100 records/s.
#[derive(Debug)]
pub struct Simulate {
    /// How long one write takes.
    pub processing_time: Duration,
}

/// One line a record: partition, offset, value.
#[derive(Debug)]
pub struct Stdout;

/// The sink's thread as the consuming thread sees it. It ends when this is dropped.
#[derive(Debug)]
pub struct SinkThread {
    batches: SyncSender<Vec<Record>>,
    outcomes: Receiver<Result<(), SinkError>>,
}

// === impl Simulate ===

impl Sink for Simulate {
    fn write(&mut self, _records: &[Record]) -> Result<(), SinkError> {
        clock::wait_until(clock::now() + self.processing_time);
        Ok(())
    }
}

// === impl Stdout ===

impl Sink for Stdout {
    fn write(&mut self, records: &[Record]) -> Result<(), SinkError> {
        let mut output = std::io::stdout().lock();
        for record in records {
            let payload = String::from_utf8_lossy(record.payload.as_deref().unwrap_or_default());
            writeln!(output, "{} {} {payload}", record.partition, record.offset)?;
        }
        Ok(output.flush()?)
    }
}

// === impl SinkThread ===

impl SinkThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(mut sink: Box<dyn Sink>, metrics: Metrics) -> std::io::Result<Self> {
        let (batches, batches_to_write) = sync_channel::<Vec<Record>>(1);
        let (report_outcome, outcomes) = sync_channel(1);
        let thread = std::thread::Builder::new().name("sink".to_owned());
        thread.spawn(move || {
            for batch in batches_to_write {
                let started = clock::now();
                let outcome = sink.write(&batch);
                metrics.batch_written(&batch, outcome.is_ok(), started, clock::now());
                if report_outcome.send(outcome).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { batches, outcomes })
    }

    /// Hands a batch over. Only to be called when the outcome of the one before was taken.
    ///
    /// # Errors
    /// When the thread has died.
    pub fn hand_over(&self, batch: Vec<Record>) -> Result<(), SinkError> {
        self.batches.send(batch).map_err(|_| SinkError::Died)
    }

    /// Waits for the batch in flight; `false` if it is still being written after `wait`.
    ///
    /// # Errors
    /// When the write failed or the thread has died.
    pub fn outcome(&self, wait: Duration) -> Result<bool, SinkError> {
        match self.outcomes.recv_timeout(wait) {
            Ok(outcome) => outcome.map(|()| true),
            Err(RecvTimeoutError::Timeout) => Ok(false),
            Err(RecvTimeoutError::Disconnected) => Err(SinkError::Died),
        }
    }
}
