//! Each trap on a ScaledObject that is otherwise right.

use crate::cli::check::scaled_object::{Options, check};

const RIGHT: &str = "\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: consumer, namespace: shop}
spec:
  scaleTargetRef: {name: consumer}
  minReplicaCount: 0
  maxReplicaCount: 24
  pollingInterval: 30
  cooldownPeriod: 60
  triggers:
    - type: external-push
      metricType: AverageValue
      metadata: {scalerAddress: \"evenkeel:9090\", cluster: main, consumerGroup: orders, topic: orders}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleUp:
          tolerance: 0
          stabilizationWindowSeconds: 0
          policies: [{type: Pods, value: 24, periodSeconds: 15}]
        scaleDown:
          tolerance: 0
          stabilizationWindowSeconds: 0
          policies: [{type: Percent, value: 100, periodSeconds: 15}]
";

#[track_caller]
fn findings(text: &str) -> Vec<String> {
    let options = Options {
        config: None,
        namespace: "default",
        load: None,
    };
    let report = check(text, options);
    report.findings.iter().map(ToString::to_string).collect()
}

/// With `from` replaced by `to`, exactly one finding comes: at this line, of this weight, with these
/// words.
#[track_caller]
fn trap(from: &str, to: &str, expected: &str) {
    assert!(RIGHT.contains(from), "{from}");
    let found = findings(&RIGHT.replacen(from, to, 1));
    assert_eq!(found.len(), 1, "{from} -> {to}: {found:#?}");
    assert!(found[0].starts_with(expected), "{from} -> {to}: {found:#?}");
}

#[test]
fn what_is_right_has_no_findings() {
    assert_eq!(findings(RIGHT), Vec::<String>::new());
}

#[test]
fn a_key_that_keda_does_not_have_is_an_error_however_deep() {
    trap(
        "minReplicaCount",
        "minReplicasCount",
        "6: error: minReplicasCount: unknown key, did you mean minReplicaCount?",
    );
    trap(
        "metricType",
        "metrictype",
        "12: error: triggers[0].metrictype: unknown key, did you mean metricType?",
    );
    trap(
        "stabilizationWindowSeconds",
        "stabilisationWindowSeconds",
        "19: error: advanced.horizontalPodAutoscalerConfig.behavior.scaleUp.stabilisationWindowSeconds: \
         unknown key, did you mean stabilizationWindowSeconds?",
    );
    trap(
        "value: 24, periodSeconds",
        "value: 24, period",
        "20: error: advanced.horizontalPodAutoscalerConfig.behavior.scaleUp.policies[0].period: unknown key",
    );
}

#[test]
fn what_cannot_work_is_an_error() {
    trap(
        "keda.sh/v1alpha1",
        "keda.k8s.io/v1alpha1",
        "1: error: apiVersion",
    );
    trap(
        "Ref: {name: consumer}",
        "Ref: {kind: Deployment}",
        "5: error: scaleTargetRef.name",
    );
    trap(
        "Ref: {name: consumer}",
        "Ref: {name: c, kind: CronJob}",
        "5: error: scaleTargetRef.kind: a CronJob",
    );
    trap(
        "minReplicaCount: 0",
        "minReplicaCount: few",
        "6: error: minReplicaCount: has to be a whole",
    );
    trap(
        "minReplicaCount: 0",
        "minReplicaCount: 0\n  idleReplicaCount: 0",
        "7: error: idleReplicaCount: 0 has to be below",
    );
    trap(
        "minReplicaCount: 0",
        "minReplicaCount: 3\n  idleReplicaCount: 1",
        "7: error: idleReplicaCount: 1: only 0",
    );
    trap("AverageValue", "Value", "12: error: triggers[0].metricType");
    trap(
        "topic: orders}",
        "topic: orders, minReplicas: \"30\"}",
        "13: error: triggers[0].metadata.minReplicas: 30 lies above maxReplicaCount 24",
    );
    trap(
        "tolerance: 0",
        "tolerance: 0.05",
        "18: error: advanced.horizontalPodAutoscalerConfig.behavior.scaleUp.tolerance",
    );
}

#[test]
fn more_at_least_than_at_most_is_an_error() {
    let found = findings(&RIGHT.replace(
        "minReplicaCount: 0",
        "minReplicaCount: 30\n  idleReplicaCount: 0",
    ));
    assert_eq!(
        found,
        ["6: error: minReplicaCount: 30 lies above maxReplicaCount 24"]
    );
}

#[test]
fn what_works_otherwise_than_expected_is_a_warning() {
    trap(
        "minReplicaCount: 0",
        "minReplicaCount: 1",
        "9: warning: cooldownPeriod: has no effect",
    );
    trap(
        "pollingInterval: 30",
        "pollingInterval: 5",
        "8: warning: pollingInterval: makes nothing quicker",
    );
    trap(
        "pollingInterval: 30",
        "fallback: {failureThreshold: 3, replicas: 0}",
        "8: warning: fallback.replicas",
    );
    trap(
        "metricType: AverageValue",
        "useCachedMetrics: true",
        "12: warning: triggers[0].useCachedMetrics",
    );
    trap(
        "metricType: AverageValue",
        "authenticationRef: {name: kafka}",
        "12: warning: triggers[0].authenticationRef",
    );
    trap(
        "topic: orders}",
        "topic: orders, maxReplicas: \"30\"}",
        "13: warning: triggers[0].metadata.maxReplicas: 30 lies above",
    );
    trap(
        "  advanced:",
        "    - {type: kafka, metadata: {topic: orders}}\n  advanced:",
        "14: warning: triggers[1]: kafka",
    );
    trap(
        "  advanced:",
        "    - {type: prometheus, metadata: {query: a}}\n  advanced:",
        "14: warning: triggers[1]: prometheus",
    );
    trap(
        "advanced:",
        "advanced:\n    scalingModifiers: {formula: a + 1}",
        "15: warning: advanced.scalingModifiers.formula",
    );
    let again = "    - {type: external, metadata: {scalerAddress: \"e:1\", cluster: main, consumerGroup: orders, topic: fills}}\n  advanced:";
    trap(
        "  advanced:",
        again,
        "14: warning: triggers[1]: is the second for one consumer group",
    );
}

#[test]
fn a_behavior_that_works_against_ours_is_a_warning() {
    let up = "advanced.horizontalPodAutoscalerConfig.behavior.scaleUp";
    let down = "advanced.horizontalPodAutoscalerConfig.behavior.scaleDown";
    let check = |from: &str, to: &str, line: u64, path: &str, rest: &str| {
        trap(from, to, &format!("{line}: warning: {path}.{rest}"));
    };
    let (up_now, down_now) = (
        "value: 24, periodSeconds: 15",
        "type: Percent, value: 100, periodSeconds: 15",
    );
    check(
        up_now,
        "value: 4, periodSeconds: 60",
        20,
        up,
        "policies: make several steps",
    );
    check(
        down_now,
        "type: Percent, value: 10, periodSeconds: 60",
        24,
        down,
        "policies: make several steps",
    );
    check(
        down_now,
        "type: Pods, value: 1, periodSeconds: 60",
        24,
        down,
        "policies: make several steps",
    );
    check(
        "scaleUp:\n          tolerance: 0",
        "scaleUp:\n          tolerance: \"0.1\"",
        18,
        up,
        "tolerance: 0.1",
    );
    check(
        "scaleDown:\n          tolerance: 0\n          stabilizationWindowSeconds: 0",
        "scaleDown:\n          tolerance: 0\n          stabilizationWindowSeconds: 600",
        23,
        down,
        "stabilizationWindowSeconds: 600 s come on top",
    );
    check(
        "tolerance: 0\n          stabilizationWindowSeconds: 0",
        "tolerance: 0\n          stabilizationWindowSeconds: 60",
        19,
        up,
        "stabilizationWindowSeconds: holds every step",
    );
    check(
        "scaleUp:\n",
        "scaleUp:\n          selectPolicy: Disabled\n",
        18,
        up,
        "selectPolicy: Disabled",
    );
    check(
        "scaleDown:\n",
        "scaleDown:\n          selectPolicy: Disabled\n",
        22,
        down,
        "selectPolicy: Disabled",
    );
    // Without a word of it the HPA's own window counts.
    let (without, _) = RIGHT.split_once("  advanced:").unwrap();
    let found = findings(without);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("300 s, the HPA's default, come on top"),
        "{found:?}"
    );
}

#[test]
fn windows_are_left_to_a_trigger_that_needs_them() {
    let (without, _) = RIGHT.split_once("  advanced:").unwrap();
    let cpu = "    - {type: cpu, metadata: {value: \"80\"}}\n";
    assert_eq!(findings(&format!("{without}{cpu}")), Vec::<String>::new());
    let cron = cpu.replace("cpu", "cron");
    assert_eq!(findings(&format!("{without}{cron}")).len(), 1);
}

#[test]
fn a_trigger_of_ours_in_a_scaled_job_is_an_error() {
    let found = findings(&RIGHT.replace("kind: ScaledObject", "kind: ScaledJob"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("11: error: kind: a ScaledJob"),
        "{found:?}"
    );
}
