//! Announcements as Events on the ScaledObject, so that `kubectl describe scaledobject` explains itself.
//!
//! As client-go's recorder does it: the same again within ten minutes counts up the Event that is there,
//! and one object gets a burst of Events and then one in some minutes. Written by the leader alone. An
//! Event that cannot be written is lost; the log has it.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_engine::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use tokio::sync::mpsc;

use super::workloads::{Reference, Workloads};
use super::{Cluster, Refused, in_time, wall};
use crate::clock::{self, Clock};
use crate::control::announcements::Announcement;
use crate::leader::Leadership;
use crate::schema::shorten;

/// Who writes them.
const COMPONENT: &str = "evenkeel";
/// The longest note that the API server takes.
const MAX_NOTE_CHARACTERS: usize = 1_000;
/// The same again within this is counted up.
const SAME_WITHIN: Duration = Duration::from_secs(600);
/// Events that one object gets at once, and how long until it gets one more.
const BURST: u32 = 25;
const REFILL: Duration = Duration::from_secs(300);
/// Between two Events, over all objects.
const PACE: Duration = Duration::from_millis(200);
/// A namespace where Events may not be written is tried again after this.
const REFUSED_FOR: Duration = Duration::from_secs(3_600);

/// Writes Events.
#[derive(Debug)]
pub struct Events {
    /// The cluster.
    pub cluster: Cluster,
    /// Knows the ScaledObjects.
    pub workloads: Workloads,
    /// Who writes.
    pub leadership: Leadership,
    /// The clock.
    pub clock: Clock,
}

/// An Event that was written.
#[derive(Debug)]
struct Written {
    event: String,
    count: i32,
    at: Timestamp,
}

/// How many Events an object may still get.
#[derive(Debug)]
struct Bucket {
    left: u32,
    since: Timestamp,
}

#[derive(Debug, Default)]
struct Memory {
    written: BTreeMap<(String, String, &'static str, String), Written>,
    buckets: BTreeMap<(String, String), Bucket>,
    /// Namespaces in which none may be written, and since when.
    refused: BTreeMap<String, Timestamp>,
}

// === impl Events ===

impl Events {
    /// Writes what comes, for as long as something can.
    pub async fn run(self, mut announcements: mpsc::Receiver<Announcement>) {
        let mut memory = Memory::default();
        while let Some(announcement) = announcements.recv().await {
            if !self.leadership.answers() {
                continue;
            }
            let now = self.clock.now();
            memory.forget(now);
            let namespace = announcement.namespace.clone();
            if memory.refused.contains_key(&namespace) || !memory.takes(&announcement, now) {
                continue;
            }
            if let Err(refused) = self.write(announcement, &mut memory, now).await {
                tracing::warn!(
                    "an Event cannot be written: {}",
                    refused.problem("events").sentence
                );
                // No right to, or a namespace that is being deleted.
                if matches!(refused.code, Some(401 | 403)) {
                    memory.refused.insert(namespace, now);
                }
            }
            tokio::time::sleep(PACE).await;
        }
    }

    async fn write(
        &self,
        announcement: Announcement,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let Announcement {
            namespace,
            name,
            is_warning,
            reason,
            note,
        } = announcement;
        let Some(reference) = self.workloads.reference(&namespace, &name) else {
            return Ok(());
        };
        let note = shorten(&note, MAX_NOTE_CHARACTERS);
        let api: Api<Event> = Api::namespaced(self.cluster.client.clone(), &namespace);
        let key = (namespace, name, reason, note);
        let (namespace, name, _, note) = &key;
        if let Some(written) = memory.written.get_mut(&key) {
            written.count = written.count.saturating_add(1);
            written.at = now;
            let more = serde_json::json!({"count": written.count, "lastTimestamp": Time(wall())});
            let (params, patch) = (PatchParams::default(), Patch::Merge(&more));
            return in_time(api.patch(&written.event, &params, &patch))
                .await
                .map(|_| ());
        }
        // client-go's own way to a name that nobody else has.
        let event = format!("{name}.{:x}", clock::wall().as_nanos());
        let made = Event {
            metadata: ObjectMeta {
                name: Some(event.clone()),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: scaled_object(namespace, name, reference),
            reason: Some(reason.to_owned()),
            message: Some(note.clone()),
            type_: Some(if is_warning { "Warning" } else { "Normal" }.to_owned()),
            source: Some(EventSource {
                component: Some(COMPONENT.to_owned()),
                host: None,
            }),
            first_timestamp: Some(Time(wall())),
            last_timestamp: Some(Time(wall())),
            count: Some(1),
            reporting_component: Some(COMPONENT.to_owned()),
            ..Event::default()
        };
        in_time(api.create(&PostParams::default(), &made)).await?;
        let written = Written {
            event,
            count: 1,
            at: now,
        };
        memory.written.insert(key, written);
        Ok(())
    }
}

fn scaled_object(namespace: &str, name: &str, reference: Reference) -> ObjectReference {
    ObjectReference {
        api_version: Some(reference.api_version),
        kind: Some("ScaledObject".to_owned()),
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        uid: Some(reference.uid),
        ..ObjectReference::default()
    }
}

// === impl Memory ===

impl Memory {
    /// Whether the object may get one more Event now.
    fn takes(&mut self, announcement: &Announcement, now: Timestamp) -> bool {
        let object = (announcement.namespace.clone(), announcement.name.clone());
        let bucket = self.buckets.entry(object).or_insert(Bucket {
            left: BURST,
            since: now,
        });
        while bucket.left < BURST && now.since(bucket.since) >= REFILL {
            bucket.left += 1;
            bucket.since = bucket.since.plus(REFILL);
        }
        if bucket.left == BURST {
            bucket.since = now;
        }
        let takes = bucket.left > 0;
        bucket.left = bucket.left.saturating_sub(1);
        takes
    }

    /// Lets go of what matters no more.
    fn forget(&mut self, now: Timestamp) {
        self.written
            .retain(|_, written| now.since(written.at) <= SAME_WITHIN);
        let full = REFILL * BURST;
        self.buckets
            .retain(|_, bucket| now.since(bucket.since) <= full);
        self.refused.retain(|_, at| now.since(*at) <= REFUSED_FOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement() -> Announcement {
        Announcement {
            namespace: "shop".to_owned(),
            name: "trades".to_owned(),
            is_warning: false,
            reason: "RateUp",
            note: "3 -> 12".to_owned(),
        }
    }

    fn takes(memory: &mut Memory, seconds: u64) -> bool {
        let now = Timestamp::from_secs(seconds);
        memory.forget(now);
        memory.takes(&announcement(), now)
    }

    #[test]
    fn an_object_gets_a_burst_and_then_one_in_five_minutes() {
        let mut memory = Memory::default();
        let burst = (0..100).filter(|_| takes(&mut memory, 1_000)).count();
        assert_eq!(burst, 25);
        assert!(!takes(&mut memory, 1_299));
        assert!(takes(&mut memory, 1_300));
        assert!(!takes(&mut memory, 1_301));
    }

    #[test]
    fn after_a_calm_time_it_gets_a_whole_burst_again() {
        let mut memory = Memory::default();
        assert_eq!((0..100).filter(|_| takes(&mut memory, 1_000)).count(), 25);
        assert_eq!((0..100).filter(|_| takes(&mut memory, 20_000)).count(), 25);
    }
}
