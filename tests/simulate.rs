//! `evenkeel simulate` as a program: what it prints, what it writes, its exit codes, and a backtest on
//! a history in a real Prometheus.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![expect(clippy::panic, reason = "a test that cannot go on fails here")]

#[expect(dead_code, reason = "shared with the tests of the Prometheus adapter")]
#[path = "prometheus/servers.rs"]
mod servers;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use evenkeel_scaler::clock::Clock;
use servers::Prometheus;

/// Two steps on pods of 100 records/s: a run of twelve minutes, quick even without optimisation.
const STEPS: &[&str] = &[
    "--steps",
    "300x240,900x300,300x180",
    "--capacity",
    "100",
    "--partitions",
    "12",
    "--seeds",
    "2",
    "--policies",
    "evenkeel,keda-lag=5:30,reactive",
];

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs `evenkeel simulate` in `folder`.
fn simulate(folder: &Path, arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .arg("simulate")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn json(ended: &Ended) -> serde_json::Value {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn steps_give_rows_and_a_report_and_the_same_ones_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let run = |threads: &str| {
        let more = ["--json", "--report", "out.html", "--threads", threads];
        let ended = simulate(folder.path(), &[STEPS, &more].concat());
        let html = std::fs::read_to_string(folder.path().join("out.html")).unwrap();
        (json(&ended), html)
    };
    let (answer, html) = run("1");
    assert_eq!(answer["load_seconds"], 720);
    let rows = answer["rows"].as_array().unwrap();
    let names: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| {
            (
                row["policy"].as_str().unwrap(),
                row["knob"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        names,
        [
            ("evenkeel", ""),
            ("KEDA lag", "5 s"),
            ("KEDA lag", "30 s"),
            ("reactive oracle", "0.8"),
        ]
    );
    for row in rows {
        // The load needs 3 pods at the least, and there are no more than 12 partitions.
        let mean = row["mean_replicas"].as_f64().unwrap();
        assert!((3.0..=12.0).contains(&mean), "{row}");
        assert!(row["rescales"].as_f64().unwrap() >= 1.0, "{row}");
        assert_eq!(row["seeds"], 2);
    }
    assert_eq!(html.matches("<section class=\"policy").count(), 4);
    assert!(html.contains("evenkeel simulate --steps 300x240,900x300,300x180 --capacity 100"));

    let (again, html_again) = run("3");
    assert_eq!(answer, again);
    assert_eq!(html.replace("--threads 1", "--threads 3"), html_again);
}

#[test]
fn the_table_is_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let ended = simulate(folder.path(), STEPS);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(
        lines[0],
        "steps: records/s: 300 for 240 s, 900 for 300 s, 300 for 180 s"
    );
    assert!(
        lines[2].trim_start().starts_with("policy"),
        "{}",
        ended.stdout
    );
    assert!(lines[3].starts_with(" evenkeel"), "{}", ended.stdout);
    assert_eq!(
        lines.last(),
        Some(&"Medians over 2 seeds; late is later than 30 s")
    );
}

#[test]
fn what_a_number_of_partitions_costs_over_the_load_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let said = |partitions: &str| {
        let steps = ["--steps", "5000x1200", "--capacity", "100", "--seeds", "1"];
        let more = ["--policies", "reactive", "--partitions", partitions];
        let ended = simulate(folder.path(), &[&steps[..], &more].concat());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    };
    let expected = "Note: 100 partitions need 33.3 replica-hours for this load, and 116 partitions would need \
                    19.3, 42 % fewer: partitions do not divide (CoarsePartitions)";
    let text = said("100");
    assert!(text.contains(expected), "{text}");
    let text = said("120");
    assert!(!text.contains("CoarsePartitions"), "{text}");
}

#[test]
fn a_trace_is_replayed_faster_and_larger() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("load.csv"),
        "t_seconds,records_per_second\n0,1\n1200,9\n",
    )
    .unwrap();
    let more = [
        "--speed",
        "4",
        "--peak",
        "4500",
        "--seeds",
        "1",
        "--policies",
        "evenkeel",
    ];
    let arguments = [
        "--trace",
        "load.csv",
        "--json",
        "--protocol",
        "eager",
        "--partitions",
        "4",
    ];
    let answer = json(&simulate(folder.path(), &[&arguments[..], &more].concat()));
    assert_eq!(answer["load"], "load.csv");
    assert_eq!(answer["load_seconds"], 300);
    let peak = answer["load_peak_records_per_second"].as_f64().unwrap();
    assert!((4_450.0..=4_500.0).contains(&peak), "{peak}");
    let note = answer["notes"][0].as_str().unwrap();
    assert!(
        note.contains("more comes than 4 pods can do (4000 records/s)"),
        "{note}"
    );
}

