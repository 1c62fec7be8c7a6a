//! What people see while the demo runs, and the table at its end.
//!
//! On a terminal a panel is drawn anew each second; elsewhere a line comes every ten seconds, so that
//! a log of a run stays readable. Nothing is worked out here that the report does not also hold.

use comfy_table::{ContentArrangement, Table, presets};
use console::{Term, style};

use super::load::Load;
use super::report::{Change, Completeness, Report, Sample};

/// Seconds between two lines where there is no terminal.
const LINE_SECONDS: u64 = 10;

/// How many columns a sparkline has; each stands for several seconds in a long run.
const SPARK_COLUMNS: usize = 60;

/// How wide the closing tables are where there is no terminal to ask.
const PLAIN_COLUMNS: u16 = 110;

/// Where the run is shown.
#[derive(Debug)]
pub struct View {
    terminal: Term,
    drawn_lines: usize,
    heading: String,
    hints: Vec<String>,
}

/// What there is to show just now.
#[derive(Debug)]
pub struct Now<'run> {
    /// All seconds so far.
    pub samples: &'run [Sample],
    /// All changes so far.
    pub changes: &'run [Change],
    /// The load.
    pub load: &'run Load,
    /// Records acknowledged so far.
    pub acknowledged_records: u64,
    /// What is wrong just now.
    pub problem: Option<&'run str>,
}

// === impl View ===

impl View {
    /// Shows on standard output, under `heading`, with `hints` of what else one may look at.
    pub fn new(heading: String, hints: Vec<String>) -> Self {
        Self {
            terminal: Term::stdout(),
            drawn_lines: 0,
            heading,
            hints,
        }
    }

    /// Says what is about to begin.
    pub fn open(&self) {
        println!("{}", style(&self.heading).bold());
        for hint in &self.hints {
            println!("  {hint}");
        }
    }

    /// Shows the newest second.
    pub fn show(&mut self, now: &Now<'_>) {
        let Some(sample) = now.samples.last() else {
            return;
        };
        if self.terminal.is_term() {
            let width = usize::from(self.terminal.size().1).max(20);
            let lines: Vec<String> = panel(now, sample)
                .iter()
                .map(|line| console::truncate_str(line, width, "…").into_owned())
                .collect();
            // A terminal that is gone needs no drawing.
            let _ = self.terminal.clear_last_lines(self.drawn_lines);
            let _ = self.terminal.write_str(&(lines.join("\n") + "\n"));
            self.drawn_lines = lines.len();
        } else if sample.second.is_multiple_of(LINE_SECONDS) {
            println!("{}", one_line(sample, now));
        }
    }

    /// Says a change where lines are printed; the panel shows it by itself.
    pub fn changed(&self, change: &Change) {
        if !self.terminal.is_term() {
            println!("{}", change_line(change));
        }
    }

    /// Shows what the run came to.
    pub fn close(&self, report: &Report) {
        println!("\n{}", figures(report, self.columns()));
        if !report.changes.is_empty() {
            println!("{}", changes(&report.changes, self.columns()));
        }
        println!("{}", verdict(report));
    }

    fn columns(&self) -> u16 {
        if self.terminal.is_term() {
            self.terminal.size().1.max(60)
        } else {
            PLAIN_COLUMNS
        }
    }
}

