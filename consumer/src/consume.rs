//! The loop: poll, fill a batch, hand it to the sink, tell the client what is written, again.
//!
//! One thread does it all and never waits for the sink blindly. While a batch is in flight the next
//! one is filled, so a saturated consumer never waits for Kafka. When that one is full too, the
//! loop waits for the sink for a moment; if the sink takes longer, the partitions are paused and
//! polling goes on, because polling is what answers rebalances and proves to Kafka that we are alive
//! (`max.poll.interval.ms`). Pausing at once would be simpler but throws away what the client has
//! fetched ahead, at every single batch.
//!
//! Heartbeats are librdkafka's own affair, on its own thread. What happens to records when
//! partitions move is decided in [`crate::rebalance`], inside `poll`; where each partition goes on,
//! in [`crate::progress`].

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::batch::{BatchLimits, Record};
use crate::clock;
use crate::dead_letter::DeadLetters;
use crate::metrics::Metrics;
use crate::progress::Progress;
use crate::rebalance::{GroupContext, to_list};
use crate::refusal::refusal;
use crate::sink::{Sink, SinkError};
use crate::stop::StopSignal;

/// How long one poll waits with nothing in hand: how late a stop request is noticed.
const IDLE_POLL: Duration = Duration::from_millis(100);

/// How long one poll waits while a sink works: how late the end of a write is noticed.
const BUSY_POLL: Duration = Duration::from_millis(20);

/// Records taken in one turn of the loop at most, so that everything else has its turn too.
const TURN_RECORDS: usize = 1000;

/// How long moving the client may take; a partition that is not ready for it is moved later.
const MOVE_WITHIN: Duration = Duration::from_secs(1);

/// How long one turn may ask where a group begins, far below the least `max.poll.interval.ms`: a
/// partition without a leader takes [`MOVE_WITHIN`] to say nothing.
const BEGIN_WITHIN: Duration = Duration::from_secs(5);

/// How long the last batch may take once the process is asked to stop. With the wait of the last
/// revocation (10 s) behind it, it stays below Kubernetes' grace period of 30 s.
const DRAIN_WITHIN: Duration = Duration::from_secs(15);

/// What the loop depends on: the client commits by itself, but only what it is told to be written.
/// Other settings would lose or repeat records.
pub const OWNED_PROPERTIES: [(&str, &str); 3] = [
    ("enable.auto.commit", "true"),
    ("enable.auto.offset.store", "false"),
    ("auto.commit.interval.ms", "100"),
];

/// What to consume.
#[derive(Clone)]
pub struct Task {
    /// The Kafka client's properties.
    pub client: ClientConfig,
    /// The topic.
    pub topic: String,
    /// When a batch is due.
    pub limits: BatchLimits,
    /// Where records go that can never be written; without it they stop their partitions.
    pub dead_letters: Option<DeadLetters>,
}

/// Why the consumer ended, other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// The client could not be made: its configuration.
    #[error("cannot create the Kafka client ({}): check the options and every -X property", refusal(.0))]
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

/// Where a group begins that has committed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    /// At the oldest record.
    Oldest,
    /// Behind the newest record.
    Next,
    /// A person has to say.
    Nowhere,
}

/// Everything the loop owns.
struct Consuming {
    consumer: BaseConsumer<GroupContext>,
    topic: String,
    metrics: Metrics,
    paused: BTreeSet<i32>,
    begins: Beginning,
}

