//! Which replicas there are: read from Kubernetes where it answers, guessed from the group otherwise.
//!
//! The intuition: a client address is not a pod. Behind one address twelve pods look like one replica, on
//! the loopback every consumer of a pod looks like one, and a canary, the surge of a rolling update or
//! static members that are gone are in the group and are not what KEDA scales. Kubernetes knows the pods
//! and the group knows who reads, so how many members a pod has is learned from the two counts: while
//! everything is at rest, and from how they change together, because a canary adds the same number
//! however many pods there are.
//!
//! What this does not do: say who owns what (`group`), or what is asked for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::group::GroupMemory;
use crate::observation::{Cause, Paused, Scaling, Workload, WorkloadObservation};
use crate::time::Timestamp;

/// Counts of members are whole; a share of one this small is rounding.
const ROUNDING: f64 = 1e-9;

/// What is remembered of the workload and of how many members its pods have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReplicaMemory {
    /// What Kubernetes said last.
    workload: Option<Workload>,
    /// Members that read the target's topics, of one pod.
    pub each: Option<f64>,
    /// That count has stood for the time of a start.
    firm: bool,
    /// A rolling update went on since: its pods may have another number of members.
    updated: bool,
    /// When everything was last at rest and all were in, and before with another number of pods.
    settled: Option<Census>,
    before: Option<Census>,
    /// What was counted last, and since when it has been so.
    counted: Option<(Census, Timestamp)>,
    /// Replicas were read last, not guessed.
    read: bool,
    /// How many there were last, where they were not guessed.
    pub observed: Option<u32>,
}

/// Pods, and the members that read the target's topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Census {
    pods: u32,
    members: u32,
}

/// Which replicas there are at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Replicas {
    /// Those whose members are in the group.
    pub observed: u32,
    /// How that is known.
    pub known: Known,
    /// They were known in another way before.
    pub turned: bool,
    /// Why Kubernetes, which is to be asked, does not answer.
    pub unread: Option<Cause>,
}

/// How replicas are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Known {
    /// As Kubernetes says.
    Read(Workload),
    /// Counted in members, of which a pod has so many, as was learned while Kubernetes answered.
    Counted(f64),
    /// Guessed from the addresses of the group's members.
    Guessed,
}

// === impl ReplicaMemory ===

impl ReplicaMemory {
    /// A memory that knows how many members a pod has.
    pub fn with_each(each: Option<f64>) -> Self {
        Self {
            each,
            firm: each.is_some(),
            ..Self::default()
        }
    }

    /// Takes in what Kubernetes says, tells the group's members how they divide, and says who is there.
    /// `quiet` is a group that does not rebalance, `start` how long a pod takes to join.
    pub fn follow(
        &mut self,
        observed: &WorkloadObservation,
        group: &mut GroupMemory,
        (quiet, start, max_staleness): (bool, Duration, Duration),
        now: Timestamp,
    ) -> Replicas {
        let mut unread = None;
        match observed {
            WorkloadObservation::NotConfigured => {
                *self = Self::with_each(self.each);
                group.dealt = None;
                return Replicas {
                    observed: group.replicas,
                    known: Known::Guessed,
                    turned: false,
                    unread,
                };
            }
            WorkloadObservation::Known(workload) => self.workload = Some(sound(*workload, now)),
            WorkloadObservation::Unknown(cause) => unread = Some(*cause),
        }
        let workload = self
            .workload
            .filter(|workload| now.since(workload.at) <= max_staleness);
        if let Some(workload) = workload {
            let members = (group.readers(), group.most_of_an_address);
            self.learn(&workload, members, (quiet, start), now);
        }
        let each = self
            .each
            .or(workload.map(|workload| likely(&workload, group)));
        group.dealt = each.and_then(|each| group.deal(each));
        let known = match (workload, self.each) {
            (Some(workload), _) => Known::Read(workload),
            (None, Some(each)) => Known::Counted(each),
            (None, None) => Known::Guessed,
        };
        let in_group = self.in_group(group.readers(), each.unwrap_or(1.0));
        let observed = match known {
            Known::Read(workload) => in_group
                .min(workload.asked)
                .min(workload.exist)
                .min(workload.ready.unwrap_or(u32::MAX)),
            Known::Counted(_) => in_group,
            Known::Guessed => group.replicas,
        };
        let turned = self.read != workload.is_some();
        self.read = workload.is_some();
        self.observed = (known != Known::Guessed).then_some(observed);
        Replicas {
            observed,
            known,
            turned,
            unread: unread.filter(|_| workload.is_none()),
        }
    }

    /// How many pods so many members are, less those that are of none of them.
    fn in_group(&self, members: u32, each: f64) -> u32 {
        let strangers = self.settled.map_or(0.0, |settled| settled.strangers(each));
        whole((f64::from(members) - strangers) / each + ROUNDING)
    }

    /// Whether what pods bring `beside` another number of them shows that they have not so many as `each`:
    /// more, in the same proportion at both numbers; or fewer, where only one number was ever seen and
    /// the members are not those of so many whole pods.
    fn contradicts(&self, each: f64, beside: f64, census: Census) -> bool {
        let whole_pods = (f64::from(census.members) / each).fract() <= ROUNDING;
        if beside > each {
            (beside - census.ratio()).abs() <= ROUNDING
        } else {
            beside < each && self.before.is_none() && !whole_pods
        }
    }

