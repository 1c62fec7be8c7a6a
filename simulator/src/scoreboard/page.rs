//! How the scoreboard is written down: one page for people, one file of figures a scenario, one for
//! the test that holds them.

use std::fmt::Write as _;

use super::{Board, COMPARED, Plan, SeedFigures, Standing};
use crate::plot::{Dimension, Point, Scale, Scatter, Series};
use crate::reference::{MESSAGE_TOLERANCE, PODS_TOLERANCE, Reference, within};
use crate::sweep::Row;
use crate::variants::Kind;

/// The goals: percentage points above the oracle, replica-hours over it,
/// times less late than lag alone, contradicting changes of all.
const GOAL_POINTS: f64 = 0.1;
const GOAL_HOURS: f64 = 1.05;
const GOAL_LAG_FACTOR: f64 = 10.0;
const GOAL_HARMFUL_SHARE: f64 = 0.01;

/// What one percentage point of late records is worth in replica-hours when variants are compared by
/// one figure: 5 %. It only orders them; both figures are in the tables.
pub(super) const POINT_WORTH: f64 = 0.05;

/// All files: their names below the folder, and their content.
pub fn pages(plan: Plan, boards: &[Board]) -> Vec<(String, String)> {
    let mut pages = vec![
        ("SCOREBOARD.md".to_owned(), scoreboard(plan, boards)),
        ("scoreboard/evenkeel.csv".to_owned(), by_seed(boards)),
        ("scoreboard/seed-runs.md".to_owned(), seed_runs()),
    ];
    for board in boards {
        pages.push((format!("scoreboard/{}.csv", board.name), figures(board)));
        let over = |row: &Row| row.mean_replicas;
        let svg = plot(board, "Late records over replicas", "pods on average", over);
        pages.push((format!("scoreboard/{}-replicas.svg", board.name), svg));
        let over = |row: &Row| row.rescales;
        let svg = plot(board, "Late records over rescales", "rescales", over);
        pages.push((format!("scoreboard/{}-rescales.svg", board.name), svg));
    }
    pages
}

fn scoreboard(plan: Plan, boards: &[Board]) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "# The scoreboard\n\
         Every policy on every scenario, in the simulator. Written by `make scoreboard` \
         ({} seeds, {} for the variants); nothing here is written by hand. Medians over the seeds.\n\n\
         **late**: records processed more than 30 s after they were written. **replicas**: pods on \
         average, started or not; that is what it costs. **10 s**, **120 s**: records later than that, \
         percent. **mean**, **p99**, **max**: message time, seconds. \
         **reversals**: changes against the one before, within ten minutes. **harmful**: a step down \
         taken back within ten minutes, or a step up in a rebalance without which the next ten minutes \
         would have been carried as well. **drain**: the longest time in which something was late.\n\n\
         Whether to believe it: [two runs of the published scenario on real KEDA, beside the \
         simulator's](scoreboard/seed-runs.md). All figures of all settings: `scoreboard/*.csv`. How \
         it is made: [ALGORITHM.md](ALGORITHM.md), `simulator/`.\n\n",
        plan.seeds, plan.variant_seeds
    );
    goals(&mut page, boards);
    for board in boards {
        scenario(&mut page, board);
    }
    knowledge(&mut page, boards);
    variants(&mut page, boards, Kind::Removed);
    variants(&mut page, boards, Kind::Number);
    left_out(&mut page, boards);
    page
}

