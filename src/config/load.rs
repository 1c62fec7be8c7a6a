//! Loads the process configuration: a file, variables over it, all errors at once.
//!
//! First everything that is given is laid out by path and held against the table of settings, so
//! that unknown keys are found wherever they stand; then each setting is read by its kind. Nothing
//! is opened here but the file itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::options::{Kind, SETTINGS, Setting};
use super::yaml::{self, Node, Value};
use super::{
    AdminConfig, ClusterConfig, Config, Globs, GrpcConfig, Limits, PollConfig, PrometheusConfig,
};
use crate::grpc::metadata::error::{closest, shorten};
use crate::grpc::metadata::fields::read_addresses;
use crate::grpc::metadata::sources::read_url;

/// What the variables begin with; further levels follow after two underscores each.
const VARIABLE_PREFIX: &str = "EVENKEEL__";
/// The table's word for a profile's name.
const NAME: &str = "NAME";
/// The longest profile name: it becomes a label.
const MAX_PROFILE_NAME_BYTES: usize = 63;
/// The largest file. Thousands of profiles fit.
const MAX_FILE_BYTES: u64 = 1_048_576;
/// How much of a value an error repeats.
const SHOWN_CHARACTERS: usize = 60;

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

// === impl Loader: what is given ===

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

// === impl Loader: what it means ===

impl Loader {
    /// The whole configuration. Every setting is read, whatever is wrong with another: a wrong one
    /// falls back to its default after its error is noted.
    fn config(&mut self) -> Option<Config> {
        let clusters = self.clusters();
        let prometheus = self.prometheus();
        let grpc = GrpcConfig {
            listen: self.listen("grpc.listen")?,
            max_connection_age: self.duration("grpc.maxConnectionAge")?,
            drain: self.duration("grpc.drain")?,
        };
        let admin = AdminConfig {
            listen: self.listen("admin.listen")?,
        };
        let poll = PollConfig {
            interval: self.duration("poll.interval")?,
            asleep_interval: self.duration("poll.asleepInterval")?,
            request_timeout: self.duration("poll.requestTimeout")?,
        };
        let limits = Limits {
            targets: self.count("limits.targets")?,
            target_idle: self.duration("limits.targetIdle")?,
            adhoc_clusters: self.count("limits.adhocClusters")?,
            grpc_message_bytes: self.count("limits.grpcMessageBytes")?,
            grpc_concurrency: self.count("limits.grpcConcurrency")?,
            kafka_frame_bytes: self.count("limits.kafkaFrameBytes")?,
            history_points: self.count("limits.historyPoints")?,
            prometheus_concurrency: self.count("limits.prometheusConcurrency")?,
        };
        Some(Config {
            grpc,
            admin,
            poll,
            clusters,
            prometheus,
            adhoc_clusters: self.boolean("adhocClusters")?,
            limits,
            log_json: self.word("log.format")? == "json",
        })
    }

    fn clusters(&mut self) -> BTreeMap<String, ClusterConfig> {
        let names = self.profiles.remove("clusters").unwrap_or_default();
        let mut clusters = BTreeMap::new();
        for (name, origin) in names {
            let path = |key: &str| vec!["clusters".to_owned(), name.clone(), key.to_owned()];
            let servers = self.list(&path("bootstrapServers"));
            let bootstrap_servers = match servers {
                None => {
                    self.error(&path("bootstrapServers"), origin, "missing");
                    continue;
                }
                Some((servers, origin)) => match read_addresses(&servers.join(",")) {
                    Ok(addresses) => addresses,
                    Err(why) => {
                        self.error(&path("bootstrapServers"), origin, why);
                        continue;
                    }
                },
            };
            let cluster = ClusterConfig {
                bootstrap_servers,
                namespaces: self.globs(&path("namespaces")),
                topics: self.globs(&path("topics")),
                consumer_groups: self.globs(&path("consumerGroups")),
            };
            clusters.insert(name, cluster);
        }
        clusters
    }

