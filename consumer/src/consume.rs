//! The loop: poll, fill a batch, hand it to the writer, tell the client what is written, again.
//!
//! One thread does it all and never waits for the sink blindly. While batches are in flight the next
//! one is filled, so a saturated consumer never waits for Kafka. When that one is full too, the loop
//! waits for the writer for a moment; if that takes longer, the partitions are paused and polling goes
//! on, because polling is what answers rebalances and proves to Kafka that we are alive
//! (`max.poll.interval.ms`). Pausing at once would be simpler but throws away what the client has
//! fetched ahead, at every batch. Heartbeats are librdkafka's own affair, on its own thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use tokio::signal::unix::{SignalKind, signal};

use crate::batch::Limits;
use crate::clock;
use crate::group::{Access, Group, Hand};
use crate::metrics::{Metrics, serve};
use crate::options::{OWNED_PROPERTIES, Options};
use crate::position::Position;
use crate::refusal::refusal;
use crate::sink::{Decode, Sink, Step};

/// How long one poll waits with nothing in hand: how late a stop request is noticed.
const IDLE_POLL: Duration = Duration::from_millis(100);

/// How long one poll waits while batches are in flight: how late the end of a write is noticed.
const BUSY_POLL: Duration = Duration::from_millis(20);

/// Records taken in one turn of the loop at most, so that everything else has its turn too.
const TURN_RECORDS: usize = 1000;

/// How long a batch may be full and the writer busy before the partitions are paused. Ordinary writes
/// end before, so that nothing fetched ahead is thrown away.
const PAUSE_AFTER: Duration = Duration::from_secs(2);

/// How often it is asked where waiting partitions go on.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How long Kafka may take for what is asked of one partition.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How long the batches in flight may take once the process is asked to stop, the last revocation's wait
/// for them included. With a rebalance before it (15 s) it stays below Kubernetes' grace period of 30 s.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// How long leaving may take in all. Only a Kafka that is away takes longer: librdkafka waits for it
/// with the last commit, without a bound of its own.
const LEAVE_WITHIN: Duration = Duration::from_secs(27);

const EVERY_SECOND: Duration = Duration::from_secs(1);

/// Asks the whole process to finish and end; clones share it.
pub type Stop = Arc<AtomicBool>;

/// Everything the loop owns.
struct Consuming<T: Send + 'static, S: Sink<T> + Clone, A: Access> {
    consumer: BaseConsumer<Group<T, S, A>>,
    options: Options,
    metrics: Metrics,
    paused: BTreeSet<i32>,
    ask_at: Instant,
    /// Where the client's reading and ours ended when it was last looked at.
    ends: BTreeMap<i32, (i64, i64)>,
}

/// Runs the process until a signal, a failure, or until `each_second` says false.
///
/// # Errors
/// When it ended otherwise than in order.
pub fn run<T: Decode, S: Sink<T> + Clone, A: Access>(
    options: Options,
    client: ClientConfig,
    sink: S,
    metrics: &Metrics,
    mut each_second: impl FnMut(Duration) -> bool,
) -> anyhow::Result<()> {
    let stop = Stop::default();
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    // One thread for signals and the metrics server: neither has much to do.
    let runtime = threads.worker_threads(1).enable_all().build()?;
    runtime.block_on(async { raise_on_signals(&stop) })?;
    if let Some(address) = options.metrics_listen.0 {
        let server = serve(address, metrics.clone());
        runtime.spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, %address, "no metrics: choose another --metrics-listen");
            }
        });
    }
    let (send_outcome, outcome) = channel();
    let (ours, theirs) = (metrics.clone(), Arc::clone(&stop));
    let consume = move || {
        let _ = send_outcome.send(consume::<T, S, A>(options, client, sink, ours, &theirs));
    };
    std::thread::Builder::new().name("consume".to_owned()).spawn(consume)?;
    let (mut before, mut leaving_since, mut written) = (clock::now(), None, 0);
    let outcome = loop {
        match outcome.recv_timeout(EVERY_SECOND.saturating_sub(clock::now() - before)) {
            Ok(outcome) => break outcome,
            Err(RecvTimeoutError::Disconnected) => {
                anyhow::bail!("the consuming thread has died: see its message above")
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = clock::now();
        written = metrics.second_passed(written, now - before);
        if !each_second(now - before) {
            stop.store(true, Ordering::Release);
        }
        before = now;
        if stop.load(Ordering::Acquire) && now - *leaving_since.get_or_insert(now) >= LEAVE_WITHIN {
            anyhow::bail!("could not leave the group in time: Kafka is probably away");
        }
    };
    runtime.shutdown_timeout(EVERY_SECOND);
    outcome
}

/// Raises `stop` at SIGTERM (Kubernetes) or SIGINT (a terminal).
///
/// # Errors
/// When the process may not handle signals.
pub fn raise_on_signals(stop: &Stop) -> std::io::Result<()> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = Arc::clone(stop);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop: finishing what is in flight");
        stop.store(true, Ordering::Release);
    });
    Ok(())
}

