//! Events that people know ahead (`calendarEvents`): when each of them comes next.
//!
//! Time zones and daylight saving end here: the engine gets moments. A cron expression is read as what
//! clocks on the wall show. In the hour that they show twice an event begins with the first and ends with
//! the second; in the hour that they do not show it begins when they have jumped, and ends as much later
//! as they have. So a floor stands whichever of the two the load keeps to.
//!
//! An event that goes on while its cron begins it again is one event. How it is written is `read`'s; what
//! it is worth in replicas and how long before it they are asked for is the engine's.

mod read;
mod zone;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use croner::Cron;
use evenkeel_engine::{Event, EventLoad, Timestamp};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

pub use read::KEYS;
pub use zone::LocalTime;

/// How far ahead occurrences are listed for people.
pub const LISTED: Duration = Duration::from_secs(86_400);

/// Occurrences of one event that are listed at most.
const MOST_LISTED: usize = 24;

/// Occurrences are looked for again after this time, because new ones come within [`LISTED`].
const LOOKED_FOR_EVERY: Duration = Duration::from_secs(600);

/// No clock is put forward or back by more.
const LONGEST_SHIFT: Duration = Duration::from_secs(3 * 3_600);

/// Steps of a search in the neighbourhood of a shift: every minute of what clocks are shifted by, twice.
const MOST_STEPS: usize = 1_000;

/// The events of one trigger. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Calendar(Arc<[Planned]>);

/// One event as it is written.
#[derive(Debug)]
struct Planned {
    start: Cron,
    end: End,
    zone: TimeZone,
    /// The time zone's name, as the database has it.
    zone_name: String,
    load: EventLoad,
}

/// When it is over.
#[derive(Debug)]
enum End {
    /// When clocks next show this.
    At(Box<Cron>),
    /// So long after it began.
    After(Duration),
}

/// One occurrence of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Occurrence {
    /// Which event of the calendar, from 0.
    pub nth: usize,
    /// When, and how much.
    pub event: Event,
}

/// What comes next, worked out anew only when some of it is over.
#[derive(Debug)]
pub struct Upcoming {
    calendar: Calendar,
    known: Arc<[Occurrence]>,
    /// Until when that is all.
    until: Timestamp,
}

// === impl Calendar ===

impl Calendar {
    /// The events that `text` describes.
    ///
    /// # Errors
    /// Everything that is wrong with it, a sentence each.
    pub fn read(text: &str) -> Result<Self, Vec<String>> {
        read::events(text).map(|events| Self(events.into()))
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of each event the occurrence that goes on at `now`, or else the next one; and what follows it
    /// `within` that time, at most [`MOST_LISTED`] of each. In the order of the events, then of time.
    pub fn occurrences(&self, now: Timestamp, within: Duration) -> Vec<Occurrence> {
        let latest = now.plus(within);
        let mut all = Vec::new();
        for (nth, planned) in self.0.iter().enumerate() {
            let mut from = now;
            for listed in 0..MOST_LISTED {
                let Some(event) = planned.unfinished(from) else {
                    break;
                };
                if listed > 0 && event.starts_at > latest {
                    break;
                }
                // One that begins again while it goes on, goes on.
                if listed == 0 || event.starts_at >= from {
                    all.push(Occurrence { nth, event });
                }
                from = event.ends_at;
            }
        }
        all
    }

    /// The name of the time zone of an event.
    pub fn zone_name(&self, nth: usize) -> &str {
        self.0.get(nth).map_or("", |planned| &planned.zone_name)
    }

    /// An occurrence in words: how much, from when to when, by the clocks of its time zone.
    pub fn words(&self, occurrence: Occurrence) -> String {
        let event = occurrence.event;
        let planned = self.0.get(occurrence.nth);
        let when = planned.and_then(|planned| {
            let times = times(&planned.zone, (event.starts_at, event.ends_at))?;
            Some(format!("{times}, {}", planned.zone_name))
        });
        when.map_or_else(String::new, |when| format!("{} {when}", Load(event.load)))
    }
}

/// From when to when, by the clocks of a time zone.
fn times(zone: &TimeZone, (from, to): (Timestamp, Timestamp)) -> Option<String> {
    let local = |at| moment(at).map(|at| zone.to_datetime(at));
    let (from, to) = (local(from)?, local(to)?);
    let begins = from.strftime("%a %Y-%m-%d %H:%M");
    let ends = if from.date() == to.date() {
        to.strftime("%H:%M")
    } else {
        to.strftime("%a %Y-%m-%d %H:%M")
    };
    Some(format!("from {begins} to {ends}"))
}

/// How much an event is, in words.
struct Load(EventLoad);

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            EventLoad::Replicas(1) => f.write_str("1 replica"),
            EventLoad::Replicas(replicas) => write!(f, "{replicas} replicas"),
            EventLoad::RecordsPerSecond(rate) => write!(f, "{rate} records/s"),
        }
    }
}

// === impl Planned ===

impl Planned {
    /// The occurrence that is the first to end after `now`. None only where time itself ends.
    fn unfinished(&self, now: Timestamp) -> Option<Event> {
        let now = moment(now)?;
        let (starts, ends) = match &self.end {
            End::After(long) => self.lasting(*long, now)?,
            End::At(end) => self.until(end, now)?,
        };
        Some(Event {
            starts_at: timestamp(starts)?,
            ends_at: timestamp(ends)?,
            load: self.load,
            learned: false,
        })
    }

