//! Rebalance episodes, replicas in flight, and what the two hold back.
//!
//! The intuition: while a group rebalances, commits stand still and lag grows by itself; it shrinks
//! by itself afterwards. A scaler that adds replicas for it causes the next rebalance. While
//! replicas that were asked for are still starting, lag grows because they are not there yet, not
//! because more are needed. So in both cases the *growth* of the lag is not counted. The inbound
//! rate is never held: it is true in every moment of a rebalance.
//!
//! Every hold is bounded: an episode by the policy, episodes in a row by a budget, replicas in
//! flight by how long replicas have taken to start. Freezing without a bound is how a pod that
//! never joins, or a group that never settles, blocks a scaler for ever.
//!
//! What this does not do: decide a number of replicas.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::group::{GroupChange, GroupMemory};
use crate::lag::Hold;
use crate::observation::{GroupProtocol, GroupState};
use crate::policy::Policy;
use crate::time::Timestamp;

/// Held seconds that the budget allows before it is spent: half of any ten minutes. Rebalances that
/// take more than that are the normal state of the group, and its lag is real.
const BUDGET_SECONDS: f64 = 300.0;

/// The budget comes back at this rate, in held seconds a second without a hold.
const BUDGET_LEAK: f64 = 0.5;

/// A longer time than this many polls between two looks was not watched.
const WATCHED_POLLS: u32 = 3;

/// A storm is over when the budget has come back to this.
const BUDGET_CALM_SECONDS: f64 = 150.0;

/// How long a rebalance pauses consumption, until that is learned: between the 3 s of a small
/// cooperative group and the half minute of a large eager one.
const PAUSE: Duration = Duration::from_secs(10);

/// Learned pauses outside these bounds are misreadings (a poll interval, a stuck member).
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Starts are learned up to this, where Kubernetes says when they were asked for.
pub(crate) const LONGEST_START: Duration = Duration::from_secs(3_600);

/// A poll of KEDA's, or a sync of the HPA's and the time for it to act.
const WAY_TO_THE_HPA: Duration = Duration::from_secs(30);

/// Whatever was learned, replicas in flight hold nothing for longer than this.
pub(crate) const LONGEST_FLIGHT: Duration = Duration::from_secs(600);

/// ... nor for less than this: KEDA and the HPA alone take up to 45 s to act.
const SHORTEST_FLIGHT: Duration = Duration::from_secs(60);

/// The weight of a new measurement in what was learned of pauses and starts.
const LEARNING_WEIGHT: f64 = 0.3;

/// What is remembered of rebalances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RebalanceMemory {
    pub episode: Option<Episode>,
    /// When the last episode ended.
    pub settled_at: Option<Timestamp>,
    /// Episodes since the target was registered.
    pub episodes: u64,
    budget_spent_seconds: f64,
    storm: bool,
    /// When lag was last allowed to ask for more during a spent hold.
    pub last_lag_step_at: Option<Timestamp>,
    pub pause_seconds: Option<f64>,
    updated_at: Option<Timestamp>,
}

/// One rebalance, or several that run into each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Episode {
    pub started_at: Timestamp,
    last_evidence_at: Timestamp,
    /// The first members of a group that had none: it holds nothing.
    activation: bool,
    held_seconds: f64,
    /// Records processed when the last evidence was seen.
    processed_records: u64,
    /// Records processed when it began.
    processed_before: u64,
    /// Records per second processed before it.
    rate_before: f64,
    /// The most seconds' worth of that rate that was ever missing.
    lost_seconds: f64,
}

/// What the present episode holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Holding {
    pub hold: Hold,
    /// An episode is going on: nothing is lowered.
    pub rebalancing: bool,
    /// The hold of the episode or the budget is spent: lag counts, one step a hold.
    pub spent: bool,
    pub storm: bool,
    pub held_seconds: f64,
}

/// Replicas that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FlightMemory {
    request: Option<Request>,
    pub startup_seconds: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Request {
    replicas: u32,
    /// Since when fewer are there than were asked for.
    since: Timestamp,
    /// When the request last grew.
    asked_at: Timestamp,
    /// When the request last grew or somebody joined.
    progress_at: Timestamp,
    observed: u32,
    /// The time is up: nothing is held for it any more.
    overdue: bool,
}

/// A start that was not seen yet takes the way over KEDA and the HPA, too, and images that are pulled.
const UNSEEN_START: f64 = 2.0;

/// Replicas in flight at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flight {
    /// Asked for, not there, and still expected.
    pub replicas: u32,
    /// Asked for, not there, and no longer expected.
    pub overdue: u32,
    /// For how long they have been missing.
    pub missing_for: Duration,
}