fn goals(page: &mut String, boards: &[Board]) {
    let _ = write!(
        page,
        "## Where evenkeel stands\n\
         One setting for all: the defaults. The reactive oracle knows the true rate, backlog and \
         capacity of every moment; it is swept over its headroom, like every rival over its own knob.\n\n\
         | | late, evenkeel | oracle, no more replicas | above it (goal {GOAL_POINTS}) | replicas over the \
         oracle's, no later (goal {GOAL_HOURS}) | rivals no later with no more replicas (goal none) | \
         KEDA lag with as many replicas or more, times as late as evenkeel; as the oracle (goal {GOAL_LAG_FACTOR} where the oracle has it) | rescales; Flink-like, \
         no later | reversals | harmful, of all changes |\n\
         |---|---|---|---|---|---|---|---|---|---|\n"
    );
    for board in boards {
        let ours = &board.ours;
        let standing = Standing::of(board);
        let mark = |met: bool, text: String| if met { text } else { format!("**{text}**") };
        let above = standing
            .oracle_late
            .map(|oracle| ours.late_percent - oracle);
        let share = ours.harmful / ours.rescales.max(1.0);
        let _ = writeln!(
            page,
            "| {} | {} % | {} | {} | {} | {} | {} | {:.0}; {} | {:.0} | {} |",
            board.name,
            figure(ours.late_percent),
            standing
                .oracle_late
                .map_or("cannot".to_owned(), |late| format!("{} %", figure(late))),
            above.map_or("below any".to_owned(), |above| mark(
                above <= GOAL_POINTS,
                format!("{above:+.2}")
            )),
            standing
                .hours_ratio
                .map_or("later with any".to_owned(), |ratio| mark(
                    ratio <= GOAL_HOURS,
                    format!("{ratio:.2}")
                )),
            if standing.better.is_empty() {
                "none".to_owned()
            } else {
                format!("**{}**", standing.better.join("; "))
            },
            standing
                .keda_lag_factor
                .map_or("none".to_owned(), |(factor, oracle)| mark(
                    factor >= GOAL_LAG_FACTOR || oracle < GOAL_LAG_FACTOR,
                    format!("{factor:.1}; {oracle:.1}")
                )),
            ours.rescales,
            standing
                .flink_rescales
                .map_or("none is".to_owned(), |rescales| mark(
                    ours.rescales <= rescales,
                    format!("{rescales:.0}")
                )),
            ours.reversals,
            mark(
                share <= GOAL_HARMFUL_SHARE,
                format!("{:.0} of {:.0}", ours.harmful, ours.rescales)
            ),
        );
    }
    page.push_str(
        "\nA figure in bold misses its goal. \"Below any\": the oracle cannot do with so few replicas \
         at any headroom. \"Later with any\": it is later than evenkeel however many it takes.\n\n",
    );
}

/// Every policy with all its settings: what lateness costs in what is `across`.
fn plot(board: &Board, title: &str, label: &str, across: fn(&Row) -> f64) -> String {
    let mut series: Vec<Series> = Vec::new();
    let rivals = board.rivals.iter().map(|(_, row)| row);
    for row in std::iter::once(&board.ours).chain(rivals) {
        let point = Point {
            x: across(row),
            y: row.late_percent,
            label: row.knob.clone(),
        };
        match series.last_mut() {
            Some(last) if last.name == row.policy => last.points.push(point),
            _ => series.push(Series {
                name: row.policy.clone(),
                points: vec![point],
            }),
        }
    }
    let points = || series.iter().flat_map(|series| &series.points);
    Scatter {
        title: &format!("{}: {title}", board.name),
        x: Dimension {
            label,
            scale: Scale::fitting(points().map(|point| point.x), 1.0),
        },
        y: Dimension {
            label: "records later than 30 s, %",
            scale: Scale::fitting(points().map(|point| point.y), LATE_FLOOR_PERCENT),
        },
        series: &series,
    }
    .svg()
}

/// Less late than this is drawn on the axis of a plot.
const LATE_FLOOR_PERCENT: f64 = 0.001;

const HEAD: &str = "| policy | knob | late % | replicas | 10 s | 120 s | mean | p99 | max | rescales | rebalances | reversals \
                    | harmful | drain |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";

fn scenario(page: &mut String, board: &Board) {
    let _ = write!(
        page,
        "## {name}\n{}. {:.1} h. Each rival at the setting whose replicas are nearest to evenkeel's; all \
         settings are in the plots and in [{name}.csv](scoreboard/{name}.csv).\n\n\
         ![late over replicas](scoreboard/{name}-replicas.svg) \
         ![late over rescales](scoreboard/{name}-rescales.svg)\n\n{HEAD}",
        capitalised(board.about),
        board.seconds as f64 / 3_600.0,
        name = board.name
    );
    line(page, &board.ours);
    let mut last = "";
    for (_, row) in &board.rivals {
        if row.policy == last {
            continue;
        }
        last = &row.policy;
        let same = board.rivals.iter().map(|(_, row)| row);
        let nearest = same
            .filter(|other| other.policy == row.policy)
            .min_by(|a, b| {
                let off = |row: &Row| (row.mean_replicas - board.ours.mean_replicas).abs();
                off(a).total_cmp(&off(b))
            });
        if let Some(nearest) = nearest {
            line(page, nearest);
        }
    }
    page.push('\n');
}

fn line(page: &mut String, row: &Row) {
    let _ = writeln!(
        page,
        "| {} | {} | {} | {:.2} | {} | {} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
        row.policy,
        row.knob,
        figure(row.late_percent),
        row.mean_replicas,
        figure(row.later_than_10_percent),
        figure(row.later_than_120_percent),
        row.message_mean_seconds,
        row.message_p99_seconds,
        row.message_max_seconds,
        row.rescales,
        row.rebalances,
        row.reversals,
        row.harmful,
        row.drain_seconds
    );
}

