//! The thread that takes batches to the sink, and what it does when the sink will not have them; and
//! what the consuming thread knows of it.
//!
//! It writes one batch at a time, in the order in which they come; the next one waits behind it, so
//! that the sink is never idle under load. The consuming thread so keeps answering the group while a
//! write takes its time. What becomes of an error is decided here:
//!
//! - **retry** (database down, slow, failing over): the same again, after a pause that doubles and is
//!   jittered, until it works or the partitions are gone. Giving up would only move the partitions to
//!   a member that sees the same database.
//! - **poison**: the same batch again, with those rows among its dead letters.
//! - **moved**: nothing of it is written; the consuming thread asks where its partitions go on.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::batch::Batch;
use crate::clock;
use crate::metrics::Metrics;
use crate::sink::{Sink, Step, WriteError};

/// How long one attempt may take before it is dropped and made again.
pub const WRITE_WITHIN: Duration = Duration::from_secs(60);

/// The pause before the first repetition.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause: how late a database that is back is noticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One batch is written, one waits behind it.
const IN_FLIGHT: usize = 2;

/// How soon trouble of the sink is noticed while a revocation waits for it.
const LOOK: Duration = Duration::from_millis(50);

/// The writer as the consuming thread sees it. Its thread ends when this is dropped.
#[derive(Debug)]
pub struct Writer<T> {
    jobs: UnboundedSender<Job<T>>,
    outcomes: Receiver<(bool, Batch<T>)>,
    in_flight: VecDeque<InFlight>,
    /// Written, and not told to the client yet: of each partition the offset to read next.
    pub written: BTreeMap<i32, i64>,
    /// Not written, and no longer in hand: of each partition the first record.
    pub dropped: BTreeMap<i32, i64>,
    spare: Vec<Batch<T>>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Job<T> {
    batch: Batch<T>,
    steps: Vec<Step>,
    given_up: watch::Receiver<bool>,
}

/// A batch that was handed over, without the partitions that have left since.
#[derive(Debug)]
struct InFlight {
    /// What it does, each with its partition's first record.
    steps: Vec<(Step, i64)>,
    give_up: watch::Sender<bool>,
    since: Instant,
}

impl<T: Send + 'static> Writer<T> {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(mut sink: impl Sink<T>, topic: &str, metrics: &Metrics) -> std::io::Result<Self> {
        let (jobs, mut to_do) = unbounded_channel::<Job<T>>();
        let (done, outcomes) = channel();
        let runtime = runtime()?;
        let (topic, ours) = (topic.to_owned(), metrics.clone());
        let mut work = async move || {
            // While it waits for the next batch, connections and cancellations go on.
            while let Some(mut job) = to_do.recv().await {
                let is_written = tokio::select! {
                    biased;
                    _ = job.given_up.wait_for(|is| *is) => false,
                    is = write(&mut sink, &mut job.batch, &job.steps, &topic, &ours) => is,
                };
                ours.writing(None);
                if done.send((is_written, job.batch)).is_err() {
                    break;
                }
            }
        };
        let work = move || runtime.block_on(work());
        std::thread::Builder::new().name("writer".to_owned()).spawn(work)?;
        let (in_flight, metrics) = (VecDeque::new(), metrics.clone());
        let (written, dropped) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { jobs, outcomes, in_flight, written, dropped, spare: Vec::new(), metrics })
    }

    /// Hands a batch over, and returns an empty one. Each step comes with its first record's offset.
    pub fn write(&mut self, batch: Batch<T>, steps: Vec<(Step, i64)>, since: Instant) -> Batch<T> {
        let (give_up, given_up) = watch::channel(false);
        let job = Job { batch, steps: steps.iter().map(|(step, _)| *step).collect(), given_up };
        // Its end is noticed when outcomes are asked for.
        let _ = self.jobs.send(job);
        self.in_flight.push_back(InFlight { steps, give_up, since });
        self.spare.pop().unwrap_or_default()
    }

    /// Whether a batch may be handed over: one that is full, or another.
    pub fn has_room(&self, is_full: bool) -> bool {
        self.in_flight.len() < if is_full { IN_FLIGHT } else { 1 }
    }

    /// Since when the oldest batch in flight has been waiting; `None` if there is none.
    pub fn busy_since(&self) -> Option<Instant> {
        self.in_flight.front().map(|batch| batch.since)
    }

    /// Whether records of the partition are in flight.
    pub fn holds(&self, partition: i32) -> bool {
        self.in_flight.iter().any(|batch| batch.holds(partition))
    }

    /// Takes in what has been done, and waits up to `wait` if it is nothing.
    ///
    /// # Errors
    /// When the thread has died.
    pub fn settle(&mut self, wait: Duration) -> anyhow::Result<()> {
        let mut outcome = self.outcomes.recv_timeout(wait);
        while let Ok((is_written, mut batch)) = outcome {
            for (step, first) in self.in_flight.pop_front().map(|one| one.steps).unwrap_or_default()
            {
                if is_written {
                    self.written.insert(step.partition, step.to);
                } else {
                    self.dropped.entry(step.partition).or_insert(first);
                }
            }
            // Freed here, on the thread that made it.
            batch.clear();
            self.spare.push(batch);
            outcome = self.outcomes.recv_timeout(Duration::ZERO);
        }
        let died = outcome.is_err_and(|error| error == RecvTimeoutError::Disconnected);
        anyhow::ensure!(!died, "the writer's thread has died: see its message above");
        Ok(())
    }

    /// Waits for the batches that hold records of `partitions`, at most for `wait`, and not at all for
    /// a sink in trouble. What is not written then will not be.
    pub fn finish(&mut self, partitions: &[i32], wait: Duration) {
        let deadline = clock::now() + wait;
        while partitions.iter().any(|partition| self.holds(*partition)) {
            let left = deadline.saturating_duration_since(clock::now());
            let in_vain = left.is_zero() || self.metrics.trouble().is_some();
            // A thread that has died is noticed by the loop.
            if in_vain || self.settle(left.min(LOOK)).is_err() {
                tracing::warn!("a batch is given up: its partitions' next owner has it");
                break;
            }
        }
    }

    /// Lets go of partitions: whatever of them is in flight and not written will not be.
    pub fn give_up(&mut self, partitions: &[i32]) {
        for batch in &mut self.in_flight {
            if partitions.iter().any(|partition| batch.holds(*partition)) {
                batch.give_up.send_replace(true);
            }
            batch.steps.retain(|(step, _)| !partitions.contains(&step.partition));
        }
        self.written.retain(|partition, _| !partitions.contains(partition));
        self.dropped.retain(|partition, _| !partitions.contains(partition));
    }
}

