//! Law 7 over the whole list of gates: each that is bounded by time opens, whatever keeps it shut.

use std::time::Duration;

use super::{even, settled};
use crate::decision::gates::{Gate, Longest};
use crate::world::{World, policy};
use crate::{Cause, Decision, Policy, PrometheusObservation, Stage};

/// A world in which the gate is shut, and stays so as far as it may; `None` where its bound is no time.
fn shut(gate: Gate) -> Option<World> {
    let mut world = settled(24, 3, 0.75);
    match gate {
        Gate::LagRebalance => {
            world.follow = false;
            world.rebalance(100_000);
        }
        Gate::LagStepTaken => {
            // The hold is spent and the one step is made, and then comes more than before, though not so
            // much that the rate alone would ask.
            world = settled(240, 10, 0.75);
            world.policy.catch_up = Duration::from_secs(20);
            world.follow = false;
            world.rebalance(100_000);
            world.polls(28);
            world.scale_rates(4.0);
        }
        Gate::LagInFlight => {
            // Sized by lag alone, and what it asked for never comes.
            let policy = Policy {
                capacity_per_replica: None,
                lag_threshold_records: 1_000,
                ..policy()
            };
            world = World::new(policy, even(96, 12, 0.75), 2);
            world.pods_limit = 2;
        }
        Gate::LagDownstream => {
            // Two steps for a backlog that no replica makes smaller, told what is not so of replicas; then
            // it grows so fast that it would ask again.
            world = settled(480, 20, 0.75);
            world.policy.tuning.capacity_doubt = f64::INFINITY;
            world.policy.catch_up = Duration::from_secs(20);
            world.policy.startup = Duration::from_secs(20);
            world.downstream = 1_000.0;
            world.polls(75);
            world.downstream = 100.0;
        }
        Gate::InFlight => {
            world.pods_limit = world.replicas();
            world.scale_rates(2.0);
            world.polls(2);
            world.scale_rates(0.2);
        }
        Gate::Stalled => {
            world.downstream = 0.0;
            world.minutes(12);
            world.scale_rates(0.1);
        }
        Gate::Prometheus => {
            let records_per_second = world.rates.iter().sum();
            world.minutes(1);
            world.prometheus = PrometheusObservation::Known {
                records_per_second,
                at: world.now(),
            };
            world.poll();
            world.prometheus = PrometheusObservation::Unknown(Cause::Timeout);
            world.scale_rates(0.3);
        }
        Gate::Warmup => {
            world = World::new(policy(), even(24, 3, 0.2), 24);
        }
        Gate::Window => world.scale_rates(0.3),
        Gate::Surplus => {
            world = World::new(
                Policy {
                    catch_up: Duration::from_secs(30),
                    ..policy()
                },
                even(120, 10, 0.75),
                12,
            );
            world.minutes(6);
            world.rebalance(110);
        }
        Gate::Partial | Gate::Rebalance | Gate::NotWorthIt | Gate::Tolerated => return None,
    }
    Some(world)
}

/// What a decision says where the gate is shut.
fn words(gate: Gate) -> (Stage, &'static str) {
    match gate {
        Gate::LagRebalance => (Stage::Hold, "what lag grew since is not counted"),
        Gate::LagInFlight => (Stage::Hold, "what lag grows meanwhile is not counted"),
        Gate::LagStepTaken => (Stage::Hold, "and it has asked"),
        Gate::LagDownstream => (Stage::Hold, "did not bring more throughput twice"),
        Gate::Partial => (Stage::Stabilize, "not everything could be read"),
        Gate::Rebalance => (Stage::Stabilize, "a rebalance goes on"),
        Gate::InFlight => (Stage::Stabilize, "replicas are still starting"),
        Gate::Stalled => (Stage::Stabilize, "members that hold lag commit nothing"),
        Gate::Prometheus => (Stage::Stabilize, "Prometheus is missing"),
        Gate::Warmup => (Stage::Stabilize, "has not watched for"),
        Gate::Window => (Stage::Stabilize, "more was needed within"),
        Gate::Surplus => (Stage::Stabilize, "added to work a backlog off"),
        Gate::NotWorthIt => (Stage::Stabilize, "would cost more than that saves"),
        Gate::Tolerated => (Stage::Stabilize, "would take that for what is there"),
    }
}

fn is_shut(gate: Gate, decision: &Decision) -> bool {
    let (stage, words) = words(gate);
    let mut steps = decision.trail.iter();
    steps.any(|step| step.stage == stage && step.why.contains(words))
}

#[test]
fn law_7_every_gate_that_is_bounded_by_time_opens() {
    for gate in Gate::ALL {
        let (Some(mut world), Longest::Time { time, .. }) = (shut(gate), gate.longest(&policy()))
        else {
            assert!(matches!(gate.longest(&policy()), Longest::Condition { .. }));
            continue;
        };
        let poll = world.policy.poll_interval;
        let (mut longest, mut now) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..12 * 100 {
            now = match is_shut(gate, &world.poll()) {
                true => now + poll,
                false => Duration::ZERO,
            };
            longest = longest.max(now);
        }
        assert!(longest > Duration::ZERO, "{gate:?} was never shut");
        // Both ends of the time may be polls.
        assert!(longest <= time + poll, "{gate:?}: {longest:?} of {time:?}");
    }
}
