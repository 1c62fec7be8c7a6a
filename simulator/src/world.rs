//! The world: a topic that is written, a group that reads it, pods that start, fail and go.
//!
//! One step a second. Inside a second everything is a flow: a pod processes up to its capacity, fairly
//! divided over its partitions; what it does not get to waits in order. What scalers see of it is not
//! this but what a broker would tell them: whole committed offsets, as old as the last commit, log
//! ends, and the group in the words of its protocol (`world/view.rs`).
//!
//! What this does not do: decide, or score. And it does not model records that are processed twice
//! after a crash, or brokers that fail; faults between the world and the scaler are in `faults`.

mod group;
mod pods;
mod tally;
mod topic;
mod view;

use crate::chance::Spread;
use crate::workload::{Arrivals, Trouble, Workload};

pub use group::Protocol;
use group::{Group, MemberChange, MemberNumber};
use pods::{PodChange, PodNumber, Pods};
pub(crate) use tally::{Minute, Tally};
use topic::Topic;
pub(crate) use view::EPOCH_SECONDS;

/// What a world is made of. Times are in seconds, rates in records per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorldSpec {
    /// Partitions of the one topic.
    pub partitions: usize,
    /// What one pod can do.
    pub capacity: f64,
    /// How long a batch takes. A record waits half a batch for its turn and a whole one to be done.
    pub batch_seconds: f64,
    /// How often a member commits.
    pub commit_seconds: u64,
    /// How the group rebalances.
    pub protocol: Protocol,
    /// How long a rebalance takes.
    pub pause: Spread,
    /// From a pod's creation to its joining the group.
    pub start: Spread,
    /// How long a pod then takes to reach its capacity, from half of it.
    pub warm_up_seconds: u64,
    /// How long the coordinator waits for a member that has vanished.
    pub session_seconds: u64,
    /// Pods that replace one that is going wrong.
    pub pods: PodTroubles,
    /// Pods there at the start, joined and warm.
    pub pods_at_start: u32,
    /// What of the pods the group does not show.
    pub appearance: Appearance,
}

/// How pods appear in the group: by default each is one member with an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appearance {
    /// The address that members are seen with.
    pub addresses: Addresses,
    /// Members a pod; they share what the pod can do.
    pub consumers_a_pod: u32,
    /// Pods of another Deployment that are in the group as long as it runs.
    pub canaries: u32,
    /// Members of pods that were told to go stay until they are missed, with what they own.
    pub are_static: bool,
    /// When all pods are replaced one after the other, with a quarter more of them meanwhile.
    pub updated_at: Option<u64>,
}

/// The addresses that members are seen with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// Each pod has its own.
    OfPods,
    /// All have the same: a proxy or a gateway.
    One,
    /// All have the loopback's: a sidecar.
    Loopback,
}

impl Default for Appearance {
    fn default() -> Self {
        Self {
            addresses: Addresses::OfPods,
            consumers_a_pod: 1,
            canaries: 0,
            are_static: false,
            updated_at: None,
        }
    }
}

/// What goes wrong with pods. Shares are of all pods.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PodTroubles {
    /// Crashes of a pod in an hour, on average. It comes back after a start.
    pub crashes_an_hour: f64,
    /// Pods on a slow node, which do 60 % of the others' work.
    pub slow_share: f64,
    /// Pods that never join: no room, no image.
    pub never_joining_share: f64,
}

/// A world at one moment.
#[derive(Debug)]
pub struct World {
    spec: WorldSpec,
    /// Seconds since the run began.
    second: u64,
    topic: Topic,
    arrivals: Arrivals,
    arrived: Vec<f64>,
    group: Group,
    pods: Pods,
    tally: Tally,
    poisoned: Vec<bool>,
}

// === impl World ===

impl World {
    /// A world at second 0: everything processed, the pods at start settled.
    pub fn new(spec: WorldSpec, workload: &Workload, seed: u64) -> Self {
        let mut world = Self {
            spec,
            second: 0,
            topic: Topic::new(spec.partitions),
            arrivals: Arrivals::new(seed, workload.skew.shares(spec.partitions)),
            arrived: vec![0.0; spec.partitions],
            group: Group::new(spec.partitions, seed),
            pods: Pods::new(seed),
            tally: Tally::default(),
            poisoned: vec![false; spec.partitions],
        };
        world.pods.scale(spec.pods_at_start, 0, &spec);
        world.pods.all_ready();
        let consumers = world.pods.ready().flat_map(|pod| members_of(pod, &spec));
        let canaries = (0..u64::from(spec.appearance.canaries)).map(|number| CANARY + number);
        world.group.settle(consumers.chain(canaries), &spec);
        world
    }

    /// Sets how many pods there shall be. Fewer: those that have not joined go first, then the newest.
    pub fn scale(&mut self, replicas: u32) {
        let gone = self.pods.scale(replicas, self.second, &self.spec);
        for pod in gone {
            self.leave(pod);
        }
    }

    /// A pod that is told to go leaves its group and commits what it has done. Static members do not leave.
    fn leave(&mut self, pod: PodNumber) {
        for member in members_of(pod, &self.spec) {
            if self.spec.appearance.are_static {
                let vanishes = MemberChange::Vanishes(member);
                self.group.follow(vanishes, self.second, &self.spec);
                self.topic.commit_all();
            } else if self.group.leave(member, self.second, &self.spec) {
                self.topic.commit_all();
            }
        }
    }

