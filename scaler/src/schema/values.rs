//! Values by the rows of a table: what the user gave or the default, and all that is wrong with it.
//!
//! Every reader notes what is wrong and goes on with the default, so that one pass finds all errors.
//! Whether settings go together is not decided here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::error::{Error, Place};
use super::{Absent, Kind, NAME, Setting, find, text};

/// The settings that are given, and what went wrong so far.
#[derive(Debug)]
pub struct Values {
    table: &'static [Setting],
    /// The profile whose settings these are; empty where they are no profile's.
    profile: String,
    /// Where it all begins.
    place: Place,
    /// What is given, by the keys of the table.
    given: BTreeMap<&'static str, Given>,
    /// What is wrong.
    pub errors: Vec<Error>,
}

/// One given setting.
#[derive(Clone, Debug)]
pub struct Given {
    /// The key as the user wrote it.
    pub written: String,
    /// Where.
    pub place: Place,
    /// What it says.
    pub content: Content,
    /// Whether an error may repeat it.
    pub is_shown: bool,
}

/// What a given setting says.
#[derive(Clone, Debug)]
pub enum Content {
    /// A plain value.
    Text(String),
    /// A list of plain values.
    List(Vec<String>),
    /// It will be known later.
    Later,
}

// === impl Values ===

impl Values {
    /// Nothing is given yet of `table`, or of `profile` in it.
    pub fn new(table: &'static [Setting], profile: impl Into<String>, place: Place) -> Self {
        Self {
            table,
            profile: profile.into(),
            place,
            given: BTreeMap::new(),
            errors: Vec::new(),
        }
    }

    /// Gives `setting` a value; what it had before.
    pub fn give(&mut self, setting: &'static Setting, given: Given) -> Option<Given> {
        self.given.insert(setting.key, given)
    }

