//! Where a target's Kafka and Prometheus are, and whether the configuration lets it go there.
//!
//! A profile is meant by its name or by any of its addresses; either way its globs apply. Without
//! that second rule a ScaledObject could go around a profile's permissions by writing out its
//! addresses. Addresses of no profile are taken only with `adhocClusters`; a broker may have more
//! names than a profile lists, so permissions that have to hold need `adhocClusters: false`.

use std::collections::BTreeMap;

use super::error::{ErrorKind, MetadataError};
use super::fields::Fields;
use crate::config::{ClusterConfig, Config, Globs, PrometheusConfig};
use crate::control::target::{ClusterRef, PrometheusRef};
use crate::observe::TopicSelection;

/// The longest query, once the template is filled in: Prometheus gets it in a form body, people in
/// an error text.
const MAX_QUERY_BYTES: usize = 16 * 1_024;

/// Who asks, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The ScaledObject's namespace.
    pub namespace: &'a str,
    /// The consumer group, where it is known.
    pub consumer_group: Option<&'a str>,
    /// The topics.
    pub topics: &'a TopicSelection,
}

/// The target's Kafka; none where something is wrong, which is noted.
pub fn cluster(
    fields: &mut Fields<'_>,
    config: Option<&Config>,
    asker: Asker<'_>,
) -> Option<ClusterRef> {
    let name = fields.text("cluster");
    match (
        fields.is_given("cluster"),
        fields.is_given("bootstrapServers"),
    ) {
        (true, true) => {
            fields.errors.push(MetadataError::new(
                ErrorKind::Combination,
                "cluster",
                "excludes bootstrapServers: keep one of them",
            ));
            return None;
        }
        (false, false) => {
            fields.errors.push(MetadataError::new(
                ErrorKind::Missing,
                "cluster",
                "missing: give cluster, the name of a connection profile, or bootstrapServers",
            ));
            return None;
        }
        _ => {}
    }
    let Some(name) = name else {
        let addresses = fields.addresses()?;
        return of_addresses(fields, config, asker, addresses);
    };
    let Some(config) = config else {
        return Some(ClusterRef::Profile(name.to_owned()));
    };
    let Some(profile) = config.clusters.get(name) else {
        let open = open_to(&config.clusters, asker.namespace, |cluster| {
            &cluster.namespaces
        });
        let why = if open.is_empty() {
            "no such connection profile; none is open to this namespace".to_owned()
        } else {
            format!("no such connection profile; there are {}", open.join(", "))
        };
        let error = fields
            .about(ErrorKind::Invalid, "cluster", why)
            .meaning_one_of(name, open);
        fields.errors.push(error);
        return None;
    };
    permit_cluster(fields, "cluster", profile, asker);
    Some(ClusterRef::Profile(name.to_owned()))
}

fn of_addresses(
    fields: &mut Fields<'_>,
    config: Option<&Config>,
    asker: Asker<'_>,
    addresses: Vec<String>,
) -> Option<ClusterRef> {
    let Some(config) = config else {
        return Some(ClusterRef::Adhoc(addresses));
    };
    let profile = config.clusters.iter().find(|(_, profile)| {
        let mut servers = profile.bootstrap_servers.iter();
        servers.any(|server| addresses.contains(server))
    });
    if let Some((name, profile)) = profile {
        permit_cluster(fields, "bootstrapServers", profile, asker);
        return Some(ClusterRef::Profile(name.clone()));
    }
    if !config.adhoc_clusters {
        fields.errors.push(MetadataError::new(
            ErrorKind::Forbidden,
            "bootstrapServers",
            "addresses of no connection profile are not taken here (adhocClusters is false): \
             name a profile with cluster",
        ));
        return None;
    }
    Some(ClusterRef::Adhoc(addresses))
}

