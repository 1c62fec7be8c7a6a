//! Replicas that are read: from a watch a kind, through faults of the API server.

use std::time::Duration;

use evenkeel_engine::{Cause, Paused, Workload, WorkloadObservation};
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::kubernetes::workloads::Workloads;
use evenkeel_scaler::observe::WorkloadReading;
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use super::eventually::eventually;
use super::fake_kubernetes::Wrong;
use super::{DEPLOYMENTS, SCALED_OBJECTS, World, deployment, scaled_object};

/// Workloads that are watched in a world.
struct Watched {
    world: World,
    workloads: Workloads,
    clock: Clock,
    _watches: AbortOnDropHandle<()>,
}

// === impl Watched ===

impl Watched {
    async fn start() -> Self {
        Self::of(World::start().await)
    }

    fn of(world: World) -> Self {
        let clock = Clock::start();
        let workloads = Workloads::new(clock);
        let watches = tokio::spawn(workloads.clone().run(world.cluster.clone()));
        Self {
            world,
            workloads,
            clock,
            _watches: AbortOnDropHandle::new(watches),
        }
    }

    fn look(&self, name: &str) -> WorkloadReading {
        self.workloads.of("shop", name, self.clock.now())
    }

    /// Waits until the workload is known and as `is` wants it.
    async fn until(&self, name: &str, is: impl Fn(&Workload) -> bool) -> Workload {
        eventually("the workload is as expected", async || {
            let seen = self.look(name);
            match seen.observation {
                WorkloadObservation::Known(workload) if is(&workload) => Ok(workload),
                _ => Err(format!("{seen:?}")),
            }
        })
        .await
    }

    /// Waits until it is not known for `cause`; the sentence that says so.
    async fn until_unknown(&self, name: &str, cause: Cause) -> String {
        eventually("the workload is unknown", async || {
            let seen = self.look(name);
            match (&seen.observation, &seen.problem) {
                (WorkloadObservation::Unknown(is), Some(problem)) if *is == cause => {
                    Ok(problem.sentence.clone())
                }
                _ => Err(format!("{seen:?}")),
            }
        })
        .await
    }
}

#[tokio::test]
async fn replicas_and_bounds_are_read_and_follow_what_changes() {
    let watched = Watched::start().await;
    let api = &watched.world.api;
    api.put(SCALED_OBJECTS, "trades", scaled_object("consumer"));
    api.put(DEPLOYMENTS, "consumer", deployment(12, 10, 8));
    let seen = watched.until("trades", |_| true).await;
    assert_eq!((seen.asked, seen.exist, seen.ready), (12, 10, Some(8)));
    assert_eq!((seen.scaling.min, seen.scaling.max), (1, 40));
    api.put(DEPLOYMENTS, "consumer", deployment(12, 12, 12));
    watched.until("trades", |seen| seen.ready == Some(12)).await;

    let mut paused = scaled_object("consumer");
    paused["metadata"]["annotations"] = json!({"autoscaling.keda.sh/paused": "true"});
    api.put(SCALED_OBJECTS, "trades", paused);
    watched
        .until("trades", |seen| seen.scaling.paused == Paused::All)
        .await;
}

#[tokio::test]
async fn a_scaled_object_that_goes_and_comes_back_is_read_again() {
    let watched = Watched::start().await;
    let api = &watched.world.api;
    api.put(SCALED_OBJECTS, "trades", scaled_object("consumer"));
    api.put(DEPLOYMENTS, "consumer", deployment(3, 3, 3));
    watched.until("trades", |_| true).await;
    api.delete(SCALED_OBJECTS, "trades");
    let sentence = watched.until_unknown("trades", Cause::NotFound).await;
    assert!(
        sentence.contains("no ScaledObject shop/trades"),
        "{sentence}"
    );
    // Renamed, and over another kind.
    let mut renamed = scaled_object("consumer-set");
    renamed["spec"]["scaleTargetRef"]["kind"] = json!("StatefulSet");
    api.put(SCALED_OBJECTS, "orders", renamed);
    let stateful_sets = "/apis/apps/v1/namespaces/shop/statefulsets";
    api.put(stateful_sets, "consumer-set", deployment(5, 5, 4));
    let seen = watched.until("orders", |_| true).await;
    assert_eq!((seen.asked, seen.ready), (5, Some(4)));
    api.delete(stateful_sets, "consumer-set");
    let sentence = watched.until_unknown("orders", Cause::NotFound).await;
    assert!(
        sentence.contains("StatefulSet shop/consumer-set"),
        "{sentence}"
    );
}

#[tokio::test]
async fn any_kind_with_a_scale_subresource_is_read_one_at_a_time() {
    let watched = Watched::start().await;
    let api = &watched.world.api;
    let of_kind = |kind: &str| {
        let mut object = scaled_object("consumer");
        object["spec"]["scaleTargetRef"]["kind"] = json!(kind);
        object["spec"]["scaleTargetRef"]["apiVersion"] = json!("argoproj.io/v1alpha1");
        object
    };
    api.put(SCALED_OBJECTS, "trades", of_kind("Rollout"));
    let rollouts = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts";
    api.put(rollouts, "consumer", deployment(4, 4, 4));
    let seen = watched.until("trades", |_| true).await;
    assert_eq!((seen.asked, seen.exist, seen.ready), (4, 4, None));
    assert!(
        !api.requests("GET /apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/consumer/scale")
            .is_empty()
    );
    assert!(api.requests("rollouts?").is_empty(), "it is not listed");
    // A kind without a scale subresource: the server knows no such path.
    api.put(SCALED_OBJECTS, "odd", of_kind("Gadget"));
    eventually("it is told", async || {
        let sentence = watched.until_unknown("odd", Cause::NotFound).await;
        let is_told = sentence.contains("Gadget shop/consumer");
        if is_told { Ok(()) } else { Err(sentence) }
    })
    .await;
}

