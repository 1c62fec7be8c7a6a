//! Who takes part: every policy with the setting of its main knob, how it gets its ScaledObject, and
//! its run of a scenario.
//!
//! A policy is a curve, not a point: rivals are swept over their knob, ours runs on its defaults.
//! Thresholds in records are given in seconds of a pod's capacity.

use std::time::Duration;

use evenkeel_engine::{Paused, Policy, Scaling};

use crate::chance::whole;
use crate::hpa::{Behavior, DEFAULT_TOLERANCE, Rules, ToleranceRule};
use crate::outcome::Outcome;
use crate::rivals::{
    Clocks, CloudRun, Even, Evenkeel, Flink, KedaTriggers, Oracle, default_policy,
};
use crate::run::{Run, ScaledObject};
use crate::scaler::Scaler;
use crate::scenario::Scenario;

/// What everybody is told of a pod's capacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Knowledge {
    /// The truth times this.
    Times(f64),
    /// Nothing: it has to be learned. Only ours can; others are given the truth.
    Learned,
}

/// A policy and the setting of its knob.
#[derive(Clone, Debug)]
pub enum Contender {
    /// KEDA's `kafka` trigger under the blueprint's ScaledObject; `lagThreshold` in seconds.
    KedaBlueprint(f64),
    /// The same with a `prometheus` trigger for the inbound rate, planned at this utilization.
    KedaBlueprintRate(f64),
    /// The `kafka` trigger under Kubernetes' default behaviour.
    KedaLag(f64),
    /// With a `prometheus` trigger for the inbound rate, planned at this utilization.
    KedaLagRate(f64),
    /// And `ensureEvenDistributionOfPartitions`.
    KedaLagRateEven(f64),
    /// And the rate's metric evened too, which KEDA cannot do.
    KedaLagRateAllEven(f64),
    /// Like cloud-run-kafka-scaler; target lag in seconds.
    CloudRun(f64),
    /// Like Flink's autoscaler; target utilization.
    Flink(f64),
    /// The reactive oracle; utilization of the busiest pod.
    Reactive(f64),
    /// The clairvoyant oracle.
    Clairvoyant(f64),
    /// Ours.
    Evenkeel(Box<Setting>),
}

/// How ours is set where it is not the default.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// What is different, in words; empty for the defaults.
    pub name: &'static str,
    /// The policy is changed by this.
    pub change: Option<fn(&mut Policy)>,
    /// With the Prometheus baseline.
    pub with_prometheus: bool,
    /// Asking Kubernetes which replicas there are.
    pub with_kubernetes: bool,
}

/// The lag threshold beside a rate trigger, seconds of a pod's capacity.
const LAG_BESIDE_RATE_SECONDS: f64 = 10.0;

/// The blueprint's `lagThreshold`, seconds of a pod's capacity: 10,000 records at 100 records/s.
const BLUEPRINT_LAG_SECONDS: f64 = 100.0;

/// How far the clairvoyant oracle sees: a pod's start, the HPA's sync, a rebalance.
const CLAIRVOYANT_SECONDS: u64 = 90;

/// The bounds of a ScaledObject, as Kubernetes tells them.
pub(crate) fn scaling(object: &ScaledObject) -> Scaling {
    Scaling {
        min: object.min_replicas,
        max: object.max_replicas,
        idle: None,
        tolerance_up: object.behavior.up.tolerance,
        tolerance_down: object.behavior.down.tolerance,
        paused: Paused::No,
    }
}

// === impl Knowledge ===

impl Knowledge {
    /// In words.
    pub fn label(self) -> String {
        match self {
            Self::Times(times) if (times - 1.0).abs() < f64::EPSILON => "exact".to_owned(),
            Self::Times(times) => format!("x {times}"),
            Self::Learned => "learned".to_owned(),
        }
    }
}

// === impl Setting ===

