//! What happens when partitions come and go.
//!
//! librdkafka tells about a rebalance only from inside `poll`, on the thread that polls, and the
//! partitions stay ours until that callback returns. So the callback is the one place where work can
//! be finished before the next owner reads the same offsets:
//!
//! - **assigned**: where each partition goes on is asked, and the client starts there. What cannot be
//!   told within [`ASK_WITHIN`] (a database that is away) waits, and the loop asks again.
//! - **revoked**: a batch in flight that holds records of these partitions is waited for, but not
//!   longer than [`FINISH_WITHIN`] and not for a sink in trouble; the client commits what is written
//!   before it lets the partitions go; what is not is given up.
//! - **lost** (the session expired, others read these partitions already): nothing more is written or
//!   committed. Should a transaction commit at this very moment, the sink's comparison decides.
//!
//! Whether a rebalance moves all partitions (range, roundrobin) or only some (cooperative-sticky,
//! KIP-848) makes no difference here: the callback names those that move. Everything happens on one
//! thread; the mutex only satisfies the callback's signature, and must not be held across `poll`.

use std::collections::BTreeMap;
use std::error::Error;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, Statistics, TopicPartitionList};

use crate::batch::Batch;
use crate::clock;
use crate::metrics::{Metrics, label};
use crate::options::Options;
use crate::position::{OnGap, Position, decide};
use crate::sink::{Sink, WriteError};
use crate::writer::{Writer, runtime};

/// How long a revocation waits for batches in flight. While it waits the whole group waits (or,
/// cooperatively, the partitions' next owners), so it is a few batches long and far below
/// `max.poll.interval.ms`, at which Kafka would take the partitions by force.
pub const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// How long it may take to find out where partitions go on, before others have their turn.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// How a client gets tokens for SASL OAUTHBEARER, where that is configured.
pub trait Access: Send + Sync + 'static {
    /// Whether it makes tokens itself; otherwise librdkafka's own ways apply.
    const TOKENS: bool = false;

    /// The next token. It may block for a few seconds.
    ///
    /// # Errors
    /// A sentence; librdkafka asks again.
    fn token() -> Result<OAuthToken, Box<dyn Error>> {
        Err("no tokens are made here".into())
    }
}

/// User name and password, certificates, or nothing, as the client's properties say.
#[derive(Clone, Copy, Debug)]
pub struct AsConfigured;

impl Access for AsConfigured {}

/// What librdkafka calls back.
pub struct Group<T, S, A> {
    options: Options,
    metrics: Metrics,
    hand: Mutex<Hand<T>>,
    /// Asked for positions only; the writer has its own. Its connection lasts for the question: they are
    /// what a database has few of.
    asked: Mutex<S>,
    /// How often the client has gone somewhere by its own reset.
    pub resets: AtomicU64,
    /// The last commit failed, and that has been said: while the coordinator is away all of them do.
    commits_fail: AtomicBool,
    access: PhantomData<A>,
}

/// Everything that is in hand.
pub struct Hand<T> {
    /// The partitions that are ours.
    pub positions: BTreeMap<i32, Position>,
    /// The batch that is being filled.
    pub filling: Batch<T>,
    /// Those that are written.
    pub writer: Writer<T>,
    /// Once the process leaves: until when batches in flight are waited for.
    pub leave_by: Option<Instant>,
    /// How far the client has read.
    pub statistics: Option<Statistics>,
}

impl<T> Hand<T> {
    /// Forgets what was read of a partition and not handed over.
    pub fn set(&mut self, partition: i32, position: Position) {
        self.filling.forget(partition);
        self.positions.insert(partition, position);
    }
}

