//! Reads each setting by its kind in the table: text in, checked values out.
//!
//! A wrong value is noted and its default taken, so that one pass finds every error.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::error::Origin;
use super::{Loader, SettingPath};
use crate::config::options::{Kind, SETTINGS};
use crate::config::{
    AdminConfig, ClusterConfig, Config, Globs, GrpcConfig, Limits, PollConfig, PrometheusConfig,
};
use crate::grpc::metadata::error::shorten;
use crate::grpc::metadata::fields::read_addresses;
use crate::grpc::metadata::sources::read_url;

/// How much of a value an error repeats.
const SHOWN_CHARACTERS: usize = 60;

// === impl Loader ===

impl Loader {
    /// The whole configuration. Every setting is read, whatever is wrong with another: a wrong one
    /// falls back to its default after its error is noted.
    pub(super) fn config(&mut self) -> Option<Config> {
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
pub(super) fn read_duration(text: &str) -> Option<Duration> {
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
