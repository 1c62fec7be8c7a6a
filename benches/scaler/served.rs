//! A running `evenkeel serve` with registered targets, and what the system says about its process.

use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_scaler::grpc::wire::external_scaler_client::ExternalScalerClient;
use evenkeel_scaler::grpc::wire::{GetMetricsRequest, ScaledObjectRef};
use evenkeel_tools::counters::summed;
use evenkeel_tools::demo::process::bound_command;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

use crate::usage::Usage;

/// The longest that anything here is waited for.
const DEADLINE: Duration = Duration::from_secs(120);

pub struct Served {
    child: Child,
    pub grpc: SocketAddr,
    pub admin: SocketAddr,
    _folder: TempDir,
}

impl Served {
    /// Starts the scaler on one cluster profile named `bench`, polling every `poll_seconds`.
    pub async fn start(bootstrap_servers: &[String], poll_seconds: u32) -> Self {
        Self::start_with(bootstrap_servers, poll_seconds, "").await
    }

    /// The same with more of the profile, each setting after a comma.
    pub async fn start_with(bootstrap_servers: &[String], poll_seconds: u32, more: &str) -> Self {
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_evenkeel"));
        let interval = format!("{poll_seconds}s");
        Self::start_program(program, bootstrap_servers, &interval, more).await
    }

    /// The same with another build of the program, and an interval in the configuration's own words.
    pub async fn start_program(
        program: &std::path::Path,
        bootstrap_servers: &[String],
        interval: &str,
        more: &str,
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("evenkeel.yaml");
        let ready = folder.path().join("ready");
        let servers = bootstrap_servers.join("\", \"");
        let text = format!(
            "grpc: {{listen: \"127.0.0.1:0\"}}\nadmin: {{listen: \"127.0.0.1:0\"}}\n\
             poll: {{interval: {interval}, asleepInterval: 1s}}\n\
             limits: {{targets: 20000, targetIdle: 2h}}\n\
             clusters:\n  bench: {{bootstrapServers: [\"{servers}\"]{more}}}\n"
        );
        std::fs::write(&config, text).unwrap();
        let child = bound_command(program)
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .arg("--ready-file")
            .arg(&ready)
            .env("EVENKEEL_LOG", "error")
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let addresses = loop {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                break text;
            }
            assert!(begun.elapsed() < DEADLINE, "the scaler did not start");
            sleep(Duration::from_millis(20)).await;
        };
        let address = |name: &str| {
            let line = addresses
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap();
            line.trim().parse().unwrap()
        };
        Self {
            child,
            grpc: address("grpc"),
            admin: address("admin"),
            _folder: folder,
        }
    }

    pub async fn client(&self) -> ExternalScalerClient<Channel> {
        ExternalScalerClient::connect(format!("http://{}", self.grpc))
            .await
            .unwrap()
    }

    /// Registers targets 0 to `groups` and waits until every one has a decision.
    pub async fn register(&self, groups: usize) {
        let mut client = self.client().await;
        for group in 0..groups {
            client.get_metric_spec(target(group)).await.unwrap();
        }
        let begun = Instant::now();
        for group in 0..groups {
            while let Err(status) = client.get_metrics(metrics_of(group)).await {
                assert!(
                    begun.elapsed() < DEADLINE,
                    "target {group} stays unknown: {status}"
                );
                sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// How many full ticks its loops have made.
    pub async fn ticks(&self) -> f64 {
        self.count("evenkeel_ticks_total", "kind", "full").await
    }

    /// How many connections to brokers it has opened.
    pub async fn connections(&self) -> f64 {
        self.count("evenkeel_kafka_connections_total", "result", "ok")
            .await
    }

    /// The sum of a counter's series that have `value` as their `label`.
    async fn count(&self, counter: &str, label: &str, value: &str) -> f64 {
        let text = http_get(&self.admin.to_string(), "/metrics").await;
        let counted = summed(&text, counter, &[label]);
        counted.get(value).copied().unwrap_or(0.0)
    }

    /// What the process has used so far.
    pub fn usage(&self) -> Usage {
        Usage::of(self.child.id().unwrap())
    }
}

/// The name of group and topic number `group`.
pub fn name(group: usize) -> String {
    format!("group-{group:05}")
}

pub fn target(group: usize) -> ScaledObjectRef {
    target_on(&name(group), &name(group))
}

/// A target of the profile `bench` with a capacity of 100 records/s a replica.
pub fn target_on(group: &str, topic: &str) -> ScaledObjectRef {
    let metadata = [
        ("cluster", "bench"),
        ("consumerGroup", group),
        ("topic", topic),
        ("capacityPerReplica", "100"),
    ];
    ScaledObjectRef {
        name: group.to_owned(),
        namespace: "bench".to_owned(),
        scaler_metadata: metadata
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

pub fn metrics_of(group: usize) -> GetMetricsRequest {
    metrics_of_on(target(group))
}

pub fn metrics_of_on(target: ScaledObjectRef) -> GetMetricsRequest {
    GetMetricsRequest {
        scaled_object_ref: Some(target),
        metric_name: "evenkeel-replicas".to_owned(),
    }
}

/// The body of a plain HTTP answer.
pub async fn http_get(address: &str, path: &str) -> String {
    let url = format!("http://{address}{path}");
    reqwest::get(url).await.unwrap().text().await.unwrap()
}
