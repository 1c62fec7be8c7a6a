//! The one place that reads a clock or waits for one; what decides takes the time as an argument.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the file that reads the clocks"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock: for waits and durations.
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock, since the Unix epoch: only to be held against record timestamps.
pub fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
}

/// Blocks the thread until `at`: the pace of the load, and the stand-in for a slow write.
pub fn wait_until(at: Instant) {
    loop {
        let left = at.saturating_duration_since(now());
        if left.is_zero() {
            break;
        }
        // May wake early, hence the loop.
        std::thread::park_timeout(left);
    }
}
