//! Chance: seeded streams and the distributions that the world draws from.
//!
//! One stream a purpose, so that two policies under the same seed meet the same arrivals, and their
//! n-th pod takes as long to start in both: differences between them are theirs, not luck's.
//! Distributions are given by quantiles, because that is how starts and pauses are published, and
//! because drawing from them needs no function whose last digit differs between machines.

use fastrand::Rng;

/// What a stream of chance is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    /// How many records come, and to which partition.
    Arrivals = 1,
    /// How one pod starts, runs and fails.
    Pod = 2,
    /// How long rebalances take.
    Rebalances = 3,
    /// When observers look.
    Polls = 4,
    /// What goes wrong between the world and the scaler.
    Faults = 5,
}

/// A distribution by its quantiles, equally far apart from the least to the greatest value, straight
/// lines between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread(pub &'static [f64]);

// === impl Spread ===

impl Spread {
    /// A value between the least and the greatest.
    pub(crate) fn draw(self, chance: &mut Rng) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let place = chance.f64() * last as f64;
        let below = (0..last).rev().find(|&index| index as f64 <= place);
        let below = below.unwrap_or(0);
        let value = |index: usize| self.0.get(index).copied().unwrap_or(0.0);
        value(below) + (value((below + 1).min(last)) - value(below)) * (place - below as f64)
    }

    /// The same in whole seconds.
    pub(crate) fn draw_seconds(self, chance: &mut Rng) -> u64 {
        whole(self.draw(chance))
    }
}

/// A stream that depends on the run's seed, what it is for, and which of its kind it is.
pub(crate) fn stream(seed: u64, purpose: Purpose, number: u64) -> Rng {
    // SplitMix64 over all three, so that neighbouring seeds have nothing in common.
    let mut mixed = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add((purpose as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9))
        .wrapping_add(number.wrapping_mul(0x94d0_49bb_1331_11eb));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Rng::with_seed(mixed ^ (mixed >> 31))
}

/// Whole units of a figure that is finite and not negative; saturating.
#[expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "float to integer casts saturate, and NaN becomes 0"
)]
pub(crate) fn whole(figure: f64) -> u64 {
    figure as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_stream_and_another_does_not() {
        let draws = |seed, purpose, number| {
            let mut chance = stream(seed, purpose, number);
            (0..4).map(|_| chance.u64(..)).collect::<Vec<_>>()
        };
        let one = draws(7, Purpose::Pod, 3);
        assert_eq!(one, draws(7, Purpose::Pod, 3));
        assert_ne!(one, draws(8, Purpose::Pod, 3));
        assert_ne!(one, draws(7, Purpose::Arrivals, 3));
        assert_ne!(one, draws(7, Purpose::Pod, 4));
    }

    #[test]
    fn a_spread_draws_between_its_ends_and_around_its_median() {
        let mut chance = stream(1, Purpose::Rebalances, 0);
        let spread = Spread(&[2.0, 3.0, 4.0, 10.0, 30.0]);
        let mut drawn: Vec<f64> = (0..4_001).map(|_| spread.draw(&mut chance)).collect();
        drawn.sort_by(f64::total_cmp);
        assert!(drawn[0] >= 2.0 && drawn[4_000] <= 30.0);
        assert!((3.8..4.3).contains(&drawn[2_000]), "{}", drawn[2_000]);
    }
}
