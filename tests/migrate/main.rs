//! `evenkeel migrate` on ScaledObjects as people write them, and everybody who has to take the result.
//!
//! `cases/NAME.yaml` goes in; `NAME.moved.yaml` and `NAME.notes.txt` are what comes out on the two
//! outputs. What comes out is then held against `evenkeel check`, KEDA's own schema and a running
//! server. `UPDATE_EXPECT=1` rewrites what comes out.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here"
)]

mod cases;
#[allow(dead_code, reason = "tests/deploy uses the rest of it")]
#[path = "../deploy/chart_tool.rs"]
mod chart_tool;
mod files;
#[allow(dead_code, reason = "tests/serve uses the rest of it")]
#[path = "../support/process.rs"]
mod process;
