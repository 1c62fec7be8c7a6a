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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::client::{ClientContext, DefaultClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, Statistics, TopicPartitionList};

use crate::clock;
use crate::hand::Hand;
use crate::metrics::{GROUP, Metrics, OFFSETS, PARTITION, TOPIC, label};
use crate::options::Options;
use crate::position::{Position, decide};
use crate::sink::{Decode, Sink};

/// How long a revocation waits for batches in flight. While it waits the whole group waits (or,
/// cooperatively, the partitions' next owners), so it is a few batches long and far below
/// `max.poll.interval.ms`, at which Kafka would take the partitions by force.
pub const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// How long it may take to find out where partitions go on, before others have their turn.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// How often it is looked whether somebody else has moved what is stored, where nothing shows it.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// How a client gets tokens for SASL OAUTHBEARER; [`()`](unit) leaves it to librdkafka's properties.
pub trait Access: Send + Sync + 'static {
    /// Whether it makes tokens itself.
    const TOKENS: bool = false;

    /// The next token. It may block for a few seconds.
    ///
    /// # Errors
    /// A sentence; librdkafka asks again.
    fn token() -> Result<OAuthToken, Box<dyn Error>> {
        Err("no tokens are made here".into())
    }
}

impl Access for () {}

/// What librdkafka calls back.
pub struct Group<T, S, A> {
    options: Options,
    metrics: Metrics,
    hand: Mutex<Hand<T, S>>,
    /// How often the client has gone somewhere by its own reset.
    pub resets: AtomicU64,
    /// In how many statistics in a row the client has known no broker.
    pub lost: AtomicU64,
    access: PhantomData<A>,
}

impl<T: Decode, S: Sink<T>, A: Access> Group<T, S, A> {
    /// The context of one consumer.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn new(options: Options, sink: S, metrics: Metrics) -> std::io::Result<Self> {
        let hand = Mutex::new(Hand::new(sink, metrics.clone())?);
        Ok(Self { options, metrics, hand, resets: 0.into(), lost: 0.into(), access: PhantomData })
    }

    /// What is in hand. Not to be held across `poll`.
    pub fn hand(&self) -> MutexGuard<'_, Hand<T, S>> {
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

    /// Finds out where partitions go on. Those that cannot be told are not among the answers.
    pub fn place(
        &self,
        consumer: &BaseConsumer<Self>,
        waiting: BTreeMap<i32, Position>,
    ) -> BTreeMap<i32, Position> {
        if waiting.is_empty() || self.hand().leave_by.is_some() {
            return BTreeMap::new();
        }
        self.told(self.try_to_place(consumer, waiting))
    }

    /// Looks whether what is stored of partitions with nothing in hand is what this member believes: a
    /// person may have moved it. Those of which it is not are asked for anew. And a sink that is away is
    /// told before there is something to write.
    pub fn look(&self, consumer: &BaseConsumer<Self>) {
        let idle = self.hand().idle();
        let stored = match idle.is_empty() {
            true => Ok(BTreeMap::new()),
            false => self.stored(consumer, &idle, clock::now() + ASK_WITHIN),
        };
        let stored = self.told(stored);
        self.hand().compare(&stored);
    }

    /// What was asked of the offsets, and in `/readyz` why it cannot be told.
    fn told<V: Default>(&self, asked: anyhow::Result<V>) -> V {
        let trouble = asked.as_ref().err().map(|error| format!("{error:#}"));
        let next = if trouble.is_some() { ASK_WITHIN } else { LOOK_EVERY };
        self.hand().look_at = clock::now() + next;
        self.metrics.set_trouble(OFFSETS, trouble);
        asked.unwrap_or_default()
    }

    /// What the sink has stored of them.
    fn stored(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &[i32],
        until: Instant,
    ) -> anyhow::Result<BTreeMap<i32, i64>> {
        let left = || until.saturating_duration_since(clock::now());
        let cluster = consumer.client().fetch_cluster_id(left());
        self.hand().ask(&cluster.context("Kafka does not answer")?, partitions, left())
    }

    fn try_to_place(
        &self,
        consumer: &BaseConsumer<Self>,
        waiting: BTreeMap<i32, Position>,
    ) -> anyhow::Result<BTreeMap<i32, Position>> {
        let (mut placed, mut back) = (BTreeMap::new(), BTreeMap::new());
        let until = clock::now() + ASK_WITHIN;
        let left = || until.saturating_duration_since(clock::now());
        let all = self.list(waiting.keys().map(|partition| (*partition, 0)));
        let stored = self.stored(consumer, &numbers(&all), until)?;
        let committed = offsets(&consumer.committed_offsets(all.clone(), left())?);
        // All partitions in one request to each broker.
        let reaches = |which| -> KafkaResult<BTreeMap<i32, i64>> {
            let mut all = all.clone();
            all.set_all_offsets(which)?;
            Ok(offsets(&consumer.offsets_for_times(all, left())?))
        };
        let (starts, ends) = (reaches(Offset::Beginning)?, reaches(Offset::End)?);
        for (partition, was) in waiting {
            let name = format!("{PARTITION} {partition}");
            let (Some(start), Some(end)) = (starts.get(&partition), ends.get(&partition)) else {
                self.metrics.set_trouble(name, Some("its log cannot be looked at yet".to_owned()));
                continue;
            };
            let (start, end) = (*start, *end);
            let (from, committed) = (stored.get(&partition), committed.get(&partition));
            let mut known = [from, Some(&was.next), committed].into_iter().flatten();
            let left = known.find(|at| **at >= 0).copied();
            let rules = (self.options.auto_offset_reset, self.options.on_gap);
            let decided = decide((left, was.refused), (start, end), rules);
            let why = decided.as_ref().err().cloned();
            let is_new = self.metrics.set_trouble(name, why);
            if let Some(at) = left.filter(|at| *at < start && (decided.is_ok() || is_new)) {
                self.metrics.missed(partition, at, start);
            }
            let Ok(next) = decided.map(|at| at.max(start)) else { continue };
            // By itself the client only commits forwards, and a person may have gone back.
            back.extend(committed.filter(|at| **at > next).map(|_| (partition, next)));
            let (from, resets) = (*from.unwrap_or(&next), self.resets.load(Ordering::Acquire));
            let at = Position { from, first: next, next, resets, is_read: true, refused: None };
            placed.insert(partition, at);
        }
        if !back.is_empty() {
            let _ = consumer.commit(&self.list(back), CommitMode::Async);
        }
        Ok(placed)
    }

    fn take_in(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let new: BTreeMap<i32, Position> =
            numbers(list).into_iter().map(|one| (one, Position::UNKNOWN)).collect();
        self.hand().positions.extend(new.clone());
        let placed = self.place(consumer, new);
        for mut element in list.elements() {
            let at = placed.get(&element.partition()).map(|at| Offset::Offset(at.next));
            // One that waits is paused before anything is fetched of it.
            let _ = element.set_offset(at.unwrap_or(Offset::End));
        }
        self.hand().positions.extend(placed);
        self.moved("assigned", list);
    }

    fn give_back(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let (partitions, lost) = (numbers(list), consumer.assignment_lost());
        let mut hand = self.hand();
        let left = hand.leave_by.map(|by| by.saturating_duration_since(clock::now()));
        let wait = left.unwrap_or(FINISH_WITHIN).min(FINISH_WITHIN);
        let written = hand.let_go(&partitions, if lost { Duration::ZERO } else { wait });
        drop(hand);
        if !lost {
            self.store(consumer, written);
        }
        partitions.iter().for_each(|partition| self.metrics.forget(*partition));
        // librdkafka remembers a pause beyond the assignment: without this, partitions that come back to
        // us would stay silent. It only fails for partitions that it does not know.
        let _ = consumer.resume(list);
        self.moved(if lost { "lost" } else { "revoked" }, list);
    }

    fn moved(&self, kind: &str, list: &TopicPartitionList) {
        tracing::info!(kind, partitions = ?numbers(list), "partitions move");
        self.metrics.rebalances.get_or_create(&label("kind", kind)).inc();
        let assigned = i64::try_from(self.hand().positions.len()).unwrap_or(i64::MAX);
        self.metrics.assigned_partitions.set(assigned);
    }
}