    /// Learns how many members a pod has, while everything is at rest.
    fn learn(
        &mut self,
        workload: &Workload,
        (members, of_an_address): (u32, Option<u32>),
        (quiet, start): (bool, Duration),
        now: Timestamp,
    ) {
        let census = Census {
            pods: workload.exist,
            members,
        };
        self.updated |= workload.updating || workload.exist > workload.asked;
        let since = match self.counted {
            Some((counted, since)) if counted == census => since,
            _ => now,
        };
        self.counted = Some((census, since));
        let rests = quiet
            && !workload.updating
            && workload.asked == workload.exist
            && workload.ready.is_none_or(|ready| ready == workload.exist);
        // Each pod has a member at least: where there are fewer, not all are in.
        if !rests || census.pods == 0 || census.members < census.pods {
            return;
        }
        let stands = now.since(since) >= start;
        let other = [self.settled, self.before].into_iter().flatten();
        let other = other.into_iter().find(|other| other.pods != census.pods);
        // Members of two addresses are of two pods.
        let most = f64::from(of_an_address.unwrap_or(u32::MAX));
        let beside = other.and_then(|other| census.each_beside(other));
        let beside = beside.map(|each| each.min(most));
        let alone = census.ratio().floor().min(most);
        match self.each {
            Some(each) if self.firm && !(self.updated && stands) => {
                if let Some(beside) = beside.filter(|_| stands)
                    && self.contradicts(each, beside, census)
                {
                    self.each = Some(beside);
                }
            }
            _ if self.updated && stands => self.each = Some(alone),
            _ => self.each = Some(beside.unwrap_or(alone)),
        }
        if stands {
            self.firm = true;
            self.updated = false;
        }
        let each = self.each.unwrap_or(1.0);
        let all_in = f64::from(census.members) + ROUNDING >= each * f64::from(census.pods);
        // Strangers make up for pods that are not in yet, until a start is over.
        if all_in && (stands || self.settled.is_none()) {
            if self.settled.is_some_and(|known| known.pods != census.pods) {
                self.before = self.settled;
            }
            self.settled = Some(census);
        }
    }
}

// === impl Replicas ===

impl Replicas {
    /// What Kubernetes says, where it does.
    pub fn workload(&self) -> Option<&Workload> {
        match &self.known {
            Known::Read(workload) => Some(workload),
            Known::Counted(_) | Known::Guessed => None,
        }
    }

    /// The bounds that KEDA and the HPA keep, where they are known.
    pub fn scaling(&self) -> Option<&Scaling> {
        self.workload().map(|workload| &workload.scaling)
    }

    /// How many of `wanted` may come at all: no more than were asked for while nothing is added, and none
    /// that the HPA does not see.
    pub fn may_come(&self, wanted: u32) -> u32 {
        match self.workload() {
            Some(workload) if matches!(workload.scaling.paused, Paused::All | Paused::Up) => {
                wanted.min(workload.asked)
            }
            Some(workload) if self.tolerates(wanted) => wanted.min(workload.exist),
            _ => wanted,
        }
    }

    /// Whether the HPA would take `wanted` for what is there.
    pub fn tolerates(&self, wanted: u32) -> bool {
        self.workload().is_some_and(|workload| {
            let scaling = workload.scaling;
            let ratio = f64::from(wanted) / f64::from(workload.exist);
            let within = 1.0 - scaling.tolerance_down..=1.0 + scaling.tolerance_up;
            wanted != workload.exist && workload.exist > 0 && within.contains(&ratio)
        })
    }
}

// === impl Census ===

impl Census {
    fn ratio(self) -> f64 {
        f64::from(self.members) / f64::from(self.pods.max(1))
    }

    /// Members that are of no pod, where each pod has so many.
    fn strangers(self, each: f64) -> f64 {
        (f64::from(self.members) - each * f64::from(self.pods)).max(0.0)
    }

    /// Members that each pod more brings, compared with another number of pods; no more than there are at
    /// either. `None` where pods bring less than one: members that are gone, or not in yet.
    fn each_beside(self, other: Self) -> Option<f64> {
        let members = f64::from(self.members) - f64::from(other.members);
        let slope = members / (f64::from(self.pods) - f64::from(other.pods));
        let most = self.ratio().min(other.ratio());
        (slope + ROUNDING >= 1.0).then(|| {
            if slope <= most + ROUNDING {
                slope
            } else {
                most.floor().max(1.0)
            }
        })
    }
}

/// Members of a pod until they are learned: as addresses say, where there are several, or as many as the
/// pods that are there can have.
fn likely(workload: &Workload, group: &GroupMemory) -> f64 {
    let members = f64::from(group.readers());
    let by_count = (members / f64::from(workload.exist.max(1))).floor();
    let by_address = members / f64::from(group.replicas.max(1));
    let each = match group.most_of_an_address {
        Some(_) if group.replicas > 1 => by_address,
        _ => by_count,
    };
    each.max(1.0)
}

/// The same, of a moment that is not ahead of `now`, with tolerances that are shares.
fn sound(workload: Workload, now: Timestamp) -> Workload {
    let share = |tolerance: f64| match tolerance.is_nan() {
        true => 0.0,
        false => tolerance.clamp(0.0, 1.0),
    };
    let scaling = workload.scaling;
    Workload {
        at: workload.at.min(now),
        scaling: Scaling {
            max: scaling.max.max(1),
            min: scaling.min.min(scaling.max.max(1)),
            tolerance_up: share(scaling.tolerance_up),
            tolerance_down: share(scaling.tolerance_down),
            ..scaling
        },
        ..workload
    }
}

#[expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "float to integer casts saturate, and NaN becomes 0"
)]
fn whole(share: f64) -> u32 {
    share.floor() as u32
}

#[cfg(test)]
mod tests;
