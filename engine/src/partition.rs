//! What is remembered of each partition, and how one observation is taken in.
//!
//! The intuition: an observation has holes (a leader that is being elected, a coordinator that did
//! not answer), and a decision needs a whole picture. So every partition keeps what was last known
//! and when; a hole is filled from there, and how old the oldest filling is decides whether the
//! picture may still be used. Logs that were re-created and partitions that were added are told
//! apart here, by name, so that no room after this one sees a fake spike.
//!
//! What this does not do: judge lag or rates; it only keeps their raw material.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::{EndHistory, PartitionEnds};
use crate::observation::{
    Cause, Committed, LogOffsets, Observation, PartitionObservation, Reading, TopicObservation,
};
use crate::policy::Policy;
use crate::rate::Slopes;
use crate::time::Timestamp;
use crate::tuning::Tuning;

/// All partitions of a target, topics sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Partitions {
    pub topics: Vec<TopicMemory>,
    /// The newest observation taken in.
    pub at: Option<Timestamp>,
    /// Records committed since the target was registered, all partitions.
    pub processed_records: u64,
    /// What was learned before of partitions that have not been listed yet.
    #[serde(default, skip_serializing_if = "Usual::is_empty")]
    expected: Usual,
}

/// The records that partitions have brought, older ones fading, by topic and number.
pub(crate) type Usual = BTreeMap<String, Vec<(u32, u64)>>;

/// One topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TopicMemory {
    pub name: String,
    /// When its partitions were last listed; the first observation of it while they never were.
    pub listed_at: Timestamp,
    /// Whether its partitions were ever listed.
    pub known: bool,
    pub partitions: Vec<PartitionMemory>,
    /// Where the logs of `partitions` ended, in their order.
    pub ends: EndHistory,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartitionMemory {
    pub number: u32,
    /// The log's two ends as last known.
    pub log: Option<LogOffsets>,
    pub log_at: Timestamp,
    /// What the group had committed when last known.
    pub committed: Option<Committed>,
    pub committed_at: Timestamp,
    /// The slopes of the log's end, kept while the log cannot be read.
    pub slopes: Option<Slopes>,
    /// The records that came, older ones fading: what its usual share of the load is taken from.
    pub usual_records: f64,
    /// When the commit last moved, or had nothing to move to.
    pub advanced_at: Timestamp,
    /// Observations since then in which it could have moved and did not.
    pub unmoved_polls: u32,
    /// The lag right after that.
    pub lag_at_advance: u64,
    /// The most partitions of its owner that have had a backlog at once since then.
    #[serde(default)]
    pub queue: u32,
    /// It was found to be stuck, and has not moved since.
    pub stuck: bool,
    /// Its owner was found to commit nothing, and it has not moved since.
    pub stalled: bool,
    /// The lag when nothing held it: before a rebalance, or when replicas were asked for.
    pub lag_before_hold: u64,
    /// The member that owns it: its place among the members, and who it is.
    pub owner: Option<Owner>,
    /// Changed hands, or is about to, in the present rebalance episode.
    pub moved: bool,
    /// The committed offset at the start of the present capacity measurement.
    pub measured_from: Option<u64>,
    /// Whether it had real lag at every poll of that measurement.
    pub backlogged: bool,
}

/// The owner of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// The member's place in the sorted list of members.
    pub place: u32,
    /// A hash of the member's id, which survives a change of places.
    pub identity: u64,
}

