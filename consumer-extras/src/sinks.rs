//! Sinks without a database, and one that makes another slower. None of them stores offsets: Kafka's
//! commits are all there is, so what they do is done at least once.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use batch_consumer::batch::{DeadLetter, Row};
use batch_consumer::sink::{Decode, Positions, Sink, Step, WriteError};
use rdkafka::Message;

/// A value as it came.
#[derive(Debug)]
pub struct Raw(Vec<u8>);

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
    fn decode(record: &impl Message) -> Result<Self, String> {
        Ok(Self(record.payload().unwrap_or_default().to_vec()))
    }
}

impl<T: 'static> Sink<T> for Nowhere {
    async fn write(
        &mut self,
        _: &[&Row<T>],
        _: &[&DeadLetter],
        _: &[Step],
    ) -> Result<(), WriteError> {
        Ok(())
    }
}

impl Sink<Raw> for Stdout {
    async fn write(
        &mut self,
        rows: &[&Row<Raw>],
        _: &[&DeadLetter],
        _: &[Step],
    ) -> Result<(), WriteError> {
        let mut output = std::io::stdout().lock();
        let printed = rows.iter().try_for_each(|row| {
            let value = String::from_utf8_lossy(&row.value.0);
            writeln!(output, "{} {} {value}", row.partition, row.offset)
        });
        printed.and_then(|()| output.flush()).map_err(|error| {
            self.is_broken.store(true, Ordering::Release);
            WriteError::Retry(format!("cannot write to standard output: {error}"))
        })
    }
}

impl<T: 'static, S: Sink<T>> Sink<T> for Delayed<S> {
    async fn positions(&mut self, cluster: &str, partitions: &[i32]) -> Positions {
        self.sink.positions(cluster, partitions).await
    }

    async fn write(
        &mut self,
        rows: &[&Row<T>],
        dead: &[&DeadLetter],
        steps: &[Step],
    ) -> Result<(), WriteError> {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        self.sink.write(rows, dead, steps).await
    }
}
