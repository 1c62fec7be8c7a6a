//! Topics that are not there, grow, and come back as others.

use std::time::Duration;

use evenkeel_engine::{Cause, Reading};

use crate::cluster::shared_broker;
use crate::members::{QUICK, SLOW, join, produce};
use crate::watch::{Watch, partitions, pass, replicas, total_lag};

/// Longer than a topic that could not be read is left alone.
const RETRY: Duration = Duration::from_secs(6);

/// Longer than the metadata of a topic is taken for granted.
const METADATA_AGE: Duration = Duration::from_secs(61);

#[tokio::test]
async fn a_topic_that_does_not_exist_hides_no_other_and_is_seen_once_it_does() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    broker.create_topic("present", 2).await;
    produce(servers, "present", 10).await;
    let metadata = [("topic", "absent,present"), ("consumerGroup", "missing")];
    let mut watch = Watch::new(servers, &metadata);

    let reading = watch.observe().await;
    assert_eq!(reading.topics[0].name, "absent");
    assert_eq!(
        reading.topics[0].partitions,
        Reading::Unknown(Cause::NotFound)
    );
    let ends = partitions(&reading, "present").iter();
    let ends = ends.map(|p| p.log.known().expect("its log is known").end);
    assert_eq!(ends.sum::<u64>(), 10);
    let named = reading.problems.iter().find(|problem| {
        problem.cause == Cause::NotFound && problem.sentence.contains("topic absent")
    });
    assert!(named.is_some(), "{:?}", reading.problems);

    broker.create_topic("absent", 3).await;
    pass(RETRY).await;
    let reading = watch.observe().await;
    assert_eq!(partitions(&reading, "absent").len(), 3);
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
}

#[tokio::test]
async fn partitions_added_to_a_running_group_are_seen_as_soon_as_its_members_have_them() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    broker.create_topic("grown", 2).await;
    produce(servers, "grown", 50).await;
    let refresh = ["-X", "topic.metadata.refresh.interval.ms=300"];
    let _member = join(servers, "grown", "grown", &[QUICK, &refresh]);
    let mut watch = Watch::of(servers, "grown", "grown");
    watch
        .until("everything is committed", |reading| {
            total_lag(reading, "grown") == Some(0)
        })
        .await;
    watch.tick().await;

    let added = broker.topics.create_partitions("grown", 4).await;
    added.expect("partitions are added");
    produce(servers, "grown", 60).await;
    let reading = watch
        .until("everything is committed in four partitions", |reading| {
            partitions(reading, "grown").len() == 4 && total_lag(reading, "grown") == Some(0)
        })
        .await;
    let decision = watch.decide(&reading);
    assert_eq!(decision.inputs.partitions, 4);
    assert_eq!(decision.inputs.lag_records, 0);
}

#[tokio::test]
async fn partitions_added_to_a_sleeping_group_are_seen_within_a_minute() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    broker.create_topic("grown-asleep", 1).await;
    let mut watch = Watch::of(servers, "grown-asleep", "grown-asleep");
    assert_eq!(partitions(&watch.observe().await, "grown-asleep").len(), 1);
    let added = broker.topics.create_partitions("grown-asleep", 3).await;
    added.expect("partitions are added");
    pass(METADATA_AGE).await;
    assert_eq!(partitions(&watch.observe().await, "grown-asleep").len(), 3);
}

#[tokio::test]
async fn a_topic_deleted_and_made_again_is_read_anew() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    broker.create_topic("again", 2).await;
    produce(servers, "again", 400).await;
    let metadata = [
        ("topic", "again"),
        ("consumerGroup", "again"),
        ("offsetResetPolicy", "earliest"),
        ("capacityPerReplica", "1"),
    ];
    let mut watch = Watch::new(servers, &metadata);
    let member = join(servers, "again", "again", &[QUICK]);
    watch
        .until("everything is committed", |reading| {
            total_lag(reading, "again") == Some(0)
        })
        .await;
    member.leave().await;
    produce(servers, "again", 300).await;
    let (_, before) = watch.tick().await;
    assert_eq!(before.inputs.lag_records, 300);

    let deleted = broker.topics.delete_topic("again").await;
    deleted.expect("the topic is deleted");
    let (reading, gone) = watch.tick().await;
    for topic in &reading.topics {
        let known = topic.partitions.known().into_iter().flatten();
        for partition in known {
            assert!(partition.log.known().is_none(), "{reading:#?}");
        }
    }
    assert_eq!(replicas(&gone), replicas(&before), "nothing is lowered");

    broker.create_topic("again", 2).await;
    produce(servers, "again", 20).await;
    pass(RETRY).await;
    let reading = watch
        .until("the new topic is read", |reading| {
            let topic = reading.topics[0].partitions.known();
            topic.is_some_and(|topic| topic.iter().all(|p| p.log.known().is_some()))
        })
        .await;
    let again = reading.problems.iter().find(|problem| {
        problem
            .sentence
            .contains("topic again was deleted and created again")
    });
    assert!(again.is_some(), "{:?}", reading.problems);
    let ends = partitions(&reading, "again").iter();
    let ends = ends.map(|p| p.log.known().expect("its log is known").end);
    assert_eq!(ends.sum::<u64>(), 20, "{reading:#?}");
    let decision = watch.decide(&reading);
    assert_eq!(decision.inputs.lag_records, 20, "{reading:#?}");

    // The group reads on.
    let _member = join(servers, "again", "again", &[SLOW]);
    let (_, decision) = watch.tick().await;
    assert!(replicas(&decision) > 0);
}
