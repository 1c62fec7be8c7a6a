//! A target's last decision in plain words, and the changes of its history as a table.
//!
//! Pure text: the same answer gives the same bytes. Names come from outside, so control characters
//! are shown as escapes rather than obeyed by the terminal.

use std::fmt::Write as _;
use std::time::Duration;

use crate::admin::api::{DecisionView, History, InputsView, PointView, StepView, TargetDetail};
use crate::cli::table::{Side, Table};

/// Everything about a target's last decision, and of what is known ahead all that starts within `ahead`, or
/// else what comes next of each event and of what is learned.
pub fn detail(detail: &TargetDetail, ahead: Duration) -> String {
    let mut text = String::new();
    let target = &detail.target;
    let title = format!("{}/{}", target.namespace, target.name);
    let source = &detail.source;
    let topics = match source.topics.as_slice() {
        [] => "all of the group's own topics".to_owned(),
        [one] => format!("topic {one}"),
        several => format!("topics {}", several.join(", ")),
    };
    match &detail.decision {
        None => line(
            &mut text,
            &format!("{title}: nothing is decided yet, the first data is on its way."),
        ),
        Some(decision) => lead(&mut text, &title, detail, decision),
    }
    line(
        &mut text,
        &format!(
            "Cluster {}, consumer group {}, {topics}.",
            source.cluster, source.consumer_group
        ),
    );
    if detail.triggers.len() > 1 {
        line(
            &mut text,
            &format!(
                "Trigger {} of the {} that it has; --trigger names one: {}.",
                target.trigger,
                detail.triggers.len(),
                detail.triggers.join(", ")
            ),
        );
    }
    sentences(&mut text, "What is wrong", &detail.problems);
    sentences(&mut text, "Notices", &detail.notices);
    if let Some(decision) = &detail.decision {
        made_of(&mut text, decision);
        sentences(&mut text, "Known ahead", &known_ahead(detail, ahead));
    }
    sentences(&mut text, "Notes", &detail.notes);
    text
}

/// A decision that was made again, and its `answer`.
pub fn replayed(title: &str, answer: Option<(u32, bool)>, decision: &DecisionView) -> String {
    let mut text = String::new();
    line(&mut text, &says(title, answer, decision));
    made_of(&mut text, decision);
    text
}

/// What goes on or comes, and when.
fn known_ahead(detail: &TargetDetail, ahead: Duration) -> Vec<String> {
    let now = detail.now_millis;
    let latest = now.saturating_add(u64::try_from(ahead.as_millis()).unwrap_or(u64::MAX));
    let mut event = 0;
    let mut words = Vec::new();
    for one in &detail.calendar {
        let is_next = one.event != event;
        event = one.event;
        if !is_next && one.starts_at_millis > latest {
            continue;
        }
        words.push(said_with_when(&one.words, now, one.starts_at_millis));
    }
    if let Some(foresight) = &detail.foresight {
        let surges = foresight.surges.iter().enumerate();
        let listed = surges.filter(|(nth, one)| *nth == 0 || one.starts_at_millis <= latest);
        let listed = listed.map(|(_, one)| said_with_when(&one.words, now, one.starts_at_millis));
        words.extend(listed.chain(foresight.words.clone()));
    }
    words
}

fn said_with_when(words: &str, now: u64, starts_at: u64) -> String {
    if starts_at > now {
        format!("{words} (in {})", age(millis_between(now, starts_at)))
    } else {
        format!("{words} (goes on)")
    }
}

/// The history where something changed: the verdict, the replicas, a rebalance; and the newest point.
pub fn history(history: &History) -> String {
    let mut table = table(&[
        "ago",
        "decided",
        "in group",
        "lag",
        "behind",
        "inbound",
        "processed",
        "verdict",
    ]);
    let what = |point: &PointView| {
        let verdict = point.verdict.clone();
        (
            verdict,
            point.desired_replicas,
            point.observed_replicas,
            point.rebalancing,
        )
    };
    let mut before = None;
    for (nth, point) in history.points.iter().enumerate() {
        let newest = nth + 1 == history.points.len();
        if before.replace(what(point)) == Some(what(point)) && !newest {
            continue;
        }
        let rebalancing = if point.rebalancing {
            ", rebalancing"
        } else {
            ""
        };
        table.add_row([
            age(millis_between(point.at_millis, history.now_millis)),
            count(point.desired_replicas),
            count(point.observed_replicas),
            count(point.lag_records),
            point.lag_seconds.map(f64::from).map_or_else(dash, age),
            rate(point.inbound_records_per_second.map(f64::from)),
            rate(point.processing_records_per_second.map(f64::from)),
            printable(&format!("{}{rebalancing}", point.verdict)),
        ]);
    }
    let points = history.points.len();
    format!(
        "\nHistory: the changes among {points} decisions remembered, rates in records/s\n{table}\n"
    )
}

