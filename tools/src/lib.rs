//! What people use beside the scaler: the demo, the simulation, the checks of ScaledObjects, and the runs
//! on real KEDA.
//!
//! It depends on the scaler, which cannot reach it: the production image is built without this crate.

pub mod cli;
pub mod counters;
pub mod demo;
pub mod lab;
