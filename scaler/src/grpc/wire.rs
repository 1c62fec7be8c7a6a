//! KEDA's protocol as generated from `proto/externalscaler.proto`.
#![allow(
    missing_docs,
    clippy::all,
    unused_qualifications,
    reason = "generated code"
)]

tonic::include_proto!("externalscaler");

/// The file descriptors, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/externalscaler.bin"));
