//! What the consumer shows: `/metrics`, `/livez` and `/readyz`. It decides which state is alive and
//! which is ready; it does not decide what is counted when.
//!
//! The names of the first four metrics are those of the blueprint that this consumer stands in for, so
//! that a dashboard made for it works. prometheus-client adds the `_total` of counters itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::{Router, routing::get};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use rdkafka::Message as _;
use tokio::net::TcpListener;
use tokio::time::interval;

use crate::batch::Batch;
use crate::clock;

/// How long the consuming thread, the sink's or the group may be silent before `/livez` fails. The threads
/// are bounded by the waits of a rebalance (15 s); a sink that does not answer, but waits as it should, is
/// not silent. The group is if we are not a member of it though Kafka answers: a rebalance waits for its
/// slowest member, but no longer than `max.poll.interval.ms` (60 s). And it is if the client knows no
/// broker any more: one that has just started may answer that there are none, and librdkafka 2.12 then
/// forgets them all, at times for ever.
const SILENT_AT_MOST: Duration = Duration::from_secs(120);

/// Seconds: from a healthy write to a database in trouble.
const WRITE_SECONDS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// Seconds: from "at once" to the backlog of a long outage.
const AGE_SECONDS: [f64; 12] =
    [0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];

/// Records: the default batch is 100.
const BATCH_RECORDS: [f64; 9] = [1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 5000.0, 10_000.0];

/// Who may be in trouble: the sink, which is tried again; the offsets, which cannot be asked for; the topic,
/// which is not there; the group, which cannot be reached; and each partition that waits for a person.
pub const SINK: &str = "sink";
/// See [`SINK`].
pub const OFFSETS: &str = "offsets";
/// See [`SINK`].
pub const TOPIC: &str = "topic";
/// See [`SINK`].
pub const GROUP: &str = "group";
/// See [`SINK`]; with its number.
pub const PARTITION: &str = "partition";

/// Everything that is shown; clones show together.
pub type Metrics = Arc<Shown>;

