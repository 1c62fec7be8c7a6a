//! The contract with KEDA, held over real gRPC: what every call answers, and when it refuses.
//!
//! Decisions are published by hand, so nothing here depends on Kafka or on the engine. Where time
//! has to pass, the handlers are called without a socket under tokio's paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod calls;
mod server;
mod streams;
mod wire;
mod world;
