//! How fast the group processes, records committed over a window that is above the commits' sawtooth, and how
//! often it commits.

use std::time::Duration;

use super::State;
use crate::partition::Intake;
use crate::time::Timestamp;

/// A longer gap than this between two commits is not an interval but an incident.
const LONGEST_COMMIT_INTERVAL: Duration = Duration::from_secs(3_600);

/// ... and nor is one of a minute or more that is so many times the known interval.
const LONGEST_COMMIT_GAIN: f64 = 4.0;
const SHORTEST_INCIDENT: Duration = Duration::from_secs(60);

/// The weight of a new gap in the commit interval: some ten polls of memory.
const COMMIT_WEIGHT: f64 = 0.1;

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

/// How often the group commits.
pub(super) fn commit_interval(state: &mut State, intake: &Intake, lately_whole: bool) -> Duration {
    // Over a hole in the data a gap between commits is as long as the hole.
    if let Some(gap) = intake.commit_gap_seconds
        && lately_whole
        && state.rebalance.episode.is_none()
    {
        let known = state.commit_interval_seconds.unwrap_or(gap);
        let incident = (known * LONGEST_COMMIT_GAIN).max(SHORTEST_INCIDENT.as_secs_f64());
        let gap = gap.min(incident).min(LONGEST_COMMIT_INTERVAL.as_secs_f64());
        state.commit_interval_seconds = Some(known + (gap - known) * COMMIT_WEIGHT);
    }
    // Until one gap has been seen only the poll itself excuses lag: a restarted scaler may ask for
    // more than one that knows the group, never for less.
    Duration::from_secs_f64(state.commit_interval_seconds.unwrap_or(0.0).max(0.0))
}
