//! Reads single values by the option table: which keys are given, and what each one says.
//!
//! Every reader notes what is wrong and goes on with the default, so that one call finds all errors.
//! Whether keys go together is not decided here.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::{ErrorKind, MetadataError};
use crate::grpc::options::{self, Kind, OPTIONS};
use crate::observe::PartitionSelection;

/// KEDA's suffix for a value taken from the environment of the workload. KEDA resolves the value
/// and leaves the suffix on the key.
const FROM_ENV: &str = "FromEnv";
/// More entries than keys exist, each also as `…FromEnv`, are no trigger's metadata.
const MAX_ENTRIES: usize = 160;
/// The longest value: room for a query of several screens.
const MAX_VALUE_BYTES: usize = 8_192;
/// More topics than one group reads; beyond it `topicPattern` is meant.
const MAX_TOPICS: usize = 200;
/// Kafka's own limit on a topic's name.
const MAX_TOPIC_BYTES: usize = 249;
/// More bootstrap addresses help nobody: one that answers is enough.
const MAX_ADDRESSES: usize = 32;
/// Ranges of partitions in one `partitionLimitation`.
const MAX_PARTITION_RANGES: usize = 1_000;
/// The longest topic pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1_024;
/// What a compiled topic pattern may take of memory. A pattern comes from whoever may write a
/// ScaledObject; nested counts such as `((a{99}){99}){99}` would otherwise take gigabytes.
const MAX_PATTERN_COMPILED_BYTES: usize = 256 * 1_024;

/// What a key of KEDA's other triggers is called here, where a similar name would mislead: the
/// `prometheus` trigger's threshold is what one replica can take, in the query's unit.
const CALLED_HERE: &[(&str, &str)] = &[("threshold", "capacityPerReplica")];

/// Whether `…FromEnv` values are values yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// KEDA has put the values in.
    Resolved,
    /// They are still names of variables, as in a file; what they will say is not known.
    Names,
}

/// The keys that are given, and what went wrong so far.
#[derive(Debug)]
pub struct Fields<'a> {
    given: BTreeMap<&'static str, Given<'a>>,
    /// What is wrong.
    pub errors: Vec<MetadataError>,
    /// What was accepted without effect.
    pub notes: Vec<String>,
}

