//! The two runs on real KEDA, HPA and Kafka that the simulator has to come out like, and how near it
//! comes.
//!
//! Minute by minute as they were read off: 100 partitions, pods of 100 records/s, 60 s from a pod to
//! Ready, sync 15 s; the published ScaledObject, once alone and once with the rate trigger that the
//! blueprint's article advises. Where a row of the record spans minutes, its figures are a range, and
//! each of its minutes has to lie in the range, give or take the tolerance. The pods of the record are
//! those of the Deployment.

use crate::chance::Spread;
use crate::contender::{Contender, Knowledge};
use crate::outcome::RunMinute;
use crate::scenario::Scenario;

/// How far pods may be off.
pub const PODS_TOLERANCE: f64 = 0.15;

/// How far the mean message time may be off.
pub const MESSAGE_TOLERANCE: f64 = 0.30;

/// The record begins with the load; when the ScaledObject came is not in it. Of 60, 75, 90 and 105 s
/// this brings the fewest minutes outside of the tolerance.
const APPLIED_AT_SECOND: u64 = 75;

/// From a pod to its first records in the real runs. Ready took 60 s, but the HPA does not look at
/// that, and the record shows new pods at work before: likewise the best of four.
const LAB_STARTS: Spread = Spread(&[30.0, 35.0, 45.0]);

/// One of the real runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// `lagThreshold` 10,000 alone; 1,000 records/s for 11 min, 5,000 for 15, then 1,000.
    LagOnly,
    /// And the rate trigger, 80 of a pod's 100 records/s; 1,000 for 5 min, 5,000 for 10.
    LagAndRate,
}

/// Some minutes of a real run: the least and the most of each figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReferenceRow {
    /// The first and the last minute, counted from 0.
    pub minutes: (usize, usize),
    /// Pods of the Deployment.
    pub pods: (f64, f64),
    /// Records processed per second.
    pub processed: (f64, f64),
    /// Mean message time, seconds.
    pub message_seconds: (f64, f64),
}

/// One minute, real and simulated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checked {
    /// Counted from 0.
    pub minute: usize,
    /// The real run.
    pub row: ReferenceRow,
    /// Pods, simulated.
    pub pods: f64,
    /// Records processed per second, simulated.
    pub processed: f64,
    /// Mean message time, simulated.
    pub message_seconds: f64,
    /// Whether the pods are near enough.
    pub pods_within: bool,
    /// Whether the message time is.
    pub message_within: bool,
}

const fn row(
    minutes: (usize, usize),
    pods: (f64, f64),
    processed: (f64, f64),
    message_seconds: (f64, f64),
) -> ReferenceRow {
    ReferenceRow {
        minutes,
        pods,
        processed,
        message_seconds,
    }
}

const LAG_ONLY: &[ReferenceRow] = &[
    row((0, 2), (10.0, 10.0), (1_000.0, 1_000.0), (2.5, 2.5)),
    row((3, 6), (5.0, 5.0), (500.0, 500.0), (24.0, 62.0)),
    row((7, 10), (7.0, 13.0), (670.0, 1_260.0), (50.0, 100.0)),
    row((11, 11), (13.0, 13.0), (1_300.0, 1_300.0), (50.0, 110.0)),
    row((12, 12), (23.0, 23.0), (1_900.0, 1_900.0), (80.0, 155.0)),
    row((13, 13), (33.0, 33.0), (1_900.0, 6_800.0), (80.0, 155.0)),
    row((14, 14), (43.0, 43.0), (1_900.0, 6_800.0), (80.0, 155.0)),
    row((15, 15), (53.0, 53.0), (1_900.0, 6_800.0), (80.0, 155.0)),
    row((16, 16), (63.0, 63.0), (1_900.0, 6_800.0), (80.0, 155.0)),
    row((17, 17), (73.0, 73.0), (1_900.0, 6_800.0), (80.0, 155.0)),
    row((18, 18), (82.0, 82.0), (6_800.0, 6_800.0), (80.0, 155.0)),
    row((20, 22), (57.0, 82.0), (5_000.0, 6_400.0), (73.0, 166.0)),
    row((23, 25), (57.0, 57.0), (5_040.0, 5_040.0), (110.0, 165.0)),
    row((26, 28), (31.0, 57.0), (1_850.0, 4_200.0), (110.0, 200.0)),
];

