//! Published decisions as the wire types of [`super::api`]: labels, ages, and what is unknown.
//!
//! Nothing is decided or computed here but ages against `now` and the share of capacity in use.

use std::time::Duration;

use evenkeel_engine::decision::Stage;
use evenkeel_engine::{
    Decision, Desired, EventLoad, Foresight, Inputs, OffsetReset, Policy, Timestamp, Verdict,
};

use super::api::{
    Attention, DecisionView, FindingView, ForesightView, InputsView, OccurrenceView, PointView,
    PolicyView, Severity, Source, Status, StepView, SurgeView, TargetSummary,
};
use crate::calendar::{Calendar, LocalTime, Occurrence};
use crate::control::announcements::is_calm;
use crate::control::history::HistoryPoint;
use crate::control::target::{ClusterRef, Published, Target, TargetSpec};
use crate::observe::TopicSelection;

/// The trigger of a target as people and URLs name it.
pub fn trigger(target: &Target) -> String {
    format!("{:016x}", target.spec.key.metadata_hash)
}

/// What KEDA is answered at `now`.
pub fn status(published: Option<&Published>, now: Timestamp) -> Status {
    match published.map(|published| &published.decision) {
        None => Status::Waiting,
        Some(decision) if matches!(decision.desired, Desired::Unknown { .. }) => Status::Unknown,
        Some(decision) if now > decision.valid_until => Status::Expired,
        Some(_) => Status::Valid,
    }
}

/// Why somebody should look at a target, at `now`.
fn attention(decision: &Decision, now: Timestamp) -> Option<Attention> {
    let (severity, why) = match decision.desired {
        Desired::Unknown { cause } => (
            Severity::Error,
            format!(
                "evenkeel returns UNAVAILABLE to KEDA: {}",
                cause.label().replace('_', " ")
            ),
        ),
        Desired::Known { .. } if now > decision.valid_until => (
            Severity::Error,
            "evenkeel returns UNAVAILABLE to KEDA: the last decision is too old".to_owned(),
        ),
        Desired::Known { .. } if is_calm(decision.verdict) => return None,
        Desired::Known { .. } => (Severity::Warning, meaning(decision.verdict).to_owned()),
    };
    Some(Attention { severity, why })
}

/// One target in a few figures.
pub fn summary(target: &Target, published: Option<&Published>, now: Timestamp) -> TargetSummary {
    let decision = published.map(|published| &published.decision);
    let known = decision.and_then(Decision::figures);
    let (desired_replicas, active) = match decision.map(|decision| decision.desired) {
        Some(Desired::Known { replicas, active }) => (Some(replicas), Some(active)),
        Some(Desired::Unknown { .. }) | None => (None, None),
    };
    TargetSummary {
        namespace: target.spec.key.namespace.clone(),
        name: target.spec.key.name.clone(),
        trigger: trigger(target),
        status: status(published, now),
        verdict: decision.map(|decision| decision.verdict.label().to_owned()),
        attention: decision.and_then(|decision| attention(decision, now)),
        desired_replicas,
        active,
        observed_replicas: known.map(|inputs| inputs.observed_replicas),
        replicas_in_flight: known.map(|inputs| inputs.replicas_in_flight),
        lag_records: known.map(|inputs| inputs.lag_records),
        lag_seconds: known.and_then(|inputs| inputs.lag_seconds),
        inbound_records_per_second: known.and_then(|inputs| inputs.inbound_up),
        processing_records_per_second: known.and_then(|inputs| inputs.processing_rate),
        rebalancing: known.map(|inputs| inputs.rebalancing),
        data_age_seconds: published
            .and_then(|published| published.data_at)
            .map(|data_at| seconds(now.since(data_at))),
        decided_at_millis: decision.map(|decision| decision.at.as_millis()),
    }
}

/// The inbound rate over what the observed replicas can do, where both are known.
pub fn utilization(inputs: &Inputs) -> Option<f64> {
    let capacity = inputs.capacity_per_replica? * f64::from(inputs.observed_replicas);
    (capacity > 0.0).then_some(inputs.inbound_up? / capacity)
}

