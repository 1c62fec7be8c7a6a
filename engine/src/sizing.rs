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
use crate::rate::Rise;

/// Nothing that can be foreseen is made to wait for longer than this, however dear the next count is:
/// later than that users hold a record to be late.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Everything that one sizing takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand<'a> {
    pub policy: &'a Policy,
    pub layout: &'a Layout,
    /// Records per second into each partition.
    pub inbound: &'a [f64],
    /// What the inbound rate leads to, as a share of it; `None` where it does not rise.
    pub rise: Option<Rise>,
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
        let mut replicas = by_busiest.max(self.layout.useful_at_most(by_mean));
        while self.outrun(replicas, |rise| rise.ahead) {
            replicas = self.layout.next_useful(replicas);
        }
        replicas.max(self.idle(self.policy.target_utilization))
    }

    /// Where consumers may stand idle: the replicas that the inbound rate would take if partitions could
    /// be divided. Otherwise 0.
    fn idle(&self, utilization: f64) -> u32 {
        if self.policy.allow_idle_consumers {
            self.mean(utilization)
        } else {
            0
        }
    }

    /// The replicas that the inbound rate takes at this utilization, however it divides.
    fn mean(&self, utilization: f64) -> u32 {
        let inbound: f64 = self.inbound.iter().sum();
        whole_replicas(inbound / utilization / self.capacity)
    }

    /// Whether a rise will have made records wait longer than the next count is worth, by the time
    /// that a replica which is asked for now works.
    ///
    /// Where the rate will be `to` and gains `slope` a second, replicas that are full at the rate `r`
    /// will have been short for `(to - r) / slope` seconds, and what piled up then waits
    /// `(to - r)^2 / (2 slope r)`. That is the wait that is put up with at `r` below.
    fn outrun(&self, replicas: u32, to: impl Fn(Rise) -> f64) -> bool {
        let Some(rise) = self.rise else {
            return false;
        };
        let dearer = self.layout.next_useful(replicas).saturating_sub(replicas);
        let Some(beyond_one) = dearer.checked_sub(1) else {
            return false;
        };
        let wait = self
            .policy
            .tuning
            .wait_a_replica
            .saturating_mul(beyond_one)
            .min(LONGEST_WAIT);
        let slack = 2.0 * rise.slope * wait.as_secs_f64();
        let root = ((slack + 4.0 * to(rise)).sqrt() - slack.sqrt()) / 2.0;
        let needs = self.needs(|inbound, _| inbound * root * root);
        Needs::new(self.layout, &needs).exceed(replicas, self.capacity)
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
        replicas == 0
            || self.trigger_needs().exceed(replicas, self.capacity)
            || self.outrun(replicas, |rise| rise.soon)
            || replicas < self.idle(self.trigger())
    }

    /// Whether `replicas` would take too long to work the backlog off.
    pub fn lag_exceeds(&self, replicas: u32) -> bool {
        replicas == 0 || self.patient_needs().exceed(replicas, self.capacity)
    }

    /// The fewest replicas that are not too few for the inbound rate.
    pub fn least_by_rate(&self) -> u32 {
        let needed = self.trigger_needs().smallest(self.capacity);
        needed.max(self.idle(self.trigger()))
    }

    /// The fewest that do not take too long to work the backlog off.
    pub fn least_by_lag(&self) -> u32 {
        self.patient_needs().smallest(self.capacity)
    }

    /// The utilization at which a count is left.
    fn trigger(&self) -> f64 {
        line(self.policy, self.policy.tuning.trigger_share)
    }

    fn trigger_needs(&self) -> Needs<'_> {
        let trigger = self.trigger();
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

    /// The same demand at the rate of now, wherever it leads.
    pub fn as_of_now(self) -> Self {
        Self { rise: None, ..self }
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
