//! Where a rising rate will be half a start after a replica that is asked for now works, and a whole one.
//!
//! The intuition: a load that opens over minutes outruns every count that is sized by the rate of now,
//! one start after the other; and what is enough only until the new replicas are there takes one more
//! step at once. So a count is left for what it cannot carry half a start later, and sized for half a
//! start more: sized for the same, it would be left with the next span. Four spans of time in a row tell
//! a rise from a step and from scatter: in a rise each of them lies above the one before. How far ahead
//! a rise may be followed is learned from the target itself: what each expectation came to is held
//! against it, so that a load whose rises soon turn is followed less and less, and one that opens every
//! morning in full.
//!
//! What this does not do: expect anything that has not begun, or say what it is worth to be ready
//! (`sizing`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::arrivals::Arrivals;
use super::trend_span;
use crate::policy::Policy;
use crate::time::Timestamp;
use crate::tuning::Tuning;

/// Spans that are compared.
const SPANS: usize = 4;

/// Each span rises by at least this share of an even part of the whole rise: a step, even one in the
/// middle of a span, rises in two of them at most.
const EVEN_PART: f64 = 0.25;

/// The weight of what one expectation came to: some five of them of memory.
const LEARNING_WEIGHT: f64 = 0.2;

/// What is remembered of rises.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trend {
    /// What was expected and is not yet due.
    expected: Option<Expected>,
    /// The share of what was expected that did not come, lately.
    pub missed: f64,
}

/// What a rise was expected to lead to. Records per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Expected {
    due: Timestamp,
    /// The rate of the newest span when it was expected.
    from: f64,
    /// What it was expected to become.
    to: f64,
}

/// A rise and what it leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rise {
    /// Records per second half a start after a replica that is asked for now works: what it is asked
    /// for by.
    pub soon: f64,
    /// Records per second as far beyond that again: what is asked for is sized for it.
    pub ahead: f64,
    /// Records per second that the rate gains in each second until then.
    pub slope: f64,
}

// === impl Trend ===

impl Trend {
    /// The rise that goes on, where one does; `start` is how long a replica takes to work.
    pub fn follow(
        &mut self,
        arrivals: &Arrivals,
        start: Duration,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<Rise> {
        if policy.tuning.trend_span.is_zero() {
            return None;
        }
        let (rates, span) = arrivals.last_spans::<SPANS>(trend_span(policy))?;
        let [.., newest] = rates;
        if let Some(expected) = self.expected
            && now >= expected.due
        {
            let came = (newest - expected.from) / (expected.to - expected.from);
            self.missed += (1.0 - came.clamp(0.0, 1.0) - self.missed) * LEARNING_WEIGHT;
            self.expected = None;
        }
        let slope = slope(rates, span, &policy.tuning)?;
        let beyond = policy.tuning.trend_beyond;
        let start = start.as_secs_f64();
        let farthest = start * (1.0 + beyond);
        let gain = slope * farthest;
        if gain > 0.0 {
            self.expected.get_or_insert(Expected {
                due: now.plus(Duration::try_from_secs_f64(farthest).unwrap_or(Duration::MAX)),
                from: newest,
                to: newest + gain,
            });
        }
        // The newest span has its middle half a span back.
        let from = newest + slope * span / 2.0;
        let worth = 1.0 - self.missed;
        let slope = slope * worth;
        let after = |beyond: f64| from + slope * start * (1.0 + beyond * worth);
        Some(Rise {
            soon: after(beyond),
            ahead: after(2.0 * beyond),
            slope,
        })
    }
}

/// Records per second that the rate gains in each second, where the spans rise one after the other and
/// by more than independent records scatter.
fn slope(rates: [f64; SPANS], seconds: f64, tuning: &Tuning) -> Option<f64> {
    let [first, .., last] = rates;
    let (rise, steps) = (last - first, (SPANS - 1) as f64);
    let scatter = ((first + last) / seconds).sqrt() * tuning.surge_deviations;
    let mut pairs = rates.iter().zip(rates.iter().skip(1));
    let steadily = pairs.all(|(before, after)| after - before >= EVEN_PART * rise / steps);
    (rise > scatter && steadily).then(|| rise / (steps * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::policy as defaults;

    /// Follows polls of 2 s that bring so many records each, with starts of `start` seconds.
    fn follow(trend: &mut Trend, polls: &[u64], start: u64) -> Option<Rise> {
        let policy = Policy {
            poll_interval: Duration::from_secs(2),
            ..defaults()
        };
        let mut arrivals = Arrivals::default();
        let mut rise = None;
        for (number, new) in (0..).zip(polls) {
            let now = Timestamp::from_secs(2 * number);
            arrivals.note(now, *new, &policy);
            rise = trend.follow(&arrivals, Duration::from_secs(start), &policy, now);
        }
        rise
    }

    fn once(polls: &[u64]) -> Option<Rise> {
        follow(&mut Trend::default(), polls, 60)
    }

    #[test]
    fn a_steady_rise_leads_as_far_as_a_start_and_a_half_take_and_two() {
        // 10 records/s more in each second: 20 more a poll, 40 more records each time.
        let rising: Vec<u64> = (0..9).map(|poll| 2_000 + 40 * poll).collect();
        let rise = once(&rising).unwrap();
        assert_eq!(rise.slope, 10.0);
        // The last poll's middle lies a second back: 1,160 then, 1,170 now, 900 more in a minute and a
        // half, 1,200 in two.
        assert_eq!((rise.soon, rise.ahead), (2_070.0, 2_370.0));
    }

    #[test]
    fn what_does_not_rise_steadily_leads_nowhere() {
        // Constant, a step, a step within a poll, a rise that is over, few records that scatter.
        assert_eq!(once(&[2_000; 9]), None);
        for polls in [
            [
                2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 9_000, 9_000, 9_000,
            ],
            [
                2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 5_000, 9_000,
            ],
            [
                2_000, 2_400, 2_800, 3_200, 3_600, 4_000, 4_000, 4_000, 4_000,
            ],
            [20, 18, 20, 22, 21, 24, 25, 26, 28],
        ] {
            assert_eq!(once(&polls), None, "{polls:?}");
        }
    }

    #[test]
    fn a_load_whose_rises_turn_is_followed_less_and_one_whose_rises_last_in_full() {
        let missed = |polls: &[u64]| {
            let mut trend = Trend::default();
            follow(&mut trend, polls, 30);
            trend.missed
        };
        let up: Vec<u64> = (0..60).map(|poll| 2_000 + 100 * poll).collect();
        assert!(missed(&up) < 0.01, "{}", missed(&up));
        let turning: Vec<u64> = (0..240)
            .map(|poll| 2_000 + 100 * u64::min(poll % 20, 20 - poll % 20))
            .collect();
        assert!(missed(&turning) > 0.5, "{}", missed(&turning));
    }
}
