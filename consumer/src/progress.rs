//! Where every record is that Kafka handed out, from the poll until it is written.
//!
//! Each partition belongs to one lane, so that its order holds: a batch that is being filled, and a
//! worker that writes the one before. Of each assigned partition it is known where it goes on
//! ([`Place`]); what does not follow on is never written. Everything happens on the consuming thread;
//! nothing here talks to Kafka.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::batch::{BatchLimits, Filling, NOTHING_STORED, Record, Step};
use crate::clock;
use crate::dead_letter::DeadLetters;
use crate::metrics::Metrics;
use crate::sink::{Lease, Sink, SinkError};
use crate::worker::{Order, Outcome, Worker};

/// How long a lane may be full and busy before its partitions are paused. Ordinary writes end
/// before, so that nothing fetched ahead is thrown away.
const PAUSE_AFTER: Duration = Duration::from_secs(2);

/// How soon trouble of the sink is noticed while a revocation waits for it.
const LOOK: Duration = Duration::from_millis(50);

/// Where every record is that is not committed.
#[derive(Debug)]
pub struct Progress {
    lanes: Vec<Lane>,
    outcomes: Receiver<(usize, Outcome)>,
    keeps_offsets: bool,
    /// Per partition the offset to read next, of what the client has not been told yet.
    written: BTreeMap<i32, i64>,
    failure: Option<SinkError>,
    metrics: Metrics,
}

/// A share of the partitions, and the one who writes it.
#[derive(Debug)]
struct Lane {
    places: BTreeMap<i32, Place>,
    /// The partitions in which the client went back and was moved to where it was; none of their
    /// records has come since.
    moved_again: BTreeSet<i32>,
    filling: Filling,
    in_flight: Option<InFlight>,
    worker: Worker,
}

/// Where an assigned partition goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The sink has to be asked. `or_else` is where records were dropped, if any were: the place
    /// for a sink that stores nothing.
    Unknown { or_else: Option<i64> },
    /// The client has to be moved to `seek_to`; the sink has `stored`. `None` is where Kafka has the
    /// group, or where one begins.
    Found {
        stored: Option<i64>,
        seek_to: Option<i64>,
    },
    /// The next batch begins at `from`, `None` until its first record tells; the next record has the
    /// offset `next` or more.
    At { from: Option<i64>, next: i64 },
    /// Kafka went back behind what is stored: nobody but a person can know what that means.
    Stuck,
}

/// What a worker is busy with. Partitions that have left since are not in it.
#[derive(Debug)]
struct InFlight {
    /// What a batch does, when it is written.
    steps: Vec<Step>,
    /// The first offset of each of its partitions.
    first: BTreeMap<i32, i64>,
    /// The partitions that a question is about.
    asked: Vec<i32>,
    lease: Lease,
    since: Instant,
}

// === impl Progress ===

