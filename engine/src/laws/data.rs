//! Laws about what is not known: missing data, restarts; and that nothing makes the engine panic.

use std::time::Duration;

use proptest::prelude::*;

use super::{cases, settled, shapes};
use crate::world::{World, is_active, policy, replicas};
use crate::{
    AssignedTopic, Cause, Committed, Desired, Event, EventLoad, GroupObservation, GroupProtocol,
    GroupState, LogOffsets, Member, Observation, PartitionHistory, PartitionObservation, Paused,
    PrometheusObservation, Reading, Scaling, State, Timestamp, TopicObservation, Workload,
    WorkloadObservation, decide,
};

/// What may be wrong with an observation.
#[derive(Clone, Copy, Debug)]
enum Fault {
    LogMissing,
    CommitMissing,
    TopicMissing,
    TopicGone,
    GroupMissing,
    PrometheusMissing,
    PrometheusStale,
    AllMissing,
    Old,
    Rebalancing,
    PrometheusContradicts,
}

const FAULTS: [Fault; 11] = [
    Fault::LogMissing,
    Fault::CommitMissing,
    Fault::TopicMissing,
    Fault::TopicGone,
    Fault::GroupMissing,
    Fault::PrometheusMissing,
    Fault::PrometheusStale,
    Fault::AllMissing,
    Fault::Old,
    Fault::Rebalancing,
    Fault::PrometheusContradicts,
];

fn break_it(observation: &mut Observation, fault: Fault, partition: usize) {
    let missing = Cause::Timeout;
    let age = Duration::from_secs(100);
    if let Some(topic) = observation.topics.first_mut()
        && let Reading::Known(partitions) = &mut topic.partitions
    {
        let count = partitions.len();
        match fault {
            Fault::LogMissing => partitions[partition % count].log = Reading::Unknown(missing),
            Fault::CommitMissing => {
                partitions[partition % count].committed = Reading::Unknown(missing);
            }
            Fault::TopicMissing | Fault::AllMissing => {
                topic.partitions = Reading::Unknown(missing);
            }
            _ => {}
        }
    }
    match fault {
        Fault::TopicGone => observation.topics.clear(),
        Fault::GroupMissing | Fault::AllMissing => observation.group = Reading::Unknown(missing),
        Fault::PrometheusMissing => {
            observation.prometheus = PrometheusObservation::Unknown(missing);
        }
        Fault::PrometheusStale => {
            if let PrometheusObservation::Known { at, .. } = &mut observation.prometheus {
                *at = at.minus(age);
            }
        }
        Fault::PrometheusContradicts => {
            if let PrometheusObservation::Known {
                records_per_second, ..
            } = &mut observation.prometheus
            {
                *records_per_second *= 20.0;
            }
        }
        Fault::Old => observation.at = observation.at.minus(age),
        Fault::Rebalancing => {
            if let Reading::Known(group) = &mut observation.group {
                group.state = GroupState::PreparingRebalance;
            }
        }
        _ => {}
    }
}

/// A world one poll before it lowers, with Prometheus as a witness.
fn about_to_lower() -> World {
    let mut world = settled(24, 2, 0.8);
    let witness = |world: &mut World| {
        world.prometheus = PrometheusObservation::Known {
            records_per_second: world.rates.iter().sum(),
            at: world.now(),
        };
    };
    world.scale_rates(0.3);
    loop {
        witness(&mut world);
        let mut ahead = world.clone();
        let before = replicas(&world.decisions[world.decisions.len() - 1]);
        if replicas(&ahead.poll()) < before {
            return world;
        }
        world.poll();
    }
}

/// A world one poll before it falls asleep: no lag, no rate, and nobody has said so yet.
fn about_to_sleep() -> World {
    let mut world = settled(24, 2, 0.8);
    world.scale_rates(0.0);
    loop {
        let mut ahead = world.clone();
        if !is_active(&ahead.poll()) {
            return world;
        }
        world.poll();
    }
}

#[test]
fn law_4_missing_stale_or_rebalancing_data_puts_nobody_to_sleep() {
    let ready = about_to_sleep();
    for fault in FAULTS {
        let mut world = ready.clone();
        let about_prometheus = matches!(
            fault,
            Fault::PrometheusMissing | Fault::PrometheusStale | Fault::PrometheusContradicts
        );
        for _ in 0..40 {
            let decision = world.poll_with(|observation| break_it(observation, fault, 7));
            if let Desired::Known { active, .. } = decision.desired {
                // What the log itself shows needs no Prometheus.
                assert_eq!(active, !about_prometheus, "{fault:?}: {decision:#?}");
            }
        }
    }
}

