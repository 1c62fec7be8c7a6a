//! What is wrong with what people configured, in words: where, the key, the value, why, what was meant.
//!
//! Values are shown only where they cannot be secrets: never those of unknown keys (a password under
//! a misspelt key is still a password), of credentials, of `…FromEnv` keys, of settings that are not
//! built yet, or texts that could carry a user, a password or a token.

use std::fmt;

/// How much of a key or a variable's name an error text repeats: all of what can be right.
const SHOWN_NAME_CHARACTERS: usize = 120;
/// How much of a value: enough to recognise it.
const SHOWN_CHARACTERS: usize = 60;
/// How many errors one line lists. A trigger has some thirty keys; beyond this the metadata is not
/// a trigger's, and the text has to fit into an HTTP/2 header.
const SHOWN_ERRORS: usize = 24;

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Where it was given.
    pub place: Place,
    /// The key as the user wrote it, or the key that is missing; empty where it is about the whole.
    pub key: String,
    /// The value, where it may be shown; shortened.
    pub value: Option<String>,
    /// Whether it is well written and the process configuration does not allow it.
    pub is_forbidden: bool,
    /// Why, and what would be right.
    pub why: String,
    /// The key or name that was probably meant.
    pub suggestion: Option<String>,
}

/// Where something was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file, on this line.
    Line(u64),
    /// By this variable.
    Variable(String),
    /// Somewhere that has no lines.
    Unknown,
}

/// Everything that is wrong with one configuration or one trigger's metadata; never empty.
///
/// On one line, and bounded, for a gRPC status; with `{:#}` all of it, a line each, for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    /// What the errors are in, such as `the trigger metadata`.
    pub subject: String,
    /// What is wrong with it.
    pub errors: Vec<Error>,
}

// === impl Error ===

impl Error {
    /// An error without a place, a value or a suggestion.
    pub fn new(key: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            place: Place::Unknown,
            key: key.into(),
            value: None,
            is_forbidden: false,
            why: why.into(),
            suggestion: None,
        }
    }

    /// That there is no `key`, which ends in `name` where `names` are known.
    pub fn unknown<'a>(
        key: impl Into<String>,
        name: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self::new(key, "unknown key").meaning_one_of(name, names)
    }

    /// Says where it was given.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// Shows `value`, shortened, unless it could carry a user and a password, or a token in the
    /// query of a URL.
    #[must_use]
    pub fn showing(mut self, value: &str) -> Self {
        let may_be_secret = value.contains('@') || (value.contains("://") && value.contains('?'));
        self.value = (!may_be_secret).then(|| shorten(value, SHOWN_CHARACTERS));
        self
    }

    /// Adds the name out of `names` that was probably meant, if one is close.
    #[must_use]
    pub fn meaning_one_of<'a>(
        mut self,
        wrong: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        self.suggestion = closest(wrong, names).map(ToOwned::to_owned);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Line(line) => write!(f, "line {line}: ")?,
            Place::Variable(name) => write!(f, "{}: ", shorten(name, SHOWN_NAME_CHARACTERS))?,
            Place::Unknown => {}
        }
        f.write_str(&shorten(&self.key, SHOWN_NAME_CHARACTERS))?;
        if let Some(value) = &self.value {
            write!(f, " = {value:?}")?;
        }
        if !self.key.is_empty() {
            f.write_str(": ")?;
        }
        f.write_str(&self.why)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, ", did you mean {suggestion}?")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

// === impl Errors ===

impl Errors {
    /// Whether all that is wrong is a permission.
    pub fn only_forbidden(&self) -> bool {
        self.errors.iter().all(|error| error.is_forbidden)
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.errors.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{count} error{plural} in {}:", self.subject)?;
        let (first, next, most) = if f.alternate() {
            ("\n  ", "\n  ", count)
        } else {
            (" ", "; ", SHOWN_ERRORS)
        };
        for (index, error) in self.errors.iter().take(most).enumerate() {
            let separator = if index == 0 { first } else { next };
            write!(f, "{separator}{error}")?;
        }
        match count.saturating_sub(most) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl std::error::Error for Errors {}

/// The first `limit` characters of `text`, marked where it was longer.
pub fn shorten(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => {
            let mut short = text.get(..end).unwrap_or_default().to_owned();
            short.push_str("...");
            short
        }
    }
}

/// The name most like `wrong`, if one is like it at all.
pub fn closest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Below this two names have nothing to do with each other: of ten letters four differ.
    const ALIKE: f64 = 0.6;
    /// No name is longer, and comparing costs the product of both lengths.
    const MAX_CHARACTERS: usize = 80;

    if wrong.chars().count() > MAX_CHARACTERS {
        return None;
    }
    let wrong = wrong.to_lowercase();
    names
        .into_iter()
        .map(|name| {
            let alike = strsim::normalized_damerau_levenshtein(&wrong, &name.to_lowercase());
            (alike, name)
        })
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, name)| name)
}
