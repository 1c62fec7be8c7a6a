//! When one Kafka cluster is asked what, for all its targets at once.
//!
//! - Every `poll.interval` a full reading for every target.
//! - A target that was just registered gets a full reading at once, together with whatever else was
//!   registered meanwhile; its first ones ask for the log's history too.
//! - A target that sleeps (inactive, no members) while a push stream waits for it has its log ends
//!   read every `poll.asleep_interval`; when one has moved, a full reading follows in the same tick.
//! - A rebalance does not change the pace: a changed assignment shows at the next tick however short
//!   the rebalance was, and asking more often would only load a broker that is busy already.
//!
//! A tick that takes longer than its interval makes the next one late; what was missed is skipped.
//! Kafka is given `OBSERVE_TIMEOUTS` request timeouts for a whole tick, then the observer is
//! replaced by a new one and all its readings are unknown. Decisions of thousands of targets are made
//! in chunks, so that calls from KEDA get their turn in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::{Cause, Timestamp};
use tokio::time::Instant;

use super::announcements::Announcements;
use super::baselines::Baselines;
use super::earlier::Earlier;
use super::kept::Memory;
use super::registry::Registry;
use super::target::{ClusterRef, TargetKey};
use super::watched::Watched;
use super::{Decide, Sources};
use crate::clock::Clock;
use crate::config::PollConfig;
use crate::metrics::{Metrics, TickLabels};
use crate::observe::prometheus::PrometheusQuery;
use crate::observe::{Depth, KafkaReading, ObserveKafka as _, Problem, Request};

/// Request timeouts that one call of an observer may take. The Kafka adapter begins nothing later than
/// three of them after its tick began, and what it has begun then may open a connection and ask: a
/// call that takes longer than six hangs for a reason that no timeout of its own covers.
const OBSERVE_TIMEOUTS: u32 = 6;

/// Decisions between two yields. A decision takes well under a millisecond, so a call from KEDA
/// waits some milliseconds at most even on a single core.
const DECISIONS_IN_A_ROW: usize = 16;

/// What every loop of the process shares.
#[derive(Debug)]
pub struct LoopContext<S> {
    /// Makes observers.
    pub sources: Arc<S>,
    /// The targets.
    pub registry: Arc<Registry>,
    /// What was learned of them.
    pub kept: Memory,
    /// Where people are told what changes.
    pub announcements: Announcements,
    /// The decision.
    pub decide: Decide,
    /// The pace.
    pub poll: PollConfig,
    /// Prometheus queries in flight.
    pub prometheus_concurrency: usize,
    /// The clock.
    pub clock: Clock,
    /// The counters.
    pub metrics: Metrics,
}

/// One Kafka cluster's loop.
#[derive(Debug)]
pub struct ClusterLoop<S: Sources> {
    context: LoopContext<S>,
    cluster: ClusterRef,
    kafka: Option<S::Kafka>,
    baselines: Baselines<S::Prometheus>,
    earlier: Earlier<S::Prometheus>,
    watched: BTreeMap<TargetKey, Watched>,
    next_full: Instant,
    next_asleep: Instant,
    /// Whose turn it is to have its logs asked for a moment of the past.
    turn: usize,
}

/// What one tick asks for which targets.
#[derive(Debug, Default)]
struct Plan {
    keys: Vec<TargetKey>,
    requests: Vec<Request>,
}

// === impl LoopContext ===

impl<S> Clone for LoopContext<S> {
    fn clone(&self) -> Self {
        Self {
            sources: Arc::clone(&self.sources),
            registry: Arc::clone(&self.registry),
            kept: self.kept.clone(),
            announcements: self.announcements.clone(),
            decide: self.decide,
            poll: self.poll,
            prometheus_concurrency: self.prometheus_concurrency,
            clock: self.clock,
            metrics: self.metrics.clone(),
        }
    }
}

// === impl ClusterLoop ===

impl<S: Sources> ClusterLoop<S> {
    /// A loop for the targets of `cluster`.
    pub fn new(context: LoopContext<S>, cluster: ClusterRef) -> Self {
        let now = Instant::now();
        Self {
            baselines: Baselines::new(context.sources.prometheus(), context.prometheus_concurrency),
            earlier: Earlier::new(context.sources.prometheus()),
            context,
            cluster,
            kafka: None,
            watched: BTreeMap::new(),
            next_full: now,
            next_asleep: now,
            turn: 0,
        }
    }

