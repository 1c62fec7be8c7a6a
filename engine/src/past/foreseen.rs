//! Which surges are expected within the next day, and which of them came.
//!
//! Each minute of the next 23 hours is judged once, by what is known of the days before: so an expectation
//! does not change while replicas are kept for it. It ends when the surge has usually fallen to half, ten
//! minutes after it should have come at the latest. Where nothing of what was expected today has come,
//! the rest of the day is not expected either, until one comes after all: a holiday. What came and what
//! did not is counted, and how long replicas were kept for the latter; what nobody could see is neither.
//!
//! What this does not do: size, or say how long before it replicas are asked for (`calendar`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kinds::Kind;
use super::{DAY, Minute, Past, local, moment};
use crate::observation::{Event, EventLoad};
use crate::time::Timestamp;

/// How far ahead: what came a day before the last of these minutes has been judged by now.
const AHEAD: Minute = DAY - 60;

/// What began so long ago may still go on.
const BEHIND: Minute = 15;

/// A surge of half the height has come.
const CAME: f64 = 0.5;

/// A surge may come so much earlier than on any day before, in minutes.
const EARLY: Minute = 2;

/// Replicas that were asked for longer ago than this are not taken for asked for since then.
const LONGEST_TURN: Duration = Duration::from_secs(60);

/// The surges that are expected within the next day, and how often that was right since the target is
/// watched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Foresight {
    /// In the order of time.
    pub expected: Vec<Expected>,
    /// How many surges were expected and came.
    pub hits: u64,
    /// How many were expected and did not come.
    pub misses: u64,
    /// What was asked for because of those that did not come, above what the load needed: replicas times
    /// seconds.
    pub missed_replica_seconds: f64,
}

/// A surge that is expected, because it came on earlier days.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// When it begins at the earliest.
    pub starts_at: Timestamp,
    /// When it is over at the latest.
    pub ends_at: Timestamp,
    /// Records per second.
    pub records_per_second: f64,
    /// Replicas that it takes; none while that is not known.
    pub replicas: Option<u32>,
    /// On so many days it came.
    pub came: u32,
    /// Of so many days of their kind.
    pub of: u32,
    /// Which kind of days, in words.
    pub days: &'static str,
}

/// The surges of the next day, and how the last ones went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Foreseen {
    /// In the order of time.
    expected: Vec<Recurring>,
    /// How far local clocks were ahead of UTC when they were last looked at.
    offset_minutes: i32,
    /// The first minute that was not judged yet.
    until: Minute,
    /// The day of which `came` and `missed` tell.
    day: Minute,
    came: u32,
    missed: u32,
    /// The last that did not come, and when that was known.
    absent: Option<(Recurring, Timestamp)>,
    hits: u64,
    misses: u64,
    missed_replica_seconds: f64,
    /// When it was last worked out what one of them takes.
    sized: Minute,
    /// When more was last asked for because of one.
    spent_at: Option<Timestamp>,
}

/// A surge that is expected. Minutes are local ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recurring {
    pub kind: Kind,
    /// On so many of so many days of its kind it came.
    pub came: u32,
    pub of: u32,
    pub from: Minute,
    /// When it should have begun at the latest.
    latest: Minute,
    until: Minute,
    /// Records per second.
    pub height: f64,
    /// It has been seen.
    seen: bool,
    /// It would have been seen: the rate was known meanwhile.
    #[serde(default)]
    watched: bool,
    /// Replicas that it takes, as far as that was worked out.
    #[serde(default)]
    replicas: Option<u32>,
    /// What was asked for because of it above what the load needed, replicas times seconds.
    #[serde(default)]
    spent: f64,
}

// === impl Foreseen ===

impl Foreseen {
    /// Goes on to `now`, when so many records per second come in: judges the minutes that have come into
    /// sight, and what is over.
    pub fn follow(&mut self, past: &Past, rate: Option<f64>, offset_minutes: i32, now: Timestamp) {
        self.offset_minutes = offset_minutes;
        let minute = local(now, offset_minutes);
        let ahead = minute.saturating_add(AHEAD);
        if minute / DAY != self.day {
            (self.day, self.came, self.missed) = (minute / DAY, 0, 0);
        }
        for expected in &mut self.expected {
            let is_time = (expected.from.saturating_sub(EARLY)..=expected.until).contains(&minute);
            expected.seen |= is_time && rate.is_some_and(|rate| rate >= expected.height * CAME);
            expected.watched |= is_time && rate.is_some();
        }
        let is_over = |next: &&Recurring| next.until <= minute;
        for over in self.expected.iter().filter(is_over) {
            if over.seen {
                self.came += 1;
                self.hits += 1;
                self.absent = None;
            } else if over.watched {
                self.missed += 1;
                self.misses += 1;
                self.missed_replica_seconds += over.spent;
                self.absent = Some((*over, now));
            }
        }
        self.look_ahead(past, minute.saturating_sub(BEHIND), ahead);
        self.expected.retain(|next| next.until > minute);
    }

