//! `evenkeel top`: All targets of a running server, live.

use std::process::ExitCode;

/// Arguments of `evenkeel top`.
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