#[test]
fn wrong_input_is_said_at_once_and_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str], lines: &[&str]| {
        let ended = simulate(folder.path(), arguments);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(64), ""),
            "{arguments:?}"
        );
        assert_eq!(
            ended.stderr.lines().count(),
            lines.len(),
            "{}",
            ended.stderr
        );
        for (said, expected) in ended.stderr.lines().zip(lines) {
            assert!(said.contains(expected), "{said}");
        }
    };
    refused(
        &[
            "--scenario",
            "sead",
            "--seeds",
            "0",
            "--policies",
            "evenkeal",
        ],
        &[
            "evenkeel: --scenario: there is no \"sead\", did you mean seed?",
            "--policies: there is no \"evenkeal\", did you mean evenkeel?",
            "--seeds is \"0\"",
        ],
    );
    refused(
        &["--trace", "none.csv"],
        &["--trace none.csv: No such file"],
    );
    std::fs::write(folder.path().join("bad.csv"), "0,1\n5;2\n").unwrap();
    refused(
        &["--trace", "bad.csv"],
        &["--trace bad.csv: line 2 is \"5;2\""],
    );
    refused(
        &["--sceanrio", "seed"],
        &[
            "error: unexpected argument",
            "",
            "  tip",
            "",
            "Usage",
            "",
            "For more",
        ],
    );
    assert!(!folder.path().join("out.html").exists());

    let elsewhere = ["--report", "no/such/folder/out.html"];
    let ended = simulate(folder.path(), &[STEPS, &elsewhere].concat());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(
        ended
            .stderr
            .contains("--report no/such/folder/out.html cannot be written")
    );
}

/// Hours of history that are made, and seconds between two of its samples.
const HISTORY_HOURS: u64 = 50;
const SCRAPE_SECONDS: u64 = 15;

/// A Prometheus with a counter that grew by 100 records/s for most of two days and by 1,000 for the
/// last half hour but one, with a hole of 10 minutes.
async fn prometheus_with_history() -> Prometheus {
    let now = Clock::start().now().as_millis() / 1_000 / SCRAPE_SECONDS * SCRAPE_SECONDS;
    let mut samples = "# TYPE records counter\n".to_owned();
    let mut written = 0;
    for ago in (0..=HISTORY_HOURS * 3_600 / SCRAPE_SECONDS)
        .rev()
        .map(|nth| nth * SCRAPE_SECONDS)
    {
        let burst = (1_800..3_600).contains(&ago);
        written += SCRAPE_SECONDS * if burst { 1_000 } else { 100 };
        if !(7_200..7_800).contains(&ago) {
            let _ = writeln!(samples, "records_total {written} {}", now - ago);
        }
    }
    samples.push_str("# EOF\n");
    Prometheus::with_samples(&samples).await
}

/// A Prometheus with a counter that grew by 100 records/s for six days, and by 1,000 for ten minutes a day.
async fn prometheus_with_days() -> Prometheus {
    let now = Clock::start().now().as_millis() / 1_000 / SCRAPE_SECONDS * SCRAPE_SECONDS;
    let mut samples = "# TYPE records counter\n".to_owned();
    let mut written = 0;
    for ago in (0..=6 * 86_400 / SCRAPE_SECONDS)
        .rev()
        .map(|nth| nth * SCRAPE_SECONDS)
    {
        let burst = (40_000..40_600).contains(&(ago % 86_400));
        written += SCRAPE_SECONDS * if burst { 1_000 } else { 100 };
        let _ = writeln!(samples, "records_total {written} {}", now - ago);
    }
    samples.push_str("# EOF\n");
    Prometheus::with_samples(&samples).await
}

