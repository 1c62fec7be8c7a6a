//! Decides how many records are due: rate steps, and a pace that holds them exactly.
//!
//! The pace is not a timer per record but a target: after `elapsed` the plan wants so many records,
//! so many are sent, the difference is due. Lost time is thereby made up and the totals are exact,
//! with two bounds: a single sending burst, and the debt that is worth making up.

use std::time::Duration;

/// The most that is sent at once, as a stretch of the current rate. Short enough that consumers
/// see a steady flow, long enough to make up for a busy machine ten times faster than real time
/// at the producer's pace of 10 ms.
const BURST: Duration = Duration::from_millis(100);

/// The most that is made up, as a stretch of the current rate. A laptop that slept for an hour
/// should go on, not send an hour's records.
const DEBT: Duration = Duration::from_secs(5);

/// One stretch of constant load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Records per second.
    pub rate: f64,
    /// How long; `None` until the producer is stopped.
    pub duration: Option<Duration>,
}

/// Steps, one after the other; only the last may be endless.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan(Vec<Step>);

/// What has been sent of a plan.
#[derive(Debug)]
pub struct Pace {
    plan: Plan,
    sent: f64,
}

/// A plan that makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Several rates, no time.
    #[error("--load has {0} rates: say with --step-seconds how long each lasts")]
    NoDurations(usize),
    /// Rates and times do not pair.
    #[error("--load has {rates} rates, --step-seconds {durations}: give one for all, or as many")]
    Unequal {
        /// How many rates.
        rates: usize,
        /// How many times.
        durations: usize,
    },
}

// === impl Plan ===

impl Plan {
    /// Pairs rates (records/s) with durations: none (one endless step), one for all, or as many.
    ///
    /// # Errors
    /// When they do not pair.
    pub fn new(rates: &[f64], durations: &[Duration]) -> Result<Self, PlanError> {
        let duration_of = |index: usize| match durations {
            [all] => Some(*all),
            each => each.get(index).copied(),
        };
        match durations.len() {
            0 if rates.len() > 1 => return Err(PlanError::NoDurations(rates.len())),
            count if count > 1 && count != rates.len() => {
                return Err(PlanError::Unequal {
                    rates: rates.len(),
                    durations: count,
                });
            }
            _ => {}
        }
        let step = |(index, rate): (usize, &f64)| Step {
            rate: *rate,
            duration: duration_of(index),
        };
        Ok(Self(rates.iter().enumerate().map(step).collect()))
    }

    /// The step at `elapsed`; `None` when the plan is over.
    fn step_at(&self, elapsed: Duration) -> Option<&Step> {
        let mut begins = Duration::ZERO;
        self.0.iter().find(|step| match step.duration {
            None => true,
            Some(duration) => {
                begins += duration;
                elapsed < begins
            }
        })
    }

    /// Records per second at `elapsed`; `None` when the plan is over.
    pub fn rate_at(&self, elapsed: Duration) -> Option<f64> {
        self.step_at(elapsed).map(|step| step.rate)
    }

    /// Records wanted from the start to `elapsed`.
    fn wanted_until(&self, elapsed: Duration) -> f64 {
        let mut left = elapsed;
        let mut wanted = 0.0;
        for step in &self.0 {
            let spent = step.duration.map_or(left, |duration| duration.min(left));
            wanted += step.rate * spent.as_secs_f64();
            left -= spent;
        }
        wanted
    }
}

// === impl Pace ===

impl Pace {
    /// Nothing sent yet.
    pub fn new(plan: Plan) -> Self {
        Self { plan, sent: 0.0 }
    }

