//! A policy like cloud-run-kafka-scaler: lag against a target, scaled from what is there, through
//! windows like the HPA's.
//!
//! As published: it multiplies the present count by total lag over target, within a tolerance of
//! 10 %, caps at the partitions, and takes no decision at all while the members are not as many as the
//! instances it asked for. Up at most double or four in 15 s, down by half in 30 s after 300 s. It
//! sets the instances itself.

use std::time::Duration;

use crate::chance::whole;
use crate::hpa::{Behavior, DEFAULT_TOLERANCE, Hpa, Metric, Rules, ScalingPolicy, ToleranceRule};
use crate::scaler::{Answer, Scaler, Sight};

/// How often it decides.
const CYCLE_SECONDS: u64 = 15;

/// The policy and what it remembers.
#[derive(Clone, Debug)]
pub struct CloudRun {
    target_records: u64,
    windows: Hpa,
    wanted: Option<u32>,
}

// === impl CloudRun ===

impl CloudRun {
    /// A target of so many records of lag, and the bounds of the instances.
    pub fn new(target_records: u64, min_replicas: u32, max_replicas: u32) -> Self {
        let mut down = Rules::unlimited(Duration::from_secs(300), DEFAULT_TOLERANCE);
        down.policies.push(ScalingPolicy::Percent {
            percent: 50,
            period: Duration::from_secs(30),
        });
        Self {
            target_records,
            windows: Hpa::new(Behavior {
                min_replicas,
                max_replicas,
                up: Rules::default_up(DEFAULT_TOLERANCE),
                down,
                tolerance_rule: ToleranceRule::Between,
            }),
            wanted: None,
        }
    }
}

impl Scaler for CloudRun {
    fn look(&mut self, sight: Sight<'_>) {
        let (now, there) = (sight.world.now(), sight.world.replicas());
        let settled = self
            .wanted
            .is_none_or(|wanted| wanted == sight.world.members());
        if !now.is_multiple_of(CYCLE_SECONDS) || !settled {
            return;
        }
        let lag: u64 = sight.world.lags().iter().sum();
        let present = there.max(1);
        let metric = Metric {
            value_milli: Some(whole(
                f64::from(present) * lag as f64 / self.target_records as f64 * 1_000.0,
            )),
            target_milli: 1_000,
        };
        let outcome = self
            .windows
            .sync(sight.world.timestamp(), present, &[metric]);
        self.wanted = Some(match outcome {
            Some(_) if lag == 0 && there == 0 => 0,
            Some(outcome) => outcome.desired,
            None => there,
        });
    }

    fn answer(&mut self, sight: Sight<'_>) -> Answer {
        Answer::Replicas(self.wanted.unwrap_or_else(|| sight.world.replicas()))
    }
}