impl InFlight {
    fn holds(&self, partition: i32) -> bool {
        self.steps.iter().any(|(step, _)| step.partition == partition)
    }
}

/// Tries until it is known whether the batch can be written.
async fn write<T>(
    sink: &mut impl Sink<T>,
    batch: &mut Batch<T>,
    steps: &[Step],
    topic: &str,
    metrics: &Metrics,
) -> bool {
    let (began, mut pause) = (clock::now(), FIRST_PAUSE);
    loop {
        metrics.writing(Some(clock::now()));
        let (rows, dead): (Vec<_>, Vec<_>) =
            (batch.rows.iter().collect(), batch.dead.iter().collect());
        let written = sink.write(&rows, &dead, steps);
        let written = tokio::time::timeout(WRITE_WITHIN, written).await;
        metrics.writing(None);
        let reason = match written {
            Ok(Ok(())) => {
                metrics.written(batch, began);
                metrics.set_trouble("write", None);
                return true;
            }
            Ok(Err(WriteError::Moved)) => {
                metrics.fenced_batches.inc();
                tracing::warn!("somebody else has written these partitions: asking where to go on");
                return false;
            }
            Ok(Err(WriteError::Poison(refused))) => {
                batch.bury(topic, refused);
                continue;
            }
            Ok(Err(WriteError::Retry(reason))) => reason,
            Err(_) => "the sink has not answered for a minute".to_owned(),
        };
        tracing::warn!(reason, "tried again");
        metrics.set_trouble("write", Some(reason));
        // Half to all of it, so that many consumers do not come back at once. Hashers have random keys.
        let [random, ..] = RandomState::new().hash_one(()).to_ne_bytes();
        tokio::time::sleep(pause.mul_f64(0.5 + f64::from(random) / 512.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A runtime for a sink and its connections on the thread that blocks on it, and nothing else.
///
/// # Errors
/// When the system will not give one.
pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