/// Whether a setting is one on a target's ways: to its Kafka, to its Prometheus, and from KEDA.
pub fn concerns(spec: &TargetSpec, setting: &str) -> bool {
    let is_of = |section: &str, name: &str| {
        let rest = setting.strip_prefix(section);
        let rest = rest.and_then(|rest| rest.strip_prefix(name));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let is_of_cluster = match &spec.cluster {
        ClusterRef::Profile(name) => is_of("clusters.", name),
        ClusterRef::Adhoc(_) => false,
    };
    let prometheus = spec.prometheus.as_ref();
    let prometheus = prometheus.and_then(|prometheus| prometheus.profile.as_ref());
    setting.starts_with("grpc.")
        || is_of_cluster
        || prometheus.is_some_and(|name| is_of("prometheus.", name))
}

/// What is observed for a target. The URL of Prometheus is left out: it may carry a password.
pub fn source(spec: &TargetSpec) -> Source {
    Source {
        cluster: match &spec.cluster {
            ClusterRef::Profile(name) => name.clone(),
            ClusterRef::Adhoc(addresses) => addresses.join(","),
        },
        consumer_group: spec.subscription.consumer_group.clone(),
        topics: match &spec.subscription.topics {
            TopicSelection::Named(names) => names.clone(),
            TopicSelection::Pattern(pattern) => vec![format!("/{pattern}/")],
            TopicSelection::OfGroup => Vec::new(),
        },
        prometheus_query: spec.prometheus.as_ref().map(|from| from.query.clone()),
    }
}

/// The policy with its durations in seconds.
pub fn policy(policy: &Policy) -> PolicyView {
    PolicyView {
        min_replicas: policy.min_replicas,
        max_replicas: policy.max_replicas,
        allow_idle_consumers: policy.allow_idle_consumers,
        limit_to_partitions_with_lag: policy.limit_to_partitions_with_lag,
        exclude_persistent_lag: policy.exclude_persistent_lag,
        offset_reset: match policy.offset_reset {
            OffsetReset::Earliest => "earliest".to_owned(),
            OffsetReset::Latest => "latest".to_owned(),
        },
        scale_to_zero_on_invalid_offset: policy.scale_to_zero_on_invalid_offset,
        lag_threshold_records: policy.lag_threshold_records,
        activation_lag_records: policy.activation_lag_records,
        activation_records_per_second: policy.activation_records_per_second,
        capacity_per_replica_records_per_second: policy.capacity_per_replica,
        target_utilization: policy.target_utilization,
        catch_up_seconds: seconds(policy.catch_up),
        target_lag_seconds: policy.target_lag.map(seconds),
        scale_down_window_seconds: seconds(policy.scale_down_window),
        scale_up_window_seconds: seconds(policy.scale_up_window),
        rebalance_hold_seconds: seconds(policy.rebalance_hold),
        startup_seconds: seconds(policy.startup),
        max_staleness_seconds: seconds(policy.max_staleness),
        poll_interval_seconds: seconds(policy.poll_interval),
    }
}

/// The whole of a published decision.
pub fn decision(published: &Published) -> DecisionView {
    let decision = &published.decision;
    DecisionView {
        at_millis: decision.at.as_millis(),
        data_at_millis: published.data_at.map(Timestamp::as_millis),
        valid_until_millis: decision.valid_until.as_millis(),
        verdict: decision.verdict.label().to_owned(),
        reason: decision.reason.clone(),
        unknown_cause: match decision.desired {
            Desired::Unknown { cause } => Some(cause.label().to_owned()),
            Desired::Known { .. } => None,
        },
        findings: decision
            .findings
            .iter()
            .map(|finding| FindingView {
                verdict: finding.verdict.label().to_owned(),
                why: finding.why.clone(),
            })
            .collect(),
        trail: decision
            .trail
            .iter()
            .map(|step| StepView {
                stage: stage(step.stage).to_owned(),
                before_replicas: step.before,
                after_replicas: step.after,
                why: step.why.clone(),
            })
            .collect(),
        inputs: inputs(&decision.inputs),
    }
}

/// What is known ahead and not over at `now`.
pub fn calendar(
    calendar: &Calendar,
    upcoming: &[Occurrence],
    now: Timestamp,
) -> Vec<OccurrenceView> {
    let upcoming = upcoming.iter().filter(|one| now < one.event.ends_at);
    upcoming
        .map(|one| OccurrenceView {
            event: one.nth + 1,
            starts_at_millis: one.event.starts_at.as_millis(),
            ends_at_millis: one.event.ends_at.as_millis(),
            replicas: match one.event.load {
                EventLoad::Replicas(replicas) => Some(replicas),
                EventLoad::RecordsPerSecond(_) => None,
            },
            records_per_second: match one.event.load {
                EventLoad::RecordsPerSecond(rate) => Some(rate),
                EventLoad::Replicas(_) => None,
            },
            words: calendar.words(*one),
        })
        .collect()
}

/// What is expected by these clocks and not over at `now`.
pub fn foresight(clocks: &LocalTime, foresight: &Foresight, now: Timestamp) -> ForesightView {
    let Foresight {
        expected,
        hits,
        misses,
        missed_replica_seconds,
    } = foresight;
    let surges = expected.iter().filter(|surge| now < surge.ends_at);
    let words = (hits + misses > 0).then(|| {
        let hours = missed_replica_seconds / 3_600.0;
        format!(
            "Since it is watched {hits} of {} that were expected came; {hours:.1} replica-hours were asked \
             for because of those that did not.",
            hits + misses
        )
    });
    ForesightView {
        surges: surges
            .map(|surge| SurgeView {
                starts_at_millis: surge.starts_at.as_millis(),
                ends_at_millis: surge.ends_at.as_millis(),
                records_per_second: surge.records_per_second,
                replicas: surge.replicas,
                came_days: surge.came,
                of_days: surge.of,
                days: surge.days.to_owned(),
                words: clocks.words(surge),
            })
            .collect(),
        hits: *hits,
        misses: *misses,
        missed_replica_seconds: *missed_replica_seconds,
        words,
    }
}

/// One point of the history.
pub fn point(point: &HistoryPoint) -> PointView {
    let desired_replicas = match point.desired {
        Desired::Known { replicas, .. } => Some(replicas),
        Desired::Unknown { .. } => None,
    };
    // As in `Decision::figures`: where nothing was known, a 0 means nothing.
    let known = desired_replicas.is_some() && point.verdict != Verdict::Stale;
    PointView {
        at_millis: point.at.as_millis(),
        verdict: point.verdict.label().to_owned(),
        desired_replicas,
        observed_replicas: known.then_some(point.observed_replicas),
        lag_records: known.then_some(point.lag_records),
        lag_seconds: point.lag_seconds,
        inbound_records_per_second: point.inbound,
        processing_records_per_second: point.processing_rate,
        rebalancing: point.rebalancing,
    }
}

fn inputs(inputs: &Inputs) -> InputsView {
    InputsView {
        observed_replicas: inputs.observed_replicas,
        replicas_in_flight: inputs.replicas_in_flight,
        calendar_floor_replicas: inputs.calendar_floor,
        partitions: inputs.partitions,
        lag_records: inputs.lag_records,
        lag_counted_records: inputs.lag_counted_records,
        lag_seconds: inputs.lag_seconds,
        inbound_up_records_per_second: inputs.inbound_up,
        inbound_down_records_per_second: inputs.inbound_down,
        inbound_offsets_fast_records_per_second: inputs.inbound_offsets_fast,
        inbound_offsets_slow_records_per_second: inputs.inbound_offsets_slow,
        inbound_prometheus_records_per_second: inputs.inbound_prometheus,
        processing_records_per_second: inputs.processing_rate,
        capacity_per_replica_records_per_second: inputs.capacity_per_replica,
        capacity_learned: inputs.capacity_learned,
        utilization: utilization(inputs),
        group_state: Some(inputs.group_state.clone()).filter(|state| !state.is_empty()),
        rebalancing: inputs.rebalancing,
        rebalances: inputs.rebalances,
        held_seconds: inputs.held_seconds,
    }
}

/// A duration in seconds.
pub fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// A stable label for a stage.
pub const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Observed => "observed",
        Stage::Rate => "rate",
        Stage::Lag => "lag",
        Stage::Hold => "hold",
        Stage::Stabilize => "stabilize",
        Stage::Calendar => "calendar",
        Stage::Limit => "limit",
    }
}

