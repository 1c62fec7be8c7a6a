//! One connection to one broker: frames, correlation ids, versions.
//!
//! Requests are pipelined: any number may be in flight, answers find their way back by correlation
//! id. A connection that misbehaves once (an answer that cannot be read, an answer that does not
//! come) is closed and fails everything in flight with that cause; it is never used again, so a late
//! answer can not be taken for another. Opening a new one, and when, is `brokers`' concern.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, RequestHeader};
use kafka_protocol::protocol::{Encodable as _, HeaderVersion as _, StrBytes, VersionRange};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{RwLock, RwLockWriteGuard, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::failure::Failure;
use super::protocol::{Ask, decode};
use super::shape::without_header_tags;
use super::transport::Stream;
use crate::metrics::{KafkaRequestLabels, Metrics};
use crate::tls::client::Own;
use crate::tls::failure::sentence;

/// What the scaler calls itself in a broker's logs, quotas and metrics.
const CLIENT_ID: &str = "evenkeel";

/// Requests that wait to be written. A tick writes a handful a broker; on brokers too old for
/// batches, [`super::offsets::SINGLE_REQUESTS_IN_FLIGHT`] of them.
const WRITE_QUEUE: usize = 64;

/// Which part of the broker's session may pass before the scaler proves again who it is. Kafka's own
/// client waits for 85 to 95 %; a question that is on its way has to arrive before the session ends.
const PROVE_AGAIN_AT: f64 = 0.8;

/// The shortest time between two proofs: a broker does not take them faster. A session that is
/// shorter has ended by then, and is opened again by the next proof.
const PROVE_AGAIN_AT_LEAST: Duration = Duration::from_secs(1);

/// The first bytes of an alert of TLS, which is what a TLS listener answers to plaintext.
const TLS_ALERT: [u8; 2] = [0x15, 0x03];

/// Longer frames than this are not taken for frames where they exceed the limit: no answer of a
/// broker has 256 MiB, and four letters are more.
const MOST_BELIEVED_BYTES: i32 = 0x1000_0000;

/// The node id of a broker that is only known as a bootstrap address.
pub const BOOTSTRAP: i32 = -1;

/// What all connections of one cluster share.
#[derive(Debug)]
pub struct Context {
    /// The cluster's label.
    pub cluster: String,
    /// How long one request may take; opening a connection as well.
    pub request_timeout: Duration,
    /// Bytes of one answer.
    pub frame_limit_bytes: usize,
    /// Where requests and connections are counted.
    pub metrics: Metrics,
}

/// One open connection.
#[derive(Debug)]
pub struct Connection {
    context: Arc<Context>,
    address: String,
    peer: SocketAddr,
    node_id: AtomicI32,
    waiting: Arc<Mutex<Waiting>>,
    outgoing: mpsc::Sender<Bytes>,
    versions: BTreeMap<i16, VersionRange>,
    /// Held for writing while the scaler proves who it is: no other question may go out then.
    gate: RwLock<()>,
    prove_again_at: Mutex<Option<Instant>>,
    task: AbortOnDropHandle<()>,
}

/// Who waits for which answer.
#[derive(Debug, Default)]
struct Waiting {
    answers: HashMap<i32, oneshot::Sender<Result<Bytes, Failure>>>,
    last_correlation_id: i32,
    closed: Option<Failure>,
}

// === impl Connection ===

impl Connection {
    /// A connection over an open stream to `address`; nothing is asked yet, so it has no versions.
    pub fn over(context: &Arc<Context>, address: String, stream: Stream, node_id: i32) -> Self {
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let (outgoing, queue) = mpsc::channel(WRITE_QUEUE);
        let Stream {
            reading,
            writing,
            peer,
            own,
            not_after: _,
        } = stream;
        let task = tokio::spawn({
            let (context, address, waiting) =
                (Arc::clone(context), address.clone(), Arc::clone(&waiting));
            async move {
                let ended = |error: std::io::Error| ended(&address, own, &error);
                let failure = tokio::select! {
                    failure = read(reading, &address, context.frame_limit_bytes, &waiting, &ended) => failure,
                    failure = write(writing, &address, queue, &ended) => failure,
                };
                close(&waiting, failure);
            }
        });
        Self {
            context: Arc::clone(context),
            address,
            peer,
            node_id: AtomicI32::new(node_id),
            waiting,
            outgoing,
            versions: BTreeMap::new(),
            gate: RwLock::new(()),
            prove_again_at: Mutex::new(None),
            task: AbortOnDropHandle::new(task),
        }
    }

    /// Asks for the broker's versions: first in version 3, which names the client, then in version 0
    /// for brokers that do not know that.
    ///
    /// # Errors
    /// When what answers is not a Kafka broker.
    pub async fn negotiate(&mut self, deadline: Instant) -> Result<(), Failure> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(CLIENT_ID))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let mut answer = self.ask(3, &request, deadline).await?;
        if answer.error_code == ResponseError::UnsupportedVersion.code() {
            answer = self
                .ask(0, &ApiVersionsRequest::default(), deadline)
                .await?;
        }
        if let Some(error) = ResponseError::try_from_code(answer.error_code) {
            return Err(Failure::Broker(error));
        }
        self.versions = answer
            .api_keys
            .iter()
            .map(|api| {
                let (min, max) = (api.min_version, api.max_version);
                (api.api_key, VersionRange { min, max })
            })
            .collect();
        Ok(())
    }

    /// The newest version of `R` that both sides speak.
    ///
    /// # Errors
    /// When there is none.
    pub fn version<R: Ask>(&self) -> Result<i16, Failure> {
        self.versions
            .get(&(R::KEY as i16))
            .map(|range| range.intersect(&R::SPOKEN))
            .filter(|range| !range.is_empty())
            .map(|range| range.max)
            .ok_or_else(|| Failure::Unsupported {
                address: self.address.clone(),
                api: R::NAME,
            })
    }

    /// Asks one question and waits for its answer until `deadline`.
    ///
    /// # Errors
    /// When no answer that can be read arrives. All but [`Failure::Unsupported`] close the connection.
    pub async fn ask<R: Ask>(
        &self,
        version: i16,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Response, Failure> {
        let answer = self.exchange(version, request, deadline).await;
        let result = match &answer {
            Ok(_) => "ok",
            Err(failure) => failure.cause().label(),
        };
        self.count(R::NAME, result);
        if let Err(failure) = &answer
            && failure.is_of_connection()
        {
            self.close(failure.clone());
        }
        answer
    }

    async fn exchange<R: Ask>(
        &self,
        version: i16,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Response, Failure> {
        let (correlation_id, receiver) = self.register()?;
        let frame =
            encode(correlation_id, version, request).map_err(|detail| Failure::Malformed {
                address: self.address.clone(),
                detail: format!("{} cannot be written: {detail}", R::NAME),
            })?;
        let answered = timeout_at(deadline, async {
            // A proof's own messages pass; whoever sends them holds the gate.
            let is_proof = matches!(R::KEY, ApiKey::SaslHandshake | ApiKey::SaslAuthenticate);
            let open = match is_proof {
                true => None,
                false => Some(self.gate.read().await),
            };
            // A writer that is gone has left its reason with the waiting answers.
            let _ = self.outgoing.send(frame).await;
            drop(open);
            receiver.await
        });
        let body = match answered.await {
            Ok(Ok(body)) => body?,
            Ok(Err(_)) => return Err(self.closed().unwrap_or_else(|| self.lost())),
            Err(_) => {
                return Err(Failure::Timeout {
                    address: self.address.clone(),
                    api: R::NAME,
                });
            }
        };
        self.decode::<R>(version, body)
    }

    fn decode<R: Ask>(&self, version: i16, body: Bytes) -> Result<R::Response, Failure> {
        let malformed = |detail: String| Failure::Malformed {
            address: self.address.clone(),
            detail: format!("{} version {version}: {detail}", R::NAME),
        };
        let body = if R::Response::header_version(version) >= 1 {
            let rest = without_header_tags(&body)
                .ok_or_else(|| malformed("a header of another shape".to_owned()))?;
            body.slice_ref(rest)
        } else {
            body
        };
        // A broker that does not know the version of ApiVersions answers in version 0.
        let unknown_version = ResponseError::UnsupportedVersion.code().to_be_bytes();
        let version = if R::KEY == ApiKey::ApiVersions && body.starts_with(&unknown_version) {
            0
        } else {
            version
        };
        decode(&R::SHAPE, body, version).map_err(malformed)
    }

    fn register(&self) -> Result<(i32, oneshot::Receiver<Result<Bytes, Failure>>), Failure> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = &waiting.closed {
            return Err(failure.clone());
        }
        let (sender, receiver) = oneshot::channel();
        let correlation_id = waiting.last_correlation_id.checked_add(1).unwrap_or(0);
        waiting.last_correlation_id = correlation_id;
        waiting.answers.insert(correlation_id, sender);
        Ok((correlation_id, receiver))
    }

    fn count(&self, api: &'static str, result: &'static str) {
        let node_id = self.node_id.load(Ordering::Relaxed);
        let broker = if node_id == BOOTSTRAP {
            "bootstrap".to_owned()
        } else {
            node_id.to_string()
        };
        let labels = KafkaRequestLabels {
            kafka_cluster: self.context.cluster.clone(),
            broker,
            api,
            result,
        };
        self.context
            .metrics
            .kafka_requests
            .get_or_create(&labels)
            .inc();
    }

    fn lost(&self) -> Failure {
        Failure::Closed {
            address: self.address.clone(),
            detail: "the connection is gone".to_owned(),
        }
    }

    /// Waits until no question is on its way out, and lets none out while it is held.
    ///
    /// # Errors
    /// When that does not come before `deadline`.
    pub async fn alone(&self, deadline: Instant) -> Result<RwLockWriteGuard<'_, ()>, Failure> {
        timeout_at(deadline, self.gate.write())
            .await
            .map_err(|_| Failure::Timeout {
                address: self.address.clone(),
                api: "earlier questions",
            })
    }

    /// The scaler has proven who it is; the broker wants that again after `lifetime`, if at all.
    pub fn proven(&self, lifetime: Option<Duration>) {
        let wait = |lifetime: Duration| lifetime.mul_f64(PROVE_AGAIN_AT).max(PROVE_AGAIN_AT_LEAST);
        let at = lifetime.map(|lifetime| Instant::now() + wait(lifetime));
        let mut prove_again_at = self
            .prove_again_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *prove_again_at = at;
    }

    /// Whether the scaler has to prove again who it is before it asks anything.
    pub fn needs_proof(&self) -> bool {
        let at = self
            .prove_again_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        at.is_some_and(|at| Instant::now() >= at)
    }

    /// That the broker does not accept who we are.
    pub fn refused(&self, detail: String) -> Failure {
        Failure::Authentication {
            address: self.address.clone(),
            detail,
        }
    }

    /// Fails what is in flight and ends the connection.
    fn close(&self, failure: Failure) {
        close(&self.waiting, failure);
        self.task.abort();
    }

    /// Why it is closed, if it is.
    pub fn closed(&self) -> Option<Failure> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.closed.clone()
    }

    /// The socket address at the other end.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Names the broker behind a bootstrap connection, once it is known.
    pub fn set_node_id(&self, node_id: i32) {
        self.node_id.store(node_id, Ordering::Relaxed);
    }
}

