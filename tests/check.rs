//! `evenkeel check` as a program: what it prints and its exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;
use std::process::Command;

const SCALED_OBJECT: &str = "\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: consumer, namespace: shop}
spec:
  scaleTargetRef: {name: consumer}
  triggers:
    - type: external
      metadata:
        scalerAddress: evenkeel:9090
        cluster: main
        consumerGroup: trades
        catchUpSeconds: \"60\"
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown: {stabilizationWindowSeconds: 0}
";

/// Runs `evenkeel check` in `folder`; its exit code, and what it printed to both outputs.
fn check(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .arg("check")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    text.push_str(&String::from_utf8(output.stderr).unwrap());
    (output.status.code(), text)
}

#[test]
fn the_exit_code_says_whether_anything_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("right.yaml"), SCALED_OBJECT).unwrap();
    let wrong = SCALED_OBJECT
        .replace("cluster:", "clustre:")
        .replace("\"60\"", "soon");
    std::fs::write(folder.join("wrong.yaml"), wrong).unwrap();

    let (code, text) = check(folder, &["right.yaml"]);
    assert_eq!(text, "1 evenkeel trigger in 1 ScaledObject, 0 errors\n");
    assert_eq!(code, Some(0));

    let (code, text) = check(folder, &["right.yaml", "wrong.yaml"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "wrong.yaml:8: error: triggers[0].metadata.cluster: missing: give cluster, the name of a \
             connection profile, or bootstrapServers",
            "wrong.yaml:10: error: triggers[0].metadata.clustre: unknown key, did you mean cluster?",
            "wrong.yaml:12: error: triggers[0].metadata.catchUpSeconds = \"soon\": has to be a whole \
             number from 1 to 86400",
            "2 evenkeel triggers in 2 ScaledObjects, 3 errors",
        ]
    );
    assert_eq!(code, Some(1));
}

#[test]
fn what_a_number_of_partitions_costs_is_said_where_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let known = SCALED_OBJECT.replace(
        "catchUpSeconds: \"60\"",
        "topic: trades\n        capacityPerReplica: \"100\"",
    );
    std::fs::write(folder.join("known.yaml"), &known).unwrap();
    std::fs::write(
        folder.join("unknown.yaml"),
        known.replace("capacityPerReplica", "catchUpSeconds"),
    )
    .unwrap();
    let asked = |partitions: &str, file: &str| {
        check(
            folder,
            &["--partitions", partitions, "--rate", "5000", file],
        )
    };

    let (code, text) = asked("100", "known.yaml");
    let expected = "known.yaml:7: warning: triggers[0]: 100 partitions need 100 replicas for 5000 records/s, \
                    and 116 partitions would need 58: partitions do not divide (CoarsePartitions)\n";
    assert!(text.starts_with(expected), "{text}");
    assert_eq!(code, Some(0));
    let (_, text) = asked("120", "known.yaml");
    assert_eq!(text, "1 evenkeel trigger in 1 ScaledObject, 0 errors\n");
    let (_, text) = asked("100", "unknown.yaml");
    assert!(
        text.contains("note: triggers[0] has no capacityPerReplica"),
        "{text}"
    );
    assert_eq!(check(folder, &["--rate", "5000", "known.yaml"]).0, Some(64));
    assert_eq!(
        check(folder, &["--partitions", "9", "--rate", "-1", "known.yaml"]).0,
        Some(64)
    );
}

#[test]
fn warnings_fail_only_where_they_are_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let twice = SCALED_OBJECT.replace("Seconds: 0}", "Seconds: 600}");
    std::fs::write(folder.join("twice.yaml"), twice).unwrap();
    let (code, text) = check(folder, &["twice.yaml"]);
    assert!(
        text.starts_with("twice.yaml:16: warning: advanced.horizontalPodAutoscalerConfig"),
        "{text}"
    );
    assert!(
        text.ends_with("1 evenkeel trigger in 1 ScaledObject, 0 errors, 1 warning\n"),
        "{text}"
    );
    assert_eq!(code, Some(0));
    assert_eq!(check(folder, &["--strict", "twice.yaml"]).0, Some(1));
}

#[test]
fn a_missing_file_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("right.yaml"), SCALED_OBJECT).unwrap();
    let (code, text) = check(folder, &["none.yaml", "right.yaml"]);
    assert!(
        text.contains("none.yaml:1: error: the file cannot be read"),
        "{text}"
    );
    assert!(
        text.contains("1 evenkeel trigger in 1 ScaledObject"),
        "{text}"
    );
    assert_eq!(code, Some(64));
    assert_eq!(check(folder, &[]).0, Some(64), "no file at all");
}

#[test]
fn more_than_can_be_read_at_once_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("many.yaml"), "a: 1\n---\n".repeat(2_000)).unwrap();
    let (code, text) = check(folder, &["many.yaml"]);
    assert!(
        text.contains("error: too much for one file, split it"),
        "{text}"
    );
    assert_eq!(code, Some(1));
}

#[test]
fn a_configuration_brings_its_profiles_or_its_own_errors() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("right.yaml"), SCALED_OBJECT).unwrap();
    let write = |text: &str| std::fs::write(folder.join("evenkeel.yaml"), text).unwrap();
    let arguments = ["--config", "evenkeel.yaml", "right.yaml"];

    write("clusters: {main: {bootstrapServers: [kafka:9092]}}");
    let (code, text) = check(folder, &arguments);
    let met = "right.yaml:7: note: triggers[0] reads Kafka by the profile main: kafka:9092, without TLS, \
               without SASL\n1 evenkeel trigger in 1 ScaledObject, 0 errors\n";
    assert_eq!(text, met);
    assert_eq!(code, Some(0));
    let strictly = [&["--strict"], &arguments[..]].concat();
    assert_eq!(check(folder, &strictly).0, Some(0), "a note is no warning");

    // The chart's values will do as well.
    write(
        "image: {repository: evenkeel}\nconfig:\n  clusters:\n    main:\n      bootstrapServers: \
         [kafka:9093]\n      tls: {ca: /ca.crt}\n      sasl: {mechanism: SCRAM-SHA-512, usernameFile: \
         /user, passwordFile: /password}\n",
    );
    let (_, text) = check(folder, &arguments);
    assert!(
        text.contains("main: kafka:9093, TLS, SCRAM-SHA-512"),
        "{text}"
    );
    write("config:\n  clusters:\n    main: {bootstrapServer: [kafka:9093]}\n");
    let (code, text) = check(folder, &arguments);
    assert!(text.contains("line 3"), "{text}");
    assert_eq!(code, Some(64));

    write("clusters: {main: {bootstrapServers: [kafka:9092], namespaces: [other]}}");
    let (code, text) = check(folder, &arguments);
    assert!(text.contains("not open to namespace shop"), "{text}");
    assert_eq!(code, Some(1));

    write("clusters: {main: {bootstrapServer: [kafka:9092]}}");
    let (code, text) = check(folder, &arguments);
    assert!(text.contains("did you mean bootstrapServers?"), "{text}");
    assert_eq!(code, Some(64));
}
