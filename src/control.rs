//! The one caller of the engine: a loop a cluster, a target a ScaledObject, published decisions.
//!
//! Loops run at their own pace; calls from KEDA only read what was published and never cause I/O.

pub mod registry;
pub mod target;
