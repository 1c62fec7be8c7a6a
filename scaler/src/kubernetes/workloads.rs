//! The workloads of all targets, from one watch a kind: ScaledObjects, Deployments, StatefulSets.
//!
//! Whoever decides about a target asks [`Workloads::of`], which reads memory alone; the watches begin
//! with the first target of a kind and end some minutes after the last. The scale of any other kind is
//! read object by object, each at most once in [`SCALE_INTERVAL`] and so often that none is older than
//! [`SCALE_WITHIN`]. What is not known
//! carries a cause, and what was known stays known, as old as it is: how old it may be is the
//! engine's to judge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use evenkeel_engine::{Cause, Timestamp, Workload, WorkloadObservation};
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use super::scaled_object::{ScaledObject, TargetRef, WorkloadKind};
use super::watch::{Change, Name, watch};
use super::workload::Replicas;
use super::{Cluster, Refused, in_time};
use crate::clock::Clock;
use crate::observe::{Problem, WorkloadReading};

/// How often it is looked which kinds are needed, and whose scale is read.
const ROUND: Duration = Duration::from_secs(1);
/// A target that nobody decides about for this long needs no watch any more.
const WANTED_FOR: Duration = Duration::from_secs(600);
/// Between two readings of one scale subresource, at least.
const SCALE_INTERVAL: Duration = Duration::from_secs(5);
/// In how many seconds all of them are read once, however many there are.
const SCALE_WITHIN: Duration = Duration::from_secs(30);
/// A watch without a sign of life for longer than this says nothing of now. A server sends bookmarks
/// about once a minute, and a watch is begun anew more often than that.
const ALIVE_FOR: Duration = Duration::from_secs(60);
/// A server that does not answer is a target's trouble only after this.
const TROUBLE_AFTER: Duration = Duration::from_secs(5);
/// Kinds that are watched or read at once. Nobody scales as many with Kafka consumers.
const MAX_KINDS: usize = 16;

/// What is known of the workloads of a cluster. Cheap to clone, all clones know the same.
#[derive(Clone, Debug)]
pub struct Workloads {
    clock: Clock,
    shared: Arc<RwLock<Shared>>,
}

/// A ScaledObject as Events name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its uid.
    pub uid: String,
    /// Its API's version.
    pub api_version: String,
}

#[derive(Debug, Default)]
struct Shared {
    scaled_objects: Known<ScaledObject>,
    kinds: BTreeMap<WorkloadKind, Known<Replicas>>,
    /// ScaledObjects that are decided about, and when one last was.
    wanted: BTreeMap<Name, Timestamp>,
}

/// The objects of one kind.
#[derive(Debug)]
struct Known<T> {
    objects: BTreeMap<Name, T>,
    /// When the server last said so, of all of them.
    alive_at: Option<Timestamp>,
    /// When it last said so of single ones, where they are read one by one.
    read_at: BTreeMap<Name, Timestamp>,
    /// Why it does not now.
    refused: Option<Refused>,
}

// === impl Known ===

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            alive_at: None,
            read_at: BTreeMap::new(),
            refused: None,
        }
    }
}

impl<T> Known<T> {
    /// Takes a change in.
    fn take_in(&mut self, change: Change<T>, what: &str, now: Timestamp) {
        match change {
            Change::Failed(refused) => {
                self.refuse(refused, what);
                return;
            }
            Change::All(all) => self.objects = all,
            Change::Applied(name, value) => {
                self.objects.insert(name, value);
            }
            Change::Gone(name) => {
                self.objects.remove(&name);
            }
            Change::Alive => {}
        }
        if self.refused.take().is_some() {
            tracing::info!("{what} are watched again");
        }
        self.alive_at = Some(now);
    }

    /// Notes that the server does not answer, and logs it once a cause.
    fn refuse(&mut self, refused: Refused, what: &str) {
        let known = self.refused.as_ref().map(|refused| refused.cause);
        if known != Some(refused.cause) {
            let cause = refused.cause.label();
            tracing::warn!(
                cause,
                "{what} cannot be read from Kubernetes: {}",
                refused.why
            );
        }
        self.refused = Some(refused);
    }

    /// When what is known of `name` was last known to be so.
    fn known_at(&self, name: &Name, now: Timestamp) -> Option<Timestamp> {
        // What is read one by one is as old as its reading.
        if let Some(at) = self.read_at.get(name) {
            return Some(*at);
        }
        let at = self.alive_at?;
        let is_of_now = self.refused.is_none() && now.since(at) <= ALIVE_FOR;
        Some(if is_of_now { now } else { at })
    }

    /// That nothing is known yet: no trouble in the seconds before the first answer.
    fn not_yet(&self, what: &str) -> WorkloadReading {
        match &self.refused {
            Some(refused) => unknown(refused.problem(what)),
            None => WorkloadReading {
                observation: WorkloadObservation::Unknown(Cause::NotYetObserved),
                problem: None,
            },
        }
    }
}

// === impl Workloads ===

