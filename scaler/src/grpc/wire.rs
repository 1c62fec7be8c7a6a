//! KEDA's protocol as generated from `scaler/proto/externalscaler.proto` by `make generate`; a test
//! fails when the committed code is not what comes of it.
#![allow(
    missing_docs,
    clippy::all,
    unused_qualifications,
    reason = "generated code"
)]

include!("wire/externalscaler.rs");

/// The file descriptors, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("wire/externalscaler.bin");
