//! Where credentials go: out of the ScaledObject, into a connection profile of the server.
//!
//! Says what the profile has to be called and to contain, and what evenkeel cannot do of it.
//! Values of credentials are never repeated; only their names are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::cli::manifests;
use evenkeel_scaler::config::yaml::Node;

/// A shorter label of a host is a broker's letter, as in `b-1`, and no name.
const SHORTEST_NAME: usize = 3;

/// What evenkeel cannot do of what KEDA's trigger can, by the beginnings of a need's words.
const NOT_BUILT: [&str; 1] = ["sasl gssapi"];

/// What one trigger needs beyond an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Each a few words: `sasl scram_sha512`, `password (from TriggerAuthentication kafka-auth)`.
    pub words: BTreeSet<String>,
}

/// The profiles that the moved triggers name.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    by_name: BTreeMap<String, Profile>,
}

#[derive(Clone, Debug)]
struct Profile {
    servers: String,
    namespaces: BTreeSet<String>,
    needs: BTreeSet<String>,
}

// === impl Needs ===

impl Needs {
    /// Notes a key of the trigger that is about credentials.
    pub fn key(&mut self, key: &str, value: &str) {
        // Words such as a mechanism or a region may be shown, secrets may not.
        let is_word = matches!(
            key,
            "sasl" | "tls" | "saslTokenProvider" | "awsRegion" | "authModes"
        );
        let words = if is_word {
            format!("{key} {value}")
        } else {
            key.to_owned()
        };
        self.words.insert(words);
    }

    /// Notes what a trigger's `authenticationRef` brings, as far as the file says it.
    pub fn reference(&mut self, reference: &Node, namespace: &str, authentications: &[Node]) {
        let name = reference
            .get("name")
            .and_then(Node::text)
            .unwrap_or_default();
        let kind = reference.get("kind").and_then(Node::text);
        let kind = kind.unwrap_or("TriggerAuthentication");
        let from = format!("from {kind} {name}");
        let found = authentications.iter().find(|object| {
            let is_its_own = kind == "ClusterTriggerAuthentication"
                || manifests::about(object, "namespace").unwrap_or(namespace) == namespace;
            manifests::kind(object) == Some(kind)
                && manifests::about(object, "name") == Some(name)
                && is_its_own
        });
        let mut parameters = BTreeSet::new();
        if let Some(spec) = found.and_then(|object| object.get("spec")) {
            if let Some(provider) = spec.get("podIdentity").and_then(|pod| pod.get("provider")) {
                parameters.insert(format!(
                    "pod identity {}",
                    provider.text().unwrap_or_default()
                ));
            }
            collect_parameters(spec, &mut parameters);
        }
        if parameters.is_empty() {
            self.words.insert(format!("what comes {from}"));
        } else {
            let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
            self.words
                .insert(format!("{} ({from})", parameters.join(", ")));
        }
    }

    /// Whether the trigger gets along without a profile.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

/// Every `parameter:` below, whichever of KEDA's sources it comes from.
fn collect_parameters(node: &Node, parameters: &mut BTreeSet<String>) {
    for entry in node.entries() {
        match entry.node.text() {
            Some(name) if entry.key == "parameter" => {
                parameters.insert(name.to_owned());
            }
            _ => collect_parameters(&entry.node, parameters),
        }
    }
    for item in node.items() {
        collect_parameters(item, parameters);
    }
}

// === impl Profiles ===

impl Profiles {
    /// The name of the profile for these servers, which now also has these needs; none where the
    /// wanted name is another cluster's already.
    pub fn name(
        &mut self,
        wanted: Option<&str>,
        servers: &str,
        namespace: &str,
        needs: &Needs,
    ) -> Option<String> {
        let base = wanted.map_or_else(|| name_of(servers), ToOwned::to_owned);
        let mut name = base.clone();
        let mut nth = 1;
        while self
            .by_name
            .get(&name)
            .is_some_and(|other| other.servers != servers)
        {
            if wanted.is_some() {
                return None;
            }
            nth += 1;
            name = format!("{base}-{nth}");
        }
        let profile = self.by_name.entry(name.clone()).or_insert_with(|| Profile {
            servers: servers.to_owned(),
            namespaces: BTreeSet::new(),
            needs: BTreeSet::new(),
        });
        profile.namespaces.insert(namespace.to_owned());
        profile.needs.extend(needs.words.iter().cloned());
        Some(name)
    }

    /// Whether no profile is needed.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Whether one of them needs what evenkeel cannot do yet.
    pub fn need_more_than_there_is(&self) -> bool {
        self.by_name.values().any(|profile| !profile.can_be_made())
    }

    /// The profiles as they have to stand in evenkeel's configuration.
    pub fn snippet(&self) -> String {
        let mut text = "clusters:\n".to_owned();
        // Writing into a string does not fail.
        for (name, profile) in &self.by_name {
            let servers: Vec<String> = profile
                .servers
                .split(',')
                .map(|server| serde_json::Value::from(server.trim()).to_string())
                .collect();
            let namespaces: Vec<&str> = profile.namespaces.iter().map(String::as_str).collect();
            let _ = writeln!(
                text,
                "  {name}:\n    bootstrapServers: [{}]",
                servers.join(", ")
            );
            let _ = writeln!(text, "    namespaces: [{}]", namespaces.join(", "));
            if profile.needs.is_empty() {
                continue;
            }
            let what = if profile.can_be_made() {
                "Also to be set here, as tls and sasl of docs/configuration.md"
            } else {
                "Not possible yet, so nothing can be read from this cluster"
            };
            let _ = writeln!(text, "    # {what}:");
            for need in &profile.needs {
                let _ = writeln!(text, "    #   {need}");
            }
        }
        text
    }
}

// === impl Profile ===

impl Profile {
    /// Whether evenkeel can do all that it needs.
    fn can_be_made(&self) -> bool {
        let is_missing = |need: &String| NOT_BUILT.iter().any(|word| need.starts_with(word));
        !self.needs.iter().any(is_missing)
    }
}

/// A profile's name out of its first address: the first label, without a broker's number, that is
/// long enough to be a name.
fn name_of(servers: &str) -> String {
    let first = servers.split(',').next().unwrap_or_default().trim();
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
        check("10.0.0.1:9092", "main");
        check("", "main");
    }

    #[test]
    fn two_clusters_with_one_name_are_told_apart() {
        let mut profiles = Profiles::default();
        let mut name = |servers| profiles.name(None, servers, "a", &Needs::default());
        assert_eq!(name("kafka.one:9092").as_deref(), Some("kafka"));
        assert_eq!(name("kafka.two:9092").as_deref(), Some("kafka-2"));
        assert_eq!(name("kafka.one:9092").as_deref(), Some("kafka"));
        let mut wanted = |servers| profiles.name(Some("main"), servers, "a", &Needs::default());
        assert_eq!(wanted("a:1").as_deref(), Some("main"));
        assert_eq!(wanted("b:1"), None);
    }
}
