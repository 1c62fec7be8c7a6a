//! What is not copied: the program `evenkeel-consumer` of the demo and the tests, which is the consumer of
//! `consumer/` with other sinks and the blueprint's options around it, and the load producer.
//!
//! The consumer: [`options`], [`sinks`] without a database, [`writers`] for more than one connection,
//! [`dead_letter_topic`] in place of the table, [`redrive`] what sends its rows again, [`report`] for whoever starts the process, `msk_iam`
//! and `traces` where their features are on. The producer: [`load`] (when to send), [`trades`] (what), [`produce`].

pub mod dead_letter_topic;
pub mod load;
#[cfg(feature = "msk-iam")]
pub mod msk_iam;
pub mod options;
pub mod produce;
pub mod redrive;
pub mod report;
pub mod sinks;
#[cfg(feature = "otel")]
pub mod traces;
pub mod trades;
pub mod writers;
