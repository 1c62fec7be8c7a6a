//! One JSON line a second on standard output, for whoever started the process.
//!
//! Both programs print a line each second and a last one with `"final": true` when they have
//! drained. A line that cannot be written means that the reader is gone: the process then drains
//! and exits, so that no orphan is left behind. Unknown is `null`, never 0.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use crate::metrics::Metrics;

/// Time between two lines.
pub const REPORT_EVERY: Duration = Duration::from_secs(1);

/// One line of the consumer. In the last line the figures "over the last second" are those over
/// the whole life of the process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConsumerReport {
    /// Records that the sink has written since the start. Delivery is at least once, so this may
    /// exceed the records produced; what is committed, Kafka knows.
    pub processed_total: u64,
    /// Records written over the last second, per second.
    pub records_per_second: f64,
    /// Mean age (produced to written) of the records written over the last second; `null` if none.
    pub message_age_mean_seconds: Option<f64>,
    /// Greatest age of the records written over the last second; `null` if none.
    pub message_age_max_seconds: Option<f64>,
    /// Partitions assigned now.
    pub assigned_partitions: i64,
    /// Times since the start that partitions were assigned, revoked or lost.
    pub rebalances: u64,
    /// Whether this is the last line.
    #[serde(rename = "final")]
    pub is_final: bool,
}

/// One line of the producer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProducerReport {
    /// The load wanted now, records/s.
    pub target_rate: f64,
    /// Records handed to the client since the start.
    pub produced_total: u64,
    /// Those of them that can never be written.
    pub poison_total: u64,
    /// Records that Kafka has acknowledged (all in-sync replicas).
    pub acknowledged_total: u64,
    /// Records that the client gave up: they may or may not be in the log.
    pub failed_total: u64,
    /// Whether this is the last line; `produced = acknowledged + failed` then, unless the flush ran
    /// out of time.
    #[serde(rename = "final")]
    pub is_final: bool,
}

// === impl ConsumerReport ===

impl ConsumerReport {
    /// What happened in the `elapsed` time since the last call.
    pub fn of_the_last_second(metrics: &Metrics, elapsed: Duration) -> Self {
        Self::new(metrics, metrics.take_tally(), elapsed, false)
    }

    /// What happened in the `lifetime` of the process.
    pub fn at_the_end(metrics: &Metrics, lifetime: Duration) -> Self {
        Self::new(metrics, metrics.whole_tally(), lifetime, true)
    }

    fn new(
        metrics: &Metrics,
        tally: crate::metrics::Tally,
        elapsed: Duration,
        is_final: bool,
    ) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^52 records")]
        let records = tally.records as f64;
        Self {
            processed_total: metrics.whole_tally().records,
            records_per_second: records / elapsed.as_secs_f64().max(f64::EPSILON),
            message_age_mean_seconds: tally.age_mean_seconds(),
            message_age_max_seconds: tally.age_max_seconds(),
            assigned_partitions: metrics.assigned_partitions(),
            rebalances: metrics.rebalances(),
            is_final,
        }
    }
}

/// Prints one line.
///
/// # Errors
/// When nobody reads it any more.
pub fn print(report: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    let mut output = std::io::stdout().lock();
    output.write_all(&line)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Record;
    use crate::clock;

    #[test]
    fn a_second_without_records_has_no_age() {
        let metrics = Metrics::default();
        let report = ConsumerReport::of_the_last_second(&metrics, REPORT_EVERY);
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            "{\"processed_total\":0,\"records_per_second\":0.0,\
             \"message_age_mean_seconds\":null,\"message_age_max_seconds\":null,\
             \"assigned_partitions\":0,\"rebalances\":0,\"final\":false}"
        );
    }

    #[test]
    fn the_last_line_covers_the_whole_life() {
        let metrics = Metrics::default();
        let record = Record {
            partition: 0,
            offset: 0,
            produced_at: Some(Duration::ZERO),
            key: None,
            payload: None,
            headers: None,
        };
        let now = clock::now();
        metrics.batch_written(&[record], now, now);
        let second = ConsumerReport::of_the_last_second(&metrics, Duration::from_millis(500));
        assert_eq!(
            (second.processed_total, second.records_per_second),
            (1, 2.0)
        );
        let last = ConsumerReport::at_the_end(&metrics, Duration::from_secs(10));
        assert_eq!((last.processed_total, last.records_per_second), (1, 0.1));
        assert!(last.message_age_max_seconds.is_some() && last.is_final);
    }

    #[test]
    fn the_producers_line_has_these_fields() {
        let report = ProducerReport {
            target_rate: 1000.0,
            produced_total: 3,
            poison_total: 1,
            acknowledged_total: 2,
            failed_total: 1,
            is_final: true,
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            "{\"target_rate\":1000.0,\"produced_total\":3,\"poison_total\":1,\"acknowledged_total\":2,\
             \"failed_total\":1,\"final\":true}"
        );
    }
}
