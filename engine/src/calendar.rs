//! Events that are known ahead: which of them hold a floor under the count now, and of how many replicas.
//!
//! The intuition: a surge takes a second to come and pods take a minute to start, so whoever only reacts
//! is late by a start. Where somebody knows when it comes, replicas are asked for a lead before: as long
//! as starts have taken and a quarter more, the pause of a rebalance, and a margin.
//!
//! KEDA and the HPA see one step: an occurrence whose floor stands keeps it until it ends, whatever is
//! learned of starts meanwhile, and its floor never falls while it stands. Then it is gone at once; what
//! the load needs by then is the other rooms'. What `past` has learned stands as what people wrote does.
//!
//! What this does not do: tell the time of day or know of time zones and cron, which is the caller's;
//! size (`decision::recommend`); lower anything.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::observation::{Event, EventLoad};
use crate::time::Timestamp;

/// Events of one target that count; more than anybody writes by hand.
pub const MOST_EVENTS: usize = 32;

/// How much longer than on average a start may take, as a share of it.
const SLOWER_START: f64 = 0.25;

/// A poll and a sync of the HPA that come late, and clocks that differ.
const MARGIN: Duration = Duration::from_secs(30);

/// What is remembered of events: those whose floor stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CalendarMemory {
    standing: Vec<Standing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Standing {
    event: Event,
    /// The most that was asked for it; 0 before anything was.
    replicas: u32,
}

/// What is known to come, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outlook {
    /// Events whose floor stands.
    standing: usize,
    /// The next event whose floor does not stand yet.
    pub next: Option<Event>,
    /// How long before an event its floor stands.
    pub lead: Duration,
}

/// A floor under the count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Floor {
    pub replicas: u32,
    /// The event that takes them: of several the one that takes the most.
    pub event: Event,
    /// How many replicas it takes is not known, so there is one.
    pub is_unsized: bool,
}

// === impl CalendarMemory ===

impl CalendarMemory {
    /// Looks at the events, those that were written and those that were learned: which floors stand, given how long a start and the pause after it take.
    pub fn follow<'a>(
        &mut self,
        (written, learned): (&'a [Event], &'a [Event]),
        (start, pause): (Duration, Duration),
        now: Timestamp,
    ) -> Outlook {
        let lead = start
            .saturating_add(start.mul_f64(SLOWER_START))
            .saturating_add(pause)
            .saturating_add(MARGIN);
        let events = || {
            let sound = |event: &&Event| event.is_sound() && now < event.ends_at;
            let first = move |events: &'a [Event]| events.iter().filter(sound).take(MOST_EVENTS);
            first(written).chain(first(learned))
        };
        self.standing
            .retain(|standing| events().any(|event| *event == standing.event));
        let mut next: Option<Event> = None;
        for event in events() {
            if self.standing.iter().any(|known| known.event == *event) {
                continue;
            }
            if event.starts_at <= now.plus(lead) {
                self.standing.push(Standing {
                    event: *event,
                    replicas: 0,
                });
            } else if next.is_none_or(|next| event.starts_at < next.starts_at) {
                next = Some(*event);
            }
        }
        Outlook {
            standing: self.standing.len(),
            next,
            lead,
        }
    }

    /// The floor, where `size` says what an event takes, as far as that is known.
    pub fn floor(&mut self, size: impl Fn(Event) -> Option<u32>) -> Option<Floor> {
        let mut floor: Option<Floor> = None;
        for standing in &mut self.standing {
            let sized = size(standing.event);
            standing.replicas = standing.replicas.max(sized.unwrap_or(1)).max(1);
            if floor.is_none_or(|floor| floor.replicas < standing.replicas) {
                floor = Some(Floor {
                    replicas: standing.replicas,
                    event: standing.event,
                    is_unsized: sized.is_none() && standing.replicas == 1,
                });
            }
        }
        floor
    }

    /// Notes that more was asked for `event` than it takes, because less would have been ignored.
    pub fn note(&mut self, event: Event, replicas: u32) {
        let of_it = |standing: &&mut Standing| standing.event == event;
        if let Some(standing) = self.standing.iter_mut().find(of_it) {
            standing.replicas = standing.replicas.max(replicas);
        }
    }
}

// === impl Outlook ===

impl Outlook {
    /// Whether a floor stands.
    pub const fn stands(&self) -> bool {
        self.standing > 0
    }

    /// Whether anything is known to come.
    pub const fn knows(&self) -> bool {
        self.stands() || self.next.is_some()
    }
}

// === impl Event ===

impl Event {
    /// Whether it makes sense.
    fn is_sound(&self) -> bool {
        let is_load = match self.load {
            EventLoad::RecordsPerSecond(rate) => rate.is_finite() && rate > 0.0,
            EventLoad::Replicas(replicas) => replicas > 0,
        };
        is_load && self.starts_at < self.ends_at
    }
}

#[cfg(test)]
mod tests;
