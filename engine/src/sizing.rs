//! From rates, lag and capacity to a number of replicas.
//!
//! The intuition, with the default utilization of 0.8: on the whole a replica is planned at 80 % of
//! its capacity; the busiest one may reach 87 % where partitions do not divide better; and nothing
//! is changed before the busiest one passes 93 %. The three lines are the hysteresis.
//!
//! Headroom and catching up are not added: headroom is what a backlog is worked off with. So a
//! partition needs `max(inbound / line, inbound + due / catch_up)`, and the backlog asks for more
//! only where the headroom would take too long.
//!
//! What this does not do: remember anything, or look at windows, holds and limits.

use std::time::Duration;

use crate::assignor::{Layout, Needs};

/// Where between the target utilization and a full replica the busiest one may lie when a count is
/// chosen: a third of the way. 24 partitions at 1,000 records/s on replicas of 100 records/s make
/// the point: two partitions a replica are 83 %, one is 42 %. A strict 80 % would take 24 replicas
/// where 12 do; the mean alone (13) would let a skewed topic drown its busiest replica.
const ACCEPT_SHARE: f64 = 1.0 / 3.0;

/// Where the busiest one has to pass before a count that runs is left: two thirds of the way. Nearer
/// to full, noise in the learned capacity would already be lag; nearer to the accepted line, a rate
/// that wanders by 5 % would move replicas.
const TRIGGER_SHARE: f64 = 2.0 / 3.0;

/// A backlog that the present replicas work off within this many times `catch_up` (plus the time
/// new replicas take to start, in which they could not help) does not ask for more: they would
/// arrive when it is half gone and stay for a whole scale-down window.
const PATIENCE: f64 = 2.0;

/// Everything that one sizing takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand<'a> {
    pub layout: &'a Layout,
    /// Records per second into each partition.
    pub inbound: &'a [f64],
    /// Records of backlog that count, each partition; empty for none.
    pub due: &'a [f64],
    /// Records per second that one replica can do.
    pub capacity: f64,
    pub target_utilization: f64,
    /// The time a backlog is to be worked off in.
    pub catch_up: Duration,
    /// How long a change makes everybody pause.
    pub pause: Duration,
    /// How long new replicas take to work.
    pub startup: Duration,
}

// === impl Demand ===

impl Demand<'_> {
    /// The replicas to go to: at the target utilization on the whole, the busiest one under the
    /// accepted line, and able to catch up with the backlog and with the pause that going there
    /// causes. At least 1.
    pub fn size(&self) -> u32 {
        let catch_up = self.catch_up.as_secs_f64();
        let paused = 1.0 + self.pause.as_secs_f64() / catch_up;
        let accepted = self.line(ACCEPT_SHARE);
        let busiest =
            self.needs(|inbound, due| (inbound / accepted).max(inbound * paused + due / catch_up));
        let by_busiest = Needs::new(self.layout, &busiest).smallest(self.capacity);
        let planned = self.line(0.0);
        let on_the_whole: f64 = self
            .needs(|inbound, due| (inbound / planned).max(inbound * paused + due / catch_up))
            .iter()
            .sum();
        let by_mean = whole_replicas(on_the_whole / self.capacity);
        by_busiest.max(self.layout.useful_at_most(by_mean))
    }

    /// Whether `replicas` are too few for the inbound rate, whatever the backlog.
    pub fn rate_exceeds(&self, replicas: u32) -> bool {
        let line = self.line(TRIGGER_SHARE);
        let needs = self.needs(|inbound, _| inbound / line);
        replicas == 0 || Needs::new(self.layout, &needs).exceed(replicas, self.capacity)
    }

    /// Whether `replicas` would take too long to work the backlog off.
    pub fn lag_exceeds(&self, replicas: u32) -> bool {
        let patience = self.catch_up.as_secs_f64() * PATIENCE + self.startup.as_secs_f64();
        let needs = self.needs(|inbound, due| {
            if due > 0.0 {
                inbound + due / patience
            } else {
                inbound
            }
        });
        replicas == 0 || Needs::new(self.layout, &needs).exceed(replicas, self.capacity)
    }

    /// The same demand without a backlog.
    pub fn without_lag(self) -> Self {
        Self { due: &[], ..self }
    }

    /// The same demand with another backlog.
    pub fn with_due<'b>(self, due: &'b [f64]) -> Demand<'b>
    where
        Self: 'b,
    {
        Demand { due, ..self }
    }

    /// A utilization between the target and 1.
    fn line(&self, share: f64) -> f64 {
        self.target_utilization + (1.0 - self.target_utilization) * share
    }

    /// What each partition needs, never more than one replica can do.
    fn needs(&self, need: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        let mut due = self.due.iter();
        self.inbound
            .iter()
            .map(|&inbound| {
                need(inbound, due.next().copied().unwrap_or(0.0)).clamp(0.0, self.capacity)
            })
            .collect()
    }
}

/// Whole replicas for a share of them: rounded up, at least 1, saturating.
#[expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "float to integer casts saturate, and NaN becomes 0"
)]
pub(crate) fn whole_replicas(share: f64) -> u32 {
    ((share - 1e-9).ceil() as u32).max(1)
}

#[cfg(test)]
mod tests;
