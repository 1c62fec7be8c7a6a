//! `evenkeel serve`: the gRPC server that KEDA asks, and the admin server.
//!
//! A configuration that cannot be used ends with 64 and the whole list of what is wrong, before any
//! socket opens. SIGTERM or SIGINT drains and ends with 0; a second one ends at once with 1.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::EXIT_USAGE;
use crate::app::{App, logging};
use crate::config::Config;

/// Arguments of `evenkeel serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  evenkeel serve --config evenkeel.yaml
  evenkeel serve --grpc-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --ready-file ready

EVENKEEL__GRPC__LISTEN and its like override single settings of the file.
EVENKEEL_LOG says what is logged: info, debug, evenkeel=debug,warn.")]
pub struct Args {
    /// The configuration file (YAML); the defaults alone where absent.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here for KEDA instead of grpc.listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    grpc_listen: Option<SocketAddr>,
    /// Listen here for people and Prometheus instead of admin.listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
    /// Once both servers listen, write `grpc ADDRESS` and `admin ADDRESS` to this file, a line each.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

// === impl Args ===

impl Args {
    /// Runs it.
    ///
    /// # Errors
    /// Whatever made it fail.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut config = match Config::load(self.config.as_deref(), environment()) {
            Ok(config) => config,
            Err(errors) => {
                eprintln!("evenkeel: {errors:#}");
                return Ok(ExitCode::from(EXIT_USAGE));
            }
        };
        let level = std::env::var(logging::LEVEL_VARIABLE).ok();
        if let Err(error) = logging::start(config.log_json, level.as_deref()) {
            eprintln!("evenkeel: {error}");
            return Ok(ExitCode::from(EXIT_USAGE));
        }
        if let Some(address) = self.grpc_listen {
            config.grpc.listen = address;
        }
        if let Some(address) = self.admin_listen {
            config.admin.listen = address;
        }
        let shutdown = CancellationToken::new();
        end_on_signal(shutdown.clone())?;

        let app = App::build(config).await?;
        let (grpc, admin) = (app.grpc_address(), app.admin_address());
        tracing::info!(version = env!("CARGO_PKG_VERSION"), %grpc, %admin, "listening");
        if let Some(path) = &self.ready_file {
            // The listeners are bound: a call made now is answered, if only after a moment.
            write_whole(path, &format!("grpc {grpc}\nadmin {admin}\n"))
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        app.run(shutdown).await?;
        tracing::info!("ended in order");
        Ok(ExitCode::SUCCESS)
    }
}

/// The environment as far as it is text: a variable that is not cannot be one of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Cancels `shutdown` at the first SIGTERM or SIGINT and ends the process at the second.
fn end_on_signal(shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be caught")?;
    tokio::spawn(async move {
        let name = next(&mut terminate, &mut interrupt).await;
        tracing::info!("{name}: a second one ends at once");
        shutdown.cancel();
        let name = next(&mut terminate, &mut interrupt).await;
        tracing::warn!("{name} again: ending at once");
        std::process::exit(1);
    });
    Ok(())
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Writes beside `path` and renames, so that nobody ever reads half a file.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}
