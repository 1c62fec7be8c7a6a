//! Writes the scoreboard, and its figures into numbers.md: `cargo run --release -p evenkeel-sim --bin scoreboard -- docs`.
//!
//! The one part of the simulator that reads arguments and writes files. Everything that it writes is
//! made by the library, and committed.

#![allow(
    clippy::print_stderr,
    reason = "progress is for whoever waits, on standard error"
)]

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use evenkeel_sim::scoreboard::{Plan, pages, play, runs, told};

/// The page in the folder whose figures beside each number are the scoreboard's.
const NUMBERS: &str = "numbers.md";

const USAGE: &str = "usage: scoreboard FOLDER [SEEDS [SEEDS OF THE VARIANTS]]";

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
    let folder = PathBuf::from(arguments.next().ok_or(USAGE)?);
    let mut number = |default: u64| match arguments.next() {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| USAGE.to_owned()),
    };
    let plan = Plan {
        seeds: number(20)?,
        variant_seeds: number(3)?,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let (total, count) = (runs(plan), AtomicU64::new(0));
    let shown = std::io::stderr().is_terminal();
    let done = || {
        let count = count.fetch_add(1, Ordering::Relaxed) + 1;
        let step = if shown { 10 } else { total.div_ceil(20).max(1) };
        if count.is_multiple_of(step) || count == total {
            let end = if shown { "\r" } else { "\n" };
            eprint!("{count} of {total} runs{end}");
            let _ = std::io::stderr().flush();
        }
    };
    let boards = play(plan, &done).map_err(|error| error.to_string())?;
    let written = folder.join(NUMBERS);
    let numbers = std::fs::read_to_string(&written)
        .map_err(|error| format!("{}: {error}", written.display()))?;
    let told = (NUMBERS.to_owned(), told(&numbers, &boards));
    for (name, content) in pages(plan, &boards).into_iter().chain([told]) {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .map_err(|error| format!("{}: {error}", parent.display()))?;
        }
        std::fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
