//! One run as a strip: load and replicas, message time, rebalances and changes, one time axis.
//!
//! Curves are SVG that stretches to whatever width there is; everything written is HTML beside it, so
//! that it has the same size on a phone and on paper. The strips of a report share their axes, so
//! that their heights can be compared. Replicas stand on the load's axis at what they can carry: while
//! the line is above the area, there are enough of them, if they have started and share evenly.

use std::fmt::Write as _;

use super::thin::{self, COLUMNS, Column};
use super::{Entry, Report};
use crate::outcome::{OBJECTIVE_SECONDS, RunMinute};
use crate::plot::{Axis, Scale, escaped, short};

/// The axes that all strips of a report share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axes {
    seconds: u64,
    /// Columns that whole minutes take; what is left is less than a minute.
    span: f64,
    /// Records per second.
    load: Axis,
    /// What one replica can do, records per second.
    capacity: f64,
    /// Seconds.
    message: Axis,
    /// What lies between a record that waits and one that is done, seconds.
    base_seconds: f64,
    /// The most rebalances in one column.
    rebalances: u64,
}

/// Heights in the units of the curves.
const LOAD_HEIGHT: f64 = 120.0;
const MESSAGE_HEIGHT: f64 = 90.0;
const EVENT_HEIGHT: f64 = 40.0;

/// Message times below a second are all the same.
const MESSAGE_FLOOR: f64 = 1.0;

// === impl Axes ===

impl Axes {
    /// Axes that hold every run of `report`.
    pub fn of(report: &Report<'_>) -> Self {
        let scenario = report.scenario;
        let capacity = scenario.world.capacity;
        let base_seconds = scenario.world.batch_seconds * 1.5;
        let seconds = scenario.workload.seconds();
        let runs = || report.entries.iter().map(|entry| &entry.run);
        let minutes = || runs().flat_map(|run| &run.minutes);
        let replicas = runs().map(|run| {
            let changed = run.changes.iter().map(|change| change.to);
            changed.chain([first_replicas(run)]).max().unwrap_or(0)
        });
        let inbound = minutes().map(|minute| minute.inbound);
        let carried = replicas.map(|replicas| f64::from(replicas) * capacity);
        let worst = minutes().map(|minute| minute.oldest_seconds as f64 + base_seconds);
        let whole_minutes = runs().map(|run| run.minutes.len()).max().unwrap_or(0) * 60;
        let rebalances = runs().flat_map(|run| rebalances(&run.minutes, seconds));
        Self {
            seconds,
            span: COLUMNS as f64 * whole_minutes as f64 / seconds.max(1) as f64,
            load: Axis::from_zero(inbound.chain(carried)),
            capacity,
            message: Axis::of(
                Scale::Log {
                    floor: MESSAGE_FLOOR,
                },
                worst.chain([OBJECTIVE_SECONDS]),
            ),
            base_seconds,
            rebalances: rebalances.map(|(_, count)| count).max().unwrap_or(0),
        }
    }
}

/// Writes the panels of one run.
pub(super) fn draw(html: &mut String, axes: &Axes, entry: &Entry) {
    load(html, axes, entry);
    message(html, axes, entry);
    events(html, axes, entry);
    times(html, axes.seconds);
}

