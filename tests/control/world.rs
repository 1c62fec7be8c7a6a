//! A world for the loops: Kafka clusters and Prometheus servers that answer as the test says, and a
//! decision that is active when there is lag.

#[path = "../support/decisions.rs"]
mod decisions;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evenkeel_engine::{
    Cause, Committed, Decision, Desired, GroupObservation, GroupProtocol, GroupState, Inputs,
    LogOffsets, Observation, PartitionObservation, Policy, PrometheusObservation, Reading, State,
    Timestamp, TopicObservation, Verdict, WorkloadObservation,
};
use evenkeel_scaler::calendar::{Calendar, LocalTime};
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::config::PollConfig;
use evenkeel_scaler::control::announcements::Announcements;
use evenkeel_scaler::control::cluster_loop::LoopContext;
use evenkeel_scaler::control::kept::Memory;
use evenkeel_scaler::control::registry::Registry;
use evenkeel_scaler::control::supervisor::Supervisor;
use evenkeel_scaler::control::target::{
    ClusterRef, PrometheusRef, Published, Target, TargetKey, TargetSpec,
};
use evenkeel_scaler::control::{Decide, Sources};
use evenkeel_scaler::metrics::Metrics;
use evenkeel_scaler::observe::prometheus::{BaselineReading, ObservePrometheus, PrometheusQuery};
use evenkeel_scaler::observe::{
    Depth, Isolation, KafkaReading, ObserveKafka, Problem, Request, Subscription, TopicSelection,
    WorkloadReading,
};
use tokio::time::Instant;

/// What a cluster does when it is asked.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    Known,
    Unknown(Cause),
    After(Duration),
    Never,
    Panic,
}

/// When, in milliseconds since the start, and what of which group, at which depth, cold or not.
pub type Call = (u64, Vec<(String, Depth, bool)>);

#[derive(Debug, Default)]
struct Script {
    answers: BTreeMap<String, Answer>,
    log_ends: BTreeMap<String, u64>,
    calls: BTreeMap<String, Vec<Call>>,
    made: BTreeMap<String, usize>,
    alive: BTreeMap<String, usize>,
    refused: Option<Problem>,
    baselines: BTreeMap<String, Option<Duration>>,
    asked: BTreeMap<String, Vec<(u64, bool)>>,
    /// How often each server was asked for minutes, and how often it fails before it answers.
    minutes_asked: BTreeMap<String, usize>,
    minutes_fail: usize,
}

/// The world of one test. Its loops end with the test's runtime.
pub struct World {
    pub metrics: Metrics,
    pub memory: Memory,
    registry: Arc<Registry>,
    clock: Clock,
    script: Arc<Mutex<Script>>,
}

struct FakeSources {
    started: Instant,
    clock: Clock,
    script: Arc<Mutex<Script>>,
}

struct FakeKafka {
    cluster: String,
    started: Instant,
    clock: Clock,
    script: Arc<Mutex<Script>>,
}

struct FakePrometheus {
    started: Instant,
    clock: Clock,
    script: Arc<Mutex<Script>>,
}

// === impl World ===

impl World {
    /// Loops that poll every 5 s (1 s asleep), with request timeouts of 5 s; targets idle for 60 s
    /// are forgotten.
    pub fn start() -> Self {
        Self::start_with(active_with_lag)
    }

    pub fn start_with(decide: Decide) -> Self {
        let clock = Clock::start();
        let script = Arc::new(Mutex::new(Script::default()));
        let registry = Arc::new(Registry::new(100, 10));
        let metrics = Metrics::default();
        let kept = Memory::default();
        kept.complete();
        let memory = kept.clone();
        let context = LoopContext {
            sources: Arc::new(FakeSources {
                started: Instant::now(),
                clock,
                script: Arc::clone(&script),
            }),
            registry: Arc::clone(&registry),
            kept,
            announcements: Announcements::nowhere(),
            decide,
            poll: PollConfig {
                interval: Duration::from_secs(5),
                asleep_interval: Duration::from_secs(1),
                request_timeout: Duration::from_secs(5),
            },
            prometheus_concurrency: 4,
            clock,
            metrics: metrics.clone(),
        };
        tokio::spawn(Supervisor::new(context, Duration::from_secs(60)).run());
        Self {
            metrics,
            memory,
            registry,
            clock,
            script,
        }
    }

    pub fn register(&self, name: &str, cluster: &str) -> Arc<Target> {
        self.register_spec(spec(name, cluster, None))
    }

    pub fn register_with_baseline(&self, name: &str, cluster: &str, url: &str) -> Arc<Target> {
        self.register_spec(spec(name, cluster, Some(url)))
    }

    /// One whose days recur, with this hash of its metadata.
    pub fn register_with_days(&self, name: &str, url: &str, hash: u64, zone: &str) -> Arc<Target> {
        let mut spec = spec(name, "main", Some(url));
        spec.key.metadata_hash = hash;
        spec.policy.learns_calendar = true;
        spec.local_time = LocalTime::read(zone).expect("a time zone");
        self.register_spec(spec)
    }

