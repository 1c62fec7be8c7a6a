//! `evenkeel serve` as KEDA meets it: a process called over gRPC, with a real broker, members and
//! load behind it.
//!
//! `tests/serve` holds how the process starts and ends; here is what it answers.

use std::collections::HashMap;
use std::process::Output;

use evenkeel_scaler::admin::api::{History, PointView, TargetDetail};
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::control::recording::Recording;
use evenkeel_scaler::grpc::METRIC_NAME;
use evenkeel_scaler::grpc::wire::external_scaler_client::ExternalScalerClient;
use evenkeel_scaler::grpc::wire::{GetMetricsRequest, MetricSpec, ScaledObjectRef};
use evenkeel_tools::demo::broker::{BrokerOptions, EmbeddedBroker};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::cluster::shared_broker;
use crate::eventually::eventually;
use crate::members::{QUICK, SLOW, join, load, produce};
use crate::process::{Serve, in_time};
use crate::watch::{Watch, is_settled};

/// Ten times the usual pace, so that a test has its decisions soon.
pub const BRISK: &str = "poll:\n  interval: 500ms\n  asleepInterval: 200ms\n";

/// Decisions that are enough to see whether an answer stands.
const SEVERAL: usize = 8;

/// One ScaledObject as KEDA calls about it.
pub struct Keda {
    client: ExternalScalerClient<Channel>,
    object: ScaledObjectRef,
    admin: String,
}

// === impl Keda ===

impl Keda {
    pub async fn new(
        serve: &Serve,
        bootstrap_servers: &str,
        name: &str,
        more: &[(&str, &str)],
    ) -> Self {
        let given = [
            ("bootstrapServers", bootstrap_servers),
            ("consumerGroup", name),
            ("topic", name),
            ("scalerAddress", "evenkeel:9090"),
        ];
        let metadata: HashMap<String, String> = given
            .iter()
            .chain(more)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Self {
            client: serve.client().await,
            object: ScaledObjectRef {
                name: name.to_owned(),
                namespace: "shop".to_owned(),
                scaler_metadata: metadata,
            },
            admin: format!("http://{}/api/v1/targets/shop/{name}", serve.admin),
        }
    }

    async fn spec(&mut self) -> Vec<MetricSpec> {
        let answer = in_time(self.client.get_metric_spec(self.object.clone())).await;
        answer.expect("a spec").into_inner().metric_specs
    }

    pub async fn replicas(&mut self) -> Result<i64, Status> {
        let request = GetMetricsRequest {
            scaled_object_ref: Some(self.object.clone()),
            metric_name: METRIC_NAME.to_owned(),
        };
        let answer = in_time(self.client.get_metrics(request)).await?;
        let values = answer.into_inner().metric_values;
        assert_eq!(values.len(), 1, "exactly one value: {values:?}");
        assert_eq!(values[0].metric_name, METRIC_NAME);
        Ok(values[0].metric_value)
    }

    async fn is_active(&mut self) -> Result<bool, Status> {
        let answer = in_time(self.client.is_active(self.object.clone())).await?;
        Ok(answer.into_inner().result)
    }

    /// Calls until the answer is as wanted.
    pub async fn until_replicas(&mut self, wanted: impl Fn(i64) -> bool) -> i64 {
        eventually("the replicas are as wanted", async || {
            match self.replicas().await {
                Ok(replicas) if wanted(replicas) => Ok(replicas),
                answer => Err(format!("{answer:?}")),
            }
        })
        .await
    }

    pub async fn until_active(&mut self, wanted: bool) {
        eventually("it sleeps, or not, as wanted", async || {
            match self.is_active().await {
                Ok(active) if active == wanted => Ok(()),
                answer => Err(format!("{answer:?}")),
            }
        })
        .await;
    }

    /// Until as many members are seen.
    pub async fn until_members(&self, wanted: u32) {
        eventually("as many members are seen as wanted", async || {
            let detail = self.fetch::<TargetDetail>("").await?;
            match detail.target.observed_replicas {
                Some(observed) if observed == wanted => Ok(()),
                observed => Err(format!("{observed:?}")),
            }
        })
        .await;
    }

