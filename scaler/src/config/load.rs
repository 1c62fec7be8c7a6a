//! Loads the process configuration: a file, variables over it, all errors at once.
//!
//! First everything that is given is laid out by path and held against the table of settings, so
//! that unknown keys are found wherever they stand; then each setting is read by its kind
//! (`settings`). Nothing is opened here but the file itself.

pub mod error;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub use error::{ConfigError, ConfigErrors, Origin};

use super::Config;
use super::options::{Kind, SETTINGS, Setting};
use super::yaml::{self, Node, Value};
use crate::grpc::metadata::error::closest;

/// What the variables begin with; further levels follow after two underscores each.
const VARIABLE_PREFIX: &str = "EVENKEEL__";
/// The table's word for a profile's name.
const NAME: &str = "NAME";
/// The longest profile name: it becomes a label.
const MAX_PROFILE_NAME_BYTES: usize = 63;
/// The largest file. Thousands of profiles fit.
const MAX_FILE_BYTES: u64 = 1_048_576;

/// A setting as it was given.
#[derive(Debug)]
struct Given {
    values: Vec<String>,
    is_list: bool,
    origin: Origin,
}

type SettingPath = Vec<String>;

/// Everything that is given, by path, and what is wrong with it.
#[derive(Debug, Default)]
struct Loader {
    given: BTreeMap<SettingPath, Given>,
    /// Profiles by section, with the line where each begins.
    profiles: BTreeMap<&'static str, BTreeMap<String, Origin>>,
    errors: Vec<ConfigError>,
}

// === impl Config ===

impl Config {
    /// Reads the file at `path`, if there is one, and lays the `EVENKEEL__` variables over it.
    ///
    /// # Errors
    /// Everything that is wrong, with the line or the variable.
    pub fn load(
        path: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let Some(path) = path else {
            return Self::read("", None, environment);
        };
        let file = path.display().to_string();
        let readable = std::fs::metadata(path).and_then(|metadata| {
            if metadata.len() > MAX_FILE_BYTES {
                Err(std::io::Error::other("is larger than 1 MiB"))
            } else {
                std::fs::read_to_string(path)
            }
        });
        match readable {
            Ok(text) => Self::read(&text, Some(file), environment),
            Err(error) => Err(ConfigErrors {
                file: Some(file),
                errors: vec![ConfigError {
                    path: String::new(),
                    origin: Origin::Absent,
                    why: format!("the file cannot be read: {error}"),
                    suggestion: None,
                }],
            }),
        }
    }

    /// Reads `text` and lays the `EVENKEEL__` variables over it.
    ///
    /// # Errors
    /// Everything that is wrong, with the line or the variable.
    pub fn read(
        text: &str,
        file: Option<String>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let mut loader = Loader::default();
        match yaml::read(text) {
            Ok(documents) => loader.lay_out_file(&documents),
            Err(error) => {
                let origin = error.line.map_or(Origin::Absent, Origin::Line);
                loader.error(&[], origin, error.why);
            }
        }
        // Sorted, so that the errors come in the same order every time.
        let variables: BTreeMap<String, String> = environment
            .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX))
            .collect();
        for (name, value) in variables {
            loader.lay_out_variable(&name, &value);
        }
        let config = loader.config();
        match config {
            Some(config) if loader.errors.is_empty() => Ok(config),
            _ => Err(ConfigErrors {
                file,
                errors: loader.errors,
            }),
        }
    }
}

// === impl Loader ===

