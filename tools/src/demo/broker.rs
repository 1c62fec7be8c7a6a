//! A real Kafka broker from Maven Central jars, started and stopped by us.
//!
//! No container engine and no installed Kafka: the jars are fetched once ([`jars`]), a data folder
//! is formatted once and copied from then on ([`template`]), and a class archive makes a start take
//! about two seconds. Brokers live in temporary folders, listen on free loopback ports and are gone,
//! with their data, when their handle is dropped. One broker is [`EmbeddedBroker`], several that
//! replicate are [`EmbeddedCluster`]. Not for production data, and never configured for durability
//! across a crash of the machine.

pub mod client;
pub mod jars;
mod node;
mod runtime;
mod template;
pub mod topics;

use std::ffi::OsStr;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use indicatif::ProgressBar;
use tempfile::TempDir;

use client::ClientError;
use node::{Node, NodePorts};
use runtime::Runtime;
use topics::TopicAdmin;

use crate::demo::{ports, process};

/// How often a start is tried with other ports when another program takes one of ours between the
/// moment we found it free and the moment Java binds it.
const PORT_ATTEMPTS: u32 = 4;

/// What one may want different from the ordinary embedded broker.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// Lines of server.properties that replace or join ours.
    pub properties: Vec<(String, String)>,
    /// Listeners beside the plaintext one. What they need is among the properties.
    pub listeners: Vec<Listener>,
    /// Show the broker's own request counters over HTTP ([`EmbeddedBroker::jmx_port`]).
    pub jmx: bool,
    /// Java's heap.
    pub heap_megabytes: u32,
    /// Show what is being done while jars are fetched.
    pub progress: Progress,
}

/// A listener beside the plaintext one.
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    /// Its name in server.properties, in capitals.
    pub name: &'static str,
    /// Kafka's name of what it speaks, such as `SASL_SSL`.
    pub protocol: &'static str,
}

/// One broker that is its own controller.
#[derive(Debug)]
pub struct EmbeddedBroker {
    cluster: EmbeddedCluster,
}

/// Several brokers that are their own controllers and replicate.
#[derive(Debug)]
pub struct EmbeddedCluster {
    // Declared before the folder: the processes end before their data goes.
    nodes: Vec<Node>,
    _folder: TempDir,
}

/// Kafka's own command-line tools, for comparing with.
#[derive(Debug)]
pub struct KafkaTools {
    runtime: Runtime,
}

/// Tells people what is being done: a spinner on a terminal, a line each elsewhere, or nothing.
#[derive(Clone, Debug)]
pub struct Progress(Shown);

#[derive(Clone, Debug)]
enum Shown {
    Nothing,
    Lines,
    Spinner(ProgressBar),
}

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// A program that we need is not there.
    #[error("{program} was not found: {wanted} is needed; `make setup` installs it")]
    MissingProgram {
        /// Its name.
        program: &'static str,
        /// What it is and does.
        wanted: &'static str,
    },
    /// Java is there, and too old.
    #[error("java says {found:?}: Kafka needs Java 17 or newer; `make setup` installs it")]
    OldJava {
        /// What `java -version` said.
        found: String,
    },
    /// There is no place to keep the jars.
    #[error("no cache folder: set EVENKEEL_CACHE, XDG_CACHE_HOME or HOME")]
    NoCacheFolder,
    /// Another process holds the cache for too long.
    #[error("another process has been preparing the cache for too long; if none is, remove {lock}")]
    CacheBusy {
        /// The lock file.
        lock: String,
    },
    /// Maven did not bring the jars.
    #[error("mvn could not fetch {bundle}; it said:\n{output}")]
    Maven {
        /// What was to be fetched.
        bundle: &'static str,
        /// The end of its output.
        output: String,
    },
    /// The jars are not those of the lock list.
    #[error("{bundle}: {file} {problem}; nothing of it is used")]
    Jar {
        /// The bundle.
        bundle: &'static str,
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file or a process could not be worked with.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Kafka could not format a data folder.
    #[error("Kafka's storage tool failed; it said:\n{output}")]
    Format {
        /// The end of its output.
        output: String,
    },
    /// A broker ended while starting.
    #[error("broker {node} ended while starting; the end of its log:\n{log}")]
    Ended {
        /// The node's id.
        node: i32,
        /// The end of its log.
        log: String,
    },
    /// A broker did not become ready.
    #[error("broker {node} was not ready within {seconds} s; the end of its log:\n{log}")]
    NotReady {
        /// The node's id.
        node: i32,
        /// How long was waited.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// There is no node of that number.
    #[error("this cluster has no node {0}")]
    NoSuchNode(usize),
    /// A broker could not be talked to.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A broker refused a change, or it never showed.
    #[error("{what}: {error}")]
    Refused {
        /// What was asked.
        what: String,
        /// What it said.
        error: String,
    },
}

/// Fetches and prepares everything that a broker needs; quick when it has been done before.
///
/// # Errors
/// When Java or Maven is missing, or what Maven brings is not what the lock lists name.
pub async fn prepare(progress: &Progress) -> Result<(), BrokerError> {
    let cache = jars::cache_folder()?;
    template::prepare(&cache, progress).await?;
    jars::KAFKA_TOOLS.provision(&cache, progress).await?;
    jars::JMX_AGENT.provision(&cache, progress).await?;
    Ok(())
}

// === impl BrokerOptions ===

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            properties: Vec::new(),
            listeners: Vec::new(),
            jmx: false,
            // Measured: 256 MB carry 50,000 records/s at the same latency as more.
            heap_megabytes: 256,
            progress: Progress::nothing(),
        }
    }
}

