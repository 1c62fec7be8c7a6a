//! The demo: a real broker, real consumers, and a driver that calls as KEDA and the HPA do.

pub mod broker;
