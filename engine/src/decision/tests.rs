//! Closed loops over the small world: does the target land where it should, and stay there?

use std::time::Duration;

use crate::world::{World, policy, replicas};
use crate::{Cause, Decision, Observation, Policy, Reading, TopicObservation, Verdict};

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
fn scatter_between_even_partitions_costs_no_replicas() {
    let mut world = World::new(policy(), vec![200.0 / 24.0; 24], 3);
    // Replicas that start so fast leave no backlog to be foreseen.
    world.policy.startup = Duration::from_secs(5);
    for (index, rate) in world.rates.iter_mut().enumerate() {
        *rate *= [1.08, 0.93, 0.92, 1.07, 1.0, 1.0][index % 6];
    }
    world.minutes(20);
    world.scale_rates(5.0);
    world.minutes(10);
    assert_eq!(world.replicas(), 12, "{}", story(&world));
    let most = world.decisions.iter().map(replicas).max();
    assert_eq!(most, Some(12), "{}", story(&world));
}

#[test]
fn the_first_seconds_of_a_burst_do_not_make_an_even_topic_skewed() {
    let mut world = World::new(policy(), vec![0.0; 24], 0);
    // Replicas that start so fast leave no backlog to be foreseen.
    world.policy.startup = Duration::from_secs(5);
    world.minutes(2);
    // What 5 s of 950 records/s look like when hashed over 24 partitions.
    world.rates = (0..24)
        .map(|index| 950.0 / 24.0 * [1.3, 0.8, 0.9, 1.2, 0.7, 1.1][index % 6])
        .collect();
    world.polls(1);
    world.rates = vec![950.0 / 24.0; 24];
    world.minutes(10);
    let most = world.decisions.iter().map(replicas).max();
    assert_eq!(most, Some(12), "{}", story(&world));
}

#[test]
fn a_restart_while_replicas_join_asks_for_all_that_come() {
    // Capacity is not configured: what the last scaler had learned is forgotten.
    let unknown = Policy {
        capacity_per_replica: None,
        ..policy()
    };
    let mut world = World::new(unknown, vec![10.0; 24], 4);
    world.follow = false;
    world.poll();
    world.join(8);
    world.polls(3);
    assert_eq!(replicas(&world.poll()), 12, "{}", story(&world));
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

/// The reason of the number, whatever else is true.
#[track_caller]
fn check_reason(decision: &Decision, words: &str) {
    assert!(
        decision.reason.contains(words),
        "{words:?} is not in {:?}",
        decision.reason
    );
}

#[test]
fn the_reason_is_that_of_the_number() {
    // 24 partitions of 25 records/s on replicas of 100: 8 take 3 each.
    let mut world = World::new(policy(), vec![25.0; 24], 8);
    world.minutes(10);
    let decision = world.poll();
    assert_eq!(replicas(&decision), 8);
    check_reason(
        &decision,
        "records/s come in over 24 partitions; the busiest of 8 replicas gets 75 and may get 87; of 6 \
         it would get 100",
    );
    let mut spike = World::new(policy(), vec![200.0 / 24.0; 24], 3);
    spike.minutes(10);
    spike.scale_rates(5.0);
    // 1,000 records/s take 12, and what piles up until those are there takes more.
    let decision = spike.poll();
    assert_eq!(replicas(&decision), 24);
    check_reason(
        &decision,
        "the busiest of 12 replicas gets 83 and may get 87; of 8 it would get 125; 24 work off in 120 s \
         what waits until they start",
    );
    world.scale_rates(0.5);
    world.polls(5);
    check_reason(
        &world.poll(),
        "4 would do, and more was needed within the last 300 s",
    );
    world.scale_rates(0.0);
    world.minutes(1);
    check_reason(&world.poll(), "0 would do, and more was needed");
    let mut bounded = World::new(
        Policy {
            max_replicas: Some(5),
            ..policy()
        },
        vec![25.0; 24],
        5,
    );
    bounded.minutes(1);
    check_reason(&bounded.poll(), "would be right, and maxReplicas is 5: ");
    let mut unknown = World::new(
        Policy {
            capacity_per_replica: None,
            ..policy()
        },
        vec![1.0; 4],
        1,
    );
    unknown.polls(3);
    check_reason(&unknown.poll(), "what a replica can do is not known yet");
}

#[test]
fn a_number_of_partitions_that_is_dear_is_said_beside_the_verdict() {
    let told = |partitions: usize, replicas: usize| {
        let mut world = World::new(
            policy(),
            vec![5_000.0 / partitions as f64; partitions],
            replicas,
        );
        world.minutes(12);
        let last = world.decisions.pop().unwrap();
        let mut findings = last.findings.into_iter();
        let found = findings.find(|finding| finding.verdict == Verdict::CoarsePartitions);
        (last.verdict, found.map(|finding| finding.why))
    };
    let (verdict, why) = told(100, 100);
    assert_eq!(verdict, Verdict::SteadyState);
    let why = why.unwrap();
    assert!(why.contains("116 partitions would need 58"), "{why}");
    assert_eq!(told(120, 60), (Verdict::SteadyState, None));
}

#[test]
fn a_scaler_that_takes_over_goes_on_from_what_the_leader_asked_for() {
    let mut world = World::new(policy(), vec![30.0; 24], 12);
    world.minutes(20);
    let before = world.poll();
    assert_eq!(replicas(&before), 12, "{}", story(&world));
    // Whatever made the leader keep more, its own window has not seen: nothing is lowered for one.
    let state = std::mem::take(&mut world.state);
    world.state = state.with_asked(24, &world.policy, world.now());
    let first = world.poll();
    assert_eq!(replicas(&first), 24, "{}", story(&world));
    world.minutes(10);
    let last = world.poll();
    assert_eq!(replicas(&last), 12, "{}", story(&world));
}

#[test]
fn partitions_bound_what_stays_where_all_of_them_are_known() {
    // 60 replicas, as Kubernetes may say, of a topic with 24 partitions.
    let first = |bend: fn(&mut Observation)| {
        let mut world = World::new(policy(), vec![10.0; 24], 60);
        replicas(&world.poll_with(bend))
    };
    let no_commit = |observation: &mut Observation| {
        if let Some(Reading::Known(partitions)) = observation
            .topics
            .first_mut()
            .map(|topic| &mut topic.partitions)
        {
            partitions[0].committed = Reading::Unknown(Cause::Refused);
        }
    };
    assert_eq!(first(no_commit), 24);
    let no_partitions = |observation: &mut Observation| {
        observation.topics.push(TopicObservation {
            name: "unlisted".to_owned(),
            partitions: Reading::Unknown(Cause::Refused),
        });
    };
    assert_eq!(first(no_partitions), 60);
}