    /// Every decision since `since_millis`, once there are several.
    async fn several_decisions(&self, since_millis: u64) -> Vec<PointView> {
        eventually("there are several decisions", async || {
            let points = self.decisions(since_millis).await?;
            if points.len() >= SEVERAL {
                Ok(points)
            } else {
                Err(format!("{points:?}"))
            }
        })
        .await
    }

    pub async fn decisions(&self, since_millis: u64) -> Result<Vec<PointView>, String> {
        let path = format!("/history?since={since_millis}");
        Ok(self.fetch::<History>(&path).await?.points)
    }

    async fn last_decision_at(&self) -> u64 {
        let decisions = self.decisions(0).await.expect("the admin server answers");
        decisions.last().expect("there is a decision").at_millis
    }

    pub async fn fetch<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        // The client asks for it even where nothing is encrypted. An error says it is there already.
        evenkeel_scaler::tls::use_ring();
        let answer = in_time(reqwest::get(format!("{}{path}", self.admin))).await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        let answer = answer.map_err(|error| error.to_string())?;
        answer.json().await.map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn replicas_follow_the_inbound_rate_to_sleep_and_the_first_record_wakes_them() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    broker.create_topic("followed", 4).await;
    let member = join(servers, "followed", "followed", &[QUICK]);
    let serve = Serve::start(BRISK).await;
    // 100 records/s: two replicas are right from 82 to 150, so chance decides nothing.
    let metadata = [("capacityPerReplica", "87.5"), ("catchUpSeconds", "600")];
    let mut keda = Keda::new(&serve, servers, "followed", &metadata).await;

    let spec = keda.spec().await;
    assert_eq!(spec.len(), 1, "the first call registers: {spec:?}");
    assert_eq!(spec[0].metric_name, METRIC_NAME);
    assert_eq!((spec[0].target_size, spec[0].target_size_float), (1, 1.0));
    keda.until_members(1).await;

    let producer = load(servers, "followed", "100", &["--null-keys"]);
    keda.until_replicas(|replicas| replicas == 2).await;
    assert!(keda.is_active().await.expect("an answer"));
    let reached = keda.last_decision_at().await;
    for point in keda.several_decisions(reached).await {
        assert_eq!(point.desired_replicas, Some(2), "it stands: {point:?}");
    }

    producer.leave().await;
    keda.until_active(false).await;
    member.leave().await;
    keda.until_members(0).await;
    keda.until_active(false).await;
    let stream = in_time(keda.client.stream_is_active(keda.object.clone())).await;
    let mut stream = stream.expect("a stream").into_inner();
    let first = in_time(stream.message()).await.expect("it is open");
    assert!(!first.expect("the state on opening").result, "it sleeps");
    produce(servers, "followed", 1).await;
    let next = in_time(stream.message()).await.expect("it is open");
    assert!(next.expect("the first record wakes it").result);
    assert!(keda.is_active().await.expect("an answer"));
    assert!(keda.replicas().await.expect("an answer") >= 1);
}

#[tokio::test]
async fn an_event_wakes_who_sleeps_before_it_begins() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    broker.create_topic("expected", 4).await;
    // It begins in 2 to 3 minutes. Until a start was seen its lead is 2.5 times what is told, and 40 s:
    // told so that the target sleeps for a while from now.
    let now = Clock::start().now().as_millis() / 1_000;
    let begins = (now / 60 + 3) * 60;
    let told = (begins - now - 55) * 2 / 5;
    let prepared_at_millis = (begins - 40) * 1_000 - told * 2_500;
    let (hour, minute) = (begins / 3_600 % 24, begins / 60 % 60);
    let event = format!(
        "- timezone: UTC\n  start: {minute} {hour} * * *\n  duration: 1h\n  recordsPerSecond: 250\n"
    );
    let metadata = [
        ("capacityPerReplica", "100"),
        ("startupSeconds", &told.to_string()),
        ("calendarEvents", &event),
    ];
    let serve = Serve::start(BRISK).await;
    let mut keda = Keda::new(&serve, servers, "expected", &metadata).await;
    keda.until_replicas(|_| true).await;
    let stream = in_time(keda.client.stream_is_active(keda.object.clone())).await;
    let mut stream = stream.expect("a stream").into_inner();
    keda.until_active(true).await;
    keda.until_replicas(|replicas| replicas == 4).await;
    let pushed = eventually("the stream says it, too", async || {
        let message = in_time(stream.message()).await.expect("it is open");
        let active = message.expect("it is open").result;
        if active {
            Ok(active)
        } else {
            Err("asleep".to_owned())
        }
    });
    assert!(pushed.await);

    let detail: TargetDetail = keda.fetch("").await.expect("an answer");
    assert_eq!(detail.calendar[0].starts_at_millis, begins * 1_000);
    assert_eq!(detail.calendar[0].records_per_second, Some(250.0));
    for point in keda.decisions(0).await.expect("an answer") {
        let Some(desired) = point.desired_replicas else {
            continue;
        };
        let is_prepared = point.at_millis >= prepared_at_millis;
        assert_eq!(desired, if is_prepared { 4 } else { 0 }, "{point:?}");
        assert_eq!(
            point.observed_replicas,
            Some(0),
            "nobody is there: {point:?}"
        );
        let verdict = if is_prepared { "Ahead" } else { "SteadyState" };
        assert!(
            point.verdict == verdict || point.verdict == "Warmup",
            "{point:?}"
        );
    }
}

