//! `evenkeel simulate`: several policies side by side on one load.
//!
//! The load is built in, typed, a file, or one's own history out of Prometheus. Everything that is
//! wrong with the input is said at once, before anything runs; what is known only later (a file, a
//! server) is said alone. The runs, their figures and the report are the simulator's; here is where
//! they come from and where they go to. The same input gives the same output on any number of threads.

mod load;
mod options;
mod policies;
mod profile;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use evenkeel_sim::contender::Contender;
use evenkeel_sim::outcome::OBJECTIVE_SECONDS;
use evenkeel_sim::report::{self, Entry, Report};
use evenkeel_sim::scenario;
use evenkeel_sim::sweep::{self, Row};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use evenkeel_scaler::cli::EXIT_USAGE;
use evenkeel_scaler::cli::explain::render::printable;
use evenkeel_scaler::cli::explain::write_out;
use evenkeel_scaler::cli::table::{Side, Table};
use load::Load;
use options::{DEFAULT_SCENARIO, Plan};

/// Arguments of `evenkeel simulate`.
///
/// Figures are texts here, so that all that is wrong with them can be said at once.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[arg(
        long,
        value_name = "NAME",
        help = scenarios_in_words(),
        help_heading = "Load (one of them)"
    )]
    scenario: Option<String>,

    /// Records/s, each with its seconds
    #[arg(
        long,
        value_name = "RATExSECONDS,...",
        help_heading = "Load (one of them)"
    )]
    steps: Option<String>,

    /// A CSV file of seconds and records/s, a line between two of them
    #[arg(long, value_name = "FILE", help_heading = "Load (one of them)")]
    trace: Option<PathBuf>,

    /// A backtest: the load is what --query had in this Prometheus, up to now. Inner gaps of up to
    /// an hour, a tenth of the time in all, are bridged by a line, and said
    #[arg(long, value_name = "URL", help_heading = "Load (one of them)")]
    from_prometheus: Option<String>,

    /// The same of a Prometheus profile of --config, with its credentials
    #[arg(long, value_name = "NAME", help_heading = "Load (one of them)")]
    prometheus: Option<String>,

    /// The process configuration that holds the profile; EVENKEEL__ variables count too
    #[arg(long, value_name = "FILE", help_heading = "Of recorded loads")]
    config: Option<PathBuf>,

    /// PromQL for the inbound rate, records/s, one series:
    /// `sum(rate(kafka_topic_partition_current_offset{topic="trades"}[2m]))`
    #[arg(long, value_name = "PROMQL", help_heading = "Of recorded loads")]
    query: Option<String>,

    /// How far back the recording goes [default: 24]
    #[arg(long, value_name = "HOURS", help_heading = "Of recorded loads")]
    hours: Option<String>,

    /// Seconds between two of its values [default: 15]
    #[arg(long, value_name = "SECONDS", help_heading = "Of recorded loads")]
    step: Option<String>,

    /// How many recorded seconds pass in one [default: 1]
    #[arg(long, value_name = "TIMES", help_heading = "Of recorded loads")]
    speed: Option<String>,

    /// Make the load so large that 99 % of its values are not above this, records/s
    /// [default: as it was recorded]
    #[arg(long, value_name = "RECORDS", help_heading = "Of recorded loads")]
    peak: Option<String>,

    /// Partitions of the topic [default: 24]
    #[arg(long, value_name = "NUMBER", help_heading = "World of a load of yours")]
    partitions: Option<String>,

    /// What one pod can do, records/s [default: 1000]
    #[arg(
        long,
        value_name = "RECORDS",
        help_heading = "World of a load of yours"
    )]
    capacity: Option<String>,

    /// How the group rebalances: eager, cooperative, or consumer (KIP-848) [default: cooperative]
    #[arg(long, value_name = "NAME", help_heading = "World of a load of yours")]
    protocol: Option<String>,

    /// From a pod's creation to its joining the group: the median, from two thirds to one and a half
    /// of it [default: 30]
    #[arg(
        long,
        value_name = "SECONDS",
        help_heading = "World of a load of yours"
    )]
    start: Option<String>,

    /// maxReplicaCount [default: one a partition]
    #[arg(long, value_name = "NUMBER", help_heading = "World of a load of yours")]
    max_replicas: Option<String>,

    /// Who takes part, each with settings of its knob if you like: seconds of a pod's capacity for
    /// keda-blueprint, keda-lag and cloud-run, a utilization for keda-lag-rate, keda-lag-rate-even,
    /// keda-lag-rate-all-even, flink, reactive and clairvoyant; evenkeel has none
    #[arg(long, value_name = "NAME[=KNOB[:KNOB...]],...", default_value = policies::DEFAULT)]
    policies: String,

    /// How often each runs, with another chance each time; the same for all policies
    #[arg(long, value_name = "NUMBER", default_value = "5")]
    seeds: String,

    /// What all are told of a pod's capacity: exact, learned (evenkeel has to learn it, the others
    /// are told the truth), or times the truth, as 0.7 or 1.3
    #[arg(long, value_name = "WHAT", default_value = "exact")]
    knowledge: String,

    /// on: evenkeel takes part a second time, with `calendar: "on"`, and learns from the recording's own
    /// days (those of UTC) as they go by. Two weeks say what that is worth: --hours 336 [default: off]
    #[arg(long, value_name = "on|off", help_heading = "Of recorded loads")]
    calendar: Option<String>,

    /// Runs at the same time [default: the number of cores]
    #[arg(long, value_name = "NUMBER")]
    threads: Option<String>,

    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,

    /// Write one HTML file with the table, plots and the run of every policy over time
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  evenkeel simulate --report out.html
  evenkeel simulate --scenario ads --policies evenkeel,keda-lag=5:10:30,keda-lag-rate=0.7:0.8:0.9
  evenkeel simulate --steps 1000x600,5000x900,1000x300 --capacity 100 --partitions 120
  evenkeel simulate --trace load.csv --speed 5 --peak 20000 --knowledge learned --json
  evenkeel simulate --from-prometheus http://localhost:9090 --hours 336 --calendar on --policies evenkeel \\
    --query 'sum(rate(kafka_topic_partition_current_offset{topic=\"trades\"}[1m]))'
  evenkeel simulate --from-prometheus http://localhost:9090 --hours 168 --capacity 400 \\
    --query 'sum(rate(kafka_topic_partition_current_offset{topic=\"trades\"}[2m]))' --report week.html

