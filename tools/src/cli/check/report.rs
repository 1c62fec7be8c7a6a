//! What `check` has looked at and found, and how it is summed up. Judges nothing.

use std::fmt;

use crate::cli::finding::{self, Finding, Weight};

/// What was looked at and what was found.
#[derive(Debug, Default)]
pub struct Report {
    /// What is to be changed or known, in the order of the file.
    pub findings: Vec<Finding>,
    /// ScaledObjects.
    pub scaled_objects: usize,
    /// Triggers of ours in them.
    pub triggers: usize,
}

// === impl Report ===

impl Report {
    /// A file that could not be read.
    pub fn unreadable(error: &std::io::Error) -> Self {
        let mut report = Self::default();
        report.error(1, format!("the file cannot be read: {error}"));
        report
    }

    /// Adds another file's report.
    pub fn add(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.scaled_objects += other.scaled_objects;
        self.triggers += other.triggers;
    }

    /// Something that would be refused, or cannot work.
    pub fn error(&mut self, line: u64, text: impl Into<String>) {
        self.find(line, Weight::Error, text.into());
    }

    /// Something that works and does something else than people expect.
    pub fn warn(&mut self, line: u64, text: impl Into<String>) {
        self.find(line, Weight::Warning, text.into());
    }

    /// Something to know.
    pub fn note(&mut self, line: u64, text: impl Into<String>) {
        self.find(line, Weight::Note, text.into());
    }

    fn find(&mut self, line: u64, weight: Weight, text: String) {
        self.findings.push(Finding { line, weight, text });
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        finding::count(&self.findings, Weight::Error)
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        finding::count(&self.findings, Weight::Warning)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in {}, {}",
            counted(self.triggers, "evenkeel trigger"),
            counted(self.scaled_objects, "ScaledObject"),
            counted(self.errors(), "error")
        )?;
        match self.warnings() {
            0 => Ok(()),
            warnings => write!(f, ", {}", counted(warnings, "warning")),
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
