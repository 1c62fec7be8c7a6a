//! Pods: how they start, how fast they are, how they crash, and who goes first.

use fastrand::Rng;

use super::WorldSpec;
use crate::chance::{Purpose, stream};

/// The speed of a pod on a slow node.
const SLOW_SPEED: f64 = 0.6;

/// The speed of a pod that has just joined.
const COLD_SPEED: f64 = 0.5;

/// A pod's number: the n-th of the run.
pub(super) type PodNumber = u64;

/// All pods of the Deployment.
#[derive(Debug)]
pub(super) struct Pods {
    pods: Vec<Pod>,
    /// How many there shall be; more are there while they are replaced.
    wanted: usize,
    /// Pods before this number are to be replaced.
    outdated_before: PodNumber,
    next: PodNumber,
    seed: u64,
}

#[derive(Debug)]
struct Pod {
    number: PodNumber,
    chance: Rng,
    state: PodState,
    speed: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PodState {
    /// Joins the group then.
    Starting { ready_at: u64 },
    /// Will never join.
    Stuck,
    /// Has been in the group since then.
    Running { since: u64 },
}

/// What a pod did in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PodChange {
    /// It is up and joins.
    Joins(PodNumber),
    /// It died without leaving.
    Vanishes(PodNumber),
    /// It was replaced and told to go.
    Leaves(PodNumber),
}

// === impl Pods ===

impl Pods {
    pub fn new(seed: u64) -> Self {
        Self {
            pods: Vec::new(),
            wanted: 0,
            outdated_before: 0,
            next: 0,
            seed,
        }
    }

    /// How many there shall be.
    pub fn count(&self) -> u32 {
        u32::try_from(self.wanted).unwrap_or(u32::MAX)
    }

    /// How many there are, those that replace others included.
    pub fn exist(&self) -> u32 {
        u32::try_from(self.pods.len()).unwrap_or(u32::MAX)
    }

    /// Whether pods are being replaced.
    pub fn updating(&self) -> bool {
        self.pods
            .iter()
            .any(|pod| pod.number < self.outdated_before)
    }

    /// Sets how many there shall be; returns those that have to go.
    pub fn scale(&mut self, replicas: u32, second: u64, spec: &WorldSpec) -> Vec<PodNumber> {
        let replicas = usize::try_from(replicas).unwrap_or(usize::MAX);
        self.wanted = replicas;
        self.start(replicas, second, spec);
        let mut gone = Vec::new();
        while self.pods.len() > replicas {
            // As Kubernetes: what is not ready goes before what is, and the newest before the oldest.
            let newest_not_ready = self.pods.iter().rposition(|pod| !pod.is_running());
            let place = newest_not_ready.unwrap_or(self.pods.len() - 1);
            gone.push(self.pods.remove(place).number);
        }
        gone
    }

    /// Starts pods until there are so many.
    fn start(&mut self, replicas: usize, second: u64, spec: &WorldSpec) {
        while self.pods.len() < replicas {
            let mut chance = stream(self.seed, Purpose::Pod, self.next);
            let stuck = chance.f64() < spec.pods.never_joining_share;
            let slow = chance.f64() < spec.pods.slow_share;
            let ready_at = second + spec.start.draw_seconds(&mut chance);
            self.pods.push(Pod {
                number: self.next,
                chance,
                state: if stuck {
                    PodState::Stuck
                } else {
                    PodState::Starting { ready_at }
                },
                speed: if slow { SLOW_SPEED } else { 1.0 },
            });
            self.next += 1;
        }
    }

    /// Replaces outdated pods: a quarter more than wanted may be there, and one goes for each that runs
    /// beyond those wanted.
    fn replace(&mut self, second: u64, spec: &WorldSpec) -> Vec<PodChange> {
        if spec.appearance.updated_at == Some(second) {
            self.outdated_before = self.next;
        }
        let mut changes = Vec::new();
        if !self.updating() {
            return changes;
        }
        let outdated = |pods: &[Pod]| {
            let before = self.outdated_before;
            pods.iter().position(|pod| pod.number < before)
        };
        let running = self.pods.iter().filter(|pod| pod.is_running()).count();
        for _ in self.wanted..running {
            if let Some(place) = outdated(&self.pods) {
                changes.push(PodChange::Leaves(self.pods.remove(place).number));
            }
        }
        let old = self
            .pods
            .iter()
            .filter(|pod| pod.number < self.outdated_before);
        let most = self.wanted + self.wanted.div_ceil(4).min(old.count());
        self.start(most, second, spec);
        changes
    }

    /// Everybody is ready and warm: the beginning of a run.
    pub fn all_ready(&mut self) {
        for pod in &mut self.pods {
            pod.state = PodState::Running { since: 0 };
            pod.speed = 1.0;
        }
    }

    /// The pods that run.
    pub fn ready(&self) -> impl Iterator<Item = PodNumber> {
        self.pods
            .iter()
            .filter(|pod| pod.is_running())
            .map(|pod| pod.number)
    }

    /// Starts and crashes of one second.
    pub fn second(&mut self, second: u64, spec: &WorldSpec) -> Vec<PodChange> {
        let crash = spec.pods.crashes_an_hour / 3_600.0;
        let mut changes = self.replace(second, spec);
        for pod in &mut self.pods {
            match pod.state {
                PodState::Starting { ready_at } if ready_at <= second => {
                    pod.state = PodState::Running { since: second };
                    changes.push(PodChange::Joins(pod.number));
                }
                PodState::Running { .. } if crash > 0.0 && pod.chance.f64() < crash => {
                    let ready_at = second + spec.start.draw_seconds(&mut pod.chance);
                    pod.state = PodState::Starting { ready_at };
                    changes.push(PodChange::Vanishes(pod.number));
                }
                _ => {}
            }
        }
        changes
    }

    /// A pod's share of the full capacity; `None` while it does not run.
    pub fn speed(&self, number: PodNumber, second: u64, spec: &WorldSpec) -> Option<f64> {
        let place = self
            .pods
            .binary_search_by_key(&number, |pod| pod.number)
            .ok()?;
        let pod = self.pods.get(place)?;
        let PodState::Running { since } = pod.state else {
            return None;
        };
        let age = second.saturating_sub(since);
        let warm = if since == 0 || age >= spec.warm_up_seconds {
            1.0
        } else {
            COLD_SPEED + (1.0 - COLD_SPEED) * (age as f64 / spec.warm_up_seconds as f64)
        };
        Some(pod.speed * warm)
    }
}

// === impl Pod ===

impl Pod {
    fn is_running(&self) -> bool {
        matches!(self.state, PodState::Running { .. })
    }
}
