//! What the consumer counts; the HTTP server that shows it is in [`server`].
//!
//! The names of the first four metrics are those of the blueprint that this consumer stands in for,
//! so that a dashboard made for it works. prometheus-client adds the `_total` of counters itself.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::batch::Record;
use crate::clock;

pub mod server;

/// How long the consuming thread may be silent before `/livez` fails. A turn of its loop is
/// bounded by a commit to an absent coordinator (60 s, librdkafka's request timeout) on top of the
/// wait for the sink at a revocation (10 s); twice that is a thread that will not come back.
const SILENT_AT_MOST: Duration = Duration::from_secs(140);

/// Seconds: from a healthy bulk insert to a database in trouble.
const BATCH_BUCKETS_SECONDS: [f64; 11] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// Seconds: from "at once" to the backlog of a long outage.
const AGE_BUCKETS_SECONDS: [f64; 12] = [
    0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
];

/// Records: the default batch is 100.
const SIZE_BUCKETS_RECORDS: [f64; 9] = [1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 500.0, 1000.0];

/// Handles to everything that is counted; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    processed: Family<StatusLabel, Counter>,
    per_second: Gauge<f64, AtomicU64>,
    batch_seconds: Histogram,
    age_seconds: Histogram,
    batch_records: Histogram,
    assigned_partitions: Gauge,
    rebalances: Family<RebalanceLabel, Counter>,
    commit_failures: Counter,
    dead_letters: Family<DeathLabel, Counter>,
    fenced_batches: Counter,
    sink_retries: Counter,
    sink_available: Gauge,
    stuck_partitions: Gauge,
    trouble: Arc<Mutex<Option<String>>>,
    turned_at: Arc<Mutex<Option<Instant>>>,
    tallies: Arc<Mutex<Tallies>>,
}

/// How a record ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

/// Why a record went to the dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeathLabel {
    reason: &'static str,
}

/// Why a record went to the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeathKind {
    /// It is not what the sink writes.
    Undecodable,
    /// The sink would not have it.
    Refused,
}

/// What a rebalance did to this consumer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RebalanceLabel {
    kind: &'static str,
}

/// What a rebalance did to this consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebalanceKind {
    /// It was given partitions.
    Assigned,
    /// It gave partitions back, with its work committed.
    Revoked,
    /// Its partitions were already taken; nothing could be committed.
    Lost,
}

/// Records and their ages over some stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Records written.
    pub records: u64,
    /// Those of them that said when they were produced.
    pub aged_records: u64,
    /// Sum of their ages.
    pub age_sum_seconds: f64,
    /// The oldest of them.
    pub age_max_seconds: f64,
}

#[derive(Debug, Default)]
struct Tallies {
    since_taken: Tally,
    whole_life: Tally,
}

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        Self {
            processed: Family::default(),
            per_second: Gauge::default(),
            batch_seconds: Histogram::new(BATCH_BUCKETS_SECONDS),
            age_seconds: Histogram::new(AGE_BUCKETS_SECONDS),
            batch_records: Histogram::new(SIZE_BUCKETS_RECORDS),
            assigned_partitions: Gauge::default(),
            rebalances: Family::default(),
            commit_failures: Counter::default(),
            dead_letters: Family::default(),
            fenced_batches: Counter::default(),
            sink_retries: Counter::default(),
            sink_available: available(),
            stuck_partitions: Gauge::default(),
            trouble: Arc::default(),
            turned_at: Arc::default(),
            tallies: Arc::default(),
        }
    }
}

