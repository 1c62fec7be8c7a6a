//! Lag: what Kafka's own tool reports, and what it means where nothing was ever committed or the
//! log was cut.

use std::time::Duration;

use evenkeel_engine::{Committed, GroupState, Reading};

use crate::cluster::shared_broker;
use crate::members::{QUICK, SLOW, join, produce};
use crate::tools;
use crate::watch::{Watch, group, is_active, lag, partitions, pass, total_lag};

/// Longer than a log's start is taken for granted.
const LOG_STARTS_AGE: Duration = Duration::from_secs(31);

#[tokio::test]
async fn lag_is_what_kafkas_own_tool_reports_partition_by_partition() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    broker.create_topic("compared", 4).await;
    produce(servers, "compared", 900).await;
    let mut watch = Watch::of(servers, "compared", "compared");
    let member = join(servers, "compared", "compared", &[QUICK]);
    watch
        .until("everything is committed", |reading| {
            total_lag(reading, "compared") == Some(0)
        })
        .await;
    member.leave().await;
    // Uneven: records fall where chance puts them, and two partitions have never seen a commit.
    broker
        .topics
        .create_partitions("compared", 6)
        .await
        .expect("partitions are added");
    produce(servers, "compared", 501).await;

    let mut watch = Watch::of(servers, "compared", "compared");
    let reading = watch.observe().await;
    let rows = tools::describe_offsets(servers, &["compared"]).await;
    let mut compared = 0;
    for ours in partitions(&reading, "compared") {
        let number = u64::from(ours.partition);
        let row = rows
            .iter()
            .find(|row| row.number("PARTITION") == Some(number));
        let Some(row) = row else {
            // The tool leaves out what an empty group has never committed.
            assert_eq!(ours.committed, Reading::Known(Committed::Never));
            continue;
        };
        assert_eq!(lag(ours), row.number("LAG"), "{row:?}");
        let committed = match ours.committed {
            Reading::Known(Committed::At(offset)) => Some(offset),
            _ => None,
        };
        assert_eq!(committed, row.number("CURRENT-OFFSET"), "{row:?}");
        let log = ours.log.known().expect("its log is known");
        assert_eq!(Some(log.end), row.number("LOG-END-OFFSET"), "{row:?}");
        compared += 1;
    }
    assert_eq!(compared, 4, "{rows:?}");
    assert_eq!(partitions(&reading, "compared").len(), 6);
}

/// Longer than any window over which an inbound rate is taken.
const RATE_FORGETS: Duration = Duration::from_secs(310);

/// Nothing was ever committed: what that means is the policy's.
async fn check_never_committed(
    topic: &str,
    more: (&str, &str),
    state: GroupState,
    lag_records: u64,
    active: bool,
) {
    let broker = shared_broker();
    let metadata = [("topic", topic), ("consumerGroup", topic), more];
    let mut watch = Watch::new(&broker.bootstrap_servers, &metadata);
    // The records are old: only what was never committed can keep the target awake.
    pass(RATE_FORGETS).await;
    // The first group ever asked for makes Kafka make its offsets topic first.
    let reading = watch
        .until("the group and its commits are known", |reading| {
            let group = reading.group.known();
            let mut partitions = partitions(reading, topic).iter();
            group.is_some_and(|group| group.state == state)
                && partitions.all(|partition| partition.committed.known().is_some())
        })
        .await;
    for partition in partitions(&reading, topic) {
        assert_eq!(partition.committed, Reading::Known(Committed::Never));
    }
    let decision = watch.decide(&reading);
    assert_eq!(decision.inputs.lag_records, lag_records, "{more:?}");
    assert_eq!(is_active(&decision), active, "{more:?}: {decision:#?}");
}

const EARLIEST: (&str, &str) = ("offsetResetPolicy", "earliest");
const LATEST: (&str, &str) = ("offsetResetPolicy", "latest");
const SLEEPING: (&str, &str) = ("scaleToZeroOnInvalidOffset", "true");

