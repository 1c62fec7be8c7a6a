//! What KEDA sees: the external scaler's gRPC server.
//!
//! Handlers read published decisions and compute nothing; the first call of a ScaledObject
//! registers it.

pub mod metadata;
pub mod wire;
