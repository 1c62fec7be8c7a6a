//! What runs came to, for people: a table a run with the policies side by side, docs/keda-runs.md out of
//! all of them, and the seconds as CSV.
//!
//! Each policy's figures are a file of their own (docs/keda/RUN-POLICY.json), so that a policy can be run
//! again alone and the document be written anew from what is there. Nothing is worked out here but
//! whether a goal was met.

use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::LabError;
use super::figures::{SETTLED_SECONDS, Second, SpanFigures};
use super::policies::Policy;
use super::scenario::{Goal, Scenario};
use crate::demo::programs::io;

/// A record's age where nobody waits: half of a batch's time is spent in the log, and the batch's.
const BATCH_SECONDS: f64 = 1.5;

/// A line of the CSV is the mean of so many seconds.
const CSV_SECONDS: u64 = 10;

/// What one policy came to in one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The run.
    pub run: String,
    /// The policy.
    pub policy: Policy,
    /// The day and minute of its begin.
    pub date: String,
    /// Which evenkeel.
    pub version: String,
    /// The versions of Kubernetes, KEDA and Kafka.
    pub parts: String,
    /// How many replicas the scaler had; one that was not told of Kubernetes, if this is missing.
    pub scaler_replicas: Option<u8>,
    /// The policies that ran at the same time.
    pub beside: Vec<Policy>,
    /// The machine's load average: mean.
    pub load_average_mean: Option<f64>,
    /// The machine's load average: greatest.
    pub load_average_max: Option<f64>,
    /// Records that Kafka has acknowledged.
    pub acknowledged_records: u64,
    /// Records committed at the end of the load.
    pub committed_records: Option<u64>,
    /// Rebalances of the group.
    pub rebalances: u32,
    /// Times that a partition went from one owner to another.
    pub partition_moves: u32,
    /// Errors that KEDA has counted.
    pub keda_errors: Option<u64>,
    /// The figures of each span.
    pub spans: Vec<SpanFigures>,
}