impl Metrics {
    /// Counts a batch that the sink has written, and the dead letters that went with it not.
    pub fn batch_written(&self, batch: &[Record], began: Instant, ended: Instant) {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let status = "success";
        let counter = self.processed.get_or_create(&StatusLabel { status });
        counter.inc_by(count);
        self.batch_seconds.observe((ended - began).as_secs_f64());
        #[expect(
            clippy::cast_precision_loss,
            reason = "a batch is far below 2^52 records"
        )]
        self.batch_records.observe(count as f64);
        let since_epoch = clock::since_epoch();
        let mut tally = Tally {
            records: count,
            ..Tally::default()
        };
        for produced_at in batch.iter().filter_map(|record| record.produced_at) {
            // A producer's clock may be ahead of ours; an age is never negative.
            let age_seconds = since_epoch.saturating_sub(produced_at).as_secs_f64();
            self.age_seconds.observe(age_seconds);
            tally.add_age(age_seconds);
        }
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.since_taken.add(tally);
        tallies.whole_life.add(tally);
    }

    /// Counts records that went to the dead letters.
    pub fn dead_letters(&self, kind: DeathKind, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        let reason = match kind {
            DeathKind::Undecodable => "undecodable",
            DeathKind::Refused => "refused",
        };
        self.dead_letters
            .get_or_create(&DeathLabel { reason })
            .inc_by(records);
        let status = "error";
        let counter = self.processed.get_or_create(&StatusLabel { status });
        counter.inc_by(records);
    }

    /// Counts a batch that another member had written already.
    pub fn fenced(&self) {
        self.fenced_batches.inc();
    }

    /// Says why the sink does not work; counts the repetition that follows.
    pub fn sink_in_trouble(&self, reason: String) {
        self.sink_retries.inc();
        self.sink_available.set(0);
        *self.trouble() = Some(reason);
    }

    /// Says that the sink works.
    pub fn sink_works(&self) {
        self.sink_available.set(1);
        *self.trouble() = None;
    }

    /// Why the sink does not work; `None` if it does.
    pub fn sink_trouble(&self) -> Option<String> {
        self.trouble().clone()
    }

    /// Says how many partitions wait for a person.
    pub fn set_stuck_partitions(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.stuck_partitions.set(count);
    }

    /// Partitions that wait for a person.
    pub fn stuck_partitions(&self) -> i64 {
        self.stuck_partitions.get()
    }

    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was written since this was last called.
    pub fn take_tally(&self) -> Tally {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut tallies.since_taken)
    }

    /// What was written since the start.
    pub fn whole_tally(&self) -> Tally {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.whole_life
    }

    /// Shows the throughput of the last second.
    pub fn set_per_second(&self, records_per_second: f64) {
        self.per_second.set(records_per_second);
    }

    /// Counts a change of the assignment that left `assigned_partitions`.
    pub fn rebalanced(&self, kind: RebalanceKind, assigned_partitions: i64) {
        let kind = kind.label();
        self.rebalances
            .get_or_create(&RebalanceLabel { kind })
            .inc();
        self.assigned_partitions.set(assigned_partitions);
    }

    /// Partitions assigned now.
    pub fn assigned_partitions(&self) -> i64 {
        self.assigned_partitions.get()
    }

    /// Changes of the assignment since the start.
    pub fn rebalances(&self) -> u64 {
        let kinds = [
            RebalanceKind::Assigned,
            RebalanceKind::Revoked,
            RebalanceKind::Lost,
        ];
        let count = |kind: RebalanceKind| {
            let kind = kind.label();
            self.rebalances
                .get_or_create(&RebalanceLabel { kind })
                .get()
        };
        kinds.into_iter().map(count).sum()
    }

    /// Counts a commit that Kafka did not take.
    pub fn commit_failed(&self) {
        self.commit_failures.inc();
    }

    /// Notes that the consuming thread is alive.
    pub fn turned(&self, now: Instant) {
        let mut turned_at = self
            .turned_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *turned_at = Some(now);
    }

    /// Whether it has been lately.
    pub fn is_turning(&self, now: Instant) -> bool {
        let turned_at = self
            .turned_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        turned_at.is_some_and(|at| now.saturating_duration_since(at) < SILENT_AT_MOST)
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "kafka_messages_processed",
            "Records that the sink has finished, by status",
            self.processed.clone(),
        );
        registry.register(
            "kafka_messages_per_second",
            "Records written in the last second",
            self.per_second.clone(),
        );
        registry.register(
            "kafka_batch_processing_seconds",
            "How long the sink took for a batch",
            self.batch_seconds.clone(),
        );
        registry.register(
            "kafka_message_age_seconds",
            "Age of a record when it was written",
            self.age_seconds.clone(),
        );
        registry.register(
            "kafka_batch_size_records",
            "Records in a batch",
            self.batch_records.clone(),
        );
        registry.register(
            "kafka_assigned_partitions",
            "Partitions assigned to this consumer",
            self.assigned_partitions.clone(),
        );
        registry.register(
            "kafka_rebalances",
            "Changes of this consumer's assignment, by kind",
            self.rebalances.clone(),
        );
        registry.register(
            "kafka_commit_failures",
            "Commits that Kafka did not take; they are tried again",
            self.commit_failures.clone(),
        );
        registry.register(
            "kafka_dead_letters",
            "Records that went to the dead-letter topic, by reason",
            self.dead_letters.clone(),
        );
        registry.register(
            "kafka_fenced_batches",
            "Batches that were not written because another member had written their partitions",
            self.fenced_batches.clone(),
        );
        registry.register(
            "kafka_sink_retries",
            "Attempts that found the sink not available",
            self.sink_retries.clone(),
        );
        registry.register(
            "kafka_sink_available",
            "1 while the sink works, 0 while batches wait for it",
            self.sink_available.clone(),
        );
        registry.register(
            "kafka_stuck_partitions",
            "Partitions that wait for a person: Kafka has gone back behind what is stored",
            self.stuck_partitions.clone(),
        );
    }
}