impl Workloads {
    /// Nothing is known yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            shared: Arc::default(),
        }
    }

    /// What is known of the workload that the ScaledObject `name` scales. Does no I/O.
    pub fn of(&self, namespace: &str, name: &str, now: Timestamp) -> WorkloadReading {
        let key = (namespace.to_owned(), name.to_owned());
        let (reading, wanted_at) = {
            let shared = self.read();
            (shared.of(&key, now), shared.wanted.get(&key).copied())
        };
        // Written rarely: thousands of targets ask at every tick.
        if wanted_at.is_none_or(|at| now.since(at) > WANTED_FOR / 10) {
            self.write().wanted.insert(key, now);
        }
        reading
    }

    /// How Events name the ScaledObject, where it is known.
    pub fn reference(&self, namespace: &str, name: &str) -> Option<Reference> {
        let key = (namespace.to_owned(), name.to_owned());
        let shared = self.read();
        let object = shared.scaled_objects.objects.get(&key)?;
        Some(Reference {
            uid: object.uid.clone(),
            api_version: object.api_version.clone(),
        })
    }

    /// Watches for ever. Ends every watch when it is dropped.
    pub async fn run(self, cluster: Cluster) {
        let mut watches = JoinSet::new();
        watches.spawn({
            let (this, cluster) = (self.clone(), cluster.clone());
            async move { this.watch_scaled_objects(&cluster).await }
        });
        let mut running: BTreeMap<WorkloadKind, AbortHandle> = BTreeMap::new();
        let mut polled = Polled::default();
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            let wanted = self.wanted();
            let kinds: BTreeSet<&WorkloadKind> = wanted.iter().map(|(kind, _)| kind).collect();
            running.retain(|kind, watch| {
                let keep = kinds.contains(kind);
                if !keep {
                    watch.abort();
                }
                keep
            });
            self.write().kinds.retain(|kind, _| kinds.contains(kind));
            for kind in kinds.into_iter().filter(|kind| is_watched(kind)) {
                running.entry(kind.clone()).or_insert_with(|| {
                    let (this, cluster, kind) = (self.clone(), cluster.clone(), kind.clone());
                    watches.spawn(async move { this.watch_kind(&cluster, &kind).await })
                });
            }
            let due = polled.next(&wanted, self.clock.now());
            let reads = due
                .into_iter()
                .map(|(kind, object)| self.read_scale(&cluster, kind, object));
            futures::future::join_all(reads).await;
        }
    }

    async fn watch_scaled_objects(&self, cluster: &Cluster) {
        let kind = WorkloadKind::scaled_object();
        let api = Api::all_with(cluster.client.clone(), &api_resource(&kind));
        watch(&api, ScaledObject::of, |change| {
            let now = self.clock.now();
            let known = &mut self.write().scaled_objects;
            known.take_in(change, "scaledobjects", now);
        })
        .await;
    }

    async fn watch_kind(&self, cluster: &Cluster, kind: &WorkloadKind) {
        let api = Api::all_with(cluster.client.clone(), &api_resource(kind));
        let read = |object: &DynamicObject| Some(Replicas::of_object(object));
        watch(&api, read, |change| {
            let now = self.clock.now();
            let mut shared = self.write();
            let known = shared.kinds.entry(kind.clone()).or_default();
            known.take_in(change, &kind.resource, now);
        })
        .await;
    }

    async fn read_scale(&self, cluster: &Cluster, kind: WorkloadKind, (namespace, name): Name) {
        let resource = api_resource(&kind);
        let api: Api<DynamicObject> =
            Api::namespaced_with(cluster.client.clone(), &namespace, &resource);
        let scale = in_time(api.get_scale(&name)).await;
        let now = self.clock.now();
        let mut shared = self.write();
        let known = shared.kinds.entry(kind.clone()).or_default();
        let key = (namespace, name);
        match scale {
            Ok(scale) => {
                known
                    .objects
                    .insert(key.clone(), Replicas::of_scale(&scale));
                known.read_at.insert(key, now);
                known.refused = None;
            }
            Err(refused) if refused.cause == Cause::NotFound => {
                known.objects.remove(&key);
                known.read_at.insert(key, now);
            }
            Err(refused) => known.refuse(refused, &kind.resource),
        }
    }

    /// The workloads that are decided about, by kind and name.
    fn wanted(&self) -> BTreeSet<(WorkloadKind, Name)> {
        let now = self.clock.now();
        let mut shared = self.write();
        shared.wanted.retain(|_, at| now.since(*at) <= WANTED_FOR);
        let names = shared.wanted.keys().filter_map(|key| {
            let target = &shared.scaled_objects.objects.get(key)?.target;
            Some((target.kind.clone(), (key.0.clone(), target.name.clone())))
        });
        let mut wanted: BTreeSet<_> = names.collect();
        let kinds: BTreeSet<WorkloadKind> = wanted.iter().map(|(kind, _)| kind.clone()).collect();
        let kinds: BTreeSet<WorkloadKind> = kinds.into_iter().take(MAX_KINDS).collect();
        wanted.retain(|(kind, _)| kinds.contains(kind));
        wanted
    }

    fn read(&self) -> RwLockReadGuard<'_, Shared> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shared> {
        self.shared.write().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Shared ===

