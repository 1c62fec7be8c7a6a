//! `evenkeel serve`: The server.

use std::process::ExitCode;

/// Arguments of `evenkeel serve`.
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
