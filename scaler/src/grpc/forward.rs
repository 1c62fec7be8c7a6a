//! A call that another replica is to answer: handed on to the leader over the same protocol.
//!
//! KEDA spreads its calls over all replicas of a Service without a cluster IP, so each of them gives
//! the leader's answer. A call is handed on once: the replica that gets it answers, or says that it
//! does not lead. What the leader says is passed on word by word, errors too; only where it cannot be
//! reached is that an error of ours. While the lead changes hands, a call waits for the next leader,
//! for [`HANDOVER_WAIT`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};
use tower::service_fn;

use super::status::Refusal;
use super::wire::external_scaler_client::ExternalScalerClient;
use crate::leader::{Leadership, Peer, Role};
use crate::tls::server::ServerTls;

/// Marks a call that another replica hands on.
const HANDED_ON: &str = "evenkeel-handed-on";
/// Marks the answer of a replica that does not lead.
const NOT_THE_LEADER: &str = "evenkeel-not-the-leader";

/// How long a call waits while nobody leads. KEDA has no deadline of its own here and holds a lock
/// while it waits; a Lease that is given up is taken within a second.
pub const HANDOVER_WAIT: Duration = Duration::from_secs(3);
/// How long a connection to the leader may take, and its answer: a new target's first one takes 2 s.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A connection over which nothing has come back for so long is given up, and made anew.
const ALIVE_EVERY: Duration = Duration::from_secs(2);
const ALIVE_WITHIN: Duration = Duration::from_secs(2);
/// Between two attempts at a leader that cannot be reached: it may be followed by another.
const RETRY: Duration = Duration::from_millis(200);

/// A call: how it is answered here, and how the leader is asked.
pub(super) trait Call: Sync {
    /// What is answered.
    type Answer: Send;
    /// The answer of this replica.
    fn here(&self) -> impl Future<Output = Result<Self::Answer, Status>> + Send;
    /// The answer of the leader.
    fn there(&self, leader: Leader) -> impl Future<Output = Result<Self::Answer, Status>> + Send;
}

/// A client of the leader.
pub(super) type Leader = ExternalScalerClient<Channel>;

/// The way to whoever leads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Forward {
    leadership: Leadership,
    /// Our own side of TLS, where the replicas speak it.
    tls: Option<Arc<ServerTls>>,
    /// The connection to the leader that was last called.
    last: Arc<Mutex<Option<(Peer, Leader)>>>,
}

// === impl Forward ===

impl Forward {
    /// To the leader that `leadership` knows of.
    pub fn new(leadership: Leadership, tls: Option<Arc<ServerTls>>) -> Self {
        Self {
            leadership,
            tls,
            last: Arc::default(),
        }
    }

    /// How this replica stands.
    pub fn leadership(&self) -> &Leadership {
        &self.leadership
    }

    /// The answer to a call: this replica's as long as it leads, otherwise the leader's.
    pub(super) async fn answered<C: Call>(
        &self,
        metadata: &MetadataMap,
        call: C,
    ) -> Result<C::Answer, Status> {
        let is_handed_on = metadata.contains_key(HANDED_ON);
        let deadline = tokio::time::Instant::now() + HANDOVER_WAIT;
        let mut leadership = self.leadership.clone();
        loop {
            let refused = match self.leadership.role() {
                Role::Answer => {
                    let answer = call.here().await;
                    // The lead may have ended while the answer was made.
                    if self.leadership.answers() {
                        return answer;
                    }
                    continue;
                }
                Role::Forward(_) if is_handed_on => return Err(not_the_leader()),
                Role::Forward(peer) => {
                    let asked = tokio::select! {
                        asked = self.ask(&peer, &call) => asked,
                        // Whoever leads now knows better.
                        () = self.leads_no_more(&peer) => continue,
                    };
                    match asked {
                        Ok(answer) => return answer,
                        Err(why) => Refusal::NoLeader { why },
                    }
                }
                Role::Silent { .. } if is_handed_on => return Err(not_the_leader()),
                Role::Silent { why } => Refusal::NoLeader { why },
            };
            tokio::select! {
                () = leadership.changed() => {}
                () = tokio::time::sleep(RETRY) => {}
                () = tokio::time::sleep_until(deadline) => return Err(refused.into()),
            }
        }
    }

    /// Until this replica no longer follows `peer`.
    async fn leads_no_more(&self, peer: &Peer) {
        let mut leadership = self.leadership.clone();
        while matches!(leadership.role(), Role::Forward(leader) if leader == *peer) {
            leadership.changed().await;
        }
    }

    /// What the leader answers; an error where it cannot be reached, or leads no more.
    async fn ask<C: Call>(
        &self,
        peer: &Peer,
        call: &C,
    ) -> Result<Result<C::Answer, Status>, String> {
        match call.there(self.client(peer)?).await {
            Err(status) if is_unreachable(&status) => {
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Err(format!(
                    "the leader {} cannot be reached at {}: {}",
                    peer.identity,
                    peer.address,
                    status.message()
                ))
            }
            Err(status) if status.metadata().contains_key(NOT_THE_LEADER) => {
                Err(format!("{} leads no more", peer.identity))
            }
            answer => Ok(answer),
        }
    }

    /// A client of the leader; the connection is made with the first call.
    fn client(&self, peer: &Peer) -> Result<Leader, String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = &*last
            && known == peer
        {
            return Ok(client.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{}", peer.address))
            .map_err(|error| format!("{} is no address: {error}", peer.address))?
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .http2_keep_alive_interval(ALIVE_EVERY)
            .keep_alive_timeout(ALIVE_WITHIN)
            .keep_alive_while_idle(true);
        let channel = match (&self.tls, &peer.certificate) {
            (None, _) => endpoint.connect_lazy(),
            (Some(_), None) => {
                return Err("the leader speaks no TLS, and this replica does".to_owned());
            }
            (Some(tls), Some(certificate)) => {
                let (tls, certificate) = (Arc::clone(tls), certificate.clone());
                endpoint.connect_with_connector_lazy(service_fn(move |uri: Uri| {
                    encrypted(Arc::clone(&tls), certificate.clone(), uri)
                }))
            }
        };
        let client = ExternalScalerClient::new(channel);
        *last = Some((peer.clone(), client.clone()));
        Ok(client)
    }
}

/// A request that says that it is handed on.
pub(super) fn handed_on<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let yes = tonic::metadata::MetadataValue::from_static("1");
    request.metadata_mut().insert(HANDED_ON, yes);
    request
}

fn not_the_leader() -> Status {
    let mut status = Status::new(Code::Unavailable, "this replica does not lead");
    let yes = tonic::metadata::MetadataValue::from_static("1");
    status.metadata_mut().insert(NOT_THE_LEADER, yes);
    status
}

/// Whether there was no answer at all: a status that a server sent has no source.
fn is_unreachable(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

async fn encrypted(
    tls: Arc<ServerTls>,
    certificate: String,
    uri: Uri,
) -> std::io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
    let config = tls.towards(certificate).map_err(std::io::Error::other)?;
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or_default();
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    stream.set_nodelay(true)?;
    // The certificate is compared, so the name is nothing but what the protocol asks for.
    let name = ServerName::try_from("evenkeel").map_err(std::io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(config));
    Ok(TokioIo::new(connector.connect(name, stream).await?))
}
