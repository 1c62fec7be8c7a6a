//! Everything that keeps a wanted change of replicas from being made: one closed list.
//!
//! Each gate says what it keeps from being done, as long as what is so, for how long at most, what happens
//! then, and which verdict names it. `recommend` asks the list from top to bottom, explanations take
//! their verdict from it, and the table in docs/ALGORITHM.md is written from it. Who may be put to sleep
//! and what cannot be answered at all is no change of replicas: that is judged in `pipeline` and `usable`.

use std::time::Duration;

use super::Verdict;
use crate::policy::Policy;
use crate::rate::short_window;
use crate::rebalance::LONGEST_FLIGHT;
use crate::stabilizer::LONGEST_BLOCK;

/// Members that commit nothing forbid coming down for no longer than this: long enough for somebody to
/// look, and one poison record a replica must not hold a night's worth of them.
pub(super) const STALLED_HOLD: Duration = Duration::from_secs(1_800);

/// The key of the hold of a rebalance, ...
const HOLD: &str = "rebalanceHoldSeconds";

/// ... and of the window for coming down.
const DOWN_WINDOW: &str = "scaleDownStabilizationWindowSeconds";

/// Something that keeps a wanted change from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// A rebalance explains the backlog.
    LagRebalance,
    /// Replicas that were asked for and are still starting explain the backlog.
    LagInFlight,
    /// The hold of a rebalance is spent, and the one step that follows is taken.
    LagStepTaken,
    /// More replicas did not help.
    LagDownstream,
    /// Something could not be read.
    Partial,
    /// A rebalance is going on.
    Rebalance,
    /// Replicas are still starting.
    InFlight,
    /// Members that hold lag commit nothing.
    Stalled,
    /// Prometheus is missing.
    Prometheus,
    /// The scaler has not watched for a window yet.
    Warmup,
    /// Something in the window asked for more.
    Window,
    /// They were added for a backlog, not long ago.
    Surplus,
    /// The pause would cost more than the replicas save.
    NotWorthIt,
    /// The HPA would take it for what is there.
    Tolerated,
}

/// What a gate keeps from being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// The backlog asks for more. The rate still may.
    MoreForTheBacklog,
    /// Fewer replicas are asked for.
    Fewer,
}

/// For how long at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Longest {
    /// So long, counted from what the words say.
    Time {
        /// From when on.
        from: &'static str,
        /// The policy's key, where it has one.
        key: Option<&'static str>,
        /// How long.
        time: Duration,
    },
    /// As long as it is so; what that costs at most.
    Condition {
        /// What it costs.
        costs: &'static str,
    },
}

/// How long what is recommended lies between the old count and the new one after a fall: as long as the short
/// window holds some of what was before.
pub(super) fn settles(policy: &Policy) -> Duration {
    short_window(policy).saturating_add(policy.poll_interval)
}

// === impl Gate ===

impl Gate {
    /// Every gate, in the order in which they are asked: the first that is shut is named.
    pub const ALL: [Self; 14] = [
        Self::LagDownstream,
        Self::LagStepTaken,
        Self::LagInFlight,
        Self::LagRebalance,
        Self::Partial,
        Self::Rebalance,
        Self::InFlight,
        Self::Stalled,
        Self::Prometheus,
        Self::Warmup,
        Self::Window,
        Self::Surplus,
        Self::NotWorthIt,
        Self::Tolerated,
    ];

    /// What it keeps from being done.
    pub const fn forbids(self) -> Forbidden {
        match self {
            Self::LagRebalance | Self::LagInFlight | Self::LagStepTaken | Self::LagDownstream => {
                Forbidden::MoreForTheBacklog
            }
            _ => Forbidden::Fewer,
        }
    }

    /// What is so as long as it is shut.
    pub const fn shut_while(self) -> &'static str {
        match self {
            Self::LagRebalance | Self::Rebalance => "a rebalance goes on",
            Self::LagInFlight | Self::InFlight => "replicas asked for are still starting",
            Self::LagStepTaken => "the hold of a rebalance is spent, and lag has asked since",
            Self::LagDownstream => {
                "two steps for lag brought less than a tenth of what was expected"
            }
            Self::Partial => "something was not read in 3 polls",
            Self::Stalled => "members that hold lag commit nothing",
            Self::Prometheus => "a configured Prometheus is missing",
            Self::Warmup => "a whole window was not watched",
            Self::Window => "more would have done in the window, or a fall is only just seen",
            Self::Surplus => "some were added for a backlog, beyond the rate",
            Self::NotWorthIt => "a pause costs more than fewer replicas save in 10 minutes",
            Self::Tolerated => "the HPA would take it for what is there",
        }
    }

    /// For how long at most, under a policy.
    pub fn longest(self, policy: &Policy) -> Longest {
        let by_key = |from, key, time| Longest::Time {
            from,
            key: Some(key),
            time,
        };
        let by_clock = |from, time| Longest::Time {
            from,
            key: None,
            time,
        };
        let window = |from| by_key(from, DOWN_WINDOW, policy.scale_down_window);
        match self {
            Self::LagRebalance => by_key("its beginning", HOLD, policy.rebalance_hold),
            Self::LagInFlight | Self::InFlight => {
                by_clock("the last that joined, or two starts", LONGEST_FLIGHT)
            }
            Self::LagStepTaken => by_key("that step", HOLD, policy.rebalance_hold),
            Self::LagDownstream => by_clock("the second, at first 600 s", LONGEST_BLOCK),
            Self::Stalled => by_clock("the last commit", STALLED_HOLD),
            Self::Prometheus => window("its last answer"),
            Self::Warmup => window("the start, or the end of a silence"),
            Self::Window => by_key(
                "the last time",
                DOWN_WINDOW,
                policy.scale_down_window.saturating_add(settles(policy)),
            ),
            Self::Surplus => by_clock("that step", policy.tuning.surplus_kept),
            Self::Partial => Longest::Condition {
                costs: "what is there stays",
            },
            Self::Rebalance => Longest::Condition {
                costs: "until it has settled",
            },
            Self::NotWorthIt | Self::Tolerated => Longest::Condition {
                costs: "a tenth of the replicas",
            },
        }
    }

    /// What happens when it opens, or when its time is up.
    pub const fn then(self) -> &'static str {
        match self {
            Self::LagRebalance => "lag counts, one step each hold",
            Self::LagInFlight => "lag counts, PodsNotJoining",
            Self::LagStepTaken => "lag may ask again",
            Self::LagDownstream => "one more step is tried",
            Self::Partial => "what is read may ask for more",
            Self::Prometheus => "the log decides alone",
            Self::Rebalance
            | Self::InFlight
            | Self::Stalled
            | Self::Warmup
            | Self::Surplus
            | Self::Window => "one step down",
            Self::NotWorthIt | Self::Tolerated => "a larger step",
        }
    }

    /// The verdict that names it, where nothing comes before that.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::LagRebalance | Self::LagInFlight | Self::LagStepTaken => Verdict::LagHeld,
            Self::LagDownstream => Verdict::DownstreamLimited,
            Self::Warmup => Verdict::Warmup,
            Self::Partial
            | Self::Rebalance
            | Self::InFlight
            | Self::Stalled
            | Self::Prometheus
            | Self::Window
            | Self::Surplus
            | Self::NotWorthIt
            | Self::Tolerated => Verdict::DownHeld,
        }
    }
}
