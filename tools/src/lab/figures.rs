//! What a run came to, from its seconds and changes: pure arithmetic, the same for every policy.
//!
//! Message time is a record's age when it has been written, from the consumers' own reports. A second
//! tells the mean of its records, so means over longer times are weighted by records, and the median is
//! the one of the records' seconds. A change of the replica count is one that the Deployment was asked
//! for, whoever asked; it is a reversal when it goes against the one before it within the same span, in
//! which nothing outside has changed. Replica-minutes are of what was asked for, since that is paid.
//! What could not be read is left out and never 0.

use serde::{Deserialize, Serialize};

use super::scenario::{Scenario, Span};
use super::workload::Replicas;

/// The steady state is looked at in the last minute of a span, or in its second half if that is shorter.
const STEADY_SECONDS: u64 = 60;

/// Message time below this counts as settled: batches take a second, and a tenth to fill.
pub const SETTLED_SECONDS: f64 = 3.0;

/// One second of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Second {
    /// Since the load began.
    pub second: u64,
    /// The load asked for, records/s.
    pub load: f64,
    /// Records that have arrived since the second before.
    pub arrived: Option<u64>,
    /// Records written since the second before.
    pub written: f64,
    /// Their mean age.
    pub age_mean: Option<f64>,
    /// Their greatest age.
    pub age_max: Option<f64>,
    /// Records not yet committed.
    pub lag: Option<u64>,
    /// The Deployment's replicas.
    pub replicas: Replicas,
    /// The group's members.
    pub members: Option<u32>,
    /// The machine's load average over a minute.
    pub load_average: Option<f64>,
}

/// One change of the number of replicas that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Since the load began; what came before it is at 0.
    pub second: u64,
    /// Before.
    pub from: u32,
    /// After.
    pub to: u32,
}

/// The figures of one span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpanFigures {
    /// Its name.
    pub name: String,
    /// How long it is.
    pub seconds: u64,
    /// Replicas asked for, one after the other.
    pub counts: Vec<u32>,
    /// Seconds from its begin to each change.
    pub changed_after: Vec<u64>,
    /// Changes to more.
    pub up: u32,
    /// Changes to fewer.
    pub down: u32,
    /// Changes against the one before.
    pub reversals: u32,
    /// Mean message time, seconds.
    pub age_mean: Option<f64>,
    /// Its median.
    pub age_median: Option<f64>,
    /// The worst second's mean.
    pub age_worst: Option<f64>,
    /// The oldest record.
    pub age_max: Option<f64>,
    /// Mean message time at its end.
    pub steady_mean: Option<f64>,
    /// The oldest record there.
    pub steady_max: Option<f64>,
    /// Seconds from its begin after which every second's mean is settled; None when it never is.
    pub settled_after: Option<u64>,
    /// Most records waiting.
    pub lag_max: Option<u64>,
    /// Records waiting at its end.
    pub lag_end: Option<u64>,
    /// What it cost.
    pub replica_minutes: f64,
}

/// The figures of each of the scenario's spans.
pub fn of_spans(scenario: &Scenario, seconds: &[Second], changes: &[Change]) -> Vec<SpanFigures> {
    let spans = scenario.spans.iter();
    spans
        .map(|span| of_span(span, scenario.replicas, seconds, changes))
        .collect()
}

fn of_span(span: &Span, begin: u32, seconds: &[Second], changes: &[Change]) -> SpanFigures {
    let within: Vec<&Second> = seconds
        .iter()
        .filter(|second| span.holds(second.second))
        .collect();
    let steady_seconds = STEADY_SECONDS.min((span.to - span.from) / 2);
    let steady = within
        .iter()
        .filter(|second| second.second + steady_seconds >= span.to);
    let steady: Vec<&Second> = steady.copied().collect();
    let made: Vec<Change> = changes
        .iter()
        .filter(|change| span.holds(change.second))
        .copied()
        .collect();
    let before = changes.iter().rfind(|change| change.second < span.from);
    let first = before.map_or(begin, |change| change.to);
    SpanFigures {
        name: span.name.to_owned(),
        seconds: span.to - span.from,
        counts: std::iter::once(first)
            .chain(made.iter().map(|change| change.to))
            .collect(),
        changed_after: made
            .iter()
            .map(|change| change.second - span.from)
            .collect(),
        up: count(&made, |change| change.to > change.from),
        down: count(&made, |change| change.to < change.from),
        reversals: reversals(&made),
        age_mean: mean_age(&within),
        age_median: median_age(&within),
        age_worst: greatest(within.iter().filter_map(|second| second.age_mean)),
        age_max: greatest(within.iter().filter_map(|second| second.age_max)),
        steady_mean: mean_age(&steady),
        steady_max: greatest(steady.iter().filter_map(|second| second.age_max)),
        settled_after: settled_after(span, &within),
        lag_max: within.iter().filter_map(|second| second.lag).max(),
        lag_end: within.last().and_then(|second| second.lag),
        replica_minutes: replica_minutes(span, seconds),
    }
}

fn count(changes: &[Change], which: impl Fn(&Change) -> bool) -> u32 {
    let found = changes.iter().filter(|change| which(change)).count();
    u32::try_from(found).unwrap_or(u32::MAX)
}

fn reversals(changes: &[Change]) -> u32 {
    let turns = changes.windows(2).filter(|pair| match pair {
        [before, after] => (before.to > before.from) != (after.to > after.from),
        _ => false,
    });
    u32::try_from(turns.count()).unwrap_or(u32::MAX)
}

