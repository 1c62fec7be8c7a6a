//! The demo: a real broker, real consumers, and a driver that calls as KEDA and the HPA do.
//!
//! Nothing here is needed to serve: the scaler never starts a process. The embedded broker is also
//! what the tests and benches run against.

pub mod broker;
pub mod process;
