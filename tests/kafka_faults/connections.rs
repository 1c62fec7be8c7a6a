//! Brokers that are silent, gone, old, or no brokers at all.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_engine::{Cause, GroupProtocol, Reading};
use evenkeel_scaler::metrics::{KafkaConnectionLabels, KafkaRequestLabels, Metrics};
use evenkeel_scaler::observe::{KafkaReading, ObserveKafka};

use super::fake_broker::{Api, FakeCluster, How};
use super::*;

/// Longer than any pause after a failure.
const LONG: Duration = Duration::from_secs(11);

/// Partitions 1 and 4, which broker 2 leads, are unknown for `cause`; all others are known.
fn check_broker_2(reading: &KafkaReading, cause: Cause) {
    let mut expected = [log(0, 100); 6];
    expected[1] = Reading::Unknown(cause);
    expected[4] = Reading::Unknown(cause);
    assert_eq!(logs(reading, "t"), expected, "{:?}", reading.problems);
    assert_eq!(commits(reading, "t"), [at(40); 6]);
}

/// What comes of broker 2 answering ListOffsets so.
async fn check_fault(how: How, cause: Cause, words: &str) {
    let cluster = cluster().await;
    let patience = match how {
        How::Silent => IMPATIENCE,
        _ => PATIENCE,
    };
    let servers = cluster.bootstrap_servers();
    let mut observer = observer_of(servers, patience, Metrics::default());
    one(&mut observer, &named("g", &["t"])).await;
    cluster
        .world()
        .fault(Some(2), Some(Api::ListOffsets), how, 1);
    let reading = one(&mut observer, &named("g", &["t"])).await;
    check_broker_2(&reading, cause);
    check_problem(&reading, cause, words);

    // Left alone for now, with the cause that it was left alone for.
    cluster.world().journal.clear();
    let reading = one(&mut observer, &named("g", &["t"])).await;
    check_broker_2(&reading, cause);
    let asked: Vec<i32> = cluster
        .world()
        .journal
        .iter()
        .map(|(node, _)| *node)
        .collect();
    assert!(!asked.contains(&2), "{asked:?}");
    assert_eq!(cluster.world().connections[&2], 1);

    pass(LONG).await;
    let reading = one(&mut observer, &named("g", &["t"])).await;
    check_all(&reading, "t", 6, 100, 40);
    assert_eq!(cluster.world().connections[&2], 2);
}

#[tokio::test]
async fn a_silent_broker_times_out_alone_and_is_then_left_alone() {
    check_fault(
        How::Silent,
        Cause::Timeout,
        "did not answer ListOffsets in time",
    )
    .await;
}

#[tokio::test]
async fn a_connection_that_closes_is_opened_again_after_a_pause() {
    check_fault(How::Close, Cause::Unreachable, "closed the connection").await;
}

#[tokio::test]
async fn pauses_grow_while_a_broker_fails_and_start_anew_once_it_has_answered() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    one(&mut observer, &named("g", &["t"])).await;
    let fail = || {
        cluster
            .world()
            .fault(Some(2), Some(Api::ListOffsets), How::Close, 1);
    };
    // Once, twice, and then well: paused for one second, then for two.
    fail();
    check_broker_2(
        &one(&mut observer, &named("g", &["t"])).await,
        Cause::Unreachable,
    );
    fail();
    pass(Duration::from_secs(1)).await;
    check_broker_2(
        &one(&mut observer, &named("g", &["t"])).await,
        Cause::Unreachable,
    );
    assert_eq!(cluster.world().connections[&2], 2);
    pass(Duration::from_secs(1)).await;
    check_broker_2(
        &one(&mut observer, &named("g", &["t"])).await,
        Cause::Unreachable,
    );
    assert_eq!(cluster.world().connections[&2], 2);
    pass(Duration::from_secs(1)).await;
    check_all(
        &one(&mut observer, &named("g", &["t"])).await,
        "t",
        6,
        100,
        40,
    );

    fail();
    check_broker_2(
        &one(&mut observer, &named("g", &["t"])).await,
        Cause::Unreachable,
    );
    pass(Duration::from_secs(1)).await;
    check_all(
        &one(&mut observer, &named("g", &["t"])).await,
        "t",
        6,
        100,
        40,
    );
}

#[tokio::test]
async fn a_frame_longer_than_may_be_closes_the_connection() {
    check_fault(
        How::Length(5 << 20),
        Cause::Malformed,
        "limits.kafkaFrameBytes",
    )
    .await;
}

#[tokio::test]
async fn what_begins_with_no_length_closes_the_connection_and_is_not_repeated() {
    let of_letters = i32::from_be_bytes(*b"HTTP");
    for length in [-1, i32::MAX, of_letters] {
        check_fault(
            How::Length(length),
            Cause::Malformed,
            "begins with no length",
        )
        .await;
    }
}