#[tokio::test]
async fn a_backtest_says_what_a_calendar_would_have_been_worth() {
    let prometheus = prometheus_with_days().await;
    let folder = tempfile::tempdir().unwrap();
    let load = [
        "--from-prometheus",
        &prometheus.url,
        "--query",
        "sum(rate(records_total[1m]))",
        "--hours",
        "144",
    ];
    let world = ["--capacity", "200", "--partitions", "12", "--start", "60"];
    let who = ["--calendar", "on", "--policies", "evenkeel", "--seeds", "1"];
    let how = ["--json", "--report", "out.html"];
    let answer = json(&simulate(
        folder.path(),
        &[&load[..], &world, &who, &how].concat(),
    ));
    let rows = answer["rows"].as_array().unwrap();
    let figure = |row: usize, name: &str| rows[row][name].as_f64().unwrap();
    assert_eq!(rows[1]["policy"], "evenkeel, calendar on");
    let late = [0, 1].map(|row| figure(row, "late_percent"));
    // Three days are learned, and of the last three hardly a record is late.
    assert!(late[0] > 0.1 && late[1] < late[0] * 0.7, "{late:?}");
    let hours = [0, 1].map(|row| figure(row, "replica_hours"));
    assert!(hours[1] < hours[0] * 1.05, "{hours:?}");
    let notes = answer["notes"].as_array().unwrap();
    let worth = notes.last().unwrap().as_str().unwrap();
    assert!(
        worth.contains("records are later than 30 s instead of"),
        "{worth}"
    );
    let html = std::fs::read_to_string(folder.path().join("out.html")).unwrap();
    assert!(html.contains("calendar on") && html.contains("instead of"));
}

#[tokio::test]
async fn a_backtest_simulates_what_a_real_prometheus_remembers() {
    let prometheus = prometheus_with_history().await;
    let folder = tempfile::tempdir().unwrap();
    let backtest = |more: &[&str]| {
        let from = [
            "--from-prometheus",
            &prometheus.url,
            "--policies",
            "evenkeel,reactive",
        ];
        let rest = [
            "--seeds",
            "1",
            "--capacity",
            "200",
            "--partitions",
            "12",
            "--json",
        ];
        simulate(folder.path(), &[&from[..], &rest, more].concat())
    };

    let query = "sum(rate(records_total[1m]))";
    let answer = json(&backtest(&[
        "--query", query, "--hours", "4", "--report", "out.html",
    ]));
    let seconds = answer["load_seconds"].as_u64().unwrap();
    // The newest values may be up to two steps away from now.
    assert!((14_310..=14_400).contains(&seconds), "{seconds}");
    let peak = answer["load_peak_records_per_second"].as_f64().unwrap();
    assert!((990.0..=1_010.0).contains(&peak), "{peak}");
    let notes = answer["notes"].as_array().unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    let note = notes[0].as_str().unwrap();
    assert!(
        note.starts_with("The history has 1 gap,") && note.contains("straight line"),
        "{note}"
    );
    for row in answer["rows"].as_array().unwrap() {
        let mean = row["mean_replicas"].as_f64().unwrap();
        assert!(
            (1.0..=7.0).contains(&mean),
            "1 pod, and 5 to 7 for half an hour: {row}"
        );
        assert!(
            row["rescales"].as_f64().unwrap() >= 2.0,
            "up and down: {row}"
        );
    }
    let html = std::fs::read_to_string(folder.path().join("out.html")).unwrap();
    assert!(
        html.contains("recorded by Prometheus over the last"),
        "{html}"
    );

    // More values than a server gives in one answer: 172,800 s in steps of 12 s are 14,401.
    let long = [
        "--query", query, "--hours", "48", "--step", "12", "--speed", "24",
    ];
    let answer = json(&backtest(&long));
    let seconds = answer["load_seconds"].as_u64().unwrap();
    assert!((7_190..=7_200).contains(&seconds), "{seconds}");

    // The same through a profile, and without one that is not there.
    let profile = format!(
        "prometheus: {{main: {{url: '{}', headers: [X-Scope-OrgID=a]}}}}",
        prometheus.url
    );
    std::fs::write(folder.path().join("evenkeel.yaml"), profile).unwrap();
    let through = |name: &str| {
        let policies = ["--policies", "reactive", "--seeds", "1", "--json"];
        let profile = ["--prometheus", name, "--config", "evenkeel.yaml"];
        let load = ["--query", query, "--hours", "4"];
        simulate(folder.path(), &[&policies[..], &profile, &load].concat())
    };
    let answer = json(&through("main"));
    let seconds = answer["load_seconds"].as_u64().unwrap();
    assert!((14_310..=14_400).contains(&seconds), "{seconds}");
    let ended = through("mian");
    assert_eq!(ended.code, Some(64), "{}", ended.stdout);
    let complaint = "--prometheus mian: no such Prometheus profile in --config; there are main";
    assert!(ended.stderr.contains(complaint), "{}", ended.stderr);

    let ended = backtest(&["--query", "sum(rate(recrods_total[1m]))"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(
        ended
            .stderr
            .contains("returned nothing in the last 24 hours: check the metric's name")
    );
    let ended = backtest(&["--query", "sum(rate(records_total[1m]"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(
        ended
            .stderr
            .contains("parse error: unclosed left parenthesis"),
        "{}",
        ended.stderr
    );
}
