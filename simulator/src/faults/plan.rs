//! What one run of the swarm is made of: world, load, policy, and the faults that are on.

use std::time::Duration;

use evenkeel_engine::{Cause, OffsetReset, Paused, Policy, Scaling};
use fastrand::Rng;

use crate::chance::{Purpose, Spread, stream, whole};
use crate::rivals::default_policy;
use crate::scenario::Scenario;
use crate::workload::{Disturbance, Skew, Trouble, Workload};
use crate::world::{Addresses, PodTroubles, Protocol};

/// The time before the first fault: a scale-down window and more.
const CALM_SECONDS: u64 = 900;

/// How long a constant load may take to settle once the faults are over, and then the hour of law 13.
pub(super) const SETTLE_SECONDS: u64 = 3_600;
pub(super) const HOUR_SECONDS: u64 = 3_600;

/// How long a run goes on after its load has ended.
const REST_SECONDS: u64 = 3_000;

/// A kind of fault is on in so many runs of a hundred.
const ON_PERCENT: u32 = 30;

/// The share of its capacity that the busiest pod of a feasible load carries.
const FEASIBLE: f64 = 0.75;

const STARTS: [Spread; 3] = [
    Spread(&[3.0, 5.0, 8.0]),
    Spread(&[20.0, 25.0, 30.0, 37.0, 45.0]),
    Spread(&[20.0, 30.0, 45.0, 70.0, 150.0]),
];
const PAUSES: [Spread; 3] = [
    Spread(&[1.0, 2.0, 3.0, 4.0, 7.0]),
    Spread(&[3.0, 6.0, 8.0, 11.0, 16.0]),
    Spread(&[5.0, 15.0, 30.0, 60.0]),
];

/// What a run is for: which faults may be on, and which laws are looked at on top of the common ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Any load, any fault, and then the load ends (law 12).
    Rest,
    /// Any load, any fault, and then a constant load (law 13).
    Steady,
    /// A constant load and rebalances shorter than the hold (law 5).
    Rebalances,
    /// A constant load and one poison partition (law 8).
    Poison,
    /// Any load, no fault, and the scaler restarts beside itself (law 10).
    Restart,
}

/// One run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub seed: u64,
    pub shape: Shape,
    pub scenario: Scenario,
    pub policy: Policy,
    pub with_prometheus: bool,
    /// Kubernetes is asked, and scales within these bounds.
    pub kubernetes: Option<Scaling>,
    pub faults: Vec<Fault>,
    /// From this second on nothing goes wrong any more, and the load is the last one.
    pub faults_end: u64,
    /// When the twin of law 10 starts from nothing.
    pub fork_at: u64,
    /// By how much the twin of law 11 is larger; 1 for no twin.
    pub larger: u64,
    /// A busiest pod under [`FEASIBLE`] exists for the last load.
    pub feasible: bool,
}

/// One fault, from one second to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fault {
    pub from: u64,
    pub until: u64,
    pub kind: Kind,
}

/// What goes wrong between the world and the decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Everything is as it was when it began, and says so.
    Stuck,
    /// One log in so many cannot be read.
    LogsUnknown { one_in: u32, cause: Cause },
    /// One commit in so many cannot be read.
    CommitsUnknown { one_in: u32, cause: Cause },
    /// The topic cannot be read.
    TopicUnknown { cause: Cause },
    /// The topic is not there at all.
    TopicGone,
    /// The group cannot be read.
    GroupUnknown { cause: Cause },
    /// Prometheus does not answer.
    PrometheusUnknown { cause: Cause },
    /// Prometheus has stopped scraping.
    PrometheusStuck,
    /// Prometheus says this many times the truth.
    PrometheusLies { times: f64 },
    /// Prometheus says what is no rate.
    PrometheusNonsense { value: f64 },
    /// The group is shown as rebalancing, its commits stand still.
    Rebalancing,
    /// The scaler forgets everything.
    Restart,
    /// The scaler's state is written down and read back.
    ReadBack,
    /// The clock jumps, seconds.
    Clock { by: i64 },
    /// Nobody looks.
    Gap,
    /// The topic is deleted and created again.
    Recreated,
    /// The logs lose their newest records.
    Truncated { records: u64 },
    /// The logs lose everything that is not consumed yet.
    Expired,
    /// Partitions are added: so many were not there before.
    Added { partitions: usize },
    /// Kubernetes does not answer.
    WorkloadUnknown { cause: Cause },
    /// Kubernetes says what it said before, and when that was.
    WorkloadStuck,
    /// Kubernetes says other counts.
    WorkloadLies { times: f64 },
}

