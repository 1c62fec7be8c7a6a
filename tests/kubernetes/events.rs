//! Decisions as Events on the ScaledObject.

use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::control::announcements::Announcement;
use evenkeel_scaler::kubernetes::events::Events;
use evenkeel_scaler::kubernetes::workloads::Workloads;
use evenkeel_scaler::leader::Leadership;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::eventually::eventually;
use super::fake_kubernetes::Wrong;
use super::{SCALED_OBJECTS, World, scaled_object};

const EVENTS: &str = "/api/v1/namespaces/shop/events";

struct Writing {
    world: World,
    announcements: mpsc::Sender<Announcement>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

// === impl Writing ===

impl Writing {
    /// Events of the replica that stands so; the ScaledObject is known already.
    async fn start(leads: bool) -> Self {
        let world = World::start().await;
        world
            .api
            .put(SCALED_OBJECTS, "trades", scaled_object("consumer"));
        let clock = Clock::start();
        let workloads = Workloads::new(clock);
        let watches = tokio::spawn(workloads.clone().run(world.cluster.clone()));
        eventually("the ScaledObject is known", async || {
            let known = workloads.reference("shop", "trades");
            known.map(|_| ()).ok_or_else(|| "unknown".to_owned())
        })
        .await;
        let leadership = if leads {
            Leadership::alone(clock)
        } else {
            Leadership::among_others(clock).1
        };
        let (announcements, receiver) = mpsc::channel(100);
        let events = Events {
            cluster: world.cluster.clone(),
            workloads,
            leadership,
            clock,
        };
        let writing = tokio::spawn(events.run(receiver));
        Self {
            world,
            announcements,
            _tasks: [
                AbortOnDropHandle::new(watches),
                AbortOnDropHandle::new(writing),
            ],
        }
    }

    async fn say(&self, is_warning: bool, reason: &'static str, note: &str) {
        let announcement = Announcement {
            namespace: "shop".to_owned(),
            name: "trades".to_owned(),
            is_warning,
            reason,
            note: note.to_owned(),
        };
        self.announcements.send(announcement).await.unwrap();
    }

    /// Waits until the Events are as `are` wants them.
    async fn until(&self, are: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        eventually("the Events are as expected", async || {
            let all = self.world.api.all(EVENTS);
            if are(&all) {
                Ok(all)
            } else {
                Err(format!("{all:?}"))
            }
        })
        .await
    }
}

#[tokio::test]
async fn a_step_is_an_event_on_the_scaled_object_and_the_same_again_counts_up() {
    let writing = Writing::start(true).await;
    writing
        .say(false, "RateUp", "3 -> 12: 1,000 records/s come in")
        .await;
    let events = writing.until(|all| all.len() == 1).await;
    let event = &events[0];
    assert_eq!(event["reason"], "RateUp");
    assert_eq!(event["type"], "Normal");
    assert_eq!(event["message"], "3 -> 12: 1,000 records/s come in");
    assert_eq!(event["involvedObject"]["kind"], "ScaledObject");
    assert_eq!(event["involvedObject"]["name"], "trades");
    assert_eq!(event["involvedObject"]["uid"], "uid-trades");
    for _ in 0..2 {
        writing
            .say(false, "RateUp", "3 -> 12: 1,000 records/s come in")
            .await;
    }
    writing
        .until(|all| all.len() == 1 && all[0]["count"] == 3)
        .await;
    writing
        .say(true, "StuckPartition", "partition 7 does not move")
        .await;
    let events = writing.until(|all| all.len() == 2).await;
    assert!(events.iter().any(|event| event["type"] == "Warning"));
}

#[tokio::test]
async fn an_object_that_changes_all_the_time_gets_few() {
    let writing = Writing::start(true).await;
    for number in 0..40 {
        writing
            .say(false, "RateUp", &format!("1 -> {number}"))
            .await;
    }
    writing.say(false, "RateUp", "1 -> 0").await;
    writing.until(|all| all.len() == 25).await;
}

#[tokio::test]
async fn without_the_right_it_stops_asking() {
    let writing = Writing::start(true).await;
    writing.world.api.wrong("/events", Wrong::Refused(403));
    for number in 0..10 {
        writing
            .say(false, "RateUp", &format!("1 -> {number}"))
            .await;
    }
    eventually("all are taken", async || {
        let left = writing.announcements.max_capacity() - writing.announcements.capacity();
        if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} wait"))
        }
    })
    .await;
    assert_eq!(writing.world.api.requests("/events").len(), 1);
}

#[tokio::test]
async fn nobody_writes_who_does_not_lead() {
    let writing = Writing::start(false).await;
    writing.say(false, "RateUp", "3 -> 12").await;
    eventually("it is taken", async || {
        let left = writing.announcements.max_capacity() - writing.announcements.capacity();
        if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} wait"))
        }
    })
    .await;
    assert!(writing.world.api.requests("/events").is_empty());
}
