//! Tables: episodes, budgets and replicas in flight.

use std::time::Duration;

use super::{Flight, FlightMemory};
use crate::world::{World, policy};
use crate::{GroupState, Reading, Timestamp, Verdict};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

#[test]
fn replicas_in_flight_are_expected_for_twice_the_time_of_a_start() {
    let mut flight = FlightMemory::default();
    flight.ask(12, 10, at(0));
    let seen = |flight: &mut FlightMemory, observed, second| {
        let Flight {
            replicas, overdue, ..
        } = flight.follow((observed, None), &policy(), at(second));
        (replicas, overdue)
    };
    assert_eq!(seen(&mut flight, 10, 60), (2, 0));
    assert_eq!(seen(&mut flight, 11, 90), (1, 0));
    // Somebody joined, so the others may take as long again.
    assert_eq!(seen(&mut flight, 11, 200), (1, 0));
    assert_eq!(seen(&mut flight, 11, 211), (0, 1));
    assert_eq!(seen(&mut flight, 12, 300), (0, 0));
    assert_eq!(flight.startup(&policy()), Duration::from_secs(132));
}

#[test]
fn the_time_of_a_start_is_learned() {
    let mut flight = FlightMemory::default();
    flight.ask(12, 10, at(0));
    flight.follow((12, None), &policy(), at(25));
    assert_eq!(flight.startup(&policy()), Duration::from_secs(25));
}

#[test]
fn an_episode_is_seen_by_state_and_by_assignments_and_ends_when_consumption_goes_on() {
    let mut world = World::new(policy(), vec![30.0; 8], 4);
    world.minutes(2);
    assert_eq!(world.poll().inputs.rebalances, 0);
    world.rebalance(12);
    assert!(world.poll().inputs.rebalancing);
    world.minutes(1);
    let decision = world.poll();
    assert!(!decision.inputs.rebalancing);
    assert_eq!(decision.inputs.rebalances, 1);
    // A rebalance between two polls shows only in who owns what.
    let decision = world.poll_with(|observation| {
        if let Reading::Known(group) = &mut observation.group {
            assert_eq!(group.state, GroupState::Stable);
            let taken = std::mem::take(&mut group.members[0].assigned);
            group.members[1].assigned.extend(taken);
        }
    });
    assert!(decision.inputs.rebalancing);
    assert_eq!(decision.inputs.rebalances, 2);
}

#[test]
fn rebalances_that_never_stop_are_called_a_storm() {
    let mut world = World::new(policy(), vec![30.0; 8], 4);
    world.follow = false;
    let mut storm = false;
    for _ in 0..40 {
        world.rebalance(20);
        world.polls(5);
        world.polls(6);
        storm |= world.decisions.iter().any(|decision| {
            let mut findings = decision.findings.iter();
            findings.any(|finding| finding.verdict == Verdict::RebalanceStorm)
        });
    }
    assert!(storm);
}

#[test]
fn until_a_start_was_seen_a_rise_is_followed_twice_as_far() {
    let policy = policy();
    let mut flight = FlightMemory::default();
    let told = policy.startup;
    assert_eq!(flight.lead(&policy), told * 2);
    flight.ask(3, 1, at(0));
    flight.follow((3, None), &policy, at(40));
    assert_eq!(flight.lead(&policy), Duration::from_secs(40));
}
