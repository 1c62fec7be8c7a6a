//! Up in one step, down slowly.
