//! Sinks without a database, and one that makes another slower. None of them stores offsets: Kafka's
//! commits are all there is, so what they do is done at least once.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use batch_consumer::sink::{DeadLetter, Decode, Positions, Row, Sink, Step, WriteError, Written};
use rdkafka::message::{Message, OwnedMessage};

/// Nothing of a record: its bytes are the row's anyway.
#[derive(Debug)]
pub struct Raw;

/// A stand-in for a write: batches are dropped. Behind [`Delayed`] it is the blueprint's consumer, whose
/// batch of 100 takes a second.
#[derive(Clone, Debug)]
pub struct Nowhere;

/// One line a record: partition, offset, value.
#[derive(Clone, Debug, Default)]
pub struct Stdout {
    /// Nobody reads it any more.
    pub is_broken: Arc<AtomicBool>,
}

/// The same pause before every write, whatever the batch's size.
#[derive(Clone, Debug)]
pub struct Delayed<S> {
    /// How long.
    pub pause: Duration,
    /// What writes then.
    pub sink: S,
}

impl Decode for Raw {
    fn decode(_: &OwnedMessage) -> Result<Self, String> {
        Ok(Self)
    }
}

impl<T: Sync> Sink<T> for Nowhere {
    async fn write(&mut self, _: &[&Row<T>], _: &[&DeadLetter], _: &[Step]) -> Written {
        Ok(())
    }
}

impl Sink<Raw> for Stdout {
    async fn write(&mut self, rows: &[&Row<Raw>], _: &[&DeadLetter], _: &[Step]) -> Written {
        let mut output = std::io::stdout().lock();
        let printed = rows.iter().try_for_each(|row| {
            let record = &row.record;
            let value = String::from_utf8_lossy(record.payload().unwrap_or_default());
            writeln!(output, "{} {} {value}", record.partition(), record.offset())
        });
        printed.and_then(|()| output.flush()).map_err(|error| {
            self.is_broken.store(true, Ordering::Release);
            WriteError::Retry(format!("cannot write to standard output: {error}"))
        })
    }
}

impl<T: Sync, S: Sink<T>> Sink<T> for Delayed<S> {
    async fn positions(&mut self, cluster: &str, partitions: &[i32]) -> Positions {
        self.sink.positions(cluster, partitions).await
    }

    async fn write(&mut self, rows: &[&Row<T>], dead: &[&DeadLetter], steps: &[Step]) -> Written {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        self.sink.write(rows, dead, steps).await
    }
}
