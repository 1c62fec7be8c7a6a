//! Where credentials go: out of the ScaledObject, into connection profiles of the server.
//!
//! Names the profiles and writes the chart's values that hold them, with the Secrets mounted that KEDA
//! has read. Values of credentials are never repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::access::{Access, Setting};
use super::sources::{Object, Source};

/// A shorter label of a host is a broker's letter, as in `b-1`, and no name.
const SHORTEST_NAME: usize = 3;

/// Where the chart's pod has its Secrets.
const MOUNTS: &str = "/var/run/evenkeel";

/// Of Kubernetes, for the names of volumes.
const LONGEST_NAME: usize = 63;

/// Which section of the configuration a profile belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Kafka's clusters.
    Clusters,
    /// Prometheus servers.
    Prometheus,
}

/// The profiles that the moved triggers name.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    by_name: BTreeMap<(Section, String), Profile>,
    /// Whether a trigger keeps its addresses.
    has_addresses: bool,
}

#[derive(Clone, Debug)]
struct Profile {
    address: String,
    namespaces: BTreeSet<String>,
    access: Access,
}

// === impl Profiles ===

impl Profiles {
    /// The name of the profile for this address with this access, for `namespace` too; none where the
    /// wanted name is another's already.
    pub fn name(
        &mut self,
        section: Section,
        wanted: Option<&str>,
        address: &str,
        namespace: &str,
        access: &Access,
    ) -> Option<String> {
        let base = wanted.map_or_else(|| name_of(address), ToOwned::to_owned);
        let mut name = base.clone();
        let mut nth = 1;
        while self
            .by_name
            .get(&(section, name.clone()))
            .is_some_and(|other| other.address != address || other.access != *access)
        {
            if wanted.is_some() {
                return None;
            }
            nth += 1;
            name = format!("{base}-{nth}");
        }
        let profile = self
            .by_name
            .entry((section, name.clone()))
            .or_insert_with(|| Profile {
                address: address.to_owned(),
                namespaces: BTreeSet::new(),
                access: access.clone(),
            });
        profile.namespaces.insert(namespace.to_owned());
        Some(name)
    }

    /// Notes a trigger that keeps its addresses.
    pub fn keep_addresses(&mut self) {
        self.has_addresses = true;
    }

    /// Whether no profile is needed.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Whether one of them needs what evenkeel cannot do.
    pub fn need_more_than_there_is(&self) -> bool {
        let mut keys: BTreeMap<&str, &Source> = BTreeMap::new();
        self.by_name.values().any(|profile| {
            let own = &profile.access.environment;
            // One process has one key of each name.
            let clash = own
                .iter()
                .any(|(variable, source)| *keys.entry(variable).or_insert(source) != source);
            clash || !profile.access.cannot.is_empty()
        })
    }

    /// Whether one of them needs what the files do not say.
    pub fn are_to_be_filled_in(&self) -> bool {
        let mut profiles = self.by_name.values();
        profiles.any(|profile| !profile.access.to_fill_in.is_empty())
    }

    /// The chart's values with these profiles; `own_namespace` is evenkeel's, where it is known.
    pub fn values(&self, own_namespace: Option<&str>) -> String {
        let mut mounts = Mounts::default();
        let mut text = "config:\n".to_owned();
        let mut variables: BTreeMap<&str, Source> = BTreeMap::new();
        let mut section = None;
        // Writing into a string does not fail.
        for ((of, name), profile) in &self.by_name {
            if section != Some(*of) {
                let _ = writeln!(text, "  {}:", of.key());
                section = Some(*of);
            }
            let _ = writeln!(text, "    {}:", quoted(name));
            let secret = format!("evenkeel-{}-{name}", of.key());
            profile.write(*of, &secret, &mut mounts, &mut text);
            for (variable, source) in &profile.access.environment {
                let source = mounts.kept(source, &secret, variable);
                if variables
                    .get(variable)
                    .is_some_and(|other| *other != source)
                {
                    let _ = writeln!(
                        text,
                        "      # Not possible: keys of its own, since a process has one {variable}; \
                         give it a role to assume (awsRoleArn)"
                    );
                }
                variables.entry(variable).or_insert(source);
            }
        }
        if self.has_addresses {
            text.push_str(
                "  # Triggers without credentials keep their addresses, which are no profile's.\n  \
                 adhocClusters: true\n",
            );
        }
        mounts.write(own_namespace, &mut text);
        if !variables.is_empty() {
            text.push_str("env:\n");
        }
        for (variable, source) in variables {
            if let Source::Key { object, key } = source {
                text.push_str(&mounts.to_do(&object, own_namespace));
                let reference = if object.is_secret {
                    "secretKeyRef"
                } else {
                    "configMapKeyRef"
                };
                let _ = writeln!(
                    text,
                    "  - name: {variable}\n    valueFrom: {{{reference}: {{name: {}, key: {}}}}}",
                    quoted(&mounts.name(&object, own_namespace)),
                    quoted(&key)
                );
            }
        }
        text
    }
}

