//! JSON with the keys of every object in order, so that committed files do not depend on which
//! features of the JSON library other tests turn on (the browser's client has it keep its own order).

use std::collections::BTreeMap;

use serde_json::Value;

/// The same value, each object's keys sorted.
pub fn sorted(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let entries: BTreeMap<String, Value> = entries.into_iter().collect();
            let entries = entries.into_iter();
            Value::Object(entries.map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