fn knowledge(page: &mut String, boards: &[Board]) {
    page.push_str(
        "## What it knows of a pod's capacity\n\
         Late % / replicas. Exact, learned from nothing, and wrong by 30 % either way.\n\n\
         | | exact | learned | x 0.7 | x 1.3 |\n|---|---|---|---|---|\n",
    );
    for board in boards {
        let _ = write!(page, "| {} | {} |", board.name, pair(&board.ours));
        for (_, row) in &board.knowledge {
            let _ = write!(page, " {} |", pair(row));
        }
        page.push('\n');
    }
    page.push('\n');
}

fn variants(page: &mut String, boards: &[Board], kind: Kind) {
    let compared = compared(boards);
    let heading = match kind {
        Kind::Removed => "## One part removed\nLate % / replicas / rescales.",
        Kind::Number => "## One number at another value\nLate % / replicas / rescales.",
    };
    let _ = write!(page, "{heading}\n\n| |");
    for board in &compared {
        let _ = write!(page, " {} |", board.name);
    }
    let _ = write!(
        page,
        "\n|---|{}\n| the defaults |",
        "---|".repeat(compared.len())
    );
    for board in &compared {
        let _ = write!(page, " {} |", triple(&board.ours_few));
    }
    page.push('\n');
    let Some(first) = compared.first() else {
        return;
    };
    for (place, (of, row)) in first.variants.iter().enumerate() {
        if *of != kind {
            continue;
        }
        let _ = write!(page, "| {} |", named(&row.policy));
        for board in &compared {
            let text = board.variants.get(place).map(|(_, row)| triple(row));
            let _ = write!(page, " {} |", text.unwrap_or_default());
        }
        page.push('\n');
    }
    page.push('\n');
}

/// For each trace the number that would have been chosen on all the others, and what it is worth there.
fn left_out(page: &mut String, boards: &[Board]) {
    let compared = compared(boards);
    let cost = |board: &Board, row: &Row| {
        let defaults = &board.ours_few;
        row.mean_replicas / defaults.mean_replicas.max(1e-9)
            + POINT_WORTH * (row.late_percent - defaults.late_percent)
            - 1.0
    };
    page.push_str(
        "## One trace left out\n\
         Is the setting fitted to these traces? For each, the one change among the numbers above that \
         would have been chosen on all the others: the least mean cost, where cost is replica-hours \
         over the defaults' plus 5 % for each percentage point of late records. If a change that is \
         good on the others were good on the trace left out as well, the defaults would be wrong \
         everywhere; if the defaults were fitted to a trace, leaving it out would choose another and \
         that would lose there.\n\n\
         | left out | chosen on the others | its cost on them | its cost on the one left out |\n\
         |---|---|---|---|\n",
    );
    for out in &compared {
        let places = out.variants.iter().enumerate();
        let numbers = places.filter(|(_, (kind, _))| *kind == Kind::Number);
        let mean = |place: usize| {
            let others = compared.iter().filter(|board| board.name != out.name);
            let costs: Vec<f64> = others
                .filter_map(|board| board.variants.get(place).map(|(_, row)| cost(board, row)))
                .collect();
            costs.iter().sum::<f64>() / costs.len().max(1) as f64
        };
        let best = numbers
            .map(|(place, (_, row))| (mean(place), row))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((others, row)) = best else { continue };
        let chosen = if others < 0.0 {
            named(&row.policy)
        } else {
            "the defaults"
        };
        let (others, here) = if others < 0.0 {
            (others, cost(out, row))
        } else {
            (0.0, 0.0)
        };
        let _ = writeln!(
            page,
            "| {} | {chosen} | {:+.1} % | {:+.1} % |",
            out.name,
            others * 100.0,
            here * 100.0
        );
    }
    page.push('\n');
}

/// The scenarios on which variants were compared.
pub(super) fn compared(boards: &[Board]) -> Vec<&Board> {
    let compared = boards.iter();
    compared
        .filter(|board| COMPARED.contains(&board.name))
        .collect()
}

