//! How faults bend what the scaler gets to see, and how much of it is left.
//!
//! Faults that change the log itself (created again, truncated, expired, partitions added) stay for
//! the rest of the run, as they would; all others end with their time.

use std::time::Duration;

use evenkeel_engine::{
    AssignedTopic, Committed, GroupObservation, GroupProtocol, GroupState, LogOffsets, Observation,
    PartitionObservation, PrometheusObservation, Reading, Timestamp, WorkloadObservation,
};
use fastrand::Rng;

use super::plan::{Fault, Kind, Plan};
use crate::chance::whole;

/// How long a group takes to notice that its log is another one.
const NOTICE_SECONDS: u64 = 15;

/// What was bent at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bent {
    /// Something could not be read.
    pub partial: bool,
    /// The group was shown as rebalancing, with members in it.
    pub rebalancing: bool,
}

/// Bends observations; remembers what it has to.
#[derive(Debug)]
pub(super) struct Bender {
    faults: Vec<Fault>,
    chance: Rng,
    /// The last observation as it was given out, for sources that are stuck.
    last: Option<(Observation, Bent)>,
    /// The last rate of Prometheus, likewise.
    prometheus: Option<PrometheusObservation>,
    /// What Kubernetes said last, likewise.
    workload: Option<WorkloadObservation>,
    /// For each log that was changed: when, and what happened to its offsets.
    changed: Vec<(Fault, Vec<u64>)>,
    /// Commits as they were when the group was first shown as rebalancing.
    standing: Option<Vec<Reading<Committed>>>,
}

// === impl Bender ===

impl Bender {
    pub fn new(plan: &Plan, chance: Rng) -> Self {
        Self {
            faults: plan.faults.clone(),
            chance,
            last: None,
            prometheus: None,
            workload: None,
            changed: Vec::new(),
            standing: None,
        }
    }

