//! What is known about one consumer group at one moment: offsets, members, the Prometheus baseline.
//!
//! Unknown is a variant with a cause, never 0, NaN or an absent entry: a partition whose leader did
//! not answer stays in the observation and says so. This file decides nothing; it is the language in
//! which the adapters (and the simulator) speak to the engine.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A value that an adapter asked for: known, or unknown for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading<T> {
    /// The source answered.
    Known(T),
    /// The source did not answer, or not usably.
    Unknown(Cause),
}

/// Why something is unknown. A closed list with stable labels; the sentence for people is the
/// adapter's to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// Nothing was asked yet.
    NotYetObserved,
    /// No connection to the server that would know.
    Unreachable,
    /// The server accepted the request and did not answer in time.
    Timeout,
    /// A leader or a coordinator is being elected or has moved.
    Moving,
    /// The topic, partition, group or series does not exist.
    NotFound,
    /// The server refused: authentication or authorisation.
    Refused,
    /// The answer could not be understood, or makes no sense (NaN, negative, contradictory).
    Malformed,
    /// The answer is older than it may be.
    Stale,
    /// Any other error that the server named.
    Failed,
}

/// Everything known about one target at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// When the log end offsets were read. Offsets were asked in the order committed, then log.
    pub at: Timestamp,
    /// The topics of the target, sorted by name, each name once.
    pub topics: Vec<TopicObservation>,
    /// The consumer group.
    pub group: Reading<GroupObservation>,
    /// The inbound-rate baseline.
    pub prometheus: PrometheusObservation,
    /// The workload that is scaled.
    pub workload: WorkloadObservation,
    /// What is known to come: of each event the occurrence that goes on, or else the next one. At most
    /// [`crate::MOST_EVENTS`] count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// How far the clocks by which days recur are ahead of UTC, in minutes, at this moment.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub utc_offset_minutes: i32,
}

/// One occurrence of something that its user knows ahead, and the past cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When its load begins.
    pub starts_at: Timestamp,
    /// When it is over.
    pub ends_at: Timestamp,
    /// How much it is.
    pub load: EventLoad,
    /// Nobody wrote it down: the load's own past tells of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub learned: bool,
}

/// How much an event is, everything included that comes in meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum EventLoad {
    /// So many records come in each second.
    RecordsPerSecond(f64),
    /// It takes so many replicas.
    Replicas(u32),
}

/// One topic of the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopicObservation {
    /// The topic's name.
    pub name: String,
    /// The partitions that count (after `partitionLimitation`), sorted by number, each once.
    /// Unknown when the topic itself is: it does not exist, or its metadata was never seen.
    pub partitions: Reading<Vec<PartitionObservation>>,
}

/// One partition of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionObservation {
    /// The partition's number.
    pub partition: u32,
    /// Where the log starts and ends.
    pub log: Reading<LogOffsets>,
    /// What the group has committed.
    pub committed: Reading<Committed>,
    /// Where the log ended some time ago, asked by timestamp once at a cold start.
    pub history: Option<PartitionHistory>,
}

/// The two ends of a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOffsets {
    /// The first offset that can still be read.
    pub start: u64,
    /// The next offset to be written; the last stable offset under read_committed.
    pub end: u64,
}

/// A group's committed offset in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Committed {
    /// The next offset that the group will read.
    At(u64),
    /// The group has never committed here (or the commit has expired).
    Never,
}

/// A log end offset of the past, so that a restart of the scaler forgets no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionHistory {
    /// When the log ended there.
    pub at: Timestamp,
    /// The log end offset at that time.
    pub end: u64,
}

/// A consumer group as its coordinator describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupObservation {
    /// Which rebalance protocol the group speaks.
    pub protocol: GroupProtocol,
    /// The coordinator's state.
    pub state: GroupState,
    /// The assignor's name as the group names it (`range`, `cooperative-sticky`, `uniform`, ...);
    /// empty when unknown.
    pub assignor: String,
    /// The members, sorted by id.
    pub members: Vec<Member>,
}

/// Which rebalance protocol a group speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupProtocol {
    /// JoinGroup / SyncGroup: the clients assign.
    Classic,
    /// KIP-848: the broker assigns.
    Consumer,
}

