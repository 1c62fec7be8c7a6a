//! Laws about rebalances, replicas that do not come, poison, and rest at a constant load.

use proptest::prelude::*;

use super::{cases, even, settled, shapes};
use crate::Verdict;
use crate::world::{World, policy, replicas};

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn law_5_at_a_constant_rate_no_rebalance_shorter_than_the_hold_raises_desired(
        (partitions, held, load) in shapes(),
        pauses in prop::collection::vec(5_u64..100, 1..=2),
        catch_up in 30_u64..120,
    ) {
        let mut world = settled(partitions, held, load);
        world.follow = false;
        world.policy.catch_up = std::time::Duration::from_secs(catch_up);
        let before = replicas(&world.poll());
        for pause in pauses {
            world.rebalance(pause);
            let mut decision = world.poll();
            while world.rebalancing() || decision.inputs.rebalancing {
                prop_assert!(replicas(&decision) <= before, "{decision:#?}");
                decision = world.poll();
            }
            // What has really piled up may be worked off with more; then it starts over.
            if pause < 20 && catch_up > 60 {
                world.polls(30);
                prop_assert!(replicas(&world.poll()) <= before);
            } else {
                break;
            }
        }
    }

    #[test]
    fn law_6_inbound_that_doubles_during_a_rebalance_raises_desired_in_the_same_tick(
        (partitions, held, load) in shapes(),
        polls_into_it in 0_usize..6,
    ) {
        let mut world = settled(partitions, held, load.max(0.6));
        world.follow = false;
        world.rebalance(60);
        world.polls(polls_into_it);
        let before = replicas(&world.poll());
        world.scale_rates(2.0);
        let decision = world.poll();
        prop_assert!(decision.inputs.rebalancing);
        prop_assert!(replicas(&decision) > before, "{decision:#?}");
        prop_assert_eq!(decision.verdict, Verdict::RateUp);
    }

    #[test]
    fn law_7_a_rebalance_that_never_ends_holds_no_longer_than_its_bound(
        (partitions, held, load) in shapes(),
    ) {
        let mut world = settled(partitions, held, load.max(0.7));
        world.follow = false;
        let before = replicas(&world.poll());
        world.rebalance(100_000);
        let hold = 24;
        for _ in 0..hold {
            prop_assert_eq!(replicas(&world.poll()), before);
        }
        world.polls(hold);
        prop_assert!(replicas(&world.poll()) > before);
    }

    #[test]
    fn law_7_a_pod_that_never_joins_holds_no_longer_than_its_bound(
        (partitions, held, load) in shapes(),
    ) {
        let mut world = settled(partitions * 4, held * 4, load.max(0.7));
        world.pods_limit = world.replicas();
        world.scale_rates(2.0);
        world.polls(3);
        let asked = replicas(&world.poll());
        // Twice the 60 s that a start may take.
        for _ in 0..18 {
            prop_assert_eq!(replicas(&world.poll()), asked);
        }
        world.minutes(10);
        let decision = world.poll();
        prop_assert!(replicas(&decision) > asked, "{decision:#?}");
        world.scale_rates(0.0);
        world.pods_limit = usize::MAX;
        world.minutes(40);
        prop_assert_eq!(replicas(&world.poll()), 0);
    }

    #[test]
    fn law_8_one_poison_partition_leaves_desired_unchanged(
        (partitions, held, load) in shapes(),
        poison in any::<prop::sample::Index>(),
        commit_seconds in 1_u64..10,
        alone in any::<bool>(),
    ) {
        let held = if alone { 1 } else { held };
        let mut world = settled(partitions, held, load);
        world.commit_seconds = commit_seconds;
        world.minutes(2);
        let mut healthy = world.clone();
        world.poison = Some(poison.index(partitions));
        for _ in 0..12 * 20 {
            let decision = world.poll();
            let expected = replicas(&healthy.poll());
            prop_assert_eq!(replicas(&decision), expected, "{:#?}", decision);
        }
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn law_13_a_constant_feasible_load_bounds_the_lag_and_changes_at_most_once_an_hour(
        partitions in 1_usize..=36,
        held in 1_usize..=6,
        load in 0.3..0.9_f64,
        start in 0_usize..=12,
        wobble in 0.0..0.04_f64,
    ) {
        let rates = even(partitions, held, load);
        let mut world = World::new(policy(), rates.clone(), start.min(partitions));
        let poll = |world: &mut World, count: usize| {
            for turn in 0..count {
                let sway = 1.0 + wobble * ((turn * 7 % 11) as f64 / 5.0 - 1.0);
                world.rates = rates.iter().map(|rate| rate * sway).collect();
                world.poll();
            }
        };
        poll(&mut world, 12 * 25);
        let settled = world.decisions.len();
        poll(&mut world, 12 * 60);
        let changes = world.decisions[settled..]
            .windows(2)
            .filter(|pair| replicas(&pair[0]) != replicas(&pair[1]))
            .count();
        prop_assert!(changes <= 1, "{changes} changes");
        let total: f64 = rates.iter().sum();
        let seconds_behind = world.lag() as f64 / total.max(1.0);
        prop_assert!(seconds_behind < 15.0, "{seconds_behind} s behind");
    }
}
