//! What is said about one ScaledObject that is moved or left, each line with its name.

use std::fmt;

use crate::cli::finding::{self, Finding, Weight};

/// The remarks about one object.
#[derive(Debug)]
pub struct Remarks<'a> {
    /// `namespace/name`.
    pub title: String,
    /// Where it begins.
    pub line: u64,
    all: &'a mut Vec<Finding>,
}

// === impl Remarks ===

impl<'a> Remarks<'a> {
    /// Remarks about the object called `title`, added to `all`.
    pub fn new(title: String, line: u64, all: &'a mut Vec<Finding>) -> Self {
        Self { title, line, all }
    }

    /// Something that will be different.
    pub fn note(&mut self, line: u64, text: impl fmt::Display) {
        self.push(line, Weight::Note, text);
    }

    /// Something that keeps it from being moved.
    pub fn error(&mut self, line: u64, text: impl fmt::Display) {
        self.push(line, Weight::Error, text);
    }

    fn push(&mut self, line: u64, weight: Weight, text: impl fmt::Display) {
        // A line of 0 is not known: the object's own is the next best.
        let line = if line == 0 { self.line } else { line };
        let text = format!("{}: {text}", self.title);
        self.all.push(Finding { line, weight, text });
    }

    /// Whether there is an error among those since `from`.
    pub fn has_errors_since(&self, from: usize) -> bool {
        finding::count(self.all.get(from..).unwrap_or_default(), Weight::Error) > 0
    }

    /// Drops the notes since `from`: they would speak of what did not happen.
    pub fn keep_errors_since(&mut self, from: usize) {
        let mut nth = 0;
        self.all.retain(|remark| {
            nth += 1;
            nth <= from || remark.weight == Weight::Error
        });
    }
}
