//! Tables: how many replicas pods and members are.

use super::*;
use crate::group::Dealt;
use crate::world::{World, policy, replicas as asked_of};
use crate::{Decision, Desired, GroupProtocol, GroupState, Observation, Paused, Verdict};

/// Pods asked for, there and ready, members, and how many replicas they are.
type Row = (u32, u32, u32, u32, u32);

/// A group of so many members, whose addresses make them so many replicas.
fn group(members: u32, by_address: u32) -> GroupMemory {
    GroupMemory {
        at: Timestamp::default(),
        protocol: GroupProtocol::Classic,
        state: GroupState::Stable,
        assignor: String::new(),
        members,
        replicas: by_address,
        places: Vec::new(),
        fingerprint: None,
        assigns: true,
        strangers: 0,
        dealt: None,
        most_of_an_address: None,
    }
}

fn workload(asked: u32, exist: u32, ready: u32, at: Timestamp) -> Workload {
    let known = World::new(policy(), vec![1.0], 0).workload();
    Workload {
        at,
        asked,
        exist,
        ready: Some(ready),
        updating: exist > asked,
        ..known
    }
}

/// Follows rows that each stand for two minutes; starts take one.
fn check(memory: ReplicaMemory, rows: &[Row]) -> (ReplicaMemory, Option<Dealt>) {
    let mut memory = memory;
    let mut group = group(0, 1);
    for (number, &(asked, exist, ready, members, expected)) in (1..).zip(rows) {
        for second in (0..120).step_by(10) {
            let now = Timestamp::from_secs(number * 120 + second);
            group.members = members;
            let workload = workload(asked, exist, ready, now);
            let view = memory.follow(
                &WorkloadObservation::Known(workload),
                &mut group,
                (true, Duration::from_secs(60), Duration::from_secs(120)),
                now,
            );
            // Within the time of a start what was thought before may stand.
            if second >= 70 {
                assert_eq!(
                    view.observed, expected,
                    "row {number}, {second} s: {memory:?}"
                );
            }
        }
    }
    (memory, group.dealt)
}

fn new(rows: &[Row]) -> ReplicaMemory {
    check(ReplicaMemory::default(), rows).0
}

#[test]
fn pods_behind_one_address_are_counted_by_their_members() {
    new(&[
        (3, 3, 3, 3, 3),
        (12, 12, 12, 3, 3),
        (12, 12, 12, 9, 9),
        (12, 12, 12, 12, 12),
        (6, 6, 6, 6, 6),
    ]);
}

#[test]
fn members_of_a_pod_are_learned_and_may_differ() {
    let memory = new(&[
        (6, 6, 6, 24, 6),
        (12, 12, 12, 24, 6),
        (12, 12, 12, 36, 9),
        (12, 12, 12, 48, 12),
    ]);
    assert_eq!(memory.each, Some(4.0));
    // Pods of two, three and two members.
    let memory = new(&[
        (3, 3, 3, 7, 3),
        (6, 6, 6, 14, 6),
        (9, 9, 9, 20, 8),
        (9, 9, 9, 21, 9),
    ]);
    assert!((memory.each.unwrap() - 7.0 / 3.0).abs() < 1e-9);
}

#[test]
fn until_anything_is_at_rest_members_are_divided_over_the_pods_there_are() {
    let mut group = group(24, 1);
    let now = Timestamp::from_secs(120);
    let terms = (false, Duration::from_secs(60), Duration::from_secs(120));
    let mut follow = |exist: u32, by_address: u32| {
        (group.replicas, group.most_of_an_address) = (by_address, Some(24 / by_address));
        let known = WorkloadObservation::Known(workload(12, exist, exist, now));
        let observed = ReplicaMemory::default()
            .follow(&known, &mut group, terms, now)
            .observed;
        (observed, group.members_per_replica())
    };
    assert_eq!(follow(6, 1), (6, 4));
    assert_eq!(follow(12, 1), (12, 2));
    // Several addresses say how many members a pod has: six of twelve are in.
    assert_eq!(follow(12, 6), (6, 4));
}

#[test]
fn a_canary_is_none_of_the_pods() {
    new(&[(6, 6, 6, 7, 6), (12, 12, 12, 7, 6), (12, 12, 12, 13, 12)]);
    // Beside one pod it looks like a second consumer of it, until there are more.
    let memory = new(&[(1, 1, 1, 2, 1), (6, 6, 6, 7, 6), (12, 12, 12, 13, 12)]);
    assert_eq!(memory.each, Some(1.0));
    // It comes later, and goes.
    new(&[
        (6, 6, 6, 6, 6),
        (6, 6, 6, 8, 6),
        (8, 8, 8, 10, 8),
        (8, 8, 8, 8, 8),
    ]);
}

