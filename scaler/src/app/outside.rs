//! What works beside the loops and the servers: the watches of Kubernetes, the Lease, Events, and the
//! writing down of what was learned. All of it is optional, and none of it is essential: where one
//! fails it says so and goes on trying.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::AppError;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::kubernetes::{LeaderConfig, StateConfig};
use crate::control::announcements::{Announcement, Announcements};
use crate::control::kept::{Keepable, Kept, Memory};
use crate::grpc::forward::HANDOVER_WAIT;
use crate::keep::{Keeper, Store};
use crate::kubernetes::config_maps::ConfigMaps;
use crate::kubernetes::events::Events;
use crate::kubernetes::lease::Candidate;
use crate::kubernetes::workloads::Workloads;
use crate::kubernetes::{Cluster, ClusterError};
use crate::leader::{Leadership, Role, Standing};
use crate::metrics::Metrics;
use crate::tls::server::ServerTls;

/// How long the start waits for what was learned: a target that is decided about before is recalled a
/// little later.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// How long the end waits for the last writing.
const WRITE_WITHIN: Duration = Duration::from_secs(3);
/// Bytes of the part of an identity that no other process has.
const NONCE_BYTES: usize = 4;
/// Whose what was learned is, where there is no Lease to name it by.
const OWNER: &str = "evenkeel";

/// Everything of it, made and not yet running.
#[derive(Debug)]
pub(super) struct Outside {
    clock: Clock,
    cluster: Option<Cluster>,
    workloads: Option<Workloads>,
    leadership: Leadership,
    candidacy: Option<(LeaderConfig, watch::Sender<Standing>)>,
    kept: Memory,
    store: Option<(Store, String)>,
    announcements: Announcements,
    announced: Option<mpsc::Receiver<Announcement>>,
}

/// Everything of it, running.
#[derive(Debug)]
pub(super) struct Helpers {
    leadership: Leadership,
    _watches: Vec<AbortOnDropHandle<()>>,
    keepers: Vec<AbortOnDropHandle<()>>,
    keeper_end: CancellationToken,
    candidate_end: CancellationToken,
}

// === impl Outside ===

impl Outside {
    /// What `config` asks for, in `cluster`.
    ///
    /// # Errors
    /// When something needs the cluster, and there is none.
    pub(super) fn of(
        config: &Config,
        cluster: Option<Cluster>,
        clock: Clock,
    ) -> Result<Self, AppError> {
        let needed = |setting| AppError::from(ClusterError::Needed { setting });
        let (leadership, candidacy) = match &config.leader {
            None => (Leadership::alone(clock), None),
            Some(_) if cluster.is_none() => return Err(needed("leader.lease")),
            Some(leader) => {
                let (sender, leadership) = Leadership::among_others(clock);
                (leadership, Some((leader.clone(), sender)))
            }
        };
        let owner = config.leader.as_ref();
        let owner = owner.map_or_else(|| OWNER.to_owned(), |leader| leader.lease.clone());
        let store = match (&config.state, &cluster) {
            (None, _) => None,
            (Some(StateConfig::Folder(path)), _) => Some(Store::Folder(path.clone())),
            (Some(StateConfig::ConfigMaps(_)), None) => return Err(needed("state.configMaps")),
            (Some(StateConfig::ConfigMaps(prefix)), Some(cluster)) => Some(Store::ConfigMaps(
                ConfigMaps::new(cluster.clone(), prefix.clone()),
            )),
        };
        let kept = Memory::default();
        if store.is_none() {
            kept.complete();
        }
        let is_watched = cluster.is_some() && config.kubernetes.workloads;
        let workloads = is_watched.then(|| Workloads::new(clock));
        let (announcements, announced) = if workloads.is_some() && config.kubernetes.events {
            let (announcements, announced) = Announcements::channel();
            (announcements, Some(announced))
        } else {
            (Announcements::nowhere(), None)
        };
        Ok(Self {
            clock,
            cluster,
            workloads,
            leadership,
            candidacy,
            kept,
            store: store.map(|store| (store, owner)),
            announcements,
            announced,
        })
    }

    pub(super) fn workloads(&self) -> Option<Workloads> {
        self.workloads.clone()
    }

