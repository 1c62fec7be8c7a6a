//! The seed scenario: the published blueprint's own profile, of which two runs on real KEDA, HPA and
//! Kafka stand minute by minute in docs/scoreboard/seed-runs.md.
//!
//! Pods of 100 records/s in batches of a second, 60 s from a pod to Ready, 60 s until a rebalance has
//! settled, 1,000 records/s and then 5,000. The real runs had 100 partitions; with them 50 to 99 pods
//! all have a member that is exactly full, so the scenario is also run with 120 and 300.

use super::Scenario;
use crate::chance::Spread;
use crate::workload::Workload;
use crate::world::{Appearance, PodTroubles, Protocol, WorldSpec};

/// 60 s from a pod to Ready, as set in the real runs; a little more until it has joined.
const STARTS: Spread = Spread(&[60.0, 61.0, 62.0, 64.0]);

/// Each of the two rebalances of a cooperative group of 10 to 90 members.
const PAUSES: Spread = Spread(&[2.0, 4.0, 6.0, 9.0, 15.0]);

/// Minutes at 1,000, 5,000 and again 1,000 records/s.
const MINUTES: [u64; 3] = [10, 15, 5];

// === impl Scenario ===

impl Scenario {
    /// The scenario with so many partitions.
    pub fn seed(partitions: usize) -> Self {
        Self::seed_of(partitions, MINUTES)
    }

    /// With so many partitions and so many minutes at 1,000, 5,000 and 1,000 records/s.
    pub fn seed_of(partitions: usize, minutes: [u64; 3]) -> Self {
        let [before, during, after] = minutes.map(|minutes| minutes * 60);
        let world = WorldSpec {
            partitions,
            capacity: 100.0,
            batch_seconds: 1.0,
            commit_seconds: 1,
            protocol: Protocol::Cooperative,
            pause: PAUSES,
            start: STARTS,
            warm_up_seconds: 0,
            session_seconds: 10,
            pods: PodTroubles::default(),
            pods_at_start: 10,
            appearance: Appearance::default(),
        };
        Self {
            name: match partitions {
                100 => "seed-100",
                300 => "seed-300",
                _ => "seed",
            },
            about: "the published profile: 1,000, then 5,000, then 1,000 records/s on pods of 100",
            workload: Workload::steps(&[(1_000.0, before), (5_000.0, during), (1_000.0, after)]),
            world,
            max_replicas: 100,
            startup_seconds: 60,
            applied_at_second: 0,
            begins_at_minute: 0,
        }
    }
}