/// A group's state in the words of both protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupState {
    /// No members.
    Empty,
    /// Classic: members are joining.
    PreparingRebalance,
    /// Classic: the leader is assigning.
    CompletingRebalance,
    /// KIP-848: the broker is computing the target assignment.
    Assigning,
    /// KIP-848: members are moving to the target assignment.
    Reconciling,
    /// Every member has its assignment.
    Stable,
    /// The coordinator knows no such group: it never existed, or it has expired.
    Dead,
}

/// One member of a group: one consumer client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The member id given by the coordinator.
    pub id: String,
    /// The client's address as the coordinator sees it. Members of one host are one replica, save
    /// on the loopback, where every process has the same address and each member is a replica.
    pub host: String,
    /// What the member owns now, sorted by topic. Classic groups show it only while stable.
    pub assigned: Vec<AssignedTopic>,
    /// KIP-848 only: what the member is to own.
    pub target: Option<Vec<AssignedTopic>>,
}

/// The partitions of one topic that a member owns.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AssignedTopic {
    /// The topic's name.
    pub topic: String,
    /// Partition numbers, sorted.
    pub partitions: Vec<u32>,
}

/// The inbound rate as Prometheus sees it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum PrometheusObservation {
    /// The target names no query: offsets are the only witness.
    NotConfigured,
    /// The query answered with one finite, non-negative value.
    Known {
        /// Records per second, summed over the target's topics.
        records_per_second: f64,
        /// The sample's own time.
        at: Timestamp,
    },
    /// The query failed, or its answer has no meaning as a rate.
    Unknown(Cause),
}

/// The workload that is scaled, as Kubernetes sees it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum WorkloadObservation {
    /// There is no cluster to ask, or it is not to be asked: replicas are guessed from the addresses of
    /// the group's members.
    NotConfigured,
    /// The cluster answered.
    Known(Workload),
    /// The cluster did not answer, or not about this workload.
    Unknown(Cause),
}

/// What the scale subresource of a workload and the ScaledObject over it say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// When this was last known to be so.
    pub at: Timestamp,
    /// Replicas that the workload is to have (`spec.replicas` of its scale subresource).
    pub asked: u32,
    /// Pods that exist, ready or not (`status.replicas`); those of a rolling update are among them.
    pub exist: u32,
    /// Pods that are ready, where the workload's kind tells.
    pub ready: Option<u32>,
    /// Whether a rolling update goes on, as far as the kind tells: old and new pods are there together.
    pub updating: bool,
    /// Within which bounds it is scaled.
    pub scaling: Scaling,
}

/// The bounds within which KEDA and the HPA scale a workload.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// `minReplicaCount`; 0 where the ScaledObject names none.
    pub min: u32,
    /// `maxReplicaCount`; 100 where the ScaledObject names none.
    pub max: u32,
    /// `idleReplicaCount`, where the ScaledObject names it.
    pub idle: Option<u32>,
    /// How far above the present count a wanted one may lie, as a share of it, and still be ignored.
    pub tolerance_up: f64,
    /// How far below.
    pub tolerance_down: f64,
    /// What an annotation keeps KEDA from doing.
    pub paused: Paused,
}

/// Which scaling an annotation of the ScaledObject has paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Paused {
    /// None.
    No,
    /// All of it (`paused`, `paused-replicas`).
    All,
    /// No replicas are taken away (`paused-scale-in`).
    Down,
    /// None are added (`paused-scale-out`).
    Up,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &i32) -> bool {
    *number == 0
}

// === impl Reading ===

impl<T> Reading<T> {
    /// The value, where it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

// === impl Member ===

impl Member {
    /// Whether processes on its address cannot be told apart by it: the loopback, or no address.
    pub fn shares_its_address(&self) -> bool {
        let host = self.host.trim_start_matches('/');
        host.is_empty()
            || host.starts_with("127.")
            || host.starts_with("::1")
            || host.starts_with("[::1]")
            || host.starts_with("0:0:0:0:0:0:0:1")
            || host.starts_with("localhost")
    }
}

// === impl Cause ===

impl Cause {
    /// A stable label for metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotYetObserved => "not_yet_observed",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Moving => "moving",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::Stale => "stale",
            Self::Failed => "failed",
        }
    }
}

// === impl GroupState ===

impl GroupState {
    /// The name Kafka's own tools print.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}