/// One given key.
#[derive(Clone, Copy, Debug)]
struct Given<'a> {
    /// The key as the user wrote it.
    written: &'a str,
    /// Its value, trimmed; none where it is not known yet.
    value: Option<&'a str>,
    /// Whether an error may repeat the value.
    showable: bool,
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// Sorts `pairs` into the keys of the option table.
    pub fn read(pairs: &BTreeMap<&'a str, &'a str>, environment: Environment) -> Self {
        let mut fields = Self {
            given: BTreeMap::new(),
            errors: Vec::new(),
            notes: Vec::new(),
        };
        if pairs.len() > MAX_ENTRIES {
            fields.errors.push(MetadataError::new(
                ErrorKind::Invalid,
                "metadata",
                format!("has {} entries, at most {MAX_ENTRIES} can be", pairs.len()),
            ));
            return fields;
        }
        for (key, value) in pairs {
            fields.sort_in(key, value.trim(), environment);
        }
        fields
    }

    fn sort_in(&mut self, written: &'a str, value: &'a str, environment: Environment) {
        if value.is_empty() {
            // KEDA drops what is empty before it looks at it, so empty is absent; but an unknown
            // key stays a typo.
            if known(written).is_none() {
                self.unknown(written);
            }
            return;
        }
        let Some((option, from_env)) = known(written) else {
            self.unknown(written);
            return;
        };
        match option.kind {
            Kind::Passed => return,
            Kind::Ignored => {
                self.notes
                    .push(format!("{} has no effect: {}", option.key, option.meaning));
                return;
            }
            Kind::Credential { harmless } => {
                if harmless == Some(value) {
                    self.notes.push(format!(
                        "{} = {value} has no effect: credentials live in a connection profile",
                        option.key
                    ));
                } else {
                    self.errors.push(credential(written));
                }
                return;
            }
            _ => {}
        }
        if value.len() > MAX_VALUE_BYTES {
            self.errors.push(MetadataError::new(
                ErrorKind::Invalid,
                written,
                format!(
                    "is {} bytes long, at most {MAX_VALUE_BYTES} can be",
                    value.len()
                ),
            ));
            return;
        }
        let given = Given {
            written,
            value: (!from_env || environment == Environment::Resolved).then_some(value),
            showable: !from_env,
        };
        if let Some(other) = self.given.insert(option.key, given) {
            self.errors.push(MetadataError::new(
                ErrorKind::Combination,
                option.key,
                format!(
                    "is given twice, as {} and as {}: keep one",
                    other.written, written
                ),
            ));
        }
    }

    fn unknown(&mut self, written: &str) {
        let mut error = MetadataError::new(ErrorKind::Unknown, written, "unknown key")
            .meaning_one_of(written, OPTIONS.iter().map(|option| option.key));
        if let Some((_, key)) = CALLED_HERE.iter().find(|(other, _)| *other == written) {
            error.suggestion = Some((*key).to_owned());
        }
        self.errors.push(error);
    }

    /// Whether the user gave `key` a value.
    pub fn is_given(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// Whether `key` is given but its value not known yet.
    pub fn is_later(&self, key: &str) -> bool {
        self.given
            .get(key)
            .is_some_and(|given| given.value.is_none())
    }

    /// Notes an error about the value of `key`.
    pub fn invalid(&mut self, key: &str, why: impl Into<String>) {
        let error = self.about(ErrorKind::Invalid, key, why);
        self.errors.push(error);
    }

    /// An error about `key` under the name the user wrote, with the value where it may be shown.
    pub fn about(&self, kind: ErrorKind, key: &str, why: impl Into<String>) -> MetadataError {
        match self.given.get(key) {
            Some(Given {
                written,
                value: Some(value),
                showable: true,
            }) => MetadataError::new(kind, *written, why).showing(value),
            Some(given) => MetadataError::new(kind, given.written, why),
            None => MetadataError::new(kind, key, why),
        }
    }

    /// The text of `key`: what the user gave, or the table's default.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        match self.given.get(key) {
            Some(given) => given.value,
            None => options::find(key).and_then(|option| option.default),
        }
    }

    /// A value read by `parse`, or the default where it is absent or wrong.
    fn parsed<T>(&mut self, key: &str, parse: impl Fn(&Kind, &str) -> Option<T>) -> Option<T> {
        let option = options::find(key)?;
        if let Some(text) = self.text(key) {
            match parse(&option.kind, text) {
                Some(value) => return Some(value),
                None => self.invalid(key, format!("has to be {}", option.kind.expected())),
            }
        }
        option.default.and_then(|text| parse(&option.kind, text))
    }

    /// A whole number within the table's range.
    pub fn integer(&mut self, key: &str) -> Option<u64> {
        self.parsed(key, |kind, text| match kind {
            Kind::Integer { min, max } => text
                .parse::<u64>()
                .ok()
                .filter(|value| (min..=max).contains(&value)),
            _ => None,
        })
    }

    /// A number of replicas.
    pub fn replicas(&mut self, key: &str) -> Option<u32> {
        self.integer(key)
            .and_then(|value| u32::try_from(value).ok())
    }

    /// Whole seconds.
    pub fn seconds(&mut self, key: &str) -> Option<Duration> {
        self.integer(key).map(Duration::from_secs)
    }

    /// A finite decimal number within the table's range.
    pub fn decimal(&mut self, key: &str) -> Option<f64> {
        self.parsed(key, |kind, text| match kind {
            Kind::Decimal { min, from_min, max } => text
                .parse::<f64>()
                .ok()
                .filter(|value| value.is_finite() && value <= max)
                .filter(|value| value > min || (*from_min && value >= min)),
            _ => None,
        })
    }

    /// What Go's `strconv.ParseBool` takes.
    pub fn boolean(&mut self, key: &str) -> bool {
        self.parsed(key, |_, text| match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        })
        .unwrap_or_default()
    }

    /// Whether `key` says `word` rather than another word of the table.
    pub fn chose(&mut self, key: &str, word: &str) -> bool {
        self.parsed(key, |kind, text| match kind {
            Kind::Choice(words) => words.contains(&text).then(|| text == word),
            _ => None,
        })
        .unwrap_or_default()
    }

    /// Topic names: sorted, each once; none where `topic` is absent or wrong.
    pub fn topics(&mut self) -> Option<Vec<String>> {
        let text = self.text("topic")?;
        let mut names: Vec<String> = split(text).map(ToOwned::to_owned).collect();
        names.sort();
        names.dedup();
        if names.is_empty() || names.len() > MAX_TOPICS {
            self.invalid("topic", format!("has to name 1 to {MAX_TOPICS} topics"));
            return None;
        }
        if let Some(wrong) = names.iter().find(|name| !is_topic_name(name)) {
            let why = format!(
                "{:?} is no topic name: Kafka takes 1 to {MAX_TOPIC_BYTES} letters, digits, \
                 dots, dashes and underscores; use topicPattern for a pattern",
                super::error::shorten(wrong, 40)
            );
            let mut error = self.about(ErrorKind::Invalid, "topic", why);
            error.value = None;
            self.errors.push(error);
            return None;
        }
        Some(names)
    }

    /// The topic pattern, anchored at both ends.
    pub fn pattern(&mut self) -> Option<regex::Regex> {
        let text = self.text("topicPattern")?;
        if text.len() > MAX_PATTERN_BYTES {
            self.invalid(
                "topicPattern",
                format!("is longer than {MAX_PATTERN_BYTES} bytes"),
            );
            return None;
        }
        let built = regex::RegexBuilder::new(&format!("^(?:{text})$"))
            .size_limit(MAX_PATTERN_COMPILED_BYTES)
            .dfa_size_limit(MAX_PATTERN_COMPILED_BYTES)
            .build();
        match built {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                // The library draws the pattern with a caret under it; its last line is the reason.
                let text = error.to_string();
                let reason = text
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ");
                let why = format!("is no regular expression that can be used: {reason}");
                self.invalid("topicPattern", why);
                None
            }
        }
    }

    /// `host:port` addresses of Kafka: sorted, each once.
    pub fn addresses(&mut self) -> Option<Vec<String>> {
        let text = self.text("bootstrapServers")?;
        match read_addresses(text) {
            Ok(addresses) => Some(addresses),
            Err(why) => {
                self.invalid("bootstrapServers", why);
                None
            }
        }
    }

    /// The selected partitions.
    pub fn partitions(&mut self) -> Option<PartitionSelection> {
        self.parsed("partitionLimitation", |_, text| read_partitions(text))
    }
}

