//! One Kafka cluster, observed in batches for all targets.
//!
//! A tick asks, in this order: metadata of topics not known yet, then every group's coordinator
//! (commits and members, all coordinators at once), then every partition's leader (log ends, all
//! leaders at once). Commits come before log ends, so a lag is never negative by race. In a steady
//! tick that is at most three requests a coordinator and one a leader, however many groups there
//! are: what two targets both want is asked once, and what moves seldom (leaders, coordinators,
//! protocols, log starts) is kept.
//!
//! It decides nothing and fails nothing as a whole: each partition, topic and group carries its own
//! failure. TLS and SASL are behind [`connect`].
//!
//! Reading order: [`connect`], [`shape`], [`protocol`], [`connection`], [`brokers`]: questions and
//! answers. [`metadata`], [`coordinators`], [`offsets`], [`members`], [`groups`], [`log`],
//! [`starts`]: what is asked. [`assembly`]: what comes out.

mod address;
mod assembly;
mod brokers;
mod connect;
mod connection;
mod coordinators;
mod failure;
mod groups;
mod log;
mod members;
mod metadata;
mod offsets;
mod protocol;
mod sasl;
mod shape;
mod starts;
mod transport;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::Timestamp;
use tokio::time::Instant;

use self::assembly::{KnownGroup, Tick};
use self::brokers::Brokers;
pub use self::connect::Access;
use self::connection::Context;
use self::groups::Groups;
use self::log::{Partitions, Question, Questions};
use self::metadata::Metadata;
use self::offsets::Wanted;
use self::starts::Starts;
use super::{Depth, KafkaReading, ObserveKafka, Request, Subscription, TopicSelection};
use crate::clock::Clock;
use crate::metrics::Metrics;

/// No question is begun later than this many request timeouts after the tick began. A tick has at
/// most five rounds (metadata, coordinators, groups, logs, and logs again), a broker that is silent
/// is asked in one of them and then left alone; three rounds that all time out, at different
/// brokers, are a cluster in which a fourth would not help.
const TICK_TIMEOUTS: u32 = 3;

/// What nobody asks for is forgotten after this: as long as a target may be silent before it expires.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// How often it is looked for what to forget.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// How one cluster is reached.
#[derive(Clone, Debug)]
pub struct KafkaObserverConfig {
    /// The cluster's label in metrics and sentences: a profile's name, or the ad-hoc addresses.
    pub name: String,
    /// `host:port`, at least one.
    pub bootstrap_servers: Vec<String>,
    /// How they are reached, and who the scaler is there.
    pub access: Access,
    /// How long one request may take, and how long the opening of a connection.
    pub request_timeout: Duration,
    /// Bytes of one answer; a longer one closes its connection.
    pub frame_limit_bytes: usize,
}

/// Observes one cluster. Opens connections when it first needs them and keeps them.
#[derive(Debug)]
pub struct KafkaObserver {
    clock: Clock,
    request_timeout: Duration,
    is_by_iam: bool,
    brokers: Brokers,
    metadata: Metadata,
    groups: Groups,
    known: HashMap<String, KnownGroup>,
    starts: Starts,
    forgot_at: Timestamp,
}

// === impl KafkaObserver ===

impl KafkaObserver {
    /// An observer that has asked nothing yet. Does no I/O.
    pub fn new(config: KafkaObserverConfig, clock: Clock, metrics: Metrics) -> Self {
        let context = Arc::new(Context {
            cluster: config.name,
            request_timeout: config.request_timeout,
            frame_limit_bytes: config.frame_limit_bytes,
            metrics,
        });
        Self {
            clock,
            request_timeout: config.request_timeout,
            is_by_iam: config.access.is_by_iam(),
            brokers: Brokers::new(context, config.access, &config.bootstrap_servers),
            metadata: Metadata::default(),
            groups: Groups::default(),
            known: HashMap::new(),
            starts: Starts::default(),
            forgot_at: clock.now(),
        }
    }

    /// The named topics of all requests; of the group's own, those known so far.
    fn topics(&self, requests: &[Request]) -> BTreeSet<String> {
        let mut topics = BTreeSet::new();
        for request in requests {
            let subscription = &*request.subscription;
            match self.known.get(&subscription.consumer_group) {
                Some(group) => {
                    topics.extend(group.topics(subscription).into_iter().map(str::to_owned));
                }
                None => {
                    if let TopicSelection::Named(names) = &subscription.topics {
                        topics.extend(names.iter().cloned());
                    }
                }
            }
        }
        topics
    }

    fn wanted(&self, subscription: &Subscription) -> Wanted {
        let TopicSelection::Named(names) = &subscription.topics else {
            return Wanted::All;
        };
        let known = names.iter().filter_map(|name| {
            let partitions = self.metadata.topic(name)?.partitions.as_ref().ok()?;
            let selected = Tick::selected(partitions, subscription).collect();
            Some((name.clone(), selected))
        });
        Wanted::Named(known.collect())
    }

