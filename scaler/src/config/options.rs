//! The one table of the process configuration: every setting, what it takes, and its default.
//!
//! The loader reads it and docs/configuration.md is written from it. A `NAME` in a path stands for
//! a profile's name.

use std::time::Duration;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Where it stands in the file, with dots.
    pub path: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// The value where it is absent, as a user would write it.
    pub default: Option<&'static str>,
    /// What it does, for people.
    pub meaning: &'static str,
}

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `address:port` to listen on.
    Listen,
    /// `5s`, `500ms`, `2m`, `1h`, or plain seconds; both ends included.
    Duration {
        /// The shortest that makes sense.
        min: Duration,
        /// The longest that makes sense.
        max: Duration,
    },
    /// `true` or `false`.
    Boolean,
    /// A whole number; both ends included.
    Integer {
        /// The lowest that makes sense.
        min: u64,
        /// The highest that makes sense.
        max: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of `host:port`, at least one.
    Addresses,
    /// A list of globs; absent or empty it matches everything.
    Globs,
    /// An `http://` or `https://` address without credentials.
    Url,
    /// Any text.
    Text,
    /// Has a meaning in the design and is not built: an error rather than silence.
    NotYet,
}

const fn setting(
    path: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    meaning: &'static str,
) -> Setting {
    Setting {
        path,
        kind,
        default,
        meaning,
    }
}

const fn duration(min_millis: u64, max_secs: u64) -> Kind {
    Kind::Duration {
        min: Duration::from_millis(min_millis),
        max: Duration::from_secs(max_secs),
    }
}

const fn integer(min: u64, max: u64) -> Kind {
    Kind::Integer { min, max }
}

