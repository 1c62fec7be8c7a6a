//! The load producer: signals around [`produce`].

use anyhow::Context;
use batch_consumer::consume::{Stop, stop_on_signals};
use batch_consumer::options::{parse, refuse};
use evenkeel_consumer::produce::{ProducerOptions, produce};

fn main() -> anyhow::Result<()> {
    let options: ProducerOptions = parse();
    options.connection.start_logging();
    let plan = options.plan().unwrap_or_else(|error| refuse(error));
    let stop = Stop::default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime: raise the process's thread limit")?;
    runtime.spawn(stop_on_signals(stop.clone()));
    Ok(produce(&options, plan, &stop)?)
}
