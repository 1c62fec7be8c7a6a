//! The table of trigger metadata: every key, what it takes, its default and what it means.
//!
//! Where KEDA's own Kafka or Prometheus trigger has the key, the name and the default are KEDA's, so
//! that a trigger can be moved over unchanged. Defaults stand here and nowhere else.
//!
//! It does not say which keys exclude each other: that is `grpc::metadata`'s.

use super::Absent::{Default, Optional, Required};
use super::{Absent, Kind, MAX_RECORDS_PER_SECOND, Setting};

/// KEDA's suffix for a value taken from the environment of the workload. KEDA resolves the value
/// and leaves the suffix on the key.
pub const FROM_ENV: &str = "FromEnv";

/// More replicas than any cluster runs of one workload; it bounds what a typo can ask for.
const MAX_REPLICAS: u64 = 100_000;
/// The HPA's own bound on a stabilization window, so nobody has to learn another.
const MAX_WINDOW_SECONDS: u64 = 3_600;
/// A window, or a hold.
const WINDOW: Kind = Kind::integer(0, MAX_WINDOW_SECONDS);
/// A backlog that may take longer than a day needs no autoscaler.
const MAX_CATCH_UP_SECONDS: u64 = 86_400;

/// Every key, in the order of the documentation.
pub const METADATA: &[Setting] = &[
    own("cluster", Kind::Text, Optional).means(
        "A connection profile of the process configuration, by name. Either this or \
         `bootstrapServers` is required.",
    ),
    keda("bootstrapServers", Kind::Addresses, Optional).means(
        "Kafka's addresses. Any address of a profile selects that profile; others are plaintext, \
         get no credentials, and need `adhocClusters`.",
    ),
    keda("consumerGroup", Kind::Text, Required).means("The consumer group whose lag counts."),
    keda("topic", Kind::Topics, Optional).means(
        "One topic or a comma list. Without it and without `topicPattern`: the topics that the \
         group has committed to or been assigned.",
    ),
    own("topicPattern", Kind::Pattern, Optional).means(
        "A regular expression; those of the group's own topics count whose whole name matches. \
         Excludes `topic`.",
    ),
    keda("partitionLimitation", Kind::Partitions, Optional).means(
        "Only these partitions of each topic, such as `1,2,10-20`. Needs `topic` or \
         `topicPattern`.",
    ),
    keda("lagThreshold", Kind::records(1), Default("10")).means(
        "Records of lag that one replica is given, the sizing rule until the capacity of a \
         replica is known.",
    ),
    keda("activationLagThreshold", Kind::records(0), Default("0"))
        .means("Awake while the lag, in records, is above this."),
    keda(
        "offsetResetPolicy",
        Kind::Choice(&["latest", "earliest"]),
        Default("latest"),
    )
    .means(
        "What a partition without a committed offset means: `earliest` counts its whole log as \
         lag, `latest` none of it, though the target is awake.",
    ),
    keda(
        "scaleToZeroOnInvalidOffset",
        Kind::Boolean,
        Default("false"),
    )
    .means("A partition without a committed offset does not wake the target."),
    keda("allowIdleConsumers", Kind::Boolean, Default("false"))
        .means("Allow more replicas than partitions. Excludes `limitToPartitionsWithLag`."),
    keda("limitToPartitionsWithLag", Kind::Boolean, Default("false")).means(
        "Never more replicas than partitions that have lag. Needs `topic` or `topicPattern`; \
         cannot be used with `allowIdleConsumers`.",
    ),
    keda("excludePersistentLag", Kind::Boolean, Default("false")).means(
        "Leave a partition whose committed offset does not move out of the sizing; it still wakes \
         the target.",
    ),
    own(
        "isolationLevel",
        Kind::Choice(&["read_uncommitted", "read_committed"]),
        Default("read_uncommitted"),
    )
    .means("`read_committed` counts lag to the last stable offset, for consumers that read so."),
    own("prometheus", Kind::Text, Optional).means(
        "A Prometheus profile of the process configuration, by name: the inbound-rate baseline. \
         Excludes `serverAddress`.",
    ),
    keda("serverAddress", Kind::Url, Optional).means(
        "The address of Prometheus. The address of a profile selects that profile; others get no \
         credentials and need `adhocClusters`. Needs `query`.",
    ),
    keda("query", Kind::Text, Optional).means(
        "A query that answers one number: inbound records per second over all topics of the \
         target. Without it the profile's template is used.",
    ),
    keda(
        "activationThreshold",
        Kind::Decimal {
            from_zero: true,
            max: MAX_RECORDS_PER_SECOND,
        },
        Optional,
    )
    .means(
        "Awake while the inbound rate, in records per second, is above this. Where it is absent any \
         rate counts; with an `activationLagThreshold` only lag wakes, and who is awake stays so at a \
         rate that would pass it within 300 s.",
    ),
    own(
        "capacityPerReplica",
        Kind::Decimal {
            from_zero: false,
            max: MAX_RECORDS_PER_SECOND,
        },
        Optional,
    )
    .means(
        "Records per second that one replica can process when it is saturated. Learned where \
         absent. If replicas with a backlog do something else, that counts (CapacityMismatch).",
    ),
    own(
        "targetUtilization",
        Kind::Decimal {
            from_zero: false,
            max: 1.0,
        },
        Default("0.8"),
    )
    .means("The share of its capacity that a replica is planned to use."),
    own(
        "catchUpSeconds",
        Kind::integer(1, MAX_CATCH_UP_SECONDS),
        Default("120"),
    )
    .means("How fast a backlog is to be worked off."),
    own(
        "targetLagSeconds",
        Kind::integer(1, MAX_CATCH_UP_SECONDS),
        Optional,
    )
    .means("The oldest that a record may get before it is processed, where there is an objective."),
    own(
        "scaleDownStabilizationWindowSeconds",
        WINDOW,
        Default("300"),
    )
    .means("Fewer replicas only when nothing within this window asked for more."),
    own("scaleUpStabilizationWindowSeconds", WINDOW, Default("0")).means(
        "More replicas only when everything within this window asked for more; 0 is at once.",
    ),
    own("rebalanceHoldSeconds", WINDOW, Default("120"))
        .means("How long one rebalance may keep the lag it causes out of the sizing."),
    own("startupSeconds", WINDOW, Default("60"))
        .means("How long a new replica takes to join the group, until that is learned."),
    own(
        "maxStalenessSeconds",
        Kind::integer(1, MAX_WINDOW_SECONDS),
        Default("120"),
    )
    .means(
        "How long the last decision stands without fresh data; after that KEDA gets an error and \
         leaves the replicas alone. At least twice `poll.interval`.",
    ),
    own("minReplicas", Kind::integer(0, MAX_REPLICAS), Default("0")).means("Never ask for fewer."),
    own("maxReplicas", Kind::integer(1, MAX_REPLICAS), Optional).means(
        "Never ask for more. Without it the number of partitions is the limit, or none with \
         `allowIdleConsumers`.",
    ),
    own("calendarEvents", Kind::Events, Optional).means(
        "What is known ahead: a YAML list of events, each with `timezone`, `start` and `end` (cron \
         expressions of five fields; or `duration`, such as `2h`), and `desiredReplicas` or \
         `recordsPerSecond`, as in KEDA's cron trigger. Before an event starts its replicas are asked for, \
         and until it ends never fewer. See [calendar.md](calendar.md).",
    ),
    own("calendar", Kind::Choice(&["on", "off"]), Default("off")).means(
        "Whether surges that came at the same time on earlier days are prepared for. See \
         [calendar.md](calendar.md).",
    ),
    own("calendarTimeZone", Kind::Text, Default("UTC")).means(
        "The time zone whose days those are, by its IANA name: what comes at nine in Berlin comes at nine \
         all year.",
    ),
    own("calendarMaxReplicas", Kind::integer(1, MAX_REPLICAS), Optional).means(
        "Never ask for more because of earlier days. Without it `maxReplicas` and the number of partitions \
         are the limit.",
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

/// The row that `written` means, and whether it takes its value from the environment.
pub fn find(written: &str) -> Option<(&'static Setting, bool)> {
    if let Some(setting) = super::find(METADATA, written) {
        return Some((setting, false));
    }
    let base = written.strip_suffix(FROM_ENV)?;
    super::find(METADATA, base).map(|setting| (setting, true))
}

/// A key that only evenkeel has.
const fn own(key: &'static str, kind: Kind, absent: Absent) -> Setting {
    Setting::new(key, kind, absent)
}

/// A key that KEDA's own Kafka or Prometheus trigger has.
const fn keda(key: &'static str, kind: Kind, absent: Absent) -> Setting {
    let mut setting = Setting::new(key, kind, absent);
    setting.is_kedas = true;
    setting
}

const fn ignored(key: &'static str, meaning: &'static str) -> Setting {
    keda(key, Kind::Ignored, Optional).means(meaning)
}

const fn passed(key: &'static str, meaning: &'static str) -> Setting {
    keda(key, Kind::Passed, Optional).means(meaning)
}

const fn credential(key: &'static str, harmless: Option<&'static str>) -> Setting {
    keda(key, Kind::Credential { harmless }, Optional)
        .means("Credentials live in a connection profile of the process configuration.")
}
