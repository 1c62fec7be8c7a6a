//! What was learned of each target, kept beside the targets: it outlives an edit of the metadata, and
//! the process where somebody writes it down (`keep`).
//!
//! It belongs to a ScaledObject's group and topics, not to the whole metadata: another window must not
//! forget a capacity. Only memory; bounded by the number of targets and by [`FORGOTTEN_AFTER`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_engine::{Learned, Timestamp};
use serde::{Deserialize, Serialize};

use super::target::TargetSpec;
use crate::observe::TopicSelection;

/// What nobody has confirmed for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(14 * 86_400);
/// What stays true is confirmed so often.
const CONFIRMED_EVERY: Duration = Duration::from_secs(86_400);
/// More targets than a process may have: what is given from outside is bounded too.
const MOST: usize = 100_000;

/// What was learned of all targets. Cheap to clone, all clones hold the same.
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    is_complete: bool,
    entries: BTreeMap<Subject, (Timestamp, Learned)>,
    changed: BTreeSet<Subject>,
}

/// Of what something was learned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// The ScaledObject's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The profile or the addresses of the cluster.
    pub cluster: String,
    /// The consumer group.
    pub consumer_group: String,
    /// The topics, or how they are chosen.
    pub topics: String,
}

/// One entry as it is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Of what.
    pub subject: Subject,
    /// When it was last confirmed, in milliseconds since 1970.
    pub at: u64,
    /// What.
    pub learned: Learned,
}

/// What is known of a target from before.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// What was written down has not been read yet.
    NotYet,
    /// Nothing.
    Nothing,
    /// This.
    Learned(Box<Learned>),
}

// === impl Subject ===

impl Subject {
    /// What `spec` is about.
    pub fn of(spec: &TargetSpec) -> Self {
        let subscription = &spec.subscription;
        Self {
            namespace: spec.key.namespace.clone(),
            name: spec.key.name.clone(),
            cluster: spec.cluster.to_string(),
            consumer_group: subscription.consumer_group.clone(),
            topics: match &subscription.topics {
                TopicSelection::Named(names) => names.join(","),
                TopicSelection::Pattern(pattern) => format!("~{pattern}"),
                TopicSelection::OfGroup => "*".to_owned(),
            },
        }
    }
}

// === impl Inner ===

impl Inner {
    fn forget(&mut self, now: Timestamp) {
        let is_recent = |at: Timestamp| now.since(at) <= FORGOTTEN_AFTER;
        self.entries.retain(|_, (at, _)| is_recent(*at));
    }
}

// === impl Kept ===

impl Kept {
    /// Where nothing is ever read from outside, what is here is all there is.
    pub fn complete(&self) {
        self.lock().is_complete = true;
    }

    /// Whether what was written down has been read.
    pub fn is_complete(&self) -> bool {
        self.lock().is_complete
    }

    /// What was learned of `subject` before.
    pub fn find(&self, subject: &Subject) -> Found {
        let inner = self.lock();
        match inner.entries.get(subject) {
            Some((_, learned)) => Found::Learned(Box::new(learned.clone())),
            None if inner.is_complete => Found::Nothing,
            None => Found::NotYet,
        }
    }

    /// Notes what has been learned by now.
    pub fn note(&self, subject: &Subject, learned: Learned, now: Timestamp) {
        let mut inner = self.lock();
        let is_news = inner.entries.get(subject).is_none_or(|(at, written)| {
            learned.is_worth_writing_over(written) || now.since(*at) > CONFIRMED_EVERY
        });
        if !inner.entries.contains_key(subject) {
            inner.forget(now);
        }
        let has_room = inner.entries.contains_key(subject) || inner.entries.len() < MOST;
        if is_news && has_room && learned != Learned::default() {
            inner.entries.insert(subject.clone(), (now, learned));
            inner.changed.insert(subject.clone());
        }
    }

    /// Takes in what was written down, where it is newer than what is here.
    pub fn take_in(&self, entries: Vec<Entry>, now: Timestamp) {
        let mut inner = self.lock();
        for entry in entries {
            let at = Timestamp::from_millis(entry.at).min(now);
            let is_newer = |(known, _): &(Timestamp, Learned)| *known < at;
            let has_room = inner.entries.len() < MOST;
            let known = inner.entries.get(&entry.subject);
            if known.map_or(has_room, is_newer) && now.since(at) <= FORGOTTEN_AFTER {
                inner.entries.insert(entry.subject, (at, entry.learned));
            }
        }
        inner.is_complete = true;
    }

    /// Everything of those parts that have changed since this was last asked, by `part_of`.
    pub fn changed(
        &self,
        part_of: impl Fn(&Subject) -> usize,
        now: Timestamp,
    ) -> BTreeMap<usize, Vec<Entry>> {
        let mut inner = self.lock();
        inner.forget(now);
        let changed = std::mem::take(&mut inner.changed);
        let mut parts: BTreeMap<usize, Vec<Entry>> = BTreeMap::new();
        for subject in &changed {
            parts.entry(part_of(subject)).or_default();
        }
        for (subject, (at, learned)) in &inner.entries {
            if let Some(part) = parts.get_mut(&part_of(subject)) {
                part.push(Entry {
                    subject: subject.clone(),
                    at: at.as_millis(),
                    learned: learned.clone(),
                });
            }
        }
        parts
    }

    /// Notes that `entries` could not be written: they are still to be.
    pub fn unwritten(&self, entries: &[Entry]) {
        let mut inner = self.lock();
        let subjects = entries.iter().map(|entry| entry.subject.clone());
        inner.changed.extend(subjects);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
