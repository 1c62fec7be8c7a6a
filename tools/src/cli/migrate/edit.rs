//! Brings a YAML text from what it says to what it shall say, and touches nothing else.
//!
//! Two trees are compared, before and after; where they differ, the bytes of that node are replaced,
//! a key's lines are taken out, or lines are put in. Comments, order, quotes and indentation of
//! everything else stay to the byte. Nobody has to trust this: the new text is read again and has to
//! say exactly what it shall; otherwise there is no new text.

use std::ops::Range;

use super::layout::{self, Place, Shape, Slot};
use evenkeel_scaler::config::yaml::{self, Entry, Node, Value};

/// The text could not be edited in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the file is written in a way that cannot be edited in place, such as an anchor that other parts \
     share: write the ScaledObject out in plain YAML first"
)]
pub struct CannotEdit;

/// `text` with the documents `before` turned into `after`. An item of a list that is nothing
/// afterwards is taken out.
///
/// # Errors
/// When the result would not say exactly that.
pub fn rewrite(text: &str, before: &[Node], after: &[Node]) -> Result<String, CannotEdit> {
    let places = layout::read(text).ok_or(CannotEdit)?;
    if places.len() != before.len() || before.len() != after.len() {
        return Err(CannotEdit);
    }
    let mut editor = Editor {
        text,
        newline: if text.contains("\r\n") { "\r\n" } else { "\n" },
        edits: Vec::new(),
    };
    for ((place, before), after) in places.iter().zip(before).zip(after) {
        editor.node(place, before, after, Around::BLOCK)?;
    }
    let edited = editor.apply()?;
    let said = yaml::read(&edited).map_err(|_no_yaml| CannotEdit)?;
    let is_right = said.len() == after.len()
        && said
            .iter()
            .zip(after)
            .all(|(said, after)| same(said, after));
    is_right.then_some(edited).ok_or(CannotEdit)
}

/// Whether two nodes say the same. The order of keys says nothing; an item that is nothing in
/// `after` counts as taken out.
pub fn same(before: &Node, after: &Node) -> bool {
    match (&before.value, &after.value) {
        (Value::Null, Value::Null) => true,
        (Value::Text(before), Value::Text(after)) | (Value::Other(before), Value::Other(after)) => {
            before == after
        }
        (Value::List(before), Value::List(after)) => {
            let kept: Vec<&Node> = after.iter().filter(|item| !is_nothing(item)).collect();
            let before: Vec<&Node> = before.iter().filter(|item| !is_nothing(item)).collect();
            before.len() == kept.len()
                && before
                    .iter()
                    .zip(kept)
                    .all(|(before, after)| same(before, after))
        }
        (Value::Map(ours), Value::Map(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|entry| {
                    after
                        .get(&entry.key)
                        .is_some_and(|other| same(&entry.node, other))
                })
        }
        _ => false,
    }
}

fn is_nothing(node: &Node) -> bool {
    matches!(node.value, Value::Null)
}

/// A mapping of these entries.
pub fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(
        entries
            .into_iter()
            .map(|(key, value)| Entry {
                key: key.to_owned(),
                line: 0,
                node: Node { value, line: 0 },
            })
            .collect(),
    )
}

/// What surrounds a node.
#[derive(Clone, Copy)]
struct Around {
    /// The column of the key or dash that the node belongs to.
    column: usize,
    /// Inside braces or brackets.
    flow: bool,
    /// Keys and text are in double quotes, as in JSON.
    quoted: bool,
}

// === impl Around ===

impl Around {
    const BLOCK: Self = Self {
        column: 0,
        flow: false,
        quoted: false,
    };
}

struct Editor<'t> {
    text: &'t str,
    newline: &'t str,
    edits: Vec<(Range<usize>, String)>,
}

// === impl Editor ===

