//! The pods' stand-in: one real consumer process a replica, with a delay before it starts.
//!
//! It behaves as a Deployment does where that matters to a consumer group: a new pod takes a while
//! before its process runs, the newest pods go first, a pod that goes gets SIGTERM and a grace period
//! to drain, and one that crashes starts again. What the pods report each second is summed up here.
//! Not modelled: readiness, node shortage, and rolling updates.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use evenkeel_engine::Timestamp;
use serde::Deserialize;
use tokio::process::Child;
use tokio::sync::mpsc;

use super::DemoError;
use super::programs::{LogFolder, spawn_reporting};

/// Kubernetes' `terminationGracePeriodSeconds`.
const GRACE: Duration = Duration::from_secs(30);

/// At the end of the demo nobody waits that long: what is worth committing has been committed.
const GRACE_AT_END: Duration = Duration::from_secs(5);

/// Report lines that may wait to be summed up: a minute's worth of a hundred pods.
const LINES: usize = 6_000;

/// How pods are started.
#[derive(Clone, Debug)]
pub struct PodTemplate {
    /// The consumer.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How long a pod takes until its process starts: scheduling, the image, the container.
    pub start_delay: Duration,
}

/// One line of the consumer's report; what else it holds is not looked at.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Line {
    processed_total: u64,
    records_per_second: f64,
    message_age_mean_seconds: Option<f64>,
    message_age_max_seconds: Option<f64>,
    /// The last line of a pod, which is about its whole life.
    #[serde(rename = "final")]
    pub(crate) is_final: bool,
}

/// What all pods did in the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Records written.
    pub records: f64,
    /// Their mean age when written, where there were any.
    pub age_mean_seconds: Option<f64>,
    /// Their greatest age when written.
    pub age_max_seconds: Option<f64>,
}

/// All pods of the workload.
#[derive(Debug)]
pub struct Pods {
    template: PodTemplate,
    logs: LogFolder,
    /// Oldest first.
    pods: Vec<Pod>,
    leaving: Vec<Leaving>,
    next_number: u32,
    crashes: u32,
    send: mpsc::Sender<(u32, Line)>,
    receive: mpsc::Receiver<(u32, Line)>,
    /// By pod, those that are gone included.
    processed: BTreeMap<u32, u64>,
}

#[derive(Debug)]
struct Pod {
    number: u32,
    state: PodState,
}

#[derive(Debug)]
enum PodState {
    Starting { at: Timestamp },
    Running(Child),
}

#[derive(Debug)]
struct Leaving {
    child: Child,
    until: Timestamp,
}

// === impl Pods ===

impl Pods {
    /// No pods yet.
    pub fn new(template: PodTemplate, logs: LogFolder) -> Self {
        let (send, receive) = mpsc::channel(LINES);
        Self {
            template,
            logs,
            pods: Vec::new(),
            leaving: Vec::new(),
            next_number: 1,
            crashes: 0,
            send,
            receive,
            processed: BTreeMap::new(),
        }
    }

    /// The Deployment's replicas: every pod that is not on its way out.
    pub fn replicas(&self) -> u32 {
        count(self.pods.iter())
    }

    /// Pods whose process runs.
    pub fn running(&self) -> u32 {
        let running = |pod: &&Pod| matches!(pod.state, PodState::Running(_));
        count(self.pods.iter().filter(running))
    }

    /// Pods that are draining.
    pub fn leaving(&self) -> u32 {
        count(self.leaving.iter())
    }

    /// Pods that ended without being asked to.
    pub fn crashes(&self) -> u32 {
        self.crashes
    }

    /// Records written since the start, by all pods that there ever were. At least once: a record
    /// that two pods wrote counts twice.
    pub fn processed_total(&self) -> u64 {
        self.processed.values().sum()
    }