// === impl Section ===

impl Section {
    const fn key(self) -> &'static str {
        match self {
            Self::Clusters => "clusters",
            Self::Prometheus => "prometheus",
        }
    }
}

// === impl Profile ===

impl Profile {
    fn write(&self, section: Section, secret: &str, mounts: &mut Mounts, text: &mut String) {
        let addresses: Vec<String> = self
            .address
            .split(',')
            .map(|one| quoted(one.trim()))
            .collect();
        let address = match section {
            Section::Clusters => format!("bootstrapServers: [{}]", addresses.join(", ")),
            Section::Prometheus => format!("url: {}", quoted(&self.address)),
        };
        let namespaces: Vec<String> = self.namespaces.iter().map(|one| quoted(one)).collect();
        let _ = writeln!(text, "      {address}");
        let _ = writeln!(text, "      namespaces: [{}]", namespaces.join(", "));
        for words in &self.access.cannot {
            let _ = writeln!(text, "      # Not possible: {words}");
        }
        for words in &self.access.to_fill_in {
            let _ = writeln!(text, "      # To be filled in: {words}");
        }
        for words in &self.access.notes {
            let _ = writeln!(text, "      # {words}");
        }
        let mut group = "";
        for (path, setting) in &self.access.settings {
            let (inside, key) = path.rsplit_once('.').unwrap_or(("", path));
            if inside != group && !inside.is_empty() {
                let _ = writeln!(text, "      {inside}:");
            }
            group = inside;
            let indent = if inside.is_empty() { "" } else { "  " };
            let value = match setting {
                Setting::Yes => "true".to_owned(),
                Setting::Word(word) => quoted(word),
                Setting::Words(words) => {
                    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                    format!("[{}]", words.join(", "))
                }
                Setting::File(source) => mounts.path(source, secret, path),
            };
            let _ = writeln!(text, "      {indent}{key}: {value}");
        }
    }
}

/// The volumes of the pod.
#[derive(Debug, Default)]
struct Mounts {
    /// Each object's volume.
    volumes: BTreeMap<Object, String>,
    /// Secrets that the user has to make: the keys, and where what they hold is today.
    to_make: BTreeMap<Object, BTreeMap<String, String>>,
}

// === impl Mounts ===

impl Mounts {
    /// Where the pod finds what is at `source`, for the setting `path`; `secret` is that of the profile.
    fn path(&mut self, source: &Source, secret: &str, path: &str) -> String {
        let key = path.rsplit_once('.').map_or(path, |(_, key)| key);
        let key = key.trim_end_matches("File");
        let Source::Key { object, key } = self.kept(source, secret, key) else {
            return String::new();
        };
        let volume = self.volume(&object);
        quoted(&format!("{MOUNTS}/{volume}/{key}"))
    }

    /// The source itself where a pod can have it, otherwise a key of `secret`, which has to be made.
    fn kept(&mut self, source: &Source, secret: &str, key: &str) -> Source {
        let Source::Elsewhere(place) = source else {
            return source.clone();
        };
        let object = Object {
            is_secret: true,
            namespace: String::new(),
            name: secret.to_owned(),
        };
        let keys = self.to_make.entry(object.clone()).or_default();
        keys.insert(key.to_owned(), place.clone());
        let key = key.to_owned();
        Source::Key { object, key }
    }

    fn volume(&mut self, object: &Object) -> String {
        if let Some(volume) = self.volumes.get(object) {
            return volume.clone();
        }
        let base = object.name.replace('.', "-");
        let base: String = base.chars().take(LONGEST_NAME - 3).collect();
        let base = base.trim_end_matches('-').to_owned();
        let mut volume = base.clone();
        let mut nth = 1;
        // The chart has volumes of its own.
        while matches!(volume.as_str(), "config" | "grpc")
            || self.volumes.values().any(|other| *other == volume)
        {
            nth += 1;
            volume = format!("{base}-{nth}");
        }
        self.volumes.insert(object.clone(), volume.clone());
        volume
    }

    /// What the user has to do for `object` to be in evenkeel's namespace, as comments.
    fn to_do(&self, object: &Object, own_namespace: Option<&str>) -> String {
        let own = own_namespace.map_or_else(
            || "evenkeel's own namespace".to_owned(),
            |namespace| format!("namespace {namespace}"),
        );
        match self.to_make.get(object) {
            Some(keys) => keys
                .iter()
                .map(|(key, place)| {
                    format!("  # To be made in {own}: key {key}, with what is now here: {place}\n")
                })
                .collect(),
            None if own_namespace == Some(object.namespace.as_str()) => String::new(),
            None => format!(
                "  # {object}: a pod has those of its own namespace only, copy it to {own}\n"
            ),
        }
    }

