//! The JSON of `/api/v1`: its own types, so that the engine can change its records and the wire
//! stays as it is.
//!
//! Field names are the field's own words with units last. Times are milliseconds since the Unix
//! epoch, ages and durations are seconds, rates are records per second. What is unknown is `null`,
//! never 0. Labels (verdicts, stages, causes, statuses) are stable strings; a reader has to expect
//! new ones. The same types are read back by `evenkeel explain` and `evenkeel top`. How a target
//! becomes one of these is in [`super::views`].
//!
//! | path | answers |
//! |---|---|
//! | `/api/v1/targets` | [`TargetList`] |
//! | `/api/v1/targets/{namespace}/{name}` | [`TargetDetail`] |
//! | `/api/v1/targets/{namespace}/{name}/history` | [`History`]; `?since=` leaves out points up to that time |
//! | `/api/v1/targets/{namespace}/{name}/recording` | [`crate::control::recording`], once the next `?decisions=` (1) are made |
//!
//! A ScaledObject with several evenkeel triggers has a target for each; `?trigger=` names one by its
//! [`TargetSummary::trigger`], otherwise the one that KEDA asked for last answers. What does not
//! exist is a 404 with an [`ApiError`].

use serde::{Deserialize, Serialize};

/// All targets, sorted by namespace and name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetList {
    /// The server's clock.
    pub now_millis: u64,
    /// The server's version.
    pub version: String,
    /// What has to be known about certificates, credentials and other replicas, each a sentence.
    #[serde(default)]
    pub notices: Vec<String>,
    /// The targets.
    pub targets: Vec<TargetSummary>,
}

/// One target in a few figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetSummary {
    /// The ScaledObject's namespace.
    pub namespace: String,
    /// The ScaledObject's name.
    pub name: String,
    /// Which of the ScaledObject's triggers: a hash of its metadata, in hexadecimal.
    pub trigger: String,
    /// What KEDA is answered just now.
    pub status: Status,
    /// The verdict's label; `null` before the first decision.
    pub verdict: Option<String>,
    /// Why somebody should look at it; `null` where nobody has to.
    pub attention: Option<Attention>,
    /// Replicas decided.
    pub desired_replicas: Option<u32>,
    /// Whether there is work.
    pub active: Option<bool>,
    /// Replicas seen in the group.
    pub observed_replicas: Option<u32>,
    /// Replicas asked for that have not joined yet.
    pub replicas_in_flight: Option<u32>,
    /// Records not yet committed.
    pub lag_records: Option<u64>,
    /// Seconds that the worst partition is behind.
    pub lag_seconds: Option<f64>,
    /// The inbound rate that sizing used.
    pub inbound_records_per_second: Option<f64>,
    /// What the group commits.
    pub processing_records_per_second: Option<f64>,
    /// Whether a rebalance episode is going on.
    pub rebalancing: Option<bool>,
    /// How old the data behind the decision is; `null` before everything was read once.
    pub data_age_seconds: Option<f64>,
    /// When the decision was made.
    pub decided_at_millis: Option<u64>,
}

/// What KEDA is answered just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing was decided yet.
    Waiting,
    /// The decision.
    Valid,
    /// An error: too little is known.
    Unknown,
    /// An error: the last decision is too old.
    Expired,
}

/// Why somebody should look at a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// How much.
    pub severity: Severity,
    /// A part of a sentence, without a capital and a full stop.
    pub why: String,
}

/// How much a target wants somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// evenkeel returns UNAVAILABLE to KEDA.
    Error,
    /// KEDA is answered, and replicas alone do not make it right.
    Warning,
}

/// One target and everything about its last decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetDetail {
    /// The server's clock.
    pub now_millis: u64,
    /// The figures of the list.
    pub target: TargetSummary,
    /// What is observed.
    pub source: Source,
    /// How it is decided.
    pub policy: PolicyView,
    /// The last decision; `null` before the first.
    pub decision: Option<DecisionView>,
    /// What went wrong while observing for it, each a sentence.
    pub problems: Vec<String>,
    /// What has to be known about certificates and credentials on its ways, each a sentence.
    #[serde(default)]
    pub notices: Vec<String>,
    /// What is known ahead: of each event what goes on or comes next, and what follows within a day; absent
    /// where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calendar: Vec<OccurrenceView>,
    /// What is expected because it came on earlier days; absent where no calendar is learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foresight: Option<ForesightView>,
    /// What the trigger's metadata says that was accepted and ignored, each a sentence.
    pub notes: Vec<String>,
    /// The ScaledObject's triggers that are registered, this one included.
    pub triggers: Vec<String>,
}

/// One occurrence of an event that is known ahead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OccurrenceView {
    /// Which event of the trigger, from 1.
    pub event: usize,
    /// When it starts.
    pub starts_at_millis: u64,
    /// When it ends.
    pub ends_at_millis: u64,
    /// The replicas that it takes, where it says so.
    pub replicas: Option<u32>,
    /// The records that come in each second, where it says so.
    pub records_per_second: Option<f64>,
    /// The same as people say it, by the clocks of its time zone.
    pub words: String,
}

/// What is expected because it came on earlier days, and how often that was right since the target is
/// watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForesightView {
    /// The surges of the next day, in the order of time.
    pub surges: Vec<SurgeView>,
    /// How many were expected and came.
    pub hits: u64,
    /// How many were expected and did not come.
    pub misses: u64,
    /// What was asked for because of those that did not come, above what the load needed.
    pub missed_replica_seconds: f64,
    /// How often it was right as people say it; `null` before the first.
    pub words: Option<String>,
}

