//! What people use beside the scaler: the demo, the simulation, and the checks of ScaledObjects.
//!
//! It depends on the scaler, which cannot reach it: the production image is built without this crate.

pub mod cli;
pub mod demo;