    /// The faults that are on at this second.
    pub fn on(&self, second: u64) -> impl Iterator<Item = Kind> + '_ {
        self.faults
            .iter()
            .filter(move |fault| (fault.from..fault.until).contains(&second))
            .map(|fault| fault.kind)
    }

    /// The faults that began after `before` and not after `second`.
    pub fn began(&self, before: Option<u64>, second: u64) -> impl Iterator<Item = Kind> + '_ {
        self.faults
            .iter()
            .filter(move |fault| fault.from <= second && before.is_none_or(|at| fault.from > at))
            .map(|fault| fault.kind)
    }

    /// Bends an observation of this second.
    pub fn bend(&mut self, observation: &mut Observation, second: u64) -> Bent {
        let mut bent = Bent::default();
        self.change_logs(observation, second);
        let on: Vec<Kind> = self.on(second).collect();
        if !on.contains(&Kind::Rebalancing) {
            self.standing = None;
        }
        if !on.contains(&Kind::PrometheusStuck) {
            self.prometheus = Some(observation.prometheus);
        }
        if !on.contains(&Kind::WorkloadStuck) {
            self.workload = Some(observation.workload);
        }
        for &kind in &on {
            self.bend_one(observation, kind, &mut bent);
        }
        if on.contains(&Kind::Stuck) {
            // What is stuck is everything, whatever else goes wrong.
            if let Some((last, bent_then)) = &self.last {
                *observation = last.clone();
                bent = *bent_then;
            }
        } else {
            self.last = Some((observation.clone(), bent));
        }
        bent
    }

    fn bend_one(&mut self, observation: &mut Observation, kind: Kind, bent: &mut Bent) {
        match kind {
            Kind::LogsUnknown { one_in, cause } => {
                let chance = &mut self.chance;
                bent.partial |= each(observation, |partition| {
                    let hit = chance.u32(0..one_in) == 0;
                    if hit {
                        partition.log = Reading::Unknown(cause);
                    }
                    hit
                });
            }
            Kind::CommitsUnknown { one_in, cause } => {
                let chance = &mut self.chance;
                bent.partial |= each(observation, |partition| {
                    let hit = chance.u32(0..one_in) == 0;
                    if hit {
                        partition.committed = Reading::Unknown(cause);
                    }
                    hit
                });
            }
            Kind::TopicUnknown { cause } => {
                for topic in &mut observation.topics {
                    topic.partitions = Reading::Unknown(cause);
                }
                bent.partial = true;
            }
            Kind::TopicGone => {
                observation.topics.clear();
                bent.partial = true;
            }
            Kind::GroupUnknown { cause } => {
                observation.group = Reading::Unknown(cause);
                bent.partial = true;
            }
            Kind::PrometheusUnknown { cause } => with_prometheus(observation, |seen| {
                *seen = PrometheusObservation::Unknown(cause);
            }),
            Kind::PrometheusStuck => {
                if let Some(last) = self.prometheus {
                    with_prometheus(observation, |seen| *seen = last);
                }
            }
            Kind::PrometheusLies { times } => with_prometheus(observation, |seen| {
                if let PrometheusObservation::Known {
                    records_per_second, ..
                } = seen
                {
                    *records_per_second *= times;
                }
            }),
            Kind::PrometheusNonsense { value } => with_prometheus(observation, |seen| {
                if let PrometheusObservation::Known {
                    records_per_second, ..
                } = seen
                {
                    *records_per_second = value;
                }
            }),
            Kind::Rebalancing => self.show_rebalancing(observation, bent),
            Kind::WorkloadUnknown { cause } => {
                observation.workload = WorkloadObservation::Unknown(cause);
            }
            Kind::WorkloadStuck => {
                observation.workload = self.workload.unwrap_or(observation.workload);
            }
            Kind::WorkloadLies { times } => {
                if let WorkloadObservation::Known(workload) = &mut observation.workload {
                    let lie = |count: u32| {
                        u32::try_from(whole(f64::from(count) * times)).unwrap_or(u32::MAX)
                    };
                    workload.asked = lie(workload.asked);
                    workload.exist = lie(workload.exist);
                    workload.ready = workload.ready.map(lie);
                }
            }
            _ => {}
        }
    }

    /// A classic group shows nobody's partitions and takes no commits; KIP-848 moves every other
    /// partition, and only those stand still.
    fn show_rebalancing(&mut self, observation: &mut Observation, bent: &mut Bent) {
        let Reading::Known(group) = &mut observation.group else {
            return;
        };
        if group.members.is_empty() {
            return;
        }
        bent.rebalancing = true;
        let all = group.protocol == GroupProtocol::Classic;
        show_unsettled(group);
        let mut now = Vec::new();
        each(observation, |partition| {
            now.push(partition.committed);
            false
        });
        let standing = self.standing.get_or_insert(now);
        let mut commits = standing.iter();
        let mut place = 0;
        each(observation, |partition| {
            let stands = commits.next().copied();
            if let Some(stands) = stands.filter(|_| all || place % 2 == 0) {
                partition.committed = stands;
            }
            place += 1;
            true
        });
    }

    /// Applies what has happened to the logs so far.
    fn change_logs(&mut self, observation: &mut Observation, second: u64) {
        let mut begun: Vec<Fault> = self.faults.clone();
        begun.retain(|fault| fault.from <= second && fault.kind.cuts_logs());
        begun.sort_by_key(|fault| fault.from);
        for fault in begun {
            let known = self.changed.iter().find(|(known, _)| *known == fault);
            let ends = known.map_or_else(|| log_ends(observation), |(_, ends)| ends.clone());
            let noticed = second >= fault.from + NOTICE_SECONDS;
            let mut each_end = ends.iter().copied();
            each(observation, |partition| {
                change(partition, fault.kind, each_end.next().unwrap_or(0), noticed);
                true
            });
            if known.is_none() {
                self.changed.push((fault, ends));
            }
        }
        for fault in &self.faults {
            if let Kind::Added { partitions } = fault.kind
                && second < fault.from
            {
                hide(observation, partitions);
            }
        }
    }
}

fn with_prometheus(observation: &mut Observation, bend: impl FnOnce(&mut PrometheusObservation)) {
    if observation.prometheus != PrometheusObservation::NotConfigured {
        bend(&mut observation.prometheus);
    }
}

/// Where the logs end, in the partitions' order.
fn log_ends(observation: &Observation) -> Vec<u64> {
    let topics = observation.topics.iter();
    let partitions = topics
        .filter_map(|topic| topic.partitions.known())
        .flatten();
    partitions
        .map(|partition| partition.log.known().map_or(0, |log| log.end))
        .collect()
}

/// Bends each known partition; whether any was.
fn each(
    observation: &mut Observation,
    mut bend: impl FnMut(&mut PartitionObservation) -> bool,
) -> bool {
    let mut any = false;
    for topic in &mut observation.topics {
        if let Reading::Known(partitions) = &mut topic.partitions {
            for partition in partitions {
                any |= bend(partition);
            }
        }
    }
    any
}

