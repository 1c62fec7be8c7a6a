//! Everything of `deploy/`: the chart, the examples, the alert rules, the dashboard, Artifact Hub.
//!
//! Nothing here has a cluster. The chart is rendered by helm's own packages, manifests are held
//! against the schemas of Kubernetes, KEDA and the Prometheus operator that lie in `deploy/schemas`,
//! alert rules are run by promtool, and the dashboard's expressions by a real Prometheus over a real
//! run. What only an API server knows (CEL rules, admission, defaults) is not checked.

// The schema of the consumer's values is one long `json!`.
#![recursion_limit = "256"]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here"
)]

mod alerts;
mod artifacthub;
mod chart;
mod chart_tool;
mod dashboard;
mod examples;
mod image;
#[allow(dead_code, reason = "tests/prometheus uses the rest of it")]
#[path = "../prometheus/servers.rs"]
mod prometheus;
#[allow(dead_code, reason = "tests/serve uses the rest of it")]
#[path = "../support/process.rs"]
mod serve;
mod sorted;
mod values;
