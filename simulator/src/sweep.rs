//! Many runs of one scenario, brought down to one row a contender: medians over the seeds.
//!
//! Seeds are paired: the n-th run of every contender meets the same arrivals, and its pods start as
//! fast. A median says nothing about the worst seed; the greatest message time of all seeds does.

use serde::Serialize;

use crate::contender::{Contender, Knowledge};
use crate::outcome::Outcome;
use crate::scenario::Scenario;

/// One contender on one scenario, over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The policy.
    pub policy: String,
    /// The setting of its knob; empty for none.
    pub knob: String,
    /// How many seeds.
    pub seeds: u64,
    /// Records later than the objective, percent.
    pub late_percent: f64,
    /// Records later than 10 s, percent.
    pub later_than_10_percent: f64,
    /// Records later than 120 s, percent.
    pub later_than_120_percent: f64,
    /// Message time on average, seconds.
    pub message_mean_seconds: f64,
    /// Message time, seconds.
    pub message_p50_seconds: f64,
    /// Message time, seconds.
    pub message_p99_seconds: f64,
    /// The greatest message time, seconds: the median over the seeds.
    pub message_max_seconds: f64,
    /// The greatest message time of all seeds, seconds.
    pub message_worst_seconds: f64,
    /// Pods times hours.
    pub replica_hours: f64,
    /// Pods on average.
    pub mean_replicas: f64,
    /// Changes of the replica count.
    pub rescales: f64,
    /// Rebalances.
    pub rebalances: f64,
    /// Changes against the one before, within ten minutes.
    pub reversals: f64,
    /// Changes that were wrong.
    pub harmful: f64,
    /// The longest time in which something was late, seconds.
    pub drain_seconds: f64,
}

// === impl Row ===

impl Row {
    /// The medians of `outcomes`, one a seed.
    pub fn of(contender: &Contender, outcomes: &[Outcome]) -> Self {
        Self::named(contender.name(), contender.knob(), outcomes)
    }

    /// The same of a policy with this name and this setting of its knob.
    pub(crate) fn named(policy: String, knob: String, outcomes: &[Outcome]) -> Self {
        let median = |figure: &dyn Fn(&Outcome) -> f64| median(outcomes.iter().map(figure));
        let worst = outcomes.iter().map(|outcome| outcome.message_max_seconds);
        Self {
            policy,
            knob,
            seeds: u64::try_from(outcomes.len()).unwrap_or(u64::MAX),
            late_percent: median(&|outcome| outcome.late_percent),
            later_than_10_percent: median(&|outcome| outcome.later_than_10_percent),
            later_than_120_percent: median(&|outcome| outcome.later_than_120_percent),
            message_mean_seconds: median(&|outcome| outcome.message_mean_seconds),
            message_p50_seconds: median(&|outcome| outcome.message_p50_seconds),
            message_p99_seconds: median(&|outcome| outcome.message_p99_seconds),
            message_max_seconds: median(&|outcome| outcome.message_max_seconds),
            message_worst_seconds: worst.fold(0.0, f64::max),
            replica_hours: median(&|outcome| outcome.replica_hours),
            mean_replicas: median(&|outcome| outcome.mean_replicas),
            rescales: median(&|outcome| f64::from(outcome.rescales)),
            rebalances: median(&|outcome| outcome.rebalances as f64),
            reversals: median(&|outcome| f64::from(outcome.reversals)),
            harmful: median(&|outcome| f64::from(outcome.harmful)),
            drain_seconds: median(&|outcome| outcome.drain_seconds as f64),
        }
    }
}

/// The median; of an even number the upper of the two in the middle, and 0 of none.
pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

/// All runs of one contender on one scenario, one a seed, on as many threads as are given; the
/// outcomes are in the order of the seeds. `done` is told after each run.
pub fn runs_on(
    threads: usize,
    scenario: &Scenario,
    contender: &Contender,
    knowledge: Knowledge,
    seeds: u64,
    done: &(impl Fn() + Sync),
) -> Vec<Outcome> {
    let next = std::sync::atomic::AtomicU64::new(0);
    let mut numbered: Vec<(u64, Outcome)> = std::thread::scope(|scope| {
        let worker = || {
            let mut mine = Vec::new();
            loop {
                let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if seed >= seeds {
                    return mine;
                }
                mine.push((seed, contender.run(scenario, knowledge, seed)));
                done();
            }
        };
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        let joined = workers.into_iter().filter_map(|worker| worker.join().ok());
        joined.flatten().collect()
    });
    numbered.sort_by_key(|(seed, _)| *seed);
    numbered.into_iter().map(|(_, outcome)| outcome).collect()
}
