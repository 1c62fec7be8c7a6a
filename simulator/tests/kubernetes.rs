//! Groups whose members do not show which pods there are: with Kubernetes asked, each is scaled as if
//! every pod had an address of its own.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test")]

use evenkeel_sim::contender::{Contender, Knowledge, Setting};
use evenkeel_sim::outcome::Outcome;
use evenkeel_sim::scenario::{ODD, Scenario};
use evenkeel_sim::world::{Addresses, Appearance};

const SEEDS: u64 = 2;

/// Late percent, mean replicas and rescales a run, on average.
fn figures(scenario: &Scenario, with_kubernetes: bool, knowledge: Knowledge) -> [f64; 3] {
    let setting = Setting {
        with_kubernetes,
        ..Setting::default()
    };
    let contender = Contender::Evenkeel(Box::new(setting));
    let runs: Vec<Outcome> = (0..SEEDS)
        .map(|seed| contender.run(scenario, knowledge, seed))
        .collect();
    let mean =
        |figure: fn(&Outcome) -> f64| runs.iter().map(figure).sum::<f64>() / runs.len() as f64;
    [
        mean(|outcome| outcome.late_percent),
        mean(|outcome| outcome.mean_replicas),
        mean(|outcome| f64::from(outcome.rescales)),
    ]
}

/// The same pods with addresses of their own and nobody else in their group. What static members and an
/// update do to the work is the world's and stays.
fn honest(scenario: &Scenario) -> Scenario {
    let mut honest = scenario.clone();
    honest.world.appearance = Appearance {
        addresses: Addresses::OfPods,
        canaries: 0,
        ..scenario.world.appearance
    };
    honest
}

#[test]
fn with_kubernetes_each_is_scaled_as_if_addresses_were_honest() {
    for name in ODD {
        let scenario = Scenario::named(name).unwrap().unwrap();
        // A canary does a part of the work; a static member that is gone is taken for a replica that is
        // there by whoever goes by addresses, and what that costs or saves is chance: over 12 seeds nothing
        // in lateness, and 4 % of the replicas.
        let (late, share) = match name {
            "canary" => (0.1, 0.05),
            "static" => (0.8, 0.05),
            _ => (0.0, 0.0),
        };
        for knowledge in [Knowledge::Times(1.0), Knowledge::Learned] {
            let known = figures(&scenario, true, knowledge);
            let honest = figures(&honest(&scenario), false, knowledge);
            let label = knowledge.label();
            assert!(
                known[0] <= honest[0] + late
                    && (known[1] - honest[1]).abs() <= honest[1] * share
                    && known[2] <= honest[2] * (1.0 + 5.0 * share),
                "{name}, {label}: {known:?}, and {honest:?} if addresses were honest"
            );
        }
    }
}