    /// The first that ends after `now`, where each is so `long`.
    fn lasting(
        &self,
        long: Duration,
        now: jiff::Timestamp,
    ) -> Option<(jiff::Timestamp, jiff::Timestamp)> {
        let long = jiff::SignedDuration::try_from(long).ok()?;
        let from = self.before(now.checked_sub(long).ok()?)?;
        let start = find(&self.start, from, |start| {
            let ends = self.second(start)?.checked_add(long).ok()?;
            Some(ends > now)
        })?;
        let ends = self.second(start)?.checked_add(long).ok()?;
        Some((self.first(start)?, ends))
    }

    /// The first that ends after `now`, where each ends when clocks show `end`.
    fn until(
        &self,
        end: &Cron,
        now: jiff::Timestamp,
    ) -> Option<(jiff::Timestamp, jiff::Timestamp)> {
        // What began before the last end is over with it.
        let over = self.last(end, now)?;
        let start = find(&self.start, self.before(over)?, |start| {
            Some(self.first(start)? >= over)
        })?;
        let starts = self.first(start)?;
        let end = find(end, start, |end| Some(self.second(end)? > starts))?;
        Some((starts, self.second(end)?))
    }

    /// When `end` last came true, up to `now`. Where clocks are put forward a later one may be over earlier, so
    /// all are looked at that a shift can have moved.
    fn last(&self, end: &Cron, now: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let local = self.zone.to_datetime(now);
        let margin = self.margin(now)?;
        let moment = jiff::SignedDuration::from_secs(1);
        let mut shown = local.checked_add(margin.saturating_add(moment)).ok()?;
        let before_shifts = local.checked_sub(margin).ok()?;
        let mut last: Option<jiff::Timestamp> = None;
        for _ in 0..MOST_STEPS {
            shown = end.find_previous_occurrence(&shown, false).ok()?;
            let at = self.second(shown)?;
            if at <= now {
                last = last.max(Some(at));
                if shown <= before_shifts {
                    break;
                }
            }
        }
        last
    }

    /// What clocks show well before `at`, so that no shift hides anything.
    fn before(&self, at: jiff::Timestamp) -> Option<DateTime> {
        let local = self.zone.to_datetime(at);
        local.checked_sub(self.margin(at)?).ok()
    }

    /// How far what clocks show around `at` may be moved by a shift; nothing where none is near.
    fn margin(&self, at: jiff::Timestamp) -> Option<jiff::SignedDuration> {
        let longest = jiff::SignedDuration::try_from(LONGEST_SHIFT).ok()?;
        let (from, to) = (at.checked_sub(longest).ok()?, at.checked_add(longest).ok()?);
        let shift = self.zone.following(from).next();
        let is_near = shift.is_some_and(|shift| shift.timestamp() <= to);
        Some(if is_near {
            longest
        } else {
            jiff::SignedDuration::ZERO
        })
    }

    /// When clocks show this first; when they have jumped where they never do.
    fn first(&self, shown: DateTime) -> Option<jiff::Timestamp> {
        let at = self.zone.to_ambiguous_timestamp(shown);
        let is_gap = matches!(at.offset(), AmbiguousOffset::Gap { .. });
        let earlier = at.earlier().ok()?;
        if is_gap {
            let jump = self.zone.following(earlier).next()?;
            return Some(jump.timestamp());
        }
        Some(earlier)
    }

    /// When clocks show this last; as long after they have jumped where they never do.
    fn second(&self, shown: DateTime) -> Option<jiff::Timestamp> {
        self.zone.to_ambiguous_timestamp(shown).later().ok()
    }
}

/// The first time from `from` on that `cron` matches and `fits`.
fn find(cron: &Cron, from: DateTime, fits: impl Fn(DateTime) -> Option<bool>) -> Option<DateTime> {
    let mut shown = cron.find_next_occurrence(&from, true).ok()?;
    for _ in 0..MOST_STEPS {
        if fits(shown)? {
            return Some(shown);
        }
        shown = cron.find_next_occurrence(&shown, false).ok()?;
    }
    None
}

fn moment(at: Timestamp) -> Option<jiff::Timestamp> {
    let milliseconds = i64::try_from(at.as_millis()).ok()?;
    jiff::Timestamp::from_millisecond(milliseconds).ok()
}

fn timestamp(at: jiff::Timestamp) -> Option<Timestamp> {
    let milliseconds = u64::try_from(at.as_millisecond()).ok()?;
    Some(Timestamp::from_millis(milliseconds))
}

// === impl Upcoming ===

impl Upcoming {
    /// Nothing is looked for yet.
    pub fn new(calendar: Calendar) -> Self {
        Self {
            calendar,
            known: Arc::from([]),
            until: Timestamp::default(),
        }
    }

    /// What comes next, seen from `now`.
    pub fn at(&mut self, now: Timestamp) -> &Arc<[Occurrence]> {
        if !self.calendar.is_empty() && now >= self.until {
            self.known = self.calendar.occurrences(now, LISTED).into();
            let ends = self.known.iter().map(|one| one.event.ends_at);
            let soon = now.plus(LOOKED_FOR_EVERY);
            self.until = ends.min().map_or(soon, |ends| ends.min(soon));
        }
        &self.known
    }
}

/// Of each event its first occurrence, which is what the engine looks at.
pub fn first_of_each(occurrences: &[Occurrence]) -> Vec<Event> {
    let is_first = |place: usize| {
        let before = place
            .checked_sub(1)
            .and_then(|place| occurrences.get(place));
        let this = occurrences.get(place).map(|one| one.nth);
        before.map(|one| one.nth) != this
    };
    let firsts = occurrences.iter().enumerate();
    let firsts = firsts.filter(|(place, _)| is_first(*place));
    firsts.map(|(_, one)| one.event).collect()
}

#[cfg(test)]
mod tests;
