//! `make cluster-test`: several replicas of the scaler under real KEDA, with the chart's rights and with
//! faults.
//!
//! It decides what is done in which order, and what is wrong: a count that changes for no reason, an
//! answer that differs, two leaders. Times are figures beside their goals. The parts are
//! `evenkeel_tools::lab`; how figures are written down is `report`. Whatever ends it, what it has
//! started ends too. It is no part of the program `evenkeel`.

mod faults;
mod life;
mod many;
mod requests;
mod rights;
mod secured;
mod triggers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use evenkeel_engine::Timestamp;
use evenkeel_scaler::admin::api::TargetDetail;
use evenkeel_scaler::clock::{self, Clock};
use evenkeel_tools::cli::demo::cancel_on_signals;
use evenkeel_tools::demo::broker::jars::KAFKA;
use evenkeel_tools::demo::broker::{BrokerOptions, EmbeddedBroker};
use evenkeel_tools::demo::programs::{LogFolder, Producer, Programs};
use evenkeel_tools::demo::settings;
use evenkeel_tools::lab::cluster::Lab;
use evenkeel_tools::lab::probes::{self, Probes};
use evenkeel_tools::lab::release::Release;
use evenkeel_tools::lab::report::Report;
use evenkeel_tools::lab::scalers::{self, Scalers};
use evenkeel_tools::lab::workload::{Follow, Workload, list};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "shop";
const NAME: &str = "trade-workers";
const TOPIC: &str = "trades";
const PARTITIONS: i32 = 24;
/// Records/s to begin with, and what the two steps add: 3, 6 and 12 replicas at 100 each.
const LOADS: [u32; 3] = [200, 200, 400];
/// Longer than all of it takes.
const LOAD_SECONDS: u64 = 14_400;
/// How long counts have to stand until they count as resting, and how long that may take.
const REST: Duration = Duration::from_secs(30);
const REST_WITHIN: Duration = Duration::from_secs(900);
/// So much lag a replica that no rule by lag has anything to ask for.
const LAG_THRESHOLD: &str = "100000";
/// Names whose manifests are applied at a time.
const BATCH: usize = 100;
/// Ended by Ctrl-C, as shells say it.
const EXIT_INTERRUPTED: u8 = 130;

/// Several replicas of the scaler under real KEDA, with the chart's rights and with faults.
#[derive(Debug, Parser)]
struct Args {
    /// The lab's folder: its up.sh, down.sh, ctl.sh and lib.sh
    #[arg(long)]
    lab: PathBuf,

    /// Which steps, by blanks, in this order
    #[arg(
        long,
        default_value = "step wrong move tls kill stop roll restart outage rights life requests many"
    )]
    steps: String,

    /// How long the API server is away, in seconds
    #[arg(long, default_value = "300")]
    outage: u64,

    /// The chart's manifests as they are rendered
    #[arg(long, default_value = "deploy/helm/rendered/evenkeel/default.yaml")]
    manifests: PathBuf,

    /// The chart
    #[arg(long, default_value = "deploy/helm/evenkeel")]
    chart: PathBuf,

    /// helm, for the step life
    #[arg(long)]
    helm: Option<PathBuf>,

    /// Where the other programs are, if not beside this one
    #[arg(long)]
    programs: Option<PathBuf>,

    /// Where the figures are written; nowhere, if not said
    #[arg(long)]
    page: Option<PathBuf>,

    /// Which evenkeel this is
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    revision: String,
}