impl Setting {
    /// The defaults with one change.
    pub fn changed(name: &'static str, change: fn(&mut Policy)) -> Self {
        Self {
            name,
            change: Some(change),
            ..Self::default()
        }
    }
}

// === impl Contender ===

impl Contender {
    /// Ours on its defaults.
    pub fn evenkeel() -> Self {
        Self::Evenkeel(Box::default())
    }

    /// Ours, learning a calendar of the load's days as they go by.
    pub fn with_calendar() -> Self {
        let setting = Setting::changed("calendar on", |policy| policy.learns_calendar = true);
        Self::Evenkeel(Box::new(setting))
    }

    /// Every rival and oracle at every setting of its knob.
    pub fn sweep() -> Vec<Self> {
        let each = |make: fn(f64) -> Self, knobs: &[f64]| -> Vec<Self> {
            knobs.iter().map(|knob| make(*knob)).collect()
        };
        let utilizations = [0.6, 0.7, 0.8, 0.9];
        [
            each(Self::KedaBlueprint, &[10.0, 30.0, 100.0]),
            each(Self::KedaBlueprintRate, &[0.8]),
            each(Self::KedaLag, &[1.0, 2.0, 5.0, 10.0, 30.0, 100.0]),
            each(Self::KedaLagRate, &utilizations),
            each(Self::KedaLagRateEven, &utilizations),
            each(Self::KedaLagRateAllEven, &utilizations),
            each(Self::CloudRun, &[10.0, 30.0, 100.0, 300.0]),
            each(Self::Flink, &[0.5, 0.6, 0.7, 0.8]),
            each(
                Self::Reactive,
                &[0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0],
            ),
            each(Self::Clairvoyant, &[0.7, 0.8, 0.9]),
        ]
        .concat()
    }

    /// The policy's name, without its knob.
    pub fn name(&self) -> String {
        match self {
            Self::KedaBlueprint(_) => "KEDA lag (blueprint)".to_owned(),
            Self::KedaBlueprintRate(_) => "KEDA lag + rate (blueprint)".to_owned(),
            Self::KedaLag(_) => "KEDA lag".to_owned(),
            Self::KedaLagRate(_) => "KEDA lag + rate".to_owned(),
            Self::KedaLagRateEven(_) => "KEDA lag + rate, even".to_owned(),
            Self::KedaLagRateAllEven(_) => "KEDA lag + rate, all even (imagined)".to_owned(),
            Self::CloudRun(_) => "cloud-run-like".to_owned(),
            Self::Flink(_) => "Flink-like".to_owned(),
            Self::Reactive(_) => "reactive oracle".to_owned(),
            Self::Clairvoyant(_) => "clairvoyant oracle".to_owned(),
            Self::Evenkeel(setting) if setting.name.is_empty() => "evenkeel".to_owned(),
            Self::Evenkeel(setting) => format!("evenkeel, {}", setting.name),
        }
    }

    /// The knob's setting, in words; empty for ours.
    pub fn knob(&self) -> String {
        match self {
            Self::KedaBlueprint(seconds) | Self::KedaLag(seconds) | Self::CloudRun(seconds) => {
                format!("{seconds} s")
            }
            Self::KedaBlueprintRate(utilization)
            | Self::KedaLagRate(utilization)
            | Self::KedaLagRateEven(utilization)
            | Self::KedaLagRateAllEven(utilization)
            | Self::Flink(utilization)
            | Self::Reactive(utilization)
            | Self::Clairvoyant(utilization) => format!("{utilization}"),
            Self::Evenkeel(_) => String::new(),
        }
    }

