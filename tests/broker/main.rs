//! Everything that touches Kafka, on real brokers with real members: what is observed is what Kafka
//! says, in every group protocol and through every fault, and `evenkeel serve` answers accordingly.
//!
//! Brokers are started by the tests ([`cluster`]), members and load are the programs of `consumer/`
//! ([`members`]), and where Kafka's own command-line tool can say what is right, it is asked
//! ([`tools`]). Tests share one broker and use topics and groups of their own; those that kill a
//! broker start their own. Which count a decision should come to is not judged here: that is the
//! engine's own tests'.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here"
)]

mod cluster;
#[path = "../support/eventually.rs"]
mod eventually;
mod members;
#[allow(dead_code, reason = "tests/serve uses the rest of it")]
#[path = "../support/process.rs"]
mod process;
#[allow(dead_code, reason = "tests/prometheus uses the rest of it")]
#[path = "../prometheus/servers.rs"]
mod servers;
mod tools;
mod watch;

mod days;
mod faults;
mod groups;
mod offsets;
mod serve;
mod topics;
