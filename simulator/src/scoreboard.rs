//! The scoreboard: every scenario, every policy, many seeds, and what is claimed of them.
//!
//! What is run is here, together with the figures that the claims are made of; how it is written down
//! is in `scoreboard/page`, and what is said beside each number in `scoreboard/numbers`. The same plan gives the same bytes on any machine and any number of
//! threads.

mod numbers;
mod page;
mod standing;

use crate::contender::{Contender, Knowledge};
use crate::outcome::Outcome;
use crate::scenario::{NAMES, Scenario};
use crate::sweep::{Row, runs_on};
use crate::variants::{self, Kind};
use crate::workload::TraceError;

pub use numbers::told;
pub use page::pages;
pub use standing::Standing;

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Seeds for every policy on every scenario.
    pub seeds: u64,
    /// Seeds for the variants of ours.
    pub variant_seeds: u64,
    /// Threads.
    pub threads: usize,
}

/// One scenario's results.
#[derive(Clone, Debug)]
pub struct Board {
    /// The scenario's name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// How long the load lasts, seconds.
    pub seconds: u64,
    /// Ours, one a seed.
    pub ours_by_seed: Vec<SeedFigures>,
    /// Ours.
    pub ours: Row,
    /// Every rival and oracle at every setting.
    pub rivals: Vec<(Contender, Row)>,
    /// Ours with other knowledge of the capacity.
    pub knowledge: Vec<(String, Row)>,
    /// Ours with the variants' seeds.
    pub ours_few: Row,
    /// Ours with one thing different.
    pub variants: Vec<(Kind, Row)>,
}

/// The figures of ours with one seed, for whoever checks that nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeedFigures {
    /// Records later than the objective, percent.
    pub late_percent: f64,
    /// Pods on average.
    pub mean_replicas: f64,
    /// Changes of the replica count.
    pub rescales: u32,
    /// Changes against the one before, within ten minutes.
    pub reversals: u32,
    /// Changes that were wrong.
    pub harmful: u32,
}

/// The scenarios on which variants are compared: the traces, the day, the steps, the stalls, the seed,
/// and two small groups.
pub(crate) const COMPARED: [&str; 11] = [
    "ads", "elb", "aapl", "taxi", "market", "steps", "rough", "stalls", "seed", "openings",
    "app04-3",
];

// === impl SeedFigures ===

impl SeedFigures {
    /// Of one run.
    pub fn of(outcome: &Outcome) -> Self {
        Self {
            late_percent: outcome.late_percent,
            mean_replicas: outcome.mean_replicas,
            rescales: outcome.rescales,
            reversals: outcome.reversals,
            harmful: outcome.harmful,
        }
    }
}

/// How many runs a plan takes.
pub fn runs(plan: Plan) -> u64 {
    let count = |list: usize| u64::try_from(list).unwrap_or(u64::MAX);
    let scenarios = count(NAMES.len());
    let with_seeds = count(Contender::sweep().len() + 1 + KNOWLEDGE.len());
    let compared = count(COMPARED.len()) * (count(variants::all().len()) + 1);
    scenarios * with_seeds * plan.seeds + compared * plan.variant_seeds
}

/// What everybody might be told of the capacity besides the truth.
const KNOWLEDGE: [Knowledge; 3] = [
    Knowledge::Learned,
    Knowledge::Times(0.7),
    Knowledge::Times(1.3),
];

/// Runs everything. `done` is told after each run.
///
/// # Errors
/// When a built-in trace cannot be read.
pub fn play(plan: Plan, done: &(impl Fn() + Sync)) -> Result<Vec<Board>, TraceError> {
    let mut boards = Vec::new();
    for name in NAMES {
        if let Some(scenario) = Scenario::named(name)? {
            boards.push(board(&scenario, plan, done));
        }
    }
    Ok(boards)
}

fn board(scenario: &Scenario, plan: Plan, done: &(impl Fn() + Sync)) -> Board {
    let play = |contender: &Contender, knowledge, seeds| {
        runs_on(plan.threads, scenario, contender, knowledge, seeds, done)
    };
    let exact = Knowledge::Times(1.0);
    let us = Contender::evenkeel();
    let ours = play(&us, exact, plan.seeds);
    let rivals = Contender::sweep().into_iter().map(|contender| {
        let row = Row::of(&contender, &play(&contender, exact, plan.seeds));
        (contender, row)
    });
    let rivals = rivals.collect();
    let knowledge = KNOWLEDGE.map(|knowledge| {
        let row = Row::of(&us, &play(&us, knowledge, plan.seeds));
        (knowledge.label(), row)
    });
    let compared = COMPARED.contains(&scenario.name);
    let few = if compared { plan.variant_seeds } else { 0 };
    let ours_few = Row::of(&us, &play(&us, exact, few));
    let variants = variants::all()
        .into_iter()
        .filter(|_| compared)
        .map(|(kind, contender)| (kind, Row::of(&contender, &play(&contender, exact, few))));
    let variants = variants.collect();
    Board {
        name: scenario.name,
        about: scenario.about,
        seconds: scenario.workload.seconds(),
        ours_by_seed: ours.iter().map(SeedFigures::of).collect(),
        ours: Row::of(&us, &ours),
        rivals,
        knowledge: knowledge.to_vec(),
        ours_few,
        variants,
    }
}
