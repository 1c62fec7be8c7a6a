//! The loader, by example.

use std::time::Duration;

use super::*;
use crate::config::access::{PasswordMechanism, SaslConfig, TlsConfig};

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, Errors> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::read(text, Some("evenkeel.yaml".to_owned()), variables)
}

/// Checks that exactly these errors come, in this order.
fn check_errors(text: &str, variables: &[(&str, &str)], expected: &[&str]) {
    let errors = read(text, variables).unwrap_err();
    let errors: Vec<String> = errors.errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors, expected);
}

#[test]
fn nothing_given_is_all_defaults() {
    let config = read("", &[]).unwrap();
    assert_eq!(config.grpc.listen, "0.0.0.0:9090".parse().unwrap());
    assert_eq!(config.admin.listen, "0.0.0.0:8080".parse().unwrap());
    assert_eq!(config.poll.interval, Duration::from_secs(2));
    assert_eq!(config.poll.asleep_interval, Duration::from_secs(1));
    assert_eq!(config.poll.request_timeout, Duration::from_secs(2));
    assert!(config.adhoc_clusters);
    assert!(!config.log_json);
    assert_eq!(config.limits.targets, 2_000);
}

#[test]
fn a_file_fills_every_section() {
    let config = read(
        "\
grpc: {listen: 127.0.0.1:0, drain: 500ms}
poll: {interval: 2, requestTimeout: 1.5s}
clusters:
  Orders:
    bootstrapServers: [b:9092, a:9092]
    namespaces: [team-*]
  one: {bootstrapServers: 'x:1, y:2'}
prometheus:
  main: {url: 'http://p:9090/', query: 'rate(x{topic=\"{topic}\"}[1m])'}
adhocClusters: false
log: {format: json}
",
        &[],
    )
    .unwrap();
    assert_eq!(config.grpc.drain, Duration::from_millis(500));
    assert_eq!(config.poll.interval, Duration::from_secs(2));
    assert_eq!(config.poll.request_timeout, Duration::from_millis(1_500));
    let orders = &config.clusters["Orders"];
    assert_eq!(orders.bootstrap_servers, ["a:9092", "b:9092"]);
    assert!(orders.namespaces.allows("team-a"));
    assert!(!orders.namespaces.allows("other"));
    assert!(orders.topics.allows("anything"));
    assert_eq!(config.clusters["one"].bootstrap_servers, ["x:1", "y:2"]);
    assert_eq!(config.prometheus["main"].url, "http://p:9090");
    assert!(!config.adhoc_clusters);
    assert!(config.log_json);
}

#[test]
fn variables_lie_over_the_file_whatever_their_underscores() {
    let config = read(
        "poll: {interval: 2s}\nclusters: {my-Orders: {bootstrapServers: [a:1]}}\n",
        &[
            ("EVENKEEL__POLL__INTERVAL", "3s"),
            ("EVENKEEL__POLL__ASLEEP_INTERVAL", "200ms"),
            ("EVENKEEL__LIMITS__GRPCCONCURRENCY", "7"),
            ("EVENKEEL__ADHOC_CLUSTERS", "False"),
            (
                "EVENKEEL__CLUSTERS__MY_ORDERS__BOOTSTRAP_SERVERS",
                "b:1,c:2",
            ),
            ("EVENKEEL__CLUSTERS__NEW_ONE__BOOTSTRAPSERVERS", "n:1"),
            ("EVENKEEL__LOG__FORMAT", ""),
            ("EVENKEEL_PORT", "ignored: one underscore"),
            ("PATH", "ignored"),
        ],
    )
    .unwrap();
    assert_eq!(config.poll.interval, Duration::from_secs(3));
    assert_eq!(config.poll.asleep_interval, Duration::from_millis(200));
    assert_eq!(config.limits.grpc_concurrency, 7);
    assert!(!config.adhoc_clusters);
    assert_eq!(
        config.clusters["my-Orders"].bootstrap_servers,
        ["b:1", "c:2"]
    );
    assert_eq!(config.clusters["new-one"].bootstrap_servers, ["n:1"]);
    assert!(!config.log_json);
}