/// Consumes until asked to stop, then finishes the batches in flight, commits them and leaves the
/// group. Blocks; meant for a thread of its own.
///
/// # Errors
/// When the client or the writer has failed for good; nothing that was not written is committed.
pub fn consume<T: Decode, S: Sink<T> + Clone, A: Access>(
    options: Options,
    mut client: ClientConfig,
    sink: S,
    metrics: Metrics,
    stop: &Stop,
) -> anyhow::Result<()> {
    let group = Group::<T, S, A>::new(options.clone(), sink, metrics.clone());
    let group = group.context("cannot start the writer: raise the process's thread limit")?;
    for (name, value) in OWNED_PROPERTIES {
        client.set(name, value);
    }
    let consumer: BaseConsumer<Group<T, S, A>> = client
        .create_with_context(group)
        .map_err(|error| anyhow::anyhow!("no Kafka client: {}", refusal(&error)))?;
    consumer.subscribe(&[&options.topic])?;
    let (paused, ask_at, ends) = (BTreeSet::new(), clock::now(), BTreeMap::new());
    let mut consuming = Consuming { consumer, options, metrics, paused, ask_at, ends };
    while !stop.load(Ordering::Acquire) {
        consuming.turn()?;
    }
    consuming.drain()
    // Dropping the consumer closes it: the last revocation is served, and the group is left.
}

impl<T: Decode, S: Sink<T> + Clone, A: Access> Consuming<T, S, A> {
    fn turn(&mut self) -> anyhow::Result<()> {
        let now = clock::now();
        self.metrics.turned(now, false);
        self.settle(Duration::ZERO)?;
        if self.ask_at <= now {
            self.ask_at = now + ASK_EVERY;
            self.place_waiting();
        }
        self.look_at_statistics();
        let limits = self.options.limits();
        let (is_full, due_at, busy_since) = {
            let mut hand = self.group().hand();
            Self::hand_over(&mut hand, now, &limits);
            let due_at = hand.filling.first_at().map(|first| first + limits.timeout);
            (hand.filling.is_full(&limits), due_at, hand.writer.busy_since())
        };
        let stalled_for = busy_since.filter(|_| is_full).map(|since| now - since);
        self.pause(stalled_for.is_some_and(|time| time >= PAUSE_AFTER))?;
        match (stalled_for, busy_since, due_at) {
            (Some(time), ..) if time < PAUSE_AFTER => {
                self.settle((PAUSE_AFTER - time).min(IDLE_POLL))
            }
            (_, Some(_), _) => self.poll(BUSY_POLL),
            (_, None, Some(due_at)) => {
                self.poll(due_at.saturating_duration_since(now).min(IDLE_POLL))
            }
            _ => self.poll(IDLE_POLL),
        }
    }

    /// Takes what has come, and waits if it is nothing.
    fn poll(&mut self, mut wait: Duration) -> anyhow::Result<()> {
        let limits = self.options.limits();
        for _ in 0..TURN_RECORDS {
            // What has been polled has to be taken: the client has moved on.
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(record)) => {
                    let mut hand = self.group().hand();
                    self.take(&mut hand, &record);
                    if hand.filling.is_full(&limits) {
                        break;
                    }
                }
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Err(error.into());
                }
                // Brokers away, a topic not there yet: the client tries again by itself, and says so.
                Some(Err(error)) => tracing::debug!(%error, "polled an error"),
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    /// Adds a record to the batch, or drops it if its partition does not go on with it.
    fn take(&self, hand: &mut Hand<T>, record: &BorrowedMessage<'_>) {
        let (partition, offset) = (record.partition(), record.offset());
        let Some(position) = hand.positions.get_mut(&partition) else {
            return;
        };
        let Position::At { next, resets, .. } = position else {
            return;
        };
        if offset != *next {
            let happened = self.group().resets.load(Ordering::Acquire);
            if offset < *next {
                let reason = format!(
                    "Kafka has gone back to {offset}, before {next}, up to which it was read: the \
                     topic was made anew, or its log was cut off"
                );
                self.metrics.set_stuck(partition, Some(reason));
                return hand.set(partition, Position::Stuck);
            }
            // Compaction makes holes too; only the client's own resets are looked into.
            if std::mem::replace(resets, happened) != happened {
                let start =
                    self.consumer.fetch_watermarks(record.topic(), partition, ANSWER_WITHIN);
                let start = start.map_or(offset, |(start, _)| start.min(offset));
                *position = self.group().beyond_gap(partition, *position, start);
            }
        }
        match position {
            Position::At { next, .. } => *next = offset + 1,
            stuck => {
                let stuck = *stuck;
                return hand.set(partition, stuck);
            }
        }
        hand.filling.push(record);
    }