/// What one observation was good for.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// Whether it is newer than the last one.
    pub new: bool,
    /// Since when the oldest part of the picture has not been refreshed.
    pub oldest: Option<Timestamp>,
    /// When the newest part of it was read.
    pub newest: Option<Timestamp>,
    /// Parts of it that could not be read: partitions, and topics as a whole.
    pub missing: u32,
    /// The first of them, by name.
    pub first_missing: Option<(String, Cause)>,
    /// Something that was never known, so that there is no picture at all.
    pub never_known: Option<(String, Cause)>,
    /// Whether anything could be read.
    pub anything_read: bool,
    /// Sentences about logs that are not what they were.
    pub resets: Vec<String>,
    /// Records that arrived since each log was last read, of those that had been read before.
    pub arrived_records: u64,
    /// Mean seconds between commits of the partitions that committed now.
    pub commit_gap_seconds: Option<f64>,
    /// Partitions whose commit went back.
    pub rewound: u32,
    /// Something waits to be committed, or may.
    pub waiting: bool,
    /// The places of members with a partition that moved on, or had nothing to move on to.
    pub advanced_places: Vec<u32>,
}

#[derive(Debug, Default)]
struct CommitGaps {
    seconds: f64,
    count: u32,
}

// === impl Partitions ===

impl Partitions {
    /// How many partitions there are.
    pub fn count(&self) -> u32 {
        let count: usize = self.topics.iter().map(|topic| topic.partitions.len()).sum();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Whether the partitions of every topic are known.
    pub fn are_all_listed(&self) -> bool {
        self.topics.iter().all(|topic| topic.known)
    }

    /// All partitions, in the order of topics and numbers.
    pub fn iter(&self) -> impl Iterator<Item = &PartitionMemory> {
        self.topics.iter().flat_map(|topic| &topic.partitions)
    }

    /// All partitions, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut PartitionMemory> {
        self.topics
            .iter_mut()
            .flat_map(|topic| &mut topic.partitions)
    }

    /// The records that each has brought, older ones fading; those of partitions not listed yet as they
    /// were learned before.
    pub fn usual(&self) -> Usual {
        let mut usual = self.expected.clone();
        for topic in self.topics.iter().filter(|topic| topic.known) {
            let partitions = topic.partitions.iter();
            let records = partitions
                .map(|one| (one.number, crate::rate::whole_records(one.usual_records)))
                .collect();
            usual.insert(topic.name.clone(), records);
        }
        usual
    }

    /// What partitions have brought before, for when they are listed first.
    pub fn expect_usual(&mut self, usual: Usual) {
        self.expected = usual;
    }

    /// Takes in one observation.
    pub fn take_in(&mut self, observation: &Observation, now: Timestamp) -> Intake {
        let at = observation.at.min(now);
        let mut intake = Intake {
            new: self.at.is_none_or(|last| at > last),
            ..Intake::default()
        };
        if intake.new {
            self.at = Some(at);
        }
        let topics = sorted_topics(&observation.topics);
        let same_topics = topics.len() == self.topics.len()
            && topics
                .iter()
                .zip(&self.topics)
                .all(|(observed, memory)| observed.name == memory.name);
        if !same_topics {
            self.reshape(&topics, at);
        }
        let mut gaps = CommitGaps::default();
        for (observed, memory) in topics.iter().zip(&mut self.topics) {
            self.processed_records = self.processed_records.saturating_add(memory.take_in(
                observed,
                at,
                &mut intake,
                &mut gaps,
            ));
            if observed.partitions.known().is_some()
                && let Some(usual) = self.expected.remove(&observed.name)
            {
                memory.add_usual(&usual);
            }
        }
        // What is not among all topics there are is gone.
        let mut listed = topics.iter().map(|topic| topic.partitions.known());
        if !topics.is_empty() && listed.all(|partitions| partitions.is_some()) {
            self.expected.clear();
        }
        if gaps.count > 0 {
            intake.commit_gap_seconds = Some(gaps.seconds / f64::from(gaps.count));
        }
        intake
    }

    /// Takes the slopes of all logs' ends anew.
    pub fn measure(&mut self, tuning: &Tuning) {
        for topic in &mut self.topics {
            for (place, partition) in topic.partitions.iter_mut().enumerate() {
                partition.slopes = topic.ends.slopes(place, tuning).or(partition.slopes);
            }
        }
    }

