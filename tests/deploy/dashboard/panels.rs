//! The panels of the dashboard: all targets, then the one that is chosen, then the scaler itself.
//!
//! `$target` is a ScaledObject of `$namespace`; `$deployment` is what its HPA scales, so that two workloads
//! that do not belong together are never side by side. Its pods are taken by the whole of their names.
//! Where two scalers answer during an update, `max` keeps it one line.

/// One panel.
pub struct Panel {
    pub title: &'static str,
    /// What a reader on call should know of it.
    pub description: &'static str,
    /// Grafana's name of the unit. One a panel.
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
    /// A row a target, a column a query.
    Table,
}

/// A variable that the reader chooses: values of a label.
pub struct Variable {
    pub name: &'static str,
    pub label: &'static str,
    /// The series whose label is read.
    pub series: &'static str,
    /// The label.
    pub of: &'static str,
    /// Whether the reader chooses it, or it follows from what they chose.
    pub is_chosen: bool,
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
        is_chosen: true,
    },
    Variable {
        name: "target",
        label: "ScaledObject",
        series: r#"evenkeel_target_valid{namespace="$namespace"}"#,
        of: "name",
        is_chosen: true,
    },
    Variable {
        name: "deployment",
        label: "Workload",
        series: r#"kube_horizontalpodautoscaler_info{namespace="$namespace",horizontalpodautoscaler="keda-hpa-$target"}"#,
        of: "scaletargetref_name",
        is_chosen: false,
    },
];

/// The episodes, as regions over all panels.
pub const REBALANCES: &str =
    r#"max(evenkeel_target_rebalancing{namespace="$namespace",name="$target"}) == 1"#;

/// The rows of the dashboard with their panels.
pub const SECTIONS: &[(&str, &[Panel])] = &[
    ("All targets", ALL_TARGETS),
    ("$namespace/$target", ONE_TARGET),
    ("evenkeel and its cluster", ITSELF),
];

const RECORDS: &str = "suffix: records/s";

const ALL_TARGETS: &[Panel] = &[
    Panel {
        title: "Targets",
        description: "Every ScaledObject that KEDA asks about. Behind: the worst partition.",
        unit: "short",
        shape: Shape::Table,
        width: 16,
        height: 9,
        queries: &[
            (
                "max by (namespace, name) (evenkeel_target_desired_replicas)",
                "decided",
            ),
            (
                "max by (namespace, name) (evenkeel_target_observed_replicas)",
                "in the group",
            ),
            (
                "max by (namespace, name) (evenkeel_target_lag_records)",
                "lag",
            ),
            (
                "max by (namespace, name) (evenkeel_target_lag_seconds)",
                "behind, s",
            ),
            (
                "max by (namespace, name) (evenkeel_target_valid)",
                "answered",
            ),
        ],
    },
    Panel {
        title: "Targets without an answer",
        description: "KEDA gets an error for them, and their replicas stay as they are.",
        unit: "short",
        shape: Shape::Figure,
        width: 4,
        height: 9,
        queries: &[(
            "sum(1 - max by (namespace, name) (evenkeel_target_valid))",
            "targets",
        )],
    },
    Panel {
        title: "Replicas of all targets",
        description: "Decided, summed.",
        unit: "short",
        shape: Shape::Figure,
        width: 4,
        height: 9,
        queries: &[(
            "sum(max by (namespace, name) (evenkeel_target_desired_replicas))",
            "replicas",
        )],
    },
    Panel {
        title: "Targets by verdict",
        description: "The reason of each target's last decision. docs/ALGORITHM.md says what each means.",
        unit: "short",
        shape: Shape::Stack,
        width: 24,
        height: 7,
        queries: &[(
            "count by (verdict) (max by (namespace, name, verdict) (evenkeel_target_verdict))",
            "{{verdict}}",
        )],
    },
];

