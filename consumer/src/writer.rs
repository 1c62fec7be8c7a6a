//! How a batch is written: what becomes of an error is decided here.
//!
//! - **retry** (database down, slow, failing over): the same again, after a pause that doubles and is
//!   jittered, until it works or the partitions are gone. Giving up would only move the partitions to
//!   a member that sees the same database.
//! - **poison**: the same batch again, with those rows among its dead letters.
//! - **moved**: nothing of it is written; the consuming thread asks where its partitions go on.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::batch::Batch;
use crate::clock;
use crate::metrics::{Metrics, SINK, Shown};
use crate::sink::{Sink, Step, WriteError};

/// How long one attempt may take before it is dropped and made again.
const WRITE_WITHIN: Duration = Duration::from_secs(60);

/// The pause before the first repetition.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause: how late a database that is back is noticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A batch that is being tried. Whatever is said of the sink meanwhile ends with it, also where it is
/// given up in the middle.
struct Tried<'a>(&'a Shown);

impl Drop for Tried<'_> {
    fn drop(&mut self) {
        self.0.forget_sink();
    }
}

/// Tries until it is known whether the batch can be written; returns it if it is.
pub async fn write<T, S: Sink<T>>(
    sink: Arc<Mutex<S>>,
    mut batch: Batch<T>,
    steps: Vec<Step>,
    metrics: Metrics,
) -> Option<Batch<T>> {
    // Whoever has come first is first.
    let mut sink = sink.lock().await;
    let _tried = Tried(&metrics);
    let (began, mut pause) = (clock::now(), FIRST_PAUSE);
    loop {
        let (rows, dead): (Vec<_>, Vec<_>) =
            (batch.rows.iter().collect(), batch.dead.iter().collect());
        let reason = match timeout(WRITE_WITHIN, sink.write(&rows, &dead, &steps)).await {
            Ok(Ok(())) => {
                metrics.written(&batch, began);
                return Some(batch);
            }
            Ok(Err(WriteError::Moved)) => {
                metrics.fenced_batches.inc();
                tracing::warn!("somebody else has written these partitions: asking where to go on");
                return None;
            }
            Ok(Err(WriteError::Poison(refused))) => {
                batch.bury(refused);
                continue;
            }
            Ok(Err(WriteError::Retry(reason))) => reason,
            Err(_) => "the sink has not answered for a minute".to_owned(),
        };
        metrics.sink_retries.inc();
        metrics.set_trouble(SINK, Some(reason));
        // Half to all of it, so that many consumers do not come back at once. Hashers have random keys.
        let [random, ..] = RandomState::new().hash_one(()).to_ne_bytes();
        sleep(pause.mul_f64(0.5 + f64::from(random) / 512.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{DeadLetter, Row, Written};

    /// Is in trouble once, and then somebody else has written; or always in trouble.
    #[derive(Clone)]
    struct Troubled {
        times: u32,
    }

    impl Sink<()> for Troubled {
        async fn write(&mut self, _: &[&Row<()>], _: &[&DeadLetter], _: &[Step]) -> Written {
            self.times = self.times.checked_sub(1).ok_or(WriteError::Moved)?;
            Err(WriteError::Retry("connection closed".to_owned()))
        }
    }

    fn begin(times: u32) -> (Metrics, tokio::task::JoinHandle<Option<Batch<()>>>) {
        let (metrics, sink) = (Metrics::default(), Arc::new(Mutex::new(Troubled { times })));
        let task = tokio::spawn(write(sink, Batch::default(), Vec::new(), metrics.clone()));
        (metrics, task)
    }

    #[tokio::test]
    async fn trouble_of_the_sink_ends_with_a_batch_that_another_has_written() {
        let (metrics, task) = begin(1);
        assert!(task.await.is_ok_and(|batch| batch.is_none()));
        assert_eq!((metrics.sink_retries.get(), metrics.trouble()), (1, None));
    }

    #[tokio::test]
    async fn and_with_one_that_is_given_up() {
        let (metrics, task) = begin(u32::MAX);
        while metrics.trouble().is_none() {
            tokio::task::yield_now().await;
        }
        task.abort();
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
        assert_eq!(metrics.trouble(), None);
    }
}