    /// How often a Prometheus server was asked for minutes.
    pub fn minutes_asked(&self, url: &str) -> usize {
        self.script().minutes_asked.get(url).copied().unwrap_or(0)
    }

    /// Prometheus servers fail so often before they tell minutes.
    pub fn minutes_fail(&self, times: usize) {
        self.script().minutes_fail = times;
    }

    fn register_spec(&self, spec: TargetSpec) -> Arc<Target> {
        self.registry
            .register(spec, self.clock.now())
            .expect("room for a target")
    }

    pub fn registered(&self) -> Vec<String> {
        self.registry
            .all()
            .iter()
            .map(|target| target.spec.key.name.clone())
            .collect()
    }

    pub fn answer(&self, cluster: &str, answer: Answer) {
        self.script().answers.insert(cluster.to_owned(), answer);
    }

    pub fn refuse(&self, problem: Option<Problem>) {
        self.script().refused = problem;
    }

    pub fn log_end(&self, group: &str, end: u64) {
        self.script().log_ends.insert(group.to_owned(), end);
    }

    /// After how long a Prometheus server answers; without, it never does.
    pub fn baseline(&self, url: &str, after: Option<Duration>) {
        self.script().baselines.insert(url.to_owned(), after);
    }

    pub fn calls(&self, cluster: &str) -> Vec<Call> {
        self.script()
            .calls
            .get(cluster)
            .cloned()
            .unwrap_or_default()
    }

    pub fn asked(&self, url: &str) -> Vec<(u64, bool)> {
        self.script().asked.get(url).cloned().unwrap_or_default()
    }

    pub fn observers_made(&self, cluster: &str) -> usize {
        self.script().made.get(cluster).copied().unwrap_or(0)
    }

    pub fn observers_alive(&self, cluster: &str) -> usize {
        self.script().alive.get(cluster).copied().unwrap_or(0)
    }

    pub fn published(&self, name: &str) -> Published {
        let target = self.registry.find("shop", name).expect("registered");
        let published = target.published().expect("published");
        Published::clone(&published)
    }

    pub fn active(&self, name: &str) -> bool {
        matches!(
            self.published(name).decision.desired,
            Desired::Known { active: true, .. }
        )
    }

    /// The baseline that the last decision was made with.
    pub fn seen_baseline(&self, name: &str) -> PrometheusObservation {
        match self.published(name).decision.inputs.inbound_prometheus {
            Some(records_per_second) => PrometheusObservation::Known {
                records_per_second,
                at: Timestamp::default(),
            },
            None => PrometheusObservation::Unknown(Cause::NotYetObserved),
        }
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script
            .lock()
            .expect("no test panics while it holds this")
    }
}

// === impl FakeSources ===

impl Sources for FakeSources {
    type Kafka = FakeKafka;
    type Prometheus = FakePrometheus;

    fn kafka(&self, cluster: &ClusterRef) -> Result<FakeKafka, Problem> {
        let mut script = self.script.lock().expect("lock");
        if let Some(problem) = &script.refused {
            return Err(problem.clone());
        }
        let cluster = cluster.to_string();
        *script.made.entry(cluster.clone()).or_default() += 1;
        *script.alive.entry(cluster.clone()).or_default() += 1;
        Ok(FakeKafka {
            cluster,
            started: self.started,
            clock: self.clock,
            script: Arc::clone(&self.script),
        })
    }

    fn prometheus(&self) -> Arc<FakePrometheus> {
        Arc::new(FakePrometheus {
            started: self.started,
            clock: self.clock,
            script: Arc::clone(&self.script),
        })
    }

    fn workload(&self, _: &TargetKey, _: Timestamp) -> WorkloadReading {
        WorkloadReading {
            observation: WorkloadObservation::NotConfigured,
            problem: None,
        }
    }
}

// === impl FakeKafka ===

impl ObserveKafka for FakeKafka {
    async fn observe(&mut self, requests: &[Request]) -> Vec<KafkaReading> {
        let answer = {
            let mut script = self.script.lock().expect("lock");
            let call = (
                millis(self.started),
                requests
                    .iter()
                    .map(|request| {
                        (
                            request.subscription.consumer_group.clone(),
                            request.depth,
                            request.cold,
                        )
                    })
                    .collect(),
            );
            script
                .calls
                .entry(self.cluster.clone())
                .or_default()
                .push(call);
            script
                .answers
                .get(&self.cluster)
                .copied()
                .unwrap_or(Answer::Known)
        };
        match answer {
            Answer::Never => std::future::pending::<()>().await,
            Answer::After(delay) => tokio::time::sleep(delay).await,
            Answer::Panic => panic!("as the test says"),
            Answer::Known | Answer::Unknown(_) => {}
        }
        let script = self.script.lock().expect("lock");
        requests
            .iter()
            .map(|request| {
                let group = &request.subscription.consumer_group;
                let end = script.log_ends.get(group).copied().unwrap_or(0);
                self.reading(answer, end)
            })
            .collect()
    }
}

