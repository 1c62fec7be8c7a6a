//! The load producer: signals around [`produce`].

use anyhow::Context;
use evenkeel_consumer::produce::{ProducerOptions, produce};
use evenkeel_consumer::stop::StopSignal;
use evenkeel_consumer::{config, logging};

fn main() -> anyhow::Result<()> {
    let options = config::parse_options::<ProducerOptions>();
    logging::start(options.connection.log_format);
    let plan = options
        .plan()
        .unwrap_or_else(|error| config::refuse_options(error));
    let stop = StopSignal::default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime: raise the process's thread limit")?;
    runtime.spawn(stop.clone().raise_on_signals());
    Ok(produce(&options, plan, &stop)?)
}
