//! What KEDA sees: the external scaler's gRPC server.
//!
//! Handlers read published decisions and compute nothing; the first call of a ScaledObject
//! registers it. [`metadata`] turns a trigger's metadata into a target, [`service`] answers,
//! [`forward`] hands a call on where another replica leads, [`status`] says no, [`health`] says whether to ask, [`layers`] count, time, trace and bound every
//! call, [`server`] holds the socket.

pub mod forward;
pub mod health;
mod incoming;
pub mod layers;
pub mod metadata;
pub mod server;
pub mod service;
pub mod status;
pub mod wire;

pub use forward::Forward;
pub use health::Health;
pub use server::{ServeError, serve};
pub use service::{METRIC_NAME, Scaler};
