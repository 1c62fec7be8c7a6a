//! Tables: what the witnesses say, and what is made of it.

use std::time::Duration;

use super::{Arrivals, Inbound, SLOW_WINDOW, Slopes, WitnessTrouble, share, take_scatter_out};
use crate::world::policy as defaults;
use crate::{Cause, Policy, PrometheusObservation, Timestamp, Tuning};

/// The defaults: polls of 2 s.
fn policy() -> Policy {
    Policy {
        poll_interval: Duration::from_secs(2),
        ..defaults()
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

#[test]
fn a_surge_counts_in_full_and_a_hiccup_does_not() {
    let check = |(fast, short, slow), up, down| {
        // What was before is the rest of the short window: a step.
        let slopes = Slopes {
            fast,
            before: (3.0 * short - fast) / 2.0,
            short,
            slow,
        };
        let up_and_down = (slopes.up(&Arrivals::default(), &policy()), slopes.down());
        assert_eq!(up_and_down, (up, down), "{slopes:?}");
    };
    check((2_000.0, 1_300.0, 1_000.0), 2_000.0, 1_300.0);
    // Nothing for one poll, then twice as much.
    check((2_000.0, 1_000.0, 1_000.0), 1_000.0, 1_000.0);
    // What has clearly fallen is what it is; a little less than usual may be scatter.
    check((500.0, 500.0, 1_000.0), 500.0, 500.0);
    check((900.0, 900.0, 1_000.0), 950.0, 900.0);
    // 78 records in 6 s where 60 were usual: so many come by chance.
    check((20.0, 13.0, 10.0), 11.5, 13.0);
}

#[test]
fn a_rate_that_goes_on_rising_is_followed_to_where_it_is_now_and_a_step_is_not() {
    // The rate of the short window before, and of the last three fast windows.
    let check = |usual: u64, [earliest, before, fast]: [u64; 3], up: f64| {
        let mut arrivals = Arrivals::default();
        let polls = [0, usual, usual, usual, earliest, before, fast];
        for (number, rate) in (0..).zip(polls) {
            arrivals.note(at(2 * number), 2 * rate, &policy());
        }
        let slopes = Slopes {
            fast: fast as f64,
            before: before as f64,
            short: (earliest + before + fast) as f64 / 3.0,
            slow: 1_000.0,
        };
        let known = slopes.up(&arrivals, &policy());
        assert!((known - up).abs() < 1e-6, "{slopes:?}: {known}");
    };
    check(1_000, [1_200, 1_400, 1_600], 1_800.0);
    check(1_000, [1_200, 1_300, 1_600], 1_700.0);
    // It has only just begun to rise.
    check(1_150, [1_200, 1_400, 1_600], 1_650.0);
    // A step, seen in its first, its second and its third window.
    check(1_000, [1_000, 1_000, 2_000], 2_000.0);
    check(1_000, [1_000, 2_000, 2_000], 2_000.0);
    check(1_000, [2_000, 2_000, 2_000], 2_000.0);
    // And in the middle of one; the second within 300 s too.
    check(1_000, [1_000, 1_500, 2_000], 2_000.0);
    check(1_000, [1_500, 2_000, 2_000], 5_500.0 / 3.0);
    check(2_000, [2_000, 3_000, 4_000], 4_000.0);
    check(2_000, [2_000, 1_800, 1_600], 1_800.0);
    // A poll that was read late.
    check(2_000, [2_000, 2_000, 2_250], 6_250.0 / 3.0);
}

#[test]
fn witnesses_are_weighed() {
    let even = |rate| Slopes {
        fast: rate,
        before: rate,
        short: rate,
        slow: rate,
    };
    let prometheus = |records_per_second| PrometheusObservation::Known {
        records_per_second,
        at: at(1_000),
    };
    let check = |offsets, prometheus, now, up, trouble| {
        let inbound = Inbound::weigh(
            (offsets, &Arrivals::default(), None),
            prometheus,
            true,
            &policy(),
            at(now),
        );
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
        before: 1_250.0,
        short: 2_500.0,
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
    close(
        share((1e5, 1e6), (12.0, 100.0), 1.0, 10.0, &Tuning::default()),
        0.1,
    );
    close(
        share((1e5, 1e6), (20.0, 100.0), 1.0, 10.0, &Tuning::default()),
        0.2,
    );
    close(
        share((0.0, 0.0), (30.0, 100.0), 1.0, 10.0, &Tuning::default()),
        0.3,
    );
    close(
        share((0.0, 0.0), (0.0, 0.0), 1.0, 10.0, &Tuning::default()),
        0.1,
    );
    // Fifty of five hundred records, where 400 would be the word of one partition: hardly more than even.
    close(
        share((65.0, 500.0), (0.0, 0.0), 400.0, 10.0, &Tuning::default()),
        0.103,
    );
}

#[test]
fn scatter_counts_as_even_and_a_hot_partition_stays_hot() {
    let mut even = [0.255, 0.245, 0.26, 0.24];
    take_scatter_out(&mut even, 0.25, &Tuning::default());
    assert_eq!(even, [0.25; 4]);
    let mut hot = [0.5, 0.2, 0.2, 0.1];
    take_scatter_out(&mut hot, 0.25, &Tuning::default());
    assert!(hot[0] > 0.46 && hot[0] < 0.5, "{hot:?}");
    assert!((hot.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{hot:?}");
}
