//! What users of such scalers have reported, each as the decision that would have been right.

use std::time::Duration;

use crate::world::{World, is_active, policy, replicas};
use crate::{
    AssignedTopic, Cause, Committed, Decision, Desired, LogOffsets, Observation,
    PartitionObservation, Policy, PrometheusObservation, Reading, State, TopicObservation, Verdict,
    decide,
};

fn says(decision: &Decision, verdict: Verdict) -> bool {
    decision.findings.iter().any(|one| one.verdict == verdict)
}

/// The first decision about an observation.
fn first(policy: &Policy, world: &World, observation: &Observation) -> Decision {
    decide(policy, State::default(), observation, world.now()).1
}

/// A topic of one partition with these records, nothing of which was ever committed.
fn other_topic(name: &str, records: u64) -> TopicObservation {
    TopicObservation {
        name: name.to_owned(),
        partitions: Reading::Known(vec![PartitionObservation {
            partition: 0,
            log: Reading::Known(LogOffsets {
                start: 0,
                end: records,
            }),
            committed: Reading::Known(Committed::At(0)),
            history: None,
        }]),
    }
}

#[test]
fn an_activation_lag_of_its_own_is_what_wakes() {
    for (given, lag, awake) in [
        (None, 3, false),
        (None, 1_001, true),
        (Some(0.0), 3, true),
        (Some(50.0), 3, false),
    ] {
        let policy = Policy {
            activation_lag_records: 1_000,
            activation_records_per_second: given,
            ..policy()
        };
        // 20 records/s would pass it within a minute, and all the same wake nobody.
        let mut world = World::new(policy.clone(), vec![20.0], 0);
        world.polls(3);
        let mut observation = world.observation();
        if let Reading::Known(partitions) = &mut observation.topics[0].partitions
            && let Reading::Known(log) = partitions[0].log
        {
            partitions[0].committed = Reading::Known(Committed::At(log.end - lag));
        }
        let decision = first(&policy, &world, &observation);
        assert_eq!(is_active(&decision), awake, "{given:?} {lag}");
    }
}

#[test]
fn who_is_awake_stays_so_at_a_rate_that_would_wake_it_again_soon() {
    // Per partition, of 4: 100 records/s pass 1,000 in 10 s, 2 in 500 s.
    for (rate, awake) in [(25.0, true), (0.5, false)] {
        let policy = Policy {
            activation_lag_records: 1_000,
            ..policy()
        };
        let mut world = World::new(policy, vec![rate; 4], 2);
        world.minutes(3);
        assert_eq!(is_active(&world.poll()), awake, "{rate}");
        // So it does after a restart.
        world.state = State::default();
        world.minutes(3);
        assert_eq!(is_active(&world.poll()), awake, "{rate}");
    }
}

#[test]
fn a_topic_that_is_missing_does_not_blind_the_others() {
    let unknown = |cause| TopicObservation {
        name: "b".to_owned(),
        partitions: Reading::Unknown(cause),
    };
    let world = World::new(policy(), vec![0.0], 0);
    for cause in [Cause::NotFound, Cause::Refused, Cause::Timeout] {
        let mut observation = world.observation();
        observation.topics = vec![other_topic("a", 5_000), unknown(cause)];
        let decision = first(&policy(), &world, &observation);
        assert!(is_active(&decision), "{decision:#?}");
        assert!(replicas(&decision) > 0);
        let named = |why: &str| why.contains("topic b") && why.contains(cause.label());
        assert!(decision.findings.iter().any(|one| named(&one.why)));
        // Where the others have no work, nothing is said of what cannot be seen.
        observation.topics[0] = other_topic("a", 0);
        let decision = first(&policy(), &world, &observation);
        assert_eq!(decision.desired, Desired::Unknown { cause });
    }
}

#[test]
fn partitions_without_work_lift_no_limit() {
    let policy = Policy {
        limit_to_partitions_with_lag: true,
        ..policy()
    };
    for busy in [1, 3] {
        let mut rates = vec![0.0; 20];
        rates[..busy].fill(1_000.0 / busy as f64);
        let mut world = World::new(policy.clone(), rates, 1);
        world.minutes(10);
        let most = world.decisions.iter().map(replicas).max();
        assert!(most <= Some(busy as u32), "{most:?}");
    }
}

#[test]
fn idle_consumers_are_those_that_the_rate_asks_for() {
    for (allow, expected) in [(true, 13), (false, 3)] {
        let policy = Policy {
            allow_idle_consumers: allow,
            ..policy()
        };
        let mut world = World::new(policy, vec![1_000.0 / 3.0; 3], 1);
        world.minutes(10);
        let decision = world.poll();
        assert_eq!(replicas(&decision), expected);
        let limit = &decision.trail[decision.trail.len() - 1].why;
        assert!(!limit.contains("4294967295"), "{limit}");
    }
}

