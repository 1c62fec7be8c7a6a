//! How fast the group processes: records committed over a window that is above the commits' sawtooth.

use std::time::Duration;

use super::State;
use crate::time::Timestamp;

/// The processing rate is taken over this long (or two commit intervals), above the sawtooth.
const PROCESSING_WINDOW: Duration = Duration::from_secs(30);

/// How long figures for it are kept, and how many at most.
const PROCESSING_KEPT: Duration = Duration::from_secs(150);
const PROCESSING_POINTS: usize = 160;

/// Notes how much has been processed by now.
pub(super) fn note_processed(state: &mut State, now: Timestamp) {
    let records = state.partitions.processed_records;
    state.processed.push_back((now, records));
    while state.processed.len() > PROCESSING_POINTS
        || state
            .processed
            .front()
            .is_some_and(|&(at, _)| now.since(at) > PROCESSING_KEPT)
    {
        state.processed.pop_front();
    }
}

/// Records per second over the window, as far as it was watched.
pub(super) fn processing_rate(
    state: &State,
    commit_interval: Duration,
    now: Timestamp,
) -> Option<f64> {
    let window = PROCESSING_WINDOW.max(commit_interval * 2);
    let from = state
        .processed
        .iter()
        .rev()
        .find(|&&(at, _)| now.since(at) >= window)
        .or(state.processed.front())?;
    let seconds = now.since(from.0).as_secs_f64();
    let records = state.partitions.processed_records.saturating_sub(from.1);
    (seconds > 0.0).then(|| records as f64 / seconds)
}
