//! Scaling policies side by side on a model of the world: topic, group, pods, KEDA and the HPA.
//!
//! Pure: no I/O, no clock but the one it counts itself, no chance but seeded streams. The same
//! scenario, policy and seed give the same bytes. The policy of the product is in the loop as the very
//! crate that `evenkeel serve` uses.
//!
//! Reading order: [`workload`] (what arrives), [`world`] (what happens to it), [`hpa`] and [`keda`]
//! (what a cluster makes of an answer), [`scaler`] (what a policy is), [`rivals`] (all of them),
//! [`run`] (the loop), [`outcome`] (what it came to), [`scenario`] and [`contender`] (who meets what),
//! [`sweep`] (many runs as one row), [`calendar`] (weeks in which surges recur), [`report`] over [`plot`] (rows and runs as one HTML file).

pub mod calendar;
pub mod chance;
pub mod contender;
pub mod faults;
pub mod hpa;
pub mod keda;
pub mod outcome;
pub mod plot;
pub mod prometheus;
pub mod reference;
pub mod report;
pub mod rivals;
pub mod run;
pub mod scaler;
pub mod scenario;
pub mod scoreboard;
pub mod sweep;
pub mod variants;
pub mod workload;
pub mod world;
