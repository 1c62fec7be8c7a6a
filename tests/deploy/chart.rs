//! The charts: linted, rendered over a matrix of values, validated, and refused where the values are
//! wrong.

use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_scaler::config::Config;
use expect_test::expect_file;
use serde_json::Value;

use super::chart_tool::{assert_valid, files, lint, render, root};
use super::values::{CHARTS, CONSUMER, SCALER, documented, without};

/// The values that `chart` is rendered with.
fn cases(chart: &str) -> Vec<PathBuf> {
    files(&format!("deploy/helm/cases/{chart}"), "yaml")
}

/// What came of them.
fn committed(chart: &str) -> Vec<PathBuf> {
    files(&format!("deploy/helm/rendered/{chart}"), "yaml")
}

/// Writes each text as a file of values.
fn written(folder: &Path, texts: &[String]) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let path = folder.join(format!("{index}.yaml"));
        std::fs::write(&path, text).unwrap();
        paths.push(path);
    }
    paths
}

#[test]
fn the_linter_has_nothing_to_say() {
    let all = CHARTS.map(|chart| lint(chart, &cases(chart)));
    for linted in all.into_iter().flatten() {
        // The one hint that remains: there is no icon, which would be an address on the web.
        let messages: Vec<&String> = linted
            .messages
            .iter()
            .filter(|message| !message.contains("icon is recommended"))
            .collect();
        assert_eq!(messages, Vec::<&String>::new(), "{}", linted.values);
    }
}

#[test]
fn what_is_rendered_is_what_is_committed() {
    for chart in CHARTS {
        for rendered in render(chart, &cases(chart)) {
            assert_eq!(rendered.error, "", "{}", rendered.values);
            let name = Path::new(&rendered.values).file_name().unwrap();
            let path = root().join("deploy/helm/rendered").join(chart).join(name);
            let notes: String = rendered
                .notes
                .lines()
                .map(|line| format!("# {line}\n").replace("# \n", "#\n"))
                .collect();
            let text = format!("{}---\n# What helm says then:\n{notes}", rendered.manifests);
            expect_file![path].assert_eq(&text);
        }
        assert_eq!(cases(chart).len(), committed(chart).len());
    }
}

#[test]
fn what_is_rendered_is_valid() {
    assert_valid(&CHARTS.map(committed).concat());
}

#[test]
fn the_process_takes_every_configuration_that_is_rendered() {
    for rendered in render(SCALER, &cases(SCALER)) {
        let mut seen = 0;
        for text in rendered.manifests.split("---\n# Source: ") {
            let (_, manifest) = text.split_once('\n').unwrap_or_default();
            let Ok(manifest) = serde_saphyr::from_str::<Value>(manifest) else {
                continue;
            };
            if let Some(config) = manifest.pointer("/data/evenkeel.yaml") {
                let config = config.as_str().unwrap();
                // The pod's own address, which the chart takes from the kubelet.
                let host = ("EVENKEEL__LEADER__HOST".to_owned(), "10.0.0.1".to_owned());
                let host = config.contains("leader:").then_some(host);
                Config::read(config, Some(rendered.values.clone()), host.into_iter()).unwrap();
                seen += 1;
            }
        }
        assert_eq!(seen, 1, "{}", rendered.values);
    }
}

#[test]
fn evenkeel_check_finds_only_what_the_cases_set_on_purpose() {
    let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .arg("check")
        .args(committed(CONSUMER))
        .output()
        .unwrap();
    // One case sets every value, also those that rule nothing beside a minReplicaCount of 2, and an
    // authentication, of which check says what it is for.
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = "3 evenkeel triggers in 3 ScaledObjects, 0 errors, 3 warnings\n";
    assert!(said.ends_with(expected), "{said}");
    for key in [
        "pollingInterval",
        "cooldownPeriod",
        "triggers[0].authenticationRef",
    ] {
        assert!(said.contains(&format!("warning: {key}: ")), "{said}");
    }
}

