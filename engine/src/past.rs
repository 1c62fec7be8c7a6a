//! What came in before, as far as a calendar needs it: when the rate rose faster than replicas start, how
//! high, and which minutes were watched at all.
//!
//! The intuition: of weeks of minutes only the surges matter, because a load that rises over minutes is
//! followed without a calendar. So a surge is kept with its minute, its height and how long it lasted, and
//! beside them which minutes were judged: a minute that nobody saw is a gap, neither quiet nor a surge.
//! Minutes are local ones, since days are; the caller says how far its clocks are from UTC.
//!
//! At most [`MOST_SURGES`] surges and [`MOST_SPANS`] spans of watched minutes: 26 KB in memory, 69 KB of
//! JSON. Where there are more, what is oldest is forgotten, together with the knowledge that it was
//! watched.
//!
//! What this does not do: say what comes again (`past::kinds`) or what becomes of that (`past::foreseen`).

mod foreseen;
mod kinds;

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

pub use foreseen::{Expected, Foresight};
pub(crate) use foreseen::{Foreseen, Recurring};
#[cfg(test)]
use kinds::Kind;

/// Minutes since 1970-01-01 00:00 by local clocks.
pub(crate) type Minute = u32;

/// Minutes of a day.
pub(crate) const DAY: Minute = 1_440;

/// Surges that are remembered: 73 on each of 28 days, or one a day for five years.
pub(crate) const MOST_SURGES: usize = 2_048;

/// Spans of watched minutes that are remembered; each gap in between is an outage or a restart.
const MOST_SPANS: usize = 128;

/// How far back: half a year, for what comes once a month.
pub(crate) const LONGEST: Minute = 190 * DAY;

/// A surge is 1.3 times the most of the minutes before it. Replicas have a headroom of a quarter.
const RISE: f64 = 1.3;

/// The minutes before it that it is compared with; within as many it is one surge.
const BEFORE: usize = 5;

/// For how many minutes a surge is followed at most: how long it lasted is known up to here.
const FOLLOWED: usize = 10;

/// The minutes within which its height is taken.
const HEIGHT: usize = 5;

/// Rates are taken over so long, and the highest of a minute counts: bursts are shorter than minutes.
const SPAN: Duration = Duration::from_secs(20);

/// What was not looked at for longer is a gap.
const LONGEST_SPAN: Duration = Duration::from_secs(120);

/// A rise that chance makes less than once in a month of minutes.
const DEVIATIONS: f64 = 5.0;

/// Bytes of JSON that a surge and a span take at most.
const SURGE_BYTES: usize = 32;
const SPAN_BYTES: usize = 24;

/// No minute is later; with days added to it, it still fits.
const LATEST: Minute = 1 << 31;

/// No rate is higher, records per second.
const HIGHEST: f64 = 1e12;

/// What came in before. Opaque.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Past {
    /// Spans of minutes that were judged: from the first to before the second; ascending, apart.
    watched: Vec<(Minute, Minute)>,
    /// Ascending.
    surges: Vec<Surge>,
    /// The last minutes, one after the other.
    recent: VecDeque<(Minute, f64)>,
}

/// One surge: when it began, the highest rate of its first minutes (records per second), and for how many
/// minutes it stayed above half of that, as far as it was followed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Surge(pub Minute, pub f32, pub u8);

/// What is seen of the present minute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// Since when `records` have come.
    since: Option<Timestamp>,
    records: u64,
    minute: Minute,
    highest: Option<f64>,
}

// === impl Past ===

impl Past {
    /// What these rates tell: local minutes since 1970-01-01 00:00, ascending, and the records per second
    /// in each. A minute that is missing is a gap. What makes no sense is left out.
    pub fn of(minutes: impl IntoIterator<Item = (u32, f64)>) -> Self {
        let mut past = Self::default();
        for (minute, rate) in minutes {
            past.note(minute, rate);
        }
        past.recent.clear();
        past
    }

    /// The minute of a moment as [`of`](Self::of) takes it, by clocks that are so far ahead of UTC.
    pub fn minute(at: Timestamp, offset_minutes: i32) -> u32 {
        local(at, offset_minutes)
    }

