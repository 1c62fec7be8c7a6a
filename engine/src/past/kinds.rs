//! Kinds of days, and what comes again on the days of a kind at the same time of day.
//!
//! The intuition: a surge comes again when it came at about the same minute on the last days that are
//! like today, and the load shows itself what is alike: every day, working days, weekends, one weekday, the
//! first or the last working day of a month. A kind earns its right by how often it was right, newer days
//! counting for more; one day without the surge (a holiday) does not end it, two in a row do. Where a
//! narrower kind has seen two days since the surge first came and none of them had it, it does not come
//! today, whatever the wider one says.
//!
//! A narrow kind is over where it has ended on the other days that had it a week before.
//!
//! Where clocks are put forward or back and the load goes with them, the two newest days are an hour away
//! from those before, and these then count as if they were an hour away.
//!
//! What this does not do: know a calendar of holidays, or the time zone.

use serde::{Deserialize, Serialize};

use super::{DAY, LONGEST, Minute, Past, Surge};

/// About the same time: so many minutes before or after.
pub(super) const ABOUT: Minute = 2;

/// Days of a kind that are looked at.
const DAYS: usize = 10;

/// What a day counts beside the next newer one.
const FADING: f64 = 0.85;

/// The share of days that must have had it.
const RIGHT: f64 = 0.66;

/// By how much clocks are put forward or back.
const CLOCK_CHANGES: [i64; 2] = [60, -60];

/// A kind of days, from the widest to the narrowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// All days.
    Any,
    /// Monday to Friday.
    Working,
    /// Saturday and Sunday.
    Weekend,
    /// The same day of the week.
    Weekday,
    /// The first day of a month that is from Monday to Friday.
    MonthsFirst,
    /// The last one.
    MonthsLast,
}

/// A surge that came again and again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    pub kind: Kind,
    /// Days that had it, and days of the kind that were watched.
    pub came: u32,
    pub of: u32,
    /// When it began at the earliest and at the latest, and was over, as minutes of today.
    pub earliest: Minute,
    pub latest: Minute,
    pub until: Minute,
    /// Records per second: the smallest and the largest of those days.
    pub height: f64,
}

/// One day that is like today, newest first.
#[derive(Clone, Copy)]
struct Like {
    /// How many days ago.
    back: Minute,
    /// What came then, and at which minute of today that would be.
    came: Option<(Surge, Minute)>,
}

// === impl Kind ===

impl Kind {
    const ALL: [Self; 6] = [
        Self::Any,
        Self::Working,
        Self::Weekend,
        Self::Weekday,
        Self::MonthsFirst,
        Self::MonthsLast,
    ];

    /// Days that must have had it: there are more chances to agree by chance where there are more days.
    const fn least(self) -> usize {
        match self {
            Self::Any | Self::Working => 3,
            Self::Weekend | Self::Weekday | Self::MonthsFirst | Self::MonthsLast => 2,
        }
    }

    /// In words, as more than one.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Any => "days",
            Self::Working => "working days",
            Self::Weekend => "days of a weekend",
            Self::Weekday => "days of this name",
            Self::MonthsFirst => "first working days of a month",
            Self::MonthsLast => "last working days of a month",
        }
    }

    /// Whether a day is like another. Days are counted from 1970-01-01.
    fn alike(self, day: Minute, other: Minute) -> bool {
        match self {
            Self::Any => true,
            Self::Working => is_working(day) && is_working(other),
            Self::Weekend => !is_working(day) && !is_working(other),
            Self::Weekday => weekday(day) == weekday(other),
            Self::MonthsFirst => is_first(day) && is_first(other),
            Self::MonthsLast => is_last(day) && is_last(other),
        }
    }
}

// === impl Past ===

impl Past {
    /// What comes at about this minute by what is known of earlier days.
    pub(super) fn recurs(&self, at: Minute) -> Option<Pattern> {
        Kind::ALL.into_iter().find_map(|kind| {
            let days = self.days_like(kind, at, |_| 0);
            let pattern = self.pattern(kind, at, &days)?;
            let first = days.iter().filter(|day| day.came.is_some());
            let first = first.map(|day| day.back).max().unwrap_or(0);
            let narrower = Kind::ALL
                .into_iter()
                .skip_while(|other| *other != kind)
                .skip(1);
            let is_not_today = narrower.into_iter().any(|narrower| {
                let days = self.days_like(narrower, at, |_| 0);
                let mut since = days.iter().filter(|day| day.back <= first);
                since.clone().count() >= 2 && since.all(|day| day.came.is_none())
            });
            let is_over = kind.least() == 2 && self.lost(at) >= 2;
            (!is_not_today && !is_over).then_some(pattern)
        })
    }

