//! Decides how many records are due: rate steps, ramps and traces, and a pace that holds them exactly.
//!
//! The pace is not a timer per record but a target: after `elapsed` the plan wants so many records,
//! so many are sent, the difference is due. Lost time is thereby made up and the totals are exact,
//! with two bounds: a single sending burst, and the debt that is worth making up.

use std::str::FromStr;
use std::time::Duration;

/// The most that is sent at once, as a stretch of the current rate. Short enough that consumers
/// see a steady flow, long enough to make up for a busy machine ten times faster than real time
/// at the producer's pace of 10 ms.
const BURST: Duration = Duration::from_millis(100);

/// The most that is made up, as a stretch of the current rate. A laptop that slept for an hour
/// should go on, not send an hour's records.
const DEBT: Duration = Duration::from_secs(5);

/// Records per second over one stretch: constant, or a straight line between two rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// At its begin.
    pub from: f64,
    /// At its end.
    pub to: f64,
}

/// One stretch of load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Records per second.
    pub rate: Rate,
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
    /// A ramp has to end somewhere.
    #[error("--load has a ramp: say with --step-seconds how long it lasts")]
    EndlessRamp,
    /// A line of a trace.
    #[error("--trace, line {line}: write SECONDS,RECORDS_PER_SECOND, the seconds rising")]
    Trace {
        /// Its number, from 1.
        line: usize,
    },
    /// A trace without an end.
    #[error("--trace has fewer than two lines of figures: the last one says only when it ends")]
    ShortTrace,
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
    pub fn new(rates: &[Rate], durations: &[Duration]) -> Result<Self, PlanError> {
        let duration_of = |index: usize| match durations {
            [all] => Some(*all),
            each => each.get(index).copied(),
        };
        match durations.len() {
            0 if rates.len() > 1 => return Err(PlanError::NoDurations(rates.len())),
            0 if rates.iter().any(Rate::is_ramp) => return Err(PlanError::EndlessRamp),
            count if count > 1 && count != rates.len() => {
                return Err(PlanError::Unequal {
                    rates: rates.len(),
                    durations: count,
                });
            }
            _ => {}
        }
        let step = |(index, rate): (usize, &Rate)| Step {
            rate: *rate,
            duration: duration_of(index),
        };
        Ok(Self(rates.iter().enumerate().map(step).collect()))
    }

    /// Reads a trace: `seconds,records per second` a line, each rate until the next line's second.
    /// A first line of words is passed over. The rates are multiplied by `factor`, time runs `speed`
    /// times as fast.
    ///
    /// # Errors
    /// Names the first line that makes no sense.
    pub fn of_trace(text: &str, factor: f64, speed: f64) -> Result<Self, PlanError> {
        let figures = |line: &str| -> Option<(f64, f64)> {
            let (seconds, rate) = line.split_once(',')?;
            let (seconds, rate): (f64, f64) =
                (seconds.trim().parse().ok()?, rate.trim().parse().ok()?);
            let makes_sense = |value: f64| value.is_finite() && value >= 0.0;
            (makes_sense(seconds) && makes_sense(rate)).then_some((seconds, rate))
        };
        let mut points: Vec<(f64, f64)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            match figures(line) {
                Some(point) if points.last().is_none_or(|before| before.0 < point.0) => {
                    points.push(point);
                }
                None if index == 0 || line.trim().is_empty() => {}
                _ => return Err(PlanError::Trace { line: index + 1 }),
            }
        }
        if points.len() < 2 {
            return Err(PlanError::ShortTrace);
        }
        let ends = points.iter().skip(1);
        let step = |(begin, end): (&(f64, f64), &(f64, f64))| Step {
            rate: Rate::constant(begin.1 * factor),
            duration: Duration::try_from_secs_f64((end.0 - begin.0) / speed).ok(),
        };
        Ok(Self(points.iter().zip(ends).map(step).collect()))
    }

    /// Records per second at `elapsed`; `None` when the plan is over.
    pub fn rate_at(&self, elapsed: Duration) -> Option<f64> {
        let mut begins = Duration::ZERO;
        for step in &self.0 {
            let Some(duration) = step.duration else {
                return Some(step.rate.from);
            };
            if elapsed < begins + duration {
                return Some(step.rate.after(elapsed - begins, duration));
            }
            begins += duration;
        }
        None
    }

    /// Records wanted from the start to `elapsed`.
    fn wanted_until(&self, elapsed: Duration) -> f64 {
        let mut left = elapsed;
        let mut wanted = 0.0;
        for step in &self.0 {
            let spent = step.duration.map_or(left, |duration| duration.min(left));
            let reached = step
                .duration
                .map_or(step.rate.to, |duration| step.rate.after(spent, duration));
            wanted += f64::midpoint(step.rate.from, reached) * spent.as_secs_f64();
            left -= spent;
            if left.is_zero() {
                break;
            }
        }
        wanted
    }
}