    /// Runs until it is dropped: whoever started it knows when its last target is gone.
    pub async fn run(mut self) {
        let mut changes = self.context.registry.changes();
        loop {
            changes.borrow_and_update();
            self.adopt();
            self.tick().await;
            let due = self.next_due();
            tokio::select! {
                // The registry outlives its loops; were it gone, the pace would still hold.
                Ok(()) = changes.changed() => {}
                () = tokio::time::sleep_until(due) => {}
            }
        }
    }

    /// Takes up new targets and lets go of those that are gone.
    fn adopt(&mut self) {
        let mut registered: BTreeMap<TargetKey, _> = self
            .context
            .registry
            .all()
            .into_iter()
            .filter(|target| target.spec.cluster == self.cluster)
            .map(|target| (target.spec.key.clone(), target))
            .collect();
        // A target that expired and came back is another one, and starts cold.
        self.watched.retain(|key, watched| {
            registered
                .get(key)
                .is_some_and(|target| Arc::ptr_eq(target, &watched.target))
        });
        registered.retain(|key, _| !self.watched.contains_key(key));
        let now = self.context.clock.now();
        for (key, target) in registered {
            // Asked for now, so that it is known when the first decision is made.
            let _being_asked = self.context.sources.workload(&key, now);
            self.watched.insert(key, Watched::new(target, now));
        }
        let queries = self.queries(self.watched.keys());
        self.baselines.keep_only(&queries);
        self.earlier.keep_only(|key| self.watched.contains_key(key));
    }

    fn next_due(&self) -> Instant {
        if self.watched.values().any(Watched::sleeps_watched) {
            self.next_full.min(self.next_asleep)
        } else {
            self.next_full
        }
    }

    async fn tick(&mut self) {
        let started = Instant::now();
        let full_is_due = started >= self.next_full;
        let asleep_is_due = started >= self.next_asleep;
        let now = self.context.clock.now();
        let moment = if full_is_due { self.moment(now) } else { None };
        let mut full = Plan::default();
        let mut asleep = Plan::default();
        for (key, watched) in &mut self.watched {
            if full_is_due || watched.is_new() {
                full.add(key, watched.request(Depth::Full, moment, now));
            } else if asleep_is_due && watched.sleeps_watched() {
                asleep.add(key, watched.request(Depth::LogEndsOnly, None, now));
            }
        }
        if !asleep.keys.is_empty() {
            self.count("asleep");
            let woken = self.look_whether_woken(asleep).await;
            for key in woken {
                if let Some(watched) = self.watched.get_mut(&key) {
                    full.add(&key, watched.request(Depth::Full, None, now));
                }
            }
        }
        if !full.keys.is_empty() {
            self.count("full");
            self.observe_and_decide(full).await;
        }
        let ended = Instant::now();
        if full_is_due {
            self.next_full = ended.max(started + self.context.poll.interval);
        }
        if full_is_due || asleep_is_due {
            self.next_asleep = ended.max(started + self.context.poll.asleep_interval);
        }
    }

    /// The moment of the past for which logs are asked in this tick: one, so that it is one more request a
    /// broker. Targets take turns, and all that want the same moment get it.
    fn moment(&mut self, now: Timestamp) -> Option<Timestamp> {
        let wanted = self.watched.values_mut();
        let wanted: Vec<Timestamp> = wanted
            .filter_map(|watched| watched.wants_moment(now))
            .collect();
        self.turn = self.turn.wrapping_add(1);
        let place = self.turn.checked_rem(wanted.len())?;
        wanted.get(place).copied()
    }

    async fn look_whether_woken(&mut self, plan: Plan) -> Vec<TargetKey> {
        let readings = self.observe(&plan).await;
        plan.keys
            .into_iter()
            .zip(readings)
            .filter(|(key, reading)| {
                self.watched
                    .get(key)
                    .is_some_and(|watched| watched.woken_by(reading))
            })
            .map(|(key, _)| key)
            .collect()
    }

