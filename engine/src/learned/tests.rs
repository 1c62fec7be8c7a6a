//! What is kept comes back as it was, however it was bent, and nothing is lowered for it.

use proptest::prelude::*;

use super::*;
use crate::world::{World, policy, replicas};
use crate::{Desired, Verdict};

/// A world that learned its capacity in an overload, and then an hour of a skewed load.
fn taught() -> World {
    let mut policy = policy();
    policy.capacity_per_replica = None;
    let mut rates = vec![20.0; 24];
    rates[3] = 60.0;
    let mut world = World::new(policy, rates, 2);
    world.minutes(60);
    assert!(
        world
            .state
            .learned()
            .capacity
            .differs(&LearnedCapacity::default(), |one, other| one.is_some()
                != other.is_some())
    );
    world
}

/// The same world with a scaler that knows only what was `learned`.
fn restarted(world: &World, learned: &Learned) -> World {
    let mut restarted = world.clone();
    restarted.state = State::default().with_learned(learned, &world.policy, world.now());
    restarted
}

#[test]
fn a_restart_with_what_was_learned_recommends_the_same_within_3_polls() {
    let mut world = taught();
    let learned = world.state.learned();
    let mut same = restarted(&world, &learned);
    let mut other = restarted(&world, &Learned::default());
    assert_eq!(other.poll().inputs.capacity_per_replica, None);
    world.poll();
    same.poll();
    for rise in [1.0, 1.4, 2.0] {
        for world in [&mut world, &mut same] {
            world.scale_rates(rise);
            world.polls(3);
        }
        let [kept, same] = [&world, &same].map(|world| world.decisions.last().unwrap());
        assert_eq!(replicas(kept), replicas(same), "{rise}: {same:#?}");
        let capacity = kept.inputs.capacity_per_replica;
        assert_eq!(capacity, same.inputs.capacity_per_replica);
    }
}

#[test]
fn what_comes_back_is_what_was_kept_and_small() {
    let world = taught();
    let learned = world.state.learned();
    let json = serde_json::to_string(&learned).unwrap();
    assert_eq!(serde_json::from_str::<Learned>(&json).unwrap(), learned);
    let back = State::default().with_learned(&learned, &world.policy, world.now());
    assert_eq!(back.learned(), learned);
    assert_eq!(
        serde_json::from_str::<Learned>("{}").unwrap(),
        Learned::default()
    );
}

#[test]
fn a_thousand_partitions_fit_in_32_kib() {
    let mut world = taught();
    world.state.capacity = full_of_samples();
    let mut learned = world.state.learned();
    let shares = (0..1_000).map(|number| (number, 123_456_789_012)).collect();
    learned.shares = [("t".repeat(249), shares)].into();
    for replicas in 0..16 {
        let inbound = 123_456.789_012_345 / f64::from(replicas + 1);
        learned.outgrown.note(100 - replicas, inbound, world.now());
    }
    let bytes = serde_json::to_string(&learned).unwrap().len();
    assert!(bytes <= 32 * 1024, "{bytes}");
}

/// As many samples as are ever kept.
fn full_of_samples() -> CapacityMemory {
    let samples: Vec<_> = (0_u64..300)
        .map(|number| (1_700_000_000_000 + number, 1_234.567_890_123_4, true))
        .collect();
    let learned = serde_json::json!({ "samples": samples });
    let learned = serde_json::from_value(learned).unwrap();
    let now = Timestamp::from_secs(1_900_000_000);
    CapacityMemory::with_learned(&learned, |_| true, &policy().tuning, now)
}

#[test]
fn it_is_worth_writing_when_something_was_learned_and_not_each_poll() {
    let mut world = taught();
    let mut written = world.state.learned();
    assert!(written.is_worth_writing_over(&Learned::default()));
    assert!(!written.is_worth_writing_over(&written));
    let mut writes = 0;
    for _ in 0..12 * 60 {
        world.poll();
        let learned = world.state.learned();
        if learned.is_worth_writing_over(&written) {
            written = learned;
            writes += 1;
        }
    }
    assert!(writes <= 3, "{writes}");
    world.rates.reverse();
    world.minutes(30);
    assert!(world.state.learned().is_worth_writing_over(&written));
}