fn load(html: &mut String, axes: &Axes, entry: &Entry) {
    let minutes = &entry.run.minutes;
    let values: Vec<Option<f64>> = minutes.iter().map(|minute| Some(minute.inbound)).collect();
    let inbound = thin::columns(&values, axes.span);
    let down = |value: f64| LOAD_HEIGHT * (1.0 - axes.load.place(value));
    let area =
        |value: fn(&Column) -> f64| thin::area(&inbound, axes.span, LOAD_HEIGHT, value, down);
    let carried = |replicas: u32| f64::from(replicas) * axes.capacity;
    let changes: Vec<(u64, f64)> = entry
        .run
        .changes
        .iter()
        .map(|change| (change.second, carried(change.to)))
        .collect();
    let start = carried(first_replicas(&entry.run));
    let steps = thin::step_columns(start, &changes, axes.seconds);
    let ticks = axes.load.ticks();
    let left = ticks.iter().map(|tick| (tick.place, tick.text.clone()));
    let right = Axis::from_zero([axes.load.high() / axes.capacity].into_iter());
    // The same height means the same amount on both sides, whatever the marks are.
    let right = right.ticks().into_iter().filter_map(|tick| {
        let replicas = tick.place * right.high();
        let at = replicas * axes.capacity / axes.load.high();
        (at <= 1.001).then_some((at, tick.text))
    });
    let curves = format!(
        "<path class=\"load\" d=\"{}\"/><path class=\"load\" d=\"{}\"/>\
         <path class=\"replicas\" d=\"{}\"/>",
        area(|column| column.greatest),
        area(|column| column.least),
        thin::stairs(start, &steps, down),
    );
    let caption = "<i class=\"swatch load\"></i>load, records/s \
                   <i class=\"swatch replicas\"></i>replicas (right)";
    Panel {
        caption,
        words: "load and replicas over time",
        class: "tall",
        height: LOAD_HEIGHT,
        curves: &curves,
    }
    .write(html, left.collect(), right.collect());
}

fn message(html: &mut String, axes: &Axes, entry: &Entry) {
    let down = |value: f64| MESSAGE_HEIGHT * (1.0 - axes.message.place(value));
    let line = |value: &dyn Fn(&RunMinute) -> Option<f64>| {
        let values: Vec<Option<f64>> = entry.run.minutes.iter().map(value).collect();
        thin::line(&thin::columns(&values, axes.span), down)
    };
    // Where nothing was processed and nothing waited, there is nothing to draw.
    let worst = line(&|minute| {
        let idle = minute.message_mean_seconds.is_none() && minute.oldest_seconds == 0;
        (!idle).then_some(minute.oldest_seconds as f64 + axes.base_seconds)
    });
    let mean = line(&|minute| minute.message_mean_seconds);
    let objective = down(OBJECTIVE_SECONDS);
    let ticks = axes.message.ticks().into_iter();
    let left = ticks.map(|tick| (tick.place, format!("{} s", tick.text)));
    let right = vec![(
        axes.message.place(OBJECTIVE_SECONDS),
        format!("{} s", short(OBJECTIVE_SECONDS)),
    )];
    let curves = format!(
        "<path class=\"objective\" d=\"M0 {objective:.1}H{COLUMNS}\"/>\
         <path class=\"worst\" d=\"{worst}\"/><path class=\"mean\" d=\"{mean}\"/>"
    );
    let caption = "message time: <i class=\"swatch mean\"></i>mean \
                   <i class=\"swatch worst\"></i>worst \
                   <i class=\"swatch objective\"></i>objective";
    Panel {
        caption,
        words: "message time over time",
        class: "middle",
        height: MESSAGE_HEIGHT,
        curves: &curves,
    }
    .write(html, left.collect(), right);
}

fn events(html: &mut String, axes: &Axes, entry: &Entry) {
    let mut ticks = String::new();
    let top = EVENT_HEIGHT / 2.0 - 2.0;
    for (at, count) in rebalances(&entry.run.minutes, axes.seconds) {
        // The lowest is a third of the height, so that it is seen.
        let share = (1.0 + 2.0 * count as f64 / axes.rebalances.max(1) as f64) / 3.0;
        let _ = write!(ticks, "M{at:.1} {top}v{:.1}", -top * share);
    }
    let moved = |up: bool, length: f64| {
        let changes = entry.run.changes.iter();
        let changes = changes.filter(|change| (change.to > change.from) == up);
        let counts = thin::counts(changes.map(|change| (change.second, 1)), axes.seconds);
        let mut path = String::new();
        for (at, _) in counts {
            let _ = write!(path, "M{at:.1} {}v{length}", EVENT_HEIGHT * 0.75);
        }
        path
    };
    let half = EVENT_HEIGHT / 4.0;
    let curves = format!(
        "<path class=\"grid\" d=\"M0 {}H{COLUMNS}M0 {}H{COLUMNS}\"/>\
         <path class=\"rebalance\" d=\"{ticks}\"/>\
         <path class=\"up\" d=\"{}\"/><path class=\"down\" d=\"{}\"/>",
        EVENT_HEIGHT / 2.0 - 2.0,
        EVENT_HEIGHT * 0.75,
        moved(true, -half + 1.0),
        moved(false, half - 1.0),
    );
    let caption = "<i class=\"swatch rebalance\"></i>rebalances (taller: more) \
                   <i class=\"swatch up\"></i>replicas up <i class=\"swatch down\"></i>down";
    Panel {
        caption,
        words: "rebalances and changes over time",
        class: "low",
        height: EVENT_HEIGHT,
        curves: &curves,
    }
    .write(html, Vec::new(), Vec::new());
}

