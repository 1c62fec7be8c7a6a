//! Everything that is in hand: where each partition is, the batch that is being filled, and those that
//! are with the sink. The consuming thread alone uses it.
//!
//! One batch is written at a time, in the order in which they come; the next one waits behind it, so
//! that the sink is never idle under load, and the consuming thread keeps answering the group.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::message::{BorrowedMessage, Message as _};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::batch::Batch;
use crate::clock;
use crate::metrics::Metrics;
use crate::options::Limits;
use crate::position::Position;
use crate::sink::{Decode, Sink, Step, WriteError};
use crate::writer::write;

/// One batch is written, one waits behind it.
const IN_FLIGHT: usize = 2;

/// How soon trouble of the sink is noticed while a revocation waits for it.
const LOOK: Duration = Duration::from_millis(50);

/// What is in hand.
pub struct Hand<T, S> {
    /// The partitions that are ours.
    pub positions: BTreeMap<i32, Position>,
    /// The batch that is being filled.
    pub filling: Batch<T>,
    in_flight: VecDeque<InFlight<T>>,
    spare: Vec<Batch<T>>,
    /// For the sink and its connections, and nothing else.
    runtime: Runtime,
    sink: Arc<Mutex<S>>,
    /// Asked for positions only. Its connection lasts for the question: they are what a database has few
    /// of.
    asked: S,
    metrics: Metrics,
    /// Once the process leaves: until when batches in flight are waited for.
    pub leave_by: Option<Instant>,
    /// When it is asked next where waiting partitions go on.
    pub ask_at: Instant,
    /// When it is looked next whether what is stored is as it was left.
    pub look_at: Instant,
}

/// A batch that was handed over, without the partitions that have left since.
struct InFlight<T> {
    steps: Vec<Step>,
    since: Instant,
    task: JoinHandle<Option<Batch<T>>>,
}