impl Editor<'_> {
    fn node(
        &mut self,
        place: &Place,
        before: &Node,
        after: &Node,
        around: Around,
    ) -> Result<(), CannotEdit> {
        if same(before, after) {
            return Ok(());
        }
        match (&place.shape, &before.value, &after.value) {
            (Shape::Map { flow, slots }, Value::Map(old), Value::Map(_))
                if !slots.is_empty()
                    && slots.len() == old.len()
                    && slots.iter().all(|slot| before.get(&slot.key).is_some()) =>
            {
                self.map(place, slots, *flow || around.flow, before, after)
            }
            (Shape::List { flow, items }, Value::List(old), Value::List(new))
                if items.len() == old.len() && old.len() == new.len() =>
            {
                self.list(items, *flow || around.flow, old, new, around)
            }
            _ => {
                self.replace(place, after, around);
                Ok(())
            }
        }
    }

    fn list(
        &mut self,
        items: &[Place],
        flow: bool,
        old: &[Node],
        new: &[Node],
        around: Around,
    ) -> Result<(), CannotEdit> {
        let is_gone = |nth: usize| {
            new.get(nth).is_some_and(is_nothing) && !old.get(nth).is_some_and(is_nothing)
        };
        if flow {
            let spans: Vec<(usize, usize)> =
                items.iter().map(|item| (item.start, item.end)).collect();
            self.remove_in_flow(&spans, is_gone);
        }
        for (nth, ((item, old), new)) in items.iter().zip(old).zip(new).enumerate() {
            if !is_gone(nth) {
                let around = Around {
                    column: self.column(item.start),
                    flow,
                    ..around
                };
                self.node(item, old, new, around)?;
            } else if !flow {
                let mut line = self.line_start(item.start);
                while !self.line(line).trim_start().starts_with('-') {
                    line = self.line_start(line.checked_sub(1).ok_or(CannotEdit)?);
                }
                self.edits
                    .push((line..self.line_end(item.end), String::new()));
            }
        }
        Ok(())
    }

    fn map(
        &mut self,
        place: &Place,
        slots: &[Slot],
        flow: bool,
        before: &Node,
        after: &Node,
    ) -> Result<(), CannotEdit> {
        let quoted = slots.first().is_some_and(|slot| slot.quoted) && flow;
        for slot in slots {
            if let (Some(old), Some(new)) = (before.get(&slot.key), after.get(&slot.key)) {
                let around = Around {
                    column: self.column(slots.first().map_or(place.start, |slot| slot.key_start)),
                    flow,
                    quoted,
                };
                self.node(&slot.value, old, new, around)?;
            }
        }
        let is_gone = |nth: usize| {
            slots
                .get(nth)
                .is_some_and(|slot| after.get(&slot.key).is_none())
        };
        if flow {
            let spans: Vec<(usize, usize)> = slots
                .iter()
                .map(|slot| (slot.key_start, slot.value.end))
                .collect();
            self.remove_in_flow(&spans, is_gone);
            self.insert_in_flow(slots, after, quoted)
        } else {
            self.remove_lines(slots, is_gone)?;
            self.insert_lines(slots, after)
        }
    }

    /// Takes runs of entries out, with the comma that belongs to each.
    fn remove_in_flow(&mut self, spans: &[(usize, usize)], is_gone: impl Fn(usize) -> bool) {
        let mut kept_end = None;
        let mut run = None;
        for (nth, (start, end)) in spans.iter().enumerate() {
            if is_gone(nth) {
                run = Some((run.map_or(*start, |(first, _)| first), *end));
            } else {
                if let Some((first, _)) = run.take() {
                    self.edits.push((first..*start, String::new()));
                }
                kept_end = Some(*end);
            }
        }
        if let Some((first, last)) = run {
            self.edits
                .push((kept_end.unwrap_or(first)..last, String::new()));
        }
    }

    fn insert_in_flow(
        &mut self,
        slots: &[Slot],
        after: &Node,
        quoted: bool,
    ) -> Result<(), CannotEdit> {
        let first = slots.first().ok_or(CannotEdit)?;
        let mut behind = None;
        for entry in after.entries() {
            if let Some(slot) = slots.iter().find(|slot| slot.key == entry.key) {
                behind = Some(slot.value.end);
                continue;
            }
            let key = scalar(&entry.key, quoted);
            let value = inline(&entry.node.value, quoted);
            // Where each entry has its line, a new one gets its own.
            let gap = if self.begins_its_line(first.key_start) {
                format!("{}{:2$}", self.newline, "", self.column(first.key_start))
            } else {
                " ".to_owned()
            };
            let (at, words) = match behind {
                Some(end) => (end, format!(",{gap}{key}: {value}")),
                None => (first.key_start, format!("{key}: {value},{gap}")),
            };
            self.edits.push((at..at, words));
        }
        Ok(())
    }

    fn remove_lines(
        &mut self,
        slots: &[Slot],
        is_gone: impl Fn(usize) -> bool,
    ) -> Result<(), CannotEdit> {
        let mut from = 0;
        if let Some(first) = slots.first().filter(|_| is_gone(0))
            && !self.begins_its_line(first.key_start)
        {
            // It shares its line with the dash, which stays for the first key that stays.
            from = (0..slots.len())
                .find(|nth| !is_gone(*nth))
                .ok_or(CannotEdit)?;
            let kept = slots.get(from).ok_or(CannotEdit)?;
            self.edits
                .push((first.key_start..kept.key_start, String::new()));
        }
        for (nth, slot) in slots.iter().enumerate().skip(from) {
            if is_gone(nth) {
                let range = self.line_start(slot.key_start)..self.line_end(slot.value.end);
                self.edits.push((range, String::new()));
            }
        }
        Ok(())
    }

    fn insert_lines(&mut self, slots: &[Slot], after: &Node) -> Result<(), CannotEdit> {
        let first = slots.first().ok_or(CannotEdit)?;
        let column = self.column(first.key_start);
        let mut behind = None;
        for entry in after.entries() {
            if let Some(slot) = slots.iter().find(|slot| slot.key == entry.key) {
                behind = Some(slot.value.end);
                continue;
            }
            let at = match behind {
                Some(end) => self.line_end(end),
                None if self.begins_its_line(first.key_start) => self.above(first.key_start),
                None => self.line_end(first.value.end),
            };
            let mut words = String::new();
            if !self.text.get(..at).is_some_and(|text| text.ends_with('\n')) {
                words.push_str(self.newline);
            }
            words.push_str(&" ".repeat(column));
            words.push_str(&scalar(&entry.key, false));
            words.push(':');
            words.push_str(&block(&entry.node.value, column, self.newline));
            words.push_str(self.newline);
            self.edits.push((at..at, words));
        }
        Ok(())
    }

    fn replace(&mut self, place: &Place, after: &Node, around: Around) {
        if around.flow {
            let words = inline(&after.value, around.quoted);
            self.edits.push((place.start..place.end, words));
            return;
        }
        let words = block(&after.value, around.column, self.newline);
        let start = self.text.get(..place.start).map_or(place.start, |text| {
            text.trim_end_matches([' ', '\r', '\n']).len()
        });
        self.edits.push((start..place.end, words));
    }

    fn apply(mut self) -> Result<String, CannotEdit> {
        // Stable: what is put in at one place comes in the order in which it was asked for.
        self.edits
            .sort_by_key(|(range, _)| (range.start, range.end));
        let mut edited = String::with_capacity(self.text.len() + 1_024);
        let mut done = 0;
        for (range, words) in &self.edits {
            edited.push_str(self.text.get(done..range.start).ok_or(CannotEdit)?);
            edited.push_str(words);
            done = range.end;
        }
        edited.push_str(self.text.get(done..).ok_or(CannotEdit)?);
        Ok(edited)
    }

    fn line_start(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or_default();
        before.rfind('\n').map_or(0, |found| found + 1)
    }

    /// The byte after the line break.
    fn line_end(&self, at: usize) -> usize {
        let behind = self.text.get(at..).unwrap_or_default();
        behind
            .find('\n')
            .map_or(self.text.len(), |found| at + found + 1)
    }

    fn line(&self, start: usize) -> &str {
        self.text
            .get(start..self.line_end(start))
            .unwrap_or_default()
    }

    fn column(&self, at: usize) -> usize {
        at.saturating_sub(self.line_start(at))
    }

    fn begins_its_line(&self, at: usize) -> bool {
        let before = self.text.get(self.line_start(at)..at);
        before.is_some_and(|before| before.trim().is_empty())
    }

    /// The start of the line at `at`, above the comments that belong to it.
    fn above(&self, at: usize) -> usize {
        let mut line = self.line_start(at);
        while let Some(end) = line.checked_sub(1) {
            let before = self.line_start(end);
            let words = self.line(before).trim();
            if !(words.is_empty() || words.starts_with('#')) {
                break;
            }
            line = before;
        }
        line
    }
}

