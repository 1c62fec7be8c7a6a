//! The consumer group: who is in it, who owns what, and what happens while that changes.
//!
//! Three ways to change, as Kafka has them. **Eager** (`range`): everybody stops until everybody has
//! what is theirs. **Cooperative** (`cooperative-sticky`): everybody goes on; what has to move is
//! given up in a first rebalance and handed over in a second. **Consumer** (KIP-848, `uniform`): the
//! coordinator moves single partitions between two heartbeats, the group never stops.
//!
//! Members that come while a classic group is still gathering are taken along; those that come later
//! cause another rebalance as soon as this one is over, which is how pods that start one after
//! another make a group rebalance for minutes.

use fastrand::Rng;

use super::WorldSpec;
use crate::chance::{Purpose, stream};

/// Kafka's `group.initial.rebalance.delay.ms`: an empty group waits for more members.
const INITIAL_DELAY_SECONDS: u64 = 3;

/// The share of a rebalance in which the coordinator still gathers members; after it, it assigns.
const GATHERING_SHARE: f64 = 0.6;

/// A member's number, after that of its pod.
pub(super) type MemberNumber = u64;

/// What happens to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberChange {
    /// It joins.
    Joins(MemberNumber),
    /// It died without leaving.
    Vanishes(MemberNumber),
}

/// How a group rebalances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `range`: everybody stops.
    Eager,
    /// `cooperative-sticky`: only what moves stops.
    Cooperative,
    /// KIP-848, `uniform`: only what moves stops, and the coordinator decides.
    Consumer,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub number: MemberNumber,
    /// What it owns.
    pub partitions: Vec<usize>,
    /// KIP-848: what it is to own.
    pub target: Vec<usize>,
    /// Vanished then, and not missed yet.
    pub vanished_at: Option<u64>,
}

/// Where the group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Everybody has what is theirs.
    Stable,
    /// Members are gathered until `closes_at`, then assigned.
    Rebalancing { closes_at: u64, ends_at: u64 },
    /// What was given up is handed over.
    HandingOver { ends_at: u64 },
}

/// The group.
#[derive(Debug)]
pub(super) struct Group {
    /// Sorted by number.
    members: Vec<Member>,
    /// Came too late for the rebalance that is going on.
    late: Vec<MemberNumber>,
    phase: Phase,
    again: bool,
    /// Nobody processes a partition before this.
    blocked_until: Vec<u64>,
    chance: Rng,
    rebalances: u64,
}

// === impl Group ===

impl Group {
    pub fn new(partitions: usize, seed: u64) -> Self {
        Self {
            members: Vec::new(),
            late: Vec::new(),
            phase: Phase::Stable,
            again: false,
            blocked_until: vec![0; partitions],
            chance: stream(seed, Purpose::Rebalances, 0),
            rebalances: 0,
        }
    }

