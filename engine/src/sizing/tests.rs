//! Tables: replicas for a load, and when it is left.

use std::time::Duration;

use super::{Demand, whole_replicas};
use crate::assignor::{Assignor, Layout};

fn check(partitions: usize, total: f64, backlog: f64) -> (u32, impl Fn(u32) -> (bool, bool)) {
    let layout = Layout {
        assignor: Assignor::Balanced,
        topic_sizes: vec![partitions],
        members_per_replica: 1,
    };
    let inbound = vec![total / partitions as f64; partitions];
    let due = vec![backlog / partitions as f64; partitions];
    let with = move |ask: &dyn Fn(Demand<'_>) -> (u32, bool, bool)| {
        ask(Demand {
            layout: &layout,
            inbound: &inbound,
            due: &due,
            capacity: 100.0,
            target_utilization: 0.8,
            catch_up: Duration::from_secs(120),
            pause: Duration::from_secs(10),
            startup: Duration::from_secs(60),
        })
    };
    let size = with(&|demand| (demand.size(), false, false)).0;
    (size, move |replicas| {
        let (_, rate, lag) = with(&|demand| {
            (
                0,
                demand.rate_exceeds(replicas),
                demand.lag_exceeds(replicas),
            )
        });
        (rate, lag)
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
