//! The one table of trigger metadata: every key, what it takes, its default and what it means.
//!
//! The parser reads it, docs/configuration.md is written from it, and a test fails when the two
//! drift apart. Defaults stand here and nowhere else; they are written as a user would write them
//! and go through the same reader. Where KEDA's own Kafka or Prometheus trigger has the key, the
//! name and the default are KEDA's, so that a trigger can be moved over unchanged.
//!
//! It does not say which keys exclude each other: that is `metadata`'s.

/// One key of the trigger metadata.
#[derive(Clone, Copy, Debug)]
pub struct MetadataOption {
    /// The key, camelCase.
    pub key: &'static str,
    /// What it takes, and what becomes of it.
    pub kind: Kind,
    /// The value where the key is absent, as a user would write it.
    pub default: Option<&'static str>,
    /// Whose key it is.
    pub origin: Origin,
    /// What it does, for people.
    pub meaning: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A comma list of topic names.
    Topics,
    /// A regular expression that the whole name has to match.
    Pattern,
    /// A comma list of `host:port`.
    Addresses,
    /// A comma list of partition numbers and ranges (`1,2,10-20`).
    Partitions,
    /// An `http://` or `https://` address without credentials.
    Url,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// What Go's `strconv.ParseBool` takes, because that is what KEDA's triggers take.
    Boolean,
    /// A whole number, both ends included.
    Integer {
        /// The lowest that makes sense.
        min: u64,
        /// The highest that makes sense.
        max: u64,
    },
    /// A decimal number.
    Decimal {
        /// The lowest that makes sense; itself allowed only where `from_min` says so.
        min: f64,
        /// Whether `min` itself is allowed.
        from_min: bool,
        /// The highest that makes sense, included.
        max: f64,
    },
    /// For KEDA, not for the scaler.
    Passed,
    /// Accepted so that a moved trigger works; without effect.
    Ignored,
    /// Refused: credentials live in a connection profile. The word, where there is one, is what
    /// KEDA understands as none; it is accepted.
    Credential {
        /// The value that means no credentials at all.
        harmless: Option<&'static str>,
    },
}

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// KEDA's Kafka or Prometheus trigger has it under this name.
    Keda,
    /// Only evenkeel has it.
    Evenkeel,
}

/// A number of records may be as large as an offset can be.
const MAX_RECORDS: u64 = i64::MAX.unsigned_abs();
/// More replicas than any cluster runs of one workload; it bounds what a typo can ask for.
pub const MAX_REPLICAS: u64 = 100_000;
/// A rate beyond any cluster's: it catches bytes given as records and other slips of units.
const MAX_RECORDS_PER_SECOND: f64 = 1e12;
/// The HPA's own bound on a stabilization window, so nobody has to learn another.
const MAX_WINDOW_SECONDS: u64 = 3_600;
/// A backlog that may take longer than a day needs no autoscaler.
const MAX_CATCH_UP_SECONDS: u64 = 86_400;