impl Progress {
    /// Nothing in hand; one lane for each sink.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn new(
        limits: BatchLimits,
        sinks: Vec<Box<dyn Sink>>,
        dead_letters: Option<&DeadLetters>,
        metrics: &Metrics,
    ) -> std::io::Result<Self> {
        let keeps_offsets = sinks.iter().any(|sink| sink.keeps_offsets());
        let (report, outcomes) = channel();
        let lane = |(number, sink)| {
            let (letters, metrics) = (dead_letters.cloned(), metrics.clone());
            Ok(Lane {
                places: BTreeMap::new(),
                moved_again: BTreeSet::new(),
                filling: Filling::new(limits),
                in_flight: None,
                worker: Worker::start(number, sink, letters, metrics, report.clone())?,
            })
        };
        let lanes: std::io::Result<Vec<Lane>> = sinks.into_iter().enumerate().map(lane).collect();
        Ok(Self {
            lanes: lanes?,
            outcomes,
            keeps_offsets,
            written: BTreeMap::new(),
            failure: None,
            metrics: metrics.clone(),
        })
    }

    /// Takes partitions in.
    pub fn assign(&mut self, partitions: &[i32]) {
        let place = if self.keeps_offsets {
            Place::Unknown { or_else: None }
        } else {
            Place::At {
                from: None,
                next: 0,
            }
        };
        for partition in partitions {
            if let Some(lane) = self.lane(*partition) {
                lane.places.insert(*partition, place);
            }
        }
    }

    /// Whether the sink says where partitions go on: they are not to be read before.
    pub fn keeps_offsets(&self) -> bool {
        self.keeps_offsets
    }

    /// Takes a record that was polled, or drops it if it is not what its partition goes on with.
    /// Returns whether every lane can take another.
    pub fn push(&mut self, record: Record, now: Instant) -> bool {
        let Some(lane) = self.lane(record.partition) else {
            return true;
        };
        if lane.push(record, now) {
            self.lanes.iter().all(|lane| lane.filling.has_room())
        } else {
            self.count_stuck();
            true
        }
    }

    /// When the first batch is due by time; `None` while all are empty.
    pub fn due_at(&self) -> Option<Instant> {
        let due = |lane: &Lane| lane.filling.due_at();
        self.lanes.iter().filter_map(due).min()
    }

    /// Whether any worker is busy.
    pub fn is_busy(&self) -> bool {
        self.lanes.iter().any(|lane| lane.in_flight.is_some())
    }

    /// How much longer a lane that is full and busy may hold up the poll; `None` when there is none.
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        let left = self.lanes.iter().filter_map(|lane| lane.patience(now));
        left.filter(|left| !left.is_zero()).min()
    }

    /// The partitions that are not to be read just now.
    pub fn to_be_paused(&self, now: Instant) -> BTreeSet<i32> {
        let mut paused = BTreeSet::new();
        for lane in &self.lanes {
            let is_stalled = lane.patience(now) == Some(Duration::ZERO);
            for (partition, place) in &lane.places {
                if is_stalled || !matches!(place, Place::At { .. }) {
                    paused.insert(*partition);
                }
            }
        }
        paused
    }

    /// Gives every idle worker what there is to do.
    pub fn hand_over(&mut self, now: Instant) {
        self.lanes.iter_mut().for_each(|lane| lane.hand_over(now));
    }

    /// Takes in what the workers have done, and waits up to `wait` if it is nothing.
    ///
    /// # Errors
    /// When a sink failed for good, now or in a callback before.
    pub fn settle(&mut self, wait: Duration) -> Result<(), SinkError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut outcome = self.outcomes.recv_timeout(wait).ok();
        while let Some((number, done)) = outcome {
            if let Some(lane) = self.lanes.get_mut(number)
                && let Some(in_flight) = lane.in_flight.take()
            {
                match done {
                    Outcome::Placed(stored) => lane.place(&in_flight, &stored),
                    Outcome::Written => {
                        let reached = in_flight.steps.iter().map(|step| (step.partition, step.to));
                        self.written.extend(reached);
                    }
                    Outcome::GivenUp => lane.drop_all_of(&in_flight),
                    Outcome::Broken(error) => return Err(error),
                }
            }
            outcome = self.outcomes.try_recv().ok();
        }
        Ok(())
    }

    /// The partitions that the client has to be moved in, each with the offset; `None` is where Kafka
    /// has the group, or where one begins.
    pub fn to_be_moved(&self) -> Vec<(i32, Option<i64>)> {
        let places = self.lanes.iter().flat_map(|lane| &lane.places);
        let found = |(partition, place): (&i32, &Place)| match place {
            Place::Found { seek_to, .. } => Some((*partition, *seek_to)),
            _ => None,
        };
        places.filter_map(found).collect()
    }

    /// The client has been moved to `next`.
    pub fn moved(&mut self, partition: i32, next: i64) {
        if let Some(lane) = self.lane(partition)
            && let Some(place) = lane.places.get_mut(&partition)
            && let Place::Found { stored, .. } = *place
        {
            *place = Place::At { from: stored, next };
        }
    }

    /// Nobody can tell where this partition goes on.
    pub fn has_no_place(&mut self, partition: i32) {
        if let Some(lane) = self.lane(partition) {
            lane.places.insert(partition, Place::Stuck);
        }
        self.count_stuck();
    }

    /// What has been written since this was last asked: of each partition the offset to read next.
    pub fn take_written(&mut self) -> BTreeMap<i32, i64> {
        std::mem::take(&mut self.written)
    }

    /// Waits for the batches that hold records of `partitions`, at most for `wait`, and not at all
    /// for a sink in trouble. What is not written then will not be.
    pub fn finish(&mut self, partitions: &[i32], wait: Duration) {
        let deadline = clock::now() + wait;
        while self.holds_any_of(partitions) {
            let left = deadline.saturating_duration_since(clock::now());
            if left.is_zero() || self.metrics.sink_trouble().is_some() {
                tracing::warn!(
                    "the batch in flight is given up: its partitions' next owner has it"
                );
                return;
            }
            if let Err(failure) = self.settle(left.min(LOOK)) {
                // The loop ends the process with it as soon as the callback returns.
                self.failure = Some(failure);
                return;
            }
        }
    }

    /// Lets go of partitions: whatever of them is in hand and not written will not be.
    pub fn give_up(&mut self, partitions: &[i32]) {
        for lane in &mut self.lanes {
            lane.give_up(partitions);
        }
        self.written
            .retain(|partition, _| !partitions.contains(partition));
        self.count_stuck();
    }

    /// The partitions in hand.
    pub fn partitions(&self) -> BTreeSet<i32> {
        let places = self.lanes.iter().flat_map(|lane| lane.places.keys());
        places.copied().collect()
    }

    fn count_stuck(&self) {
        let places = self.lanes.iter().flat_map(|lane| lane.places.values());
        let stuck = places.filter(|place| **place == Place::Stuck).count();
        self.metrics.set_stuck_partitions(stuck);
    }

    fn holds_any_of(&self, partitions: &[i32]) -> bool {
        let mut batches = self.lanes.iter().filter_map(|lane| lane.in_flight.as_ref());
        batches.any(|batch| batch.holds_any_of(partitions))
    }

    fn lane(&mut self, partition: i32) -> Option<&mut Lane> {
        let number = usize::try_from(partition).unwrap_or(0) % self.lanes.len().max(1);
        self.lanes.get_mut(number)
    }
}

