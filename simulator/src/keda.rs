//! What KEDA's operator does beside the HPA: zero to one and back, its fallback, and the metric of its
//! own Kafka trigger.
//!
//! Pure. KEDA polls a trigger's activity; an active one at zero replicas gets one, and only when none
//! has been active for the whole cooldown period does it go back to zero, from whatever the HPA left.
//! A trigger that answers with errors freezes things, or counts towards the fallback. Everything
//! between one and many is the HPA's.

use std::time::Duration;

use evenkeel_engine::Timestamp;

/// KEDA's side of one ScaledObject.
#[derive(Clone, Debug)]
pub struct Activation {
    min_replicas: u32,
    cooldown: Duration,
    active_at: Option<Timestamp>,
}

/// KEDA's `fallback` of one trigger: after more than so many failures in a row, so many replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// `failureThreshold`.
    pub failure_threshold: u32,
    /// `replicas`, with the behaviour `static`.
    pub replicas: u32,
    failures: u32,
}

/// How KEDA's `kafka` trigger caps and rounds its metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LagRule {
    /// At most one threshold a partition.
    Capped,
    /// `ensureEvenDistributionOfPartitions`: the next divisor of the number of partitions.
    Even,
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

// === impl Fallback ===

impl Fallback {
    /// A fallback that has seen no failure.
    pub fn new(failure_threshold: u32, replicas: u32) -> Self {
        Self {
            failure_threshold,
            replicas,
            failures: 0,
        }
    }

    /// What the HPA is told of a trigger whose target a replica is `target_milli`: its answer, the
    /// fallback in its place when failures exceed the threshold, or an error.
    pub fn tell(&mut self, answer_milli: Option<u64>, target_milli: u64) -> Option<u64> {
        if answer_milli.is_some() {
            self.failures = 0;
            return answer_milli;
        }
        self.failures = self.failures.saturating_add(1);
        (self.failures > self.failure_threshold)
            .then(|| target_milli.saturating_mul(u64::from(self.replicas)))
    }
}

// === impl LagMetric ===

impl LagMetric {
    /// KEDA's arithmetic over the lag of each partition. Activity looks at the sum itself.
    ///
    /// The cap (`allowIdleConsumers: false`) compares whole thresholds, so a sum just above the cap
    /// passes it by up to one threshold less a record: one replica more than partitions.
    pub fn of(lags: &[u64], threshold_records: u64, rule: LagRule) -> Self {
        let total: u64 = lags.iter().sum();
        let partitions = u64::try_from(lags.len()).unwrap_or(u64::MAX);
        let threshold = threshold_records.max(1);
        let value_records = match rule {
            LagRule::Capped if total / threshold > partitions => {
                partitions.saturating_mul(threshold)
            }
            LagRule::Capped => total,
            LagRule::Even => even(total.div_ceil(threshold), partitions).saturating_mul(threshold),
        };
        Self {
            value_records,
            active: total > 0,
        }
    }
}

/// The smallest divisor of `partitions` that is at least `replicas`; `partitions` where there is none.
pub(crate) fn even(replicas: u64, partitions: u64) -> u64 {
    (replicas.max(1)..=partitions)
        .find(|count| partitions.is_multiple_of(*count))
        .unwrap_or(partitions)
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
            let metric = LagMetric::of(lags, 100, LagRule::Capped);
            assert_eq!(metric, expected, "{lags:?}");
        };
        check(&[], 0, false);
        check(&[0, 0], 0, false);
        check(&[30, 20], 50, true);
        check(&[1_000, 0, 0], 300, true);
        // Not capped: 399 is 3 whole thresholds, and makes the HPA ask for 4 replicas of 3.
        check(&[399, 0, 0], 399, true);
    }

    #[test]
    fn an_even_distribution_takes_the_next_divisor() {
        let check = |total: u64, replicas: u64| {
            let lags: Vec<u64> = std::iter::once(total)
                .chain(std::iter::repeat_n(0, 125))
                .collect();
            let metric = LagMetric::of(&lags, 100, LagRule::Even);
            assert_eq!(metric.value_records, replicas * 100, "{total}");
        };
        check(0, 1);
        check(1_300, 14);
        check(6_300, 63);
        check(6_301, 126);
        check(99_999, 126);
    }

    #[test]
    fn the_fallback_waits_until_failures_exceed_its_threshold() {
        let mut fallback = Fallback::new(3, 6);
        let mut check = |answer, told| assert_eq!(fallback.tell(answer, 1_000), told);
        check(Some(4_000), Some(4_000));
        check(None, None);
        check(None, None);
        check(None, None);
        check(None, Some(6_000));
        check(Some(5_000), Some(5_000));
        check(None, None);
    }
}
