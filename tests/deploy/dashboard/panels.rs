//! The panels of the dashboard: first what the published blueprint's shows, then what evenkeel adds.
//!
//! `$target` is a ScaledObject of `$namespace`, `$deployment` the workload whose pods export the
//! reference consumer's metrics. Where two scalers answer during an update, `max` keeps it one line.

/// One panel.
pub struct Panel {
    pub title: &'static str,
    /// What a reader on call should know of it.
    pub description: &'static str,
    /// Grafana's name of the unit.
    pub unit: &'static str,
    pub shape: Shape,
    /// In twenty-fourths of the page.
    pub width: u32,
    pub height: u32,
    /// Expressions with their legends.
    pub queries: &'static [(&'static str, &'static str)],
}

/// How a panel draws.
#[derive(Clone, Copy)]
pub enum Shape {
    Lines,
    /// Counts, which change at once.
    Steps,
    Stack,
    Timeline,
    Figure,
}

/// A variable that the reader chooses: values of a label.
pub struct Variable {
    pub name: &'static str,
    pub label: &'static str,
    /// The series whose label is read.
    pub series: &'static str,
    /// The label.
    pub of: &'static str,
    /// What of the label's value counts; all where empty.
    pub regex: &'static str,
}

// === impl Variable ===

impl Variable {
    /// As Grafana asks Prometheus.
    pub fn query(&self) -> String {
        format!("label_values({}, {})", self.series, self.of)
    }
}

pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "namespace",
        label: "Namespace",
        series: "evenkeel_target_valid",
        of: "namespace",
        regex: "",
    },
    Variable {
        name: "target",
        label: "ScaledObject",
        series: r#"evenkeel_target_valid{namespace="$namespace"}"#,
        of: "name",
        regex: "",
    },
    Variable {
        name: "deployment",
        label: "Deployment",
        series: r#"kafka_messages_processed_total{namespace="$namespace"}"#,
        of: "pod",
        // A pod of a Deployment: name, hash of the template, five characters.
        regex: "/^(.+)-[a-z0-9]+-[a-z0-9]{5}$/",
    },
];

/// The episodes, as regions over all panels.
pub const REBALANCES: &str =
    r#"max(evenkeel_target_rebalancing{namespace="$namespace",name="$target"}) == 1"#;

