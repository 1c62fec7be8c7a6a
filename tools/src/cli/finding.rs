//! What `check` and `migrate` say about a file: one line each, as compilers do it.

use std::fmt;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It would be refused, cannot work, or is left as it was.
    Error,
    /// It works, and does something else than people expect.
    Warning,
    /// Good to know: what will behave differently from before, or where it leads.
    Note,
}

/// One thing to know or to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The line, from 1.
    pub line: u64,
    /// How much it weighs.
    pub weight: Weight,
    /// Where, and what.
    pub text: String,
}

/// How many of `findings` weigh this much.
pub fn count(findings: &[Finding], weight: Weight) -> usize {
    let findings = findings.iter();
    findings.filter(|finding| finding.weight == weight).count()
}

// === impl Finding ===

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.line, self.weight, self.text)
    }
}

// === impl Weight ===

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}
