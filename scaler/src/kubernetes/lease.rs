//! One of several replicas is chosen by a Lease (coordination.k8s.io), and knows when it no longer is.
//!
//! The rules are those of Kubernetes' own controllers: whoever holds the Lease renews it; whoever sees
//! it unchanged for as long as it lasts, by its own monotonic clock, takes it. So clocks that disagree
//! do no harm. What is stricter here is the holder's side: it answers only until [`margin`] before the
//! Lease that it last renewed could end, counted from before the request was sent. A holder that was
//! stopped, or that cannot reach the API server, is silent before another may answer.
//!
//! `kubert`, `kube-lease-manager` and `kube-leader-election` were looked at: they judge by the wall
//! clock that the Lease carries, or tell their user only whether it leads and not until when.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Cluster, Refused, wall};
use crate::clock::Clock;
use crate::leader::{Peer, Standing};
use crate::metrics::Metrics;
use crate::tls::server::ServerTls;

/// The annotations by which a holder says where it is, and what certificate it has.
const ADDRESS: &str = "evenkeel-address";
const CERTIFICATE: &str = "evenkeel-certificate-sha256";

/// What a Lease that was given up lasts, in seconds, as Kubernetes' own controllers write it.
const GIVEN_UP_SECONDS: i32 = 1;
/// A Lease that claims to last longer counts as lasting this long: somebody wrote it by hand.
const LONGEST: Duration = Duration::from_secs(60);
/// Renewals, and looks at another's Lease, in the time that one lasts.
const RENEWALS: u32 = 3;
const LOOKS: u32 = 6;

/// Renewals whose answers were lost that are remembered: more are not tried while a Lease lasts.
const MOST_WRITTEN: usize = 16;

/// What one replica needs in order to take part.
#[derive(Debug)]
pub struct Candidate {
    /// The cluster.
    pub cluster: Cluster,
    /// The Lease's name.
    pub lease: String,
    /// How long it lasts.
    pub duration: Duration,
    /// Who this replica is, for people; no other has it.
    pub identity: String,
    /// Where the others reach it, `host:port`.
    pub address: String,
    /// Its side of TLS, where it speaks that.
    pub tls: Option<Arc<ServerTls>>,
    /// The clock.
    pub clock: Clock,
    /// The counters.
    pub metrics: Metrics,
}

/// The Lease as it was last seen, and since when it has looked so.
#[derive(Debug)]
struct Seen {
    /// None where there is none.
    lease: Option<Lease>,
    since: Timestamp,
    /// When this replica renewed it: the last time that is known, and what was sent since, of which any may
    /// have been written without an answer.
    written: Vec<String>,
}

// === impl Candidate ===