    /// Adds what `other` knows of minutes that this one did not watch itself.
    pub fn add(&mut self, other: &Self) {
        let own = std::mem::take(&mut self.surges);
        let news = other.sound().surges;
        let news = news
            .iter()
            .filter(|surge| !self.has_watched(surge.0, surge.0));
        let mut all: Vec<Surge> = own.iter().chain(news).copied().collect();
        all.sort_by_key(|surge| surge.0);
        self.surges = all;
        let mut spans = std::mem::take(&mut self.watched);
        spans.extend(other.sound().watched);
        spans.sort_unstable();
        for (from, to) in spans {
            self.watch(from, to);
        }
        self.forget();
    }

    /// Of the local minutes from `from` to before `to`, how many were watched.
    pub fn watched_minutes(&self, from: u32, to: u32) -> u32 {
        let spans = self.watched.iter();
        let minutes = spans.map(|span| span.1.min(to).saturating_sub(span.0.max(from)));
        minutes.fold(0, u32::saturating_add)
    }

    /// How many surges it knows.
    pub fn surges(&self) -> usize {
        self.surges.len()
    }

    /// The newest of it, as much as fits into so many bytes of JSON.
    #[must_use]
    pub fn within(&self, bytes: usize) -> Self {
        let mut past = self.sound();
        let room = bytes.saturating_sub(past.watched.len().saturating_mul(SPAN_BYTES));
        past.forget_all_but((room / SURGE_BYTES).min(MOST_SURGES));
        past
    }

    /// Whether it makes sense: it may have been edited.
    pub fn is_sound(&self) -> bool {
        let apart = |pair: &[(Minute, Minute)]| matches!(pair, [one, other] if one.1 <= other.0);
        let rising = |pair: &[Surge]| matches!(pair, [one, other] if one.0 < other.0);
        (self.watched.iter()).all(|(from, to)| from < to && *to <= LATEST)
            && self.watched.windows(2).all(apart)
            && self.surges.windows(2).all(rising)
            && (self.surges.iter()).all(|surge| surge.1 > 0.0 && f64::from(surge.1) <= HIGHEST)
    }

    /// The same without the last minutes that are not judged yet; nothing where it makes no sense.
    pub(crate) fn sound(&self) -> Self {
        let mut past = Self::default();
        if self.is_sound() {
            past.watched.clone_from(&self.watched);
            past.surges.clone_from(&self.surges);
            past.forget();
        }
        past
    }

    /// Notes the rate of one minute; nothing where it is not later than the last.
    fn note(&mut self, minute: Minute, rate: f64) {
        let last = self.recent.back().map(|last| last.0);
        if last.is_some_and(|last| minute <= last) || minute >= LATEST {
            return;
        }
        let is_rate = (0.0..=HIGHEST).contains(&rate);
        if !is_rate || last.is_some_and(|last| minute > last + 1) {
            self.recent.clear();
        }
        if is_rate {
            self.recent.push_back((minute, rate));
        }
        if self.recent.len() > BEFORE + FOLLOWED {
            self.recent.pop_front();
        }
        if self.recent.len() == BEFORE + FOLLOWED {
            self.judge();
        }
    }

