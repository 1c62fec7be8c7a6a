//! The thread that takes batches to a sink, and what it does when the sink will not have them.
//!
//! It runs beside the consuming thread, which so keeps answering the group while a write takes its
//! time. It does one thing at a time, and what becomes of an error is decided here:
//!
//! - **unavailable** (database down, slow, failing over): the same again, after a pause that doubles
//!   and is jittered, for as long as the lease holds. Giving up would only move the partitions to a
//!   member that sees the same database.
//! - **undecodable, refused**: the records go to the dead letters, the rest is written. Where the
//!   sink cannot name the record, the batch is halved until it is found, the order kept.
//! - **fenced, given up**: nothing more is written; the consuming thread asks where to go on.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::time::Duration;

use crate::batch::{Record, Step};
use crate::clock;
use crate::dead_letter::DeadLetters;
use crate::metrics::{DeathKind, Metrics};
use crate::sink::{Lease, Refusal, Sink, SinkError};

/// The pause before the first repetition.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause: how late a database that is back is noticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often a pausing thread looks whether it may still go on.
const LOOK: Duration = Duration::from_millis(20);

/// What the thread is to do.
#[derive(Debug)]
pub enum Order {
    /// Ask where these partitions go on.
    Place(Vec<i32>),
    /// Write a batch.
    Write(Vec<Record>, Vec<Step>),
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// What is stored, for a sink that keeps offsets; empty for others.
    Placed(BTreeMap<i32, i64>),
    /// The whole batch is written or in the dead letters.
    Written,
    /// Something of the batch is not written, and nobody will write it any more.
    GivenUp,
    /// It will never work again.
    Broken(SinkError),
}

/// A worker as the consuming thread sees it. It ends when this is dropped.
#[derive(Debug)]
pub struct Worker(SyncSender<(Order, Lease)>);

struct Working {
    sink: Box<dyn Sink>,
    dead_letters: Option<DeadLetters>,
    metrics: Metrics,
}

// === impl Worker ===