#[test]
fn all_errors_come_at_once_each_with_its_place() {
    check_errors(
        "\
grpc:
  listn: 0.0.0.0:1
  drain: 2 days
polll: {interval: 5s}
clusters:
  empty: {}
  orders:
    bootstrapServers: [nonsense]
    topics: ['a[']
    sasl: {mechanism: PLAIN, passwordFile: /x}
prometheus:
  main: {url: 'ftp://x'}
adhocClusters: perhaps
",
        &[("EVENKEEL__POLL__INTREVAL", "1s"), ("EVENKEEL__GRPC", "x")],
        &[
            "line 2: grpc.listn: unknown key, did you mean listen?",
            "line 3: grpc.drain = \"2 days\": has to be a duration such as 5s, 500ms or 2m, from 0s \
             to 300s",
            "line 4: polll: unknown key, did you mean poll?",
            "line 6: clusters.empty.bootstrapServers: missing: the addresses of Kafka, `host:port`",
            "line 7: clusters.orders.sasl.usernameFile: is missing",
            "line 8: clusters.orders.bootstrapServers = \"nonsense\": has to be host:port, such as \
             kafka:9092",
            "line 9: clusters.orders.topics = \"a[\": is no glob: unclosed character class; missing \
             ']'",
            "line 10: clusters.orders.sasl.mechanism = \"PLAIN\": sends what proves who the scaler \
             is readable without TLS: give the profile tls, or say sasl.allowPlaintext: true",
            "line 12: prometheus.main.url = \"ftp://x\": has to begin with http:// or https://",
            "line 13: adhocClusters = \"perhaps\": has to be true or false",
            "EVENKEEL__GRPC: grpc: is a section, not a setting",
            "EVENKEEL__POLL__INTREVAL: poll.intreval: unknown key, did you mean interval?",
        ],
    );
}

#[test]
fn wrong_shapes_are_named() {
    check_errors("[1, 2]\n", &[], &["line 1: has to be a mapping"]);
    check_errors(
        "grpc: 5\npoll: {interval: {a: b}}\nlimits: {targets: [1, 2]}\n",
        &[],
        &[
            "line 1: grpc: has to be a mapping",
            "line 2: poll.interval: has to be a duration such as 5s, 500ms or 2m, from 100ms to \
             60s, not a mapping",
            "line 3: limits.targets = \"1,2\": has to be a whole number from 1 to 100000",
        ],
    );
    check_errors(
        "clusters: {'a b': {bootstrapServers: [a:1]}}\n",
        &[],
        &[
            "line 1: clusters.a b: is no profile name: letters, digits, dots, dashes and \
             underscores, at most 63",
        ],
    );
}

#[test]
fn a_glob_that_is_none_is_named() {
    check_errors(
        "clusters: {a: {bootstrapServers: [a:1], topics: ['x[']}}\n",
        &[],
        &["line 1: clusters.a.topics = \"x[\": is no glob: unclosed character class; missing ']'"],
    );
}

#[test]
fn what_is_no_yaml_is_one_error_with_its_line() {
    let errors = read("grpc: [\n", &[]).unwrap_err();
    assert_eq!(errors.errors.len(), 1, "{errors}");
    assert!(matches!(errors.errors[0].place, Place::Line(_)), "{errors}");
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let missing = tempfile::tempdir().unwrap().path().join("none.yaml");
    let errors = Config::load(Some(&missing), std::iter::empty()).unwrap_err();
    assert!(errors.to_string().contains("cannot be read"), "{errors}");
}

#[test]
fn a_profile_says_how_a_cluster_is_reached() {
    let config = read(
        "\
clusters:
  system: {bootstrapServers: 'a:1', tls: {enabled: true}}
  off: {bootstrapServers: 'b:1', tls: {enabled: false, ca: /ca}}
  mutual: {bootstrapServers: 'c:1', tls: {ca: /ca, cert: /c, key: /k, serverName: Kafka.Example}}
  plain:
    bootstrapServers: d:1
    sasl: {mechanism: PLAIN, usernameFile: /u, passwordFile: /p, allowPlaintext: true}
",
        &[],
    )
    .unwrap();
    let tls = |name: &str| config.clusters[name].tls.clone();
    assert_eq!(tls("system"), Some(TlsConfig::default()));
    assert_eq!(tls("off"), None);
    let mutual = tls("mutual").unwrap();
    assert_eq!(mutual.server_name.as_deref(), Some("kafka.example"));
    assert_eq!(mutual.key, Some("/k".into()));
    assert_eq!(
        config.clusters["plain"].sasl,
        Some(SaslConfig::Password {
            mechanism: PasswordMechanism::Plain,
            username_file: "/u".into(),
            password_file: "/p".into(),
        })
    );
}

