//! Small groups in real time: one to eight replicas, loads that rise over minutes, and starts of 20 s to
//! 3 min. Most groups are like these; the scenarios of some 20 replicas are sped up beside them.
//!
//! Pods of 100 records/s on 24 partitions. A trace is scaled so that its 99 % quantile takes so many
//! full pods, and cut where a full group is 90 % busy; `openings` is taken as it is.

use super::{DAY, LIMIT, PARTITIONS, Scenario};
use crate::chance::Spread;
use crate::workload::{Replay, Trace, TraceError, Workload};
use crate::world::Protocol;

/// What one pod can do, records per second.
const CAPACITY: f64 = 100.0;

/// From a pod's creation to its joining, around a median of 20, 60 and 180 s.
pub(super) const START_20: Spread = Spread(&[13.0, 17.0, 20.0, 25.0, 30.0]);
pub(super) const START_60: Spread = Spread(&[40.0, 50.0, 60.0, 74.0, 90.0]);
pub(super) const START_180: Spread = Spread(&[120.0, 150.0, 180.0, 221.0, 270.0]);

pub(super) const APP04: &str = include_str!("../../traces/ms_mongo_app04_1min.csv");
pub(super) const MACHINE: &str = include_str!("../../traces/ms_mongo_machine_1min.csv");
const OPENINGS: &str = include_str!("../../traces/openings.csv");

/// A trace, which part of it, and how it is met.
struct Small {
    name: &'static str,
    about: &'static str,
    trace: &'static str,
    /// Recorded days, from the beginning of one to the beginning of another.
    days: (f64, f64),
    /// Full pods that the 99 % quantile takes; `None` as recorded.
    pods: Option<f64>,
    start: Spread,
    /// What users would set as `startupSeconds`.
    startup_seconds: u64,
    protocol: Protocol,
}

const SMALL: [Small; 9] = [
    Small {
        name: "openings-20",
        about: "14 openings from rest to 80..900 records/s within 5 min, half an hour each; starts of \
                20 s, cooperative group",
        trace: OPENINGS,
        days: (0.0, 1.0),
        pods: None,
        start: START_20,
        startup_seconds: 40,
        protocol: Protocol::Cooperative,
    },
    Small {
        name: "openings",
        about: "the openings with starts of 60 s",
        trace: OPENINGS,
        days: (0.0, 1.0),
        pods: None,
        start: START_60,
        startup_seconds: 120,
        protocol: Protocol::Cooperative,
    },
    Small {
        name: "openings-180",
        about: "the openings with starts of 3 min",
        trace: OPENINGS,
        days: (0.0, 1.0),
        pods: None,
        start: START_180,
        startup_seconds: 360,
        protocol: Protocol::Cooperative,
    },
    Small {
        name: "elb-1",
        about: "a day of the load balancer, p99 of one pod; starts of 20 s, KIP-848 group",
        trace: super::ELB,
        days: (1.0, 2.0),
        pods: Some(1.0),
        start: START_20,
        startup_seconds: 40,
        protocol: Protocol::Consumer,
    },
    Small {
        name: "elb-3",
        about: "2 days of the load balancer, p99 of 3 pods; starts of 60 s, cooperative group",
        trace: super::ELB,
        days: (1.0, 3.0),
        pods: Some(3.0),
        start: START_60,
        startup_seconds: 120,
        protocol: Protocol::Cooperative,
    },
    Small {
        name: "machine-3",
        about: "2 days of a database machine, a daily wave and a job's spike of a minute at midnight, p99 \
                of 3 pods; starts of 60 s, cooperative group",
        trace: MACHINE,
        days: (6.0, 8.0),
        pods: Some(3.0),
        start: START_60,
        startup_seconds: 120,
        protocol: Protocol::Cooperative,
    },
    Small {
        name: "app04-3",
        about: "2 days of an application with spikes that do not recur, p99 of 3 pods; starts of 60 s, \
                eager group",
        trace: APP04,
        days: (8.0, 10.0),
        pods: Some(3.0),
        start: START_60,
        startup_seconds: 120,
        protocol: Protocol::Eager,
    },
    Small {
        name: "app04-8",
        about: "a day of it, p99 of 8 pods; starts of 3 min, cooperative group",
        trace: APP04,
        days: (8.0, 9.0),
        pods: Some(8.0),
        start: START_180,
        startup_seconds: 360,
        protocol: Protocol::Cooperative,
    },
    Small {
        name: "aapl-3",
        about: "2 days of mentions with bursts, p99 of 3 pods; starts of 60 s, cooperative group",
        trace: super::AAPL,
        days: (16.0, 18.0),
        pods: Some(3.0),
        start: START_60,
        startup_seconds: 120,
        protocol: Protocol::Cooperative,
    },
];

// === impl Scenario ===

impl Scenario {
    /// The small group of this name; `None` for a name that there is not.
    pub(super) fn small(name: &str) -> Result<Option<Self>, TraceError> {
        let small = SMALL.iter().find(|small| small.name == name);
        small.map(Small::scenario).transpose()
    }
}

// === impl Small ===

impl Small {
    fn scenario(&self) -> Result<Scenario, TraceError> {
        let (from, until) = self.days;
        let trace = Trace::parse(self.trace)?.part(from * DAY, until * DAY)?;
        let high = self.pods.map_or(trace.high(), |pods| pods * CAPACITY);
        let per_second = trace.replay(Replay {
            speed: 1.0,
            high,
            limit: PARTITIONS as f64 * CAPACITY * LIMIT,
        });
        let load = Workload::even(per_second);
        let mut scenario = Scenario::usual(self.name, self.about, load, self.protocol);
        scenario.world.capacity = CAPACITY;
        scenario.world.start = self.start;
        scenario.startup_seconds = self.startup_seconds;
        scenario.begin_settled();
        Ok(scenario)
    }
}
