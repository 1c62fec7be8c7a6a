//! A minimal batch consumer for Kafka that scales well, and a load producer to try it with.
//!
//! The folder is meant to be copied: it depends on no other crate of its workspace. Read in this
//! order: [`batch`] (what a batch is, when it is full), [`sink`] (where batches go), [`rebalance`]
//! (what happens to a batch when partitions move), [`consume`] (the loop that ties them). Around
//! it: [`config`], [`metrics`], [`report`]. The producer is [`load`] (when to send), [`trade`]
//! (what to send) and [`produce`] (sending).
//!
//! Delivery is at least once: offsets are committed after the sink has written, never before.

pub mod batch;
pub mod clock;
pub mod config;
pub mod consume;
pub mod load;
pub mod logging;
pub mod metrics;
pub mod produce;
pub mod rebalance;
pub mod report;
pub mod sink;
pub mod stop;
pub mod trade;