/// Every key, in the order of the documentation.
pub const OPTIONS: &[MetadataOption] = &[
    own(
        "cluster",
        Kind::Text,
        None,
        "A connection profile of the process configuration, by name. Either this or \
         `bootstrapServers` is required.",
    ),
    keda(
        "bootstrapServers",
        Kind::Addresses,
        None,
        "Kafka's addresses. Any address of a profile selects that profile; others are plaintext, \
         get no credentials, and need `adhocClusters`.",
    ),
    keda(
        "consumerGroup",
        Kind::Text,
        None,
        "The consumer group. Required.",
    ),
    keda(
        "topic",
        Kind::Topics,
        None,
        "One topic or a comma list. Without it and without `topicPattern`: the topics that the \
         group has committed to or been assigned.",
    ),
    own(
        "topicPattern",
        Kind::Pattern,
        None,
        "A regular expression; those of the group's own topics count whose whole name matches. \
         Excludes `topic`.",
    ),
    keda(
        "partitionLimitation",
        Kind::Partitions,
        None,
        "Only these partitions of each topic, such as `1,2,10-20`. Needs `topic` or \
         `topicPattern`.",
    ),
    keda(
        "lagThreshold",
        Kind::Integer {
            min: 1,
            max: MAX_RECORDS,
        },
        Some("10"),
        "Records of lag that one replica is given, the sizing rule until the capacity of a \
         replica is known.",
    ),
    keda(
        "activationLagThreshold",
        Kind::Integer {
            min: 0,
            max: MAX_RECORDS,
        },
        Some("0"),
        "Awake while the lag, in records, is above this.",
    ),
    keda(
        "offsetResetPolicy",
        Kind::Choice(&["latest", "earliest"]),
        Some("latest"),
        "What a partition without a committed offset means: `earliest` counts its whole log as \
         lag, `latest` none of it, though the target is awake.",
    ),
    keda(
        "scaleToZeroOnInvalidOffset",
        Kind::Boolean,
        Some("false"),
        "A partition without a committed offset does not wake the target.",
    ),
    keda(
        "allowIdleConsumers",
        Kind::Boolean,
        Some("false"),
        "Allow more replicas than partitions. Excludes `limitToPartitionsWithLag`.",
    ),
    keda(
        "limitToPartitionsWithLag",
        Kind::Boolean,
        Some("false"),
        "Never more replicas than partitions that have lag. Needs `topic` or `topicPattern`; \
         excludes `allowIdleConsumers`.",
    ),
    keda(
        "excludePersistentLag",
        Kind::Boolean,
        Some("false"),
        "Leave a partition whose committed offset does not move out of the sizing; it still \
         wakes the target.",
    ),
    own(
        "isolationLevel",
        Kind::Choice(&["read_uncommitted", "read_committed"]),
        Some("read_uncommitted"),
        "`read_committed` counts lag to the last stable offset, for consumers that read so.",
    ),
    own(
        "prometheus",
        Kind::Text,
        None,
        "A Prometheus profile of the process configuration, by name: the inbound-rate baseline. \
         Excludes `serverAddress`.",
    ),
    keda(
        "serverAddress",
        Kind::Url,
        None,
        "The address of Prometheus. The address of a profile selects that profile; others get no \
         credentials and need `adhocClusters`. Needs `query`.",
    ),
    keda(
        "query",
        Kind::Text,
        None,
        "A query that answers one number: inbound records per second over all topics of the \
         target. Without it the profile's template is used.",
    ),
    keda(
        "activationThreshold",
        Kind::Decimal {
            min: 0.0,
            from_min: true,
            max: MAX_RECORDS_PER_SECOND,
        },
        Some("0"),
        "Awake while the inbound rate, in records per second, is above this.",
    ),
    own(
        "capacityPerReplica",
        Kind::Decimal {
            min: 0.0,
            from_min: false,
            max: MAX_RECORDS_PER_SECOND,
        },
        None,
        "Records per second that one replica can process when it is saturated. Learned where absent. If \
         none does it, the backlog is sized by what they do (CapacityMismatch).",
    ),
    own(
        "targetUtilization",
        Kind::Decimal {
            min: 0.0,
            from_min: false,
            max: 1.0,
        },
        Some("0.8"),
        "The share of its capacity that a replica is planned to use.",
    ),
    own(
        "catchUpSeconds",
        Kind::Integer {
            min: 1,
            max: MAX_CATCH_UP_SECONDS,
        },
        Some("120"),
        "How fast a backlog is to be worked off.",
    ),
    own(
        "targetLagSeconds",
        Kind::Integer {
            min: 1,
            max: MAX_CATCH_UP_SECONDS,
        },
        None,
        "The oldest that a record may get before it is processed, where there is an objective.",
    ),
    own(
        "scaleDownStabilizationWindowSeconds",
        Kind::Integer {
            min: 0,
            max: MAX_WINDOW_SECONDS,
        },
        Some("300"),
        "Fewer replicas only when nothing within this window asked for more.",
    ),
    own(
        "scaleUpStabilizationWindowSeconds",
        Kind::Integer {
            min: 0,
            max: MAX_WINDOW_SECONDS,
        },
        Some("0"),
        "More replicas only when everything within this window asked for more; 0 is at once.",
    ),
    own(
        "rebalanceHoldSeconds",
        Kind::Integer {
            min: 0,
            max: MAX_WINDOW_SECONDS,
        },
        Some("120"),
        "How long one rebalance may keep the lag it causes out of the sizing.",
    ),
    own(
        "startupSeconds",
        Kind::Integer {
            min: 0,
            max: MAX_WINDOW_SECONDS,
        },
        Some("60"),
        "How long a new replica takes to join the group, until that is learned.",
    ),
    own(
        "maxStalenessSeconds",
        Kind::Integer {
            min: 1,
            max: MAX_WINDOW_SECONDS,
        },
        Some("120"),
        "How long the last decision stands without fresh data; after that KEDA gets an error and \
         leaves the replicas alone. At least twice `poll.interval`.",
    ),
    own(
        "minReplicas",
        Kind::Integer {
            min: 0,
            max: MAX_REPLICAS,
        },
        Some("0"),
        "Never ask for fewer.",
    ),
    own(
        "maxReplicas",
        Kind::Integer {
            min: 1,
            max: MAX_REPLICAS,
        },
        None,
        "Never ask for more. Without it the number of partitions is the limit, or none with \
         `allowIdleConsumers`.",
    ),
    ignored(
        "version",
        "Kafka's protocol versions are negotiated with each broker.",
    ),
    ignored(
        "fullMetadata",
        "Only the metadata of the topics in use is asked for.",
    ),
    ignored(
        "ensureEvenDistributionOfPartitions",
        "The busiest replica decides, which is even wherever it can be.",
    ),
    passed("scalerAddress", "Where KEDA finds evenkeel."),
    passed("enableTLS", "TLS between KEDA and evenkeel."),
    passed("unsafeSsl", "TLS between KEDA and evenkeel."),
    passed("caCert", "TLS between KEDA and evenkeel."),
    passed("tlsClientCert", "TLS between KEDA and evenkeel."),
    passed("tlsClientKey", "TLS between KEDA and evenkeel."),
    passed("tlsCertFile", "TLS between KEDA and evenkeel."),
    credential("sasl", Some("none")),
    credential("tls", Some("disable")),
    credential("username", None),
    credential("password", None),
    credential("ca", None),
    credential("cert", None),
    credential("key", None),
    credential("keyPassword", None),
    credential("saslTokenProvider", None),
    credential("scopes", None),
    credential("oauthTokenEndpointUri", None),
    credential("oauthExtensions", None),
    credential("keytab", None),
    credential("realm", None),
    credential("kerberosConfig", None),
    credential("kerberosServiceName", None),
    credential("kerberosDisableFAST", None),
    credential("awsRegion", None),
    credential("awsRoleArn", None),
    credential("awsAccessKeyID", None),
    credential("awsSecretAccessKey", None),
    credential("awsSessionToken", None),
    credential("authModes", None),
    credential("bearerToken", None),
    credential("customHeaders", None),
];

