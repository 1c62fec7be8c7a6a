//! What has arrived in all, and whether a rise only makes up for a stall.
//!
//! The intuition: a producer whose broker is away, or that collects garbage, keeps its records and
//! sends them afterwards in a few seconds. By the rate alone that is a surge of several times the
//! load; but since the stall began no more has come than usually does in that time. So a rise counts
//! as made up for while the mean since a fall is what the rate was before the fall. The slow window
//! cannot tell: for minutes after a step it lies below the load.
//!
//! A step without a fall before it is never taken for that, nor is one after a fall that brings more
//! than was held back. What this does not do: tell partitions apart. A partition that could not be
//! read has arrived when it is read again, as if it had stalled.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{exceeds, short_window, trend_span};
use crate::policy::Policy;
use crate::time::Timestamp;
use crate::tuning::Tuning;

/// Points that are kept at most, however fast the caller polls: more than one a second by default.
const MOST_POINTS: usize = 80;

/// How much of the past is kept for a trend, in its spans: the four that are compared, each of which may
/// reach over a late poll.
const TREND_SPANS_KEPT: u32 = 8;

/// Records that have arrived in all by each of the last polls, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Arrivals {
    points: VecDeque<(Timestamp, u64)>,
}

impl Arrivals {
    /// Notes that `records` have arrived since the last time; nothing where `at` is not later than it.
    pub fn note(&mut self, at: Timestamp, records: u64, policy: &Policy) {
        let (last, all) = self.points.back().copied().unwrap_or_default();
        if at <= last && !self.points.is_empty() {
            return;
        }
        self.points.push_back((at, all.saturating_add(records)));
        let before = short_window(policy).saturating_mul(2);
        let trend = trend_span(policy).saturating_mul(TREND_SPANS_KEPT);
        let kept = policy.tuning.stall_memory.saturating_add(before).max(trend);
        while self.points.len() > MOST_POINTS
            || self
                .points
                .front()
                .is_some_and(|(first, _)| at.since(*first) > kept)
        {
            self.points.pop_front();
        }
    }

    /// Forgets everything: the logs are others.
    pub fn forget(&mut self) {
        self.points.clear();
    }

    /// What a rise comes to that makes up for a stall, in records per second: the mean since the stall
    /// began, or the rate before it, if that was higher. `None` where more has come since then than
    /// before. The earliest moment that could be its beginning counts.
    pub fn since_stall(&self, policy: &Policy) -> Option<f64> {
        let &now = self.points.back()?;
        let mut polls = self.points.iter().enumerate();
        polls.find_map(|(place, &from)| {
            let elapsed = now.0.since(from.0);
            let before = self.before(place, short_window(policy))?;
            let mean = rate(from, now)?;
            let made_up = elapsed <= policy.tuning.stall_memory
                && !exceeds(mean, before, elapsed.as_secs_f64(), &policy.tuning);
            (made_up && self.fell(place, before, &policy.tuning)).then_some(mean.max(before))
        })
    }

    /// The rate over as long as the short window, before it; `None` where that is not remembered.
    pub fn before_short(&self, policy: &Policy) -> Option<f64> {
        let window = short_window(policy);
        let (now, _) = self.points.back()?;
        let mut polls = self.points.iter();
        let began = polls.rposition(|(at, _)| now.since(*at) >= window)?;
        self.before(began, window)
    }

    /// The rates of the last so many spans of `span` or a little more, oldest first, and how long they
    /// are on average, in seconds; `None` where they are not all remembered.
    pub fn last_spans<const COUNT: usize>(&self, span: Duration) -> Option<([f64; COUNT], f64)> {
        let mut rates = [0.0; COUNT];
        let &(now, _) = self.points.back()?;
        let mut end = *self.points.back()?;
        for slot in rates.iter_mut().rev() {
            let mut earlier = self.points.iter().rev();
            let from = *earlier.find(|from| end.0.since(from.0) >= span)?;
            *slot = rate(from, end)?;
            end = from;
        }
        Some((rates, now.since(end.0).as_secs_f64() / COUNT as f64))
    }

    /// The rate over the short window that ends with the point at `place`.
    fn before(&self, place: usize, window: Duration) -> Option<f64> {
        let &end = self.points.get(place)?;
        let mut earlier = self.points.iter().take(place).rev();
        let from = earlier.find(|from| end.0.since(from.0) >= window)?;
        rate(*from, end)
    }

    /// Whether some poll after the one at `place` brought far less than `before`, and not by chance.
    fn fell(&self, place: usize, before: f64, tuning: &Tuning) -> bool {
        let later = self.points.iter().skip(place);
        later.clone().zip(later.skip(1)).any(|(&from, &to)| {
            let usual = before * to.0.since(from.0).as_secs_f64();
            let missing = usual - to.1.saturating_sub(from.1) as f64;
            missing > (usual * tuning.stall_share).max(usual.sqrt() * tuning.surge_deviations)
        })
    }
}

fn rate(from: (Timestamp, u64), to: (Timestamp, u64)) -> Option<f64> {
    let seconds = to.0.since(from.0).as_secs_f64();
    (seconds > 0.0).then(|| to.1.saturating_sub(from.1) as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::policy as defaults;

    /// Polls of 2 s that bring so many records each; what is made of the last.
    fn check(polls: &[u64], since_stall: Option<f64>) {
        let policy = Policy {
            poll_interval: Duration::from_secs(2),
            ..defaults()
        };
        let mut arrivals = Arrivals::default();
        for (number, new) in (0..).zip(polls) {
            arrivals.note(Timestamp::from_secs(2 * number), *new, &policy);
        }
        assert_eq!(arrivals.since_stall(&policy), since_stall, "{polls:?}");
    }

    #[test]
    fn what_a_stall_held_back_is_no_surge() {
        let usual = [2_000; 4];
        let after = |more: &[u64]| [&usual[..], more].concat();
        // Ten seconds of nothing, made up for in two polls.
        check(&after(&[0, 0, 0, 0, 0, 6_000]), Some(1_000.0));
        check(&after(&[0, 0, 0, 0, 0, 6_000, 8_000]), Some(1_000.0));
        // Half of it comes through, and then a tenth more than was held back.
        check(&after(&[1_000, 1_000, 4_600]), Some(1_100.0));
        // A dip is no stall.
        check(&after(&[1_600, 2_400]), None);
    }

    #[test]
    fn a_surge_is_one_with_or_without_a_stall_before_it() {
        check(&[2_000, 2_000, 2_000, 2_000, 4_000], None);
        check(&[2_000, 2_000, 2_000, 2_000, 10_000, 10_000], None);
        // More than was held back.
        check(&[2_000, 2_000, 2_000, 2_000, 0, 10_000], None);
        // Ever more.
        check(&[2_000, 2_200, 2_400, 2_600, 2_800, 3_000], None);
        // Few records scatter.
        check(&[20, 20, 20, 20, 7, 40], None);
    }

    #[test]
    fn a_stall_is_forgotten_in_time() {
        let polls = [&[2_000; 4][..], &[0, 4_000], &[2_000; 30]].concat();
        check(&polls, None);
    }
}