/// All that runs, and what has been found.
struct Test {
    args: Args,
    clock: Clock,
    begun: Timestamp,
    manifests: String,
    folder: TempDir,
    programs: Programs,
    broker: EmbeddedBroker,
    lab: Lab,
    scalers: Scalers,
    /// The chart in place of `scalers`, while it is installed.
    release: Option<Release>,
    probes: Probes,
    follow: Option<Follow>,
    /// Counts that the Deployment was asked for.
    asked: Vec<(Timestamp, u32)>,
    producers: Vec<Producer>,
    report: Report,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let stop = CancellationToken::new();
    tokio::spawn(cancel_on_signals(stop.clone()));
    let Some(test) = stop.run_until_cancelled(Test::start(args)).await else {
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    };
    let mut test = test?;
    let played = stop.run_until_cancelled(test.play()).await;
    let code = match &played {
        None => ExitCode::from(EXIT_INTERRUPTED),
        Some(_) if test.report.is_wrong() => ExitCode::FAILURE,
        Some(_) => ExitCode::SUCCESS,
    };
    println!("{}", test.report.table());
    test.stop().await;
    played.transpose()?;
    Ok(code)
}

// === impl Test ===

impl Test {
    async fn start(args: Args) -> anyhow::Result<Self> {
        let manifests = std::fs::read_to_string(&args.manifests)
            .with_context(|| format!("reading {}", args.manifests.display()))?;
        let programs = Programs::beside(args.programs.as_deref())?;
        let folder = tempfile::Builder::new()
            .prefix("evenkeel-cluster-")
            .tempdir()?;
        let broker = EmbeddedBroker::start(BrokerOptions {
            properties: settings::timing_of_a_cluster(),
            jmx: true,
            ..BrokerOptions::default()
        });
        let broker = broker.await?;
        broker
            .topics()
            .create_topic(TOPIC, PARTITIONS, 1, &[])
            .await?;
        let lab = Lab::start(&args.lab, &[("HARNESS_AUTHORIZATION", "RBAC")]).await?;
        let kubeconfig = folder.path().join("kubeconfig");
        scalers::admit(&lab, &manifests, &kubeconfig).await?;
        let logs = LogFolder::new(folder.path().join("scalers"));
        let servers = broker.bootstrap_servers();
        let scalers = Scalers::new(&programs.evenkeel, logs, &servers, &kubeconfig).await?;
        let clock = Clock::start();
        let target = probes::target(NAMESPACE, NAME, &metadata(&scalers.address()));
        let report = Report::new(
            &clock::day(clock::wall()),
            &format!(
                "evenkeel {}, {}, {}",
                args.revision,
                lab.versions().await,
                KAFKA.name
            ),
        );
        Ok(Self {
            args,
            clock,
            begun: clock.now(),
            manifests,
            folder,
            programs,
            broker,
            lab,
            scalers,
            release: None,
            probes: Probes::new(clock, target),
            follow: None,
            asked: Vec::new(),
            producers: Vec::new(),
            report,
        })
    }

    async fn stop(mut self) {
        self.follow = None;
        self.lab.stop().await;
        self.scalers.end().await;
        for producer in &mut self.producers {
            producer.end().await;
        }
        self.broker.stop().await;
    }

    async fn play(&mut self) -> anyhow::Result<()> {
        let steps = self.args.steps.clone();
        let all = [
            "step", "wrong", "move", "tls", "kill", "stop", "roll", "restart", "outage", "rights",
            "life", "requests", "many",
        ];
        let chosen: Vec<&str> = steps.split_whitespace().collect();
        if let Some(unknown) = chosen.iter().find(|step| !all.contains(step)) {
            bail!("{unknown:?} is none of {}", all.join(" "));
        }
        if chosen
            .iter()
            .any(|step| !["requests", "many"].contains(step))
        {
            self.set_up().await?;
        }
        let mut alone = None;
        for step in &chosen {
            self.say(step);
            match *step {
                "step" => alone = Some(self.step_alone().await?),
                "wrong" => self.wrong().await?,
                "move" => self.moved().await?,
                "tls" => self.secured().await?,
                "kill" => self.kill().await?,
                "stop" => self.stop_and_go_on().await?,
                "roll" => self.roll(alone.as_ref()).await?,
                "restart" => self.restart().await?,
                "outage" => self.outage().await?,
                "rights" => self.rights().await?,
                "life" => self.life().await?,
                "requests" => self.requests().await?,
                _ => self.many().await?,
            }
        }
        if let Some(page) = &self.args.page {
            std::fs::write(page, self.report.page())?;
        }
        Ok(())
    }

