//! Log lines: text for people, JSON for machines, to standard error.
//!
//! Standard output is left to what a command prints.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};

/// The variable that says what is logged, in the usual `target=level,...` form.
pub const LEVEL_VARIABLE: &str = "EVENKEEL_LOG";

/// The log level cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "{LEVEL_VARIABLE} is \"{value}\", which is no log level (try info or evenkeel=debug): {source}"
)]
pub struct LevelError {
    value: String,
    source: ParseError,
}

/// Starts to log, for the rest of the process. Without effect when something logs already.
///
/// # Errors
/// When `level` cannot be understood.
pub fn start(json: bool, level: Option<&str>) -> Result<(), LevelError> {
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    let value = level.unwrap_or_default();
    let filter = builder.parse(value).map_err(|source| LevelError {
        value: value.to_owned(),
        source,
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let _already_started = if json {
        subscriber.json().flatten_event(true).try_init()
    } else {
        subscriber.try_init()
    };
    Ok(())
}
