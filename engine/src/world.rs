//! A small world for tests: a log that is written, a group that reads it, pods that start.
//!
//! Deterministic, one step a second, no randomness. It is not the simulator: it knows just enough
//! (partitions are not divisible, pods take time, a rebalance pauses, commits come once an interval)
//! for a decision's consequences to come back to it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::rate::whole_records;
use crate::{
    AssignedTopic, Committed, Decision, Desired, Event, GroupObservation, GroupProtocol,
    GroupState, LogOffsets, Member, Observation, OffsetReset, PartitionHistory,
    PartitionObservation, Paused, Policy, PrometheusObservation, Reading, Scaling, State,
    Timestamp, TopicObservation, Tuning, Workload, WorkloadObservation, decide,
};

/// The policy of the tests: the product's defaults with a configured capacity, and with a calendar.
pub(crate) fn policy() -> Policy {
    Policy {
        min_replicas: 0,
        max_replicas: None,
        allow_idle_consumers: false,
        limit_to_partitions_with_lag: false,
        exclude_persistent_lag: false,
        offset_reset: OffsetReset::Latest,
        scale_to_zero_on_invalid_offset: false,
        read_committed: false,
        lag_threshold_records: 10,
        activation_lag_records: 0,
        activation_records_per_second: None,
        capacity_per_replica: Some(100.0),
        target_utilization: 0.8,
        catch_up: Duration::from_secs(120),
        target_lag: None,
        scale_down_window: Duration::from_secs(300),
        scale_up_window: Duration::ZERO,
        rebalance_hold: Duration::from_secs(120),
        startup: Duration::from_secs(60),
        max_staleness: Duration::from_secs(120),
        poll_interval: Duration::from_secs(5),
        learns_calendar: true,
        calendar_max_replicas: None,
        tuning: Tuning::default(),
    }
}

/// The world.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub policy: Policy,
    pub state: State,
    pub seconds: u64,
    /// Records per second into each partition.
    pub rates: Vec<f64>,
    pub capacity: f64,
    pub start_seconds: u64,
    pub pause_seconds: u64,
    pub commit_seconds: u64,
    /// Pods that ever join; the rest stay pending.
    pub pods_limit: usize,
    /// All members together commit no more than this.
    pub downstream: f64,
    /// A partition whose record cannot be processed.
    pub poison: Option<usize>,
    /// A member works off one partition after the other, at most so many records of each in its turn;
    /// a part of all of them at once where that is not given.
    pub in_turn: Option<fn(usize) -> f64>,
    pub prometheus: PrometheusObservation,
    /// What is known to come.
    pub events: Vec<Event>,
    /// How far local clocks are ahead.
    pub utc_offset_minutes: i32,
    /// What a rebalance looks like from outside.
    pub assignor: &'static str,
    /// All pods are behind one address, and Kubernetes says how many there are.
    pub behind_one_address: bool,
    /// Follow decisions, or keep the replicas as they are.
    pub follow: bool,
    written: Vec<f64>,
    position: Vec<f64>,
    committed: Vec<u64>,
    /// Of each member which of its partitions has its turn, and what is left of that.
    turns: BTreeMap<usize, (usize, f64)>,
    /// Pods that the HPA has asked for.
    asked: usize,
    members: Vec<String>,
    starting: Vec<u64>,
    paused_until: u64,
    next_member: u64,
    history: BTreeMap<u64, Vec<u64>>,
    pub decisions: Vec<Decision>,
}

