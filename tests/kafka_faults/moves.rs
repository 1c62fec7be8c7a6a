//! Leaders and coordinators that move, fail over, or are nowhere.

use evenkeel_engine::{Cause, GroupState, Reading};
use evenkeel_scaler::observe::ObserveKafka;
use kafka_protocol::ResponseError as E;

use super::fake_broker::Api;
use super::*;

#[tokio::test]
async fn a_leader_that_moved_is_found_in_the_same_tick() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    one(&mut observer, &named("g", &["t"])).await;
    cluster.world().partition("t", 0).leader = 3;
    cluster.world().partition("t", 0).end = 130;
    let reading = one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(logs(&reading, "t")[0], log(0, 130));
    assert_eq!(reading.problems, []);
}

#[tokio::test]
async fn a_leader_that_metadata_does_not_know_yet_leaves_its_partition_unknown() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    one(&mut observer, &named("g", &["t"])).await;
    cluster.world().partition("t", 0).leader = 3;
    cluster.world().partition("t", 0).rumoured_leader = Some(1);
    let reading = one(&mut observer, &named("g", &["t"])).await;
    let mut expected = [log(0, 100); 6];
    expected[0] = Reading::Unknown(Cause::Moving);
    assert_eq!(logs(&reading, "t"), expected);
    check_problem(&reading, Cause::Moving, "topic t, partition 0");

    cluster.world().partition("t", 0).rumoured_leader = None;
    let reading = one(&mut observer, &named("g", &["t"])).await;
    check_all(&reading, "t", 6, 100, 40);
}

#[tokio::test]
async fn a_partition_without_a_leader_is_moving() {
    let cluster = cluster().await;
    cluster.world().partition("t", 0).leader = -1;
    let reading = one(&mut observer(&cluster), &named("g", &["t"])).await;
    assert_eq!(logs(&reading, "t")[0], Reading::Unknown(Cause::Moving));
    assert_eq!(commits(&reading, "t")[0], at(40));
    check_problem(&reading, Cause::Moving, "LeaderNotAvailable");
}

#[tokio::test]
async fn a_coordinator_that_moved_is_found_in_the_same_tick() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    one(&mut observer, &named("g", &["t"])).await;
    cluster.world().group("g").coordinator = 3;
    let reading = one(&mut observer, &named("g", &["t"])).await;
    check_all(&reading, "t", 6, 100, 40);
    assert_eq!(group(&reading).state, GroupState::Stable);
    assert_eq!(reading.problems, []);

    cluster.world().journal.clear();
    one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(cluster.world().count(Api::FindCoordinator), 0, "it is kept");
}

#[tokio::test]
async fn a_group_without_a_coordinator_hides_no_other() {
    let cluster = cluster().await;
    cluster.world().classic_group("h", "t", 50);
    cluster.world().group("h").coordinator = 9;
    let mut observer = observer(&cluster);
    let requests = [named("g", &["t"]), named("h", &["t"])];
    let readings = observer.observe(&requests).await;
    check_all(&readings[0], "t", 6, 100, 40);
    assert_eq!(readings[1].group, Reading::Unknown(Cause::Moving));
    assert_eq!(logs(&readings[1], "t"), [log(0, 100); 6]);
    check_problem(&readings[1], Cause::Moving, "CoordinatorNotAvailable");

    cluster.world().group("h").coordinator = 2;
    let readings = observer.observe(&requests).await;
    check_all(&readings[1], "t", 6, 100, 50);
}

#[tokio::test]
async fn a_coordinator_that_is_loading_is_not_looked_up_again() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    one(&mut observer, &named("g", &["t"])).await;
    cluster.world().group("g").error = E::CoordinatorLoadInProgress.code();
    cluster.world().journal.clear();
    let reading = one(&mut observer, &named("g", &["t"])).await;
    assert_eq!(reading.group, Reading::Unknown(Cause::Moving));
    assert_eq!(cluster.world().count(Api::FindCoordinator), 0);
}
