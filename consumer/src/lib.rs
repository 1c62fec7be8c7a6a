//! A minimal batch consumer for Kafka that scales well, and a load producer to try it with.
//!
//! The folder is meant to be copied: it depends on no other crate of its workspace. Read in this
//! order: [`batch`] (what a batch is, when it is full), [`sink`] (where batches go), [`postgres`]
//! (exactly once), [`worker`] and [`dead_letter`] (what happens when a sink will not have a batch),
//! [`progress`] (where every record is), [`rebalance`] (what happens when partitions move),
//! [`consume`] (the loop that ties them). Around it: [`config`], [`metrics`], [`report`], and
//! `msk_iam` where its feature is on. The producer is [`load`] (when to send), [`trade`] (what to
//! send) and [`produce`] (sending).
//!
//! Offsets are committed to Kafka after the sink has written, never before: at least once. A sink
//! that stores the offsets with the records, as [`postgres`] does, makes it exactly once.

pub mod batch;
pub mod clock;
pub mod config;
pub mod consume;
pub mod dead_letter;
pub mod load;
pub mod logging;
pub mod metrics;
#[cfg(feature = "msk-iam")]
pub mod msk_iam;
pub mod postgres;
pub mod produce;
pub mod progress;
pub mod rebalance;
mod refusal;
pub mod report;
pub mod sink;
pub mod stop;
pub mod trade;
pub mod worker;