    /// Makes the topics those of the observation; what is known of the ones that stay is kept.
    fn reshape(&mut self, observed: &[&TopicObservation], at: Timestamp) {
        let mut known: BTreeMap<String, TopicMemory> = std::mem::take(&mut self.topics)
            .into_iter()
            .map(|topic| (topic.name.clone(), topic))
            .collect();
        self.topics = observed
            .iter()
            .map(|topic| {
                known.remove(&topic.name).unwrap_or_else(|| TopicMemory {
                    name: topic.name.clone(),
                    listed_at: at,
                    known: false,
                    partitions: Vec::new(),
                    ends: EndHistory::default(),
                })
            })
            .collect();
    }
}

// === impl TopicMemory ===

impl TopicMemory {
    /// Takes in what was observed of this topic; returns the records committed since the last time.
    fn take_in(
        &mut self,
        observed: &TopicObservation,
        at: Timestamp,
        intake: &mut Intake,
        gaps: &mut CommitGaps,
    ) -> u64 {
        let mut processed: u64 = 0;
        match &observed.partitions {
            Reading::Known(partitions) => {
                let partitions = sorted_partitions(partitions);
                self.reshape(&partitions, at);
                self.known = true;
                self.listed_at = self.listed_at.max(at);
                self.ends.begin(at);
                let name = &self.name;
                let memories = self.partitions.iter_mut();
                for (place, (observed, memory)) in partitions.iter().zip(memories).enumerate() {
                    let ends = self.ends.of(place);
                    processed = processed
                        .saturating_add(memory.take_in(name, observed, at, ends, intake, gaps));
                }
            }
            Reading::Unknown(cause) => {
                intake.note_missing(|| format!("topic {}", self.name), *cause);
                intake.age(self.listed_at);
                intake.waiting = true;
                if !self.known {
                    intake.note_never_known(|| format!("topic {}", self.name), *cause);
                }
            }
        }
        processed
    }

    /// Adds what partitions have brought before.
    fn add_usual(&mut self, usual: &[(u32, u64)]) {
        let usual: BTreeMap<u32, u64> = usual.iter().copied().collect();
        for partition in &mut self.partitions {
            if let Some(&records) = usual.get(&partition.number) {
                partition.usual_records += records as f64;
            }
        }
    }

    /// Makes the partitions those of the observation; what is known of the ones that stay is kept.
    fn reshape(&mut self, observed: &[PartitionObservation], at: Timestamp) {
        let same = observed.len() == self.partitions.len()
            && observed
                .iter()
                .zip(&self.partitions)
                .all(|(observed, memory)| observed.partition == memory.number);
        if same {
            return;
        }
        let mut known: BTreeMap<u32, (usize, PartitionMemory)> =
            std::mem::take(&mut self.partitions)
                .into_iter()
                .enumerate()
                .map(|(place, partition)| (partition.number, (place, partition)))
                .collect();
        let mut from = Vec::with_capacity(observed.len());
        for observed in observed {
            let (place, memory) = match known.remove(&observed.partition) {
                Some((place, memory)) => (Some(place), memory),
                None => (None, PartitionMemory::new(observed.partition, at)),
            };
            from.push(place);
            self.partitions.push(memory);
        }
        if from.iter().any(Option::is_some) && from.contains(&None) {
            self.deal_anew();
            from.fill(None);
        }
        self.ends.rearrange(&from);
    }

    /// Partitions were added: keys go elsewhere, so what each has brought says nothing of what each will.
    /// The topic as a whole brings what it did.
    fn deal_anew(&mut self) {
        let count = self.partitions.len().max(1) as f64;
        let brought: f64 = self.partitions.iter().map(|it| it.usual_records).sum();
        let slopes = Slopes::dealt(self.partitions.iter().filter_map(|it| it.slopes), count);
        for partition in &mut self.partitions {
            partition.usual_records = brought / count;
            partition.slopes = slopes;
        }
    }
}

// === impl PartitionMemory ===