impl<T: Send + 'static, S: Sink<T> + Clone, A: Access> Group<T, S, A> {
    /// The context of one consumer.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn new(options: Options, sink: S, metrics: Metrics) -> std::io::Result<Self> {
        let hand = Hand {
            positions: BTreeMap::new(),
            filling: Batch::default(),
            writer: Writer::start(sink.clone(), &options.topic, &metrics)?,
            leave_by: None,
            statistics: None,
        };
        let asked = Mutex::new(sink);
        let (hand, resets, commits_fail) =
            (Mutex::new(hand), AtomicU64::default(), AtomicBool::default());
        let access = PhantomData;
        Ok(Self { options, metrics, hand, asked, resets, commits_fail, access })
    }

    /// What is in hand. Not to be held across `poll`.
    pub fn hand(&self) -> MutexGuard<'_, Hand<T>> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the client what is written; it commits that every 100 ms, and before it lets go of a
    /// partition. Nobody waits for it: Kafka answers a commit after the JoinGroup that may be before it
    /// on the connection, and that one waits for the slowest member.
    pub fn store(&self, consumer: &BaseConsumer<Self>, written: BTreeMap<i32, i64>) {
        if !written.is_empty()
            && let Err(error) = consumer.store_offsets(&self.list(written))
        {
            tracing::error!(%error, "the client does not take the offsets of its own partitions");
        }
    }

    /// Finds out where waiting partitions go on. Those that cannot be told go on waiting.
    pub fn place(
        &self,
        consumer: &BaseConsumer<Self>,
        waiting: &[(i32, Option<i64>)],
    ) -> BTreeMap<i32, Position> {
        let mut placed =
            waiting.iter().map(|(one, dropped)| (*one, Position::Waiting(*dropped))).collect();
        if waiting.is_empty() || self.hand().leave_by.is_some() {
            return placed;
        }
        let until = clock::now() + ASK_WITHIN;
        if let Err(error) = self.try_to_place(consumer, waiting, until, &mut placed) {
            tracing::warn!("it is not known where partitions go on: {error:#}");
            self.metrics.set_trouble("offsets", Some(format!("{error:#}")));
        }
        placed
    }

    fn try_to_place(
        &self,
        consumer: &BaseConsumer<Self>,
        waiting: &[(i32, Option<i64>)],
        until: Instant,
        placed: &mut BTreeMap<i32, Position>,
    ) -> anyhow::Result<()> {
        let left = || until.saturating_duration_since(clock::now());
        let cluster =
            consumer.client().fetch_cluster_id(left()).context("Kafka does not answer")?;
        let partitions: Vec<i32> = waiting.iter().map(|(partition, _)| *partition).collect();
        let stored = {
            let mut sink = self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let stored =
                async { tokio::time::timeout(left(), sink.positions(&cluster, &partitions)).await };
            match runtime()?.block_on(stored) {
                Ok(Ok(stored)) => stored,
                Ok(Err(WriteError::Retry(reason))) => anyhow::bail!(reason),
                _ => anyhow::bail!("the stored offsets cannot be read yet"),
            }
        };
        self.metrics.set_trouble("offsets", None);
        let committed = self.list(partitions.iter().map(|one| (*one, 0)));
        let committed = consumer.committed_offsets(committed, left())?;
        for (partition, dropped) in waiting {
            let topic = &self.options.topic;
            let (start, end) = consumer.fetch_watermarks(topic, *partition, left())?;
            let stored = stored.get(partition).copied();
            let committed = committed.find_partition(topic, *partition);
            let committed = committed.and_then(|one| one.offset().to_raw()).filter(|at| *at >= 0);
            let left_at = stored.filter(|at| *at >= 0).or(*dropped).or(committed);
            let at = decide(left_at, start, end, self.options.auto_offset_reset);
            let next = match at {
                Ok(at) => at,
                Err(reason) => {
                    self.metrics.set_stuck(*partition, Some(reason));
                    continue;
                }
            };
            self.metrics.set_stuck(*partition, None);
            let (from, resets) = (stored.unwrap_or(next), self.resets.load(Ordering::Acquire));
            let position = Position::At { from, first: next, next, resets };
            placed.insert(*partition, self.beyond_gap(*partition, position, start));
        }
        Ok(())
    }

    /// Where a partition goes on whose log begins at `start`.
    pub fn beyond_gap(&self, partition: i32, position: Position, start: i64) -> Position {
        let Position::At { from, first, next, resets } = position else {
            return position;
        };
        if start <= next {
            return position;
        }
        self.metrics.missed(partition, next, start);
        if self.options.on_gap == OnGap::Continue {
            let first = if first == next { start } else { first };
            return Position::At { from, first, next: start, resets };
        }
        let reason = format!("it stops at {next}: from there on records were deleted unread");
        self.metrics.set_stuck(partition, Some(reason));
        Position::Stuck
    }

    /// Partitions with offsets, in librdkafka's form.
    pub fn list(&self, offsets: impl IntoIterator<Item = (i32, i64)>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            // Refused are only offsets that Kafka does not give out.
            let _ =
                list.add_partition_offset(&self.options.topic, partition, Offset::Offset(offset));
        }
        list
    }

    fn take_in(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let waiting: Vec<_> =
            numbers(list).into_iter().map(|partition| (partition, None)).collect();
        let placed = self.place(consumer, &waiting);
        for mut element in list.elements() {
            // One that waits is paused before anything of it is used.
            let next = match placed.get(&element.partition()) {
                Some(Position::At { next, .. }) => *next,
                _ => 0,
            };
            let _ = element.set_offset(Offset::Offset(next));
        }
        self.hand().positions.extend(placed);
        self.rebalanced("assigned", list);
    }

    fn give_back(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions = numbers(list);
        let lost = consumer.assignment_lost();
        let mut hand = self.hand();
        if !lost {
            let left = hand.leave_by.map(|by| by.saturating_duration_since(clock::now()));
            hand.writer.finish(&partitions, left.unwrap_or(FINISH_WITHIN).min(FINISH_WITHIN));
            self.store(consumer, std::mem::take(&mut hand.writer.written));
        }
        hand.writer.give_up(&partitions);
        for partition in partitions {
            hand.filling.forget(partition);
            hand.positions.remove(&partition);
            self.metrics.set_read(partition, None);
            self.metrics.set_stuck(partition, None);
        }
        drop(hand);
        // librdkafka remembers a pause beyond the assignment: without this, partitions that come back to
        // us would stay silent. It only fails for partitions that it does not know.
        let _ = consumer.resume(list);
        self.rebalanced(if lost { "lost" } else { "revoked" }, list);
    }

    fn rebalanced(&self, kind: &str, list: &TopicPartitionList) {
        tracing::info!(kind, partitions = ?numbers(list), "partitions move");
        self.metrics.rebalances.get_or_create(&label("kind", kind)).inc();
        let assigned = i64::try_from(self.hand().positions.len()).unwrap_or(i64::MAX);
        self.metrics.assigned_partitions.set(assigned);
    }
}