// === impl Kind ===

impl Kind {
    /// Whether the logs lose records, which pods of this world go on to process.
    pub fn cuts_logs(self) -> bool {
        matches!(
            self,
            Self::Recreated | Self::Truncated { .. } | Self::Expired
        )
    }
}

// === impl Plan ===

impl Plan {
    /// The run of this seed.
    pub fn draw(seed: u64) -> Self {
        let mut chance = stream(seed, Purpose::Faults, 0);
        let shape = match chance.u32(0..20) {
            0..9 => Shape::Rest,
            9..12 => Shape::Steady,
            12..15 => Shape::Rebalances,
            15..17 => Shape::Poison,
            _ => Shape::Restart,
        };
        let mut scenario = world(shape, &mut chance);
        let mut policy = policy(shape, &scenario, &mut chance);
        if shape == Shape::Rest {
            tell_wrong(&mut policy, &mut stream(seed, Purpose::Faults, 3));
        }
        let faults_end = match shape {
            Shape::Rest | Shape::Steady => CALM_SECONDS + chance.u64(900..2_700),
            _ => 3_600,
        };
        let (rates, feasible) = load(shape, &scenario, &policy, faults_end, &mut chance);
        scenario.workload.per_second = rates;
        let needed = scenario.workload.rate(0) / (scenario.world.capacity * 0.8);
        let pods = u32::try_from(whole(needed.ceil())).unwrap_or(u32::MAX);
        scenario.world.pods_at_start = pods.clamp(policy.min_replicas, scenario.max_replicas);
        let mut plan = Self {
            seed,
            shape,
            with_prometheus: chance.bool(),
            kubernetes: None,
            policy,
            faults: Vec::new(),
            faults_end,
            fork_at: chance.u64(CALM_SECONDS..3_000),
            larger: if chance.u32(0..3) == 0 {
                1 << chance.u32(1..=10)
            } else {
                1
            },
            feasible,
            scenario,
        };
        match shape {
            Shape::Rest | Shape::Steady => {
                plan.draw_faults(&mut chance);
                plan.draw_troubles(&mut chance);
            }
            Shape::Rebalances => plan.draw_rebalances(&mut chance),
            Shape::Poison => plan.draw_poison(&mut chance),
            Shape::Restart => {}
        }
        plan.draw_kubernetes(&mut stream(seed, Purpose::Faults, 4));
        plan
    }

    /// In half of the runs Kubernetes is asked, and what it says goes wrong where other things do. A
    /// third of these groups are behind one address, as far as what was not yet said can be done without.
    fn draw_kubernetes(&mut self, chance: &mut Rng) {
        if chance.bool() {
            return;
        }
        let tolerance = one(&[0.0, 0.0, 0.1], chance);
        self.kubernetes = Some(Scaling {
            min: self.policy.min_replicas,
            max: self.scenario.max_replicas,
            idle: None,
            tolerance_up: tolerance,
            tolerance_down: tolerance,
            paused: Paused::No,
        });
        if chance.u32(0..3) == 0 {
            self.scenario.world.appearance.addresses = Addresses::One;
        }
        if !matches!(self.shape, Shape::Rest | Shape::Steady) {
            return;
        }
        for number in 0..3 {
            if chance.u32(0..100) >= ON_PERCENT {
                continue;
            }
            let from = chance.u64(CALM_SECONDS / 2..self.faults_end);
            let until = (from + chance.u64(1..=1_200)).min(self.faults_end);
            let kind = match number {
                0 => Kind::WorkloadUnknown {
                    cause: causes(chance),
                },
                1 => Kind::WorkloadStuck,
                _ => Kind::WorkloadLies {
                    times: one(&[0.0, 0.3, 2.0, 10.0], chance),
                },
            };
            self.faults.push(Fault { from, until, kind });
        }
    }