    /// Takes in what the writer has done.
    fn settle(&mut self, wait: Duration) -> anyhow::Result<()> {
        let mut hand = self.group().hand();
        hand.writer.settle(wait)?;
        let written = std::mem::take(&mut hand.writer.written);
        for (partition, first) in std::mem::take(&mut hand.writer.dropped) {
            if let Some(Position::At { .. }) = hand.positions.get(&partition) {
                hand.set(partition, Position::Waiting(Some(first)));
            }
        }
        self.group().store(&self.consumer, written);
        Ok(())
    }

    /// Asks where waiting partitions go on, and moves the client there.
    fn place_waiting(&self) {
        let waiting: Vec<(i32, Option<i64>)> = {
            let hand = self.group().hand();
            let settled =
                hand.positions.iter().filter(|(partition, _)| !hand.writer.holds(**partition));
            let waiting = settled.filter_map(|(partition, position)| match position {
                Position::Waiting(dropped) => Some((*partition, *dropped)),
                _ => None,
            });
            waiting.collect()
        };
        if waiting.is_empty() {
            return;
        }
        let mut placed = self.group().place(&self.consumer, &waiting);
        let to_be_read = placed.iter().filter_map(|(partition, position)| match position {
            Position::At { next, .. } => Some((*partition, *next)),
            _ => None,
        });
        let to_be_read = self.group().list(to_be_read);
        if to_be_read.count() > 0 {
            match self.consumer.seek_partitions(to_be_read, ANSWER_WITHIN) {
                Ok(moved) => {
                    for one in moved.elements().iter().filter(|one| one.error().is_err()) {
                        // It has only just been assigned: it is asked for again.
                        placed.remove(&one.partition());
                    }
                    // By itself the client only commits forwards, and a person may have gone back.
                    let _ = self.consumer.commit(&moved, CommitMode::Async);
                }
                Err(error) => return tracing::debug!(%error, "not moved yet"),
            }
        }
        self.group().hand().positions.extend(placed);
    }

    fn hand_over(hand: &mut Hand<T>, now: Instant, limits: &Limits) {
        let is_full = hand.filling.is_full(limits);
        let is_due = hand.filling.first_at().is_some_and(|first| first + limits.timeout <= now);
        if !(is_full || is_due) || !hand.writer.has_room(is_full) {
            return;
        }
        let mut steps = Vec::new();
        for (partition, position) in &mut hand.positions {
            if let Position::At { from, first, next, .. } = position
                && first != next
            {
                steps.push((Step { partition: *partition, from: *from, to: *next }, *first));
                (*from, *first) = (*next, *next);
            }
        }
        let batch = std::mem::take(&mut hand.filling);
        hand.filling = hand.writer.write(batch, steps, now);
    }

    /// Pauses the partitions that are not to be read, or all of them, and no others.
    fn pause(&mut self, all: bool) -> anyhow::Result<()> {
        let is_read = |position: &Position| !all && matches!(position, Position::At { .. });
        let (paused, ours): (BTreeSet<i32>, BTreeSet<i32>) = {
            let positions = &self.group().hand().positions;
            let paused = positions.iter().filter(|(_, position)| !is_read(position));
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

    /// Shows position and lag of each partition. What the client has read to the end and not handed out
    /// (aborted transactions) is committed, so that the lag that others see is 0 too. The client's
    /// figures may be older than its records; what they say twice is true.
    fn look_at_statistics(&mut self) {
        let (mut ends, mut read) = (BTreeMap::new(), BTreeMap::new());
        let mut hand = self.group().hand();
        let Some(mut statistics) = hand.statistics.take() else {
            return;
        };
        let topic = statistics.topics.remove(&self.options.topic);
        for (partition, of) in topic.map(|topic| topic.partitions).unwrap_or_default() {
            let Some(Position::At { first, next, .. }) = hand.positions.get(&partition) else {
                continue;
            };
            let is_in_hand = first != next || hand.writer.holds(partition) || of.fetchq_cnt > 0;
            let is_at_end = of.eof_offset == of.next_offset && of.eof_offset > *next;
            let mut reached = *next;
            if is_at_end && !is_in_hand && !self.paused.contains(&partition) {
                ends.insert(partition, (of.eof_offset, *next));
                if self.ends.get(&partition) == ends.get(&partition) {
                    reached = of.eof_offset;
                    read.insert(partition, reached);
                }
            }
            // What is in an open transaction cannot be read yet.
            let end = if of.ls_offset >= 0 { of.ls_offset } else { of.hi_offset };
            self.metrics.set_read(partition, Some((reached, end)));
        }
        drop(hand);
        self.group().store(&self.consumer, read);
        self.ends = ends;
    }

    /// Finishes the batches in flight, still polling: until we have left we are a member.
    fn drain(&mut self) -> anyhow::Result<()> {
        let deadline = clock::now() + DRAIN_WITHIN;
        self.group().hand().leave_by = Some(deadline);
        self.metrics.turned(clock::now(), true);
        self.settle(Duration::ZERO)?;
        while self.group().hand().writer.busy_since().is_some()
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
