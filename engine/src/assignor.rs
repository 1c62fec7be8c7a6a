//! Which replica carries how much under the group's own assignor.
//!
//! The intuition: partitions are not divisible. 24 partitions on 13 consumers leave somebody with
//! two, just as on 12, so 13 buys nothing: only the counts `ceil(P/k)` are useful, and what decides
//! is the busiest replica, not the mean.
//!
//! Two families are told apart. `range` gives each member a contiguous block of every topic, so its
//! first member gets the extra partition of each of them. All others (round robin, sticky,
//! cooperative-sticky, uniform) balance counts and are blind to load: where the heavy partitions end
//! up is chance. Assuming that all of them meet on one replica would be safe and absurdly dear for
//! skewed topics; assuming that they spread would be blind. The estimate between the two is in
//! [`Needs::expected_busiest`].
//!
//! The assignment that is there now can be seen, though, and is: a replica that has been dealt too much
//! is overloaded whatever was to be expected ([`Present`]).
//!
//! What this does not do: predict a particular assignment. Sticky assignors keep history that no
//! observer can see.

/// Relative slack on "carries at most": sums of floats must not cost a whole class of replicas.
const ROUNDING: f64 = 1e-9;

/// Where no count brings the busiest replica under its capacity, a count that is this near the best
/// is good enough: the last replicas would buy nothing.
const GOOD_ENOUGH: f64 = 1.02;

/// How a group divides partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assignor {
    /// Counts are balanced over all topics together.
    Balanced,
    /// A contiguous block of each topic.
    Range,
    /// None is known: load divides as if partitions could be cut. Only the simulator asks for that.
    Divisible,
}

/// What there is to divide, and how.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    pub assignor: Assignor,
    /// Partitions of each topic, in the topics' order.
    pub topic_sizes: Vec<usize>,
    pub members_per_replica: usize,
    /// Who owns what now, where that is settled.
    pub present: Option<Present>,
}

/// The present assignment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Present {
    /// Replicas that are there. Owners may be others too, which nobody scales.
    pub replicas: u32,
    /// The replica of each partition, in the partitions' order; `None` without an owner.
    pub owners: Vec<Option<u32>>,
}

/// The needs of all partitions, ready to be asked about.
pub(crate) struct Needs<'a> {
    layout: &'a Layout,
    /// Heaviest first; filled for [`Assignor::Balanced`].
    sorted: Vec<f64>,
    /// What all partitions before each, in their order, need together, and last what all do; filled
    /// for [`Assignor::Range`], where every candidate asks for the sums of other blocks.
    before: Vec<f64>,
    total: f64,
    /// How many replicas there are, and what the busiest of them carries.
    present: Option<(u32, f64)>,
}

// === impl Assignor ===

impl Assignor {
    /// The assignor of this name; an unknown one balances, as all but `range` do.
    pub fn named(name: &str) -> Self {
        if name.eq_ignore_ascii_case("range") {
            Self::Range
        } else {
            Self::Balanced
        }
    }
}

// === impl Layout ===

impl Layout {
    fn partitions(&self) -> usize {
        self.topic_sizes.iter().sum()
    }

    /// Partitions that the fullest replica holds under a balanced assignor. With more members than
    /// partitions that is still one for each of its members: a sticky assignor moves nothing to members
    /// that come later, and which of them own nothing is otherwise chance.
    fn fullest(&self, replicas: usize) -> usize {
        let partitions = self.partitions();
        let members = replicas.saturating_mul(self.members_per_replica).max(1);
        let by_members = partitions
            .div_ceil(members)
            .saturating_mul(self.members_per_replica);
        by_members.min(partitions).max(1)
    }

    /// The smallest number of replicas none of which holds more than `held` partitions.
    fn replicas_holding(&self, held: usize) -> usize {
        let partitions = self.partitions().max(1);
        let by_member = held / self.members_per_replica;
        if by_member == 0 {
            partitions.div_ceil(held.max(1))
        } else {
            partitions.div_ceil(by_member.saturating_mul(self.members_per_replica))
        }
    }

    /// The smallest count whose fullest replica is no fuller than at `replicas`.
    pub fn useful_at_most(&self, replicas: u32) -> u32 {
        let replicas = to_usize(replicas).max(1);
        let useful = match self.assignor {
            Assignor::Balanced => self.replicas_holding(self.fullest(replicas)).min(replicas),
            Assignor::Divisible => replicas,
            Assignor::Range => self
                .range_candidates()
                .into_iter()
                .take_while(|&candidate| candidate <= replicas)
                .last()
                .unwrap_or(1),
        };
        to_u32(useful)
    }

