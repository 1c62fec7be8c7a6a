//! The swarm: short lives of a target with random faults between the world and the decision, and the
//! laws that have to hold whatever goes wrong.
//!
//! A run is its seed: it draws a world, a load, a policy and a subset of all faults (a swarm where
//! each run has every fault finds less, because some faults hide others), and lives through it with
//! KEDA and the HPA in the loop. Every decision is looked at by one checker a law (`laws`). What they
//! complain about names the seed, the second, the law, and carries the decision's own trail.
//!
//! Pure: the same seed is the same run. What this does not do: score, or look at lateness.

mod bend;
mod laws;
mod past;
mod plan;
mod watch;

use std::cell::RefCell;
use std::rc::Rc;

use evenkeel_engine::Decision;

use crate::contender::Contender;
use crate::run::Run;

use laws::Compared;
use plan::{Plan, Shape};
use watch::{Keep, Shared, Watch};

/// How many laws there are.
pub const LAWS: usize = 15;

/// Of how many runs one is lived twice, the second time with its state written down and read back
/// after every decision (law 2).
const TWICE_ONE_IN: u64 = 6;

/// A run keeps this many complaints; those after the first few say the same.
const MOST_COMPLAINTS: usize = 5;

/// What one run came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What repeats it.
    pub seed: u64,
    /// What it was, in words.
    pub about: String,
    /// Decisions made.
    pub decisions: u64,
    /// How often each law was looked at, law 1 first.
    pub checks: [u64; LAWS],
    /// What was wrong; empty when every law held.
    pub complaints: Vec<Complaint>,
}

/// A law that did not hold.
#[derive(Clone, Debug)]
pub struct Complaint {
    /// The law's number.
    pub law: usize,
    /// Seconds since the run began.
    pub second: u64,
    /// What was wrong, in a sentence.
    pub sentence: String,
    /// The decision that was wrong.
    pub decision: Option<Box<Decision>>,
}

/// Lives the run of this seed.
pub fn live(seed: u64) -> Report {
    let plan = Rc::new(Plan::draw(seed));
    let mut report = Report {
        seed,
        about: plan.about(),
        ..Report::default()
    };
    let twice = seed.is_multiple_of(TWICE_ONE_IN);
    let life = lived(
        &plan,
        Keep {
            bytes: twice,
            ..Keep::default()
        },
    );
    report.decisions += life.records.len() as u64;
    report.checks = life.checks;
    report.complaints.clone_from(&life.complaints);
    let mut compared = Vec::new();
    if twice {
        let written_down = Keep {
            bytes: true,
            written_down: true,
            ..Keep::default()
        };
        let again = lived(&plan, written_down);
        compared.push(laws::same_twice(&life.records, &again.records));
    }
    if plan.shape == Shape::Poison {
        let healthy = lived(&Rc::new(plan.without_poison()), Keep::default());
        compared.push(laws::same_without_poison(
            &plan,
            &life.records,
            &healthy.records,
        ));
    }
    for Compared { law, looked, wrong } in compared {
        if let Some(count) = report.checks.get_mut(law - 1) {
            *count += looked;
        }
        if let Some((second, sentence)) = wrong {
            // Once more, for the words of the decision that was wrong.
            let keep = Keep {
                decision_at: Some(second),
                ..Keep::default()
            };
            report.complaints.push(Complaint {
                law,
                second,
                sentence,
                decision: lived(&plan, keep).kept,
            });
        }
    }
    report.complaints.truncate(MOST_COMPLAINTS);
    report
}

/// One life of a plan.
fn lived(plan: &Rc<Plan>, keep: Keep) -> Watch {
    let watch = Rc::new(RefCell::new(Watch::new(Rc::clone(plan), keep)));
    let mut object = Contender::evenkeel().object(&plan.scenario);
    object.min_replicas = plan.policy.min_replicas;
    object.behavior.min_replicas = plan.policy.min_replicas.max(1);
    if let Some(scaling) = plan.kubernetes {
        object.max_replicas = scaling.max;
        object.behavior.up.tolerance = scaling.tolerance_up;
        object.behavior.down.tolerance = scaling.tolerance_down;
    }
    Run::new(
        &plan.scenario.workload,
        plan.scenario.world,
        Box::new(Shared(Rc::clone(&watch))),
        object,
        0,
        plan.seed,
    )
    .to_the_end();
    watch.take()
}

// === impl Complaint ===

impl std::fmt::Display for Complaint {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            to,
            "law {} at second {}: {}",
            self.law, self.second, self.sentence
        )?;
        let Some(decision) = &self.decision else {
            return Ok(());
        };
        writeln!(to, "  {:?}, {}", decision.desired, decision.verdict.label())?;
        for step in &decision.trail {
            writeln!(
                to,
                "  {:?} {} -> {}: {}",
                step.stage, step.before, step.after, step.why
            )?;
        }
        for finding in &decision.findings {
            writeln!(to, "  {}: {}", finding.verdict.label(), finding.why)?;
        }
        Ok(())
    }
}