/// The option that `written` means, and whether it takes its value from the environment.
fn known(written: &str) -> Option<(&'static options::MetadataOption, bool)> {
    if let Some(option) = options::find(written) {
        return Some((option, false));
    }
    let base = written.strip_suffix(FROM_ENV)?;
    options::find(base).map(|option| (option, true))
}

fn credential(written: &str) -> MetadataError {
    MetadataError::new(
        ErrorKind::Credential,
        written,
        "credentials are not taken from a trigger, where everyone who reads ScaledObjects would \
         see them: put them into a profile of evenkeel's configuration and name it with cluster \
         or prometheus",
    )
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

fn is_topic_name(name: &str) -> bool {
    (1..=MAX_TOPIC_BYTES).contains(&name.len())
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Reads a comma list of `host:port`: lower case, sorted, each once.
///
/// # Errors
/// A sentence that says what is wrong with the list.
pub fn read_addresses(text: &str) -> Result<Vec<String>, String> {
    let mut addresses: Vec<String> = split(text).map(str::to_ascii_lowercase).collect();
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
        return Err(format!("has to be 1 to {MAX_ADDRESSES} addresses"));
    }
    if addresses.iter().all(|address| is_address(address)) {
        Ok(addresses)
    } else {
        Err("has to be a comma list of host:port, such as kafka:9092".to_owned())
    }
}

fn is_address(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else {
        return false;
    };
    let bracketed = host
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'));
    let host_is_right = match bracketed {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            (1..=253).contains(&host.len())
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        }
    };
    host_is_right && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Reads `1,2,10-20` into ranges sorted by their starts.
fn read_partitions(text: &str) -> Option<PartitionSelection> {
    let mut ranges: Vec<RangeInclusive<u32>> = Vec::new();
    for part in split(text) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: u32 = first.trim().parse().ok()?;
        let last: u32 = last.trim().parse().ok()?;
        // A partition's number is a positive 32-bit integer in Kafka's protocol.
        if first > last || i32::try_from(last).is_err() || ranges.len() >= MAX_PARTITION_RANGES {
            return None;
        }
        ranges.push(first..=last);
    }
    ranges.sort_by_key(|range| *range.start());
    (!ranges.is_empty()).then_some(PartitionSelection(ranges))
}
