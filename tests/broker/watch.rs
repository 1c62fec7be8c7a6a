//! One target watched as its loop would: trigger metadata in, readings and decisions out.
//!
//! The loop's pace is the test's: it observes when the test says so. Time may be let pass without
//! waiting, for what the observer keeps for a while on purpose.

use std::collections::HashMap;
use std::time::Duration;

use evenkeel_engine::{
    Committed, Decision, Desired, GroupObservation, GroupState, LogOffsets, Observation,
    PartitionObservation, PrometheusObservation, Reading, State, WorkloadObservation, decide,
};
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::config::Config;
use evenkeel_scaler::control::target::TargetSpec;
use evenkeel_scaler::grpc::metadata;
use evenkeel_scaler::metrics::Metrics;
use evenkeel_scaler::observe::kafka::{Access, KafkaObserver, KafkaObserverConfig};
use evenkeel_scaler::observe::{Depth, KafkaReading, ObserveKafka as _, Request};

use crate::eventually::eventually;

/// Far above what a broker takes, so that a busy machine makes nothing unknown.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A target and everything that watching it takes.
#[derive(Debug)]
pub struct Watch {
    observer: KafkaObserver,
    clock: Clock,
    pub spec: TargetSpec,
    state: State,
    cold: bool,
}

// === impl Watch ===

impl Watch {
    /// A target with the product's defaults but for `metadata`.
    pub fn new(bootstrap_servers: &str, metadata: &[(&str, &str)]) -> Self {
        let config = Config::read("", None, std::iter::empty()).expect("defaults are enough");
        let given = [("bootstrapServers", bootstrap_servers)];
        let metadata: HashMap<String, String> = given
            .iter()
            .chain(metadata)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let spec = metadata::parse("tests", "watched", &metadata, &config);
        let clock = Clock::start();
        let observer = KafkaObserver::new(
            KafkaObserverConfig {
                name: "tests".to_owned(),
                bootstrap_servers: bootstrap_servers.split(',').map(str::to_owned).collect(),
                access: Access::default(),
                request_timeout: REQUEST_TIMEOUT,
                frame_limit_bytes: config.limits.kafka_frame_bytes,
            },
            clock,
            Metrics::default(),
        );
        Self {
            observer,
            clock,
            spec: spec.expect("the metadata is right"),
            state: State::default(),
            cold: true,
        }
    }

    /// One topic and its group.
    pub fn of(bootstrap_servers: &str, topic: &str, group: &str) -> Self {
        let metadata = [("topic", topic), ("consumerGroup", group)];
        Self::new(bootstrap_servers, &metadata)
    }

    /// One tick.
    pub async fn observe(&mut self) -> KafkaReading {
        let request = Request {
            subscription: std::sync::Arc::clone(&self.spec.subscription),
            depth: Depth::Full,
            cold: self.cold,
            earlier: None,
        };
        let mut readings = self.observer.observe(&[request]).await;
        let reading = readings.pop().expect("one request, one reading");
        self.cold = false;
        reading
    }

    /// What the engine makes of it.
    pub fn decide(&mut self, reading: &KafkaReading) -> Decision {
        let observation = Observation {
            at: reading.at,
            topics: reading.topics.clone(),
            group: reading.group.clone(),
            prometheus: PrometheusObservation::NotConfigured,
            workload: WorkloadObservation::NotConfigured,
            events: Vec::new(),
            utc_offset_minutes: 0,
        };
        let state = std::mem::take(&mut self.state);
        let (state, decision) = decide(&self.spec.policy, state, &observation, self.clock.now());
        self.state = state;
        decision
    }

    /// One tick and what the engine makes of it.
    pub async fn tick(&mut self) -> (KafkaReading, Decision) {
        let reading = self.observe().await;
        let decision = self.decide(&reading);
        (reading, decision)
    }

    /// Observes, deciding nothing, until a reading is as wanted.
    pub async fn until(
        &mut self,
        what: &str,
        wanted: impl Fn(&KafkaReading) -> bool,
    ) -> KafkaReading {
        eventually(what, async || {
            let reading = self.observe().await;
            if wanted(&reading) {
                Ok(reading)
            } else {
                Err(format!("{reading:#?}"))
            }
        })
        .await
    }
}

/// Lets `time` pass for whatever reads the clock, without waiting for it.
pub async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// The partitions of a topic, which are known.
#[track_caller]
pub fn partitions<'a>(reading: &'a KafkaReading, topic: &str) -> &'a [PartitionObservation] {
    let found = reading.topics.iter().find(|found| found.name == topic);
    let found = found.unwrap_or_else(|| panic!("{topic} is not in {reading:#?}"));
    let known = found.partitions.known();
    known.unwrap_or_else(|| panic!("{topic} is unknown: {reading:#?}"))
}

/// The group, which is known.
#[track_caller]
pub fn group(reading: &KafkaReading) -> &GroupObservation {
    let known = reading.group.known();
    known.unwrap_or_else(|| panic!("the group is unknown: {reading:#?}"))
}

/// Records that Kafka's own tool would call lag: from the commit to the end. None where either is
/// unknown or nothing was ever committed.
pub fn lag(partition: &PartitionObservation) -> Option<u64> {
    match (partition.log, partition.committed) {
        (Reading::Known(LogOffsets { end, .. }), Reading::Known(Committed::At(committed))) => {
            Some(end.saturating_sub(committed))
        }
        _ => None,
    }
}

/// The lag of all partitions together; none where that of one is not known.
pub fn total_lag(reading: &KafkaReading, topic: &str) -> Option<u64> {
    let topic = reading.topics.iter().find(|found| found.name == topic)?;
    topic.partitions.known()?.iter().map(lag).sum()
}

/// Whether `members` members are settled and own all `owned` partitions between them.
pub fn is_settled(reading: &KafkaReading, members: usize, owned: usize) -> bool {
    reading.group.known().is_some_and(|group| {
        let each = group.members.iter().map(|member| {
            let topics = member.assigned.iter();
            topics.map(|topic| topic.partitions.len()).sum::<usize>()
        });
        let all_there = group.members.iter().all(|member| {
            member
                .target
                .as_ref()
                .is_none_or(|target| *target == member.assigned)
        });
        group.state == GroupState::Stable
            && group.members.len() == members
            && each.clone().all(|count| count > 0)
            && each.sum::<usize>() == owned
            && all_there
    })
}

/// The replicas of a decision that knows.
#[track_caller]
pub fn replicas(decision: &Decision) -> u32 {
    match decision.desired {
        Desired::Known { replicas, .. } => replicas,
        Desired::Unknown { .. } => panic!("no answer: {decision:#?}"),
    }
}

/// Whether a decision that knows is awake.
#[track_caller]
pub fn is_active(decision: &Decision) -> bool {
    match decision.desired {
        Desired::Known { active, .. } => active,
        Desired::Unknown { .. } => panic!("no answer: {decision:#?}"),
    }
}
