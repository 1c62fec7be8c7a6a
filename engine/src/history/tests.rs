//! Tables: slopes and ages over columns, holes in them, partitions that come and go.

use super::EndHistory;
use crate::{PartitionHistory, Timestamp, Tuning};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

/// Histories of so many partitions.
fn new(partitions: usize) -> EndHistory {
    let mut history = EndHistory::default();
    history.rearrange(&vec![None; partitions]);
    history
}

fn poll(history: &mut EndHistory, second: u64, ends: &[Option<u64>]) {
    history.begin(at(second));
    for (place, end) in ends.iter().enumerate() {
        if let Some(end) = *end {
            history.of(place).note(at(second), end);
        }
    }
}

/// The slow slope of a partition.
fn slow(history: &mut EndHistory, place: usize) -> Option<f64> {
    history
        .slopes(place, &Tuning::default())
        .map(|slopes| slopes.slow)
}

/// A history of one partition polled every 5 s, its end given by `end`.
fn polled(from: u64, to: u64, end: impl Fn(u64) -> u64) -> EndHistory {
    let mut history = new(1);
    for second in (from..=to).step_by(5) {
        poll(&mut history, second, &[Some(end(second))]);
    }
    history
}

#[test]
fn one_sample_has_no_slope_and_a_constant_rate_has_one_in_every_window() {
    assert_eq!(polled(0, 0, |_| 7).slopes(0, &Tuning::default()), None);
    for until in [5, 60, 290, 295, 300, 305, 1_000, 3_600] {
        let slopes = polled(0, until, |second| second * 40)
            .slopes(0, &Tuning::default())
            .unwrap();
        assert_eq!(
            (slopes.fast, slopes.short, slopes.slow),
            (40.0, 40.0, 40.0),
            "at {until}"
        );
    }
}

#[test]
fn a_doubled_rate_shows_in_the_fast_window_after_one_poll() {
    let doubled = |second: u64| 10 * second + 10 * second.saturating_sub(600);
    let slopes = polled(0, 605, doubled)
        .slopes(0, &Tuning::default())
        .unwrap();
    assert_eq!(slopes.fast, 20.0);
    assert!(slopes.short > 13.0 && slopes.short < 14.0);
    assert_eq!(slopes.slow, 10.0 * 305.0 / 300.0);
}

#[test]
fn a_hiccup_of_one_poll_is_no_surge() {
    // Nothing for one poll, then twice as much: the log is where it would have been.
    let hiccup = |second: u64| if second == 600 { 5_950 } else { second * 10 };
    let slopes = polled(0, 605, hiccup)
        .slopes(0, &Tuning::default())
        .unwrap();
    assert_eq!((slopes.fast, slopes.short, slopes.slow), (20.0, 10.0, 10.0));
}

#[test]
fn the_columns_stay_few_however_fast_it_is_fed() {
    let mut history = new(1);
    for millisecond in (0..2_000_000_u64).step_by(100) {
        let at = Timestamp::from_millis(millisecond);
        history.begin(at);
        history.of(0).note(at, millisecond);
    }
    assert!(history.columns.len() <= 45, "{}", history.columns.len());
    assert!((history.slopes(0, &Tuning::default()).unwrap().slow - 1_000.0).abs() < 1e-6);
}

#[test]
fn a_seed_stands_for_the_slow_window_and_for_nothing_impossible() {
    let seed = |end| PartitionHistory { at: at(700), end };
    let mut history = polled(1_000, 1_000, |_| 30_000);
    history.of(0).seed(seed(0));
    assert_eq!(history.slopes(0, &Tuning::default()).unwrap().slow, 100.0);
    for second in (1_005..1_300).step_by(5) {
        poll(&mut history, second, &[Some(30_000)]);
    }
    // The old rate leaves with the window, not before: 5 s of it are left after 295 s.
    let slow = history.slopes(0, &Tuning::default()).unwrap().slow;
    assert!((slow - 100.0 * 5.0 / 300.0).abs() < 1e-9, "{slow}");
    let mut recreated = polled(1_000, 1_000, |_| 10);
    recreated.of(0).seed(seed(500));
    assert_eq!(recreated.slopes(0, &Tuning::default()), None);
}

#[test]
fn the_age_of_an_offset_is_interpolated_and_extended() {
    let history = polled(0, 600, |second| second * 10);
    assert_eq!(history.age_seconds(0, 6_000, 10.0, at(600)), Some(0.0));
    assert_eq!(history.age_seconds(0, 5_500, 10.0, at(600)), Some(50.0));
    let beyond = history.age_seconds(0, 1_000, 10.0, at(600)).unwrap();
    assert!((beyond - 500.0).abs() < 1e-6, "{beyond}");
    assert_eq!(polled(0, 0, |_| 100).age_seconds(0, 50, 0.0, at(0)), None);
}

#[test]
fn where_nothing_is_known_to_have_come_before_a_record_is_as_old_as_it_is_known() {
    // 100 records/s since 50 s before the first poll, or after the third.
    let mut seeded = polled(1_000, 1_000, |_| 5_000);
    seeded.of(0).seed(PartitionHistory {
        at: at(700),
        end: 0,
    });
    assert_eq!(seeded.age_seconds(0, 0, 17.0, at(1_000)), None);
    poll(&mut seeded, 1_010, &[Some(6_000)]);
    assert_eq!(seeded.age_seconds(0, 0, 17.0, at(1_060)), Some(60.0));
    assert_eq!(seeded.age_seconds(0, 5_500, 17.0, at(1_060)), Some(55.0));
    let mut quiet = new(1);
    for (second, end) in [(0, 0), (60, 0), (120, 0), (180, 1_000), (240, 7_000)] {
        poll(&mut quiet, second, &[Some(end)]);
    }
    assert_eq!(quiet.age_seconds(0, 0, 23.0, at(240)), Some(60.0));
    assert_eq!(quiet.age_seconds(0, 4_000, 23.0, at(240)), Some(30.0));
}

#[test]
fn a_hole_of_any_length_leaves_the_slope_from_before_it() {
    for hole_seconds in [5, 60, 400, 3_600] {
        let mut history = new(2);
        for second in (0..=600 + hole_seconds).step_by(5) {
            let other = Some(second);
            let read = second <= 600 || second == 600 + hole_seconds;
            poll(&mut history, second, &[read.then_some(second * 10), other]);
        }
        assert_eq!(slow(&mut history, 0), Some(10.0), "{hole_seconds} s");
        assert_eq!(slow(&mut history, 1), Some(1.0), "{hole_seconds} s");
    }
}

#[test]
fn partitions_keep_their_history_when_others_come_and_go() {
    let mut history = new(3);
    for second in (0..=400).step_by(5) {
        let ends = [Some(second), Some(second * 2), Some(second * 3)];
        poll(&mut history, second, &ends);
    }
    history.rearrange(&[Some(2), None, Some(0)]);
    assert_eq!(slow(&mut history, 0), Some(3.0));
    assert_eq!(slow(&mut history, 1), None);
    assert_eq!(slow(&mut history, 2), Some(1.0));
    history.of(2).forget();
    assert_eq!(slow(&mut history, 2), None);
}

#[test]
fn an_observation_out_of_order_adds_nothing() {
    let mut history = polled(0, 600, |second| second * 10);
    let before = history.clone();
    poll(&mut history, 597, &[Some(1)]);
    assert_eq!(history, before);
}
