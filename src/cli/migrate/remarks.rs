//! What is said about a ScaledObject that is moved or left: one line each, as compilers do it.

use std::fmt;

/// How much it weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It will behave differently.
    Note,
    /// It is left as it was, or cannot work as it is now.
    Error,
}

/// One thing to know.
#[derive(Clone, Debug)]
pub struct Remark {
    /// The line in the file as it was, from 1.
    pub line: u64,
    /// How much it weighs.
    pub weight: Weight,
    /// The ScaledObject and what about it.
    pub text: String,
}

/// The remarks about one object.
#[derive(Debug)]
pub struct Remarks<'a> {
    /// `namespace/name`.
    pub title: String,
    /// Where it begins.
    pub line: u64,
    all: &'a mut Vec<Remark>,
}

// === impl Remarks ===

impl<'a> Remarks<'a> {
    /// Remarks about the object called `title`, added to `all`.
    pub fn new(title: String, line: u64, all: &'a mut Vec<Remark>) -> Self {
        Self { title, line, all }
    }

    /// Something that will be different.
    pub fn note(&mut self, line: u64, text: impl fmt::Display) {
        self.push(line, Weight::Note, text);
    }

    /// Something that keeps it from being moved, or from working.
    pub fn error(&mut self, line: u64, text: impl fmt::Display) {
        self.push(line, Weight::Error, text);
    }

    fn push(&mut self, line: u64, weight: Weight, text: impl fmt::Display) {
        // A line of 0 is not known: the object's own is the next best.
        let line = if line == 0 { self.line } else { line };
        let text = format!("{}: {text}", self.title);
        self.all.push(Remark { line, weight, text });
    }

    /// Whether there is an error among those since `from`.
    pub fn has_errors_since(&self, from: usize) -> bool {
        self.all
            .iter()
            .skip(from)
            .any(|remark| remark.weight == Weight::Error)
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

// === impl Weight ===

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Error => "error",
        })
    }
}
