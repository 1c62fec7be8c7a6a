//! What is remembered of a target's decisions, for charts: bounded, and thinner with age.
//!
//! Whoever is called at 3 a.m. wants the last minutes exactly and the last hours at a glance. So the
//! newest [`WHOLE`] is kept decision by decision; before that there is a point every [`APART`], and
//! one wherever something changed, because a rebalance of a few seconds explains a step that an
//! average would hide. Points are dropped, never averaged: each is a decision that was made.

use std::collections::VecDeque;
use std::time::Duration;

use evenkeel_engine::{Decision, Desired, Timestamp, Verdict};

/// Younger than this, every decision is kept: longer than a step up, its rebalance and the pods'
/// start take together, which is what people look at closely.
pub const WHOLE: Duration = Duration::from_secs(600);

/// How far apart older points are where nothing changed. Below the HPA's 15 s, so that everything
/// that it could have acted on is seen.
pub const APART: Duration = Duration::from_secs(10);

/// One decision of the past in figures, without the trail. Rates are in records per second; single
/// precision is more than a chart shows, and a third less memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistoryPoint {
    /// When it was decided.
    pub at: Timestamp,
    /// What was asked for, or why nothing was.
    pub desired: Desired,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether a rebalance episode was going on.
    pub rebalancing: bool,
    /// Replicas seen in the group.
    pub observed_replicas: u32,
    /// Records not yet committed.
    pub lag_records: u64,
    /// Seconds that the worst partition was behind, where known.
    pub lag_seconds: Option<f32>,
    /// The inbound rate, where known.
    pub inbound: Option<f32>,
    /// The processing rate, where known.
    pub processing_rate: Option<f32>,
}

/// The decisions of one target, oldest first.
#[derive(Debug)]
pub struct History {
    points: VecDeque<HistoryPoint>,
    /// The first point that may still be thinned out.
    whole_from: usize,
    limit: usize,
}

// === impl HistoryPoint ===

impl HistoryPoint {
    /// What is kept of `decision`.
    pub fn of(decision: &Decision) -> Self {
        let inputs = &decision.inputs;
        Self {
            at: decision.at,
            desired: decision.desired,
            verdict: decision.verdict,
            rebalancing: inputs.rebalancing,
            observed_replicas: inputs.observed_replicas,
            lag_records: inputs.lag_records,
            lag_seconds: inputs.lag_seconds.map(single),
            inbound: inputs.inbound_up.map(single),
            processing_rate: inputs.processing_rate.map(single),
        }
    }

    /// Whether something happened between `before` and this, rather than figures moving.
    fn differs_from(&self, before: &Self) -> bool {
        self.desired != before.desired
            || self.verdict != before.verdict
            || self.rebalancing != before.rebalancing
            || self.observed_replicas != before.observed_replicas
            || self.lag_seconds.is_some() != before.lag_seconds.is_some()
            || self.inbound.is_some() != before.inbound.is_some()
            || self.processing_rate.is_some() != before.processing_rate.is_some()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "seven digits are more than a chart shows; too large a rate becomes infinite, not wrong"
)]
const fn single(value: f64) -> f32 {
    value as f32
}

// === impl History ===

impl History {
    /// Nothing yet; never more than `limit` points.
    pub const fn new(limit: usize) -> Self {
        Self {
            points: VecDeque::new(),
            whole_from: 0,
            limit,
        }
    }

    /// Remembers the newest point; forgets the oldest where there is no room.
    pub fn push(&mut self, point: HistoryPoint) {
        self.thin_out(point.at);
        while self.points.len() >= self.limit && self.points.pop_front().is_some() {
            self.whole_from = self.whole_from.saturating_sub(1);
        }
        self.points.push_back(point);
    }

    /// Drops those that have become older than [`WHOLE`] and say nothing new.
    fn thin_out(&mut self, now: Timestamp) {
        while let Some(candidate) = self.points.get(self.whole_from)
            && now.since(candidate.at) >= WHOLE
        {
            let before = self
                .whole_from
                .checked_sub(1)
                .and_then(|index| self.points.get(index));
            let keep = before.is_none_or(|before| {
                candidate.differs_from(before) || candidate.at.since(before.at) >= APART
            });
            if keep {
                self.whole_from += 1;
            } else {
                self.points.remove(self.whole_from);
            }
        }
    }

