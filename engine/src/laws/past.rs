//! Laws 14 and 15 for what is learned from the load's own past: without two earlier days that agree nothing
//! is different, and a floor asks for no more than the largest of the days that agree.

use proptest::prelude::*;

use super::{cases, settled, shapes};
use crate::world::{World, is_active, replicas};
use crate::{Decision, Past, decide};

const DAY: u32 = 1_440;

/// The world's clock as a Wednesday at noon.
const NOON: i32 = 20_768 * 1_440 + 720 - 60;

/// Earlier days of a steady load with surges: days ago, minutes from now, the height beside the rate of
/// `world`, for how many minutes.
fn past(world: &World, surges: &[(u32, i32, f64, u32)]) -> Past {
    let now = u32::try_from(NOON).unwrap() + u32::try_from(world.seconds / 60).unwrap();
    let usual: f64 = world.rates.iter().sum();
    let rate = |minute: u32| {
        let there = |(back, at, ..): &(u32, i32, f64, u32)| {
            (now - back * DAY).checked_add_signed(*at).unwrap()
        };
        let mut surges = surges.iter();
        let found = surges.find(|surge| (there(surge)..there(surge) + surge.3).contains(&minute));
        found.map_or(usual, |surge| usual * surge.2)
    };
    Past::of((now - 15 * DAY..now).map(|minute| (minute, rate(minute))))
}

/// Surges within the next minutes on each of the last `days`, at about the same time.
fn agreeing(days: u32) -> impl Strategy<Value = Vec<(u32, i32, f64, u32)>> {
    let one = move |at: i32| {
        prop::collection::vec(
            (0..2_i32, 1.5..6.0_f64, 1_u32..30),
            usize::try_from(days).unwrap(),
        )
        .prop_map(move |days| {
            let days = (1..).zip(days);
            days.map(|(back, (late, height, long))| (back, at + late, height, long))
                .collect()
        })
    };
    (1_i32..20).prop_flat_map(one)
}

/// The decision on a world that has learned `past`, now and the next polls, with and without a calendar.
fn beside(world: &World, past: &Past, polls: usize) -> Vec<(Decision, Decision)> {
    let mut knows = world.clone();
    knows.utc_offset_minutes = NOON;
    knows.state = std::mem::take(&mut knows.state).with_past(past);
    let mut told = Vec::new();
    for _ in 0..polls {
        let mut plain = knows.policy.clone();
        plain.learns_calendar = false;
        let mut then = knows.clone();
        for _ in 0..5 {
            then.second();
        }
        let (observation, now) = (then.observation(), then.now());
        let without = decide(&plain, knows.state.clone(), &observation, now).1;
        let with = decide(&knows.policy, knows.state.clone(), &observation, now).1;
        told.push((with, without));
        knows.poll();
    }
    told
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn law_14_without_two_earlier_days_that_agree_nothing_is_different(
        (partitions, held, load) in shapes(),
        (day, at, height, long) in (1_u32..14, 0_i32..20, 1.5..50.0_f64, 1_u32..60),
        factors in prop::collection::vec(0.0..4.0_f64, 3),
    ) {
        let mut knows = settled(partitions, held, load);
        knows.utc_offset_minutes = NOON;
        let mut plain = knows.clone();
        plain.policy.learns_calendar = false;
        // The others are quiet, or nobody watched them; and a replay of the same day is no other day.
        let past = past(&knows, &[(day, at, height, long)]);
        let state = std::mem::take(&mut knows.state);
        knows.state = state.with_past(&past).with_past(&past);
        let base = plain.rates.clone();
        for factor in factors {
            let rates: Vec<f64> = base.iter().map(|rate| (rate * factor).floor()).collect();
            plain.rates.clone_from(&rates);
            knows.rates = rates;
            for _ in 0..80 {
                let (with, without) = (knows.poll(), plain.poll());
                prop_assert_eq!(
                    serde_json::to_string(&with).unwrap(),
                    serde_json::to_string(&without).unwrap()
                );
            }
        }
    }

    #[test]
    fn law_15_a_learned_floor_only_raises_and_to_no_more_than_the_largest_of_its_days(
        (partitions, held, load) in shapes(),
        surges in agreeing(5),
        factor in prop_oneof![Just(1.0), 0.0..2.0_f64],
    ) {
        let mut world = settled(partitions, held, load);
        let past = past(&world, &surges);
        let usual: f64 = world.rates.iter().sum();
        world.scale_rates(factor);
        let even = |rate: f64| {
            let held = (1..=partitions).rev();
            let mut enough = held.filter(|held| *held as f64 * rate / partitions as f64 <= 60.0);
            u32::try_from(partitions.div_ceil(enough.next().unwrap_or(1))).unwrap()
        };
        let largest = surges.iter().map(|surge| surge.2).fold(1.0, f64::max);
        let takes = even(usual * largest);
        let mut raised = false;
        for (with, without) in beside(&world, &past, 260) {
            let (with_count, without_count) = (replicas(&with), replicas(&without));
            prop_assert!(with_count >= without_count, "{with:#?}");
            prop_assert!(is_active(&with) || !is_active(&without), "{with:#?}");
            prop_assert!(with_count <= without_count.max(takes), "{with_count} of {takes}: {with:#?}");
            raised |= with.inputs.calendar_floor.is_some();
        }
        prop_assert!(raised, "a floor stands for {surges:?}");
    }

    #[test]
    fn law_15_a_learned_floor_ends_by_itself(
        (partitions, held, load) in shapes(),
        surges in agreeing(4),
    ) {
        let mut world = settled(partitions, held, load);
        world.utc_offset_minutes = NOON;
        let calm = replicas(world.decisions.last().unwrap());
        let past = past(&world, &surges);
        world.state = std::mem::take(&mut world.state).with_past(&past);
        // The last of them should have come by then, ten minutes have gone, and a window.
        world.minutes(20 + 1 + 10 + 20);
        let after = world.poll();
        prop_assert_eq!(after.inputs.calendar_floor, None);
        prop_assert!(replicas(&after) <= calm, "{after:#?}");
    }
}
