//! Sends trades at the pace of a plan, and counts what Kafka acknowledges.
//!
//! The producer is idempotent with acks=all, so an acknowledged record is in the log exactly once
//! and the acknowledged count can be held against the log's ends. It never blocks on a full queue:
//! what the client does not take stays due.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use batch_consumer::clock;
use batch_consumer::consume::Stop;
use batch_consumer::group::Access as _;
use batch_consumer::options::{Connection, refusal, seconds};
use clap::Parser;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use crate::dead_letter_topic::OurAccess;
use crate::load::{Pace, Plan, PlanError, Rate};
use crate::report::{self, ProducerReport};
use crate::trades::Trades;

/// Time between two lines of the report.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Time between two looks at what is due: fine enough for a steady flow, coarse enough to cost
/// nothing.
const TICK: Duration = Duration::from_millis(10);

/// How long the last records may take to be acknowledged: below Kubernetes' grace period of 30 s.
const FLUSH_WITHIN: Duration = Duration::from_secs(20);

/// The load producer: JSON trades at a rate that changes in steps.
#[derive(Debug, Parser)]
#[command(version, after_help = PRODUCER_EXAMPLES)]
pub struct ProducerOptions {
    /// The connection.
    #[command(flatten)]
    pub connection: Connection,

    /// Topic to produce to
    #[arg(long, env = "TOPIC")]
    pub topic: String,

    /// Records per second, one rate a step, comma separated; FROM..TO is a ramp
    #[arg(long, env = "MESSAGES_PER_SECOND", value_delimiter = ',')]
    #[arg(required_unless_present = "trace")]
    pub load: Vec<Rate>,

    /// A file to replay instead: SECONDS,RECORDS_PER_SECOND a line
    #[arg(long, env = "TRACE", conflicts_with_all = ["load", "step_seconds"])]
    pub trace: Option<PathBuf>,

    /// What the rates of the trace are multiplied by
    #[arg(long, env = "TRACE_FACTOR", default_value = "1", value_parser = above_zero)]
    pub trace_factor: f64,

    /// How many times as fast the trace is replayed
    #[arg(long, env = "TRACE_SPEED", default_value = "1", value_parser = above_zero)]
    pub trace_speed: f64,

    /// How long each step lasts: one for all, or one each; without it a single rate never ends
    #[arg(long, env = "STEP_SECONDS", value_parser = seconds, value_delimiter = ',')]
    pub step_seconds: Vec<Duration>,

    /// Send null keys, spread evenly over the partitions, instead of account ids
    #[arg(long, env = "NULL_KEYS")]
    pub null_keys: bool,

    /// How many accounts trade
    #[arg(long, env = "ACCOUNTS", default_value = "100000")]
    pub accounts: NonZeroU64,

    /// How unevenly: the n-th account trades as often as 1 / n^SKEW (Zipf); 0 is evenly
    #[arg(long, env = "SKEW", default_value = "0", value_parser = skew)]
    pub skew: f64,

    /// Share of records that can never be written, from 0 to 1: by turns no JSON, and a text with a
    /// NUL, which PostgreSQL refuses
    #[arg(long, env = "POISON_SHARE", default_value = "0", value_parser = share)]
    pub poison_share: f64,

    /// Start of the random numbers: equal seeds send equal trades
    #[arg(long, env = "SEED", default_value = "1")]
    pub seed: u64,

    /// Print one JSON line a second, and a last one at the end (see report.rs for its fields)
    #[arg(long)]
    pub report_json: bool,
}

const PRODUCER_EXAMPLES: &str = "Examples:
  evenkeel-producer --bootstrap-servers localhost:9092 --topic trades --load 1000
  evenkeel-producer --topic trades --load 1000,5000,1000 --step-seconds 300,600,300
  evenkeel-producer --topic trades --load 200,200..5000,5000 --step-seconds 60,300,600 --skew 1
  evenkeel-producer --topic trades --trace elb_5min.csv --trace-speed 60 --trace-factor 100
  evenkeel-producer --topic trades --load 200,0 --step-seconds 60 --null-keys --report-json";

