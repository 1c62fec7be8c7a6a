//! The web page in a real browser, against the real admin server.
//!
//! What is tested is what somebody on call would miss: the worst comes first, an update takes nothing
//! away from under their hands, unknown is a gap, a name from outside stays a name, and the page says
//! so when the server or the target is gone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "../support/admin_server.rs"]
mod admin_server;
mod browser;
#[path = "../support/decisions.rs"]
mod decisions;
mod hands;
mod list;
mod looks;
mod names;
mod target;
mod token;
mod world;
