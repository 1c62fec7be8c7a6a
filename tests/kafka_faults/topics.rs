//! What is read of topics and logs, and topics that come, go, grow and shrink.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::{Cause, Reading, Timestamp};
use evenkeel_scaler::observe::{
    Earlier, Isolation, ObserveKafka, PartitionSelection, Request, Subscription,
};
use kafka_protocol::ResponseError as E;

use super::fake_broker::Api;
use super::*;

fn with(request: &Request, change: impl FnOnce(&mut Subscription)) -> Request {
    let mut subscription = Subscription::clone(&request.subscription);
    change(&mut subscription);
    Request {
        subscription: Arc::new(subscription),
        ..request.clone()
    }
}

#[tokio::test]
async fn a_missing_topic_is_unknown_and_hides_no_other() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    let reading = one(&mut observer, &named("g", &["missing", "t"])).await;
    assert_eq!(topic_names(&reading), ["missing", "t"]);
    assert_eq!(
        reading.topics[0].partitions,
        Reading::Unknown(Cause::NotFound)
    );
    check_problem(&reading, Cause::NotFound, "topic missing");
    check_all(&reading, "t", 6, 100, 40);

    cluster.world().topic("missing", 1, 7);
    pass(Duration::from_secs(5)).await;
    let reading = one(&mut observer, &named("g", &["missing", "t"])).await;
    assert_eq!(logs(&reading, "missing"), [log(0, 7)]);
}

#[tokio::test]
async fn a_topic_that_may_not_be_described_is_refused() {
    let cluster = cluster().await;
    let error = E::TopicAuthorizationFailed.code();
    cluster.world().topics.get_mut("t").unwrap().error = error;
    let reading = one(&mut observer(&cluster), &named("g", &["t"])).await;
    assert_eq!(
        reading.topics[0].partitions,
        Reading::Unknown(Cause::Refused)
    );
    check_problem(&reading, Cause::Refused, "DESCRIBE on topic t");
}

#[tokio::test]
async fn a_deleted_topic_of_a_group_is_left_out_once_nobody_reads_it() {
    let cluster = cluster().await;
    cluster.change(|world| {
        world.group("g").committed.insert(("gone".to_owned(), 0), 5);
    });
    let mut observer = observer(&cluster);
    let reading = one(&mut observer, &of_group("g")).await;
    assert_eq!(topic_names(&reading), ["t"]);
    check_problem(&reading, Cause::NotFound, "topic gone");

    let assigned = ("gone".to_owned(), vec![0]);
    cluster.world().group("g").members[0]
        .assigned
        .push(assigned);
    let reading = one(&mut observer, &of_group("g")).await;
    assert_eq!(topic_names(&reading), ["gone", "t"]);
    assert_eq!(
        reading.topics[0].partitions,
        Reading::Unknown(Cause::NotFound)
    );
}

#[tokio::test]
async fn a_partition_that_fails_hides_no_other() {
    let cluster = cluster().await;
    cluster.world().partition("t", 2).error = E::KafkaStorageError.code();
    let reading = one(&mut observer(&cluster), &named("g", &["t"])).await;
    let mut expected = [log(0, 100); 6];
    expected[2] = Reading::Unknown(Cause::Moving);
    assert_eq!(logs(&reading, "t"), expected);
    assert_eq!(commits(&reading, "t"), [at(40); 6]);
    check_problem(&reading, Cause::Moving, "the log of topic t, partition 2");
}

#[tokio::test]
async fn read_committed_counts_to_the_last_stable_offset() {
    let cluster = cluster().await;
    cluster.world().partition("t", 0).stable_end = Some(80);
    let uncommitted = named("g", &["t"]);
    let committed = with(&uncommitted, |s| s.isolation = Isolation::ReadCommitted);
    let mut observer = observer(&cluster);
    let readings = observer.observe(&[uncommitted, committed]).await;
    assert_eq!(logs(&readings[0], "t")[0], log(0, 100));
    assert_eq!(logs(&readings[1], "t")[0], log(0, 80));
}

