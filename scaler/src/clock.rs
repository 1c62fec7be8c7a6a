//! The one place that reads a clock.
//!
//! Everything else takes a [`Timestamp`]. The clock starts at the wall's time and from then on only
//! follows the monotonic clock, so a wall clock that is set back never makes time run backwards
//! here; what it costs is that a scaler whose host clock was wrong at start stays wrong by as much
//! until it is restarted (only the log's history at a cold start is asked by wall time).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evenkeel_engine::Timestamp;
use tokio::time::Instant;

/// The wall's time since 1970, for what others judge by theirs: certificates and signatures.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the file that reads the clock"
)]
pub fn wall() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
}

/// The day and minute in UTC.
pub fn day(since_1970: Duration) -> String {
    x509_cert::der::DateTime::from_unix_duration(since_1970).map_or_else(
        |_| format!("{} s after 1970", since_1970.as_secs()),
        |at| {
            let (year, month, day) = (at.year(), at.month(), at.day());
            format!(
                "{year}-{month:02}-{day:02} {:02}:{:02} UTC",
                at.hour(),
                at.minutes()
            )
        },
    )
}

/// A clock that never goes backwards; cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started_at: Timestamp,
    started: Instant,
}

// === impl Clock ===

impl Clock {
    /// Starts at the wall's time.
    pub fn start() -> Self {
        let milliseconds = u64::try_from(wall().as_millis()).unwrap_or(u64::MAX);
        Self {
            started_at: Timestamp::from_millis(milliseconds),
            started: Instant::now(),
        }
    }

    /// Now, in milliseconds since the Unix epoch. Follows tokio's paused time in tests.
    pub fn now(&self) -> Timestamp {
        self.started_at.plus(self.started.elapsed())
    }
}