impl<T: Send + 'static, S: Sink<T> + Clone, A: Access> ClientContext for Group<T, S, A> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = A::TOKENS;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        A::token()
    }

    fn stats(&self, statistics: Statistics) {
        self.hand().statistics = Some(statistics);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // It says so when it goes somewhere by itself.
        if facility == "OFFSET" && level as i32 <= RDKafkaLogLevel::Warning as i32 {
            self.resets.fetch_add(1, Ordering::AcqRel);
        }
        match level as i32 {
            ..=3 => tracing::error!(target: "librdkafka", facility, "{message}"),
            4 => tracing::warn!(target: "librdkafka", facility, "{message}"),
            5 | 6 => tracing::info!(target: "librdkafka", facility, "{message}"),
            _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }
}

impl<T: Send + 'static, S: Sink<T> + Clone, A: Access> ConsumerContext for Group<T, S, A> {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.take_in(consumer, list),
            Rebalance::Revoke(list) => self.give_back(consumer, list),
            Rebalance::Error(_) => {}
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        let said = self.commits_fail.swap(result.is_err(), Ordering::Relaxed);
        let Err(error) = result else { return };
        self.metrics.commit_failures.inc();
        if !said {
            tracing::warn!(%error, "a commit failed: the next one has its offsets too");
        }
    }
}

fn numbers(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}