    /// Judges the minutes up to `ahead` that were not judged yet.
    fn look_ahead(&mut self, past: &Past, behind: Minute, ahead: Minute) {
        if past.surges.is_empty() {
            self.until = ahead;
            return;
        }
        let from = self.until.max(behind).min(ahead);
        self.until = ahead;
        let had_one = past.at_times_of_day(from, ahead);
        for at in (from..ahead)
            .zip(had_one)
            .filter_map(|(at, had)| had.then_some(at))
        {
            let is_new = self.expected.last().is_none_or(|last| last.latest < at);
            if is_new && let Some(pattern) = past.recurs(at) {
                self.expected.push(Recurring {
                    kind: pattern.kind,
                    came: pattern.came,
                    of: pattern.of,
                    from: pattern.earliest,
                    latest: pattern.latest,
                    until: pattern.until,
                    height: pattern.height,
                    seen: false,
                    watched: false,
                    replicas: None,
                    spent: 0.0,
                });
            }
        }
    }

    /// Judges all of the next day anew: more is known of the past.
    pub fn forget(&mut self) {
        self.expected.clear();
        self.until = 0;
    }

    /// The surges that count.
    fn counting(&self) -> impl Iterator<Item = &Recurring> {
        let is_day_off = self.missed > 0 && self.came == 0;
        let expected = self.expected.iter();
        expected.filter(move |next| next.seen || !is_day_off || next.from / DAY != self.day)
    }

    fn event(&self, next: &Recurring) -> Event {
        Event {
            starts_at: moment(next.from, self.offset_minutes),
            ends_at: moment(next.until, self.offset_minutes),
            load: EventLoad::RecordsPerSecond(next.height),
            learned: true,
        }
    }

    /// The surges that count, as events.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.counting().map(|next| self.event(next))
    }

    /// The next of which it is to be worked out what it takes: at once where that was never done, and one a
    /// minute anew.
    pub fn to_size(&self, now: Timestamp) -> Option<Event> {
        let mut expected = self.expected.iter();
        let new = expected.find(|next| next.replicas.is_none());
        let minute = local(now, self.offset_minutes);
        let turn = || {
            let length = Minute::try_from(self.expected.len()).ok()?;
            let place = minute.checked_rem(length)?;
            let known = self.expected.get(usize::try_from(place).ok()?);
            known.filter(|_| minute != self.sized)
        };
        new.or_else(turn).map(|next| self.event(next))
    }

    /// Notes how many replicas an event takes that this has given.
    pub fn note_size(&mut self, event: Event, replicas: u32, now: Timestamp) {
        self.sized = local(now, self.offset_minutes);
        let place = self.place(event);
        if let Some(known) = place.and_then(|place| self.expected.get_mut(place)) {
            known.replicas = Some(replicas);
        }
    }

    /// Notes that because of this event so many replicas more are asked for than the load needs.
    pub fn note_spent(&mut self, event: Event, replicas: u32, now: Timestamp) {
        let since = self.spent_at.replace(now).map(|last| now.since(last));
        let seconds = since.filter(|since| *since <= LONGEST_TURN);
        let place = self.place(event);
        if let Some(seconds) = seconds
            && let Some(known) = place.and_then(|place| self.expected.get_mut(place))
        {
            known.spent += f64::from(replicas) * seconds.as_secs_f64();
        }
    }

    fn place(&self, event: Event) -> Option<usize> {
        let mut expected = self.expected.iter();
        let is_it = |next: &Recurring| moment(next.from, self.offset_minutes) == event.starts_at;
        expected.position(|next| event.learned && is_it(next))
    }

    /// What is expected, for people.
    pub fn foresight(&self) -> Foresight {
        let expected = self.counting().map(|next| Expected {
            starts_at: moment(next.from, self.offset_minutes),
            ends_at: moment(next.until, self.offset_minutes),
            records_per_second: next.height,
            replicas: next.replicas,
            came: next.came,
            of: next.of,
            days: next.kind.words(),
        });
        Foresight {
            expected: expected.collect(),
            hits: self.hits,
            misses: self.misses,
            missed_replica_seconds: self.missed_replica_seconds,
        }
    }

    /// What an event was that this has given.
    pub fn of(&self, event: Event) -> Option<&Recurring> {
        self.expected.get(self.place(event)?)
    }

    /// The last surge that did not come, and when that was known.
    pub fn absent(&self) -> Option<(Recurring, Timestamp)> {
        self.absent
    }
}

// === impl Past ===

impl Past {
    /// Of each minute from one to before the other, whether some surge began at that time of the day.
    fn at_times_of_day(&self, from: Minute, to: Minute) -> Vec<bool> {
        let long = to.saturating_sub(from).min(DAY);
        let mut had = vec![false; long as usize];
        for surge in &self.surges {
            let after = (surge.0 % DAY + DAY - from % DAY) % DAY;
            if let Some(had) = had.get_mut(after as usize) {
                *had = true;
            }
        }
        had
    }
}
