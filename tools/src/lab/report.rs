//! The figures of a cluster test, each with its goal, as a table and as a page.
//!
//! A goal that is missed is either a matter of time, which a busy machine may be the cause of, or wrong:
//! who adds a figure says which. What is measured is not known here.

use std::fmt::Write as _;

/// The table's head, and what stands before it.
const HEAD: &str = "| what | goal | measured | |\n| --- | --- | --- | --- |\n";
const ABOUT: &str = "\
<!-- Written by `make cluster-test`. -->
# Two replicas under real KEDA, with faults
`make cluster-test LAB=FOLDER` makes these figures and writes this page; the lab is that of
[keda.md](keda.md). Two replicas of `evenkeel serve` with the chart's own ServiceAccount, Roles and bindings
(`deploy/helm/rendered`), API server under RBAC, real KEDA and HPA (sync 15 s), a real Kafka broker with 24
partitions, pods that process 100 records/s each, no `capacityPerReplica`. KEDA reaches the replicas by one
name that a DNS server of the test answers. Each replica is asked ten times a second, as KEDA asks and as
another replica asks. A step's time is from its first acknowledged record. The rows of helm are the chart itself,
installed by helm in place of the two replicas and told a `capacityPerReplica` that needs all 24 consumers: its pods
are processes too, whose gRPC probes nobody asks. What is no matter of time makes the program fail.
";

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Figure {
    what: String,
    goal: String,
    measured: String,
    is_met: bool,
    /// Whether missing it is wrong, and no matter of time.
    is_law: bool,
}

/// All figures of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    date: String,
    with: String,
    load_average: f64,
    figures: Vec<Figure>,
}

// === impl Report ===

impl Report {
    /// Of a run on `date`, with these versions.
    pub fn new(date: &str, with: &str) -> Self {
        Self {
            date: date.to_owned(),
            with: with.to_owned(),
            ..Self::default()
        }
    }

    /// Adds a figure, and shows it.
    pub fn add(&mut self, what: &str, goal: &str, measured: &str, is_met: bool, is_law: bool) {
        let figure = Figure {
            what: what.to_owned(),
            goal: goal.to_owned(),
            measured: measured.to_owned(),
            is_met,
            is_law,
        };
        println!("          {}", figure.line());
        self.figures.push(figure);
        let average = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let average = average.split(' ').next().and_then(|text| text.parse().ok());
        self.load_average = self.load_average.max(average.unwrap_or(0.0));
    }

    /// Whether something was wrong that is no matter of time.
    pub fn is_wrong(&self) -> bool {
        self.figures
            .iter()
            .any(|figure| figure.is_law && !figure.is_met)
    }

    /// The figures alone.
    pub fn table(&self) -> String {
        let lines = self.figures.iter().map(Figure::line);
        lines.fold(HEAD.to_owned(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    }

    /// The page.
    pub fn page(&self) -> String {
        format!(
            "{ABOUT}\n{}\n{}; {}; load average at most {:.1} on two cores, which everything here shares.\n",
            self.table(),
            self.date,
            self.with,
            self.load_average
        )
    }
}

// === impl Figure ===

impl Figure {
    fn line(&self) -> String {
        let verdict = match (self.is_met, self.is_law) {
            (true, _) => "met",
            (false, false) => "**missed**",
            (false, true) => "**wrong**",
        };
        let Self {
            what,
            goal,
            measured,
            ..
        } = self;
        format!("| {what} | {goal} | {measured} | {verdict} |")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_is_missed_and_what_differs_is_wrong() {
        let mut report = Report::new("today", "these");
        report.add("a step", "at most 10 s", "12.0 s", false, false);
        assert!(!report.is_wrong());
        report.add("replicas", "unchanged", "[3, 4]", false, true);
        assert!(report.is_wrong());
        let table = report.table();
        assert!(table.contains("| a step | at most 10 s | 12.0 s | **missed** |\n"));
        assert!(table.contains("| replicas | unchanged | [3, 4] | **wrong** |\n"));
        assert!(report.page().contains("today; these;"));
    }
}