fn permit_cluster(fields: &mut Fields<'_>, key: &str, profile: &ClusterConfig, asker: Asker<'_>) {
    let mut forbid = |key: &str, why: String| {
        let error = fields.about(ErrorKind::Forbidden, key, why);
        fields.errors.push(error);
    };
    if !profile.namespaces.allows(asker.namespace) {
        let why = format!(
            "the connection profile is not open to namespace {}: ask for it in the profile's \
             namespaces",
            asker.namespace
        );
        forbid(key, why);
    }
    if let Some(group) = asker.consumer_group
        && !profile.consumer_groups.allows(group)
    {
        forbid(
            "consumerGroup",
            "the connection profile's consumerGroups do not allow it".to_owned(),
        );
    }
    match asker.topics {
        TopicSelection::Named(names) => {
            let refused: Vec<&str> = names
                .iter()
                .map(String::as_str)
                .filter(|name| !profile.topics.allows(name))
                .collect();
            if !refused.is_empty() {
                let why = format!(
                    "the connection profile's topics do not allow {}",
                    super::error::shorten(&refused.join(", "), 120)
                );
                forbid("topic", why);
            }
        }
        // Which topics these are turns out only at run time; letting them through would open
        // what the profile closes.
        TopicSelection::Pattern(_) | TopicSelection::OfGroup if !profile.topics.0.is_empty() => {
            forbid(
                "topic",
                "the connection profile opens only some topics: name yours".to_owned(),
            );
        }
        TopicSelection::Pattern(_) | TopicSelection::OfGroup => {}
    }
}

/// The target's inbound-rate baseline, if it has one; what is wrong is noted.
pub fn prometheus(
    fields: &mut Fields<'_>,
    config: Option<&Config>,
    asker: Asker<'_>,
) -> Option<PrometheusRef> {
    let query = fields.text("query");
    match (
        fields.is_given("prometheus"),
        fields.is_given("serverAddress"),
    ) {
        (true, true) => {
            fields.errors.push(MetadataError::new(
                ErrorKind::Combination,
                "prometheus",
                "excludes serverAddress: keep one of them",
            ));
            return None;
        }
        (false, false) => {
            if fields.is_given("query") {
                fields.errors.push(MetadataError::new(
                    ErrorKind::Combination,
                    "query",
                    "needs prometheus or serverAddress",
                ));
            }
            return None;
        }
        _ => {}
    }
    let (key, server) = match fields.text("prometheus") {
        Some(name) => ("prometheus", by_name(fields, config, asker, name)?),
        None => ("serverAddress", by_address(fields, config)?),
    };
    if let Server::Profile(_, profile) = &server
        && !profile.namespaces.allows(asker.namespace)
    {
        let why = format!(
            "the Prometheus profile is not open to namespace {}: ask for it in the profile's \
             namespaces",
            asker.namespace
        );
        let error = fields.about(ErrorKind::Forbidden, key, why);
        fields.errors.push(error);
        return None;
    }
    let (url, profile, template) = match server {
        Server::Profile(name, profile) => {
            (profile.url.clone(), Some(name), profile.query.as_deref())
        }
        Server::Adhoc(url) => (url, None, None),
        Server::NotKnownYet => return None,
    };
    let query = match (query, template) {
        (Some(query), _) => query.to_owned(),
        (None, Some(template)) => filled(fields, template, asker)?,
        (None, None) if fields.is_given("query") => return None,
        (None, None) => {
            fields.errors.push(MetadataError::new(
                ErrorKind::Missing,
                "query",
                format!(
                    "missing: {key} needs a query that answers inbound records per second, \
                     such as sum(rate(...))"
                ),
            ));
            return None;
        }
    };
    Some(PrometheusRef {
        url,
        profile,
        query,
    })
}

/// A Prometheus server as a trigger names it.
enum Server<'a> {
    Profile(String, &'a PrometheusConfig),
    Adhoc(String),
    NotKnownYet,
}

