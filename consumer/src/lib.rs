//! A batch consumer for Kafka that writes into PostgreSQL exactly once: copy the folder, change
//! `schema.sql` and [`trade`].
//!
//! Read in this order: [`trade`] (yours), [`sink`] (the traits), [`batch`], [`postgres`] (exactly once),
//! [`writer`] (what follows from an error), [`position`] (where a partition goes on), [`hand`] (what the
//! loop has in hand), [`group`] (what happens when partitions move), [`consume`] (the loop). Around it:
//! [`options`], [`metrics`], [`clock`].

pub mod batch;
pub mod clock;
pub mod consume;
pub mod group;
pub mod hand;
pub mod metrics;
pub mod options;
pub mod position;
pub mod postgres;
pub mod sink;
pub mod trade;
pub mod writer;
