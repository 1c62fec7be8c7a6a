//! The schema of everything that people configure: what there is, what it takes, and its default.
//!
//! Two tables, [`trigger`] for the metadata of a ScaledObject's trigger and [`process`] for the
//! configuration of the process; a new setting is one row. Both readers (`grpc::metadata`,
//! `config::load`), docs/configuration.md, the charts' values.schema.json, `evenkeel check` and
//! `evenkeel migrate` read them. [`values`] turns text into values by a row's [`Kind`] and notes all
//! errors ([`error`]); `text` reads one value.
//!
//! It does not know where text comes from, nor which settings go together: that is its readers'.

pub mod error;
pub mod process;
mod text;
pub mod trigger;
pub mod values;

use std::time::Duration;

pub use error::{Error, Errors, Place, closest, shorten};
pub use text::{boolean, duration};
pub use values::{Content, Given, Values};

/// Stands for a profile's name in the keys of [`process`].
pub const NAME: &str = "NAME";

/// A number of records may be as large as an offset can be.
const MAX_RECORDS: u64 = i64::MAX.unsigned_abs();
/// A rate beyond any cluster's: it catches bytes given as records and other slips of units.
const MAX_RECORDS_PER_SECOND: f64 = 1e12;
/// More topics than one group reads; beyond it `topicPattern` is meant.
const MAX_TOPICS: usize = 200;
/// More bootstrap addresses help nobody: one that answers is enough.
const MAX_ADDRESSES: usize = 32;
/// More scopes, extensions or headers than any server knows.
const MAX_WORDS: usize = 50;
/// Ranges of partitions in one `partitionLimitation`.
const MAX_PARTITION_RANGES: usize = 1_000;

/// One row of a table: a key of the trigger metadata, or a setting of the process.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name; in the process configuration its path with dots, [`NAME`] for a profile's name.
    pub key: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What its absence means.
    pub absent: Absent,
    /// Whether KEDA's own Kafka or Prometheus trigger has it under this name.
    pub is_kedas: bool,
    /// What it does, for people.
    pub meaning: &'static str,
}

/// What the absence of a setting means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// This value, as a user would write it; it goes through the same reader.
    Default(&'static str),
    /// Something of its own, which the meaning tells.
    Optional,
    /// An error.
    Required,
}

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// The path of a file that holds something secret or trusted.
    File,
    /// A host's name or IP address.
    Host,
    /// The name of an object in Kubernetes (a DNS label).
    Name,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// What Go's `strconv.ParseBool` takes, because that is what KEDA's triggers take.
    Boolean,
    /// A whole number; both ends included.
    Integer {
        /// The lowest that makes sense.
        min: u64,
        /// The highest that makes sense.
        max: u64,
    },
    /// A finite decimal number, never below 0.
    Decimal {
        /// Whether 0 itself is allowed.
        from_zero: bool,
        /// The highest that makes sense, included.
        max: f64,
    },
    /// `5s`, `500ms`, `2m`, `1h`, or plain seconds; both ends included.
    Duration {
        /// The shortest that makes sense.
        min: Duration,
        /// The longest that makes sense.
        max: Duration,
    },
    /// `address:port` to listen on.
    Listen,
    /// An `http://` or `https://` address without credentials.
    Url,
    /// A list of `host:port`.
    Addresses,
    /// A list of words without blanks.
    Words,
    /// A list of `name=value`.
    Pairs,
    /// A list of `name=/path` of files that hold the values.
    NamedFiles,
    /// A list of topic names.
    Topics,
    /// A regular expression that the whole name has to match.
    Pattern,
    /// A list of partition numbers and ranges (`1,2,10-20`).
    Partitions,
    /// Events that are known ahead, in YAML.
    Events,
    /// A list of globs; absent or empty it matches everything.
    Globs,
    /// For KEDA, not for the scaler.
    Passed,
    /// Accepted so that a moved trigger works; without effect.
    Ignored,
    /// Refused: credentials live in a connection profile.
    Credential {
        /// The value, where there is one, that KEDA understands as no credentials; it is accepted.
        harmless: Option<&'static str>,
    },
}