/// A duration as a user would write it.
fn written(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

/// Every setting, in the order of the documentation.
pub const SETTINGS: &[Setting] = &[
    setting(
        "grpc.listen",
        Kind::Listen,
        Some("0.0.0.0:9090"),
        "Where KEDA calls.",
    ),
    // KEDA resolves the service's name again only after a connection has changed; ten minutes is
    // how long a new replica may go without calls, and costs one reconnection in ten minutes.
    setting(
        "grpc.maxConnectionAge",
        duration(1_000, 86_400),
        Some("10m"),
        "Connections are asked to close and streams end with OK after this, so that KEDA finds new \
         replicas.",
    ),
    // Calls take milliseconds and at most 2 s, streams end at once: what is open after 5 s is a
    // client that went away. It has to be well below the 30 s that Kubernetes gives a pod.
    setting(
        "grpc.drain",
        duration(0, 300),
        Some("5s"),
        "How long a shutdown waits for calls in flight.",
    ),
    setting(
        "grpc.tls",
        Kind::NotYet,
        None,
        "TLS towards KEDA. Not supported yet.",
    ),
    setting(
        "admin.listen",
        Kind::Listen,
        Some("0.0.0.0:8080"),
        "Where people and Prometheus look.",
    ),
    setting(
        "poll.interval",
        duration(100, 60),
        Some("2s"),
        "How often Kafka is asked about targets that are awake. Prometheus is asked every 5 s at most.",
    ),
    setting(
        "poll.asleepInterval",
        duration(100, 60),
        Some("1s"),
        "How often targets that are asleep with a push stream open are looked at (log end offsets \
         only).",
    ),
    // A tick asks a coordinator and then the leaders, one after the other: while a broker is dead,
    // the ticks of its cluster take two timeouts instead of one interval, 4 s, which every window of
    // the engine can stretch to. Shorter would take a broker's long pause for its death.
    setting(
        "poll.requestTimeout",
        duration(100, 60),
        Some("2s"),
        "How long one request to a broker or to Prometheus may take.",
    ),
    setting(
        "clusters.NAME.bootstrapServers",
        Kind::Addresses,
        None,
        "Kafka's addresses, `host:port`. Required.",
    ),
    setting(
        "clusters.NAME.namespaces",
        Kind::Globs,
        None,
        "Globs of the namespaces whose ScaledObjects may use the profile. All where absent.",
    ),
    setting(
        "clusters.NAME.topics",
        Kind::Globs,
        None,
        "Globs of the topics that may be read through it; with globs a trigger has to name its \
         topics. All where absent.",
    ),
    setting(
        "clusters.NAME.consumerGroups",
        Kind::Globs,
        None,
        "Globs of the consumer groups that may be read through it. All where absent.",
    ),
    setting(
        "clusters.NAME.tls",
        Kind::NotYet,
        None,
        "TLS towards Kafka. Not supported yet.",
    ),
    setting(
        "clusters.NAME.sasl",
        Kind::NotYet,
        None,
        "Authentication towards Kafka. Not supported yet.",
    ),
    setting(
        "prometheus.NAME.url",
        Kind::Url,
        None,
        "The base address of Prometheus. Required.",
    ),
    setting(
        "prometheus.NAME.query",
        Kind::Text,
        None,
        "A query template with `{topic}` and `{consumerGroup}` for triggers that give no query of \
         their own. Several topics become alternatives, for which it has to match with `=~`.",
    ),
    setting(
        "prometheus.NAME.namespaces",
        Kind::Globs,
        None,
        "Globs of the namespaces whose ScaledObjects may use the profile. All where absent.",
    ),
    setting(
        "prometheus.NAME.bearerTokenFile",
        Kind::NotYet,
        None,
        "A bearer token towards Prometheus. Not supported yet.",
    ),
    setting(
        "prometheus.NAME.basic",
        Kind::NotYet,
        None,
        "Basic authentication towards Prometheus. Not supported yet.",
    ),
    setting(
        "prometheus.NAME.sigv4",
        Kind::NotYet,
        None,
        "AWS signatures towards Prometheus. Not supported yet.",
    ),
    setting(
        "prometheus.NAME.tls",
        Kind::NotYet,
        None,
        "TLS options towards Prometheus. Not supported yet.",
    ),
    // True, because it is what makes the first ScaledObject work without any configuration, and it
    // gives nobody a credential; a cluster shared by tenants sets it to false.
    setting(
        "adhocClusters",
        Kind::Boolean,
        Some("true"),
        "Whether a trigger may name addresses of Kafka or Prometheus that are no profile: \
         plaintext, no credentials. Set it to false where the permissions of profiles have to \
         hold: a broker may have other names than its profile lists.",
    ),
    setting(
        "limits.targets",
        integer(1, 100_000),
        Some("2000"),
        "Targets at once; the next one gets RESOURCE_EXHAUSTED.",
    ),
    setting(
        "limits.targetIdle",
        duration(1_000, 86_400),
        Some("10m"),
        "Targets that nobody asks for are forgotten after this.",
    ),
    setting(
        "limits.adhocClusters",
        integer(1, 10_000),
        Some("32"),
        "Clusters at once that are no profile.",
    ),
    // The metadata of a trigger is some 2 KiB; a query of several screens and every key at its
    // longest stay below 64 KiB. Times grpcConcurrency it bounds what those calls hold.
    setting(
        "limits.grpcMessageBytes",
        integer(1_024, 16_777_216),
        Some("65536"),
        "Bytes of one call's request.",
    ),
    // KEDA calls one after the other a ScaledObject; at its start it asks about all of them at
    // once, and each may wait 2 s for its first observation. So the default is above the targets'.
    setting(
        "limits.grpcConcurrency",
        integer(1, 100_000),
        Some("2048"),
        "Calls in flight over all connections; the next one gets RESOURCE_EXHAUSTED. Open streams, \
         health checks and GetMetricSpec take no part. Keep it above the number of ScaledObjects.",
    ),
    setting(
        "limits.kafkaFrameBytes",
        integer(65_536, 1_073_741_824),
        Some("33554432"),
        "Bytes of one answer from a broker.",
    ),
    // A power of two, because that is how the memory grows. 2,000 targets with full histories are
    // 110 MiB, which the chart's limit of 256 MiB has room for.
    setting(
        "limits.historyPoints",
        integer(1, 100_000),
        Some("1024"),
        "Decisions remembered a target, for the charts: every one of the last 10 minutes, before \
         that one every 10 s and each that changed something. 1024 are 2 hours where little \
         changes at the default interval, and 56 KiB a target.",
    ),
    setting(
        "limits.prometheusConcurrency",
        integer(1, 1_000),
        Some("8"),
        "Prometheus queries in flight.",
    ),
    setting(
        "log.format",
        Kind::Choice(&["text", "json"]),
        Some("text"),
        "How log lines look.",
    ),
];

// === impl Kind ===

impl Kind {
    /// What would be right, for error texts and the documentation.
    pub fn expected(&self) -> String {
        match self {
            Self::Listen => "address:port, such as 0.0.0.0:9090".to_owned(),
            Self::Duration { min, max } => {
                let (min, max) = (written(*min), written(*max));
                format!("a duration such as 5s, 500ms or 2m, from {min} to {max}")
            }
            Self::Boolean => "true or false".to_owned(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Addresses => "a list of host:port".to_owned(),
            Self::Globs => "a list of globs".to_owned(),
            Self::Url => "an http:// or https:// address".to_owned(),
            Self::Text => "text".to_owned(),
            Self::NotYet => "absent".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_stands_in_the_table_once() {
        for setting in SETTINGS {
            let count = SETTINGS
                .iter()
                .filter(|other| other.path.eq_ignore_ascii_case(setting.path))
                .count();
            assert_eq!(count, 1, "{}", setting.path);
        }
    }
}