#[test]
fn tls_towards_keda_needs_a_certificate_and_its_key() {
    let config = read("grpc: {tls: {cert: /c, key: /k, clientCa: /ca}}", &[]).unwrap();
    let tls = config.grpc.tls.unwrap();
    assert_eq!((tls.cert, tls.client_ca), ("/c".into(), Some("/ca".into())));
    assert_eq!(read("", &[]).unwrap().grpc.tls, None);
    check_errors(
        "grpc: {tls: {clientCa: /ca}}",
        &[],
        &["grpc.tls.cert: is missing", "grpc.tls.key: is missing"],
    );
}

#[test]
fn credentials_of_a_prometheus_go_by_tls_and_are_of_one_kind() {
    check_errors(
        "\
prometheus:
  a: {url: 'http://p:1', bearerTokenFile: /t}
  b: {url: 'http://q:1', basic: {usernameFile: /u}}
  c: {url: 'https://r:1', tls: {ca: /ca}, bearerTokenFile: /t, sigv4: {enabled: true}}
  d: {url: 'http://r:1', headers: [X-Scope-OrgID=a], queryParameters: [dedup=true]}
  e: {url: 'https://r:1', headers: [Authorization=hush, host=x, x-a=1], headerFiles: [X-A=/a]}
  f: {url: 'http://r:1', headerFiles: [X-A=/a, 'X-B=hush'], queryParameters: [step=1]}
  g: {url: 'https://r:1', sigv4: {}}
  h: {url: 'http://r:1', sigv4: {awsRegion: a}, headerFiles: [x-amz-date=/a]}
",
        &[],
        &[
            "line 2: prometheus.a.url = \"http://p:1\": is asked without TLS, which shows the \
             profile's credentials: give an https:// address, or say allowPlaintext: true",
            "line 3: prometheus.b.basic.passwordFile: is missing",
            "line 3: prometheus.b.url = \"http://q:1\": is asked without TLS, which shows the \
             profile's credentials: give an https:// address, or say allowPlaintext: true",
            "line 4: prometheus.c.bearerTokenFile: bearerTokenFile and sigv4 exclude each other: \
             keep one of them",
            "line 6: prometheus.e.headers: Authorization holds a secret: give it by headerFiles, as \
             a file",
            "line 6: prometheus.e.headers: host is set by the client itself",
            "line 6: prometheus.e.headerFiles: has X-A twice",
            "line 7: prometheus.f.headerFiles: has to be name=/path, the whole path of a file, from \
             / on",
            "line 7: prometheus.f.queryParameters: step is what the scaler itself says",
            "line 8: prometheus.g.sigv4: is empty: give what it needs, or remove it",
            "line 9: prometheus.h.headerFiles: x-amz-date is set by the profile's login: remove one \
             of them",
            "line 9: prometheus.h.url = \"http://r:1\": is asked without TLS, which shows the \
             profile's credentials: give an https:// address, or say allowPlaintext: true",
        ],
    );
}