    async fn observe_and_decide(&mut self, plan: Plan) {
        let queries = self.queries(plan.keys.iter());
        let now = self.context.clock.now();
        self.baselines.ask(&queries, now);
        let readings = self.observe(&plan).await;
        self.baselines.settle(&queries).await;
        self.earlier.go_on(now);
        for (nth, (key, reading)) in plan.keys.iter().zip(readings).enumerate() {
            if nth % DECISIONS_IN_A_ROW == DECISIONS_IN_A_ROW - 1 {
                tokio::task::yield_now().await;
            }
            let Some(watched) = self.watched.get_mut(key) else {
                continue;
            };
            let baseline = watched
                .query
                .as_ref()
                .map(|query| self.baselines.reading(query));
            if let Some(past) = self.earlier.take(key) {
                watched.learn(&past);
            }
            let now = self.context.clock.now();
            let workload = self.context.sources.workload(key, now);
            let kept = &self.context.kept;
            match watched.decide(
                self.context.decide,
                reading,
                baseline,
                workload,
                (kept, &self.context.announcements),
                now,
            ) {
                Ok(verdict) => self.context.metrics.count_decision(verdict),
                Err(panic) => {
                    self.context.metrics.engine_panics.inc();
                    tracing::error!(namespace = key.namespace, name = key.name, "{panic}");
                }
            }
            if let Some((query, clocks)) = watched.wants_earlier(now) {
                self.earlier.want(key, query, clocks, now);
            }
        }
    }

    /// One reading for each request of the plan, whatever happens.
    async fn observe(&mut self, plan: &Plan) -> Vec<KafkaReading> {
        let outcome = match self.kafka.as_mut() {
            Some(kafka) => Self::within(&self.context.poll, kafka, &plan.requests).await,
            None => match self.context.sources.kafka(&self.cluster) {
                Ok(kafka) => {
                    let kafka = self.kafka.insert(kafka);
                    Self::within(&self.context.poll, kafka, &plan.requests).await
                }
                Err(problem) => Err(problem),
            },
        };
        let (mut readings, problem) = match outcome {
            Ok(readings) => (readings, short_answer()),
            Err(problem) => {
                // Whatever its connections were in the middle of, a new observer starts clean.
                self.kafka = None;
                (Vec::new(), problem)
            }
        };
        let now = self.context.clock.now();
        let missing = plan.keys.iter().skip(readings.len());
        let unknown: Vec<KafkaReading> = missing
            .filter_map(|key| Some(self.watched.get(key)?.unknown_reading(&problem, now)))
            .collect();
        readings.extend(unknown);
        readings
    }

    async fn within(
        poll: &PollConfig,
        kafka: &mut S::Kafka,
        requests: &[Request],
    ) -> Result<Vec<KafkaReading>, Problem> {
        let deadline = observe_deadline(poll);
        tokio::time::timeout(deadline, kafka.observe(requests))
            .await
            .map_err(|_| Problem {
                cause: Cause::Timeout,
                sentence: format!(
                    "the Kafka cluster did not answer everything within {} s: check its brokers, or \
                     raise poll.requestTimeout",
                    deadline.as_secs()
                ),
            })
    }

    fn queries<'a>(&self, keys: impl Iterator<Item = &'a TargetKey>) -> BTreeSet<PrometheusQuery> {
        keys.filter_map(|key| self.watched.get(key)?.query.clone())
            .collect()
    }

    fn count(&self, kind: &'static str) {
        let labels = TickLabels {
            kafka_cluster: self.cluster.to_string(),
            kind,
        };
        self.context.metrics.ticks.get_or_create(&labels).inc();
    }
}

// === impl Plan ===

impl Plan {
    fn add(&mut self, key: &TargetKey, request: Request) {
        self.keys.push(key.clone());
        self.requests.push(request);
    }
}

/// How long one call of an observer may take.
fn observe_deadline(poll: &PollConfig) -> Duration {
    poll.request_timeout.saturating_mul(OBSERVE_TIMEOUTS)
}

/// Said for readings that an observer left out, which is an error of this program.
fn short_answer() -> Problem {
    Problem {
        cause: Cause::Failed,
        sentence: "the observer left this target out: please report it".to_owned(),
    }
}
