//! The report: runs of several policies on one scenario as one HTML file.
//!
//! Everything is in the file: no script, no other file, nothing from elsewhere. It says which world
//! and which load it was and by which command it can be had again, has the table, two plots that show
//! what a policy pays for its lateness, and one strip a policy. The same input gives the same bytes;
//! there is no date in it. Whatever was typed or recorded by somebody is escaped.
//!
//! What this does not do: run anything, or judge.

mod strip;
mod thin;

use std::fmt::Write as _;

use crate::chance::Spread;
use crate::contender::Knowledge;
use crate::outcome::{OBJECTIVE_SECONDS, Outcome};
use crate::plot::{self, Dimension, Point, Scale, Scatter, Series, escaped, short};
use crate::scenario::Scenario;
use crate::sweep::Row;
use crate::world::Protocol;

/// What is reported.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Which load, in a few words.
    pub title: &'a str,
    /// What it is, in a sentence.
    pub about: &'a str,
    /// How to have the same again.
    pub command: &'a str,
    /// The load and the world.
    pub scenario: &'a Scenario,
    /// What the policies were told of a pod's capacity.
    pub knowledge: Knowledge,
    /// What the reader has to know before the figures are believed, a sentence each.
    pub notes: &'a [String],
    /// The policies, in the order of the table. Those of the same name are one sweep.
    pub entries: &'a [Entry],
}

/// One policy at one setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The medians over all seeds.
    pub row: Row,
    /// The run with the first seed.
    pub run: Outcome,
}

/// Below this, lateness is the same to everybody: one record in ten thousand.
const LATE_FLOOR_PERCENT: f64 = 0.01;

/// A name and how a row's figure is written.
type Heading = (&'static str, fn(&Row) -> String);

/// The columns of the table, after the policy.
const COLUMNS: [Heading; 12] = [
    ("late, %", |row| late(row.late_percent)),
    ("p50, s", |row| seconds(row.message_p50_seconds)),
    ("p99, s", |row| seconds(row.message_p99_seconds)),
    ("max, s", |row| seconds(row.message_max_seconds)),
    ("worst seed, s", |row| seconds(row.message_worst_seconds)),
    ("mean replicas", |row| format!("{:.2}", row.mean_replicas)),
    ("replica-hours", |row| format!("{:.1}", row.replica_hours)),
    ("rescales", |row| whole(row.rescales)),
    ("rebalances", |row| whole(row.rebalances)),
    ("reversals", |row| whole(row.reversals)),
    ("harmful", |row| whole(row.harmful)),
    ("drain, s", |row| whole(row.drain_seconds)),
];

// === impl Row ===

impl Row {
    /// The headings of a table of rows, the policy's first.
    pub fn headings() -> impl Iterator<Item = &'static str> {
        ["policy"]
            .into_iter()
            .chain(COLUMNS.iter().map(|(heading, _)| *heading))
    }

    /// The row as people read it, under [`Row::headings`].
    pub fn cells(&self) -> impl Iterator<Item = String> {
        let figures = COLUMNS.iter().map(|(_, write)| write(self));
        [self.label()].into_iter().chain(figures)
    }

    /// The policy with the setting of its knob.
    pub fn label(&self) -> String {
        if self.knob.is_empty() {
            self.policy.clone()
        } else {
            format!("{}, {}", self.policy, self.knob)
        }
    }
}

// === impl Report ===