/// What a path means by the table.
enum Meaning {
    Setting(&'static Setting),
    Section,
    Unknown(Vec<&'static str>),
}

impl Loader {
    fn error(&mut self, path: &[String], origin: Origin, why: impl Into<String>) {
        self.errors.push(ConfigError {
            path: path.join("."),
            origin,
            why: why.into(),
            suggestion: None,
        });
    }

    fn lay_out_file(&mut self, documents: &[Node]) {
        if let Some(second) = documents.get(1) {
            self.error(
                &[],
                Origin::Line(second.line),
                "a second document: the configuration is one",
            );
        }
        if let Some(first) = documents.first() {
            self.lay_out_section(&mut Vec::new(), first);
        }
    }

    fn lay_out_section(&mut self, path: &mut SettingPath, node: &Node) {
        match &node.value {
            Value::Null => {}
            Value::Map(entries) => {
                for entry in entries {
                    path.push(entry.key.clone());
                    self.lay_out_entry(path, entry.line, &entry.node);
                    path.pop();
                }
            }
            _ => self.error(path, Origin::Line(node.line), "has to be a mapping"),
        }
    }

    fn lay_out_entry(&mut self, path: &mut SettingPath, line: u64, node: &Node) {
        let origin = Origin::Line(line);
        match meaning(path) {
            Meaning::Section => {
                self.note_profile(path, origin);
                self.lay_out_section(path, node);
            }
            Meaning::Setting(setting) => self.lay_out_setting(path, setting, origin, node),
            Meaning::Unknown(siblings) => self.unknown(path, origin, &siblings),
        }
    }

    fn lay_out_setting(
        &mut self,
        path: &SettingPath,
        setting: &Setting,
        origin: Origin,
        node: &Node,
    ) {
        if setting.kind == Kind::NotYet {
            self.error(path, origin, "is not supported yet: remove it");
            return;
        }
        let (values, is_list) = match &node.value {
            Value::Null => return,
            Value::Text(text) | Value::Other(text) => (vec![text.clone()], false),
            Value::List(items) => {
                let values = items.iter().map(|item| match &item.value {
                    Value::Text(text) | Value::Other(text) => Some(text.clone()),
                    _ => None,
                });
                let Some(values) = values.collect() else {
                    self.error(path, origin, "has to be a list of plain values");
                    return;
                };
                (values, true)
            }
            Value::Map(_) => {
                let why = format!("has to be {}, not a mapping", setting.kind.expected());
                self.error(path, origin, why);
                return;
            }
        };
        let given = Given {
            values,
            is_list,
            origin,
        };
        self.given.insert(path.clone(), given);
    }

    fn lay_out_variable(&mut self, variable: &str, value: &str) {
        let origin = Origin::Variable(variable.to_owned());
        let rest = variable.strip_prefix(VARIABLE_PREFIX).unwrap_or_default();
        let mut path = SettingPath::new();
        for segment in rest.split("__") {
            let canonical = self.canonical(&path, segment);
            path.push(canonical);
        }
        match meaning(&path) {
            Meaning::Setting(setting) if setting.kind == Kind::NotYet => {
                self.error(&path, origin, "is not supported yet: remove it");
            }
            // An empty variable is one that a template did not fill in.
            Meaning::Setting(_) if value.trim().is_empty() => {}
            Meaning::Setting(_) => {
                for end in 1..path.len() {
                    let section = path.iter().take(end).cloned().collect::<Vec<_>>();
                    self.note_profile(&section, origin.clone());
                }
                let given = Given {
                    values: vec![value.to_owned()],
                    is_list: false,
                    origin,
                };
                self.given.insert(path, given);
            }
            Meaning::Section => self.error(&path, origin, "is a section, not a setting"),
            Meaning::Unknown(siblings) => self.unknown(&path, origin, &siblings),
        }
    }

    /// The name that a segment of a variable stands for: the table's spelling or that of a profile
    /// of the file, whatever the case and the underscores. A new profile's name is in lower case
    /// with dashes.
    fn canonical(&self, path: &[String], segment: &str) -> String {
        let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
        let names = names_within(path);
        let wanted = plain(segment);
        if names.contains(&NAME) {
            let section = path.first().map(String::as_str).unwrap_or_default();
            let profiles = self.profiles.get(section);
            return profiles
                .and_then(|profiles| profiles.keys().find(|name| plain(name) == wanted))
                .cloned()
                .unwrap_or_else(|| segment.to_lowercase().replace('_', "-"));
        }
        names
            .into_iter()
            .find(|name| plain(name) == wanted)
            .map_or_else(|| segment.to_lowercase(), ToOwned::to_owned)
    }

    fn unknown(&mut self, path: &[String], origin: Origin, siblings: &[&'static str]) {
        let last = path.last().map(String::as_str).unwrap_or_default();
        let why = if siblings.contains(&NAME) {
            "is no profile name: letters, digits, dots, dashes and underscores, at most 63"
        } else {
            "no such setting"
        };
        self.errors.push(ConfigError {
            path: path.join("."),
            origin,
            why: why.to_owned(),
            suggestion: closest(last, siblings.iter().copied().filter(|name| *name != NAME))
                .map(ToOwned::to_owned),
        });
    }

    fn note_profile(&mut self, path: &[String], origin: Origin) {
        let [section, name] = path else { return };
        for known in ["clusters", "prometheus"] {
            if section == known {
                self.profiles
                    .entry(known)
                    .or_default()
                    .entry(name.clone())
                    .or_insert_with(|| origin.clone());
            }
        }
    }
}

/// What `path` means by the table.
fn meaning(path: &[String]) -> Meaning {
    let mut is_section = false;
    for setting in SETTINGS {
        let mut wanted = setting.path.split('.');
        let begins = path
            .iter()
            .all(|segment| wanted.next().is_some_and(|word| matches(word, segment)));
        if begins {
            if wanted.next().is_none() {
                return Meaning::Setting(setting);
            }
            is_section = true;
        }
    }
    if is_section {
        return Meaning::Section;
    }
    let parent = path.split_last().map_or(path, |(_, parent)| parent);
    Meaning::Unknown(names_within(parent))
}

/// The table's names one level below `path`.
fn names_within(path: &[String]) -> Vec<&'static str> {
    let names: BTreeSet<&'static str> = SETTINGS
        .iter()
        .filter_map(|setting| {
            let mut words = setting.path.split('.');
            path.iter()
                .all(|segment| words.next().is_some_and(|word| matches(word, segment)))
                .then(|| words.next())
                .flatten()
        })
        .collect();
    names.into_iter().collect()
}

fn matches(word: &str, segment: &str) -> bool {
    if word == NAME {
        (1..=MAX_PROFILE_NAME_BYTES).contains(&segment.len())
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    } else {
        word == segment
    }
}

#[cfg(test)]
mod tests;
