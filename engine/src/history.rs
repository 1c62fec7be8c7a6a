//! Where the logs of one topic ended over the slow window: the raw material of the inbound rate.
//!
//! The intuition: all partitions of a topic are read at the same moments, so one column of ends a
//! moment is enough, and a decision over 10,000 partitions walks a few columns from front to back
//! instead of 10,000 rings that lie anywhere in memory. Columns are fine for the last polls and
//! coarse before. A partition that was not read has a hole in the column, and one sample of its own
//! may be older than all columns: what a restart asked of the log, or what was known before a hole.
//!
//! What this does not do: add partitions up, or judge a slope (`rate`). A partition that can be read
//! only now and then may have its holes in the columns that are kept; then fewer samples stand in.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::observation::PartitionHistory;
use crate::rate::{SHORT_SAMPLES, SLOW_WINDOW, Slopes};
use crate::time::Timestamp;
use crate::tuning::Tuning;

/// Polls jitter: a sample that is younger than its window by up to a fifth still stands for it.
const WINDOW_SLACK_PERCENT: u32 = 80;

/// Columns younger than this are all kept, for the fast and the short window.
const FINE_ZONE: Duration = Duration::from_secs(20);

/// Older columns are kept this far apart: enough to interpolate, few enough for 10,000 partitions.
const COARSE_SPACING: Duration = Duration::from_secs(15);

/// Columns nearer than this to each other replace one another, so that their number is bounded
/// however fast the caller polls: at most 20 fine and 21 coarse ones a topic.
const FINEST_SPACING: Duration = Duration::from_secs(1);

/// The hole in a column. No log ends there: Kafka's offsets have 63 bits.
const NOT_READ: u64 = u64::MAX;

/// The log ends of a topic's partitions over the slow window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EndHistory {
    /// Oldest first.
    columns: Vec<Column>,
    /// For each partition the one sample that is older than its first in `columns`, for as long as
    /// the slow window reaches back to it.
    elders: Vec<Option<EndSample>>,
}

/// Where the logs ended at one moment, [`NOT_READ`] where that is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Column {
    at: Timestamp,
    ends: Vec<u64>,
}

/// Where one log ended at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct EndSample {
    at: Timestamp,
    end: u64,
}

/// The history of one partition, to be changed.
pub(crate) struct PartitionEnds<'a> {
    history: &'a mut EndHistory,
    place: usize,
}

// === impl EndHistory ===

impl EndHistory {
    /// Makes the partitions others: for each the place that it had before, if it was there.
    pub fn rearrange(&mut self, from: &[Option<usize>]) {
        for column in &mut self.columns {
            column.ends = from
                .iter()
                .map(|place| place.and_then(|place| column.end(place)))
                .map(|end| end.unwrap_or(NOT_READ))
                .collect();
        }
        self.elders = from
            .iter()
            .map(|place| place.and_then(|place| self.elder(place)))
            .collect();
    }

    /// Begins the column of a new moment; nothing happens when `at` is not after the last one.
    pub fn begin(&mut self, at: Timestamp) {
        if self.columns.last().is_some_and(|last| at <= last.at) {
            return;
        }
        let before_last = self.columns.iter().rev().nth(1);
        if before_last.is_some_and(|column| at.since(column.at) < FINEST_SPACING) {
            self.columns.pop();
        }
        self.thin(at);
        self.columns.push(Column {
            at,
            ends: vec![NOT_READ; self.elders.len()],
        });
    }

    /// Drops what the windows no longer need: one column that leaves the fine zone too near its
    /// elder, and columns that are beyond the slow window.
    fn thin(&mut self, now: Timestamp) {
        let leaving = self
            .columns
            .iter()
            .rposition(|column| now.since(column.at) > FINE_ZONE)
            .filter(|&index| index > 0);
        if let Some(index) = leaving
            && let Some([elder, column]) = self.columns.get(index - 1..=index)
            && column.at.since(elder.at) < COARSE_SPACING
        {
            self.columns.remove(index);
        }
        while let [first, second, ..] = self.columns.as_slice()
            && now.since(second.at) >= SLOW_WINDOW
        {
            for (place, elder) in self.elders.iter_mut().enumerate() {
                if second.end(place).is_none() {
                    *elder = first.sample(place).or(*elder);
                }
            }
            self.columns.remove(0);
        }
    }

