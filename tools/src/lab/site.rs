//! Everything that the runs of a lab share: the lab itself, a broker, Prometheus, the scaler with as
//! many replicas as the chart gives it, and with the chart's rights.
//!
//! One site a run, so that no run meets what another one left. The order of taking down is that of the
//! data: what is in the cluster first, the broker last.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::LabError;
use super::cluster::{Lab, answer, late};
use super::days;
use super::scalers::{self, Replica, Scalers};
use super::scenario::Scenario;
use crate::demo::broker::{BrokerOptions, EmbeddedBroker, KafkaTools, Progress};
use crate::demo::programs::{LogFolder, Programs, io};
use crate::demo::{DemoError, ports, process, settings};
use evenkeel_engine::Timestamp;
use evenkeel_scaler::clock::Clock;

/// How long a program may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How often it is tried.
const START_POLL: Duration = Duration::from_millis(100);

/// How long Prometheus may take to end.
const PROMETHEUS_GRACE: Duration = Duration::from_secs(5);

/// The tool that resets a group's offsets.
const GROUP_TOOL: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

/// What is wanted of a site.
#[derive(Clone, Debug, Default)]
pub struct SiteOptions {
    /// The lab's folder.
    pub lab: PathBuf,
    /// The chart's manifests as they are rendered.
    pub manifests: PathBuf,
    /// How many replicas the scaler has.
    pub replicas: u8,
    /// Whether anybody asks Prometheus.
    pub prometheus: bool,
    /// The load of earlier days that Prometheus knows, and its topic.
    pub earlier: Option<(Scenario, String)>,
    /// Where our other programs are, if not beside this one.
    pub programs: Option<PathBuf>,
    /// Where logs stay when the run is over; nowhere, if not said.
    pub logs: Option<PathBuf>,
}

/// What runs around the trials.
#[derive(Debug)]
pub struct Site {
    /// Kubernetes and KEDA.
    pub lab: Lab,
    /// Kafka.
    pub broker: EmbeddedBroker,
    /// Our programs.
    pub programs: Programs,
    /// The time.
    pub clock: Clock,
    /// When the load begins, where earlier days say so.
    pub begins: Option<Timestamp>,
    /// The scaler's address for KEDA.
    pub scaler_address: String,
    scalers: Mutex<Scalers>,
    prometheus: Option<Prometheus>,
    kept_logs: Option<PathBuf>,
    folder: TempDir,
}

/// A real Prometheus that scrapes the broker.
#[derive(Debug)]
struct Prometheus {
    child: Child,
    url: String,
}

// === impl Site ===

impl Site {
    /// Starts all of it.
    ///
    /// # Errors
    /// When a part cannot be started. Dropping what is there ends the others.
    pub async fn start(options: &SiteOptions) -> Result<Self, LabError> {
        let programs = Programs::beside(options.programs.as_deref())?;
        let folder = tempfile::Builder::new()
            .prefix("evenkeel-site-")
            .tempdir()
            .map_err(io("making a folder for the run"))?;
        let logs = LogFolder::new(folder.path().to_owned());
        let progress = Progress::shown();
        let broker = EmbeddedBroker::start(BrokerOptions {
            properties: settings::timing_of_a_cluster(),
            jmx: options.prometheus,
            progress: progress.clone(),
            ..BrokerOptions::default()
        })
        .await?;
        let clock = Clock::start();
        let mut begins = None;
        if let Some((scenario, topic)) = &options.earlier {
            let now = clock.now();
            let begin = days::begin(now, scenario.before());
            days::remember(folder.path(), scenario, topic, begin, now).await?;
            begins = Some(begin);
        }
        let prometheus = match broker.jmx_port() {
            Some(port) => Some(Prometheus::start(folder.path(), port).await?),
            None => None,
        };
        progress.say("Starting the lab");
        let lab = Lab::start(&options.lab, &[("HARNESS_AUTHORIZATION", "RBAC")]).await;
        progress.done();
        let lab = lab?;
        let manifests = std::fs::read_to_string(&options.manifests)
            .map_err(io(&format!("reading {}", options.manifests.display())))?;
        let kubeconfig = folder.path().join("kubeconfig");
        scalers::admit(&lab, &manifests, &kubeconfig).await?;
        let servers = broker.bootstrap_servers();
        let mut scalers = Scalers::new(&programs.evenkeel, logs, &servers, &kubeconfig).await?;
        scalers.prometheus = prometheus.as_ref().map(|server| server.url.clone());
        for _ in 0..options.replicas {
            scalers.start_listed().await?;
        }
        Ok(Self {
            lab,
            broker,
            programs,
            clock,
            begins,
            scaler_address: scalers.address(),
            scalers: Mutex::new(scalers),
            prometheus,
            kept_logs: options.logs.clone(),
            folder,
        })
    }

