//! The load producer: signals around [`produce`].

use anyhow::Context;
use clap::Parser;
use evenkeel_consumer::logging;
use evenkeel_consumer::produce::{ProducerOptions, produce};
use evenkeel_consumer::stop::StopSignal;

fn main() -> anyhow::Result<()> {
    let options = ProducerOptions::parse();
    logging::start();
    let stop = StopSignal::default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime: raise the process's thread limit")?;
    runtime.spawn(stop.clone().raise_on_signals());
    Ok(produce(&options, &stop)?)
}