/// The row called `key`, if there is one.
pub fn find(table: &'static [Setting], key: &str) -> Option<&'static Setting> {
    table.iter().find(|setting| setting.key == key)
}

// === impl Setting ===

impl Setting {
    const fn new(key: &'static str, kind: Kind, absent: Absent) -> Self {
        Self {
            key,
            kind,
            absent,
            is_kedas: false,
            meaning: "",
        }
    }

    const fn means(mut self, meaning: &'static str) -> Self {
        self.meaning = meaning;
        self
    }

    /// The value where it is absent, as a user would write it.
    pub const fn default(&self) -> Option<&'static str> {
        match self.absent {
            Absent::Default(text) => Some(text),
            Absent::Optional | Absent::Required => None,
        }
    }
}

// === impl Kind ===

impl Kind {
    const fn integer(min: u64, max: u64) -> Self {
        Self::Integer { min, max }
    }

    const fn records(min: u64) -> Self {
        Self::integer(min, MAX_RECORDS)
    }

    const fn duration(min_millis: u64, max_seconds: u64) -> Self {
        Self::Duration {
            min: Duration::from_millis(min_millis),
            max: Duration::from_secs(max_seconds),
        }
    }

    /// Whether a value is read: not where it is for others, refused or without effect.
    pub const fn is_read(&self) -> bool {
        !matches!(self, Self::Passed | Self::Ignored | Self::Credential { .. })
    }

    /// How many items a list has, at least and at most; none where it is no list.
    pub const fn items(&self) -> Option<(usize, usize)> {
        match self {
            Self::Addresses => Some((1, MAX_ADDRESSES)),
            Self::Topics => Some((1, MAX_TOPICS)),
            Self::Words | Self::Pairs | Self::NamedFiles => Some((1, MAX_WORDS)),
            Self::Partitions => Some((1, MAX_PARTITION_RANGES)),
            Self::Globs => Some((0, usize::MAX)),
            _ => None,
        }
    }

    /// Whether an error may repeat a value: not where people write secrets by mistake.
    pub const fn is_shown(&self) -> bool {
        !matches!(self, Self::File | Self::Pairs | Self::NamedFiles)
    }

    /// What would be right, for error texts and the documentation.
    pub fn expected(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::File => "the whole path of a file, from / on".to_owned(),
            Self::Host => "a host's name or address".to_owned(),
            Self::Name => "a name of lower-case letters, digits and dashes, at most 63".to_owned(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Boolean => "true or false".to_owned(),
            Self::Integer { min, max } if *max == MAX_RECORDS => {
                format!("a whole number, {min} or more")
            }
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Decimal { from_zero, max } => {
                let low = if *from_zero { "0 or more" } else { "above 0" };
                if *max >= MAX_RECORDS_PER_SECOND {
                    format!("a number {low}")
                } else {
                    format!("a number {low} and at most {max}")
                }
            }
            Self::Duration { min, max } => {
                let (min, max) = (written(*min), written(*max));
                format!("a duration such as 5s, 500ms or 2m, from {min} to {max}")
            }
            Self::Listen => "address:port, such as 0.0.0.0:9090".to_owned(),
            Self::Url => "an http:// or https:// address".to_owned(),
            Self::Addresses => "a list of host:port".to_owned(),
            Self::Words => "a list of words".to_owned(),
            Self::Pairs => "a list of name=value".to_owned(),
            Self::NamedFiles => "a list of name=/path".to_owned(),
            Self::Topics => "a list of topic names".to_owned(),
            Self::Pattern => "a regular expression".to_owned(),
            Self::Partitions => "partition numbers and ranges such as 1,2,10-20".to_owned(),
            Self::Events => "a YAML list of events".to_owned(),
            Self::Globs => "a list of globs".to_owned(),
            Self::Passed | Self::Ignored | Self::Credential { .. } => "anything".to_owned(),
        }
    }
}

/// A duration as a user would write it.
fn written(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_in_its_table_once() {
        for table in [trigger::METADATA, process::SETTINGS] {
            for setting in table {
                let same = |other: &&Setting| other.key.eq_ignore_ascii_case(setting.key);
                assert_eq!(table.iter().filter(same).count(), 1, "{}", setting.key);
            }
        }
    }

    #[test]
    fn every_row_has_a_meaning_and_only_what_is_read_a_default() {
        for setting in trigger::METADATA.iter().chain(process::SETTINGS) {
            let (is_read, key) = (setting.kind.is_read(), setting.key);
            assert!(is_read || setting.absent == Absent::Optional, "{key}");
            assert!(!setting.meaning.is_empty(), "{key}");
        }
    }
}
