//! What is wrong with the configuration: the place, why, and what was meant.

use std::fmt;

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the file, on this line.
    Line(u64),
    /// By this variable.
    Variable(String),
    /// Nowhere.
    Absent,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it stands, with dots.
    pub path: String,
    /// Where it was given.
    pub origin: Origin,
    /// Why, and what would be right.
    pub why: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

/// Everything that is wrong with the configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The file, where there is one.
    pub file: Option<String>,
    /// What is wrong with it.
    pub errors: Vec<ConfigError>,
}

// === impl ConfigError ===

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Line(line) => write!(f, "line {line}: ")?,
            Origin::Variable(name) => write!(f, "{name}: ")?,
            Origin::Absent => {}
        }
        if !self.path.is_empty() {
            write!(f, "{} ", self.path)?;
        }
        f.write_str(&self.why)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, ", did you mean {suggestion}?")?;
        }
        Ok(())
    }
}

// === impl ConfigErrors ===

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().unwrap_or("the environment");
        write!(f, "the configuration cannot be used ({file}):")?;
        for error in &self.errors {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
