//! `evenkeel demo`: The demo's arguments.

use std::process::ExitCode;

use crate::demo::broker::{self, Progress};

/// Arguments of `evenkeel demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only fetch and prepare what the embedded broker needs.
    #[arg(long)]
    prepare: bool,
}

// === impl Args ===

impl Args {
    /// Runs it.
    ///
    /// # Errors
    /// Whatever made it fail.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        if self.prepare {
            let progress = Progress::shown();
            let result = broker::prepare(&progress).await;
            progress.done();
            result?;
            return Ok(ExitCode::SUCCESS);
        }
        anyhow::bail!("not built yet")
    }
}
