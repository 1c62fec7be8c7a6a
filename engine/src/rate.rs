//! The inbound rate.
