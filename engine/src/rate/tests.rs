//! Tables: what the witnesses say, and what is made of it.

use super::{EndHistory, Inbound, SLOW_WINDOW, Slopes, WitnessTrouble, share, take_scatter_out};
use crate::{Cause, PartitionHistory, PrometheusObservation, Timestamp};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

/// A history polled every 5 s, its end given by `end`.
fn polled(from: u64, to: u64, end: impl Fn(u64) -> u64) -> EndHistory {
    let mut history = EndHistory::default();
    for second in (from..=to).step_by(5) {
        history.push(at(second), end(second));
    }
    history
}

#[test]
fn one_sample_has_no_slope_and_a_constant_rate_has_one_in_every_window() {
    assert_eq!(polled(0, 0, |_| 7).slopes(), None);
    for until in [5, 60, 290, 295, 300, 305, 1_000, 3_600] {
        let slopes = polled(0, until, |second| second * 40).slopes().unwrap();
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
    let slopes = polled(0, 605, doubled).slopes().unwrap();
    assert_eq!(slopes.fast, 20.0);
    assert!(slopes.short > 13.0 && slopes.short < 14.0);
    assert_eq!(slopes.up(), 20.0);
    assert!(slopes.down() < 14.0);
}

#[test]
fn a_hiccup_of_one_poll_is_no_surge() {
    // Nothing for one poll, then twice as much: the log is where it would have been.
    let hiccup = |second: u64| if second == 600 { 5_950 } else { second * 10 };
    let slopes = polled(0, 605, hiccup).slopes().unwrap();
    assert_eq!(slopes.fast, 20.0);
    assert_eq!(slopes.up(), 10.0);
}

#[test]
fn the_ring_stays_small_however_fast_it_is_fed() {
    let mut history = EndHistory::default();
    for millisecond in (0..2_000_000_u64).step_by(100) {
        history.push(Timestamp::from_millis(millisecond), millisecond);
    }
    assert!(history.samples.len() <= 45, "{}", history.samples.len());
    assert!((history.slopes().unwrap().slow - 1_000.0).abs() < 1e-6);
}

#[test]
fn a_seed_stands_for_the_slow_window_and_for_nothing_impossible() {
    let seed = |end| PartitionHistory { at: at(700), end };
    let mut history = polled(1_000, 1_000, |_| 30_000);
    history.seed(seed(0));
    assert_eq!(history.slopes().unwrap().slow, 100.0);
    for second in (1_005..1_300).step_by(5) {
        history.push(at(second), 30_000);
    }
    // The old rate leaves with the window, not before: 5 s of it are left after 295 s.
    let slow = history.slopes().unwrap().slow;
    assert!((slow - 100.0 * 5.0 / 300.0).abs() < 1e-9, "{slow}");
    let mut recreated = polled(1_000, 1_000, |_| 10);
    recreated.seed(seed(500));
    assert_eq!(recreated.slopes(), None);
}

#[test]
fn the_age_of_an_offset_is_interpolated_and_extended() {
    let history = polled(0, 600, |second| second * 10);
    assert_eq!(history.age_seconds(6_000, 10.0, at(600)), Some(0.0));
    assert_eq!(history.age_seconds(5_500, 10.0, at(600)), Some(50.0));
    let beyond = history.age_seconds(1_000, 10.0, at(600)).unwrap();
    assert!((beyond - 500.0).abs() < 1e-6, "{beyond}");
    assert_eq!(polled(0, 0, |_| 100).age_seconds(50, 0.0, at(0)), None);
}

#[test]
fn witnesses_are_weighed() {
    let even = |rate| Slopes {
        fast: rate,
        short: rate,
        slow: rate,
    };
    let prometheus = |records_per_second| PrometheusObservation::Known {
        records_per_second,
        at: at(1_000),
    };
    let check = |offsets, prometheus, now, up, trouble| {
        let inbound = Inbound::weigh(offsets, prometheus, at(now));
        assert_eq!(
            (inbound.up, inbound.trouble),
            (up, trouble),
            "{prometheus:?}"
        );
    };
    let none = WitnessTrouble::None;
    check(
        None,
        PrometheusObservation::NotConfigured,
        1_000,
        None,
        none,
    );
    check(None, prometheus(70.0), 1_000, Some(70.0), none);
    check(
        Some(even(100.0)),
        prometheus(130.0),
        1_000,
        Some(130.0),
        none,
    );
    check(
        Some(even(100.0)),
        prometheus(70.0),
        1_000,
        Some(100.0),
        none,
    );
    check(
        Some(even(100.0)),
        prometheus(230.0),
        1_000,
        Some(100.0),
        WitnessTrouble::Mismatch,
    );
    check(
        Some(even(100.0)),
        prometheus(40.0),
        1_000,
        Some(100.0),
        WitnessTrouble::Mismatch,
    );
    for (value, now, cause) in [
        (70.0, 1_091, Cause::Stale),
        (f64::NAN, 1_000, Cause::Malformed),
        (f64::INFINITY, 1_000, Cause::Malformed),
        (-1.0, 1_000, Cause::Malformed),
    ] {
        let trouble = WitnessTrouble::Missing(cause);
        check(
            Some(even(100.0)),
            prometheus(value),
            now,
            Some(100.0),
            trouble,
        );
    }
    // A minute's average lags behind a surge without contradicting it.
    let surge = Slopes {
        fast: 5_000.0,
        short: 2_333.0,
        slow: 1_000.0,
    };
    check(Some(surge), prometheus(1_000.0), 1_000, Some(5_000.0), none);
    assert_eq!(SLOW_WINDOW.as_secs(), 300);
}

#[test]
fn a_partition_keeps_its_usual_share_until_it_has_really_shifted() {
    let close = |share: f64, expected: f64| {
        assert!(
            (share - expected).abs() < 0.001,
            "{share}, expected {expected}"
        );
    };
    // Ten partitions; records by the hundred thousand leave nothing to doubt.
    close(share((1e5, 1e6), (12.0, 100.0), 1.0, 10.0), 0.1);
    close(share((1e5, 1e6), (20.0, 100.0), 1.0, 10.0), 0.2);
    close(share((0.0, 0.0), (30.0, 100.0), 1.0, 10.0), 0.3);
    close(share((0.0, 0.0), (0.0, 0.0), 1.0, 10.0), 0.1);
    // Fifty of five hundred records, where 400 would be the word of one partition: hardly more than even.
    close(share((65.0, 500.0), (0.0, 0.0), 400.0, 10.0), 0.103);
}

#[test]
fn scatter_counts_as_even_and_a_hot_partition_stays_hot() {
    let mut even = [0.255, 0.245, 0.26, 0.24];
    take_scatter_out(&mut even, 0.25);
    assert_eq!(even, [0.25; 4]);
    let mut hot = [0.5, 0.2, 0.2, 0.1];
    take_scatter_out(&mut hot, 0.25);
    assert!(hot[0] > 0.46 && hot[0] < 0.5, "{hot:?}");
    assert!((hot.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{hot:?}");
}
