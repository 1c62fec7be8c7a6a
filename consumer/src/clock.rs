//! The one place that reads a clock; what decides takes the time as an argument.

#![expect(clippy::disallowed_methods, reason = "this is the file that reads the clocks")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock: for waits and durations.
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock, since the Unix epoch: only to be held against record timestamps.
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}