impl Shared {
    fn of(&self, key: &Name, now: Timestamp) -> WorkloadReading {
        let (namespace, name) = key;
        let Some(scaled_at) = self.scaled_objects.known_at(key, now) else {
            return self
                .scaled_objects
                .not_yet("ScaledObjects cannot be watched");
        };
        let Some(scaled) = self.scaled_objects.objects.get(key) else {
            return unknown(Problem {
                cause: Cause::NotFound,
                sentence: format!(
                    "Kubernetes has no ScaledObject {namespace}/{name}: replicas are guessed from \
                     the addresses of the group's members"
                ),
            });
        };
        let TargetRef { kind, name } = &scaled.target;
        let target = (namespace.clone(), name.clone());
        let what = || format!("{} {namespace}/{name} cannot be read", kind.kind);
        let Some(known) = self.kinds.get(kind) else {
            return Known::<Replicas>::default().not_yet(&what());
        };
        let Some(at) = known.known_at(&target, now) else {
            return known.not_yet(&what());
        };
        let Some(replicas) = known.objects.get(&target) else {
            return unknown(Problem {
                cause: Cause::NotFound,
                sentence: format!(
                    "the ScaledObject scales {} {namespace}/{name}, which does not exist",
                    kind.kind
                ),
            });
        };
        let at = at.min(scaled_at);
        let refused = self
            .scaled_objects
            .refused
            .as_ref()
            .or(known.refused.as_ref());
        // A watch that breaks is mostly back in a second: no trouble while what is known is of now.
        let refused = refused.filter(|_| now.since(at) > TROUBLE_AFTER);
        WorkloadReading {
            observation: WorkloadObservation::Known(Workload {
                at,
                asked: replicas.asked,
                exist: replicas.exist,
                ready: replicas.ready,
                updating: replicas.updating,
                scaling: scaled.scaling,
            }),
            problem: refused.map(|refused| refused.problem(&what())),
        }
    }
}

fn unknown(problem: Problem) -> WorkloadReading {
    WorkloadReading {
        observation: WorkloadObservation::Unknown(problem.cause),
        problem: Some(problem),
    }
}

/// Which scale subresource is read next.
#[derive(Debug, Default)]
struct Polled {
    read_at: BTreeMap<(WorkloadKind, Name), Timestamp>,
}

// === impl Polled ===

impl Polled {
    /// Those that were read longest ago, as far as that is long enough ago: one, or as many as it takes
    /// for all to have their turn.
    fn next(
        &mut self,
        wanted: &BTreeSet<(WorkloadKind, Name)>,
        now: Timestamp,
    ) -> Vec<(WorkloadKind, Name)> {
        self.read_at.retain(|object, _| wanted.contains(object));
        let polled = wanted.iter().filter(|(kind, _)| !is_watched(kind));
        let mut polled: Vec<_> = polled.collect();
        let turns = SCALE_WITHIN.as_secs() / ROUND.as_secs();
        let at_once = polled.len().div_ceil(usize::try_from(turns).unwrap_or(1));
        let is_due = |at: &Timestamp| now.since(*at) >= SCALE_INTERVAL;
        polled.retain(|object| self.read_at.get(object).is_none_or(is_due));
        polled.sort_by_key(|object| self.read_at.get(object));
        let next: Vec<_> = polled.into_iter().take(at_once).cloned().collect();
        let read = next.iter().map(|object| (object.clone(), now));
        self.read_at.extend(read);
        next
    }
}

/// Whether the kind itself tells of its replicas, so that one watch is enough.
fn is_watched(kind: &WorkloadKind) -> bool {
    kind.group == "apps" && matches!(kind.resource.as_str(), "deployments" | "statefulsets")
}

pub(super) fn api_resource(kind: &WorkloadKind) -> ApiResource {
    let api_version = if kind.group.is_empty() {
        kind.version.clone()
    } else {
        format!("{}/{}", kind.group, kind.version)
    };
    ApiResource {
        group: kind.group.clone(),
        version: kind.version.clone(),
        api_version,
        kind: kind.kind.clone(),
        plural: kind.resource.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_scales_have_their_turn_however_many_there_are() {
        for count in [1, 29, 130, 2_000] {
            let kind = WorkloadKind {
                group: "argoproj.io".to_owned(),
                version: "v1alpha1".to_owned(),
                kind: "Rollout".to_owned(),
                resource: "rollouts".to_owned(),
            };
            let object = |number| (kind.clone(), ("shop".to_owned(), format!("{number:04}")));
            let wanted: BTreeSet<_> = (0..count).map(object).collect();
            let (mut polled, mut read_at) = (Polled::default(), BTreeMap::new());
            for second in 0..200 {
                let now = Timestamp::from_millis(second * 1_000);
                for object in polled.next(&wanted, now) {
                    let before = read_at.insert(object, now);
                    let soon = before.is_some_and(|at| now.since(at) < SCALE_INTERVAL);
                    assert!(!soon, "{count}: {second}");
                }
                let late = |at: &Timestamp| now.since(*at) > SCALE_WITHIN;
                assert!(!read_at.values().any(late), "{count}: {second}");
            }
            assert_eq!(read_at.len(), count);
        }
    }
}