pub const PANELS: &[Panel] = &[
    Panel {
        title: "Inbound against processed",
        description: "What comes in (what sizing uses for going up) and what the group commits. Processed below inbound is a backlog that grows.",
        unit: "short",
        shape: Shape::Lines,
        width: 12,
        height: 8,
        queries: &[
            (
                r#"max(evenkeel_target_inbound_records_per_second{namespace="$namespace",name="$target",witness="used_up"})"#,
                "inbound records/s",
            ),
            (
                r#"max(evenkeel_target_processing_records_per_second{namespace="$namespace",name="$target"})"#,
                "processed records/s",
            ),
        ],
    },
    Panel {
        title: "Pods",
        description: "Desired: what evenkeel decided. In the group: members seen. The HPA's count and ready pods come from kube-state-metrics.",
        unit: "short",
        shape: Shape::Steps,
        width: 12,
        height: 8,
        queries: &[
            (
                r#"max(evenkeel_target_desired_replicas{namespace="$namespace",name="$target"})"#,
                "desired",
            ),
            (
                r#"max(evenkeel_target_observed_replicas{namespace="$namespace",name="$target"})"#,
                "in the group",
            ),
            (
                r#"max(kube_horizontalpodautoscaler_status_desired_replicas{namespace="$namespace",horizontalpodautoscaler="keda-hpa-$target"})"#,
                "desired by the HPA",
            ),
            (
                r#"max(kube_deployment_status_replicas_ready{namespace="$namespace",deployment="$deployment"})"#,
                "ready",
            ),
        ],
    },
    Panel {
        title: "Processing rate",
        description: "Records that the consumers' sinks have finished, by the consumers' own count.",
        unit: "short",
        shape: Shape::Lines,
        width: 8,
        height: 7,
        queries: &[(
            r#"sum by (status) (rate(kafka_messages_processed_total{namespace="$namespace",pod=~"$deployment-.*"}[$__rate_interval]))"#,
            "{{status}} records/s",
        )],
    },
    Panel {
        title: "Processing rate per pod",
        description: "One line a pod. Pods that stay far below the others have fewer or colder partitions.",
        unit: "short",
        shape: Shape::Lines,
        width: 8,
        height: 7,
        queries: &[(
            r#"sum by (pod) (rate(kafka_messages_processed_total{namespace="$namespace",pod=~"$deployment-.*",status="success"}[$__rate_interval]))"#,
            "{{pod}}",
        )],
    },
    Panel {
        title: "Message time in Kafka",
        description: "Age of records when they are processed: half, and 99 of 100. Behind: the worst partition, by evenkeel.",
        unit: "s",
        shape: Shape::Lines,
        width: 8,
        height: 7,
        queries: &[
            (
                r#"histogram_quantile(0.5, sum by (le) (rate(kafka_message_age_seconds_bucket{namespace="$namespace",pod=~"$deployment-.*"}[$__rate_interval])))"#,
                "half",
            ),
            (
                r#"histogram_quantile(0.99, sum by (le) (rate(kafka_message_age_seconds_bucket{namespace="$namespace",pod=~"$deployment-.*"}[$__rate_interval])))"#,
                "99 of 100",
            ),
            (
                r#"max(evenkeel_target_lag_seconds{namespace="$namespace",name="$target"})"#,
                "behind",
            ),
        ],
    },
    Panel {
        title: "Offset lag",
        description: "Records not committed; what sizing counts of them, after the normal commit delay, stuck partitions and rebalance holds.",
        unit: "short",
        shape: Shape::Lines,
        width: 12,
        height: 7,
        queries: &[
            (
                r#"max(evenkeel_target_lag_records{namespace="$namespace",name="$target"})"#,
                "lag",
            ),
            (
                r#"max(evenkeel_target_lag_counted_records{namespace="$namespace",name="$target"})"#,
                "counted",
            ),
        ],
    },
    Panel {
        title: "Inbound rate by source",
        description: "The log's own offsets over 2 s and 300 s, Prometheus where there is a query, and what sizing takes of them for going up and down.",
        unit: "short",
        shape: Shape::Lines,
        width: 12,
        height: 7,
        queries: &[(
            r#"max by (witness) (evenkeel_target_inbound_records_per_second{namespace="$namespace",name="$target"})"#,
            "{{witness}} records/s",
        )],
    },
    Panel {
        title: "Why this count",
        description: "What each stage of the decision adds or takes, stacked to the count that was decided. A negative hold is lag that a rebalance explains.",
        unit: "short",
        shape: Shape::Stack,
        width: 12,
        height: 8,
        queries: &[
            (
                r#"max(evenkeel_target_stage_replicas{namespace="$namespace",name="$target",stage="rate"})"#,
                "the inbound rate",
            ),
            (
                r#"max(evenkeel_target_stage_replicas{namespace="$namespace",name="$target",stage="lag"}) - max(evenkeel_target_stage_replicas{namespace="$namespace",name="$target",stage="rate"})"#,
                "the backlog",
            ),
            (
                r#"max(evenkeel_target_stage_replicas{namespace="$namespace",name="$target",stage="hold"}) - max(evenkeel_target_stage_replicas{namespace="$namespace",name="$target",stage="lag"})"#,
                "held",
            ),
            (
                r#"max(evenkeel_target_stage_replicas{namespace="$namespace",name="$target",stage="stabilize"}) - max(evenkeel_target_stage_replicas{namespace="$namespace",name="$target",stage="hold"})"#,
                "the window",
            ),
            (
                r#"max(evenkeel_target_stage_replicas{namespace="$namespace",name="$target",stage="limit"}) - max(evenkeel_target_stage_replicas{namespace="$namespace",name="$target",stage="stabilize"})"#,
                "limits",
            ),
        ],
    },
    Panel {
        title: "Verdict",
        description: "One word for each decision; docs/ALGORITHM.md says what each means and what to look for.",
        unit: "short",
        shape: Shape::Timeline,
        width: 12,
        height: 8,
        queries: &[(
            r#"max by (verdict) (evenkeel_target_verdict{namespace="$namespace",name="$target"})"#,
            "{{verdict}}",
        )],
    },
    Panel {
        title: "Capacity of a replica",
        description: "Records/s that one replica can do, configured or learned.",
        unit: "short",
        shape: Shape::Lines,
        width: 8,
        height: 7,
        queries: &[(
            r#"max(evenkeel_target_capacity_records_per_second{namespace="$namespace",name="$target"})"#,
            "records/s",
        )],
    },
    Panel {
        title: "Utilization",
        description: "The inbound rate over what the replicas in the group can do. Above 1 a backlog grows.",
        unit: "percentunit",
        shape: Shape::Lines,
        width: 8,
        height: 7,
        queries: &[(
            r#"max(evenkeel_target_utilization_ratio{namespace="$namespace",name="$target"})"#,
            "utilization",
        )],
    },
    Panel {
        title: "Rebalances",
        description: "Seconds that the lag term is held in the current episode, and episodes in the last ten minutes.",
        unit: "short",
        shape: Shape::Lines,
        width: 8,
        height: 7,
        queries: &[
            (
                r#"max(evenkeel_target_rebalance_held_seconds{namespace="$namespace",name="$target"})"#,
                "held seconds",
            ),
            (
                r#"max(increase(evenkeel_target_rebalances_total{namespace="$namespace",name="$target"}[10m]))"#,
                "episodes in 10 min",
            ),
        ],
    },
    Panel {
        title: "Data age",
        description: "Age of what the last decision was made of. EvenkeelDataStale fires above 60 s.",
        unit: "s",
        shape: Shape::Figure,
        width: 4,
        height: 6,
        queries: &[(
            r#"min(evenkeel_target_data_age_seconds{namespace="$namespace",name="$target"})"#,
            "age",
        )],
    },
    Panel {
        title: "Ready nodes",
        description: "From kube-state-metrics.",
        unit: "short",
        shape: Shape::Figure,
        width: 4,
        height: 6,
        queries: &[(
            r#"sum(max by (node) (kube_node_status_condition{condition="Ready",status="true"}))"#,
            "nodes",
        )],
    },
    Panel {
        title: "Kafka requests",
        description: "Of this evenkeel to all brokers, by api and result.",
        unit: "reqps",
        shape: Shape::Lines,
        width: 8,
        height: 6,
        queries: &[(
            r#"sum by (api, result) (rate(evenkeel_kafka_requests_total[$__rate_interval]))"#,
            "{{api}} {{result}}",
        )],
    },
    Panel {
        title: "gRPC calls",
        description: "Calls that have ended, by method and code, the kubelet's probes among them; and KEDA's own errors about this ScaledObject. RESOURCE_EXHAUSTED is a limit of evenkeel's: the answer names it.",
        unit: "reqps",
        shape: Shape::Lines,
        width: 8,
        height: 6,
        queries: &[
            (
                r#"sum by (method, code) (rate(evenkeel_rpcs_total[$__rate_interval]))"#,
                "{{method}} {{code}}",
            ),
            (
                r#"sum(rate(keda_scaled_object_errors_total{namespace="$namespace",scaledObject="$target"}[$__rate_interval]) or rate(keda_scaled_object_errors_total{exported_namespace="$namespace",scaledObject="$target"}[$__rate_interval]))"#,
                "KEDA's errors",
            ),
        ],
    },
    Panel {
        title: "Time to answer",
        description: "What 99 of 100 gRPC calls stay below, by method. Answers come from memory: 2 s are the wait for a target's first observation. Of a stream it is the time until it is open.",
        unit: "s",
        shape: Shape::Lines,
        width: 8,
        height: 6,
        queries: &[(
            r#"histogram_quantile(0.99, sum by (method, le) (rate(evenkeel_rpc_duration_seconds_bucket[$__rate_interval])))"#,
            "{{method}}",
        )],
    },
];
