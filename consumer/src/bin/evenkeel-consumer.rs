//! The reference batch consumer: wiring, signals and reports around [`consume`].

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::Context;
use evenkeel_consumer::config::{self, ConsumerOptions, SinkKind};
use evenkeel_consumer::consume::{Task, consume};
use evenkeel_consumer::metrics::{Metrics, server};
use evenkeel_consumer::postgres::{self, Postgres};
use evenkeel_consumer::report::{self, ConsumerReport, REPORT_EVERY};
use evenkeel_consumer::sink::{Simulate, Sink, Stdout};
use evenkeel_consumer::stop::StopSignal;
use evenkeel_consumer::{clock, logging};

/// How long leaving may take in all, once asked to: the drain (15 s at most) and the last revocation
/// (10 s at most), below Kubernetes' grace period of 30 s. Only a Kafka that is away takes longer:
/// librdkafka waits for it with the last commit, without a bound of its own.
const LEAVE_WITHIN: Duration = Duration::from_secs(27);

/// What a batch takes in the blueprint, whose consumer sleeps instead of writing.
const SIMULATED_WRITE: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<()> {
    let options = config::parse_options::<ConsumerOptions>();
    logging::start(options.connection.log_format);
    let client = options
        .client_config()
        .unwrap_or_else(|error| config::refuse_options(error));
    let sinks = sinks(&options)?;
    let task = Task {
        client,
        topic: options.topic.clone(),
        limits: options.batch_limits(),
        dead_letters: Some(options.dead_letters()),
    };
    let (metrics, stop) = (Metrics::default(), StopSignal::default());

    // One thread for signals and the metrics server: neither has much to do.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime: raise the process's thread limit")?;
    runtime.spawn(stop.clone().raise_on_signals());
    if let Some(address) = options.metrics_listen.0 {
        let server = server::serve(address, metrics.clone(), stop.clone());
        runtime.spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, %address, "no metrics: choose another --metrics-listen");
            }
        });
    }

    let (send_outcome, outcome) = channel();
    std::thread::Builder::new()
        .name("consume".to_owned())
        .spawn({
            let (metrics, stop) = (metrics.clone(), stop.clone());
            move || {
                let _ = send_outcome.send(consume(&task, sinks, metrics, &stop));
            }
        })?;

    let began = clock::now();
    let mut reported = began;
    let mut leaving_since = None;
    let outcome = loop {
        let wait = REPORT_EVERY.saturating_sub(clock::now() - reported);
        match outcome.recv_timeout(wait) {
            Ok(outcome) => break outcome.map_err(Into::into),
            Err(RecvTimeoutError::Disconnected) => break Err(consuming_thread_died()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let elapsed = clock::now() - reported;
        reported += elapsed;
        let second = ConsumerReport::of_the_last_second(&metrics, elapsed);
        metrics.set_per_second(second.records_per_second);
        if options.report_json && report::print(&second).is_err() {
            stop.raise();
        }
        if stop.is_raised() {
            let now = clock::now();
            if now - *leaving_since.get_or_insert(now) >= LEAVE_WITHIN {
                break Err(could_not_leave());
            }
        }
    };
    if options.report_json {
        // Nobody may be reading any more, which is then why we are here.
        let _ = report::print(&ConsumerReport::at_the_end(&metrics, clock::now() - began));
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// One sink for each writer.
fn sinks(options: &ConsumerOptions) -> anyhow::Result<Vec<Box<dyn Sink>>> {
    let database = options
        .database()
        .unwrap_or_else(|error| config::refuse_options(error));
    if let (true, Some(database)) = (options.create_tables, &database) {
        postgres::create_tables(database)?;
    }
    let sink = |_| -> anyhow::Result<Box<dyn Sink>> {
        let then: Option<Box<dyn Sink>> = match (options.sink, &database) {
            (SinkKind::Postgres, Some(database)) => Some(Box::new(Postgres::new(
                database.clone(),
                options.group.clone(),
                options.topic.clone(),
            )?)),
            (SinkKind::Stdout, _) => Some(Box::new(Stdout)),
            _ => None,
        };
        let default = if then.is_some() {
            Duration::ZERO
        } else {
            SIMULATED_WRITE
        };
        Ok(Box::new(Simulate {
            processing_time: options.batch_processing_time.unwrap_or(default),
            then,
        }))
    };
    (0..options.writers).map(sink).collect()
}

fn consuming_thread_died() -> anyhow::Error {
    anyhow::anyhow!("the consuming thread has died: see its message above")
}

fn could_not_leave() -> anyhow::Error {
    anyhow::anyhow!(
        "could not leave the group within {} s, Kafka is probably away: what is written and not \
         committed will be repeated by the partitions' next owners",
        LEAVE_WITHIN.as_secs()
    )
}