/// Why the producer ended before its plan.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The load makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The trace cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Trace {
        /// Where it should be.
        path: PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
    /// A property makes no sense.
    #[error("{0}")]
    Configuration(String),
    /// The client could not be made: its configuration.
    #[error("cannot create the Kafka client ({}): check the options and every -X property", refusal(.0))]
    Create(KafkaError),
    /// The client cannot go on.
    #[error("the Kafka client refuses to send ({0}): check the topic and the rights to write it")]
    Send(KafkaError),
    /// Not everything was acknowledged in time.
    #[error("{in_flight} records were not acknowledged in time ({error}): check the brokers")]
    Flush {
        /// Records whose fate is unknown.
        in_flight: i32,
        /// What the client said.
        error: KafkaError,
    },
}

/// Counts deliveries; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    acknowledged: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

struct Producing {
    producer: ThreadedProducer<Deliveries>,
    deliveries: Deliveries,
    topic: String,
    null_keys: bool,
    report_json: bool,
    trades: Trades,
    pace: Pace,
    produced: u64,
    poison: u64,
    /// The value of the trade that waits to be sent: a full queue must not make a hole in their
    /// numbers.
    value: Vec<u8>,
    /// Its account, and whether it is poison.
    waiting: Option<(String, bool)>,
}

/// What the client is told unless somebody says otherwise.
const PROPERTIES: [(&str, &str); 4] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // The partition that Java's clients would choose for the same key.
    ("partitioner", "murmur2_random"),
    // By default null keys stick to one partition for a while, which is not an even spread.
    ("sticky.partitioning.linger.ms", "0"),
];

/// Sends until the plan is over or a stop is asked for; then waits for what is under way.
///
/// # Errors
/// See [`ProduceError`].
pub fn produce(options: &ProducerOptions, plan: Plan, stop: &Stop) -> Result<(), ProduceError> {
    let deliveries = Deliveries::default();
    let mut client = options
        .connection
        .client()
        .map_err(ProduceError::Configuration)?;
    for (name, value) in PROPERTIES {
        if client.get(name).is_none() {
            client.set(name, value);
        }
    }
    let producer = client
        .create_with_context(deliveries.clone())
        .map_err(ProduceError::Create)?;
    let mut producing = Producing {
        producer,
        deliveries,
        topic: options.topic.clone(),
        null_keys: options.null_keys,
        report_json: options.report_json,
        trades: Trades::new(options.accounts, options.seed)
            .skewed(options.skew)
            .poisoned(options.poison_share),
        pace: Pace::new(plan),
        produced: 0,
        poison: 0,
        value: Vec::new(),
        waiting: None,
    };
    let sent = producing.follow_the_plan(stop);
    let flushed = producing.flush();
    producing.report(0.0, true, stop);
    sent.and(flushed)
}

// === impl ProducerOptions ===

impl ProducerOptions {
    /// The load to follow.
    ///
    /// # Errors
    /// When rates and durations do not pair, or the trace cannot be read.
    pub fn plan(&self) -> Result<Plan, ProduceError> {
        let Some(path) = &self.trace else {
            return Ok(Plan::new(&self.load, &self.step_seconds)?);
        };
        let text = std::fs::read_to_string(path).map_err(|error| ProduceError::Trace {
            path: path.clone(),
            error,
        })?;
        Ok(Plan::of_trace(&text, self.trace_factor, self.trace_speed)?)
    }
}

// === impl Producing ===

impl Producing {
    fn follow_the_plan(&mut self, stop: &Stop) -> Result<(), ProduceError> {
        let began = clock::now();
        let mut report_at = began + REPORT_EVERY;
        while !stop.load(Ordering::Acquire) {
            let now = clock::now();
            let elapsed = now - began;
            // The last tick sends what is due of the last step, so this comes before the way out.
            self.send_due(elapsed)?;
            let Some(target_rate) = self.pace.rate_at(elapsed) else {
                break;
            };
            if report_at <= now {
                report_at += REPORT_EVERY;
                self.report(target_rate, false, stop);
            }
            wait_until(now + TICK);
        }
        Ok(())
    }

