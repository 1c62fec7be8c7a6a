//! One JSON line a second on standard output, for whoever started the process.
//!
//! Both programs print a line each second and a last one with `"final": true` when they have
//! drained. A line that cannot be written means that the reader is gone: the process then drains
//! and exits, so that no orphan is left behind. Unknown is `null`, never 0.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use batch_consumer::clock;
use batch_consumer::metrics::{Metrics, label};
use batch_consumer::sink::{DeadLetter, Positions, Row, Sink, Step, Written};
use rdkafka::Message as _;
use serde::Serialize;

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

/// Counts what another sink writes; clones count together.
#[derive(Clone, Debug)]
pub struct Tallied<S> {
    /// What is counted.
    pub tallies: Tallies,
    /// What writes.
    pub sink: S,
}

/// What was written since the last line, and since the start.
pub type Tallies = Arc<Mutex<[Tally; 2]>>;

/// Records and their ages over some stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    records: u64,
    aged_records: u64,
    age_sum_seconds: f64,
    age_max_seconds: f64,
}

impl<T: Sync, S: Sink<T>> Sink<T> for Tallied<S> {
    async fn positions(&mut self, cluster: &str, partitions: &[i32]) -> Positions {
        self.sink.positions(cluster, partitions).await
    }

    async fn write(&mut self, rows: &[&Row<T>], dead: &[&DeadLetter], steps: &[Step]) -> Written {
        self.sink.write(rows, dead, steps).await?;
        let now = clock::since_epoch();
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        for tally in &mut *tallies {
            for row in rows {
                tally.add(row.record.timestamp().to_millis(), now);
            }
        }
        Ok(())
    }
}

impl Tally {
    fn add(&mut self, produced_at: Option<i64>, now: Duration) {
        self.records += 1;
        let Some(produced_at) = produced_at.and_then(|at| u64::try_from(at).ok()) else {
            return;
        };
        // A producer's clock may be ahead of ours; an age is never negative.
        let age = now
            .saturating_sub(Duration::from_millis(produced_at))
            .as_secs_f64();
        self.aged_records += 1;
        self.age_sum_seconds += age;
        self.age_max_seconds = self.age_max_seconds.max(age);
    }
}

impl ConsumerReport {
    /// What happened in the `elapsed` time since the last line, or, in the last one, since the start.
    pub fn new(metrics: &Metrics, tallies: &Tallies, elapsed: Duration, is_final: bool) -> Self {
        let mut tallies = tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let [since_the_last_line, whole] = &mut *tallies;
        let taken = std::mem::take(since_the_last_line);
        let tally = if is_final { *whole } else { taken };
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^52 records")]
        let (records, aged) = (tally.records as f64, tally.aged_records as f64);
        let is_aged = tally.aged_records > 0;
        let changes = |kind| metrics.rebalances.get_or_create(&label("kind", kind)).get();
        Self {
            processed_total: whole.records,
            records_per_second: records / elapsed.as_secs_f64().max(f64::EPSILON),
            message_age_mean_seconds: is_aged.then_some(tally.age_sum_seconds / aged),
            message_age_max_seconds: is_aged.then_some(tally.age_max_seconds),
            assigned_partitions: metrics.assigned_partitions.get(),
            rebalances: ["assigned", "revoked", "lost"].map(changes).iter().sum(),
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

    #[test]
    fn a_second_without_records_has_no_age() {
        let (metrics, second) = (Metrics::default(), Duration::from_secs(1));
        let report = ConsumerReport::new(&metrics, &Tallies::default(), second, false);
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            "{\"processed_total\":0,\"records_per_second\":0.0,\
             \"message_age_mean_seconds\":null,\"message_age_max_seconds\":null,\
             \"assigned_partitions\":0,\"rebalances\":0,\"final\":false}"
        );
    }

    #[test]
    fn the_last_line_covers_the_whole_life() {
        let (metrics, tallies) = (Metrics::default(), Tallies::default());
        for tally in &mut *tallies.lock().unwrap() {
            tally.add(Some(0), Duration::from_secs(7));
            // From the future.
            tally.add(Some(60_000), Duration::from_secs(7));
        }
        let line = |time, is_final| {
            let time = Duration::from_millis(time);
            ConsumerReport::new(&metrics, &tallies, time, is_final)
        };
        let second = line(500, false);
        assert_eq!(
            (second.processed_total, second.records_per_second),
            (2, 4.0)
        );
        assert_eq!(second.message_age_mean_seconds, Some(3.5));
        assert_eq!(
            line(500, false).message_age_mean_seconds,
            None,
            "unknown is not 0"
        );
        let last = line(10_000, true);
        assert_eq!((last.processed_total, last.records_per_second), (2, 0.2));
        assert!(last.message_age_max_seconds == Some(7.0) && last.is_final);
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