/// A table whose columns are figures, but for the target and the verdict.
pub fn table(headings: &[&str]) -> Table {
    Table::new(headings.iter().map(|&heading| match heading {
        "target" | "verdict" => (heading, Side::Left),
        _ => (heading, Side::Right),
    }))
}

/// Text from outside with its control characters made visible.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escaped = character.is_control().then(|| character.escape_default());
            let plain = escaped.is_none().then_some(character);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// A count with its thousands apart; a dash where it is unknown.
pub fn count(value: Option<impl Into<u64>>) -> String {
    value.map_or_else(dash, |value| grouped(&value.into().to_string()))
}

/// A rate or another figure, one decimal below 100; a dash where it is unknown.
pub fn rate(value: Option<f64>) -> String {
    let Some(value) = value else { return dash() };
    let text = if value.abs() < 100.0 {
        let text = format!("{value:.1}");
        text.strip_suffix(".0").unwrap_or(&text).to_owned()
    } else {
        format!("{value:.0}")
    };
    grouped(&text)
}

/// Seconds as people say them.
pub fn age(seconds: f64) -> String {
    if seconds < 9.95 {
        format!("{seconds:.1} s")
    } else if seconds < 119.5 {
        format!("{seconds:.0} s")
    } else if seconds < 7_170.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.0} h", seconds / 3_600.0)
    }
}

/// What stands where something is unknown.
pub fn dash() -> String {
    "-".to_owned()
}

/// How it came to a decision, what else is true, and the figures.
fn made_of(text: &mut String, decision: &DecisionView) {
    // Without an answer there are no counts, and why is among the findings.
    if !decision.trail.is_empty() && decision.unknown_cause.is_none() {
        line(text, "\nHow it came to that");
        for step in &decision.trail {
            line(text, &stage(step));
        }
    }
    let findings: Vec<String> = decision
        .findings
        .iter()
        .map(|finding| format!("{}: {}", finding.verdict, finding.why))
        .collect();
    sentences(text, "Also", &findings);
    if decision.unknown_cause.is_none() {
        line(text, "\nFigures");
        figures(text, &decision.inputs);
    }
}

/// The answer, replicas and whether there is work, and why.
fn says(title: &str, answer: Option<(u32, bool)>, decision: &DecisionView) -> String {
    let answer = match (&decision.unknown_cause, answer) {
        (None, Some((replicas, is_active))) => {
            let noun = if replicas == 1 { "replica" } else { "replicas" };
            let active = if is_active { "active" } else { "asleep" };
            format!("{replicas} {noun}, {active}: {}", decision.reason)
        }
        (cause, _) => format!(
            "evenkeel returns UNAVAILABLE, KEDA keeps the current replicas: {}",
            cause.as_deref().unwrap_or("unknown")
        ),
    };
    format!("{title}: {answer} ({}).", decision.verdict)
}

fn lead(text: &mut String, title: &str, detail: &TargetDetail, decision: &DecisionView) {
    let target = &detail.target;
    let answer = target
        .desired_replicas
        .map(|replicas| (replicas, target.active == Some(true)));
    line(text, &says(title, answer, decision));
    let now = detail.now_millis;
    let decided = age(millis_between(decision.at_millis, now));
    let data = target.data_age_seconds.map_or_else(
        || "before everything was read once".to_owned(),
        |seconds| format!("from data {} old", age(seconds)),
    );
    let stands = if decision.unknown_cause.is_some() {
        String::new()
    } else if decision.valid_until_millis >= now {
        let left = millis_between(now, decision.valid_until_millis);
        format!("; it stands for {} without newer data", age(left))
    } else {
        let over = millis_between(decision.valid_until_millis, now);
        format!(
            "; too old since {}, so evenkeel returns UNAVAILABLE and KEDA keeps the current replicas",
            age(over)
        )
    };
    line(text, &format!("Decided {decided} ago {data}{stands}."));
}

fn stage(step: &StepView) -> String {
    let replicas = if step.before_replicas == step.after_replicas {
        step.after_replicas.to_string()
    } else {
        format!("{} -> {}", step.before_replicas, step.after_replicas)
    };
    format!("  {:<10}{replicas:>10}  {}", step.stage, step.why)
}

