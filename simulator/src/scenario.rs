//! The scenarios: which load meets which world.
//!
//! The traces differ in size by five orders of magnitude; each is scaled so that its 99 % quantile
//! takes 70 % of a full group, and cut where a full group is 90 % busy. They are sped up so that what
//! was recorded over days fits into some, and so that their bursts are as sudden as those of the
//! product's users: within a minute, or less.

mod odd;
mod seed;
mod small;
mod weeks;

pub use odd::ODD;
pub use weeks::{WEEKS, Weeks};

use crate::chance::Spread;
use crate::workload::{
    Disturbance, Replay, Skew, Trace, TraceError, Trouble, Workload, market_day,
};
use crate::world::{Appearance, PodTroubles, Protocol, WorldSpec};

/// A load and the world that it meets.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// One word.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// The load.
    pub workload: Workload,
    /// The world.
    pub world: WorldSpec,
    /// `maxReplicaCount`.
    pub max_replicas: u32,
    /// What users would set as `startupSeconds`.
    pub startup_seconds: u64,
    /// When the ScaledObject is applied, in seconds after the load began.
    pub applied_at_second: u64,
    /// The minute since 1970-01-01 at which the load begins, where days matter; else 0.
    pub begins_at_minute: u32,
}

/// Partitions of the scenarios that name no other number.
const PARTITIONS: usize = 24;

/// Records per second of a pod in the scenarios that name no other.
const CAPACITY: f64 = 1_000.0;

/// The 99 % quantile of a trace, as a share of what all partitions with a pod each can do.
const HIGH: f64 = 0.7;

/// Where a trace is cut, likewise.
const LIMIT: f64 = 0.9;

/// From a pod's creation to its joining: an image that is there, a JVM or a Python that starts.
const STARTS: Spread = Spread(&[20.0, 25.0, 30.0, 37.0, 45.0]);

/// Eager rebalances of a group of this size: everybody has to notice, rejoin and be assigned.
const EAGER_PAUSES: Spread = Spread(&[3.0, 6.0, 8.0, 11.0, 16.0]);

/// Each of the two rebalances of a cooperative group.
const COOPERATIVE_PAUSES: Spread = Spread(&[1.0, 2.0, 3.0, 4.0, 7.0]);

/// KIP-848: what moves waits for two heartbeats of 5 s at most.
const CONSUMER_PAUSES: Spread = Spread(&[1.0, 3.0, 5.0, 7.0, 10.0]);

/// Seconds of a recorded day.
const DAY: f64 = 86_400.0;

/// The names of the built-in scenarios, in the order of the scoreboard.
pub const NAMES: [&str; 22] = [
    "ads",
    "elb",
    "aapl",
    "taxi",
    "market",
    "steps",
    "rough",
    "stalls",
    "hot",
    "downstream",
    "seed-100",
    "seed",
    "seed-300",
    "openings-20",
    "openings",
    "openings-180",
    "elb-1",
    "elb-3",
    "machine-3",
    "app04-3",
    "app04-8",
    "aapl-3",
];

const ADS: &str = include_str!("../traces/ads_1hz.csv");
const ELB: &str = include_str!("../traces/elb_5min.csv");
const AAPL: &str = include_str!("../traces/tweets_aapl_5min.csv");
const TAXI: &str = include_str!("../traces/nyc_taxi_30min.csv");

// === impl Scenario ===

impl Scenario {
    /// A built-in scenario by its name; `None` for a name that there is not.
    ///
    /// # Errors
    /// When a built-in trace cannot be read, which a test rules out.
    pub fn named(name: &str) -> Result<Option<Self>, TraceError> {
        Ok(Some(match name {
            "ads" => Self::trace(
                "ads",
                "6 h of an ad stream at 1 Hz, three slow waves with noise; eager group",
                &Trace::parse(ADS)?,
                1.0,
                Protocol::Eager,
            ),
            "elb" => Self::trace(
                "elb",
                "a week of a load balancer, spiky, 5 times as fast; cooperative group",
                &Trace::parse(ELB)?.part(0.0, 7.0 * DAY)?,
                5.0,
                Protocol::Cooperative,
            ),
            "aapl" => Self::trace(
                "aapl",
                "4 weeks of mentions, quiet with rare bursts, 15 times as fast; cooperative group",
                &Trace::parse(AAPL)?.part(27.0 * DAY, 55.0 * DAY)?,
                15.0,
                Protocol::Cooperative,
            ),
            "taxi" => Self::trace(
                "taxi",
                "10 weeks of taxi rides with four holidays and a snow storm, 60 times as fast; \
                 KIP-848 group",
                &Trace::parse(TAXI)?.part(145.0 * DAY, 215.0 * DAY)?,
                60.0,
                Protocol::Consumer,
            ),
            "market" => Self::market(),
            "steps" => Self::steps(),
            "stalls" => Self::stalls(),
            "hot" => Self::hot(),
            "downstream" => Self::downstream(),
            "rough" => Self::rough(),
            "seed" => Self::seed(120),
            "seed-100" => Self::seed(100),
            "seed-300" => Self::seed(300),
            _ => {
                return match Self::odd(name) {
                    Some(odd) => Ok(Some(odd)),
                    None => Self::small(name),
                };
            }
        }))
    }

    /// A trace on the usual world, at this speed.
    pub fn trace(
        name: &'static str,
        about: &'static str,
        trace: &Trace,
        speed: f64,
        protocol: Protocol,
    ) -> Self {
        let full = PARTITIONS as f64 * CAPACITY;
        let per_second = trace.replay(Replay {
            speed,
            high: full * HIGH,
            limit: full * LIMIT,
        });
        Self::usual(name, about, Workload::even(per_second), protocol)
    }