/// A surge that is expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SurgeView {
    /// When it begins at the earliest.
    pub starts_at_millis: u64,
    /// When it is over at the latest.
    pub ends_at_millis: u64,
    /// How much comes in.
    pub records_per_second: f64,
    /// The replicas that it takes; `null` while that is not known.
    pub replicas: Option<u32>,
    /// On so many days it came.
    pub came_days: u32,
    /// Of so many days of their kind.
    pub of_days: u32,
    /// Which kind of days, in words.
    pub days: String,
    /// All of it as people say it, by the clocks of `calendarTimeZone`.
    pub words: String,
}

/// What is observed for a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The Kafka cluster: a profile's name, or the addresses.
    pub cluster: String,
    /// The consumer group.
    pub consumer_group: String,
    /// The topics by name; a pattern as `/pattern/`; empty for all of the group's own.
    pub topics: Vec<String>,
    /// The query of the inbound-rate baseline, where there is one.
    pub prometheus_query: Option<String>,
}

/// The policy of a target. Field names as in [`evenkeel_engine::Policy`], durations in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented where the policy itself is")]
pub struct PolicyView {
    pub min_replicas: u32,
    pub max_replicas: Option<u32>,
    pub allow_idle_consumers: bool,
    pub limit_to_partitions_with_lag: bool,
    pub exclude_persistent_lag: bool,
    pub offset_reset: String,
    pub scale_to_zero_on_invalid_offset: bool,
    pub lag_threshold_records: u64,
    pub activation_lag_records: u64,
    pub activation_records_per_second: Option<f64>,
    pub capacity_per_replica_records_per_second: Option<f64>,
    pub target_utilization: f64,
    pub catch_up_seconds: f64,
    pub target_lag_seconds: Option<f64>,
    pub scale_down_window_seconds: f64,
    pub scale_up_window_seconds: f64,
    pub rebalance_hold_seconds: f64,
    pub startup_seconds: f64,
    pub max_staleness_seconds: f64,
    pub poll_interval_seconds: f64,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionView {
    /// When it was made.
    pub at_millis: u64,
    /// When the data behind it was read; `null` before everything was read once.
    pub data_at_millis: Option<u64>,
    /// Until when it is answered without a newer one.
    pub valid_until_millis: u64,
    /// The verdict's label.
    pub verdict: String,
    /// Why the count is what it is, or why there is none, with the figures; no full stop.
    pub reason: String,
    /// Why nothing is known well enough; `null` when something is.
    pub unknown_cause: Option<String>,
    /// What else is worth saying.
    pub findings: Vec<FindingView>,
    /// The stages in order.
    pub trail: Vec<StepView>,
    /// The figures.
    pub inputs: InputsView,
}

/// Something worth saying beside the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingView {
    /// A verdict's label.
    pub verdict: String,
    /// One sentence with the figures.
    pub why: String,
}

/// One stage of the pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// The stage's label.
    pub stage: String,
    /// Replicas before it.
    pub before_replicas: u32,
    /// Replicas after it.
    pub after_replicas: u32,
    /// One sentence with the figures.
    pub why: String,
}

/// The figures that a decision was made of. Names as in [`evenkeel_engine::Inputs`], units last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented where the inputs themselves are")]
pub struct InputsView {
    pub observed_replicas: u32,
    pub replicas_in_flight: u32,
    /// What an event takes that is known ahead; absent while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar_floor_replicas: Option<u32>,
    pub partitions: u32,
    pub lag_records: u64,
    pub lag_counted_records: u64,
    pub lag_seconds: Option<f64>,
    pub inbound_up_records_per_second: Option<f64>,
    pub inbound_down_records_per_second: Option<f64>,
    pub inbound_offsets_fast_records_per_second: Option<f64>,
    pub inbound_offsets_slow_records_per_second: Option<f64>,
    pub inbound_prometheus_records_per_second: Option<f64>,
    pub processing_records_per_second: Option<f64>,
    pub capacity_per_replica_records_per_second: Option<f64>,
    pub capacity_learned: bool,
    /// The inbound rate over what the observed replicas can do; `null` where either is unknown.
    pub utilization: Option<f64>,
    /// In Kafka's words; `null` when unknown.
    pub group_state: Option<String>,
    pub rebalancing: bool,
    pub rebalances: u64,
    pub held_seconds: f64,
}

/// A target's bounded history, oldest first: each decision of the last minutes, fewer before that,
/// all that changed something. The rule is in [`crate::control::history`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The server's clock.
    pub now_millis: u64,
    /// The ScaledObject's namespace.
    pub namespace: String,
    /// The ScaledObject's name.
    pub name: String,
    /// Which of the ScaledObject's triggers.
    pub trigger: String,
    /// The points.
    pub points: Vec<PointView>,
}

/// One decision of the past in figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointView {
    /// When it was made.
    pub at_millis: u64,
    /// The verdict's label.
    pub verdict: String,
    /// Replicas decided.
    pub desired_replicas: Option<u32>,
    /// Replicas seen in the group.
    pub observed_replicas: Option<u32>,
    /// Records not yet committed.
    pub lag_records: Option<u64>,
    /// Seconds that the worst partition was behind.
    pub lag_seconds: Option<f32>,
    /// The inbound rate that sizing used.
    pub inbound_records_per_second: Option<f32>,
    /// What the group committed.
    pub processing_records_per_second: Option<f32>,
    /// Whether a rebalance episode was going on.
    pub rebalancing: bool,
}

/// The body of every answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// A sentence that says what to do.
    pub error: String,
}