fn mean_age(seconds: &[&Second]) -> Option<f64> {
    let aged = seconds
        .iter()
        .filter_map(|second| Some((second.age_mean?, second.written)));
    let (sum, records) = aged.fold((0.0, 0.0), |(sum, records), (age, written)| {
        (sum + age * written, records + written)
    });
    (records > 0.0).then(|| sum / records)
}

fn median_age(seconds: &[&Second]) -> Option<f64> {
    let mut aged: Vec<(f64, f64)> = seconds
        .iter()
        .filter_map(|second| Some((second.age_mean?, second.written)))
        .collect();
    aged.sort_by(|one, other| one.0.total_cmp(&other.0));
    let half = aged.iter().map(|(_, written)| written).sum::<f64>() / 2.0;
    let mut below = 0.0;
    aged.into_iter().find_map(|(age, written)| {
        below += written;
        (below >= half).then_some(age)
    })
}

fn greatest(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.reduce(f64::max)
}

/// The second after the last one that is not settled.
fn settled_after(span: &Span, seconds: &[&Second]) -> Option<u64> {
    let aged = seconds
        .iter()
        .filter_map(|second| Some((second.second, second.age_mean?)));
    let last = aged.clone().next_back()?.0;
    let unsettled = aged
        .filter(|(_, age)| *age >= SETTLED_SECONDS)
        .map(|(second, _)| second)
        .next_back();
    match unsettled {
        None => Some(0),
        Some(second) if second == last => None,
        Some(second) => Some(second + 1 - span.from),
    }
}

/// Each second stands until the next one that was written down.
fn replica_minutes(span: &Span, seconds: &[Second]) -> f64 {
    let nexts = seconds.iter().skip(1).map(|second| second.second);
    let ends = nexts.chain(std::iter::once(span.to));
    let sum: f64 = seconds
        .iter()
        .zip(ends)
        .map(|(second, end)| {
            let (from, to) = (second.second.max(span.from), end.min(span.to));
            #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
            let stood = to.saturating_sub(from) as f64;
            stood * f64::from(second.replicas.asked)
        })
        .sum();
    sum / 60.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span {
        name: "span",
        from: 10,
        to: 30,
    };

    fn second(second: u64, asked: u32, written: f64, age: Option<f64>) -> Second {
        Second {
            second,
            written,
            age_mean: age,
            age_max: age.map(|age| age + 1.0),
            replicas: Replicas {
                asked,
                ..Replicas::default()
            },
            ..Second::default()
        }
    }

    fn change(second: u64, from: u32, to: u32) -> Change {
        Change { second, from, to }
    }

    fn figures(seconds: &[Second], changes: &[Change]) -> SpanFigures {
        of_span(&SPAN, 2, seconds, changes)
    }

    #[test]
    fn a_change_belongs_to_the_span_in_which_it_is_made() {
        let changes = [
            change(5, 2, 4),
            change(12, 4, 8),
            change(20, 8, 6),
            change(25, 6, 5),
            change(30, 5, 9),
        ];
        let found = figures(&[], &changes);
        assert_eq!(found.counts, [4, 8, 6, 5]);
        assert_eq!(found.changed_after, [2, 10, 15]);
        assert_eq!((found.up, found.down, found.reversals), (1, 2, 1));
        assert_eq!(figures(&[], &[]).counts, [2]);
    }

    #[test]
    fn a_turn_from_one_span_to_the_next_is_no_reversal() {
        let found = figures(&[], &[change(9, 2, 8), change(11, 8, 4), change(12, 4, 3)]);
        assert_eq!((found.reversals, found.down), (0, 2));
    }

    #[test]
    fn message_time_is_weighted_by_records() {
        let seconds = [
            second(9, 1, 500.0, Some(99.0)),
            second(11, 1, 90.0, Some(1.0)),
            second(12, 1, 10.0, Some(11.0)),
            second(13, 1, 0.0, None),
            second(25, 1, 100.0, Some(2.0)),
        ];
        let found = figures(&seconds, &[]);
        assert_eq!(found.age_mean, Some(2.0));
        assert_eq!(found.age_median, Some(2.0));
        assert_eq!((found.age_worst, found.age_max), (Some(11.0), Some(12.0)));
        assert_eq!(
            (found.steady_mean, found.steady_max),
            (Some(2.0), Some(3.0))
        );
        assert_eq!(found.settled_after, Some(3));
    }

    #[test]
    fn what_was_not_read_is_no_figure() {
        let found = figures(&[second(11, 1, 0.0, None)], &[]);
        assert_eq!((found.age_mean, found.age_median), (None, None));
        assert_eq!((found.settled_after, found.lag_max), (None, None));
    }

    #[test]
    fn what_ends_late_has_never_settled() {
        let check = |ages: &[f64], expected| {
            let seconds: Vec<Second> = (10..)
                .zip(ages)
                .map(|(at, age)| second(at, 1, 10.0, Some(*age)))
                .collect();
            assert_eq!(figures(&seconds, &[]).settled_after, expected, "{ages:?}");
        };
        check(&[1.0, 2.0], Some(0));
        check(&[1.0, 9.0, 2.0], Some(2));
        check(&[1.0, 9.0], None);
    }

    #[test]
    fn replica_minutes_count_what_was_asked_for_within_the_span() {
        // 3 replicas until second 15, though second 14 was not written down, then 6.
        let seconds = [
            second(8, 3, 0.0, None),
            second(12, 3, 0.0, None),
            second(13, 3, 0.0, None),
            second(15, 6, 0.0, None),
            second(40, 9, 0.0, None),
        ];
        let found = figures(&seconds, &[]).replica_minutes;
        assert!(
            (found - (5.0 * 3.0 + 15.0 * 6.0) / 60.0).abs() < 1e-9,
            "{found}"
        );
    }
}
