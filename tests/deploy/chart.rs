//! The scaler's chart: linted, rendered over a matrix of values, validated, and refused where the
//! values are wrong.

use std::path::{Path, PathBuf};

use evenkeel::config::Config;
use expect_test::expect_file;
use serde_json::Value;

use super::chart_tool::{assert_valid, files, lint, render, root};
use super::values::{documented, without};

const CHART: &str = "deploy/helm/evenkeel";
const CASES: &str = "deploy/helm/cases/evenkeel";
const RENDERED: &str = "deploy/helm/rendered/evenkeel";

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
    for linted in lint(CHART, &files(CASES, "yaml")) {
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
    for rendered in render(CHART, &files(CASES, "yaml")) {
        assert_eq!(rendered.error, "", "{}", rendered.values);
        let name = Path::new(&rendered.values).file_name().unwrap();
        let path = root().join(RENDERED).join(name);
        let notes: String = rendered
            .notes
            .lines()
            .map(|line| format!("# {line}\n").replace("# \n", "#\n"))
            .collect();
        let text = format!("{}---\n# What helm says then:\n{notes}", rendered.manifests);
        expect_file![path].assert_eq(&text);
    }
    assert_eq!(files(CASES, "yaml").len(), files(RENDERED, "yaml").len());
}

#[test]
fn what_is_rendered_is_valid() {
    assert_valid(&files(RENDERED, "yaml"));
}

#[test]
fn the_process_takes_every_configuration_that_is_rendered() {
    for rendered in render(CHART, &files(CASES, "yaml")) {
        let mut seen = 0;
        for text in rendered.manifests.split("---\n# Source: ") {
            let (_, manifest) = text.split_once('\n').unwrap_or_default();
            let Ok(manifest) = serde_saphyr::from_str::<Value>(manifest) else {
                continue;
            };
            if let Some(config) = manifest.pointer("/data/evenkeel.yaml") {
                let config = config.as_str().unwrap();
                Config::read(config, Some(rendered.values.clone()), std::iter::empty()).unwrap();
                seen += 1;
            }
        }
        assert_eq!(seen, 1, "{}", rendered.values);
    }
}

#[test]
fn every_value_changes_what_is_rendered() {
    let mut variants = Vec::new();
    let mut paths = Vec::new();
    for (case, file) in files(CASES, "yaml").iter().enumerate() {
        let text = std::fs::read_to_string(file).unwrap();
        let values: Value = serde_saphyr::from_str(&text).unwrap();
        for value in documented() {
            if let Some(variant) = without(&values, &value.path) {
                variants.push(variant.to_string());
                paths.push((case, value.path));
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let without_it = render(CHART, &written(folder.path(), &variants));
    let with_it = render(CHART, &files(CASES, "yaml"));
    let used: Vec<&String> = paths
        .iter()
        .zip(&without_it)
        .filter(|((case, _), rendered)| {
            let whole = &with_it[*case];
            (&rendered.manifests, &rendered.error) != (&whole.manifests, &whole.error)
        })
        .map(|((_, path), _)| path)
        .collect();
    let unused: Vec<String> = documented()
        .into_iter()
        .map(|value| value.path)
        .filter(|path| !used.contains(&path))
        .collect();
    assert_eq!(
        unused,
        Vec::<String>::new(),
        "no case shows what they are for"
    );
}

#[test]
fn wrong_values_are_refused_by_name() {
    let cases = [
        ("", "image.repository is required"),
        ("image: {repo: x}", "additional properties 'repo'"),
        ("replicas: 2", "additional properties 'replicas'"),
        ("image: {digest: latest}", "at '/image/digest'"),
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
            "podAnnotations: {checksum/config: x}",
            "invalid propertyName 'checksum/config'",
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
            "config: {grpc: {tls: {cert: x}}}",
            "additional properties 'tls'",
        ),
        (
            "config: {clusters: {main: {}}}",
            "missing property 'bootstrapServers'",
        ),
        (
            "config: {clusters: {main: {bootstrapServers: [a:1], sasl: {mechanism: PLAIN}}}}",
            "additional properties 'sasl'",
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
    let folder = tempfile::tempdir().unwrap();
    let texts = cases.map(|(text, _)| text.to_owned());
    let all = render(CHART, &written(folder.path(), &texts));
    for ((text, expected), rendered) in cases.iter().zip(all) {
        assert!(
            rendered.error.contains(expected),
            "{text}: {expected:?} is not in {:?}",
            rendered.error
        );
    }
}
