//! The alert rules: what the chart makes of them is committed as a file of rules too, promtool accepts
//! and tests that, each has a runbook, and a value can change each.

use std::process::Command;

use expect_test::expect_file;
use serde_json::{Value, json};

use super::chart_tool::{render, root};
use super::sorted::sorted;
use super::values::SCALER;

const ALERTS: &str = "deploy/helm/evenkeel/files/alerts.yaml";
const RULES: &str = "deploy/alerts/rules.yaml";
const TESTS: &str = "deploy/alerts/tests.yaml";

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("promtool does not start ({error}): run `make setup`"));
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn yaml(path: &str) -> Value {
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The alerts as the chart has them.
pub fn alerts() -> Vec<Value> {
    yaml(ALERTS)["alerts"].as_array().unwrap().clone()
}

/// What the chart makes of them with these values.
fn groups(values: &Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("values.yaml");
    let mut values = values.clone();
    values["image"] = json!({"repository": "registry.example.com/evenkeel"});
    values["fullnameOverride"] = json!("evenkeel");
    values["prometheusRule"]["enabled"] = json!(true);
    std::fs::write(&path, values.to_string()).unwrap();
    let rendered = render(SCALER, &[path]);
    assert_eq!(rendered[0].error, "");
    let rule = rendered[0]
        .manifests
        .split("---\n")
        .find(|text| text.contains("kind: PrometheusRule"))
        .unwrap();
    let rule: Value = serde_saphyr::from_str(rule).unwrap();
    rule["spec"]["groups"].clone()
}

fn rule(groups: &Value, name: &str) -> Option<Value> {
    let rules = groups[0]["rules"].as_array().unwrap();
    rules.iter().find(|rule| rule["alert"] == name).cloned()
}

#[test]
fn the_file_of_rules_is_what_the_chart_makes_by_default() {
    // JSON is YAML, and what promtool reads.
    let groups = json!({"groups": groups(&json!({}))});
    let rules = serde_json::to_string_pretty(&sorted(groups)).unwrap();
    // The namespace that the charts are rendered in here, and the one that they are installed in elsewhere.
    let rules = rules.replace("scaling", "keda");
    let text = format!(
        "# Written by `make generate` from the chart: its alerts with the defaults, for a Prometheus without\n\
         # the operator. `job` and `namespace` are those of the scrape job: edit them to yours.\n{rules}\n"
    );
    expect_file![root().join(RULES)].assert_eq(&text);
}

#[test]
fn each_alert_can_be_changed_and_switched_off() {
    let groups = groups(&json!({
        "runbookBaseUrl": "https://docs.example.com/",
        "prometheusRule": {
            "job": "scalers",
            "alertLabels": {"team": "platform"},
            "alerts": {
                "EvenkeelDataStale": {"threshold": 120, "for": "5m", "severity": "info"},
                "EvenkeelRateMismatch": {"enabled": false},
                "EvenkeelOutage": {"threshold": 0.75},
            },
        },
    }));
    let stale = rule(&groups, "EvenkeelDataStale").unwrap();
    assert!(
        stale["expr"].as_str().unwrap().contains("<= 120"),
        "{stale}"
    );
    assert_eq!(stale["for"], "5m");
    assert_eq!(
        stale["labels"],
        json!({"severity": "info", "team": "platform"})
    );
    let runbook = "https://docs.example.com/operating.md#evenkeeldatastale";
    assert_eq!(stale["annotations"]["runbook_url"], runbook);
    assert_eq!(rule(&groups, "EvenkeelRateMismatch"), None);
    for name in ["EvenkeelOutage", "EvenkeelFrozen"] {
        let rule = rule(&groups, name).unwrap();
        assert!(rule["expr"].as_str().unwrap().contains("> 0.75"), "{rule}");
    }
    for rule in groups[0]["rules"].as_array().unwrap() {
        let expression = rule["expr"].as_str().unwrap();
        for left in ["$threshold", "$scaler", "$outage"] {
            assert!(!expression.contains(left), "{expression}");
        }
    }
}

#[test]
fn promtool_accepts_the_rules() {
    promtool(&["check", "rules", "--lint-fatal", RULES]);
}

#[test]
fn promtool_runs_their_tests() {
    promtool(&["test", "rules", TESTS]);
}

#[test]
fn every_alert_is_tested_to_fire_and_to_be_silent() {
    let tests = yaml(TESTS);
    let checks: Vec<&Value> = tests["tests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
        .collect();
    for alert in alerts() {
        let name = &alert["alert"];
        for fires in [true, false] {
            let is_there = checks.iter().any(|check| {
                let expected = check["exp_alerts"].as_array().unwrap();
                check["alertname"] == *name && expected.is_empty() != fires
            });
            assert!(is_there, "no test of {name} where it fires: {fires}");
        }
    }
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let document = std::fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let sections: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let alerts = alerts();
    let names: Vec<&str> = alerts
        .iter()
        .map(|alert| alert["alert"].as_str().unwrap())
        .collect();
    assert_eq!(sections, names, "sections of docs/operating.md, and alerts");
    let groups = groups(&json!({}));
    for name in names {
        let rule = rule(&groups, name).unwrap();
        let page = "http://evenkeel.scaling.svc:8080/docs/operating.md";
        let anchor = format!("{page}#{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], anchor.as_str());
    }
}