impl PartitionMemory {
    fn new(number: u32, at: Timestamp) -> Self {
        Self {
            number,
            log: None,
            log_at: at,
            committed: None,
            committed_at: at,
            slopes: None,
            usual_records: 0.0,
            advanced_at: at,
            unmoved_polls: 0,
            lag_at_advance: 0,
            queue: 0,
            stuck: false,
            stalled: false,
            lag_before_hold: 0,
            owner: None,
            moved: false,
            measured_from: None,
            backlogged: false,
        }
    }

    /// The committed offset, where there is one.
    pub fn committed_offset(&self) -> Option<u64> {
        match self.committed {
            Some(Committed::At(offset)) => Some(offset),
            Some(Committed::Never) | None => None,
        }
    }

    /// Whether whoever reads it next begins by the client's reset policy: nothing was ever committed, or
    /// the commit lies behind the end of a log that began anew. Commits are read before logs, so an end
    /// that is not older than the commit and lies before it is another log's, unless it is only the last
    /// stable offset.
    pub fn resets(&self, policy: &Policy) -> bool {
        match self.committed {
            None => false,
            Some(Committed::Never) => true,
            Some(Committed::At(_)) if policy.read_committed => false,
            Some(Committed::At(offset)) => self
                .log
                .is_some_and(|log| offset > log.end && self.log_at >= self.committed_at),
        }
    }

    fn take_in(
        &mut self,
        topic: &str,
        observed: &PartitionObservation,
        at: Timestamp,
        ends: PartitionEnds<'_>,
        intake: &mut Intake,
        gaps: &mut CommitGaps,
    ) -> u64 {
        match observed.log {
            Reading::Known(log) => {
                intake.anything_read = true;
                self.take_log(topic, log, observed, at, ends, intake);
            }
            Reading::Unknown(cause) => {
                intake.note_missing(|| format!("{topic}-{}", observed.partition), cause);
                if self.log.is_none() {
                    intake.note_never_known(|| format!("{topic}-{}", observed.partition), cause);
                }
            }
        }
        let processed = match observed.committed {
            Reading::Known(committed) => self.take_committed(committed, at, intake, gaps),
            Reading::Unknown(cause) => {
                let name = || format!("the commit of {topic}-{}", observed.partition);
                intake.note_missing(name, cause);
                if self.committed.is_none() {
                    intake.note_never_known(name, cause);
                }
                0
            }
        };
        let read_at = self.log_at.min(self.committed_at);
        intake.age(read_at);
        if self.log.is_some() && self.committed.is_some() {
            intake.newest = intake.newest.max(Some(read_at));
        }
        intake.waiting |= self.uncommitted_records() > 0;
        processed
    }

    fn take_log(
        &mut self,
        topic: &str,
        log: LogOffsets,
        observed: &PartitionObservation,
        at: Timestamp,
        mut ends: PartitionEnds<'_>,
        intake: &mut Intake,
    ) {
        if self.log.is_some() && at <= self.log_at {
            return;
        }
        // A log whose start lies behind its end makes no sense: it is empty.
        let log = LogOffsets {
            start: log.start.min(log.end),
            end: log.end,
        };
        if let Some(known) = self.log
            && log.end < known.end
        {
            intake.resets.push(format!(
                "{topic}-{} ends at {} and ended at {} before: the topic was re-created or \
                 truncated, its history starts anew.",
                self.number, log.end, known.end
            ));
            let owner = self.owner;
            *self = Self::new(self.number, at);
            self.owner = owner;
            ends.forget();
        }
        ends.note(at, log.end);
        if let Some(history) = observed.history {
            ends.seed(history);
        }
        let known_end = self.log.map_or(log.end, |known| known.end);
        intake.arrived_records = intake
            .arrived_records
            .saturating_add(log.end.saturating_sub(known_end));
        let first_end = observed.history.map_or(log.end, |history| history.end);
        let new_from = self.log.map_or(first_end, |known| known.end);
        let new_records = log.end.saturating_sub(new_from) as f64;
        self.usual_records =
            crate::rate::usual(self.usual_records, new_records, at.since(self.log_at));
        self.log = Some(log);
        self.log_at = at;
    }

