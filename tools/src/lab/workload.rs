//! A Deployment of consumers in the lab: its manifest, how many replicas it has, what they report.
//!
//! Replicas are followed as the API server tells them (`kubectl get --watch`), not asked for. The
//! consumers' reports are read from the files that the lab writes their output to. What is unknown
//! keeps its last value here: the API server says nothing where nothing changes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use evenkeel_engine::Timestamp;
use evenkeel_scaler::clock::Clock;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::cluster::Lab;
use crate::demo::pods::{Line, Tally};

/// What a Deployment is printed as: replicas asked for, there, and ready.
const COUNTS: &str =
    r#"jsonpath={.spec.replicas}/{.status.replicas}/{.status.readyReplicas}{"\n"}"#;

/// How long to wait before a watch that has ended is begun again.
const WATCH_AGAIN: Duration = Duration::from_millis(500);

/// Changes that may wait to be read.
const CHANGES: usize = 10_000;

/// What a workload is made of.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Replicas to begin with.
    pub replicas: u32,
    /// The consumer and its arguments.
    pub command: Vec<String>,
    /// From a pod to its process.
    pub start: Duration,
    /// From its process to Ready.
    pub ready: Duration,
}

/// Replicas of a Deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Asked for.
    pub asked: u32,
    /// Pods that are there.
    pub there: u32,
    /// Of which ready.
    pub ready: u32,
}

/// Follows a Deployment's replicas.
#[derive(Debug)]
pub struct Follow {
    task: JoinHandle<()>,
    seen: mpsc::Receiver<(Timestamp, Replicas)>,
    last: Option<Replicas>,
}

/// Reads what the pods report.
#[derive(Debug)]
pub struct Reports {
    folder: PathBuf,
    prefix: String,
    /// How far each pod's file has been read.
    read: BTreeMap<PathBuf, u64>,
}

// === impl Workload ===

impl Workload {
    /// Its namespace and its Deployment.
    pub fn manifests(&self) -> String {
        let labels = json!({"app": self.name});
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace},
        });
        let delay = |delay: Duration| format!("{}ms", delay.as_millis());
        let deployment = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {
                        "labels": labels,
                        "annotations": {
                            "podrunner/start-delay": delay(self.start),
                            "podrunner/ready-delay": delay(self.ready),
                        },
                    },
                    "spec": {
                        "terminationGracePeriodSeconds": 30,
                        "containers": [{
                            "name": "consumer", "image": "consumer", "command": self.command,
                        }],
                    },
                },
            },
        });
        list(&[namespace, deployment])
    }
}

/// Manifests as one text that `kubectl apply` takes.
pub fn list(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

// === impl Follow ===

impl Follow {
    /// Begins to follow.
    pub fn start(lab: &Lab, namespace: &str, name: &str, clock: Clock) -> Self {
        let (send, seen) = mpsc::channel(CHANGES);
        let arguments = ["-n", namespace, "get", "deployment", name, "--watch"];
        let mut command = lab.kubectl(&arguments);
        command
            .args(["-o", COUNTS])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let task = tokio::spawn(async move {
            while !send.is_closed() {
                follow_once(&mut command, &send, clock).await;
                tokio::time::sleep(WATCH_AGAIN).await;
            }
        });
        Self {
            task,
            seen,
            last: None,
        }
    }

    /// What has been seen since the last call, in order; only what differs from what was before.
    pub fn changes(&mut self) -> Vec<(Timestamp, Replicas)> {
        let mut changes = Vec::new();
        while let Ok((at, replicas)) = self.seen.try_recv() {
            if self.last.replace(replicas) != Some(replicas) {
                changes.push((at, replicas));
            }
        }
        changes
    }

    /// The last that is known.
    pub fn last(&self) -> Option<Replicas> {
        self.last
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow_once(
    command: &mut Command,
    send: &mpsc::Sender<(Timestamp, Replicas)>,
    clock: Clock,
) {
    let Ok(mut child) = command.spawn() else {
        return;
    };
    let Some(output) = child.stdout.take() else {
        return;
    };
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(replicas) = Replicas::of(&line)
            && send.send((clock.now(), replicas)).await.is_err()
        {
            return;
        }
    }
}

// === impl Replicas ===

impl Replicas {
    /// Kubernetes leaves a status of 0 out.
    fn of(line: &str) -> Option<Self> {
        let mut numbers = line.trim().split('/').map(|number| match number {
            "" => Some(0),
            number => number.parse().ok(),
        });
        Some(Self {
            asked: numbers.next()??,
            there: numbers.next()??,
            ready: numbers.next()??,
        })
    }
}

// === impl Reports ===

impl Reports {
    /// Of the pods of `namespace`.
    pub fn new(lab: &Lab, namespace: &str) -> Self {
        Self {
            folder: lab.folder().join("pods"),
            prefix: format!("{namespace}_"),
            read: BTreeMap::new(),
        }
    }

    /// Sums up what has been reported since the last call.
    pub fn tally(&mut self) -> Tally {
        let mut lines = Vec::new();
        let files = std::fs::read_dir(&self.folder).into_iter().flatten();
        for file in files.flatten() {
            if file.file_name().to_string_lossy().starts_with(&self.prefix) {
                let position = self.read.entry(file.path()).or_default();
                // A file that cannot be read now is read in the next second.
                if let Ok(text) = read_lines(&file.path(), position) {
                    let parsed = text
                        .lines()
                        .filter_map(|text| serde_json::from_str(text).ok());
                    lines.extend(parsed.filter(|line: &Line| !line.is_final));
                }
            }
        }
        Tally::of(&lines)
    }
}

/// The whole lines after `position`, which moves behind them.
fn read_lines(path: &Path, position: &mut u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(*position))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    bytes.truncate(end.map_or(0, |end| end + 1));
    *position += bytes.len() as u64;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_is_left_out_is_none() {
        let check = |line, expected: Option<(u32, u32, u32)>| {
            let expected = expected.map(|(asked, there, ready)| Replicas {
                asked,
                there,
                ready,
            });
            assert_eq!(Replicas::of(line), expected, "{line:?}");
        };
        check("13/12/10", Some((13, 12, 10)));
        check("0//", Some((0, 0, 0)));
        check("Error from server", None);
        check("1/2", None);
    }

    #[test]
    fn half_a_line_is_read_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pod.log");
        let mut position = 0;
        std::fs::write(&path, "one\ntw").unwrap();
        assert_eq!(read_lines(&path, &mut position).unwrap(), "one\n");
        assert_eq!(read_lines(&path, &mut position).unwrap(), "");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(read_lines(&path, &mut position).unwrap(), "two\n");
    }
}
