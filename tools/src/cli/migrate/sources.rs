//! Where the values of a trigger's parameters are: in the trigger, in an object that a pod can mount,
//! or elsewhere.
//!
//! Follows `authenticationRef` and the workload's environment as far as the files go. The text of an
//! object is read for words such as a mechanism or an address; of what may be a secret only the place
//! is told. What a parameter means is the profile's matter.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;

use crate::cli::manifests;
use evenkeel_scaler::config::yaml::{Node, Value};

/// Where KEDA looks for the Secrets of a ClusterTriggerAuthentication, unless it was told otherwise
/// (`KEDA_CLUSTER_OBJECT_NAMESPACE`).
const KEDA_NAMESPACE: &str = "keda";

/// Kinds that are worth remembering from the files.
const KINDS: [&str; 6] = [
    "TriggerAuthentication",
    "ClusterTriggerAuthentication",
    "Secret",
    "ConfigMap",
    "Deployment",
    "StatefulSet",
];

/// Where one value is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// In the trigger itself.
    Text(String),
    /// Under a key of an object that a pod can mount.
    Key {
        /// The object.
        object: Object,
        /// The key.
        key: String,
    },
    /// Where no pod can mount it, or not known; in words.
    Elsewhere(String),
}

/// A Secret or a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Which of the two.
    pub is_secret: bool,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Whose rights KEDA has taken at a cloud provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodIdentity {
    /// `aws`, `azure-workload` ...
    pub provider: String,
    /// The role that is assumed.
    pub role_arn: Option<String>,
    /// Whether the rights are those of the workload's service account.
    pub is_workloads: bool,
}

/// What a trigger has for its connection.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    by_name: BTreeMap<String, Source>,
    /// The identity, where one is used.
    pub identity: Option<PodIdentity>,
    /// An authentication that is in none of the files.
    pub absent: Option<String>,
}

/// The objects of all files that parameters can come from.
#[derive(Clone, Debug, Default)]
pub struct Files {
    objects: Vec<Node>,
}

/// The workload whose environment a parameter may come from.
#[derive(Clone, Copy, Debug)]
pub struct Workload<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// `spec.scaleTargetRef` of the ScaledObject.
    pub target: Option<&'a Node>,
}

// === impl Source ===

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => write!(f, "the trigger"),
            Self::Key { object, key } => write!(f, "key {key} of {object}"),
            Self::Elsewhere(words) => write!(f, "{words}"),
        }
    }
}

// === impl Object ===

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_secret {
            "Secret"
        } else {
            "ConfigMap"
        };
        write!(f, "{kind} {} of namespace {}", self.name, self.namespace)
    }
}

// === impl Parameters ===

impl Parameters {
    /// Gives `name` this source. The first one counts: a trigger's own word comes before that of its
    /// authentication.
    pub fn add(&mut self, name: &str, source: Source) {
        self.by_name.entry(name.to_owned()).or_insert(source);
    }

    /// Where the value of `name` is.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.by_name.get(name)
    }

    /// Adds what the trigger's `authenticationRef` brings.
    pub fn follow(&mut self, reference: &Node, files: &Files, workload: Workload<'_>) {
        let text = |key| reference.get(key).and_then(Node::text);
        let name = text("name").unwrap_or_default();
        let kind = text("kind").unwrap_or("TriggerAuthentication");
        let namespace = if kind == "ClusterTriggerAuthentication" {
            None
        } else {
            Some(workload.namespace)
        };
        let Some(spec) = files
            .find(kind, namespace, name)
            .and_then(|object| object.get("spec"))
        else {
            self.absent = Some(format!("{kind} {name}"));
            return;
        };
        let namespace = namespace.unwrap_or(KEDA_NAMESPACE);
        for section in spec.entries() {
            match section.key.as_str() {
                "secretTargetRef" | "configMapTargetRef" => {
                    let is_secret = section.key == "secretTargetRef";
                    self.objects(&section.node, is_secret, namespace);
                }
                "env" => self.environment(&section.node, files, workload),
                "podIdentity" => self.identity = identity(&section.node),
                _ => self.elsewhere(&section.node, &format!("{} of {kind} {name}", section.key)),
            }
        }
    }

    /// `secretTargetRef` and `configMapTargetRef`.
    fn objects(&mut self, list: &Node, is_secret: bool, namespace: &str) {
        for item in list.items() {
            let text = |key| item.get(key).and_then(Node::text);
            if let (Some(parameter), Some(name), Some(key)) =
                (text("parameter"), text("name"), text("key"))
            {
                let object = Object {
                    is_secret,
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                };
                let key = key.to_owned();
                self.add(parameter, Source::Key { object, key });
            }
        }
    }

    /// `env`: variables of the workload's containers.
    fn environment(&mut self, list: &Node, files: &Files, workload: Workload<'_>) {
        for item in list.items() {
            let text = |key| item.get(key).and_then(Node::text);
            if let (Some(parameter), Some(name)) = (text("parameter"), text("name")) {
                let source = files.variable(workload, text("containerName"), name);
                self.add(parameter, source);
            }
        }
    }

    /// Every `parameter` below, of a source that no pod can mount.
    fn elsewhere(&mut self, node: &Node, place: &str) {
        for entry in node.entries() {
            match entry.node.text() {
                Some(name) if entry.key == "parameter" => {
                    self.add(name, Source::Elsewhere(place.to_owned()));
                }
                _ => self.elsewhere(&entry.node, place),
            }
        }
        for item in node.items() {
            self.elsewhere(item, place);
        }
    }
}

