//! Laws 4 and 10: what is missing never lowers, and a restart never asks for less.

use std::time::Duration;

use evenkeel_engine::{
    Observation, PrometheusObservation, Stage, State, Timestamp, Verdict, decide,
};

use super::{Tick, known, says, step};
use crate::workload::Skew;

/// A picture older than so many polls is one that lowers nothing (ALGORITHM, 6).
const FRESH_POLLS: u32 = 3;

/// An older sample of Prometheus is none (ALGORITHM, 1).
const PROMETHEUS_FRESH: Duration = Duration::from_secs(90);

/// Law 4.
#[derive(Debug, Default)]
pub(super) struct Data {
    /// Since when a configured Prometheus has been no witness, on the scaler's clock.
    prometheus_missing: Option<Timestamp>,
    /// The last answer: replicas, and whether awake.
    last: Option<(u32, bool)>,
}

/// A restart knows the short window only after so many polls (docs/laws.md).
const SHORT_POLLS: u64 = 3;

/// Slow windows that lie further apart than this divide the past differently (docs/laws.md).
const SAME_PAST: f64 = 0.01;

/// Law 10: a scaler that starts from nothing beside the one that goes on, for one window.
#[derive(Debug, Default)]
pub(super) struct Restart {
    twin: Option<Twin>,
    over: bool,
}

#[derive(Debug)]
struct Twin {
    state: State,
    started_at: Timestamp,
    /// What was there, and asked for, when it started.
    replicas: u32,
}

// === impl Data ===

impl Data {
    pub fn look(&mut self, tick: &mut Tick<'_>) {
        if tick.restarted {
            *self = Self::default();
        }
        let answer = known(tick.decision);
        self.follow_prometheus(tick);
        if let (Some(last), Some(answer)) = (self.last, answer) {
            self.nothing_lowers(tick, last, answer);
        }
        self.prometheus_cannot_lower(tick);
        self.last = answer.or(self.last);
    }

    /// Remembers since when there is no Prometheus, as far as decisions were made.
    fn follow_prometheus(&mut self, tick: &Tick<'_>) {
        if tick.clock_behind || says(tick.decision, Verdict::Stale) {
            return;
        }
        self.prometheus_missing = match tick.observation.prometheus {
            seen if is_missing(seen, tick.now) => Some(self.prometheus_missing.unwrap_or(tick.now)),
            _ => None,
        };
    }

    /// What could not be read, is old, or is shown as rebalancing lowers nothing and puts nobody to
    /// sleep. Without Prometheus nothing is lowered for one window; who sleeps is for the log to say.
    fn nothing_lowers(&self, tick: &mut Tick<'_>, last: (u32, bool), answer: (u32, bool)) {
        let policy = &tick.plan.policy;
        let age = tick.now.since(tick.observation.at);
        let old = age > policy.poll_interval.saturating_mul(FRESH_POLLS);
        if tick.bent.partial || old || tick.bent.rebalancing || tick.clock_behind {
            tick.check(4, answer.0 >= last.0 && answer.1 >= last.1, || {
                format!("{answer:?} after {last:?} (replicas, awake) by data that is not whole")
            });
        }
        if tick.clock_behind || says(tick.decision, Verdict::Stale) {
            return;
        }
        let lately = self
            .prometheus_missing
            .is_some_and(|since| tick.now.since(since) < policy.scale_down_window);
        // With nobody there and nothing to do there is nothing to protect (ALGORITHM, 7).
        let asleep = !answer.1 && tick.decision.inputs.observed_replicas == 0;
        if lately && !asleep {
            tick.check(4, answer.0 >= last.0, || {
                format!("{answer:?} after {last:?} (replicas, awake) while Prometheus is missing")
            });
        }
    }

    /// Whatever Prometheus says, it never makes desired lower than the log alone does.
    fn prometheus_cannot_lower(&self, tick: &mut Tick<'_>) {
        // As in law 3: the dead band grows with the rate. Where replicas do what is known of them, the rate
        // asks for more than that takes off; where that is not known, or something slows them, it need not.
        let unknown = tick.decision.inputs.capacity_per_replica.is_none()
            || says(tick.decision, Verdict::CapacityMismatch);
        if !tick.sampled || !tick.plan.with_prometheus || unknown {
            return;
        }
        let alone = tick.decide_about(&Observation {
            prometheus: PrometheusObservation::NotConfigured,
            ..tick.observation.clone()
        });
        let (Some(answer), Some(without)) = (known(tick.decision), known(&alone)) else {
            return;
        };
        // What the log sees fall first it waits for, to come down further, in one step.
        let waits = says(&alone, Verdict::DownHeld)
            && step(&alone, Stage::Stabilize).is_some_and(|step| step.before <= answer.0)
            && answer.1 == without.1;
        tick.check(4, answer >= without || waits, || {
            format!("{answer:?} by what Prometheus says, {without:?} by the log alone")
        });
    }
}

