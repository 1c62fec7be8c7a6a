//! What came in at targets before they were watched, read out of Prometheus in the background.
//!
//! One request at a time a loop, a day of minutes each, [`DAYS`] of them, so that no tick waits for it. A
//! minute without a usable value is a gap, never a quiet one. What fails is said once and asked for again
//! after a minute, then after twice as long each time, an hour at most.
//!
//! What this does not do: say which minutes were surges (the engine's `Past`), or for which targets it is
//! worth asking (`watched`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::{Past, Timestamp};
use tokio::task::JoinSet;

use super::target::TargetKey;
use crate::calendar::LocalTime;
use crate::observe::Problem;
use crate::observe::prometheus::{ObservePrometheus, PrometheusQuery};

/// How far back is asked.
pub(super) const DAYS: u32 = 28;
/// Values of one request: those of a day, far below the 11,000 at which Prometheus refuses.
const POINTS: u32 = 1_440;
const MINUTE: Duration = Duration::from_secs(60);
/// How long after an error it is asked again: at first, and at most.
pub(super) const FIRST_WAIT: Duration = Duration::from_secs(60);
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// The pasts of one loop's targets that are being looked for.
#[derive(Debug)]
pub(super) struct Earlier<P> {
    prometheus: Arc<P>,
    wanted: BTreeMap<TargetKey, Wanted>,
    /// Whose past is being read.
    reading: Option<TargetKey>,
    reader: JoinSet<Result<Past, Problem>>,
}

#[derive(Debug)]
struct Wanted {
    query: PrometheusQuery,
    clocks: LocalTime,
    not_before: Timestamp,
    /// How long was waited after the last error; nothing before the first.
    waited: Duration,
    found: Option<Past>,
}

// === impl Earlier ===

impl<P: ObservePrometheus> Earlier<P> {
    /// Nothing is looked for yet.
    pub(super) fn new(prometheus: Arc<P>) -> Self {
        Self {
            prometheus,
            wanted: BTreeMap::new(),
            reading: None,
            reader: JoinSet::new(),
        }
    }

    /// Looks for what `query` tells of the days before `now`, by these clocks.
    pub(super) fn want(
        &mut self,
        key: &TargetKey,
        query: &PrometheusQuery,
        clocks: &LocalTime,
        now: Timestamp,
    ) {
        self.wanted.entry(key.clone()).or_insert_with(|| Wanted {
            query: query.clone(),
            clocks: clocks.clone(),
            not_before: now,
            waited: Duration::ZERO,
            found: None,
        });
    }

    /// Takes up what has been answered, and begins to read what is due. Never waits.
    pub(super) fn go_on(&mut self, now: Timestamp) {
        if let Some(read) = self.reader.try_join_next()
            && let Some(key) = self.reading.take()
            && let Some(wanted) = self.wanted.get_mut(&key)
        {
            let read = read.map_err(|error| error.to_string());
            wanted.note(
                &key,
                read.and_then(|read| read.map_err(|problem| problem.sentence)),
                now,
            );
        }
        if !self.reader.is_empty() {
            return;
        }
        let due = self.wanted.iter();
        let due = due.filter(|(_, wanted)| wanted.found.is_none() && wanted.not_before <= now);
        if let Some((key, wanted)) = due.min_by_key(|(_, wanted)| wanted.not_before) {
            self.reading = Some(key.clone());
            let (query, clocks) = (wanted.query.clone(), wanted.clocks.clone());
            let prometheus = Arc::clone(&self.prometheus);
            self.reader.spawn(read(prometheus, query, clocks, now));
        }
    }

    /// What was found of a target; once.
    pub(super) fn take(&mut self, key: &TargetKey) -> Option<Past> {
        let found = self.wanted.get_mut(key)?.found.take()?;
        self.wanted.remove(key);
        Some(found)
    }

    /// Looks for nothing any more of those that are not `left`.
    pub(super) fn keep_only(&mut self, left: impl Fn(&TargetKey) -> bool) {
        self.wanted.retain(|key, _| left(key));
    }
}

// === impl Wanted ===

impl Wanted {
    fn note(&mut self, key: &TargetKey, read: Result<Past, String>, now: Timestamp) {
        let (namespace, name) = (&key.namespace, &key.name);
        match read {
            Ok(past) => {
                let minutes = past.watched_minutes(0, u32::MAX);
                tracing::info!(
                    namespace,
                    name,
                    days = f64::from(minutes) / f64::from(POINTS),
                    surges = past.surges(),
                    "what came in on earlier days has been read"
                );
                self.found = Some(past);
            }
            Err(why) => {
                if self.waited.is_zero() {
                    tracing::warn!(
                        namespace,
                        name,
                        "what came in on earlier days cannot be read, and it is tried again: {} {why}",
                        self.query
                    );
                }
                self.waited = (self.waited * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
                self.not_before = now.plus(self.waited);
            }
        }
    }
}

/// The past until `now`, oldest day first.
async fn read<P: ObservePrometheus>(
    prometheus: Arc<P>,
    query: PrometheusQuery,
    clocks: LocalTime,
    now: Timestamp,
) -> Result<Past, Problem> {
    let minutes_of_all = now.as_millis() / 60_000;
    let end = Timestamp::from_secs(minutes_of_all.saturating_mul(60));
    let mut minutes = Vec::new();
    for back in (0..DAYS).rev() {
        let last = end.minus(MINUTE * POINTS * back);
        let first = last.minus(MINUTE * (POINTS - 1));
        let values = prometheus.minutes(&query, first, POINTS).await?;
        minutes.extend(values.into_iter().map(|(at, rate)| {
            // A rate is that of the minute before.
            let minute = at.minus(MINUTE);
            let offset = clocks.offset_minutes(minute);
            (Past::minute(minute, offset), rate)
        }));
    }
    Ok(Past::of(minutes))
}
