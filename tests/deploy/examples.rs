//! The examples: KEDA's schema, `evenkeel check` and the chart take them.

use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_scaler::config::Config;
use serde_json::Value;

use super::chart_tool::{assert_valid, files, render, root};
use super::values::{CONSUMER, SCALER};

const EXAMPLES: &str = "deploy/examples";
const VALUES: &str = "deploy/examples/values.yaml";

/// The manifests; values.yaml beside them is none.
fn manifests() -> Vec<PathBuf> {
    let mut manifests = files(EXAMPLES, "yaml");
    manifests.retain(|path| *path != root().join(VALUES));
    manifests
}

fn values() -> Value {
    let text = std::fs::read_to_string(root().join(VALUES)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

#[test]
fn kubernetes_and_keda_know_every_field() {
    assert_valid(&manifests());
}

#[test]
fn a_field_that_keda_does_not_know_is_refused() {
    let text = std::fs::read_to_string(root().join(EXAMPLES).join("read-committed.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (right, wrong, expected) in [
        ("cooldownPeriod", "coolDownPeriod", "coolDownPeriod"),
        ("tolerance: 0", "tolerance: 0.1", "tolerance"),
        ("namespace: ledger", "namspace: ledger", "namspace"),
        ("\"100\"", "100", "capacityPerReplica"),
        ("ScaledObject", "ScaleObject", "no schema for"),
    ] {
        let wrong = text.replace(right, wrong);
        assert_ne!(wrong, text, "{right}");
        let path = folder.path().join("wrong.yaml");
        std::fs::write(&path, wrong).unwrap();
        let errors = super::chart_tool::validate(&[path])[0].errors.join("\n");
        assert!(errors.contains(expected), "{expected}: {errors}");
    }
}

#[test]
fn evenkeel_check_finds_nothing_wrong_with_the_platforms_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("evenkeel.yaml");
    std::fs::write(&config, values()["config"].to_string()).unwrap();
    Config::load(Some(&config), std::iter::empty()).unwrap();
    for manifest in manifests() {
        let text = std::fs::read_to_string(&manifest).unwrap();
        let triggers = text.matches("scalerAddress: evenkeel").count();
        let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(["check", "--config"])
            .args([&config, &manifest])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(
            said.matches("Kafka by the profile").count(),
            triggers,
            "{said}"
        );
        assert!(!said.contains("warning"), "{said}");
        let plural = if triggers == 1 { "" } else { "s" };
        assert!(
            triggers > 0 && said.contains(&format!("\n{triggers} evenkeel trigger{plural} ")),
            "{}: {said}",
            manifest.display()
        );
    }
}

#[test]
fn the_chart_takes_their_values() {
    let mut values = values();
    values["image"]["repository"] = "registry.example.com/evenkeel".into();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("values.yaml");
    std::fs::write(&path, values.to_string()).unwrap();
    let rendered = render(SCALER, &[path]);
    assert_eq!(rendered[0].error, "");
}

#[test]
fn every_example_is_in_the_list() {
    let list = std::fs::read_to_string(root().join(EXAMPLES).join("README.md")).unwrap();
    for path in manifests() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(list.contains(&format!("[{name}]({name})")), "{name}");
    }
}

const CONNECTIONS: &str = "deploy/examples/connections";

#[test]
fn each_connection_is_taken_by_the_chart_by_check_and_by_keda() {
    let all = files(CONNECTIONS, "yaml");
    let readme = std::fs::read_to_string(root().join(CONNECTIONS).join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut pairs = 0;
    for values in &all {
        let file = values.file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("({file})")), "{file}");
        let is_consumers = file.ends_with(".consumer.values.yaml");
        let Some(name) = file.strip_suffix(".values.yaml").filter(|_| !is_consumers) else {
            continue;
        };
        let text = std::fs::read_to_string(values).unwrap();
        let with_image = folder.path().join(file);
        let image = "image: {repository: registry.example.com/evenkeel}\n";
        std::fs::write(&with_image, format!("{text}{image}")).unwrap();
        let mut manifests = vec![manifest_of(&folder, SCALER, &with_image)];
        // Its ScaledObject stands in a file of its own, or comes with the consumer's chart.
        let own = root().join(CONNECTIONS).join(format!("{name}.yaml"));
        let scaled = if own.exists() {
            own
        } else {
            let values = root()
                .join(CONNECTIONS)
                .join(format!("{name}.consumer.values.yaml"));
            manifest_of(&folder, CONSUMER, &values)
        };
        let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(["check", "--strict", "--namespace", "trades", "--config"])
            .args([&with_image, &scaled])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && said.contains("by the profile main"),
            "{file}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        manifests.push(scaled);
        assert_valid(&manifests);
        pairs += 1;
    }
    assert_eq!(pairs, 6);
}

/// What `chart` renders of `values`, as a file.
fn manifest_of(folder: &tempfile::TempDir, chart: &str, values: &Path) -> PathBuf {
    let rendered = render(chart, &[values.to_owned()]).remove(0);
    assert_eq!(rendered.error, "", "{}", values.display());
    let path = folder.path().join(format!("{chart}.yaml"));
    // The chart knows no namespace of the release here.
    std::fs::write(
        &path,
        rendered
            .manifests
            .replace("namespace: scaling", "namespace: trades"),
    )
    .unwrap();
    path
}

#[test]
fn the_policies_allow_what_is_needed_and_no_more() {
    for (file, expected) in [
        (
            "scaler-policy.json",
            &[
                "kafka-cluster:Connect",
                "kafka-cluster:DescribeGroup",
                "kafka-cluster:DescribeTopic",
            ][..],
        ),
        (
            "consumer-policy.json",
            &[
                "kafka-cluster:AlterGroup",
                "kafka-cluster:Connect",
                "kafka-cluster:DescribeGroup",
                "kafka-cluster:DescribeTopic",
                "kafka-cluster:ReadData",
            ],
        ),
        ("prometheus-policy.json", &["aps:QueryMetrics"]),
        (
            "pod-identity-trust.json",
            &["sts:AssumeRole", "sts:TagSession"],
        ),
        ("irsa-trust.json", &["sts:AssumeRoleWithWebIdentity"]),
    ] {
        let text = std::fs::read_to_string(root().join("deploy/aws").join(file)).unwrap();
        let policy: Value = serde_json::from_str(&text).unwrap();
        let mut actions = Vec::new();
        for statement in policy["Statement"].as_array().unwrap() {
            match &statement["Action"] {
                Value::Array(several) => {
                    actions.extend(several.iter().map(|one| one.as_str().unwrap()));
                }
                one => actions.push(one.as_str().unwrap()),
            }
        }
        actions.sort_unstable();
        assert_eq!(actions, expected, "{file}");
    }
}