// === impl EmbeddedBroker ===

impl EmbeddedBroker {
    /// Starts a broker on free ports with no data and waits until it answers.
    ///
    /// # Errors
    /// When it cannot be provisioned, ends, or does not answer in time; the error carries the end of
    /// its log.
    pub async fn start(options: BrokerOptions) -> Result<Self, BrokerError> {
        let cluster = EmbeddedCluster::start_with(1, options).await?;
        Ok(Self { cluster })
    }

    /// `host:port`, as a client wants it.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// `host:port` of the listener called `name`, if it was asked for.
    pub fn listener(&self, name: &str) -> Option<String> {
        self.cluster.listeners(name).into_iter().next()
    }

    /// Administers its topics.
    pub fn topics(&self) -> TopicAdmin {
        self.cluster.topics()
    }

    /// The port of its request counters, where they were asked for.
    pub fn jmx_port(&self) -> Option<u16> {
        self.cluster.jmx_port(0)
    }

    /// The id of its process while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.cluster.process_id(0)
    }

    /// Ends it the hard way (SIGKILL) and waits until it is gone. Its data stay.
    ///
    /// # Errors
    /// Never for a broker that has been started.
    pub async fn kill(&mut self) -> Result<(), BrokerError> {
        self.cluster.kill(0).await
    }

    /// Starts it again on the same data and ports (killing it first where it runs) and waits until it
    /// answers.
    ///
    /// # Errors
    /// As [`EmbeddedBroker::start`].
    pub async fn restart(&mut self) -> Result<(), BrokerError> {
        self.cluster.restart(0).await
    }

    /// Ends it in order (SIGTERM; SIGKILL after a bound). Its data stay until it is dropped.
    pub async fn stop(&mut self) {
        for node in &mut self.cluster.nodes {
            node.stop().await;
        }
    }
}

// === impl EmbeddedCluster ===

impl EmbeddedCluster {
    /// Starts `count` brokers and waits until each of them sees all of them.
    ///
    /// # Errors
    /// As [`EmbeddedBroker::start`].
    pub async fn start(count: usize) -> Result<Self, BrokerError> {
        Self::start_with(count, BrokerOptions::default()).await
    }

    /// The same with options, which hold for every broker.
    ///
    /// # Errors
    /// As [`EmbeddedBroker::start`].
    pub async fn start_with(count: usize, options: BrokerOptions) -> Result<Self, BrokerError> {
        let cache = jars::cache_folder()?;
        let mut runtime = template::prepare(&cache, &options.progress).await?;
        if options.jmx {
            runtime.add_jmx_agent(&cache, &options.progress).await?;
        }
        let mut attempt = 1;
        loop {
            options.progress.say("Starting Kafka");
            match Self::start_once(count, &runtime, &options).await {
                Err(error) if error.is_port_clash() && attempt < PORT_ATTEMPTS => attempt += 1,
                result => {
                    options.progress.done();
                    return result;
                }
            }
        }
    }

    async fn start_once(
        count: usize,
        runtime: &Runtime,
        options: &BrokerOptions,
    ) -> Result<Self, BrokerError> {
        let folder = tempfile::Builder::new()
            .prefix("evenkeel-kafka-")
            .tempdir()
            .map_err(io_error("making a folder for the brokers"))?;
        let ports = free_ports(count, options)?;
        let mut nodes = Vec::with_capacity(count);
        for (index, own) in ports.iter().enumerate() {
            let node = Node::create(index, own.clone(), &ports, folder.path(), runtime, options)?;
            nodes.push(node);
        }
        let mut cluster = Self {
            nodes,
            _folder: folder,
        };
        for node in &mut cluster.nodes {
            node.spawn()?;
        }
        for node in &mut cluster.nodes {
            node.wait_ready(count).await?;
        }
        Ok(cluster)
    }

    /// `host:port,host:port`, as a client wants it.
    pub fn bootstrap_servers(&self) -> String {
        self.addresses().join(",")
    }

    /// The addresses of the nodes, in order.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// The addresses of the listeners called `name`, in the order of the nodes.
    pub fn listeners(&self, name: &str) -> Vec<String> {
        let nodes = self.nodes.iter();
        nodes.filter_map(|node| node.listener(name)).collect()
    }

    /// Administers its topics.
    pub fn topics(&self) -> TopicAdmin {
        TopicAdmin::new(self.addresses())
    }

    /// The Kafka node id of node `index` (from 0).
    pub fn node_id(&self, index: usize) -> Option<i32> {
        self.nodes.get(index).map(Node::id)
    }

