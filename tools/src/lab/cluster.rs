//! The lab: Kubernetes' control plane and KEDA, started and stopped by the lab's own scripts.
//!
//! The scripts are `up.sh`, `down.sh`, `ctl.sh` and `lib.sh` of the folder that the user names; where
//! its programs are, they know. Whatever ends this process, the lab ends with it: a shell waits for the
//! end of a pipe that we hold, and then runs `down.sh`. What is in the cluster is the callers' affair.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};

use super::LabError;
use crate::counters;
use crate::demo::process;
use crate::demo::programs::io;

/// The first of the lab's ports where HARNESS_PORT says nothing: its scripts' own default.
const PORT: u16 = 16_000;

/// The API server's port, from the first one.
const API_SERVER: u16 = 3;

/// The port of the KEDA operator's metrics, from the first one.
const OPERATOR_METRICS: u16 = 7;

/// How long the scripts may take to start it on a busy machine; ten seconds are usual.
const UP_TIMEOUT: Duration = Duration::from_secs(300);

/// How long they may take to stop it.
const DOWN_TIMEOUT: Duration = Duration::from_secs(300);

/// How much of an output's end an error shows.
const TAIL_LINES: usize = 20;

/// Waits for the end of our pipe, then takes the lab down and its folder away.
const GUARD: &str = r#"cat >/dev/null; "$0/down.sh" >/dev/null 2>&1; rm -rf -- "$HARNESS_RUN""#;

/// The lab's `kubectl`, found and pointed at its API server by the lab's own library.
const KUBECTL: &str = r#". "$0/lib.sh"; exec "$HARNESS_BIN/kubectl" "$@""#;

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    scripts: PathBuf,
    folder: PathBuf,
    settings: Vec<(String, String)>,
    port: u16,
    guard: Child,
    pipe: Option<ChildStdin>,
}

// === impl Lab ===

impl Lab {
    /// Starts the lab of the folder `scripts`, empty, with `settings` of its own variables
    /// (`HPA_SYNC_PERIOD`, `HARNESS_AUTHORIZATION`, ...).
    ///
    /// # Errors
    /// When there is none, something listens on its ports, or it does not come up.
    pub async fn start(scripts: &Path, settings: &[(&str, &str)]) -> Result<Self, LabError> {
        let scripts = scripts.canonicalize();
        let scripts = scripts.map_err(io("finding the lab's folder"))?;
        let port = std::env::var("HARNESS_PORT").ok();
        let port = port.and_then(|port| port.parse().ok()).unwrap_or(PORT);
        if TcpListener::bind(("127.0.0.1", port + API_SERVER)).is_err() {
            return Err(LabError::PortTaken {
                port: port + API_SERVER,
            });
        }
        let folder = tempfile::Builder::new().prefix("evenkeel-lab-").tempdir();
        // The guard removes it, after the lab's processes are gone.
        let folder = folder.map_err(io("making the lab's folder"))?.keep();
        let mut guard = Command::new("/bin/sh")
            .args(["-c", GUARD])
            .arg(&scripts)
            .env("HARNESS_RUN", &folder)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(io("starting the lab's guard"))?;
        let pipe = guard.stdin.take();
        let lab = Self {
            scripts,
            folder,
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            port,
            guard,
            pipe,
        };
        // On a busy machine its scripts give up now and then, and a second time is enough.
        if lab.up().await.is_err() {
            let mut down = lab.command(&lab.scripts.join("down.sh"));
            let _ = tokio::time::timeout(DOWN_TIMEOUT, down.output()).await;
            lab.up().await?;
        }
        Ok(lab)
    }

    async fn up(&self) -> Result<(), LabError> {
        let mut up = self.command(&self.scripts.join("up.sh"));
        let log = self.folder.join("up.log");
        // To a file: the lab's programs keep what they are given open.
        let output = std::fs::File::create(&log).map_err(io("writing the lab's log"))?;
        up.stdout(Stdio::null()).stderr(Stdio::from(output));
        let status = tokio::time::timeout(UP_TIMEOUT, up.status()).await;
        let status = status.map_err(|_| late("starting the lab", UP_TIMEOUT))?;
        if status.map_err(io("starting the lab"))?.success() {
            return Ok(());
        }
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        Err(LabError::Failed {
            what: "starting the lab".to_owned(),
            said: process::tail(&said, TAIL_LINES),
        })
    }

    /// Its state: `logs/`, `pods/`, `timeline.jsonl`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its scripts.
    pub fn scripts(&self) -> &Path {
        &self.scripts
    }

