//! KEDA's own `kafka` trigger, alone or with a `prometheus` trigger for the inbound rate beside it.
//!
//! The greatest of the metrics counts, as in every HPA. Lag is read from the brokers whenever KEDA or
//! the HPA asks; the rate is as old as Prometheus' scrapes. `ensureEvenDistributionOfPartitions`
//! belongs to the `kafka` trigger; that the rate's metric could be rounded in the same way is
//! imagined, to have a rival that is stronger than what can be configured today.

use crate::chance::whole;
use crate::hpa::Metric;
use crate::keda::{LagMetric, LagRule, even};
use crate::scaler::{Answer, Scaler, Sight};

/// What is rounded to a divisor of the number of partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Even {
    /// Nothing.
    No,
    /// The lag, as KEDA can.
    Lag,
    /// The lag and the rate, as KEDA cannot.
    Both,
}

/// The triggers of a ScaledObject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KedaTriggers {
    /// `lagThreshold`, records.
    pub lag_threshold_records: u64,
    /// The `prometheus` trigger's `threshold`, records per second a replica; `None` without it.
    pub rate_threshold: Option<f64>,
    /// What is rounded.
    pub even: Even,
}

// === impl KedaTriggers ===

impl Scaler for KedaTriggers {
    fn look(&mut self, _: Sight<'_>) {}

    fn answer(&mut self, sight: Sight<'_>) -> Answer {
        let lags = sight.world.lags();
        let rule = match self.even {
            Even::No => LagRule::Capped,
            Even::Lag | Even::Both => LagRule::Even,
        };
        let lag = LagMetric::of(&lags, self.lag_threshold_records, rule);
        let mut metrics = vec![Metric {
            value_milli: Some(lag.value_records.saturating_mul(1_000)),
            target_milli: self.lag_threshold_records.saturating_mul(1_000),
        }];
        let mut active = lag.active;
        if let Some(threshold) = self.rate_threshold {
            let rate = sight.prometheus.rate().map(|rate| rate.0);
            active |= rate.is_some_and(|rate| rate > 0.0);
            let target_milli = whole(threshold * 1_000.0).max(1);
            let value_milli = rate.map(|rate| whole(rate * 1_000.0));
            let partitions = u64::try_from(lags.len()).unwrap_or(u64::MAX);
            metrics.push(Metric {
                value_milli: match self.even {
                    Even::Both => value_milli
                        .map(|value| even(value.div_ceil(target_milli), partitions) * target_milli),
                    Even::No | Even::Lag => value_milli,
                },
                target_milli,
            });
        }
        Answer::Metrics {
            metrics,
            active: Some(active),
        }
    }
}
