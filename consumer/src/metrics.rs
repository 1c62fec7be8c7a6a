//! What the consumer shows: `/metrics`, `/livez` and `/readyz`. It decides which state is alive and
//! which is ready; it does not decide what is counted when.
//!
//! The names of the first four metrics are those of the blueprint that this consumer stands in for, so
//! that a dashboard made for it works. prometheus-client adds the `_total` of counters itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::{Router, routing::get};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::batch::Batch;
use crate::clock;

/// How long the consuming thread may be silent, or one attempt of the sink take, before `/livez` fails.
/// A turn is bounded by the waits of a rebalance (15 s), an attempt by [`crate::writer::WRITE_WITHIN`];
/// twice the latter is a thread that will not come back.
const SILENT_AT_MOST: Duration = Duration::from_secs(120);

/// Seconds: from a healthy write to a database in trouble.
const WRITE_SECONDS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// Seconds: from "at once" to the backlog of a long outage.
const AGE_SECONDS: [f64; 12] =
    [0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];

/// Records: the default batch is 100.
const BATCH_RECORDS: [f64; 9] = [1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 5000.0, 10_000.0];

/// One label.
pub type Label = [(&'static str, String); 1];

/// Everything that is shown; clones show together.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Shown>);

/// What is counted, and what the probes look at.
#[derive(Debug)]
pub struct Shown {
    processed: Family<Label, Counter>,
    per_second: Gauge<f64, AtomicU64>,
    batch_seconds: Histogram,
    age_seconds: Histogram,
    batch_records: Histogram,
    dead_letters: Family<Label, Counter>,
    missed_records: Counter,
    sink_retries: Counter,
    sink_available: Gauge,
    stuck_partitions: Gauge,
    position: Family<Label, Gauge>,
    lag: Family<Label, Gauge>,
    /// Partitions that are assigned now.
    pub assigned_partitions: Gauge,
    /// Changes of the assignment by `kind`: assigned, revoked, lost.
    pub rebalances: Family<Label, Counter>,
    /// Batches that were not written because another member had written their partitions.
    pub fenced_batches: Counter,
    /// Commits that Kafka did not take.
    pub commit_failures: Counter,
    registry: Registry,
    /// What does not work now, by who says so.
    trouble: Mutex<BTreeMap<&'static str, String>>,
    stuck: Mutex<BTreeMap<i32, String>>,
    turned_at: Mutex<Option<Instant>>,
    writing_since: Mutex<Option<Instant>>,
    is_draining: AtomicBool,
}

impl Deref for Metrics {
    type Target = Shown;

    fn deref(&self) -> &Shown {
        &self.0
    }
}

impl Default for Shown {
    fn default() -> Self {
        let mut registry = Registry::default();
        let into = &mut registry;
        let shown = Self {
            processed: add(into, "kafka_messages_processed", "Records by status"),
            per_second: add(
                into,
                "kafka_messages_per_second",
                "Records written in the last second",
            ),
            batch_seconds: Histogram::new(WRITE_SECONDS),
            age_seconds: Histogram::new(AGE_SECONDS),
            batch_records: Histogram::new(BATCH_RECORDS),
            assigned_partitions: add(into, "kafka_assigned_partitions", "Partitions assigned now"),
            rebalances: add(into, "kafka_rebalances", "Changes of the assignment, by kind"),
            commit_failures: add(into, "kafka_commit_failures", "Commits that Kafka did not take"),
            dead_letters: add(into, "kafka_dead_letters", "Records that can never be written"),
            fenced_batches: add(into, "kafka_fenced_batches", "Batches that another had written"),
            missed_records: add(
                into,
                "kafka_missed_records",
                "Records deleted before they were read",
            ),
            sink_retries: add(
                into,
                "kafka_sink_retries",
                "Attempts that found the sink in trouble",
            ),
            sink_available: add(into, "kafka_sink_available", "0 while batches wait for the sink"),
            stuck_partitions: add(
                into,
                "kafka_stuck_partitions",
                "Partitions that wait for a person",
            ),
            position: add(into, "kafka_partition_position", "Offset to be read next, by partition"),
            lag: add(into, "kafka_partition_lag", "Records not read yet, by partition"),
            registry,
            trouble: Mutex::default(),
            stuck: Mutex::default(),
            turned_at: Mutex::default(),
            writing_since: Mutex::default(),
            is_draining: AtomicBool::default(),
        };
        shown.with_histograms()
    }
}

/// Registers a metric and returns it.
fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// One label.
pub fn label(name: &'static str, value: impl ToString) -> Label {
    [(name, value.to_string())]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shown {
    fn with_histograms(mut self) -> Self {
        self.sink_available.set(1);
        for (name, help, histogram) in [
            ("kafka_batch_processing_seconds", "How long a write took", &self.batch_seconds),
            ("kafka_message_age_seconds", "Age of a record when written", &self.age_seconds),
            ("kafka_batch_size_records", "Records in a batch", &self.batch_records),
        ] {
            self.registry.register(name, help, histogram.clone());
        }
        self
    }

    /// Counts a batch that is written, and its dead letters.
    pub fn written<T>(&self, batch: &Batch<T>, began: Instant) {
        let rows = u32::try_from(batch.rows.len()).unwrap_or(u32::MAX);
        self.processed.get_or_create(&label("status", "success")).inc_by(rows.into());
        self.batch_records.observe(rows.into());
        self.batch_seconds.observe((clock::now() - began).as_secs_f64());
        let now = clock::since_epoch();
        for produced_at in
            batch.rows.iter().filter_map(|row| u64::try_from(row.produced_at()?).ok())
        {
            // A producer's clock may be ahead of ours; an age is never negative.
            let age = now.saturating_sub(Duration::from_millis(produced_at));
            self.age_seconds.observe(age.as_secs_f64());
        }
        for letter in &batch.dead {
            self.dead_letters.get_or_create(&label("reason", letter.kind)).inc();
            self.processed.get_or_create(&label("status", "error")).inc();
        }
    }

    /// Shows the rate since the last call, `elapsed` ago, when `before` records were written; returns
    /// how many are now.
    pub fn second_passed(&self, before: u64, elapsed: Duration) -> u64 {
        let written = self.processed.get_or_create(&label("status", "success")).get();
        #[expect(clippy::cast_precision_loss, reason = "a second's records are far below 2^52")]
        let records = (written - before) as f64;
        self.per_second.set(records / elapsed.as_secs_f64().max(f64::EPSILON));
        written
    }

    /// Says what does not work for `whom`, or that it does.
    pub fn set_trouble(&self, whom: &'static str, reason: Option<String>) {
        let mut trouble = lock(&self.trouble);
        if let Some(reason) = reason {
            self.sink_retries.inc();
            trouble.insert(whom, reason);
        } else {
            trouble.remove(whom);
        }
        self.sink_available.set(trouble.is_empty().into());
    }

    /// What does not work.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.trouble).values().next().cloned()
    }

    /// Says why a partition waits for a person, or that it does not.
    pub fn set_stuck(&self, partition: i32, reason: Option<String>) {
        let mut stuck = lock(&self.stuck);
        if let Some(reason) = reason {
            if stuck.get(&partition) != Some(&reason) {
                tracing::error!(partition, reason, "the partition is stuck");
            }
            stuck.insert(partition, reason);
        } else {
            stuck.remove(&partition);
        }
        self.stuck_partitions.set(i64::try_from(stuck.len()).unwrap_or(i64::MAX));
    }

    /// Partitions that wait for a person.
    pub fn stuck_partitions(&self) -> i64 {
        self.stuck_partitions.get()
    }

    /// Counts records that were deleted before they were read: from `next` to `start`.
    pub fn missed(&self, partition: i32, next: i64, start: i64) {
        let records = u64::try_from(start - next).unwrap_or(0);
        self.missed_records.inc_by(records);
        tracing::error!(
            partition,
            records,
            next,
            start,
            "records were deleted before they were read"
        );
    }

    /// Records that were deleted before they were read.
    pub fn missed_records(&self) -> u64 {
        self.missed_records.get()
    }

    /// Shows where a partition is and where its log ends; `None` when it is no longer ours.
    pub fn set_read(&self, partition: i32, read: Option<(i64, i64)>) {
        let partition = label("partition", partition);
        if let Some((at, end)) = read {
            self.position.get_or_create(&partition).set(at);
            self.lag.get_or_create(&partition).set((end - at).max(0));
        } else {
            self.position.remove(&partition);
            self.lag.remove(&partition);
        }
    }

    /// Notes that the consuming thread is alive, and whether it is leaving.
    pub fn turned(&self, now: Instant, is_draining: bool) {
        *lock(&self.turned_at) = Some(now);
        self.is_draining.store(is_draining, Ordering::Release);
    }

    /// Notes since when the sink is at an attempt.
    pub fn writing(&self, since: Option<Instant>) {
        *lock(&self.writing_since) = since;
    }

    /// Whether the consuming thread turns and the sink does not hang.
    pub fn livez(&self, now: Instant) -> (StatusCode, String) {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < SILENT_AT_MOST;
        let text = if !lock(&self.turned_at).is_some_and(is_recent) {
            "the consuming thread is silent\n"
        } else if !lock(&self.writing_since).is_none_or(is_recent) {
            "the sink hangs\n"
        } else {
            return (StatusCode::OK, "ok\n".to_owned());
        };
        (StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
    }

    /// And whether everything that it depends on works, and it is not leaving.
    pub fn readyz(&self, now: Instant) -> (StatusCode, String) {
        let stuck =
            lock(&self.stuck).iter().next().map(|(one, why)| format!("partition {one}: {why}"));
        let draining = self.is_draining.load(Ordering::Acquire).then(|| "draining".to_owned());
        if let Some(text) = draining.or_else(|| self.trouble()).or(stuck) {
            return (StatusCode::SERVICE_UNAVAILABLE, text + "\n");
        }
        match (self.livez(now), self.missed_records()) {
            ((StatusCode::OK, _), missed @ 1..) => (
                StatusCode::OK,
                format!("ok, but {missed} records were deleted before they were read\n"),
            ),
            (other, _) => other,
        }
    }

    /// The text of `/metrics`.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// Serves it all. A database that is down is no reason to restart: only `/readyz` tells.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn serve(address: SocketAddr, metrics: Metrics) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "metrics are served");
    let (alive, ready) = (metrics.clone(), metrics.clone());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let routes = Router::new()
        .route("/metrics", get(async move || ([(CONTENT_TYPE, kind)], metrics.text())))
        .route("/livez", get(async move || alive.livez(clock::now())))
        .route("/readyz", get(async move || ready.readyz(clock::now())));
    axum::serve(listener, routes).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_of_one_is_not_cleared_by_another() {
        let (metrics, now) = (Metrics::default(), clock::now());
        metrics.turned(now, false);
        assert_eq!(metrics.readyz(now).0, StatusCode::OK);
        metrics.set_trouble("write", Some("connection refused".to_owned()));
        metrics.set_trouble("offsets", None);
        let expected = (StatusCode::SERVICE_UNAVAILABLE, "connection refused\n".to_owned());
        assert_eq!(metrics.readyz(now), expected);
        assert_eq!(metrics.livez(now).0, StatusCode::OK);
        assert!(metrics.text().contains("kafka_sink_available 0"));
        metrics.set_trouble("write", None);
        assert_eq!(metrics.readyz(now).0, StatusCode::OK);
        metrics.set_stuck(3, Some("Kafka has gone back".to_owned()));
        assert_eq!(metrics.readyz(now).1, "partition 3: Kafka has gone back\n");
        metrics.set_stuck(3, None);
        metrics.turned(now, true);
        assert_eq!(metrics.readyz(now).1, "draining\n");
    }

    #[test]
    fn a_sink_that_hangs_and_a_silent_thread_are_not_alive() {
        let (metrics, now) = (Metrics::default(), clock::now());
        assert_eq!(metrics.livez(now).0, StatusCode::SERVICE_UNAVAILABLE);
        metrics.turned(now + SILENT_AT_MOST, false);
        metrics.writing(Some(now));
        assert_eq!(metrics.livez(now + SILENT_AT_MOST).1, "the sink hangs\n");
        metrics.writing(None);
        assert_eq!(metrics.livez(now + SILENT_AT_MOST).1, "ok\n");
        assert_eq!(metrics.livez(now + 2 * SILENT_AT_MOST).0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn a_gap_is_counted_and_told() {
        let (metrics, now) = (Metrics::default(), clock::now());
        metrics.turned(now, false);
        metrics.missed(2, 2989, 3689);
        assert!(metrics.text().contains("kafka_missed_records_total 700"));
        let (status, text) = metrics.readyz(now);
        assert_eq!(status, StatusCode::OK, "the others are written all the same");
        assert!(text.contains("700 records"), "{text}");
    }

    #[test]
    fn the_blueprints_names_are_exposed() {
        let (metrics, now) = (Metrics::default(), clock::now());
        metrics.written(&Batch::<()>::default(), now);
        metrics.set_read(7, Some((40, 42)));
        metrics.second_passed(0, Duration::from_secs(1));
        let text = metrics.text();
        for line in [
            "kafka_messages_processed_total{status=\"success\"} 0",
            "kafka_messages_per_second 0.0",
            "kafka_batch_processing_seconds_count 1",
            "kafka_message_age_seconds_count 0",
            "kafka_batch_size_records_count 1",
            "kafka_partition_position{partition=\"7\"} 40",
            "kafka_partition_lag{partition=\"7\"} 2",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        metrics.set_read(7, None);
        assert!(!metrics.text().contains("partition=\"7\""));
    }
}