fn is_missing(seen: PrometheusObservation, now: Timestamp) -> bool {
    match seen {
        PrometheusObservation::NotConfigured => false,
        PrometheusObservation::Unknown(_) => true,
        PrometheusObservation::Known {
            records_per_second,
            at,
        } => {
            !records_per_second.is_finite()
                || records_per_second < 0.0
                || now.since(at) > PROMETHEUS_FRESH
        }
    }
}

// === impl Restart ===

impl Restart {
    pub fn look(&mut self, tick: &mut Tick<'_>) {
        let Some((replicas, _)) = known(tick.decision) else {
            return;
        };
        if tick.restarted {
            self.twin = None;
        }
        if self.over || tick.second < tick.plan.fork_at {
            return;
        }
        // What a restart can know: a configured capacity, and replicas that followed.
        let inputs = &tick.decision.inputs;
        let knowable = tick.plan.policy.capacity_per_replica.is_some()
            && inputs.observed_replicas == replicas
            && !inputs.rebalancing
            && tick.plan.shape == super::super::plan::Shape::Restart;
        if self.twin.is_none() && !knowable {
            return;
        }
        let first = self.twin.is_none();
        let twin = self.twin.get_or_insert_with(|| Twin {
            state: learned(tick.after),
            started_at: tick.now,
            replicas,
        });
        let window = tick.plan.policy.scale_down_window;
        // Where the one that went on has come down, which a restart may not, it climbs from elsewhere.
        if tick.now.since(twin.started_at) >= window || replicas < twin.replicas {
            self.over = true;
            return;
        }
        let observation = if first {
            tick.past.remembered(tick.observation, tick.now)
        } else {
            tick.observation.clone()
        };
        let state = std::mem::take(&mut twin.state);
        let (state, decision) = decide(&tick.plan.policy, state, &observation, tick.now);
        twin.state = state;
        let answer = known(&decision);
        // How a skewed load divides is remembered for half an hour and can be asked of the log for
        // five minutes: there a restart knows less, and is held to what was there.
        let even = tick.plan.scenario.workload.skew == Skew::Even;
        let mut least = twin.replicas.max(if even { replicas } else { 0 });
        // With nobody there and nothing to do, what nobody runs is not kept (ALGORITHM, 7).
        let asleep = answer.is_some_and(|(_, active)| !active) && inputs.observed_replicas == 0;
        let age = tick.now.since(twin.started_at).as_secs();
        let knows_less = age <= SHORT_POLLS * tick.plan.poll_seconds()
            || !same_past(
                inputs.inbound_offsets_slow,
                decision.inputs.inbound_offsets_slow,
            );
        let fewer = answer.is_some_and(|(fresh, _)| fresh < replicas);
        if knows_less && fewer {
            // From here on the two stand on different counts.
            least = twin.replicas;
            self.over = true;
        }
        let trail = &tick.decision.trail;
        let says: Vec<&str> = trail.iter().map(|step| step.why.as_str()).collect();
        let holds = asleep || answer.is_none_or(|(fresh, _)| fresh >= least);
        tick.check_of(10, holds, Some(&decision), || {
            format!(
                "{answer:?} by a scaler that started {age} s ago, {replicas} by the one that went \
                 on, which says: {says:?}"
            )
        });
        self.over |= !holds;
    }
}

/// Whether a restart, which asked the log where it ended before the start and not how it got there,
/// sees what came before the start as the one that went on does.
fn same_past(one: Option<f64>, other: Option<f64>) -> bool {
    let (one, other) = (one.unwrap_or(0.0), other.unwrap_or(0.0));
    (one - other).abs() <= one.max(other) * SAME_PAST
}

/// A state that knows nothing but how long pauses and starts take: what a restart loses of them is
/// not what law 10 is about (ALGORITHM, 7).
fn learned(state: &State) -> State {
    let keep = |memory: &serde_json::Value, room: &str, field: &str| {
        memory.get(room).and_then(|room| room.get(field)).cloned()
    };
    let written = serde_json::to_value(state).ok();
    let nothing = serde_json::to_value(State::default()).ok();
    let (Some(written), Some(mut nothing)) = (written, nothing) else {
        return State::default();
    };
    for (room, field) in [
        ("rebalance", "pause_seconds"),
        ("flight", "startup_seconds"),
    ] {
        if let (Some(value), Some(slot)) = (
            keep(&written, room, field),
            nothing.get_mut(room).and_then(|room| room.get_mut(field)),
        ) {
            *slot = value;
        }
    }
    serde_json::from_value(nothing).unwrap_or_default()
}