    /// Where the programs of one part log.
    pub fn logs(&self, part: &str) -> LogFolder {
        LogFolder::new(self.folder.path().join(part))
    }

    /// Prometheus' address, where there is one.
    pub fn prometheus(&self) -> Option<&str> {
        self.prometheus.as_ref().map(|server| server.url.as_str())
    }

    /// Whether every replica of the scaler still runs.
    ///
    /// # Errors
    /// With the end of its log, if not.
    pub async fn check(&self) -> Result<(), DemoError> {
        let scalers = &mut *self.scalers.lock().await;
        scalers.replicas.iter_mut().try_for_each(Replica::check)
    }

    /// Commits the begin of every partition of `topic` for `group`, as a group that has worked before
    /// has committed.
    ///
    /// # Errors
    /// When Kafka's tool says no.
    pub async fn commit_the_begin(&self, topic: &str, group: &str) -> Result<(), LabError> {
        let servers = self.broker.bootstrap_servers();
        let arguments = [
            "--bootstrap-server",
            &servers,
            "--group",
            group,
            "--topic",
            topic,
            "--reset-offsets",
            "--to-earliest",
            "--execute",
        ];
        let tools = KafkaTools::provision().await?;
        let output = tools.run(GROUP_TOOL, arguments).await?;
        answer("committing offsets", Ok(output)).map(drop)
    }

    /// Ends everything, in order.
    pub async fn stop(mut self) {
        if let Some(kept) = &self.kept_logs {
            keep(self.lab.folder(), &kept.join("lab"));
            keep(self.folder.path(), &kept.join("programs"));
        }
        self.lab.stop().await;
        self.scalers.lock().await.end().await;
        if let Some(prometheus) = &mut self.prometheus {
            process::end(&mut prometheus.child, PROMETHEUS_GRACE).await;
        }
        self.broker.stop().await;
    }
}

// === impl Prometheus ===

impl Prometheus {
    async fn start(folder: &Path, target: u16) -> Result<Self, LabError> {
        let program = process::find_program("prometheus");
        let program = program.ok_or(DemoError::MissingProgram {
            program: "prometheus",
        })?;
        let config = folder.join("prometheus.yml");
        let text = serde_json::json!({
            "global": {"scrape_interval": format!("{}s", days::SCRAPE_SECONDS)},
            "scrape_configs": [{
                "job_name": "kafka",
                "static_configs": [{"targets": [format!("127.0.0.1:{target}")]}],
            }],
        });
        std::fs::write(&config, text.to_string()).map_err(io("configuring Prometheus"))?;
        let address = ports::free().map_err(io("finding a port"))?;
        let child = process::bound_command(&program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("prometheus").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(io("starting Prometheus"))?;
        listens("Prometheus", address).await?;
        Ok(Self {
            child,
            url: format!("http://{address}"),
        })
    }
}

/// Waits until somebody listens.
async fn listens(what: &str, address: std::net::SocketAddr) -> Result<(), LabError> {
    let deadline = Instant::now() + START_TIMEOUT;
    while TcpStream::connect(address).await.is_err() {
        if Instant::now() >= deadline {
            return Err(late(&format!("waiting for {what}"), START_TIMEOUT));
        }
        tokio::time::sleep(START_POLL).await;
    }
    Ok(())
}

/// Copies the logs of `from`; what cannot be copied is left out, as nothing but reading hangs on it.
fn keep(from: &Path, to: &Path) {
    for part in ["", "logs", "pods"] {
        let _ = std::fs::create_dir_all(to.join(part));
        let files = std::fs::read_dir(from.join(part)).into_iter().flatten();
        let is_log = |path: &Path| matches!(path.extension(), Some(kind) if kind == "log" || kind == "jsonl");
        for file in files.flatten().filter(|file| is_log(&file.path())) {
            let _ = std::fs::copy(file.path(), to.join(part).join(file.file_name()));
        }
    }
}