impl<T: Decode, S: Sink<T>, A: Access> ClientContext for Group<T, S, A> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = A::TOKENS;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        A::token()
    }

    fn stats(&self, mut statistics: Statistics) {
        // With KIP-848 a member that gets no partition stays at "init".
        let is_member = statistics.cgrp.take().is_some_and(|group| {
            group.join_state == "steady" || group.join_state == "init" && group.state == "up"
        });
        let is_known = |source: &str| ["configured", "learned"].contains(&source);
        let is_lost = !statistics.brokers.values().any(|broker| is_known(&broker.source));
        let is_away = statistics.brokers.values().all(|broker| broker.state != "UP");
        if is_member || is_away {
            self.metrics.beat("group", clock::now());
        }
        let why = is_lost.then(|| "the client knows no broker".to_owned());
        self.metrics.set_trouble(GROUP, why);
        let before = self.lost.load(Ordering::Acquire);
        self.lost.store(if is_lost { before + 1 } else { 0 }, Ordering::Release);
        if !self.hand().positions.is_empty() {
            self.metrics.set_trouble(TOPIC, None);
        }
        let topic = statistics.topics.remove(&self.options.topic);
        for (partition, of) in topic.map(|topic| topic.partitions).unwrap_or_default() {
            if let Some(at) = self.hand().positions.get(&partition).filter(|at| at.is_read) {
                // What is in an open transaction cannot be read yet.
                let end = if of.ls_offset >= 0 { of.ls_offset } else { of.hi_offset };
                let partition = label("partition", partition);
                self.metrics.position.get_or_create(&partition).set(at.next);
                self.metrics.lag.get_or_create(&partition).set((end - at.next).max(0));
            }
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // It says so when it goes somewhere by itself.
        if facility == "OFFSET" && level as i32 <= RDKafkaLogLevel::Warning as i32 {
            self.resets.fetch_add(1, Ordering::AcqRel);
        }
        DefaultClientContext.log(level, facility, message);
    }
}

impl<T: Decode, S: Sink<T>, A: Access> ConsumerContext for Group<T, S, A> {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.take_in(consumer, list),
            Rebalance::Revoke(list) => self.give_back(consumer, list),
            Rebalance::Error(_) => {}
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            self.metrics.commit_failures.inc();
            // While the coordinator is away all of them do, ten a second; the next has these offsets too.
            tracing::debug!(%error, "a commit failed");
        }
    }
}

fn offsets(list: &TopicPartitionList) -> BTreeMap<i32, i64> {
    let known = |(one, offset): (i32, Offset)| Some((one, offset.to_raw().filter(|at| *at >= 0)?));
    list.elements().iter().map(|one| (one.partition(), one.offset())).filter_map(known).collect()
}

fn numbers(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}
