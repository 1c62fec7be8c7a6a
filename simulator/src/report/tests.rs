//! The report's promises: nothing gets in unescaped, nothing is left out, the same bytes again.

use super::*;
use crate::contender::Contender;
use crate::outcome::Change;
use crate::outcome::RunMinute;
use crate::sweep;
use crate::workload::Workload;

/// Half an hour in which the load triples, under a few policies.
fn scenario() -> Scenario {
    let steps = Workload::steps(&[(3_000.0, 600), (9_000.0, 900), (3_000.0, 300)]);
    Scenario::usual("steps", "three steps", steps, Protocol::Cooperative)
}

fn entries(scenario: &Scenario) -> Vec<Entry> {
    let contenders = [
        Contender::evenkeel(),
        Contender::KedaLag(5.0),
        Contender::KedaLag(30.0),
        Contender::Reactive(0.8),
    ];
    let entry = |contender: &Contender| {
        let mut runs = sweep::runs_on(1, scenario, contender, Knowledge::Times(1.0), 2, &|| {});
        Entry {
            row: Row::of(contender, &runs),
            run: runs.swap_remove(0),
        }
    };
    contenders.iter().map(entry).collect()
}

fn report<'a>(scenario: &'a Scenario, entries: &'a [Entry]) -> Report<'a> {
    Report {
        title: "steps",
        about: "three steps",
        command: "evenkeel simulate",
        scenario,
        knowledge: Knowledge::Times(1.0),
        notes: &[],
        entries,
    }
}

#[test]
fn the_report_has_a_row_a_point_and_a_strip_a_policy_and_the_same_bytes_again() {
    let scenario = scenario();
    let entries = entries(&scenario);
    let html = report(&scenario, &entries).html();
    assert_eq!(html.matches("<section class=\"policy").count(), 4);
    assert_eq!(html.matches("<tr><td>").count(), 4);
    assert_eq!(html.matches("<title>KEDA lag, 5 s</title>").count(), 2);
    assert_eq!(
        html.matches("class=\"joined\"").count(),
        2,
        "the sweep, in both plots"
    );
    for text in [
        "KEDA lag, 30 s",
        "reactive oracle, 0.8",
        "24 partitions",
        "30 minutes",
    ] {
        assert!(html.contains(text), "{text} is missing");
    }
    assert_eq!(html, report(&scenario, &entries).html());
    assert!(
        !html.contains("<script") && !html.contains("http"),
        "all is in the file"
    );
    assert!(
        !html.contains("NaN") && !html.contains("inf"),
        "every figure is a number"
    );
}

#[test]
fn whatever_was_typed_is_escaped() {
    let scenario = scenario();
    let mut entries = entries(&scenario);
    let hostile = "</style><img src=x onerror=\"a()\">'&";
    for entry in &mut entries {
        entry.row.policy = hostile.to_owned();
        entry.row.knob = hostile.to_owned();
    }
    let notes = [hostile.to_owned()];
    let html = Report {
        title: hostile,
        about: hostile,
        command: hostile,
        notes: &notes,
        ..report(&scenario, &entries)
    }
    .html();
    assert!(!html.contains("<img") && !html.contains("onerror=\""));
    assert_eq!(html.matches("</style>").count(), 1);
    assert!(html.contains("&lt;/style&gt;&lt;img src=x onerror=&quot;a()&quot;&gt;&#39;&amp;"));
}

#[test]
fn two_months_are_thinned_to_less_than_half_a_megabyte_a_policy_and_keep_their_spike() {
    let minutes = 90_000_usize;
    let mut scenario = scenario();
    scenario.workload = Workload::even(vec![1_000.0; minutes * 60]);
    let noisy = |nth: usize| RunMinute {
        inbound: 1_000.0 + (nth * 7_919 % 501) as f64,
        message_mean_seconds: Some(1.0 + (nth * 104_729 % 97) as f64),
        oldest_seconds: (nth * 31 % 200) as u64,
        replicas: 2,
        rebalances: u64::from(nth.is_multiple_of(5)),
        ..RunMinute::default()
    };
    let mut run = Outcome {
        minutes: (0..minutes).map(noisy).collect(),
        changes: (0..40_000)
            .map(|nth| Change {
                second: nth * 120,
                from: if nth % 2 == 0 { 2 } else { 3 },
                to: if nth % 2 == 0 { 3 } else { 2 },
                rebalancing: false,
                waiting: 0,
            })
            .collect(),
        ..Outcome::default()
    };
    run.minutes[50_001].inbound = 50_000.0;
    let row = Row::of(&Contender::evenkeel(), std::slice::from_ref(&run));
    let entries = [Entry { row, run }];
    let html = report(&scenario, &entries).html();
    assert!(html.len() < 500_000, "{} bytes", html.len());
    // The axis ends at the spike, and the area of the load's maxima touches its end.
    assert!(html.contains("<span style=\"bottom:100.0%\">50k</span>"));
    assert!(html.contains("V0.0H"), "the spike is not drawn");
}
