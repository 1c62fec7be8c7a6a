//! What is said of a target where people look at its ScaledObject: counts that change, and what needs a
//! person.
//!
//! Said once when it begins, not at every decision. Where it is written is not known here; where
//! nobody takes it, it is gone.

use evenkeel_engine::Verdict;
use tokio::sync::mpsc;

/// Announcements that wait to be written; more are dropped. A thousand targets that all change at once
/// fit.
const WAITING: usize = 1_024;

/// One announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The ScaledObject's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether it needs a person.
    pub is_warning: bool,
    /// The verdict's label.
    pub reason: &'static str,
    /// One sentence or more.
    pub note: String,
}

/// Where announcements go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Announcements(Option<mpsc::Sender<Announcement>>);

// === impl Announcements ===

impl Announcements {
    /// Nowhere.
    pub fn nowhere() -> Self {
        Self(None)
    }

    /// To whoever has the receiver.
    pub fn channel() -> (Self, mpsc::Receiver<Announcement>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(Some(sender)), receiver)
    }

    /// Announces; drops it where too many wait.
    pub(super) fn say(&self, announcement: impl FnOnce() -> Announcement) {
        if let Some(sender) = &self.0 {
            let _dropped = sender.try_send(announcement());
        }
    }
}

/// Whether it is the scaler's everyday work, as opposed to what replicas alone cannot put right.
pub const fn is_calm(verdict: Verdict) -> bool {
    match verdict {
        Verdict::SteadyState
        | Verdict::RateUp
        | Verdict::LagUp
        | Verdict::LagHeld
        | Verdict::Ahead
        | Verdict::NotToday
        | Verdict::ScaleDown
        | Verdict::DownHeld
        | Verdict::ColdStart
        | Verdict::Warmup
        | Verdict::CoarsePartitions => true,
        Verdict::HotPartition
        | Verdict::StuckPartition
        | Verdict::MembersStalled
        | Verdict::PodsNotJoining
        | Verdict::ScalingLimited
        | Verdict::DownstreamLimited
        | Verdict::CapacityMismatch
        | Verdict::RateMismatch
        | Verdict::Degraded
        | Verdict::Stale
        | Verdict::RebalanceStorm => false,
    }
}

/// Whether a finding needs a person: nothing that the scaler does will end it. Sources that are away or
/// contradict each other come back by themselves.
pub(super) fn needs_a_person(verdict: Verdict) -> bool {
    let of_a_source = matches!(
        verdict,
        Verdict::RateMismatch | Verdict::Degraded | Verdict::Stale
    );
    !is_calm(verdict) && !of_a_source
}
