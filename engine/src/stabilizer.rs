//! Up in one step, down slowly.
//!
//! The intuition: each change of replicas is a rebalance, so a rise goes straight to its target and
//! a fall waits until nothing in a whole window has asked for more. Whether a scale-up helped is
//! looked at afterwards: where throughput twice did not follow, more replicas are not what is
//! missing, and the backlog may not ask for them for a while.
//!
//! What this does not do: size. It gets recommendations and says which of them may be acted on.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::tuning::Tuning;

/// A window keeps at most about this many entries; recommendations nearer together than that share
/// of the window are merged towards the safe side.
const WINDOW_ENTRIES: u32 = 64;

/// Outgrown counts that are remembered: a target has hardly more useful counts in one hour.
const MOST_OUTGROWN: usize = 16;

/// Ineffective scale-ups in a row before the backlog may not ask for more: one can be chance.
const STRIKES: u32 = 2;

/// How long it then may not, at first and at most; doubled each time.
const FIRST_BLOCK: Duration = Duration::from_secs(600);
pub(crate) const LONGEST_BLOCK: Duration = Duration::from_secs(3_600);

/// A rate that has grown by this factor makes what was learned about the downstream void.
const RATE_CLEARS: f64 = 1.2;

/// Throughput after a scale-up is measured for this long once everybody has joined and settled.
const TRIAL: Duration = Duration::from_secs(60);

/// The largest, or the smallest, recommendation of a window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    /// Candidates, the extreme one first.
    entries: VecDeque<(Timestamp, u32)>,
    /// Since when the window has been fed without a gap.
    since: Option<Timestamp>,
}

/// Counts whose busiest replica the rate has outgrown, and the rate that did it: what was too few
/// once is too few again at nearly the same rate. A lower count is implied by a higher one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outgrown {
    counts: Vec<OutgrownCount>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct OutgrownCount {
    at: Timestamp,
    replicas: u32,
    /// Records per second.
    inbound: f64,
}

/// Which end of a window counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extreme {
    /// For coming down.
    Largest,
    /// For going up.
    Smallest,
}

