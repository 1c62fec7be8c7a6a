//! Tables: windows, payback, and scale-ups that do not help.

use std::time::Duration;

use super::{Effect, Extreme, MOST_OUTGROWN, Outgrown, TrialView, Window, pays};
use crate::{Timestamp, Tuning};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

const MINUTE: Duration = Duration::from_secs(60);

const PAYBACK: Duration = Duration::from_secs(600);

#[test]
fn the_largest_of_a_window_stays_until_it_is_that_old() {
    let mut window = Window::default();
    let mut seen = Vec::new();
    for (second, n) in [
        (0, 5),
        (10, 9),
        (20, 3),
        (30, 4),
        (69, 3),
        (72, 2),
        (92, 2),
        (140, 1),
    ] {
        seen.push(window.add(n, Extreme::Largest, MINUTE, at(second)));
    }
    assert_eq!(seen, [5, 9, 9, 9, 9, 4, 3, 2]);
}

#[test]
fn the_smallest_of_a_window_is_the_mirror_image() {
    let mut window = Window::default();
    let mut seen = Vec::new();
    for (second, n) in [(0, 5), (10, 2), (20, 9), (69, 9), (72, 9)] {
        seen.push(window.add(n, Extreme::Smallest, MINUTE, at(second)));
    }
    assert_eq!(seen, [5, 2, 2, 2, 9]);
}

#[test]
fn a_window_knows_how_much_of_it_is_missing() {
    let mut window = Window::default();
    assert_eq!(window.missing(MINUTE, at(100)), MINUTE);
    window.add(1, Extreme::Largest, MINUTE, at(100));
    assert_eq!(window.missing(MINUTE, at(130)), Duration::from_secs(30));
    assert!(window.missing(MINUTE, at(160)).is_zero());
    window.restart();
    assert_eq!(window.missing(MINUTE, at(170)), MINUTE);
}

#[test]
fn a_window_is_bounded_and_forgets_on_time_when_polled_every_second() {
    let window_length = Duration::from_secs(300);
    let mut window = Window::default();
    for second in 0..1_000 {
        window.add(
            2_000 - u32::try_from(second).unwrap(),
            Extreme::Largest,
            window_length,
            at(second),
        );
        assert!(window.entries.len() <= 70);
    }
    let largest = window.add(0, Extreme::Largest, window_length, at(1_000));
    assert!((1_295..=1_305).contains(&largest), "{largest}");
}

#[test]
fn coming_down_has_to_save_more_than_its_pause_costs() {
    let ten = Duration::from_secs(10);
    assert!(pays((24, 12), 10.0, ten, PAYBACK));
    assert!(pays((2, 1), 0.8, ten, PAYBACK));
    assert!(!pays((100, 99), 80.0, ten, PAYBACK));
}

#[test]
fn two_scale_ups_that_brought_nothing_block_the_next_for_longer_each_time() {
    let mut effect = Effect::default();
    let mut now = 0;
    let mut records = 0;
    let mut blocks = Vec::new();
    for replicas in [4, 6, 8, 10, 12] {
        effect.begin(replicas, replicas + 2, 400.0);
        let mut until = None;
        for _ in 0..14 {
            now += 5;
            // 400 records/s, whatever the replicas.
            records += 2_000;
            let view = TrialView {
                observed: replicas + 2,
                processed_records: records,
                backlog: true,
                settled: true,
                inbound: 900.0,
            };
            until = effect.follow(view, 0.1, at(now));
        }
        blocks.push(until.map(|until| until.since(at(now)).as_secs() / 60));
        if let Some(until) = until {
            now = until.as_millis() / 1_000;
        }
    }
    assert_eq!(blocks, [None, Some(9), Some(19), Some(39), Some(59)]);
}

#[test]
fn a_scale_up_that_helps_and_a_rate_that_grows_clear_the_block() {
    let view = |now: u64, rate: u64, inbound| TrialView {
        observed: 8,
        processed_records: now * rate,
        backlog: true,
        settled: true,
        inbound,
    };
    let mut helped = Effect::default();
    helped.begin(4, 8, 400.0);
    for now in (0..200).step_by(5) {
        assert_eq!(helped.follow(view(now, 800, 900.0), 0.1, at(now)), None);
    }
    let mut blocked = Effect {
        strikes: 1,
        ..Effect::default()
    };
    blocked.begin(4, 8, 400.0);
    for now in (0..=60).step_by(5) {
        blocked.follow(view(now, 400, 900.0), 0.1, at(now));
    }
    assert!(blocked.follow(view(70, 400, 900.0), 0.1, at(70)).is_some());
    assert_eq!(blocked.follow(view(75, 400, 1_200.0), 0.1, at(75)), None);
}

#[test]
fn an_outgrown_count_is_remembered_until_the_rate_is_lower_or_a_day_is_over() {
    let tuning = Tuning::default();
    let mut outgrown = Outgrown::default();
    outgrown.note(7, 1_000.0, at(0));
    outgrown.note(5, 700.0, at(10));
    let check = |outgrown: &Outgrown, inbound, now, expected: Option<u32>| {
        let known = outgrown.too_few_for(inbound, &tuning, at(now));
        assert_eq!(known, expected, "{inbound} at {now}");
    };
    check(&outgrown, 900.0, 20, Some(7));
    check(&outgrown, 849.0, 20, Some(5));
    check(&outgrown, 594.0, 20, None);
    check(&outgrown, 900.0, 86_405, Some(5));
    check(&outgrown, 900.0, 86_411, None);
    // The same or more at a lower rate says all that was known.
    outgrown.note(7, 600.0, at(30));
    check(&outgrown, 520.0, 40, Some(7));
    assert_eq!(outgrown.counts.len(), 1);
    for count in 0..100 {
        outgrown.note(100 - count, f64::from(100 - count), at(50));
    }
    assert!(outgrown.counts.len() <= MOST_OUTGROWN);
}