// === impl Lane ===

impl Lane {
    /// Returns false if the partition has gone back, and so is stuck.
    fn push(&mut self, record: Record, now: Instant) -> bool {
        let (partition, offset) = (record.partition, record.offset);
        let Some(Place::At { next, .. }) = self.places.get_mut(&partition) else {
            return true;
        };
        if offset >= *next {
            *next = offset + 1;
            self.moved_again.remove(&partition);
            self.filling.push(record, now);
            return true;
        }
        let next = *next;
        if self.moved_again.insert(partition) {
            // librdkafka looks up where a group begins a second time when it is paused meanwhile, and
            // then starts there again.
            tracing::warn!(
                partition,
                offset,
                next,
                "the client has gone back: it is moved on"
            );
            let or_else = Some(self.filling.first_of(partition).unwrap_or(next));
            self.filling.forget(&[partition]);
            self.places.insert(partition, Place::Unknown { or_else });
            return true;
        }
        tracing::error!(
            partition,
            offset,
            written_up_to = next,
            "Kafka has gone back behind what is written (topic made anew, or log cut off): this \
             partition stops until its stored offset is set by hand"
        );
        self.places.insert(partition, Place::Stuck);
        false
    }

    /// How much longer it may hold up the poll; `None` unless it is full and busy.
    fn patience(&self, now: Instant) -> Option<Duration> {
        let busy = self.in_flight.as_ref().filter(|_| !self.filling.has_room());
        busy.map(|busy| PAUSE_AFTER.saturating_sub(now.saturating_duration_since(busy.since)))
    }

    fn hand_over(&mut self, now: Instant) {
        if self.in_flight.is_some() {
            return;
        }
        let unknown = self.places.iter();
        let unknown = unknown.filter(|(_, place)| matches!(place, Place::Unknown { .. }));
        let asked: Vec<i32> = unknown.map(|(partition, _)| *partition).collect();
        let mut in_flight = InFlight {
            steps: Vec::new(),
            first: BTreeMap::new(),
            asked,
            lease: Lease::default(),
            since: now,
        };
        let order = if !in_flight.asked.is_empty() {
            Order::Place(in_flight.asked.clone())
        } else if self.filling.is_due(now) {
            let records = self.filling.take();
            self.step_over(&records, &mut in_flight);
            Order::Write(records, in_flight.steps.clone())
        } else {
            return;
        };
        self.worker.hand_over(order, in_flight.lease.clone());
        self.in_flight = Some(in_flight);
    }

