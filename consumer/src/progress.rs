//! Where every record is that Kafka handed out, from the poll to the commit.
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

/// Where every record is that is not committed.
#[derive(Debug)]
pub struct Progress {
    lanes: Vec<Lane>,
    outcomes: Receiver<(usize, Outcome)>,
    keeps_offsets: bool,
    places: BTreeMap<i32, Place>,
    /// Per partition the offset to read next, of what the client has not been told yet.
    written: BTreeMap<i32, i64>,
    failure: Option<SinkError>,
    metrics: Metrics,
}

/// Where an assigned partition goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The sink has to be asked. `or_else` is where records were dropped, if any were: the place
    /// for a sink that stores nothing.
    Unknown { or_else: Option<i64> },
    /// The sink is being asked.
    Asked { or_else: Option<i64> },
    /// The client has to be moved to `seek_to`; the sink has `stored`.
    Found { stored: Option<i64>, seek_to: i64 },
    /// The next batch begins here; `None` until the first record tells.
    At(Option<i64>),
    /// Kafka went back behind what is stored: nobody but a person can know what that means.
    Stuck,
}

#[derive(Debug)]
struct Lane {
    filling: Filling,
    in_flight: Option<InFlight>,
    worker: Worker,
}

/// What a worker is busy with.
#[derive(Debug)]
struct InFlight {
    /// What to commit when it is written; partitions that have left since are not in it.
    steps: Vec<Step>,
    /// The first offset of each partition of the batch.
    first: BTreeMap<i32, i64>,
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
            places: BTreeMap::new(),
            written: BTreeMap::new(),
            failure: None,
            metrics: metrics.clone(),
        })
    }

    /// Takes partitions in. True if they are not to be read before the sink has placed them.
    pub fn assign(&mut self, partitions: &[i32]) -> bool {
        let place = if self.keeps_offsets {
            Place::Unknown { or_else: None }
        } else {
            Place::At(None)
        };
        let placed = partitions.iter().map(|partition| (*partition, place));
        self.places.extend(placed);
        self.keeps_offsets
    }

    /// Takes a record that was polled, or drops it if it is not what its partition goes on with.
    /// Returns whether every lane can take another.
    pub fn push(&mut self, record: Record, now: Instant) -> bool {
        let (partition, offset) = (record.partition, record.offset);
        let Some(Place::At(next)) = self.places.get(&partition) else {
            return true;
        };
        if next.is_some_and(|next| offset < next) {
            tracing::error!(
                partition,
                offset,
                written_up_to = next,
                "Kafka has gone back behind what is written (topic made anew, or log cut off): this \
                 partition stops until its stored offset is set by hand"
            );
            self.places.insert(partition, Place::Stuck);
            self.count_stuck();
            return true;
        }
        if let Some(lane) = self.lane_mut(partition) {
            lane.filling.push(record, now);
        }
        self.lanes.iter().all(|lane| lane.filling.has_room())
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
        let waits = self.lanes.iter().filter(|lane| lane.is_full_and_busy());
        let left = waits.filter_map(|lane| {
            let waited = now.saturating_duration_since(lane.in_flight.as_ref()?.since);
            PAUSE_AFTER
                .checked_sub(waited)
                .filter(|left| !left.is_zero())
        });
        left.min()
    }

    /// The partitions that are not to be read just now.
    pub fn to_be_paused(&self, now: Instant) -> BTreeSet<i32> {
        let is_paused = |(partition, place): &(&i32, &Place)| {
            !matches!(place, Place::At(_))
                || self.lane(**partition).is_some_and(|l| l.is_stalled(now))
        };
        let paused = self.places.iter().filter(is_paused);
        paused.map(|(partition, _)| *partition).collect()
    }

    /// Gives every idle worker what there is to do.
    ///
    /// # Errors
    /// When a worker has died.
    pub fn hand_over(&mut self, now: Instant) -> Result<(), SinkError> {
        for number in 0..self.lanes.len() {
            let unknown = self.ask(number);
            let Some(lane) = self.lanes.get_mut(number) else {
                continue;
            };
            if lane.in_flight.is_some() {
                lane.worker.check()?;
            } else if !unknown.is_empty() {
                lane.give(Order::Place(unknown), InFlight::since(now))?;
            } else if lane.filling.is_due(now) {
                let records = lane.filling.take();
                let batch = InFlight::of(&records, &mut self.places, now);
                let steps = batch.steps.clone();
                lane.give(Order::Write(records, steps), batch)?;
            }
        }
        Ok(())
    }

    /// The partitions of an idle lane whose places are unknown; they are asked for from now on.
    fn ask(&mut self, number: usize) -> Vec<i32> {
        let lanes = self.lanes.len();
        let mut unknown = Vec::new();
        if self
            .lanes
            .get(number)
            .is_some_and(|lane| lane.in_flight.is_none())
        {
            for (partition, place) in &mut self.places {
                if let Place::Unknown { or_else } = *place
                    && lane_number(*partition, lanes) == number
                {
                    *place = Place::Asked { or_else };
                    unknown.push(*partition);
                }
            }
        }
        unknown
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
            self.take_in(number, done)?;
            outcome = self.outcomes.try_recv().ok();
        }
        Ok(())
    }

    fn take_in(&mut self, number: usize, outcome: Outcome) -> Result<(), SinkError> {
        let Some(lane) = self.lanes.get_mut(number) else {
            return Ok(());
        };
        let Some(batch) = lane.in_flight.take() else {
            return Ok(());
        };
        match outcome {
            Outcome::Broken(error) => return Err(error),
            Outcome::Written => {
                let reached = batch.steps.iter().map(|step| (step.partition, step.to));
                self.written.extend(reached);
            }
            Outcome::Placed(stored) => self.place(number, &stored),
            Outcome::GivenUp => {
                let ours: Vec<i32> = batch.steps.iter().map(|step| step.partition).collect();
                lane.filling.forget(&ours);
                for partition in ours {
                    let or_else = batch.first.get(&partition).copied();
                    self.places.insert(partition, Place::Unknown { or_else });
                }
                // Of an order to place: it is to be asked again.
                self.place_again(number);
            }
        }
        Ok(())
    }

    fn place(&mut self, number: usize, stored: &BTreeMap<i32, i64>) {
        let lanes = self.lanes.len();
        for (partition, place) in &mut self.places {
            let Place::Asked { or_else } = *place else {
                continue;
            };
            if lane_number(*partition, lanes) != number {
                continue;
            }
            let stored = stored.get(partition).copied();
            let seek_to = stored.filter(|at| *at != NOTHING_STORED).or(or_else);
            *place = match seek_to {
                Some(seek_to) => Place::Found { stored, seek_to },
                None => Place::At(stored),
            };
        }
    }

    fn place_again(&mut self, number: usize) {
        let lanes = self.lanes.len();
        for (partition, place) in &mut self.places {
            if let Place::Asked { or_else } = *place
                && lane_number(*partition, lanes) == number
            {
                *place = Place::Unknown { or_else };
            }
        }
    }

    /// The partitions that the client has to be moved in, each with the offset.
    pub fn to_be_moved(&self) -> Vec<(i32, i64)> {
        let found = |(partition, place): (&i32, &Place)| match place {
            Place::Found { seek_to, .. } => Some((*partition, *seek_to)),
            _ => None,
        };
        self.places.iter().filter_map(found).collect()
    }

    /// The client has been moved there.
    pub fn moved(&mut self, partition: i32) {
        if let Some(place) = self.places.get_mut(&partition)
            && let Place::Found { stored, .. } = *place
        {
            *place = Place::At(stored);
        }
    }

    /// What has been written since this was last asked: of each partition the offset to read next.
    pub fn take_written(&mut self) -> BTreeMap<i32, i64> {
        std::mem::take(&mut self.written)
    }

    /// Waits for the batches that hold records of `partitions`, at most for `wait`, and not at all
    /// for a sink in trouble. What is not written then will not be.
    pub fn finish(&mut self, partitions: &[i32], wait: Duration) {
        let deadline = clock::now() + wait;
        while self.holds_any_of(partitions) && self.metrics.sink_trouble().is_none() {
            let left = deadline.saturating_duration_since(clock::now());
            // In small steps, since trouble may begin meanwhile.
            if let Err(failure) = self.settle(left.min(Duration::from_millis(50))) {
                // The loop ends the process with it as soon as the callback returns.
                self.failure = Some(failure);
                return;
            }
            if left.is_zero() {
                break;
            }
        }
        if self.holds_any_of(partitions) {
            tracing::warn!("the batch in flight is given up: the partitions' next owner has it");
        }
    }

    /// Lets go of partitions: whatever of them is in hand and not written will not be.
    pub fn give_up(&mut self, partitions: &[i32]) {
        for lane in &mut self.lanes {
            lane.filling.forget(partitions);
            if let Some(batch) = &mut lane.in_flight {
                if batch.holds_any_of(partitions) {
                    batch.lease.end();
                }
                batch
                    .steps
                    .retain(|step| !partitions.contains(&step.partition));
            }
        }
        self.written
            .retain(|partition, _| !partitions.contains(partition));
        self.places
            .retain(|partition, _| !partitions.contains(partition));
        self.count_stuck();
    }

    fn count_stuck(&self) {
        let stuck = self.places.values().filter(|place| **place == Place::Stuck);
        self.metrics.set_stuck_partitions(stuck.count());
    }

    /// The partitions in hand.
    pub fn partitions(&self) -> Vec<i32> {
        self.places.keys().copied().collect()
    }

    fn holds_any_of(&self, partitions: &[i32]) -> bool {
        let mut batches = self.lanes.iter().filter_map(|lane| lane.in_flight.as_ref());
        batches.any(|batch| batch.holds_any_of(partitions))
    }

    fn lane(&self, partition: i32) -> Option<&Lane> {
        self.lanes.get(lane_number(partition, self.lanes.len()))
    }

    fn lane_mut(&mut self, partition: i32) -> Option<&mut Lane> {
        let number = lane_number(partition, self.lanes.len());
        self.lanes.get_mut(number)
    }
}