    /// The port on which node number `index` shows its counters, if they were asked for.
    pub fn jmx_port(&self, index: usize) -> Option<u16> {
        self.nodes.get(index).and_then(|node| node.ports().jmx)
    }

    /// The id of a node's process while it runs.
    pub fn process_id(&self, index: usize) -> Option<u32> {
        self.nodes.get(index).and_then(Node::process_id)
    }

    /// Ends node `index` the hard way (SIGKILL) and waits until it is gone. Its data stay.
    ///
    /// # Errors
    /// When there is no such node.
    pub async fn kill(&mut self, index: usize) -> Result<(), BrokerError> {
        self.node_mut(index)?.kill().await;
        Ok(())
    }

    /// Starts node `index` again on the same data and ports and waits until it sees every broker
    /// that runs.
    ///
    /// # Errors
    /// As [`EmbeddedBroker::start`].
    pub async fn restart(&mut self, index: usize) -> Result<(), BrokerError> {
        let running = |node: &&Node| node.id() == node_id_of(index) || node.process_id().is_some();
        let expected = self.nodes.iter().filter(running).count();
        let node = self.node_mut(index)?;
        node.kill().await;
        node.spawn_again(expected).await
    }

    fn node_mut(&mut self, index: usize) -> Result<&mut Node, BrokerError> {
        self.nodes
            .get_mut(index)
            .ok_or(BrokerError::NoSuchNode(index))
    }
}

// === impl KafkaTools ===

impl KafkaTools {
    /// The tools, fetched now if they are not there.
    ///
    /// # Errors
    /// As [`prepare`].
    pub async fn provision() -> Result<Self, BrokerError> {
        let runtime = Runtime::of_tools(&jars::cache_folder()?, &Progress::nothing()).await?;
        Ok(Self { runtime })
    }

    /// Runs one tool by its class, for example
    /// `org.apache.kafka.tools.consumer.group.ConsumerGroupCommand`.
    ///
    /// # Errors
    /// When it cannot be started. That the tool itself failed stands in the output.
    pub async fn run<I, A>(&self, class: &str, arguments: I) -> Result<Output, BrokerError>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        self.command(class)
            .args(arguments)
            .output()
            .await
            .map_err(io_error("running one of Kafka's tools"))
    }

    /// The command that runs a tool by its class; its arguments are the caller's to add.
    pub fn command(&self, class: &str) -> tokio::process::Command {
        let mut command = process::bound_command(self.runtime.java());
        command.args(self.runtime.flags(64)).arg(class);
        command
    }
}

// === impl Progress ===

impl Progress {
    /// Says nothing.
    pub fn nothing() -> Self {
        Self(Shown::Nothing)
    }

    /// A spinner where standard error is a terminal, lines elsewhere.
    pub fn shown() -> Self {
        if std::io::stderr().is_terminal() {
            Self(Shown::Spinner(ProgressBar::new_spinner()))
        } else {
            Self(Shown::Lines)
        }
    }

    /// Says what is being done now.
    pub fn say(&self, what: &str) {
        match &self.0 {
            Shown::Nothing => {}
            Shown::Lines => eprintln!("{what}"),
            Shown::Spinner(bar) => {
                bar.enable_steady_tick(Duration::from_millis(120));
                bar.set_message(what.to_owned());
            }
        }
    }

    /// Takes the spinner away.
    pub fn done(&self) {
        if let Shown::Spinner(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

// === impl BrokerError ===

impl BrokerError {
    /// Whether another program took one of our ports.
    fn is_port_clash(&self) -> bool {
        match self {
            Self::Ended { log, .. } | Self::NotReady { log, .. } => {
                log.contains("Address already in use")
            }
            _ => false,
        }
    }
}

/// Names what was being done in an error of the operating system.
fn io_error(what: &str) -> impl FnOnce(std::io::Error) -> BrokerError {
    let what = what.to_owned();
    move |source| BrokerError::Io { what, source }
}

/// Kafka's id of the node at `index`: ids start at 1.
fn node_id_of(index: usize) -> i32 {
    i32::try_from(index).map_or(i32::MAX, |index| index.saturating_add(1))
}

/// Ports that were free a moment ago. All are held until all are known, so that none comes twice.
fn free_ports(count: usize, options: &BrokerOptions) -> Result<Vec<NodePorts>, BrokerError> {
    let mut held = Vec::new();
    let mut one = || -> Result<u16, BrokerError> {
        let listener = ports::hold().map_err(io_error("finding a port"))?;
        let port = listener
            .local_addr()
            .map_err(io_error("finding a port"))?
            .port();
        held.push(listener);
        Ok(port)
    };
    (0..count)
        .map(|_| {
            Ok(NodePorts {
                client: one()?,
                controller: one()?,
                jmx: options.jmx.then(&mut one).transpose()?,
                listeners: options
                    .listeners
                    .iter()
                    .map(|listener| Ok((*listener, one()?)))
                    .collect::<Result<_, BrokerError>>()?,
            })
        })
        .collect()
}

/// Copies a folder with everything in it.
fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
