//! The rivals: other policies, each as it is published, and two oracles as the limits of what any
//! policy could do.
//!
//! All of them, ours included, are given the same knowledge of a pod's capacity. Where a rival has
//! thresholds in records, they are given in seconds of that capacity, so that one setting means the
//! same on every load.

mod cloud_run;
mod evenkeel;
mod flink;
mod forecast;
mod keda_triggers;
mod oracle;

pub use cloud_run::CloudRun;
pub use evenkeel::{Clocks, Evenkeel, default_policy};
pub use flink::Flink;
pub use forecast::{Forecast, Model};
pub use keda_triggers::{Even, KedaTriggers};
pub use oracle::Oracle;
pub(crate) use oracle::enough;
