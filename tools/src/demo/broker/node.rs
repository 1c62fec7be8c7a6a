//! One broker process: its configuration, its folder, its start and its end.
//!
//! The settings favour small and quick over durable: one thread where Kafka takes eight, two seconds
//! until a killed broker's old registration has expired (with Kafka's nine a restart waits eleven;
//! below two a busy machine might fence a live broker), internal topics of one partition.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::Instant;

use super::client::Client;
use super::runtime::Runtime;
use super::{BrokerError, BrokerOptions, Listener, io_error, node_id_of};
use crate::demo::process;

/// How long a start may take. Two seconds are usual; a machine that compiles beside it needs more.
const READY_TIMEOUT: Duration = Duration::from_secs(90);

/// How often a starting broker is asked whether it is ready.
const READY_POLL: Duration = Duration::from_millis(50);

/// How long a broker may take to end in order.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// How long a dropped broker may take to die of SIGKILL before its folder is removed under it. Each
/// of its seventy threads has to be scheduled once more for that: on an idle machine milliseconds, on
/// one with ten builds beside it more than five seconds were seen.
const DROP_GRACE: Duration = Duration::from_secs(30);

/// How often a restart is tried while something else sits on its port.
const RESTART_ATTEMPTS: u32 = 5;

/// How much of the log's end an error shows.
const LOG_TAIL_LINES: usize = 30;
const LOG_TAIL_BYTES: u64 = 16 * 1024;

/// What the agent shows: requests by api, and records by topic, under the names that Kafka's users
/// know from the JMX exporter.
const JMX_RULES: &str = r#"rules:
- pattern: kafka.network<type=RequestMetrics, name=RequestsPerSec, request=(.+), version=(.+)><>Count
  name: kafka_requests
  type: GAUGE
  labels: {request: "$1", version: "$2"}
- pattern: kafka.server<type=BrokerTopicMetrics, name=(.+), topic=(.+)><>Count
  name: kafka_server_BrokerTopicMetrics_Count
  type: GAUGE
  labels: {name: "$1", topic: "$2"}
- pattern: kafka.server<type=socket-server-metrics, listener=(.+), networkProcessor=(.+)><>connection-count
  name: kafka_connections
  type: GAUGE
  labels: {listener: "$1", thread: "$2"}
"#;

