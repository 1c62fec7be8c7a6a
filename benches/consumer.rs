//! How fast the reference consumer is, as ratios within one run on one machine.
//!
//! A real broker and a real PostgreSQL, one topic filled once. Into PostgreSQL: the consumer beside
//! the published approach in Python and beside the same COPY with no Kafka. Without a database: the
//! consumer beside librdkafka alone. With the CPU and memory that each takes, without Kafka's and
//! PostgreSQL's. Nothing is asserted: figures of one machine are for reading,
//! side by side. And what a member that comes or goes costs those that stay.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a bench that cannot measure fails loudly"
)]

#[path = "support/usage.rs"]
mod usage;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use evenkeel_tools::demo::broker::{BrokerOptions, EmbeddedBroker};
use evenkeel_tools::demo::postgres::EmbeddedPostgres;
use evenkeel_tools::demo::process::{self, bound_command};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use usage::Usage;

const TOPIC: &str = "trades";
const PARTITIONS: i32 = 12;

/// Records in the topic: ten seconds and more of what is fastest. Others take the first of them.
const RECORDS: u64 = 12_000_000;

/// How often each is measured, in turn with what it is held against; the median counts. On a machine
/// that does other things too, a single run is mostly about those.
const ROUNDS: usize = 5;

/// Records/s asked of the producer: its own goal.
const PRODUCER_RATE: &str = "200000";

/// What one run was.
#[derive(Clone, Copy, Debug)]
struct Figure {
    records_per_second: f64,
    /// Seconds of CPU for a million records.
    cpu_seconds: f64,
    resident_megabytes: f64,
}

#[tokio::main]
async fn main() {
    let broker = EmbeddedBroker::start(BrokerOptions {
        heap_megabytes: 512,
        // The whole topic has to stay.
        properties: vec![("log.retention.bytes".to_owned(), "-1".to_owned())],
        ..BrokerOptions::default()
    });
    let mut broker = broker.await.expect("Kafka starts (make setup)");
    let made = broker
        .topics()
        .create_topic(TOPIC, PARTITIONS, 1, &[])
        .await;
    made.expect("a topic");
    let servers = broker.bootstrap_servers();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let chosen = |name: &str| {
        let mut names = arguments
            .iter()
            .filter(|word| !word.starts_with('-'))
            .peekable();
        names.peek().is_none() || names.any(|word| word == name)
    };
    produce(&servers).await;
    if chosen("null") {
        null(&servers).await;
    }
    if chosen("pauses") {
        pauses(&servers).await;
    }
    let mut database = EmbeddedPostgres::start()
        .await
        .expect("PostgreSQL starts (make setup)");
    if chosen("postgres") {
        into_postgres(&servers, &database).await;
    }
    if chosen("ways") {
        ways_in(&database).await;
    }
    database.crash().await;
    broker.stop().await;
}

async fn produce(servers: &str) {
    let rate: f64 = PRODUCER_RATE.parse().expect("a number");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let seconds = RECORDS as f64 / rate;
    let began = Instant::now();
    let output = bound_command(&program("evenkeel-producer"))
        .args([
            "--bootstrap-servers",
            servers,
            "--topic",
            TOPIC,
            "--load",
            PRODUCER_RATE,
        ])
        .args(["--step-seconds", &seconds.to_string(), "--report-json"])
        .output()
        .await
        .expect("the producer runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last: serde_json::Value =
        serde_json::from_str(text.lines().last().expect("a report")).expect("JSON");
    println!("\n## The producer\n");
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["asked for", "acknowledged", "in", "records/s"]);
    let acknowledged = last["acknowledged_total"].as_f64().expect("a number");
    let elapsed = began.elapsed().as_secs_f64();
    table.add_row([
        format!("{PRODUCER_RATE}/s for {seconds} s"),
        format!("{acknowledged:.0}"),
        format!("{elapsed:.1} s"),
        format!("{:.0}", acknowledged / elapsed),
    ]);
    println!("{table}");
}

async fn null(servers: &str) {
    println!("\n## Without a database\n");
    let records = RECORDS - 200_000;
    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        raw.push(limit(&["raw", servers, TOPIC], records).await);
        ours.push(limit(&["null", servers, TOPIC], records).await);
    }
    let mut table = table(["", "records/s", "of librdkafka alone"]);
    let of = median(&raw).records_per_second;
    for (name, figures) in [
        ("librdkafka, poll and drop", raw),
        ("the consumer, null sink", ours),
    ] {
        let figure = median(&figures);
        let [rate, cpu, memory] = figure.cells();
        let ratio = percent(figure.records_per_second, of);
        table.add_row([name.to_owned(), rate, ratio, cpu, memory]);
    }
    println!("{table}");
}

/// With the columns that all have.
fn table<const N: usize>(columns: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(
        columns
            .into_iter()
            .chain(["CPU-s a million records", "resident MiB"]),
    );
    table
}