    /// Whether the user gave `key` a value.
    pub fn is_given(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// Whether the user gave a value to anything below `prefix`.
    pub fn is_any_given(&self, prefix: &str) -> bool {
        self.given.keys().any(|key| key.starts_with(prefix))
    }

    /// Notes an error about `key`.
    pub fn wrong(&mut self, key: &str, why: impl Into<String>) {
        let error = self.about(key, why);
        self.errors.push(error);
    }

    /// Notes that the process configuration does not allow what `key` says.
    pub fn forbidden(&mut self, key: &str, why: impl Into<String>) {
        let mut error = self.about(key, why);
        error.is_forbidden = true;
        self.errors.push(error);
    }

    /// An error about `key` under the name the user wrote, with the value where it may be shown.
    pub fn about(&self, key: &str, why: impl Into<String>) -> Error {
        let Some(given) = self.given.get(key) else {
            let key = key.replace(NAME, &self.profile);
            return Error::new(key, why).at(self.place.clone());
        };
        let error = Error::new(&given.written, why).at(given.place.clone());
        match &given.content {
            Content::Text(text) if given.is_shown => error.showing(text),
            Content::List(items) if given.is_shown => error.showing(&items.join(",")),
            _ => error,
        }
    }

    /// What the user gave, where it is known; notes where it has to be given and is not.
    fn content(&mut self, setting: &Setting) -> Option<&Content> {
        if setting.absent == Absent::Required && !self.is_given(setting.key) {
            let mut meaning = setting.meaning.trim_end_matches('.').chars();
            let first = meaning.next().into_iter().flat_map(char::to_lowercase);
            let why = format!("missing: {}", first.chain(meaning).collect::<String>());
            self.wrong(setting.key, why);
        }
        self.given.get(setting.key).map(|given| &given.content)
    }

    /// A value read by `read`, or the default where it is absent or wrong.
    fn parsed<T>(
        &mut self,
        key: &str,
        read: impl Fn(&str, &Kind) -> Result<T, String>,
    ) -> Option<T> {
        let setting = find(self.table, key)?;
        let kind = &setting.kind;
        let value = match self.content(setting) {
            Some(Content::Text(text)) => Some(read(text.trim(), kind)),
            Some(Content::List(_)) => Some(Err(has_to_be(kind))),
            Some(Content::Later) | None => None,
        };
        match value {
            Some(Ok(value)) => return Some(value),
            Some(Err(why)) => self.wrong(key, why),
            None => {}
        }
        setting.default().and_then(|text| read(text, kind).ok())
    }

    /// As [`Self::parsed`], where the kind alone says what would be right.
    fn simple<T>(&mut self, key: &str, read: impl Fn(&str, &Kind) -> Option<T>) -> Option<T> {
        self.parsed(key, |text, kind| {
            read(text, kind).ok_or_else(|| has_to_be(kind))
        })
    }

    /// The items of a list, each read by `read`; none where it is absent or an item is wrong. From
    /// one text they are separated by commas.
    fn items<T>(&mut self, key: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        let setting = find(self.table, key)?;
        let (least, most) = setting.kind.items()?;
        // A glob may contain commas, and an empty one matches nothing, which is not all.
        let are_globs = setting.kind == Kind::Globs;
        // So may the value of a header.
        let are_whole = are_globs || setting.kind == Kind::Pairs;
        let split = |text: &String| -> Vec<String> {
            text.split(',').map(|item| item.trim().to_owned()).collect()
        };
        let mut items: Vec<String> = match self.content(setting)? {
            Content::Later => return None,
            Content::List(items) if are_whole => items.clone(),
            Content::List(items) => items.iter().flat_map(split).collect(),
            Content::Text(text) => split(text),
        };
        items.retain(|item| are_globs || !item.is_empty());
        items.sort();
        items.dedup();
        if items.len() < least || items.len() > most {
            let why = format!("{}, {least} to {most} of them", has_to_be(&setting.kind));
            self.wrong(key, why);
            return None;
        }
        let before = self.errors.len();
        let mut values = Vec::new();
        for item in items {
            match read(&item) {
                Ok(value) => values.push(value),
                Err(why) => {
                    let mut error = self.about(key, why);
                    if error.value.is_some() {
                        error = error.showing(&item);
                    }
                    self.errors.push(error);
                }
            }
        }
        (self.errors.len() == before).then_some(values)
    }

    /// The text as it was given, or the default.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.parsed(key, |text, _| Ok(text.to_owned()))
    }

    /// A whole number within the row's range.
    pub fn integer<T: TryFrom<u64>>(&mut self, key: &str) -> Option<T> {
        self.simple(key, |text, kind| match kind {
            Kind::Integer { min, max } => {
                let value = text.parse().ok()?;
                let is_within = (*min..=*max).contains(&value);
                is_within.then(|| T::try_from(value).ok())?
            }
            _ => None,
        })
    }

    /// Whole seconds.
    pub fn seconds(&mut self, key: &str) -> Option<Duration> {
        self.integer(key).map(Duration::from_secs)
    }

    /// A finite decimal number within the row's range.
    pub fn decimal(&mut self, key: &str) -> Option<f64> {
        self.simple(key, |text, kind| match kind {
            Kind::Decimal { from_zero, max } => text
                .parse()
                .ok()
                .filter(|value: &f64| value.is_finite() && value <= max)
                .filter(|value| *value > 0.0 || (*from_zero && *value >= 0.0)),
            _ => None,
        })
    }

    /// A duration within the row's range.
    pub fn duration(&mut self, key: &str) -> Option<Duration> {
        self.simple(key, |text, kind| match kind {
            Kind::Duration { min, max } => {
                text::duration(text).filter(|value| (min..=max).contains(&value))
            }
            _ => None,
        })
    }

    /// True or false, where the user said it.
    pub fn decided(&mut self, key: &str) -> Option<bool> {
        self.simple(key, |text, _| text::boolean(text))
    }

    /// True or false.
    pub fn boolean(&mut self, key: &str) -> bool {
        self.decided(key).unwrap_or_default()
    }

