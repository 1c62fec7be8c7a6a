//! What is read of groups, in how many requests, and what of it can fail alone.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_engine::{AssignedTopic, Cause, Committed, GroupProtocol, GroupState, Reading};
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::metrics::Metrics;
use evenkeel_scaler::observe::kafka::{Access, KafkaObserver, KafkaObserverConfig};
use evenkeel_scaler::observe::{Depth, ObserveKafka, Request, TopicSelection};
use kafka_protocol::ResponseError as E;

use super::fake_broker::{Api, FakeCluster, FakeMember, Kind};
use super::*;

#[tokio::test]
async fn a_classic_group_is_read_whole() {
    let cluster = cluster().await;
    let reading = one(&mut observer(&cluster), &named("g", &["t"])).await;
    check_all(&reading, "t", 6, 100, 40);
    assert_eq!(reading.problems, []);
    let Reading::Known(group) = &reading.group else {
        panic!("the group is known");
    };
    assert_eq!(group.protocol, GroupProtocol::Classic);
    assert_eq!(group.state, GroupState::Stable);
    assert_eq!(group.assignor, "range");
    assert_eq!(group.members.len(), 1);
    assert_eq!(group.members[0].host, "10.0.0.1");
    assert_eq!(
        group.members[0].assigned,
        [AssignedTopic {
            topic: "t".to_owned(),
            partitions: (0..6).collect(),
        }]
    );
    assert_eq!(group.members[0].target, None);
}

#[tokio::test]
async fn committed_offsets_are_asked_before_log_ends() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    one(&mut observer, &named("g", &["t"])).await;
    let journal = cluster.world().journal.clone();
    let last_commit = journal
        .iter()
        .rposition(|(_, api)| *api == Api::OffsetFetch);
    let first_end = journal.iter().position(|(_, api)| *api == Api::ListOffsets);
    assert!(last_commit.unwrap() < first_end.unwrap(), "{journal:?}");
}

#[tokio::test]
async fn a_thousand_groups_take_at_most_four_requests_a_broker_in_a_steady_tick() {
    let cluster = FakeCluster::start(3).await;
    let mut requests = Vec::new();
    for number in 0..1_000 {
        let (topic, group) = (format!("t{number}"), format!("g{number}"));
        let mut world = cluster.world();
        world.topic(&topic, 10, 100);
        if number % 2 == 0 {
            world.classic_group(&group, &topic, 40);
        } else {
            world.consumer_group(&group, &topic, 40);
        }
        requests.push(named(&group, &[&topic]));
    }
    let mut observer = KafkaObserver::new(
        KafkaObserverConfig {
            name: "test".to_owned(),
            bootstrap_servers: cluster.bootstrap_servers(),
            access: Access::default(),
            request_timeout: Duration::from_secs(30),
            frame_limit_bytes: 64 << 20,
        },
        Clock::start(),
        Metrics::default(),
    );
    observer.observe(&requests).await;
    cluster.world().journal.clear();
    let readings = observer.observe(&requests).await;
    for (number, reading) in readings.iter().enumerate() {
        check_all(reading, &format!("t{number}"), 10, 100, 40);
        assert_eq!(reading.problems, []);
    }
    let mut by_broker: BTreeMap<i32, usize> = BTreeMap::new();
    for (node, _) in &cluster.world().journal {
        *by_broker.entry(*node).or_default() += 1;
    }
    assert_eq!(by_broker, BTreeMap::from([(1, 4), (2, 4), (3, 4)]));
    let connections = cluster.world().connections.clone();
    assert_eq!(connections, BTreeMap::from([(1, 1), (2, 1), (3, 1)]));
}

#[tokio::test]
async fn what_two_targets_want_is_asked_once() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    let requests = [named("g", &["t"]), named("g", &["t"]), of_group("g")];
    let readings = observer.observe(&requests).await;
    for reading in &readings {
        check_all(reading, "t", 6, 100, 40);
    }
    let world = cluster.world();
    assert_eq!(world.count(Api::OffsetFetch), 1);
    assert_eq!(world.count(Api::DescribeGroups), 1);
    // Start and end at each of three leaders.
    assert_eq!(world.count(Api::ListOffsets), 6);
}

