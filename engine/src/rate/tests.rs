//! Tables: what the witnesses say, and what is made of it.

use super::{Inbound, SLOW_WINDOW, Slopes, WitnessTrouble, share, take_scatter_out};
use crate::{Cause, PrometheusObservation, Timestamp};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

#[test]
fn a_surge_counts_in_full_and_a_hiccup_does_not() {
    let check = |(fast, short, slow), up, down| {
        let slopes = Slopes { fast, short, slow };
        assert_eq!((slopes.up(), slopes.down()), (up, down), "{slopes:?}");
    };
    check((20.0, 13.0, 10.0), 20.0, 13.0);
    // Nothing for one poll, then twice as much.
    check((20.0, 10.0, 10.0), 10.0, 10.0);
    check((5.0, 5.0, 10.0), 7.5, 10.0);
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
        let inbound = Inbound::weigh(offsets, prometheus, true, at(now));
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
