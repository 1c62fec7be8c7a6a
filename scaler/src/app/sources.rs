//! The real observers, made from the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use evenkeel_engine::{Cause, Timestamp, WorkloadObservation};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;
use crate::config::Config;
use crate::control::Sources;
use crate::control::target::{ClusterRef, TargetKey};
use crate::credentials::Refresh;
use crate::kubernetes::workloads::Workloads;
use crate::metrics::Metrics;
use crate::observe::kafka::{Access, KafkaObserver, KafkaObserverConfig};
use crate::observe::prometheus::{
    PrometheusAccess, PrometheusClientError, PrometheusObserver, PrometheusObserverConfig,
};
use crate::observe::{KafkaReading, ObserveKafka, Problem, Request, WorkloadReading};

/// Makes the observers of the process.
#[derive(Debug)]
pub(super) struct RealSources {
    config: Arc<Config>,
    clock: Clock,
    metrics: Metrics,
    prometheus: Arc<PrometheusObserver>,
    adhoc_slots: Arc<Semaphore>,
    /// By the names of the profiles. Here, because it outlives the observers: what was read and
    /// fetched is not read and fetched again when one is started anew.
    access: BTreeMap<String, Access>,
    prometheus_access: BTreeMap<String, Arc<PrometheusAccess>>,
    /// None where no cluster of Kubernetes is asked about workloads.
    workloads: Option<Workloads>,
}

/// An observer that gives its ad-hoc slot back when it is dropped.
#[derive(Debug)]
pub(super) struct SlottedObserver {
    observer: KafkaObserver,
    _slot: Option<OwnedSemaphorePermit>,
}

// === impl RealSources ===

impl RealSources {
    pub(super) fn new(
        config: Arc<Config>,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, PrometheusClientError> {
        let profiles = config.prometheus.iter().filter_map(|(name, profile)| {
            let timeout = config.poll.request_timeout;
            let access = PrometheusAccess::of(name, profile, timeout, &metrics)?;
            Some((name.clone(), Arc::new(access)))
        });
        let prometheus_access: BTreeMap<_, _> = profiles.collect();
        let prometheus = PrometheusObserver::new(
            PrometheusObserverConfig {
                request_timeout: config.poll.request_timeout,
                concurrency: config.limits.prometheus_concurrency,
            },
            clock,
            metrics.clone(),
        )?;
        let access = config
            .clusters
            .iter()
            .map(|(name, profile)| (name.clone(), Access::of(name, profile, &metrics)));
        Ok(Self {
            access: access.collect(),
            adhoc_slots: Arc::new(Semaphore::new(config.limits.adhoc_clusters)),
            prometheus: Arc::new(prometheus.with_access(prometheus_access.clone())),
            prometheus_access,
            workloads: None,
            config,
            clock,
            metrics,
        })
    }

    /// The same, with what Kubernetes knows of workloads.
    pub(super) fn with_workloads(mut self, workloads: Option<Workloads>) -> Self {
        self.workloads = workloads;
        self
    }

    /// Everything that is read from files.
    pub(super) fn credentials(&self) -> Vec<Arc<dyn Refresh>> {
        let of_kafka = self.access.values().flat_map(Access::credentials);
        let of_prometheus = self.prometheus_access.values();
        let of_prometheus = of_prometheus.map(|access| Arc::clone(access) as Arc<dyn Refresh>);
        of_kafka.chain(of_prometheus).collect()
    }

    fn adhoc_slot(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.adhoc_slots)
            .try_acquire_owned()
            .map_err(|_| Problem {
                cause: Cause::Refused,
                sentence: format!(
                    "{} clusters without a profile are observed already, which is \
                     limits.adhocClusters: raise it, or give this cluster a profile under clusters",
                    self.config.limits.adhoc_clusters
                ),
            })
    }
}

impl Sources for RealSources {
    type Kafka = SlottedObserver;
    type Prometheus = PrometheusObserver;

    fn kafka(&self, cluster: &ClusterRef) -> Result<SlottedObserver, Problem> {
        let (bootstrap_servers, access, slot) = match cluster {
            ClusterRef::Adhoc(addresses) => {
                (addresses.clone(), Access::adhoc(), Some(self.adhoc_slot()?))
            }
            ClusterRef::Profile(name) => match self.config.clusters.get(name) {
                Some(profile) => {
                    let access = self.access.get(name).cloned().unwrap_or_default();
                    (profile.bootstrap_servers.clone(), access, None)
                }
                None => {
                    return Err(Problem {
                        cause: Cause::Refused,
                        sentence: format!(
                            "there is no cluster profile {name}: add it under clusters"
                        ),
                    });
                }
            },
        };
        let config = KafkaObserverConfig {
            name: cluster.to_string(),
            bootstrap_servers,
            access,
            request_timeout: self.config.poll.request_timeout,
            frame_limit_bytes: self.config.limits.kafka_frame_bytes,
        };
        Ok(SlottedObserver {
            observer: KafkaObserver::new(config, self.clock, self.metrics.clone()),
            _slot: slot,
        })
    }

    fn prometheus(&self) -> Arc<PrometheusObserver> {
        Arc::clone(&self.prometheus)
    }

    fn workload(&self, target: &TargetKey, now: Timestamp) -> WorkloadReading {
        match &self.workloads {
            Some(workloads) => workloads.of(&target.namespace, &target.name, now),
            None => WorkloadReading {
                observation: WorkloadObservation::NotConfigured,
                problem: None,
            },
        }
    }
}

// === impl SlottedObserver ===

impl ObserveKafka for SlottedObserver {
    async fn observe(&mut self, requests: &[Request]) -> Vec<KafkaReading> {
        self.observer.observe(requests).await
    }
}