const HEAD: &str = "\
<!-- Written from docs/keda/*.json by `make keda-run`. -->
# Runs on real KEDA
A real KEDA, a real HPA and a real Kafka broker; consumers of 100 records/s each (batches of 100 that take a
second) as pods that are Ready a minute after they are asked for, where nothing else is said. The HPA looks every
15 s, and loads change half way between two of its looks; KEDA polls every 30 s. The scaler has the rights that
the chart gives it, and two replicas as there, where nothing else is said. All pods reach the broker from one
address, as behind a proxy: what replicas there are, only Kubernetes tells. `make keda-run` makes these
runs and writes this page: [keda.md](keda.md#runs-under-real-keda) has its commands.

- **evenkeel**: what `evenkeel migrate --capacity-per-replica 100` makes of the published rule, as it comes out.
- **evenkeel, two consumers a pod**: the same, of pods that are two consumers of 50 records/s each.
- **evenkeel, with a calendar**: the same as the first, with `calendar: \"on\"` and the Prometheus of lag and rate.
- **the published rule (lag)**: KEDA's `kafka` trigger with the `lagThreshold` that is said.
- **lag and rate**: the same, and the inbound rate out of a Prometheus that scrapes the broker every 15 s, 80
  records/s a replica.

Message time is a record's age when it is written. Means are weighted by records; the median is of the records'
seconds; the worst second is the one with the highest mean. Replica-minutes are of the replicas that were asked
for. A reversal is a change against the one before it within the same part of the load. Seconds in brackets are
from the begin of that part to the change. The machine has two cores, which everything here shares; its load
average says how busy it was, the run itself included. Curves in steps of 10 s: `keda/RUN-POLICY.csv`.
";

/// Writes an outcome and its curve into `folder`.
///
/// # Errors
/// When a file cannot be written.
pub fn store(folder: &Path, outcome: &Outcome, seconds: &[Second]) -> Result<(), LabError> {
    std::fs::create_dir_all(folder).map_err(io("making the folder of the figures"))?;
    let name = format!("{}-{}", outcome.run, outcome.policy.name());
    let mut json = serde_json::to_string_pretty(outcome).unwrap_or_default();
    json.push('\n');
    let write = |kind: &str, text: String| {
        std::fs::write(folder.join(format!("{name}.{kind}")), text)
            .map_err(io("writing the figures"))
    };
    write("json", json)?;
    write("csv", csv(seconds))?;
    Ok(())
}

/// Every outcome in `folder`, in the order of the policies.
///
/// # Errors
/// When one cannot be read.
pub fn stored(folder: &Path) -> Result<Vec<Outcome>, LabError> {
    let reading = "reading the figures";
    let mut outcomes = Vec::new();
    for file in std::fs::read_dir(folder).map_err(io(reading))? {
        let path = file.map_err(io(reading))?.path();
        if path.extension().is_some_and(|kind| kind == "json") {
            let text = std::fs::read_to_string(&path).map_err(io(reading))?;
            let outcome = serde_json::from_str(&text).map_err(std::io::Error::other);
            outcomes.push(outcome.map_err(io(&path.display().to_string()))?);
        }
    }
    outcomes.sort_by_key(|outcome: &Outcome| outcome.policy);
    Ok(outcomes)
}

/// The whole document.
pub fn document(outcomes: &[Outcome]) -> String {
    let mut text = HEAD.to_owned();
    for scenario in Scenario::all() {
        let own = outcomes
            .iter()
            .filter(|outcome| outcome.run == scenario.name);
        let own: Vec<&Outcome> = own.collect();
        if !own.is_empty() {
            let _ = write!(text, "\n## {}\n{}\n", scenario.name, run(&scenario, &own));
        }
    }
    text
}

/// One run: what it is, the table, the goals.
pub fn run(scenario: &Scenario, outcomes: &[&Outcome]) -> String {
    let mut text = format!(
        "{} {} partitions, at most {} replicas, `lagThreshold` {}, {} s from a pod to its process.\n\n",
        scenario.about,
        scenario.partitions,
        scenario.max_replicas,
        scenario.lag_threshold_records,
        scenario.start.as_secs(),
    );
    let mut line = |heading: &str, cell: &dyn Fn(&Outcome) -> String| {
        let cells: Vec<String> = outcomes.iter().map(|outcome| cell(outcome)).collect();
        let _ = writeln!(text, "| {heading} | {} |", cells.join(" | "));
    };
    line("", &|outcome| outcome.policy.title().to_owned());
    line("---", &|_| "---".to_owned());
    for (index, span) in scenario.spans.iter().enumerate() {
        let mut of = |what: &str, figure: &dyn Fn(&SpanFigures) -> String| {
            line(&format!("{}: {what}", span.name), &|outcome| {
                outcome.spans.get(index).map_or_else(String::new, figure)
            });
        };
        of("replicas asked for", &path);
        of("steps up, steps down, reversals", &|figures| {
            format!("{}, {}, {}", figures.up, figures.down, figures.reversals)
        });
        of(
            "message time: mean, median, worst second, oldest record",
            &|figures| {
                seconds(&[
                    figures.age_mean,
                    figures.age_median,
                    figures.age_worst,
                    figures.age_max,
                ])
            },
        );
        of(
            "message time of its last minute: mean, oldest record",
            &|figures| seconds(&[figures.steady_mean, figures.steady_max]),
        );
        of("message time stays under 3 s from", &|figures| {
            let after = figures.settled_after;
            after.map_or("never".to_owned(), |after| format!("{after} s on"))
        });
        of("records waiting: most, at its end", &|figures| {
            format!("{}, {}", records(figures.lag_max), records(figures.lag_end))
        });
        of("replica-minutes", &|figures| {
            format!("{:.0}", figures.replica_minutes)
        });
    }
    line("replica-minutes in all", &|outcome| {
        let spans = outcome.spans.iter().map(|figures| figures.replica_minutes);
        format!("{:.0}", spans.sum::<f64>())
    });
    line("rebalances; moves of a partition", &|outcome| {
        format!("{}; {}", outcome.rebalances, outcome.partition_moves)
    });
    line("records acknowledged; committed at the end", &|outcome| {
        let committed = records(outcome.committed_records);
        format!(
            "{}; {committed}",
            records(Some(outcome.acknowledged_records))
        )
    });
    line("errors that KEDA counted", &|outcome| {
        records(outcome.keda_errors)
    });
    line(
        "replicas of the scaler",
        &|outcome| match outcome.scaler_replicas {
            _ if !outcome.policy.is_ours() => String::new(),
            Some(replicas) => replicas.to_string(),
            None => "one, not told of Kubernetes".to_owned(),
        },
    );
    line("load average: mean, greatest", &|outcome| {
        let one = |value: Option<f64>| value.map_or("unknown".to_owned(), |it| format!("{it:.1}"));
        format!(
            "{}, {}",
            one(outcome.load_average_mean),
            one(outcome.load_average_max)
        )
    });
    line(
        "at the same time",
        &|outcome| match outcome.beside.as_slice() {
            [] => "nothing of these runs".to_owned(),
            beside => beside
                .iter()
                .map(|it| it.title())
                .collect::<Vec<_>>()
                .join(", "),
        },
    );
    line("when; with", &|outcome| {
        format!(
            "{}; evenkeel {}, {}",
            outcome.date, outcome.version, outcome.parts
        )
    });
    for (goal, met) in goals(scenario.goal, outcomes) {
        let met = if met { "met" } else { "**not met**" };
        let _ = write!(text, "\n- Goal: {goal}: {met}.");
    }
    text.trim_end().to_owned()
}

/// Each goal with its figures, and whether it was met; none where a run is missing.
fn goals(goal: Goal, outcomes: &[&Outcome]) -> Vec<(String, bool)> {
    let of = |policy| outcomes.iter().find(|outcome| outcome.policy == policy);
    let Some(evenkeel) = of(Policy::Evenkeel) else {
        return Vec::new();
    };
    match (goal, evenkeel.spans.as_slice()) {
        (Goal::OneStep, [before, step, fall]) => {
            let reversals = before.reversals + step.reversals + fall.reversals;
            let steady = step.steady_mean.unwrap_or(f64::INFINITY);
            vec![
                (format!("one step up ({})", step.up), step.up == 1),
                (
                    format!("at most two steps down ({})", fall.down),
                    fall.down <= 2,
                ),
                (format!("no reversal ({reversals})"), reversals == 0),
                (
                    format!("steady message time under {SETTLED_SECONDS:.0} s ({steady:.1})"),
                    steady < SETTLED_SECONDS,
                ),
            ]
        }
        (Goal::SameCounts, spans) => {
            let counts = |spans: &[SpanFigures]| -> Vec<Option<u32>> {
                let last = spans.iter().map(|span| span.counts.last().copied());
                last.collect()
            };
            let other = of(Policy::TwoAPod).map(|other| counts(&other.spans));
            let same = other.map(|other| other == counts(spans));
            let goal = |same| {
                (
                    "the same counts at the end of each part with two consumers a pod".to_owned(),
                    same,
                )
            };
            same.map(goal).into_iter().collect()
        }
        (Goal::ReadyBefore, [_, without, _]) => {
            let with = of(Policy::Calendar).and_then(|with| with.spans.get(1));
            let goals = with.map(|with| {
                let (own, other) = (with.age_mean, without.age_mean);
                let is_tenth = matches!((own, other), (Some(own), Some(other)) if own - BATCH_SECONDS
                    <= (other - BATCH_SECONDS) / 10.0);
                let up = with.up;
                vec![
                    (format!("no step up once it has begun ({up})"), up == 0),
                    (
                        format!(
                            "message time, above the {BATCH_SECONDS} s of a batch, a tenth of that without a \
                             calendar ({} beside {})",
                            seconds(&[own]),
                            seconds(&[other])
                        ),
                        is_tenth,
                    ),
                ]
            });
            goals.unwrap_or_default()
        }
        (Goal::AtMostLagAndRate, [rise, ..]) => {
            let mut goals = vec![(
                format!("at most three steps up ({})", rise.up),
                rise.up <= 3,
            )];
            if let Some(rival) = of(Policy::LagAndRate).and_then(|rival| rival.spans.first()) {
                let (own, other) = (rise.age_mean, rival.age_mean);
                goals.push((
                    format!(
                        "message time at most lag and rate's ({} beside {})",
                        seconds(&[own]),
                        seconds(&[other])
                    ),
                    matches!((own, other), (Some(own), Some(other)) if own <= other),
                ));
                goals.push((
                    format!(
                        "at no more replica-minutes ({:.1} beside {:.1})",
                        rise.replica_minutes, rival.replica_minutes
                    ),
                    rise.replica_minutes <= rival.replica_minutes,
                ));
            }
            goals
        }
        _ => Vec::new(),
    }
}

/// `13 → 100 (12 s)`.
fn path(figures: &SpanFigures) -> String {
    let mut counts = figures.counts.iter();
    let first = counts.next().map_or_else(String::new, u32::to_string);
    let changes = counts.zip(&figures.changed_after);
    changes.fold(first, |path, (count, after)| {
        format!("{path} → {count} ({after} s)")
    })
}

fn seconds(values: &[Option<f64>]) -> String {
    if values.iter().all(Option::is_none) {
        return "nothing written".to_owned();
    }
    let one = |value: &Option<f64>| match value {
        None => "unknown".to_owned(),
        Some(value) if *value < 20.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    };
    let values: Vec<String> = values.iter().map(one).collect();
    format!("{} s", values.join(", "))
}

/// A number of records with a comma at each thousand.
fn records(value: Option<u64>) -> String {
    let Some(value) = value else {
        return "unknown".to_owned();
    };
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn csv(seconds: &[Second]) -> String {
    let mut text = "second,load_per_second,arrived_per_second,written_per_second,message_time_mean,\
                    message_time_max,records_waiting,replicas_asked,replicas_ready,members,load_average\n"
        .to_owned();
    for part in
        seconds.chunk_by(|one, other| one.second / CSV_SECONDS == other.second / CSV_SECONDS)
    {
        let Some(last) = part.last() else { continue };
        #[expect(clippy::cast_precision_loss, reason = "a few seconds, their records")]
        let per_second = |sum: f64| sum / part.len() as f64;
        #[expect(clippy::cast_precision_loss, reason = "a few seconds' records")]
        let arrived: Option<f64> = part
            .iter()
            .map(|second| second.arrived.map(|records| records as f64))
            .sum();
        let written: f64 = part.iter().map(|second| second.written).sum();
        let aged = part.iter().filter_map(|it| Some(it.age_mean? * it.written));
        let mean = (written > 0.0).then(|| aged.sum::<f64>() / written);
        let greatest = part
            .iter()
            .filter_map(|second| second.age_max)
            .reduce(f64::max);
        let cell = |value: Option<f64>| value.map_or_else(String::new, |it| format!("{it:.2}"));
        let whole = |value: Option<u64>| value.map_or_else(String::new, |it| it.to_string());
        let _ = writeln!(
            text,
            "{},{:.0},{},{:.0},{},{},{},{},{},{},{}",
            last.second / CSV_SECONDS * CSV_SECONDS,
            last.load,
            arrived.map_or_else(String::new, |sum| format!("{:.0}", per_second(sum))),
            per_second(written),
            cell(mean),
            cell(greatest),
            whole(last.lag),
            last.replicas.asked,
            last.replicas.ready,
            whole(last.members.map(u64::from)),
            cell(last.load_average),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_what_comes_of_the_figures() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let written = std::fs::read_to_string(docs.join("keda-runs.md")).unwrap();
        let outcomes = stored(&docs.join("keda")).unwrap();
        assert_eq!(written, document(&outcomes), "make keda-run writes it");
    }

    #[test]
    fn thousands_have_a_comma() {
        assert_eq!(records(Some(7)), "7");
        assert_eq!(records(Some(1_234_567)), "1,234,567");
        assert_eq!(records(Some(516_000)), "516,000");
        assert_eq!(records(None), "unknown");
    }

    #[test]
    fn a_line_of_the_curve_is_the_mean_of_its_seconds() {
        let second = |second, written, age, arrived| Second {
            second,
            written,
            age_mean: age,
            arrived,
            ..Second::default()
        };
        let text = csv(&[
            second(0, 10.0, Some(1.0), Some(30)),
            second(1, 30.0, Some(5.0), Some(10)),
            second(10, 0.0, None, None),
        ]);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines, ["0,0,20,20,4.00,,,0,0,,", "10,0,,0,,,,0,0,,"]);
    }
}