    /// One partition's history, to be changed.
    pub fn of(&mut self, place: usize) -> PartitionEnds<'_> {
        PartitionEnds {
            history: self,
            place,
        }
    }

    fn elder(&self, place: usize) -> Option<EndSample> {
        self.elders.get(place).copied().flatten()
    }

    /// What is known of one partition, oldest first.
    fn samples(&self, place: usize) -> impl DoubleEndedIterator<Item = EndSample> {
        let columns = self.columns.iter();
        self.elder(place)
            .into_iter()
            .chain(columns.filter_map(move |column| column.sample(place)))
    }

    /// The slopes over all windows; shorter histories stand in for longer windows.
    pub fn slopes(&self, place: usize, tuning: &Tuning) -> Option<Slopes> {
        let mut oldest_first = self.samples(place);
        let oldest = oldest_first.next()?;
        let second = oldest_first.next();
        let mut newest_first = self.samples(place).rev();
        let newest = newest_first.next()?;
        let slope = |from: EndSample| rate(from, newest);
        let slow = slow_rate(oldest, second, newest)?;
        let mut fast: Option<(EndSample, f64)> = None;
        let mut before = None;
        let mut short = None;
        for (back, sample) in (1..).zip(newest_first) {
            let age = newest.at.since(sample.at);
            match fast {
                None if age >= with_slack(tuning.fast_window) => {
                    fast = slope(sample).map(|slope| (sample, slope));
                }
                Some((start, _))
                    if before.is_none()
                        && start.at.since(sample.at) >= with_slack(tuning.fast_window) =>
                {
                    before = rate(sample, start);
                }
                _ => {}
            }
            if back >= SHORT_SAMPLES && age >= with_slack(tuning.short_window) {
                short = slope(sample);
                break;
            }
        }
        // A seed is five minutes old when the first poll comes: it stands for all windows until the
        // second, and then only for the slow one.
        let whole = slope(oldest)?;
        let short = short.unwrap_or(whole);
        let fast = fast.map_or(short, |(_, slope)| slope);
        Some(Slopes {
            fast,
            before: before.unwrap_or(short),
            short,
            slow,
        })
    }

    /// How many seconds before `now` the record at `offset` was written, where the history reaches
    /// that far back or its slope can be extended. It lies between two samples; where no records are
    /// known to have come before the earlier, they may have begun at any moment between, and only what
    /// is certain counts: that it was there at the later.
    pub fn age_seconds(&self, place: usize, offset: u64, slow: f64, now: Timestamp) -> Option<f64> {
        let mut newest_first = self.samples(place).rev().peekable();
        let newest = newest_first.next()?;
        if offset >= newest.end {
            return Some(0.0);
        }
        let mut later = newest;
        while let Some(sample) = newest_first.next() {
            if sample.end > offset {
                later = sample;
                continue;
            }
            let age = now.since(later.at).as_secs_f64();
            return match newest_first.peek() {
                // One observation and what came before it date nothing.
                None if later == newest => None,
                Some(before) if before.end < sample.end => {
                    let records = (later.end - sample.end).max(1) as f64;
                    let share = (later.end - offset) as f64 / records;
                    Some(age + later.at.since(sample.at).as_secs_f64() * share)
                }
                _ => Some(age),
            };
        }
        (slow > 0.0).then(|| {
            now.since(later.at).as_secs_f64() + later.end.saturating_sub(offset) as f64 / slow
        })
    }
}

// === impl Column ===

impl Column {
    fn end(&self, place: usize) -> Option<u64> {
        self.ends.get(place).copied().filter(|&end| end != NOT_READ)
    }

    fn sample(&self, place: usize) -> Option<EndSample> {
        let at = self.at;
        self.end(place).map(|end| EndSample { at, end })
    }
}

// === impl PartitionEnds ===

impl PartitionEnds<'_> {
    /// Forgets everything: the log is another one.
    pub fn forget(&mut self) {
        for column in &mut self.history.columns {
            if let Some(end) = column.ends.get_mut(self.place) {
                *end = NOT_READ;
            }
        }
        self.set_elder(None);
    }

    /// Notes a log end in the column of that moment.
    pub fn note(&mut self, at: Timestamp, end: u64) {
        if let Some(column) = self.history.columns.last_mut()
            && column.at == at
            && let Some(slot) = column.ends.get_mut(self.place)
        {
            *slot = end;
        }
        let second = self.history.samples(self.place).nth(1);
        if self.history.elder(self.place).is_some()
            && second.is_some_and(|second| at.since(second.at) >= SLOW_WINDOW)
        {
            self.set_elder(None);
        }
    }

    /// Puts a log end of the past before the first sample, where it can be believed.
    pub fn seed(&mut self, history: PartitionHistory) {
        let believable = self
            .history
            .samples(self.place)
            .next()
            .is_some_and(|first| history.at < first.at && history.end <= first.end);
        if believable && self.history.elder(self.place).is_none() {
            self.set_elder(Some(EndSample {
                at: history.at,
                end: history.end,
            }));
        }
    }

    fn set_elder(&mut self, sample: Option<EndSample>) {
        if let Some(elder) = self.history.elders.get_mut(self.place) {
            *elder = sample;
        }
    }
}

/// The slope over the slow window, whose far end lies between the two oldest samples. Not rounded to
/// whole records: a load ten times as large has the same slope, ten times as large.
fn slow_rate(first: EndSample, second: Option<EndSample>, newest: EndSample) -> Option<f64> {
    let start = newest.at.minus(SLOW_WINDOW);
    let Some(second) = second.filter(|_| first.at < start) else {
        return rate(first, newest);
    };
    if second.at <= start {
        return rate(second, newest);
    }
    let within = second.at.since(start).as_secs_f64();
    let since_second = newest.end.saturating_sub(second.end) as f64;
    let before_second = rate(first, second)? * within;
    Some((since_second + before_second) / SLOW_WINDOW.as_secs_f64())
}

fn rate(from: EndSample, to: EndSample) -> Option<f64> {
    let seconds = to.at.since(from.at).as_secs_f64();
    (seconds > 0.0).then(|| to.end.saturating_sub(from.end) as f64 / seconds)
}

fn with_slack(window: Duration) -> Duration {
    window * WINDOW_SLACK_PERCENT / 100
}

#[cfg(test)]
mod tests;
