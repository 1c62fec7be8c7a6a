//! `evenkeel demo`: The demo's arguments.

use std::process::ExitCode;

/// Arguments of `evenkeel demo`.
#[derive(Debug, clap::Args)]
pub struct Args {}

// === impl Args ===

impl Args {
    /// Runs it.
    ///
    /// # Errors
    /// Whatever made it fail.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("not built yet")
    }
}