    /// Moves the places on to the end of the batch.
    fn step_over(&mut self, records: &[Record], batch: &mut InFlight) {
        let mut ends = BTreeMap::new();
        for record in records {
            batch.first.entry(record.partition).or_insert(record.offset);
            ends.insert(record.partition, record.offset + 1);
        }
        for (partition, to) in ends {
            let first = batch.first.get(&partition).copied().unwrap_or(to);
            let next = Place::At {
                from: Some(to),
                next: to,
            };
            let from = match self.places.insert(partition, next) {
                Some(Place::At {
                    from: Some(from), ..
                }) => from,
                _ => first,
            };
            batch.steps.push(Step {
                partition,
                from,
                to,
            });
        }
    }

    fn place(&mut self, question: &InFlight, stored: &BTreeMap<i32, i64>) {
        for partition in &question.asked {
            let stored = stored.get(partition).copied();
            let Some(place) = self.places.get_mut(partition) else {
                continue;
            };
            let Place::Unknown { or_else } = *place else {
                continue;
            };
            let seek_to = stored.filter(|at| *at != NOTHING_STORED).or(or_else);
            *place = Place::Found { stored, seek_to };
        }
    }

    /// Forgets a batch that is not written, and what came after it.
    fn drop_all_of(&mut self, batch: &InFlight) {
        let partitions: Vec<i32> = batch.steps.iter().map(|step| step.partition).collect();
        self.filling.forget(&partitions);
        for partition in partitions {
            let or_else = batch.first.get(&partition).copied();
            self.places.insert(partition, Place::Unknown { or_else });
        }
    }

    fn give_up(&mut self, partitions: &[i32]) {
        let stays = |partition: &i32| !partitions.contains(partition);
        self.filling.forget(partitions);
        self.places.retain(|partition, _| stays(partition));
        self.moved_again.retain(stays);
        if let Some(in_flight) = &mut self.in_flight {
            if in_flight.holds_any_of(partitions) {
                in_flight.lease.end();
            }
            in_flight.steps.retain(|step| stays(&step.partition));
            in_flight.asked.retain(stays);
        }
    }
}

// === impl InFlight ===

impl InFlight {
    fn holds_any_of(&self, partitions: &[i32]) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|step| partitions.contains(&step.partition))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::sink::Stdout;

    fn record(offset: i64) -> Record {
        Record {
            partition: 3,
            offset,
            produced_at: None,
            key: None,
            payload: None,
            headers: None,
        }
    }

    #[test]
    fn a_client_that_goes_back_is_moved_to_where_it_was_and_nothing_is_taken_twice() {
        let (now, metrics) = (clock::now(), Metrics::default());
        let limits = BatchLimits {
            size_records: NonZeroUsize::MAX,
            size_bytes: NonZeroUsize::MAX,
            timeout: Duration::from_secs(3600),
        };
        let sink: Box<dyn Sink> = Box::new(Stdout);
        let mut progress = Progress::new(limits, vec![sink], None, &metrics).unwrap();
        progress.assign(&[3]);
        let push = |progress: &mut Progress, offsets: std::ops::Range<i64>| {
            offsets.for_each(|offset| assert!(progress.push(record(offset), now)));
        };
        let place = |progress: &mut Progress| {
            progress.hand_over(now);
            progress.settle(Duration::from_secs(60)).unwrap();
            progress.to_be_moved()
        };
        push(&mut progress, 5..9);
        // Within what is in hand: it would be written twice.
        push(&mut progress, 6..9);
        assert_eq!(place(&mut progress), [(3, Some(5))]);
        progress.moved(3, 5);
        push(&mut progress, 5..9);
        assert_eq!(metrics.stuck_partitions(), 0);
        // It has moved on since: once more.
        push(&mut progress, 5..6);
        assert_eq!(place(&mut progress), [(3, Some(5))]);
        progress.moved(3, 5);
        // And this time it does not come back: Kafka has nothing there.
        push(&mut progress, 0..1);
        assert_eq!(metrics.stuck_partitions(), 1);
        assert_eq!(progress.to_be_paused(now), BTreeSet::from([3]));
    }
}