/// The option called `key`, if there is one.
pub fn find(key: &str) -> Option<&'static MetadataOption> {
    OPTIONS.iter().find(|option| option.key == key)
}

const fn own(
    key: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    meaning: &'static str,
) -> MetadataOption {
    MetadataOption {
        key,
        kind,
        default,
        origin: Origin::Evenkeel,
        meaning,
    }
}

const fn keda(
    key: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    meaning: &'static str,
) -> MetadataOption {
    MetadataOption {
        key,
        kind,
        default,
        origin: Origin::Keda,
        meaning,
    }
}

const fn ignored(key: &'static str, meaning: &'static str) -> MetadataOption {
    keda(key, Kind::Ignored, None, meaning)
}

const fn passed(key: &'static str, meaning: &'static str) -> MetadataOption {
    keda(key, Kind::Passed, None, meaning)
}

const fn credential(key: &'static str, harmless: Option<&'static str>) -> MetadataOption {
    keda(
        key,
        Kind::Credential { harmless },
        None,
        "Credentials live in a connection profile of the process configuration.",
    )
}

// === impl Kind ===

impl Kind {
    /// What would be right, for error texts and the documentation.
    pub fn expected(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Topics => "a comma list of topic names".to_owned(),
            Self::Pattern => "a regular expression".to_owned(),
            Self::Addresses => "a comma list of host:port".to_owned(),
            Self::Partitions => "partition numbers and ranges such as 1,2,10-20".to_owned(),
            Self::Url => "an http:// or https:// address".to_owned(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Boolean => "true or false".to_owned(),
            Self::Integer { min, max } if *max == MAX_RECORDS => {
                format!("a whole number, {min} or more")
            }
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Decimal { min, from_min, max } => {
                let low = if *from_min {
                    format!("{min} or more")
                } else {
                    format!("above {min}")
                };
                if *max >= MAX_RECORDS_PER_SECOND {
                    format!("a number {low}")
                } else {
                    format!("a number {low} and at most {max}")
                }
            }
            Self::Passed | Self::Ignored | Self::Credential { .. } => "anything".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_in_the_table_once() {
        for option in OPTIONS {
            let count = OPTIONS
                .iter()
                .filter(|other| other.key.eq_ignore_ascii_case(option.key))
                .count();
            assert_eq!(count, 1, "{}", option.key);
        }
    }

    #[test]
    fn what_takes_no_value_has_no_default() {
        for option in OPTIONS {
            let takes_a_value = !matches!(
                option.kind,
                Kind::Passed | Kind::Ignored | Kind::Credential { .. }
            );
            assert!(takes_a_value || option.default.is_none(), "{}", option.key);
        }
    }
}
