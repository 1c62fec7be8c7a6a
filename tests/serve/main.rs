//! `evenkeel serve` as a process.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails here"
)]

mod alone;
mod kafka;
#[path = "../support/process.rs"]
mod process;
