//! The loop: poll, fill a batch, hand it to the writer, tell the client what is written, again.
//!
//! One thread does it all and never waits for the sink blindly. While batches are in flight the next
//! one is filled, so a saturated consumer never waits for Kafka. When that one is full too, the loop
//! waits for the writer for a moment; if that takes longer, the partitions are paused and polling goes
//! on, because polling is what answers rebalances and proves to Kafka that we are alive
//! (`max.poll.interval.ms`). Pausing at once would be simpler but throws away what the client has
//! fetched ahead, at every batch. Heartbeats are librdkafka's own affair, on its own thread.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock;
use crate::group::{Access, Group};
use crate::metrics::{Metrics, TOPIC, serve, show_rate};
use crate::options::{Options, refusal, refuse};
use crate::position::Position;
use crate::sink::{Decode, Sink};

/// How long one poll waits with nothing in hand: how late a stop request is noticed.
const IDLE_POLL: Duration = Duration::from_millis(100);

/// How long one poll waits while batches are in flight: how late the end of a write is noticed.
const BUSY_POLL: Duration = Duration::from_millis(20);

/// Records taken in one turn of the loop at most, so that everything else has its turn too.
const TURN_RECORDS: usize = 1000;

/// How long a batch may be full and the writer busy before the partitions are paused. Ordinary writes
/// end before, so that nothing fetched ahead is thrown away.
const PAUSE_AFTER: Duration = Duration::from_secs(2);

/// How often it is asked where waiting partitions go on, at least.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How long the client may take to go there.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How long the batches in flight may take once the process is asked to stop, the last revocation's wait
/// for them included. With a rebalance before it (15 s) it stays below Kubernetes' grace period of 30 s.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// How long leaving may take in all. Only a Kafka that is away takes longer: librdkafka waits for it
/// with the last commit, without a bound of its own.
const LEAVE_WITHIN: Duration = Duration::from_secs(27);

/// In how many statistics in a row (one every 2 s) the client may know no broker. It forgets those that
/// Kafka does not name, a single one that has just started for example, and may never find one again.
const LOST_AT_MOST: u64 = 5;

/// Asks the whole process to finish and end; clones share it.
pub type Stop = Arc<AtomicBool>;

/// Everything the loop owns.
struct Consuming<T: Decode, S: Sink<T>, A: Access> {
    consumer: BaseConsumer<Group<T, S, A>>,
    options: Options,
    metrics: Metrics,
    paused: BTreeSet<i32>,
}

/// Runs the process: logs, metrics and signals around [`consume`].
///
/// # Errors
/// When it ended otherwise than in order.
pub fn run<T: Decode, S: Sink<T>, A: Access>(
    options: Options,
    sink: S,
    metrics: Metrics,
    stop: Stop,
) -> anyhow::Result<()> {
    options.connection.start_logging();
    let client = options.client().unwrap_or_else(|error| refuse(error));
    // One thread for signals and the metrics server: neither has much to do.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    if let Some(address) = options.metrics_listen.0 {
        runtime.spawn(serve(address, metrics.clone()));
        runtime.spawn(show_rate(metrics.clone()));
    }
    let asked = stop_on_signals(Arc::clone(&stop));
    runtime.spawn(async {
        asked.await;
        tokio::time::sleep(LEAVE_WITHIN).await;
        tracing::error!("could not leave the group in time: Kafka is probably away");
        std::process::exit(1)
    });
    consume::<T, S, A>(options, client, sink, metrics, &stop)
}

/// Raises `stop` at SIGTERM (Kubernetes) or SIGINT (a terminal).
pub async fn stop_on_signals(stop: Stop) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be handled here: the process can only be killed");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("asked to stop: finishing what is in flight");
    stop.store(true, Ordering::Release);
}

/// Consumes until asked to stop, then finishes the batches in flight, commits them and leaves the
/// group. Blocks.
///
/// # Errors
/// When the client or the sink has failed for good; nothing that was not written is committed.
pub fn consume<T: Decode, S: Sink<T>, A: Access>(
    options: Options,
    client: ClientConfig,
    sink: S,
    metrics: Metrics,
    stop: &Stop,
) -> anyhow::Result<()> {
    let group = Group::<T, S, A>::new(options.clone(), sink, metrics.clone());
    let group = group.context("cannot start the writer: raise the process's thread limit")?;
    let consumer: BaseConsumer<_> = client
        .create_with_context(group)
        .map_err(|error| anyhow::anyhow!("no Kafka client: {}", refusal(&error)))?;
    consumer.subscribe(&[&options.topic])?;
    tracing::info!(group = %options.group, topic = %options.topic, "joining");
    let mut consuming = Consuming { consumer, options, metrics, paused: BTreeSet::new() };
    while !stop.load(Ordering::Acquire) {
        consuming.turn()?;
        if consuming.group().lost.load(Ordering::Acquire) > LOST_AT_MOST {
            // Closing it would wait for a broker, for ever.
            let _ = ManuallyDrop::new(consuming);
            anyhow::bail!("the Kafka client knows no broker any more, and has to be started again");
        }
    }
    consuming.drain()
    // Dropping the consumer closes it: the last revocation is served, and the group is left.
}