Exits with 0 when done, with 64 when the input is wrong, and with 1 when something failed.";

fn scenarios_in_words() -> String {
    format!(
        "A built-in load with its own world: {}. Without any load it is {DEFAULT_SCENARIO}",
        scenario::NAMES.join(", ")
    )
}

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    load: &'a str,
    about: &'a str,
    load_seconds: u64,
    load_peak_records_per_second: f64,
    partitions: usize,
    capacity_records_per_second: f64,
    max_replicas: u32,
    capacity_known: String,
    notes: &'a [String],
    rows: Vec<&'a Row>,
}

// === impl Args ===

impl Args {
    /// Runs it.
    ///
    /// # Errors
    /// When Prometheus does not answer, or a result cannot be written.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let plan = match Plan::of(&self) {
            Ok(plan) => plan,
            Err(complaints) => {
                eprintln!("evenkeel: {}", complaints.join("\n"));
                return Ok(ExitCode::from(EXIT_USAGE));
            }
        };
        if let Some(path) = &self.report {
            may_be_written(path)?;
        }
        let mut load = match load::fetch(&plan).await {
            Ok(load) => load,
            Err(load::Error::Input(sentence)) => {
                eprintln!("evenkeel: {sentence}");
                return Ok(ExitCode::from(EXIT_USAGE));
            }
            Err(load::Error::Failed(error)) => return Err(error),
        };
        let entries = simulate(&plan, &load);
        load.notes.extend(worth(&load, &entries));
        let command = command(std::env::args());
        if let Some(path) = &self.report {
            let report = Report {
                title: &load.title,
                about: &load.about,
                command: &command,
                scenario: &load.scenario,
                knowledge: plan.knowledge,
                notes: &load.notes,
                entries: &entries,
            };
            let written = std::fs::write(path, report.html());
            written.with_context(|| format!("--report {} cannot be written", path.display()))?;
        }
        if self.json {
            write_out(&json(&plan, &load, &entries)?)?;
        } else {
            write_out(&text(&load, &entries))?;
        }
        if let Some(path) = &self.report {
            eprintln!("The report is in {}", path.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Fails before anything has run when a report could not be written after it; what a file holds
/// already stays until then.
fn may_be_written(path: &Path) -> anyhow::Result<()> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened
        .map(drop)
        .with_context(|| format!("--report {} cannot be written", path.display()))
}

/// Runs all policies with all seeds. The first seed's run is kept whole.
fn simulate(plan: &Plan, load: &Load) -> Vec<Entry> {
    let total = plan.contenders.len() as u64 * plan.seeds;
    let bar = ProgressBar::new(total).with_style(bar_style("runs"));
    let entry = |contender| {
        let done = || bar.inc(1);
        let runs = sweep::runs_on(
            plan.threads,
            &load.scenario,
            contender,
            plan.knowledge,
            plan.seeds,
            &done,
        );
        let row = Row::of(contender, &runs);
        Entry {
            row,
            run: runs.into_iter().next().unwrap_or_default(),
        }
    };
    let entries = plan.contenders.iter().map(entry).collect();
    bar.finish_and_clear();
    entries
}

/// A bar that says how many of what are done; indicatif hides it where there is no terminal.
fn bar_style(what: &str) -> ProgressStyle {
    let template = format!("{{wide_bar}} {{pos}}/{{len}} {what}, {{eta}} left");
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// What a calendar is worth on this load, where evenkeel ran with and without one.
fn worth(load: &Load, entries: &[Entry]) -> Option<String> {
    let of = |contender: Contender| {
        let name = contender.name();
        let mut rows = entries.iter().map(|entry| &entry.row);
        rows.find(|row| row.policy == name)
    };
    let (without, with) = (of(Contender::evenkeel())?, of(Contender::with_calendar())?);
    let records: f64 = load.scenario.workload.per_second.iter().sum();
    let late = |row: &Row| (row.late_percent / 100.0 * records).round();
    Some(format!(
        "With calendar: \"on\" {} records are later than {OBJECTIVE_SECONDS} s instead of {}, for {:.1} \
         replica-hours instead of {:.1}. What it knew it learned from the earlier days of this recording.",
        late(with),
        late(without),
        with.replica_hours,
        without.replica_hours
    ))
}

fn text(load: &Load, entries: &[Entry]) -> String {
    let columns = Row::headings().enumerate();
    let mut table = Table::new(columns.map(|(nth, heading)| {
        let side = if nth == 0 { Side::Left } else { Side::Right };
        (heading, side)
    }));
    for entry in entries {
        table.add_row(entry.row.cells());
    }
    let seeds = match entries.iter().map(|entry| entry.row.seeds).max() {
        Some(1) => "one seed".to_owned(),
        seeds => format!("{} seeds", seeds.unwrap_or(0)),
    };
    let mut text = format!(
        "{}: {}\n\n{}\n\nMedians over {}; late is later than {OBJECTIVE_SECONDS} s\n",
        printable(&load.title),
        printable(&load.about),
        table,
        seeds,
    );
    for note in &load.notes {
        text.push_str(&format!("Note: {}\n", printable(note)));
    }
    text
}

fn json(plan: &Plan, load: &Load, entries: &[Entry]) -> anyhow::Result<String> {
    let scenario = &load.scenario;
    let rates = scenario.workload.per_second.iter().copied();
    let answer = Answer {
        load: &load.title,
        about: &load.about,
        load_seconds: scenario.workload.seconds(),
        load_peak_records_per_second: rates.fold(0.0, f64::max),
        partitions: scenario.world.partitions,
        capacity_records_per_second: scenario.world.capacity,
        max_replicas: scenario.max_replicas,
        capacity_known: report::known(plan.knowledge),
        notes: &load.notes,
        rows: entries.iter().map(|entry| &entry.row).collect(),
    };
    Ok(serde_json::to_string_pretty(&answer)? + "\n")
}

/// The command as it could be typed again, a password in an address left out.
fn command(words: impl Iterator<Item = String>) -> String {
    let plain = |character: char| character.is_alphanumeric() || "-_./:=,+".contains(character);
    let word = |word: String| {
        let word = without_password(&word);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    let words: Vec<String> = ["evenkeel".to_owned()]
        .into_iter()
        .chain(words.skip(1))
        .map(word)
        .collect();
    words.join(" ")
}

fn without_password(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://...@{host}{path}"),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_again_and_has_no_password() {
        let check = |words: &[&str], expected: &str| {
            let words = ["/usr/bin/evenkeel"].iter().chain(words);
            assert_eq!(command(words.map(|word| (*word).to_owned())), expected);
        };
        check(
            &[
                "simulate",
                "--query",
                "sum(rate(x{a='b'}[2m]))",
                "--trace",
                "",
            ],
            r"evenkeel simulate --query 'sum(rate(x{a='\''b'\''}[2m]))' --trace ''",
        );
        check(
            &["--from-prometheus", "http://me:p@ss@host:9090/a@b"],
            "evenkeel --from-prometheus 'http://...@host:9090/a@b'",
        );
        check(
            &["--from-prometheus=http://me:pass@host"],
            "evenkeel '--from-prometheus=http://...@host'",
        );
    }
}