/// A verdict in plain words, to follow "because".
const fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::SteadyState => "there is nothing to change",
        Verdict::RateUp => "the inbound rate asks for more",
        Verdict::LagUp => "the backlog asks for more",
        Verdict::LagHeld => "a rebalance explains the backlog, which does not count for now",
        Verdict::Ahead => "an event that is known ahead asks for more than the load does now",
        Verdict::NotToday => "a surge that came on earlier days did not come today",
        Verdict::ScaleDown => "less was enough for the whole window",
        Verdict::DownHeld => "less is enough, but not for long enough yet, or not just now",
        Verdict::ColdStart => "the capacity of a replica is not known yet, so lagThreshold sizes",
        Verdict::Warmup => "it has not been watched for a whole window yet, so nothing is lowered",
        Verdict::HotPartition => {
            "one partition is hotter than one replica, which replicas cannot help"
        }
        Verdict::StuckPartition => "the commits of a partition do not move: a poison record",
        Verdict::MembersStalled => "the members hold partitions and commit nothing",
        Verdict::PodsNotJoining => "replicas were asked for and did not join in time",
        Verdict::ScalingLimited => {
            "KEDA or the HPA will not do it: maxReplicaCount, a pause or the tolerance"
        }
        Verdict::DownstreamLimited => "more replicas did not bring more throughput",
        Verdict::CapacityMismatch => {
            "replicas with a backlog do less than capacityPerReplica says, and they count for it"
        }
        Verdict::CoarsePartitions => {
            "the load is even, and more partitions would need far fewer replicas"
        }
        Verdict::RateMismatch => {
            "Prometheus and the log offsets disagree by more than 1.5x, and the offsets count"
        }
        Verdict::Degraded => "a source is missing, and what is left decides",
        Verdict::Stale => "too little is known, so the last decision stands for now",
        Verdict::RebalanceStorm => "rebalances follow each other so fast that the hold is spent",
    }
}
