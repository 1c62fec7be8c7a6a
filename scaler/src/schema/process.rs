//! The table of the process configuration: every setting, what it takes, its default and what it means.
//!
//! Defaults stand here and nowhere else.

use super::Absent::{Default, Optional, Required};
use super::{Absent, Kind, Setting};

/// Every setting, in the order of the documentation.
pub const SETTINGS: &[Setting] = &[
    setting("grpc.listen", Kind::Listen, Default("0.0.0.0:9090")).means("Where KEDA calls."),
    // KEDA resolves the service's name again only after a connection has changed; ten minutes is
    // how long a new replica may go without calls, and costs one reconnection in ten minutes.
    setting(
        "grpc.maxConnectionAge",
        Kind::duration(1_000, 86_400),
        Default("10m"),
    )
    .means(
        "Connections are asked to close and streams end with OK after this, so that KEDA finds \
         new replicas.",
    ),
    // Calls take milliseconds and at most 2 s, streams end at once: what is open after 5 s is a
    // client that went away. It has to be well below the 30 s that Kubernetes gives a pod.
    setting("grpc.drain", Kind::duration(0, 300), Default("5s"))
        .means("How long a shutdown waits for calls in flight."),
    setting("grpc.tls.cert", Kind::File, Optional).means(
        "The server's certificate with its chain (PEM). Where it is there, the port speaks TLS and \
         nothing else. It is read again when it changes.",
    ),
    setting("grpc.tls.key", Kind::File, Optional)
        .means("Its private key (PEM: PKCS#8, PKCS#1 or SEC1)."),
    setting("grpc.tls.keyPasswordFile", Kind::File, Optional)
        .means("The password of an encrypted key (PKCS#8)."),
    setting("grpc.tls.clientCa", Kind::File, Optional).means(
        "Certificates (PEM) of the CAs whose clients are let in: mutual TLS. Everybody \
         where absent.",
    ),
    setting("admin.listen", Kind::Listen, Default("0.0.0.0:8080"))
        .means("Where people and Prometheus look."),
    setting("admin.tokenFile", Kind::File, Optional).means(
        "Holds the token, of 16 characters or more, that the page and the API are shown for: sent as \
         a bearer token, or in a browser as the password with any name. Probes and `/metrics` stay \
         open. Everybody sees everything where absent.",
    ),
    setting("poll.interval", Kind::duration(100, 60), Default("2s")).means(
        "How often Kafka is asked about targets that are awake. Prometheus is asked every 5 s at \
         most.",
    ),
    setting(
        "poll.asleepInterval",
        Kind::duration(100, 60),
        Default("1s"),
    )
    .means(
        "How often targets that are asleep with a push stream open are looked at (log end offsets \
         only).",
    ),
    // A tick asks a coordinator and then the leaders, one after the other: while a broker is dead,
    // the ticks of its cluster take two timeouts instead of one interval, 4 s, which every window of
    // the engine can stretch to. Shorter would take a broker's long pause for its death.
    setting(
        "poll.requestTimeout",
        Kind::duration(100, 60),
        Default("2s"),
    )
    .means("How long one request to a broker or to Prometheus may take."),
    setting("clusters.NAME.bootstrapServers", Kind::Addresses, Required)
        .means("The addresses of Kafka, `host:port`."),
    setting("clusters.NAME.namespaces", Kind::Globs, Optional).means(
        "Globs of the namespaces whose ScaledObjects may use the profile. All where absent.",
    ),
    setting("clusters.NAME.topics", Kind::Globs, Optional).means(
        "Globs of the topics that may be read through it; with globs a trigger has to name its \
         topics. All where absent.",
    ),
    setting("clusters.NAME.consumerGroups", Kind::Globs, Optional)
        .means("Globs of the consumer groups that may be read through it. All where absent."),
    setting("clusters.NAME.tls.enabled", Kind::Boolean, Optional)
        .means("Speak TLS with Kafka. True where another setting of `tls` is there."),
    setting("clusters.NAME.tls.ca", Kind::File, Optional).means(
        "Certificates (PEM) of the CAs that are trusted, and no others. The system's where \
         absent.",
    ),
    setting("clusters.NAME.tls.cert", Kind::File, Optional)
        .means("The client's certificate with its chain (PEM), for brokers that ask for one."),
    setting("clusters.NAME.tls.key", Kind::File, Optional)
        .means("Its private key (PEM: PKCS#8, PKCS#1 or SEC1)."),
    setting("clusters.NAME.tls.keyPasswordFile", Kind::File, Optional)
        .means("The password of an encrypted key (PKCS#8)."),
    setting("clusters.NAME.tls.serverName", Kind::Host, Optional).means(
        "The name that the brokers' certificates have to have. That of the address where absent.",
    ),
    setting(
        "clusters.NAME.tls.insecureSkipVerify",
        Kind::Boolean,
        Default("false"),
    )
    .means(
        "Accept every certificate (KEDA's `unsafeSsl`): whoever stands between can read and change \
         everything. For trying out only.",
    ),
    setting(
        "clusters.NAME.sasl.mechanism",
        Kind::Choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"]),
        Optional,
    )
    .means(
        "How the scaler authenticates itself; AWS_MSK_IAM is Amazon MSK's own, by IAM. Required where another setting of `sasl` is there.",
    ),
    setting("clusters.NAME.sasl.usernameFile", Kind::File, Optional)
        .means("Holds the user's name; a line's end after it does not count."),
    setting("clusters.NAME.sasl.passwordFile", Kind::File, Optional)
        .means("Holds the password; a line's end after it does not count."),
    setting(
        "clusters.NAME.sasl.allowPlaintext",
        Kind::Boolean,
        Default("false"),
    )
    .means(
        "Send a password, a token or a client's secret over a connection without TLS (PLAIN, \
         OAUTHBEARER and its token endpoint).",
    ),
    setting("clusters.NAME.sasl.tokenFile", Kind::File, Optional)
        .means("Holds the token of OAUTHBEARER; whoever writes it renews it."),
    setting("clusters.NAME.sasl.tokenEndpoint", Kind::Url, Optional).means(
        "The identity provider that gives the token of OAUTHBEARER for `clientIdFile` and \
         `clientSecretFile` (grant type `client_credentials`). It is renewed at 80 % of its life.",
    ),
    setting("clusters.NAME.sasl.clientIdFile", Kind::File, Optional)
        .means("Holds the client's id for `tokenEndpoint`."),
    setting("clusters.NAME.sasl.clientSecretFile", Kind::File, Optional)
        .means("Holds the client's secret for `tokenEndpoint`."),
    setting("clusters.NAME.sasl.scopes", Kind::Words, Optional)
        .means("The scopes that are asked for at `tokenEndpoint`."),
    setting("clusters.NAME.sasl.extensions", Kind::Pairs, Optional).means(
        "Extensions sent with the token, such as `logicalCluster=lkc-1` for Confluent Cloud.",
    ),
    setting("clusters.NAME.sasl.ca", Kind::File, Optional).means(
        "Certificates (PEM) of the CAs that are trusted at `tokenEndpoint`. The system's \
         where absent.",
    ),
    setting("clusters.NAME.sasl.awsRegion", Kind::Text, Optional).means(
        "The region of AWS_MSK_IAM. That of the brokers' names, or of the pod's environment, where \
         absent.",
    ),
    setting("clusters.NAME.sasl.awsRoleArn", Kind::Text, Optional).means(
        "A role that is assumed for AWS_MSK_IAM, with the keys that the pod has (Pod Identity, \
         IRSA, instance role, environment, profile).",
    ),
    setting("prometheus.NAME.url", Kind::Url, Required).means("The base address of Prometheus."),
    setting("prometheus.NAME.query", Kind::Text, Optional).means(
        "A query template with `{topic}` and `{consumerGroup}` for triggers that give no query of \
         their own. Several topics become alternatives, for which it has to match with `=~`.",
    ),
    setting("prometheus.NAME.namespaces", Kind::Globs, Optional).means(
        "Globs of the namespaces whose ScaledObjects may use the profile. All where absent.",
    ),
    setting("prometheus.NAME.bearerTokenFile", Kind::File, Optional)
        .means("Holds a bearer token; whoever writes it renews it."),
    setting("prometheus.NAME.basic.usernameFile", Kind::File, Optional)
        .means("Holds the user's name of basic authentication."),
    setting("prometheus.NAME.basic.passwordFile", Kind::File, Optional)
        .means("Holds the password of basic authentication."),
    setting("prometheus.NAME.allowPlaintext", Kind::Boolean, Default("false"))
        .means("Send a token, a password, a header of a file or a signature to an http:// address."),
    setting("prometheus.NAME.headers", Kind::Pairs, Optional).means(
        "Headers of every request, such as `X-Scope-OrgID=team-a` for a tenant of Mimir or Thanos. \
         For values that are no secrets.",
    ),
    setting("prometheus.NAME.headerFiles", Kind::NamedFiles, Optional)
        .means("Headers whose values files hold, such as `X-Api-Key=/var/run/prometheus/key`."),
    setting("prometheus.NAME.queryParameters", Kind::Pairs, Optional)
        .means("Parameters of every request, such as `dedup=true` for Thanos."),
    setting("prometheus.NAME.sigv4.enabled", Kind::Boolean, Optional).means(
        "Sign requests for Amazon Managed Prometheus with the keys that the pod has (Pod Identity, \
         IRSA, instance role, environment, profile). True where another setting of `sigv4` is there.",
    ),
    setting("prometheus.NAME.sigv4.awsRegion", Kind::Text, Optional).means(
        "The region of the signature. That of the address, or of the pod's environment, where \
         absent.",
    ),
    setting("prometheus.NAME.sigv4.awsRoleArn", Kind::Text, Optional)
        .means("A role that is assumed for it."),
    setting("prometheus.NAME.tls.enabled", Kind::Boolean, Optional).means(
        "Use the settings of `tls`. True where one is there; an https:// address is always asked by \
         TLS.",
    ),
    setting("prometheus.NAME.tls.ca", Kind::File, Optional).means(
        "Certificates (PEM) of the CAs that are trusted, and no others. The system's where \
         absent.",
    ),
    setting("prometheus.NAME.tls.cert", Kind::File, Optional)
        .means("The client's certificate with its chain (PEM)."),
    setting("prometheus.NAME.tls.key", Kind::File, Optional)
        .means("Its private key (PEM: PKCS#8, PKCS#1 or SEC1)."),
    setting("prometheus.NAME.tls.keyPasswordFile", Kind::File, Optional)
        .means("The password of an encrypted key (PKCS#8)."),
    setting(
        "prometheus.NAME.tls.insecureSkipVerify",
        Kind::Boolean,
        Default("false"),
    )
    .means("Accept every certificate. For trying out only."),
    // Without profiles it is what makes the first ScaledObject work without any configuration, and it
    // gives nobody a credential. Who writes profiles has said where the scaler may go.
    setting("adhocClusters", Kind::Boolean, Optional).means(
        "Whether a trigger may name addresses of Kafka or Prometheus that are no profile: \
         plaintext, no credentials, and never a link-local address or a cloud's metadata. Where \
         absent, true as long as there is no profile of either kind, and false from the first one \
         on: a broker may have other names than its profile lists.",
    ),
    setting("limits.targets", Kind::integer(1, 100_000), Default("2000"))
        .means("Targets at once; the next one gets RESOURCE_EXHAUSTED."),
    setting(
        "limits.targetIdle",
        Kind::duration(1_000, 86_400),
        Default("10m"),
    )
    .means("Targets that nobody asks for are forgotten after this."),
    setting(
        "limits.adhocClusters",
        Kind::integer(1, 10_000),
        Default("32"),
    )
    .means("Clusters at once that are no profile."),
    // The metadata of a trigger is some 2 KiB; a query of several screens and every key at its
    // longest stay below 64 KiB. Times grpcConcurrency it bounds what those calls hold.
    setting(
        "limits.grpcMessageBytes",
        Kind::integer(1_024, 16_777_216),
        Default("65536"),
    )
    .means("Bytes of one call's request."),
    // KEDA calls one after the other a ScaledObject; at its start it asks about all of them at
    // once, and each may wait 2 s for its first observation. So the default is above the targets'.
    setting(
        "limits.grpcConcurrency",
        Kind::integer(1, 100_000),
        Default("2048"),
    )
    .means(
        "Calls in flight over all connections; the next one gets RESOURCE_EXHAUSTED. Open streams, \
         health checks and GetMetricSpec take no part. Keep it above the number of ScaledObjects.",
    ),
    setting(
        "limits.kafkaFrameBytes",
        Kind::integer(65_536, 1_073_741_824),
        Default("33554432"),
    )
    .means("Bytes of one answer from a broker."),
    // A power of two, because that is how the memory grows.
    setting(
        "limits.historyPoints",
        Kind::integer(1, 100_000),
        Default("1024"),
    )
    .means(
        "Decisions remembered a target, for the charts: every one of the last 10 minutes, before \
         that one every 10 s and each that changed something. 1024 are 2 hours where little \
         changes at the default interval, and some 70 KiB of memory a target.",
    ),
    setting(
        "limits.prometheusConcurrency",
        Kind::integer(1, 1_000),
        Default("8"),
    )
    .means("Prometheus queries in flight."),
    setting("kubernetes.enabled", Kind::Boolean, Optional).means(
        "Whether the cluster is asked what it knows. Where absent, true in a pod that has the token of \
         a service account, and where `kubernetes.kubeconfig` is given.",
    ),
    setting("kubernetes.kubeconfig", Kind::File, Optional)
        .means("How the cluster is reached from outside. As a pod does where absent."),
    setting("kubernetes.namespace", Kind::Name, Optional).means(
        "The namespace of the Lease and of the ConfigMaps. That of the pod, or of the kubeconfig's \
         context, where absent.",
    ),
    setting("kubernetes.workloads", Kind::Boolean, Default("true")).means(
        "Watch ScaledObjects and what they scale: replicas are read then, and not guessed from the \
         addresses of a group's members, and bounds, tolerance and pauses are known. Needs list and \
         watch of scaledobjects, deployments and statefulsets, and get of the scale of other kinds.",
    ),
    setting("kubernetes.events", Kind::Boolean, Default("true")).means(
        "Write decisions that change something, and findings that need a person, as Events on the \
         ScaledObject. Needs create and patch of events.",
    ),
    setting("leader.lease", Kind::Name, Optional).means(
        "The Lease by which one of several replicas of the scaler is chosen to answer; the others hand \
         their calls on to it. Where absent this replica answers, and there must be no other.",
    ),
    setting("leader.identity", Kind::Text, Optional).means(
        "Who this replica is, for people. The host's name, which is the pod's, where absent.",
    ),
    setting("leader.host", Kind::Host, Optional).means(
        "Where the others reach this replica's `grpc.listen`, such as the pod's address. Required \
         with `leader.lease`.",
    ),
    // Renewed every third of it. A leader that was killed is followed by another one after at most
    // this and a third; one that cannot renew stops answering a sixth before it ends. At 6 s that is
    // 8 s without an answer, and one request to the API server a second.
    setting("leader.leaseDuration", Kind::duration(2_000, 60), Default("6s")).means(
        "How long a Lease lasts that is not renewed. All replicas need the same.",
    ),
    setting("state.configMaps", Kind::Name, Optional).means(
        "What was learned of each target (capacity, starts, pauses, and the days of a calendar) is kept over restarts in \
         ConfigMaps whose names begin so. It is forgotten with the process where neither this nor \
         `state.path` is there.",
    ),
    setting("state.path", Kind::File, Optional)
        .means("The same in files of this folder, where there is no cluster."),
    setting(
        "log.format",
        Kind::Choice(&["text", "json"]),
        Default("text"),
    )
    .means("How log lines look."),
];

const fn setting(key: &'static str, kind: Kind, absent: Absent) -> Setting {
    Setting::new(key, kind, absent)
}