// === impl RebalanceKind ===

impl RebalanceKind {
    fn label(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Revoked => "revoked",
            Self::Lost => "lost",
        }
    }
}

// === impl Tally ===

impl Tally {
    /// Mean age; `None` when no record said when it was produced.
    pub fn age_mean_seconds(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^52 records")]
        let mean = self.age_sum_seconds / self.aged_records as f64;
        (self.aged_records > 0).then_some(mean)
    }

    /// Greatest age; `None` when no record said when it was produced.
    pub fn age_max_seconds(&self) -> Option<f64> {
        (self.aged_records > 0).then_some(self.age_max_seconds)
    }

    fn add_age(&mut self, age_seconds: f64) {
        self.aged_records += 1;
        self.age_sum_seconds += age_seconds;
        self.age_max_seconds = self.age_max_seconds.max(age_seconds);
    }

    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.aged_records += other.aged_records;
        self.age_sum_seconds += other.age_sum_seconds;
        self.age_max_seconds = self.age_max_seconds.max(other.age_max_seconds);
    }
}

/// A gauge that begins at 1: nothing is wrong until something is.
fn available() -> Gauge {
    let gauge = Gauge::default();
    gauge.set(1);
    gauge
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(age: Duration) -> Record {
        Record {
            partition: 0,
            offset: 0,
            produced_at: Some(clock::since_epoch().saturating_sub(age)),
            key: None,
            payload: None,
            headers: None,
        }
    }

    #[test]
    fn the_blueprints_names_are_exposed() {
        let metrics = Metrics::default();
        let now = clock::now();
        let batch = [record(Duration::from_secs(3))];
        metrics.batch_written(&batch, now, now + Duration::from_secs(1));
        metrics.dead_letters(DeathKind::Refused, 1);
        metrics.fenced();
        metrics.rebalanced(RebalanceKind::Assigned, 7);
        metrics.set_per_second(1.0);
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "kafka_messages_processed_total{status=\"success\"} 1",
            "kafka_messages_processed_total{status=\"error\"} 1",
            "kafka_messages_per_second 1.0",
            "kafka_batch_processing_seconds_count 1",
            "kafka_message_age_seconds_count 1",
            "kafka_batch_size_records_count 1",
            "kafka_assigned_partitions 7",
            "kafka_rebalances_total{kind=\"assigned\"} 1",
            "kafka_commit_failures_total 0",
            "kafka_dead_letters_total{reason=\"refused\"} 1",
            "kafka_fenced_batches_total 1",
            "kafka_sink_retries_total 0",
            "kafka_sink_available 1",
            "kafka_stuck_partitions 0",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} not in {text}"
            );
        }
    }

    #[test]
    fn a_tally_is_taken_once_and_the_whole_stays() {
        let metrics = Metrics::default();
        let now = clock::now();
        let batch = [
            record(Duration::from_secs(10)),
            record(Duration::from_secs(20)),
        ];
        metrics.batch_written(&batch, now, now);
        let taken = metrics.take_tally();
        assert_eq!((taken.records, taken.aged_records), (2, 2));
        assert!(taken.age_max_seconds().is_some_and(|age| age >= 20.0));
        assert!(taken.age_mean_seconds().is_some_and(|age| age >= 15.0));
        assert_eq!(metrics.take_tally(), Tally::default());
        assert_eq!(
            metrics.take_tally().age_mean_seconds(),
            None,
            "unknown is not 0"
        );
        assert_eq!(metrics.whole_tally().records, 2);
    }

    #[test]
    fn a_record_from_the_future_has_no_negative_age() {
        let metrics = Metrics::default();
        let now = clock::now();
        let mut early = record(Duration::ZERO);
        early.produced_at = early.produced_at.map(|at| at + Duration::from_secs(60));
        metrics.batch_written(&[early], now, now);
        assert_eq!(metrics.take_tally().age_max_seconds(), Some(0.0));
    }

    #[test]
    fn liveness_follows_the_consuming_thread() {
        let metrics = Metrics::default();
        let now = clock::now();
        assert!(!metrics.is_turning(now), "it has not begun");
        metrics.turned(now);
        assert!(metrics.is_turning(now));
        assert!(!metrics.is_turning(now + SILENT_AT_MOST));
    }
}
