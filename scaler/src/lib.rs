//! evenkeel: a KEDA external scaler for Kafka batch consumers that does not flap.
//!
//! The decision itself lives in the pure crate `evenkeel-engine`; here is everything with I/O around
//! it. Data flows one way: [`observe`] turns Kafka and Prometheus into observations, [`control`]
//! calls the engine and publishes decisions, [`grpc`] and [`admin`] read what was published.
//! docs/ARCHITECTURE.md is the map.

pub mod admin;
pub mod app;
pub mod aws;
pub mod calendar;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod credentials;
pub mod grpc;
pub mod keep;
pub mod kubernetes;
pub mod leader;
pub mod metrics;
pub mod notices;
pub mod observe;
pub mod schema;
pub mod tls;