#[test]
fn what_does_not_go_together_in_a_profile_is_refused() {
    let profile = |lines: &str| format!("clusters: {{m: {{bootstrapServers: 'a:1', {lines}}}}}\n");
    for (lines, errors) in [
        (
            "tls: {}",
            &["line 1: clusters.m.tls: is empty: give what it needs, or remove it"][..],
        ),
        (
            "tls: {cert: /c, keyPasswordFile: /p}",
            &[
                "line 1: clusters.m.tls.cert: is of use only with tls.key",
                "line 1: clusters.m.tls.keyPasswordFile: is of use only with tls.key",
            ],
        ),
        (
            "tls: {ca: /ca, insecureSkipVerify: true}",
            &[
                "line 1: clusters.m.tls.insecureSkipVerify = \"true\": accepts every certificate, so \
                 tls.ca has no effect: remove one of them",
            ],
        ),
        (
            "tls: {ca: hunter2}",
            &["line 1: clusters.m.tls.ca: has to be the whole path of a file, from / on"],
        ),
        (
            "tls: {serverName: 'a b'}",
            &["line 1: clusters.m.tls.serverName = \"a b\": has to be a host's name or address"],
        ),
        (
            "sasl: {usernameFile: /u}",
            &["line 1: clusters.m.sasl.mechanism: is missing"],
        ),
        (
            "sasl: {mechanism: OAUTHBEARER, tokenFile: /t, scopes: [a], extensions: [auth=x]}",
            &[
                "line 1: clusters.m.sasl.mechanism = \"OAUTHBEARER\": sends what proves who the \
                 scaler is readable without TLS: give the profile tls, or say \
                 sasl.allowPlaintext: true",
                "line 1: clusters.m.sasl.extensions: auth is the token's own name",
                "line 1: clusters.m.sasl.scopes = \"a\": is of no use beside the other settings of \
                 sasl: remove it",
            ],
        ),
        (
            "tls: {enabled: true}, sasl: {mechanism: OAUTHBEARER, tokenEndpoint: 'http://t'}",
            &[
                "line 1: clusters.m.sasl.clientIdFile: is missing",
                "line 1: clusters.m.sasl.clientSecretFile: is missing",
                "line 1: clusters.m.sasl.tokenEndpoint = \"http://t\": sends the client's secret \
                 readable: give an https:// address, or say sasl.allowPlaintext: true",
            ],
        ),
        (
            "sasl: {mechanism: GSSAPI, usernameFile: /u, passwordFile: /p}",
            &[
                "line 1: clusters.m.sasl.mechanism = \"GSSAPI\": has to be one of PLAIN, \
                 SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, AWS_MSK_IAM",
            ],
        ),
    ] {
        check_errors(&profile(lines), &[], errors);
    }
}

#[test]
fn nothing_that_may_be_secret_is_repeated() {
    let errors = read(
        "\
clusters:
  main:
    bootstrapServers: ['user:hunter1@kafka:9092']
    sasl: {password: hunter2}
    passwrod: hunter3
prometheus:
  main: {url: 'http://user:hunter4@p', bearerTokenFile: hunter5, headers: ['a b=hunter9']}
  other: {url: 'http://p/?token=hunter6'}
",
        &[
            ("EVENKEEL__CLUSTERS__MAIN__SASL__PASSWORD", "hunter7"),
            ("EVENKEEL__PROMETHEUS__MAIN__BASIC", "hunter8"),
        ],
    )
    .unwrap_err();
    assert_eq!(errors.errors.len(), 9, "{errors:#}");
    assert!(
        !format!("{errors:#} {errors:?}").contains("hunter"),
        "{errors:#}"
    );
}

/// Whatever a row takes, it is not a list with this in it.
#[test]
fn every_row_of_the_table_is_read() {
    for setting in SETTINGS.iter().filter(|setting| setting.kind.is_read()) {
        let key = setting.key.replace(NAME, "some");
        let depth = key.matches('.').count();
        let file = format!(
            "{{{}: ['[']{}}}",
            key.replace('.', ": {"),
            "}".repeat(depth)
        );
        let errors = read(&file, &[]).unwrap_err().errors;
        assert!(
            errors.iter().any(|error| error.key == key),
            "{key}: {errors:?}"
        );
    }
}

#[test]
fn triggers_may_name_addresses_until_there_is_a_profile() {
    for (text, expected) in [
        ("", true),
        ("prometheus: {p: {url: 'http://p:1'}}", false),
        ("clusters: {a: {bootstrapServers: [a:1]}}", false),
        (
            "adhocClusters: true\nclusters: {a: {bootstrapServers: [a:1]}}",
            true,
        ),
        ("adhocClusters: false", false),
    ] {
        assert_eq!(read(text, &[]).unwrap().adhoc_clusters, expected, "{text}");
    }
}

#[test]
fn an_empty_glob_matches_nothing_and_an_empty_list_all() {
    let config = read(
        "clusters: {a: {bootstrapServers: [a:1], topics: '', namespaces: []}}\n",
        &[],
    )
    .unwrap();
    assert!(!config.clusters["a"].topics.allows("orders"));
    assert!(config.clusters["a"].namespaces.allows("shop"));
}

#[test]
fn a_terminal_gets_a_line_each() {
    let errors = read("grpc: 5\nlog: {format: xml}\n", &[]).unwrap_err();
    assert_eq!(
        format!("{errors:#}"),
        "2 errors in the configuration evenkeel.yaml:\n  line 1: grpc: has to be a mapping\n  line \
         2: log.format = \"xml\": has to be one of text, json"
    );
}
