//! What a trigger knows ahead, in words: when each of its events comes next.
//!
//! It reads the clock of this machine, since next depends on now. What is wrong with events is found
//! where their metadata is read.

use std::time::Duration;

use evenkeel_scaler::calendar::Calendar;
use evenkeel_scaler::clock;

/// A sentence for each event.
pub(super) fn words(calendar: &Calendar) -> Vec<String> {
    let now = clock::Clock::start().now();
    let next = calendar.occurrences(now, Duration::ZERO);
    next.into_iter()
        .map(|one| format!("expects {}", calendar.words(one)))
        .collect()
}