const ONE_TARGET: &[Panel] = &[
    Panel {
        title: "Inbound against processed",
        description: "What comes in (what sizing uses for going up) and what the group commits. Processed below inbound is a backlog that grows.",
        unit: RECORDS,
        shape: Shape::Lines,
        width: 12,
        height: 8,
        queries: &[
            (
                r#"max(evenkeel_target_inbound_records_per_second{namespace="$namespace",name="$target",witness="used_up"})"#,
                "inbound",
            ),
            (
                r#"max(evenkeel_target_processing_records_per_second{namespace="$namespace",name="$target"})"#,
                "processed",
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
        unit: RECORDS,
        shape: Shape::Lines,
        width: 8,
        height: 7,
        queries: &[(
            r#"sum by (status) (rate(kafka_messages_processed_total{namespace="$namespace",pod=~"$deployment-([a-z0-9]+-[a-z0-9]{5}|[0-9]+)"}[$__rate_interval]))"#,
            "{{status}}",
        )],
    },
    Panel {
        title: "Processing rate per pod",
        description: "One line a pod. Pods that stay far below the others have fewer or colder partitions.",
        unit: RECORDS,
        shape: Shape::Lines,
        width: 8,
        height: 7,
        queries: &[(
            r#"sum by (pod) (rate(kafka_messages_processed_total{namespace="$namespace",pod=~"$deployment-([a-z0-9]+-[a-z0-9]{5}|[0-9]+)",status="success"}[$__rate_interval]))"#,
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
                r#"histogram_quantile(0.5, sum by (le) (rate(kafka_message_age_seconds_bucket{namespace="$namespace",pod=~"$deployment-([a-z0-9]+-[a-z0-9]{5}|[0-9]+)"}[$__rate_interval])))"#,
                "half",
            ),
            (
                r#"histogram_quantile(0.99, sum by (le) (rate(kafka_message_age_seconds_bucket{namespace="$namespace",pod=~"$deployment-([a-z0-9]+-[a-z0-9]{5}|[0-9]+)"}[$__rate_interval])))"#,
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
        unit: RECORDS,
        shape: Shape::Lines,
        width: 12,
        height: 7,
        queries: &[(
            r#"max by (witness) (evenkeel_target_inbound_records_per_second{namespace="$namespace",name="$target"})"#,
            "{{witness}}",
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
        unit: RECORDS,
        shape: Shape::Lines,
        width: 8,
        height: 7,
        queries: &[(
            r#"max(evenkeel_target_capacity_records_per_second{namespace="$namespace",name="$target"})"#,
            "capacity",
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
        title: "Lag held",
        description: "Seconds that the lag term is held in the current rebalance episode.",
        unit: "s",
        shape: Shape::Lines,
        width: 8,
        height: 7,
        queries: &[(
            r#"max(evenkeel_target_rebalance_held_seconds{namespace="$namespace",name="$target"})"#,
            "held",
        )],
    },
    Panel {
        title: "Rebalances",
        description: "Episodes in the last ten minutes.",
        unit: "short",
        shape: Shape::Steps,
        width: 8,
        height: 7,
        queries: &[(
            r#"max(increase(evenkeel_target_rebalances_total{namespace="$namespace",name="$target"}[10m]))"#,
            "episodes",
        )],
    },
    Panel {
        title: "KEDA's errors",
        description: "What KEDA counts for this ScaledObject, where its operator's metrics are scraped.",
        unit: "reqps",
        shape: Shape::Lines,
        width: 8,
        height: 7,
        queries: &[(
            r#"sum(rate(keda_scaled_object_errors_total{namespace="$namespace",scaledObject="$target"}[$__rate_interval]) or rate(keda_scaled_object_errors_total{exported_namespace="$namespace",scaledObject="$target"}[$__rate_interval]))"#,
            "errors",
        )],
    },
    Panel {
        title: "Data age",
        description: "Age of what the last decision was made of. EvenkeelDataStale fires above 60 s.",
        unit: "s",
        shape: Shape::Figure,
        width: 8,
        height: 7,
        queries: &[(
            r#"min(evenkeel_target_data_age_seconds{namespace="$namespace",name="$target"})"#,
            "age",
        )],
    },
    Panel {
        title: "Known ahead",
        description: "Replicas that are prepared for what is known ahead, beside those that are asked for. Only of targets with calendarEvents or calendar.",
        unit: "short",
        shape: Shape::Steps,
        width: 12,
        height: 7,
        queries: &[
            (
                r#"max(evenkeel_target_calendar_floor_replicas{namespace="$namespace",name="$target"})"#,
                "known ahead",
            ),
            (
                r#"max(evenkeel_target_desired_replicas{namespace="$namespace",name="$target"})"#,
                "evenkeel",
            ),
        ],
    },
    Panel {
        title: "Expected surges",
        description: "Surges of the last 24 hours that were expected because they came on earlier days, and the replica-hours that were asked for because of those that did not come. Only of targets with calendar.",
        unit: "short",
        shape: Shape::Lines,
        width: 12,
        height: 7,
        queries: &[
            (
                r#"max(increase(evenkeel_target_calendar_hits_total{namespace="$namespace",name="$target"}[1d]))"#,
                "came",
            ),
            (
                r#"max(increase(evenkeel_target_calendar_misses_total{namespace="$namespace",name="$target"}[1d]))"#,
                "did not come",
            ),
            (
                r#"max(increase(evenkeel_target_calendar_missed_replica_seconds_total{namespace="$namespace",name="$target"}[1d])) / 3600"#,
                "replica-hours in vain",
            ),
        ],
    },
];

const ITSELF: &[Panel] = &[
    Panel {
        title: "Ready nodes",
        description: "From kube-state-metrics.",
        unit: "short",
        shape: Shape::Figure,
        width: 6,
        height: 6,
        queries: &[(
            r#"sum(max by (node) (kube_node_status_condition{condition="Ready",status="true"}))"#,
            "nodes",
        )],
    },
    Panel {
        title: "Kafka requests",
        description: "Of this evenkeel to all brokers, by api and result, and the connections it tried to open.",
        unit: "reqps",
        shape: Shape::Lines,
        width: 6,
        height: 6,
        queries: &[
            (
                r#"sum by (api, result) (rate(evenkeel_kafka_requests_total[$__rate_interval]))"#,
                "{{api}} {{result}}",
            ),
            (
                r#"sum by (result) (rate(evenkeel_kafka_connections_total[$__rate_interval]))"#,
                "connection {{result}}",
            ),
        ],
    },
    Panel {
        title: "gRPC calls",
        description: "Calls that have ended, by method and code, the kubelet's probes among them. RESOURCE_EXHAUSTED is a limit of evenkeel's: the answer names it.",
        unit: "reqps",
        shape: Shape::Lines,
        width: 6,
        height: 6,
        queries: &[(
            r#"sum by (method, code) (rate(evenkeel_rpcs_total[$__rate_interval]))"#,
            "{{method}} {{code}}",
        )],
    },
    Panel {
        title: "Time to answer",
        description: "What 99 of 100 gRPC calls stay below, by method. Answers come from memory: 2 s are the wait for a target's first observation. Of a stream it is the time until it is open.",
        unit: "s",
        shape: Shape::Lines,
        width: 6,
        height: 6,
        queries: &[(
            r#"histogram_quantile(0.99, sum by (method, le) (rate(evenkeel_rpc_duration_seconds_bucket[$__rate_interval])))"#,
            "{{method}}",
        )],
    },
];