fn figures(text: &mut String, inputs: &InputsView) {
    let mut figure = |name: &str, words: String| line(text, &format!("  {name:<11}{words}"));
    figure(
        "inbound",
        format!(
            "{} records/s for going up, {} for going down (log ends {} fast, {} slow; Prometheus {})",
            rate(inputs.inbound_up_records_per_second),
            rate(inputs.inbound_down_records_per_second),
            rate(inputs.inbound_offsets_fast_records_per_second),
            rate(inputs.inbound_offsets_slow_records_per_second),
            rate(inputs.inbound_prometheus_records_per_second),
        ),
    );
    let processed = rate(inputs.processing_records_per_second);
    figure("processed", format!("{processed} records/s"));
    let behind = inputs.lag_seconds.map_or_else(dash, age);
    figure(
        "lag",
        format!(
            "{} records, of which {} count; the worst of {} partitions is {behind} behind",
            count(Some(inputs.lag_records)),
            count(Some(inputs.lag_counted_records)),
            count(Some(inputs.partitions)),
        ),
    );
    let capacity = match inputs.capacity_per_replica_records_per_second {
        None => "not known yet".to_owned(),
        Some(capacity) => {
            let origin = if inputs.capacity_learned {
                "learned"
            } else {
                "configured"
            };
            let used = inputs.utilization.map_or_else(
                || "an unknown share".to_owned(),
                |used| format!("{:.0} %", used * 100.0),
            );
            format!(
                "{} records/s a replica, {origin}; {used} in use",
                rate(Some(capacity))
            )
        }
    };
    figure("capacity", capacity);
    figure(
        "group",
        format!(
            "{}, {} replicas, {} more on their way",
            match inputs.group_state.as_deref() {
                // Kafka's word for a group that it does not know.
                Some("Dead") => "does not exist (Dead)",
                Some(state) => state,
                None => "state unknown",
            },
            inputs.observed_replicas,
            inputs.replicas_in_flight
        ),
    );
    let now = if inputs.rebalancing {
        format!("; one goes on, {} into its hold", age(inputs.held_seconds))
    } else {
        String::new()
    };
    figure("rebalances", format!("{} so far{now}", inputs.rebalances));
}

fn sentences(text: &mut String, title: &str, sentences: &[String]) {
    if sentences.is_empty() {
        return;
    }
    line(text, &format!("\n{title}"));
    for sentence in sentences {
        line(text, &format!("  {sentence}"));
    }
}

/// One line; a leading newline of our own survives, everything else is made printable.
fn line(text: &mut String, words: &str) {
    let (gap, words) = match words.strip_prefix('\n') {
        Some(rest) => ("\n", rest),
        None => ("", words),
    };
    // Writing into a string does not fail.
    let _ = writeln!(text, "{gap}{}", printable(words).trim_end());
}

/// Seconds from one moment to a later one; 0 where it is not later.
fn millis_between(earlier: u64, later: u64) -> f64 {
    Duration::from_millis(later.saturating_sub(earlier)).as_secs_f64()
}

/// Digits in threes; sign and decimals stay.
fn grouped(text: &str) -> String {
    let whole = text.find('.').unwrap_or(text.len());
    let mut out = String::with_capacity(text.len() + 8);
    for (nth, character) in text.char_indices() {
        let left = whole.saturating_sub(nth);
        let after_digit = out.ends_with(|last: char| last.is_ascii_digit());
        if nth < whole && left % 3 == 0 && after_digit {
            out.push(',');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_write_them() {
        let check = |value: f64, expected: &str| assert_eq!(rate(Some(value)), expected);
        check(0.0, "0");
        check(0.25, "0.2");
        check(99.94, "99.9");
        check(100.4, "100");
        check(1_234_567.0, "1,234,567");
        check(-1_234.0, "-1,234");
        assert_eq!(rate(None), "-");
        assert_eq!(count(Some(999_u32)), "999");
        assert_eq!(count(Some(1_000_u64)), "1,000");
    }

    #[test]
    fn ages_change_their_unit_where_the_next_one_is_clearer() {
        let check = |seconds: f64, expected: &str| assert_eq!(age(seconds), expected);
        check(0.04, "0.0 s");
        check(9.96, "10 s");
        check(119.0, "119 s");
        check(120.0, "2 min");
        check(7_200.0, "2 h");
    }

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(printable("Zürich"), "Zürich");
    }
}