#[tokio::test]
async fn a_cold_target_gets_the_logs_history() {
    let cluster = cluster().await;
    cluster.world().partition("t", 0).since = Some(70);
    let cold = Request {
        cold: true,
        ..named("g", &["t"])
    };
    let mut observer = observer(&cluster);
    let reading = one(&mut observer, &cold).await;
    let histories = partitions(&reading, "t");
    let ends: Vec<u64> = histories.iter().map(|p| p.history.unwrap().end).collect();
    // A log without a record as new as that ended then where it ends now.
    assert_eq!(ends, [70, 100, 100, 100, 100, 100]);
    let age = reading.at.since(histories[0].history.unwrap().at);
    assert_eq!(age, Duration::from_secs(300));
    let warm = one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(partitions(&warm, "t")[0].history, None);
}

#[tokio::test]
async fn how_much_had_arrived_earlier_is_asked_on_request_and_known_of_all_or_not_at_all() {
    let cluster = cluster().await;
    cluster.world().partition("t", 0).since = Some(70);
    cluster.world().partition("t", 5).end = 0;
    let mut request = named("g", &["t"]);
    let mut observer = observer(&cluster);
    assert_eq!(one(&mut observer, &request).await.earlier, None);
    request.earlier = Some(Timestamp::from_secs(1_000));
    let earlier = |records, at_start| {
        Some(Earlier {
            records,
            partitions: 5,
            at_start,
        })
    };
    let before = cluster.world().count(Api::ListOffsets);
    assert_eq!(one(&mut observer, &request).await.earlier, earlier(470, 0));
    let brokers = cluster.bootstrap_servers().len();
    let asked = cluster.world().count(Api::ListOffsets) - before;
    assert!(asked <= 2 * brokers, "one more a broker: {asked}");
    // Where its log begins, what came before is not known.
    cluster.world().partition("t", 1).since = Some(0);
    assert_eq!(one(&mut observer, &request).await.earlier, earlier(370, 1));
    cluster.world().partition("t", 2).error = 1;
    assert_eq!(one(&mut observer, &request).await.earlier, None);
}

#[tokio::test]
async fn a_record_that_is_dated_ahead_tells_nothing_of_where_a_log_ended() {
    let cluster = cluster().await;
    let day = i64::try_from(Duration::from_secs(86_400).as_millis()).unwrap();
    let now = i64::try_from(Clock::start().now().as_millis()).unwrap();
    for (partition, dated) in [(0, now + day), (1, now)] {
        cluster.world().partition("t", partition).since = Some(10);
        cluster.world().partition("t", partition).dated = Some(dated);
    }
    let cold = Request {
        cold: true,
        ..named("g", &["t"])
    };
    let reading = one(&mut observer(&cluster), &cold).await;
    let ends = partitions(&reading, "t");
    let ends: Vec<_> = ends
        .iter()
        .map(|one| one.history.map(|history| history.end))
        .collect();
    let whole = Some(100);
    assert_eq!(ends, [None, Some(10), whole, whole, whole, whole]);
    assert_eq!(reading.problems, []);
}

#[tokio::test]
async fn only_the_selected_partitions_count() {
    let cluster = cluster().await;
    let all = named("g", &["t"]);
    let some = |ranges| with(&all, |s| s.partitions = Some(PartitionSelection(ranges)));
    let mut observer = observer(&cluster);
    let reading = one(&mut observer, &some(vec![1..=2, 5..=9])).await;
    let numbers: Vec<u32> = partitions(&reading, "t")
        .iter()
        .map(|p| p.partition)
        .collect();
    assert_eq!(numbers, [1, 2, 5]);
    let reading = one(&mut observer, &some(vec![10..=12])).await;
    assert_eq!(partitions(&reading, "t"), []);
    check_problem(
        &reading,
        Cause::NotFound,
        "none of the 6 partitions of topic t",
    );
}

#[tokio::test]
async fn added_partitions_are_noticed_by_their_commits() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    one(&mut observer, &of_group("g")).await;
    cluster.world().topic("t", 8, 100);
    cluster.world().topics.get_mut("t").unwrap().id = 1;
    cluster
        .world()
        .group("g")
        .committed
        .insert(("t".to_owned(), 7), 40);
    pass(Duration::from_secs(5)).await;
    let reading = one(&mut observer, &of_group("g")).await;
    assert_eq!(partitions(&reading, "t").len(), 8);
    assert_eq!(logs(&reading, "t"), [log(0, 100); 8]);
}

