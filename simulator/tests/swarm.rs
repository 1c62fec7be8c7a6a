//! The laws over a swarm of runs with random faults: `SWARM_RUNS` of them, from seed `SWARM_SEED` on.
//!
//! In `make test` a few hundred; `make swarm` has 10,000 in release. A failure names its seed and the
//! command that repeats exactly that run.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use evenkeel_sim::faults::{Complaint, LAWS, Report, live};

/// Runs without `SWARM_RUNS`.
const RUNS: u64 = 180;

/// The first seed without `SWARM_SEED`: the same ones in every `make test`, so that a failure is the
/// change's.
const SEED: u64 = 1;

/// With fewer runs than this a law may not have come up at all.
const ENOUGH_FOR_EVERY_LAW: u64 = RUNS;

/// So many failed runs are told in full.
const TOLD: usize = 10;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text}: it has to be a whole number"))
    })
}

/// A run, whatever becomes of it.
fn outcome(seed: u64) -> Report {
    catch_unwind(|| live(seed)).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Report {
            seed,
            complaints: vec![Complaint {
                law: 0,
                second: 0,
                sentence: format!("panicked: {}", text.unwrap_or_default()),
                decision: None,
            }],
            ..Report::default()
        }
    })
}

#[test]
fn every_law_holds_over_a_swarm_of_faults() {
    let (runs, first) = (number("SWARM_RUNS", RUNS), number("SWARM_SEED", SEED));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicU64::new(0);
    let (sender, receiver) = mpsc::channel();
    let (mut checks, mut decisions) = ([0_u64; LAWS], 0);
    let mut failed: BTreeMap<u64, Report> = BTreeMap::new();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= runs || sender.send(outcome(first + number)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (done, report) in (1..).zip(receiver) {
            decisions += report.decisions;
            for (sum, count) in checks.iter_mut().zip(report.checks) {
                *sum += count;
            }
            if !report.complaints.is_empty() {
                failed.insert(report.seed, report);
            }
            if done % 100 == 0 || done == runs {
                eprint!(
                    "\r{done} of {runs} runs, {} with a law broken",
                    failed.len()
                );
            }
        }
    });
    eprintln!("\n{decisions} decisions; each law was looked at, 1 to {LAWS}: {checks:?}");
    let mut by_law: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for report in failed.values() {
        by_law
            .entry(report.complaints[0].law)
            .or_default()
            .push(report.seed);
    }
    for report in failed.values().take(TOLD) {
        eprintln!("\nseed {}: {}", report.seed, report.about);
        eprintln!("{}", report.complaints[0]);
        eprintln!(
            "repeat it: SWARM_SEED={} SWARM_RUNS=1 cargo test -p evenkeel-sim --test swarm",
            report.seed
        );
    }
    assert!(
        failed.is_empty(),
        "first broken law of each failed run, and the seeds: {by_law:?}"
    );
    for (law, count) in (1..).zip(checks) {
        assert!(
            runs < ENOUGH_FOR_EVERY_LAW || count > 0,
            "law {law} was never looked at"
        );
    }
}
