//! A running server with an empty registry, and the ways to talk to it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::{Cause, Decision, Desired, Inputs, Verdict};
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::config::Config;
use evenkeel_scaler::control::registry::Registry;
use evenkeel_scaler::control::target::{Published, Target};
use evenkeel_scaler::grpc::layers::observe::Observe;
use evenkeel_scaler::grpc::wire::external_scaler_client::ExternalScalerClient;
use evenkeel_scaler::grpc::wire::{GetMetricsRequest, ScaledObjectRef};
use evenkeel_scaler::grpc::{Forward, Health, METRIC_NAME, Scaler, ServeError, layers, serve};
use evenkeel_scaler::leader::Leadership;
use evenkeel_scaler::metrics::{Metrics, RpcLabels};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};

/// The longest that anything here is waited for; only a defect takes so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the handlers read, without a socket.
pub struct World {
    pub scaler: Scaler,
    pub config: Arc<Config>,
    pub registry: Arc<Registry>,
    pub clock: Clock,
    pub metrics: Metrics,
    pub shutdown: CancellationToken,
}

/// The same behind a socket.
pub struct Running {
    pub world: World,
    pub address: SocketAddr,
    pub health: Health,
    pub served: JoinHandle<Result<(), ServeError>>,
}

impl World {
    pub fn new(yaml: &str) -> Self {
        let config = Arc::new(Config::read(yaml, None, std::iter::empty()).unwrap());
        let registry = Arc::new(Registry::new(
            config.limits.targets,
            config.limits.history_points,
        ));
        let clock = Clock::start();
        let metrics = Metrics::default();
        let shutdown = CancellationToken::new();
        let scaler = Scaler::new(
            Arc::clone(&config),
            Arc::clone(&registry),
            clock,
            Forward::new(Leadership::alone(clock), None),
            shutdown.clone(),
        );
        Self {
            scaler,
            config,
            registry,
            clock,
            metrics,
            shutdown,
        }
    }

    /// The services in their layers without a socket: a client of it does no I/O, so that tokio's
    /// paused clock stands still while a call can go on.
    pub fn services(&self, health: &Health) -> Observe<Routes> {
        let limits = self.config.limits;
        layers::services(limits, self.scaler.clone(), health, &self.metrics).unwrap()
    }

    pub fn target(&self, name: &str) -> Arc<Target> {
        self.registry.find("shop", name).expect("registered")
    }

    pub fn publish(&self, name: &str, desired: Desired, problems: &[&str]) {
        let now = self.clock.now();
        self.target(name).publish(Published {
            decision: Decision {
                at: now,
                desired,
                verdict: Verdict::SteadyState,
                reason: String::new(),
                findings: Vec::new(),
                trail: Vec::new(),
                inputs: Inputs::default(),
                valid_until: now.plus(Duration::from_secs(120)),
            },
            problems: problems
                .iter()
                .map(|problem| (*problem).to_owned())
                .collect(),
            upcoming: Arc::from([]),
            foresight: None,
            data_at: Some(now),
        });
    }

    pub fn calls(&self, method: &'static str, code: &'static str) -> u64 {
        self.metrics
            .rpcs
            .get_or_create(&RpcLabels { method, code })
            .get()
    }

    /// Calls that the histogram has a sample of, by method.
    pub fn timed(&self, method: &str) -> u64 {
        let sample = format!("evenkeel_rpc_duration_seconds_count{{method=\"{method}\"}} ");
        let mut registry = prometheus_client::registry::Registry::default();
        self.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let mut counts = text.lines().filter_map(|line| line.strip_prefix(&sample));
        counts.next().map_or(0, |count| count.parse().unwrap())
    }
}

impl Running {
    pub async fn start(yaml: &str) -> Self {
        let world = World::new(yaml);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let health = Health::new().await;
        let served = tokio::spawn({
            let config = Arc::clone(&world.config);
            let scaler = world.scaler.clone();
            let health = health.clone();
            let metrics = world.metrics.clone();
            let shutdown = world.shutdown.clone();
            async move { serve(listener, &config, scaler, health, &metrics, shutdown, None).await }
        });
        Self {
            world,
            address,
            health,
            served,
        }
    }

    pub async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address))
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    pub async fn client(&self) -> ExternalScalerClient<Channel> {
        ExternalScalerClient::new(self.channel().await)
    }

    /// Shuts the server down and waits for its end.
    pub async fn stop(self) {
        self.world.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.served)
            .await
            .expect("the server ends")
            .unwrap()
            .unwrap();
    }
}

pub fn known(replicas: u32, active: bool) -> Desired {
    Desired::Known { replicas, active }
}

pub fn unknown(cause: Cause) -> Desired {
    Desired::Unknown { cause }
}

/// A ScaledObject as KEDA sends it.
pub fn scaled_object(name: &str) -> ScaledObjectRef {
    with_metadata(name, &[])
}

pub fn with_metadata(name: &str, pairs: &[(&str, &str)]) -> ScaledObjectRef {
    let mut metadata: HashMap<String, String> = [
        ("scalerAddress", "evenkeel:9090"),
        ("bootstrapServers", "kafka:9092"),
        ("consumerGroup", "trades"),
        ("topic", "orders"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    for (key, value) in pairs {
        metadata.insert((*key).to_owned(), (*value).to_owned());
    }
    ScaledObjectRef {
        name: name.to_owned(),
        namespace: "shop".to_owned(),
        scaler_metadata: metadata,
    }
}

pub fn metrics_of(scaled_object: ScaledObjectRef) -> GetMetricsRequest {
    GetMetricsRequest {
        scaled_object_ref: Some(scaled_object),
        metric_name: METRIC_NAME.to_owned(),
    }
}

/// What `future` gives, within all patience.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it takes for ever")
}

/// Waits until `condition` holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