impl World {
    /// `members` running replicas, no lag, an hour after the epoch.
    pub fn new(policy: Policy, rates: Vec<f64>, members: usize) -> Self {
        let partitions = rates.len();
        let mut world = Self {
            policy,
            state: State::default(),
            seconds: 3_600,
            rates,
            capacity: 100.0,
            start_seconds: 30,
            pause_seconds: 5,
            commit_seconds: 1,
            pods_limit: usize::MAX,
            downstream: f64::INFINITY,
            poison: None,
            in_turn: None,
            prometheus: PrometheusObservation::NotConfigured,
            events: Vec::new(),
            utc_offset_minutes: 0,
            assignor: "range-free",
            behind_one_address: false,
            follow: true,
            written: vec![1e9; partitions],
            position: vec![1e9; partitions],
            committed: vec![1_000_000_000; partitions],
            turns: BTreeMap::new(),
            asked: members,
            members: Vec::new(),
            starting: Vec::new(),
            paused_until: 0,
            next_member: 0,
            history: BTreeMap::new(),
            decisions: Vec::new(),
        };
        for second in 0..300 {
            let past = |rate: &f64| whole_records(1e9 - rate * (300 - second) as f64);
            let ends = world.rates.iter().map(past).collect();
            world.history.insert(3_300 + second, ends);
        }
        world.join(members);
        world.paused_until = 0;
        world
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.seconds)
    }

    pub fn replicas(&self) -> usize {
        self.members.len()
    }

    pub fn lag(&self) -> u64 {
        let lag = self.written.iter().zip(&self.committed);
        lag.map(|(written, committed)| (whole_records(*written)).saturating_sub(*committed))
            .sum()
    }

    pub fn scale_rates(&mut self, factor: f64) {
        for rate in &mut self.rates {
            *rate *= factor;
        }
    }

    pub fn join(&mut self, count: usize) {
        for _ in 0..count {
            self.members.push(format!("member-{:06}", self.next_member));
            self.next_member += 1;
        }
        self.rebalance(self.pause_seconds);
    }

    /// Everybody stops for `seconds`; work since the last commit is done again.
    pub fn rebalance(&mut self, seconds: u64) {
        self.paused_until = self.paused_until.max(self.seconds + seconds);
        for (position, committed) in self.position.iter_mut().zip(&self.committed) {
            *position = *committed as f64;
        }
    }

    fn owner(&self, partition: usize) -> usize {
        partition % self.members.len().max(1)
    }

    /// One second.
    pub fn second(&mut self) {
        self.seconds += 1;
        for (written, rate) in self.written.iter_mut().zip(&self.rates) {
            *written += rate;
        }
        let ends = self
            .written
            .iter()
            .map(|written| whole_records(*written))
            .collect();
        self.history.insert(self.seconds, ends);
        let ready = self
            .starting
            .iter()
            .filter(|at| **at <= self.seconds)
            .count();
        let room = self.pods_limit.saturating_sub(self.members.len());
        if ready > 0 {
            self.starting.retain(|at| *at > self.seconds);
            self.join(ready.min(room));
        }
        if self.seconds >= self.paused_until {
            self.consume();
            if self.seconds.is_multiple_of(self.commit_seconds) {
                for (committed, position) in self.committed.iter_mut().zip(&self.position) {
                    *committed = whole_records(*position);
                }
            }
        }
    }

    fn consume(&mut self) {
        let members = self.members.len();
        let share = self.downstream / members.max(1) as f64;
        for member in 0..members {
            let mut left = self.capacity.min(share);
            let mut own: Vec<usize> = (0..self.rates.len())
                .filter(|partition| self.owner(*partition) == member)
                .filter(|partition| Some(*partition) != self.poison)
                .collect();
            if let Some(records) = self.in_turn {
                self.serve_in_turn(member, &own, left, records);
                continue;
            }
            while left > 1e-9 && !own.is_empty() {
                let each = left / own.len() as f64;
                own.retain(|&partition| {
                    let waiting = self.written[partition] - self.position[partition];
                    let taken = waiting.min(each);
                    self.position[partition] += taken;
                    left -= taken;
                    waiting > each
                });
            }
        }
    }

    fn serve_in_turn(
        &mut self,
        member: usize,
        own: &[usize],
        most: f64,
        records: fn(usize) -> f64,
    ) {
        let (mut nth, mut rest) = self.turns.get(&member).copied().unwrap_or_default();
        let mut left = most;
        for _ in 0..=own.len() {
            let Some(&partition) = own.get(nth).or(own.first()) else {
                return;
            };
            let waiting = self.written[partition] - self.position[partition];
            let taken = waiting.min(left).min(rest);
            self.position[partition] += taken;
            left -= taken;
            rest -= taken;
            if left <= 1e-9 {
                break;
            }
            nth = (nth + 1) % own.len();
            rest = records(own[nth]);
        }
        self.turns.insert(member, (nth, rest));
    }

    pub fn rebalancing(&self) -> bool {
        self.seconds < self.paused_until
    }

    pub fn observation(&self) -> Observation {
        let partitions = (0..self.rates.len())
            .map(|partition| PartitionObservation {
                partition: u32::try_from(partition).unwrap(),
                log: Reading::Known(LogOffsets {
                    start: 0,
                    end: whole_records(self.written[partition]),
                }),
                committed: Reading::Known(Committed::At(self.committed[partition])),
                history: self
                    .history
                    .get(&(self.seconds - 300))
                    .map(|ends| PartitionHistory {
                        at: Timestamp::from_secs(self.seconds - 300),
                        end: ends[partition],
                    }),
            })
            .collect();
        Observation {
            at: self.now(),
            topics: vec![TopicObservation {
                name: "trades".to_owned(),
                partitions: Reading::Known(partitions),
            }],
            group: Reading::Known(self.group()),
            prometheus: self.prometheus,
            workload: if self.behind_one_address {
                WorkloadObservation::Known(self.workload())
            } else {
                WorkloadObservation::NotConfigured
            },
            events: self.events.clone(),
            utc_offset_minutes: self.utc_offset_minutes,
        }
    }

    /// What Kubernetes would say of it: no tolerance, and bounds that bound nothing.
    pub fn workload(&self) -> Workload {
        let count = |count: usize| u32::try_from(count).unwrap();
        Workload {
            at: self.now(),
            asked: count(self.asked),
            exist: count(self.members.len() + self.starting.len()),
            ready: Some(count(self.members.len())),
            updating: false,
            scaling: Scaling {
                min: 0,
                max: 1_000,
                idle: None,
                tolerance_up: 0.0,
                tolerance_down: 0.0,
                paused: Paused::No,
            },
        }
    }

    fn group(&self) -> GroupObservation {
        self.group_of(&self.members)
    }

    /// The group as it would look with `count` members.
    pub fn group_with(&self, count: usize) -> GroupObservation {
        let kept = self.members.iter().cloned();
        let more = (0..count).map(|more| format!("other-{more:06}"));
        let members: Vec<String> = kept.chain(more).take(count).collect();
        self.group_of(&members)
    }

    fn group_of(&self, members: &[String]) -> GroupObservation {
        let state = if members.is_empty() {
            GroupState::Empty
        } else if self.rebalancing() {
            GroupState::PreparingRebalance
        } else {
            GroupState::Stable
        };
        let count = members.len();
        let members = members.iter().enumerate().map(|(place, id)| {
            let own = (0..self.rates.len()).filter(|partition| partition % count == place);
            let partitions: Vec<u32> = own.map(|own| u32::try_from(own).unwrap()).collect();
            let visible = state == GroupState::Stable && !partitions.is_empty();
            Member {
                id: id.clone(),
                host: match self.behind_one_address {
                    true => "/10.0.0.1".to_owned(),
                    false => format!("/10.0.0.{place}"),
                },
                assigned: if visible {
                    vec![AssignedTopic {
                        topic: "trades".to_owned(),
                        partitions,
                    }]
                } else {
                    Vec::new()
                },
                target: None,
            }
        });
        GroupObservation {
            protocol: GroupProtocol::Classic,
            state,
            assignor: self.assignor.to_owned(),
            members: members.collect(),
        }
    }

    /// One poll: five seconds, a decision, and every fifteen seconds the HPA.
    pub fn poll(&mut self) -> Decision {
        self.poll_with(|_| {})
    }

    /// The same, with the observation bent on the way.
    pub fn poll_with(&mut self, bend: impl FnOnce(&mut Observation)) -> Decision {
        for _ in 0..5 {
            self.second();
        }
        let mut observation = self.observation();
        bend(&mut observation);
        let state = std::mem::take(&mut self.state);
        let (state, decision) = decide(&self.policy, state, &observation, self.now());
        self.state = state;
        if self.follow && self.seconds.is_multiple_of(15) {
            self.obey(&decision);
        }
        self.decisions.push(decision.clone());
        decision
    }

    /// What KEDA and the HPA would do about it.
    fn obey(&mut self, decision: &Decision) {
        let Desired::Known { replicas, active } = decision.desired else {
            return;
        };
        let wanted = usize::try_from(replicas).unwrap();
        let wanted = if active { wanted.max(1) } else { wanted };
        let there = self.members.len() + self.starting.len();
        self.asked = wanted;
        if wanted > there {
            let ready = self.seconds + self.start_seconds;
            self.starting
                .extend(std::iter::repeat_n(ready, wanted - there));
        } else if wanted < self.members.len() {
            self.starting.clear();
            self.members.truncate(wanted);
            self.rebalance(self.pause_seconds);
        }
    }

    pub fn polls(&mut self, count: usize) {
        for _ in 0..count {
            self.poll();
        }
    }

    pub fn minutes(&mut self, minutes: usize) {
        self.polls(minutes * 12);
    }
}

/// The replicas of a decision that knows.
pub(crate) fn replicas(decision: &Decision) -> u32 {
    match decision.desired {
        Desired::Known { replicas, .. } => replicas,
        Desired::Unknown { cause } => panic!("unknown: {cause:?}"),
    }
}

/// Whether a decision that knows is awake.
pub(crate) fn is_active(decision: &Decision) -> bool {
    match decision.desired {
        Desired::Known { active, .. } => active,
        Desired::Unknown { cause } => panic!("unknown: {cause:?}"),
    }
}