fn panel(now: &Now<'_>, sample: &Sample) -> Vec<String> {
    let total = now.load.duration().as_secs();
    let mut lines = vec![
        format!(
            "{}  {} / {}   load {} records/s",
            bar(sample.second, total),
            clock(sample.second),
            clock(total),
            thousands(sample.load_records_per_second)
        ),
        format!(
            "inbound {}/s   processed {}/s   lag {}   acknowledged {}",
            number(sample.inbound_records_per_second),
            thousands(sample.processed_records_per_second),
            count(sample.lag_records),
            count(Some(now.acknowledged_records))
        ),
        format!(
            "message time   mean {}   max {}",
            seconds(sample.message_age_mean_seconds),
            seconds(sample.message_age_max_seconds)
        ),
        format!(
            "replicas   {} wanted   {} pods   {} running   {} in the group ({})",
            plain(sample.wanted_replicas),
            style(sample.replicas).bold(),
            sample.running_replicas,
            plain(sample.members),
            sample.group_state.unwrap_or("unknown")
        ),
        String::new(),
    ];
    for (name, value) in [
        (
            "load    ",
            (|sample: &Sample| sample.load_records_per_second) as fn(&Sample) -> f64,
        ),
        ("replicas", |sample: &Sample| f64::from(sample.replicas)),
        ("lag     ", |sample: &Sample| {
            #[expect(clippy::cast_precision_loss, reason = "drawn in eight steps")]
            let lag = sample.lag_records.unwrap_or(0) as f64;
            lag
        }),
    ] {
        let values: Vec<f64> = now.samples.iter().map(value).collect();
        let highest = values.iter().copied().fold(0.0, f64::max);
        let line = sparkline(&values, highest);
        lines.push(format!("{name} {line}  max {}", thousands(highest)));
    }
    lines.push(String::new());
    let recent = now.changes.len().saturating_sub(3);
    lines.extend(now.changes.iter().skip(recent).map(change_line));
    if let Some(problem) = now.problem {
        lines.push(style(format!("! {problem}")).yellow().to_string());
    }
    lines
}

fn one_line(sample: &Sample, now: &Now<'_>) -> String {
    format!(
        "{} load {}/s, in {}/s, processed {}/s, lag {}, message time {} (max {}), {} pods \
         ({} running, {} in the group, {}), acknowledged {}{}",
        clock(sample.second),
        thousands(sample.load_records_per_second),
        number(sample.inbound_records_per_second),
        thousands(sample.processed_records_per_second),
        count(sample.lag_records),
        seconds(sample.message_age_mean_seconds),
        seconds(sample.message_age_max_seconds),
        sample.replicas,
        sample.running_replicas,
        plain(sample.members),
        sample.group_state.unwrap_or("unknown"),
        count(Some(now.acknowledged_records)),
        now.problem
            .map(|problem| format!(" ! {problem}"))
            .unwrap_or_default()
    )
}

fn change_line(change: &Change) -> String {
    format!(
        "{} {} {} -> {}: {}",
        clock(change.second),
        change.by,
        change.from,
        change.to,
        change.why
    )
}

fn figures(report: &Report, columns: u16) -> Table {
    let counts = &report.counts;
    let steps = report.load.iter();
    let steps: Vec<String> = steps
        .map(|(rate, seconds)| format!("{}/s for {seconds} s", thousands(*rate)))
        .collect();
    let peak = report.peak_message_age.map_or_else(
        || "unknown".to_owned(),
        |(age, second)| format!("{age:.1} s at {}", clock(second)),
    );
    let steady = report.steady.map_or_else(
        || "not reached".to_owned(),
        |steady| {
            format!(
                "mean {:.1} s, max {:.1} s, with {} replicas",
                steady.message_age_mean_seconds,
                steady.message_age_max_seconds,
                range(steady.replicas_min, steady.replicas_max)
            )
        },
    );
    let replicas: Vec<String> = report
        .changes
        .iter()
        .map(|change| format!("{} ({})", change.to, clock(change.second)))
        .collect();
    let rows = counts.table.map_or_else(
        || "none: the write is a sleep (--sink postgres writes)".to_owned(),
        |table| {
            let distinct = count(Some(table.distinct_rows));
            format!(
                "{}, of {distinct} different records",
                count(Some(table.rows))
            )
        },
    );
    let mut table = table(columns);
    for (name, value) in [
        ("policy", report.policy.clone()),
        ("HPA and KEDA", report.behavior.clone()),
        (
            "load",
            format!("{}; {} partitions", steps.join(", "), report.partitions),
        ),
        ("peak message time", peak),
        ("steady message time", steady),
        ("replicas", replicas.join(", ")),
        ("replica-minutes", format!("{:.1}", report.replica_minutes)),
        ("changes", report.changes.len().to_string()),
        ("reversals", report.reversals.to_string()),
        (
            "rebalances",
            format!(
                "{} ({} partition moves)",
                counts.rebalances, counts.partition_moves
            ),
        ),
        (
            "records",
            format!(
                "acknowledged {}, in the log {}, processed (committed) {}; written {} with repeats",
                count(Some(counts.acknowledged_records)),
                count(counts.log_end_records),
                count(counts.committed_records),
                count(Some(counts.written_records))
            ),
        ),
        ("rows in PostgreSQL", rows),
        (
            "trouble",
            format!(
                "{} consumers crashed, {} records given up by the producer, {} questions unanswered",
                counts.pod_crashes, counts.failed_records, counts.unanswered
            ),
        ),
    ] {
        table.add_row([name.to_owned(), value]);
    }
    table
}

