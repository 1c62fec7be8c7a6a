//! The contract with KEDA, held over real gRPC: what every call answers, and when it refuses.
//!
//! Decisions are published by hand, so nothing here depends on Kafka or on the engine. Where time
//! has to pass or to stand still, the handlers, or the services in their layers, are called without a
//! socket under tokio's paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod calls;
mod layers;
mod server;
mod streams;
mod wire;
mod world;
