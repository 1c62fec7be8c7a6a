//! What is answered where there is nothing new to decide by: the last decision, or none.
//!
//! Either is given why. What is too little to decide by is judged in `usable`.

use super::{Decision, Desired, Finding, Inputs, Stage, State, Step, Verdict};
use crate::observation::Cause;
use crate::time::Timestamp;

/// The group's state in Kafka's words; empty when unknown.
pub(super) fn group_state(state: &State) -> String {
    state
        .group
        .as_ref()
        .map_or_else(String::new, |group| group.state.label().to_owned())
}

/// No answer: there is no picture, or it is too old.
pub(super) fn unknown(
    state: &mut State,
    why: String,
    (cause, until): (Cause, Timestamp),
    now: Timestamp,
) -> Decision {
    // Whatever was recommended before, a whole window has to be watched again before less is asked
    // for; nothing measured across the gap counts.
    state.down.restart();
    state.up.restart();
    state.capacity.interrupt();
    state.unanswered = Some(cause);
    Decision {
        desired: Desired::Unknown { cause },
        valid_until: until,
        ..last_stands(state, why, now)
    }
}

/// The last decision stands, and says why.
pub(super) fn last_stands(state: &State, why: String, now: Timestamp) -> Decision {
    let desired = match (state.desired, state.unanswered) {
        (Some(replicas), None) => Desired::Known {
            replicas,
            active: state.active,
        },
        (_, Some(cause)) => Desired::Unknown { cause },
        (None, None) => Desired::Unknown {
            cause: Cause::NotYetObserved,
        },
    };
    let group = state.group.as_ref().map(|group| group.replicas);
    let observed = state.replicas.observed.or(group).unwrap_or(0);
    let asked = state.desired.unwrap_or(observed);
    Decision {
        at: now,
        desired,
        verdict: Verdict::Stale,
        reason: why.trim_end_matches('.').to_owned(),
        findings: vec![Finding {
            verdict: Verdict::Stale,
            why: why.clone(),
        }],
        trail: vec![Step {
            stage: Stage::Observed,
            before: asked,
            after: asked,
            why,
        }],
        inputs: Inputs {
            observed_replicas: observed,
            partitions: state.partitions.count(),
            group_state: group_state(state),
            rebalances: state.rebalance.episodes,
            ..Inputs::default()
        },
        valid_until: state.valid_until,
    }
}
