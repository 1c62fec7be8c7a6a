//! Laws about what may be asked for at all: limits, determinism, monotony, scale, rest.

use proptest::prelude::*;

use super::{cases, even, settled, shapes};
use crate::world::{World, is_active, policy, replicas};
use crate::{Committed, Decision, Observation, Reading, State, Verdict, decide};

fn each_partition(observation: &mut Observation, mut each: impl FnMut(usize, &mut u64, &mut u64)) {
    let mut place = 0;
    for topic in &mut observation.topics {
        let Reading::Known(partitions) = &mut topic.partitions else {
            continue;
        };
        for partition in partitions {
            if let (Reading::Known(log), Reading::Known(Committed::At(committed))) =
                (&mut partition.log, &mut partition.committed)
            {
                each(place, &mut log.end, committed);
            }
            place += 1;
        }
    }
}

#[test]
fn law_9_holds_at_the_moment_that_spends_the_hold() {
    let mut world = settled(24, 4, 0.8);
    world.follow = false;
    let mut storms = 0;
    for _ in 0..12 {
        world.rebalance(100);
        while world.rebalancing() {
            let first = world.poll();
            let state = world.state.clone();
            let (_, again) = decide(&world.policy, state, &world.observation(), world.now());
            assert_eq!(again.desired, first.desired);
            let counted = |decision: &Decision| decision.inputs.lag_counted_records;
            assert_eq!(counted(&again), counted(&first), "{first:#?}");
            let mut findings = first.findings.iter();
            storms += u32::from(findings.any(|one| one.verdict == Verdict::RebalanceStorm));
        }
        world.polls(4);
    }
    assert!(storms > 0);
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn law_1_desired_lies_between_the_limits_and_never_above_the_partitions(
        partitions in 1_usize..=24,
        start in 0_usize..=30,
        limits in (0_u32..=6, prop::option::of(6_u32..=30)),
        flags in (any::<bool>(), any::<bool>(), any::<bool>()),
        loads in prop::collection::vec(0.0..400.0_f64, 4),
    ) {
        let (idle_allowed, only_with_lag, capacity_known) = flags;
        let mut policy = policy();
        (policy.min_replicas, policy.max_replicas) = limits;
        policy.allow_idle_consumers = idle_allowed;
        policy.limit_to_partitions_with_lag = only_with_lag;
        policy.capacity_per_replica = capacity_known.then_some(100.0);
        let mut world = World::new(policy.clone(), vec![0.0; partitions], start);
        for load in loads {
            world.rates = vec![load; partitions];
            for _ in 0..20 {
                let desired = replicas(&world.poll());
                prop_assert!(desired >= policy.min_replicas);
                prop_assert!(policy.max_replicas.is_none_or(|max| desired <= max));
                let cap = u32::try_from(partitions).unwrap().max(policy.min_replicas);
                prop_assert!(policy.allow_idle_consumers || desired <= cap, "{desired} of {cap}");
            }
        }
    }

    #[test]
    fn law_2_the_same_inputs_give_the_same_bytes(
        (partitions, held, load) in shapes(),
        factor in 0.1..4.0_f64,
    ) {
        let mut world = settled(partitions, held, load);
        world.scale_rates(factor);
        for _ in 0..20 {
            world.poll();
            let observation = world.observation();
            let bytes = serde_json::to_string(&world.state).unwrap();
            let again: State = serde_json::from_str(&bytes).unwrap();
            let now = world.now().plus(std::time::Duration::from_secs(5));
            // The same facts in another order are the same inputs.
            let mut shuffled = observation.clone();
            for topic in &mut shuffled.topics {
                if let Reading::Known(partitions) = &mut topic.partitions {
                    partitions.reverse();
                }
            }
            if let Reading::Known(group) = &mut shuffled.group {
                group.members.reverse();
            }
            let (one, first) = decide(&world.policy, world.state.clone(), &observation, now);
            let (other, second) = decide(&world.policy, again, &shuffled, now);
            prop_assert_eq!(
                serde_json::to_string(&(&one, &first)).unwrap(),
                serde_json::to_string(&(&other, &second)).unwrap()
            );
        }
    }

    #[test]
    fn law_3_more_lag_or_more_inbound_never_lowers_the_recommendation(
        rates in prop::collection::vec(1_u64..60, 2..24),
        lag in prop::collection::vec(0_u64..20_000, 24),
        more in prop::collection::vec(0_u64..20_000, 24),
        everywhere in any::<bool>(),
        range in any::<bool>(),
        capacity_known in any::<bool>(),
    ) {
        let mut policy = policy();
        policy.capacity_per_replica = capacity_known.then_some(100.0);
        let mut world = World::new(policy, rates.iter().map(|rate| *rate as f64).collect(), 1);
        world.assignor = if range { "range" } else { "roundrobin" };
        let extra = |place: usize| more[if everywhere { 0 } else { place }];
        let mut plain = world.observation();
        each_partition(&mut plain, |place, _, committed| *committed -= lag[place]);
        let bent = |bend: fn(&mut u64, &mut u64, u64)| {
            let mut bent = plain.clone();
            each_partition(&mut bent, |place, end, committed| bend(end, committed, extra(place)));
            let (_, decision) = decide(&world.policy, State::default(), &bent, world.now());
            replicas(&decision)
        };
        let desired = bent(|_, _, _| {});
        let more_lag = bent(|_, committed, extra| *committed -= extra);
        prop_assert!(more_lag >= desired, "more lag: {more_lag} < {desired}");
        let more_of_both = bent(|end, _, extra| *end += extra);
        prop_assert!(more_of_both >= desired, "more of both: {more_of_both} < {desired}");
        let more_inbound = bent(|end, committed, extra| {
            *end += extra;
            *committed += extra;
        });
        prop_assert!(more_inbound >= desired, "more inbound: {more_inbound} < {desired}");
    }

    #[test]
    fn law_3_more_arrivals_in_the_last_poll_never_lower_desired(
        (partitions, held, load) in shapes(),
        factor in 0.5..4.0_f64,
        polls in 0_usize..6,
        arrivals in prop::collection::vec(0_u64..2_000, 24),
    ) {
        let mut world = settled(partitions, held, load);
        world.scale_rates(factor);
        world.polls(polls);
        for _ in 0..5 {
            world.second();
        }
        let plain = world.observation();
        let mut more = plain.clone();
        each_partition(&mut more, |place, end, _| *end += arrivals[place]);
        let desired = |observation: &Observation| {
            let state = world.state.clone();
            replicas(&decide(&world.policy, state, observation, world.now()).1)
        };
        prop_assert!(desired(&more) >= desired(&plain));
    }

    #[test]
    fn law_9_feeding_a_decision_back_changes_nothing(
        (partitions, held, load) in shapes(),
        factor in 0.1..4.0_f64,
        polls in prop_oneof![0_usize..6, 0_usize..120],
    ) {
        let mut world = settled(partitions, held, load);
        world.scale_rates(factor);
        world.polls(polls);
        let first = world.poll();
        let mut observation = world.observation();
        for _ in 0..3 {
            let count = usize::try_from(replicas(&first)).unwrap();
            observation.group = Reading::Known(world.group_with(count));
            let state = std::mem::take(&mut world.state);
            let (state, again) = decide(&world.policy, state, &observation, world.now());
            world.state = state;
            prop_assert_eq!(first.desired, again.desired);
        }
    }

    #[test]
    fn law_11_scaling_inbound_and_capacity_by_one_factor_changes_nothing(
        (partitions, held, load) in shapes(),
        loads in prop::collection::vec(0.0..4.0_f64, 4),
        factor in 2_u64..50,
    ) {
        let mut policy = policy();
        // So that the backlog has a say.
        policy.catch_up = std::time::Duration::from_secs(20);
        policy.startup = std::time::Duration::from_secs(5);
        let mut world = World::new(policy.clone(), even(partitions, held, load), 1);
        let mut scaled_policy = policy;
        scaled_policy.capacity_per_replica = Some(100.0 * factor as f64);
        let mut scaled_state = State::default();
        let base = world.rates.clone();
        for load in loads {
            world.rates = base.iter().map(|rate| (rate * load).floor()).collect();
            for _ in 0..30 {
                let mut seen = None;
                let decision = world.poll_with(|observation| seen = Some(observation.clone()));
                let mut observation = seen.unwrap();
                each_partition(&mut observation, |_, end, committed| {
                    *end *= factor;
                    *committed *= factor;
                });
                for topic in &mut observation.topics {
                    if let Reading::Known(partitions) = &mut topic.partitions {
                        for history in partitions.iter_mut().filter_map(|one| one.history.as_mut()) {
                            history.end *= factor;
                        }
                    }
                }
                let (state, scaled) =
                    decide(&scaled_policy, scaled_state, &observation, world.now());
                scaled_state = state;
                prop_assert_eq!(decision.desired, scaled.desired);
            }
        }
    }

    #[test]
    fn law_12_inbound_0_and_lag_0_reach_inactive_and_stay(
        (partitions, held, load) in shapes(),
        factor in 0.1..4.0_f64,
        capacity_known in any::<bool>(),
        least in 0_u32..3,
    ) {
        let mut world = settled(partitions, held, load);
        world.policy.min_replicas = least;
        world.policy.capacity_per_replica = capacity_known.then_some(100.0);
        world.scale_rates(factor);
        world.minutes(3);
        world.scale_rates(0.0);
        let mut polls = 0;
        while world.lag() > 0 {
            world.poll();
            polls += 1;
            prop_assert!(polls < 12 * 120, "the backlog is never worked off");
        }
        // Time for the last commit, for the rate's short window and for one settling rebalance.
        world.minutes(1);
        let asleep = world.poll();
        prop_assert!(!is_active(&asleep), "{asleep:#?}");
        for _ in 0..12 * 20 {
            prop_assert!(!is_active(&world.poll()));
        }
        prop_assert_eq!(replicas(&world.poll()), least);
    }
}