#[test]
fn law_4_missing_stale_rebalancing_or_contradictory_data_never_lowers_desired() {
    let ready = about_to_lower();
    let before = replicas(&ready.decisions[ready.decisions.len() - 1]);
    for fault in FAULTS {
        for partition in [0, 7, 23] {
            let mut world = ready.clone();
            // What contradicts is not believed either way: the offsets have dropped and count.
            if matches!(fault, Fault::PrometheusContradicts) {
                let bent = world.poll_with(|observation| break_it(observation, fault, partition));
                assert!(replicas(&bent) > 0);
                assert!(
                    bent.findings
                        .iter()
                        .any(|finding| { finding.verdict == crate::Verdict::RateMismatch })
                );
                continue;
            }
            for _ in 0..40 {
                let decision =
                    world.poll_with(|observation| break_it(observation, fault, partition));
                match decision.desired {
                    Desired::Known { replicas, active } => {
                        assert!(replicas >= before, "{fault:?}: {decision:#?}");
                        assert!(active, "{fault:?}: {decision:#?}");
                    }
                    Desired::Unknown { .. } => {}
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn law_10_a_restart_never_asks_for_less_for_one_window(
        (partitions, held, load) in shapes(),
        factor in 0.1..3.0_f64,
        factor_before in 0.1..1.0_f64,
        polls_before in 0_usize..70,
        restart_after in 3_usize..30,
    ) {
        let mut world = settled(partitions, held, load);
        world.start_seconds = 1;
        world.scale_rates(factor_before);
        world.polls(polls_before);
        world.follow = false;
        // What was asked for is there: a step that nobody has followed yet cannot be known.
        let before = world.replicas() as u32;
        prop_assume!(world.decisions.last().is_none_or(|last| replicas(last) == before));
        let mut restarted = world.clone();
        restarted.state = State::default();
        for poll in 0..60 {
            if poll == restart_after {
                world.scale_rates(factor);
                restarted.scale_rates(factor);
            }
            let uninterrupted = replicas(&world.poll());
            let fresh = replicas(&restarted.poll());
            prop_assert!(fresh >= before, "{fresh} < {before} at poll {poll}");
            // Once it has come down, which a restart may not, the other one climbs from elsewhere:
            // from below it can overtake a count that lies within the tolerated load.
            if uninterrupted < before {
                break;
            }
            prop_assert!(fresh >= uninterrupted, "{fresh} < {uninterrupted} at poll {poll}");
        }
    }
}

fn causes() -> impl Strategy<Value = Cause> {
    prop_oneof![
        Just(Cause::Timeout),
        Just(Cause::NotFound),
        Just(Cause::Refused)
    ]
}

fn offsets() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0_u64..100_000, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn partitions() -> impl Strategy<Value = PartitionObservation> {
    let log = prop_oneof![
        4 => (offsets(), offsets()).prop_map(|(start, end)| Reading::Known(LogOffsets { start, end })),
        1 => causes().prop_map(Reading::Unknown),
    ];
    let committed = prop_oneof![
        4 => offsets().prop_map(|offset| Reading::Known(Committed::At(offset))),
        1 => Just(Reading::Known(Committed::Never)),
        1 => causes().prop_map(Reading::Unknown),
    ];
    let history = prop::option::of((any::<u64>(), offsets()));
    (0_u32..6, log, committed, history).prop_map(|(partition, log, committed, history)| {
        PartitionObservation {
            partition,
            log,
            committed,
            history: history.map(|(at, end)| PartitionHistory {
                at: Timestamp::from_millis(at),
                end,
            }),
        }
    })
}

fn topics() -> impl Strategy<Value = TopicObservation> {
    let partitions = prop_oneof![
        4 => prop::collection::vec(partitions(), 0..6).prop_map(Reading::Known),
        1 => causes().prop_map(Reading::Unknown),
    ];
    ("[ab]", partitions).prop_map(|(name, partitions)| TopicObservation { name, partitions })
}

fn assignments() -> impl Strategy<Value = Vec<AssignedTopic>> {
    let assigned = ("[abc]", prop::collection::vec(0_u32..8, 0..4))
        .prop_map(|(topic, partitions)| AssignedTopic { topic, partitions });
    prop::collection::vec(assigned, 0..3)
}

fn groups() -> impl Strategy<Value = Reading<GroupObservation>> {
    let member = (
        "[ab]{1,2}",
        "(/127\\.0\\.0\\.1|/10\\.0\\.0\\.[12]|)",
        assignments(),
        prop::option::of(assignments()),
    )
        .prop_map(|(id, host, assigned, target)| Member {
            id,
            host,
            assigned,
            target,
        });
    let state = prop_oneof![
        4 => Just(GroupState::Stable),
        1 => Just(GroupState::PreparingRebalance),
        1 => Just(GroupState::Reconciling),
        1 => Just(GroupState::Empty),
    ];
    let protocol = prop_oneof![Just(GroupProtocol::Classic), Just(GroupProtocol::Consumer)];
    let group = (
        protocol,
        state,
        "(range|sticky|)",
        prop::collection::vec(member, 0..5),
    );
    prop_oneof![
        5 => group.prop_map(|(protocol, state, assignor, members)| Reading::Known(GroupObservation {
            protocol,
            state,
            assignor,
            members,
        })),
        1 => causes().prop_map(Reading::Unknown),
    ]
}

fn workloads() -> impl Strategy<Value = WorkloadObservation> {
    let counts = || prop_oneof![4 => 0_u32..30, 1 => any::<u32>()];
    let tolerance = || prop_oneof![2 => 0.0..0.5_f64, 1 => any::<f64>()];
    let paused = prop::sample::select(vec![Paused::No, Paused::All, Paused::Down, Paused::Up]);
    let scaling = (
        (counts(), counts(), prop::option::of(counts())),
        (tolerance(), tolerance()),
        paused,
    );
    let scaling = scaling.prop_map(
        |((min, max, idle), (tolerance_up, tolerance_down), paused)| Scaling {
            min,
            max,
            idle,
            tolerance_up,
            tolerance_down,
            paused,
        },
    );
    let pods = (
        counts(),
        counts(),
        prop::option::of(counts()),
        any::<bool>(),
    );
    let at = prop_oneof![4 => 0_u64..600_000, 1 => any::<u64>()];
    prop_oneof![
        1 => Just(WorkloadObservation::NotConfigured),
        1 => causes().prop_map(WorkloadObservation::Unknown),
        3 => (at, pods, scaling).prop_map(|(at, (asked, exist, ready, updating), scaling)| {
            WorkloadObservation::Known(Workload {
                at: Timestamp::from_millis(at),
                asked,
                exist,
                ready,
                updating,
                scaling,
            })
        }),
    ]
}

fn observations() -> impl Strategy<Value = Observation> {
    let prometheus = prop_oneof![
        Just(PrometheusObservation::NotConfigured),
        causes().prop_map(PrometheusObservation::Unknown),
        (any::<f64>(), any::<u64>()).prop_map(|(records_per_second, at)| {
            PrometheusObservation::Known {
                records_per_second,
                at: Timestamp::from_millis(at),
            }
        }),
    ];
    let at = prop_oneof![4 => 0_u64..600_000, 1 => any::<u64>()];
    (
        at,
        prop::collection::vec(topics(), 0..3),
        groups(),
        prometheus,
        workloads(),
        prop::collection::vec(events(), 0..4),
    )
        .prop_map(
            |(at, topics, group, prometheus, workload, events)| Observation {
                at: Timestamp::from_millis(at),
                topics,
                group,
                prometheus,
                workload,
                events,
                utc_offset_minutes: 0,
            },
        )
}

/// Any event, those that make no sense included.
fn events() -> impl Strategy<Value = Event> {
    let at = || prop_oneof![4 => 0_u64..1_200_000, 1 => any::<u64>()];
    let load = prop_oneof![
        any::<f64>().prop_map(EventLoad::RecordsPerSecond),
        (0.0..1e6).prop_map(EventLoad::RecordsPerSecond),
        any::<u32>().prop_map(EventLoad::Replicas),
    ];
    (at(), at(), load).prop_map(|(starts, ends, load)| Event {
        starts_at: Timestamp::from_millis(starts),
        ends_at: Timestamp::from_millis(ends),
        load,
        learned: false,
    })
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn no_observation_makes_it_panic_or_leave_the_limits(
        steps in prop::collection::vec((observations(), prop_oneof![4 => 0_u64..20_000, 1 => any::<u64>()]), 1..12),
        capacity in prop::option::of(prop_oneof![0.1..1e6_f64, Just(f64::NAN), Just(f64::MIN_POSITIVE)]),
        wide in any::<bool>(),
    ) {
        let mut policy = policy();
        policy.capacity_per_replica = capacity;
        policy.max_replicas = Some(40);
        policy.allow_idle_consumers = wide;
        if wide {
            policy.poll_interval = Duration::MAX;
            policy.startup = Duration::MAX;
            policy.scale_down_window = Duration::MAX;
            policy.rebalance_hold = Duration::MAX;
            policy.catch_up = Duration::MAX;
            policy.max_staleness = Duration::MAX;
        }
        let mut state = State::default();
        let mut now = Timestamp::default();
        for (observation, step) in steps {
            now = Timestamp::from_millis(now.as_millis().wrapping_add(step));
            let (next, decision) = decide(&policy, state, &observation, now);
            state = next;
            if let Desired::Known { replicas, .. } = decision.desired {
                prop_assert!(replicas <= 40);
            }
            prop_assert!(decision.inputs.inbound_up.is_none_or(f64::is_finite));
        }
    }
}
