//! A Prometheus that knows earlier days: the load of a run, at the same time of each of them, as the
//! broker's own counter would have had it.
//!
//! When the load comes is decided here too, since the days before have to fit it. What is made of them is
//! the scaler's.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use evenkeel_engine::Timestamp;

use super::LabError;
use super::cluster::answer;
use super::policies::written;
use super::scenario::Scenario;
use crate::demo::programs::io;
use crate::demo::{DemoError, process};

/// Prometheus' own default is a minute; the runs that are compared with were scraped so.
pub const SCRAPE_SECONDS: u64 = 15;

/// Days that had the load.
const DAYS: u64 = 8;

/// What it takes at most until everything runs and the first replicas are there.
const PREPARATION: Duration = Duration::from_secs(300);

const MINUTE: u64 = 60;
const DAY: u64 = 86_400;

/// When the load of a run begins that is prepared from `now` on and looked at for `before` without a load:
/// at a full minute.
pub fn begin(now: Timestamp, before: Duration) -> Timestamp {
    let earliest = now.plus(PREPARATION).plus(before).as_millis() / 1_000;
    Timestamp::from_secs(earliest.next_multiple_of(MINUTE))
}

/// Puts them into Prometheus' folder: the records of `topic` until `now`, where the load of `scenario`
/// begins at `begin`.
///
/// # Errors
/// When promtool is missing or says no.
pub async fn remember(
    folder: &Path,
    scenario: &Scenario,
    topic: &str,
    begin: Timestamp,
    now: Timestamp,
) -> Result<(), LabError> {
    let file = folder.join("days.txt");
    let text = samples(scenario, topic, begin, now);
    std::fs::write(&file, text).map_err(io("writing earlier days"))?;
    let program = process::find_program("promtool");
    let program = program.ok_or(DemoError::MissingProgram {
        program: "promtool",
    })?;
    let made = process::bound_command(&program)
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
        .arg(&file)
        .arg(folder.join("prometheus"))
        .output();
    let made = made.await;
    answer("promtool", made).map(drop)
}

/// The counter in OpenMetrics.
fn samples(scenario: &Scenario, topic: &str, begin: Timestamp, now: Timestamp) -> String {
    let series = written(topic);
    let mut text = String::new();
    let (begin, now) = (begin.as_millis() / 1_000, now.as_millis() / 1_000);
    let mut records = 0.0;
    let first = begin.saturating_sub(DAYS * DAY + 10 * MINUTE);
    for at in first..now {
        let into_day = (at + (DAYS + 1) * DAY - begin) % DAY;
        records += scenario.rate_at(into_day);
        if at.is_multiple_of(SCRAPE_SECONDS) {
            let _ = writeln!(text, "{series} {records} {at}");
        }
    }
    text.push_str("# EOF\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_came_at_the_same_time_on_each_of_the_days_and_not_yet_today() {
        let all = Scenario::all();
        let surge = all.iter().find(|run| run.name == "surge").unwrap();
        let now = Timestamp::from_secs(20_000 * DAY + 30);
        let begin = begin(now, Duration::from_secs(120));
        assert_eq!(begin.as_millis() / 1_000 % MINUTE, 0);
        let text = samples(surge, "trades", begin, now);
        let last = text.lines().rev().nth(1).unwrap();
        let total: f64 = (0..surge.seconds())
            .map(|second| surge.rate_at(second))
            .sum();
        let figures: Vec<f64> = last
            .split_whitespace()
            .skip(1)
            .map(|word| word.parse().unwrap())
            .collect();
        assert_eq!(figures[0], total * DAYS as f64, "{last}");
        assert!(figures[1] < now.as_millis() as f64 / 1_000.0);
        // A second of a surge counts from the minute on that it came in.
        let of = |at: Timestamp| text.contains(&format!("}} 0 {}\n", at.as_millis() / 1_000));
        let first = Timestamp::from_secs(begin.as_millis() / 1_000 - DAYS * DAY + 300);
        assert!(
            of(first.minus(Duration::from_secs(15))) && !of(first.plus(Duration::from_secs(15)))
        );
    }
}
