//! Writes what the past is worth: `cargo run --release -p evenkeel-sim --bin calendar_board -- FILE`.
//!
//! It reads arguments and writes one file; everything in it is made by the library, and committed.

#![allow(
    clippy::print_stderr,
    reason = "progress is for whoever waits, on standard error"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use evenkeel_sim::calendar::{Plan, Table, page, play};

const USAGE: &str = "usage: calendar_board FILE [SEEDS]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let file = PathBuf::from(arguments.next().ok_or(USAGE)?);
    let seeds = match arguments.next() {
        None => 1,
        Some(text) => text.parse().map_err(|_| USAGE.to_owned())?,
    };
    let plan = Plan {
        seeds,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let done = |tables: &[Table], of| {
        eprintln!("{} of {of} loads", tables.len());
        if let Some(table) = tables.last() {
            for (party, row) in &table.rows {
                let (late, replicas) = (row.late_percent, row.mean_replicas);
                eprintln!(
                    "{} {}: {late:.4} % late, {replicas:.3}",
                    table.name,
                    party.name()
                );
            }
        }
    };
    let tables = play(plan, done).map_err(|error| error.to_string())?;
    std::fs::write(&file, page(plan, &tables))
        .map_err(|error| format!("{}: {error}", file.display()))
}