    fn send_due(&mut self, elapsed: Duration) -> Result<(), ProduceError> {
        for _ in 0..self.pace.due(elapsed) {
            if self.waiting.is_none() {
                let made = self.trades.next_into(&mut self.value, clock::since_epoch());
                self.waiting = Some(made);
            }
            let Some((account, is_poison)) = &self.waiting else {
                break;
            };
            let mut record = BaseRecord::<str, [u8]>::to(&self.topic).payload(&self.value);
            if !self.null_keys {
                record = record.key(account);
            }
            match self.producer.send(record) {
                Ok(()) => {}
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => break,
                Err((error, _)) => return Err(ProduceError::Send(error)),
            }
            self.pace.sent_one();
            self.produced += 1;
            self.poison += u64::from(*is_poison);
            self.waiting = None;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), ProduceError> {
        self.producer
            .flush(FLUSH_WITHIN)
            .map_err(|error| ProduceError::Flush {
                in_flight: self.producer.in_flight_count(),
                error,
            })
    }

    fn report(&self, target_rate: f64, is_final: bool, stop: &Stop) {
        let line = ProducerReport {
            target_rate,
            produced_total: self.produced,
            poison_total: self.poison,
            acknowledged_total: self.deliveries.acknowledged(),
            failed_total: self.deliveries.failed(),
            is_final,
        };
        if self.report_json && report::print(&line).is_err() {
            stop.store(true, Ordering::Release);
        }
    }
}

// === impl Deliveries ===

impl Deliveries {
    /// Records that all in-sync replicas have.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Records that the client gave up: they may or may not be in the log.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl ClientContext for Deliveries {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = OurAccess::TOKENS;

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<rdkafka::client::OAuthToken, Box<dyn std::error::Error>> {
        OurAccess::token()
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "record not delivered");
            }
        }
    }
}

/// Blocks the thread until `at`.
fn wait_until(at: Instant) {
    loop {
        let left = at.saturating_duration_since(clock::now());
        if left.is_zero() {
            break;
        }
        // May wake early, hence the loop.
        std::thread::park_timeout(left);
    }
}

fn above_zero(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0).ok_or_else(|| "write a number above 0".to_owned())
}

fn skew(text: &str) -> Result<f64, String> {
    let complaint = || "write a number from 0 to 10, for example 1".to_owned();
    number(text, |value| (0.0..=10.0).contains(&value)).ok_or_else(complaint)
}

fn share(text: &str) -> Result<f64, String> {
    let complaint = || "write a share from 0 to 1, for example 0.001".to_owned();
    number(text, |value| (0.0..=1.0).contains(&value)).ok_or_else(complaint)
}

fn number(text: &str, makes_sense: impl Fn(f64) -> bool) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    (value.is_finite() && makes_sense(value)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(more: &[&str]) -> Result<ProducerOptions, clap::Error> {
        let given = ["evenkeel-producer", "--topic", "trades"];
        ProducerOptions::try_parse_from(given.iter().chain(more))
    }

    #[test]
    fn steps_are_comma_lists() {
        let options = options(&["--load", "200,1000,0", "--step-seconds", "60,30,0.5"]).unwrap();
        assert_eq!(options.load, [200.0, 1000.0, 0.0].map(Rate::constant));
        assert_eq!(options.step_seconds[2], Duration::from_millis(500));
    }

    #[test]
    fn loads_that_mean_nothing_are_refused() {
        for load in [
            "-1", "many", "inf", "NaN", "1,,2", "", "1..", "..2", "2..-1",
        ] {
            assert!(options(&["--load", load]).is_err(), "{load:?}");
        }
        assert!(options(&[]).is_err(), "a load is required");
        for more in [
            ["--trace", "t.csv"],
            ["--skew", "-1"],
            ["--poison-share", "1.1"],
        ] {
            assert!(
                options(&["--load", "1", more[0], more[1]]).is_err(),
                "{more:?}"
            );
        }
    }
}
