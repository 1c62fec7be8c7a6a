//! What the machine can do, for `make bench`: librdkafka without us, us without a sink, COPY without
//! Kafka. Each prints records/s from the first record to the last, and ends with its input, so that
//! what it has used can be looked at.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a measurement reads the clock and fails loudly"
)]

use std::io::Read as _;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use batch_consumer::batch::Batch;
use batch_consumer::consume::{Stop, consume};
use batch_consumer::metrics::Metrics;
use batch_consumer::options::seconds;
use batch_consumer::postgres::{Columns, Database, HEADER, Postgres, Table};
use batch_consumer::sink::{DeadLetter, Row, Sink, Step, Written};
use batch_consumer::trade::Trade;
use bytes::BufMut as _;
use clap::{Parser, Subcommand};
use evenkeel_consumer::options::ConsumerOptions;
use evenkeel_consumer::sinks::Raw;
use evenkeel_consumer::trades::Trades;
use futures_util::SinkExt as _;
use rdkafka::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message as _, OwnedMessage};

#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
    /// Records to be measured
    #[arg(long, global = true, default_value = "1000000")]
    records: usize,
    /// Records a batch
    #[arg(long, global = true, default_value = "5000")]
    batch_size: NonZeroUsize,
}

#[derive(Debug, Subcommand)]
enum What {
    /// librdkafka's poll, each record dropped at once
    Raw {
        /// Where Kafka is
        servers: String,
        /// The topic
        topic: String,
    },
    /// The whole consumer, into a sink that drops every batch
    Null {
        /// Where Kafka is
        servers: String,
        /// The topic
        topic: String,
    },
    /// The same batch into PostgreSQL again and again, a transaction each
    Copy {
        /// Where PostgreSQL is
        url: String,
        /// With a primary key over partition and offset
        #[arg(long)]
        with_key: bool,
    },
    /// The consumer's own sink, offsets and all, fed from memory
    Sink {
        /// Where PostgreSQL is
        url: String,
    },
    /// The same by INSERT ... SELECT FROM unnest with ON CONFLICT DO NOTHING on a primary key
    Insert {
        /// Where PostgreSQL is
        url: String,
    },
}

fn main() {
    let options = Options::parse();
    let rate = match &options.what {
        What::Raw { servers, topic } => raw(servers, topic, options.records),
        What::Null { servers, topic } => null(servers, topic, &options),
        What::Copy { url, with_key } => copy(url, &options, *with_key),
        What::Sink { url } => sink(url, &options),
        What::Insert { url } => insert(url, &options),
    };
    println!("{rate:.0}");
    // However it ends, it is the end.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// The client's own configuration, as the consumer has it.
fn consumer_options(servers: &str, topic: &str) -> ConsumerOptions {
    let group = format!("limits-{}", std::process::id());
    let given = [
        "limits",
        "--bootstrap-servers",
        servers,
        "--topic",
        topic,
        "--group",
        &group,
        "--sink",
        "simulate",
    ];
    ConsumerOptions::parse_from(given)
}

fn raw(servers: &str, topic: &str, records: usize) -> f64 {
    let options = consumer_options(servers, topic);
    // With the consumer's own fetch settings: what differs is the code.
    let client = options.client_config().expect("a configuration");
    let consumer: BaseConsumer = client.create().expect("a client");
    consumer.subscribe(&[topic]).expect("a subscription");
    let (mut count, mut began) = (0, Instant::now());
    while count < records {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            std::hint::black_box(&message);
            if count == 0 {
                began = Instant::now();
            }
            count += 1;
        }
    }
    per_second(count, began)
}

/// Counts, and stops the consumer when it has seen enough.
#[derive(Clone)]
struct Null {
    seen: Arc<Mutex<(usize, Option<Instant>)>>,
    until: usize,
    stop: Stop,
}

impl Sink<Raw> for Null {
    async fn write(&mut self, rows: &[&Row<Raw>], _: &[&DeadLetter], _: &[Step]) -> Written {
        let mut seen = self.seen.lock().expect("one writer");
        if seen.1.is_none() {
            // The first batch only starts the clock.
            *seen = (0, Some(Instant::now()));
        } else {
            seen.0 += rows.len();
        }
        if seen.0 + rows.len() >= self.until {
            self.stop.store(true, Ordering::Release);
        }
        Ok(())
    }
}

fn null(servers: &str, topic: &str, options: &Options) -> f64 {
    let mut consumer = consumer_options(servers, topic);
    let (stop, seen) = (Stop::default(), Arc::default());
    let sink = Null {
        seen: Arc::clone(&seen),
        until: options.records - options.batch_size.get(),
        stop: stop.clone(),
    };
    let client = consumer.client_config().expect("a configuration");
    consumer.options.limits.batch_size = options.batch_size;
    consume::<Raw, _, ()>(consumer.options, client, sink, Metrics::default(), &stop)
        .expect("it consumes");
    let (count, began) = *seen.lock().expect("it has ended");
    per_second(count, began.expect("there were records"))
}