#[test]
fn no_bound_is_exceeded_because_a_part_cannot_be_read() {
    let mut world = World::new(policy(), vec![80.0; 24], 24);
    world.minutes(1);
    assert_eq!(replicas(&world.poll()), 24);
    world.policy.max_replicas = Some(10);
    let decision = world.poll_with(|observation| {
        if let Reading::Known(partitions) = &mut observation.topics[0].partitions {
            partitions[3].log = Reading::Unknown(Cause::Moving);
        }
    });
    assert_eq!(replicas(&decision), 10);
}

#[test]
fn a_prometheus_that_counts_everything_twice_is_not_believed() {
    for times in [1.7, 2.0, 2.5] {
        let mut world = World::new(policy(), vec![20.0; 24], 6);
        for _ in 0..12 * 15 {
            world.prometheus = PrometheusObservation::Known {
                records_per_second: 480.0 * times,
                at: world.now(),
            };
            let decision = world.poll();
            assert!(says(&decision, Verdict::RateMismatch), "{decision:#?}");
            assert_eq!(replicas(&decision), 6);
        }
    }
}

#[test]
fn members_that_commit_seldom_are_not_stalled() {
    for commit_seconds in [30, 90, 300] {
        let mut world = World::new(policy(), vec![20.0; 24], 6);
        world.commit_seconds = commit_seconds;
        for _ in 0..12 * 40 {
            let decision = world.poll();
            assert!(!says(&decision, Verdict::MembersStalled), "{decision:#?}");
            assert!(!says(&decision, Verdict::StuckPartition), "{decision:#?}");
        }
    }
}

#[test]
fn members_that_commit_nothing_do_not_hold_the_others_for_ever() {
    let mut world = World::new(policy(), vec![20.0; 24], 12);
    world.minutes(2);
    world.downstream = 0.0;
    world.minutes(20);
    assert!(says(&world.poll(), Verdict::MembersStalled));
    world.scale_rates(0.05);
    let before = replicas(&world.poll());
    world.minutes(5);
    assert_eq!(replicas(&world.poll()), before);
    world.minutes(45);
    let decision = world.poll();
    assert!(replicas(&decision) < before, "{decision:#?}");
}

#[test]
fn starts_that_take_longer_than_was_told_are_learned() {
    for start_seconds in [150, 300] {
        let mut world = World::new(policy(), vec![10.0; 24], 3);
        world.start_seconds = start_seconds;
        let mut overdue = Vec::new();
        for _ in 0..6 {
            world.minutes(20);
            let before = world.decisions.len();
            world.scale_rates(4.0);
            world.minutes(8);
            let decisions = world.decisions[before..].iter();
            overdue.push(
                decisions
                    .filter(|one| says(one, Verdict::PodsNotJoining))
                    .count(),
            );
            world.scale_rates(0.25);
        }
        assert_eq!(overdue[5], 0, "{start_seconds}: {overdue:?}");
    }
}

#[test]
fn what_nobody_in_the_group_reads_asks_for_no_replicas() {
    let unread = |observation: &mut Observation| {
        if let Reading::Known(group) = &mut observation.group {
            for member in &mut group.members {
                member.assigned = vec![AssignedTopic {
                    topic: "another".to_owned(),
                    partitions: vec![0],
                }];
            }
        }
    };
    let mut world = World::new(policy(), vec![50.0; 24], 2);
    world.downstream = 0.0;
    for _ in 0..60 {
        let decision = world.poll_with(unread);
        assert_eq!(replicas(&decision), 2, "{decision:#?}");
        assert!(is_active(&decision));
        let named = |why: &str| why.contains("trades-0 and 23 more no member");
        assert!(
            decision.findings.iter().any(|one| named(&one.why)),
            "{decision:#?}"
        );
    }
}

#[test]
fn a_load_that_ends_in_a_rebalance_is_no_pause() {
    let pause = |ends: bool| {
        let mut world = World::new(policy(), vec![30.0; 24], 12);
        world.minutes(10);
        world.rebalance(5);
        world.polls(2);
        if ends {
            world.scale_rates(0.0);
        }
        // Evidence for as long as members come and go.
        for _ in 0..6 {
            world.poll_with(|observation| {
                if let Reading::Known(group) = &mut observation.group {
                    group.state = crate::GroupState::PreparingRebalance;
                }
            });
        }
        world.minutes(2);
        world.state.rebalance.pause()
    };
    assert!(pause(false) < Duration::from_secs(12), "{:?}", pause(false));
    assert!(pause(true) < Duration::from_secs(12), "{:?}", pause(true));
}