    pub(super) fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    pub(super) fn kept(&self) -> Memory {
        self.kept.clone()
    }

    pub(super) fn announcements(&self) -> Announcements {
        self.announcements.clone()
    }

    /// Writes down what is in `kept`.
    fn keeper<T: Keepable>(&self, store: Store, owner: &str, kept: &Kept<T>) -> Keeper<T> {
        Keeper {
            store,
            owner: owner.to_owned(),
            kept: kept.clone(),
            leadership: self.leadership.clone(),
            clock: self.clock,
        }
    }

    /// Starts all of it; `port` is where other replicas reach our gRPC server.
    pub(super) async fn start(
        self,
        port: u16,
        tls: Option<Arc<ServerTls>>,
        metrics: Metrics,
    ) -> Helpers {
        let (keeper_end, candidate_end) = (CancellationToken::new(), CancellationToken::new());
        let mut watches = Vec::new();
        let keepers = match &self.store {
            None => Vec::new(),
            Some((store, owner)) => {
                let learned = self.keeper(store.clone(), owner, &self.kept.learned);
                let pasts = self.keeper(store.of_pasts(), owner, &self.kept.pasts);
                // What takes longer is read by the keepers themselves, later.
                let read = async { tokio::join!(learned.read(), pasts.read()) };
                let _late = tokio::time::timeout(READ_WITHIN, read).await;
                let end = || keeper_end.clone();
                vec![spawn(learned.run(end())), spawn(pasts.run(end()))]
            }
        };
        if let (Some(cluster), Some(workloads)) = (&self.cluster, &self.workloads) {
            watches.push(spawn(workloads.clone().run(cluster.clone())));
            if let Some(announced) = self.announced {
                let events = Events {
                    cluster: cluster.clone(),
                    workloads: workloads.clone(),
                    leadership: self.leadership.clone(),
                    clock: self.clock,
                };
                watches.push(spawn(events.run(announced)));
            }
        }
        if let (Some(cluster), Some((leader, standing))) = (self.cluster, self.candidacy) {
            let host = match leader.host.parse::<std::net::Ipv6Addr>() {
                Ok(address) => format!("[{address}]"),
                Err(_) => leader.host,
            };
            let candidate = Candidate {
                cluster,
                lease: leader.lease,
                duration: leader.duration,
                identity: format!("{}_{}", leader.identity.unwrap_or_else(host_name), nonce()),
                address: format!("{host}:{port}"),
                tls,
                clock: self.clock,
                metrics,
            };
            watches.push(spawn(candidate.run(standing, candidate_end.clone())));
        }
        Helpers {
            leadership: self.leadership,
            _watches: watches,
            keepers,
            keeper_end,
            candidate_end,
        }
    }
}

// === impl Helpers ===

impl Helpers {
    /// Writes down what was learned and gives the lead up; returns when another replica leads, or
    /// after [`HANDOVER_WAIT`].
    pub(super) async fn hand_over(&mut self) {
        self.keeper_end.cancel();
        let written = futures::future::join_all(std::mem::take(&mut self.keepers));
        let _late = tokio::time::timeout(WRITE_WITHIN, written).await;
        if !self.leadership.is_among_others() {
            return;
        }
        self.candidate_end.cancel();
        let mut leadership = self.leadership.clone();
        let other_leads = async {
            while !matches!(leadership.role(), Role::Forward(_)) {
                leadership.changed().await;
            }
        };
        let _nobody = tokio::time::timeout(HANDOVER_WAIT, other_leads).await;
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

/// The host's name, which is the pod's.
fn host_name() -> String {
    let of_environment = std::env::var("HOSTNAME").ok();
    let named = of_environment.or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let named = named.map(|name| name.trim().to_owned());
    named
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| OWNER.to_owned())
}

/// What tells this process from every other one of the same host's name.
fn nonce() -> String {
    let mut bytes = [0_u8; NONCE_BYTES];
    let random = ring::rand::SystemRandom::new();
    if ring::rand::SecureRandom::fill(&random, &mut bytes).is_err() {
        bytes = std::process::id().to_be_bytes();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
