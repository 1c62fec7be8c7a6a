//! The reference batch consumer of the demo and the tests: which sink, and reports around [`run`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use batch_consumer::clock;
use batch_consumer::consume::{Stop, run};
use batch_consumer::metrics::Metrics;
use batch_consumer::options::{parse, refuse};
use batch_consumer::postgres::Postgres;
use batch_consumer::sink::{Decode, Sink};
use batch_consumer::trade::Trade;
use evenkeel_consumer::dead_letter_topic::{DeadLetterTopic, OurAccess};
use evenkeel_consumer::options::{ConsumerOptions, SinkKind};
use evenkeel_consumer::report::{self, ConsumerReport, Tallied, Tallies};
use evenkeel_consumer::sinks::{Delayed, Nowhere, Raw, Stdout};
use evenkeel_consumer::writers::Writers;

/// What a batch takes in the blueprint, whose consumer sleeps instead of writing.
const SIMULATED_WRITE: Duration = Duration::from_secs(1);

const EVERY_SECOND: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<()> {
    let given: ConsumerOptions = parse();
    let pause = given.batch_processing_time;
    match (given.sink, given.database()) {
        (SinkKind::Postgres, Some(database)) => {
            let sink =
                Postgres::<Trade>::new(&database, &given.options.group, &given.options.topic);
            let sink = sink.unwrap_or_else(|error| refuse(error));
            let letters = given.options.connection.client();
            let letters = letters.unwrap_or_else(|error| refuse(error));
            let sink = DeadLetterTopic::new(letters, given.dead_letter_topic.clone(), sink);
            let sink = Writers::new(&sink, given.writers.into());
            consume::<Trade, _>(&given, sink, pause.unwrap_or_default(), Stop::default())
        }
        (SinkKind::Stdout, _) => {
            let sink = Stdout::default();
            let is_broken = Arc::clone(&sink.is_broken);
            // A reader that has gone stops it.
            consume::<Raw, _>(
                &given,
                sink,
                pause.unwrap_or_default(),
                Arc::clone(&is_broken),
            )?;
            Ok(())
        }
        _ => consume::<Raw, _>(
            &given,
            Nowhere,
            pause.unwrap_or(SIMULATED_WRITE),
            Stop::default(),
        ),
    }
}

/// Runs with a sink, slowed down, counted, and reported where that is asked for.
fn consume<T: Decode, S: Sink<T>>(
    given: &ConsumerOptions,
    sink: S,
    pause: Duration,
    stop: Stop,
) -> anyhow::Result<()> {
    let (metrics, tallies, began) = (Metrics::default(), Tallies::default(), clock::now());
    let options = given.consumer().unwrap_or_else(|error| refuse(error));
    let sink = Delayed { pause, sink };
    #[cfg(feature = "otel")]
    let provider = evenkeel_consumer::traces::provider()?;
    #[cfg(feature = "otel")]
    let sink = evenkeel_consumer::traces::Traced::new(
        sink,
        provider.as_ref(),
        &options.topic,
        &options.group,
    );
    let sink = Tallied {
        tallies: tallies.clone(),
        sink,
    };
    let line = {
        let (metrics, is_reported) = (metrics.clone(), given.report_json);
        move |elapsed, is_final| {
            let line = ConsumerReport::new(&metrics, &tallies, elapsed, is_final);
            !is_reported || report::print(&line).is_ok()
        }
    };
    std::thread::spawn({
        let (line, stop, mut before) = (line.clone(), Arc::clone(&stop), clock::now());
        move || {
            loop {
                std::thread::park_timeout(EVERY_SECOND);
                let now = clock::now();
                if !line(now - before, false) {
                    // Nobody reads it any more.
                    stop.store(true, Ordering::Release);
                    return;
                }
                before = now;
            }
        }
    });
    let outcome = run::<T, _, OurAccess>(options, sink, metrics, stop);
    line(clock::now() - began, true);
    #[cfg(feature = "otel")]
    if let Some(Err(error)) = provider.map(|provider| provider.shutdown()) {
        tracing::warn!(%error, "the last spans were not sent");
    }
    outcome
}
