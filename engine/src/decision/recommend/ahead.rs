//! How many replicas an event takes that is known ahead: the floor under the recommendation.
//!
//! A rate is sized as the same rate would be if it came in now, without a backlog and with everybody
//! there; it divides over partitions as the load has done so far. Replicas that were asked for by number
//! are as many as carry no less: 13 over 24 partitions are 12.
//!
//! What this does not do: bound it by maxReplicas and the partitions, which is done to all that is asked for.

use super::demand;
use crate::calendar::Floor;
use crate::capacity::Capacity;
use crate::decision::State;
use crate::decision::pipeline::Picture;
use crate::observation::{Event, EventLoad};
use crate::policy::Policy;
use crate::sizing::Demand;
use crate::time::Timestamp;

/// The floor, where one stands.
pub(super) fn floor(
    policy: &Policy,
    state: &mut State,
    picture: &Picture,
    capacity: Option<Capacity>,
) -> Option<Floor> {
    if !picture.outlook.stands() {
        return None;
    }
    let mut calendar = std::mem::take(&mut state.calendar);
    let floor = calendar.floor(|event| takes(policy, state, picture, capacity, event));
    state.calendar = calendar;
    floor
}

/// Works out what one of the surges takes that are expected later, at most `most`, for people: one at a
/// time, since it costs as much as the floor does.
pub(super) fn foretell(
    policy: &Policy,
    state: &mut State,
    picture: &Picture,
    (capacity, most): (Option<Capacity>, u32),
    now: Timestamp,
) {
    if let Some(event) = capacity.and_then(|_| state.foreseen.to_size(now))
        && let Some(replicas) = takes(policy, state, picture, capacity, event)
    {
        state.foreseen.note_size(event, replicas.min(most), now);
    }
}

/// How many replicas an event takes, where that is known.
fn takes(
    policy: &Policy,
    state: &State,
    picture: &Picture,
    capacity: Option<Capacity>,
    event: Event,
) -> Option<u32> {
    match event.load {
        EventLoad::Replicas(replicas) if policy.allow_idle_consumers => Some(replicas),
        EventLoad::Replicas(replicas) => Some(picture.layout.useful_at_most(replicas)),
        EventLoad::RecordsPerSecond(rate) => capacity.map(|capacity| {
            let inbound: Vec<f64> = picture.shares.iter().map(|share| share * rate).collect();
            let demand = demand(policy, state, picture, &inbound, capacity.up);
            let then = Demand {
                present: f64::INFINITY,
                ..demand.as_of_now().without_lag()
            };
            let replicas = then.size();
            let most = policy.calendar_max_replicas.filter(|_| event.learned);
            most.map_or(replicas, |most| replicas.min(most))
        }),
    }
}