    /// How many records to send now. What is not sent, for whatever reason, stays due.
    pub fn due(&mut self, elapsed: Duration) -> u64 {
        let rate = self.plan.rate_at(elapsed).unwrap_or(0.0);
        let wanted = self.plan.wanted_until(elapsed);
        // While the rate is 0, what is left of the step before is still made up, at once: it is
        // at most one burst, unless the machine was busy.
        if rate > 0.0 {
            let forgiven = wanted - rate * DEBT.as_secs_f64();
            self.sent = self.sent.max(forgiven);
        }
        let due = wanted - self.sent;
        let burst = if rate > 0.0 {
            rate * BURST.as_secs_f64()
        } else {
            due
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "floored, >= 0"
        )]
        let whole = due.min(burst.max(1.0)).max(0.0).floor() as u64;
        whole
    }

    /// Notes that one record was sent.
    pub fn sent_one(&mut self) {
        self.sent += 1.0;
    }

    /// Records per second at `elapsed`; `None` when the plan is over.
    pub fn rate_at(&self, elapsed: Duration) -> Option<f64> {
        self.plan.rate_at(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn plan(rates: &[f64], seconds: &[u64]) -> Result<Plan, PlanError> {
        let durations: Vec<Duration> = seconds.iter().map(|s| Duration::from_secs(*s)).collect();
        Plan::new(rates, &durations)
    }

    /// Sends whatever is due every `tick` and counts it.
    fn run(pace: &mut Pace, from: Duration, until: Duration, tick: Duration) -> u64 {
        let (mut now, mut total) = (from, 0);
        while now <= until {
            let due = pace.due(now);
            (0..due).for_each(|_| pace.sent_one());
            total += due;
            now += tick;
        }
        total
    }

    #[test]
    fn rates_and_durations_pair() {
        assert_eq!(plan(&[200.0, 0.0], &[]), Err(PlanError::NoDurations(2)));
        let unequal = PlanError::Unequal {
            rates: 3,
            durations: 2,
        };
        assert_eq!(plan(&[1.0, 2.0, 3.0], &[5, 6]), Err(unequal));
        let one_for_all = plan(&[200.0, 1000.0], &[60]).unwrap();
        assert_eq!(one_for_all, plan(&[200.0, 1000.0], &[60, 60]).unwrap());
    }

    #[test]
    fn steps_follow_each_other_and_end() {
        let plan = plan(&[200.0, 1000.0, 0.0], &[10, 20, 5]).unwrap();
        for (at_seconds, expected) in [
            (0, Some(200.0)),
            (9, Some(200.0)),
            (10, Some(1000.0)),
            (29, Some(1000.0)),
            (30, Some(0.0)),
            (35, None),
        ] {
            assert_eq!(
                plan.rate_at(Duration::from_secs(at_seconds)),
                expected,
                "{at_seconds}"
            );
        }
        assert_eq!(plan.wanted_until(Duration::from_secs(12)).round(), 4000.0);
        assert_eq!(plan.wanted_until(Duration::from_secs(99)).round(), 22000.0);
    }

    #[test]
    fn a_single_rate_without_a_duration_never_ends() {
        let plan = plan(&[7.0], &[]).unwrap();
        assert_eq!(plan.rate_at(Duration::from_secs(1_000_000)), Some(7.0));
    }

    #[test]
    fn the_pace_holds_the_rate_exactly() {
        for rate in [1.0, 3.0, 100.0, 1000.0, 50_000.0] {
            let mut pace = Pace::new(plan(&[rate], &[]).unwrap());
            let minute = Duration::from_secs(60);
            let total = run(&mut pace, Duration::ZERO, minute, 10 * MILLISECOND);
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let missed = rate * 60.0 - total as f64;
            assert!((0.0..=1.0).contains(&missed), "{rate}: {missed}");
        }
    }

    #[test]
    fn every_step_gets_its_records() {
        let mut pace = Pace::new(plan(&[200.0, 1000.0, 0.0], &[10, 10, 10]).unwrap());
        let end = Duration::from_secs(30);
        assert_eq!(
            run(&mut pace, Duration::ZERO, end, 10 * MILLISECOND),
            12_000
        );
        assert_eq!(pace.rate_at(end), None);
    }

    #[test]
    fn lost_time_is_made_up_in_bounded_bursts() {
        let mut pace = Pace::new(plan(&[1000.0], &[]).unwrap());
        assert_eq!(pace.due(Duration::from_secs(2)), 100, "a burst of 100 ms");
        let until = Duration::from_secs(3);
        let made_up = run(&mut pace, Duration::from_secs(2), until, 10 * MILLISECOND);
        assert_eq!(made_up, 3000, "all of it, within a second");
    }

    #[test]
    fn a_long_sleep_is_not_made_up() {
        let mut pace = Pace::new(plan(&[1000.0], &[]).unwrap());
        let hour = Duration::from_secs(3600);
        let total = run(
            &mut pace,
            hour,
            hour + Duration::from_secs(10),
            10 * MILLISECOND,
        );
        assert_eq!(total, 15_000, "five seconds of debt, ten of load");
    }
}
