//! The loop: poll, fill a batch, hand it to the sink, commit, again.
//!
//! One thread does it all and never waits for the sink blindly. While a batch is in flight the next
//! one is filled, so a saturated consumer never waits for Kafka. When that one is full too, the
//! loop waits for the sink for a moment ([`PAUSE_AFTER`]); if the sink takes longer, the partitions
//! are paused and polling goes on, because polling is what answers rebalances and proves to Kafka
//! that we are alive (`max.poll.interval.ms`). Pausing at once would be simpler but throws away
//! what the client has fetched ahead, at every single batch.
//!
//! Heartbeats are librdkafka's own affair, on its own thread. What happens to records when
//! partitions move is decided in [`crate::rebalance`], inside `poll`.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use crate::batch::{BatchLimits, Record};
use crate::clock;
use crate::metrics::Metrics;
use crate::rebalance::{GroupContext, Progress};
use crate::sink::{Sink, SinkError, SinkThread};
use crate::stop::StopSignal;

/// How long one poll waits with nothing in hand: how late a stop request is noticed.
const IDLE_POLL: Duration = Duration::from_millis(100);

/// How long one poll waits while the sink writes: how late the end of a write is noticed.
const BUSY_POLL: Duration = Duration::from_millis(20);

/// How long a write may take before the partitions are paused. Ordinary writes end before, so that
/// nothing fetched ahead is thrown away; a rebalance waits as long at most.
const PAUSE_AFTER: Duration = Duration::from_secs(2);

/// How long a failed commit rests before it is tried again: a rebalance, its usual cause, takes
/// about as long.
const COMMIT_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How long the last batch may take once the process is asked to stop. With the wait of the last
/// revocation (10 s) behind it, it stays below Kubernetes' grace period of 30 s.
const DRAIN_WITHIN: Duration = Duration::from_secs(15);

/// Why the consumer ended, other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// The client could not be made: its configuration.
    #[error("cannot create the Kafka client ({0}): check the options and every -X property")]
    Create(KafkaError),
    /// The topic could not be subscribed to.
    #[error("cannot subscribe to topic {topic:?} ({error}): check its name")]
    Subscribe {
        /// The topic's name.
        topic: String,
        /// What the client said.
        error: KafkaError,
    },
    /// The client cannot go on, for example because another member has its group instance id.
    #[error("the Kafka client has failed for good ({0}): the process must be restarted")]
    Fatal(KafkaError),
    /// No thread for the sink.
    #[error("cannot start the sink's thread ({0}): raise the process's thread limit")]
    Thread(std::io::Error),
    /// The sink failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// Everything the loop owns.
struct Consuming {
    consumer: BaseConsumer<GroupContext>,
    metrics: Metrics,
    paused: bool,
    commit_not_before: Option<Instant>,
}

/// Consumes until asked to stop, then finishes the batch in flight, commits it and leaves the
/// group. Blocks; meant for a thread of its own.
///
/// # Errors
/// See [`ConsumeError`]; nothing that was not written is committed.
pub fn consume(
    client: &ClientConfig,
    topic: &str,
    limits: BatchLimits,
    sink: Box<dyn Sink>,
    metrics: Metrics,
    stop: &StopSignal,
) -> Result<(), ConsumeError> {
    let sink = SinkThread::start(sink, metrics.clone()).map_err(ConsumeError::Thread)?;
    let progress = Progress::new(limits, sink);
    let context = GroupContext::new(topic.to_owned(), metrics.clone(), progress);
    let consumer: BaseConsumer<GroupContext> = client
        .create_with_context(context)
        .map_err(ConsumeError::Create)?;
    consumer
        .subscribe(&[topic])
        .map_err(|error| ConsumeError::Subscribe {
            topic: topic.to_owned(),
            error,
        })?;
    let mut consuming = Consuming {
        consumer,
        metrics,
        paused: false,
        commit_not_before: None,
    };
    while !stop.is_raised() {
        consuming.turn()?;
    }
    consuming.drain()
    // Dropping the consumer closes it: the last revocation is served, and the group is left.
}