impl Candidate {
    /// Takes part until `end`, then gives the Lease up if it is held, and returns.
    ///
    /// `standing` is told of every change before anything else happens by it.
    pub async fn run(self, standing: watch::Sender<Standing>, end: CancellationToken) {
        let mut seen: Option<Seen> = None;
        loop {
            let pause = self.step(&standing, &mut seen).await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = end.cancelled() => break,
            }
        }
        self.give_up(&standing, seen).await;
    }

    /// Looks, takes or renews once; how long until the next time.
    async fn step(&self, standing: &watch::Sender<Standing>, seen: &mut Option<Seen>) -> Duration {
        let looked_at = self.clock.now();
        let held = matches!(&*standing.borrow(), Standing::Leads { .. });
        // What is held is renewed by what it last looked like: one request.
        if !held {
            match self.look(seen).await {
                Ok(()) => {}
                // A leader judges for itself: until its Lease could be another's, calls are handed on.
                Err(refused) => {
                    let follows = matches!(&*standing.borrow(), Standing::Follows(_));
                    if !follows || self.may_take(seen.as_ref()) {
                        self.say(standing, nobody_knows(&refused));
                    }
                    return self.duration / LOOKS;
                }
            }
            if !self.may_take(seen.as_ref()) {
                self.say(standing, self.of_other(seen.as_ref()));
                return self.duration / LOOKS;
            }
        }
        let sent_at = self.clock.now();
        match self.write(seen, false).await {
            Ok(lease) => {
                *seen = Some(Seen {
                    written: renewed(Some(&lease)).into_iter().collect(),
                    lease: Some(lease),
                    since: self.clock.now(),
                });
                let until = sent_at.plus(self.duration.saturating_sub(margin(self.duration)));
                self.say(standing, Standing::Leads { until });
                let next = self.duration / RENEWALS;
                next.saturating_sub(self.clock.now().since(looked_at))
            }
            Err(refused) if refused.is_conflict() || refused.code == Some(404) => {
                // Somebody else wrote it, or it is gone; or this replica did, and never heard that it had.
                let looked = self.look(seen).await;
                if looked.is_ok() && self.is_mine(seen.as_ref()) {
                    return Duration::ZERO;
                }
                self.say(standing, self.of_other(seen.as_ref()));
                self.duration / LOOKS
            }
            Err(refused) => {
                if !held {
                    self.say(standing, nobody_knows(&refused));
                } else {
                    tracing::warn!(
                        "the Lease {} cannot be renewed: {}",
                        self.lease,
                        refused.why
                    );
                }
                self.duration / LOOKS
            }
        }
    }

    /// Reads the Lease and notes since when it has looked as it does.
    async fn look(&self, seen: &mut Option<Seen>) -> Result<(), Refused> {
        let api = self.api();
        let found = self.in_time(api.get_opt(&self.lease)).await?;
        let now = self.clock.now();
        let spec = |lease: &Option<Lease>| lease.as_ref().and_then(|lease| lease.spec.clone());
        let before = seen.take();
        let written = before.as_ref().map(|before| before.written.clone());
        let written = written.unwrap_or_default();
        let since = match before {
            Some(before) if spec(&before.lease) == spec(&found) => before.since,
            // One that was deleted may still be somebody's, who has not noticed.
            _ => now,
        };
        *seen = Some(Seen {
            lease: found,
            since,
            written,
        });
        Ok(())
    }

    /// Whether the Lease is free, or has not been renewed for as long as it lasts.
    fn may_take(&self, seen: Option<&Seen>) -> bool {
        let Some(Seen { lease, since, .. }) = seen else {
            return false;
        };
        let lease = lease.as_ref();
        let spec = lease
            .and_then(|lease| lease.spec.clone())
            .unwrap_or_default();
        let seconds = spec.lease_duration_seconds.unwrap_or(0);
        let is_free = spec
            .holder_identity
            .as_deref()
            .unwrap_or_default()
            .is_empty();
        let is_given_up = is_free && seconds == GIVEN_UP_SECONDS;
        if is_given_up || self.is_mine(seen) {
            return true;
        }
        let written = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let lasts = written.max(self.duration).min(LONGEST);
        self.clock.now().since(*since) >= lasts
    }

    /// Whether what was seen is what this replica wrote: nobody else may answer by it. One that somebody
    /// else wrote is not, whatever name is in it.
    fn is_mine(&self, seen: Option<&Seen>) -> bool {
        let lease = seen.and_then(|seen| seen.lease.as_ref());
        let spec = lease.and_then(|lease| lease.spec.as_ref());
        let holder = spec.and_then(|spec| spec.holder_identity.as_deref());
        let is_written = renewed(lease)
            .zip(seen)
            .is_some_and(|(renewed, seen)| seen.written.contains(&renewed));
        holder == Some(self.identity.as_str()) && is_written
    }

    /// Writes the Lease as held by this replica, or as given up; only over what was `seen`.
    async fn write(&self, seen: &mut Option<Seen>, give_up: bool) -> Result<Lease, Refused> {
        let before = seen.as_ref().and_then(|seen| seen.lease.clone());
        let exists = before.is_some();
        let before = before.unwrap_or_default();
        let spec = before.spec.unwrap_or_default();
        let is_mine = self.is_mine(seen.as_ref());
        let now = Some(MicroTime(wall()));
        let transitions = spec.lease_transitions.unwrap_or(0);
        let spec = if give_up {
            LeaseSpec {
                holder_identity: Some(String::new()),
                lease_duration_seconds: Some(GIVEN_UP_SECONDS),
                renew_time: now,
                ..spec
            }
        } else {
            LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
                acquire_time: if is_mine {
                    spec.acquire_time
                } else {
                    now.clone()
                },
                renew_time: now,
                lease_transitions: Some(transitions.saturating_add(i32::from(!is_mine))),
                ..LeaseSpec::default()
            }
        };
        let mut annotations = before.metadata.annotations.unwrap_or_default();
        annotations.insert(ADDRESS.to_owned(), self.address.clone());
        match self.tls.as_ref().and_then(|tls| tls.certificate()) {
            Some(certificate) => annotations.insert(CERTIFICATE.to_owned(), certificate),
            None => annotations.remove(CERTIFICATE),
        };
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.lease.clone()),
                namespace: Some(self.cluster.namespace.clone()),
                resource_version: before.metadata.resource_version,
                labels: before.metadata.labels,
                annotations: Some(annotations),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
        };
        // Noted before it is known to have been written: the answer may be lost.
        if let Some(seen) = seen {
            seen.written.extend(renewed(Some(&lease)));
            if seen.written.len() > MOST_WRITTEN {
                seen.written.remove(1);
            }
        }
        let api = self.api();
        let params = PostParams::default();
        if exists {
            let replaced = api.replace(&self.lease, &params, &lease);
            self.in_time(replaced).await
        } else {
            self.in_time(api.create(&params, &lease)).await
        }
    }

    /// How this replica stands where it holds nothing.
    fn of_other(&self, seen: Option<&Seen>) -> Standing {
        let nobody = |why: &str| Standing::Nobody {
            why: why.to_owned(),
        };
        let Some(lease) = seen.and_then(|seen| seen.lease.as_ref()) else {
            return nobody("nobody holds the Lease yet");
        };
        let spec = lease.spec.as_ref();
        let holder = spec.and_then(|spec| spec.holder_identity.clone());
        let Some(identity) = holder.filter(|holder| !holder.is_empty()) else {
            return nobody("nobody holds the Lease");
        };
        if identity == self.identity {
            return nobody("the Lease that this replica held has not ended yet");
        }
        let annotation = |name: &str| lease.metadata.annotations.as_ref()?.get(name).cloned();
        match annotation(ADDRESS) {
            Some(address) => Standing::Follows(Peer {
                identity,
                address,
                certificate: annotation(CERTIFICATE),
            }),
            None => nobody("whoever holds the Lease does not say where it is"),
        }
    }

    /// Gives the Lease up where it is held, so that the next one need not wait for its end.
    async fn give_up(&self, standing: &watch::Sender<Standing>, mut seen: Option<Seen>) {
        let held = matches!(&*standing.borrow(), Standing::Leads { .. });
        let why = "this replica is shutting down".to_owned();
        self.say(standing, Standing::Nobody { why });
        let mut given_up = match held {
            true => self.write(&mut seen, true).await.map(drop),
            false => Ok(()),
        };
        // A renewal whose answer was never heard has written it since.
        if given_up.as_ref().is_err_and(Refused::is_conflict)
            && self.look(&mut seen).await.is_ok()
            && self.is_mine(seen.as_ref())
        {
            given_up = self.write(&mut seen, true).await.map(drop);
        }
        if let Err(refused) = given_up {
            tracing::warn!(
                "the Lease {} cannot be given up: {}",
                self.lease,
                refused.why
            );
        }
        // Calls in flight are handed on to whoever comes next.
        seen = None;
        loop {
            if self.look(&mut seen).await.is_ok() {
                self.say(standing, self.of_other(seen.as_ref()));
            }
            tokio::time::sleep(self.duration / LOOKS / 2).await;
        }
    }

    /// Tells how this replica stands, and logs who leads where that has changed.
    fn say(&self, standing: &watch::Sender<Standing>, new: Standing) {
        let old = standing.borrow().clone();
        match (&old, &new) {
            (Standing::Leads { .. }, Standing::Leads { .. }) => {}
            (_, Standing::Leads { .. }) => {
                self.metrics.leader_changes.inc();
                tracing::info!("this replica leads from now on");
            }
            (Standing::Leads { .. }, _) => tracing::info!("this replica leads no more"),
            (_, Standing::Follows(peer)) if old != new => {
                tracing::info!(leader = peer.identity, "another replica leads");
            }
            (_, Standing::Nobody { why }) if old != new => tracing::warn!("no leader: {why}"),
            _ => {}
        }
        if old != new {
            standing.send_replace(new);
        }
    }

    fn api(&self) -> Api<Lease> {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace)
    }

    /// A request that is worth nothing after a third of the Lease's time.
    async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Refused> {
        match tokio::time::timeout(self.duration / RENEWALS, super::in_time(asked)).await {
            Ok(answer) => answer,
            Err(_) => Err(Refused::late(self.duration / RENEWALS)),
        }
    }
}

/// How long before the end of its Lease a holder is silent: what another's clock may be faster by, and
/// what an answer may take on its way.
fn margin(duration: Duration) -> Duration {
    duration / 6
}

/// When it was renewed, as it stands in it.
fn renewed(lease: Option<&Lease>) -> Option<String> {
    let renewed = lease?.spec.as_ref()?.renew_time.as_ref()?;
    serde_json::to_string(renewed).ok()
}

fn nobody_knows(refused: &Refused) -> Standing {
    Standing::Nobody {
        why: refused
            .problem("the Lease cannot be read or written")
            .sentence,
    }
}