    fn say(&self, what: &str) {
        let time = self.clock.now().since(self.begun);
        println!("{:>6.1} s  {what}", seconds(time));
    }

    async fn start_replica(&mut self) -> anyhow::Result<u8> {
        let number = self.scalers.start_listed().await?;
        self.probes.ask(number, self.scalers.get(number)?.grpc);
        Ok(number)
    }

    fn load(&mut self, rate: u32) -> anyhow::Result<()> {
        let logs = LogFolder::new(
            self.folder
                .path()
                .join(format!("load-{}", self.producers.len())),
        );
        let servers = self.broker.bootstrap_servers();
        let steps = [(rate.to_string(), Duration::from_secs(LOAD_SECONDS))];
        let steps = steps.into_iter();
        let producer = Producer::start_steps(&self.programs, &logs, &servers, TOPIC, steps)?;
        self.producers.push(producer);
        Ok(())
    }

    /// Two replicas, a Deployment of consumers, a load, a ScaledObject; until it rests.
    async fn set_up(&mut self) -> anyhow::Result<()> {
        for _ in 0..2 {
            self.start_replica().await?;
        }
        let servers = self.broker.bootstrap_servers();
        let arguments = settings::consumer_arguments(
            "classic",
            &servers,
            TOPIC,
            NAME,
            settings::CAPACITY_PER_REPLICA,
            None,
        );
        let consumer = self.programs.consumer.display().to_string();
        let workload = Workload {
            namespace: NAMESPACE.to_owned(),
            name: NAME.to_owned(),
            replicas: 1,
            command: std::iter::once(consumer).chain(arguments).collect(),
            start: Duration::from_secs(1),
            ready: Duration::from_secs(1),
        };
        self.lab.apply(&workload.manifests()).await?;
        self.follow = Some(Follow::start(&self.lab, NAMESPACE, NAME, self.clock));
        let [first, ..] = LOADS;
        self.load(first)?;
        let address = self.scalers.address();
        let trigger = metadata(&address);
        let scaled_object = scaled_object(NAMESPACE, NAME, 1, &trigger);
        self.lab.apply(&scaled_object.to_string()).await?;
        self.say("waiting until the capacity is learned and the count rests");
        self.rest().await?;
        Ok(())
    }

    /// Ends all that the steps before have left: loads, replicas of the scaler, consumers.
    async fn clear(&mut self) {
        self.follow = None;
        for producer in &mut self.producers {
            producer.end().await;
        }
        self.end_scalers().await;
        self.delete_all(NAMESPACE).await;
    }

    /// Deletes the ScaledObjects and Deployments of a namespace, if there are any.
    async fn delete_all(&self, namespace: &str) {
        let all = [
            "delete",
            "scaledobjects,deployments",
            "--all",
            "-n",
            namespace,
        ];
        self.lab.ask(&all).await.ok();
    }

    /// Applies so many Deployments in a namespace of their own, of pods that are only pretended, each with
    /// its ScaledObject.
    async fn apply_all(
        &self,
        namespace: &str,
        count: usize,
        replicas: u32,
        object: impl Fn(&str) -> Value,
    ) -> anyhow::Result<()> {
        let place =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        self.lab.apply(&list(&[place])).await?;
        let names: Vec<String> = (0..count)
            .map(|number| format!("target-{number}"))
            .collect();
        for batch in names.chunks(BATCH) {
            let objects = batch.iter().flat_map(|name| {
                let labels = json!({"app": name});
                let deployment = json!({
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "metadata": {"name": name, "namespace": namespace},
                    "spec": {
                        "replicas": replicas,
                        "selector": {"matchLabels": labels},
                        "template": {
                            "metadata": {"labels": labels},
                            "spec": {"containers": [{"name": "c", "image": "none"}]},
                        },
                    },
                });
                [deployment, object(name)]
            });
            self.lab.apply(&list(&objects.collect::<Vec<_>>())).await?;
        }
        Ok(())
    }

