//! Tables: replicas for a load, and when it is left.

use std::time::Duration;

use super::{Demand, whole_replicas};
use crate::assignor::{Assignor, Layout, Present};
use crate::rate::Rise;
use crate::world::policy;

/// Asks about so many even partitions, replicas of 100 records/s and what waits.
fn about<R>(partitions: usize, total: f64, backlog: f64, ask: impl FnOnce(Demand<'_>) -> R) -> R {
    ask(Demand {
        policy: &policy(),
        layout: &Layout {
            assignor: Assignor::Balanced,
            topic_sizes: vec![partitions],
            members_per_replica: 1,
            present: None,
        },
        inbound: &vec![total / partitions as f64; partitions],
        rise: None,
        due: &vec![backlog / partitions as f64; partitions],
        capacity: 100.0,
        present: f64::INFINITY,
        pause: Duration::from_secs(10),
        startup: Duration::from_secs(60),
    })
}

fn check(partitions: usize, total: f64, backlog: f64) -> (u32, impl Fn(u32) -> (bool, bool)) {
    let size = about(partitions, total, backlog, |demand| demand.size());
    (size, move |replicas| {
        about(partitions, total, backlog, |demand| {
            (demand.rate_exceeds(replicas), demand.lag_exceeds(replicas))
        })
    })
}

#[test]
fn the_size_is_what_the_busiest_replica_needs() {
    for (partitions, total, backlog, expected) in [
        // The demo: 24 partitions, 83 % busy with two each; 80 % strictly would take 24.
        (24, 1_000.0, 0.0, 12),
        (120, 1_000.0, 0.0, 12),
        (120, 5_000.0, 0.0, 60),
        // Finely divisible: the target utilization itself.
        (1_000, 10_000.0, 0.0, 125),
        // Two of 50/s each would leave no headroom at all.
        (100, 5_000.0, 0.0, 100),
        (24, 0.0, 0.0, 1),
        // 24,000 records in 120 s are 200/s more than what comes in, not than what is planned for.
        (24, 1_000.0, 24_000.0, 24),
        (1_000, 10_000.0, 24_000.0, 125),
        (1_000, 10_000.0, 600_000.0, 167),
    ] {
        let (size, _) = check(partitions, total, backlog);
        assert_eq!(
            size, expected,
            "{partitions} partitions, {total}/s, {backlog} records"
        );
    }
}

#[test]
fn nothing_is_left_before_its_line_is_passed() {
    for (total, backlog, replicas, expected) in [
        (1_000.0, 0.0, 12, (false, false)),
        (1_100.0, 0.0, 12, (false, false)),
        (1_130.0, 0.0, 12, (true, false)),
        (1_000.0, 0.0, 8, (true, true)),
        // 200 records/s are free: 50,000 take 250 s, which is less than twice 120 s and a start.
        (1_000.0, 50_000.0, 12, (false, false)),
        (1_000.0, 70_000.0, 12, (false, true)),
        (0.0, 0.0, 0, (true, true)),
    ] {
        let (_, exceeds) = check(24, total, backlog);
        assert_eq!(
            exceeds(replicas),
            expected,
            "{total}/s, {backlog} on {replicas}"
        );
    }
}

#[test]
fn shares_of_replicas_are_rounded_up_and_saturate() {
    for (share, replicas) in [
        (0.0, 1),
        (1.0, 1),
        (1.000_000_000_01, 1),
        (1.1, 2),
        (f64::INFINITY, u32::MAX),
        (f64::NAN, 1),
    ] {
        assert_eq!(whole_replicas(share), replicas, "{share}");
    }
}

#[test]
fn the_backlog_that_grows_while_replicas_start_is_foreseen() {
    let layout = Layout {
        assignor: Assignor::Balanced,
        topic_sizes: vec![1_000],
        members_per_replica: 1,
        present: None,
    };
    let inbound = [5.0; 1_000];
    let size = |replicas_there: f64, startup| {
        Demand {
            policy: &policy(),
            layout: &layout,
            inbound: &inbound,
            rise: None,
            due: &[],
            capacity: 100.0,
            present: replicas_there * 100.0,
            pause: Duration::from_secs(0),
            startup: Duration::from_secs(startup),
        }
        .size()
    };
    assert_eq!(size(50.0, 60), 63);
    // Half of 100 s' worth of 4,000 records/s in 120 s, on top of 5,000 records/s.
    assert_eq!(size(10.0, 100), 67);
    // From zero: half of everything. Never more of a start than one catch-up time.
    assert_eq!(size(0.0, 60), 63);
    assert_eq!(size(0.0, 120), 77);
    assert_eq!(size(0.0, 600), 77);
}

#[test]
fn a_bad_hand_is_seen_where_it_was_dealt() {
    // Two heavy partitions on one of four replicas: 160 records/s of 200 in all.
    let mut inbound = [4.0; 12];
    inbound[0] = 80.0;
    inbound[1] = 80.0;
    let exceeds = |owners: [u32; 12], replicas| {
        let layout = Layout {
            assignor: Assignor::Balanced,
            topic_sizes: vec![12],
            members_per_replica: 1,
            present: Some(Present {
                replicas: 4,
                owners: owners.map(Some).to_vec(),
            }),
        };
        let demand = Demand {
            policy: &policy(),
            layout: &layout,
            inbound: &inbound,
            rise: None,
            due: &[],
            capacity: 150.0,
            present: 600.0,
            pause: Duration::from_secs(10),
            startup: Duration::from_secs(60),
        };
        (demand.rate_exceeds(replicas), demand.size())
    };
    let apart = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3];
    let together = [0, 0, 2, 3, 1, 1, 2, 3, 0, 1, 2, 3];
    assert_eq!(exceeds(apart, 4), (false, 3));
    assert_eq!(exceeds(together, 4), (true, 6));
    // What another count would be dealt is not known.
    assert!(!exceeds(together, 6).0);
}

/// 24 partitions at `total`, which a rise makes `soon` and then `ahead` times as much: what is asked for,
/// and which counts are too few.
fn rising(total: f64, soon: f64, ahead: f64) -> (u32, impl Fn(u32) -> bool) {
    let rise = Some(Rise {
        soon,
        ahead,
        slope: (soon - 1.0) / 60.0,
    });
    let size = about(24, total, 0.0, |demand| Demand { rise, ..demand }.size());
    (size, move |replicas| {
        about(24, total, 0.0, |demand| {
            Demand { rise, ..demand }.rate_exceeds(replicas)
        })
    })
}

#[test]
fn a_rise_asks_ahead_for_one_more_at_once_and_for_many_only_when_records_would_wait() {
    for (total, times, expected) in [
        // One replica is full at 100/s, two at 200/s, three at 300/s.
        (80.0, 1.2, 1),
        (80.0, 1.3, 2),
        (80.0, 3.0, 3),
        // 12 are full at 1,200/s. For 1.1 times that a record waits 0.9 s, for twice that 25 s.
        (1_000.0, 1.32, 12),
        (1_000.0, 3.0, 24),
    ] {
        let (size, exceeds) = rising(total, times, times);
        assert_eq!(size, expected, "{total}/s, {times} times as much");
        assert!(!exceeds(size), "what is chosen is not left at once");
    }
}

#[test]
fn what_a_rise_asks_for_is_sized_for_later_than_it_is_asked_for_by() {
    // 80/s that become 180/s and then 230/s: two replicas are full at 200/s.
    let (size, exceeds) = rising(80.0, 2.25, 2.875);
    assert_eq!(size, 3);
    assert!(exceeds(1) && !exceeds(2));
}