#[test]
fn static_members_that_are_gone_are_none() {
    new(&[
        (12, 12, 12, 12, 12),
        (6, 6, 6, 12, 6),
        (6, 6, 6, 6, 6),
        (8, 8, 6, 6, 6),
        (8, 8, 8, 8, 8),
    ]);
}

#[test]
fn the_surge_of_a_rolling_update_is_none_and_members_are_learned_anew_after_it() {
    let memory = new(&[
        (12, 12, 12, 12, 12),
        (12, 15, 13, 13, 12),
        (12, 14, 14, 14, 12),
        (12, 12, 12, 24, 12),
    ]);
    assert_eq!(memory.each, Some(2.0));
}

#[test]
fn learned_members_count_before_anything_is_at_rest_and_where_kubernetes_is_away() {
    let (mut memory, dealt) = check(ReplicaMemory::with_each(Some(4.0)), &[(6, 6, 6, 12, 3)]);
    assert_eq!(dealt, group(12, 1).deal(4.0));
    let mut group = group(24, 1);
    let mut follow = |cause: Cause, second: u64| {
        let unknown = WorkloadObservation::Unknown(cause);
        let now = Timestamp::from_secs(240 + second);
        let terms = (true, Duration::from_secs(60), Duration::from_secs(120));
        memory.follow(&unknown, &mut group, terms, now)
    };
    let stands = follow(Cause::Timeout, 60);
    assert!((stands.observed, stands.turned) == (6, false) && stands.unread.is_none());
    let counted = follow(Cause::Timeout, 130);
    assert_eq!((counted.observed, counted.turned), (6, true));
    assert_eq!(
        (counted.known, counted.unread),
        (Known::Counted(4.0), Some(Cause::Timeout))
    );
}

/// Changes what Kubernetes says.
fn bent(observation: &mut Observation, change: impl FnOnce(&mut Workload)) {
    if let WorkloadObservation::Known(workload) = &mut observation.workload {
        change(workload);
    }
}

/// A world whose pods are all behind one address.
fn behind_one_address(rates: Vec<f64>, pods: usize) -> World {
    let mut world = World::new(policy(), rates, pods);
    world.behind_one_address = true;
    world
}

fn finding(decision: &Decision, verdict: Verdict) -> Option<&str> {
    let mut findings = decision.findings.iter();
    let found = findings.find(|finding| finding.verdict == verdict);
    found.map(|finding| finding.why.as_str())
}

#[test]
fn pods_behind_one_address_are_scaled_as_if_each_had_its_own() {
    let mut told = policy();
    told.capacity_per_replica = None;
    let mut own = World::new(told.clone(), vec![40.0; 24], 4);
    let mut one = own.clone();
    one.behind_one_address = true;
    for minute in 0..90 {
        let factor = [1.0, 1.6, 0.4, 2.0, 1.0][minute % 5];
        if minute % 12 == 0 {
            own.scale_rates(factor);
            one.scale_rates(factor);
        }
        for _ in 0..12 {
            own.poll();
            one.poll();
        }
        let [own, one] = [&own, &one].map(|world| world.decisions.last().unwrap());
        assert_eq!(asked_of(own), asked_of(one), "minute {minute}: {one:#?}");
    }
    let last = one.decisions.last().unwrap();
    assert!(
        last.trail[0].why.contains("pods, as Kubernetes says"),
        "{last:#?}"
    );
    let last = own.decisions.last().unwrap();
    assert!(
        last.trail[0]
            .why
            .contains("replicas, guessed from addresses"),
        "{last:#?}"
    );
}

/// A settled world of 4 pods of 100 records/s whose load then triples.
fn tripled(change: fn(&mut Workload), minutes: usize) -> World {
    let mut world = behind_one_address(vec![40.0; 8], 4);
    for poll in 0..12 * (6 + minutes) {
        if poll == 72 {
            world.scale_rates(3.0);
        }
        world.poll_with(|observation| {
            bent(observation, |workload| {
                if poll >= 72 {
                    change(workload);
                }
            })
        });
    }
    world
}

#[test]
fn more_than_max_replica_count_is_a_finding_and_no_wait() {
    let world = tripled(|workload| workload.scaling.max = 5, 5);
    let last = world.decisions.last().unwrap();
    assert_eq!((asked_of(last), last.inputs.replicas_in_flight), (5, 0));
    assert!(
        finding(last, Verdict::ScalingLimited)
            .unwrap()
            .contains("maxReplicaCount is 5")
    );
    assert_eq!(finding(last, Verdict::PodsNotJoining), None);
}

