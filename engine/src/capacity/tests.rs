//! Tables: what is learned of a replica, and from which replicas.

use super::quantile;
use crate::world::{World, policy, replicas};
use crate::{Decision, Policy, Verdict};

fn unknown() -> Policy {
    Policy {
        capacity_per_replica: None,
        // Far beyond the lag of these stories, so that the cold start's own rule stays quiet.
        lag_threshold_records: 1_000_000,
        ..policy()
    }
}

#[test]
fn saturated_replicas_teach_their_capacity() {
    let mut world = World::new(unknown(), vec![100.0; 8], 4);
    world.follow = false;
    world.minutes(4);
    let decision = world.poll();
    assert!(decision.inputs.capacity_learned, "{:#?}", decision.inputs);
    let capacity = decision.inputs.capacity_per_replica.unwrap();
    assert!((95.0..105.0).contains(&capacity), "{capacity}");
}

/// What is asked for after so many minutes on replicas of 100 records/s that were told to be of `told`,
/// the lag then, and whether anybody was told that they are not.
fn doubted(told: f64, doubt: f64, rates: Vec<f64>) -> (u32, u64, bool) {
    let mut policy = Policy {
        capacity_per_replica: Some(told),
        ..policy()
    };
    policy.tuning.capacity_doubt = doubt;
    let mut world = World::new(policy, rates, 6);
    world.minutes(30);
    let mismatch = |decision: &Decision| {
        let mut findings = decision.findings.iter();
        findings.any(|finding| finding.verdict == Verdict::CapacityMismatch)
    };
    let said = world.decisions.iter().any(mismatch);
    (replicas(&world.poll()), world.lag(), said)
}

#[test]
fn what_replicas_do_counts_where_it_is_not_what_was_told() {
    let right = doubted(100.0, 0.1, vec![26.25; 24]);
    assert_eq!((right.0, right.2), (8, false));
    for told in [130.0, 150.0, 200.0] {
        let (replicas, lag, said) = doubted(told, 0.1, vec![26.25; 24]);
        assert_eq!((replicas, said), (right.0, true), "{told}");
        assert!(lag < 1_000, "{told}: {lag}");
    }
    // The same, believed.
    assert!(doubted(130.0, f64::INFINITY, vec![26.25; 24]).1 > 2_000);
}

#[test]
fn what_was_told_is_believed_where_it_is_right_or_few_replicas_say_otherwise() {
    for told in [95.0, 105.0] {
        assert!(!doubted(told, 0.1, vec![26.25; 24]).2);
    }
    // One hot partition says nothing of the others.
    let mut hot = vec![10.0; 24];
    hot[0] = 150.0;
    assert!(!doubted(130.0, 0.1, hot).2);
}

#[test]
fn a_slow_quarter_of_an_hour_does_not_size_the_day() {
    let told = Policy {
        capacity_per_replica: Some(100.0),
        ..policy()
    };
    let mut world = World::new(told, vec![20.0; 24], 6);
    world.minutes(20);
    world.capacity = 50.0;
    world.minutes(15);
    assert!(world.replicas() > 6);
    let said = |decision: &Decision| {
        let mut findings = decision.findings.iter();
        findings.any(|finding| finding.verdict == Verdict::CapacityMismatch)
    };
    assert!(world.decisions.iter().any(said));
    world.capacity = 100.0;
    world.minutes(20);
    let decision = world.poll();
    assert_eq!(decision.inputs.capacity_per_replica, Some(100.0));
    assert!(!said(&decision));
}

#[test]
fn replicas_that_were_never_saturated_are_planned_to_carry_what_they_have_carried() {
    let mut world = World::new(unknown(), vec![40.0; 8], 4);
    world.minutes(20);
    let decision = world.poll();
    assert!(decision.inputs.capacity_learned, "{:#?}", decision.inputs);
    assert_eq!(decision.verdict, Verdict::ColdStart);
    assert_eq!(replicas(&decision), 4);
    // A quarter of it: what four replicas have done, two can do.
    world.scale_rates(0.5);
    world.minutes(20);
    assert_eq!(world.replicas(), 2);
    world.scale_rates(0.5);
    world.minutes(20);
    assert_eq!(world.replicas(), 1);
}

#[test]
fn before_anything_was_measured_nothing_is_lowered() {
    let mut world = World::new(unknown(), vec![10.0; 8], 4);
    for _ in 0..60 {
        world.rebalance(6);
        world.polls(4);
    }
    let decision = world.poll();
    assert_eq!(decision.inputs.capacity_per_replica, None);
    assert!(replicas(&decision) >= 4);
}

#[test]
fn a_rebalance_interrupts_a_measurement() {
    let mut world = World::new(unknown(), vec![100.0; 8], 4);
    world.follow = false;
    for _ in 0..20 {
        world.rebalance(6);
        world.polls(4);
    }
    assert_eq!(world.poll().inputs.capacity_per_replica, None);
}

#[test]
fn quantiles_take_the_lower_neighbour() {
    let sorted = [10.0, 20.0, 30.0, 40.0, 50.0];
    assert_eq!(quantile(&sorted, 0.3), Some(20.0));
    assert_eq!(quantile(&sorted, 0.1), Some(10.0));
    assert_eq!(quantile(&[], 0.3), None);
}
