//! The lag that counts.
