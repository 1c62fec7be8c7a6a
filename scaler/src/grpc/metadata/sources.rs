//! Where a target's Kafka and Prometheus are, and whether the configuration lets it go there.
//!
//! A profile is meant by its name or by any of its addresses; either way its globs apply. Without
//! that second rule a ScaledObject could go around a profile's permissions by writing out its
//! addresses. Where several Prometheus profiles have one address, the one that is open to the namespace
//! is meant. Addresses of no profile are taken only with `adhocClusters`; a broker may have more
//! names than a profile lists, so permissions that have to hold need `adhocClusters: false`.

use std::collections::BTreeMap;

use crate::config::{ClusterConfig, Config, Globs, PrometheusConfig};
use crate::control::target::{ClusterRef, PrometheusRef};
use crate::observe::{TopicSelection, reach};
use crate::schema::{Values, shorten};

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
    values: &mut Values,
    config: Option<&Config>,
    asker: Asker<'_>,
) -> Option<ClusterRef> {
    let name = values.text("cluster");
    match (
        values.is_given("cluster"),
        values.is_given("bootstrapServers"),
    ) {
        (true, true) => {
            values.wrong(
                "cluster",
                "cannot be used with bootstrapServers: keep one of them",
            );
            return None;
        }
        (false, false) => {
            let why =
                "missing: give cluster, the name of a connection profile, or bootstrapServers";
            values.wrong("cluster", why);
            return None;
        }
        _ => {}
    }
    let Some(name) = name else {
        let addresses = values.addresses("bootstrapServers")?;
        return of_addresses(values, config, asker, addresses);
    };
    if let Some(config) = config {
        let Some(profile) = config.clusters.get(&name) else {
            let open = open_to(&config.clusters, asker, |profile| &profile.namespaces);
            no_profile(values, "cluster", "connection", &name, &open);
            return None;
        };
        permit_cluster(values, "cluster", profile, asker);
    }
    Some(ClusterRef::Profile(name))
}

fn of_addresses(
    values: &mut Values,
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
        permit_cluster(values, "bootstrapServers", profile, asker);
        return Some(ClusterRef::Profile(name.clone()));
    }
    if !config.adhoc_clusters {
        let why = "addresses of no connection profile are not taken here (adhocClusters is false): \
             name a profile with cluster";
        values.forbidden("bootstrapServers", why);
        return None;
    }
    if let Some(closed) = addresses
        .iter()
        .find(|address| reach::names_closed(address))
    {
        values.forbidden("bootstrapServers", reach::refusal(closed));
        return None;
    }
    Some(ClusterRef::Adhoc(addresses))
}

fn permit_cluster(values: &mut Values, key: &str, profile: &ClusterConfig, asker: Asker<'_>) {
    if !profile.namespaces.allows(asker.namespace) {
        let why = format!(
            "the connection profile is not open to namespace {}: ask for it in the profile's \
             namespaces",
            asker.namespace
        );
        values.forbidden(key, why);
    }
    if let Some(group) = asker.consumer_group
        && !profile.consumer_groups.allows(group)
    {
        let why = "the connection profile's consumerGroups do not allow it";
        values.forbidden("consumerGroup", why);
    }
    match asker.topics {
        TopicSelection::Named(names) => {
            let names = names.iter().map(String::as_str);
            let refused: Vec<&str> = names.filter(|name| !profile.topics.allows(name)).collect();
            if !refused.is_empty() {
                let refused = shorten(&refused.join(", "), 120);
                let why = format!("the connection profile's topics do not allow {refused}");
                values.forbidden("topic", why);
            }
        }
        // Which topics these are turns out only at run time; letting them through would open
        // what the profile closes.
        TopicSelection::Pattern(_) | TopicSelection::OfGroup if !profile.topics.0.is_empty() => {
            let why = "the connection profile opens only some topics: name yours";
            values.forbidden("topic", why);
        }
        TopicSelection::Pattern(_) | TopicSelection::OfGroup => {}
    }
}

