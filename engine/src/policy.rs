//! What the user asked for: the validated form of one ScaledObject's trigger metadata.
//!
//! Parsing strings, defaults and did-you-mean live in the scaler's schema; this file holds
//! what the engine needs and refuses values that would make no sense ([`Policy::validate`]). There
//! is no `Default`: defaults stand in one place, the schema.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tuning::Tuning;

/// What a partition without a committed offset means (KEDA's `offsetResetPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OffsetReset {
    /// The group will read the whole log: all of it is lag.
    Earliest,
    /// The group will read what comes: nothing is lag, but it has to run to see it.
    Latest,
}

/// The policy of one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Never fewer replicas than this.
    pub min_replicas: u32,
    /// Never more than this; without it the number of partitions is the limit.
    pub max_replicas: Option<u32>,
    /// Lift the limit of one replica a partition.
    pub allow_idle_consumers: bool,
    /// Cap at the number of partitions that have lag.
    pub limit_to_partitions_with_lag: bool,
    /// Leave a partition whose committed offset does not move out of the sizing.
    pub exclude_persistent_lag: bool,
    /// What a partition without a commit means.
    pub offset_reset: OffsetReset,
    /// A partition without a commit does not wake the target.
    pub scale_to_zero_on_invalid_offset: bool,
    /// Logs end at their last stable offset: whoever reads more may have committed behind it.
    pub read_committed: bool,
    /// Records of lag a replica, the rule until the capacity is known.
    pub lag_threshold_records: u64,
    /// Active when the lag is above this.
    pub activation_lag_records: u64,
    /// Active when the inbound rate is above this, in records per second. Where it is not given, any
    /// rate counts, but for a lag that has a threshold of its own: then only that wakes, and a rate
    /// keeps awake that would pass it soon.
    pub activation_records_per_second: Option<f64>,
    /// Records per second that one replica can do; learned where absent.
    pub capacity_per_replica: Option<f64>,
    /// The share of its capacity that a replica is planned to use, in (0, 1].
    pub target_utilization: f64,
    /// How fast a backlog is worked off.
    pub catch_up: Duration,
    /// The oldest that a record may get before it is processed, where the user has an objective.
    pub target_lag: Option<Duration>,
    /// Down only when nothing in this window asked for more.
    pub scale_down_window: Duration,
    /// Up only when everything in this window asked for more; zero for at once.
    pub scale_up_window: Duration,
    /// How long one rebalance episode may hold the lag term.
    pub rebalance_hold: Duration,
    /// How long a new replica takes to join, until that is learned.
    pub startup: Duration,
    /// How long the last decision stands without fresh data.
    pub max_staleness: Duration,
    /// How often the target is observed; the dead band of normal lag depends on it.
    pub poll_interval: Duration,
    /// What came again on earlier days is prepared for.
    pub learns_calendar: bool,
    /// Never more than this is asked for because of that.
    pub calendar_max_replicas: Option<u32>,
    /// The engine's own numbers. Users do not set them.
    pub tuning: Tuning,
}

/// A policy that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A number outside its range.
    #[error("{field} is {value}: it has to be {expected}")]
    OutOfRange {
        /// The field, as this crate names it.
        field: &'static str,
        /// The value given.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The lower limit lies above the upper one.
    #[error("min_replicas {min} lies above max_replicas {max}")]
    MinAboveMax {
        /// The lower limit.
        min: u32,
        /// The upper limit.
        max: u32,
    },
}

// === impl Policy ===

impl Policy {
    /// The time in which a backlog is to be worked off: the catch-up time, or the objective for the
    /// age of records where that is shorter.
    pub(crate) fn horizon(&self) -> Duration {
        self.target_lag
            .map_or(self.catch_up, |objective| self.catch_up.min(objective))
            .max(Duration::from_secs(1))
    }

    /// Every reason why this policy cannot be followed; empty when it can.
    pub fn validate(&self) -> Vec<PolicyError> {
        let mut errors = Vec::new();
        let mut check = |ok: bool, field, value: String, expected| {
            if !ok {
                errors.push(PolicyError::OutOfRange {
                    field,
                    value,
                    expected,
                });
            }
        };
        check(
            self.target_utilization > 0.0 && self.target_utilization <= 1.0,
            "target_utilization",
            self.target_utilization.to_string(),
            "above 0 and at most 1",
        );
        check(
            self.capacity_per_replica
                .is_none_or(|rate| rate.is_finite() && rate > 0.0),
            "capacity_per_replica",
            self.capacity_per_replica.unwrap_or_default().to_string(),
            "above 0 records per second",
        );
        check(
            self.activation_records_per_second
                .is_none_or(|rate| rate.is_finite() && rate >= 0.0),
            "activation_records_per_second",
            self.activation_records_per_second
                .unwrap_or_default()
                .to_string(),
            "0 or more records per second",
        );
        check(
            self.lag_threshold_records > 0,
            "lag_threshold_records",
            self.lag_threshold_records.to_string(),
            "at least 1 record",
        );
        check(
            self.max_replicas != Some(0),
            "max_replicas",
            "0".to_owned(),
            "at least 1",
        );
        check(
            !self.catch_up.is_zero(),
            "catch_up",
            format!("{} s", self.catch_up.as_secs()),
            "above 0 s",
        );
        check(
            !self.poll_interval.is_zero(),
            "poll_interval",
            format!("{} s", self.poll_interval.as_secs()),
            "above 0 s",
        );
        if let Some(max) = self.max_replicas
            && self.min_replicas > max
        {
            errors.push(PolicyError::MinAboveMax {
                min: self.min_replicas,
                max,
            });
        }
        errors
    }
}
