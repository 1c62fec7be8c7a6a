//! Stories of the world: nothing is lost, everybody stops or does not, and who goes first.

use super::*;
use crate::scenario::Scenario;
use crate::workload::Workload;
use evenkeel_engine::{GroupState, PrometheusObservation, Reading};

fn spec(protocol: Protocol) -> WorldSpec {
    let workload = Workload::steps(&[(0.0, 1)]);
    let mut spec = Scenario::usual("test", "", workload, protocol).world;
    spec.pause = Spread(&[6.0, 6.0]);
    spec.start = Spread(&[10.0, 10.0]);
    spec.warm_up_seconds = 0;
    spec
}

fn world(protocol: Protocol, pods: u32) -> World {
    let mut spec = spec(protocol);
    spec.pods_at_start = pods;
    World::new(spec, &Workload::steps(&[(0.0, 1)]), 1)
}

fn run(world: &mut World, workload: &Workload, seconds: u64) {
    for _ in 0..seconds {
        world.second(workload);
    }
}

fn processed(world: &World) -> f64 {
    world.tally.ages().iter().sum()
}

#[test]
fn every_record_is_processed_once_whatever_the_group_does() {
    for protocol in [Protocol::Eager, Protocol::Cooperative, Protocol::Consumer] {
        let workload = Workload::steps(&[(9_000.0, 600)]);
        let mut world = world(protocol, 12);
        world.spec.pods.crashes_an_hour = 6.0;
        for replicas in [3, 24, 7, 13, 1, 24] {
            world.scale(replicas);
            run(&mut world, &workload, 100);
        }
        let written = world.written() - 24.0 * 1e6;
        let waiting: f64 = world.waiting().sum();
        let tally = world.end();
        let counted: f64 = tally.ages().iter().sum();
        assert!(
            (written - counted).abs() < 1e-3,
            "{written} {counted} {waiting}"
        );
        let arrived: f64 = tally.minutes().iter().map(|minute| minute.arrived).sum();
        assert!((written - arrived).abs() < 1e-3, "{written} {arrived}");
    }
}

#[test]
fn a_join_stops_everybody_in_an_eager_group_and_nearly_nobody_in_the_others() {
    let joined = |protocol| {
        let workload = Workload::steps(&[(4_800.0, 60)]);
        let mut world = world(protocol, 6);
        run(&mut world, &workload, 10);
        world.scale(7);
        run(&mut world, &workload, 10);
        let before = processed(&world);
        run(&mut world, &workload, 5);
        (processed(&world) - before) / 5.0 / 4_800.0
    };
    assert!(
        joined(Protocol::Eager) < 0.25,
        "{}",
        joined(Protocol::Eager)
    );
    assert!(
        joined(Protocol::Cooperative) > 0.8,
        "{}",
        joined(Protocol::Cooperative)
    );
    assert!(
        joined(Protocol::Consumer) > 0.8,
        "{}",
        joined(Protocol::Consumer)
    );
}

#[test]
fn members_that_come_late_cause_another_rebalance() {
    let workload = Workload::steps(&[(4_800.0, 100)]);
    let rebalances = |gap: u64| {
        let mut world = world(Protocol::Eager, 6);
        world.scale(7);
        run(&mut world, &workload, gap);
        world.scale(8);
        run(&mut world, &workload, 60);
        world.group.rebalances()
    };
    assert_eq!(rebalances(2), 1, "gathered together");
    assert_eq!(rebalances(5), 2, "too late for the first");
    assert_eq!(rebalances(30), 2);
}

#[test]
fn assignments_are_even_and_move_no_more_than_they_must() {
    let mut world = world(Protocol::Cooperative, 5);
    let workload = Workload::steps(&[(100.0, 1_000)]);
    let owned = |world: &World| -> Vec<Vec<usize>> {
        let members = world.group.members().iter();
        members.map(|member| member.partitions.clone()).collect()
    };
    let before = owned(&world);
    assert_eq!(
        before.iter().map(Vec::len).collect::<Vec<_>>(),
        [5, 5, 5, 5, 4]
    );
    world.scale(6);
    run(&mut world, &workload, 60);
    let after = owned(&world);
    assert!(after.iter().all(|own| own.len() == 4), "{after:?}");
    let kept = before
        .iter()
        .zip(&after)
        .flat_map(|(before, after)| before.iter().filter(|partition| after.contains(*partition)));
    assert_eq!(kept.count(), 20, "{before:?} {after:?}");
}

#[test]
fn a_pod_that_vanishes_is_missed_after_its_session() {
    let workload = Workload::steps(&[(1_000.0, 100)]);
    let mut world = world(Protocol::Eager, 2);
    run(&mut world, &workload, 5);
    world
        .group
        .follow(MemberChange::Vanishes(1), world.second, &world.spec);
    run(&mut world, &workload, 9);
    assert_eq!(world.members(), 2);
    run(&mut world, &workload, 3);
    assert_eq!(world.members(), 1);
}

#[test]
fn what_has_not_joined_goes_first_and_then_the_newest() {
    let workload = Workload::steps(&[(1_000.0, 100)]);
    let mut world = world(Protocol::Eager, 3);
    run(&mut world, &workload, 5);
    world.scale(5);
    world.scale(4);
    assert_eq!(world.members(), 3);
    world.scale(2);
    let pods: Vec<u64> = world
        .group
        .members()
        .iter()
        .map(|member| member.number)
        .collect();
    assert_eq!(pods, [0, 1]);
}

#[test]
fn a_downstream_that_is_full_and_a_record_that_is_poison_hold_back() {
    use crate::workload::Disturbance;
    let mut workload = Workload::steps(&[(2_400.0, 60)]);
    workload.disturbances = vec![
        Disturbance {
            from: 0,
            until: 20,
            what: Trouble::Downstream {
                records_per_second: 600.0,
            },
        },
        Disturbance {
            from: 20,
            until: 60,
            what: Trouble::Poison { partition: 5 },
        },
    ];
    let mut world = world(Protocol::Cooperative, 6);
    run(&mut world, &workload, 20);
    let done = processed(&world);
    assert!((11_000.0..12_001.0).contains(&done), "{done}");
    run(&mut world, &workload, 40);
    let waiting: Vec<f64> = world.waiting().collect();
    assert!(waiting[5] > 3_900.0, "{waiting:?}");
    assert!(
        waiting.iter().sum::<f64>() - waiting[5] < 400.0,
        "{waiting:?}"
    );
}

#[test]
fn what_a_broker_tells_is_whole_late_and_in_its_protocols_words() {
    let workload = Workload::steps(&[(4_800.0, 100)]);
    let mut world = world(Protocol::Eager, 6);
    run(&mut world, &workload, 10);
    let lag: u64 = world.lags().iter().sum();
    assert!((1..=9_600).contains(&lag), "a commit's worth: {lag}");
    world.scale(7);
    run(&mut world, &workload, 12);
    let observed = world.observe(4_800.0, PrometheusObservation::NotConfigured);
    let Reading::Known(group) = &observed.group else {
        panic!("{observed:?}");
    };
    assert_eq!(group.state, GroupState::PreparingRebalance);
    assert_eq!(group.assignor, "range");
    assert!(
        group
            .members
            .iter()
            .all(|member| member.assigned.is_empty())
    );
    assert!(group.members.is_sorted_by(|a, b| a.id < b.id));
}
