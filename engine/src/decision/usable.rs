//! Whether there is a picture to decide by: whole, in part, not long ago, or not at all.
//!
//! What is known may ask for more and wake a target; what is unknown lowers nothing and sends nobody to
//! sleep. What comes of either is decided in `pipeline` and `recommend`.

use std::time::Duration;

use super::State;
use crate::observation::Cause;
use crate::partition::Intake;
use crate::policy::Policy;
use crate::replicas::Replicas;
use crate::time::Timestamp;

/// How long a target's first answer waits for what Kubernetes says: it is being asked.
const WORKLOAD_WITHIN: Duration = Duration::from_secs(10);

/// Whether there is a picture to decide by.
pub(super) enum Usable {
    /// There is; its oldest part was read then.
    Since(Timestamp),
    /// Only a part of it was read lately, the newest then: it may ask for more, and wake.
    Part(Timestamp, Cause),
    /// There is nothing to look at now, but there was not long ago.
    Hold(Cause),
    /// There is none.
    Not(Cause),
}

/// Whether there is a picture to decide by.
pub(super) fn usable(policy: &Policy, state: &State, intake: &Intake, now: Timestamp) -> Usable {
    let lately = state
        .desired
        .and(state.complete_at)
        .filter(|complete| now.since(*complete) <= policy.max_staleness);
    if state.partitions.count() == 0 {
        let cause = match (&intake.never_known, &intake.first_missing) {
            (Some((_, cause)), _) | (None, Some((_, cause))) => *cause,
            (None, None) => Cause::NotFound,
        };
        return lately.map_or(Usable::Not(cause), |_| Usable::Hold(cause));
    }
    let group_at = state.group.as_ref().map(|group| group.at);
    let fresh = |at: Timestamp| now.since(at) <= policy.max_staleness;
    // What is known may ask for more and wake, and nothing is lowered.
    let part = |cause| match intake.newest {
        Some(newest) if fresh(newest) && group_at.is_some_and(fresh) => Usable::Part(newest, cause),
        _ => Usable::Not(cause),
    };
    if let Some((_, cause)) = intake.never_known {
        return lately.map_or_else(|| part(cause), Usable::Since);
    }
    let data_at = match (intake.oldest, group_at) {
        (Some(oldest), Some(group)) => oldest.min(group),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => return Usable::Not(Cause::NotYetObserved),
    };
    if fresh(data_at) {
        return Usable::Since(data_at);
    }
    // What the server says about it is more use than that it is old.
    part(match intake.first_missing {
        Some((_, cause @ (Cause::NotFound | Cause::Refused))) => cause,
        _ => Cause::Stale,
    })
}

/// Whether the first answer of all still waits: it goes by what was asked for before, which Kubernetes knows.
pub(super) fn awaits_kubernetes(state: &State, replicas: &Replicas, now: Timestamp) -> bool {
    let starts = state
        .first_at
        .is_some_and(|first| now.since(first) <= WORKLOAD_WITHIN);
    starts && state.desired.is_none() && replicas.unread == Some(Cause::NotYetObserved)
}