#[tokio::test]
async fn a_group_that_fails_hides_no_other() {
    let cluster = cluster().await;
    cluster.world().classic_group("h", "t", 50);
    cluster.world().group("h").error = E::GroupAuthorizationFailed.code();
    let mut observer = observer(&cluster);
    let readings = observer
        .observe(&[named("g", &["t"]), named("h", &["t"])])
        .await;
    check_all(&readings[0], "t", 6, 100, 40);
    assert_eq!(readings[0].problems, []);
    assert_eq!(readings[1].group, Reading::Unknown(Cause::Refused));
    assert_eq!(
        commits(&readings[1], "t"),
        [Reading::Unknown(Cause::Refused); 6]
    );
    assert_eq!(logs(&readings[1], "t"), [log(0, 100); 6]);
    check_problem(&readings[1], Cause::Refused, "DESCRIBE on group h");
}

#[tokio::test]
async fn a_commit_that_fails_hides_no_other() {
    let cluster = cluster().await;
    let error = E::UnstableOffsetCommit.code();
    let key = ("t".to_owned(), 3);
    cluster
        .world()
        .group("g")
        .committed_errors
        .insert(key, error);
    let reading = one(&mut observer(&cluster), &named("g", &["t"])).await;
    let mut expected = [at(40); 6];
    expected[3] = Reading::Unknown(Cause::Moving);
    assert_eq!(commits(&reading, "t"), expected);
    check_problem(
        &reading,
        Cause::Moving,
        "committed offset of topic t, partition 3",
    );
}

#[tokio::test]
async fn a_partition_without_a_commit_is_never_not_zero() {
    let cluster = cluster().await;
    cluster
        .world()
        .group("g")
        .committed
        .remove(&("t".to_owned(), 0));
    let mut observer = observer(&cluster);
    for request in [named("g", &["t"]), of_group("g")] {
        let reading = one(&mut observer, &request).await;
        let mut expected = [at(40); 6];
        expected[0] = Reading::Known(Committed::Never);
        assert_eq!(commits(&reading, "t"), expected);
    }
}

#[tokio::test]
async fn a_group_that_nobody_knows_is_dead_and_has_committed_nothing() {
    let cluster = cluster().await;
    let reading = one(&mut observer(&cluster), &named("nobody", &["t"])).await;
    assert_eq!(group(&reading).state, GroupState::Dead);
    assert_eq!(
        commits(&reading, "t"),
        [Reading::Known(Committed::Never); 6]
    );
    assert_eq!(logs(&reading, "t"), [log(0, 100); 6]);
}

#[tokio::test]
async fn an_empty_group_keeps_its_commits() {
    let cluster = cluster().await;
    cluster.world().group("g").state = "Empty".to_owned();
    cluster.world().group("g").members.clear();
    let reading = one(&mut observer(&cluster), &of_group("g")).await;
    assert_eq!(group(&reading).state, GroupState::Empty);
    assert_eq!(group(&reading).members, []);
    check_all(&reading, "t", 6, 100, 40);
}

#[tokio::test]
async fn a_reconciling_group_shows_what_members_have_and_will_have() {
    let cluster = cluster().await;
    cluster.world().consumer_group("k", "t", 40);
    cluster.change(|world| {
        let group = world.group("k");
        group.state = "Reconciling".to_owned();
        group.members[0].target = vec![("t".to_owned(), vec![0, 1, 2])];
        group.members.push(FakeMember {
            id: "a".to_owned(),
            host: "/10.0.0.2".to_owned(),
            target: vec![("t".to_owned(), vec![5, 3, 4])],
            ..FakeMember::default()
        });
    });
    let reading = one(&mut observer(&cluster), &named("k", &["t"])).await;
    let group = group(&reading);
    let assigned = |partitions: &[u32]| {
        vec![AssignedTopic {
            topic: "t".to_owned(),
            partitions: partitions.to_vec(),
        }]
    };
    assert_eq!(group.protocol, GroupProtocol::Consumer);
    assert_eq!(group.state, GroupState::Reconciling);
    assert_eq!(group.assignor, "uniform");
    let ids: Vec<&str> = group
        .members
        .iter()
        .map(|member| member.id.as_str())
        .collect();
    assert_eq!(ids, ["a", "k-1"]);
    assert_eq!(group.members[0].assigned, []);
    assert_eq!(group.members[0].target, Some(assigned(&[3, 4, 5])));
    assert_eq!(group.members[1].assigned, assigned(&[0, 1, 2, 3, 4, 5]));
    assert_eq!(group.members[1].target, Some(assigned(&[0, 1, 2])));
}

