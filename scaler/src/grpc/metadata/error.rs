//! What is wrong with a trigger's metadata, in words: the key, the value, why, and what was meant.
//!
//! Values are shown only where they cannot be secrets: never those of unknown keys (a password under
//! a misspelt key is still a password), of credentials, or of `…FromEnv` keys.

use std::fmt;

/// How much of a value an error text repeats: enough to recognise it.
const SHOWN_CHARACTERS: usize = 60;
/// How many errors one text lists. A trigger has some thirty keys; beyond this the metadata is not
/// a trigger's, and the text has to fit into an HTTP/2 header.
const SHOWN_ERRORS: usize = 24;

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataError {
    /// The key as the user wrote it, or the key that is missing.
    pub key: String,
    /// The value, where it may be shown; shortened.
    pub value: Option<String>,
    /// What kind of error.
    pub kind: ErrorKind,
    /// Why, and what would be right.
    pub why: String,
    /// The key or name that was probably meant.
    pub suggestion: Option<String>,
}

/// What kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A required key is absent.
    Missing,
    /// No such key.
    Unknown,
    /// The value is not what the key takes.
    Invalid,
    /// The key cannot stand beside another one, or not without it.
    Combination,
    /// Credentials do not belong here.
    Credential,
    /// The process configuration does not allow it.
    Forbidden,
}

/// Everything that is wrong with one trigger's metadata; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataErrors(pub Vec<MetadataError>);

// === impl MetadataError ===

impl MetadataError {
    /// An error without a value or a suggestion.
    pub fn new(kind: ErrorKind, key: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: None,
            kind,
            why: why.into(),
            suggestion: None,
        }
    }

    /// Shows `value`, shortened, unless it could carry a user and a password.
    #[must_use]
    pub fn showing(mut self, value: &str) -> Self {
        if !value.contains('@') {
            self.value = Some(shorten(value, SHOWN_CHARACTERS));
        }
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

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shorten(&self.key, SHOWN_CHARACTERS))?;
        if let Some(value) = &self.value {
            write!(f, " = {value:?}")?;
        }
        write!(f, ": {}", self.why)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, ", did you mean {suggestion}?")?;
        }
        Ok(())
    }
}

impl std::error::Error for MetadataError {}

// === impl MetadataErrors ===

impl MetadataErrors {
    /// Whether all that is wrong is a permission.
    pub fn only_forbidden(&self) -> bool {
        self.0
            .iter()
            .all(|error| error.kind == ErrorKind::Forbidden)
    }
}

impl fmt::Display for MetadataErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 error in the trigger metadata")?,
            count => write!(f, "{count} errors in the trigger metadata")?,
        }
        for (index, error) in self.0.iter().take(SHOWN_ERRORS).enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        if let Some(more) = self
            .0
            .len()
            .checked_sub(SHOWN_ERRORS)
            .filter(|more| *more > 0)
        {
            write!(f, "; and {more} more")?;
        }
        Ok(())
    }
}

impl std::error::Error for MetadataErrors {}

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
