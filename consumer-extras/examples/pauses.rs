//! How long a join and a leave stop the members that keep their partitions, for `make bench`: eight
//! members in one process, a ninth that comes and goes, under a steady load from elsewhere.
//!
//! Of each partition that did not change hands, the longest time between two writes in the seconds
//! after the event; p50, max and how many are slow, over partitions and rounds. The same without any event is the noise
//! to hold it against. Prints one JSON line.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a measurement reads the clock and fails loudly"
)]

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use batch_consumer::consume::{Stop, consume};
use batch_consumer::metrics::Metrics;
use batch_consumer::sink::{DeadLetter, Row, Sink, Step, Written};
use clap::Parser;
use evenkeel_consumer::options::ConsumerOptions;
use evenkeel_consumer::sinks::Raw;

const MEMBERS: usize = 8;
const ROUNDS: usize = 3;

/// What is looked at after each event: several heartbeats of every protocol.
const WINDOW: Duration = Duration::from_secs(4);

/// Above the noise of a quiet group.
const SLOW_MILLISECONDS: f64 = 250.0;

#[derive(Debug, Parser)]
struct Options {
    /// Where Kafka is
    servers: String,
    /// The topic
    topic: String,
    /// Options of the consumer, for example --assignor range
    #[arg(last = true)]
    more: Vec<String>,
}

/// Of each partition, who wrote when.
type Writes = Arc<Mutex<BTreeMap<i32, Vec<(Instant, usize)>>>>;

#[derive(Clone)]
struct Noting {
    member: usize,
    writes: Writes,
}

struct Member {
    stop: Stop,
    metrics: Metrics,
    thread: JoinHandle<()>,
}

impl Sink<Raw> for Noting {
    async fn write(&mut self, _: &[&Row<Raw>], _: &[&DeadLetter], steps: &[Step]) -> Written {
        let now = Instant::now();
        let mut writes = self.writes.lock().expect("no member panics");
        for step in steps {
            writes
                .entry(step.partition)
                .or_default()
                .push((now, self.member));
        }
        Ok(())
    }
}

impl Member {
    fn join(options: &Options, number: usize, writes: &Writes) -> Self {
        let group = format!("pauses-{}", std::process::id());
        let mut given = ["pauses", "--group", &group, "--topic", &options.topic]
            .map(str::to_owned)
            .to_vec();
        given.extend(["--bootstrap-servers".to_owned(), options.servers.clone()]);
        given
            .extend(["--batch-size", "1000", "--batch-timeout-seconds", "0.02"].map(str::to_owned));
        given.extend(["--auto-offset-reset", "latest", "--sink", "simulate"].map(str::to_owned));
        given.extend(options.more.iter().cloned());
        let consumer = ConsumerOptions::parse_from(given);
        let client = consumer.client_config().expect("a configuration");
        let writes = Arc::clone(writes);
        let sink = Noting {
            member: number,
            writes,
        };
        let (stop, metrics) = (Stop::default(), Metrics::default());
        let thread = std::thread::spawn({
            let (stop, metrics, options) = (stop.clone(), metrics.clone(), consumer.options);
            move || {
                consume::<Raw, _, ()>(options, client, sink, metrics, &stop).expect("it consumes");
            }
        });
        Self {
            stop,
            metrics,
            thread,
        }
    }

    fn leave(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("it ends well");
    }
}

fn main() {
    let options = Options::parse();
    let writes = Writes::default();
    let members: Vec<Member> = (0..MEMBERS)
        .map(|number| Member::join(&options, number, &writes))
        .collect();
    let is_settled = || {
        members
            .iter()
            .all(|member| member.metrics.assigned_partitions.get() > 0)
    };
    while !is_settled() {
        pass(Duration::from_millis(100));
    }
    pass(WINDOW);
    let (mut quiet, mut joins, mut leaves) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        quiet.extend(pauses(&writes, || {}));
        let mut ninth = None;
        let number = MEMBERS + round;
        joins.extend(pauses(&writes, || {
            ninth = Some(Member::join(&options, number, &writes));
        }));
        pass(WINDOW);
        let mut left = ninth.take();
        leaves.extend(pauses(&writes, || {
            left.take().expect("it has joined").leave();
        }));
        pass(WINDOW);
    }
    members.into_iter().for_each(Member::leave);
    let figures = [("quiet", quiet), ("join", joins), ("leave", leaves)];
    let figures = figures.map(|(name, pauses)| (name.to_owned(), summary(pauses)));
    let json: serde_json::Map<String, serde_json::Value> = figures.into_iter().collect();
    println!("{}", serde_json::Value::Object(json));
}

/// The longest pause in milliseconds of each partition that kept its owner through the event.
fn pauses(writes: &Writes, event: impl FnOnce()) -> Vec<f64> {
    writes.lock().expect("no member panics").clear();
    pass(Duration::from_millis(500));
    let began = Instant::now();
    event();
    pass(WINDOW.saturating_sub(began.elapsed()));
    let writes = writes.lock().expect("no member panics");
    let mut pauses = Vec::new();
    for times in writes.values() {
        let owner = times.first().map(|(_, member)| *member);
        if times.iter().any(|(_, member)| Some(*member) != owner) {
            continue;
        }
        let gaps = times.iter().zip(times.iter().skip(1));
        let after = gaps.filter(|(_, (at, _))| *at >= began);
        let longest = after.map(|((before, _), (at, _))| *at - *before).max();
        pauses.extend(longest.map(|pause| pause.as_secs_f64() * 1000.0));
    }
    pauses
}

fn summary(mut pauses: Vec<f64>) -> serde_json::Value {
    pauses.sort_by(f64::total_cmp);
    let middle = pauses.get(pauses.len() / 2).copied();
    serde_json::json!({
        "p50_milliseconds": middle,
        "max_milliseconds": pauses.last(),
        "slow": pauses.iter().filter(|pause| **pause > SLOW_MILLISECONDS).count(),
        "partitions": pauses.len(),
    })
}

fn pass(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        std::thread::park_timeout(left);
    }
}