    /// The smallest count whose fullest replica is less full than at `replicas`.
    pub fn next_useful(&self, replicas: u32) -> u32 {
        let replicas = to_usize(replicas).max(1);
        let next = match self.assignor {
            Assignor::Balanced => {
                let held = self.fullest(replicas);
                self.replicas_holding(held.saturating_sub(1).max(1))
            }
            Assignor::Divisible => replicas + 1,
            Assignor::Range => {
                let mut candidates = self.range_candidates().into_iter();
                let next = candidates.find(|&candidate| candidate > replicas);
                next.unwrap_or(replicas)
            }
        };
        to_u32(next)
    }

    /// The counts at which some topic's blocks get smaller, ascending.
    fn range_candidates(&self) -> Vec<usize> {
        let mut sizes = self.topic_sizes.clone();
        sizes.sort_unstable();
        sizes.dedup();
        let mut candidates = vec![1];
        for size in sizes {
            let mut block = size.max(1);
            loop {
                let candidate = size
                    .div_ceil(block.saturating_mul(self.members_per_replica))
                    .max(1);
                candidates.push(candidate);
                if block == 1 {
                    break;
                }
                // The largest block that takes at least one more replica.
                let next =
                    size.saturating_sub(1) / candidate.saturating_mul(self.members_per_replica);
                block = next.clamp(1, block - 1);
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }
}

// === impl Present ===

impl Present {
    /// How many there are, and what the busiest carries of these `needs`.
    fn busiest(&self, needs: &[f64]) -> (u32, f64) {
        let last = self.owners.iter().flatten().max();
        let mut loads = vec![0.0_f64; last.map_or(0, |&last| to_usize(last) + 1)];
        for (need, owner) in needs.iter().zip(&self.owners) {
            if let Some(load) = owner.and_then(|owner| loads.get_mut(to_usize(owner))) {
                *load += need;
            }
        }
        (self.replicas, loads.into_iter().fold(0.0, f64::max))
    }
}

// === impl Needs ===

impl<'a> Needs<'a> {
    /// `needs` are finite and not negative, one a partition, in the partitions' order.
    pub fn new(layout: &'a Layout, needs: &[f64]) -> Self {
        let (sorted, before) = match layout.assignor {
            Assignor::Balanced | Assignor::Divisible => (heaviest_first(needs), Vec::new()),
            Assignor::Range => (Vec::new(), running_sums(needs)),
        };
        Self {
            layout,
            sorted,
            before,
            total: needs.iter().sum(),
            present: layout
                .present
                .as_ref()
                .map(|present| present.busiest(needs)),
        }
    }

    /// What the busiest of `replicas` carries.
    pub fn busiest(&self, replicas: u32) -> f64 {
        let replicas = to_usize(replicas);
        if replicas == 0 {
            return self.total;
        }
        match self.layout.assignor {
            Assignor::Balanced => {
                let held = self.layout.fullest(replicas);
                let top = self.sorted.iter().take(held).sum();
                self.expected_busiest(held, top)
            }
            Assignor::Range => self.busiest_range(replicas),
            Assignor::Divisible => self.total / replicas as f64,
        }
    }

    /// Whether the busiest of `replicas` carries more than `capacity`: it is to be expected, or it can
    /// be seen where so many are there.
    pub fn exceed(&self, replicas: u32, capacity: f64) -> bool {
        let limit = capacity * (1.0 + ROUNDING);
        self.busiest(replicas) > limit
            || self
                .present
                .is_some_and(|(present, busiest)| present == replicas && busiest > limit)
    }

    /// The smallest number of replicas whose busiest carries at most `capacity`; at least 1. The
    /// needs are capped at `capacity` already: one partition is at most one replica's work.
    pub fn smallest(&self, capacity: f64) -> u32 {
        let limit = capacity * (1.0 + ROUNDING);
        match self.layout.assignor {
            Assignor::Balanced => {
                let mut top = 0.0;
                let mut held = 0;
                for (index, need) in self.sorted.iter().enumerate() {
                    top += need;
                    if self.expected_busiest(index + 1, top) > limit {
                        break;
                    }
                    held = index + 1;
                }
                let fits = to_u32(self.layout.replicas_holding(held.max(1)));
                // It would do, had the assignor not dealt as badly as can be seen: one partition less.
                match self.present {
                    Some((present, busiest)) if present >= fits && busiest > limit => {
                        self.layout.next_useful(present)
                    }
                    _ => fits,
                }
            }
            Assignor::Divisible => {
                let count = crate::sizing::whole_replicas(self.total / limit);
                count.min(to_u32(self.layout.partitions()).max(1))
            }
            Assignor::Range => {
                let candidates = self.layout.range_candidates();
                // The busiest carries at least the mean: counts too small for that need no look.
                let enough = candidates.iter().find(|&&candidate| {
                    self.total <= limit * candidate as f64 && self.busiest_range(candidate) <= limit
                });
                let most = candidates.last().copied().unwrap_or(1);
                let best = || {
                    let best = self.busiest_range(most) * GOOD_ENOUGH;
                    candidates
                        .iter()
                        .copied()
                        .find(|&candidate| self.busiest_range(candidate) <= best)
                };
                to_u32(enough.copied().or_else(best).unwrap_or(most))
            }
        }
    }

    /// What the busiest replica carries when each holds up to `held` partitions and the heaviest
    /// `held` of all weigh `top`.
    ///
    /// Balanced assignors place without regard to load. Of many replicas with `held` partitions
    /// each, the unluckiest lies above the mean by about `sqrt(held)` deviations' worth, where the
    /// worst conceivable one (all the heaviest together) lies above it by `held`; so the excess of
    /// `top` over the mean is divided by `sqrt(held)`. And somebody holds the heaviest partition
    /// beside `held - 1` ordinary ones. Exact for uniform load and for one partition a replica, and
    /// never smaller when any need grows (law 3 rests on that).
    fn expected_busiest(&self, held: usize, top: f64) -> f64 {
        let count = self.sorted.len().max(1) as f64;
        let held = held as f64;
        let mean = held * self.total / count;
        let unlucky = mean + (top - mean) / held.max(1.0).sqrt();
        let heaviest = self.sorted.first().copied().unwrap_or(0.0);
        let others = if count > 1.0 {
            (self.total - heaviest) / (count - 1.0)
        } else {
            0.0
        };
        unlucky.max(heaviest + (held - 1.0) * others)
    }

    /// What the busiest replica carries when each member gets a block of every topic.
    fn busiest_range(&self, replicas: usize) -> f64 {
        let members = replicas
            .saturating_mul(self.layout.members_per_replica)
            .max(1);
        let most = self.layout.topic_sizes.iter().copied().max().unwrap_or(0);
        let mut loads = vec![0.0_f64; members.min(most.max(1))];
        let mut first = 0;
        for &size in &self.layout.topic_sizes {
            let (block, extra) = (size / members, size % members);
            let owners = if block == 0 { extra } else { members };
            let mut start = first;
            for (member, load) in loads.iter_mut().enumerate().take(owners) {
                let end = start + block + usize::from(member < extra);
                *load += self.before(end) - self.before(start);
                start = end;
            }
            first += size;
        }
        let busiest = loads.into_iter().fold(0.0, f64::max);
        // Which members share a replica is unknown: they are taken to be equally busy.
        (busiest * self.layout.members_per_replica as f64).min(self.total)
    }

    /// What the first `partitions` need together.
    fn before(&self, partitions: usize) -> f64 {
        self.before.get(partitions).copied().unwrap_or(self.total)
    }
}

/// The sums of no need, of the first, of the first two, and so on.
fn running_sums(needs: &[f64]) -> Vec<f64> {
    let sums = needs.iter().scan(0.0, |sum, need| {
        *sum += need;
        Some(*sum)
    });
    std::iter::once(0.0).chain(sums).collect()
}

/// The needs, heaviest first. Floats that are not negative sort as their bits do.
fn heaviest_first(needs: &[f64]) -> Vec<f64> {
    let uniform = needs
        .first()
        .is_none_or(|first| needs.iter().all(|need| need == first));
    if uniform {
        return needs.to_vec();
    }
    let mut bits: Vec<u64> = needs.iter().map(|need| need.to_bits()).collect();
    bits.sort_unstable();
    bits.into_iter().rev().map(f64::from_bits).collect()
}

fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