/// What a ninth member costs the eight that are there.
async fn pauses(servers: &str) {
    println!("\n## The longest pause of a partition that keeps its owner, 8 members, 3 rounds\n");
    println!("Slow is longer than 250 ms.\n");
    let producer = bound_command(&program("evenkeel-producer"))
        .args([
            "--bootstrap-servers",
            servers,
            "--topic",
            TOPIC,
            "--load",
            "2400",
        ])
        .stderr(Stdio::null())
        .spawn();
    let mut producer = producer.expect("the producer starts");
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["", "nothing happens", "one joins", "one leaves"]);
    for (name, more) in [
        ("cooperative-sticky", ["--assignor", "cooperative-sticky"]),
        ("range", ["--assignor", "range"]),
        ("KIP-848", ["--group-protocol", "consumer"]),
    ] {
        let mut command = bound_command(&program("examples/pauses"));
        command.args([servers, TOPIC, "--"]).args(more);
        let said = output(command).await;
        let figures: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let figure = |event: &str, which: &str| {
            let value = figures[event][which].as_f64();
            value.map_or_else(|| "none kept".to_owned(), |value| format!("{value:.0} ms"))
        };
        let cell = |event: &str| {
            let (p50, max) = (
                figure(event, "p50_milliseconds"),
                figure(event, "max_milliseconds"),
            );
            let (slow, all) = (&figures[event]["slow"], &figures[event]["partitions"]);
            format!("p50 {p50}, max {max}, {slow} of {all} slow")
        };
        table.add_row([name.to_owned(), cell("quiet"), cell("join"), cell("leave")]);
    }
    process::end(&mut producer, Duration::from_secs(30)).await;
    println!("{table}");
}

async fn into_postgres(servers: &str, database: &EmbeddedPostgres) {
    println!("\n## Into PostgreSQL, one consumer\n");
    let mut table = table([
        "records a batch",
        "",
        "records/s",
        "x Python",
        "of COPY alone",
    ]);
    // Enough for ten seconds of each: COPY alone, ours, Python's COPY, Python.
    for (batch_size, records) in [
        (100, [800_000, 500_000, 250_000, 120_000]),
        (5000, [5_000_000, 3_000_000, 1_000_000, 300_000]),
    ] {
        let [copied, owned, python_copied, inserted] = records;
        let size = batch_size.to_string();
        let url = database.url();
        let mut figures = [const { Vec::new() }; 5];
        for _ in 0..ROUNDS {
            let [alone, insert, copy, one, two] = &mut figures;
            alone.push(limit(&["copy", &url, "--batch-size", &size], copied).await);
            fresh_tables(database).await;
            insert.push(rival("insert", servers, database, (batch_size, inserted)).await);
            fresh_tables(database).await;
            copy.push(rival("copy", servers, database, (batch_size, python_copied)).await);
            fresh_tables(database).await;
            one.push(ours(servers, database, (batch_size, "1"), owned).await);
            fresh_tables(database).await;
            two.push(ours(servers, database, (batch_size, "2"), owned).await);
        }
        let figures = figures.each_ref().map(|figures| median(figures));
        let [alone, python, ..] = figures.map(|figure| figure.records_per_second);
        let names = [
            "COPY alone",
            "Python, executemany",
            "Python, COPY",
            "the consumer",
            "the consumer, --writers 2",
        ];
        for (name, figure) in names.into_iter().zip(figures) {
            let [rate, cpu, memory] = figure.cells();
            table.add_row([
                size.clone(),
                name.to_owned(),
                rate,
                format!("{:.1}", figure.records_per_second / python),
                percent(figure.records_per_second, alone),
                cpu,
                memory,
            ]);
        }
    }
    println!("{table}");
}

/// Why binary COPY without a key: what the other ways in cost.
async fn ways_in(database: &EmbeddedPostgres) {
    println!("\n## Ways into PostgreSQL, no Kafka, 5,000 rows a transaction\n");
    let url = database.url();
    let mut table = table(["", "rows/s", "of the first"]);
    let ways = [
        ("binary COPY", vec!["copy", &url]),
        (
            "binary COPY, primary key (partition, offset)",
            vec!["copy", &url, "--with-key"],
        ),
        (
            "INSERT from unnest, ON CONFLICT DO NOTHING on the same key",
            vec!["insert", &url],
        ),
    ];
    let mut first = None;
    for (name, arguments) in ways {
        let mut figures = Vec::new();
        for _ in 0..ROUNDS {
            figures.push(limit(&arguments, 2_000_000).await);
        }
        let figure = median(&figures);
        let first = first.get_or_insert(figure.records_per_second);
        let [rate, cpu, memory] = figure.cells();
        let ratio = percent(figure.records_per_second, *first);
        table.add_row([name.to_owned(), rate, ratio, cpu, memory]);
    }
    println!("{table}");
}