#[tokio::test]
async fn a_group_that_does_not_exist_has_all_or_nothing_before_it_as_its_reset_policy_says() {
    let broker = shared_broker();
    broker.create_topic("nobody", 3).await;
    produce(&broker.bootstrap_servers, "nobody", 120).await;
    check_never_committed("nobody", EARLIEST, GroupState::Dead, 120, true).await;
    check_never_committed("nobody", LATEST, GroupState::Dead, 0, true).await;
    check_never_committed("nobody", SLEEPING, GroupState::Dead, 0, false).await;
}

#[tokio::test]
async fn members_that_have_never_committed_count_as_their_reset_policy_says() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    broker.create_topic("silent", 3).await;
    produce(servers, "silent", 80).await;
    let _member = join(servers, "silent", "silent", &[SLOW]);
    check_never_committed("silent", EARLIEST, GroupState::Stable, 80, true).await;
    check_never_committed("silent", LATEST, GroupState::Stable, 0, true).await;
}

#[tokio::test]
async fn a_log_cut_beyond_the_commit_counts_only_what_is_left() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    broker.create_topic("cut", 1).await;
    produce(servers, "cut", 100).await;
    let mut watch = Watch::of(servers, "cut", "cut");
    let member = join(servers, "cut", "cut", &[QUICK]);
    watch
        .until("everything is committed", |reading| {
            total_lag(reading, "cut") == Some(0)
        })
        .await;
    member.leave().await;
    produce(servers, "cut", 200).await;
    let (_, before) = watch.tick().await;
    assert_eq!(before.inputs.lag_records, 200);

    let start = broker.topics.delete_records("cut", 0, 250).await;
    assert_eq!(start.expect("the log is cut"), 250);
    pass(LOG_STARTS_AGE).await;
    let (reading, after) = watch.tick().await;
    let log = partitions(&reading, "cut")[0].log;
    let log = log.known().expect("its log is known");
    assert_eq!((log.start, log.end), (250, 300));
    assert_eq!(after.inputs.lag_records, 50, "{after:#?}");
    assert_eq!(group(&reading).state, GroupState::Empty);
}

/// Writes `records` transactional records, `per_second`, in one transaction if it may take as long.
async fn write_transaction(servers: &str, topic: &str, records: &str, per_second: &str) {
    let arguments = [
        ["--bootstrap-server", servers],
        ["--topic", topic],
        ["--num-records", records],
        ["--throughput", per_second],
        ["--record-size", "10"],
        ["--transactional-id", topic],
        ["--transaction-duration-ms", "50000"],
    ];
    tools::run(tools::PRODUCER_PERFORMANCE, arguments.as_flattened()).await;
}

#[tokio::test]
async fn read_committed_counts_to_where_a_transaction_is_open() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    let topic = "transactional";
    broker.create_topic(topic, 1).await;
    let group = [("topic", topic), ("consumerGroup", topic), EARLIEST];
    let isolation = [("isolationLevel", "read_committed")];
    let mut everything = Watch::new(servers, &group);
    let mut committed = Watch::new(servers, &[group.as_slice(), &isolation].concat());
    write_transaction(servers, topic, "50", "-1").await;
    // The records and the mark that commits them.
    for watch in [&mut everything, &mut committed] {
        watch
            .until("the transaction is committed", |reading| {
                let log = partitions(reading, topic)[0].log;
                log.known().is_some_and(|log| log.end == 51)
            })
            .await;
    }

    let open = write_transaction(servers, topic, "100000", "50");
    let seen = async {
        let reading = everything
            .until("an open transaction has records", |reading| {
                let log = partitions(reading, topic)[0].log;
                log.known().is_some_and(|log| log.end > 60)
            })
            .await;
        let decision = everything.decide(&reading);
        assert!(decision.inputs.lag_records > 60, "{decision:#?}");
        let reading = committed.observe().await;
        let log = partitions(&reading, topic)[0].log;
        assert_eq!(log.known().expect("its log is known").end, 51);
        let decision = committed.decide(&reading);
        assert_eq!(decision.inputs.lag_records, 51, "{decision:#?}");
    };
    // The writer is killed as soon as that was seen.
    tokio::select! {
        () = open => panic!("the transaction has ended by itself"),
        () = seen => {}
    }
}