/// Trades of some partitions in turn.
fn batch(options: &Options, partitions: i32) -> Batch<Trade> {
    let mut trades = Trades::new(std::num::NonZeroU64::MIN.saturating_add(99_999), 1);
    let since_epoch = seconds("1700000000").expect("seconds");
    let mut batch = Batch::default();
    for (offset, partition) in (0_i64..)
        .take(options.batch_size.get())
        .zip((0..partitions).cycle())
    {
        let mut value = Vec::new();
        trades.next_into(&mut value, since_epoch);
        let (topic, at) = ("limits".to_owned(), Timestamp::NotAvailable);
        batch.push(OwnedMessage::new(
            Some(value),
            None,
            topic,
            at,
            partition,
            offset,
            None,
        ));
    }
    batch
}

const KEY: &str = "ALTER TABLE trades ADD PRIMARY KEY (kafka_partition, kafka_offset)";

fn copy(url: &str, options: &Options, with_key: bool) -> f64 {
    let mut batch = batch(options, 1);
    let encode = |rows: &[Row<Trade>]| {
        let mut columns = Columns(HEADER.into());
        for row in rows {
            Trade::columns(row, &mut columns).expect("they are trades");
        }
        columns.0.put_i16(-1);
        columns.0.freeze()
    };
    let encoded = encode(&batch.rows);
    database(url, async |client| {
        if with_key {
            client.batch_execute(KEY).await?;
        }
        let statement = client.prepare(Trade::COPY).await?;
        let began = Instant::now();
        let mut count = 0;
        while count < options.records {
            let rows = if with_key {
                // Every row needs an offset of its own.
                for row in &mut batch.rows {
                    let (topic, at) = (String::new(), Timestamp::NotAvailable);
                    let offset = row.record.offset() + 1_000_000_000;
                    row.record = OwnedMessage::new(None, None, topic, at, 0, offset, None);
                }
                encode(&batch.rows)
            } else {
                encoded.clone()
            };
            let begun = client.batch_execute("BEGIN");
            let (_, copy) = tokio::try_join!(begun, client.copy_in(&statement))?;
            let mut copy = std::pin::pin!(copy);
            copy.send(rows).await?;
            copy.finish().await?;
            client.batch_execute("COMMIT").await?;
            count += options.batch_size.get();
        }
        Ok(per_second(count, began))
    })
}

fn sink(url: &str, options: &Options) -> f64 {
    const PARTITIONS: i32 = 12;
    let batch = batch(options, PARTITIONS);
    let rows: Vec<&Row<Trade>> = batch.rows.iter().collect();
    let database = Database {
        database_url: url.to_owned(),
        create_tables: true,
    };
    let group = format!("limits-{}", std::process::id());
    let mut sink = Postgres::<Trade>::new(&database, &group, "limits").expect("a sink");
    let partitions: Vec<i32> = (0..PARTITIONS).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        sink.positions("limits", &partitions)
            .await
            .expect("positions");
        let (began, mut count, mut at) = (Instant::now(), 0, -1);
        while count < options.records {
            let step = |partition: &i32| Step {
                partition: *partition,
                from: at,
                first: at.max(0),
                to: at + 1,
            };
            let steps: Vec<Step> = partitions.iter().map(step).collect();
            let written = sink.write(&rows, &[], &steps).await;
            written.expect("PostgreSQL takes it");
            at += 1;
            count += rows.len();
        }
        per_second(count, began)
    })
}

fn insert(url: &str, options: &Options) -> f64 {
    let size = options.batch_size.get();
    let texts: Vec<String> = (0..size).map(|n| format!("account-{n:07}")).collect();
    let numbers: Vec<i64> = (0..size).map(|n| i64::try_from(n).unwrap_or(0)).collect();
    let prices: Vec<f64> = vec![123.45; size];
    let statement = "INSERT INTO trades SELECT a, b, c, d, q, p, now(), 0, o \
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::float8[], \
        $7::bigint[]) AS row (a, b, c, d, q, p, o) ON CONFLICT DO NOTHING";
    database(url, async |client| {
        client.batch_execute(KEY).await?;
        let statement = client.prepare(statement).await?;
        let (mut offsets, began, mut count) = (numbers.clone(), Instant::now(), 0);
        while count < options.records {
            offsets.iter_mut().for_each(|offset| *offset += 1_000_000);
            client
                .execute(
                    &statement,
                    &[&texts, &texts, &texts, &texts, &numbers, &prices, &offsets],
                )
                .await?;
            count += size;
        }
        Ok(per_second(count, began))
    })
}

/// Runs it on fresh tables.
fn database(
    url: &str,
    measure: impl AsyncFnOnce(&tokio_postgres::Client) -> Result<f64, tokio_postgres::Error>,
) -> f64 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let measured = runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute("DROP TABLE IF EXISTS trades").await?;
        let schema = include_str!("../../consumer/schema.sql");
        client.batch_execute(schema).await?;
        measure(&client).await
    });
    measured.expect("PostgreSQL answers")
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn per_second(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}