#[tokio::test]
async fn a_killed_broker_is_stood_through_then_said_and_then_forgotten() {
    let mut broker = EmbeddedBroker::start(BrokerOptions::default())
        .await
        .expect("the broker starts (make setup)");
    let servers = broker.bootstrap_servers();
    let made = broker.topics().create_topic("orders", 3, 1, &[]).await;
    made.expect("the topic is made");
    let _members = [SLOW, SLOW].map(|pace| join(&servers, "orders", "orders", &[pace]));
    produce(&servers, "orders", 900).await;
    let serve = Serve::start(BRISK).await;
    let metadata = [
        ("capacityPerReplica", "1"),
        ("offsetResetPolicy", "earliest"),
        ("maxStalenessSeconds", "8"),
    ];
    let mut keda = Keda::new(&serve, &servers, "orders", &metadata).await;
    let wanted = keda.until_replicas(|replicas| replicas == 3).await;
    keda.until_members(2).await;
    let killed_after = keda.last_decision_at().await;

    broker.kill().await.expect("it is killed");
    let refusal = eventually("the last decision is too old", async || {
        match keda.replicas().await {
            Ok(replicas) => {
                assert_eq!(replicas, wanted, "what is unknown changes nothing");
                Err(format!("still {replicas}"))
            }
            Err(status) => Ok(status),
        }
    })
    .await;
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
    assert!(refusal.message().contains(&servers), "{refusal:?}");
    assert!(
        refusal.message().contains("check that the broker runs"),
        "it says what to do: {refusal:?}"
    );
    let refusal = keda.is_active().await.expect_err("neither is this known");
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
    assert_eq!(keda.spec().await.len(), 1, "the spec needs no broker");
    let decisions = keda.decisions(killed_after).await.expect("an answer");
    let held = decisions
        .iter()
        .filter(|point| point.desired_replicas.map(i64::from) == Some(wanted));
    let stale = held.clone().filter(|point| point.verdict == "Stale");
    assert!(stale.count() > 0, "it was held without data: {decisions:?}");
    let unknown = decisions
        .iter()
        .filter(|point| point.desired_replicas.is_none());
    assert_eq!(
        held.count() + unknown.count(),
        decisions.len(),
        "it held, or did not know, and nothing else: {decisions:?}"
    );

    broker.restart().await.expect("it starts again");
    keda.until_replicas(|replicas| replicas >= wanted).await;
    assert!(keda.is_active().await.expect("an answer"));
}

#[tokio::test]
async fn a_broker_that_comes_up_after_the_scaler_is_found() {
    let mut broker = EmbeddedBroker::start(BrokerOptions::default())
        .await
        .expect("the broker starts (make setup)");
    let servers = broker.bootstrap_servers();
    let made = broker.topics().create_topic("late", 2, 1, &[]).await;
    made.expect("the topic is made");
    produce(&servers, "late", 50).await;
    broker.kill().await.expect("it is killed");

    let serve = Serve::start(BRISK).await;
    let metadata = [("offsetResetPolicy", "earliest")];
    let mut keda = Keda::new(&serve, &servers, "late", &metadata).await;
    assert_eq!(keda.spec().await.len(), 1, "the spec needs no broker");
    let refusal = keda.replicas().await.expect_err("nothing is known");
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
    let refusal = keda.is_active().await.expect_err("nothing is known");
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
    assert!(refusal.message().contains(&servers), "{refusal:?}");

    broker.restart().await.expect("it starts again");
    keda.until_replicas(|replicas| replicas == 2).await;
    assert!(keda.is_active().await.expect("an answer"));
}