/// What stands in one frame.
struct Panel<'a> {
    /// HTML.
    caption: &'a str,
    words: &'a str,
    class: &'a str,
    height: f64,
    curves: &'a str,
}

// === impl Panel ===

impl Panel<'_> {
    /// Writes it between what is written beside it: how far up, and the text.
    fn write(self, html: &mut String, left: Vec<(f64, String)>, right: Vec<(f64, String)>) {
        let side = |marks: &[(f64, String)]| -> String {
            let mark = |(place, text): &(f64, String)| {
                format!(
                    "<span style=\"bottom:{:.1}%\">{}</span>",
                    place * 100.0,
                    escaped(text)
                )
            };
            marks.iter().map(mark).collect()
        };
        let grid: String = left
            .iter()
            .map(|(place, _)| format!("M0 {:.1}H{COLUMNS}", self.height * (1.0 - place)))
            .collect();
        let _ = writeln!(
            html,
            "<p class=\"caption\">{}</p><div class=\"panel {}\"><div class=\"left\">{}</div>\
             <svg viewBox=\"0 0 {COLUMNS} {}\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"{}\"><path class=\"grid\" d=\"{grid}\"/>{}</svg>\
             <div class=\"right\">{}</div></div>",
            self.caption,
            self.class,
            side(&left),
            self.height,
            self.words,
            self.curves,
            side(&right),
        );
    }
}

/// The marks of the time axis.
fn times(html: &mut String, seconds: u64) {
    const STEPS: [u64; 18] = [
        60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400, 172_800,
        432_000, 604_800, 1_209_600, 2_419_200, 4_838_400,
    ];
    // Six marks have room on a phone.
    let step = STEPS.into_iter().find(|step| seconds / step <= 6);
    let step = step.unwrap_or(seconds.max(1));
    let (unit, name) = match step {
        step if step.is_multiple_of(86_400) => (86_400, "d"),
        step if step.is_multiple_of(3_600) => (3_600, "h"),
        _ => (60, "min"),
    };
    html.push_str("<div class=\"panel times\"><div></div><div class=\"marks\">");
    for at in (0..=seconds / step).map(|nth| nth * step) {
        let _ = write!(
            html,
            "<span style=\"left:{:.2}%\">{} {name}</span>",
            at as f64 * 100.0 / seconds.max(1) as f64,
            at / unit,
        );
    }
    html.push_str("</div><div></div></div>\n");
}

fn rebalances(minutes: &[RunMinute], seconds: u64) -> Vec<(f64, u64)> {
    let moments = minutes.iter().enumerate().map(|(nth, minute)| {
        let second = u64::try_from(nth).unwrap_or(u64::MAX) * 60;
        (second, minute.rebalances)
    });
    thin::counts(moments, seconds)
}

/// Replicas before the first change.
fn first_replicas(run: &crate::outcome::Outcome) -> u32 {
    let unchanged = || run.minutes.first().map_or(0, |minute| minute.replicas);
    run.changes
        .first()
        .map_or_else(unchanged, |change| change.from)
}
