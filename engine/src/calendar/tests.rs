//! When a floor stands, of how many, and in which words.

use std::time::Duration;

use super::*;
use crate::decision::{Decision, Stage};
use crate::world::{World, is_active, policy, replicas};
use crate::{Desired, Verdict};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn event(from: u64, to: u64, replicas: u32) -> Event {
    Event {
        starts_at: at(from),
        ends_at: at(to),
        load: EventLoad::Replicas(replicas),
        learned: false,
    }
}

fn of_rate(from: u64, to: u64, rate: f64) -> Event {
    Event {
        load: EventLoad::RecordsPerSecond(rate),
        ..event(from, to, 1)
    }
}

/// What the floor of these events is at `now`, with starts of 60 s and pauses of 10 s: a lead of 115 s.
fn floor(memory: &mut CalendarMemory, events: &[Event], now: u64) -> Option<u32> {
    let lead = (Duration::from_secs(60), Duration::from_secs(10));
    memory.follow((events, &[]), lead, at(now));
    let floor = memory.floor(|event| match event.load {
        EventLoad::Replicas(replicas) => Some(replicas),
        EventLoad::RecordsPerSecond(_) => None,
    });
    floor.map(|floor| floor.replicas)
}

#[test]
fn a_floor_stands_from_the_lead_before_an_event_to_its_end() {
    let events = [event(1_000, 2_000, 12)];
    let mut memory = CalendarMemory::default();
    for (now, expected) in [
        (0, None),
        (884, None),
        (885, Some(12)),
        (1_500, Some(12)),
        (1_999, Some(12)),
        (2_000, None),
    ] {
        assert_eq!(floor(&mut memory, &events, now), expected, "{now}");
    }
    assert_eq!(memory, CalendarMemory::default());
}

#[test]
fn of_several_events_the_one_counts_that_takes_the_most() {
    let events = [event(1_000, 2_000, 12), event(1_500, 3_000, 5)];
    let mut memory = CalendarMemory::default();
    assert_eq!(floor(&mut memory, &events, 1_600), Some(12));
    assert_eq!(floor(&mut memory, &events, 2_000), Some(5));
    assert_eq!(floor(&mut memory, &events, 3_000), None);
}

#[test]
fn starts_that_are_learned_meanwhile_end_no_floor() {
    let events = [event(1_000, 2_000, 12)];
    let mut memory = CalendarMemory::default();
    assert_eq!(floor(&mut memory, &events, 890), Some(12));
    let fast = (Duration::from_secs(1), Duration::from_secs(1));
    assert!(memory.follow((&events, &[]), fast, at(892)).stands());
}

#[test]
fn a_floor_that_stands_does_not_fall_whatever_is_learned_of_the_capacity() {
    let events = [of_rate(0, 1_000, 500.0)];
    let mut memory = CalendarMemory::default();
    let mut sized = |now: u64, replicas: u32| {
        memory.follow((&events, &[]), (Duration::ZERO, Duration::ZERO), at(now));
        memory.floor(|_| Some(replicas)).map(|floor| floor.replicas)
    };
    assert_eq!(sized(0, 6), Some(6));
    assert_eq!(sized(10, 4), Some(6));
    assert_eq!(sized(20, 8), Some(8));
    assert_eq!(sized(1_000, 8), None);
}

#[test]
fn an_event_whose_replicas_are_not_known_wakes_with_one() {
    let mut memory = CalendarMemory::default();
    assert_eq!(floor(&mut memory, &[of_rate(0, 100, 50.0)], 0), Some(1));
}

#[test]
fn events_that_make_no_sense_do_not_count() {
    let mut memory = CalendarMemory::default();
    for senseless in [
        event(10, 10, 3),
        event(20, 10, 3),
        event(0, 100, 0),
        of_rate(0, 100, 0.0),
        of_rate(0, 100, -1.0),
        of_rate(0, 100, f64::NAN),
        of_rate(0, 100, f64::INFINITY),
    ] {
        assert_eq!(floor(&mut memory, &[senseless], 5), None, "{senseless:?}");
    }
    let many = vec![event(0, 100, 1); MOST_EVENTS * 2];
    floor(&mut memory, &many, 0);
    assert!(memory.standing.len() <= MOST_EVENTS);
}

fn stage(decision: &Decision) -> Option<(u32, u32, &str)> {
    let step = decision
        .trail
        .iter()
        .find(|step| step.stage == Stage::Calendar)?;
    Some((step.before, step.after, &step.why))
}

/// A world that sleeps, an hour after the epoch.
fn asleep(events: Vec<Event>) -> World {
    let mut world = World::new(policy(), vec![0.0; 24], 0);
    world.events = events;
    world.minutes(2);
    world
}

#[test]
fn the_time_until_an_event_is_told_to_the_nearest_hour() {
    let begins = 3_600 + 24_000;
    let mut world = asleep(vec![event(begins, begins + 600, 12)]);
    let decision = world.poll();
    let (_, _, why) = stage(&decision).unwrap();
    assert!(why.contains("begins in 7 h:"), "{why}");
}

