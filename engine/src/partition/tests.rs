//! Tables: holes in observations, logs that start anew, partitions that come.

use crate::world::{World, policy, replicas};
use crate::{
    Cause, Committed, Desired, LogOffsets, Observation, PartitionObservation, Reading, State,
    Verdict, decide,
};

fn partitions(observation: &mut Observation) -> &mut Vec<PartitionObservation> {
    match &mut observation.topics[0].partitions {
        Reading::Known(partitions) => partitions,
        Reading::Unknown(cause) => panic!("{cause:?}"),
    }
}

#[test]
fn a_hole_is_filled_for_as_long_as_the_policy_allows_and_then_the_rest_may_only_ask_for_more() {
    let mut world = World::new(policy(), vec![30.0; 8], 4);
    world.minutes(6);
    let before = replicas(&world.poll());
    let polls = |world: &mut World, all: bool, count: usize| {
        for _ in 0..count {
            world.poll_with(|observation| {
                let count = if all { 8 } else { 1 };
                for partition in partitions(observation).iter_mut().take(count) {
                    partition.log = Reading::Unknown(Cause::Moving);
                }
            });
        }
        world.decisions[world.decisions.len() - 1].clone()
    };
    for poll in 1..=30 {
        let decision = polls(&mut world, false, 1);
        assert_eq!(replicas(&decision), before, "poll {poll}");
        let mut findings = decision.findings.iter();
        assert!(findings.any(|finding| finding.verdict == Verdict::Degraded));
    }
    let mut busier = world.clone();
    busier.scale_rates(2.0);
    assert!(replicas(&polls(&mut busier, false, 12)) > before);
    let mut idle = world.clone();
    idle.scale_rates(0.0);
    let unknown = Desired::Unknown {
        cause: Cause::Stale,
    };
    assert_eq!(polls(&mut idle, false, 200).desired, unknown);
    assert_eq!(polls(&mut world.clone(), true, 30).desired, unknown);
    world.minutes(1);
    assert_eq!(replicas(&world.poll()), before);
}

#[test]
fn a_topic_that_was_never_there_has_no_answer_and_says_so() {
    let world = World::new(policy(), vec![30.0; 8], 4);
    let mut observation = world.observation();
    observation.topics[0].partitions = Reading::Unknown(Cause::NotFound);
    let (_, decision) = decide(&world.policy, State::default(), &observation, world.now());
    assert_eq!(
        decision.desired,
        Desired::Unknown {
            cause: Cause::NotFound
        }
    );
    assert!(decision.findings[0].why.contains("topic trades"));
}

#[test]
fn a_log_that_starts_anew_is_named_and_makes_no_spike() {
    let mut world = World::new(policy(), vec![30.0; 8], 4);
    world.minutes(6);
    let before = replicas(&world.poll());
    for poll in 0..12 {
        let decision = world.poll_with(|observation| {
            let one = &mut partitions(observation)[3];
            one.log = Reading::Known(LogOffsets {
                start: 0,
                end: 150 * poll,
            });
            one.committed = Reading::Known(Committed::At(150 * poll));
        });
        assert_eq!(replicas(&decision), before);
        let named = decision
            .findings
            .iter()
            .any(|finding| finding.why.starts_with("trades-3 ends"));
        assert_eq!(named, poll == 0, "{:?}", decision.findings);
    }
}

#[test]
fn partitions_that_are_added_make_no_spike() {
    let mut world = World::new(policy(), vec![30.0; 8], 4);
    world.minutes(6);
    let before = replicas(&world.poll());
    for poll in 1..=6_u64 {
        let decision = world.poll_with(|observation| {
            let mut added = partitions(observation)[7];
            added.partition = 8;
            added.history = None;
            let end = 1_000_000 + poll * 5;
            added.log = Reading::Known(LogOffsets { start: 0, end });
            added.committed = Reading::Known(Committed::At(end));
            partitions(observation).push(added);
        });
        assert_eq!(replicas(&decision), before);
        assert_eq!(decision.inputs.partitions, 9);
    }
}

#[test]
fn partitions_that_are_added_take_their_part_of_the_load_at_once() {
    let mut rates = vec![0.0; 32];
    rates[..2].fill(80.0);
    let mut world = World::new(policy(), rates, 2);
    // Only the first observation knows what was before it.
    let poll = |world: &mut World, listed: usize, first: bool| {
        replicas(&world.poll_with(|observation| {
            let partitions = partitions(observation);
            partitions.truncate(listed);
            for partition in partitions.iter_mut().filter(|_| !first) {
                partition.history = None;
            }
        }))
    };
    let mut before = poll(&mut world, 2, true);
    for _ in 0..12 * 20 {
        before = poll(&mut world, 2, false);
    }
    world.rates = vec![5.0; 32];
    for number in 0..12 * 30 {
        assert_eq!(poll(&mut world, 32, false), before, "poll {number}");
    }
}

#[test]
fn state_survives_a_round_trip() {
    let mut world = World::new(policy(), vec![30.0; 8], 4);
    world.minutes(3);
    let bytes = serde_json::to_string(&world.state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&bytes).unwrap(), world.state);
}

#[test]
fn a_clock_that_goes_back_holds_the_last_decision_and_says_so() {
    let mut world = World::new(policy(), vec![30.0; 8], 4);
    world.minutes(3);
    let last = world.poll();
    let earlier = world.now().minus(std::time::Duration::from_secs(30));
    let observation = world.observation();
    let (state, decision) = decide(&world.policy, world.state.clone(), &observation, earlier);
    assert_eq!((decision.desired, &state), (last.desired, &world.state));
    assert!(decision.findings[0].why.contains("went back by 30.0 s"));
}

#[test]
fn what_a_log_had_before_it_was_first_read_counts_once() {
    let mut world = World::new(policy(), vec![30.0; 8], 4);
    for _ in 0..3 {
        world.poll();
    }
    // 300 s of 30 records/s before the first look, and what came since.
    for partition in world.state.partitions.iter() {
        assert!(
            (8_900.0..9_300.0).contains(&partition.usual_records),
            "{}",
            partition.usual_records
        );
    }
}

#[test]
fn what_came_while_a_topic_could_not_be_read_is_no_rate() {
    let mut world = World::new(policy(), vec![30.0; 40], 15);
    world.minutes(6);
    world.scale_rates(3.0);
    for _ in 0..40 {
        world.poll_with(|observation| {
            observation.topics[0].partitions = Reading::Unknown(Cause::Failed);
        });
    }
    // 3,600 records/s, and 205 s of them at once.
    for _ in 0..20 {
        let decision = world.poll();
        let rate = decision.inputs.inbound_up.unwrap();
        assert!(rate < 3_700.0, "{rate}");
    }
}