    /// Everybody is in and has what is theirs: the beginning of a run.
    pub fn settle(&mut self, numbers: impl Iterator<Item = MemberNumber>, spec: &WorldSpec) {
        self.members = numbers.map(Member::new).collect();
        self.assign(spec);
        for member in &mut self.members {
            member.partitions.clone_from(&member.target);
        }
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    pub fn rebalancing(&self) -> bool {
        self.phase != Phase::Stable
    }

    pub fn rebalances(&self) -> u64 {
        self.rebalances
    }

    /// Members that own something and work on it.
    pub fn working(&self, second: u64) -> usize {
        let works = |member: &&Member| {
            let mut own = member.partitions.iter();
            member.vanished_at.is_none()
                && own.any(|partition| self.may_process(*partition, second))
        };
        self.members.iter().filter(works).count()
    }

    pub fn may_process(&self, partition: usize, second: u64) -> bool {
        let until = self.blocked_until.get(partition).copied();
        until.is_some_and(|until| until <= second)
    }

    /// Whether commits are taken: not while a classic group is being assigned.
    pub fn may_commit(&self, spec: &WorldSpec) -> bool {
        spec.protocol == Protocol::Consumer || !matches!(self.phase, Phase::HandingOver { .. })
    }

    pub fn follow(&mut self, change: MemberChange, second: u64, spec: &WorldSpec) {
        match change {
            MemberChange::Joins(number) => self.join(number, second, spec),
            MemberChange::Vanishes(number) => {
                if let Some(member) = self
                    .members
                    .iter_mut()
                    .find(|member| member.number == number)
                {
                    member.vanished_at = Some(second);
                }
            }
        }
    }

    fn join(&mut self, number: MemberNumber, second: u64, spec: &WorldSpec) {
        let gathering = match self.phase {
            Phase::Stable => true,
            Phase::Rebalancing { closes_at, .. } => second <= closes_at,
            Phase::HandingOver { .. } => false,
        };
        if !gathering && spec.protocol != Protocol::Consumer {
            self.late.push(number);
            self.again = true;
            return;
        }
        self.members.retain(|member| member.number != number);
        let place = self
            .members
            .partition_point(|member| member.number < number);
        self.members.insert(place, Member::new(number));
        self.begin(second, spec);
    }

    /// Takes a member out; whether it was a member.
    pub fn leave(&mut self, number: MemberNumber, second: u64, spec: &WorldSpec) -> bool {
        self.late.retain(|late| *late != number);
        let before = self.members.len();
        self.members.retain(|member| member.number != number);
        let left = self.members.len() < before;
        if left {
            self.begin(second, spec);
        }
        left
    }

    /// One second: members that are missed, phases that end.
    pub fn second(&mut self, second: u64, spec: &WorldSpec) {
        let missed = |member: &Member| {
            let vanished = member.vanished_at;
            vanished.is_some_and(|at| second >= at + spec.session_seconds)
        };
        let before = self.members.len();
        self.members.retain(|member| !missed(member));
        if self.members.len() < before {
            self.begin(second, spec);
        }
        match self.phase {
            Phase::Rebalancing { ends_at, .. } if second >= ends_at => self.assigned(second, spec),
            Phase::HandingOver { ends_at } if second >= ends_at => self.ended(second, spec),
            _ => {}
        }
    }

    /// Begins a rebalance, or takes the change along in the one that is going on.
    fn begin(&mut self, second: u64, spec: &WorldSpec) {
        if self.members.is_empty() {
            self.phase = Phase::Stable;
            return;
        }
        let empty = self
            .members
            .iter()
            .all(|member| member.partitions.is_empty());
        if spec.protocol == Protocol::Consumer {
            return self.reconcile(second, spec);
        }
        match self.phase {
            Phase::Rebalancing { closes_at, .. } if second <= closes_at => return,
            Phase::Rebalancing { .. } | Phase::HandingOver { .. } => {
                self.again = true;
                return;
            }
            Phase::Stable => {}
        }
        self.rebalances += 1;
        let mut pause = spec.pause.draw(&mut self.chance);
        if empty {
            pause = pause.max(INITIAL_DELAY_SECONDS as f64);
        }
        let ends_at = second + crate::chance::whole(pause).max(1);
        let closes_at = second + crate::chance::whole(pause * GATHERING_SHARE);
        self.phase = Phase::Rebalancing { closes_at, ends_at };
        if spec.protocol == Protocol::Eager {
            self.blocked_until.fill(ends_at);
        }
    }

    /// The members are gathered: everybody learns what is theirs.
    fn assigned(&mut self, second: u64, spec: &WorldSpec) {
        let owned_before = self.owned();
        self.assign(spec);
        let moving = self.moving(&owned_before);
        for member in &mut self.members {
            member.partitions.clone_from(&member.target);
        }
        if spec.protocol == Protocol::Cooperative && !moving.is_empty() {
            // What moves was given up just now; a second rebalance hands it over.
            let pause = spec.pause.draw_seconds(&mut self.chance).max(1);
            let ends_at = second + pause;
            for partition in moving {
                if let Some(until) = self.blocked_until.get_mut(partition) {
                    *until = ends_at;
                }
            }
            self.phase = Phase::HandingOver { ends_at };
        } else {
            self.ended(second, spec);
        }
    }

    fn ended(&mut self, second: u64, spec: &WorldSpec) {
        self.phase = Phase::Stable;
        for member in &mut self.members {
            member.partitions.clone_from(&member.target);
        }
        if !std::mem::take(&mut self.again) {
            return;
        }
        for number in std::mem::take(&mut self.late) {
            let place = self
                .members
                .partition_point(|member| member.number < number);
            self.members.insert(place, Member::new(number));
        }
        self.begin(second, spec);
    }

    /// KIP-848: a new target at once; what moves stands still until it has moved.
    fn reconcile(&mut self, second: u64, spec: &WorldSpec) {
        self.rebalances += 1;
        let owned_before = self.owned();
        for member in &mut self.members {
            member.target.clone_from(&member.partitions);
        }
        self.assign(spec);
        let pause = spec.pause.draw_seconds(&mut self.chance).max(1);
        let ends_at = second + pause;
        for partition in self.moving(&owned_before) {
            if let Some(until) = self.blocked_until.get_mut(partition) {
                *until = ends_at;
            }
        }
        // Nobody can own what has no owner yet, and what moves is given up first.
        for member in &mut self.members {
            let target = &member.target;
            member.partitions.retain(|own| target.contains(own));
        }
        self.phase = Phase::HandingOver { ends_at };
    }

    /// For each partition the member that owns it.
    fn owned(&self) -> Vec<Option<MemberNumber>> {
        let mut owned = vec![None; self.blocked_until.len()];
        for member in &self.members {
            for &partition in &member.partitions {
                if let Some(owner) = owned.get_mut(partition) {
                    *owner = Some(member.number);
                }
            }
        }
        owned
    }

    /// The partitions whose owner before is not the one to be. What had no owner moves at once in a
    /// cooperative group: nobody has to give it up.
    fn moving(&self, before: &[Option<MemberNumber>]) -> Vec<usize> {
        let mut moving = Vec::new();
        for member in &self.members {
            for &partition in &member.target {
                let owner = before.get(partition).copied().flatten();
                if owner.is_some_and(|owner| owner != member.number) {
                    moving.push(partition);
                }
            }
        }
        moving
    }

    fn assign(&mut self, spec: &WorldSpec) {
        match spec.protocol {
            Protocol::Eager => range(&mut self.members, spec.partitions),
            Protocol::Cooperative | Protocol::Consumer => {
                sticky(&mut self.members, spec.partitions);
            }
        }
    }
}

// === impl Member ===

impl Member {
    fn new(number: MemberNumber) -> Self {
        Self {
            number,
            partitions: Vec::new(),
            target: Vec::new(),
            vanished_at: None,
        }
    }
}

/// A block of partitions each, the first members one more.
fn range(members: &mut [Member], partitions: usize) {
    let count = members.len().max(1);
    let (block, extra) = (partitions / count, partitions % count);
    let mut first = 0;
    for (place, member) in members.iter_mut().enumerate() {
        let end = first + block + usize::from(place < extra);
        member.target = (first..end).collect();
        first = end;
    }
}

/// Counts as even as they can be, and as little moved as that allows.
fn sticky(members: &mut [Member], partitions: usize) {
    let count = members.len().max(1);
    let (base, mut extra) = (partitions / count, partitions % count);
    let mut owned = vec![false; partitions];
    for member in members.iter_mut() {
        let more = extra > 0 && member.partitions.len() > base;
        extra -= usize::from(more);
        member.target.clone_from(&member.partitions);
        member.target.truncate(base + usize::from(more));
        for &partition in &member.target {
            if let Some(owned) = owned.get_mut(partition) {
                *owned = true;
            }
        }
    }
    let mut free =
        (0..partitions).filter(|partition| !owned.get(*partition).copied().unwrap_or(true));
    for member in members.iter_mut() {
        let wanted = base.saturating_sub(member.target.len());
        member.target.extend(free.by_ref().take(wanted));
    }
    for member in members
        .iter_mut()
        .filter(|member| member.target.len() == base)
    {
        member.target.extend(free.by_ref().take(1));
    }
}