    /// One second: arrivals, pods, the group, processing, commits.
    pub fn second(&mut self, workload: &Workload) {
        let second = self.second;
        self.arrivals.arrive(workload, second, &mut self.arrived);
        self.topic.append(second, &self.arrived);
        self.tally.arrived(self.arrived.iter().sum());
        let mut downstream = f64::INFINITY;
        self.poisoned.fill(false);
        for trouble in workload.troubles(second) {
            match trouble {
                Trouble::Poison { partition } => {
                    if let Some(poisoned) = self.poisoned.get_mut(partition) {
                        *poisoned = true;
                    }
                }
                Trouble::Downstream { records_per_second } => {
                    downstream = downstream.min(records_per_second);
                }
                Trouble::Hot { .. } => {}
            }
        }
        for change in self.pods.second(second, &self.spec) {
            match change {
                PodChange::Joins(pod) => {
                    for member in members_of(pod, &self.spec) {
                        self.group
                            .follow(MemberChange::Joins(member), second, &self.spec);
                    }
                }
                PodChange::Vanishes(pod) => {
                    for member in members_of(pod, &self.spec) {
                        self.group
                            .follow(MemberChange::Vanishes(member), second, &self.spec);
                    }
                }
                PodChange::Leaves(pod) => self.leave(pod),
            }
        }
        self.group.second(second, &self.spec);
        // What was done until now: the batches of this second are committed with the next.
        if self.group.may_commit(&self.spec) {
            self.topic.commit(second, self.spec.commit_seconds);
        }
        let working = self.group.working(second);
        let share = downstream / working.max(1) as f64;
        for (pod, own) in self.work() {
            let speed = match pod {
                Some(pod) => self.pods.speed(pod, second, &self.spec),
                None => Some(1.0),
            };
            let Some(speed) = speed else {
                continue;
            };
            let members = match pod {
                Some(_) => f64::from(self.spec.appearance.consumers_a_pod.max(1)),
                None => 1.0,
            };
            let capacity = (self.spec.capacity * speed).min(share * members);
            let open = |partition: usize| {
                !self.poisoned.get(partition).copied().unwrap_or(false)
                    && self.group.may_process(partition, second)
            };
            self.topic
                .process(&own, open, capacity, second, &mut self.tally);
        }
        self.tally.second(
            &self.topic,
            (self.pods.count(), self.members()),
            self.group.rebalances(),
            second,
        );
        self.second += 1;
    }

    /// What each pod and each canary owns, the pods in the order of their first members.
    fn work(&self) -> Vec<(Option<PodNumber>, Vec<usize>)> {
        let mut work: Vec<(Option<PodNumber>, Vec<usize>)> = Vec::new();
        for member in self.group.members() {
            let pod = pod_of(member.number);
            // Its first member is among them already, in the order of numbers.
            let known = if member.number < CONSUMER {
                None
            } else {
                work.iter_mut()
                    .find(|(known, _)| pod.is_some() && *known == pod)
            };
            match known {
                Some((_, own)) => own.extend(&member.partitions),
                None => work.push((pod, member.partitions.clone())),
            }
        }
        work
    }

    /// Seconds since the run began.
    pub fn now(&self) -> u64 {
        self.second
    }

    /// Pods that there are, started or not: what a ScaledObject's Deployment has.
    pub fn replicas(&self) -> u32 {
        self.pods.count()
    }

    /// How its group rebalances.
    pub fn protocol(&self) -> Protocol {
        self.spec.protocol
    }

    /// Each partition's share of the load.
    pub fn shares(&self) -> &[f64] {
        self.arrivals.shares()
    }

    /// Records that wait in each partition: the truth, for oracles only.
    pub fn waiting(&self) -> impl Iterator<Item = f64> {
        self.topic.waiting()
    }

    /// Whether the group is in the middle of a rebalance.
    pub fn rebalancing(&self) -> bool {
        self.group.rebalancing()
    }

    /// What it is made of.
    pub(crate) fn spec(&self) -> &WorldSpec {
        &self.spec
    }

    /// Ends the run: what still waits counts with the age that it has.
    pub(crate) fn end(mut self) -> Tally {
        self.topic.end(self.second, &mut self.tally);
        self.tally
    }
}

/// The number of the first canary: no pod gets that far.
const CANARY: MemberNumber = 1 << 40;

/// As many numbers has each consumer of a pod: the first ones of all pods come before the second ones, as
/// client ids sort.
const CONSUMER: MemberNumber = 1 << 24;

/// The members that a pod is in the group.
fn members_of(pod: PodNumber, spec: &WorldSpec) -> impl Iterator<Item = MemberNumber> + use<> {
    (0..u64::from(spec.appearance.consumers_a_pod.max(1))).map(move |place| place * CONSUMER + pod)
}

/// The pod of a member; `None` for a canary.
fn pod_of(member: MemberNumber) -> Option<PodNumber> {
    (member < CANARY).then_some(member % CONSUMER)
}

#[cfg(test)]
mod tests;