/// Consumes until asked to stop, then finishes the batches in flight, commits them and leaves the
/// group. Each sink writes its share of the partitions, side by side with the others. Blocks; meant
/// for a thread of its own.
///
/// # Errors
/// See [`ConsumeError`]; nothing that was not written is committed.
pub fn consume(
    task: &Task,
    sinks: Vec<Box<dyn Sink>>,
    metrics: Metrics,
    stop: &StopSignal,
) -> Result<(), ConsumeError> {
    let progress = Progress::new(task.limits, sinks, task.dead_letters.as_ref(), &metrics);
    let progress = progress.map_err(ConsumeError::Thread)?;
    let context = GroupContext::new(task.topic.clone(), metrics.clone(), progress);
    let mut client = task.client.clone();
    for (name, value) in OWNED_PROPERTIES {
        client.set(name, value);
    }
    let consumer: BaseConsumer<GroupContext> = client
        .create_with_context(context)
        .map_err(ConsumeError::Create)?;
    consumer
        .subscribe(&[&task.topic])
        .map_err(|error| ConsumeError::Subscribe {
            topic: task.topic.clone(),
            error,
        })?;
    let mut consuming = Consuming {
        consumer,
        topic: task.topic.clone(),
        metrics,
        paused: BTreeSet::new(),
        begins: Beginning::of(&client),
    };
    while !stop.is_raised() {
        consuming.turn()?;
    }
    consuming.drain()
    // Dropping the consumer closes it: the last revocation is served, and the group is left.
}

// === impl Beginning ===

impl Beginning {
    /// As librdkafka reads it.
    fn of(client: &ClientConfig) -> Self {
        match client.get("auto.offset.reset") {
            Some("earliest" | "smallest" | "beginning") => Self::Oldest,
            Some("error") => Self::Nowhere,
            _ => Self::Next,
        }
    }
}

// === impl Consuming ===

impl Consuming {
    fn turn(&mut self) -> Result<(), ConsumeError> {
        let now = clock::now();
        self.metrics.turned(now);
        self.progress().settle(Duration::ZERO)?;
        self.move_client();
        self.progress().hand_over(now);
        self.consumer.context().store_written(&self.consumer);
        let to_be_paused = self.progress().to_be_paused(now);
        self.pause_exactly(to_be_paused)?;

        let patience = self.progress().patience(now);
        if let Some(patience) = patience {
            // A lane is full, and the one batch before it is being written.
            return Ok(self.progress().settle(patience.min(IDLE_POLL))?);
        }
        let wait = if self.progress().is_busy() {
            BUSY_POLL
        } else {
            let due_at = self.progress().due_at();
            let until_due = due_at.map(|due| due.saturating_duration_since(now));
            until_due.unwrap_or(IDLE_POLL).min(IDLE_POLL)
        };
        self.poll_many(wait)
    }

    /// Takes what has come, and waits if it is nothing.
    fn poll_many(&mut self, wait: Duration) -> Result<(), ConsumeError> {
        let mut polled = self.poll(wait)?;
        // One reading of the clock for all of them: they come without a wait from here on.
        let now = clock::now();
        let mut count = 0;
        while let Some(record) = polled {
            count += 1;
            let has_room = self.progress().push(record, now);
            // Whatever has been polled has to be pushed: the client has moved on.
            if !has_room || count == TURN_RECORDS {
                break;
            }
            polled = self.poll(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Takes one record, if there is one.
    fn poll(&self, wait: Duration) -> Result<Option<Record>, ConsumeError> {
        match self.consumer.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(Record::from(&message))),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                Err(ConsumeError::Fatal(error))
            }
            Some(Err(error)) => {
                // Brokers away, a topic not there yet: the client tries again by itself, and has
                // told the context's log already.
                tracing::debug!(%error, "polled an error");
                Ok(None)
            }
        }
    }

    /// Moves the client to where the sink says that partitions go on.
    fn move_client(&self) {
        let found = self.progress().to_be_moved();
        let mut places = self.with_beginnings(found);
        if places.is_empty() {
            return;
        }
        let asked = to_list(&self.topic, places.clone());
        match self.consumer.seek_partitions(asked, MOVE_WITHIN) {
            Ok(answer) => {
                // The others have only just been assigned: they are moved in the next turn. Nothing
                // is committed for them, since the client starts a partition only when no commit is
                // on its way: one with each turn would keep it from that for ever.
                places.retain(|(partition, _)| {
                    let answer = answer.find_partition(&self.topic, *partition);
                    answer.is_some_and(|element| element.error().is_ok())
                });
                if !places.is_empty() {
                    // By itself the client only commits forwards, and an operator may have gone back.
                    let moved = to_list(&self.topic, places.clone());
                    let _ = self.consumer.commit(&moved, CommitMode::Async);
                }
                let mut progress = self.progress();
                for (partition, next) in places {
                    progress.moved(partition, next);
                }
            }
            Err(error) => tracing::debug!(%error, "not moved yet"),
        }
    }

