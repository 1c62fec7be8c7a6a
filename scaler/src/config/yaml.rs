//! YAML as a tree that knows its lines, so that every error can name one.
//!
//! Typed deserialization would stop at the first thing that is wrong, and cannot tell a key that
//! nobody knows from one that is absent; here everything is read first and judged after.

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A node and where it stands.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// What stands there.
    pub value: Value,
    /// Its line, from 1; 0 where unknown.
    pub line: u64,
}

/// What stands at a node.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// Text, quoted or not.
    Text(String),
    /// A number or a truth value, as it would be written.
    Other(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The line of the key.
    pub line: u64,
    /// The value.
    pub node: Node,
}

/// YAML that cannot be read at all.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{why}")]
pub struct YamlError {
    /// The line, where it is known.
    pub line: Option<u64>,
    /// Why.
    pub why: String,
}

/// How deep it may be nested: manifests are at most half as deep, and each level takes its part of the
/// stack.
const MAX_DEPTH: usize = 32;

/// Reads all documents of `text`. Empty documents are left out.
///
/// # Errors
/// What makes it no YAML.
pub fn read(text: &str) -> Result<Vec<Node>, YamlError> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
    };
    serde_saphyr::from_multiple_with_options::<Node>(text, options).map_err(|error| YamlError {
        line: error.location().map(|location| location.line()),
        why: error.to_string().replace('\n', " "),
    })
}

// === impl Node ===

impl Node {
    /// The value of `key`, where this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node)
    }

    /// The entries, where this is a mapping.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items, where this is a list.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// As [`Self::get`], to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Map(entries) => entries
                .iter_mut()
                .find(|entry| entry.key == key)
                .map(|entry| &mut entry.node),
            _ => None,
        }
    }

    /// Gives `key` this value; a key that is new comes last. Nothing where this is no mapping.
    pub fn set(&mut self, key: &str, value: Value) {
        if let Some(node) = self.get_mut(key) {
            node.value = value;
        } else if let Value::Map(entries) = &mut self.value {
            entries.push(Entry {
                key: key.to_owned(),
                line: 0,
                node: Self { value, line: 0 },
            });
        }
    }

    /// Takes `key` out; whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        let Value::Map(entries) = &mut self.value else {
            return false;
        };
        let before = entries.len();
        entries.retain(|entry| entry.key != key);
        entries.len() < before
    }

    /// The text, where this is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            value: spanned.value,
            line: spanned.referenced.line(),
        })
    }
}

// === impl Value ===

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Other(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Other(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Other(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Other(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Other(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Other(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Node>()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let node = map.next_value::<Node>()?;
            entries.push(Entry {
                line: key.referenced.line(),
                key: key.value,
                node,
            });
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_and_key_knows_its_line() {
        let documents = read("# first\na: 1\nb:\n  - x\n  - c: \"2\"\n---\nd: true\n").unwrap();
        assert_eq!(documents.len(), 2);
        let first = &documents[0];
        assert_eq!(first.entries()[0].line, 2);
        let list = first.get("b").unwrap();
        assert_eq!(list.items()[0].line, 4);
        assert_eq!(list.items()[1].entries()[0].line, 5);
        assert_eq!(list.items()[1].get("c").unwrap().text(), Some("2"));
        assert_eq!(first.get("a").unwrap().text(), None);
        assert_eq!(documents[1].entries()[0].line, 7);
    }

    #[test]
    fn what_is_no_yaml_names_its_line() {
        let error = read("a: 1\nb: [1, 2\n").unwrap_err();
        assert!(error.line.is_some(), "{error}");
    }

    #[test]
    fn what_is_nested_too_deeply_is_an_error_and_no_overflow() {
        for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("&a [", "]")] {
            assert!(read(&format!("{}{}", open.repeat(30), close.repeat(30))).is_ok());
            for depth in [40, 100, 100_000] {
                let text = format!("{}{}", open.repeat(depth), close.repeat(depth));
                assert!(read(&text).is_err(), "{open} {depth}");
            }
        }
    }

    #[test]
    fn a_key_given_twice_is_an_error() {
        let error = read("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(error.line, Some(3), "{error}");
    }
}