/// The settings that are the same for every node.
const COMMON_PROPERTIES: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("controller.listener.names", "CONTROLLER"),
    ("auto.create.topics.enable", "false"),
    // Small and quick.
    ("offsets.topic.num.partitions", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("share.coordinator.state.topic.num.partitions", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("log.cleaner.dedupe.buffer.size", "2097152"),
    ("log.cleaner.io.buffer.size", "65536"),
    ("log.index.size.max.bytes", "1048576"),
    ("num.network.threads", "1"),
    ("num.io.threads", "2"),
    ("background.threads", "2"),
    ("group.coordinator.threads", "1"),
    // Quick restarts after SIGKILL.
    ("broker.heartbeat.interval.ms", "200"),
    ("broker.session.timeout.ms", "2000"),
    ("controller.quorum.election.timeout.ms", "500"),
    ("controller.quorum.fetch.timeout.ms", "1000"),
    // Quick KIP-848 rebalances: Kafka's 5 s heartbeat would make each take five seconds.
    ("group.consumer.min.heartbeat.interval.ms", "100"),
    ("group.consumer.heartbeat.interval.ms", "500"),
    ("group.consumer.min.session.timeout.ms", "1000"),
    ("group.consumer.session.timeout.ms", "6000"),
    // Bounded disk.
    ("log.segment.bytes", "8388608"),
    ("log.retention.bytes", "67108864"),
    ("log.retention.check.interval.ms", "5000"),
    ("log.segment.delete.delay.ms", "1000"),
];

/// Where one node listens, all on the loopback.
#[derive(Clone, Debug)]
pub(super) struct NodePorts {
    pub(super) client: u16,
    pub(super) controller: u16,
    pub(super) jmx: Option<u16>,
    pub(super) listeners: Vec<(Listener, u16)>,
}

/// One broker that is also a controller.
#[derive(Debug)]
pub(super) struct Node {
    id: i32,
    ports: NodePorts,
    folder: PathBuf,
    runtime: Runtime,
    heap_megabytes: u32,
    child: Option<Child>,
}

// === impl Node ===

impl Node {
    /// Lays out the node's folder under `parent`; starts nothing.
    pub(super) fn create(
        index: usize,
        ports: NodePorts,
        all: &[NodePorts],
        parent: &Path,
        runtime: &Runtime,
        options: &BrokerOptions,
    ) -> Result<Self, BrokerError> {
        let id = node_id_of(index);
        let folder = parent.join(format!("node-{id}"));
        let writing = "writing a broker's configuration";
        for part in ["data", "native"] {
            std::fs::create_dir_all(folder.join(part)).map_err(io_error(writing))?;
        }
        runtime.copy_template(&folder.join("data"), id)?;
        let properties = server_properties(id, &ports, all, &folder, options);
        std::fs::write(folder.join("server.properties"), properties).map_err(io_error(writing))?;
        std::fs::write(folder.join("jmx.yaml"), JMX_RULES).map_err(io_error(writing))?;
        Ok(Self {
            id,
            ports,
            folder,
            runtime: runtime.clone(),
            heap_megabytes: options.heap_megabytes,
            child: None,
        })
    }

    pub(super) fn id(&self) -> i32 {
        self.id
    }

    pub(super) fn ports(&self) -> &NodePorts {
        &self.ports
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.client)
    }

    pub(super) fn listener(&self, name: &str) -> Option<String> {
        let mut listeners = self.ports.listeners.iter();
        listeners
            .find(|(listener, _)| listener.name == name)
            .map(|(_, port)| format!("127.0.0.1:{port}"))
    }

    pub(super) fn process_id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Starts the process; it is not ready yet.
    pub(super) fn spawn(&mut self) -> Result<(), BrokerError> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .map_err(io_error("opening a broker's log"))?;
        let errors = log
            .try_clone()
            .map_err(io_error("opening a broker's log"))?;
        let mut command = process::bound_command(self.runtime.java());
        if let (Some(agent), Some(port)) = (self.runtime.jmx_agent(), self.ports.jmx) {
            command.arg(format!(
                "-javaagent:{}=127.0.0.1:{port}:{}",
                agent.display(),
                self.folder.join("jmx.yaml").display()
            ));
        }
        let child = command
            // Kafka unpacks native libraries and never removes them when it is killed.
            .arg(format!(
                "-Djava.io.tmpdir={}",
                self.folder.join("native").display()
            ))
            .args(self.runtime.flags(self.heap_megabytes))
            .arg("kafka.Kafka")
            .arg(self.folder.join("server.properties"))
            .current_dir(&self.folder)
            .stdout(Stdio::from(log))
            .stderr(Stdio::from(errors))
            .spawn()
            .map_err(io_error("starting a broker"))?;
        self.child = Some(child);
        Ok(())
    }

    /// Starts it again; waits a little where a passing connection sits on its port.
    pub(super) async fn spawn_again(&mut self, expected: usize) -> Result<(), BrokerError> {
        let mut attempt = 1;
        loop {
            // Only this start's log tells why this start failed.
            let _ = std::fs::remove_file(self.log_path());
            self.spawn()?;
            match self.wait_ready(expected).await {
                Err(error) if error.is_port_clash() && attempt < RESTART_ATTEMPTS => {
                    self.kill().await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    /// Waits until the broker answers, sees `brokers` brokers and listens on every port: it answers
    /// on its first one before it has tried the others, and ends where one of them is taken.
    pub(super) async fn wait_ready(&mut self, brokers: usize) -> Result<(), BrokerError> {
        let deadline = Instant::now() + READY_TIMEOUT;
        let address = self.address();
        loop {
            if let Ok(mut client) = Client::connect(&address).await
                && let Ok(metadata) = client.metadata(&[]).await
                && metadata.brokers.len() >= brokers
                && self.listens().await
            {
                return Ok(());
            }
            let ended = match &mut self.child {
                Some(child) => !matches!(child.try_wait(), Ok(None)),
                None => true,
            };
            if ended {
                return Err(BrokerError::Ended {
                    node: self.id,
                    log: self.log_tail(),
                });
            }
            if Instant::now() >= deadline {
                return Err(BrokerError::NotReady {
                    node: self.id,
                    seconds: READY_TIMEOUT.as_secs(),
                    log: self.log_tail(),
                });
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    async fn listens(&self) -> bool {
        for (_, port) in &self.ports.listeners {
            if TcpStream::connect(("127.0.0.1", *port)).await.is_err() {
                return false;
            }
        }
        true
    }

    pub(super) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            process::kill(&mut child).await;
        }
    }

    pub(super) async fn stop(&mut self) {
        self.stop_within(STOP_GRACE).await;
    }

    pub(super) async fn stop_within(&mut self, grace: Duration) {
        if let Some(mut child) = self.child.take() {
            process::end(&mut child, grace).await;
        }
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    fn log_tail(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(self.log_path())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().map_or_else(
            |error| format!("(its log cannot be read: {error})"),
            |text| process::tail(&text, LOG_TAIL_LINES),
        )
    }
}

impl Drop for Node {
    /// Kills the process and waits for its end, so that nothing writes into the folder that goes
    /// next.
    fn drop(&mut self) {
        let Some(child) = &mut self.child else {
            return;
        };
        let _ = child.start_kill();
        let pause = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        while waited < DROP_GRACE && matches!(child.try_wait(), Ok(None)) {
            std::thread::park_timeout(pause);
            waited += pause;
        }
    }
}

/// The node's server.properties. Later lines win, so the options' own lines stand last.
fn server_properties(
    id: i32,
    ports: &NodePorts,
    all: &[NodePorts],
    folder: &Path,
    options: &BrokerOptions,
) -> String {
    let voters: Vec<String> = all
        .iter()
        .enumerate()
        .map(|(index, node)| format!("{}@127.0.0.1:{}", node_id_of(index), node.controller))
        .collect();
    let mut client = format!("PLAINTEXT://127.0.0.1:{}", ports.client);
    let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
    for (Listener { name, protocol }, port) in &ports.listeners {
        client.push_str(&format!(",{name}://127.0.0.1:{port}"));
        protocols.push_str(&format!(",{name}:{protocol}"));
    }
    let controller = format!("CONTROLLER://127.0.0.1:{}", ports.controller);
    let replication = all.len().min(3).to_string();
    let in_sync = if all.len() >= 3 { "2" } else { "1" };
    let mut lines = vec![
        format!("node.id={id}"),
        format!("controller.quorum.voters={}", voters.join(",")),
        format!("listeners={client},{controller}"),
        format!("advertised.listeners={client}"),
        format!("listener.security.protocol.map={protocols}"),
        format!("log.dirs={}", folder.join("data").display()),
        format!("min.insync.replicas={in_sync}"),
    ];
    for topic in [
        "offsets.topic",
        "transaction.state.log",
        "share.coordinator.state.topic",
    ] {
        lines.push(format!("{topic}.replication.factor={replication}"));
    }
    lines.push(format!("transaction.state.log.min.isr={in_sync}"));
    lines.push(format!("share.coordinator.state.topic.min.isr={in_sync}"));
    let common = COMMON_PROPERTIES.iter();
    lines.extend(common.map(|(key, value)| format!("{key}={value}")));
    let own = options.properties.iter();
    lines.extend(own.map(|(key, value)| format!("{key}={value}")));
    lines.push(String::new());
    lines.join("\n")
}
