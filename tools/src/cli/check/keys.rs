//! Keys that KEDA's definition of a ScaledObject does not have, wherever in `spec` they stand.
//!
//! An API server drops them, and kubectl only warns: `behaviour` for `behavior` leaves the HPA its own
//! windows without a word. What values KEDA takes is left to KEDA.

use std::sync::LazyLock;

use super::report::Report;
use evenkeel_scaler::config::yaml::{Node, Value};
use evenkeel_scaler::schema::Error;
use serde_json::Value as Json;

/// The definition of `spec`, of the KEDA version that `deploy/schemas/README.md` tells how to renew.
static SPEC: LazyLock<Json> = LazyLock::new(|| {
    let text = include_str!("../../../../deploy/schemas/keda.json");
    let definitions: Json = serde_json::from_str(text).unwrap_or_default();
    let spec = definitions.pointer("/kinds/keda.sh~1v1alpha1 ScaledObject/properties/spec");
    spec.cloned().unwrap_or_default()
});

/// Says each key under `spec` that no definition names, with what was probably meant.
pub fn check(spec: &Node, report: &mut Report) {
    walk(spec, &SPEC, "", report);
}

fn walk(node: &Node, definition: &Json, path: &str, report: &mut Report) {
    match &node.value {
        Value::Map(entries) => {
            // A trigger's metadata has no properties: each scaler has keys of its own.
            let Some(known) = definition["properties"].as_object() else {
                return;
            };
            for entry in entries {
                let inner = match path {
                    "" => entry.key.clone(),
                    path => format!("{path}.{}", entry.key),
                };
                if let Some(definition) = known.get(&entry.key) {
                    walk(&entry.node, definition, &inner, report);
                } else {
                    let names = known.keys().map(String::as_str);
                    let error = Error::unknown(inner, &entry.key, names);
                    report.error(entry.line, error.to_string());
                }
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(
                    item,
                    &definition["items"],
                    &format!("{path}[{index}]"),
                    report,
                );
            }
        }
        Value::Null | Value::Text(_) | Value::Other(_) => {}
    }
}