impl Report<'_> {
    /// The whole file.
    pub fn html(&self) -> String {
        let mut html = String::new();
        self.head(&mut html);
        self.table(&mut html);
        self.scatters(&mut html);
        self.strips(&mut html);
        html.push_str("</main>\n</body>\n</html>\n");
        html
    }

    fn head(&self, html: &mut String) {
        let title = escaped(self.title);
        let _ = write!(
            html,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title}: evenkeel simulate</title>\n<link rel=\"icon\" href=\"data:,\">\n\
             <style>\n{}{}</style>\n</head>\n<body>\n<main>\n\
             <h1>Simulated: {title}</h1>\n<p>{}</p>\n<dl>\n",
            plot::STYLE,
            include_str!("report/page.css"),
            escaped(self.about),
        );
        for (name, fact) in self.facts() {
            let _ = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escaped(&fact));
        }
        let _ = writeln!(html, "</dl>\n<code>{}</code>", escaped(self.command));
        if !self.notes.is_empty() {
            html.push_str("<h2>Before you read the figures</h2>\n<ul>\n");
            for note in self.notes {
                let _ = writeln!(html, "<li>{}</li>", escaped(note));
            }
            html.push_str("</ul>\n");
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let world = &self.scenario.world;
        let workload = &self.scenario.workload;
        let peak = workload.per_second.iter().copied().fold(0.0, f64::max);
        let seeds = self.entries.iter().map(|entry| entry.row.seeds).max();
        let range = |Spread(quantiles): Spread| {
            let least = quantiles.first().copied().unwrap_or(0.0);
            let greatest = quantiles.last().copied().unwrap_or(0.0);
            if least < greatest {
                format!("{} to {} s", short(least), short(greatest))
            } else {
                format!("{} s", short(least))
            }
        };
        vec![
            (
                "load",
                format!(
                    "{}, up to {} records/s",
                    lasting(workload.seconds()),
                    short(peak)
                ),
            ),
            ("topic", format!("{} partitions", world.partitions)),
            (
                "pods",
                format!(
                    "{} records/s each, join after {}, at most {}",
                    short(world.capacity),
                    range(world.start),
                    self.scenario.max_replicas
                ),
            ),
            (
                "group",
                format!(
                    "{}, a rebalance takes {}",
                    match world.protocol {
                        Protocol::Eager => "classic protocol, eager",
                        Protocol::Cooperative => "classic protocol, cooperative",
                        Protocol::Consumer => "consumer protocol (KIP-848)",
                    },
                    range(world.pause)
                ),
            ),
            ("capacity known", known(self.knowledge)),
            ("seeds", seeds.unwrap_or(0).to_string()),
        ]
    }

    fn table(&self, html: &mut String) {
        html.push_str("<h2>Figures</h2>\n<div class=\"scroll\"><table>\n<thead><tr>");
        for heading in Row::headings() {
            let _ = write!(html, "<th>{heading}</th>");
        }
        html.push_str("</tr></thead>\n<tbody>\n");
        for entry in self.entries {
            html.push_str("<tr>");
            for (nth, cell) in entry.row.cells().enumerate() {
                let dot = if nth == 0 {
                    self.dot(entry)
                } else {
                    String::new()
                };
                let _ = write!(html, "<td>{dot}{}</td>", escaped(&cell));
            }
            html.push_str("</tr>\n");
        }
        let _ = writeln!(
            html,
            "</tbody></table></div>\n<p class=\"quiet\">Medians over the seeds, each figure by \
             itself; “worst seed” is the greatest of all. Message time is a record's age when it has \
             been processed; late is later than {OBJECTIVE_SECONDS} s. A reversal is a change against \
             the one before within 10 minutes; harmful is a step down that was taken back within \
             them, or a step up during a rebalance that was not needed after it. Drain is the longest \
             time in which something was always late. Oracles know the load and are limits, not \
             rivals.</p>",
        );
    }

    fn scatters(&self, html: &mut String) {
        html.push_str("<h2>What lateness costs</h2>\n<div class=\"scatters\">\n");
        for (title, label, of) in [
            (
                "Late records against pods",
                "replicas on average",
                (|row| row.mean_replicas) as fn(&Row) -> f64,
            ),
            ("Late records against rescales", "rescales", |row| {
                row.rescales
            }),
        ] {
            let series = self.series(of);
            let across = self.entries.iter().map(|entry| of(&entry.row));
            let late = self.entries.iter().map(|entry| entry.row.late_percent);
            let scatter = Scatter {
                title,
                x: Dimension {
                    label,
                    scale: Scale::fitting(across, 1.0),
                },
                y: Dimension {
                    label: "records later than the objective, %",
                    scale: Scale::fitting(late, LATE_FLOOR_PERCENT),
                },
                series: &series,
            };
            html.push_str(&scatter.inline());
        }
        html.push_str(
            "</div>\n<p class=\"quiet\">Lower and further to the left is better. Settings of the same \
             policy are joined. What is marked ≤ holds everything from there down to 0.</p>\n",
        );
    }

    /// One series a policy, with what `across` says of each row to the right.
    fn series(&self, across: fn(&Row) -> f64) -> Vec<Series> {
        let mut series: Vec<Series> = Vec::new();
        for Entry { row, .. } in self.entries {
            let point = Point {
                x: across(row),
                y: row.late_percent,
                label: row.label(),
            };
            match series.iter_mut().find(|series| series.name == row.policy) {
                Some(series) => series.points.push(point),
                None => series.push(Series {
                    name: row.policy.clone(),
                    points: vec![point],
                }),
            }
        }
        series
    }

    fn strips(&self, html: &mut String) {
        let axes = strip::Axes::of(self);
        html.push_str(
            "<h2>The runs with the first seed</h2>\n<p class=\"quiet\">All strips have the same axes. \
             Replicas stand at what they can carry: above the load there are enough of them. Where a \
             pixel holds several minutes, it shows the least and the greatest of them; the load is \
             darker below the least.</p>\n",
        );
        for entry in self.entries {
            let _ = writeln!(
                html,
                "<section class=\"policy s{}{}\"><h3>{}{}</h3><p class=\"quiet\">{} % late, message \
                 time up to {} s, {} changes, {} rebalances</p>",
                self.place(entry) % plot::COLOURS,
                // Several minutes a pixel: curves are bands then, and thin lines leave more to see.
                if entry.run.minutes.len() > thin::COLUMNS {
                    " dense"
                } else {
                    ""
                },
                self.dot(entry),
                escaped(&entry.row.label()),
                late(entry.run.late_percent),
                seconds(entry.run.message_max_seconds),
                entry.run.rescales,
                entry.run.rebalances,
            );
            strip::draw(html, &axes, entry);
            html.push_str("</section>\n");
        }
    }

    /// Which policy it is, in the order of their first appearance: its colour and its mark.
    fn place(&self, entry: &Entry) -> usize {
        let mut names: Vec<&str> = Vec::new();
        for other in self.entries {
            if !names.contains(&other.row.policy.as_str()) {
                names.push(&other.row.policy);
            }
        }
        let place = names.iter().position(|name| *name == entry.row.policy);
        place.unwrap_or(0)
    }

    fn dot(&self, entry: &Entry) -> String {
        let place = self.place(entry);
        format!(
            "<svg class=\"plot dot s{}\" viewBox=\"0 0 11 11\" aria-hidden=\"true\">{}</svg>",
            place % plot::COLOURS,
            plot::mark(place, (5.5, 5.5))
        )
    }
}

