//! The values of the charts: their schemas and READMEs are written from what is known of them, and a
//! drift fails here (`UPDATE_EXPECT=1` rewrites).
//!
//! What each chart takes stands in `values/scaler` and `values/consumer`; here is what both share.

mod consumer;
mod scaler;

use std::fmt::Write as _;
use std::path::PathBuf;

use expect_test::expect_file;
use serde_json::{Map, Value, json};

use super::chart_tool::root;
use super::sorted::sorted;

/// The scaler's chart, by its folder.
pub const SCALER: &str = "evenkeel";
/// The consumer's.
pub const CONSUMER: &str = "evenkeel-consumer";
/// All charts.
pub const CHARTS: [&str; 2] = [SCALER, CONSUMER];

/// One value as values.yaml has it.
#[derive(Debug)]
pub struct Documented {
    /// Its path, with dots.
    pub path: String,
    /// Its default.
    pub default: Value,
    /// What it means.
    pub meaning: String,
}

fn file(chart: &str, name: &str) -> PathBuf {
    root().join("deploy/helm").join(chart).join(name)
}

/// Every value of a chart's values.yaml that carries a meaning, in its order.
pub fn documented(chart: &str) -> Vec<Documented> {
    let text = std::fs::read_to_string(file(chart, "values.yaml")).unwrap();
    let defaults: Value = serde_saphyr::from_str(&text).expect("values.yaml is YAML");
    let mut found = Vec::new();
    let mut meaning = String::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        if let Some(first) = line.strip_prefix("# -- ") {
            first.clone_into(&mut meaning);
        } else if let Some(more) = line.strip_prefix("# ") {
            if !meaning.is_empty() {
                write!(meaning, " {more}").unwrap();
            }
        } else if let Some((key, _)) = line.split_once(':')
            && !line.starts_with('-')
        {
            path.retain(|(level, _)| *level < indent);
            path.push((indent, key.to_owned()));
            if !meaning.is_empty() {
                let names: Vec<&str> = path.iter().map(|(_, name)| name.as_str()).collect();
                let pointer = format!("/{}", names.join("/"));
                let default = defaults.pointer(&pointer);
                found.push(Documented {
                    path: names.join("."),
                    default: default.unwrap_or_else(|| panic!("{pointer}")).clone(),
                    meaning: std::mem::take(&mut meaning),
                });
            }
        }
    }
    found
}

#[test]
fn every_value_carries_a_meaning() {
    for chart in CHARTS {
        let silent = without_a_meaning(chart);
        assert_eq!(silent, Vec::<String>::new(), "{chart}: no `# --` above");
    }
}

fn without_a_meaning(chart: &str) -> Vec<String> {
    let documented = documented(chart);
    let text = std::fs::read_to_string(file(chart, "values.yaml")).unwrap();
    let defaults: Value = serde_saphyr::from_str(&text).unwrap();
    let mut silent = Vec::new();
    for (name, value) in defaults.as_object().unwrap() {
        let is_known = |path: &str| documented.iter().any(|value| value.path == path);
        if is_known(name) {
            continue;
        }
        let within = value.as_object().cloned().unwrap_or_default();
        if within.is_empty() {
            silent.push(name.clone());
        }
        let paths = within.keys().map(|key| format!("{name}.{key}"));
        silent.extend(paths.filter(|path| !is_known(path)));
    }
    silent
}

#[test]
fn the_readmes_say_what_the_values_say() {
    for (chart, head) in [(SCALER, scaler::README), (CONSUMER, consumer::README)] {
        let head = head.replace("VERSION", env!("CARGO_PKG_VERSION"));
        let mut text = format!(
            "<!-- Written from values.yaml by `make generate`. -->\n{head}\n\
             | value | default | meaning |\n|---|---|---|\n"
        );
        for value in documented(chart) {
            let meaning = value.meaning.replace('|', "\\|");
            let (path, default) = (value.path, sorted(value.default));
            writeln!(text, "| `{path}` | `{default}` | {meaning} |").unwrap();
        }
        expect_file![file(chart, "README.md")].assert_eq(&text);
    }
}

#[test]
fn the_schemas_take_what_the_programs_take() {
    for (chart, properties) in [
        (SCALER, scaler::properties()),
        (CONSUMER, consumer::properties()),
    ] {
        let mut schema = closed(properties);
        // Where a chart is the dependency of another, helm hands `global` to it.
        schema["properties"]["global"] = json!({"type": "object"});
        schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        schema["title"] = format!("Values of the chart {chart}").into();
        let mut text = serde_json::to_string_pretty(&sorted(schema)).unwrap();
        text.push('\n');
        expect_file![file(chart, "values.schema.json")].assert_eq(&text);
    }
}

/// Any text.
fn text() -> Value {
    json!({"type": "string"})
}

/// Text that is there.
fn word() -> Value {
    json!({"type": "string", "minLength": 1})
}

fn truth() -> Value {
    json!({"type": "boolean"})
}

/// As Prometheus writes durations.
fn duration() -> Value {
    json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"})
}

/// One of Kubernetes' own structures: the API server judges it.
fn object() -> Value {
    json!({"type": "object"})
}

/// A list of them.
fn objects() -> Value {
    json!({"type": "array", "items": {"type": "object"}})
}

/// Labels, but for those that the charts set.
fn labels() -> Value {
    let own = "^(app\\.kubernetes\\.io/(name|instance|component|part-of|version|managed-by)|helm\\.sh/chart)$";
    texts(json!({"propertyNames": {"not": {"pattern": own}}}))
}

fn annotations() -> Value {
    texts(json!({}))
}

fn image() -> Value {
    closed(json!({
        "repository": text(),
        "tag": text(),
        "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
        "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    }))
}

fn resources() -> Value {
    closed(json!({"requests": object(), "limits": object()}))
}

/// Times of a probe; what it asks is the chart's.
fn probe() -> Value {
    let number = json!({"type": "integer", "minimum": 1});
    closed(json!({
        "initialDelaySeconds": {"type": "integer", "minimum": 0},
        "periodSeconds": number,
        "timeoutSeconds": number,
        "successThreshold": number,
        "failureThreshold": number,
    }))
}

/// An object of texts, with more rules.
fn texts(more: Value) -> Value {
    let mut schema = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let rules = more.as_object().cloned().unwrap_or_default();
    schema.as_object_mut().unwrap().extend(rules);
    schema
}

/// An object that knows no other keys.
fn closed(properties: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

/// A copy of `values` without the value at `path`, or none where it is not set.
pub fn without(values: &Value, path: &str) -> Option<Value> {
    let (section, key) = path.rsplit_once('.').map_or(("", path), |(s, k)| (s, k));
    let mut values = values.clone();
    let pointer = if section.is_empty() {
        String::new()
    } else {
        format!("/{}", section.replace('.', "/"))
    };
    let section: &mut Map<String, Value> = values.pointer_mut(&pointer)?.as_object_mut()?;
    section.remove(key)?;
    Some(values)
}