fn identity(node: &Node) -> Option<PodIdentity> {
    let text = |key| node.get(key).and_then(Node::text);
    let provider = text("provider").filter(|provider| *provider != "none")?;
    Some(PodIdentity {
        provider: provider.to_owned(),
        role_arn: text("roleArn").map(ToOwned::to_owned),
        is_workloads: text("identityOwner") == Some("workload"),
    })
}

// === impl Files ===

impl Files {
    /// Remembers the objects of `document` that parameters can come from; those without a namespace
    /// are of `namespace`.
    pub fn add(&mut self, document: &Node, namespace: &str) {
        manifests::objects(document, &mut |object| {
            if manifests::kind(object).is_some_and(|kind| KINDS.contains(&kind)) {
                let mut object = object.clone();
                if manifests::about(&object, "namespace").is_none()
                    && let Some(metadata) = object.get_mut("metadata")
                {
                    metadata.set("namespace", Value::Text(namespace.to_owned()));
                }
                self.objects.push(object);
            }
        });
    }

    fn find(&self, kind: &str, namespace: Option<&str>, name: &str) -> Option<&Node> {
        self.objects.iter().find(|object| {
            manifests::kind(object) == Some(kind)
                && manifests::about(object, "name") == Some(name)
                && namespace
                    .is_none_or(|wanted| manifests::about(object, "namespace") == Some(wanted))
        })
    }

    /// The text at `source`, where a file has it. For words only: it may be printed.
    pub fn word(&self, source: &Source) -> Option<String> {
        let (object, key) = match source {
            // KEDA trims every parameter.
            Source::Text(text) => return Some(text.trim().to_owned()),
            Source::Elsewhere(_) => return None,
            Source::Key { object, key } => (object, key),
        };
        let kind = if object.is_secret {
            "Secret"
        } else {
            "ConfigMap"
        };
        let found = self.find(kind, Some(&object.namespace), &object.name)?;
        let text = |section: &str| found.get(section)?.get(key)?.text();
        if let Some(text) = text("stringData") {
            return Some(text.trim().to_owned());
        }
        let text = text("data")?.trim();
        if !object.is_secret {
            return Some(text.to_owned());
        }
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(text)
            .ok()?;
        Some(String::from_utf8(bytes).ok()?.trim().to_owned())
    }

    /// Where the variable `name` of the workload's container comes from. A value that is written in
    /// the workload itself is told as a place: it may be a secret.
    pub fn variable(&self, workload: Workload<'_>, container: Option<&str>, name: &str) -> Source {
        let unknown = || Source::Elsewhere(format!("the workload's variable {name}"));
        let from = self
            .entry(workload, container, name)
            .and_then(|variable| variable.get("valueFrom"));
        for (section, is_secret) in [("secretKeyRef", true), ("configMapKeyRef", false)] {
            let reference = from.and_then(|from| from.get(section));
            let text = |key| reference?.get(key)?.text();
            if let (Some(name), Some(key)) = (text("name"), text("key")) {
                let object = Object {
                    is_secret,
                    namespace: workload.namespace.to_owned(),
                    name: name.to_owned(),
                };
                let key = key.to_owned();
                return Source::Key { object, key };
            }
        }
        unknown()
    }

    /// The text of the variable `name`, where it is no secret and the files have it: addresses.
    pub fn literal(&self, workload: Workload<'_>, name: &str) -> Option<String> {
        let variable = self.entry(workload, None, name)?;
        match variable.get("value").and_then(Node::text) {
            Some(text) => Some(text.to_owned()),
            None => self.word(&self.variable(workload, None, name)),
        }
    }

    fn entry(&self, workload: Workload<'_>, container: Option<&str>, name: &str) -> Option<&Node> {
        let text = |key| workload.target?.get(key)?.text();
        let kind = text("kind").unwrap_or("Deployment");
        let pod = self
            .find(kind, Some(workload.namespace), text("name")?)?
            .get("spec")?
            .get("template")?
            .get("spec")?;
        let container = container.or_else(|| text("envSourceContainerName"));
        let containers = pod.get("containers").map_or(&[][..], Node::items);
        let container = containers.iter().find(|candidate| {
            container.is_none_or(|name| candidate.get("name").and_then(Node::text) == Some(name))
        })?;
        let variables = container.get("env").map_or(&[][..], Node::items);
        variables
            .iter()
            .find(|variable| variable.get("name").and_then(Node::text) == Some(name))
    }
}
