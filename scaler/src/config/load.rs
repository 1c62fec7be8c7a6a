//! Loads the process configuration: a file, variables over it, all errors at once.
//!
//! First everything that is given is laid out by path and held against the table of settings, so
//! that unknown keys are found wherever they stand; then each setting is read by its kind. Nothing
//! is opened here but the file itself.

mod cluster;
mod kubernetes;
mod prometheus;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::access::ServerTlsConfig;
use super::yaml::{self, Node, Value};
use super::{AdminConfig, Config, GrpcConfig, Limits, PollConfig};
use crate::schema::process::SETTINGS;
use crate::schema::values::has_to_be;
use crate::schema::{Content, Error, Errors, Given, NAME, Place, Setting, Values};

/// What the variables begin with; further levels follow after two underscores each.
const VARIABLE_PREFIX: &str = "EVENKEEL__";
/// The longest profile name: it becomes a label.
const MAX_PROFILE_NAME_BYTES: usize = 63;
/// The largest file. Thousands of profiles fit.
const MAX_FILE_BYTES: u64 = 1_048_576;

/// Everything that is given, by where it belongs, and what is wrong with its shape.
#[derive(Debug)]
struct Loader {
    process: Values,
    /// Those of the profiles, by section and name.
    profiles: BTreeMap<(String, String), Values>,
    errors: Vec<Error>,
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
    ) -> Result<Self, Errors> {
        let Some(path) = path else {
            return Self::read("", None, environment);
        };
        let text = text_of(path)?;
        Self::read(&text, Some(path.display().to_string()), environment)
    }

    /// Reads the file at `path`, which is a configuration or the values of our chart with one under
    /// `config`.
    ///
    /// # Errors
    /// Everything that is wrong, with the line.
    pub fn load_values(path: &Path) -> Result<Self, Errors> {
        Self::read_values(&text_of(path)?, path.display().to_string())
    }

    /// The same of a text; `file` is what errors call it.
    ///
    /// # Errors
    /// As [`Self::load_values`].
    pub fn read_values(text: &str, file: String) -> Result<Self, Errors> {
        let documents = yaml::read(text).map(|documents| match documents.as_slice() {
            [values] => vec![values.get("config").unwrap_or(values).clone()],
            _ => documents,
        });
        Self::of_documents(documents, Some(file), std::iter::empty())
    }

    /// Reads `text` and lays the `EVENKEEL__` variables over it.
    ///
    /// # Errors
    /// Everything that is wrong, with the line or the variable.
    pub fn read(
        text: &str,
        file: Option<String>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Errors> {
        Self::of_documents(yaml::read(text), file, environment)
    }

    fn of_documents(
        documents: Result<Vec<Node>, yaml::YamlError>,
        file: Option<String>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Errors> {
        let mut loader = Loader {
            process: Values::new(SETTINGS, "", Place::Unknown),
            profiles: BTreeMap::new(),
            errors: Vec::new(),
        };
        match documents {
            Ok(documents) => loader.lay_out_file(&documents),
            Err(error) => {
                let place = error.line.map_or(Place::Unknown, Place::Line);
                loader.error(&[], place, error.why);
            }
        }
        // Sorted, so that of two that mean one setting the same one counts every time.
        let variables: BTreeMap<String, String> = environment
            .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX))
            .collect();
        for (name, value) in variables {
            loader.lay_out_variable(&name, value);
        }
        let config = loader.config();
        let mut errors = loader.errors;
        let profiles = loader.profiles.into_values();
        for values in profiles.chain([loader.process]) {
            errors.extend(values.errors);
        }
        errors.sort_by(|left, right| left.place.cmp(&right.place));
        match config {
            Some(config) if errors.is_empty() => Ok(config),
            _ => Err(all(file, errors)),
        }
    }
}

fn text_of(path: &Path) -> Result<String, Errors> {
    let readable = std::fs::metadata(path).and_then(|metadata| {
        if metadata.len() > MAX_FILE_BYTES {
            Err(std::io::Error::other("is larger than 1 MiB"))
        } else {
            std::fs::read_to_string(path)
        }
    });
    readable.map_err(|error| {
        let why = format!("the file cannot be read: {error}");
        all(Some(path.display().to_string()), vec![Error::new("", why)])
    })
}

fn all(file: Option<String>, errors: Vec<Error>) -> Errors {
    let file = file.unwrap_or_else(|| format!("in {VARIABLE_PREFIX} variables"));
    let subject = format!("the configuration {file}");
    Errors { subject, errors }
}

// === impl Loader ===