fn by_name<'c>(
    fields: &mut Fields<'_>,
    config: Option<&'c Config>,
    asker: Asker<'_>,
    name: &str,
) -> Option<Server<'c>> {
    let Some(config) = config else {
        return Some(Server::NotKnownYet);
    };
    if let Some(profile) = config.prometheus.get(name) {
        return Some(Server::Profile(name.to_owned(), profile));
    }
    let open = open_to(&config.prometheus, asker.namespace, |profile| {
        &profile.namespaces
    });
    let why = if open.is_empty() {
        "no such Prometheus profile; none is open to this namespace".to_owned()
    } else {
        format!("no such Prometheus profile; there are {}", open.join(", "))
    };
    let error = fields
        .about(ErrorKind::Invalid, "prometheus", why)
        .meaning_one_of(name, open);
    fields.errors.push(error);
    None
}

fn by_address<'c>(fields: &mut Fields<'_>, config: Option<&'c Config>) -> Option<Server<'c>> {
    let Some(address) = fields.text("serverAddress") else {
        return Some(Server::NotKnownYet);
    };
    let url = match read_url(address) {
        Ok(url) => url,
        Err(why) => {
            fields.invalid("serverAddress", why);
            return None;
        }
    };
    if let Some(config) = config {
        let profile = config
            .prometheus
            .iter()
            .find(|(_, profile)| profile.url.trim_end_matches('/') == url);
        if let Some((name, profile)) = profile {
            return Some(Server::Profile(name.clone(), profile));
        }
        if !config.adhoc_clusters {
            fields.errors.push(MetadataError::new(
                ErrorKind::Forbidden,
                "serverAddress",
                "an address of no Prometheus profile is not taken here (adhocClusters is false): \
                 name a profile with prometheus",
            ));
            return None;
        }
    }
    Some(Server::Adhoc(url))
}

/// Checks an address of Prometheus; without a slash at its end.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn read_url(address: &str) -> Result<String, &'static str> {
    let Some(rest) = address
        .strip_prefix("http://")
        .or_else(|| address.strip_prefix("https://"))
    else {
        return Err("has to begin with http:// or https://");
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return Err("carries credentials, which belong into a profile's files");
    }
    let printable = address.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || !printable || rest.contains(['?', '#']) {
        return Err("has to be an address such as http://prometheus:9090");
    }
    Ok(address.trim_end_matches('/').to_owned())
}

/// The profile's query template for this target. Names are put in as the inside of a PromQL string;
/// several topics become alternatives, for which the template has to match with `=~`.
fn filled(fields: &mut Fields<'_>, template: &str, asker: Asker<'_>) -> Option<String> {
    let topic = match asker.topics {
        TopicSelection::Named(names) => names.join("|"),
        TopicSelection::Pattern(pattern) => pattern
            .as_str()
            .strip_prefix("^(?:")
            .and_then(|pattern| pattern.strip_suffix(")$"))
            .unwrap_or(pattern.as_str())
            .to_owned(),
        TopicSelection::OfGroup => {
            if template.contains("{topic}") && !fields.is_given("topic") {
                fields.errors.push(MetadataError::new(
                    ErrorKind::Missing,
                    "topic",
                    "missing: the Prometheus profile's query asks for {topic}; name it, or give \
                     a query of your own",
                ));
                return None;
            }
            String::new()
        }
    };
    let group = asker.consumer_group?;
    let query = template
        .replace("{topic}", &promql_string(&topic))
        .replace("{consumerGroup}", &promql_string(group));
    if query.len() > MAX_QUERY_BYTES {
        fields.errors.push(MetadataError::new(
            ErrorKind::Invalid,
            "topic",
            "so many topics make the Prometheus profile's query too long: give a query of your own",
        ));
        return None;
    }
    Some(query)
}

/// `text` as the inside of a PromQL string in double quotes.
fn promql_string(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The names of the profiles that `namespace` may use.
fn open_to<'c, T>(
    profiles: &'c BTreeMap<String, T>,
    namespace: &str,
    namespaces: impl Fn(&T) -> &Globs,
) -> Vec<&'c str> {
    profiles
        .iter()
        .filter(|(_, profile)| namespaces(profile).allows(namespace))
        .map(|(name, _)| name.as_str())
        .collect()
}