fn close(waiting: &Mutex<Waiting>, failure: Failure) {
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    for (_, answer) in waiting.answers.drain() {
        // Whoever asked may have given up already.
        let _ = answer.send(Err(failure.clone()));
    }
    waiting.closed.get_or_insert(failure);
}

fn encode<R: Ask>(correlation_id: i32, version: i16, request: &R) -> Result<Bytes, String> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)));
    let mut body = BytesMut::new();
    header
        .encode(&mut body, R::header_version(version))
        .and_then(|()| request.encode(&mut body, version))
        .map_err(|error| error.to_string())?;
    let length = i32::try_from(body.len()).map_err(|error| error.to_string())?;
    let mut frame = BytesMut::with_capacity(body.len() + 4);
    frame.put_i32(length);
    frame.put(body);
    Ok(frame.freeze())
}

/// Hands answers to those who wait, until the connection ends; says why it did.
async fn read(
    mut reading: impl AsyncRead + Unpin,
    address: &str,
    limit_bytes: usize,
    waiting: &Mutex<Waiting>,
    ended: impl Fn(std::io::Error) -> Failure,
) -> Failure {
    loop {
        match read_frame(&mut reading, address, limit_bytes, &ended).await {
            Ok((correlation_id, body)) => {
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(answer) = waiting.answers.remove(&correlation_id) else {
                    return Failure::Malformed {
                        address: address.to_owned(),
                        detail: "an answer to a question that was never asked".to_owned(),
                    };
                };
                // Whoever asked may have given up already.
                let _ = answer.send(Ok(body));
            }
            Err(failure) => return failure,
        }
    }
}

