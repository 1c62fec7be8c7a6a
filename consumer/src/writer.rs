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
use crate::metrics::{Metrics, SINK};
use crate::sink::{Sink, Step, WriteError};

/// How long one attempt may take before it is dropped and made again.
const WRITE_WITHIN: Duration = Duration::from_secs(60);

/// The pause before the first repetition.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause: how late a database that is back is noticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Tries until it is known whether the batch can be written; returns it if it is.
pub async fn write<T, S: Sink<T>>(
    sink: Arc<Mutex<S>>,
    mut batch: Batch<T>,
    steps: Vec<Step>,
    metrics: Metrics,
) -> Option<Batch<T>> {
    // Whoever has come first is first.
    let mut sink = sink.lock().await;
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
