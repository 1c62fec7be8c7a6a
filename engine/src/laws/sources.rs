//! Laws about where replicas are known from: nothing is lowered because Kubernetes answers or does not.

use proptest::prelude::*;

use super::{cases, even, shapes};
use crate::world::{World, policy, replicas};
use crate::{Cause, WorkloadObservation};

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn a_change_of_source_never_lowers_and_never_asks_for_more(
        (partitions, held, load) in shapes(),
        behind_one_address in any::<bool>(),
        capacity_known in any::<bool>(),
        times in prop::collection::vec((1_usize..120, any::<bool>()), 1..8),
    ) {
        let mut policy = policy();
        policy.capacity_per_replica = capacity_known.then_some(100.0);
        let count = partitions / held;
        let mut world = World::new(policy, even(partitions, held, load), count);
        world.behind_one_address = true;
        world.minutes(8);
        world.behind_one_address = behind_one_address;
        let before = replicas(&world.poll());
        // Until its capacity is known it may come down once it is; from then on it rests.
        prop_assume!(capacity_known || before == u32::try_from(count).unwrap());
        for (polls, known) in times {
            for _ in 0..polls {
                let workload = world.workload();
                let decision = world.poll_with(|observation| {
                    observation.workload = if known {
                        WorkloadObservation::Known(workload)
                    } else {
                        WorkloadObservation::Unknown(Cause::Unreachable)
                    };
                });
                prop_assert_eq!(replicas(&decision), before, "{:#?}", decision);
            }
        }
    }
}
