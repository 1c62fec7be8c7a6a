//! What was learned of each target and what came in there, kept beside the targets: it outlives an edit of
//! the metadata, and the process where somebody writes it down (`keep`).
//!
//! Two kinds of things, apart from each other, so that neither is lost with the other: what was learned is
//! small and written soon, the past of a calendar is large and written seldom.
//!
//! It belongs to a ScaledObject's group and topics, not to the whole metadata: another window must not
//! forget a capacity. Only memory; bounded by the number of targets and by [`FORGOTTEN_AFTER`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_engine::{Learned, Past, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::target::TargetSpec;
use crate::observe::TopicSelection;

/// What nobody has confirmed for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(14 * 86_400);
/// What stays true is confirmed so often.
const CONFIRMED_EVERY: Duration = Duration::from_secs(86_400);
/// More targets than a process may have: what is given from outside is bounded too.
const MOST: usize = 100_000;

/// Something that is kept of a target.
pub trait Keepable:
    Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// What it is, in messages.
    const WHAT: &'static str;
    /// It is written no more often than this.
    const WRITTEN_EVERY: Duration;

    /// Whether this is so different from what was `written` that it is worth writing.
    fn is_worth_writing_over(&self, written: &Self) -> bool;

    /// Leaves the oldest of it out, so that it takes about so many bytes of JSON, where that is possible.
    fn shorten(&mut self, bytes: usize);
}

/// What came in at a target, by the clocks of a time zone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptPast {
    /// The time zone's name: by other clocks its minutes mean nothing.
    pub time_zone: String,
    /// What came in.
    pub past: Past,
}

/// Everything that is kept of all targets.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// What was learned.
    pub learned: Kept<Learned>,
    /// What came in, where a calendar is learned from it.
    pub pasts: Kept<KeptPast>,
}

/// What is kept of all targets. Cheap to clone, all clones hold the same.
#[derive(Clone, Debug, Default)]
pub struct Kept<T = Learned>(Arc<Mutex<Inner<T>>>);

#[derive(Debug, Default)]
struct Inner<T> {
    is_complete: bool,
    entries: BTreeMap<Subject, (Timestamp, T)>,
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
pub struct Entry<T = Learned> {
    /// Of what.
    pub subject: Subject,
    /// When it was last confirmed, in milliseconds since 1970.
    pub at: u64,
    /// What.
    pub learned: T,
}

/// What is known of a target from before.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<T = Learned> {
    /// What was written down has not been read yet.
    NotYet,
    /// Nothing.
    Nothing,
    /// This.
    Learned(Box<T>),
}

// === impl Keepable ===

impl Keepable for Learned {
    const WHAT: &'static str = "what was learned";
    const WRITTEN_EVERY: Duration = Duration::from_secs(30);

    fn is_worth_writing_over(&self, written: &Self) -> bool {
        self.is_worth_writing_over(written)
    }

    fn shorten(&mut self, _bytes: usize) {}
}

impl Keepable for KeptPast {
    const WHAT: &'static str = "what came in on earlier days";
    /// Every minute is new, and a part holds many targets: 16 parts of 900 kB are at most 16 kB/s.
    const WRITTEN_EVERY: Duration = Duration::from_secs(900);

    fn is_worth_writing_over(&self, written: &Self) -> bool {
        self != written
    }

    fn shorten(&mut self, bytes: usize) {
        self.past = self.past.within(bytes);
    }
}

// === impl Memory ===

impl Memory {
    /// Where nothing is ever read from outside, what is here is all there is.
    pub fn complete(&self) {
        self.learned.complete();
        self.pasts.complete();
    }
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

impl<T> Inner<T> {
    fn forget(&mut self, now: Timestamp) {
        let is_recent = |at: Timestamp| now.since(at) <= FORGOTTEN_AFTER;
        self.entries.retain(|_, (at, _)| is_recent(*at));
    }
}

// === impl Kept ===

impl<T: Keepable> Kept<T> {
    /// Where nothing is ever read from outside, what is here is all there is.
    pub fn complete(&self) {
        self.lock().is_complete = true;
    }

    /// Whether what was written down has been read.
    pub fn is_complete(&self) -> bool {
        self.lock().is_complete
    }

    /// What was learned of `subject` before.
    pub fn find(&self, subject: &Subject) -> Found<T> {
        let inner = self.lock();
        match inner.entries.get(subject) {
            Some((_, learned)) => Found::Learned(Box::new(learned.clone())),
            None if inner.is_complete => Found::Nothing,
            None => Found::NotYet,
        }
    }

    /// Notes what has been learned by now.
    pub fn note(&self, subject: &Subject, learned: T, now: Timestamp) {
        let mut inner = self.lock();
        let is_news = inner.entries.get(subject).is_none_or(|(at, written)| {
            learned.is_worth_writing_over(written) || now.since(*at) > CONFIRMED_EVERY
        });
        if !inner.entries.contains_key(subject) {
            inner.forget(now);
        }
        let has_room = inner.entries.contains_key(subject) || inner.entries.len() < MOST;
        if is_news && has_room && learned != T::default() {
            inner.entries.insert(subject.clone(), (now, learned));
            inner.changed.insert(subject.clone());
        }
    }

    /// Takes in what was written down, where it is newer than what is here.
    pub fn take_in(&self, entries: Vec<Entry<T>>, now: Timestamp) {
        let mut inner = self.lock();
        for entry in entries {
            let at = Timestamp::from_millis(entry.at).min(now);
            let is_newer = |(known, _): &(Timestamp, T)| *known < at;
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
    ) -> BTreeMap<usize, Vec<Entry<T>>> {
        let mut inner = self.lock();
        inner.forget(now);
        let changed = std::mem::take(&mut inner.changed);
        let mut parts: BTreeMap<usize, Vec<Entry<T>>> = BTreeMap::new();
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
    pub fn unwritten(&self, entries: &[Entry<T>]) {
        let mut inner = self.lock();
        let subjects = entries.iter().map(|entry| entry.subject.clone());
        inner.changed.extend(subjects);
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