    /// The points, oldest first.
    pub fn points(&self) -> Vec<HistoryPoint> {
        self.points.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(second: u64) -> HistoryPoint {
        HistoryPoint {
            at: Timestamp::from_secs(second),
            desired: Desired::Known {
                replicas: 3,
                active: true,
            },
            verdict: Verdict::SteadyState,
            rebalancing: false,
            observed_replicas: 3,
            lag_records: second,
            lag_seconds: Some(1.0),
            inbound: Some(200.0),
            processing_rate: Some(200.0),
        }
    }

    /// A decision every 2 s up to `last` second, changed by `change` on the way.
    fn history(limit: usize, last: u64, change: impl Fn(&mut HistoryPoint)) -> Vec<HistoryPoint> {
        let mut history = History::new(limit);
        for second in (0..=last).step_by(2) {
            let mut point = point(second);
            change(&mut point);
            history.push(point);
            assert!(history.points.len() <= limit);
        }
        history.points()
    }

    fn seconds(points: &[HistoryPoint]) -> Vec<u64> {
        let millis = points.iter().map(|point| point.at.as_millis());
        millis.map(|millis| millis / 1_000).collect()
    }

    #[test]
    fn the_last_minutes_are_whole_and_what_was_before_is_thinner() {
        let seconds = seconds(&history(10_000, 1_200, |_| {}));
        let (old, whole): (Vec<u64>, Vec<u64>) = seconds.iter().partition(|second| **second <= 600);
        assert_eq!(old, (0..=600).step_by(10).collect::<Vec<_>>());
        assert_eq!(whole, (602..=1_200).step_by(2).collect::<Vec<_>>());
    }

    #[test]
    fn what_changed_stays_however_old_it_is() {
        let changed = |point: &mut HistoryPoint| match point.at.as_millis() / 1_000 {
            14 => point.rebalancing = true,
            26 => point.observed_replicas = 4,
            38 => {
                point.desired = Desired::Unknown {
                    cause: evenkeel_engine::Cause::Unreachable,
                }
            }
            44 => point.verdict = Verdict::RateUp,
            56 => point.inbound = None,
            _ => {}
        };
        let seconds = seconds(&history(10_000, 1_200, changed));
        for second in [14, 16, 26, 28, 38, 40, 44, 46, 56, 58] {
            assert!(seconds.contains(&second), "{second} in {seconds:?}");
        }
        assert!(!seconds.contains(&12), "{seconds:?}");
    }

    #[test]
    fn a_full_history_forgets_the_oldest_and_goes_on_thinning() {
        let seconds = seconds(&history(400, 10_000, |_| {}));
        assert_eq!(seconds.len(), 400);
        let (old, whole): (Vec<u64>, Vec<u64>) =
            seconds.iter().partition(|second| **second <= 9_400);
        assert_eq!(whole.len(), 300);
        assert!(
            old.windows(2).all(|pair| pair[1] - pair[0] == 10),
            "{old:?}"
        );
    }

    #[test]
    fn a_history_of_any_limit_keeps_the_newest() {
        assert_eq!(seconds(&history(1, 1_200, |_| {})), [1_200]);
        let whole = seconds(&history(7, 1_200, |_| {}));
        assert_eq!(whole, (1_188..=1_200).step_by(2).collect::<Vec<_>>());
    }

    /// The figures in the documentation of `limits.historyPoints`.
    #[test]
    fn the_default_is_two_hours_and_56_kib_a_target() {
        use crate::schema::{find, process::SETTINGS};
        let setting = find(SETTINGS, "limits.historyPoints").unwrap();
        let limit: usize = setting.default().unwrap().parse().unwrap();
        let mut full = History::new(limit);
        for second in (0..=20_000).step_by(2) {
            full.push(point(second));
        }
        let bytes = full.points.capacity() * size_of::<HistoryPoint>();
        assert_eq!(bytes, 56 * 1_024);
        let points = full.points();
        let hours = points[points.len() - 1].at.since(points[0].at).as_secs() / 3_600;
        assert_eq!(hours, 2);
    }
}
