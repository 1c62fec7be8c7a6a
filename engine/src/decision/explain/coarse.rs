//! What it costs to have these partitions: whether a few more would need far fewer replicas.
//!
//! The intuition: partitions do not divide. 100 of them at 5,000 records/s on replicas of 100 take a
//! replica each, because two make 100; 120 take 60. Where the load is even that is a matter of the number
//! of partitions alone, which nobody who looks at replicas sees.
//!
//! What this does not do: weigh a load that is skewed, or say that partitions can be added: keys move.

/// Other counts are looked for up to this many times the partitions.
const MOST_TIMES: u32 = 2;

/// It is worth saying where a quarter more replicas are there than another count would need, ...
const WORTH_PERCENT: u32 = 125;

/// ... and so many.
const WORTH_REPLICAS: u32 = 2;

/// Another number of partitions, and the replicas that it would need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Better {
    pub partitions: u32,
    pub replicas: u32,
}

/// The smallest number of partitions that would need far fewer than `replicas`. `share` is the load over
/// what one replica may get of it, in replicas; `planned` the replicas that it is planned for on the whole.
pub(super) fn better(
    (partitions, replicas): (u32, u32),
    share: f64,
    planned: u32,
) -> Option<Better> {
    let most = partitions.saturating_mul(MOST_TIMES);
    let counts = partitions.saturating_add(1)..=most;
    counts
        .map(|partitions| Better {
            partitions,
            replicas: needed(partitions, share, planned),
        })
        .find(|other| {
            let percent = u64::from(other.replicas) * u64::from(WORTH_PERCENT);
            u64::from(replicas) * 100 >= percent
                && replicas >= other.replicas.saturating_add(WORTH_REPLICAS)
        })
}

/// The replicas that so many even partitions need.
#[expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "float to integer casts saturate, and NaN becomes 0"
)]
fn needed(partitions: u32, share: f64, planned: u32) -> u32 {
    let held = (f64::from(partitions) / share + 1e-9).floor() as u32;
    let by_busiest = partitions.div_ceil(held.max(1));
    let on_the_whole = partitions.div_ceil(partitions.div_ceil(planned.max(1)).max(1));
    by_busiest.max(on_the_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_number_of_partitions_that_divides_is_found() {
        let check = |partitions, replicas, rate: f64, expected: Option<(u32, u32)>| {
            let planned = crate::sizing::whole_replicas(rate / 80.0);
            let better = better(
                (partitions, replicas),
                rate / (100.0 * 13.0 / 15.0),
                planned,
            );
            let found = better.map(|other| (other.partitions, other.replicas));
            assert_eq!(found, expected, "{partitions} at {rate}");
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
