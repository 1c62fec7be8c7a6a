//! The example in docs/ALGORITHM.md: what the engine itself answers while a load goes from 200 to 1,000
//! records/s and back.
//!
//! The group is as simple as can be: even partitions, pods that join together after a start, commits at
//! every second. What the decision makes of less simple ones is the engine's own tests'.

use std::fmt::Write as _;

use evenkeel_engine::{
    AssignedTopic, Committed, Decision, Desired, GroupObservation, GroupProtocol, GroupState,
    LogOffsets, Member, Observation, PartitionObservation, Policy, PrometheusObservation, Reading,
    State, Timestamp, TopicObservation, WorkloadObservation, decide,
};
use evenkeel_sim::rivals::default_policy;

const PARTITIONS: u32 = 24;
const CAPACITY: f64 = 100.0;
const START_SECONDS: u64 = 30;

/// When the load rises and falls, and when it is over.
const RISE: u64 = 600;
const FALL: u64 = 1_800;
const END: u64 = 2_400;

/// One topic and its group.
struct World {
    policy: Policy,
    state: State,
    second: u64,
    /// Records of each partition: written, and processed.
    written: f64,
    processed: f64,
    members: u32,
    /// How many there will be, and when.
    coming: Option<(u32, u64)>,
}

/// The rows of the table: where the count changes, and a minute after the load did.
pub fn rows() -> String {
    let mut world = World {
        policy: default_policy(Some(CAPACITY), 60),
        state: State::default(),
        second: 0,
        written: 10_000.0,
        processed: 10_000.0,
        members: 3,
        coming: None,
    };
    let mut text =
        String::from("| at | records/s | count | verdict | reason |\n|---|---|---|---|---|\n");
    let mut last = None;
    while world.second < END {
        let decision = world.poll();
        let Desired::Known { replicas, .. } = decision.desired else {
            continue;
        };
        let changed = last
            .replace(replicas)
            .is_some_and(|before| before != replicas);
        let settled = [RISE, RISE + 60, FALL + 60].contains(&world.second);
        if world.second < RISE || !(changed || settled) {
            continue;
        }
        let seconds = world.second - RISE;
        let (rate, verdict) = (world.arrived(), decision.verdict.label());
        writeln!(
            text,
            "| {seconds} s | {rate} | {replicas} | {verdict} | {} |",
            decision.reason
        )
        .unwrap();
    }
    text
}

impl World {
    /// What came in the last second.
    fn arrived(&self) -> f64 {
        Self::rate_at(self.second - 1)
    }

    fn rate_at(second: u64) -> f64 {
        if (RISE..FALL).contains(&second) {
            1_000.0
        } else {
            200.0
        }
    }

    /// Two seconds, and a decision, which is followed.
    fn poll(&mut self) -> Decision {
        for _ in 0..2 {
            self.written += Self::rate_at(self.second) / f64::from(PARTITIONS);
            self.second += 1;
            let done = f64::from(self.members) * CAPACITY / f64::from(PARTITIONS);
            self.processed = self.written.min(self.processed + done);
            if let Some((members, at)) = self.coming
                && self.second >= at
            {
                (self.members, self.coming) = (members, None);
            }
        }
        let now = Timestamp::from_secs(self.second);
        let state = std::mem::take(&mut self.state);
        let (state, decision) = decide(&self.policy, state, &self.observation(now), now);
        self.state = state;
        if let Desired::Known { replicas, .. } = decision.desired {
            if replicas < self.members {
                (self.members, self.coming) = (replicas, None);
            } else if replicas > self.members && self.coming.is_none() {
                self.coming = Some((replicas, self.second + START_SECONDS));
            }
        }
        decision
    }

    fn observation(&self, at: Timestamp) -> Observation {
        let partition = |partition| PartitionObservation {
            partition,
            log: Reading::Known(LogOffsets {
                start: 0,
                end: whole(self.written),
            }),
            committed: Reading::Known(Committed::At(whole(self.processed))),
            history: None,
        };
        let member = |place| Member {
            id: format!("member-{place:03}"),
            host: format!("10.0.0.{place}"),
            assigned: vec![AssignedTopic {
                topic: "trades".to_owned(),
                partitions: (0..PARTITIONS)
                    .filter(|one| one % self.members == place)
                    .collect(),
            }],
            target: None,
        };
        Observation {
            at,
            topics: vec![TopicObservation {
                name: "trades".to_owned(),
                partitions: Reading::Known((0..PARTITIONS).map(partition).collect()),
            }],
            group: Reading::Known(GroupObservation {
                protocol: GroupProtocol::Classic,
                state: GroupState::Stable,
                assignor: "cooperative-sticky".to_owned(),
                members: (0..self.members).map(member).collect(),
            }),
            prometheus: PrometheusObservation::NotConfigured,
            workload: WorkloadObservation::NotConfigured,
            events: Vec::new(),
            utc_offset_minutes: 0,
        }
    }
}

#[expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "records are counted"
)]
fn whole(records: f64) -> u64 {
    records as u64
}
