//! Laws 14 and 15: what is known ahead only raises, by no more than it takes, and is gone when it is over.

use proptest::prelude::*;

use super::{cases, settled, shapes};
use crate::decision::Stage;
use crate::world::{World, is_active, replicas};
use crate::{Decision, Event, EventLoad, Timestamp, decide};

/// Longer than any lead: no floor of an event stands that begins so much later.
const FAR_SECONDS: u64 = 3 * 3_600;

fn loads() -> impl Strategy<Value = EventLoad> {
    prop_oneof![
        (1_u32..40).prop_map(EventLoad::Replicas),
        (1.0..400.0_f64).prop_map(EventLoad::RecordsPerSecond),
        (1.0..4_000.0_f64).prop_map(EventLoad::RecordsPerSecond),
    ]
}

fn event((from, to): (u64, u64), load: EventLoad) -> Event {
    Event {
        starts_at: Timestamp::from_secs(from),
        ends_at: Timestamp::from_secs(to),
        load,
        learned: false,
    }
}

/// A decision in bytes, without the stage that tells of what is to come.
fn without_calendar(decision: &Decision) -> String {
    let mut decision = decision.clone();
    decision.trail.retain(|step| step.stage != Stage::Calendar);
    serde_json::to_string(&decision).unwrap()
}

/// The same moment with and without these events.
fn beside(world: &World, events: &[Event]) -> (Decision, Decision) {
    let decide_with = |events: &[Event]| {
        let mut observation = world.observation();
        observation.events = events.to_vec();
        decide(
            &world.policy,
            world.state.clone(),
            &observation,
            world.now(),
        )
        .1
    };
    (decide_with(events), decide_with(&[]))
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn law_14_an_event_that_is_far_off_or_over_changes_nothing(
        (partitions, held, load) in shapes(),
        factors in prop::collection::vec(0.0..4.0_f64, 3),
        (load_of_event, over) in (loads(), any::<bool>()),
    ) {
        let mut plain = settled(partitions, held, load);
        let mut knows = plain.clone();
        let base = plain.rates.clone();
        for factor in factors {
            let rates: Vec<f64> = base.iter().map(|rate| (rate * factor).floor()).collect();
            plain.rates.clone_from(&rates);
            knows.rates = rates;
            for _ in 0..40 {
                let now = knows.seconds;
                knows.events = vec![match over {
                    true => event((now - 600, now), load_of_event),
                    false => event((now + FAR_SECONDS, now + 2 * FAR_SECONDS), load_of_event),
                }];
                let (with, without) = (knows.poll(), plain.poll());
                prop_assert_eq!(without_calendar(&with), without_calendar(&without));
            }
        }
    }

    #[test]
    fn law_15_a_floor_lowers_nothing_and_asks_for_no_more_than_the_event_takes(
        (partitions, held, load) in shapes(),
        factor in prop_oneof![Just(0.0), 0.0..4.0_f64],
        polls in 0_usize..60,
        events in prop::collection::vec((0_u64..1_200, 1_u64..600, loads()), 1..4),
    ) {
        let mut world = settled(partitions, held, load);
        world.scale_rates(factor);
        world.polls(polls);
        for _ in 0..5 {
            world.second();
        }
        let now = world.seconds;
        let events: Vec<Event> = events
            .into_iter()
            .map(|(from, long, load)| event((now + from - 600, now + from + long), load))
            .collect();
        let (with, without) = beside(&world, &events);
        let (with_count, without_count) = (replicas(&with), replicas(&without));
        prop_assert!(with_count >= without_count, "{with:#?}");
        prop_assert!(is_active(&with) || !is_active(&without), "{with:#?}");
        // Even partitions: the fewest replicas that would be at most 60 % busy, one partition each at most.
        let even = |rate: f64| {
            let held = (1..=partitions).rev();
            let mut enough = held.filter(|held| *held as f64 * rate / partitions as f64 <= 60.0);
            u32::try_from(partitions.div_ceil(enough.next().unwrap_or(1))).unwrap()
        };
        let takes = events.iter().map(|event| match event.load {
            EventLoad::Replicas(replicas) => replicas,
            EventLoad::RecordsPerSecond(rate) => even(rate),
        });
        let takes = takes.max().unwrap_or(0);
        prop_assert!(with_count <= without_count.max(takes), "{with_count} of {takes}: {with:#?}");
    }

    #[test]
    fn law_15_a_floor_is_one_step_and_ends_by_itself(
        (partitions, held, load) in shapes(),
        load_of_event in loads(),
        minutes in 1_u64..30,
    ) {
        let mut plain = settled(partitions, held, load);
        let mut knows = plain.clone();
        let begins = knows.seconds + 600;
        let ends = begins + minutes * 60;
        knows.events = vec![event((begins, ends), load_of_event)];
        let mut steps = 0;
        let mut last = replicas(knows.decisions.last().unwrap());
        let calm = last;
        while knows.seconds < ends {
            plain.poll();
            let now = replicas(&knows.poll());
            prop_assert!(now >= last || knows.seconds >= ends, "{last} -> {now}");
            steps += u32::from(now != last);
            last = now;
        }
        prop_assert!(steps <= 2, "{steps} steps");
        // A window, and the end of what the change of replicas made of the lag.
        knows.minutes(20);
        plain.minutes(20);
        let (after, never) = (replicas(&knows.poll()), replicas(&plain.poll()));
        prop_assert!(after <= never.max(calm), "{after} and {never}");
    }
}
