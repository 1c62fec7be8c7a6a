//! The pipeline: one observation and the state of one target in, one explained decision out.
//!
//! This file holds the vocabulary of what comes out; `decision/pipeline.rs` runs the rooms in order,
//! `decision/recommend.rs` weighs what they say, `decision/gates.rs` lists what may hold a change back,
//! `decision/explain.rs` puts it into words.

mod explain;
pub mod gates;
mod pipeline;
mod recommend;
#[cfg(test)]
mod reported;
mod standing;
#[cfg(test)]
mod tests;
mod throughput;
mod usable;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::calendar::CalendarMemory;
use crate::capacity::CapacityMemory;
use crate::group::GroupMemory;
use crate::observation::{Cause, Observation};
use crate::partition::Partitions;
use crate::past::{Foreseen, Foresight, Past, Watch};
use crate::policy::Policy;
use crate::rate::{Arrivals, Trend};
use crate::rebalance::{FlightMemory, RebalanceMemory};
use crate::replicas::ReplicaMemory;
use crate::stabilizer::{Effect, Extreme, Outgrown, Window};
use crate::time::Timestamp;

/// What the engine remembers of one target between two decisions. Serialisable, opaque to callers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// When the first decision was made.
    first_at: Option<Timestamp>,
    /// Since when the logs have been watched without one of them beginning anew.
    watched_from: Option<Timestamp>,
    /// When the last decision was made.
    last_at: Option<Timestamp>,
    /// When the picture was last whole.
    complete_at: Option<Timestamp>,
    pub(crate) partitions: Partitions,
    arrivals: Arrivals,
    pub(crate) trend: Trend,
    group: Option<GroupMemory>,
    pub(crate) replicas: ReplicaMemory,
    pub(crate) rebalance: RebalanceMemory,
    pub(crate) flight: FlightMemory,
    pub(crate) capacity: CapacityMemory,
    /// Seconds between two commits of a partition.
    pub(crate) commit_interval_seconds: Option<f64>,
    /// Records processed in all, at the last observations.
    processed: VecDeque<(Timestamp, u64)>,
    down: Window,
    pub(crate) outgrown: Outgrown,
    /// When the rate last began a step up.
    stepped_at: Option<Timestamp>,
    /// When more was last asked for than the rate needs.
    surplus_at: Option<Timestamp>,
    up: Window,
    effect: Effect,
    pub(crate) calendar: CalendarMemory,
    /// When the rate rose faster than replicas start.
    #[serde(default)]
    past: Past,
    #[serde(default)]
    watch: Watch,
    /// What of that is expected to come again.
    #[serde(default)]
    pub(crate) foreseen: Foreseen,
    /// Since when a configured Prometheus has been no witness.
    prometheus_missing_since: Option<Timestamp>,
    /// What was last asked for.
    desired: Option<u32>,
    /// Whether the target was last awake.
    active: bool,
    /// Why there was no answer, when there was none last.
    unanswered: Option<Cause>,
    valid_until: Timestamp,
}

/// One decision and everything needed to explain it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// When it was made.
    pub at: Timestamp,
    /// Replicas and activity, or why there is no answer.
    pub desired: Desired,
    /// The one verdict that describes it best.
    pub verdict: Verdict,
    /// Why the count is what it is, or why there is none: one sentence with the figures, without a full
    /// stop.
    pub reason: String,
    /// Everything else that is worth saying, each once, in pipeline order.
    pub findings: Vec<Finding>,
    /// The stages in order, each with what it changed and why.
    pub trail: Vec<Step>,
    /// The figures that it was made of.
    pub inputs: Inputs,
    /// Until when it may be answered without a newer one.
    pub valid_until: Timestamp,
}

/// What a decision asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Desired {
    /// A replica count and whether the target is awake.
    Known {
        /// What KEDA and the HPA are told.
        replicas: u32,
        /// Whether there is work, undamped: what IsActive answers.
        active: bool,
    },
    /// Nothing is known well enough; KEDA gets an error and freezes.
    Unknown {
        /// Why.
        cause: Cause,
    },
}

