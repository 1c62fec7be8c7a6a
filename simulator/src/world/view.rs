//! What a scaler sees of the world: what the brokers would tell it.

use evenkeel_engine::{
    AssignedTopic, Committed, GroupObservation, GroupProtocol, GroupState, LogOffsets, Member,
    Observation, PartitionHistory, PartitionObservation, PrometheusObservation, Reading, Scaling,
    Timestamp, TopicObservation, Workload, WorkloadObservation,
};

use super::group::{Member as GroupMember, MemberNumber, Phase, Protocol};
use super::{Addresses, World, WorldSpec, pod_of};
use crate::chance::whole;

/// The one topic's name.
const TOPIC: &str = "trades";

/// The world's clock begins an hour after the engine's epoch, so that the past can be asked for.
pub(crate) const EPOCH_SECONDS: u64 = 3_600;

// === impl World ===

impl World {
    /// This moment on the engine's clock.
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_secs(EPOCH_SECONDS + self.second)
    }

    /// Records that a broker would call lag, a partition.
    pub fn lags(&self) -> Vec<u64> {
        let partitions = self.topic.partitions().iter();
        let lag = |partition: &super::topic::Partition| {
            whole(partition.end).saturating_sub(partition.committed)
        };
        partitions.map(lag).collect()
    }

    /// Records written so far: what a broker's counter says.
    pub fn written(&self) -> f64 {
        let partitions = self.topic.partitions().iter();
        partitions.map(|partition| partition.end).sum()
    }

    /// Members of the group, those included that have vanished and are not missed yet.
    pub fn members(&self) -> u32 {
        u32::try_from(self.group.members().len()).unwrap_or(u32::MAX)
    }

    /// Everything that an observer of the brokers gets to know at this moment. `rate_before` is the
    /// inbound rate of the time before the run, which the log would answer for at a cold start.
    pub fn observe(&self, rate_before: f64, prometheus: PrometheusObservation) -> Observation {
        let at = self.timestamp();
        let shares = self.arrivals.shares().iter();
        let history = Timestamp::from_secs(EPOCH_SECONDS.saturating_sub(SEED_SECONDS));
        let partitions = self.topic.partitions().iter().zip(shares).enumerate().map(
            |(place, (partition, share))| PartitionObservation {
                partition: u32::try_from(place).unwrap_or(u32::MAX),
                log: Reading::Known(LogOffsets {
                    start: 0,
                    end: whole(partition.end),
                }),
                committed: Reading::Known(Committed::At(partition.committed)),
                history: (self.second < SEED_SECONDS).then(|| PartitionHistory {
                    at: history,
                    end: whole(1e6 - rate_before * share * SEED_SECONDS as f64),
                }),
            },
        );
        Observation {
            at,
            topics: vec![TopicObservation {
                name: TOPIC.to_owned(),
                partitions: Reading::Known(partitions.collect()),
            }],
            group: Reading::Known(self.describe()),
            prometheus,
            workload: WorkloadObservation::NotConfigured,
            events: Vec::new(),
            utc_offset_minutes: 0,
        }
    }

    /// What Kubernetes knows of the workload, scaled within these bounds.
    pub fn workload(&self, scaling: Scaling) -> Workload {
        Workload {
            at: self.timestamp(),
            asked: self.pods.count(),
            exist: self.pods.exist(),
            ready: u32::try_from(self.pods.ready().count()).ok(),
            updating: self.pods.updating(),
            scaling,
        }
    }

    /// The group as its coordinator describes it.
    fn describe(&self) -> GroupObservation {
        let protocol = self.spec.protocol;
        let state = match (self.group.phase(), protocol) {
            _ if self.group.members().is_empty() => GroupState::Empty,
            (Phase::Stable, _) => GroupState::Stable,
            (_, Protocol::Consumer) => GroupState::Reconciling,
            (Phase::Rebalancing { closes_at, .. }, _) if self.second <= closes_at => {
                GroupState::PreparingRebalance
            }
            _ => GroupState::CompletingRebalance,
        };
        let visible = state == GroupState::Stable || protocol == Protocol::Consumer;
        let members = self.group.members().iter();
        GroupObservation {
            protocol: match protocol {
                Protocol::Eager | Protocol::Cooperative => GroupProtocol::Classic,
                Protocol::Consumer => GroupProtocol::Consumer,
            },
            state,
            assignor: assignor(&self.spec).to_owned(),
            members: members
                .map(|member| describe(member, visible, &self.spec))
                .collect(),
        }
    }
}

/// How far back a cold start asks the log: the engine's slow window.
const SEED_SECONDS: u64 = evenkeel_engine::SLOW_WINDOW.as_secs();

fn assignor(spec: &WorldSpec) -> &'static str {
    match spec.protocol {
        Protocol::Eager => "range",
        Protocol::Cooperative => "cooperative-sticky",
        Protocol::Consumer => "uniform",
    }
}

/// The address that a member is seen with: its pod's, or what stands for all.
fn host(number: MemberNumber, spec: &WorldSpec) -> String {
    let pod = pod_of(number).unwrap_or(number);
    match spec.appearance.addresses {
        Addresses::OfPods => {
            format!("/10.{}.{}.{}", pod >> 16 & 255, pod >> 8 & 255, pod & 255)
        }
        Addresses::One => "/10.0.0.1".to_owned(),
        Addresses::Loopback => "/127.0.0.6".to_owned(),
    }
}

fn describe(member: &GroupMember, visible: bool, spec: &WorldSpec) -> Member {
    let assignment = |partitions: &[usize]| -> Vec<AssignedTopic> {
        if partitions.is_empty() {
            return Vec::new();
        }
        let numbers = partitions.iter();
        let mut partitions: Vec<u32> = numbers
            .map(|number| u32::try_from(*number).unwrap_or(u32::MAX))
            .collect();
        partitions.sort_unstable();
        vec![AssignedTopic {
            topic: TOPIC.to_owned(),
            partitions,
        }]
    };
    Member {
        id: format!("consumer-{:06}", member.number),
        host: host(member.number, spec),
        assigned: if visible {
            assignment(&member.partitions)
        } else {
            Vec::new()
        },
        target: (spec.protocol == Protocol::Consumer).then(|| assignment(&member.target)),
    }
}
