//! The programs around the demo: the load producer, the consumers, and the scaler itself, each a
//! real process.
//!
//! They are found beside the running binary, in `--bin-dir` or on the PATH. What they say goes to a
//! file each, whose end is shown when one of them ends too early; what they report as JSON lines is
//! read as it comes.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::sync::{mpsc, watch};

use super::load::Load;
use super::{DemoError, ports, process};

/// How long the producer may take to send what it still holds.
const FLUSH_GRACE: Duration = Duration::from_secs(25);

/// How long the scaler may take to end its streams and calls.
const SCALER_GRACE: Duration = Duration::from_secs(10);

/// How much of a log's end an error shows.
const LOG_TAIL_LINES: usize = 20;

/// Where the other programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The reference consumer.
    pub consumer: PathBuf,
    /// The load producer.
    pub producer: PathBuf,
    /// This very program, for `serve`.
    pub evenkeel: PathBuf,
}

/// A folder with a log file for each program.
#[derive(Clone, Debug)]
pub struct LogFolder(PathBuf);

/// The load producer.
#[derive(Debug)]
pub struct Producer {
    child: Child,
    log: PathBuf,
    line: watch::Receiver<ProducerLine>,
}

/// One line of the producer's report; what else it holds is not looked at.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct ProducerLine {
    /// Records that Kafka has acknowledged.
    pub acknowledged_total: u64,
    /// Records that were given up: they may or may not be in the log.
    pub failed_total: u64,
}

/// `evenkeel serve`.
#[derive(Debug)]
pub struct ScalerProcess {
    child: Child,
    log: PathBuf,
    /// Where it answers KEDA.
    pub grpc: SocketAddr,
    /// Where it answers people.
    pub admin: SocketAddr,
}

// === impl Programs ===

impl Programs {
    /// Finds them.
    ///
    /// # Errors
    /// When one is missing.
    pub fn find(folder: Option<&Path>) -> Result<Self, DemoError> {
        Ok(Self {
            consumer: find(folder, "evenkeel-consumer")?,
            producer: find(folder, "evenkeel-producer")?,
            evenkeel: std::env::current_exe().map_err(io("finding this program"))?,
        })
    }

    /// The same for another program than `evenkeel`, which is then beside it like the others.
    ///
    /// # Errors
    /// When one is missing.
    pub fn beside(folder: Option<&Path>) -> Result<Self, DemoError> {
        Ok(Self {
            evenkeel: find(folder, "evenkeel")?,
            ..Self::find(folder)?
        })
    }
}

// === impl LogFolder ===

impl LogFolder {
    /// Logs go into `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The log of one program.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn file(&self, name: &str) -> Result<PathBuf, DemoError> {
        std::fs::create_dir_all(&self.0).map_err(io("making the log folder"))?;
        Ok(self.0.join(format!("{name}.log")))
    }
}

// === impl Producer ===

impl Producer {
    /// Starts it; it begins its load at once.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        programs: &Programs,
        logs: &LogFolder,
        bootstrap_servers: &str,
        topic: &str,
        load: &Load,
    ) -> Result<Self, DemoError> {
        let steps = load.steps().iter();
        let steps = steps.map(|step| (step.rate.to_string(), step.duration));
        Self::start_steps(programs, logs, bootstrap_servers, topic, steps)
    }

    /// The same for rates as the producer's command line takes them, ramps included.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_steps(
        programs: &Programs,
        logs: &LogFolder,
        bootstrap_servers: &str,
        topic: &str,
        steps: impl Iterator<Item = (String, Duration)>,
    ) -> Result<Self, DemoError> {
        let (rates, seconds): (Vec<String>, Vec<String>) = steps
            .map(|(rate, duration)| (rate, duration.as_secs().to_string()))
            .unzip();
        let arguments = [
            ("--bootstrap-servers", bootstrap_servers),
            ("--topic", topic),
            ("--load", &rates.join(",")),
            ("--step-seconds", &seconds.join(",")),
        ];
        let mut arguments: Vec<String> = arguments
            .iter()
            .flat_map(|(name, value)| [(*name).to_owned(), (*value).to_owned()])
            .collect();
        arguments.push("--report-json".to_owned());
        let log = logs.file("producer")?;
        let (send, line) = watch::channel(ProducerLine::default());
        let child = spawn_reporting(&programs.producer, &arguments, &log, send)?;
        Ok(Self { child, log, line })
    }

    /// The last line of its report.
    pub fn line(&self) -> ProducerLine {
        *self.line.borrow()
    }

    /// Whether it has ended in error.
    ///
    /// # Errors
    /// With the end of its log, if so.
    pub fn check(&mut self) -> Result<(), DemoError> {
        match self.child.try_wait() {
            Ok(Some(status)) if !status.success() => Err(ended("evenkeel-producer", &self.log)),
            _ => Ok(()),
        }
    }

    /// Ends it and waits until its last line has been read.
    pub async fn end(&mut self) -> ProducerLine {
        process::end(&mut self.child, FLUSH_GRACE).await;
        // The reader lets go of its end when everything has been read.
        while self.line.changed().await.is_ok() {}
        self.line()
    }
}