/// Why a decision is what it is. A closed list with stable labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Nothing to change.
    SteadyState,
    /// The inbound rate asks for more.
    RateUp,
    /// The backlog asks for more.
    LagUp,
    /// The backlog asks for more, and a rebalance explains it: not counted for now.
    LagHeld,
    /// An event that is known ahead asks for more than the load does now.
    Ahead,
    /// A surge came again and again, and not today. Never the verdict.
    NotToday,
    /// Less is enough, and was for the whole window.
    ScaleDown,
    /// Less is enough, but not for long enough, or now is not the time.
    DownHeld,
    /// The capacity of a replica is not known yet: sized by lagThreshold, never lower.
    ColdStart,
    /// The scaler has not watched for a whole window yet: never lower.
    Warmup,
    /// One partition is hotter than one replica: replicas cannot help it.
    HotPartition,
    /// A partition's commits do not move though its owner is alive: a poison record.
    StuckPartition,
    /// Members hold partitions and commit nothing anywhere.
    MembersStalled,
    /// Replicas were asked for and did not join in time.
    PodsNotJoining,
    /// KEDA or the HPA will not do it: maxReplicaCount, a pause, the HPA's tolerance.
    ScalingLimited,
    /// More replicas did not bring more throughput.
    DownstreamLimited,
    /// Replicas with a backlog do not do what `capacityPerReplica` says.
    CapacityMismatch,
    /// The load is even, and another number of partitions would need far fewer replicas. Never the verdict.
    CoarsePartitions,
    /// Prometheus and the log offsets disagree by more than 1.5x; the offsets count.
    RateMismatch,
    /// A source is missing; decided with what is left.
    Degraded,
    /// Too little is known: the last decision stands, for now.
    Stale,
    /// Rebalances follow each other so fast that the hold is spent.
    RebalanceStorm,
}

/// Something worth saying beside the verdict, with its sentence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is.
    pub verdict: Verdict,
    /// One sentence with the figures.
    pub why: String,
}

/// One stage of the pipeline: what it was given, what it made of it, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The stage, in pipeline order.
    pub stage: Stage,
    /// Replicas before it.
    pub before: u32,
    /// Replicas after it.
    pub after: u32,
    /// One sentence with the figures.
    pub why: String,
}

/// The stages of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// What is there: the group's replicas.
    Observed,
    /// What the inbound rate needs.
    Rate,
    /// What the backlog needs on top.
    Lag,
    /// What a rebalance episode holds back.
    Hold,
    /// Windows and the order of up and down.
    Stabilize,
    /// The floor of what is known ahead. Only where something is.
    Calendar,
    /// min, max and the number of partitions.
    Limit,
}

/// The figures that a decision was made of. Rates are records per second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// Replicas in the group: as Kubernetes says, or guessed (distinct hosts; members on the loopback).
    pub observed_replicas: u32,
    /// Whether Kubernetes says so.
    pub replicas_read: bool,
    /// Replicas asked for that have not joined yet.
    pub replicas_in_flight: u32,
    /// What an event takes that is known ahead, while its floor stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar_floor: Option<u32>,
    /// Partitions that count.
    pub partitions: u32,
    /// Records not yet committed, all partitions, undamped.
    pub lag_records: u64,
    /// The lag that sizing counted, after the dead band, poison and holds.
    pub lag_counted_records: u64,
    /// Seconds that the newest committed record of the worst partition is behind, where known.
    pub lag_seconds: Option<f64>,
    /// The inbound rate used for going up.
    pub inbound_up: Option<f64>,
    /// The inbound rate used for going down.
    pub inbound_down: Option<f64>,
    /// The offsets' witness over the fast window.
    pub inbound_offsets_fast: Option<f64>,
    /// The offsets' witness over the slow window.
    pub inbound_offsets_slow: Option<f64>,
    /// Prometheus' witness.
    pub inbound_prometheus: Option<f64>,
    /// Records per second committed by the group over the fast window.
    pub processing_rate: Option<f64>,
    /// The capacity of one replica used for going up.
    pub capacity_per_replica: Option<f64>,
    /// Whether that capacity was learned rather than configured.
    pub capacity_learned: bool,
    /// The group's state, in Kafka's words; empty when unknown.
    pub group_state: String,
    /// Whether a rebalance episode is going on.
    pub rebalancing: bool,
    /// Rebalance episodes seen since the target was registered.
    pub rebalances: u64,
    /// Seconds that the lag term has been held in this episode.
    pub held_seconds: f64,
}

