//! The alert rules: promtool accepts and tests them, and each has a runbook.

use std::process::Command;

use serde_json::Value;

use super::chart_tool::root;

const RULES: &str = "deploy/helm/evenkeel/files/alerts.yaml";
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

fn alerts() -> Vec<Value> {
    let rules = yaml(RULES);
    let alerts = rules["groups"][0]["rules"].as_array().unwrap().clone();
    assert_eq!(rules["groups"].as_array().unwrap().len(), 1);
    alerts
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
    for alert in &alerts {
        let anchor = format!(
            "{}/blob/main/docs/operating.md#{}",
            env!("CARGO_PKG_REPOSITORY"),
            alert["alert"].as_str().unwrap().to_lowercase()
        );
        assert_eq!(alert["annotations"]["runbook_url"], anchor.as_str());
    }
}