#[tokio::test]
async fn one_watch_a_kind_serves_all_targets() {
    let watched = Watched::start().await;
    let api = &watched.world.api;
    for number in 0..50 {
        let name = format!("target-{number}");
        api.put(SCALED_OBJECTS, &name, scaled_object(&name));
        api.put(DEPLOYMENTS, &name, deployment(number, number, number));
    }
    for number in 0..50 {
        let seen = watched.until(&format!("target-{number}"), |_| true).await;
        assert_eq!(seen.asked, number);
    }
    let lists = |plural: &str| {
        let all = api.requests(&format!("/{plural}?"));
        all.iter().filter(|line| !line.contains("watch")).count()
    };
    assert_eq!((lists("scaledobjects"), lists("deployments")), (1, 1));
    assert!(
        api.requests("/deployments/").is_empty(),
        "none is asked for by name"
    );
}

#[tokio::test]
async fn a_missing_right_is_named_and_what_comes_with_it_follows() {
    let world = World::start().await;
    world
        .api
        .put(SCALED_OBJECTS, "trades", scaled_object("consumer"));
    world.api.put(DEPLOYMENTS, "consumer", deployment(3, 3, 3));
    for (path, word) in [
        ("/scaledobjects", "ScaledObjects"),
        ("/deployments", "Deployment"),
    ] {
        world.api.wrong(path, Wrong::Refused(403));
        let watched = Watched::of(World {
            api: world.api.sharing(),
            cluster: world.cluster.clone(),
            _folder: tempfile::tempdir().unwrap(),
        });
        let sentence = watched.until_unknown("trades", Cause::Refused).await;
        assert!(
            sentence.contains(word) && sentence.contains("grant"),
            "{sentence}"
        );
        world.api.right();
        watched.until("trades", |seen| seen.asked == 3).await;
    }
}

#[tokio::test]
async fn what_was_known_stays_known_while_the_server_does_not_answer() {
    let watched = Watched::start().await;
    let api = &watched.world.api;
    api.put(SCALED_OBJECTS, "trades", scaled_object("consumer"));
    api.put(DEPLOYMENTS, "consumer", deployment(3, 3, 3));
    watched.until("trades", |_| true).await;
    for code in [403, 409, 410, 429, 500, 503] {
        api.wrong("/apis/", Wrong::Refused(code));
        let (at, problem) = eventually("a problem is told", async || {
            let seen = watched.look("trades");
            match (seen.observation, seen.problem) {
                (WorkloadObservation::Known(workload), Some(problem)) => Ok((workload.at, problem)),
                other => Err(format!("{code}: {other:?}")),
            }
        })
        .await;
        // It says how old it is, and grows older.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let later = watched.look("trades");
        let WorkloadObservation::Known(later) = later.observation else {
            panic!("{code}: {later:?}");
        };
        assert_eq!((later.at, later.asked), (at, 3), "{code}: {problem:?}");
        api.right();
        api.put(DEPLOYMENTS, "consumer", deployment(3, 3, 3));
        eventually("the problem is gone", async || {
            let seen = watched.look("trades");
            seen.problem.map_or(Ok(()), |problem| Err(problem.sentence))
        })
        .await;
    }
}

#[tokio::test]
async fn a_watch_that_breaks_all_the_time_is_resumed_and_counts_as_alive() {
    let watched = Watched::start().await;
    let api = &watched.world.api;
    api.put(SCALED_OBJECTS, "trades", scaled_object("consumer"));
    api.put(DEPLOYMENTS, "consumer", deployment(1, 1, 1));
    watched.until("trades", |_| true).await;
    api.wrong("watch=true", Wrong::Broken(Duration::from_millis(200)));
    for asked in 2..6 {
        api.put(DEPLOYMENTS, "consumer", deployment(asked, asked, asked));
        let seen = watched.until("trades", |seen| seen.asked == asked).await;
        assert!(watched.clock.now().since(seen.at) < Duration::from_secs(60));
    }
    let lists = api.requests("/deployments?");
    let lists = lists.iter().filter(|line| !line.contains("watch"));
    assert_eq!(lists.count(), 1, "it goes on from its version");
}

#[tokio::test]
async fn a_version_that_is_too_old_is_followed_by_a_new_list() {
    let watched = Watched::start().await;
    let api = &watched.world.api;
    api.put(SCALED_OBJECTS, "trades", scaled_object("consumer"));
    api.put(DEPLOYMENTS, "consumer", deployment(1, 1, 1));
    watched.until("trades", |_| true).await;
    api.compact();
    api.put(DEPLOYMENTS, "consumer", deployment(7, 7, 7));
    watched.until("trades", |seen| seen.asked == 7).await;
}
