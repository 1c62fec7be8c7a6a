//! Every expression of the dashboard, over a real run: broker, producer, two consumers, the scaler.
//!
//! Only what belongs to a cluster is a stand-in: the series of kube-state-metrics and KEDA are a text
//! in their formats, with the names and labels of their sources.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use evenkeel_engine::Timestamp;
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::grpc::METRIC_NAME;
use evenkeel_scaler::grpc::wire::external_scaler_client::ExternalScalerClient;
use evenkeel_scaler::grpc::wire::{GetMetricsRequest, ScaledObjectRef};
use evenkeel_tools::demo::broker::{BrokerOptions, EmbeddedBroker};
use evenkeel_tools::demo::process;
use serde_json::Value;
use tokio::process::Child;
use tokio::time::Instant;
use tonic::transport::Channel;

use super::panels::{REBALANCES, SECTIONS, VARIABLES};
use crate::chart_tool::root;
use crate::prometheus::{Prometheus, Scrape, Server, fake};
use crate::serve::{Serve, free_address};

const NAMESPACE: &str = "payments";
const NAME: &str = "trade-workers";
const PARTITIONS: i32 = 4;

/// What a cluster would export: kube-state-metrics' and KEDA's series.
const CLUSTER: &str = r#"kube_horizontalpodautoscaler_info{namespace="payments",horizontalpodautoscaler="keda-hpa-trade-workers",scaletargetref_kind="Deployment",scaletargetref_name="trade-workers"} 1
kube_horizontalpodautoscaler_status_desired_replicas{namespace="payments",horizontalpodautoscaler="keda-hpa-trade-workers"} 2
kube_deployment_status_replicas_ready{namespace="payments",deployment="trade-workers"} 2
kube_node_status_condition{node="a",condition="Ready",status="true"} 1
kube_node_status_condition{node="a",condition="Ready",status="false"} 0
kube_node_status_condition{node="a",condition="Ready",status="unknown"} 0
keda_scaled_object_errors_total{namespace="payments",scaledObject="trade-workers"} 0
"#;

/// An event that always goes on, and takes no more than the load does.
const ALWAYS: &str = "[{timezone: UTC, start: 0 0 * * *, duration: 24h, desiredReplicas: 1}]";

/// How long all of it may take. Generous: only a failure waits for it.
const DEADLINE: Duration = Duration::from_secs(120);

/// How often Prometheus is asked again, and evenkeel as KEDA would.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A run that ends with the test.
struct Run {
    broker: EmbeddedBroker,
    client: ExternalScalerClient<Channel>,
    prometheus: Prometheus,
    clock: Clock,
    began: Timestamp,
    consumers: [SocketAddr; 2],
    programs: Vec<Child>,
    _serve: Serve,
    _cluster: Server,
}

/// A program of the consumer's crate, which `cargo build --workspace` puts beside the tests.
fn start(name: &str, arguments: &[&str]) -> Child {
    let here = std::env::current_exe().expect("a test knows where it is");
    let program = here
        .ancestors()
        .skip(1)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is not built: run `make setup`"));
    process::bound_command(&program)
        .args(arguments)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program starts")
}

/// What the reader has chosen, put in.
fn chosen(expression: &str) -> String {
    expression
        .replace("$namespace", NAMESPACE)
        .replace("$target", NAME)
        .replace("$deployment", NAME)
        .replace("$__rate_interval", "1m")
}

// === impl Run ===

impl Run {
    /// Everything but load and members.
    async fn start() -> Self {
        evenkeel_scaler::tls::use_ring();
        let clock = Clock::start();
        let began = clock.now();
        let broker = EmbeddedBroker::start(BrokerOptions::default())
            .await
            .expect("the broker starts (make setup)");
        broker
            .topics()
            .create_topic(NAME, PARTITIONS, 1, &[])
            .await
            .expect("the topic is made");
        let serve = Serve::start("poll: {interval: 500ms}").await;
        let cluster = fake(Router::new().route("/metrics", get(async || CLUSTER))).await;
        let consumers = [free_address(), free_address()];
        let pod = |address, hash: &str| Scrape {
            address,
            labels: vec![
                ("namespace", NAMESPACE.to_owned()),
                ("pod", format!("{NAME}-5d9c7b-{hash}")),
            ],
        };
        let prometheus = Prometheus::scraping(&[
            Scrape::of(serve.admin),
            Scrape::of(cluster.address),
            pod(consumers[0], "aaaaa"),
            pod(consumers[1], "bbbbb"),
        ])
        .await;
        Self {
            client: serve.client().await,
            broker,
            prometheus,
            clock,
            began,
            consumers,
            programs: Vec::new(),
            _serve: serve,
            _cluster: cluster,
        }
    }

    fn load(&mut self) {
        let servers = self.broker.bootstrap_servers();
        let arguments = ["--bootstrap-servers", &servers, "--topic", NAME];
        let load = ["--load", "200", "--step-seconds", "600"];
        let arguments = [arguments, load].concat();
        self.programs.push(start("evenkeel-producer", &arguments));
    }