// === impl RebalanceMemory ===

impl RebalanceMemory {
    /// How long a change makes everybody pause, as far as that is known.
    pub fn pause(&self) -> Duration {
        self.pause_seconds
            .map_or(PAUSE, Duration::from_secs_f64)
            .clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
    }

    /// Takes in what changed in the group and says what is held. `processed_records` counts all
    /// commits so far; `idle` says that there is nothing to consume.
    pub fn follow(
        &mut self,
        change: Option<GroupChange>,
        group: &GroupMemory,
        policy: &Policy,
        progress: Progress,
        now: Timestamp,
    ) -> Holding {
        // A silence holds nothing: only what was watched counts against the budget.
        let elapsed = self
            .updated_at
            .map_or(Duration::ZERO, |updated| now.since(updated))
            .min(policy.poll_interval.saturating_mul(WATCHED_POLLS));
        self.updated_at = Some(now);
        if let Some(change) = change {
            self.take_evidence(change, progress, now);
        }
        self.end_when_settled(policy, progress, now);
        let Some(episode) = &mut self.episode else {
            self.leak(elapsed);
            return Holding {
                hold: Hold::None,
                rebalancing: false,
                spent: false,
                storm: self.storm,
                held_seconds: 0.0,
            };
        };
        let within = now.since(episode.started_at) <= policy.rebalance_hold;
        let may_hold = within && !episode.activation && !self.storm;
        if may_hold {
            episode.held_seconds += elapsed.as_secs_f64();
        }
        let held_seconds = episode.held_seconds;
        let activation = episode.activation;
        if may_hold {
            self.budget_spent_seconds += elapsed.as_secs_f64();
            self.storm = self.budget_spent_seconds >= BUDGET_SECONDS;
        } else {
            self.leak(elapsed);
        }
        // The moment that spends the budget holds nothing any more: asked again, it says the same.
        let holds = may_hold && !self.storm;
        Holding {
            hold: if holds { hold_of(group) } else { Hold::None },
            rebalancing: true,
            spent: !holds && !activation,
            storm: self.storm,
            held_seconds,
        }
    }

    fn take_evidence(&mut self, change: GroupChange, progress: Progress, now: Timestamp) {
        if !change.is_evidence() {
            return;
        }
        let episodes = &mut self.episodes;
        let episode = self.episode.get_or_insert_with(|| {
            *episodes = episodes.saturating_add(1);
            Episode {
                started_at: now,
                last_evidence_at: now,
                activation: change.from_zero,
                held_seconds: 0.0,
                processed_records: progress.processed_records,
                processed_before: progress.processed_records,
                rate_before: progress.processing_rate,
                lost_seconds: 0.0,
            }
        });
        episode.last_evidence_at = now;
        episode.processed_records = progress.processed_records;
    }

    /// Ends the episode when evidence has stopped and consumption has resumed. Consumption that
    /// does not resume is waited for no longer than the hold.
    fn end_when_settled(&mut self, policy: &Policy, progress: Progress, now: Timestamp) {
        // Where nothing waits, nothing is missing: the load has ended, not the work.
        if let Some(episode) = &mut self.episode
            && episode.rate_before > 0.0
            && !progress.idle
        {
            let expected = episode.rate_before * now.since(episode.started_at).as_secs_f64();
            let done = progress
                .processed_records
                .saturating_sub(episode.processed_before) as f64;
            episode.lost_seconds = episode
                .lost_seconds
                .max((expected - done) / episode.rate_before);
        }
        let Some(episode) = self.episode else {
            return;
        };
        let quiet = now.since(episode.last_evidence_at);
        let resumed = progress.idle || progress.processed_records > episode.processed_records;
        // Where nothing waits, no commit has to be waited for.
        let settle = if progress.idle {
            policy.tuning.settle
        } else {
            policy.tuning.settle.max(progress.commit_interval * 2)
        };
        if quiet < settle || (!resumed && quiet < policy.rebalance_hold.max(settle)) {
            return;
        }
        if !episode.activation && episode.rate_before > 0.0 {
            let lost =
                Duration::from_secs_f64(episode.lost_seconds.min(LONGEST_PAUSE.as_secs_f64()));
            self.pause_seconds = Some(learn(self.pause_seconds, lost));
        }
        self.episode = None;
        self.settled_at = Some(now);
    }

    fn leak(&mut self, elapsed: Duration) {
        self.budget_spent_seconds =
            (self.budget_spent_seconds - elapsed.as_secs_f64() * BUDGET_LEAK).max(0.0);
        if self.budget_spent_seconds <= BUDGET_CALM_SECONDS {
            self.storm = false;
        }
    }
}