// === impl Lane ===

impl Lane {
    fn give(&mut self, order: Order, in_flight: InFlight) -> Result<(), SinkError> {
        let lease = in_flight.lease.clone();
        self.in_flight = Some(in_flight);
        self.worker.hand_over(order, lease)
    }

    fn is_full_and_busy(&self) -> bool {
        self.in_flight.is_some() && !self.filling.has_room()
    }

    fn is_stalled(&self, now: Instant) -> bool {
        let waited = |batch: &InFlight| now.saturating_duration_since(batch.since) >= PAUSE_AFTER;
        self.is_full_and_busy() && self.in_flight.as_ref().is_some_and(waited)
    }
}

// === impl InFlight ===

impl InFlight {
    fn since(now: Instant) -> Self {
        Self {
            steps: Vec::new(),
            first: BTreeMap::new(),
            lease: Lease::default(),
            since: now,
        }
    }

    /// The batch of these records; the places move on to its end.
    fn of(records: &[Record], places: &mut BTreeMap<i32, Place>, now: Instant) -> Self {
        let mut batch = Self::since(now);
        let mut ends = BTreeMap::new();
        for record in records {
            batch.first.entry(record.partition).or_insert(record.offset);
            ends.insert(record.partition, record.offset + 1);
        }
        for (partition, to) in ends {
            let first = batch.first.get(&partition).copied().unwrap_or(to);
            let from = match places.insert(partition, Place::At(Some(to))) {
                Some(Place::At(Some(from))) => from,
                _ => first,
            };
            batch.steps.push(Step {
                partition,
                from,
                to,
            });
        }
        batch
    }

    fn holds_any_of(&self, partitions: &[i32]) -> bool {
        let concerned = |step: &Step| partitions.contains(&step.partition);
        self.steps.iter().any(concerned)
    }
}

fn lane_number(partition: i32, lanes: usize) -> usize {
    usize::try_from(partition).unwrap_or(0) % lanes.max(1)
}