#[tokio::test]
async fn a_scaler_killed_under_load_comes_back_asking_for_no_fewer_than_there_are() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    broker.create_topic("resumed", 4).await;
    let _members = [QUICK, QUICK, QUICK].map(|pace| join(servers, "resumed", "resumed", &[pace]));
    let mut bystander = Watch::of(servers, "resumed", "resumed");
    bystander
        .until("three members share the topic", |reading| {
            is_settled(reading, 3, 4)
        })
        .await;
    // One replica would do for this load: only that it was just started keeps the others.
    let _producer = load(servers, "resumed", "20", &["--null-keys"]);
    let metadata = [("capacityPerReplica", "1000")];

    let mut serve = Serve::start(BRISK).await;
    let mut keda = Keda::new(&serve, servers, "resumed", &metadata).await;
    let first = keda.until_replicas(|_| true).await;
    assert!(first >= 3, "the very first answer is {first}");
    serve.signal("KILL");
    serve.end().await;

    let serve = Serve::start(BRISK).await;
    let mut keda = Keda::new(&serve, servers, "resumed", &metadata).await;
    let first = keda.until_replicas(|_| true).await;
    assert!(first >= 3, "the very first answer is {first}");
    for point in keda.several_decisions(0).await {
        assert!(
            point.desired_replicas.is_none_or(|replicas| replicas >= 3),
            "{point:?}"
        );
        assert!(
            point.observed_replicas.is_none_or(|observed| observed == 3),
            "{point:?}"
        );
    }
    assert!(keda.is_active().await.expect("an answer"));
}

#[tokio::test]
async fn decisions_that_were_recorded_are_made_again_to_the_byte() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    broker.create_topic("recorded", 4).await;
    let _members = [QUICK, QUICK].map(|pace| join(servers, "recorded", "recorded", &[pace]));
    let _producer = load(servers, "recorded", "100", &["--null-keys"]);
    let serve = Serve::start(BRISK).await;
    let mut keda = Keda::new(&serve, servers, "recorded", &[]).await;
    keda.until_replicas(|_| true).await;
    keda.until_members(2).await;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("recorded.json").display().to_string();
    let admin = format!("http://{}", serve.admin);
    let target = "shop/recorded";
    let asked = ["--decisions", "5", "--server", &admin];
    let recorded = explain(&[&[target, "--record", &path][..], &asked].concat()).await;
    assert!(recorded.status.success(), "{recorded:?}");
    let text = std::fs::read_to_string(&path).expect("a recording");
    assert!(!text.contains(servers), "how Kafka is reached is nobody's");
    let recording = Recording::of_text(&text).expect("a whole recording");
    assert_eq!(recording.ticks.len(), 5);
    let published = keda.decisions(0).await.expect("an answer");
    for tick in &recording.ticks {
        let at = tick.decision.at.as_millis();
        let point = published.iter().find(|point| point.at_millis == at);
        let point = point.expect("what was recorded is what was published");
        assert_eq!(point.verdict, tick.decision.verdict.label());
    }

    let replayed = explain(&["--replay", &path]).await;
    assert!(replayed.status.success(), "{replayed:?}");
    let said = String::from_utf8_lossy(&replayed.stdout);
    assert!(said.starts_with("shop/recorded: "), "{said}");
    assert!(said.contains("5 of 5 decisions"), "{said}");

    for (other, words) in [
        (text[..text.len() / 2].to_owned(), "was it copied whole?"),
        (
            text.replacen("shop", "stop", 1),
            "was changed after it was made",
        ),
        (text.replacen(":1,", ":9,", 1), "in format 9"),
    ] {
        std::fs::write(&path, other).expect("the file");
        let refused = explain(&["--replay", &path]).await;
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{said}");
    }
}

/// Runs `evenkeel explain`.
pub async fn explain(arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    let command = command.arg("explain").args(arguments);
    in_time(command.output()).await.expect("the program runs")
}