type Label = [(&'static str, String); 1];
type Counters = Family<Label, Counter>;
type Gauges = Family<Label, Gauge>;
type Rate = Gauge<f64, AtomicU64>;

macro_rules! metrics {
    (new $kind:ident) => { $kind::default() };
    (new $kind:ident $buckets:ident) => { $kind::new($buckets) };
    ($($field:ident: $kind:ident $(= $buckets:ident)?, $name:literal, $help:literal;)*) => {
        /// What is counted, and what the probes look at.
        #[derive(Debug)]
        pub struct Shown {
            $(#[doc = $help] pub $field: $kind,)*
            registry: Registry,
            health: Mutex<Health>,
        }

        impl Default for Shown {
            fn default() -> Self {
                let mut registry = Registry::default();
                $(let $field = metrics!(new $kind $($buckets)?);)*
                $(registry.register($name, $help, $field.clone());)*
                Self { $($field,)* registry, health: Mutex::default() }
            }
        }
    };
}

metrics! {
    processed: Counters, "kafka_messages_processed", "Records by status";
    rate: Rate, "kafka_messages_per_second", "Written lately, per second";
    write_seconds: Histogram = WRITE_SECONDS, "kafka_batch_processing_seconds", "Time of a write";
    ages: Histogram = AGE_SECONDS, "kafka_message_age_seconds", "Age of a record when written";
    sizes: Histogram = BATCH_RECORDS, "kafka_batch_size_records", "Records in a batch";
    assigned_partitions: Gauge, "kafka_assigned_partitions", "Partitions assigned now";
    rebalances: Counters, "kafka_rebalances", "Changes of the assignment, by kind";
    commit_failures: Counter, "kafka_commit_failures", "Commits that Kafka did not take";
    dead_letters: Counters, "kafka_dead_letters", "Records that can never be written";
    fenced_batches: Counter, "kafka_fenced_batches", "Batches that another had written";
    missed_records: Counter, "kafka_missed_records", "Records deleted before they were read";
    sink_retries: Counter, "kafka_sink_retries", "Attempts that found the sink in trouble";
    sink_available: Gauge, "kafka_sink_available", "0 while batches wait for the sink";
    stuck_partitions: Gauge, "kafka_stuck_partitions", "Partitions that wait for a person";
    position: Gauges, "kafka_partition_position", "Offset to be read next, by partition";
    lag: Gauges, "kafka_partition_lag", "Records not read yet, by partition";
}

#[derive(Debug, Default)]
struct Health {
    /// What does not work now, by who says so.
    troubles: BTreeMap<String, String>,
    beats: BTreeMap<&'static str, Instant>,
}

/// One label.
pub fn label(name: &'static str, value: impl ToString) -> Label {
    [(name, value.to_string())]
}

impl Shown {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a batch that is written, and its dead letters.
    pub fn written<T>(&self, batch: &Batch<T>, began: Instant) {
        let rows = u32::try_from(batch.rows.len()).unwrap_or(u32::MAX);
        self.processed.get_or_create(&label("status", "success")).inc_by(rows.into());
        self.sizes.observe(rows.into());
        self.write_seconds.observe((clock::now() - began).as_secs_f64());
        let now = clock::since_epoch();
        for row in &batch.rows {
            if let Some(at) = row.record.timestamp().to_millis() {
                // A producer's clock may be ahead of ours; an age is never negative.
                let age = now.saturating_sub(Duration::from_millis(at.unsigned_abs()));
                self.ages.observe(age.as_secs_f64());
            }
        }
        for letter in &batch.dead {
            self.dead_letters.get_or_create(&label("reason", letter.kind)).inc();
            self.processed.get_or_create(&label("status", "error")).inc();
        }
        self.set_trouble(SINK, None);
    }

    /// Says what does not work, or that it does; returns whether that is new.
    pub fn set_trouble(&self, who: impl Into<String>, why: Option<String>) -> bool {
        self.note_trouble(who, why, "in order again")
    }

    /// Nothing is written now, so nothing is known of the sink: whoever writes next says what is wrong.
    pub fn forget_sink(&self) {
        self.note_trouble(SINK, None, "nobody waits for it any more");
    }

    fn note_trouble(&self, who: impl Into<String>, why: Option<String>, over: &str) -> bool {
        let (who, troubles) = (who.into(), &mut self.health().troubles);
        let before = match why.clone() {
            Some(why) => troubles.insert(who.clone(), why),
            None => troubles.remove(&who),
        };
        let stuck = troubles.keys().filter(|who| who.starts_with(PARTITION)).count();
        self.stuck_partitions.set(i64::try_from(stuck).unwrap_or(i64::MAX));
        let waits = troubles.contains_key(SINK) || troubles.contains_key(OFFSETS);
        self.sink_available.set((!waits).into());
        if before != why {
            tracing::warn!("{who}: {}", why.as_deref().unwrap_or(over));
        }
        before != why
    }

    /// Why batches wait.
    pub fn trouble(&self) -> Option<String> {
        let troubles = &self.health().troubles;
        troubles.get(SINK).or_else(|| troubles.get(OFFSETS)).cloned()
    }

    /// Counts records that were deleted before they were read: from `next` to `start`.
    pub fn missed(&self, partition: i32, next: i64, start: i64) {
        self.missed_records.inc_by((start - next).unsigned_abs());
        tracing::error!(partition, next, start, "records were deleted before they were read");
    }

    /// Shows nothing more of a partition that is no longer ours.
    pub fn forget(&self, partition: i32) {
        self.set_trouble(format!("{PARTITION} {partition}"), None);
        self.position.remove(&label("partition", partition));
        self.lag.remove(&label("partition", partition));
    }

    /// Notes that a thread, or the group, is alive.
    pub fn beat(&self, who: &'static str, now: Instant) {
        self.health().beats.insert(who, now);
    }

    /// Whether the consuming thread and the sink's turn, and the group has us.
    pub fn livez(&self, now: Instant) -> (StatusCode, String) {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= SILENT_AT_MOST;
        match self.health().beats.iter().find(|(_, at)| is_old(at)) {
            Some((who, _)) => (StatusCode::SERVICE_UNAVAILABLE, format!("the {who} is silent\n")),
            None => (StatusCode::OK, "ok\n".to_owned()),
        }
    }

    /// And whether everything that it depends on works, and it is not leaving.
    pub fn readyz(&self, now: Instant) -> (StatusCode, String) {
        if let Some((who, why)) = self.health().troubles.first_key_value() {
            return (StatusCode::SERVICE_UNAVAILABLE, format!("{who}: {why}\n"));
        }
        match (self.livez(now), self.missed_records.get()) {
            ((StatusCode::OK, _), missed @ 1..) => {
                let text = format!("ok, but {missed} records were deleted before they were read\n");
                (StatusCode::OK, text)
            }
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

/// Shows how many were written in each second.
pub async fn show_rate(metrics: Metrics) {
    let (mut every_second, mut before) = (interval(Duration::from_secs(1)), 0);
    loop {
        every_second.tick().await;
        let written = metrics.processed.get_or_create(&label("status", "success")).get();
        #[expect(clippy::cast_precision_loss, reason = "a second's records are far below 2^52")]
        metrics.rate.set((written - before) as f64);
        before = written;
    }
}

/// Serves it all. A database that is down is no reason to restart: only `/readyz` tells.
pub async fn serve(address: SocketAddr, metrics: Metrics) {
    let (alive, ready) = (metrics.clone(), metrics.clone());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let routes = Router::new()
        .route("/metrics", get(async move || ([(CONTENT_TYPE, kind)], metrics.text())))
        .route("/livez", get(async move || alive.livez(clock::now())))
        .route("/readyz", get(async move || ready.readyz(clock::now())));
    let served = async { axum::serve(TcpListener::bind(address).await?, routes).await };
    if let Err(error) = served.await {
        tracing::error!(%error, %address, "no metrics: choose another --metrics-listen");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_of_one_is_not_cleared_by_another() {
        let (metrics, now) = (Metrics::default(), clock::now());
        assert_eq!(metrics.readyz(now).0, StatusCode::OK);
        assert!(metrics.set_trouble(SINK, Some("connection refused".to_owned())));
        assert!(!metrics.set_trouble(SINK, Some("connection refused".to_owned())));
        metrics.set_trouble(OFFSETS, None);
        let expected = (StatusCode::SERVICE_UNAVAILABLE, "sink: connection refused\n".to_owned());
        assert_eq!(metrics.readyz(now), expected);
        assert_eq!(metrics.livez(now).0, StatusCode::OK);
        assert!(metrics.text().contains("kafka_sink_available 0"));
        metrics.set_trouble(SINK, None);
        assert_eq!(metrics.readyz(now).0, StatusCode::OK);
        metrics.set_trouble("partition 3", Some("Kafka has gone back".to_owned()));
        assert_eq!(metrics.readyz(now).1, "partition 3: Kafka has gone back\n");
        assert_eq!((metrics.trouble(), metrics.stuck_partitions.get()), (None, 1));
        metrics.forget(3);
        metrics.set_trouble("leaving", Some("draining".to_owned()));
        assert_eq!(metrics.readyz(now).1, "leaving: draining\n");
    }

    #[test]
    fn a_sink_that_hangs_and_a_silent_thread_are_not_alive() {
        let (metrics, now) = (Metrics::default(), clock::now());
        metrics.beat("consuming thread", now + SILENT_AT_MOST);
        metrics.beat("sink", now);
        assert_eq!(metrics.livez(now + SILENT_AT_MOST).1, "the sink is silent\n");
        metrics.beat("sink", now + SILENT_AT_MOST);
        assert_eq!(metrics.livez(now + SILENT_AT_MOST).1, "ok\n");
        metrics.beat("sink", now + 2 * SILENT_AT_MOST);
        assert_eq!(metrics.livez(now + 2 * SILENT_AT_MOST).0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn a_gap_is_counted_and_told() {
        let (metrics, now) = (Metrics::default(), clock::now());
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
        metrics.lag.get_or_create(&label("partition", 7)).set(2);
        let text = metrics.text();
        for line in [
            "kafka_messages_processed_total{status=\"success\"} 0",
            "kafka_messages_per_second 0.0",
            "kafka_batch_processing_seconds_count 1",
            "kafka_message_age_seconds_count 0",
            "kafka_batch_size_records_count 1",
            "kafka_partition_lag{partition=\"7\"} 2",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        metrics.forget(7);
        assert!(!metrics.text().contains("partition=\"7\""));
    }
}