/// Starts `evenkeel serve` with a configuration; everything that it says goes to `log`.
///
/// # Errors
/// When it cannot be started.
pub fn serve(program: &Path, config: &Path, log: &Path) -> Result<Child, DemoError> {
    let output = File::create(log).map_err(io("opening the scaler's log"))?;
    let errors = output.try_clone().map_err(io("opening the scaler's log"))?;
    process::bound_command(program)
        .args(["serve", "--config"])
        .arg(config)
        .stdout(Stdio::from(output))
        .stderr(Stdio::from(errors))
        .spawn()
        .map_err(io("starting evenkeel serve"))
}

/// Whether a program still runs.
///
/// # Errors
/// With the end of its log, if not.
pub fn running(program: &'static str, child: &mut Child, log: &Path) -> Result<(), DemoError> {
    match child.try_wait() {
        Ok(None) => Ok(()),
        _ => Err(ended(program, log)),
    }
}

// === impl ScalerProcess ===

impl ScalerProcess {
    /// Starts `evenkeel serve` on free ports with one cluster profile named `demo`. It is not ready
    /// yet.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        programs: &Programs,
        logs: &LogFolder,
        bootstrap_servers: &str,
    ) -> Result<Self, DemoError> {
        let [grpc, admin] = free_addresses()?;
        let servers: Vec<String> = bootstrap_servers
            .split(',')
            .map(|server| format!("{server:?}"))
            .collect();
        let yaml = format!(
            "grpc:\n  listen: \"{grpc}\"\nadmin:\n  listen: \"{admin}\"\n\
             clusters:\n  demo:\n    bootstrapServers: [{}]\n",
            servers.join(", ")
        );
        let config = logs.file("evenkeel")?.with_extension("yaml");
        std::fs::write(&config, yaml).map_err(io("writing the scaler's configuration"))?;
        let log = logs.file("evenkeel")?;
        let child = serve(&programs.evenkeel, &config, &log)?;
        Ok(Self {
            child,
            log,
            grpc,
            admin,
        })
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// With the end of its log, if not.
    pub fn check(&mut self) -> Result<(), DemoError> {
        running("evenkeel serve", &mut self.child, &self.log)
    }

    /// Ends it in order.
    pub async fn end(&mut self) {
        process::end(&mut self.child, SCALER_GRACE).await;
    }
}

/// Takes what a program reports, a line at a time.
pub trait TakeLines<Line>: Send + 'static {
    /// Takes one; false when nobody wants more.
    fn take(&mut self, line: Line) -> impl Future<Output = bool> + Send;
}

impl<Line: Send + 'static> TakeLines<Line> for (u32, mpsc::Sender<(u32, Line)>) {
    async fn take(&mut self, line: Line) -> bool {
        self.1.send((self.0, line)).await.is_ok()
    }
}

impl<Line: Send + Sync + 'static> TakeLines<Line> for watch::Sender<Line> {
    async fn take(&mut self, line: Line) -> bool {
        self.send(line).is_ok()
    }
}

/// Starts a program whose standard output is JSON lines, and hands them to `taker` as they come.
/// Lines that cannot be understood are passed over: they are somebody's words, not a report.
///
/// # Errors
/// When it cannot be started.
pub fn spawn_reporting<Line: DeserializeOwned + Send>(
    program: &Path,
    arguments: &[String],
    log: &Path,
    mut taker: impl TakeLines<Line>,
) -> Result<Child, DemoError> {
    let errors = File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(io("opening a log"))?;
    let mut child = process::bound_command(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::from(errors))
        .spawn()
        .map_err(io(&format!("starting {}", program.display())))?;
    if let Some(output) = child.stdout.take() {
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(text)) = lines.next_line().await {
                if let Ok(line) = serde_json::from_str(&text)
                    && !taker.take(line).await
                {
                    break;
                }
            }
        });
    }
    Ok(child)
}

fn find(folder: Option<&Path>, name: &'static str) -> Result<PathBuf, DemoError> {
    let this = std::env::current_exe().map_err(io("finding this program"))?;
    let given = folder.map(|folder| folder.join(name));
    let beside = this.parent().map(|folder| folder.join(name));
    let mut known = [given, beside].into_iter().flatten();
    known
        .find(|path| path.is_file())
        .or_else(|| process::find_program(name))
        .ok_or(DemoError::MissingProgram { program: name })
}

/// Names what was being done in an error of the operating system.
pub(crate) fn io(what: &str) -> impl FnOnce(std::io::Error) -> DemoError {
    let what = what.to_owned();
    move |source| DemoError::Io { what, source }
}

fn ended(program: &'static str, log: &Path) -> DemoError {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    DemoError::Ended {
        program,
        log: process::tail(&text, LOG_TAIL_LINES),
    }
}

/// Two addresses that were free a moment ago.
fn free_addresses() -> Result<[SocketAddr; 2], DemoError> {
    let hold = || ports::hold().map_err(io("finding a port"));
    let (first, second) = (hold()?, hold()?);
    let address =
        |listener: &std::net::TcpListener| listener.local_addr().map_err(io("finding a port"));
    Ok([address(&first)?, address(&second)?])
}