// === impl Rate ===

impl Rate {
    /// The same rate all the time, in records/s.
    pub fn constant(rate: f64) -> Self {
        Self {
            from: rate,
            to: rate,
        }
    }

    fn is_ramp(&self) -> bool {
        self.from.to_bits() != self.to.to_bits()
    }

    /// The rate when `spent` of `duration` has passed.
    fn after(&self, spent: Duration, duration: Duration) -> f64 {
        let share = spent.as_secs_f64() / duration.as_secs_f64().max(f64::EPSILON);
        self.from + (self.to - self.from) * share
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rate = |text: &str| match text.trim().parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate >= 0.0 => Ok(rate),
            _ => Err("write records per second, 0 or more, for example 1000 or 200..1000"),
        };
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        Ok(Self {
            from: rate(from)?,
            to: rate(to)?,
        })
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
        let rates: Vec<Rate> = rates.iter().copied().map(Rate::constant).collect();
        Plan::new(&rates, &durations)
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
    fn a_ramp_is_a_straight_line() {
        let ramp: Rate = "200..1000".parse().unwrap();
        assert_eq!(Plan::new(&[ramp], &[]), Err(PlanError::EndlessRamp));
        let plan = Plan::new(
            &[ramp, Rate::constant(1000.0)],
            &[Duration::from_secs(10); 2],
        );
        let plan = plan.unwrap();
        for (at_seconds, rate, wanted) in [
            (0, Some(200.0), 0.0),
            (5, Some(600.0), 2000.0),
            (10, Some(1000.0), 6000.0),
            (20, None, 16_000.0),
        ] {
            let at = Duration::from_secs(at_seconds);
            assert_eq!(plan.rate_at(at), rate, "{at_seconds}");
            assert_eq!(plan.wanted_until(at), wanted, "{at_seconds}");
        }
        let mut pace = Pace::new(plan);
        let end = Duration::from_secs(20);
        assert_eq!(
            run(&mut pace, Duration::ZERO, end, 10 * MILLISECOND),
            16_000
        );
    }

    #[test]
    fn a_trace_is_replayed() {
        let text = "t_seconds,records_per_second\n0,100\n300, 50.5\n600,0\n";
        let plan = Plan::of_trace(text, 2.0, 10.0).unwrap();
        for (at_seconds, expected) in [(0, Some(200.0)), (30, Some(101.0)), (60, None)] {
            let at = Duration::from_secs(at_seconds);
            assert_eq!(plan.rate_at(at), expected, "{at_seconds}");
        }
        for (text, error) in [
            ("0,1\nx\n", PlanError::Trace { line: 2 }),
            ("0,1\n0,2\n", PlanError::Trace { line: 2 }),
            ("t,r\n0,1\n5,-2\n", PlanError::Trace { line: 3 }),
            ("t,r\n0,1\n", PlanError::ShortTrace),
            ("", PlanError::ShortTrace),
        ] {
            assert_eq!(Plan::of_trace(text, 1.0, 1.0), Err(error), "{text:?}");
        }
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