    /// On how many of the last six days it did not come, and did a week before: days of a narrow kind are
    /// so far apart that they do not tell when something has ended.
    fn lost(&self, at: Minute) -> usize {
        let came = |back: Minute| {
            let there = at.saturating_sub(back * DAY);
            let (from, to) = (there.saturating_sub(ABOUT), there.saturating_add(ABOUT));
            let is_known = self.has_watched(from, to);
            is_known.then(|| self.surge(from, to).is_some())
        };
        let days = (1..7).filter(|back| came(*back) == Some(false));
        days.filter(|back| came(back + 7) == Some(true)).count()
    }

    /// The pattern that these days make, or would if clocks had been changed before the last two.
    fn pattern(&self, kind: Kind, at: Minute, days: &[Like]) -> Option<Pattern> {
        let newest = days.iter().take(2);
        if newest.clone().all(|day| day.came.is_none()) {
            return None;
        }
        Pattern::of(kind, days).or_else(|| {
            let both = newest.len() == 2 && newest.clone().all(|day| day.came.is_some());
            let newest = newest.map(|day| day.back).max().unwrap_or(0);
            let mut changes = CLOCK_CHANGES.into_iter().filter(|_| both);
            changes.find_map(|change| {
                let shift = |back| if back > newest { change } else { 0 };
                Pattern::of(kind, &self.days_like(kind, at, shift))
            })
        })
    }

    /// The days like the one of this minute that were watched around it, newest first.
    fn days_like(&self, kind: Kind, at: Minute, shift: impl Fn(Minute) -> i64) -> Vec<Like> {
        let today = at / DAY;
        if !kind.alike(today, today) {
            return Vec::new();
        }
        let oldest = self.watched.first().map_or(at, |span| span.0);
        let back = at.saturating_sub(oldest).min(LONGEST) / DAY;
        let days = (1..=back).filter(|back| kind.alike(today, today.saturating_sub(*back)));
        let days = days.filter_map(|back| {
            let away = i64::from(back * DAY) - shift(back);
            let there = Minute::try_from(i64::from(at) - away).ok()?;
            let (from, to) = (there.saturating_sub(ABOUT), there.saturating_add(ABOUT));
            let is_known = self.has_watched(from, to);
            let came = self.surge(from, to);
            let came = came.map(|surge| (surge, at + surge.0 - there));
            is_known.then_some(Like { back, came })
        });
        days.take(DAYS).collect()
    }
}

// === impl Pattern ===

impl Pattern {
    fn of(kind: Kind, days: &[Like]) -> Option<Self> {
        let (mut right, mut all, mut weight) = (0.0, 0.0, 1.0);
        for day in days {
            all += weight;
            right += if day.came.is_some() { weight } else { 0.0 };
            weight *= FADING;
        }
        let came = || days.iter().filter_map(|day| day.came);
        if came().count() < kind.least() || right < all * RIGHT {
            return None;
        }
        let lasted = came().map(|(surge, _)| Minute::from(surge.2)).max()?;
        let height = came().map(|(surge, _)| surge.1);
        let latest = came().map(|(_, at)| at).max()?;
        Some(Self {
            kind,
            came: u32::try_from(came().count()).ok()?,
            of: u32::try_from(days.len()).ok()?,
            earliest: came().map(|(_, at)| at).min()?,
            latest,
            until: latest.saturating_add(lasted),
            height: f64::from(height.min_by(f32::total_cmp)?),
        })
    }
}

/// 0 for Monday. 1970-01-01 was a Thursday.
const fn weekday(day: Minute) -> Minute {
    (day + 3) % 7
}

const fn is_working(day: Minute) -> bool {
    weekday(day) < 5
}

fn is_first(day: Minute) -> bool {
    let earlier = (1..=day.min(3)).map(|back| day - back);
    let mut earlier = earlier.filter(|day| is_working(*day));
    is_working(day) && earlier.next().is_none_or(|last| month(last) != month(day))
}

fn is_last(day: Minute) -> bool {
    let mut later = (day + 1..=day + 3).filter(|day| is_working(*day));
    is_working(day) && later.next().is_none_or(|next| month(next) != month(day))
}

/// The month of a day, 1 to 12, by the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms": years begin with March, so that a leap day is the last).
const fn month(day: Minute) -> Minute {
    let day_of_era = (day + 719_468) % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    if month < 10 { month + 3 } else { month - 9 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_what_the_gregorian_calendar_says() {
        // 2018-06-13 was a Wednesday, 2026-11-30 a Monday and the last working day of its month.
        let check = |day, weekday_is, month_is, first, last| {
            assert_eq!(weekday(day), weekday_is, "{day}");
            assert_eq!(month(day), month_is, "{day}");
            assert_eq!((is_first(day), is_last(day)), (first, last), "{day}");
        };
        check(0, 3, 1, true, false);
        check(17_695, 2, 6, false, false);
        check(20_787, 0, 11, false, true);
        check(20_788, 1, 12, true, false);
        // Friday 2026-07-31, Saturday 2026-08-01, Monday 2026-08-03; 2024-02-29, a Thursday.
        check(20_665, 4, 7, false, true);
        check(20_666, 5, 8, false, false);
        check(20_668, 0, 8, true, false);
        check(19_782, 3, 2, false, true);
    }
}
