//! `evenkeel top`: all targets of a running server, live.
//!
//! In a terminal the table is drawn again every two seconds, cut to the terminal's height, until
//! Ctrl-C; elsewhere, or with `--once`, it is printed once and whole.

use std::process::ExitCode;
use std::time::Duration;

use console::Term;

use super::explain::client::ServerArgs;
use super::explain::render::{age, count, dash, printable, rate, table};
use super::explain::write_out;
use crate::admin::api::{Status, TargetList, TargetSummary};

/// How often the table is drawn again: once a poll at its default.
const EVERY: Duration = Duration::from_secs(2);

/// Arguments of `evenkeel top`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  evenkeel top\n  evenkeel top --once --server http://127.0.0.1:18080\n  \
        evenkeel top --json | jq '.targets[] | select(.status != \"valid\")'"
)]
pub struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Print the table once.
    #[arg(long)]
    once: bool,
    /// The server's answer as it is, once, instead of a table.
    #[arg(long)]
    json: bool,
}

// === impl Args ===

impl Args {
    /// Runs it.
    ///
    /// # Errors
    /// When the server does not answer the first time; later on that is said and tried again.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.server.client()?;
        let terminal = Term::stdout();
        let first = client.targets().await?;
        if self.json {
            write_out(&format!("{:#}\n", serde_json::to_value(&first)?))?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.once || !terminal.is_term() {
            write_out(&in_colour(&first, &render(&first)))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut list = Ok(first);
        let mut last = String::new();
        loop {
            let text = match &list {
                Ok(list) => {
                    last = in_colour(list, &render(list));
                    last.clone()
                }
                Err(error) => format!("{error:#}\n\nThe last answer was:\n{last}"),
            };
            let (rows, columns) = terminal.size();
            terminal.clear_screen()?;
            write_out(&fit(&text, rows, columns))?;
            tokio::select! {
                interrupted = tokio::signal::ctrl_c() => {
                    interrupted?;
                    return Ok(ExitCode::SUCCESS);
                }
                () = tokio::time::sleep(EVERY) => {}
            }
            list = client.targets().await;
        }
    }
}

/// The table of `evenkeel top`.
pub fn render(list: &TargetList) -> String {
    let notices: String = list
        .notices
        .iter()
        .map(|notice| format!("{}\n", printable(notice)))
        .collect();
    if list.targets.is_empty() {
        return format!(
            "No targets yet: one appears when KEDA first asks for its ScaledObject.\n{notices}"
        );
    }
    let mut table = table(&[
        "target",
        "decided",
        "in group",
        "lag",
        "behind",
        "inbound",
        "processed",
        "data age",
        "verdict",
    ]);
    for target in &list.targets {
        table.add_row([
            name(target, &list.targets),
            count(target.desired_replicas),
            count(target.observed_replicas),
            count(target.lag_records),
            target.lag_seconds.map_or_else(dash, age),
            rate(target.inbound_records_per_second),
            rate(target.processing_records_per_second),
            target.data_age_seconds.map_or_else(dash, age),
            verdict(target),
        ]);
    }
    let noun = if list.targets.len() == 1 {
        "target"
    } else {
        "targets"
    };
    format!(
        "{}\n\n{} {noun}, evenkeel {}; rates in records/s\n{notices}",
        table,
        list.targets.len(),
        printable(&list.version)
    )
}

/// The ScaledObject; with its trigger where it has several.
fn name(target: &TargetSummary, all: &[TargetSummary]) -> String {
    let is_same =
        |other: &&TargetSummary| other.namespace == target.namespace && other.name == target.name;
    let trigger = match all.iter().filter(is_same).count() {
        0 | 1 => String::new(),
        _ => format!(" {}", target.trigger),
    };
    printable(&format!("{}/{}{trigger}", target.namespace, target.name))
}

/// A target without an answer is red, one whose group rebalances yellow; only in a terminal.
fn in_colour(list: &TargetList, table: &str) -> String {
    let mut lines: Vec<String> = table.split('\n').map(ToOwned::to_owned).collect();
    // The first line is the headings'.
    for (target, line) in list.targets.iter().zip(lines.iter_mut().skip(1)) {
        let style = match target.status {
            Status::Unknown | Status::Expired => console::Style::new().red(),
            _ if target.rebalancing == Some(true) => console::Style::new().yellow(),
            _ => continue,
        };
        *line = style.apply_to(&*line).to_string();
    }
    lines.join("\n")
}

fn verdict(target: &TargetSummary) -> String {
    let verdict = target.verdict.as_deref().unwrap_or("waiting for data");
    let more = match target.status {
        Status::Waiting => "",
        Status::Unknown => ", no answer",
        Status::Expired => ", too old",
        Status::Valid if target.rebalancing == Some(true) => ", rebalancing",
        Status::Valid => "",
    };
    printable(&format!("{verdict}{more}"))
}

/// Cut to the terminal, so that it never scrolls and the headings stay.
fn fit(text: &str, rows: u16, columns: u16) -> String {
    let lines: Vec<&str> = text.lines().collect();
    // The last row stays free for the cursor, and one says what was cut.
    let room = usize::from(rows).saturating_sub(2).max(1);
    let mut shown: Vec<String> = lines
        .iter()
        .take(room)
        .map(|line| console::truncate_str(line, usize::from(columns), "…").into_owned())
        .collect();
    let cut = lines.len().saturating_sub(room);
    if cut > 0 {
        shown.push(format!("{cut} more lines: see them all with --once"));
    }
    shown.push(String::new());
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_table_is_cut_to_the_terminal_and_says_so() {
        let fitted = fit("first\nsecond\nthird\nfourth\nfifth\n", 5, 4);
        assert_eq!(
            fitted,
            "fir…\nsec…\nthi…\n2 more lines: see them all with --once\n"
        );
        assert_eq!(fit("first\n", 24, 80), "first\n");
    }
}