// === impl State ===

impl State {
    /// The same state, knowing that another scaler, which leads, has asked for `replicas` now: it goes on
    /// from there, and lowers nothing below it for a window.
    #[must_use]
    pub fn with_asked(mut self, replicas: u32, policy: &Policy, now: Timestamp) -> Self {
        let window = policy.scale_down_window;
        let _largest = self.down.add(replicas, Extreme::Largest, window, now);
        self.desired = Some(replicas);
        self
    }

    /// What came in so far, as the caller may keep it and give it back.
    pub fn past(&self) -> Past {
        self.past.sound()
    }

    /// Whether all local minutes from one to before the other were watched.
    pub fn has_watched(&self, from: u32, to: u32) -> bool {
        self.past.watched_minutes(from, to) == to.saturating_sub(from)
    }

    /// The surges that are expected because they came on earlier days, and how often that was right.
    pub fn foresight(&self) -> Foresight {
        self.foreseen.foresight()
    }

    /// The same state, knowing also what came in before it began to watch, or while it did not.
    #[must_use]
    pub fn with_past(mut self, past: &Past) -> Self {
        self.past.add(past);
        self.foreseen.forget();
        self
    }
}

// === impl Decision ===

impl Decision {
    /// The figures that it was made of; none where it was made of none. A decision that only stands, or
    /// that has no answer, leaves plain numbers at 0, and unknown is never 0.
    pub fn figures(&self) -> Option<&Inputs> {
        let is_made =
            matches!(self.desired, Desired::Known { .. }) && self.verdict != Verdict::Stale;
        is_made.then_some(&self.inputs)
    }
}

// === impl Verdict ===

impl Verdict {
    /// Every verdict, in the order of the documentation.
    pub const ALL: [Self; 22] = [
        Self::SteadyState,
        Self::RateUp,
        Self::LagUp,
        Self::LagHeld,
        Self::Ahead,
        Self::NotToday,
        Self::ScaleDown,
        Self::DownHeld,
        Self::ColdStart,
        Self::Warmup,
        Self::HotPartition,
        Self::StuckPartition,
        Self::MembersStalled,
        Self::PodsNotJoining,
        Self::ScalingLimited,
        Self::DownstreamLimited,
        Self::CapacityMismatch,
        Self::CoarsePartitions,
        Self::RateMismatch,
        Self::Degraded,
        Self::Stale,
        Self::RebalanceStorm,
    ];

    /// A stable label for metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::SteadyState => "SteadyState",
            Self::RateUp => "RateUp",
            Self::LagUp => "LagUp",
            Self::LagHeld => "LagHeld",
            Self::Ahead => "Ahead",
            Self::NotToday => "NotToday",
            Self::ScaleDown => "ScaleDown",
            Self::DownHeld => "DownHeld",
            Self::ColdStart => "ColdStart",
            Self::Warmup => "Warmup",
            Self::HotPartition => "HotPartition",
            Self::StuckPartition => "StuckPartition",
            Self::MembersStalled => "MembersStalled",
            Self::PodsNotJoining => "PodsNotJoining",
            Self::ScalingLimited => "ScalingLimited",
            Self::DownstreamLimited => "DownstreamLimited",
            Self::CapacityMismatch => "CapacityMismatch",
            Self::CoarsePartitions => "CoarsePartitions",
            Self::RateMismatch => "RateMismatch",
            Self::Degraded => "Degraded",
            Self::Stale => "Stale",
            Self::RebalanceStorm => "RebalanceStorm",
        }
    }
}

/// Decides how many replicas one target needs.
///
/// `state` is what the last call returned (or `State::default()` at a cold start), `observation`
/// what the adapters know, `now` the caller's clock. Never panics, whatever the observation says.
pub fn decide(
    policy: &Policy,
    state: State,
    observation: &Observation,
    now: Timestamp,
) -> (State, Decision) {
    pipeline::run(policy, state, observation, now)
}
