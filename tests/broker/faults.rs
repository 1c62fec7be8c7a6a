//! Brokers that die, leaders and coordinators that move: unknown for a while, never zero.

use std::time::Duration;

use evenkeel_engine::{Cause, Desired, GroupState, Reading, Verdict};
use evenkeel_scaler::observe::KafkaReading;
use evenkeel_tools::demo::broker::{BrokerOptions, EmbeddedBroker, EmbeddedCluster};

use crate::eventually::eventually;
use crate::members::{QUICK, SLOW, join, produce};
use crate::watch::{Watch, group, is_settled, partitions, pass, replicas, total_lag};

/// The default of `maxStalenessSeconds`, and a little.
const TOO_STALE: Duration = Duration::from_secs(125);

/// What is unknown because nobody answers.
fn is_absence(cause: Cause) -> bool {
    matches!(cause, Cause::Unreachable | Cause::Timeout)
}

/// Whether nothing in a reading claims to be known.
#[track_caller]
fn nothing_is_known(reading: &KafkaReading) {
    assert!(
        matches!(reading.group, Reading::Unknown(cause) if is_absence(cause)),
        "{reading:#?}"
    );
    for topic in &reading.topics {
        match &topic.partitions {
            Reading::Unknown(cause) => assert!(is_absence(*cause), "{reading:#?}"),
            Reading::Known(partitions) => {
                assert!(!partitions.is_empty(), "{reading:#?}");
                for partition in partitions {
                    assert!(partition.log.known().is_none(), "{reading:#?}");
                    assert!(partition.committed.known().is_none(), "{reading:#?}");
                }
            }
        }
    }
    assert!(!reading.problems.is_empty(), "it says what is wrong");
}

#[tokio::test]
async fn a_killed_broker_makes_everything_unknown_and_nothing_zero_until_it_is_back() {
    let mut broker = EmbeddedBroker::start(BrokerOptions::default())
        .await
        .expect("the broker starts (make setup)");
    let servers = broker.bootstrap_servers();
    let topics = broker.topics();
    let made = topics.create_topic("orders", 3, 1, &[]).await;
    made.expect("the topic is made");
    produce(&servers, "orders", 60).await;
    let metadata = [
        ("topic", "orders"),
        ("consumerGroup", "orders"),
        ("capacityPerReplica", "1"),
        ("offsetResetPolicy", "earliest"),
    ];
    let mut watch = Watch::new(&servers, &metadata);
    let quick = join(&servers, "orders", "orders", &[QUICK]);
    watch
        .until("everything is committed", |reading| {
            total_lag(reading, "orders") == Some(0)
        })
        .await;
    quick.leave().await;
    let _members = [SLOW, SLOW].map(|pace| join(&servers, "orders", "orders", &[pace]));
    watch
        .until("two members share the topic", |reading| {
            is_settled(reading, 2, 3)
        })
        .await;
    produce(&servers, "orders", 600).await;
    let (known, before) = watch.tick().await;
    assert_eq!(total_lag(&known, "orders"), Some(600));
    let wanted = replicas(&before);
    assert!(wanted >= 2, "{before:#?}");

    broker.kill().await.expect("it is killed");
    for _ in 0..3 {
        let (reading, decision) = watch.tick().await;
        nothing_is_known(&reading);
        assert_eq!(replicas(&decision), wanted, "{decision:#?}");
        assert_eq!(decision.verdict, Verdict::Stale, "{decision:#?}");
        let limit = known.at.plus(watch.spec.policy.max_staleness);
        assert_eq!(decision.valid_until, limit, "it is no fresher for it");
        pass(Duration::from_secs(5)).await;
    }
    let mut stranger = Watch::new(&servers, &metadata);
    let (reading, decision) = stranger.tick().await;
    nothing_is_known(&reading);
    assert!(matches!(decision.desired, Desired::Unknown { .. }));
    pass(TOO_STALE).await;
    let (reading, decision) = watch.tick().await;
    nothing_is_known(&reading);
    assert!(
        matches!(decision.desired, Desired::Unknown { .. }),
        "{decision:#?}"
    );

    broker.restart().await.expect("it starts again");
    watch
        .until("the group is back", |reading| is_settled(reading, 2, 3))
        .await;
    let (reading, decision) = watch.tick().await;
    assert_eq!(total_lag(&reading, "orders"), Some(600), "{reading:#?}");
    assert_eq!(decision.inputs.lag_records, 600);
    assert!(replicas(&decision) >= wanted, "{decision:#?}");
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
}

