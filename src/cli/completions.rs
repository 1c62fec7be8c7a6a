//! `evenkeel completions`: shell completion scripts.

use std::process::ExitCode;

use clap::CommandFactory;

/// Arguments of `evenkeel completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For which shell.
    shell: clap_complete::Shell,
}

// === impl Args ===

impl Args {
    /// Prints the script.
    ///
    /// # Errors
    /// Never; the signature is that of every subcommand.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        clap_complete::generate(
            self.shell,
            &mut super::Cli::command(),
            "evenkeel",
            &mut std::io::stdout(),
        );
        Ok(ExitCode::SUCCESS)
    }
}
