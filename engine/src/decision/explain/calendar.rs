//! What is known ahead, in words: when the next event begins, what it takes, and since when that stands.
//!
//! The engine knows no time of day, so it says how long it is until then; pages and the command line add
//! the date. It decides nothing.

use std::fmt;
use std::time::Duration;

use super::{Figure, Speaker};
use crate::calendar::Floor;
use crate::decision::Verdict;
use crate::observation::{Event, EventLoad};
use crate::past::Recurring;

/// Longer than this is said in minutes, and in hours.
const SHORT: Duration = Duration::from_secs(600);
/// Rounded to two hours from here on.
const LONG: Duration = Duration::from_secs(7_170);

/// A span of time as people say it, to the nearest.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if self.0 < SHORT {
            write!(f, "{seconds} s")
        } else if self.0 < LONG {
            write!(f, "{} min", (seconds + 30) / 60)
        } else {
            write!(f, "{} h", (seconds + 1_800) / 3_600)
        }
    }
}

impl fmt::Display for EventLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RecordsPerSecond(rate) => write!(f, "{} records/s", Figure(*rate)),
            Self::Replicas(1) => f.write_str("1 replica"),
            Self::Replicas(replicas) => write!(f, "{replicas} replicas"),
        }
    }
}

impl fmt::Display for Recurring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.kind.words();
        let (came, of) = (self.came, self.of);
        write!(f, "it came at about that time on {came} of {of} {days}")
    }
}

impl Speaker<'_> {
    /// What the stage says.
    pub(super) fn calendar(&self) -> String {
        let outlook = &self.picture.outlook;
        match (self.recommendation.floor, outlook.next) {
            (Some(floor), _) => format!("{}.", capital(&self.stands(floor))),
            (None, Some(next)) => format!(
                "The next {}, of {}, begins in {}: what it takes is asked for {} ahead.",
                name(next),
                next.load,
                Span(next.starts_at.since(self.now)),
                Span(outlook.lead)
            ),
            (None, None) => String::new(),
        }
    }

    /// Why the count is what it is, where the calendar explains it.
    pub(super) fn ahead(&self) -> Option<String> {
        let floor = self.recommendation.floor;
        let floor = floor.filter(|_| self.recommendation.is_ahead)?;
        Some(self.stands(floor))
    }

    pub(super) fn say_ahead(&self, say: &mut impl FnMut(Verdict, String)) {
        if let Some(floor) = self.recommendation.floor
            && (self.recommendation.is_ahead || floor.is_unsized)
        {
            say(Verdict::Ahead, format!("{}.", capital(&self.stands(floor))));
        }
        if let Some((absent, known_at)) = self.state.foreseen.absent()
            && self.now.since(known_at) < SHORT
        {
            say(
                Verdict::NotToday,
                format!(
                    "A surge of {} records/s was expected, because {absent}, and did not come: no \
                     replicas are kept for it.",
                    Figure(absent.height)
                ),
            );
        }
    }

    /// What stands, with its article.
    fn stands(&self, floor: Floor) -> String {
        let event = floor.event;
        let when = self.when(event);
        let replicas = floor.replicas;
        let what = format!(
            "{} {} of {} {when}",
            article(event),
            name(event),
            event.load
        );
        match event.load {
            _ if floor.is_unsized && event.learned => format!(
                "{what}; what a replica can do is not known yet, so there is one for it: give \
                 capacityPerReplica"
            ),
            _ if floor.is_unsized => format!(
                "{what}; what a replica can do is not known yet, so there is one for it: give \
                 capacityPerReplica, or the event desiredReplicas"
            ),
            EventLoad::Replicas(asked) if replicas < asked => {
                let partitions = self.picture.partitions;
                format!("{what}; over {partitions} partitions {replicas} carry no less")
            }
            EventLoad::Replicas(asked) if replicas == asked => what,
            _ => match self.state.foreseen.of(event) {
                Some(recurring) if event.learned => {
                    format!("{what}, which takes {replicas}: {recurring}")
                }
                _ => format!("{what}, which takes {replicas}"),
            },
        }
    }

    fn when(&self, event: Event) -> String {
        if self.now < event.starts_at {
            format!(
                "begins in {} and is prepared for {} ahead",
                Span(event.starts_at.since(self.now)),
                Span(self.picture.outlook.lead)
            )
        } else {
            format!("goes on for {} more", Span(event.ends_at.since(self.now)))
        }
    }
}

const fn name(event: Event) -> &'static str {
    if event.learned { "surge" } else { "event" }
}

const fn article(event: Event) -> &'static str {
    if event.learned { "a" } else { "an" }
}

/// A sentence begins with it.
fn capital(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
