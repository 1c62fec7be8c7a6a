//! Weeks in real time, on which a calendar can be tried: the first days are the past that everybody is
//! given, and the rest is run.
//!
//! What is given of the past is what a scaler that had watched it would know: of each minute the highest
//! mean over 20 s. Clocks are those of the place, so that a day of the load is a day.
//!
//! What this does not do: say who takes part (`calendar`).

use super::{AAPL, CAPACITY, ELB, HIGH, LIMIT, PARTITIONS, Scenario, small};
use crate::workload::{CLOCKS_CHANGE, Days, Replay, Trace, TraceError, Workload};
use crate::world::Protocol;

/// The names, in the order of the page.
pub const WEEKS: [&str; 8] = [
    "market", "hourly", "payroll", "machine", "app01", "app04", "elb", "aapl",
];

/// Days that are not run, but told.
const PAST_DAYS: u64 = 7;

/// Seconds over which the rates of the past are means.
const SPAN: usize = 20;

/// The local day of the first of them, counted from 1970-01-01: a Monday (2026-08-03), and the Wednesday on
/// which the traces of databases begin (2018-06-13).
const MONDAY: u64 = 20_668;
const WEDNESDAY: u64 = 17_695;

/// The last working days of the months from that Monday on, and the day before the last of them.
const PAYDAYS: [u64; 4] = [28, 58, 88, 119];
const BEFORE_PAYDAY: u64 = 118;

/// A load with a past.
#[derive(Clone, Debug, PartialEq)]
pub struct Weeks {
    /// The load of the days that are run, and its world.
    pub scenario: Scenario,
    /// The days before it: local minutes since 1970-01-01, and records per second.
    pub past: Vec<(u32, f64)>,
    /// The local minute at which the run begins.
    pub begins: u32,
    /// The second of the run from which on local clocks are an hour ahead of before.
    pub clocks_change: Option<u64>,
    /// What a person knows ahead: from when to when, in seconds of the run, and how many records per second.
    pub timetable: Vec<(u64, u64, f64)>,
}

// === impl Weeks ===

impl Weeks {
    /// The load of this name with starts of so many seconds on the median (20, 60 or 180); `None` for a
    /// name that there is not.
    ///
    /// # Errors
    /// When a built-in trace cannot be read, which a test rules out.
    pub fn named(name: &str, start_seconds: u64) -> Result<Option<Self>, TraceError> {
        let high = PARTITIONS as f64 * CAPACITY * HIGH;
        let traced = |text: &str| {
            let rates = Trace::parse(text)?.replay(Replay {
                speed: 1.0,
                high,
                limit: PARTITIONS as f64 * CAPACITY * LIMIT,
            });
            Ok(Days {
                shares: rates.into_iter().map(|rate| rate / high).collect(),
                timetable: Vec::new(),
            })
        };
        let at_midnight = |mut days: Days| {
            let seconds = u64::try_from(days.shares.len()).unwrap_or(u64::MAX);
            let nights = (0..seconds).step_by(86_400);
            days.timetable = nights.map(|night| (night, night + 120, 1.0)).collect();
            days
        };
        let (name, about, first, past_days, days) = match name {
            "market" => (
                "market",
                "15 trading days with an opening, a closing and a netting burst that begin within 20 s of \
                 their minute; a holiday, a half day, a burst that comes once, clocks that change before \
                 the last week",
                MONDAY,
                PAST_DAYS,
                Days::market(),
            ),
            "hourly" => (
                "hourly",
                "jobs of 8 min around 5 min past each hour, 40 s sooner or later, over a quiet load",
                MONDAY,
                PAST_DAYS,
                Days::hourly(),
            ),
            "payroll" => (
                "payroll",
                "two hours on the last working day of each month; the days around the fourth",
                MONDAY,
                BEFORE_PAYDAY,
                Days::payroll(BEFORE_PAYDAY + 3, |day| PAYDAYS.contains(&day)),
            ),
            "machine" => (
                "machine",
                "a database machine: a daily wave, and a job's spike of a minute at midnight",
                WEDNESDAY,
                PAST_DAYS,
                at_midnight(traced(small::MACHINE)?),
            ),
            "app01" => (
                "app01",
                "an application with a smooth wave and a step at seven",
                WEDNESDAY,
                PAST_DAYS,
                traced(APP01)?,
            ),
            "app04" => (
                "app04",
                "an application with spikes that do not recur",
                WEDNESDAY,
                PAST_DAYS,
                traced(small::APP04)?,
            ),
            "elb" => (
                "elb",
                "a load balancer, spiky: its second week",
                MONDAY,
                PAST_DAYS,
                traced(ELB)?,
            ),
            "aapl" => (
                "aapl",
                "mentions with rare bursts: a week after four",
                MONDAY,
                28,
                Days {
                    shares: traced(AAPL)?.shares.into_iter().take(35 * 86_400).collect(),
                    timetable: Vec::new(),
                },
            ),
            _ => return Ok(None),
        };
        let begins = past_days * 86_400;
        let changes = name == "market";
        let rates: Vec<f64> = days.shares.iter().map(|share| share * high).collect();
        let (past, run) = rates.split_at(usize::try_from(begins).unwrap_or(0).min(rates.len()));
        let minute = |day: u64| u32::try_from(day * 1_440).unwrap_or(u32::MAX);
        let load = Workload::even(run.to_vec());
        let mut scenario = Scenario::usual(name, about, load, Protocol::Cooperative);
        scenario.world.start = match start_seconds {
            20 => small::START_20,
            60 => small::START_60,
            _ => small::START_180,
        };
        scenario.startup_seconds = 2 * start_seconds;
        scenario.begin_settled();
        let known = days.timetable.into_iter();
        let known = known.filter(|(from, ..)| *from >= begins);
        Ok(Some(Self {
            scenario,
            past: (minute(first)..).zip(minutes(past)).collect(),
            begins: minute(first + past_days),
            clocks_change: changes.then(|| CLOCKS_CHANGE * 86_400 - begins),
            timetable: known
                .map(|(from, to, share)| (from - begins, to - begins, share * high))
                .collect(),
        }))
    }
}

/// Of each minute the highest mean over [`SPAN`] seconds.
fn minutes(rates: &[f64]) -> impl Iterator<Item = f64> {
    rates.chunks_exact(60).map(|minute| {
        let spans = minute.chunks_exact(SPAN);
        let means = spans.map(|span| span.iter().sum::<f64>() / SPAN as f64);
        means.fold(0.0, f64::max)
    })
}

const APP01: &str = include_str!("../../traces/ms_mongo_app01_1min.csv");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_load_has_a_past_of_whole_days_and_days_to_run() {
        for name in WEEKS {
            let weeks = Weeks::named(name, 60).unwrap().unwrap();
            let (first, _) = weeks.past[0];
            let (last, _) = weeks.past[weeks.past.len() - 1];
            assert_eq!((first % 1_440, last + 1), (0, weeks.begins), "{name}");
            assert!(weeks.scenario.workload.seconds() > 2 * 86_400, "{name}");
        }
        assert_eq!(Weeks::named("none", 60).unwrap(), None);
    }
}
