//! The Grafana dashboard: written from the table of panels ([`panels`]), and every expression of it
//! run by a real Prometheus that scraped a real run ([`run`]).
//!
//! Whether Grafana draws it well is not tested: there is none here.

mod panels;
mod run;

use std::collections::BTreeSet;

use expect_test::expect_file;
use serde_json::{Value, json};

use super::sorted::sorted;
use panels::{PANELS, Panel, Shape, VARIABLES};

/// Grafana's grid is 24 wide.
const GRID_WIDTH: u32 = 24;

#[test]
fn the_dashboard_is_what_the_panels_say() {
    let mut text = serde_json::to_string_pretty(&sorted(dashboard())).unwrap();
    text.push('\n');
    expect_file!["../../deploy/helm/evenkeel/files/dashboard.json"].assert_eq(&text);
}

#[test]
fn every_panel_says_what_it_shows_and_has_a_name_of_its_own() {
    let mut titles = BTreeSet::new();
    for panel in PANELS {
        assert!(titles.insert(panel.title), "{} twice", panel.title);
        assert!(panel.description.ends_with('.'), "{}", panel.title);
        for (expression, _) in panel.queries {
            assert!(
                !expression.contains("evenkeel_target") || expression.contains("name=\"$target\""),
                "{}: not of the chosen target",
                panel.title
            );
        }
    }
}

fn dashboard() -> Value {
    let mut panels = Vec::new();
    let (mut x, mut y, mut row_height) = (0, 0, 0);
    for (index, panel) in PANELS.iter().enumerate() {
        if x + panel.width > GRID_WIDTH {
            (x, y, row_height) = (0, y + row_height, 0);
        }
        let grid = json!({"x": x, "y": y, "w": panel.width, "h": panel.height});
        panels.push(panel_json(index + 1, panel, &grid));
        x += panel.width;
        row_height = row_height.max(panel.height);
    }
    let rebalances = json!({
        "name": "Rebalance episodes",
        "datasource": datasource(),
        "enable": true,
        "iconColor": "orange",
        "target": {"refId": "Anno", "expr": panels::REBALANCES, "interval": "15s"},
        "titleFormat": "Rebalance",
    });
    json!({
        "uid": "evenkeel",
        "title": "evenkeel",
        "description": "One target of evenkeel: its load, its replicas, and why.",
        "tags": ["keda", "kafka"],
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "graphTooltip": 1,
        "templating": {"list": variables()},
        "annotations": {"list": [rebalances]},
        "panels": panels,
    })
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn variables() -> Vec<Value> {
    let mut list = vec![json!({
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
    })];
    list.extend(VARIABLES.iter().map(|variable| {
        json!({
            "name": variable.name,
            "label": variable.label,
            "type": "query",
            "datasource": datasource(),
            "query": {"query": variable.query(), "refId": variable.name},
            "regex": variable.regex,
            "refresh": 2,
            "sort": 1,
        })
    }));
    list
}

fn panel_json(id: usize, panel: &Panel, grid: &Value) -> Value {
    let targets: Vec<Value> = panel
        .queries
        .iter()
        .zip('A'..)
        .map(|((expression, legend), reference)| {
            json!({
                "refId": reference.to_string(),
                "datasource": datasource(),
                "expr": expression,
                "legendFormat": legend,
            })
        })
        .collect();
    let custom = match panel.shape {
        Shape::Lines => json!({"fillOpacity": 0, "lineWidth": 2}),
        Shape::Steps => json!({"fillOpacity": 0, "lineWidth": 2, "lineInterpolation": "stepAfter"}),
        Shape::Stack => json!({
            "fillOpacity": 40,
            "lineInterpolation": "stepAfter",
            "stacking": {"mode": "normal", "group": "A"},
        }),
        Shape::Timeline => json!({"fillOpacity": 80, "lineWidth": 0}),
        Shape::Figure => json!({}),
    };
    json!({
        "id": id,
        "title": panel.title,
        "description": panel.description,
        "type": match panel.shape {
            Shape::Lines | Shape::Steps | Shape::Stack => "timeseries",
            Shape::Timeline => "state-timeline",
            Shape::Figure => "stat",
        },
        "datasource": datasource(),
        "gridPos": grid,
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": custom}, "overrides": []},
        "options": match panel.shape {
            Shape::Figure => json!({"reduceOptions": {"calcs": ["lastNotNull"]}}),
            Shape::Timeline => json!({"showValue": "never", "legend": {"showLegend": false}}),
            _ => json!({"legend": {"displayMode": "list", "placement": "bottom"}}),
        },
        "targets": targets,
    })
}