/// What follows a key and its colon, in lines; lists stay on one line.
fn block(value: &Value, column: usize, newline: &str) -> String {
    match value {
        Value::Map(entries) if !entries.is_empty() => {
            let column = column + 2;
            entries
                .iter()
                .map(|entry| {
                    let key = scalar(&entry.key, false);
                    let value = block(&entry.node.value, column, newline);
                    format!("{newline}{:column$}{key}:{value}", "")
                })
                .collect()
        }
        value => format!(" {}", inline(value, false)),
    }
}

/// A value on one line.
fn inline(value: &Value, quoted: bool) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Text(text) => scalar(text, quoted),
        Value::Other(text) => text.clone(),
        Value::List(items) => {
            let items: Vec<String> = items
                .iter()
                .filter(|item| !is_nothing(item))
                .map(|item| inline(&item.value, quoted))
                .collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|entry| {
                    let key = scalar(&entry.key, quoted);
                    format!("{key}: {}", inline(&entry.node.value, quoted))
                })
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// Text, in double quotes where it could be read as anything else.
fn scalar(text: &str, quoted: bool) -> String {
    let is_word = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "._/-:".contains(letter))
        && !text.ends_with(':')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if is_word && !quoted {
        return text.to_owned();
    }
    // A query is full of double quotes.
    if !quoted && text.contains('"') && !text.contains('\'') && !text.contains(char::is_control) {
        return format!("'{text}'");
    }
    // JSON's escapes are YAML's in double quotes.
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