impl FakeKafka {
    fn reading(&self, answer: Answer, end: u64) -> KafkaReading {
        let partitions = match answer {
            Answer::Unknown(cause) => Reading::Unknown(cause),
            _ => Reading::Known(vec![PartitionObservation {
                partition: 0,
                log: Reading::Known(LogOffsets { start: 0, end }),
                committed: Reading::Known(Committed::At(0)),
                history: None,
            }]),
        };
        KafkaReading {
            at: self.clock.now(),
            topics: vec![TopicObservation {
                name: "orders".to_owned(),
                partitions,
            }],
            group: match answer {
                Answer::Unknown(cause) => Reading::Unknown(cause),
                _ => Reading::Known(GroupObservation {
                    protocol: GroupProtocol::Classic,
                    state: GroupState::Empty,
                    assignor: String::new(),
                    members: Vec::new(),
                }),
            },
            problems: Vec::new(),
            earlier: None,
        }
    }
}

impl Drop for FakeKafka {
    fn drop(&mut self) {
        // The lock is poisoned when the observer was told to panic; the count is still right.
        let mut script = self
            .script
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(alive) = script.alive.get_mut(&self.cluster) {
            *alive -= 1;
        }
    }
}

// === impl FakePrometheus ===

impl ObservePrometheus for FakePrometheus {
    async fn observe(&self, query: &PrometheusQuery, cold: bool) -> BaselineReading {
        let after = {
            let mut script = self.script.lock().expect("lock");
            script
                .asked
                .entry(query.url.clone())
                .or_default()
                .push((millis(self.started), cold));
            script.baselines.get(&query.url).copied().flatten()
        };
        match after {
            Some(delay) => tokio::time::sleep(delay).await,
            None => std::future::pending::<()>().await,
        }
        BaselineReading {
            observation: PrometheusObservation::Known {
                records_per_second: 100.0,
                at: self.clock.now(),
            },
            problem: None,
        }
    }

    /// 10 records/s, and 100 in the first five minutes after each noon by UTC.
    async fn minutes(
        &self,
        query: &PrometheusQuery,
        first: Timestamp,
        points: u32,
    ) -> Result<Vec<(Timestamp, f64)>, Problem> {
        let mut script = self.script.lock().expect("lock");
        *script.minutes_asked.entry(query.url.clone()).or_default() += 1;
        if script.minutes_fail > 0 {
            script.minutes_fail -= 1;
            return Err(Problem {
                cause: Cause::Unreachable,
                sentence: "did not reach the server".to_owned(),
            });
        }
        let at = |point| first.plus(Duration::from_secs(60) * point);
        let rate = |at: Timestamp| match (at.as_millis() / 60_000 - 1) % 1_440 {
            720..725 => 100.0,
            _ => 10.0,
        };
        Ok((0..points)
            .map(|point| (at(point), rate(at(point))))
            .collect())
    }
}

/// A stand-in for the engine that panics when a log ends at 13.
pub fn panic_on_thirteen(
    policy: &Policy,
    state: State,
    observation: &Observation,
    now: Timestamp,
) -> (State, Decision) {
    assert_ne!(log_end(observation), Some(13), "as the test says");
    active_with_lag(policy, state, observation, now)
}

/// A stand-in for the engine: active with lag, one replica, unknown when the log is.
fn active_with_lag(
    policy: &Policy,
    state: State,
    observation: &Observation,
    now: Timestamp,
) -> (State, Decision) {
    let desired = match (&observation.group, log_end(observation)) {
        (Reading::Unknown(cause), _) => Desired::Unknown { cause: *cause },
        (Reading::Known(_), end) => Desired::Known {
            replicas: 1,
            active: end.is_some_and(|end| end > 0),
        },
    };
    let inputs = Inputs {
        inbound_prometheus: match observation.prometheus {
            PrometheusObservation::Known {
                records_per_second, ..
            } => Some(records_per_second),
            _ => None,
        },
        ..Inputs::default()
    };
    let decision = Decision {
        at: now,
        desired,
        verdict: Verdict::SteadyState,
        reason: String::new(),
        findings: Vec::new(),
        trail: Vec::new(),
        inputs,
        valid_until: now.plus(policy.max_staleness),
    };
    (state, decision)
}

fn log_end(observation: &Observation) -> Option<u64> {
    let partitions = observation.topics.first()?.partitions.known()?;
    Some(partitions.first()?.log.known()?.end)
}

fn millis(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).expect("a short test")
}

fn spec(name: &str, cluster: &str, prometheus: Option<&str>) -> TargetSpec {
    TargetSpec {
        key: TargetKey {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            metadata_hash: 1,
        },
        cluster: ClusterRef::Profile(cluster.to_owned()),
        subscription: Arc::new(Subscription {
            consumer_group: name.to_owned(),
            topics: TopicSelection::Named(vec!["orders".to_owned()]),
            partitions: None,
            isolation: Isolation::ReadUncommitted,
            history: Duration::from_secs(300),
        }),
        prometheus: prometheus.map(|url| PrometheusRef {
            url: url.to_owned(),
            profile: None,
            query: "sum(rate(orders[1m]))".to_owned(),
        }),
        policy: decisions::policy(),
        calendar: Calendar::default(),
        local_time: LocalTime::default(),
        notes: Vec::new(),
    }
}
