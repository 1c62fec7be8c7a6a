//! What becomes of a step that the HPA would take for what is there.
//!
//! The intuition: within its tolerance, a tenth by default, the HPA leaves a workload as it is. Whoever
//! asks for 21 of 20 gets nothing, and waits for a replica that never comes. So where more is needed the
//! next useful count beyond the tolerance is asked for, and where less would do nothing is asked for;
//! either is said. While the HPA is at work on an earlier step there is nothing to heed.
//!
//! What this does not do: anything where the tolerance is not known.

use super::{Direction, demand};
use crate::capacity::Capacity;
use crate::decision::State;
use crate::decision::gates::Gate;
use crate::decision::pipeline::Picture;
use crate::observation::Paused;
use crate::policy::Policy;

/// What to ask for in place of `limited`, which way that goes, and what was right and will be ignored.
pub(super) fn heed(
    (policy, state, picture, capacity): (&Policy, &State, &Picture, Option<Capacity>),
    (base, limited, most): (u32, u32, u32),
    (direction, is_ahead): (Direction, bool),
) -> (u32, Direction, Option<u32>) {
    let same = (limited, direction, None);
    let Some(workload) = picture.replicas.workload() else {
        return same;
    };
    let acts = workload.asked == workload.exist && workload.scaling.paused != Paused::All;
    if !acts || !picture.replicas.tolerates(limited) {
        return same;
    }
    let is_up = matches!(direction, Direction::UpForRate | Direction::UpForLag);
    if limited < workload.exist {
        return match direction {
            Direction::Down => (base, Direction::StayThoughLower(Gate::Tolerated), None),
            _ => (limited, direction, Some(limited)),
        };
    }
    let needed = if is_up || is_ahead {
        Some(direction)
    } else {
        capacity.and_then(|capacity| needed(policy, state, picture, capacity, workload.exist))
    };
    if let Some(direction) = needed
        && let Some(beyond) = beyond(picture, limited, most)
    {
        return (beyond, direction, None);
    }
    let stays = if is_up { base } else { limited };
    let direction = if is_up { Direction::Stay } else { direction };
    (stays, direction, Some(limited))
}

/// What makes so many replicas too few.
fn needed(
    policy: &Policy,
    state: &State,
    picture: &Picture,
    capacity: Capacity,
    replicas: u32,
) -> Option<Direction> {
    let demand = |capacity| demand(policy, state, picture, &picture.inbound_up, capacity);
    let backlog = picture.lag.due.iter().any(|due| *due > 0.0);
    if demand(capacity.up).rate_exceeds(replicas) {
        Some(Direction::UpForRate)
    } else if backlog && demand(capacity.backlog).lag_exceeds(replicas) {
        Some(Direction::UpForLag)
    } else {
        None
    }
}

/// The next useful count above `wanted` that the HPA does not take for what is there, or the `most`.
fn beyond(picture: &Picture, wanted: u32, most: u32) -> Option<u32> {
    let mut count = wanted;
    while picture.replicas.tolerates(count) {
        let next = picture
            .layout
            .next_useful(count)
            .max(count.saturating_add(1));
        if count >= most {
            return None;
        }
        count = next.min(most);
    }
    Some(count)
}