#[tokio::test]
async fn a_group_that_changes_its_protocol_is_followed_in_the_same_tick() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    for kind in [Kind::Classic, Kind::Consumer, Kind::Classic] {
        cluster.world().group("g").kind = kind;
        let reading = one(&mut observer, &named("g", &["t"])).await;
        let expected = match kind {
            Kind::Classic => GroupProtocol::Classic,
            _ => GroupProtocol::Consumer,
        };
        assert_eq!(group(&reading).protocol, expected);
        assert_eq!(group(&reading).state, GroupState::Stable);
        cluster.world().journal.clear();
        one(&mut observer, &named("g", &["t"])).await;
        let world = cluster.world();
        let described = (
            world.count(Api::DescribeGroups),
            world.count(Api::ConsumerGroupDescribe),
        );
        let one_question = match kind {
            Kind::Classic => (1, 0),
            _ => (0, 1),
        };
        assert_eq!(
            described, one_question,
            "a steady tick asks in one protocol"
        );
    }
}

#[tokio::test]
async fn an_empty_group_is_described_once_and_followed_when_it_comes_back_in_another_protocol() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    for kind in [Kind::Classic, Kind::Consumer, Kind::Classic] {
        for state in ["Stable", "Empty"] {
            cluster.change(|world| {
                world.group("g").kind = kind;
                world.group("g").state = state.to_owned();
            });
            let reading = one(&mut observer, &named("g", &["t"])).await;
            assert_eq!(group(&reading).state.label(), state);
            cluster.world().journal.clear();
            one(&mut observer, &named("g", &["t"])).await;
            let world = cluster.world();
            let described =
                world.count(Api::DescribeGroups) + world.count(Api::ConsumerGroupDescribe);
            assert_eq!(described, 1, "{kind:?} {state}");
        }
    }
}

#[tokio::test]
async fn an_assignment_that_cannot_be_read_costs_its_member_alone() {
    let cluster = cluster().await;
    cluster.world().group("g").members.push(FakeMember {
        id: "broken".to_owned(),
        host: "/10.0.0.9".to_owned(),
        raw_assignment: Some(vec![0, 1, 0x7f, 0xff, 0xff, 0xff, 1]),
        ..FakeMember::default()
    });
    let reading = one(&mut observer(&cluster), &named("g", &["t"])).await;
    let members = &group(&reading).members;
    assert_eq!(members[0].id, "broken");
    assert_eq!(members[0].assigned, []);
    assert_eq!(members[1].assigned.len(), 1);
    check_problem(&reading, Cause::Malformed, "member broken of group g");
}

#[tokio::test]
async fn a_group_that_is_none_of_consumers_is_reported() {
    let cluster = cluster().await;
    cluster.world().group("g").protocol_type = "connect".to_owned();
    let reading = one(&mut observer(&cluster), &named("g", &["t"])).await;
    assert_eq!(group(&reading).members[0].assigned, []);
    check_problem(&reading, Cause::Failed, "not a group of consumers");
}

#[tokio::test]
async fn a_share_group_is_called_that_and_is_not_read_as_one_that_has_gone() {
    let cluster = cluster().await;
    cluster.world().group("g").kind = Kind::Share;
    let reading = one(&mut observer(&cluster), &named("g", &["t"])).await;
    assert_eq!(reading.group, Reading::Unknown(Cause::Failed));
    check_problem(&reading, Cause::Failed, "group g: it is a share group");
}

#[tokio::test]
async fn a_state_that_is_not_kafkas_is_unknown() {
    let cluster = cluster().await;
    cluster.world().group("g").state = "Confused".to_owned();
    let reading = one(&mut observer(&cluster), &named("g", &["t"])).await;
    assert_eq!(reading.group, Reading::Unknown(Cause::Malformed));
    check_problem(&reading, Cause::Malformed, "Confused");
    check_all(&reading, "t", 6, 100, 40);
}

#[tokio::test]
async fn a_sleeping_target_costs_log_ends_only() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    one(&mut observer, &of_group("g")).await;
    cluster.world().journal.clear();
    cluster.world().partition("t", 1).end = 120;
    cluster
        .world()
        .group("g")
        .committed
        .insert(("t".to_owned(), 1), 90);
    let asleep = Request {
        depth: Depth::LogEndsOnly,
        ..of_group("g")
    };
    pass(Duration::from_secs(45)).await;
    let reading = one(&mut observer, &asleep).await;
    assert_eq!(partitions(&reading, "t")[1].log, log(0, 120));
    assert_eq!(partitions(&reading, "t")[1].committed, at(40));
    assert_eq!(group(&reading).state, GroupState::Stable);
    let journal = cluster.world().journal.clone();
    assert_eq!(journal.len(), 3, "{journal:?}");
    assert!(journal.iter().all(|(_, api)| *api == Api::ListOffsets));
}

