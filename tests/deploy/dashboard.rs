//! The Grafana dashboard: written from the table of panels ([`panels`]), and every expression of it
//! run by a real Prometheus that scraped a real run ([`run`]).
//!
//! Whether Grafana draws it well is not tested: there is none here.

mod panels;
mod run;

use std::collections::BTreeSet;

use expect_test::expect_file;
use serde_json::{Map, Value, json};

use super::sorted::sorted;
use panels::{Panel, SECTIONS, Shape, VARIABLES};

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
    for (section, panels) in SECTIONS {
        for panel in *panels {
            assert!(titles.insert(panel.title), "{} twice", panel.title);
            assert!(panel.description.ends_with('.'), "{}", panel.title);
            for (expression, _) in panel.queries {
                let is_chosen =
                    expression.contains("$target") || expression.contains("$deployment");
                assert_eq!(is_chosen, section.contains("$target"), "{}", panel.title);
            }
        }
    }
}

fn dashboard() -> Value {
    let mut panels = Vec::new();
    let mut y = 0;
    for (title, section) in SECTIONS {
        let grid = json!({"x": 0, "y": y, "w": GRID_WIDTH, "h": 1});
        panels.push(json!({
            "id": panels.len() + 1,
            "type": "row",
            "title": title,
            "collapsed": false,
            "gridPos": grid,
            "panels": [],
        }));
        y += 1;
        let (mut x, mut row_height) = (0, 0);
        for panel in *section {
            if x + panel.width > GRID_WIDTH {
                (x, y, row_height) = (0, y + row_height, 0);
            }
            let grid = json!({"x": x, "y": y, "w": panel.width, "h": panel.height});
            panels.push(panel_json(panels.len() + 1, panel, &grid));
            x += panel.width;
            row_height = row_height.max(panel.height);
        }
        y += row_height;
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
        "description": "All targets of evenkeel, and one: its load, its replicas, and why.",
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
            "hide": if variable.is_chosen { 0 } else { 2 },
            "refresh": 2,
            "sort": 1,
        })
    }));
    list
}

fn panel_json(id: usize, panel: &Panel, grid: &Value) -> Value {
    let is_table = matches!(panel.shape, Shape::Table);
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
                "instant": is_table,
                "range": !is_table,
                "format": if is_table { "table" } else { "time_series" },
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
        Shape::Figure | Shape::Table => json!({}),
    };
    let mut defaults = json!({"unit": panel.unit, "custom": custom});
    // What a stage takes away is below 0.
    if panel.title != "Why this count" {
        defaults["min"] = json!(0);
    }
    json!({
        "id": id,
        "title": panel.title,
        "description": panel.description,
        "type": match panel.shape {
            Shape::Lines | Shape::Steps | Shape::Stack => "timeseries",
            Shape::Timeline => "state-timeline",
            Shape::Figure => "stat",
            Shape::Table => "table",
        },
        "datasource": datasource(),
        "gridPos": grid,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": match panel.shape {
            Shape::Figure => json!({"reduceOptions": {"calcs": ["lastNotNull"]}}),
            Shape::Table => json!({"sortBy": [{"displayName": "behind, s", "desc": true}]}),
            Shape::Timeline => json!({"showValue": "never", "legend": {"showLegend": false}}),
            _ => json!({"legend": {"displayMode": "list", "placement": "bottom"}}),
        },
        "targets": targets,
        "transformations": if is_table { columns(panel) } else { json!([]) },
    })
}

/// One row a target with a column a query, named by its legend.
fn columns(panel: &Panel) -> Value {
    let names: Map<String, Value> = panel
        .queries
        .iter()
        .zip('A'..)
        .map(|((_, legend), reference)| (format!("Value #{reference}"), json!(legend)))
        .collect();
    json!([
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": true}, "renameByName": names}},
    ])
}