impl<T: Decode, S: Sink<T>> Hand<T, S> {
    /// Nothing yet; starts the sink's thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn new(sink: S, metrics: Metrics) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let shown = metrics.clone();
        runtime.spawn(async move {
            loop {
                shown.beat("sink", clock::now());
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        Ok(Self {
            positions: BTreeMap::new(),
            filling: Batch::default(),
            in_flight: VecDeque::new(),
            spare: Vec::new(),
            runtime,
            asked: sink.clone(),
            sink: Arc::new(Mutex::new(sink)),
            metrics,
            leave_by: None,
            ask_at: clock::now(),
            look_at: clock::now(),
        })
    }

    /// Adds a record to the batch, unless its partition does not go on with it. `resets` is how often the
    /// client has gone somewhere by itself.
    pub fn take(&mut self, record: &BorrowedMessage<'_>, resets: u64) {
        let (partition, offset) = (record.partition(), record.offset());
        let Some(at) = self.positions.get_mut(&partition).filter(|at| at.is_read) else { return };
        if offset < at.next {
            at.refused = Some(at.next);
        }
        // Compaction makes holes too; only those after a reset of the client's own are looked into.
        at.is_read = offset == at.next || (offset > at.next && at.resets == resets);
        if at.is_read {
            at.next = offset + 1;
            self.filling.push(record.detach());
        }
    }

    /// Hands the batch over to the sink if it is full or due, and there is room.
    pub fn hand_over(&mut self, now: Instant, limits: &Limits) {
        let is_full = self.filling.is_full(limits);
        let is_due = self.filling.due_at(limits).is_some_and(|due_at| due_at <= now);
        let room = if is_full { IN_FLIGHT } else { 1 };
        if !(is_full || is_due) || self.in_flight.len() >= room {
            return;
        }
        let mut steps = Vec::new();
        for (partition, at) in self.positions.iter_mut().filter(|(_, at)| at.first != at.next) {
            let (partition, from, first, to) = (*partition, at.from, at.first, at.next);
            steps.push(Step { partition, from, first, to });
            (at.from, at.first) = (to, to);
        }
        let batch = std::mem::replace(&mut self.filling, self.spare.pop().unwrap_or_default());
        let (sink, metrics) = (Arc::clone(&self.sink), self.metrics.clone());
        let task = self.runtime.spawn(write(sink, batch, steps.clone(), metrics));
        self.in_flight.push_back(InFlight { steps, since: now, task });
    }

    /// Takes in what has been done, and waits up to `wait` if it is nothing; returns what is written: of
    /// each partition the offset to read next. What is not, has to be read again.
    ///
    /// # Errors
    /// When the sink has panicked.
    pub fn settle(&mut self, mut wait: Duration) -> anyhow::Result<BTreeMap<i32, i64>> {
        let mut written = BTreeMap::new();
        while let Some(oldest) = self.in_flight.front_mut() {
            let ended = async { timeout(wait, &mut oldest.task).await };
            let Ok(ended) = self.runtime.block_on(ended) else { break };
            let steps = std::mem::take(&mut oldest.steps);
            self.in_flight.pop_front();
            wait = Duration::ZERO;
            match ended {
                Ok(Some(mut batch)) => {
                    written.extend(steps.iter().map(|step| (step.partition, step.to)));
                    // Freed here, on the thread that made it.
                    batch.clear();
                    self.spare.push(batch);
                }
                Err(error) if error.is_panic() => anyhow::bail!("the sink has panicked: {error}"),
                _ => steps.iter().for_each(|step| self.go_back(step)),
            }
        }
        Ok(written)
    }

    fn go_back(&mut self, step: &Step) {
        self.ask_at = clock::now();
        let at = self.positions.get_mut(&step.partition).filter(|at| at.next > step.first);
        if let Some(at) = at {
            (at.first, at.next, at.is_read) = (step.first, step.first, false);
            self.filling.forget(step.partition);
        }
    }

    /// Waits for the batches that hold records of `partitions`, at most for `wait`, and not at all for
    /// a sink in trouble; returns what is written. What is not written then will not be.
    pub fn let_go(&mut self, partitions: &[i32], wait: Duration) -> BTreeMap<i32, i64> {
        let (deadline, mut written) = (clock::now() + wait, BTreeMap::new());
        let is_held = |batch: &InFlight<T>| partitions.iter().any(|one| batch.holds(*one));
        while self.in_flight.iter().any(is_held) {
            let left = deadline.saturating_duration_since(clock::now());
            if left.is_zero() || self.metrics.trouble().is_some() {
                tracing::warn!("a batch is given up: its partitions' next owner has it");
                break;
            }
            // A sink that has panicked is noticed by the loop.
            let Ok(more) = self.settle(left.min(LOOK)) else { break };
            written.extend(more);
        }
        let mut in_flight = self.in_flight.iter_mut().skip_while(|batch| !is_held(batch));
        // Those behind it too: nothing is written before what it comes after.
        in_flight.by_ref().for_each(|batch| {
            batch.task.abort();
            batch.steps.retain(|step| !partitions.contains(&step.partition));
        });
        for partition in partitions {
            self.filling.forget(*partition);
            self.positions.remove(partition);
        }
        written
    }

    /// Since when the oldest batch in flight has been waiting; `None` if there is none.
    pub fn busy_since(&self) -> Option<Instant> {
        self.in_flight.front().map(|batch| batch.since)
    }

    /// Whether records of the partition are in hand.
    pub fn holds(&self, partition: i32, at: &Position) -> bool {
        at.first != at.next || self.in_flight.iter().any(|batch| batch.holds(partition))
    }

    /// The partitions of which it is to be asked where they go on.
    pub fn waiting(&self) -> BTreeMap<i32, Position> {
        let waits = |(one, at): &(&i32, &Position)| !at.is_read && !self.holds(**one, at);
        self.positions.iter().filter(waits).map(|(one, at)| (*one, *at)).collect()
    }

    /// The partitions that are read, and of which nothing is in hand.
    pub fn idle(&self) -> Vec<i32> {
        let idles = |(one, at): &(&i32, &Position)| at.is_read && !self.holds(**one, at);
        self.positions.iter().filter(idles).map(|(one, _)| *one).collect()
    }

    /// Has those partitions wait of which something else is stored than was left there.
    pub fn compare(&mut self, stored: &BTreeMap<i32, i64>) {
        for (partition, stored) in stored {
            let at = self.positions.get_mut(partition);
            if let Some(at) = at.filter(|at| *stored >= 0 && *stored != at.from) {
                at.is_read = false;
            }
        }
    }

    /// What the sink has stored.
    ///
    /// # Errors
    /// When that cannot be told in time.
    pub fn ask(
        &self,
        cluster: &str,
        partitions: &[i32],
        within: Duration,
    ) -> anyhow::Result<BTreeMap<i32, i64>> {
        let mut sink = self.asked.clone();
        let asked = async { timeout(within, sink.positions(cluster, partitions)).await };
        match self.runtime.block_on(asked) {
            Ok(Ok(stored)) => Ok(stored),
            Ok(Err(WriteError::Retry(reason))) => anyhow::bail!(reason),
            _ => anyhow::bail!("the stored offsets cannot be read yet"),
        }
    }
}

impl<T> InFlight<T> {
    fn holds(&self, partition: i32) -> bool {
        self.steps.iter().any(|step| step.partition == partition)
    }
}
