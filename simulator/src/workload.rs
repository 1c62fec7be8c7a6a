//! The load: how many records arrive in each second, how they divide over partitions, and what goes
//! wrong with some of them.
//!
//! A load is a list of records per second, one entry a second, whatever it came from: a trace, steps,
//! a market day, or the history of a Prometheus. Arrivals scatter around it as independent records
//! would, with a normal-like deviation of the square root of their number, by a seeded stream.
//!
//! What this does not do: process anything.

mod market;
mod trace;
mod weeks;

use fastrand::Rng;

pub use market::market_day;
pub use trace::{Replay, Trace, TraceError};
pub(crate) use weeks::{CLOCKS_CHANGE, Days};

use crate::chance::{Purpose, stream};

/// A load and its disturbances.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Records per second, one entry a second.
    pub per_second: Vec<f64>,
    /// How it divides over the partitions.
    pub skew: Skew,
    /// What goes wrong, and when.
    pub disturbances: Vec<Disturbance>,
}

/// How a load divides over partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// Null keys, or many of equal weight.
    Even,
    /// The share of the k-th partition falls with the square root of k: keys of a Zipf distribution
    /// with exponent 1/2.
    RootZipf,
}

/// Something that goes wrong from one second to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disturbance {
    /// The first second.
    pub from: u64,
    /// The second after the last.
    pub until: u64,
    /// What it is.
    pub what: Trouble,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// A partition gets this many times its share, on top of the rest.
    Hot {
        /// Which.
        partition: usize,
        /// Times its share.
        times: f64,
    },
    /// A record in this partition cannot be processed until the end of the disturbance.
    Poison {
        /// Which.
        partition: usize,
    },
    /// What the consumers write to takes no more than this, all together.
    Downstream {
        /// Records per second.
        records_per_second: f64,
    },
}

/// What arrives, second by second.
#[derive(Debug)]
pub(crate) struct Arrivals {
    chance: Rng,
    shares: Vec<f64>,
}

// === impl Skew ===

impl Skew {
    /// The share of each partition; together 1.
    pub fn shares(self, partitions: usize) -> Vec<f64> {
        let weights: Vec<f64> = (1..=partitions)
            .map(|place| match self {
                Self::Even => 1.0,
                Self::RootZipf => 1.0 / (place as f64).sqrt(),
            })
            .collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / total).collect()
    }
}

// === impl Workload ===

impl Workload {
    /// A load of constant steps: records per second and for how many seconds.
    pub fn steps(steps: &[(f64, u64)]) -> Self {
        let step = |&(rate, seconds): &(f64, u64)| (0..seconds).map(move |_| rate);
        Self::even(steps.iter().flat_map(step).collect())
    }

    /// A load that divides evenly and in which nothing goes wrong.
    pub fn even(per_second: Vec<f64>) -> Self {
        Self {
            per_second,
            skew: Skew::Even,
            disturbances: Vec::new(),
        }
    }

    /// How long it lasts.
    pub fn seconds(&self) -> u64 {
        u64::try_from(self.per_second.len()).unwrap_or(u64::MAX)
    }

    /// Records per second at `second`; 0 after the end.
    pub fn rate(&self, second: u64) -> f64 {
        let place = usize::try_from(second).unwrap_or(usize::MAX);
        self.per_second.get(place).copied().unwrap_or(0.0)
    }

    /// What goes wrong at `second`.
    pub(crate) fn troubles(&self, second: u64) -> impl Iterator<Item = Trouble> {
        self.disturbances
            .iter()
            .filter(move |disturbance| (disturbance.from..disturbance.until).contains(&second))
            .map(|disturbance| disturbance.what)
    }

    /// Records per second into one partition whose share is `share`, hot ones included.
    pub(crate) fn partition_rate(&self, second: u64, partition: usize, share: f64) -> f64 {
        let rate = self.rate(second) * share;
        let hot = self.troubles(second).find_map(|trouble| match trouble {
            Trouble::Hot {
                partition: hot,
                times,
            } if hot == partition => Some(times),
            _ => None,
        });
        rate * hot.unwrap_or(1.0)
    }
}

// === impl Arrivals ===

impl Arrivals {
    pub fn new(seed: u64, shares: Vec<f64>) -> Self {
        Self {
            chance: stream(seed, Purpose::Arrivals, 0),
            shares,
        }
    }

    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// Whole records into each partition during `second`, in `into`.
    pub fn arrive(&mut self, workload: &Workload, second: u64, into: &mut [f64]) {
        let troubled = !workload.disturbances.is_empty();
        let rate = workload.rate(second);
        for ((partition, share), records) in self.shares.iter().enumerate().zip(into) {
            let mean = if troubled {
                workload.partition_rate(second, partition, *share)
            } else {
                rate * share
            };
            *records = if mean > 0.0 {
                scattered(mean, &mut self.chance)
            } else {
                0.0
            };
        }
    }
}

/// A whole number of records around `mean`, with its square root as deviation (a flat distribution
/// of that deviation); fractions are carried by chance so that small means are met.
fn scattered(mean: f64, chance: &mut Rng) -> f64 {
    // A flat distribution over [-w, w] has a deviation of w / sqrt(3).
    const SQRT_3: f64 = 1.732_050_807_568_877_2;
    let drawn = mean + (chance.f64() * 2.0 - 1.0) * mean.sqrt() * SQRT_3;
    let whole = drawn.max(0.0).floor();
    let fraction = drawn.max(0.0) - whole;
    whole + f64::from(u8::from(chance.f64() < fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_meet_the_load_and_scatter() {
        let workload = Workload::steps(&[(240.0, 4_000)]);
        let mut arrivals = Arrivals::new(3, Skew::Even.shares(24));
        let mut into = vec![0.0; 24];
        let (mut total, mut seen) = (0.0, std::collections::BTreeSet::new());
        for second in 0..4_000 {
            arrivals.arrive(&workload, second, &mut into);
            total += into.iter().sum::<f64>();
            seen.insert(into[0].to_bits());
        }
        let mean = total / 4_000.0;
        assert!((mean - 240.0).abs() < 2.0, "{mean}");
        assert!(seen.len() > 5, "{seen:?}");
    }

    #[test]
    fn a_hot_partition_gets_more_while_it_is_hot() {
        let mut workload = Workload::steps(&[(100.0, 100)]);
        workload.disturbances.push(Disturbance {
            from: 10,
            until: 20,
            what: Trouble::Hot {
                partition: 1,
                times: 5.0,
            },
        });
        let check = |second, partition, expected: f64| {
            let rate = workload.partition_rate(second, partition, 0.25);
            assert!(
                (rate - expected).abs() < 1e-9,
                "{second} {partition}: {rate}"
            );
        };
        check(9, 1, 25.0);
        check(10, 1, 125.0);
        check(10, 0, 25.0);
        check(20, 1, 25.0);
        check(100, 1, 0.0);
    }

    #[test]
    fn skewed_shares_fall_and_sum_to_one() {
        let shares = Skew::RootZipf.shares(48);
        assert!(shares.is_sorted_by(|a, b| a > b));
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!((shares[0] / shares[3] - 2.0).abs() < 1e-9);
    }
}
