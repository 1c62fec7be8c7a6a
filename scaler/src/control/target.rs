//! One target: a ScaledObject's trigger, what is asked about it, and what was last decided.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evenkeel_engine::{Decision, Foresight, Policy, State, Timestamp};
use tokio::sync::{oneshot, watch};

use super::history::{History, HistoryPoint};
use super::recording::{Recorder, Tick};
use crate::calendar::{Calendar, LocalTime, Occurrence};
use crate::observe::Subscription;

/// Who a target is: the same ScaledObject with other metadata is another target.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetKey {
    /// The ScaledObject's namespace.
    pub namespace: String,
    /// The ScaledObject's name.
    pub name: String,
    /// A stable hash of the trigger metadata (FNV-1a, 64 bits, over the sorted pairs).
    pub metadata_hash: u64,
}

/// FNV-1a, 64 bits: stable between processes and versions, and no secret's keeper.
pub fn fnv_1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.into_iter().fold(OFFSET_BASIS, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    })
}

/// Where a target's Kafka is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClusterRef {
    /// A profile of the configuration, by name.
    Profile(String),
    /// Addresses that are no profile: plaintext, no credentials. Sorted.
    Adhoc(Vec<String>),
}

/// Where a target's inbound-rate baseline comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PrometheusRef {
    /// The base URL.
    pub url: String,
    /// The profile that the URL comes from, where it does.
    pub profile: Option<String>,
    /// The query, templates filled in. Answers records per second.
    pub query: String,
}

/// Everything that one ScaledObject's trigger says, checked.
#[derive(Clone, Debug)]
pub struct TargetSpec {
    /// Who it is.
    pub key: TargetKey,
    /// Where its Kafka is.
    pub cluster: ClusterRef,
    /// What it wants to know from Kafka.
    pub subscription: Arc<Subscription>,
    /// Where its baseline is, if it has one.
    pub prometheus: Option<PrometheusRef>,
    /// How it is decided.
    pub policy: Policy,
    /// What is known to come.
    pub calendar: Calendar,
    /// The clocks by which its days recur.
    pub local_time: LocalTime,
    /// Sentences about keys that were accepted and ignored, said once.
    pub notes: Vec<String>,
}

/// A decision with what people need around it. Immutable once published.
#[derive(Clone, Debug)]
pub struct Published {
    /// The decision.
    pub decision: Decision,
    /// What went wrong while observing for it.
    pub problems: Vec<String>,
    /// What comes next of what is known ahead.
    pub upcoming: Arc<[Occurrence]>,
    /// What is expected because it came on earlier days, where a calendar is learned.
    pub foresight: Option<Foresight>,
    /// When the data behind it was read; stands still while sources are unknown. Nothing before
    /// everything was read once.
    pub data_at: Option<Timestamp>,
}

/// One registered target.
#[derive(Debug)]
pub struct Target {
    /// What its trigger says.
    pub spec: TargetSpec,
    published: watch::Sender<Option<Arc<Published>>>,
    history: Mutex<History>,
    asked_at_millis: AtomicU64,
    streams: AtomicUsize,
    /// What the leader was last heard to answer, where another replica leads.
    heard: Mutex<Option<u32>>,
    recorder: Mutex<Option<Recorder>>,
}

/// What of a decision that is about to be made is to be recorded.
#[derive(Debug)]
pub enum Recorded {
    /// Nothing.
    Nothing,
    /// What it is made of, and what was remembered before where that is not what the last one left.
    Tick(Option<Box<State>>),
}

// === impl TargetKey ===

impl std::fmt::Display for TargetKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

// === impl ClusterRef ===

impl std::fmt::Display for ClusterRef {
    /// The profile's name or the addresses: how metrics and logs name the cluster.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Profile(name) => f.write_str(name),
            Self::Adhoc(addresses) => f.write_str(&addresses.join(",")),
        }
    }
}

// === impl Target ===

impl Target {
    /// A target that nothing is known of yet.
    pub fn new(spec: TargetSpec, history_points: usize, now: Timestamp) -> Self {
        Self {
            spec,
            published: watch::Sender::new(None),
            history: Mutex::new(History::new(history_points)),
            asked_at_millis: AtomicU64::new(now.as_millis()),
            streams: AtomicUsize::new(0),
            heard: Mutex::default(),
            recorder: Mutex::default(),
        }
    }

    /// The last published decision; the receiver sees each new one.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Published>>> {
        self.published.subscribe()
    }

    /// The last published decision.
    pub fn published(&self) -> Option<Arc<Published>> {
        self.published.borrow().clone()
    }

    /// Publishes a decision and remembers it in the bounded history.
    pub fn publish(&self, published: Published) {
        let published = Arc::new(published);
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.push(HistoryPoint::of(&published.decision));
        drop(history);
        self.published.send_replace(Some(published));
    }

    /// The history, oldest first.
    pub fn history(&self) -> Vec<HistoryPoint> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.points()
    }

    /// Notes that somebody asked for this target.
    pub fn touch(&self, now: Timestamp) {
        self.asked_at_millis
            .fetch_max(now.as_millis(), Ordering::Relaxed);
    }

    /// When somebody last asked for it.
    pub fn asked_at(&self) -> Timestamp {
        Timestamp::from_millis(self.asked_at_millis.load(Ordering::Relaxed))
    }

    /// Notes what the leader answered.
    pub fn hear(&self, replicas: u32) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(replicas);
    }

    /// What the leader has answered since this was last asked.
    pub fn heard(&self) -> Option<u32> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.take()
    }

    /// Records the next decisions, so many at most; none where others are being recorded already.
    pub fn record(&self, decisions: usize) -> Option<oneshot::Receiver<Vec<Tick>>> {
        let mut slot = self.recorder();
        if slot.as_ref().is_some_and(|known| !known.is_given_up()) {
            return None;
        }
        let (recorder, recorded) = Recorder::new(decisions);
        *slot = Some(recorder);
        Some(recorded)
    }

    /// What is to be recorded of a decision that begins with `state`, which something `changed` since the
    /// last one.
    pub fn to_record(&self, state: &State, changed: bool) -> Recorded {
        let mut slot = self.recorder();
        *slot = slot.take().filter(|recorder| !recorder.is_given_up());
        match slot.as_ref() {
            None => Recorded::Nothing,
            Some(recorder) => {
                let wanted = changed || recorder.is_new();
                Recorded::Tick(wanted.then(|| Box::new(state.clone())))
            }
        }
    }

    /// Hands a decision to whoever records.
    pub fn note(&self, tick: Tick) {
        let mut slot = self.recorder();
        *slot = slot.take().and_then(|recorder| recorder.with(tick));
    }

    /// Records no more: what a decision left is lost.
    pub fn stop_recording(&self) {
        *self.recorder() = None;
    }

    fn recorder(&self) -> MutexGuard<'_, Option<Recorder>> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an open push stream until the guard is dropped.
    pub fn open_stream(self: &Arc<Self>) -> StreamGuard {
        self.streams.fetch_add(1, Ordering::Relaxed);
        StreamGuard {
            target: Arc::clone(self),
        }
    }

    /// How many push streams are open.
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }
}

/// Keeps an open push stream counted.
#[derive(Debug)]
pub struct StreamGuard {
    target: Arc<Target>,
}

// === impl StreamGuard ===

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.target.streams.fetch_sub(1, Ordering::Relaxed);
    }
}