    /// The places, and of partitions that the sink has nothing of where Kafka has the group, or where
    /// one begins. Those that cannot be told yet are left out.
    fn with_beginnings(&self, found: Vec<(i32, Option<i64>)>) -> Vec<(i32, i64)> {
        let place = |(partition, at): (i32, Option<i64>)| Some((partition, at?));
        let (known, new): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, at)| at.is_some());
        let mut places: Vec<(i32, i64)> = known.into_iter().filter_map(place).collect();
        if new.is_empty() {
            return places;
        }
        let new = self.list(new.iter().map(|(partition, _)| partition));
        let committed = match self.consumer.committed_offsets(new, MOVE_WITHIN) {
            Ok(committed) => committed,
            Err(error) => {
                tracing::debug!(%error, "where the group is cannot be read yet");
                return places;
            }
        };
        let deadline = clock::now() + BEGIN_WITHIN;
        for element in committed.elements() {
            if clock::now() >= deadline {
                break;
            }
            let partition = element.partition();
            let next = match (element.error(), element.offset()) {
                (Ok(()), Offset::Offset(next)) => Ok(next),
                (Ok(()), _) if self.begins == Beginning::Nowhere => {
                    tracing::error!(
                        partition,
                        "nothing is committed or stored, and auto.offset.reset is error: this \
                         partition stops until its stored offset is set by hand"
                    );
                    self.progress().has_no_place(partition);
                    continue;
                }
                (Ok(()), _) => self.beginning(partition),
                (Err(error), _) => Err(error),
            };
            match next {
                Ok(next) => places.push((partition, next)),
                Err(error) => tracing::debug!(%error, partition, "cannot be placed yet"),
            }
        }
        places
    }

    /// Where a group begins that has committed nothing.
    fn beginning(&self, partition: i32) -> KafkaResult<i64> {
        let client = &self.consumer;
        let (oldest, next) = client.fetch_watermarks(&self.topic, partition, MOVE_WITHIN)?;
        Ok(match self.begins {
            Beginning::Oldest => oldest,
            _ => next,
        })
    }

    /// Pauses these partitions, and no others.
    fn pause_exactly(&mut self, partitions: BTreeSet<i32>) -> Result<(), ConsumeError> {
        let ours = self.progress().partitions();
        let more = self.list(partitions.difference(&self.paused));
        let fewer = self.list(
            self.paused
                .difference(&partitions)
                .filter(|p| ours.contains(p)),
        );
        if more.count() > 0 {
            self.consumer.pause(&more).map_err(ConsumeError::Fatal)?;
        }
        if fewer.count() > 0 {
            self.consumer.resume(&fewer).map_err(ConsumeError::Fatal)?;
        }
        self.paused = partitions;
        Ok(())
    }

    fn list<'a>(&self, partitions: impl Iterator<Item = &'a i32>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, *partition);
        }
        list
    }

    /// Finishes the batches in flight, still polling: until we have left we are a member.
    fn drain(&mut self) -> Result<(), ConsumeError> {
        let deadline = clock::now() + DRAIN_WITHIN;
        self.progress().settle(Duration::ZERO)?;
        while self.progress().is_busy()
            && self.metrics.sink_trouble().is_none()
            && clock::now() < deadline
        {
            let all = self.progress().partitions();
            self.pause_exactly(all)?;
            // What still comes is left to the partitions' next owners.
            self.poll(BUSY_POLL)?;
            self.progress().settle(Duration::ZERO)?;
        }
        self.consumer.context().store_written(&self.consumer);
        Ok(())
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.consumer.context().progress()
    }
}