    /// The same without its poison partition.
    pub fn without_poison(&self) -> Self {
        let mut healthy = self.clone();
        healthy.scenario.workload.disturbances.clear();
        healthy
    }

    /// In words.
    pub fn about(&self) -> String {
        let world = &self.scenario.world;
        let mut kinds: Vec<String> = self
            .faults
            .iter()
            .map(|fault| format!("{:?} {}..{}", fault.kind, fault.from, fault.until))
            .collect();
        let troubles = self.scenario.workload.disturbances.iter();
        kinds.extend(troubles.map(|trouble| format!("{trouble:?}")));
        format!(
            "{:?}: {} partitions, {:?}, {:?}, pods of {} records/s, faults over at {}: {}\n{:?}\n\
             Kubernetes: {:?}, addresses: {:?}",
            self.shape,
            world.partitions,
            world.protocol,
            self.scenario.workload.skew,
            world.capacity,
            self.faults_end,
            kinds.join("; "),
            self.policy,
            self.kubernetes,
            world.appearance.addresses,
        )
    }

    /// Each kind on or off, and where it is on, at its own rate and of its own length.
    fn draw_faults(&mut self, chance: &mut Rng) {
        for number in 0..19 {
            if chance.u32(0..100) >= ON_PERCENT {
                continue;
            }
            let longest = one(&[20, 90, 300, 1_200], chance);
            for _ in 0..chance.u32(1..=4) {
                let from = chance.u64(CALM_SECONDS / 2..self.faults_end);
                let until = (from + chance.u64(1..=longest)).min(self.faults_end);
                let kind = kind(number, &self.scenario, chance);
                // As long as the run has faults at all: the rebalance that does not end.
                let endless = kind == Kind::Rebalancing && chance.bool();
                let until = if endless { self.faults_end } else { until };
                self.faults.push(Fault { from, until, kind });
            }
        }
    }

    /// What goes wrong in the world itself.
    fn draw_troubles(&mut self, chance: &mut Rng) {
        let partitions = self.scenario.world.partitions;
        for number in 0..3 {
            if chance.u32(0..100) >= ON_PERCENT {
                continue;
            }
            let partition = chance.usize(0..partitions);
            let what = match number {
                0 => Trouble::Poison { partition },
                1 => Trouble::Hot {
                    partition,
                    times: 2.0 + chance.f64() * 8.0,
                },
                _ => Trouble::Downstream {
                    records_per_second: self.scenario.world.capacity * (0.5 + chance.f64() * 8.0),
                },
            };
            let from = chance.u64(CALM_SECONDS / 2..self.faults_end);
            let until = (from + chance.u64(10..900)).min(self.faults_end);
            self.scenario
                .workload
                .disturbances
                .push(Disturbance { from, until, what });
        }
        if self.shape == Shape::Rest && chance.u32(0..100) < ON_PERCENT {
            self.scenario.world.pods = PodTroubles {
                crashes_an_hour: one(&[0.0, 0.2, 2.0], chance),
                slow_share: one(&[0.0, 0.2], chance),
                never_joining_share: one(&[0.0, 0.1, 0.5], chance),
            };
        }
    }

    /// One to three episodes, each over (the settling included) before its hold is spent, and so far
    /// apart that the budget of all holds is never spent.
    fn draw_rebalances(&mut self, chance: &mut Rng) {
        let settle = 15.max(2 * self.scenario.world.commit_seconds) + 3 * self.poll_seconds();
        let longest = (self.policy.rebalance_hold.as_secs().min(120)).saturating_sub(settle);
        let mut from = 1_200;
        for _ in 0..chance.u32(1..=3) {
            let until = from + chance.u64(2..=longest.max(3));
            self.faults.push(Fault {
                from,
                until,
                kind: Kind::Rebalancing,
            });
            from = until + 400 + chance.u64(0..200);
        }
    }

