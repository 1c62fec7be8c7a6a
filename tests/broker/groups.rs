//! Members, assignments and rebalances, in all three kinds of groups.

use evenkeel_engine::{GroupProtocol, GroupState};
use evenkeel_scaler::observe::KafkaReading;

use crate::cluster::{SharedBroker, shared_broker};
use crate::members::{Program, QUICK, SLOW, join, produce};
use crate::tools;
use crate::watch::{Watch, group, is_settled, partitions, replicas, total_lag};

/// A member that hangs stays a member for as long as a test takes.
const PATIENT: &[&str] = &["--session-timeout-seconds", "60"];

/// A kind of group.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    arguments: &'static [&'static str],
    /// Arguments that let a member hang for long; KIP-848 groups have it in the broker.
    patient: &'static [&'static str],
    protocol: GroupProtocol,
    assignor: &'static str,
    /// The state while one member does not take part in a rebalance.
    hanging: GroupState,
}

const RANGE: Kind = Kind {
    name: "range",
    arguments: &["--assignor", "range"],
    patient: PATIENT,
    protocol: GroupProtocol::Classic,
    assignor: "range",
    hanging: GroupState::PreparingRebalance,
};

const COOPERATIVE: Kind = Kind {
    name: "cooperative",
    arguments: &["--assignor", "cooperative-sticky"],
    patient: PATIENT,
    protocol: GroupProtocol::Classic,
    assignor: "cooperative-sticky",
    hanging: GroupState::PreparingRebalance,
};

const KIP_848: Kind = Kind {
    name: "kip-848",
    arguments: &["--group-protocol", "consumer"],
    patient: &[],
    protocol: GroupProtocol::Consumer,
    assignor: "uniform",
    hanging: GroupState::Reconciling,
};

/// How many partitions each topic here has: not a multiple of two, so that shares differ.
const PARTITIONS: i32 = 5;
const ALL: usize = 5;

// === impl Kind ===

impl Kind {
    /// The name of both the topic and the group of a test of this kind.
    fn named(self, test: &str) -> String {
        format!("{test}-{}", self.name)
    }

    fn join(self, broker: &SharedBroker, name: &str, more: &[&str]) -> Program {
        let arguments = [self.arguments, self.patient, more];
        join(&broker.bootstrap_servers, name, name, &arguments)
    }
}

/// Records that were processed before, and those that are left.
const PROCESSED: u32 = 700;
const LEFT: u32 = 333;

/// Two members that stand still with a lag of `LEFT`.
async fn stand_still(kind: Kind, broker: &SharedBroker) -> (Watch, [Program; 2]) {
    let name = kind.named("shown");
    let servers = &broker.bootstrap_servers;
    broker.create_topic(&name, PARTITIONS).await;
    produce(servers, &name, PROCESSED).await;
    let mut watch = Watch::of(servers, &name, &name);
    let first = kind.join(broker, &name, QUICK);
    watch
        .until("everything is committed", |reading| {
            total_lag(reading, &name) == Some(0)
        })
        .await;
    first.leave().await;
    let members = [SLOW, SLOW].map(|pace| kind.join(broker, &name, pace));
    watch
        .until("two members share the topic", |reading| {
            is_settled(reading, 2, ALL)
        })
        .await;
    produce(servers, &name, LEFT).await;
    (watch, members)
}