    /// Sets the number of replicas. New pods start after the delay, surplus ones get SIGTERM.
    pub async fn scale_to(&mut self, replicas: u32, now: Timestamp) {
        while self.replicas() < replicas {
            self.pods.push(Pod {
                number: self.next_number,
                state: PodState::Starting {
                    at: now.plus(self.template.start_delay),
                },
            });
            self.next_number += 1;
        }
        while self.replicas() > replicas {
            // The newest first, as the ReplicaSet controller prefers.
            if let Some(Pod {
                state: PodState::Running(child),
                ..
            }) = self.pods.pop()
            {
                super::process::request_end(&child).await;
                self.leaving.push(Leaving {
                    child,
                    until: now.plus(GRACE),
                });
            }
        }
    }

    /// Starts the pods that are due, buries those that have ended, and kills those that drain for
    /// too long.
    ///
    /// # Errors
    /// When a consumer cannot be started.
    pub fn tick(&mut self, now: Timestamp) -> Result<(), DemoError> {
        for pod in &mut self.pods {
            match &mut pod.state {
                PodState::Starting { at } if *at <= now => {
                    let name = format!("pod-{}", pod.number);
                    let child = spawn_reporting(
                        &self.template.program,
                        &self.template.arguments,
                        &self.logs.file(&name)?,
                        (pod.number, self.send.clone()),
                    )?;
                    pod.state = PodState::Running(child);
                }
                PodState::Starting { .. } => {}
                PodState::Running(child) => {
                    if !matches!(child.try_wait(), Ok(None)) {
                        self.crashes += 1;
                        pod.state = PodState::Starting {
                            at: now.plus(self.template.start_delay),
                        };
                    }
                }
            }
        }
        self.leaving.retain_mut(|leaving| {
            if leaving.until <= now {
                let _ = leaving.child.start_kill();
            }
            matches!(leaving.child.try_wait(), Ok(None))
        });
        Ok(())
    }

    /// Sums up what the pods have reported since the last call.
    pub fn tally(&mut self) -> Tally {
        let mut lines = Vec::new();
        while let Ok((number, line)) = self.receive.try_recv() {
            self.processed.insert(number, line.processed_total);
            if !line.is_final {
                lines.push(line);
            }
        }
        Tally::of(&lines)
    }

    /// Ends all of them and waits until they are gone.
    pub async fn end(&mut self) {
        let running = self.pods.drain(..).filter_map(|pod| match pod.state {
            PodState::Running(child) => Some(child),
            PodState::Starting { .. } => None,
        });
        let mut children: Vec<Child> = running.collect();
        children.extend(self.leaving.drain(..).map(|leaving| leaving.child));
        // All are asked before any is waited for.
        let ends = children
            .iter_mut()
            .map(|child| super::process::end(child, GRACE_AT_END));
        futures::future::join_all(ends).await;
    }
}

// === impl Tally ===

impl Tally {
    pub(crate) fn of(lines: &[Line]) -> Self {
        let records: f64 = lines.iter().map(|line| line.records_per_second).sum();
        let aged: f64 = lines
            .iter()
            .filter_map(|line| Some(line.message_age_mean_seconds? * line.records_per_second))
            .sum();
        let greatest = lines
            .iter()
            .filter_map(|line| line.message_age_max_seconds)
            .reduce(f64::max);
        Self {
            records,
            age_mean_seconds: (records > 0.0).then(|| aged / records),
            age_max_seconds: greatest,
        }
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_age_is_weighted_by_records() {
        let line = |records_per_second, age| Line {
            processed_total: 0,
            records_per_second,
            message_age_mean_seconds: age,
            message_age_max_seconds: age,
            is_final: false,
        };
        let tally = Tally::of(&[
            line(90.0, Some(1.0)),
            line(10.0, Some(11.0)),
            line(0.0, None),
        ]);
        assert_eq!(tally.records, 100.0);
        assert_eq!(tally.age_mean_seconds, Some(2.0));
        assert_eq!(tally.age_max_seconds, Some(11.0));
        assert_eq!(Tally::of(&[line(0.0, None)]).age_mean_seconds, None);
    }
}