/// Whether scale-ups for a backlog have helped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Effect {
    trial: Option<Trial>,
    strikes: u32,
    blocks: u32,
    block: Option<Block>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Trial {
    from: u32,
    to: u32,
    /// Records per second before.
    before: f64,
    /// When everybody had joined, and the records processed by then.
    joined: Option<(Timestamp, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Block {
    until: Timestamp,
    /// The inbound rate when it was set.
    inbound: f64,
}

/// What a trial looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TrialView {
    pub observed: u32,
    pub processed_records: u64,
    /// There is still a backlog, so replicas that help would show.
    pub backlog: bool,
    /// No rebalance and nothing in flight.
    pub settled: bool,
    pub inbound: f64,
}

// === impl Window ===

impl Window {
    /// Starts the window anew.
    pub fn restart(&mut self) {
        self.entries.clear();
        self.since = None;
    }

    /// Adds a recommendation and returns the extreme one of the window.
    pub fn add(&mut self, n: u32, extreme: Extreme, window: Duration, now: Timestamp) -> u32 {
        self.since.get_or_insert(now);
        let beaten = |earlier: u32| match extreme {
            Extreme::Largest => earlier <= n,
            Extreme::Smallest => earlier >= n,
        };
        while self
            .entries
            .back()
            .is_some_and(|&(at, earlier)| beaten(earlier) || at > now)
        {
            self.entries.pop_back();
        }
        // Two of one bucket become one: the safer figure, with the later time.
        let bucket_millis = u64::try_from((window / WINDOW_ENTRIES).as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let bucket = |at: Timestamp| at.as_millis() / bucket_millis;
        let merged = match self.entries.back_mut() {
            Some((at, _)) if bucket(*at) == bucket(now) => {
                *at = now;
                true
            }
            _ => false,
        };
        if !merged {
            self.entries.push_back((now, n));
        }
        while self
            .entries
            .front()
            .is_some_and(|&(at, _)| now.since(at) > window)
        {
            self.entries.pop_front();
        }
        self.entries.front().map_or(n, |&(_, extreme)| extreme)
    }

    /// The extreme one that will be left `later`, if nothing is added, or the last one; `None` where
    /// there is none.
    pub fn extreme_in(&self, later: Duration, window: Duration, now: Timestamp) -> Option<u32> {
        let mut entries = self.entries.iter();
        let left = entries.find(|(at, _)| now.since(*at).saturating_add(later) <= window);
        left.or(self.entries.back()).map(|&(_, extreme)| extreme)
    }

    /// How long until the window has been fed for its whole length.
    pub fn missing(&self, window: Duration, now: Timestamp) -> Duration {
        let fed = self.since.map_or(Duration::ZERO, |since| now.since(since));
        window.saturating_sub(fed)
    }

    /// How long until the present extreme leaves the window.
    pub fn extreme_leaves_in(&self, window: Duration, now: Timestamp) -> Duration {
        self.entries.front().map_or(Duration::ZERO, |&(at, _)| {
            window.saturating_sub(now.since(at))
        })
    }
}

// === impl Outgrown ===

impl Outgrown {
    /// Notes that `replicas` were too few for `inbound` records per second.
    pub fn note(&mut self, replicas: u32, inbound: f64, now: Timestamp) {
        self.counts
            .retain(|known| known.replicas > replicas || known.inbound < inbound);
        if self.counts.len() >= MOST_OUTGROWN {
            self.counts.remove(0);
        }
        self.counts.push(OutgrownCount {
            at: now,
            replicas,
            inbound,
        });
    }

    /// The same, as far as rates in it are `believable`; what seems to be of the future is of now.
    pub fn sound(&self, believable: impl Fn(f64) -> bool, now: Timestamp) -> Self {
        let counts = self.counts.iter().take(MOST_OUTGROWN);
        let counts = counts.filter(|known| believable(known.inbound));
        let counts = counts.map(|known| OutgrownCount {
            at: known.at.min(now),
            ..*known
        });
        Self {
            counts: counts.collect(),
        }
    }

    /// Whether other counts were outgrown, or by another rate, by `differ`.
    pub fn differs(
        &self,
        written: &Self,
        differ: impl Fn(Option<f64>, Option<f64>) -> bool,
    ) -> bool {
        let pairs = || self.counts.iter().zip(&written.counts);
        self.counts.len() != written.counts.len()
            || pairs().any(|(one, other)| one.replicas != other.replicas)
            || pairs().any(|(one, other)| differ(Some(one.inbound), Some(other.inbound)))
    }

    /// The highest count that is too few for `inbound`, as far as that was seen not long ago.
    pub fn too_few_for(&self, inbound: f64, tuning: &Tuning, now: Timestamp) -> Option<u32> {
        self.counts
            .iter()
            .filter(|known| now.since(known.at) <= tuning.outgrown_kept)
            .filter(|known| inbound > known.inbound * tuning.outgrown_share)
            .map(|known| known.replicas)
            .max()
    }
}

/// Whether going down from `from` to `to` saves more replica-seconds than its pause costs.
/// `needed` is the inbound rate in replicas' worth of work.
pub(crate) fn pays(
    (from, to): (u32, u32),
    needed: f64,
    pause: Duration,
    payback: Duration,
) -> bool {
    let saved = f64::from(from.saturating_sub(to)) * payback.as_secs_f64();
    saved > needed * pause.as_secs_f64()
}

// === impl Effect ===

impl Effect {
    /// Notes that the backlog asked for more.
    pub fn begin(&mut self, from: u32, to: u32, before: f64) {
        if from > 0 && to > from {
            self.trial = Some(Trial {
                from,
                to,
                before,
                joined: None,
            });
        }
    }

    /// Follows the trial and says until when the backlog may not ask for more.
    pub fn follow(
        &mut self,
        view: TrialView,
        effective_share: f64,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.judge(view, effective_share, now);
        let block = self.block?;
        let grown = view.inbound > block.inbound * RATE_CLEARS;
        if grown {
            *self = Self::default();
            return None;
        }
        if now >= block.until {
            // One more ineffective scale-up is enough to block again, for longer.
            self.block = None;
            self.strikes = STRIKES - 1;
            return None;
        }
        Some(block.until)
    }

    fn judge(&mut self, view: TrialView, effective_share: f64, now: Timestamp) {
        let Some(trial) = &mut self.trial else {
            return;
        };
        if !view.backlog {
            // Nothing is left to work off: it helped, or it was not needed.
            self.trial = None;
            self.strikes = 0;
            self.blocks = 0;
            return;
        }
        if view.observed < trial.to || !view.settled {
            trial.joined = None;
            return;
        }
        let (since, records) = *trial.joined.get_or_insert((now, view.processed_records));
        let elapsed = now.since(since);
        if elapsed < TRIAL {
            return;
        }
        let after = view.processed_records.saturating_sub(records) as f64 / elapsed.as_secs_f64();
        let expected = trial.before * f64::from(trial.to - trial.from) / f64::from(trial.from);
        let gained = after - trial.before;
        self.trial = None;
        if gained >= expected * effective_share {
            self.strikes = 0;
            self.blocks = 0;
            return;
        }
        self.strikes += 1;
        if self.strikes >= STRIKES {
            let pause = FIRST_BLOCK
                .saturating_mul(2_u32.saturating_pow(self.blocks))
                .min(LONGEST_BLOCK);
            self.blocks = self.blocks.saturating_add(1);
            self.block = Some(Block {
                until: now.plus(pause),
                inbound: view.inbound,
            });
        }
    }
}

#[cfg(test)]
mod tests;
