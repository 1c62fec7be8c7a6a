//! The commands: one small file each. The program `evenkeel` parses them beside the scaler's own.

pub mod check;
pub mod demo;
mod finding;
mod manifests;
pub mod migrate;
pub mod simulate;