impl Worker {
    /// Starts the thread; it reports each outcome with its own `number`, its own end included.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(
        number: usize,
        sink: Box<dyn Sink>,
        dead_letters: Option<DeadLetters>,
        metrics: Metrics,
        outcomes: Sender<(usize, Outcome)>,
    ) -> std::io::Result<Self> {
        let (orders, to_do) = sync_channel::<(Order, Lease)>(1);
        let mut working = Working {
            sink,
            dead_letters,
            metrics,
        };
        let thread = std::thread::Builder::new().name(format!("sink-{number}"));
        thread.spawn(move || {
            for (order, lease) in to_do {
                let follow = AssertUnwindSafe(|| working.follow(order, &lease));
                let outcome = catch_unwind(follow).unwrap_or_else(|_| Outcome::Broken(died()));
                if outcomes.send((number, outcome)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self(orders))
    }

    /// Gives it something to do. Only when the outcome of the order before has come.
    pub fn hand_over(&self, order: Order, lease: Lease) {
        // The thread ends after this does.
        let _ = self.0.send((order, lease));
    }
}

// === impl Working ===

impl Working {
    fn follow(&mut self, order: Order, lease: &Lease) -> Outcome {
        let outcome = match order {
            Order::Place(partitions) => self
                .patiently(lease, |working| working.sink.positions(&partitions))
                .map(Outcome::Placed),
            Order::Write(records, steps) => self
                .isolate(records, &steps, lease)
                .map(|()| Outcome::Written),
        };
        outcome.unwrap_or_else(|error| match error {
            SinkError::Fenced => {
                self.metrics.fenced();
                tracing::warn!(
                    "another member has written these partitions: asking where to go on"
                );
                Outcome::GivenUp
            }
            SinkError::GivenUp => Outcome::GivenUp,
            error => Outcome::Broken(error),
        })
    }

    /// Writes what can be written and sends the rest to the dead letters.
    fn isolate(
        &mut self,
        mut records: Vec<Record>,
        steps: &[Step],
        lease: &Lease,
    ) -> Result<(), SinkError> {
        if records.is_empty() && !self.sink.keeps_offsets() {
            return Ok(());
        }
        let began = clock::now();
        let write = |working: &mut Self, records: &[Record]| {
            working.patiently(lease, |working| working.sink.write(records, steps, lease))
        };
        match write(self, &records) {
            Ok(()) => {
                self.metrics.batch_written(&records, began, clock::now());
                Ok(())
            }
            Err(SinkError::Undecodable(refusals)) => {
                self.bury(&records, &refusals, DeathKind::Undecodable, lease)?;
                let buried: BTreeSet<usize> = refusals.iter().map(|one| one.index).collect();
                let mut indexes = 0..;
                records.retain(|_| !indexes.next().is_some_and(|index| buried.contains(&index)));
                self.isolate(records, steps, lease)
            }
            Err(SinkError::Refused(reason)) if records.is_empty() => Err(SinkError::Broken(
                format!("the sink refuses to store offsets: {reason}"),
            )),
            Err(SinkError::Refused(reason)) if records.len() == 1 => {
                let refusal = Refusal { index: 0, reason };
                self.bury(&records, &[refusal], DeathKind::Refused, lease)?;
                self.isolate(Vec::new(), steps, lease)
            }
            Err(SinkError::Refused(_)) => {
                let right = records.split_off(records.len() / 2);
                let (first, second) = Step::split(steps, &records, &right);
                self.isolate(records, &first, lease)?;
                self.isolate(right, &second, lease)
            }
            Err(error) => Err(error),
        }
    }

    fn bury(
        &mut self,
        records: &[Record],
        refusals: &[Refusal],
        kind: DeathKind,
        lease: &Lease,
    ) -> Result<(), SinkError> {
        let letters: Vec<(&Record, &str)> = refusals
            .iter()
            .filter_map(|refusal| Some((records.get(refusal.index)?, refusal.reason.as_str())))
            .collect();
        for (record, reason) in &letters {
            let (partition, offset) = (record.partition, record.offset);
            tracing::warn!(partition, offset, reason, "a record for the dead letters");
        }
        self.patiently(lease, |working| match &mut working.dead_letters {
            Some(dead_letters) => dead_letters.send(&letters, lease),
            None => Err(SinkError::Unavailable(
                "a record can never be written and there is no topic for dead letters".to_owned(),
            )),
        })?;
        self.metrics.dead_letters(kind, letters.len());
        Ok(())
    }

    /// Tries again while the sink is not available and the lease holds.
    fn patiently<Done>(
        &mut self,
        lease: &Lease,
        mut attempt: impl FnMut(&mut Self) -> Result<Done, SinkError>,
    ) -> Result<Done, SinkError> {
        let mut pause = FIRST_PAUSE;
        loop {
            if !lease.is_held() {
                return Err(SinkError::GivenUp);
            }
            match attempt(self) {
                Err(SinkError::Unavailable(reason)) => {
                    tracing::warn!(reason, "tried again");
                    self.metrics.sink_in_trouble(reason);
                }
                Err(SinkError::GivenUp) => return Err(SinkError::GivenUp),
                outcome => {
                    self.metrics.sink_works();
                    return outcome;
                }
            }
            let until = clock::now() + jittered(pause);
            while lease.is_held() && clock::now() < until {
                clock::wait_until(until.min(clock::now() + LOOK));
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Between half and all of it, so that many consumers do not come back at the same moment.
fn jittered(pause: Duration) -> Duration {
    // Every hasher has random keys.
    let [random, ..] = RandomState::new().hash_one(()).to_ne_bytes();
    pause.mul_f64(0.5 + f64::from(random) / 512.0)
}

fn died() -> SinkError {
    SinkError::Broken("a sink's thread has died: see its message above".to_owned())
}
