//! Groups that do not show which of their members are the pods that are scaled: the steps again, behind
//! one address, with several consumers a pod, with a canary, with static members, through an update.
//!
//! The load and the pods are those of `steps`, so that what comes of them can be held against it.

use super::Scenario;
use crate::world::{Addresses, Appearance};

/// The names of these scenarios.
pub const ODD: [&str; 6] = [
    "one-address",
    "consumers",
    "sidecars",
    "canary",
    "static",
    "update",
];

/// From when on the coordinator misses a static member, seconds.
const STATIC_SESSION_SECONDS: u64 = 300;

/// Partitions where pods have several consumers, so that each has one to read.
const PARTITIONS_OF_CONSUMERS: usize = 120;

// === impl Scenario ===

impl Scenario {
    /// The odd group of this name; `None` for a name that there is not.
    pub(super) fn odd(name: &str) -> Option<Self> {
        let own = Appearance::default();
        let (name, about, appearance) = match name {
            "one-address" => (
                "one-address",
                "the steps with all pods behind one address",
                Appearance {
                    addresses: Addresses::One,
                    ..own
                },
            ),
            "consumers" => (
                "consumers",
                "the steps with four consumers a pod, all behind one address",
                Appearance {
                    addresses: Addresses::One,
                    consumers_a_pod: 4,
                    ..own
                },
            ),
            "sidecars" => (
                "sidecars",
                "the steps with four consumers a pod, all on the loopback of a sidecar",
                Appearance {
                    addresses: Addresses::Loopback,
                    consumers_a_pod: 4,
                    ..own
                },
            ),
            "canary" => (
                "canary",
                "the steps with a pod of another Deployment in the group",
                Appearance { canaries: 1, ..own },
            ),
            "static" => (
                "static",
                "the steps with static members, which stay for 5 min after their pods have gone",
                Appearance {
                    are_static: true,
                    ..own
                },
            ),
            "update" => (
                "update",
                "the steps with all pods replaced at the height of a load, a quarter more meanwhile",
                Appearance {
                    updated_at: Some(2_700),
                    ..own
                },
            ),
            _ => return None,
        };
        let mut scenario = Self::steps();
        (scenario.name, scenario.about) = (name, about);
        scenario.world.appearance = appearance;
        if appearance.consumers_a_pod > 1 {
            scenario.world.partitions = PARTITIONS_OF_CONSUMERS;
        }
        if appearance.are_static {
            scenario.world.session_seconds = STATIC_SESSION_SECONDS;
        }
        Some(scenario)
    }
}
