//! Log lines: text for people, JSON for machines, to standard error.
//!
//! Standard output is left to what a command prints. What is logged is the user's to say, but for
//! crates that log secrets ([`SHOW_SECRETS`]).

use std::io::IsTerminal as _;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterFn, LevelFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The variable that says what is logged, in the usual `target=level,...` form.
pub const LEVEL_VARIABLE: &str = "EVENKEEL_LOG";

/// Crates whose debug and trace lines are never logged: the requests that AWS's signer writes out hold
/// session tokens and signatures.
const SHOW_SECRETS: [&str; 1] = ["aws_sigv4"];

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
    let discreet = FilterFn::new(is_discreet);
    let _already_started = if json {
        let subscriber = subscriber.json().flatten_event(true).finish();
        subscriber.with(discreet).try_init()
    } else {
        subscriber.finish().with(discreet).try_init()
    };
    Ok(())
}

/// Whether a line may be logged at all.
fn is_discreet(line: &Metadata<'_>) -> bool {
    let mut crates = SHOW_SECRETS.iter();
    *line.level() <= Level::INFO || !crates.any(|name| line.target().starts_with(name))
}