/// Three brokers, and a topic of which each leads one partition.
async fn three_brokers() -> (EmbeddedCluster, String) {
    let cluster = EmbeddedCluster::start(3)
        .await
        .expect("the brokers start (make setup)");
    let servers = cluster.bootstrap_servers();
    let topics = cluster.topics();
    let made = topics.create_topic("orders", 3, 3, &[]).await;
    made.expect("the topic is made");
    for (partition, replicas) in [[1, 2, 3], [2, 3, 1], [3, 1, 2]].iter().enumerate() {
        let partition = i32::try_from(partition).expect("three");
        let moved = topics.move_partition("orders", partition, replicas).await;
        moved.expect("each node leads one");
    }
    produce(&servers, "orders", 90).await;
    let quick = join(&servers, "orders", "orders", &[QUICK]);
    let mut watch = Watch::of(&servers, "orders", "orders");
    watch
        .until("everything is committed", |reading| {
            total_lag(reading, "orders") == Some(0)
        })
        .await;
    quick.leave().await;
    produce(&servers, "orders", 33).await;
    (cluster, servers)
}

/// Where the only partition of the groups' own topic is led: the node (from 0) that coordinates.
async fn coordinator(cluster: &EmbeddedCluster) -> usize {
    let places = cluster.topics().describe("__consumer_offsets").await;
    let places = places.expect("a broker answers");
    let leader = places[0].leader.expect("somebody coordinates");
    usize::try_from(leader - 1).expect("ids begin at 1")
}

#[tokio::test]
async fn moved_leaders_are_asked_in_the_same_tick_and_a_dead_one_hides_only_its_own() {
    let (mut cluster, servers) = three_brokers().await;
    let topics = cluster.topics();
    let mut watch = Watch::of(&servers, "orders", "orders");
    let reading = watch.observe().await;
    assert_eq!(total_lag(&reading, "orders"), Some(33), "{reading:#?}");

    // In order: the old leader answers that it is one no more, and the new one is asked at once. It
    // may not know yet how far its log is replicated, and says so.
    let moved = topics.move_partition("orders", 0, &[2, 3, 1]).await;
    moved.expect("the leader moves");
    let reading = watch
        .until("the moved partition is known", |reading| {
            let all = partitions(reading, "orders");
            assert!(all[1].log.known().is_some() && all[2].log.known().is_some());
            for problem in &reading.problems {
                assert!(
                    problem.sentence.contains("OffsetNotAvailable"),
                    "{problem:?}"
                );
            }
            total_lag(reading, "orders").is_some()
        })
        .await;
    assert_eq!(total_lag(&reading, "orders"), Some(33), "{reading:#?}");

    // By death: the coordinator's node, which leads one partition as well.
    let dead = coordinator(&cluster).await;
    let dead_id = cluster.node_id(dead).expect("it is one of three");
    let places = topics.describe("orders").await.expect("they answer");
    let led_by_dead: Vec<u32> = places
        .iter()
        .filter(|place| place.leader == Some(dead_id))
        .map(|place| u32::try_from(place.partition).expect("a partition"))
        .collect();
    assert!(led_by_dead.len() < 3, "{places:?}");
    cluster.kill(dead).await.expect("it is killed");

    let mut seen_group_unknown = false;
    let reading = eventually("everything is known again", async || {
        let reading = watch.observe().await;
        for partition in partitions(&reading, "orders") {
            if !led_by_dead.contains(&partition.partition) {
                assert!(partition.log.known().is_some(), "{reading:#?}");
            }
        }
        match reading.group.known() {
            // Not an empty list of members, and not a group that is none.
            Some(group) => assert_eq!(group.state, GroupState::Empty, "{reading:#?}"),
            None => seen_group_unknown = true,
        }
        match total_lag(&reading, "orders") {
            Some(_) if reading.group.known().is_some() => Ok(reading),
            _ => Err(format!("{reading:#?}")),
        }
    })
    .await;
    assert!(seen_group_unknown, "the coordinator was dead for a while");
    assert_eq!(total_lag(&reading, "orders"), Some(33), "{reading:#?}");
    assert_eq!(group(&reading).state, GroupState::Empty);

    cluster.restart(dead).await.expect("it comes back");
    let given_back = topics.move_partition("orders", 0, &[dead_id]).await;
    given_back.expect("it leads again");
    let reading = watch
        .until("everything is known", |reading| {
            total_lag(reading, "orders").is_some()
        })
        .await;
    assert_eq!(total_lag(&reading, "orders"), Some(33), "{reading:#?}");
}