/// Of the real process, from the first rows seen to the last.
async fn ours(
    servers: &str,
    database: &EmbeddedPostgres,
    (batch_size, writers): (u64, &str),
    records: u64,
) -> Figure {
    // A group of its own each time: fresh tables begin where Kafka has the group's offsets.
    static RUN: AtomicU32 = AtomicU32::new(0);
    let group = format!("ours-{}", RUN.fetch_add(1, Ordering::Relaxed));
    let mut consumer = bound_command(&program("evenkeel-consumer"))
        .args([
            "--bootstrap-servers",
            servers,
            "--topic",
            TOPIC,
            "--group",
            &group,
            "--writers",
            writers,
        ])
        .args(["--sink", "postgres", "--database-url", &database.url()])
        .args([
            "--batch-size",
            &batch_size.to_string(),
            "--metrics-listen",
            "none",
        ])
        .stderr(Stdio::null())
        .spawn()
        .expect("the consumer starts");
    let query = "SELECT coalesce(sum(greatest(next_offset, 0)), 0) FROM consumer_offsets";
    let mut first = None;
    let rate = loop {
        let said = database.ask(query).await.expect("PostgreSQL answers");
        let now = Instant::now();
        let count: f64 = said.trim().parse().expect("a number");
        match first {
            None if count > 0.0 => first = Some((now, count)),
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            Some((began, before)) if count >= records as f64 => {
                break (count - before) / (now - began).as_secs_f64();
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let figure = Figure::of(&consumer, rate, records);
    process::end(&mut consumer, Duration::from_secs(30)).await;
    figure
}

async fn rival(
    how: &str,
    servers: &str,
    database: &EmbeddedPostgres,
    (batch_size, records): (u64, u64),
) -> Figure {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/consumer");
    let modules = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rival-modules");
    let python = process::find_program("python3").expect("python3: apt-get install python3");
    if !modules.join("psycopg").is_dir() {
        let installed = Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--root-user-action=ignore",
                "--target",
            ])
            .arg(&modules)
            .arg("--requirement")
            .arg(folder.join("requirements.txt"))
            .status()
            .await;
        let worked = installed.is_ok_and(|status| status.success());
        assert!(
            worked,
            "pip cannot install the rival's clients: apt-get install python3-pip"
        );
    }
    let mut command = bound_command(&python);
    command
        .env("PYTHONPATH", modules)
        .arg(folder.join("rival.py"))
        .args([how, servers, TOPIC, &database.url()])
        .args([batch_size.to_string(), records.to_string()]);
    figure(command, records).await
}

async fn fresh_tables(database: &EmbeddedPostgres) {
    let drop = "DROP TABLE IF EXISTS trades, consumer_offsets, dead_letters";
    database.ask(drop).await.expect("PostgreSQL answers");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("consumer/schema.sql");
    database.apply(&schema).await.expect("the schema applies");
}

async fn limit(arguments: &[&str], records: u64) -> Figure {
    let mut command = bound_command(&program("examples/limits"));
    command
        .args(arguments)
        .args(["--records", &records.to_string()]);
    figure(command, records).await
}

/// Of a program that prints records/s, and ends with its input.
async fn figure(mut command: Command, records: u64) -> Figure {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut said = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("it writes"));
    output
        .read_line(&mut said)
        .await
        .expect("it writes a number");
    let rate = said.trim().parse();
    let rate = rate.unwrap_or_else(|_| panic!("not a number: {said} ({command:?})"));
    let figure = Figure::of(&child, rate, records);
    drop(child.stdin.take());
    let status = child.wait().await.expect("its end can be seen");
    assert!(status.success(), "{command:?}: {status}");
    figure
}

async fn output(mut command: Command) -> String {
    let output = command.output().await.expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn program(name: &str) -> PathBuf {
    let evenkeel = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
    let path = evenkeel.with_file_name(name);
    let hint = "is not built: `cargo build --release --workspace --bins --examples` (make bench)";
    assert!(path.is_file(), "{name} {hint}");
    path
}

impl Figure {
    /// Of a process that still runs, and has dealt with so many records.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn of(child: &Child, records_per_second: f64, records: u64) -> Self {
        let usage = Usage::of(child.id().expect("it still runs"));
        Self {
            records_per_second,
            cpu_seconds: usage.cpu_milliseconds * 1000.0 / records as f64,
            resident_megabytes: usage.resident_megabytes,
        }
    }

    /// Records/s, CPU and memory.
    fn cells(self) -> [String; 3] {
        [
            format!("{:.0}", self.records_per_second),
            format!("{:.2}", self.cpu_seconds),
            format!("{:.0}", self.resident_megabytes),
        ]
    }
}

/// The run whose speed is the median.
fn median(figures: &[Figure]) -> Figure {
    let mut figures = figures.to_vec();
    figures.sort_by(|one, other| one.records_per_second.total_cmp(&other.records_per_second));
    figures[figures.len() / 2]
}

fn percent(rate: f64, of: f64) -> String {
    format!("{:.0} %", 100.0 * rate / of)
}
