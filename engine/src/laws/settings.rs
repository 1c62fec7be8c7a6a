//! Every setting of the user keeps the promises of the defaults: one step up, one step down.

use std::time::Duration;

use proptest::prelude::*;

use super::{cases, even};
use crate::world::{World, policy, replicas};

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn one_fall_of_the_load_is_one_step_down_whatever_the_window(
        window in prop::sample::select(vec![0_u64, 60, 120, 300, 600]),
        poll in prop::sample::select(vec![1_u64, 2, 5, 10, 30]),
        utilization in prop::sample::select(vec![0.6, 0.7, 0.8, 0.9, 0.95]),
        (partitions, load) in prop::sample::select(vec![(24, 0.5), (100, 0.5), (120, 0.4)]),
        left in 0.1..0.3_f64,
    ) {
        let mut policy = policy();
        policy.scale_down_window = Duration::from_secs(window);
        policy.poll_interval = Duration::from_secs(poll);
        policy.target_utilization = utilization;
        let mut world = World::new(policy, even(partitions, 1, load), partitions);
        let minutes = |world: &mut World, minutes: u64| {
            world.polls(usize::try_from(minutes * 60 / poll).unwrap());
        };
        minutes(&mut world, 20);
        let before = world.decisions.len();
        world.scale_rates(left);
        minutes(&mut world, 25);
        let counts: Vec<u32> = world.decisions[before - 1..].iter().map(replicas).collect();
        let changes: Vec<_> = counts.windows(2).filter(|pair| pair[0] != pair[1]).collect();
        // What the pause of that step was is learned from it: another count may be right by that.
        prop_assert!(matches!(changes.len(), 1 | 2), "{:?}", changes);
        let (from, to) = (f64::from(counts[0]), f64::from(counts[counts.len() - 1]));
        prop_assert!(to < from, "{:?}", changes);
        let first = from - f64::from(changes[0][1]);
        prop_assert!(first >= 0.9 * (from - to), "{:?}", changes);
    }
}