    fn prometheus(&mut self) -> BTreeMap<String, PrometheusConfig> {
        let names = self.profiles.remove("prometheus").unwrap_or_default();
        let mut servers = BTreeMap::new();
        for (name, origin) in names {
            let path = |key: &str| vec!["prometheus".to_owned(), name.clone(), key.to_owned()];
            let query = self
                .list(&path("query"))
                .map(|(values, _)| values.join(","));
            let namespaces = self.globs(&path("namespaces"));
            let Some((given, origin)) = self.list(&path("url")) else {
                self.error(&path("url"), origin, "missing");
                continue;
            };
            match read_url(&given.join(",")) {
                Ok(url) => {
                    let server = PrometheusConfig {
                        url,
                        query,
                        namespaces,
                    };
                    servers.insert(name, server);
                }
                Err(why) => self.error(&path("url"), origin, why),
            }
        }
        servers
    }

    /// The values of a list, from the file as they stand or from a comma list; none where absent.
    fn list(&self, path: &[String]) -> Option<(Vec<String>, Origin)> {
        let given = self.given.get(path)?;
        let is_text = path.last().is_some_and(|last| last == "query");
        let values = if given.is_list || is_text {
            given.values.clone()
        } else {
            given
                .values
                .iter()
                .flat_map(|value| value.split(','))
                .map(|value| value.trim().to_owned())
                .collect()
        };
        Some((values, given.origin.clone()))
    }

    fn globs(&mut self, path: &[String]) -> Globs {
        let Some((values, origin)) = self.list(path) else {
            return Globs::default();
        };
        let mut globs = Vec::new();
        for value in values {
            match globset::Glob::new(&value) {
                Ok(glob) => globs.push(glob.compile_matcher()),
                Err(error) => {
                    let why = format!(
                        "{:?} is no glob: {}",
                        shorten(&value, SHOWN_CHARACTERS),
                        error.kind()
                    );
                    self.error(path, origin.clone(), why);
                }
            }
        }
        Globs(globs)
    }

    /// The value at `path` of the table, read by `parse`, or its default.
    fn parsed<T>(&mut self, path: &str, parse: impl Fn(&Kind, &str) -> Option<T>) -> Option<T> {
        let setting = SETTINGS.iter().find(|setting| setting.path == path)?;
        let key: SettingPath = path.split('.').map(ToOwned::to_owned).collect();
        if let Some(given) = self.given.get(&key) {
            let value = given.values.join(",");
            match parse(&setting.kind, value.trim()) {
                Some(value) if !given.is_list => return Some(value),
                _ => {
                    let origin = given.origin.clone();
                    let why = format!(
                        "is {:?}: it has to be {}",
                        shorten(&value, SHOWN_CHARACTERS),
                        setting.kind.expected()
                    );
                    self.error(&key, origin, why);
                }
            }
        }
        setting.default.and_then(|text| parse(&setting.kind, text))
    }

    fn listen(&mut self, path: &str) -> Option<SocketAddr> {
        self.parsed(path, |_, text| text.parse().ok())
    }

    fn duration(&mut self, path: &str) -> Option<Duration> {
        self.parsed(path, |kind, text| match kind {
            Kind::Duration { min, max } => {
                read_duration(text).filter(|value| value >= min && value <= max)
            }
            _ => None,
        })
    }

    fn count(&mut self, path: &str) -> Option<usize> {
        self.parsed(path, |kind, text| match kind {
            Kind::Integer { min, max } => text
                .parse::<u64>()
                .ok()
                .filter(|value| value >= min && value <= max)
                .and_then(|value| usize::try_from(value).ok()),
            _ => None,
        })
    }

    fn boolean(&mut self, path: &str) -> Option<bool> {
        self.parsed(path, |_, text| text.parse().ok())
    }

    fn word(&mut self, path: &str) -> Option<&'static str> {
        self.parsed(path, |kind, text| match kind {
            Kind::Choice(words) => words.iter().find(|word| **word == text).copied(),
            _ => None,
        })
    }
}

/// Reads `5s`, `500ms`, `2m`, `1h` or plain seconds.
fn read_duration(text: &str) -> Option<Duration> {
    let number_ends = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(number_ends)?;
    let seconds_a_unit = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * seconds_a_unit).ok()
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

#[cfg(test)]
mod tests;
