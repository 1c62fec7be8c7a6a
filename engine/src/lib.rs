//! The decision of evenkeel: consumer lag, inbound rate and rebalances to one replica count.
//!
//! One pure function, [`decide`], and the vocabulary around it. Nothing here reads a clock, does
//! I/O, logs, draws random numbers or depends on hash order: the same inputs give the same bytes.
//! The scaler feeds it from Kafka and Prometheus; the simulator feeds it from a model of the world.
//!
//! Reading order: [`observation`] (what is known), [`policy`] (what the user asked for), [`tuning`]
//! (the numbers that no user sets),
//! [`decision`] (what comes out, and the pipeline), then the rooms of the pipeline: `partition` and
//! `group` (what is remembered), `replicas` (who is there), `history`, `rate`, `lag`, `capacity`, `assignor`, `sizing`,
//! `rebalance`, `stabilizer`, `calendar` with `past`; at last `learned` (what of all that outlives a restart) and
//! [`coarse`] (what a number of partitions costs).

mod assignor;
mod calendar;
mod capacity;
pub mod coarse;
pub mod decision;
mod group;
mod history;
mod lag;
#[cfg(test)]
mod laws;
mod learned;
pub mod observation;
mod partition;
mod past;
pub mod policy;
mod rate;
mod rebalance;
mod replicas;
mod sizing;
mod stabilizer;
pub mod time;
pub mod tuning;
#[cfg(test)]
mod world;

pub use calendar::MOST_EVENTS;
pub use decision::{Decision, Desired, Finding, Inputs, Stage, State, Step, Verdict, decide};
pub use learned::Learned;
pub use observation::{
    AssignedTopic, Cause, Committed, Event, EventLoad, GroupObservation, GroupProtocol, GroupState,
    LogOffsets, Member, Observation, PartitionHistory, PartitionObservation, Paused,
    PrometheusObservation, Reading, Scaling, TopicObservation, Workload, WorkloadObservation,
};
pub use past::{Expected, Foresight, Past};
pub use policy::{OffsetReset, Policy, PolicyError};
pub use rate::SLOW_WINDOW;
pub use time::Timestamp;
pub use tuning::Tuning;