    /// Whether `key` says `word` rather than another word of the row.
    pub fn chose(&mut self, key: &str, word: &str) -> bool {
        self.simple(key, |text, kind| match kind {
            Kind::Choice(words) => words.contains(&text).then(|| text == word),
            _ => None,
        })
        .unwrap_or_default()
    }

    /// A file's path.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.simple(key, |text, _| text::path(text))
    }

    /// A host's name or address.
    pub fn host(&mut self, key: &str) -> Option<String> {
        self.parsed(key, |text, kind| {
            text::host(text).ok_or_else(|| has_to_be(kind))
        })
    }

    /// The name of an object in Kubernetes.
    pub fn name(&mut self, key: &str) -> Option<String> {
        self.simple(key, |text, _| text::name(text))
    }

    /// One of the row's words.
    pub fn word(&mut self, key: &str) -> Option<&'static str> {
        self.simple(key, |text, kind| match kind {
            Kind::Choice(words) => words.iter().copied().find(|word| *word == text),
            _ => None,
        })
    }

    /// Notes that `key` is missing where it is, because of other settings.
    pub fn require(&mut self, key: &str) {
        if !self.is_given(key) {
            self.wrong(key, "is missing");
        }
    }

    /// An address to listen on.
    pub fn listen(&mut self, key: &str) -> Option<SocketAddr> {
        self.simple(key, |text, _| text.parse().ok())
    }

    /// An address of Prometheus, without a slash at its end.
    pub fn url(&mut self, key: &str) -> Option<String> {
        self.parsed(key, |text, _| text::url(text))
    }

    /// A regular expression, anchored at both ends.
    pub fn pattern(&mut self, key: &str) -> Option<regex::Regex> {
        self.parsed(key, |text, _| text::pattern(text))
    }

    /// `host:port` addresses: lower case, sorted, each once.
    pub fn addresses(&mut self, key: &str) -> Option<Vec<String>> {
        let mut addresses = self.items(key, text::address)?;
        addresses.sort();
        addresses.dedup();
        Some(addresses)
    }

    /// Topic names: sorted, each once.
    pub fn topics(&mut self, key: &str) -> Option<Vec<String>> {
        self.items(key, text::topic)
    }

    /// Ranges of partitions, sorted by their starts.
    pub fn partitions(&mut self, key: &str) -> Option<Vec<RangeInclusive<u32>>> {
        let mut ranges = self.items(key, |item| {
            text::partitions(item).ok_or_else(|| has_to_be(&Kind::Partitions))
        })?;
        ranges.sort_by_key(|range| *range.start());
        Some(ranges)
    }

    /// Words: sorted, each once; none where absent or wrong.
    pub fn texts(&mut self, key: &str) -> Vec<String> {
        self.items(key, text::word).unwrap_or_default()
    }

    /// Pairs of a name and a value.
    pub fn pairs(&mut self, key: &str) -> BTreeMap<String, String> {
        let pairs = self.items(key, text::pair).unwrap_or_default();
        self.by_name(key, pairs)
    }

    /// Files by the names of what they hold.
    pub fn named_files(&mut self, key: &str) -> BTreeMap<String, PathBuf> {
        let pairs = self.items(key, text::named_file).unwrap_or_default();
        self.by_name(key, pairs)
    }

    fn by_name<T>(&mut self, key: &str, pairs: Vec<(String, T)>) -> BTreeMap<String, T> {
        let mut named = BTreeMap::new();
        for (name, value) in pairs {
            if named.contains_key(&name) {
                self.wrong(key, format!("has {name} twice"));
            }
            named.insert(name, value);
        }
        named
    }

    /// Globs; none is all.
    pub fn globs(&mut self, key: &str) -> Vec<globset::GlobMatcher> {
        self.items(key, text::glob).unwrap_or_default()
    }
}

/// The sentence about a value that is not what its kind takes.
pub fn has_to_be(kind: &Kind) -> String {
    format!("has to be {}", kind.expected())
}