#[test]
fn a_pause_is_a_finding_and_no_wait() {
    let paused = |workload: &mut Workload| {
        workload.scaling.paused = Paused::Up;
        workload.asked = 4;
        workload.exist = 4;
        workload.ready = Some(4);
    };
    let mut world = behind_one_address(vec![40.0; 8], 4);
    world.follow = false;
    for poll in 0..120 {
        if poll == 60 {
            world.scale_rates(2.0);
        }
        world.poll_with(|observation| bent(observation, paused));
    }
    let last = world.decisions.last().unwrap();
    assert_eq!((asked_of(last), last.inputs.replicas_in_flight), (8, 0));
    assert!(
        finding(last, Verdict::ScalingLimited)
            .unwrap()
            .contains("pauses scaling out")
    );
    assert_eq!(finding(last, Verdict::PodsNotJoining), None);
}

#[test]
fn the_first_answer_waits_for_kubernetes_and_not_for_ever() {
    let unread = |observation: &mut Observation| {
        observation.workload = WorkloadObservation::Unknown(Cause::NotYetObserved);
    };
    // 12 were asked for, and are one address: far more than the load needs.
    let mut world = behind_one_address(vec![4.0; 24], 12);
    let first = world.poll_with(unread);
    assert!(
        matches!(first.desired, Desired::Unknown { .. }),
        "{first:#?}"
    );
    let second = world.poll_with(|_| {});
    assert_eq!(asked_of(&second), 12, "{second:#?}");

    let mut world = behind_one_address(vec![4.0; 24], 12);
    for _ in 0..4 {
        world.poll_with(unread);
    }
    let last = world.decisions.last().unwrap();
    assert!(matches!(last.desired, Desired::Known { .. }), "{last:#?}");
}

#[test]
fn pods_that_are_not_ready_are_there() {
    let mut world = behind_one_address(vec![40.0; 8], 4);
    world.minutes(10);
    let before = asked_of(world.decisions.last().unwrap());
    world.scale_rates(0.0);
    for _ in 0..8 {
        world.poll();
    }
    assert_eq!(world.lag(), 0);
    let unready = |observation: &mut Observation| bent(observation, |it| it.ready = Some(0));
    let decision = world.poll_with(unready);
    assert_eq!(asked_of(&decision), before, "{decision:#?}");
}

#[test]
fn pods_that_do_not_join_have_a_reason() {
    let check = |asked: u32, exist: u32, ready: u32, says: &str| {
        let mut world = behind_one_address(vec![40.0; 8], 4);
        world.follow = false;
        for poll in 0..180 {
            if poll == 60 {
                world.scale_rates(2.0);
            }
            world.poll_with(|observation| {
                bent(observation, |workload| {
                    if poll >= 63 {
                        (workload.asked, workload.exist) = (asked, exist);
                        workload.ready = Some(ready);
                    }
                })
            });
        }
        let last = world.decisions.last().unwrap();
        let why = finding(last, Verdict::PodsNotJoining).unwrap();
        assert!(why.contains(says), "{why}");
    };
    check(4, 4, 4, "is asked for 4 only");
    check(8, 5, 4, "5 of the 8 pods asked for have been created");
    check(8, 8, 4, "4 of 8 pods are ready");
    check(8, 8, 8, "8 pods are there and 4 are in the group");
}

/// What is asked for, one after the other, of pods under the HPA's default tolerance.
fn under_ten_percent(mut world: World, factor: f64) -> (Vec<u32>, Decision) {
    world.assignor = "sticky";
    let mut counts = Vec::new();
    for poll in 0..12 * 30 {
        if poll == 60 {
            world.scale_rates(factor);
        }
        let decision = world.poll_with(|observation| {
            bent(observation, |workload| {
                workload.scaling.tolerance_up = 0.1;
                workload.scaling.tolerance_down = 0.1;
            });
        });
        counts.push(asked_of(&decision));
    }
    counts.dedup();
    (counts, world.decisions.pop().unwrap())
}

#[test]
fn a_step_within_the_tolerance_is_made_past_it_where_more_is_needed() {
    // 11 partitions each are too many for 10 replicas, and 11 of 10 is a tenth more: 13 is beyond,
    // and from there 11 can be reached.
    let (counts, _) = under_ten_percent(behind_one_address(vec![7.8; 110], 10), 1.1);
    assert_eq!(counts, [10, 13, 11]);
}

#[test]
fn a_step_within_the_tolerance_is_not_made_for_less() {
    // 23 would do, each with one partition more: within a tenth of 25.
    let (counts, last) = under_ten_percent(behind_one_address(vec![9.5; 200], 25), 0.95);
    assert_eq!(counts, [25]);
    assert_eq!(last.verdict, Verdict::DownHeld);
    assert!(last.reason.contains("the HPA would take that"), "{last:#?}");
}

#[test]
fn min_replica_count_is_a_bound() {
    let mut world = behind_one_address(vec![10.0; 8], 4);
    for _ in 0..12 * 12 {
        world.poll_with(|observation| bent(observation, |workload| workload.scaling.min = 3));
    }
    let last = world.decisions.last().unwrap();
    assert_eq!(asked_of(last), 3);
    assert!(last.trail[5].why.contains("Within 3"), "{last:#?}");
}