const LAG_AND_RATE: &[ReferenceRow] = &[
    row((1, 4), (13.0, 13.0), (1_000.0, 1_000.0), (1.6, 1.6)),
    row((5, 5), (13.0, 13.0), (1_300.0, 6_300.0), (52.0, 114.0)),
    row((6, 6), (23.0, 23.0), (1_300.0, 6_300.0), (52.0, 114.0)),
    row((7, 7), (33.0, 33.0), (1_300.0, 6_300.0), (52.0, 114.0)),
    row((8, 8), (43.0, 43.0), (1_300.0, 6_300.0), (52.0, 114.0)),
    row((9, 9), (53.0, 53.0), (1_300.0, 6_300.0), (52.0, 114.0)),
    row((10, 10), (63.0, 63.0), (1_300.0, 6_300.0), (52.0, 114.0)),
    row((11, 11), (72.0, 72.0), (6_300.0, 6_300.0), (52.0, 114.0)),
    row((12, 14), (64.0, 72.0), (4_500.0, 5_800.0), (88.0, 145.0)),
];

// === impl Reference ===

impl Reference {
    /// What was read off.
    pub fn rows(self) -> &'static [ReferenceRow] {
        match self {
            Self::LagOnly => LAG_ONLY,
            Self::LagAndRate => LAG_AND_RATE,
        }
    }

    /// The scenario of the run.
    pub fn scenario(self) -> Scenario {
        match self {
            Self::LagOnly => Scenario {
                applied_at_second: APPLIED_AT_SECOND,
                ..lab([11, 15, 3])
            },
            Self::LagAndRate => lab([5, 10, 0]),
        }
    }

    /// The policy of the run.
    pub fn contender(self) -> Contender {
        match self {
            Self::LagOnly => Contender::KedaBlueprint(100.0),
            Self::LagAndRate => Contender::KedaBlueprintRate(0.8),
        }
    }

    /// Each minute of the record beside the median of so many simulated runs.
    pub fn checked(self, seeds: u64) -> Vec<Checked> {
        let runs: Vec<Vec<RunMinute>> = (0..seeds).map(|seed| self.minutes(seed)).collect();
        let mut checked = Vec::new();
        for &row in self.rows() {
            for minute in row.minutes.0..=row.minutes.1 {
                let median = |figure: &dyn Fn(&RunMinute) -> f64| {
                    let minutes = runs.iter().filter_map(|run| run.get(minute));
                    crate::sweep::median(minutes.map(figure))
                };
                let pods = median(&|minute| f64::from(minute.replicas));
                let message_seconds = median(&|minute| minute.message_mean_seconds.unwrap_or(0.0));
                checked.push(Checked {
                    minute,
                    row,
                    pods,
                    processed: median(&|minute| minute.processed),
                    message_seconds,
                    pods_within: within(pods, row.pods, PODS_TOLERANCE),
                    message_within: within(message_seconds, row.message_seconds, MESSAGE_TOLERANCE),
                });
            }
        }
        checked
    }

    /// The simulated run, minute by minute.
    pub fn minutes(self, seed: u64) -> Vec<RunMinute> {
        let exact = Knowledge::Times(1.0);
        self.contender().run(&self.scenario(), exact, seed).minutes
    }
}

fn lab(minutes: [u64; 3]) -> Scenario {
    let mut scenario = Scenario::seed_of(100, minutes);
    scenario.world.start = LAB_STARTS;
    scenario
}

/// Whether a figure lies in a range, give or take a share of its ends.
pub fn within(figure: f64, (least, most): (f64, f64), tolerance: f64) -> bool {
    figure >= least * (1.0 - tolerance) && figure <= most * (1.0 + tolerance)
}