#[tokio::test]
async fn no_ad_hoc_address_leads_to_metadata_and_none_that_a_broker_advertises() {
    let cluster = FakeCluster::start(1).await;
    cluster.change(|world| {
        world.topic("t", 1, 100);
        world.classic_group("g", "t", 40);
    });
    let check = async |observer: &mut KafkaObserver| {
        let reading = one(observer, &named("g", &["t"])).await;
        let said = format!("{:?}", reading.problems);
        assert!(
            said.contains("leads to a link-local address or to a cloud's metadata"),
            "{said}"
        );
    };
    // The system's resolver reads this as 169.254.169.254.
    let mut named_so = observer_of(
        vec!["0xa9fea9fe:9092".to_owned()],
        PATIENCE,
        Metrics::default(),
    );
    check(&mut named_so).await;
    let elsewhere = "169.254.169.254:9092".parse().unwrap();
    cluster.change(|world| {
        world.brokers.insert(1, elsewhere);
    });
    check(&mut observer(&cluster)).await;
}

#[tokio::test]
async fn a_frame_too_short_for_its_header_closes_the_connection() {
    check_fault(How::Length(0), Cause::Malformed, "a frame of 0 bytes").await;
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_closes_the_connection() {
    check_fault(How::Unasked, Cause::Malformed, "never asked").await;
}

#[tokio::test]
async fn an_answer_that_is_cut_short_closes_the_connection() {
    check_fault(
        How::Garbage(vec![0, 0, 0]),
        Cause::Malformed,
        "of another shape",
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_claims_more_than_memory_holds_closes_the_connection() {
    // No header tags, no throttling, and an array of four billion topics.
    let garbage = vec![0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3];
    check_fault(How::Garbage(garbage), Cause::Malformed, "of another shape").await;
}

#[tokio::test]
async fn garbage_in_any_answer_never_ends_the_process() {
    let cluster = cluster().await;
    cluster.world().consumer_group("k", "t", 40);
    let requests = [named("g", &["t"]), named("k", &["t"])];
    let mut observer = observer(&cluster);
    // A linear congruential generator is random enough for bytes.
    let mut seed = 7_u32;
    let mut noise = |length: usize| -> Vec<u8> {
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        (0..length).map(|_| next()).collect()
    };
    for api in Api::OBSERVING {
        for length in [0, 1, 5, 9, 40, 300] {
            let mut huge = vec![0; length];
            huge.extend([0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 0xff, 0xff, 0xff]);
            for garbage in [noise(length), huge] {
                cluster.world().faults.clear();
                cluster
                    .world()
                    .fault(None, Some(api), How::Garbage(garbage), 3);
                // Metadata and coordinators are asked anew, connections opened anew.
                pass(Duration::from_secs(61)).await;
                observer.observe(&requests).await;
            }
        }
    }
    cluster.world().faults.clear();
    pass(Duration::from_secs(61)).await;
    let readings = observer.observe(&requests).await;
    check_all(&readings[0], "t", 6, 100, 40);
    check_all(&readings[1], "t", 6, 100, 40);
}

#[tokio::test]
async fn a_silent_cluster_is_unknown_in_bounded_time_and_comes_back() {
    let cluster = cluster().await;
    let servers = cluster.bootstrap_servers();
    let mut observer = observer_of(servers, IMPATIENCE, Metrics::default());
    cluster.world().fault(None, None, How::Silent, 1_000);
    let reading = one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(
        reading.topics[0].partitions,
        Reading::Unknown(Cause::Timeout)
    );
    assert_eq!(reading.group, Reading::Unknown(Cause::Timeout));
    check_problem(
        &reading,
        Cause::Timeout,
        "did not answer ApiVersions in time",
    );

    cluster.world().faults.clear();
    pass(LONG).await;
    let reading = one(&mut observer, &named("g", &["t"])).await;
    check_all(&reading, "t", 6, 100, 40);
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_unreachable() {
    // A port that was free a moment ago.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap().to_string();
    drop(gone);
    let mut observer = observer_of(vec![address.clone()], PATIENCE, Metrics::default());
    let readings = observer.observe(&[named("g", &["t"]), of_group("g")]).await;
    for reading in &readings {
        assert_eq!(reading.group, Reading::Unknown(Cause::Unreachable));
        check_problem(reading, Cause::Unreachable, &address);
    }
    assert_eq!(
        readings[0].topics[0].partitions,
        Reading::Unknown(Cause::Unreachable)
    );
}

#[tokio::test]
async fn a_name_that_does_not_resolve_says_so() {
    let mut observer = observer_of(
        vec!["no.such.invalid:9092".to_owned()],
        PATIENCE,
        Metrics::default(),
    );
    let reading = one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(reading.group, Reading::Unknown(Cause::Unreachable));
    check_problem(
        &reading,
        Cause::Unreachable,
        "check bootstrapServers and DNS",
    );
}

#[tokio::test]
async fn a_bootstrap_server_that_is_down_is_passed_over() {
    let cluster = cluster().await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut servers = vec![gone.local_addr().unwrap().to_string()];
    drop(gone);
    servers.extend(cluster.bootstrap_servers());
    let reading = one(
        &mut observer_of(servers, PATIENCE, Metrics::default()),
        &named("g", &["t"]),
    )
    .await;
    check_all(&reading, "t", 6, 100, 40);
    assert_eq!(reading.problems, []);
}

#[tokio::test]
async fn a_bootstrap_connection_under_another_name_becomes_the_brokers() {
    let cluster = cluster().await;
    let address = &cluster.bootstrap_servers()[0];
    let alias = address.replace("127.0.0.1", "localhost");
    let reading = one(
        &mut observer_of(vec![alias], PATIENCE, Metrics::default()),
        &named("g", &["t"]),
    )
    .await;
    check_all(&reading, "t", 6, 100, 40);
    let connections = cluster.world().connections.clone();
    assert_eq!(connections, BTreeMap::from([(1, 1), (2, 1), (3, 1)]));
}

#[tokio::test]
async fn connections_cut_while_idle_come_back() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    one(&mut observer, &named("g", &["t"])).await;
    cluster.cut_connections();
    // Whether the cut is seen before or during the next tick is a matter of luck; after that and
    // the pause that may follow, everything is back.
    one(&mut observer, &named("g", &["t"])).await;
    pass(LONG).await;
    let reading = one(&mut observer, &named("g", &["t"])).await;
    check_all(&reading, "t", 6, 100, 40);
}

#[tokio::test]
async fn brokers_of_the_zookeeper_age_are_understood() {
    let cluster = cluster().await;
    cluster.change(|world| {
        for number in 0..40 {
            world.classic_group(&format!("g{number}"), "t", 40);
        }
        // Kafka 2.0, by its own list.
        world.versions = BTreeMap::from([
            (Api::ListOffsets, (0, 3)),
            (Api::Metadata, (0, 6)),
            (Api::OffsetFetch, (0, 4)),
            (Api::FindCoordinator, (0, 2)),
            (Api::DescribeGroups, (0, 2)),
            (Api::ApiVersions, (0, 2)),
        ]);
    });
    let mut requests: Vec<_> = (0..40).map(|n| named(&format!("g{n}"), &["t"])).collect();
    requests.push(of_group("g"));
    let mut observer = observer(&cluster);
    let readings = observer.observe(&requests).await;
    for reading in &readings {
        check_all(reading, "t", 6, 100, 40);
        assert_eq!(group(reading).protocol, GroupProtocol::Classic);
        assert_eq!(reading.problems, []);
    }
    let world = cluster.world();
    assert_eq!(world.count(Api::OffsetFetch), 41, "one a group");
    assert_eq!(world.count(Api::DescribeGroups), 3, "one a coordinator");
}

#[tokio::test]
async fn a_broker_with_which_no_version_is_shared_says_so() {
    let cluster = cluster().await;
    cluster.world().versions.insert(Api::OffsetFetch, (0, 1));
    let reading = one(&mut observer(&cluster), &named("g", &["t"])).await;
    assert_eq!(commits(&reading, "t"), [Reading::Unknown(Cause::Failed); 6]);
    check_problem(&reading, Cause::Failed, "no version of OffsetFetch");
    assert_eq!(logs(&reading, "t"), [log(0, 100); 6]);
}

#[tokio::test]
async fn requests_and_connections_are_counted() {
    let cluster = FakeCluster::start(1).await;
    cluster.world().topic("t", 1, 100);
    cluster.world().classic_group("g", "t", 40);
    let metrics = Metrics::default();
    let mut observer = observer_of(cluster.bootstrap_servers(), IMPATIENCE, metrics.clone());
    one(&mut observer, &named("g", &["t"])).await;
    let requests = |broker: &str, api, result| {
        let labels = KafkaRequestLabels {
            kafka_cluster: "test".to_owned(),
            broker: broker.to_owned(),
            api,
            result,
        };
        metrics.kafka_requests.get_or_create(&labels).get()
    };
    assert_eq!(requests("bootstrap", "ApiVersions", "ok"), 1);
    assert_eq!(requests("bootstrap", "Metadata", "ok"), 1);
    assert_eq!(requests("1", "OffsetFetch", "ok"), 1);
    assert_eq!(requests("1", "ListOffsets", "ok"), 2);
    cluster
        .world()
        .fault(None, Some(Api::OffsetFetch), How::Silent, 1);
    one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(requests("1", "OffsetFetch", "timeout"), 1);
    let labels = KafkaConnectionLabels {
        kafka_cluster: "test".to_owned(),
        result: "ok",
    };
    assert_eq!(metrics.kafka_connections.get_or_create(&labels).get(), 1);
}