    /// Builds the policy for a scenario.
    pub fn scaler(&self, scenario: &Scenario, knowledge: Knowledge, seed: u64) -> Box<dyn Scaler> {
        let truth = scenario.world.capacity;
        let known = match knowledge {
            Knowledge::Times(times) => truth * times,
            Knowledge::Learned => truth,
        };
        let records = |seconds: f64| whole(seconds * known).max(1);
        let triggers = |seconds: f64, rate: Option<f64>, even| {
            Box::new(KedaTriggers {
                lag_threshold_records: records(seconds),
                rate_threshold: rate.map(|utilization| utilization * known),
                even,
            })
        };
        let beside = LAG_BESIDE_RATE_SECONDS;
        let oracle = |utilization, ahead_seconds| {
            Box::new(Oracle {
                utilization,
                ahead_seconds,
                capacity: known,
            })
        };
        match *self {
            Self::KedaBlueprint(seconds) | Self::KedaLag(seconds) => {
                triggers(seconds, None, Even::No)
            }
            Self::KedaBlueprintRate(utilization) => {
                triggers(BLUEPRINT_LAG_SECONDS, Some(utilization), Even::No)
            }
            Self::KedaLagRate(utilization) => triggers(beside, Some(utilization), Even::No),
            Self::KedaLagRateEven(utilization) => triggers(beside, Some(utilization), Even::Lag),
            Self::KedaLagRateAllEven(utilization) => {
                triggers(beside, Some(utilization), Even::Both)
            }
            Self::CloudRun(seconds) => {
                Box::new(CloudRun::new(records(seconds), 1, scenario.max_replicas))
            }
            Self::Flink(utilization) => {
                Box::new(Flink::new(utilization, known, scenario.max_replicas))
            }
            Self::Reactive(utilization) => oracle(utilization, 0),
            Self::Clairvoyant(utilization) => oracle(utilization, CLAIRVOYANT_SECONDS),
            Self::Evenkeel(ref setting) => {
                let capacity = (knowledge != Knowledge::Learned).then_some(known);
                let mut policy = default_policy(capacity, scenario.startup_seconds);
                policy.max_replicas = Some(scenario.max_replicas);
                if let Some(change) = setting.change {
                    change(&mut policy);
                }
                let clocks = Clocks {
                    begins: scenario.begins_at_minute,
                    change: None,
                };
                let ours = Evenkeel::new(policy, setting.with_prometheus, seed).with_clocks(clocks);
                Box::new(if setting.with_kubernetes {
                    ours.with_kubernetes(scaling(&self.object(scenario)))
                } else {
                    ours
                })
            }
        }
    }

    /// The ScaledObject that it comes with.
    pub fn object(&self, scenario: &Scenario) -> ScaledObject {
        let (up, down) = match self {
            Self::KedaBlueprint(_) | Self::KedaBlueprintRate(_) => {
                (Rules::blueprint_up(), Rules::blueprint_down())
            }
            // What docs/keda.md tells our users to set: one window is enough, and it is ours.
            Self::Evenkeel(_) => (
                Rules::unlimited(Duration::ZERO, 0.0),
                Rules::unlimited(Duration::ZERO, 0.0),
            ),
            Self::Reactive(_) | Self::Clairvoyant(_) => (
                Rules::unlimited(Duration::ZERO, 0.0),
                Rules::unlimited(Duration::from_secs(300), 0.0),
            ),
            _ => (
                Rules::default_up(DEFAULT_TOLERANCE),
                Rules::unlimited(Duration::from_secs(300), DEFAULT_TOLERANCE),
            ),
        };
        ScaledObject {
            min_replicas: 0,
            max_replicas: scenario.max_replicas,
            cooldown: Duration::from_secs(300),
            behavior: Behavior {
                min_replicas: 1,
                max_replicas: scenario.max_replicas,
                up,
                down,
                tolerance_rule: ToleranceRule::Between,
            },
            fallback: None,
        }
    }

    /// One run of a scenario with it.
    pub fn run(&self, scenario: &Scenario, knowledge: Knowledge, seed: u64) -> Outcome {
        Run::new(
            &scenario.workload,
            scenario.world,
            self.scaler(scenario, knowledge, seed),
            self.object(scenario),
            scenario.applied_at_second,
            seed,
        )
        .to_the_end()
    }
}