    fn draw_poison(&mut self, chance: &mut Rng) {
        let partition = chance.usize(0..self.scenario.world.partitions);
        self.scenario.workload.disturbances.push(Disturbance {
            from: 1_800,
            until: self.faults_end,
            what: Trouble::Poison { partition },
        });
    }

    pub fn poll_seconds(&self) -> u64 {
        self.policy.poll_interval.as_secs()
    }
}

/// One of `choices`.
#[expect(
    clippy::indexing_slicing,
    reason = "drawn below the length, which is not 0"
)]
fn one<T: Copy, const N: usize>(choices: &[T; N], chance: &mut Rng) -> T {
    choices[chance.usize(0..N)]
}

fn causes(chance: &mut Rng) -> Cause {
    const CAUSES: [Cause; 6] = [
        Cause::Timeout,
        Cause::Unreachable,
        Cause::Moving,
        Cause::NotFound,
        Cause::Refused,
        Cause::Failed,
    ];
    one(&CAUSES, chance)
}

/// The kind of this number, with what else is to be drawn of it.
fn kind(number: u32, scenario: &Scenario, chance: &mut Rng) -> Kind {
    let cause = causes(chance);
    let one_in = one(&[1, 2, 8, 30], chance);
    match number {
        0 => Kind::Stuck,
        1 => Kind::LogsUnknown { one_in, cause },
        2 => Kind::CommitsUnknown { one_in, cause },
        3 => Kind::TopicUnknown { cause },
        4 => Kind::TopicGone,
        5 => Kind::GroupUnknown { cause },
        6 => Kind::PrometheusUnknown { cause },
        7 => Kind::PrometheusStuck,
        8 => {
            let factor = 1.1 + chance.f64() * chance.f64() * 19.0;
            let times = if chance.bool() { factor } else { 1.0 / factor };
            Kind::PrometheusLies { times }
        }
        9 => Kind::PrometheusNonsense {
            value: one(&[f64::NAN, f64::INFINITY, -5.0], chance),
        },
        10 => Kind::Rebalancing,
        11 => Kind::Restart,
        12 => Kind::ReadBack,
        13 => Kind::Clock {
            by: one(&[-3_000, -40, -3, 3, 100, 4_000, 400_000_000], chance),
        },
        14 => Kind::Gap,
        15 => Kind::Recreated,
        16 => Kind::Truncated {
            records: chance.u64(1..100_000),
        },
        17 => Kind::Expired,
        _ => Kind::Added {
            partitions: chance.usize(0..scenario.world.partitions),
        },
    }
}

/// A world without a load.
fn world(shape: Shape, chance: &mut Rng) -> Scenario {
    let protocol = one(
        &[Protocol::Eager, Protocol::Cooperative, Protocol::Consumer],
        chance,
    );
    let mut scenario = Scenario::usual("swarm", "", Workload::steps(&[]), protocol);
    let constant = matches!(shape, Shape::Rebalances | Shape::Poison);
    scenario.workload.skew = if chance.u32(0..3) == 0 && !constant {
        Skew::RootZipf
    } else {
        Skew::Even
    };
    let world = &mut scenario.world;
    world.partitions = chance.usize(1..=60);
    world.capacity = one(&[20.0, 100.0, 1_000.0, 5_000.0], chance);
    world.commit_seconds = one(&[1, 1, 2, 5, 10], chance);
    world.start = one(&STARTS, chance);
    // Law 10 leaves out what was learned of pauses and starts: there they are as configured.
    world.pause = if shape == Shape::Restart {
        PAUSES[0]
    } else {
        one(&PAUSES, chance)
    };
    world.warm_up_seconds = chance.u64(0..20);
    world.session_seconds = one(&[10, 45], chance);
    let partitions = u32::try_from(world.partitions).unwrap_or(u32::MAX);
    scenario.max_replicas = match chance.u32(0..4) {
        0 => chance.u32(1..=partitions),
        1 => partitions + 10,
        _ => partitions,
    };
    scenario
}

