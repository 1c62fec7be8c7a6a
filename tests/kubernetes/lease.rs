//! A leader is chosen, and knows when it no longer is: never two at once, and never nobody for good.

use std::time::Duration;

use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::kubernetes::lease::Candidate;
use evenkeel_scaler::leader::{Leadership, Role};
use evenkeel_scaler::metrics::Metrics;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::World;
use super::eventually::eventually;
use super::fake_kubernetes::Wrong;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/evenkeel/leases";

/// Short, so that a test does not wait long; what holds for it holds for any.
const DURATION: Duration = Duration::from_millis(1_500);

/// One replica of the scaler, as far as the Lease goes.
struct Replica {
    leadership: Leadership,
    end: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

fn replica(world: &World, name: &str) -> Replica {
    let clock = Clock::start();
    let (standing, leadership) = Leadership::among_others(clock);
    let end = CancellationToken::new();
    let candidate = Candidate {
        cluster: world.cluster.clone(),
        lease: "scaler".to_owned(),
        duration: DURATION,
        identity: name.to_owned(),
        address: format!("{name}:9090"),
        tls: None,
        clock,
        metrics: Metrics::default(),
    };
    let task = tokio::spawn(candidate.run(standing, end.clone()));
    Replica {
        leadership,
        end,
        _task: AbortOnDropHandle::new(task),
    }
}

/// Waits for a leader, with no two at any look; which it is.
async fn leader(replicas: &[&Replica]) -> usize {
    eventually("one of them leads", async || {
        let leading = leading(replicas);
        leading.ok_or_else(|| format!("{:?}", roles(replicas)))
    })
    .await
}

fn leading(replicas: &[&Replica]) -> Option<usize> {
    let answering: Vec<usize> = (0..replicas.len())
        .filter(|place| replicas[*place].leadership.answers())
        .collect();
    assert!(answering.len() < 2, "{:?}", roles(replicas));
    answering.first().copied()
}

fn roles(replicas: &[&Replica]) -> Vec<Role> {
    replicas
        .iter()
        .map(|replica| replica.leadership.role())
        .collect()
}

/// Waits until nobody leads, with no two at any look.
async fn nobody(replicas: &[&Replica]) {
    eventually("nobody leads", async || match leading(replicas) {
        Some(place) => Err(format!("{place} leads")),
        None => Ok(()),
    })
    .await;
}

async fn follows(replica: &Replica, identity: &str) {
    eventually("it follows", async || match replica.leadership.role() {
        Role::Forward(peer) if peer.identity == identity => {
            assert_eq!(peer.address, format!("{identity}:9090"));
            Ok(())
        }
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
async fn of_two_that_start_at_once_one_leads_and_the_other_knows_where_it_is() {
    let world = World::start().await;
    let (one, other) = (replica(&world, "one"), replica(&world, "other"));
    let both = [&one, &other];
    let (leads, waits) = match leader(&both).await {
        0 => ("one", &other),
        _ => ("other", &one),
    };
    follows(waits, leads).await;
}

#[tokio::test]
async fn a_lease_that_is_deleted_is_still_somebodys_to_one_that_starts() {
    let world = World::start().await;
    let one = replica(&world, "one");
    leader(&[&one]).await;
    for other in ["other", "third"] {
        world.api.delete(LEASES, "scaler");
        let other = replica(&world, other);
        let both = [&one, &other];
        for _ in 0..300 {
            leading(&both);
            tokio::time::sleep(DURATION / 150).await;
        }
        leader(&both).await;
    }
}

#[tokio::test]
async fn one_that_dies_is_followed_by_the_other_and_one_that_gives_up_at_once() {
    let world = World::start().await;
    let one = replica(&world, "one");
    leader(&[&one]).await;
    let other = replica(&world, "other");
    follows(&other, "one").await;
    drop(one);
    leader(&[&other]).await;
    let third = replica(&world, "third");
    follows(&third, "other").await;
    other.end.cancel();
    eventually("the third leads", async || {
        match leading(&[&other, &third]) {
            Some(1) => Ok(()),
            leading => Err(format!("{leading:?}")),
        }
    })
    .await;
    // Whoever gave up knows who came after it, and hands on what it is still asked.
    follows(&other, "third").await;
}

#[tokio::test]
async fn a_leader_that_cannot_renew_is_silent_before_another_may_answer() {
    let world = World::start().await;
    for code in [403, 410, 429, 500] {
        let (one, other) = (replica(&world, "one"), replica(&world, "other"));
        let both = [&one, &other];
        leader(&both).await;
        world.api.wrong("/leases", Wrong::Refused(code));
        nobody(&both).await;
        world.api.right();
        leader(&both).await;
        world.api.wrong("/leases", Wrong::Silent);
        nobody(&both).await;
        world.api.right();
        leader(&both).await;
    }
}

#[tokio::test]
async fn an_api_server_that_is_slow_makes_no_two_leaders() {
    let world = World::start().await;
    let (one, other) = (replica(&world, "one"), replica(&world, "other"));
    let both = [&one, &other];
    leader(&both).await;
    for late in [100, 400, 800] {
        world.api.right();
        world
            .api
            .wrong("/leases", Wrong::Late(Duration::from_millis(late)));
        for _ in 0..40 {
            leading(&both);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    world.api.right();
    leader(&both).await;
}

#[tokio::test]
async fn a_lease_that_is_edited_or_deleted_by_hand_is_won_again() {
    let world = World::start().await;
    let (one, other) = (replica(&world, "one"), replica(&world, "other"));
    let both = [&one, &other];
    leader(&both).await;
    for spec in [
        json!({"holderIdentity": "a person", "leaseDurationSeconds": 1}),
        json!({"holderIdentity": "", "leaseDurationSeconds": 15}),
        json!({"holderIdentity": null}),
        json!({"holderIdentity": "other", "leaseDurationSeconds": -7, "leaseTransitions": 2_147_483_647}),
        json!({}),
    ] {
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec});
        world.api.put(LEASES, "scaler", lease);
        for _ in 0..10 {
            leading(&both);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        leader(&both).await;
    }
    world.api.delete(LEASES, "scaler");
    for _ in 0..10 {
        leading(&both);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    leader(&both).await;
}

#[tokio::test]
async fn the_clock_in_the_lease_is_not_believed() {
    let world = World::start().await;
    // A living holder whose clock is wrong by years renews; nobody takes the Lease from it.
    let renew = |number: u32| {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"annotations": {"evenkeel-address": "living:9090"}},
            "spec": {
                "holderIdentity": "living", "leaseDurationSeconds": 1,
                "renewTime": format!("2001-01-01T00:00:00.{number:06}Z"),
            },
        });
        world.api.put(LEASES, "scaler", lease);
    };
    renew(0);
    let one = replica(&world, "one");
    follows(&one, "living").await;
    for number in 1..20 {
        renew(number);
        assert!(!one.leadership.answers());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A dead one's is taken, though it claims to be of tomorrow.
    let dead = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "spec": {
            "holderIdentity": "dead", "leaseDurationSeconds": 1,
            "renewTime": "2199-01-01T00:00:00.000000Z",
        },
    });
    world.api.put(LEASES, "scaler", dead);
    leader(&[&one]).await;
}

#[tokio::test]
async fn a_renewal_whose_answer_was_lost_costs_nothing() {
    let world = World::start().await;
    let one = replica(&world, "one");
    leader(&[&one]).await;
    // Whatever is written now is written by the fake, but answered too late.
    let lease = world.api.get(LEASES, "scaler").unwrap();
    world.api.put(LEASES, "scaler", lease);
    leader(&[&one]).await;
    let lease = world.api.get(LEASES, "scaler").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "one");
    assert_eq!(lease["spec"]["leaseTransitions"], 1, "it was taken once");
}