#[tokio::test]
async fn groups_of_each_kind_read_as_kafkas_own_tool_shows_them() {
    let broker = shared_broker();
    let kinds = [RANGE, COOPERATIVE, KIP_848];
    let (range, cooperative, kip_848) = tokio::join!(
        stand_still(RANGE, &broker),
        stand_still(COOPERATIVE, &broker),
        stand_still(KIP_848, &broker),
    );
    let names = kinds.map(|kind| kind.named("shown"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let servers = &broker.bootstrap_servers;
    let offsets = tools::describe_offsets(servers, &names).await;
    let states = tools::describe_states(servers, &names).await;

    for (kind, (mut watch, _members)) in kinds.into_iter().zip([range, cooperative, kip_848]) {
        let name = kind.named("shown");
        let reading = watch.observe().await;
        assert_eq!(total_lag(&reading, &name), Some(LEFT.into()), "{name}");

        let observed = group(&reading);
        assert_eq!(observed.protocol, kind.protocol, "{name}");
        assert_eq!(observed.assignor, kind.assignor, "{name}");
        let state = states.iter().find(|row| row.text("GROUP") == name);
        let state = state.expect("the tool shows the group");
        assert_eq!(observed.state.label(), state.text("STATE"), "{name}");
        assert_eq!(observed.assignor, state.text("ASSIGNMENT-STRATEGY"));
        assert_eq!(state.text("#MEMBERS"), "2", "{name}");

        let rows = offsets.iter().filter(|row| row.text("GROUP") == name);
        assert_eq!(rows.clone().count(), ALL, "{name}");
        for row in rows {
            let number = row.number("PARTITION").expect("every row has a partition");
            let ours = partitions(&reading, &name)
                .iter()
                .find(|partition| u64::from(partition.partition) == number)
                .expect("we see the same partitions");
            assert_eq!(crate::watch::lag(ours), row.number("LAG"), "{row:?}");
            let log = ours.log.known().expect("its log is known");
            assert_eq!(Some(log.end), row.number("LOG-END-OFFSET"), "{row:?}");

            let owner = observed
                .members
                .iter()
                .find(|member| member.id == row.text("CONSUMER-ID"))
                .expect("we see the same members");
            assert_eq!(owner.host, row.text("HOST").trim_start_matches('/'));
            let owned = owner.assigned.iter().find(|topic| topic.topic == name);
            let owned = &owned.expect("it owns of this topic").partitions;
            assert!(
                owned.iter().any(|owned| u64::from(*owned) == number),
                "{row:?} is not among {owned:?}"
            );
        }
    }
}

/// A member joins and the group has settled again before anybody looks.
async fn check_between_polls(kind: Kind) {
    let broker = shared_broker();
    let name = kind.named("between");
    let servers = &broker.bootstrap_servers;
    broker.create_topic(&name, PARTITIONS).await;
    let _first = kind.join(&broker, &name, SLOW);
    let mut bystander = Watch::of(servers, &name, &name);
    bystander
        .until("one member owns the topic", |reading| {
            is_settled(reading, 1, ALL)
        })
        .await;

    let mut watch = Watch::of(servers, &name, &name);
    for _ in 0..2 {
        let (reading, decision) = watch.tick().await;
        assert!(is_settled(&reading, 1, ALL), "{reading:#?}");
        assert!(!decision.inputs.rebalancing, "nothing moves yet");
        assert_eq!(decision.inputs.rebalances, 0);
    }

    let _second = kind.join(&broker, &name, SLOW);
    bystander
        .until("two members share the topic", |reading| {
            is_settled(reading, 2, ALL)
        })
        .await;

    let (reading, decision) = watch.tick().await;
    assert!(is_settled(&reading, 2, ALL), "it is over: {reading:#?}");
    assert!(decision.inputs.rebalancing, "{decision:#?}");
    assert_eq!(decision.inputs.rebalances, 1, "{decision:#?}");
    let (_, decision) = watch.tick().await;
    assert_eq!(decision.inputs.rebalances, 1, "it is one and the same");
}

#[tokio::test]
async fn a_range_rebalance_between_two_polls_is_noticed() {
    check_between_polls(RANGE).await;
}

#[tokio::test]
async fn a_cooperative_rebalance_between_two_polls_is_noticed() {
    check_between_polls(COOPERATIVE).await;
}

#[tokio::test]
async fn a_kip_848_rebalance_between_two_polls_is_noticed() {
    check_between_polls(KIP_848).await;
}

/// A member hangs while another joins: the rebalance goes on until it comes back.
async fn check_in_progress(kind: Kind) {
    let broker = shared_broker();
    let name = kind.named("hanging");
    broker.create_topic(&name, PARTITIONS).await;
    let first = kind.join(&broker, &name, SLOW);
    let mut watch = Watch::of(&broker.bootstrap_servers, &name, &name);
    watch
        .until("one member owns the topic", |reading| {
            is_settled(reading, 1, ALL)
        })
        .await;
    let (_, before) = watch.tick().await;
    assert!(!before.inputs.rebalancing);

    first.freeze().await;
    let _second = kind.join(&broker, &name, SLOW);
    watch
        .until("the rebalance hangs", |reading| {
            let group = reading.group.known();
            group.is_some_and(|group| group.state == kind.hanging && group.members.len() == 2)
        })
        .await;
    for _ in 0..2 {
        let (reading, decision) = watch.tick().await;
        assert_eq!(group(&reading).state, kind.hanging, "{reading:#?}");
        assert_eq!(decision.inputs.group_state, kind.hanging.label());
        assert!(decision.inputs.rebalancing, "{decision:#?}");
        assert_eq!(decision.inputs.rebalances, 1, "{decision:#?}");
        assert!(replicas(&decision) >= replicas(&before), "{decision:#?}");
        if kind.protocol == GroupProtocol::Consumer {
            let moving =
                |member: &evenkeel_engine::Member| member.target.as_ref() != Some(&member.assigned);
            assert!(group(&reading).members.iter().any(moving), "{reading:#?}");
        }
    }

    first.thaw().await;
    watch
        .until("two members share the topic", |reading| {
            is_settled(reading, 2, ALL)
        })
        .await;
    let (_, decision) = watch.tick().await;
    assert_eq!(decision.inputs.rebalances, 1, "it is one and the same");
    assert_eq!(decision.inputs.observed_replicas, 2);
}

#[tokio::test]
async fn a_range_rebalance_that_hangs_is_seen_in_progress() {
    check_in_progress(RANGE).await;
}

#[tokio::test]
async fn a_cooperative_rebalance_that_hangs_is_seen_in_progress() {
    check_in_progress(COOPERATIVE).await;
}

#[tokio::test]
async fn a_kip_848_rebalance_that_hangs_is_seen_in_progress() {
    check_in_progress(KIP_848).await;
}

#[tokio::test]
async fn a_share_group_is_no_group_of_consumers_that_has_gone() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    broker.create_topic("shared", 1).await;
    let joined = [
        "--bootstrap-server",
        servers,
        "--topic",
        "shared",
        "--group",
        "sharing",
    ];
    let _member = tools::start(tools::SHARE_CONSUMER, &joined).await;
    let mut watch = Watch::of(servers, "shared", "sharing");
    let told = |reading: &KafkaReading| {
        let mut said = reading.problems.iter().map(|problem| &problem.sentence);
        said.any(|said| said.contains("group sharing: it is a share group"))
    };
    watch.until("it is called what it is", told).await;
    assert!(watch.observe().await.group.known().is_none());
}

#[tokio::test]
async fn a_group_that_everybody_left_is_empty_and_keeps_its_commits() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    broker.create_topic("left", 2).await;
    produce(servers, "left", 40).await;
    let mut watch = Watch::of(servers, "left", "left");
    let member = join(servers, "left", "left", &[QUICK]);
    watch
        .until("everything is committed", |reading| {
            total_lag(reading, "left") == Some(0)
        })
        .await;
    member.leave().await;
    produce(servers, "left", 7).await;

    let (reading, decision) = watch.tick().await;
    assert_eq!(group(&reading).state, GroupState::Empty);
    assert!(group(&reading).members.is_empty());
    assert_eq!(total_lag(&reading, "left"), Some(7));
    assert_eq!(decision.inputs.observed_replicas, 0);
    assert_eq!(decision.inputs.lag_records, 7);
    assert!(crate::watch::is_active(&decision), "there is work");
}
