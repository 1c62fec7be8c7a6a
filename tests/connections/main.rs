//! Connections as production has them: TLS and SASL on real brokers and a real Prometheus, with
//! certificates made here.
//!
//! [`authority`] makes certificates, good and bad; [`provider`] gives tokens; [`secured`] is a broker with a listener of every
//! kind, and what the scaler sees of it by a profile. What is observed is judged by `tests/broker`;
//! here only whether it is known, and what is said where it is not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here"
)]

mod authority;
#[path = "../support/eventually.rs"]
mod eventually;
#[path = "../support/fake_broker.rs"]
mod fake_broker;
#[allow(dead_code, reason = "tests/serve uses the rest of it")]
#[path = "../support/process.rs"]
mod process;
mod provider;
mod secured;

mod acl;
mod bearer;
mod consumer;
mod faults;
mod grpc;
mod msk;
mod prometheus;
mod rotation;
mod sasl;
mod secrets;
mod serving;
mod tls;
mod walk;
