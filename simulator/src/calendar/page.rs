//! How the weeks are written down: what is claimed of the calendar, with what is missed in bold, and the
//! figures of everybody on each load.

use std::fmt::Write as _;

use super::{Party, Plan, RECURRING, Table};
use crate::sweep::Row;

/// The goals where a load recurs: the share of the reactive oracle's late records, of its replica-hours,
/// and times the clairvoyant's late records, and percentage points beyond.
const GOAL_SHARE: f64 = 0.1;
const GOAL_HOURS: f64 = 1.05;
const GOAL_CLAIRVOYANT: (f64, f64) = (2.0, 0.01);

/// The goals where it does not: percentage points and replica-hours beside those without a calendar.
const GOAL_POINTS: f64 = 0.01;
const GOAL_IDLE_HOURS: f64 = 1.02;

/// The page.
pub fn page(plan: Plan, tables: &[Table]) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "# What the past is worth\n\
         Weeks in real time, in the simulator. Written by `make calendar-board` (seeds: {}); nothing here \
         is written by hand. Medians over the seeds. The first days of each load are the past that everybody \
         is given; only the rest is run and counted.\n\n\
         **late**: records processed more than 30 s after they were written, percent. **replicas**: pods \
         on average, started or not. **10 s**, **120 s**: records later than that. **mean**, **max**: \
         message time, seconds. **rescales**: changes of the count. All plan for 80 % of a pod's capacity. \
         How it works: [calendar.md](calendar.md).\n\n## Goals\nIn bold what is missed.\n\n",
        plan.seeds
    );
    recurring(&mut page, tables);
    others(&mut page, tables);
    for table in tables {
        figures(&mut page, table);
    }
    page
}

/// `text`, in bold where the goal is missed.
fn goal(is_met: bool, text: &str) -> String {
    if is_met {
        text.to_owned()
    } else {
        format!("**{text}**")
    }
}

fn row(table: &Table, party: Party) -> Option<&Row> {
    let mut rows = table.rows.iter();
    rows.find(|(other, _)| *other == party).map(|(_, row)| row)
}

fn recurring(page: &mut String, tables: &[Table]) {
    let _ = write!(
        page,
        "Where it recurs: at most {GOAL_SHARE} of the reactive oracle's late records at {GOAL_HOURS} of its \
         replicas, at most {} times the clairvoyant's and {} points; fewer replicas than cron by hand at no \
         more late records, and less of both than every forecast.\n\n\
         | load, start | late | of the reactive's | replicas, of the reactive's | beside the clairvoyant's | \
         than cron | than yesterday | than Holt-Winters | than quantiles |\n|---|--:|--:|--:|--:|---|---|---|---|\n",
        GOAL_CLAIRVOYANT.0, GOAL_CLAIRVOYANT.1
    );
    for table in tables
        .iter()
        .filter(|table| RECURRING.contains(&table.name))
    {
        let (Some(ours), Some(reactive), Some(clairvoyant)) = (
            row(table, Party::Evenkeel),
            row(table, Party::Reactive),
            row(table, Party::Clairvoyant),
        ) else {
            continue;
        };
        let share = ours.late_percent / reactive.late_percent.max(1e-9);
        let hours = ours.mean_replicas / reactive.mean_replicas.max(1e-9);
        let most = clairvoyant.late_percent * GOAL_CLAIRVOYANT.0 + GOAL_CLAIRVOYANT.1;
        let beside = |party: Party| match row(table, party) {
            None => "-".to_owned(),
            Some(rival) => {
                let is_met = ours.late_percent <= rival.late_percent
                    && ours.mean_replicas <= rival.mean_replicas;
                let late = ours.late_percent - rival.late_percent;
                let replicas = ours.mean_replicas / rival.mean_replicas.max(1e-9);
                goal(is_met, &format!("{late:+.3}, x {replicas:.2}"))
            }
        };
        let _ = writeln!(
            page,
            "| {}, {} s | {:.4} | {} | {} | {} | {} | {} | {} | {} |",
            table.name,
            table.start_seconds,
            ours.late_percent,
            goal(share <= GOAL_SHARE, &format!("{share:.2}")),
            goal(hours <= GOAL_HOURS, &format!("{hours:.3}")),
            goal(
                ours.late_percent <= most,
                &format!("{:.4}", clairvoyant.late_percent)
            ),
            beside(Party::Cron),
            beside(Party::SeasonalNaive),
            beside(Party::HoltWinters),
            beside(Party::HourQuantile),
        );
    }
}

fn others(page: &mut String, tables: &[Table]) {
    let _ = write!(
        page,
        "\nWhere it does not, or is not sudden: at most {GOAL_POINTS} points more late records than without \
         a calendar, and {GOAL_IDLE_HOURS} of the replicas.\n\n\
         | load | late | without | replicas, of those without |\n|---|--:|--:|--:|\n"
    );
    for table in tables
        .iter()
        .filter(|table| !RECURRING.contains(&table.name))
    {
        let (Some(ours), Some(off)) = (row(table, Party::Evenkeel), row(table, Party::Off)) else {
            continue;
        };
        let hours = ours.mean_replicas / off.mean_replicas.max(1e-9);
        let _ = writeln!(
            page,
            "| {} | {} | {:.4} | {} |",
            table.name,
            goal(
                ours.late_percent <= off.late_percent + GOAL_POINTS,
                &format!("{:.4}", ours.late_percent)
            ),
            off.late_percent,
            goal(hours <= GOAL_IDLE_HOURS, &format!("{hours:.3}")),
        );
    }
}

fn figures(page: &mut String, table: &Table) {
    let _ = write!(
        page,
        "\n## {}, starts of {} s\n{}. {} days are run.\n\n\
         | | late | replicas | 10 s | 120 s | mean | max | rescales |\n|---|--:|--:|--:|--:|--:|--:|--:|\n",
        table.name,
        table.start_seconds,
        table.about,
        table.seconds.div_ceil(86_400)
    );
    for (party, row) in &table.rows {
        let _ = writeln!(
            page,
            "| {} | {:.4} | {:.3} | {:.3} | {:.4} | {:.2} | {:.0} | {:.0} |",
            party.name(),
            row.late_percent,
            row.mean_replicas,
            row.later_than_10_percent,
            row.later_than_120_percent,
            row.message_mean_seconds,
            row.message_max_seconds,
            row.rescales,
        );
    }
}