/// What policies were told, in words.
pub fn known(knowledge: Knowledge) -> String {
    match knowledge {
        Knowledge::Learned => "evenkeel learns it, the others are told the truth".to_owned(),
        Knowledge::Times(1.0) => "exactly".to_owned(),
        Knowledge::Times(times) => format!("all are told {times} times the truth"),
    }
}

/// A time as people say it.
pub fn lasting(seconds: u64) -> String {
    let (number, unit) = match seconds {
        0..600 => (seconds as f64, "s"),
        600..18_000 => (seconds as f64 / 60.0, "minutes"),
        18_000..259_200 => (seconds as f64 / 3_600.0, "hours"),
        _ => (seconds as f64 / 86_400.0, "days"),
    };
    format!("{} {unit}", short((number * 10.0).round() / 10.0))
}

fn late(percent: f64) -> String {
    match percent {
        percent if percent >= 10.0 => format!("{percent:.1}"),
        percent if percent >= 1.0 => format!("{percent:.2}"),
        _ => format!("{percent:.3}"),
    }
}

fn seconds(seconds: f64) -> String {
    if seconds < 100.0 {
        format!("{seconds:.1}")
    } else {
        whole(seconds)
    }
}

fn whole(figure: f64) -> String {
    format!("{figure:.0}")
}

#[cfg(test)]
mod tests;