#[tokio::test]
async fn added_partitions_are_noticed_within_a_minute() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    one(&mut observer, &named("g", &["t"])).await;
    cluster.world().topic("t", 8, 100);
    cluster.world().topics.get_mut("t").unwrap().id = 1;
    pass(Duration::from_secs(59)).await;
    let reading = one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(partitions(&reading, "t").len(), 6);
    pass(Duration::from_secs(1)).await;
    let reading = one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(partitions(&reading, "t").len(), 8);
    assert_eq!(reading.problems, []);
}

#[tokio::test]
async fn topics_that_came_one_after_the_other_are_looked_up_together() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    let mut requests = Vec::new();
    let every = Duration::from_secs(3);
    for number in 0..20 {
        let (group, topic) = (format!("g{number}"), format!("t{number}"));
        cluster.change(|world| {
            world.topic(&topic, 2, 100);
            world.classic_group(&group, &topic, 40);
        });
        requests.push(named(&group, &[&topic]));
        observer.observe(&requests).await;
        pass(every).await;
    }
    cluster.world().journal.clear();
    let minutes = 3;
    for _ in 0..minutes * 20 {
        observer.observe(&requests).await;
        pass(every).await;
    }
    let asked = cluster.world().count(Api::Metadata);
    // One a minute, and one until they are together; each by itself they were one a tick.
    assert!((minutes - 1..=minutes + 1).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_topic_created_again_is_said_at_once_when_its_log_is_shorter() {
    let cluster = cluster().await;
    cluster.world().partition("t", 0).start = 30;
    let mut observer = observer(&cluster);
    let reading = one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(logs(&reading, "t")[0], log(30, 100));
    cluster.world().topic("t", 6, 8);
    let reading = one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(logs(&reading, "t"), [log(0, 8); 6]);
    check_problem(
        &reading,
        Cause::Stale,
        "topic t was deleted and created again",
    );
}

#[tokio::test]
async fn a_topic_created_again_is_said_within_a_minute_when_its_log_is_longer() {
    let cluster = cluster().await;
    cluster.world().partition("t", 0).start = 30;
    let mut observer = observer(&cluster);
    one(&mut observer, &named("g", &["t"])).await;
    // The starts are asked again, so that it is not their age by which they are asked at last.
    pass(Duration::from_secs(40)).await;
    one(&mut observer, &named("g", &["t"])).await;
    cluster.world().topic("t", 6, 500);
    pass(Duration::from_secs(20)).await;
    let reading = one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(logs(&reading, "t"), [log(0, 500); 6]);
    check_problem(
        &reading,
        Cause::Stale,
        "topic t was deleted and created again",
    );
    pass(Duration::from_secs(600)).await;
    let reading = one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(reading.problems, [], "it is not said for ever");
}

#[tokio::test]
async fn a_log_that_was_cut_has_its_start_asked_again() {
    let cluster = cluster().await;
    cluster.world().partition("t", 4).start = 60;
    let mut observer = observer(&cluster);
    one(&mut observer, &named("g", &["t"])).await;
    cluster.change(|world| {
        world.partition("t", 4).start = 10;
        world.partition("t", 4).end = 20;
    });
    let reading = one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(logs(&reading, "t")[4], log(10, 20));
    assert_eq!(reading.problems, []);
}

#[tokio::test]
async fn log_starts_are_asked_seldom_unless_lag_hangs_on_them() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    one(&mut observer, &named("g", &["t"])).await;
    cluster.change(|world| {
        for partition in 0..6 {
            world.partition("t", partition).start = 30;
        }
        world.journal.clear();
    });
    let reading = one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(logs(&reading, "t"), [log(0, 100); 6]);
    assert_eq!(cluster.world().count(Api::ListOffsets), 3);

    pass(Duration::from_secs(30)).await;
    let reading = one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(logs(&reading, "t"), [log(30, 100); 6]);

    // Retention passes the commits at 40.
    for start in [60, 70] {
        cluster.world().partition("t", 5).start = start;
        pass(Duration::from_secs(31)).await;
        one(&mut observer, &named("g", &["t"])).await;
    }
    cluster.world().partition("t", 5).start = 80;
    let reading = one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(
        logs(&reading, "t")[5],
        log(80, 100),
        "asked every tick while it is so"
    );
}
