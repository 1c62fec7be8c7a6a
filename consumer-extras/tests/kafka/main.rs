//! What only a real Kafka does to the consumer: it deletes what was not read, aborts transactions, makes
//! topics anew and refuses records that are too large. With a real PostgreSQL; held against what is in the
//! tables and what is told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test that cannot go on fails here"
)]

mod brokers;
mod gaps;
mod letters;
mod memory;
mod world;