/// How consumption goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Progress {
    /// All records committed so far.
    pub processed_records: u64,
    /// Records committed per second lately.
    pub processing_rate: f64,
    /// There is nothing to consume.
    pub idle: bool,
    /// How often the group commits.
    pub commit_interval: Duration,
}

/// Which partitions an episode touches. KIP-848 and cooperative groups go on with what they keep;
/// in an eager group everybody stops, and a classic group's assignments cannot be seen (and its
/// commits are refused) until it is stable again.
fn hold_of(group: &GroupMemory) -> Hold {
    let cooperative = group.assignor.contains("cooperative");
    match group.protocol {
        GroupProtocol::Consumer => Hold::Moved,
        GroupProtocol::Classic if group.state == GroupState::Stable && cooperative => Hold::Moved,
        GroupProtocol::Classic => Hold::All,
    }
}

// === impl FlightMemory ===

impl FlightMemory {
    /// How long replicas take to join.
    pub fn startup(&self, policy: &Policy) -> Duration {
        self.startup_seconds
            .map_or(policy.startup.min(LONGEST_FLIGHT), Duration::from_secs_f64)
            .min(LONGEST_START)
    }

    /// How far ahead a rising load is followed: as long as a start takes; until one was seen, which the
    /// first rise of a target may outrun, [`UNSEEN_START`] times what was told.
    pub fn lead(&self, policy: &Policy) -> Duration {
        let known = self.startup(policy);
        match self.startup_seconds {
            Some(_) => known,
            None => known.mul_f64(UNSEEN_START).min(LONGEST_START),
        }
    }

    /// Notes that `replicas` are asked for while `observed` are there.
    pub fn ask(&mut self, replicas: u32, observed: u32, now: Timestamp) {
        if replicas <= observed {
            self.request = None;
            return;
        }
        match &mut self.request {
            Some(request) if replicas > request.replicas => {
                request.replicas = replicas;
                request.asked_at = now;
                request.progress_at = now;
                request.overdue = false;
            }
            Some(request) => request.replicas = replicas,
            None => {
                self.request = Some(Request {
                    replicas,
                    since: now,
                    asked_at: now,
                    progress_at: now,
                    observed,
                    overdue: false,
                });
            }
        }
    }

    /// Takes in how many are there, and how many the HPA has asked for where that is known, and says who is
    /// still expected.
    pub fn follow(
        &mut self,
        (observed, asked): (u32, Option<u32>),
        policy: &Policy,
        now: Timestamp,
    ) -> Flight {
        if policy.tuning.startup_patience <= 0.0 {
            return Flight::default();
        }
        let patience = self
            .startup(policy)
            .max(policy.startup)
            .min(LONGEST_FLIGHT)
            .mul_f64(policy.tuning.startup_patience)
            .clamp(SHORTEST_FLIGHT, LONGEST_FLIGHT);
        let Some(request) = &mut self.request else {
            return Flight::default();
        };
        let missing_for = now.since(request.since);
        // A start begins when it is asked for, and the way to the HPA is a part of it.
        if asked.is_some_and(|asked| asked < request.replicas) {
            request.asked_at = request.asked_at.max(now.minus(WAY_TO_THE_HPA));
        }
        let longest = asked.map_or(LONGEST_FLIGHT, |_| LONGEST_START);
        if observed >= request.replicas {
            let took = now.since(request.asked_at).max(Duration::from_secs(1));
            if took <= longest {
                // Late ones may have waited for room: that is a part of how long starts take, not all.
                let known = self.startup_seconds;
                let known = known.or(request.overdue.then_some(policy.startup.as_secs_f64()));
                self.startup_seconds = Some(learn(known, took));
            }
            self.request = None;
            return Flight::default();
        }
        if observed > request.observed && !request.overdue {
            request.progress_at = now;
        }
        request.observed = observed;
        request.overdue |=
            now.since(request.progress_at) > patience || missing_for > LONGEST_FLIGHT;
        let missing = request.replicas - observed;
        if request.overdue {
            Flight {
                replicas: 0,
                overdue: missing,
                missing_for,
            }
        } else {
            Flight {
                replicas: missing,
                overdue: 0,
                missing_for,
            }
        }
    }
}

/// Moves what was learned towards a new measurement.
fn learn(known: Option<f64>, measured: Duration) -> f64 {
    let measured = measured.as_secs_f64();
    known.map_or(measured, |known| {
        known + (measured - known) * LEARNING_WEIGHT
    })
}

#[cfg(test)]
mod tests;