    /// A load on the usual world: 24 partitions, pods of 1,000 records/s.
    pub fn usual(
        name: &'static str,
        about: &'static str,
        workload: Workload,
        protocol: Protocol,
    ) -> Self {
        let world = WorldSpec {
            partitions: PARTITIONS,
            capacity: CAPACITY,
            batch_seconds: 1.0,
            commit_seconds: 1,
            protocol,
            pause: match protocol {
                Protocol::Eager => EAGER_PAUSES,
                Protocol::Cooperative => COOPERATIVE_PAUSES,
                Protocol::Consumer => CONSUMER_PAUSES,
            },
            start: STARTS,
            warm_up_seconds: 10,
            session_seconds: 10,
            pods: PodTroubles::default(),
            pods_at_start: 0,
            appearance: Appearance::default(),
        };
        let mut scenario = Self {
            name,
            about,
            workload,
            world,
            max_replicas: u32::try_from(PARTITIONS).unwrap_or(u32::MAX),
            startup_seconds: 60,
            applied_at_second: 0,
            begins_at_minute: 0,
        };
        scenario.begin_settled();
        scenario
    }

    /// The pods at the start are those that the first second needs, at 80 %.
    fn begin_settled(&mut self) {
        let rate = self.workload.rate(0);
        let share = rate / (self.world.capacity * 0.8);
        let pods = u32::try_from(crate::chance::whole(share.ceil())).unwrap_or(u32::MAX);
        self.world.pods_at_start = pods.min(self.max_replicas);
    }

    fn market() -> Self {
        let mut workload = Workload::even(market_day(24.0 * CAPACITY * HIGH));
        workload.skew = Skew::RootZipf;
        let mut scenario = Self::usual(
            "market",
            "a market day with bursts at open and close, a netting batch, idle hours; 48 skewed \
             partitions, cooperative group",
            workload,
            Protocol::Cooperative,
        );
        scenario.world.partitions = 48;
        scenario.max_replicas = 48;
        scenario
    }

    fn steps() -> Self {
        let high = PARTITIONS as f64 * CAPACITY * HIGH;
        let half_an_hour = |share: f64| (high * share, 1_800);
        let steps = [0.1, 1.0, 0.1, 0.5, 0.25, 1.0, 0.0, 0.6, 0.0].map(half_an_hour);
        Self::usual(
            "steps",
            "half hours at 10, 100, 10, 50, 25, 100, 0, 60 and 0 % of the high load; eager group",
            Workload::steps(&steps),
            Protocol::Eager,
        )
    }

    /// A stall lets nothing through; what it held back comes with the rest afterwards, three times the
    /// load for half as long.
    fn stalls() -> Self {
        let full = PARTITIONS as f64 * CAPACITY;
        let mut steps = Vec::new();
        for (level, calm, stalls) in [
            (0.1, 600, &[5, 10, 20][..]),
            (0.4, 60, &[10]),
            (0.4, 600, &[5, 10, 20, 5, 10, 20]),
            (0.0, 600, &[]),
        ] {
            for stall in stalls {
                let stalled = [
                    (level * full, calm),
                    (0.0, *stall),
                    (3.0 * level * full, stall / 2),
                ];
                steps.extend(stalled);
            }
            steps.push((level * full, calm));
        }
        Self::usual(
            "stalls",
            "half an hour at 10 % and more than an hour at 40 % of a full group; every ten minutes, \
             and a minute after the step, producers stall for 5, 10 or 20 s and make up for it; \
             cooperative group",
            Workload::steps(&steps),
            Protocol::Cooperative,
        )
    }

    fn hot() -> Self {
        let mut workload = Workload::steps(&[(0.4 * PARTITIONS as f64 * CAPACITY, 7_200)]);
        let hot = Trouble::Hot {
            partition: 7,
            times: 4.0,
        };
        workload.disturbances = vec![
            Disturbance {
                from: 1_800,
                until: 3_600,
                what: hot,
            },
            Disturbance {
                from: 5_400,
                until: 7_200,
                what: Trouble::Poison { partition: 3 },
            },
        ];
        Self::usual(
            "hot",
            "a constant load; for half an hour one partition is hotter than a pod, for another one \
             cannot be processed; cooperative group",
            workload,
            Protocol::Cooperative,
        )
    }

    fn downstream() -> Self {
        let full = PARTITIONS as f64 * CAPACITY;
        let mut workload = Workload::steps(&[(0.4 * full, 10_800)]);
        workload.disturbances = vec![Disturbance {
            from: 1_800,
            until: 5_400,
            what: Trouble::Downstream {
                records_per_second: 0.3 * full,
            },
        }];
        Self::usual(
            "downstream",
            "a constant load; for an hour the database takes only three quarters of it; \
             cooperative group",
            workload,
            Protocol::Cooperative,
        )
    }

    fn rough() -> Self {
        let mut scenario = Self::steps();
        scenario.name = "rough";
        scenario.about = "the steps again with crashing pods, slow nodes, pods that never join and \
                          slow starts; eager group";
        scenario.world.pods = PodTroubles {
            crashes_an_hour: 0.2,
            slow_share: 0.1,
            never_joining_share: 0.02,
        };
        scenario.world.start = Spread(&[20.0, 30.0, 45.0, 70.0, 150.0]);
        scenario.world.session_seconds = 45;
        scenario
    }
}
