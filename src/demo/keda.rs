//! What KEDA's operator does beside the HPA: zero to one and back, and the metric of its own Kafka
//! trigger.
//!
//! Pure. KEDA polls a trigger's activity; an active one at zero replicas gets one, and only when none
//! has been active for the whole cooldown period does it go back to zero, from whatever the HPA left.
//! Everything between one and many is the HPA's.

use std::time::Duration;

use evenkeel_engine::Timestamp;

/// KEDA's side of one ScaledObject.
#[derive(Clone, Debug)]
pub struct Activation {
    min_replicas: u32,
    cooldown: Duration,
    active_at: Option<Timestamp>,
}

/// The metric of KEDA's `kafka` trigger, and whether it is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LagMetric {
    /// What the HPA is told: records.
    pub value_records: u64,
    /// Whether there is any lag.
    pub active: bool,
}

// === impl Activation ===

impl Activation {
    /// For a ScaledObject with this `minReplicaCount` and `cooldownPeriod`.
    pub fn new(min_replicas: u32, cooldown: Duration) -> Self {
        Self {
            min_replicas,
            cooldown,
            active_at: None,
        }
    }

    /// What KEDA sets when the trigger says whether it is `active`; `current` when it leaves things
    /// to the HPA.
    pub fn told(&mut self, now: Timestamp, active: bool, current: u32) -> u32 {
        if active {
            self.active_at = Some(now);
            return if current == 0 {
                self.min_replicas.max(1)
            } else {
                current
            };
        }
        // Before the first activity the ScaledObject's creation would count; the demo begins there.
        let since = self.active_at.get_or_insert(now);
        if current > 0 && self.min_replicas == 0 && now.since(*since) >= self.cooldown {
            0
        } else {
            current
        }
    }
}

// === impl LagMetric ===

impl LagMetric {
    /// KEDA's arithmetic over the lag of each partition: the sum, capped at `threshold` for every
    /// partition, so that there are never more replicas than partitions (`allowIdleConsumers:
    /// false`). Activity looks at the sum itself.
    pub fn of(lags: &[u64], threshold_records: u64) -> Self {
        let total: u64 = lags.iter().sum();
        let partitions = u64::try_from(lags.len()).unwrap_or(u64::MAX);
        Self {
            value_records: total.min(partitions.saturating_mul(threshold_records)),
            active: total > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_replica_at_the_first_activity_and_none_after_the_cooldown() {
        let mut keda = Activation::new(0, Duration::from_secs(60));
        let mut check = |second: u64, active, current, expected| {
            let now = Timestamp::from_secs(1_000 + second);
            assert_eq!(keda.told(now, active, current), expected, "second {second}");
        };
        check(0, false, 0, 0);
        check(30, true, 0, 1);
        check(60, true, 1, 1);
        check(90, false, 12, 12);
        check(110, true, 12, 12);
        check(150, false, 12, 12);
        check(169, false, 12, 12);
        check(170, false, 12, 0);
    }

    #[test]
    fn a_minimum_keeps_it_awake() {
        let mut keda = Activation::new(3, Duration::ZERO);
        assert_eq!(keda.told(Timestamp::from_secs(9), true, 0), 3);
        assert_eq!(keda.told(Timestamp::from_secs(99), false, 5), 5);
    }

    #[test]
    fn lag_counts_up_to_one_threshold_a_partition() {
        let check = |lags: &[u64], value_records, active| {
            let expected = LagMetric {
                value_records,
                active,
            };
            assert_eq!(LagMetric::of(lags, 100), expected, "{lags:?}");
        };
        check(&[], 0, false);
        check(&[0, 0], 0, false);
        check(&[30, 20], 50, true);
        check(&[1_000, 0, 0], 300, true);
    }
}