fn changes(changes: &[Change], columns: u16) -> Table {
    let mut table = table(columns);
    table.set_header(["time", "by", "replicas", "why"]);
    for change in changes {
        table.add_row([
            clock(change.second),
            change.by.to_owned(),
            format!("{} -> {}", change.from, change.to),
            change.why.clone(),
        ]);
    }
    table
}

fn table(columns: u16) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(columns);
    table
}

fn verdict(report: &Report) -> String {
    match report.completeness() {
        Completeness::Complete if report.counts.table.is_some() => {
            style("Every record that was produced is in the table, exactly once.")
                .green()
                .to_string()
        }
        Completeness::Complete => style("Every record that was produced has been processed.")
            .green()
            .to_string(),
        Completeness::Lost(records) => style(format!(
            "{records} acknowledged records are not in the log."
        ))
        .red()
        .to_string(),
        Completeness::Unprocessed(records) => {
            style(format!("{records} records have not been processed."))
                .red()
                .to_string()
        }
        Completeness::Repeated(records) => style(format!(
            "{records} records are in the table more than once."
        ))
        .red()
        .to_string(),
        Completeness::Unknown if report.interrupted => "Ended before its time.".to_owned(),
        Completeness::Unknown => style("Kafka could not be read at the end.")
            .red()
            .to_string(),
    }
}

fn bar(second: u64, total: u64) -> String {
    const CELLS: u64 = 24;
    let full = (second.min(total) * CELLS) / total.max(1);
    (0..CELLS)
        .map(|cell| if cell < full { '█' } else { '░' })
        .collect()
}

/// The values in eight heights; several seconds share a column, the highest of them is drawn.
fn sparkline(values: &[f64], highest: f64) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let per_column = values.len().div_ceil(SPARK_COLUMNS).max(1);
    values
        .chunks(per_column)
        .map(|column| {
            let value = column.iter().copied().fold(0.0, f64::max);
            let share = if highest > 0.0 { value / highest } else { 0.0 };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and 7"
            )]
            let height = (share.clamp(0.0, 1.0) * 7.0).ceil() as usize;
            HEIGHTS.get(height).copied().unwrap_or('█')
        })
        .collect()
}

fn clock(second: u64) -> String {
    format!("{}:{:02}", second / 60, second % 60)
}

fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1} s"))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), thousands)
}

fn plain(value: Option<u32>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

fn range(low: u32, high: u32) -> String {
    if low == high {
        low.to_string()
    } else {
        format!("{low}..{high}")
    }
}

fn thousands(value: f64) -> String {
    // An empty sum is -0.
    grouped(&format!("{:.0}", value + 0.0))
}

fn count(value: Option<u64>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| grouped(&value.to_string()))
}

fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(count(Some(0)), "0");
        assert_eq!(count(Some(999)), "999");
        assert_eq!(count(Some(1_234_567)), "1,234,567");
        assert_eq!(thousands(999.6), "1,000");
        assert_eq!(count(None), "unknown");
    }

    #[test]
    fn a_sparkline_never_grows_wider_than_its_columns() {
        assert_eq!(sparkline(&[0.0, 1.0, 8.0], 8.0), "▁▂█");
        assert_eq!(sparkline(&[0.0], 0.0), "▁");
        let long: Vec<f64> = (0..421).map(f64::from).collect();
        assert!(sparkline(&long, 420.0).chars().count() <= SPARK_COLUMNS);
        assert_eq!(
            bar(210, 420),
            format!("{}{}", "█".repeat(12), "░".repeat(12))
        );
    }
}