    /// Judges the minute that now has enough minutes around it.
    fn judge(&mut self) {
        let Some(&(minute, rate)) = self.recent.get(BEFORE) else {
            return;
        };
        if self.has_watched(minute, minute) {
            return;
        }
        self.watch(minute, minute + 1);
        let rates = || self.recent.iter().map(|(_, rate)| *rate);
        let before = rates().take(BEFORE).fold(0.0, f64::max);
        let scatter = (rate * SPAN.as_secs_f64()).sqrt() / SPAN.as_secs_f64();
        let is_surge = rate > before * RISE && rate - before > DEVIATIONS * scatter;
        let last = self.surges.partition_point(|surge| surge.0 < minute);
        let last = last.checked_sub(1).and_then(|last| self.surges.get(last));
        let is_new = last.is_none_or(|last| last.0 + BEFORE as Minute <= minute);
        if is_surge && is_new {
            let height = rates().skip(BEFORE).take(HEIGHT).fold(0.0, f64::max);
            let is_high = |rate: &f64| *rate > height / 2.0;
            let rises = rates()
                .skip(BEFORE)
                .take_while(|rate| !is_high(rate))
                .count();
            let lasts = rates().skip(BEFORE + rises).take_while(is_high).count();
            let lasted = u8::try_from(rises + lasts).unwrap_or(u8::MAX);
            let place = self.surges.partition_point(|surge| surge.0 < minute);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "7 digits are plenty, and no rate is out of range"
            )]
            self.surges
                .insert(place, Surge(minute, height as f32, lasted));
        }
        self.forget();
    }

    /// Notes that these minutes were watched, from the first to before the second.
    fn watch(&mut self, from: Minute, to: Minute) {
        let place = self.watched.partition_point(|span| span.1 < from);
        let mut joined = (from, to);
        let mut end = place;
        while let Some(span) = self.watched.get(end)
            && span.0 <= joined.1
        {
            joined = (joined.0.min(span.0), joined.1.max(span.1));
            end += 1;
        }
        self.watched.splice(place..end, [joined]);
    }

    /// Whether all minutes from one to the other were watched.
    fn has_watched(&self, from: Minute, to: Minute) -> bool {
        let place = self.watched.partition_point(|span| span.1 <= from);
        let span = self.watched.get(place);
        span.is_some_and(|span| span.0 <= from && to < span.1)
    }

    /// The highest surge that began between two minutes, both included.
    fn surge(&self, from: Minute, to: Minute) -> Option<Surge> {
        let place = self.surges.partition_point(|surge| surge.0 < from);
        let found = self.surges.iter().skip(place);
        let found = found.take_while(|surge| surge.0 <= to);
        found
            .copied()
            .max_by(|one, other| one.1.total_cmp(&other.1))
    }

    /// Forgets what is too old, or too much.
    fn forget(&mut self) {
        self.forget_all_but(MOST_SURGES);
    }

    fn forget_all_but(&mut self, most_surges: usize) {
        let newest = self.watched.last().map_or(0, |span| span.1);
        let mut from = newest.saturating_sub(LONGEST);
        if let Some(too_many) = self.surges.len().checked_sub(most_surges + 1) {
            from = from.max(self.surges.get(too_many).map_or(0, |surge| surge.0 + 1));
        }
        if let Some(too_many) = self.watched.len().checked_sub(MOST_SPANS) {
            from = from.max(self.watched.get(too_many).map_or(0, |span| span.0));
        }
        let oldest = self.surges.first().map(|surge| surge.0);
        let oldest = oldest
            .into_iter()
            .chain(self.watched.first().map(|span| span.0));
        if oldest.min().is_none_or(|oldest| oldest >= from) {
            return;
        }
        self.surges.retain(|surge| surge.0 >= from);
        self.watched.retain(|span| span.1 > from);
        if let Some(span) = self.watched.first_mut() {
            span.0 = span.0.max(from);
        }
    }
}

// === impl Watch ===

impl Watch {
    /// Takes in that `records` came since the last time, all logs read or not, and tells `past` of the
    /// minutes that are over. Local clocks are `offset_minutes` ahead of UTC.
    pub fn take_in(
        &mut self,
        past: &mut Past,
        (records, is_whole): (u64, bool),
        offset_minutes: i32,
        at: Timestamp,
    ) {
        let Some(since) = self.since else {
            self.since = is_whole.then_some(at);
            return;
        };
        self.records = self.records.saturating_add(records);
        let elapsed = at.since(since);
        if !is_whole || elapsed < SPAN {
            return;
        }
        let rate = self.records as f64 / elapsed.as_secs_f64();
        self.since = Some(at);
        self.records = 0;
        let (from, to) = (local(since, offset_minutes), local(at, offset_minutes));
        if elapsed > LONGEST_SPAN {
            self.highest = None;
            self.minute = to;
            return;
        }
        // Of a span that began in an earlier minute, the later ones tell.
        for minute in (from + 1).min(to)..=to {
            if minute > self.minute {
                if let Some(highest) = self.highest.take() {
                    past.note(self.minute, highest);
                }
                self.minute = minute;
            }
            self.highest = Some(self.highest.map_or(rate, |highest| highest.max(rate)));
        }
    }
}

/// The local minute of a moment.
pub(crate) fn local(at: Timestamp, offset_minutes: i32) -> Minute {
    let minutes = i64::try_from(at.as_millis() / 60_000).unwrap_or(i64::MAX);
    let minutes = minutes.saturating_add(i64::from(offset_minutes));
    let minute = Minute::try_from(minutes.max(0)).unwrap_or(LATEST);
    minute.min(LATEST)
}

/// The moment at which a local minute begins.
pub(crate) fn moment(minute: Minute, offset_minutes: i32) -> Timestamp {
    let minutes = i64::from(minute).saturating_sub(i64::from(offset_minutes));
    Timestamp::from_secs(
        u64::try_from(minutes.max(0))
            .unwrap_or(0)
            .saturating_mul(60),
    )
}

#[cfg(test)]
mod tests;