// === impl Consuming ===

impl Consuming {
    fn turn(&mut self) -> Result<(), ConsumeError> {
        self.metrics.turned(clock::now());
        self.progress().settle(Duration::ZERO)?;
        self.commit_if_allowed();

        let now = clock::now();
        let mut progress = self.progress();
        progress.hand_over_if_due(now)?;
        let has_room = progress.filling.has_room();
        let due_at = progress.filling.due_at();
        let writing_since = progress.writing_since();
        drop(progress);

        match writing_since {
            Some(since) if !has_room => self.wait_for_sink(since, now),
            Some(_) => {
                self.resume()?;
                self.poll(BUSY_POLL)
            }
            None => {
                self.resume()?;
                let until_due = due_at.map(|due| due.saturating_duration_since(now));
                self.poll(until_due.unwrap_or(IDLE_POLL).min(IDLE_POLL))
            }
        }
    }

    /// Both batches are taken: the one in flight, and the full one behind it.
    fn wait_for_sink(&mut self, since: Instant, now: Instant) -> Result<(), ConsumeError> {
        let patience = PAUSE_AFTER.saturating_sub(now.saturating_duration_since(since));
        if !patience.is_zero() && !self.paused {
            return Ok(self.progress().settle(patience.min(IDLE_POLL))?);
        }
        if !self.paused {
            self.pause()?;
        }
        self.poll(BUSY_POLL)
    }

    fn poll(&mut self, wait: Duration) -> Result<(), ConsumeError> {
        let record = match self.consumer.poll(wait) {
            None => return Ok(()),
            Some(Ok(message)) => Record::from(&message),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                return Err(ConsumeError::Fatal(error));
            }
            Some(Err(error)) => {
                // Brokers away, a topic not there yet: the client tries again by itself, and has
                // told the context's log already.
                tracing::debug!(%error, "polled an error");
                return Ok(());
            }
        };
        self.progress().filling.push(record, clock::now());
        if self.paused {
            // A partition that was assigned while we are paused is not paused itself.
            self.pause()?;
        }
        Ok(())
    }

    fn pause(&mut self) -> Result<(), ConsumeError> {
        let assigned = self.consumer.assignment().map_err(ConsumeError::Fatal)?;
        self.consumer
            .pause(&assigned)
            .map_err(ConsumeError::Fatal)?;
        self.paused = true;
        Ok(())
    }

    fn resume(&mut self) -> Result<(), ConsumeError> {
        if self.paused {
            let assigned = self.consumer.assignment().map_err(ConsumeError::Fatal)?;
            self.consumer
                .resume(&assigned)
                .map_err(ConsumeError::Fatal)?;
            self.paused = false;
        }
        Ok(())
    }

    fn commit_if_allowed(&mut self) {
        let now = clock::now();
        if self.commit_not_before.is_some_and(|at| now < at) {
            return;
        }
        let committed = self.consumer.context().commit(&self.consumer);
        self.commit_not_before = (!committed).then(|| now + COMMIT_AGAIN_AFTER);
    }

    /// Finishes the batch in flight, still polling: until we have left we are a member.
    fn drain(&mut self) -> Result<(), ConsumeError> {
        let deadline = clock::now() + DRAIN_WITHIN;
        self.progress().settle(Duration::ZERO)?;
        while self.progress().writing_since().is_some() && clock::now() < deadline {
            if !self.paused {
                self.pause()?;
            }
            self.poll(BUSY_POLL)?;
            self.progress().settle(Duration::ZERO)?;
        }
        if self.progress().writing_since().is_some() {
            tracing::warn!(
                waited_seconds = DRAIN_WITHIN.as_secs(),
                "the batch in flight is not written: it is left to the partitions' next owners"
            );
        }
        self.consumer.context().commit(&self.consumer);
        Ok(())
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.consumer.context().progress()
    }
}
