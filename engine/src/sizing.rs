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
use crate::policy::Policy;

/// Everything that one sizing takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand<'a> {
    pub policy: &'a Policy,
    pub layout: &'a Layout,
    /// Records per second into each partition.
    pub inbound: &'a [f64],
    /// Records of backlog that count, each partition; empty for none.
    pub due: &'a [f64],
    /// Records per second that one replica can do.
    pub capacity: f64,
    /// Records per second that the replicas there can do.
    pub present: f64,
    /// How long a change makes everybody pause.
    pub pause: Duration,
    /// How long new replicas take to work.
    pub startup: Duration,
}

// === impl Demand ===

impl Demand<'_> {
    /// The replicas to go to: at the target utilization on the whole, the busiest one under the
    /// accepted line, and able to catch up with the backlog that is there and with the one that
    /// going there will cause. At least 1.
    pub fn size(&self) -> u32 {
        let catch_up = self.policy.horizon().as_secs_f64();
        let with_backlog = 1.0 + self.foreseen_seconds() / catch_up;
        let need = |utilization: f64| {
            self.needs(move |inbound, due| {
                (inbound / utilization).max(inbound * with_backlog + due / catch_up)
            })
        };
        let by_busiest = Needs::new(self.layout, &need(accepted_utilization(self.policy)));
        let by_busiest = by_busiest.smallest(self.capacity);
        let on_the_whole: f64 = need(self.policy.target_utilization).iter().sum();
        let by_mean = whole_replicas(on_the_whole / self.capacity);
        by_busiest.max(self.layout.useful_at_most(by_mean))
    }

    /// The backlog that will be there when everybody has joined, in seconds of inbound: the pause of
    /// the rebalance, and what the replicas present cannot do while others start. More than one
    /// catch-up time of it is not planned for: it would double the replicas and more.
    fn foreseen_seconds(&self) -> f64 {
        let inbound: f64 = self.inbound.iter().sum();
        let short = if inbound > 0.0 {
            (1.0 - self.present / inbound).max(0.0)
        } else {
            0.0
        };
        let startup = self.startup.min(self.policy.horizon()).as_secs_f64();
        self.pause.as_secs_f64() + short * startup * self.policy.tuning.foresight
    }

    /// Whether `replicas` are too few for the inbound rate, whatever the backlog.
    pub fn rate_exceeds(&self, replicas: u32) -> bool {
        replicas == 0 || self.trigger_needs().exceed(replicas, self.capacity)
    }

    /// Whether `replicas` would take too long to work the backlog off.
    pub fn lag_exceeds(&self, replicas: u32) -> bool {
        replicas == 0 || self.patient_needs().exceed(replicas, self.capacity)
    }

    /// The fewest replicas that are not too few for the inbound rate.
    pub fn least_by_rate(&self) -> u32 {
        self.trigger_needs().smallest(self.capacity)
    }

    /// The fewest that do not take too long to work the backlog off.
    pub fn least_by_lag(&self) -> u32 {
        self.patient_needs().smallest(self.capacity)
    }

    fn trigger_needs(&self) -> Needs<'_> {
        let trigger = line(self.policy, self.policy.tuning.trigger_share);
        Needs::new(self.layout, &self.needs(|inbound, _| inbound / trigger))
    }

    fn patient_needs(&self) -> Needs<'_> {
        let patience = self.policy.horizon().as_secs_f64() * self.policy.tuning.patience
            + self.startup.as_secs_f64();
        let needs = self.needs(|inbound, due| {
            if due > 0.0 {
                inbound + due / patience
            } else {
                inbound
            }
        });
        Needs::new(self.layout, &needs)
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

/// A utilization between the target and 1.
fn line(policy: &Policy, share: f64) -> f64 {
    policy.target_utilization + (1.0 - policy.target_utilization) * share
}

/// The utilization of the busiest replica up to which a count is chosen.
pub(crate) fn accepted_utilization(policy: &Policy) -> f64 {
    line(policy, policy.tuning.accept_share)
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
