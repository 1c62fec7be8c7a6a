//! The program `evenkeel`: parses the command line and hands over to one subcommand.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use evenkeel_scaler::cli::EXIT_USAGE;

use self::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" that go to stdout and succeed.
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            if error.print().is_err() {
                return ExitCode::FAILURE;
            }
            return ExitCode::from(code);
        }
    };
    match cli.run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("evenkeel: {error:#}");
            ExitCode::FAILURE
        }
    }
}