    /// Takes in the commit; returns the records committed since the last time.
    fn take_committed(
        &mut self,
        committed: Committed,
        at: Timestamp,
        intake: &mut Intake,
        gaps: &mut CommitGaps,
    ) -> u64 {
        if self.committed.is_some() && at <= self.committed_at {
            return 0;
        }
        let before = self.committed_offset();
        let first = self.committed.is_none();
        self.committed = Some(committed);
        self.committed_at = at;
        let lag = self.uncommitted_records();
        let (moved, processed) = match (before, committed) {
            (Some(before), Committed::At(now)) if now > before => (true, now - before),
            (Some(before), Committed::At(now)) if now < before => {
                intake.rewound += 1;
                self.measured_from = None;
                (true, 0)
            }
            (None, Committed::At(_)) => (true, 0),
            (Some(_), Committed::Never) => {
                self.measured_from = None;
                (true, 0)
            }
            (Some(_), Committed::At(_)) | (None, Committed::Never) => (first, 0),
        };
        if moved || lag == 0 {
            if processed > 0 {
                gaps.seconds += at.since(self.advanced_at).as_secs_f64();
                gaps.count += 1;
            }
            self.advanced_at = at;
            self.lag_at_advance = lag;
            self.stuck = false;
            self.stalled = false;
            self.unmoved_polls = 0;
            intake
                .advanced_places
                .extend(self.owner.map(|owner| owner.place));
        } else {
            self.unmoved_polls = self.unmoved_polls.saturating_add(1);
        }
        processed
    }

    /// Records between the commit and the log's end, never counting what retention has removed; 0
    /// where nothing was ever committed.
    pub fn uncommitted_records(&self) -> u64 {
        match (self.log, self.committed_offset()) {
            (Some(log), Some(offset)) => log.end.saturating_sub(offset.max(log.start)),
            _ => 0,
        }
    }
}

// === impl Owner ===

impl Owner {
    /// The member's place as an index.
    pub fn index(self) -> Option<usize> {
        usize::try_from(self.place).ok()
    }
}

// === impl Intake ===

impl Intake {
    fn note_missing(&mut self, name: impl Fn() -> String, cause: Cause) {
        self.missing = self.missing.saturating_add(1);
        if self.first_missing.is_none() {
            self.first_missing = Some((name(), cause));
        }
    }

    fn note_never_known(&mut self, name: impl Fn() -> String, cause: Cause) {
        if self.never_known.is_none() {
            self.never_known = Some((name(), cause));
        }
    }

    fn age(&mut self, at: Timestamp) {
        self.oldest = Some(self.oldest.map_or(at, |oldest| oldest.min(at)));
    }
}

/// The topics sorted by name, each once: the contract, made sure of.
fn sorted_topics(topics: &[TopicObservation]) -> Vec<&TopicObservation> {
    let mut sorted: Vec<&TopicObservation> = topics.iter().collect();
    if !sorted.is_sorted_by(|a, b| a.name < b.name) {
        sorted.sort_by(|a, b| a.name.cmp(&b.name));
        sorted.dedup_by(|a, b| a.name == b.name);
    }
    sorted
}

/// The partitions sorted by number, each once: the contract, made sure of.
fn sorted_partitions(partitions: &[PartitionObservation]) -> Cow<'_, [PartitionObservation]> {
    if partitions.is_sorted_by(|a, b| a.partition < b.partition) {
        return Cow::Borrowed(partitions);
    }
    let mut sorted = partitions.to_vec();
    sorted.sort_by_key(|partition| partition.partition);
    sorted.dedup_by_key(|partition| partition.partition);
    Cow::Owned(sorted)
}

#[cfg(test)]
mod tests;
