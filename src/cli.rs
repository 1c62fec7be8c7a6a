//! The command line: the scaler's commands and, unless the feature `tools` is off, the tools.
//!
//! Exit codes: 0 done, 1 failed, 64 wrong input (EX_USAGE). Colours are off when the output is no
//! terminal.

mod completions;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use evenkeel_scaler::cli::{explain, serve, top};
#[cfg(feature = "tools")]
use evenkeel_tools::cli::{check, demo, migrate, simulate};

/// A KEDA external scaler for Kafka batch consumers that does not flap.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Answer KEDA: the gRPC server and the admin server.
    Serve(serve::Args),
    /// Watch it work: a real broker, real consumers, and a driver that calls as KEDA and the HPA do.
    #[cfg(feature = "tools")]
    Demo(demo::Args),
    /// Say why a running server decided what it decided.
    Explain(explain::Args),
    /// Watch all targets of a running server.
    Top(top::Args),
    /// Simulate policies side by side on a load of yours, recorded or typed, or a built-in one.
    #[cfg(feature = "tools")]
    Simulate(Box<simulate::Args>),
    /// Check ScaledObjects, in files or in a cluster: everything that is wrong at once.
    #[cfg(feature = "tools")]
    Check(check::Args),
    /// Turn KEDA's Kafka triggers into evenkeel's, in the file as it is written.
    #[cfg(feature = "tools")]
    Migrate(migrate::Args),
    /// Print a shell completion script.
    Completions(completions::Args),
}

// === impl Cli ===

impl Cli {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// Whatever made it fail; the caller prints it and exits with 1.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(args) => args.run().await,
            #[cfg(feature = "tools")]
            Command::Demo(args) => args.run().await,
            Command::Explain(args) => args.run().await,
            Command::Top(args) => args.run().await,
            #[cfg(feature = "tools")]
            Command::Simulate(args) => args.run().await,
            #[cfg(feature = "tools")]
            Command::Check(args) => args.run().await,
            #[cfg(feature = "tools")]
            Command::Migrate(args) => args.run(),
            Command::Completions(args) => args.run(),
        }
    }
}