/// The target's inbound-rate baseline, if it has one; what is wrong is noted.
pub fn prometheus(
    values: &mut Values,
    config: Option<&Config>,
    asker: Asker<'_>,
) -> Option<PrometheusRef> {
    let query = values.text("query");
    match (
        values.is_given("prometheus"),
        values.is_given("serverAddress"),
    ) {
        (true, true) => {
            values.wrong(
                "prometheus",
                "cannot be used with serverAddress: keep one of them",
            );
            return None;
        }
        (false, false) => {
            if values.is_given("query") {
                values.wrong("query", "needs prometheus or serverAddress");
            }
            return None;
        }
        _ => {}
    }
    let (key, server) = match values.text("prometheus") {
        Some(name) => ("prometheus", by_name(values, config, asker, name)?),
        None => ("serverAddress", by_address(values, config, asker)?),
    };
    if let Server::Profile(_, profile) = &server
        && !profile.namespaces.allows(asker.namespace)
    {
        let why = format!(
            "the Prometheus profile is not open to namespace {}: ask for it in the profile's \
             namespaces",
            asker.namespace
        );
        values.forbidden(key, why);
        return None;
    }
    let (url, profile, template) = match server {
        Server::Profile(name, profile) => {
            (profile.url.clone(), Some(name), profile.query.as_deref())
        }
        Server::Adhoc(url) => (url, None, None),
    };
    let query = match (query, template) {
        (Some(query), _) => query,
        (None, Some(template)) => filled(values, template, asker)?,
        (None, None) if values.is_given("query") => return None,
        (None, None) => {
            let why = format!(
                "missing: {key} needs a query that answers inbound records per second, such as \
                 sum(rate(...))"
            );
            values.wrong("query", why);
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
}

/// The profile of this name; none where profiles are not known.
fn by_name<'c>(
    values: &mut Values,
    config: Option<&'c Config>,
    asker: Asker<'_>,
    name: String,
) -> Option<Server<'c>> {
    let profiles = &config?.prometheus;
    let Some(profile) = profiles.get(&name) else {
        let open = open_to(profiles, asker, |profile| &profile.namespaces);
        no_profile(values, "prometheus", "Prometheus", &name, &open);
        return None;
    };
    Some(Server::Profile(name, profile))
}

/// The profile that has the address, of several the one that is open to the namespace.
fn by_address<'c>(
    values: &mut Values,
    config: Option<&'c Config>,
    asker: Asker<'_>,
) -> Option<Server<'c>> {
    let url = values.url("serverAddress")?;
    if let Some(config) = config {
        let there = config.prometheus.iter();
        let there = there.filter(|(_, profile)| profile.url == url);
        let is_open = |one: &(&String, &PrometheusConfig)| one.1.namespaces.allows(asker.namespace);
        let open: Vec<_> = there.clone().filter(is_open).collect();
        if let Some((_, first)) = open.first()
            && open.iter().any(|(_, other)| other.access != first.access)
        {
            let names: Vec<&str> = open.iter().map(|(name, _)| name.as_str()).collect();
            let why = format!(
                "is the address of several Prometheus profiles ({}): name one of them with \
                 prometheus",
                names.join(", ")
            );
            values.wrong("serverAddress", why);
            return None;
        }
        if let Some((name, profile)) = open.first().copied().or_else(|| there.clone().next()) {
            return Some(Server::Profile(name.clone(), profile));
        }
        if !config.adhoc_clusters {
            let why = "an address of no Prometheus profile is not taken here (adhocClusters is false): \
                 name a profile with prometheus";
            values.forbidden("serverAddress", why);
            return None;
        }
    }
    if reach::names_closed(&url) {
        values.forbidden("serverAddress", reach::refusal("it"));
        return None;
    }
    Some(Server::Adhoc(url))
}

/// The profile's query template for this target. Names are put in as the inside of a PromQL string;
/// several topics become alternatives, for which the template has to match with `=~`.
fn filled(values: &mut Values, template: &str, asker: Asker<'_>) -> Option<String> {
    let topic = match asker.topics {
        TopicSelection::Named(names) => names.join("|"),
        TopicSelection::Pattern(pattern) => pattern
            .as_str()
            .strip_prefix("^(?:")
            .and_then(|pattern| pattern.strip_suffix(")$"))
            .unwrap_or(pattern.as_str())
            .to_owned(),
        TopicSelection::OfGroup => {
            if template.contains("{topic}") && !values.is_given("topic") {
                let why = "missing: the Prometheus profile's query asks for {topic}; name it, or give \
                     a query of your own";
                values.wrong("topic", why);
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
        let why =
            "so many topics make the Prometheus profile's query too long: give a query of your own";
        values.wrong("topic", why);
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

/// The names of the profiles that the asker's namespace may use.
fn open_to<'c, T>(
    profiles: &'c BTreeMap<String, T>,
    asker: Asker<'_>,
    namespaces: impl Fn(&T) -> &Globs,
) -> Vec<&'c str> {
    profiles
        .iter()
        .filter(|(_, profile)| namespaces(profile).allows(asker.namespace))
        .map(|(name, _)| name.as_str())
        .collect()
}

/// Refuses the name of a profile that does not exist; only those that are `open` are told.
fn no_profile(values: &mut Values, key: &str, what: &str, name: &str, open: &[&str]) {
    let there_are = if open.is_empty() {
        "none is open to this namespace".to_owned()
    } else {
        format!("there are {}", open.join(", "))
    };
    let why = format!("no such {what} profile; {there_are}");
    let error = values.about(key, why);
    values
        .errors
        .push(error.meaning_one_of(name, open.iter().copied()));
}