    /// What `object` is called in evenkeel's namespace, where another one may have its name.
    fn name(&self, object: &Object, own_namespace: Option<&str>) -> String {
        let has_twin = self.volumes.keys().any(|other| {
            (other.is_secret, &other.name) == (object.is_secret, &object.name) && other != object
        });
        if has_twin && own_namespace != Some(object.namespace.as_str()) {
            format!("{}-{}", object.namespace, object.name)
        } else {
            object.name.clone()
        }
    }

    fn write(&self, own_namespace: Option<&str>, text: &mut String) {
        if self.volumes.is_empty() {
            return;
        }
        text.push_str("volumes:\n");
        for (object, volume) in &self.volumes {
            text.push_str(&self.to_do(object, own_namespace));
            let name = quoted(&self.name(object, own_namespace));
            let what = if object.is_secret {
                format!("secret: {{secretName: {name}}}")
            } else {
                format!("configMap: {{name: {name}}}")
            };
            let _ = writeln!(text, "  - name: {}\n    {what}", quoted(volume));
        }
        text.push_str("volumeMounts:\n");
        for volume in self.volumes.values() {
            let _ = writeln!(
                text,
                "  - {{name: {}, mountPath: {}, readOnly: true}}",
                quoted(volume),
                quoted(&format!("{MOUNTS}/{volume}"))
            );
        }
    }
}

/// A text as YAML: bare where it can be nothing else, otherwise in quotes.
fn quoted(text: &str) -> String {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    let is_word = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text.chars().all(is_bare)
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null"
        );
    if is_word {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

/// A profile's name out of its first address: the first label, without a broker's number, that is
/// long enough to be a name.
fn name_of(address: &str) -> String {
    let first = address.split(',').next().unwrap_or_default().trim();
    let first = first.split_once("://").map_or(first, |(_, rest)| rest);
    let first = first.split('/').next().unwrap_or_default();
    let host = first.rsplit_once(':').map_or(first, |(host, _)| host);
    let is_number = |letter: char| letter.is_ascii_digit() || letter == '-';
    host.split('.')
        .map(|label| label.trim_end_matches(is_number))
        .find(|label| {
            label.len() >= SHORTEST_NAME
                && label.starts_with(|first: char| first.is_ascii_alphabetic())
                && label
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
        })
        .unwrap_or("main")
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_called_after_its_cluster_and_not_after_a_broker() {
        let check = |servers: &str, expected: &str| assert_eq!(name_of(servers), expected);
        check("kafka:9092", "kafka");
        check("orders-bootstrap.kafka.svc:9093,b:1", "orders-bootstrap");
        check(
            "b-1.ledger.x1y2z3.c2.kafka.eu-west-1.example.com:9098",
            "ledger",
        );
        check("kafka-0.kafka-headless.data.svc:9092", "kafka");
        check("https://thanos.monitoring:9091/tenant", "thanos");
        check("10.0.0.1:9092", "main");
        check("", "main");
    }

    #[test]
    fn two_clusters_with_one_name_are_told_apart_and_so_are_two_users_of_one() {
        let mut profiles = Profiles::default();
        let mut name =
            |servers, access: &Access| profiles.name(Section::Clusters, None, servers, "a", access);
        let nothing = Access::default();
        let mut somebody = Access::default();
        somebody.settings.insert("tls.enabled", Setting::Yes);
        assert_eq!(name("kafka.one:9092", &nothing).as_deref(), Some("kafka"));
        assert_eq!(name("kafka.two:9092", &nothing).as_deref(), Some("kafka-2"));
        assert_eq!(name("kafka.one:9092", &nothing).as_deref(), Some("kafka"));
        assert_eq!(
            name("kafka.one:9092", &somebody).as_deref(),
            Some("kafka-3")
        );
        let mut wanted =
            |servers| profiles.name(Section::Clusters, Some("main"), servers, "a", &nothing);
        assert_eq!(wanted("a:1").as_deref(), Some("main"));
        assert_eq!(wanted("b:1"), None);
    }

    #[test]
    fn what_yaml_would_read_as_something_else_is_quoted() {
        for (text, written) in [
            ("eu-west-1", "eu-west-1"),
            ("/var/run/a", "/var/run/a"),
            ("a:1", "\"a:1\""),
            ("no", "\"no\""),
            ("12", "\"12\""),
            ("a \"b\"", "\"a \\\"b\\\"\""),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(text), written);
        }
    }
}
