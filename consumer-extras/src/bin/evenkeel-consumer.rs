//! The reference batch consumer of the demo and the tests: which sink, and reports around [`run`].

use std::sync::atomic::Ordering;
use std::time::Duration;

use batch_consumer::clock;
use batch_consumer::consume::run;
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
use rdkafka::ClientConfig;

/// What a batch takes in the blueprint, whose consumer sleeps instead of writing.
const SIMULATED_WRITE: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<()> {
    let given: ConsumerOptions = parse();
    given.options.connection.start_logging();
    let client = given.client_config().unwrap_or_else(|error| refuse(error));
    let pause = given.batch_processing_time;
    match (given.sink, given.database()) {
        (SinkKind::Postgres, Some(database)) => {
            let sink =
                Postgres::<Trade>::new(&database, &given.options.group, &given.options.topic);
            let sink = sink.unwrap_or_else(|error| refuse(error));
            let mut letters = ClientConfig::new();
            let connected = given.options.connection.give(&mut letters);
            connected.unwrap_or_else(|error| refuse(error));
            let sink = DeadLetterTopic::new(letters, given.dead_letter_topic.clone(), sink);
            let sink = Writers::new(&sink, given.writers.into());
            consume::<Trade, _>(given, client, sink, pause.unwrap_or_default(), || true)
        }
        (SinkKind::Stdout, _) => {
            let sink = Stdout::default();
            let is_broken = sink.is_broken.clone();
            let is_read = || !is_broken.load(Ordering::Acquire);
            consume::<Raw, _>(given, client, sink, pause.unwrap_or_default(), is_read)?;
            let hint = "nobody reads standard output: keep its reader open, or choose another sink";
            anyhow::ensure!(is_read(), hint);
            Ok(())
        }
        _ => consume::<Raw, _>(
            given,
            client,
            Nowhere,
            pause.unwrap_or(SIMULATED_WRITE),
            || true,
        ),
    }
}

/// Runs with a sink, slowed down, counted, and reported where that is asked for, while it is wanted.
fn consume<T: Decode, S: Sink<T> + Clone>(
    given: ConsumerOptions,
    client: ClientConfig,
    sink: S,
    pause: Duration,
    is_wanted: impl Fn() -> bool,
) -> anyhow::Result<()> {
    let (metrics, tallies, began) = (Metrics::default(), Tallies::default(), clock::now());
    let sink = Tallied {
        tallies: tallies.clone(),
        sink: Delayed { pause, sink },
    };
    let is_reported = given.report_json;
    let report = |elapsed, is_final| {
        let line = ConsumerReport::new(&metrics, &tallies, elapsed, is_final);
        !is_reported || report::print(&line).is_ok()
    };
    let each_second = |elapsed| report(elapsed, false) && is_wanted();
    let outcome = run::<T, _, OurAccess>(given.options, client, sink, &metrics, each_second);
    // Nobody may be reading any more, which is then why we are here.
    report(clock::now() - began, true);
    outcome
}
