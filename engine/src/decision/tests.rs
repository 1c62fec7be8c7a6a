//! Closed loops over the small world: does the target land where it should, and stay there?

use crate::world::{World, policy, replicas};
use crate::{Decision, Verdict};

fn story(world: &World) -> String {
    let mut story = String::new();
    let mut last = None;
    for decision in &world.decisions {
        let now = (decision.desired, decision.verdict);
        if last != Some(now) {
            let minutes = decision.at.as_millis() as f64 / 60_000.0 - 60.0;
            story.push_str(&format!(
                "{minutes:6.2} min {:?} {:?} observed {} lag {} rate {:?}\n",
                decision.desired,
                decision.verdict,
                decision.inputs.observed_replicas,
                decision.inputs.lag_records,
                decision.inputs.inbound_up,
            ));
            last = Some(now);
        }
    }
    story
}

fn changes(decisions: &[Decision]) -> usize {
    decisions
        .windows(2)
        .filter(|pair| pair[0].desired != pair[1].desired)
        .count()
}

#[test]
fn a_constant_load_lands_on_what_its_busiest_replica_needs() {
    let mut world = World::new(policy(), vec![1000.0 / 24.0; 24], 1);
    world.minutes(30);
    assert_eq!(world.replicas(), 12, "{}", story(&world));
    assert_eq!(changes(&world.decisions[240..]), 0, "{}", story(&world));
}

#[test]
fn a_target_that_sleeps_wakes_and_lands_as_well() {
    let mut world = World::new(policy(), vec![0.0; 24], 0);
    world.minutes(2);
    world.rates = vec![1000.0 / 24.0; 24];
    world.minutes(30);
    assert_eq!(world.replicas(), 12, "{}", story(&world));
}

#[test]
fn a_spike_is_met_in_one_step_and_left_in_one() {
    let mut world = World::new(policy(), vec![1000.0 / 120.0; 120], 12);
    world.start_seconds = 60;
    world.minutes(10);
    assert_eq!(world.replicas(), 12, "{}", story(&world));
    let before = world.decisions.len();
    world.scale_rates(5.0);
    world.minutes(12);
    assert_eq!(world.replicas(), 60, "{}", story(&world));
    world.scale_rates(0.2);
    world.minutes(12);
    assert_eq!(world.replicas(), 12, "{}", story(&world));
    let rises = world.decisions[before..]
        .windows(2)
        .filter(|pair| replicas(&pair[1]) > replicas(&pair[0]))
        .count();
    assert!(rises <= 2, "{}", story(&world));
}

#[test]
fn the_trail_reads_in_pipeline_order() {
    let mut world = World::new(policy(), vec![20.0; 8], 2);
    world.polls(2);
    let decision = world.poll();
    let stages: Vec<_> = decision.trail.iter().map(|step| step.stage).collect();
    assert!(stages.is_sorted());
    assert!(
        decision
            .trail
            .windows(2)
            .all(|pair| pair[0].after == pair[1].before)
    );
    assert_eq!(
        decision.verdict,
        Verdict::SteadyState,
        "{:#?}",
        decision.trail
    );
}