#[test]
fn every_value_changes_what_is_rendered() {
    for chart in CHARTS {
        let cases = cases(chart);
        let mut variants = Vec::new();
        let mut paths = Vec::new();
        for (case, file) in cases.iter().enumerate() {
            let text = std::fs::read_to_string(file).unwrap();
            let values: Value = serde_saphyr::from_str(&text).unwrap();
            for value in documented(chart) {
                if let Some(variant) = without(&values, &value.path) {
                    variants.push(variant.to_string());
                    paths.push((case, value.path));
                }
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let without_it = render(chart, &written(folder.path(), &variants));
        let with_it = render(chart, &cases);
        let used: Vec<&String> = paths
            .iter()
            .zip(&without_it)
            .filter(|((case, _), rendered)| {
                let whole = &with_it[*case];
                (&rendered.manifests, &rendered.error) != (&whole.manifests, &whole.error)
            })
            .map(|((_, path), _)| path)
            .collect();
        let unused: Vec<String> = documented(chart)
            .into_iter()
            .map(|value| value.path)
            .filter(|path| !used.contains(&path))
            .collect();
        assert_eq!(unused, Vec::<String>::new(), "{chart}: no case shows them");
    }
}

/// Each text is refused with these words.
fn check_refused(chart: &str, cases: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<String> = cases.iter().map(|(text, _)| (*text).to_owned()).collect();
    let all = render(chart, &written(folder.path(), &texts));
    for ((text, expected), rendered) in cases.iter().zip(all) {
        assert!(
            rendered.error.contains(expected),
            "{text}: {expected:?} is not in {:?}",
            rendered.error
        );
    }
}

#[test]
fn wrong_values_of_the_consumer_are_refused_by_name() {
    let image =
        "image: {repository: x}\nkafka: {topic: t, bootstrapServers: ['a:1']}\nsink: simulate\n";
    let with = |more: &str| format!("{image}{more}");
    let texts = [
        ("", "kafka.bootstrapServers is required"),
        (
            "kafka: {topic: t, bootstrapServers: ['a:1']}",
            "image.repository is required",
        ),
        (
            "image: {repository: x}\nkafka: {bootstrapServers: ['a:1']}",
            "kafka.topic is required",
        ),
        (
            "image: {repository: x}\nkafka: {topic: t, bootstrapServers: ['a:1']}",
            "sink is required",
        ),
        ("sink: file", "at '/sink'"),
        ("replicas: 2", "additional properties 'replicas'"),
        ("env: {BATCH_SIZE: 100}", "at '/env/BATCH_SIZE'"),
        ("env: {TOPIC: other}", "invalid propertyName 'TOPIC'"),
        ("scaledObject: {type: kafka}", "at '/scaledObject/type'"),
    ];
    check_refused(CONSUMER, &texts);
    for (more, expected) in [
        (
            "scaledObject: {metadata: {catchUpSecond: '1'}}",
            "'catchUpSecond'",
        ),
        ("scaledObject: {metadata: {password: x}}", "'password'"),
        ("scaledObject: {metadata: {topic: x}}", "'topic'"),
        (
            "scaledObject: {metadata: {capacityPerReplica: 100}}",
            "at '/scaledObject/metadata/capacityPerReplica'",
        ),
    ] {
        check_refused(CONSUMER, &[(&with(more), expected)]);
    }
}

#[test]
fn wrong_values_of_the_scaler_are_refused_by_name() {
    let cases = [
        ("", "image.repository is required"),
        ("image: {repo: x}", "additional properties 'repo'"),
        ("replicas: 9", "at '/replicas'"),
        (
            "{image: {repository: x}, config: {leader: {lease: mine}}}",
            "kubernetes.rights.lease writes config.leader.lease: give one of them",
        ),
        (
            "{image: {repository: x}, config: {state: {path: /kept}}}",
            "kubernetes.rights.configMaps writes config.state",
        ),
        (
            "{image: {repository: x}, serviceAccount: {create: false}}",
            "serviceAccount.name is required where serviceAccount.create is false",
        ),
        ("image: {digest: latest}", "at '/image/digest'"),
        (
            "{image: {repository: x}, grpcTls: {certManager: true}}",
            "grpcTls.issuerRef is required",
        ),
        (
            "{image: {repository: x}, grpcTls: {secret: s}, config: {grpc: {tls: {cert: /c, key: /k}}}}",
            "grpcTls writes config.grpc.tls: give one of them",
        ),
        (
            "serviceMonitor: {enabled: 'yes'}",
            "at '/serviceMonitor/enabled'",
        ),
        (
            "serviceMonitor: {interval: 15}",
            "at '/serviceMonitor/interval'",
        ),
        ("listenAddress: localhost", "at '/listenAddress'"),
        (
            "labels: {app.kubernetes.io/name: x}",
            "invalid propertyName 'app.kubernetes.io/name'",
        ),
        (
            "prometheusRule: {alerts: {EvenkeelFrosen: {enabled: false}}}",
            "additional properties 'EvenkeelFrosen'",
        ),
        (
            "prometheusRule: {alerts: {EvenkeelFrozen: {threshold: 3}}}",
            "additional properties 'threshold'",
        ),
        ("runbookBaseUrl: docs", "at '/runbookBaseUrl'"),
        (
            "readinessProbe: {httpGet: {path: /}}",
            "additional properties 'httpGet'",
        ),
        ("podAnnotations: {count: 1}", "at '/podAnnotations/count'"),
        (
            "config: {pol: {interval: 5s}}",
            "additional properties 'pol'",
        ),
        (
            "config: {poll: {interval: never}}",
            "at '/config/poll/interval'",
        ),
        (
            "config: {limits: {targets: 0}}",
            "at '/config/limits/targets'",
        ),
        (
            "config: {grpc: {listen: '0.0.0.0:1'}}",
            "additional properties 'listen'",
        ),
        (
            "config: {grpc: {tls: {certificate: x}}}",
            "additional properties 'certificate'",
        ),
        (
            "config: {clusters: {main: {}}}",
            "missing property 'bootstrapServers'",
        ),
        (
            "config: {clusters: {main: {bootstrapServers: [a:1], sasl: {password: x}}}}",
            "additional properties 'password'",
        ),
        (
            "config: {clusters: {'no name': {bootstrapServers: [a:1]}}}",
            "additional properties 'no name'",
        ),
        (
            "config: {prometheus: {main: {url: prometheus}}}",
            "at '/config/prometheus/main/url'",
        ),
    ];
    check_refused(SCALER, &cases);
}