#[test]
fn figures_that_make_no_sense_are_left_out_and_the_others_count() {
    let world = taught();
    let learned = world.state.learned();
    let mut bent = learned.clone();
    bent.pause_seconds = Some(f64::NAN);
    bent.startup_seconds = Some(-1.0);
    bent.commit_interval_seconds = Some(f64::INFINITY);
    bent.rises_missed = 7.0;
    bent.shares.insert("trades".to_owned(), vec![(0, u64::MAX)]);
    let back = State::default().with_learned(&bent, &world.policy, world.now());
    let kept = back.learned();
    assert_eq!(kept.capacity, learned.capacity);
    assert_eq!((kept.pause_seconds, kept.startup_seconds), (None, None));
    assert_eq!(
        (kept.commit_interval_seconds, kept.rises_missed),
        (None, 0.0)
    );
    assert!(kept.shares.is_empty());
}

#[test]
fn samples_of_a_clock_that_is_ahead_are_of_now() {
    let world = taught();
    let learned = world.state.learned();
    let earlier = world.now().minus(std::time::Duration::from_secs(300));
    let back = State::default().with_learned(&learned, &world.policy, earlier);
    let capacity = |state: &State| state.capacity.capacity(&world.policy, earlier);
    assert_eq!(capacity(&back), capacity(&world.state));
}

fn figures() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => 0.0..1e4_f64,
        1 => any::<f64>(),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(-1.0),
        1 => Just(f64::MIN_POSITIVE),
    ]
}

fn moments() -> impl Strategy<Value = Timestamp> {
    prop_oneof![any::<u64>(), 3_000_000_u64..4_000_000].prop_map(Timestamp::from_millis)
}

proptest! {
    #![proptest_config(crate::laws::cases(64))]

    #[test]
    fn nothing_learned_makes_it_panic_or_leave_the_limits_or_lower_in_the_warm_up(
        samples in prop::collection::vec((moments(), figures(), any::<bool>()), 0..300),
        figures in prop::collection::vec(prop::option::of(figures()), 5),
        shown in prop::option::of((moments(), figures(), figures())),
        outgrown in prop::collection::vec((any::<u32>(), figures(), moments()), 0..40),
        shares in prop::collection::vec((0_u32..30, any::<u64>()), 0..30),
        configured in any::<bool>(),
        load in 0.1..3.0_f64,
    ) {
        let mut learned = Learned {
            pause_seconds: figures[0],
            startup_seconds: figures[1],
            commit_interval_seconds: figures[2],
            members_per_replica: figures[4],
            rises_missed: figures[3].unwrap_or(0.0),
            capacity: LearnedCapacity::bent(samples, shown),
            ..Learned::default()
        };
        for (replicas, inbound, at) in outgrown {
            learned.outgrown.note(replicas, inbound, at);
        }
        learned.shares.insert("trades".to_owned(), shares);
        let mut policy = policy();
        policy.max_replicas = Some(20);
        policy.capacity_per_replica = configured.then_some(100.0);
        let mut world = World::new(policy.clone(), vec![60.0 * load; 24], 12);
        world.state = State::default().with_learned(&learned, &policy, world.now());
        let _ = learned.is_worth_writing_over(&world.state.learned());
        let _ = world.state.learned().is_worth_writing_over(&learned);
        world.follow = false;
        for _ in 0..59 {
            let decision = world.poll();
            let Desired::Known { replicas, .. } = decision.desired else {
                prop_assert!(false, "{decision:#?}");
                return Ok(());
            };
            prop_assert!((12..=20).contains(&replicas), "{decision:#?}");
            prop_assert_ne!(decision.verdict, Verdict::ScaleDown);
        }
    }
}
