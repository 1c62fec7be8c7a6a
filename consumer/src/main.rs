//! The program: options, and the sink that batches go to. Everything else is in the library.

use batch_consumer::consume::{Stop, run};
use batch_consumer::metrics::Metrics;
use batch_consumer::options::{Options, parse, refuse};
use batch_consumer::postgres::{Database, Postgres};
use batch_consumer::trade::Trade;
use clap::Parser;

/// Reads a topic in a group and writes it into PostgreSQL, exactly once.
#[derive(Debug, Parser)]
#[command(version)]
struct Given {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    database: Database,
}

fn main() -> anyhow::Result<()> {
    let Given { options, database } = parse();
    let sink = Postgres::<Trade>::new(&database, &options.group, &options.topic);
    let sink = sink.unwrap_or_else(|error| refuse(error));
    run::<_, _, ()>(options, sink, Metrics::default(), Stop::default())
}