impl<T: Decode, S: Sink<T>, A: Access> Consuming<T, S, A> {
    fn turn(&mut self) -> anyhow::Result<()> {
        let now = clock::now();
        self.metrics.beat("consuming thread", now);
        self.settle(Duration::ZERO)?;
        if self.group().hand().ask_at <= now {
            self.group().hand().ask_at = now + ASK_EVERY;
            self.place();
            self.pass_over();
            if self.group().hand().look_at <= now {
                self.group().look(&self.consumer);
            }
        }
        let (is_full, due_at, busy_since) = {
            let mut hand = self.group().hand();
            hand.hand_over(now, &self.options.limits);
            let filling = &hand.filling;
            (
                filling.is_full(&self.options.limits),
                filling.due_at(&self.options.limits),
                hand.busy_since(),
            )
        };
        let is_stalled = is_full && busy_since.is_some_and(|since| now - since >= PAUSE_AFTER);
        self.pause(is_stalled)?;
        match (busy_since, due_at) {
            (Some(_), _) if is_full && !is_stalled => self.settle(IDLE_POLL),
            (Some(_), _) => self.poll(BUSY_POLL),
            (None, Some(due_at)) => self.poll(due_at.saturating_duration_since(now).min(IDLE_POLL)),
            (None, None) => self.poll(IDLE_POLL),
        }
    }

    /// Takes what has come, and waits if it is nothing.
    fn poll(&mut self, mut wait: Duration) -> anyhow::Result<()> {
        for _ in 0..TURN_RECORDS {
            // What has been polled has to be taken: the client has moved on.
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(record)) => {
                    let mut hand = self.group().hand();
                    hand.take(&record, self.group().resets.load(Ordering::Acquire));
                    if hand.filling.is_full(&self.options.limits) {
                        break;
                    }
                }
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Err(error.into());
                }
                // The client tries again by itself, and says so; brokers that are away, for example.
                Some(Err(error)) => {
                    tracing::debug!(%error, "polled an error");
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownTopicOrPartition)
                    {
                        let missing = format!("{} does not exist", self.options.topic);
                        self.metrics.set_trouble(TOPIC, Some(missing));
                    }
                }
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    /// Takes in what the writer has done.
    fn settle(&self, wait: Duration) -> anyhow::Result<()> {
        let written = self.group().hand().settle(wait)?;
        self.group().store(&self.consumer, written);
        Ok(())
    }

    /// Asks where partitions go on that are not read, and has the client go there.
    fn place(&self) {
        let group = self.group();
        let waiting = group.hand().waiting();
        let placed = group.place(&self.consumer, waiting);
        if !placed.is_empty() {
            let to = group.list(placed.iter().map(|(partition, at)| (*partition, at.next)));
            let moved = self.consumer.seek_partitions(to, ANSWER_WITHIN).unwrap_or_default();
            for one in moved.elements().iter().filter(|one| one.error().is_ok()) {
                // Others have only just been assigned: they are asked for again.
                let at = placed.get(&one.partition()).map(|at| (one.partition(), *at));
                group.hand().positions.extend(at);
            }
        }
    }

    /// Passes over what the client has read and does not hand out (aborted transactions), so that the lag
    /// that others see is 0 too.
    fn pass_over(&self) {
        let (mut hand, mut passed) = (self.group().hand(), BTreeMap::new());
        let reached = self.consumer.position().unwrap_or_default();
        for one in reached.elements() {
            let (partition, reached) = (one.partition(), one.offset().to_raw().unwrap_or(-1));
            let at = hand.positions.get(&partition).filter(|at| at.is_read && at.next < reached);
            if let Some(at) = at.copied().filter(|at| !hand.holds(partition, at)) {
                let at = Position { first: reached, next: reached, ..at };
                hand.positions.insert(partition, at);
                passed.insert(partition, reached);
            }
        }
        drop(hand);
        self.group().store(&self.consumer, passed);
    }

    /// Pauses the partitions that are not to be read, or all of them, and no others.
    fn pause(&mut self, all: bool) -> anyhow::Result<()> {
        let (paused, ours): (BTreeSet<i32>, BTreeSet<i32>) = {
            let positions = &self.group().hand().positions;
            let paused = positions.iter().filter(|(_, at)| all || !at.is_read);
            (paused.map(|(one, _)| *one).collect(), positions.keys().copied().collect())
        };
        // One that has left and come back is no longer paused.
        self.paused.retain(|partition| ours.contains(partition));
        let more = self.group().list(paused.difference(&self.paused).map(|one| (*one, 0)));
        let fewer = self.group().list(self.paused.difference(&paused).map(|one| (*one, 0)));
        self.consumer.pause(&more)?;
        self.consumer.resume(&fewer)?;
        self.paused = paused;
        Ok(())
    }

    /// Finishes the batches in flight, still polling: until we have left we are a member.
    fn drain(&mut self) -> anyhow::Result<()> {
        let deadline = clock::now() + DRAIN_WITHIN;
        self.group().hand().leave_by = Some(deadline);
        self.metrics.set_trouble("leaving", Some("draining".to_owned()));
        self.settle(Duration::ZERO)?;
        while self.group().hand().busy_since().is_some()
            && self.metrics.trouble().is_none()
            && clock::now() < deadline
        {
            self.pause(true)?;
            // What still comes is left to the partitions' next owners.
            self.poll(BUSY_POLL)?;
            self.settle(Duration::ZERO)?;
        }
        Ok(())
    }

    fn group(&self) -> &Group<T, S, A> {
        self.consumer.context()
    }
}
