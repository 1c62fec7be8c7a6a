//! Time as the engine knows it: milliseconds on one clock that its caller reads.
//!
//! The engine never asks what time it is. It also does not trust that the clock only goes forward:
//! every difference is saturating, and [`crate::decide`] holds when `now` lies before the last call.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment, in milliseconds since an epoch that only the caller knows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

// === impl Timestamp ===

impl Timestamp {
    /// A moment `milliseconds` after the caller's epoch.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// A moment `seconds` after the caller's epoch.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// Milliseconds since the caller's epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This moment moved later by `by`, saturating.
    pub fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// This moment moved earlier by `by`, never before the epoch.
    pub fn minus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}