#[test]
fn an_event_wakes_who_sleeps_before_it_begins_and_lets_go_afterwards() {
    let begins = 3_600 + 900;
    let mut world = asleep(vec![event(begins, begins + 600, 12)]);
    let before = world.poll();
    assert_eq!((replicas(&before), is_active(&before)), (0, false));
    let (from, to, why) = stage(&before).unwrap();
    assert_eq!((from, to), (0, 0));
    assert_eq!(
        why,
        "The next event, of 12 replicas, begins in 13 min: what it takes is asked for 190 s ahead."
    );
    // Starts were never seen: twice the 60 s told, a quarter more, a pause of 10 s and 30 s.
    while world.seconds < begins - 190 {
        assert!(!is_active(&world.poll()) || world.seconds >= begins - 190);
    }
    let woken = world.poll();
    assert_eq!((replicas(&woken), is_active(&woken)), (12, true));
    let first = world.decisions.iter().find(|one| is_active(one)).unwrap();
    assert_eq!(first.verdict, Verdict::Ahead);
    assert_eq!(
        first.reason,
        "an event of 12 replicas begins in 190 s and is prepared for 190 s ahead"
    );
    assert_eq!(first.inputs.calendar_floor, Some(12));
    while world.seconds < begins {
        world.poll();
    }
    assert_eq!(world.replicas(), 12, "they are there when it begins");
    let during = world.poll();
    assert_eq!(during.verdict, Verdict::Ahead, "{during:#?}");
    assert!(
        during.reason.contains("goes on for 595 s more"),
        "{during:#?}"
    );
    while world.seconds < begins + 600 {
        world.poll();
    }
    let after = world.poll();
    assert!(!is_active(&after), "{after:#?}");
    assert_eq!(stage(&after), None);
    world.minutes(6);
    assert_eq!(replicas(&world.poll()), 0);
    let steps = world
        .decisions
        .windows(2)
        .filter(|pair| pair[0].desired != pair[1].desired);
    assert!(steps.count() <= 3, "up, asleep, down");
}

#[test]
fn a_rate_is_sized_as_if_it_came_in() {
    let begins = 3_600 + 600;
    let mut world = asleep(vec![of_rate(begins, begins + 600, 1_000.0)]);
    while world.seconds < begins {
        world.poll();
    }
    assert_eq!(replicas(&world.poll()), 12);
    let stands = world.poll();
    let (_, after, why) = stage(&stands).unwrap();
    assert_eq!(after, 12);
    assert!(
        why.contains("An event of 1000 records/s goes on for"),
        "{why}"
    );
    assert!(why.ends_with("which takes 12."), "{why}");
    // Its load comes, and nothing has to change.
    world.rates = vec![1_000.0 / 24.0; 24];
    let before = world.decisions.len();
    world.minutes(5);
    let during = &world.decisions[before..];
    assert!(during.iter().all(|one| replicas(one) == 12));
}

#[test]
fn replicas_that_carry_no_more_are_not_asked_for() {
    let mut world = asleep(vec![event(0, u64::MAX / 1_000, 13)]);
    let decision = world.poll();
    assert_eq!(replicas(&decision), 12);
    let (_, _, why) = stage(&decision).unwrap();
    assert!(why.contains("over 24 partitions 12 carry no less"), "{why}");
    world.policy.allow_idle_consumers = true;
    assert_eq!(replicas(&world.poll()), 13);
}

#[test]
fn limits_bound_a_floor_and_are_said() {
    let mut world = asleep(vec![event(0, u64::MAX / 1_000, 24)]);
    world.policy.max_replicas = Some(8);
    let decision = world.poll();
    assert_eq!(replicas(&decision), 8);
    assert!(
        decision
            .reason
            .starts_with("24 would be right, and maxReplicas is 8: an event"),
        "{}",
        decision.reason
    );
}

#[test]
fn without_a_capacity_a_rate_wakes_with_one_and_says_what_is_missing() {
    let mut world = asleep(Vec::new());
    world.policy.capacity_per_replica = None;
    world.events = vec![of_rate(0, u64::MAX / 1_000, 1_000.0)];
    let decision = world.poll();
    assert_eq!((replicas(&decision), is_active(&decision)), (1, true));
    assert!(
        decision.reason.contains("give capacityPerReplica"),
        "{decision:#?}"
    );
}

#[test]
fn a_load_that_needs_more_than_the_event_gets_it() {
    let mut world = World::new(policy(), vec![1_000.0 / 24.0; 24], 12);
    world.events = vec![event(0, u64::MAX / 1_000, 3)];
    world.minutes(10);
    let decision = world.poll();
    assert_eq!(replicas(&decision), 12);
    assert_eq!(decision.verdict, Verdict::SteadyState, "{decision:#?}");
}

#[test]
fn what_the_hpa_would_take_for_what_is_there_is_passed_and_stays_passed() {
    let mut world = World::new(policy(), vec![30.0; 100], 34);
    world.behind_one_address = true;
    world.minutes(10);
    let there = replicas(&world.poll());
    // Within the tolerance of a tenth above what is there.
    world.events = vec![event(0, u64::MAX / 1_000, there + 2)];
    world.policy.allow_idle_consumers = true;
    let mut asked = Vec::new();
    for _ in 0..60 {
        let decision = world.poll_with(|observation| {
            if let crate::WorkloadObservation::Known(workload) = &mut observation.workload {
                workload.scaling.tolerance_up = 0.1;
                workload.scaling.tolerance_down = 0.1;
            }
        });
        asked.push(replicas(&decision));
    }
    asked.dedup();
    assert_eq!(asked.len(), 1, "{there}: {asked:?}");
    assert!(
        f64::from(asked[0]) > f64::from(there) * 1.1,
        "{there}: {asked:?}"
    );
}

#[test]
fn nothing_is_raised_where_nothing_is_known() {
    let mut world = asleep(Vec::new());
    world.events = vec![event(0, u64::MAX / 1_000, 12)];
    let decision = world.poll_with(|observation| {
        observation.topics.clear();
        observation.group = crate::Reading::Unknown(crate::Cause::Unreachable);
    });
    assert!(
        matches!(
            decision.desired,
            Desired::Known { replicas: 0, .. } | Desired::Unknown { .. }
        ),
        "{decision:#?}"
    );
}