fn policy(shape: Shape, scenario: &Scenario, chance: &mut Rng) -> Policy {
    let capacity = scenario.world.capacity;
    let constant = matches!(shape, Shape::Rebalances | Shape::Poison | Shape::Restart);
    let known = (constant || chance.u32(0..4) > 0).then_some(capacity);
    let mut policy = default_policy(known, scenario.startup_seconds);
    policy.max_replicas = Some(scenario.max_replicas);
    policy.min_replicas = one(&[0, 0, 0, 1, 3], chance).min(scenario.max_replicas);
    let seconds = Duration::from_secs;
    if chance.bool() {
        policy.poll_interval = seconds(one(&[2, 5, 10], chance));
        policy.catch_up = seconds(one(&[60, 120, 300], chance));
        policy.rebalance_hold = seconds(one(&[60, 120, 240], chance));
        policy.scale_down_window = seconds(one(&[120, 300, 600], chance));
        policy.target_utilization = one(&[0.6, 0.8, 0.9], chance);
        policy.lag_threshold_records = one(&[10, 1_000], chance);
    }
    if chance.u32(0..8) == 0 && !constant {
        policy.allow_idle_consumers = chance.bool();
        policy.limit_to_partitions_with_lag = chance.bool();
        policy.exclude_persistent_lag = chance.bool();
        policy.target_lag = chance.bool().then_some(seconds(30));
        policy.scale_up_window = seconds(one(&[0, 30], chance));
        policy.activation_lag_records = one(&[0, 100], chance);
        policy.offset_reset = OffsetReset::Earliest;
    }
    policy
}

/// In a quarter of the runs the told capacity is wrong. Not where the load is constant: law 13 is about
/// replicas that do what was told.
fn tell_wrong(policy: &mut Policy, chance: &mut Rng) {
    if chance.u32(0..4) == 0 {
        let times = one(&[0.8, 1.15, 1.3], chance);
        policy.capacity_per_replica = policy.capacity_per_replica.map(|told| told * times);
    }
}

/// Records per second, second by second, and whether the last of it is feasible.
fn load(
    shape: Shape,
    scenario: &Scenario,
    policy: &Policy,
    faults_end: u64,
    chance: &mut Rng,
) -> (Vec<f64>, bool) {
    let world = &scenario.world;
    let most = usize::try_from(scenario.max_replicas).unwrap_or(usize::MAX);
    let held = world.partitions.div_ceil(most.min(world.partitions).max(1));
    let shares = scenario.workload.skew.shares(world.partitions);
    let busiest: f64 = shares.iter().take(held).sum();
    let feasible_rate =
        world.capacity * FEASIBLE * policy.target_utilization.min(0.8) / 0.8 / busiest;
    let constant = feasible_rate * (0.1 + 0.9 * chance.f64());
    let mut rates = Vec::new();
    let stretch = |rates: &mut Vec<f64>, rate: f64, until: u64| {
        rates.resize(usize::try_from(until).unwrap_or(usize::MAX), rate);
    };
    if matches!(shape, Shape::Rebalances | Shape::Poison) {
        stretch(&mut rates, constant, faults_end);
        return (rates, true);
    }
    let base = feasible_rate * (0.05 + 0.5 * chance.f64());
    while (rates.len() as u64) < faults_end {
        let until = rates.len() as u64 + chance.u64(120..900);
        let times = one(&[0.0, 0.3, 1.0, 1.0, 1.5, 3.0], chance);
        stretch(&mut rates, base * times, until.min(faults_end));
    }
    match shape {
        Shape::Rest => stretch(&mut rates, 0.0, faults_end + REST_SECONDS),
        Shape::Steady => {
            let hours = SETTLE_SECONDS + HOUR_SECONDS;
            stretch(&mut rates, constant, faults_end + hours);
        }
        _ => {}
    }
    (rates, shape == Shape::Steady)
}