    fn join(&mut self, consumer: usize) {
        let servers = self.broker.bootstrap_servers();
        let metrics = self.consumers[consumer].to_string();
        let arguments = ["--bootstrap-servers", &servers, "--topic", NAME];
        let sink = ["--sink", "simulate"];
        let more = ["--group", NAME, "--metrics-listen", &metrics];
        let arguments = [&arguments[..], &sink, &more].concat();
        self.programs.push(start("evenkeel-consumer", &arguments));
    }

    /// Calls as KEDA does.
    async fn call(&mut self) {
        let servers = self.broker.bootstrap_servers();
        let metadata = [
            ("bootstrapServers", servers.as_str()),
            ("consumerGroup", NAME),
            ("topic", NAME),
            ("capacityPerReplica", "500"),
            ("serverAddress", self.prometheus.url.as_str()),
            ("query", "vector(200)"),
            ("calendar", "on"),
            ("calendarEvents", ALWAYS),
        ];
        let request = GetMetricsRequest {
            scaled_object_ref: Some(ScaledObjectRef {
                name: NAME.to_owned(),
                namespace: NAMESPACE.to_owned(),
                scaler_metadata: HashMap::from(
                    metadata.map(|(key, value)| (key.to_owned(), value.to_owned())),
                ),
            }),
            metric_name: METRIC_NAME.to_owned(),
        };
        // At first there is nothing to answer yet.
        let _answer = self.client.get_metrics(request).await;
    }

    /// Waits until every expression has given a number since the run began.
    async fn wait_for(&mut self, expressions: &[&str]) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            self.call().await;
            let mut missing = Vec::new();
            for expression in expressions {
                if !self.has_data(expression).await {
                    missing.push(*expression);
                }
            }
            if missing.is_empty() {
                return;
            }
            let missing = missing.join("\n");
            assert!(Instant::now() < deadline, "no data from\n{missing}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn has_data(&self, expression: &str) -> bool {
        let seconds = |at: Timestamp| (at.as_millis() / 1_000).to_string();
        let (start, end) = (seconds(self.began), seconds(self.clock.now()));
        let query = [
            ("query", expression),
            ("start", &start),
            ("end", &end),
            ("step", "1"),
        ];
        let data = self.ask("query_range", &query).await;
        data["result"].as_array().is_some_and(|series| {
            series
                .iter()
                .flat_map(|one| one["values"].as_array().into_iter().flatten())
                .any(|point| point[1] != "NaN")
        })
    }

    /// Prometheus' answer; one that is an error fails the test.
    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let url = format!("{}/api/v1/{path}", self.prometheus.url);
        let request = reqwest::Client::new().get(url).query(query);
        let answer = request.send().await.expect("Prometheus answers");
        let answer: Value = answer.json().await.expect("Prometheus answers JSON");
        assert_eq!(
            answer["status"], "success",
            "{query:?}: {}",
            answer["error"]
        );
        answer["data"].clone()
    }
}

/// Series of files that hold credentials, which this run has none of; `tests/connections` looks at them.
const OF_CREDENTIALS: [&str; 2] = [
    "evenkeel_certificate_expiry_timestamp_seconds",
    "evenkeel_credentials_bad",
];

/// Our series that alerts and runbooks name.
fn named_series() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in [
        "deploy/helm/evenkeel/files/alerts.yaml",
        "docs/operating.md",
    ] {
        let text = std::fs::read_to_string(root().join(path)).expect("a file");
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        names.extend(
            words
                .filter(|word| word.starts_with("evenkeel_"))
                .map(str::to_owned),
        );
    }
    // The runbooks speak of all series of a target by their beginning.
    names.remove("evenkeel_target_");
    for name in OF_CREDENTIALS {
        assert!(names.remove(name), "{name} is named nowhere any more");
    }
    assert!(names.len() > 5, "{names:?}");
    names
}

#[tokio::test]
async fn every_expression_gives_data_over_a_real_run() {
    let mut run = Run::start().await;
    run.load();
    run.join(0);
    run.wait_for(&["evenkeel_target_processing_records_per_second > 0"])
        .await;
    // A second member once the first one works: a rebalance that is seen.
    run.join(1);

    let expressions: Vec<String> = SECTIONS
        .iter()
        .flat_map(|(_, panels)| *panels)
        .flat_map(|panel| panel.queries)
        .map(|(expression, _)| chosen(expression))
        .chain([chosen(REBALANCES)])
        .collect();
    let expressions: Vec<&str> = expressions.iter().map(String::as_str).collect();
    run.wait_for(&expressions).await;

    for variable in VARIABLES {
        let path = format!("label/{}/values", variable.of);
        let values = run
            .ask(&path, &[("match[]", &chosen(variable.series))])
            .await;
        assert_ne!(values, Value::Array(Vec::new()), "{}", variable.name);
    }
    let families = run.ask("metadata", &[]).await;
    for series in named_series() {
        let family = series.strip_suffix("_total").unwrap_or(&series);
        assert!(families.get(family).is_some(), "{series} is not exported");
    }
}