    /// Asks the coordinators about the groups of all requests, but for those of which only the log
    /// ends are wanted and the rest is known.
    async fn ask_groups(&mut self, requests: &[Request], now: Timestamp, latest: Instant) {
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        for request in requests {
            let group = &request.subscription.consumer_group;
            let wants = self.wanted(&request.subscription);
            if let Some(known) = self.known.get_mut(group) {
                known.used_at = now;
                if request.depth == Depth::LogEndsOnly && known.covers(&wants) {
                    continue;
                }
            }
            match wanted.get_mut(group) {
                Some(all) => all.merge(wants),
                None => {
                    wanted.insert(group.clone(), wants);
                }
            }
        }
        let mut answers = self.groups.ask(&mut self.brokers, &wanted, latest).await;
        for (group, wanted) in wanted {
            if let Some(answer) = answers.remove(&group) {
                let known = KnownGroup::new(answer, wanted, self.known.get(&group), now);
                self.known.insert(group, known);
            }
        }
    }

    /// Has the topics looked up again of which a group knows a partition that metadata does not.
    fn suspect_outgrown(&mut self, requests: &[Request], now: Timestamp) {
        for request in requests {
            let Some(group) = self.known.get(&request.subscription.consumer_group) else {
                continue;
            };
            for topic in group.topics(&request.subscription) {
                if let Some(highest) = group.highest_partition(topic) {
                    self.metadata.suspect_outgrown(topic, highest, now);
                }
            }
        }
    }

    /// What is asked of the leaders.
    fn questions(&self, requests: &[Request], at: Timestamp, now: Timestamp) -> Questions {
        let mut questions = Questions::new();
        let mut want = |question: Question, topic: &str, partition: u32| {
            let partitions: &mut Partitions = questions.entry(question).or_default();
            match partitions.get_mut(topic) {
                Some(partitions) => {
                    partitions.insert(partition);
                }
                None => {
                    partitions.insert(topic.to_owned(), BTreeSet::from([partition]));
                }
            }
        };
        for request in requests {
            let subscription = &*request.subscription;
            let Some(group) = self.known.get(&subscription.consumer_group) else {
                continue;
            };
            for name in group.topics(subscription) {
                let Some(topic) = self.metadata.topic(name) else {
                    continue;
                };
                let Ok(partitions) = &topic.partitions else {
                    continue;
                };
                for partition in Tick::selected(partitions, subscription) {
                    want(Question::end(subscription.isolation), name, partition);
                    let committed = group.committed(name, partition).ok();
                    let only_unknown = request.depth == Depth::LogEndsOnly;
                    let recreated_at = topic.recreated_at;
                    if self.starts.is_due(
                        name,
                        partition,
                        committed,
                        recreated_at,
                        only_unknown,
                        now,
                    ) {
                        want(Question::START, name, partition);
                    }
                    if request.cold {
                        want(
                            Question::since(at.minus(subscription.history)),
                            name,
                            partition,
                        );
                    }
                    if let Some(earlier) = request.earlier {
                        want(Question::since(earlier), name, partition);
                    }
                }
            }
        }
        questions
    }

    fn forget_unused(&mut self, now: Timestamp) {
        if now.since(self.forgot_at) < FORGET_EVERY {
            return;
        }
        self.forgot_at = now;
        self.known
            .retain(|_, group| now.since(group.used_at) < FORGET_AFTER);
        let known = &self.known;
        self.groups.retain(|group| known.contains_key(group));
        self.metadata.forget_unused(FORGET_AFTER, now);
        self.starts.forget_unused(FORGET_AFTER, now);
    }
}

impl ObserveKafka for KafkaObserver {
    async fn observe(&mut self, requests: &[Request]) -> Vec<KafkaReading> {
        let now = self.clock.now();
        let latest = Instant::now() + self.request_timeout * TICK_TIMEOUTS;
        self.forget_unused(now);

        let topics = self.topics(requests);
        self.metadata
            .refresh(&mut self.brokers, &topics, now, latest)
            .await;
        self.ask_groups(requests, now, latest).await;
        self.suspect_outgrown(requests, now);
        let topics = self.topics(requests);
        self.metadata
            .refresh(&mut self.brokers, &topics, now, latest)
            .await;

        let at = self.clock.now();
        let questions = self.questions(requests, at, now);
        let (brokers, metadata) = (&mut self.brokers, &mut self.metadata);
        let mut answers = log::ask(brokers, metadata, &questions, now, latest).await;
        let odd = self.starts.note(&answers, now);
        if !odd.is_empty() {
            // These logs were cut or replaced: their starts are asked again, and their topics'
            // identity looked up.
            for topic in odd.keys() {
                metadata.suspect(topic);
            }
            let topics = odd.keys().cloned().collect();
            metadata.refresh(brokers, &topics, now, latest).await;
            let questions = Questions::from([(Question::START, odd)]);
            let starts = log::ask(brokers, metadata, &questions, now, latest).await;
            self.starts.note(&starts, now);
            for (question, topics) in starts {
                let all = answers.entry(question).or_default();
                for (topic, partitions) in topics {
                    all.entry(topic).or_default().extend(partitions);
                }
            }
        }

        let tick = Tick {
            metadata: &self.metadata,
            starts: &self.starts,
            answers: &answers,
            at,
            is_by_iam: self.is_by_iam,
        };
        requests
            .iter()
            .map(
                |request| match self.known.get(&request.subscription.consumer_group) {
                    Some(group) => tick.reading(request, group),
                    None => tick.reading(request, &KnownGroup::unknown(now)),
                },
            )
            .collect()
    }
}
