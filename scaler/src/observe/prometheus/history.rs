//! A query's past: for a backtest every value over some time, in several requests where one server
//! answer could not hold them; for a calendar the minutes that one request tells of.
//!
//! Prometheus refuses more than 11,000 points an answer, so the time of a backtest is asked in pieces of
//! [`POINTS_A_REQUEST`]. Steps at which there is no value are left out, as the server leaves them out;
//! what that means is the caller's to say. A value that is no rate fails a whole backtest, as it does in
//! [`observe`](super::ObservePrometheus::observe), and is a gap to a calendar. A backtest is counted in no
//! metric: it has nobody who scrapes it.

use std::time::Duration;

use evenkeel_engine::{Cause, Timestamp};

use super::answer::{self, Sample};
use super::{Problem, PrometheusObserver, PrometheusQuery, range};

/// Points of one request: below the 11,000 at which Prometheus itself refuses.
pub const POINTS_A_REQUEST: u64 = 10_000;

/// Bytes of one such answer: a point takes about 30, so this leaves room for long labels.
const HISTORY_BYTES: usize = 1024 * 1024;

const MINUTE: Duration = Duration::from_secs(60);

/// The past that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// Its first moment.
    pub start: Timestamp,
    /// Between two values. At least a second.
    pub step: Duration,
    /// How many values there would be if none were missing.
    pub points: u64,
}

// === impl PrometheusObserver ===

impl PrometheusObserver {
    /// The values of `query` over `past`, with their times, in order. `done` is told after each
    /// request how many points have been asked for.
    ///
    /// # Errors
    /// A sentence for people: what failed, and what to do.
    pub async fn history(
        &self,
        query: &PrometheusQuery,
        past: Past,
        done: impl Fn(u64),
    ) -> Result<Vec<(Timestamp, f64)>, String> {
        let named = |problem: Problem| format!("{query} {}", problem.sentence);
        let step = u64::try_from(past.step.as_millis()).unwrap_or(u64::MAX);
        let at = |point: u64| {
            past.start
                .plus(Duration::from_millis(step.saturating_mul(point)))
        };
        let mut values = Vec::new();
        let mut first = 0;
        while first < past.points {
            let next = past.points.min(first + POINTS_A_REQUEST);
            let samples = self
                .piece(query, (at(first), at(next - 1)), past.step)
                .await
                .map_err(named)?;
            let samples = samples.into_iter();
            values.extend(samples.map(|sample| (sample.evaluated_at, sample.records_per_second)));
            first = next;
            done(first);
        }
        Ok(values)
    }

    /// The usable values at so many moments, a minute apart.
    pub(super) async fn minutes_from(
        &self,
        query: &PrometheusQuery,
        first: Timestamp,
        points: u32,
    ) -> Result<Vec<(Timestamp, f64)>, Problem> {
        let last = first.plus(MINUTE * points.saturating_sub(1));
        let body = self.answer(query, (first, last), MINUTE).await?;
        let samples = answer::usable_of_range(&body)?.into_iter();
        Ok(samples
            .map(|sample| (sample.evaluated_at, sample.records_per_second))
            .collect())
    }

    async fn piece(
        &self,
        query: &PrometheusQuery,
        of: (Timestamp, Timestamp),
        step: Duration,
    ) -> Result<Vec<Sample>, Problem> {
        answer::range(&self.answer(query, of, step).await?)
    }

    async fn answer(
        &self,
        query: &PrometheusQuery,
        of: (Timestamp, Timestamp),
        step: Duration,
    ) -> Result<Vec<u8>, Problem> {
        self.fetch(query, "query_range", &range(of, step), HISTORY_BYTES)
            .await
            .map_err(|problem| match problem.cause {
                Cause::Timeout => Problem {
                    cause: Cause::Timeout,
                    sentence: format!(
                        "was not answered within {} s: ask for less time or for fewer points",
                        self.request_timeout.as_secs()
                    ),
                },
                _ => problem,
            })
    }
}
