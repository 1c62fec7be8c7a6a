//! What it costs to have these partitions: whether a few more would need far fewer replicas.
//!
//! The intuition: partitions do not divide. 100 of them at 5,000 records/s on replicas of 100 take a
//! replica each, because two make 100; 120 take 60. Where the load is even that is a matter of the number
//! of partitions alone, which nobody who looks at replicas sees.
//!
//! What this does not do: weigh a load that is skewed, or say that partitions can be added: keys move.

use crate::policy::Policy;
use crate::sizing::{accepted_utilization, whole_replicas};

/// Other counts are looked for up to this many times the partitions.
const MOST_TIMES: u32 = 2;

/// It is worth saying where so many times the replicas are there that another count would need, ...
const WORTH_TIMES: f64 = 1.25;

/// ... and so many more.
const WORTH_REPLICAS: f64 = 2.0;

/// A load that divides evenly over the partitions of one topic, in replicas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EvenLoad {
    /// The load over what one replica may get of it.
    share: f64,
    /// The replicas that it is planned for on the whole.
    planned: u32,
}

/// Another number of partitions, and the replicas that it would need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Better {
    /// The partitions.
    pub partitions: u32,
    /// The replicas.
    pub replicas: u32,
}

/// Whether `other` is so much less than `replicas` that it is worth saying.
pub fn is_worth_saying(replicas: f64, other: f64) -> bool {
    replicas >= other * WORTH_TIMES && replicas >= other + WORTH_REPLICAS
}

/// The other numbers of partitions that are looked at.
pub fn others(partitions: u32) -> impl Iterator<Item = u32> {
    partitions.saturating_add(1)..=partitions.saturating_mul(MOST_TIMES)
}

// === impl EvenLoad ===

impl EvenLoad {
    /// `inbound` records per second on replicas that do `capacity` each.
    pub fn new(policy: &Policy, inbound: f64, capacity: f64) -> Self {
        Self {
            share: inbound / (capacity * accepted_utilization(policy)),
            planned: whole_replicas(inbound / policy.target_utilization / capacity),
        }
    }

    /// The replicas that so many partitions need.
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "float to integer casts saturate, and NaN becomes 0"
    )]
    pub fn replicas(self, partitions: u32) -> u32 {
        let held = (f64::from(partitions) / self.share + 1e-9).floor() as u32;
        let by_busiest = partitions.div_ceil(held.max(1));
        let on_the_whole = partitions.div_ceil(partitions.div_ceil(self.planned.max(1)).max(1));
        by_busiest.max(on_the_whole)
    }

    /// The smallest number of partitions that would need far fewer than the `replicas` of these.
    pub fn better(self, (partitions, replicas): (u32, u32)) -> Option<Better> {
        let counts = others(partitions).map(|partitions| Better {
            partitions,
            replicas: self.replicas(partitions),
        });
        let mut worth = counts.filter(|one| is_worth_saying(replicas.into(), one.replicas.into()));
        worth.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::policy;

    #[test]
    fn the_next_number_of_partitions_that_divides_is_found() {
        let check = |partitions, replicas, rate: f64, expected: Option<(u32, u32)>| {
            let load = EvenLoad::new(&policy(), rate, 100.0);
            let better = load.better((partitions, replicas));
            let found = better.map(|other| (other.partitions, other.replicas));
            assert_eq!(found, expected, "{partitions} at {rate}");
            if partitions > 0 {
                assert_eq!(load.replicas(partitions), replicas);
            }
        };
        // 100 at 5,000: one each. 116 are two each, 86 records/s a replica.
        check(100, 100, 5_000.0, Some((116, 58)));
        check(120, 60, 5_000.0, None);
        // 24 at 1,300: one each. 30 are two each.
        check(24, 24, 1_300.0, Some((30, 15)));
        check(24, 12, 1_000.0, None);
        check(3, 3, 150.0, None);
        check(0, 1, 0.0, None);
    }
}