    /// Notes what the Deployment was asked for.
    fn look(&mut self) {
        if let Some(follow) = &mut self.follow {
            let changes = follow.changes().into_iter();
            self.asked
                .extend(changes.map(|(at, replicas)| (at, replicas.asked)));
        }
    }

    fn asked_since(&mut self, from: Timestamp) -> Vec<u32> {
        self.look();
        let later = self.asked.iter().filter(|(at, _)| *at > from);
        let mut counts: Vec<u32> = later.map(|(_, count)| *count).collect();
        let before = self.asked.iter().rev().find(|(at, _)| *at <= from);
        counts.insert(0, before.map_or(0, |(_, count)| *count));
        counts.dedup();
        counts
    }

    async fn detail(&self) -> anyhow::Result<TargetDetail> {
        let detail = match &self.release {
            Some(release) => release.target(NAMESPACE, NAME).await,
            None => {
                let leader = self.scalers.get(self.scalers.leader().await?)?;
                leader.target(NAMESPACE, NAME).await
            }
        };
        detail.context("the leader knows nothing of the target")
    }

    /// Waits until a capacity, learned or told to a release, and one count have stood for a while; the two.
    async fn rest(&mut self) -> anyhow::Result<(i64, f64)> {
        let deadline = Instant::now() + REST_WITHIN;
        let mut since = None;
        while Instant::now() < deadline {
            sleep(Duration::from_secs(1)).await;
            self.look();
            let replicas = self.follow.as_ref().and_then(Follow::last);
            let decision = self.detail().await.ok().and_then(|detail| detail.decision);
            let now = decision.as_ref().and_then(|decision| {
                let capacity = decision.inputs.capacity_per_replica_records_per_second?;
                let count = decision.trail.last()?.after_replicas;
                let rests = (decision.inputs.capacity_learned || self.release.is_some())
                    && !decision.inputs.rebalancing
                    && replicas.is_some_and(|it| it.asked == count && it.ready == count);
                rests.then_some((count, capacity))
            });
            since = match (now, since) {
                (None, _) => None,
                (Some((count, capacity)), Some((known, begun))) if known == count => {
                    if self.clock.now().since(begun) >= REST {
                        return Ok((i64::from(count), capacity));
                    }
                    Some((count, begun))
                }
                (Some((count, _)), _) => Some((count, self.clock.now())),
            };
        }
        let decision = self.detail().await?.decision;
        bail!("the count does not rest: {decision:?}")
    }
}

/// The trigger of the ScaledObject behind `address`.
fn metadata(address: &str) -> [(&str, &str); 7] {
    metadata_of(address, NAME, TOPIC)
}

/// The trigger of one for another group.
fn metadata_of<'a>(address: &'a str, group: &'a str, topic: &'a str) -> [(&'a str, &'a str); 7] {
    [
        ("scalerAddress", address),
        ("cluster", "lab"),
        ("topic", topic),
        ("consumerGroup", group),
        ("offsetResetPolicy", "earliest"),
        // So that one replica is overloaded, and its capacity learned, before there are more.
        ("lagThreshold", LAG_THRESHOLD),
        ("scaleDownStabilizationWindowSeconds", "60"),
    ]
}

/// A ScaledObject that lets every decision through.
fn scaled_object(
    namespace: &str,
    name: &str,
    min_replicas: u32,
    trigger: &[(&str, &str)],
) -> Value {
    let trigger: BTreeMap<&str, &str> = trigger.iter().copied().collect();
    let rule = |policy: Value| json!({"tolerance": 0, "stabilizationWindowSeconds": 0, "policies": [policy]});
    json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"name": name},
            "minReplicaCount": min_replicas,
            "maxReplicaCount": PARTITIONS,
            "pollingInterval": 15,
            "triggers": [{
                "type": "external-push", "metricType": "AverageValue", "metadata": trigger,
            }],
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {
                "scaleUp": rule(json!({"type": "Pods", "value": 24, "periodSeconds": 15})),
                "scaleDown": rule(json!({"type": "Percent", "value": 100, "periodSeconds": 15})),
            }}},
        },
    })
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
