//! One Kafka cluster, observed in batches for all targets.

pub mod connect;