    /// `kubectl` on its API server.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(Path::new("/bin/bash"));
        command.args(["-c", KUBECTL]).arg(&self.scripts);
        command.args(arguments);
        command
    }

    /// Asks `kubectl` once.
    ///
    /// # Errors
    /// What it said, when it failed.
    pub async fn ask(&self, arguments: &[&str]) -> Result<String, LabError> {
        let output = self.kubectl(arguments).output().await;
        answer(&format!("kubectl {}", arguments.join(" ")), output)
    }

    /// Applies manifests, YAML or JSON.
    ///
    /// # Errors
    /// What `kubectl` said, when it failed.
    pub async fn apply(&self, manifests: &str) -> Result<(), LabError> {
        let command = self.kubectl(&["apply", "-f", "-"]);
        fed("applying manifests", command, manifests)
            .await
            .map(drop)
    }

    /// Acts on one component: `kill`, `stop`, `start` or `restart`.
    ///
    /// # Errors
    /// What the script said, when it failed.
    pub async fn control(&self, action: &str, component: &str) -> Result<(), LabError> {
        let mut command = self.command(&self.scripts.join("ctl.sh"));
        let output = command.args([action, component]).output().await;
        answer(&format!("{action} {component}"), output).map(drop)
    }

    /// The errors that KEDA has counted for the scalers of `namespace`; None when it does not answer.
    pub async fn keda_errors(&self, namespace: &str) -> Option<u64> {
        let metrics = self.keda_metrics().await?;
        Some(errors_of(&metrics, namespace))
    }

    /// The versions of Kubernetes and KEDA, in words.
    pub async fn versions(&self) -> String {
        let server = self.ask(&["version", "-o", "json"]).await.ok();
        let server = server.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let server = server.and_then(|json| {
            let version = json.pointer("/serverVersion/gitVersion")?;
            version.as_str().map(str::to_owned)
        });
        let metrics = self.keda_metrics().await;
        let keda = metrics.and_then(|metrics| {
            let mut lines = metrics.lines();
            let line = lines.find(|line| line.starts_with("keda_build_info"))?;
            let (_, rest) = line.split_once(",version=\"")?;
            rest.split_once('"').map(|(version, _)| version.to_owned())
        });
        let known = |version: Option<String>| version.unwrap_or_else(|| "unknown".to_owned());
        format!("Kubernetes {}, KEDA {}", known(server), known(keda))
    }

    async fn keda_metrics(&self) -> Option<String> {
        let address = format!("http://127.0.0.1:{}/metrics", self.port + OPERATOR_METRICS);
        let mut command = process::bound_command(&process::find_program("curl")?);
        let output = command.args(["-fsS", &address]).output().await;
        answer("asking KEDA for its metrics", output).ok()
    }

    /// Takes it down, with everything that runs in it, and waits until it is gone.
    pub async fn stop(mut self) {
        drop(self.pipe.take());
        let _ = tokio::time::timeout(DOWN_TIMEOUT, self.guard.wait()).await;
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = process::bound_command(program);
        command
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .env("HARNESS_RUN", &self.folder)
            .env("HARNESS_PORT", self.port.to_string());
        command
    }
}

/// Runs a command that reads `input`, and returns what it says.
///
/// # Errors
/// What it said, when it failed.
pub async fn fed(what: &str, mut command: Command, input: &str) -> Result<String, LabError> {
    let spawned = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(io(what))?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(input.as_bytes()).await.map_err(io(what))?;
    }
    answer(what, child.wait_with_output().await)
}

/// What a program printed, or what it said when it failed.
///
/// # Errors
/// When it failed.
pub fn answer(what: &str, output: std::io::Result<Output>) -> Result<String, LabError> {
    let output = output.map_err(io(what))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(LabError::Failed {
        what: what.to_owned(),
        said: process::tail(&String::from_utf8_lossy(&output.stderr), TAIL_LINES),
    })
}

pub(super) fn late(what: &str, limit: Duration) -> LabError {
    LabError::Late {
        what: what.to_owned(),
        seconds: limit.as_secs(),
    }
}

/// The sum of KEDA's error counters for one namespace in an answer of its metrics.
fn errors_of(metrics: &str, namespace: &str) -> u64 {
    let errors = counters::summed(metrics, "keda_scaler_detail_errors_total", &["namespace"]);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a counter of whole numbers"
    )]
    let sum = errors.get(namespace).copied().unwrap_or(0.0) as u64;
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_errors_of_a_namespace_count() {
        let metrics = "\
# TYPE keda_scaler_detail_errors_total counter
keda_scaler_detail_errors_total{metric=\"a\",namespace=\"one\",scaler=\"x\"} 2
keda_scaler_detail_errors_total{metric=\"b\",namespace=\"one\",scaler=\"y\"} 1
keda_scaler_detail_errors_total{metric=\"a\",namespace=\"two\",scaler=\"x\"} 40
keda_scaler_active{namespace=\"one\"} 1
";
        assert_eq!(errors_of(metrics, "one"), 3);
        assert_eq!(errors_of(metrics, "none"), 0);
    }
}
