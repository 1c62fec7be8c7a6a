//! The baselines of one cluster's targets, asked beside Kafka and never in its way.
//!
//! Each distinct query is in flight at most once, however many targets share it and however slow
//! its server is. A tick starts what is due and waits for it only `WAIT`; what comes later is
//! there for the next tick, with the time at which it was asked. Servers get equal shares of the
//! round, and one that does not answer is not asked again in it, so that a dead server never holds
//! up a live one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_engine::{Cause, PrometheusObservation, Timestamp};
use futures::StreamExt as _;
use tokio::task::JoinSet;

use crate::observe::Problem;
use crate::observe::prometheus::{BaselineReading, ObservePrometheus, PrometheusQuery};

/// How long a tick waits for baselines once Kafka has answered. An instant query of one rate takes
/// milliseconds, so a healthy server is always in time; half a second keeps the first answer to a
/// new target well inside the 2 s that GetMetrics waits for it.
const WAIT: Duration = Duration::from_millis(500);

/// A query is asked again only this long after it was asked last, however often Kafka is polled:
/// what it is made of is scraped every 15 s at the soonest. A fifth shorter than the 5 s that are
/// promised, because ticks jitter.
const SPACING: Duration = Duration::from_secs(4);

/// The baselines of one loop.
#[derive(Debug)]
pub struct Baselines<P> {
    prometheus: Arc<P>,
    concurrency: usize,
    answers: Arc<Mutex<Answers>>,
    rounds: JoinSet<()>,
}

/// What is known and what is being asked.
#[derive(Debug, Default)]
struct Answers {
    readings: BTreeMap<PrometheusQuery, BaselineReading>,
    answered: BTreeSet<PrometheusQuery>,
    in_flight: BTreeSet<PrometheusQuery>,
    asked_at: BTreeMap<PrometheusQuery, Timestamp>,
}

/// A query to ask, and whether it never had a value.
type Due = (PrometheusQuery, bool);

// === impl Baselines ===

impl<P: ObservePrometheus> Baselines<P> {
    /// Nothing known; at most `concurrency` queries in flight a round.
    pub fn new(prometheus: Arc<P>, concurrency: usize) -> Self {
        Self {
            prometheus,
            concurrency: concurrency.max(1),
            answers: Arc::default(),
            rounds: JoinSet::new(),
        }
    }

    /// Starts to ask `queries`, save those still in flight or asked not long ago.
    pub fn ask(&mut self, queries: &BTreeSet<PrometheusQuery>, now: Timestamp) {
        while self.rounds.try_join_next().is_some() {}
        let mut due: BTreeMap<&str, Vec<Due>> = BTreeMap::new();
        {
            let mut answers = lock(&self.answers);
            if self.rounds.is_empty() {
                // Nothing runs, so nothing is in flight: a round that panicked left its mark.
                answers.in_flight.clear();
            }
            for query in queries {
                let asked = answers.asked_at.get(query);
                if asked.is_some_and(|at| *at <= now && now.since(*at) < SPACING) {
                    continue;
                }
                if answers.in_flight.insert(query.clone()) {
                    answers.asked_at.insert(query.clone(), now);
                    let cold = !answers.answered.contains(query);
                    due.entry(&query.url)
                        .or_default()
                        .push((query.clone(), cold));
                }
            }
        }
        let share = self.concurrency.div_ceil(due.len().max(1));
        for queries in due.into_values() {
            let round = Round {
                prometheus: Arc::clone(&self.prometheus),
                answers: Arc::clone(&self.answers),
            };
            self.rounds.spawn(round.run(queries, share));
        }
    }

    /// Waits for the answers to `queries`, but not long.
    pub async fn settle(&mut self, queries: &BTreeSet<PrometheusQuery>) {
        let answers = Arc::clone(&self.answers);
        let settled = async {
            while !lock(&answers).in_flight.is_disjoint(queries) {
                if self.rounds.join_next().await.is_none() {
                    return;
                }
            }
        };
        // Too late is not an error: the answers are there for the next tick.
        let _in_time = tokio::time::timeout(WAIT, settled).await;
    }

    /// The newest reading of `query`.
    pub fn reading(&self, query: &PrometheusQuery) -> BaselineReading {
        lock(&self.answers)
            .readings
            .get(query)
            .cloned()
            .unwrap_or(BaselineReading {
                observation: PrometheusObservation::Unknown(Cause::NotYetObserved),
                problem: None,
            })
    }

    /// Forgets every query that is not among `queries`.
    pub fn keep_only(&mut self, queries: &BTreeSet<PrometheusQuery>) {
        let mut answers = lock(&self.answers);
        answers.readings.retain(|query, _| queries.contains(query));
        answers.answered.retain(|query| queries.contains(query));
        answers.asked_at.retain(|query, _| queries.contains(query));
    }
}

/// One round's questions to one server.
struct Round<P> {
    prometheus: Arc<P>,
    answers: Arc<Mutex<Answers>>,
}

// === impl Round ===

impl<P: ObservePrometheus> Round<P> {
    async fn run(self, queries: Vec<Due>, share: usize) {
        // The first answer that says the server is gone answers for the rest of the round.
        let gone: Mutex<Option<Cause>> = Mutex::new(None);
        futures::stream::iter(queries)
            .for_each_concurrent(share, |(query, cold)| {
                let (round, gone) = (&self, &gone);
                async move {
                    let already_gone = *lock(gone);
                    let reading = match already_gone {
                        Some(cause) => not_asked(&query, cause),
                        None => round.prometheus.observe(&query, cold).await,
                    };
                    if let PrometheusObservation::Unknown(
                        cause @ (Cause::Unreachable | Cause::Timeout),
                    ) = reading.observation
                    {
                        *lock(gone) = Some(cause);
                    }
                    round.note(query, reading);
                }
            })
            .await;
    }

    fn note(&self, query: PrometheusQuery, reading: BaselineReading) {
        let mut answers = lock(&self.answers);
        answers.in_flight.remove(&query);
        if let PrometheusObservation::Known { .. } = reading.observation {
            answers.answered.insert(query.clone());
        }
        answers.readings.insert(query, reading);
    }
}

fn not_asked(query: &PrometheusQuery, cause: Cause) -> BaselineReading {
    BaselineReading {
        observation: PrometheusObservation::Unknown(cause),
        problem: Some(Problem {
            cause,
            sentence: format!("{query} was not asked: its server did not answer the one before"),
        }),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