/// What a path means by the table.
enum Meaning {
    Setting(&'static Setting),
    Section,
    Unknown(BTreeSet<&'static str>),
}

impl Loader {
    fn error(&mut self, path: &[String], place: Place, why: impl Into<String>) {
        let error = Error::new(path.join("."), why).at(place);
        self.errors.push(error);
    }

    fn lay_out_file(&mut self, documents: &[Node]) {
        if let Some(second) = documents.get(1) {
            let why = "a second document: the configuration is one";
            self.error(&[], Place::Line(second.line), why);
        }
        if let Some(first) = documents.first() {
            self.lay_out_section(&mut Vec::new(), first);
        }
    }

    fn lay_out_section(&mut self, path: &mut Vec<String>, node: &Node) {
        match &node.value {
            Value::Null => {}
            // Whoever writes `tls: {}` wants TLS, and would get plaintext.
            Value::Map(entries)
                if entries.is_empty()
                    && path
                        .last()
                        .is_some_and(|name| name == "tls" || name == "sigv4") =>
            {
                let why = "is empty: give what it needs, or remove it";
                self.error(path, Place::Line(node.line), why);
            }
            Value::Map(entries) => {
                for entry in entries {
                    path.push(entry.key.clone());
                    let place = Place::Line(entry.line);
                    match meaning(path) {
                        Meaning::Section => {
                            self.values(path, &place);
                            self.lay_out_section(path, &entry.node);
                        }
                        Meaning::Setting(setting) => {
                            self.lay_out_setting(path, setting, place, &entry.node);
                        }
                        Meaning::Unknown(names) => self.unknown(path, place, &names),
                    }
                    path.pop();
                }
            }
            _ => self.error(path, Place::Line(node.line), "has to be a mapping"),
        }
    }

    fn lay_out_setting(
        &mut self,
        path: &[String],
        setting: &'static Setting,
        place: Place,
        node: &Node,
    ) {
        let content = match &node.value {
            Value::Null => None,
            Value::Text(text) | Value::Other(text) => Some(Content::Text(text.clone())),
            Value::List(items) => {
                let plain = items.iter().map(|item| match &item.value {
                    Value::Text(text) | Value::Other(text) => Some(text.clone()),
                    _ => None,
                });
                let Some(items) = plain.collect() else {
                    self.error(path, place, "has to be a list of plain values");
                    return;
                };
                Some(Content::List(items))
            }
            Value::Map(_) => {
                let why = format!("{}, not a mapping", has_to_be(&setting.kind));
                self.error(path, place, why);
                return;
            }
        };
        self.give(path, setting, place, content);
    }

    fn lay_out_variable(&mut self, variable: &str, value: String) {
        let place = Place::Variable(variable.to_owned());
        let path = variable.strip_prefix(VARIABLE_PREFIX).unwrap_or_default();
        let mut names = Vec::new();
        for segment in path.split("__") {
            let name = self.canonical(&names, segment);
            names.push(name);
        }
        match meaning(&names) {
            Meaning::Setting(setting) => {
                // An empty variable is one that a template did not fill in.
                let content = (!value.trim().is_empty()).then_some(Content::Text(value));
                self.give(&names, setting, place, content);
            }
            Meaning::Section => self.error(&names, place, "is a section, not a setting"),
            Meaning::Unknown(siblings) => self.unknown(&names, place, &siblings),
        }
    }

    fn give(
        &mut self,
        path: &[String],
        setting: &'static Setting,
        place: Place,
        content: Option<Content>,
    ) {
        if let Some(content) = content {
            let given = Given {
                written: path.join("."),
                place: place.clone(),
                content,
                is_shown: setting.kind.is_shown(),
            };
            self.values(path, &place).give(setting, given);
        }
    }

    /// Where the settings at and below `path` belong; a profile that is new begins at `place`.
    fn values(&mut self, path: &[String], place: &Place) -> &mut Values {
        match path {
            [section, name, ..] if names_within(std::slice::from_ref(section)).contains(NAME) => {
                let values = || Values::new(SETTINGS, name, place.clone());
                let profile = (section.clone(), name.clone());
                self.profiles.entry(profile).or_insert_with(values)
            }
            _ => &mut self.process,
        }
    }

    /// The name that a segment of a variable stands for: the table's spelling or that of a profile
    /// of the file, whatever the case and the underscores. A new profile's name is in lower case
    /// with dashes.
    fn canonical(&self, path: &[String], segment: &str) -> String {
        let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
        let wanted = plain(segment);
        let names = names_within(path);
        if names.contains(NAME) {
            let mut profiles = self.profiles.keys();
            return profiles
                .find(|(section, name)| path.first() == Some(section) && plain(name) == wanted)
                .map_or_else(
                    || segment.to_lowercase().replace('_', "-"),
                    |(_, name)| name.clone(),
                );
        }
        names
            .into_iter()
            .find(|name| plain(name) == wanted)
            .map_or_else(|| segment.to_lowercase(), ToOwned::to_owned)
    }

    /// Refuses a name that is not among `names`, where it could stand.
    fn unknown(&mut self, path: &[String], place: Place, names: &BTreeSet<&'static str>) {
        if names.contains(NAME) {
            let why =
                "is no profile name: letters, digits, dots, dashes and underscores, at most 63";
            self.error(path, place, why);
            return;
        }
        let last = path.last().map(String::as_str).unwrap_or_default();
        let error = Error::unknown(path.join("."), last, names.iter().copied());
        self.errors.push(error.at(place));
    }

    /// The whole configuration. Every setting is read, whatever is wrong with another: a wrong one
    /// falls back to its default after its error is noted.
    fn config(&mut self) -> Option<Config> {
        let mut clusters = BTreeMap::new();
        let mut prometheus = BTreeMap::new();
        for ((section, name), values) in &mut self.profiles {
            if section == "clusters" {
                clusters.insert(name.clone(), cluster::cluster(values));
            } else {
                prometheus.insert(name.clone(), prometheus::prometheus(values));
            }
        }
        let process = &mut self.process;
        let kubernetes = kubernetes::kubernetes(process);
        Some(Config {
            leader: kubernetes::leader(process, &kubernetes),
            state: kubernetes::state(process, &kubernetes),
            kubernetes,
            grpc: GrpcConfig {
                listen: process.listen("grpc.listen")?,
                max_connection_age: process.duration("grpc.maxConnectionAge")?,
                drain: process.duration("grpc.drain")?,
                tls: server_tls(process),
            },
            admin: AdminConfig {
                listen: process.listen("admin.listen")?,
                token_file: process.path("admin.tokenFile"),
            },
            poll: PollConfig {
                interval: process.duration("poll.interval")?,
                asleep_interval: process.duration("poll.asleepInterval")?,
                request_timeout: process.duration("poll.requestTimeout")?,
            },
            adhoc_clusters: process
                .decided("adhocClusters")
                .unwrap_or(clusters.is_empty() && prometheus.is_empty()),
            clusters,
            prometheus,
            limits: Limits {
                targets: process.integer("limits.targets")?,
                target_idle: process.duration("limits.targetIdle")?,
                adhoc_clusters: process.integer("limits.adhocClusters")?,
                grpc_message_bytes: process.integer("limits.grpcMessageBytes")?,
                grpc_concurrency: process.integer("limits.grpcConcurrency")?,
                kafka_frame_bytes: process.integer("limits.kafkaFrameBytes")?,
                history_points: process.integer("limits.historyPoints")?,
                prometheus_concurrency: process.integer("limits.prometheusConcurrency")?,
            },
            log_json: process.chose("log.format", "json"),
        })
    }
}

/// TLS towards KEDA, where something of it is given.
fn server_tls(values: &mut Values) -> Option<ServerTlsConfig> {
    if !values.is_any_given("grpc.tls.") {
        return None;
    }
    for key in ["grpc.tls.cert", "grpc.tls.key"] {
        values.require(key);
    }
    Some(ServerTlsConfig {
        cert: values.path("grpc.tls.cert").unwrap_or_default(),
        key: values.path("grpc.tls.key").unwrap_or_default(),
        key_password_file: values.path("grpc.tls.keyPasswordFile"),
        client_ca: values.path("grpc.tls.clientCa"),
    })
}

/// What `path` means by the table.
fn meaning(path: &[String]) -> Meaning {
    let mut is_section = false;
    for setting in SETTINGS {
        match below(setting, path).map(|mut words| words.next()) {
            Some(None) => return Meaning::Setting(setting),
            Some(Some(_)) => is_section = true,
            None => {}
        }
    }
    if is_section {
        return Meaning::Section;
    }
    let parent = path.split_last().map_or(path, |(_, parent)| parent);
    Meaning::Unknown(names_within(parent))
}

/// The table's names one level below `path`.
fn names_within(path: &[String]) -> BTreeSet<&'static str> {
    let words = SETTINGS.iter().filter_map(|setting| below(setting, path));
    words.filter_map(|mut words| words.next()).collect()
}

/// The words of the setting's path below `path`; none where it does not stand there.
fn below(setting: &Setting, path: &[String]) -> Option<impl Iterator<Item = &'static str>> {
    let mut words = setting.key.split('.');
    path.iter()
        .all(|name| words.next().is_some_and(|word| is_named(word, name)))
        .then_some(words)
}

/// Whether `name` stands for a word of the table.
fn is_named(word: &str, name: &str) -> bool {
    let takes = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if word == NAME {
        (1..=MAX_PROFILE_NAME_BYTES).contains(&name.len()) && name.bytes().all(takes)
    } else {
        word == name
    }
}

#[cfg(test)]
mod tests;
