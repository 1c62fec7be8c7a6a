//! Targets and decisions as a running scaler has them, for tests that only read what was published.
//!
//! The figures belong together: 12 replicas of 400 records/s each under 4,200 records/s inbound.

#![allow(dead_code, reason = "each test binary takes what it needs")]

use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::decision::{Finding, Stage};
use evenkeel_engine::{
    Cause, Decision, Desired, Expected, Foresight, Inputs, Observation, Policy,
    PrometheusObservation, Reading, Step, Timestamp, Verdict, WorkloadObservation,
};
use evenkeel_scaler::calendar::{Calendar, LocalTime};
use evenkeel_scaler::config::Limits;
use evenkeel_scaler::control::target::{
    ClusterRef, PrometheusRef, Published, TargetKey, TargetSpec,
};
use evenkeel_scaler::observe::{Isolation, Subscription, TopicSelection};
use evenkeel_sim::rivals::default_policy;

/// A target of the cluster profile `main` with a Prometheus baseline.
pub fn spec(namespace: &str, name: &str, metadata_hash: u64) -> TargetSpec {
    TargetSpec {
        key: TargetKey {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            metadata_hash,
        },
        cluster: ClusterRef::Profile("main".to_owned()),
        subscription: Arc::new(Subscription {
            consumer_group: format!("{name}-group"),
            topics: TopicSelection::Named(vec!["orders".to_owned()]),
            partitions: None,
            isolation: Isolation::ReadUncommitted,
            history: Duration::from_secs(300),
        }),
        prometheus: Some(PrometheusRef {
            url: "http://reader:secret@prometheus:9090".to_owned(),
            profile: None,
            query: "sum(rate(orders_total[1m]))".to_owned(),
        }),
        policy: policy(),
        calendar: Calendar::default(),
        local_time: LocalTime::default(),
        notes: vec!["version is accepted and ignored: versions are negotiated.".to_owned()],
    }
}

/// The documented defaults, with 1 to 24 replicas.
pub fn policy() -> Policy {
    Policy {
        min_replicas: 1,
        max_replicas: Some(24),
        poll_interval: Duration::from_secs(5),
        ..default_policy(None, 60)
    }
}

/// 12 replicas are there, 14 are wanted: the rate rose while a rebalance was going on.
pub fn rising(at: Timestamp) -> Published {
    let step = |stage, before, after, why: &str| Step {
        stage,
        before,
        after,
        why: why.to_owned(),
    };
    Published {
        decision: Decision {
            at,
            desired: Desired::Known {
                replicas: 14,
                active: true,
            },
            verdict: Verdict::RateUp,
            reason: "4,200 records/s come in over 24 partitions; the busiest of 14 replicas gets 300 and may get 347"
                .to_owned(),
            findings: vec![Finding {
                verdict: Verdict::LagHeld,
                why: "36,000 records of lag came with the rebalance and do not count for now."
                    .to_owned(),
            }],
            trail: vec![
                step(Stage::Observed, 0, 12, "12 replicas own 24 partitions."),
                step(
                    Stage::Rate,
                    12,
                    14,
                    "4,200 records/s inbound need 14 replicas of 400 records/s at 80 %.",
                ),
                step(
                    Stage::Lag,
                    14,
                    15,
                    "48,000 records of lag need one more to be worked off in 120 s.",
                ),
                step(
                    Stage::Hold,
                    15,
                    14,
                    "A rebalance has been going on for 12 s: its lag does not count.",
                ),
                step(Stage::Stabilize, 14, 14, "Up goes in one step."),
                step(Stage::Limit, 14, 14, "Between 1 and 24 replicas."),
            ],
            inputs: Inputs {
                observed_replicas: 12,
                replicas_read: false,
                replicas_in_flight: 2,
                calendar_floor: None,
                partitions: 24,
                lag_records: 48_000,
                lag_counted_records: 12_000,
                lag_seconds: Some(11.4),
                inbound_up: Some(4_200.0),
                inbound_down: Some(3_900.0),
                inbound_offsets_fast: Some(4_200.0),
                inbound_offsets_slow: Some(3_900.0),
                inbound_prometheus: Some(4_150.0),
                processing_rate: Some(3_600.0),
                capacity_per_replica: Some(400.0),
                capacity_learned: true,
                group_state: "PreparingRebalance".to_owned(),
                rebalancing: true,
                rebalances: 3,
                held_seconds: 12.0,
            },
            valid_until: at.plus(Duration::from_secs(120)),
        },
        problems: Vec::new(),
        upcoming: Arc::from([]),
        foresight: None,
        data_at: Some(at),
    }
}

/// Two surges are expected, the first in ten hours, and so far one of three did not come.
pub fn foresight(at: Timestamp) -> Foresight {
    let surge = |hours: u64, replicas| Expected {
        starts_at: at.plus(Duration::from_secs(hours * 3_600)),
        ends_at: at.plus(Duration::from_secs(hours * 3_600 + 600)),
        records_per_second: 5_000.0,
        replicas,
        came: 9,
        of: 10,
        days: "working days",
    };
    Foresight {
        expected: vec![surge(10, Some(16)), surge(20, None)],
        hits: 2,
        misses: 1,
        missed_replica_seconds: 5_400.0,
    }
}

/// Nothing is known: the broker does not answer.
pub fn unreachable(at: Timestamp, data_at: Timestamp) -> Published {
    Published {
        decision: Decision {
            at,
            desired: Desired::Unknown {
                cause: Cause::Unreachable,
            },
            verdict: Verdict::Stale,
            reason: String::new(),
            findings: Vec::new(),
            trail: Vec::new(),
            inputs: Inputs::default(),
            valid_until: at.plus(Duration::from_secs(120)),
        },
        problems: vec![
            "No connection to broker-1:9092: connection refused. Check bootstrapServers."
                .to_owned(),
        ],
        upcoming: Arc::from([]),
        foresight: None,
        data_at: Some(data_at),
    }
}

/// Nothing could be read.
pub fn unread(at: Timestamp) -> Observation {
    Observation {
        at,
        topics: Vec::new(),
        group: Reading::Unknown(Cause::Unreachable),
        prometheus: PrometheusObservation::NotConfigured,
        workload: WorkloadObservation::NotConfigured,
        events: Vec::new(),
        utc_offset_minutes: 0,
    }
}

/// Small limits, each with another number.
pub fn limits() -> Limits {
    Limits {
        targets: 100,
        target_idle: Duration::from_secs(600),
        adhoc_clusters: 4,
        grpc_message_bytes: 65_536,
        grpc_concurrency: 32,
        kafka_frame_bytes: 1_048_576,
        history_points: 720,
        prometheus_concurrency: 8,
    }
}