#[tokio::test]
async fn a_sleeping_target_that_was_never_awake_is_read_whole() {
    let cluster = cluster().await;
    let asleep = Request {
        depth: Depth::LogEndsOnly,
        ..named("g", &["t"])
    };
    let reading = one(&mut observer(&cluster), &asleep).await;
    check_all(&reading, "t", 6, 100, 40);
    assert_eq!(group(&reading).state, GroupState::Stable);
}

#[tokio::test]
async fn a_groups_own_topics_are_those_it_committed_to_or_was_assigned() {
    let cluster = cluster().await;
    cluster.change(|world| {
        world.topic("assigned", 2, 10);
        world.topic("stranger", 2, 10);
        let group = world.group("g");
        group.members[0]
            .assigned
            .push(("assigned".to_owned(), vec![0, 1]));
    });
    let reading = one(&mut observer(&cluster), &of_group("g")).await;
    assert_eq!(topic_names(&reading), ["assigned", "t"]);
    assert_eq!(
        commits(&reading, "assigned"),
        [Reading::Known(Committed::Never); 2]
    );
}

#[tokio::test]
async fn a_group_without_topics_has_none_and_says_so() {
    let cluster = cluster().await;
    let reading = one(&mut observer(&cluster), &of_group("nobody")).await;
    assert_eq!(topic_names(&reading), [""; 0]);
    check_problem(
        &reading,
        Cause::NotFound,
        "start a consumer of it once, or set topic",
    );
}

#[tokio::test]
async fn a_pattern_matches_whole_names_of_the_groups_own_topics() {
    let cluster = cluster().await;
    cluster.change(|world| {
        for name in ["orders", "orders.eu", "orders.eu.dead", "orders.us"] {
            world.topic(name, 1, 10);
        }
        let group = world.group("g");
        for name in ["orders", "orders.eu", "orders.eu.dead"] {
            group.committed.insert((name.to_owned(), 0), 5);
        }
    });
    let pattern = |text: &str| {
        let pattern = TopicSelection::Pattern(regex::Regex::new(text).unwrap());
        request(subscription("g", pattern))
    };
    let mut observer = observer(&cluster);
    let reading = one(&mut observer, &pattern(r"orders|orders\.(eu|us)")).await;
    assert_eq!(topic_names(&reading), ["orders", "orders.eu"]);
    let reading = one(&mut observer, &pattern("payments")).await;
    assert_eq!(topic_names(&reading), [""; 0]);
    check_problem(
        &reading,
        Cause::NotFound,
        "none of the 4 topics of group g matches",
    );
}

#[tokio::test]
async fn topics_of_a_group_are_kept_while_its_commits_cannot_be_read() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    one(&mut observer, &of_group("g")).await;
    cluster.world().group("g").error = E::CoordinatorLoadInProgress.code();
    let reading = one(&mut observer, &of_group("g")).await;
    assert_eq!(commits(&reading, "t"), [Reading::Unknown(Cause::Moving); 6]);
    assert_eq!(reading.group, Reading::Unknown(Cause::Moving));
    assert_eq!(reading.problems.len(), 1, "{:?}", reading.problems);
}

#[tokio::test]
async fn a_group_that_was_never_read_is_unknown_rather_than_without_topics() {
    let cluster = cluster().await;
    cluster.world().group("g").error = E::GroupAuthorizationFailed.code();
    let reading = one(&mut observer(&cluster), &of_group("g")).await;
    assert_eq!(reading.group, Reading::Unknown(Cause::Refused));
    assert_eq!(topic_names(&reading), [""; 0]);
    assert_eq!(reading.problems.len(), 1, "{:?}", reading.problems);
}

#[tokio::test]
async fn a_group_whose_topics_cannot_be_known_is_unknown_rather_than_idle() {
    let cluster = cluster().await;
    cluster.change(|world| {
        let group = world.group("g");
        group.state = "Empty".to_owned();
        group.members.clear();
        group.offsets_error = E::UnknownServerError.code();
    });
    let mut observer = observer(&cluster);
    let readings = observer.observe(&[of_group("g"), named("g", &["t"])]).await;
    assert_eq!(readings[0].group, Reading::Unknown(Cause::Failed));
    assert_eq!(group(&readings[1]).state, GroupState::Empty);
    assert_eq!(
        commits(&readings[1], "t"),
        [Reading::Unknown(Cause::Failed); 6]
    );
    check_problem(
        &readings[0],
        Cause::Failed,
        "the committed offsets of group g",
    );
}