/// One frame: its correlation id and what follows it.
async fn read_frame(
    reading: &mut (impl AsyncRead + Unpin),
    address: &str,
    limit_bytes: usize,
    ended: impl Fn(std::io::Error) -> Failure,
) -> Result<(i32, Bytes), Failure> {
    let length_bytes = reading.read_i32().await.map_err(&ended)?;
    let length = match usize::try_from(length_bytes) {
        Ok(length) if length <= limit_bytes => length,
        _ if length_bytes.to_be_bytes().starts_with(&TLS_ALERT) => {
            return Err(Failure::SpeaksTls {
                address: address.to_owned(),
            });
        }
        // Text, or the like: what it says is not repeated, since a trigger may have named an address
        // where something else answers.
        _ if !(0..MOST_BELIEVED_BYTES).contains(&length_bytes) => {
            return Err(Failure::Malformed {
                address: address.to_owned(),
                detail: "it begins with no length of a frame".to_owned(),
            });
        }
        _ => {
            return Err(Failure::Oversized {
                address: address.to_owned(),
                length_bytes,
                limit_bytes,
            });
        }
    };
    // Memory grows with what arrives, not with what was announced.
    let mut frame = Vec::new();
    let mut rest = reading.take(u64::try_from(length).unwrap_or(u64::MAX));
    rest.read_to_end(&mut frame).await.map_err(&ended)?;
    if frame.len() < length {
        return Err(ended(std::io::ErrorKind::UnexpectedEof.into()));
    }
    let mut frame = Bytes::from(frame);
    match frame.try_get_i32() {
        Ok(correlation_id) => Ok((correlation_id, frame)),
        Err(_) => Err(Failure::Malformed {
            address: address.to_owned(),
            detail: format!("a frame of {length} bytes"),
        }),
    }
}

/// Writes what is queued, until the connection ends; says why it did.
async fn write(
    mut writing: impl AsyncWrite + Unpin,
    address: &str,
    mut queue: mpsc::Receiver<Bytes>,
    ended: impl Fn(std::io::Error) -> Failure,
) -> Failure {
    while let Some(frame) = queue.recv().await {
        if let Err(error) = writing.write_all(&frame).await {
            return ended(error);
        }
        // TLS keeps what the socket does not take at once.
        if let Err(error) = writing.flush().await {
            return ended(error);
        }
    }
    Failure::Closed {
        address: address.to_owned(),
        detail: "nobody uses it any more".to_owned(),
    }
}

/// How the stream ended. In TLS 1.3 a broker refuses the client's certificate only here.
fn ended(address: &str, own: Option<Own>, error: &std::io::Error) -> Failure {
    match own.and_then(|own| sentence(error, own)) {
        Some(detail) => Failure::Tls {
            address: address.to_owned(),
            detail,
        },
        None => Failure::Closed {
            address: address.to_owned(),
            detail: error.to_string(),
        },
    }
}