/// The log of `partition` is another one since it ended at `end`.
fn change(partition: &mut PartitionObservation, kind: Kind, end: u64, noticed: bool) {
    let less = |offset: u64, by: u64| offset.saturating_sub(by);
    let (Reading::Known(log), Reading::Known(committed)) =
        (&mut partition.log, &mut partition.committed)
    else {
        return;
    };
    match kind {
        Kind::Recreated => {
            *log = LogOffsets {
                start: 0,
                end: less(log.end, end),
            };
            *committed = match *committed {
                Committed::At(offset) if noticed => Committed::At(less(offset, end)),
                _ => Committed::Never,
            };
            partition.history = None;
        }
        Kind::Truncated { records } => {
            let records = records.min(end);
            log.end = less(log.end, records);
            // It begins where it was cut off, if that is before.
            log.start = log.start.min(less(end, records));
            if let Committed::At(offset) = committed
                && noticed
            {
                *offset = less(*offset, records);
            }
            partition.history = None;
        }
        Kind::Expired => log.start = log.start.max(end.min(log.end)),
        _ => {}
    }
}

/// The last `partitions` of each topic are not there yet.
fn hide(observation: &mut Observation, partitions: usize) {
    let mut kept = u32::MAX;
    for topic in &mut observation.topics {
        if let Reading::Known(known) = &mut topic.partitions {
            let left = known.len().saturating_sub(partitions).max(1);
            known.truncate(left);
            kept = u32::try_from(left).unwrap_or(u32::MAX);
        }
    }
    let Reading::Known(group) = &mut observation.group else {
        return;
    };
    let forget = |assigned: &mut Vec<AssignedTopic>| {
        for topic in assigned.iter_mut() {
            topic.partitions.retain(|partition| *partition < kept);
        }
        assigned.retain(|topic| !topic.partitions.is_empty());
    };
    for member in &mut group.members {
        forget(&mut member.assigned);
        if let Some(target) = &mut member.target {
            forget(target);
        }
    }
}

fn show_unsettled(group: &mut GroupObservation) {
    match group.protocol {
        GroupProtocol::Classic => {
            group.state = GroupState::PreparingRebalance;
            for member in &mut group.members {
                member.assigned.clear();
            }
        }
        GroupProtocol::Consumer => {
            group.state = GroupState::Reconciling;
            for member in &mut group.members {
                for topic in member.target.iter_mut().flatten() {
                    topic.partitions.retain(|partition| partition % 2 == 1);
                }
            }
        }
    }
}

/// The same observation on a clock that is off by `offset` seconds. Prometheus has its own clock.
pub(super) fn shift_clock(observation: &mut Observation, offset: i64) {
    observation.at = shifted(observation.at, offset);
    if let WorkloadObservation::Known(workload) = &mut observation.workload {
        workload.at = shifted(workload.at, offset);
    }
    each(observation, |partition| {
        if let Some(history) = &mut partition.history {
            history.at = shifted(history.at, offset);
        }
        true
    });
}

/// A moment on a clock that is off by `offset` seconds.
pub(super) fn shifted(at: Timestamp, offset: i64) -> Timestamp {
    let by = Duration::from_secs(offset.unsigned_abs());
    if offset < 0 {
        at.minus(by)
    } else {
        at.plus(by)
    }
}

/// The same observation of a load `times` as large.
pub(super) fn enlarged(observation: &Observation, times: u64) -> Observation {
    let mut larger = observation.clone();
    each(&mut larger, |partition| {
        if let Reading::Known(LogOffsets { start, end }) = &mut partition.log {
            *start = start.saturating_mul(times);
            *end = end.saturating_mul(times);
        }
        if let Reading::Known(Committed::At(offset)) = &mut partition.committed {
            *offset = offset.saturating_mul(times);
        }
        if let Some(history) = &mut partition.history {
            history.end = history.end.saturating_mul(times);
        }
        true
    });
    if let PrometheusObservation::Known {
        records_per_second, ..
    } = &mut larger.prometheus
    {
        *records_per_second *= times as f64;
    }
    larger
}

/// The same observation with `more` applied to each partition that is known as a whole; it gets the
/// log and the committed offset.
pub(super) fn with_more(
    observation: &Observation,
    mut more: impl FnMut(&mut LogOffsets, &mut u64),
) -> Observation {
    let mut bent = observation.clone();
    each(&mut bent, |partition| {
        if let (Reading::Known(log), Reading::Known(Committed::At(committed))) =
            (&mut partition.log, &mut partition.committed)
        {
            more(log, committed);
        }
        true
    });
    bent
}
