//! The scaler's own commands: one small file each, for the program `evenkeel` to parse.
//!
//! Exit codes: 0 done, 1 failed, 64 wrong input (EX_USAGE).

pub mod explain;
pub mod serve;
pub mod table;
pub mod top;

/// Wrong input: the sysexits code EX_USAGE.
pub const EXIT_USAGE: u8 = 64;