fn figures(board: &Board) -> String {
    let mut file = String::from(
        "policy,knob,late_percent,later_than_10_percent,later_than_120_percent,mean_replicas,\
         replica_hours,message_mean_seconds,message_p50_seconds,\
         message_p99_seconds,message_max_seconds,message_worst_seconds,rescales,rebalances,reversals,\
         harmful,drain_seconds\n",
    );
    let rivals = board.rivals.iter().map(|(_, row)| row);
    let variants = board.variants.iter().map(|(_, row)| row);
    for row in std::iter::once(&board.ours).chain(rivals).chain(variants) {
        let _ = writeln!(
            file,
            "\"{}\",{},{:.4},{:.4},{:.4},{:.3},{:.2},{:.2},{:.1},{:.1},{:.1},{:.1},{},{},{},{},{}",
            row.policy,
            row.knob,
            row.late_percent,
            row.later_than_10_percent,
            row.later_than_120_percent,
            row.mean_replicas,
            row.replica_hours,
            row.message_mean_seconds,
            row.message_p50_seconds,
            row.message_p99_seconds,
            row.message_max_seconds,
            row.message_worst_seconds,
            row.rescales,
            row.rebalances,
            row.reversals,
            row.harmful,
            row.drain_seconds
        );
    }
    file
}

fn by_seed(boards: &[Board]) -> String {
    let mut file =
        String::from("scenario,seed,late_percent,mean_replicas,rescales,reversals,harmful\n");
    for board in boards {
        for (seed, figures) in board.ours_by_seed.iter().enumerate() {
            let _ = writeln!(file, "{}", figures.line(board.name, seed));
        }
    }
    file
}

// === impl SeedFigures ===

impl SeedFigures {
    /// The line of `scoreboard/evenkeel.csv`.
    pub fn line(&self, scenario: &str, seed: usize) -> String {
        format!(
            "{scenario},{seed},{:.6},{:.6},{},{},{}",
            self.late_percent, self.mean_replicas, self.rescales, self.reversals, self.harmful
        )
    }
}

/// Seeds of the comparison with the real runs.
const REFERENCE_SEEDS: u64 = 9;

fn seed_runs() -> String {
    let mut page = format!(
        "# The published scenario, real and simulated\n\
         Two runs on real KEDA 2.20.2, a real HPA (Kubernetes 1.35.8) and Kafka 4.4.0, minute by \
         minute, beside the simulator's KEDA rivals on the same scenario: 100 partitions, pods of 100 \
         records/s, the published ScaledObject. Simulated figures are medians of {REFERENCE_SEEDS} \
         seeds. Written by `make scoreboard`.\n\n\
         The real runs were read off in rows of some minutes; where a row spans minutes its figures \
         are a range, and each of its minutes has to lie in it, pods give or take {:.0} %, mean message \
         time give or take {:.0} %. What does not is in bold.\n\n",
        PODS_TOLERANCE * 100.0,
        MESSAGE_TOLERANCE * 100.0
    );
    for (title, reference) in [
        ("Lag only", Reference::LagOnly),
        ("Lag and rate", Reference::LagAndRate),
    ] {
        let checked = reference.checked(REFERENCE_SEEDS);
        let off = checked
            .iter()
            .map(|minute| usize::from(!minute.pods_within) + usize::from(!minute.message_within));
        let _ = write!(
            page,
            "## {title}\n{} of {} figures are off.\n\n\
             | minute | pods, real | simulated | processed/s, real | simulated | message time, real | \
             simulated |\n|---|---|---|---|---|---|---|\n",
            off.sum::<usize>(),
            checked.len() * 2
        );
        for minute in &checked {
            let mark = |met: bool, text: String| if met { text } else { format!("**{text}**") };
            let row = minute.row;
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {:.0} | {} | {} |",
                minute.minute,
                range(row.pods),
                mark(minute.pods_within, format!("{:.0}", minute.pods)),
                range(row.processed),
                minute.processed,
                range(row.message_seconds),
                mark(
                    minute.message_within,
                    format!("{:.1}", minute.message_seconds)
                ),
            );
        }
        page.push('\n');
    }
    page
}

fn range((least, most): (f64, f64)) -> String {
    if within(least, (most, most), 0.0) {
        format!("{least}")
    } else {
        format!("{least}..{most}")
    }
}

fn pair(row: &Row) -> String {
    format!("{} / {:.1}", figure(row.late_percent), row.mean_replicas)
}

/// Late %, replicas and rescales.
pub(super) fn triple(row: &Row) -> String {
    format!("{} / {:.0}", pair(row), row.rescales)
}

/// A variant's name without ours.
pub(super) fn named(policy: &str) -> &str {
    policy.strip_prefix("evenkeel, ").unwrap_or(policy)
}

/// Three digits that mean something.
fn figure(figure: f64) -> String {
    if figure < 1.0 {
        format!("{figure:.3}")
    } else if figure < 10.0 {
        format!("{figure:.2}")
    } else {
        format!("{figure:.1}")
    }
}

fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
