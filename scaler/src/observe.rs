//! Kafka and Prometheus in, observations out: the only place that knows `kafka-protocol` or
//! `reqwest`.
//!
//! Foreign types stop here. This module decides nothing: what is missing is reported as unknown with a
//! cause, and one broken topic, group or series never hides another.

mod http;
pub mod kafka;
pub mod prometheus;
pub mod reach;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::{
    Cause, GroupObservation, Reading, Timestamp, TopicObservation, WorkloadObservation,
};

/// What one target wants to know from Kafka.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The consumer group.
    pub consumer_group: String,
    /// Which topics.
    pub topics: TopicSelection,
    /// Only these partitions of each topic; all where absent.
    pub partitions: Option<PartitionSelection>,
    /// To which end of the log lag is counted.
    pub isolation: Isolation,
    /// How far back the log's history is asked at a cold start.
    pub history: Duration,
}

/// Which topics a target consists of.
#[derive(Clone, Debug)]
pub enum TopicSelection {
    /// These, by name: sorted, each once.
    Named(Vec<String>),
    /// Those of the group's own topics whose whole name matches.
    Pattern(regex::Regex),
    /// All that the group has committed to or been assigned.
    OfGroup,
}

/// A checked `partitionLimitation`: ranges of partition numbers, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSelection(pub Vec<std::ops::RangeInclusive<u32>>);

/// To which end of the log lag is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// The high watermark.
    ReadUncommitted,
    /// The last stable offset.
    ReadCommitted,
}

/// One target's part of a tick.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it wants to know.
    pub subscription: Arc<Subscription>,
    /// How much of it this time.
    pub depth: Depth,
    /// Ask for the log's history as well: the target has just been registered.
    pub cold: bool,
    /// Ask how much had arrived before this moment, too.
    pub earlier: Option<Timestamp>,
}

/// How much a tick asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Committed offsets, the group, and the log.
    Full,
    /// Only the log's ends: a sleeping target whose group has not changed. The last committed
    /// offsets and group are handed out again.
    LogEndsOnly,
}

/// What Kafka said about one subscription.
#[derive(Clone, Debug)]
pub struct KafkaReading {
    /// When the log end offsets were read.
    pub at: Timestamp,
    /// The topics, sorted by name. Named topics that do not exist are in it, as unknown.
    pub topics: Vec<TopicObservation>,
    /// The group.
    pub group: Reading<GroupObservation>,
    /// What went wrong, each once, for people.
    pub problems: Vec<Problem>,
    /// How much had arrived before [`Request::earlier`]; none where that is not known of each partition.
    pub earlier: Option<Earlier>,
}

/// How much had arrived in the logs of one subscription before an earlier moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// The offsets of the first records since then, all partitions together.
    pub records: u64,
    /// Partitions in which there has ever been a record.
    pub partitions: usize,
    /// Of these, in how many that is the start of the log: what came before is not known any more.
    pub at_start: usize,
}

/// What Kubernetes said about the workload of one target.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadReading {
    /// The workload, or why it is not known.
    pub observation: WorkloadObservation,
    /// What went wrong, for people.
    pub problem: Option<Problem>,
}

/// Something that went wrong while observing, for people and for labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The label.
    pub cause: Cause,
    /// A sentence that names what failed and says what to do.
    pub sentence: String,
}

/// Observes one Kafka cluster for all targets at once.
pub trait ObserveKafka: Send + 'static {
    /// One tick: one reading a request, in the same order. Never fails as a whole: what could not
    /// be read is unknown in the readings. Bounded in time by the adapter's own request timeouts.
    fn observe(&mut self, requests: &[Request]) -> impl Future<Output = Vec<KafkaReading>> + Send;
}

// === impl PartitionSelection ===

impl PartitionSelection {
    /// Whether `partition` is selected.
    pub fn contains(&self, partition: u32) -> bool {
        self.0.iter().any(|range| range.contains(&partition))
    }
}
