//! What happens to records in hand when partitions come and go.
//!
//! librdkafka tells about a rebalance only from inside `poll`, on the thread that polls, and the
//! partitions stay ours until that callback returns. So the callback is the one place where work
//! can be finished and committed before the next owner reads the same offsets:
//!
//! - **assigned**: nothing to do, the client starts to fetch at the committed offsets.
//! - **revoked**: if the batch in flight holds records of these partitions, wait for it, but not
//!   longer than [`FINISH_WITHIN`]; commit what is written; drop what is not.
//! - **lost** (the session expired, others read these partitions already): commit nothing, since
//!   it could overwrite the new owner's progress; drop everything.
//!
//! "Drop" means that offsets are never committed by us, so the next owner gets the records: at
//! least once. Whether a rebalance moves all partitions (range, roundrobin) or only some
//! (cooperative-sticky, KIP-848) makes no difference here: the callback names those that move, and
//! rdkafka's default then assigns or unassigns incrementally where the protocol asks for it.
//!
//! Everything happens on one thread; the mutex only satisfies the callback's signature. It must
//! not be held across `poll`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};

use crate::batch::{BatchLimits, Filling, Offsets};
use crate::logging;
use crate::metrics::{Metrics, RebalanceKind};
use crate::sink::{SinkError, SinkThread};

/// How long a revocation waits for the batch in flight. While it waits the whole group waits (or,
/// cooperatively, the partitions' next owners), so it is a few batches long and far below
/// `max.poll.interval.ms` (5 min), at which Kafka would take the partitions by force. A batch that
/// takes longer is written twice: once here, once by the next owner.
pub const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// Where every record is that Kafka handed out and that is not committed.
#[derive(Debug)]
pub struct Progress {
    /// Records that wait for their batch to be due.
    pub filling: Filling,
    in_flight: Option<InFlight>,
    uncommitted: Offsets,
    sink: SinkThread,
    failure: Option<SinkError>,
}

/// The batch that the sink is writing.
#[derive(Debug)]
struct InFlight {
    /// What to commit when it is written; partitions that have left since are not in it.
    offsets: Offsets,
    since: Instant,
}

/// What librdkafka calls back.
#[derive(Debug)]
pub struct GroupContext {
    topic: String,
    metrics: Metrics,
    progress: Mutex<Progress>,
}

// === impl Progress ===

impl Progress {
    /// Nothing in hand.
    pub fn new(limits: BatchLimits, sink: SinkThread) -> Self {
        Self {
            filling: Filling::new(limits),
            in_flight: None,
            uncommitted: Offsets::default(),
            sink,
            failure: None,
        }
    }

    /// Since when the sink is writing; `None` if it is idle.
    pub fn writing_since(&self) -> Option<Instant> {
        self.in_flight.as_ref().map(|batch| batch.since)
    }

    /// Gives the batch to the sink, if it is due and the sink is idle.
    ///
    /// # Errors
    /// When the sink's thread has died.
    pub fn hand_over_if_due(&mut self, now: Instant) -> Result<(), SinkError> {
        if self.in_flight.is_some() || !self.filling.is_due(now) {
            return Ok(());
        }
        let batch = self.filling.take();
        self.in_flight = Some(InFlight {
            offsets: Offsets::after(&batch),
            since: now,
        });
        self.sink.hand_over(batch)
    }

    /// Waits up to `wait` for the batch in flight; once written, its offsets are to be committed.
    ///
    /// # Errors
    /// When the sink failed, now or in a callback before.
    pub fn settle(&mut self, wait: Duration) -> Result<(), SinkError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if self.in_flight.is_some()
            && self.sink.outcome(wait)?
            && let Some(written) = self.in_flight.take()
        {
            self.uncommitted.merge(written.offsets);
        }
        Ok(())
    }

    /// Commits what is written. On failure it stays to be tried again: by the next call, or, if
    /// the partitions move, by nobody, and their next owner repeats the records.
    ///
    /// # Errors
    /// What Kafka said.
    pub fn commit<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        topic: &str,
    ) -> KafkaResult<()> {
        if !self.uncommitted.is_empty() {
            consumer.commit(&self.uncommitted.to_list(topic)?, CommitMode::Sync)?;
            self.uncommitted = Offsets::default();
        }
        Ok(())
    }

    fn is_writing_any_of(&self, partitions: &[i32]) -> bool {
        let concerned = |batch: &InFlight| !batch.offsets.only(partitions).is_empty();
        self.in_flight.as_ref().is_some_and(concerned)
    }

    fn forget(&mut self, partitions: &[i32]) {
        self.filling.forget(partitions);
        self.uncommitted.forget(partitions);
        if let Some(batch) = &mut self.in_flight {
            batch.offsets.forget(partitions);
        }
    }
}

// === impl GroupContext ===

impl GroupContext {
    /// The context of one consumer.
    pub fn new(topic: String, metrics: Metrics, progress: Progress) -> Self {
        Self {
            topic,
            metrics,
            progress: Mutex::new(progress),
        }
    }

    /// The records in hand. Not to be held across `poll`.
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits what is written, and says so when Kafka does not take it.
    pub fn commit(&self, consumer: &BaseConsumer<Self>) -> bool {
        let outcome = self.progress().commit(consumer, &self.topic);
        if let Err(error) = &outcome {
            self.metrics.commit_failed();
            tracing::warn!(
                %error,
                "commit failed: tried again while the partitions are ours, else their next owner \
                 repeats the records"
            );
        }
        outcome.is_ok()
    }

    fn give_back(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) {
        let mut progress = self.progress();
        if progress.is_writing_any_of(partitions) {
            if let Err(failure) = progress.settle(FINISH_WITHIN) {
                // The loop ends the process with it as soon as this callback returns.
                progress.failure = Some(failure);
            } else if progress.is_writing_any_of(partitions) {
                tracing::warn!(
                    waited_seconds = FINISH_WITHIN.as_secs(),
                    "the batch in flight is not written: the partitions' next owner repeats it"
                );
            }
        }
        drop(progress);
        self.commit(consumer);
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        logging::librdkafka_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, "{reason}");
    }
}

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else {
            return;
        };
        let partitions = numbers(list);
        let lost = consumer.assignment_lost();
        if !lost {
            self.give_back(consumer, &partitions);
        }
        self.progress().forget(&partitions);
        // librdkafka remembers a pause beyond the assignment: without this, partitions that come
        // back to us would stay silent. It only fails for partitions that it does not know.
        let _ = consumer.resume(list);
        // Counted here and not below: "lost" is known only until the partitions are unassigned.
        let left = self.metrics.assigned_partitions() - count(partitions.len());
        let kind = if lost {
            RebalanceKind::Lost
        } else {
            RebalanceKind::Revoked
        };
        self.metrics.rebalanced(kind, left.max(0));
        tracing::info!(?kind, ?partitions, "partitions given back");
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            let partitions = numbers(list);
            let assigned = self.metrics.assigned_partitions() + count(partitions.len());
            self.metrics.rebalanced(RebalanceKind::Assigned, assigned);
            tracing::info!(?partitions, "partitions assigned");
        }
    }
}

fn numbers(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|e| e.partition()).collect()
}

fn count(partitions: usize) -> i64 {
    i64::try_from(partitions).unwrap_or(i64::MAX)
}
