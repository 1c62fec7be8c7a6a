//! `evenkeel check`: Check ScaledObject files offline.

use std::process::ExitCode;

/// Arguments of `evenkeel check`.
#[derive(Debug, clap::Args)]
pub struct Args {}

// === impl Args ===

impl Args {
    /// Runs it.
    ///
    /// # Errors
    /// Whatever made it fail.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("not built yet")
    }
}
