//! The brokers of one cluster: one connection each, opened when first needed.
//!
//! A bootstrap address becomes a broker once metadata says which one it is, and its connection goes
//! with it. A broker that fails is left alone for a while that doubles with each failure, during
//! which every question to it fails at once with the last cause: the other brokers' answers do not
//! wait for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::address::Address;
use super::connect::{Access, connect};
use super::connection::{BOOTSTRAP, Connection, Context};
use super::failure::Failure;
use super::protocol::Ask;

/// The first pause after a failure: one tick of the fastest kind (sleeping targets, log ends only),
/// so that a broker that restarts is tried again at the next ordinary one.
pub const RECONNECT_FIRST: Duration = Duration::from_secs(1);

/// The longest pause. It bounds how late a broker that came back is noticed; and as a broker that
/// accepts and stays silent costs a whole request timeout at each attempt, how often that is paid.
pub const RECONNECT_LONGEST: Duration = Duration::from_secs(10);

/// One broker, or one bootstrap address.
#[derive(Debug)]
pub struct Broker {
    context: Arc<Context>,
    access: Access,
    address: Address,
    node_id: AtomicI32,
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
    pause: Mutex<Option<Pause>>,
}

/// A broker that failed is left alone.
#[derive(Debug)]
struct Pause {
    failure: Failure,
    length: Duration,
    until: Instant,
}

/// All brokers of a cluster.
#[derive(Debug)]
pub struct Brokers {
    context: Arc<Context>,
    access: Access,
    bootstrap: Vec<Arc<Broker>>,
    known: BTreeMap<i32, Arc<Broker>>,
}

// === impl Broker ===

impl Broker {
    fn new(context: &Arc<Context>, access: &Access, address: Address, node_id: i32) -> Arc<Self> {
        Arc::new(Self {
            context: Arc::clone(context),
            access: access.clone(),
            address,
            node_id: AtomicI32::new(node_id),
            connection: tokio::sync::Mutex::new(None),
            pause: Mutex::new(None),
        })
    }

    fn node_id(&self) -> i32 {
        self.node_id.load(Ordering::Relaxed)
    }

    /// Becomes the broker `node_id`, or a bootstrap address again.
    fn set_node_id(&self, node_id: i32) {
        self.node_id.store(node_id, Ordering::Relaxed);
        if let Ok(connection) = self.connection.try_lock()
            && let Some(connection) = connection.as_ref()
        {
            connection.set_node_id(node_id);
        }
    }

    /// Whether a question would go out without opening a connection.
    fn is_connected(&self) -> bool {
        self.connection
            .try_lock()
            .is_ok_and(|connection| connection.as_ref().is_some_and(|c| c.closed().is_none()))
    }

    /// Gives away the connection if it leads to one of `addresses`.
    fn surrender(&self, addresses: &[SocketAddr]) -> Option<Arc<Connection>> {
        if self.node_id() != BOOTSTRAP {
            return None;
        }
        self.connection.try_lock().ok()?.take_if(|connection| {
            connection.closed().is_none() && addresses.contains(&connection.peer())
        })
    }

    /// When a question sent now has to be answered.
    fn deadline(&self) -> Instant {
        Instant::now() + self.context.request_timeout
    }

    /// The open connection, opened now if need be.
    async fn connection(&self, bootstrap: &[Arc<Self>]) -> Result<Arc<Connection>, Failure> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = slot.as_ref()
            && connection.closed().is_none()
            && self.is_accepted(connection).await
        {
            return Ok(Arc::clone(connection));
        }
        *slot = None;
        if let Some(failure) = self.paused() {
            return Err(failure);
        }
        let opened = self.open(bootstrap, self.deadline()).await;
        match opened {
            Ok(connection) => {
                *slot = Some(Arc::clone(&connection));
                Ok(connection)
            }
            Err(failure) => {
                self.leave_alone(failure.clone());
                Err(failure)
            }
        }
    }

    /// Whether the broker knows who we are, proven again now if it is time. Where that fails, a
    /// fresh connection may still succeed: under another name, if the files hold one by now.
    async fn is_accepted(&self, connection: &Connection) -> bool {
        if !connection.needs_proof() {
            return true;
        }
        let proven = self.access.prove(connection, self.deadline()).await;
        if let Err(failure) = &proven {
            tracing::info!(broker = %self.address, %failure, "a new connection is opened");
        }
        proven.is_ok()
    }

    async fn open(
        &self,
        bootstrap: &[Arc<Self>],
        deadline: Instant,
    ) -> Result<Arc<Connection>, Failure> {
        let resolved = self.address.resolve(deadline).await?;
        self.access.permit(&self.address, &resolved)?;
        let node_id = self.node_id();
        if node_id != BOOTSTRAP
            && let Some(connection) = bootstrap
                .iter()
                .find_map(|other| other.surrender(&resolved))
        {
            connection.set_node_id(node_id);
            return Ok(connection);
        }
        let opened = connect(
            &self.context,
            &self.access,
            &self.address,
            &resolved,
            node_id,
            deadline,
        );
        opened.await.map(Arc::new)
    }

    fn paused(&self) -> Option<Failure> {
        let pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        pause
            .as_ref()
            .filter(|pause| Instant::now() < pause.until)
            .map(|pause| pause.failure.clone())
    }

    fn leave_alone(&self, failure: Failure) {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let length = pause
            .as_ref()
            .map_or(RECONNECT_FIRST, |pause| pause.length * 2)
            .min(RECONNECT_LONGEST);
        tracing::debug!(broker = %self.address, %failure, ?length, "left alone");
        *pause = Some(Pause {
            failure,
            length,
            until: Instant::now() + length,
        });
    }

    /// A question on `connection` was answered, or failed.
    async fn judge(&self, connection: &Arc<Connection>, failure: Option<&Failure>) {
        match failure {
            None => {
                *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
            Some(failure) if failure.is_of_connection() => {
                let mut slot = self.connection.lock().await;
                // Of all questions that were in flight only the first counts.
                if slot.take_if(|held| Arc::ptr_eq(held, connection)).is_some() {
                    self.leave_alone(failure.clone());
                }
            }
            Some(_) => {}
        }
    }
}

// === impl Brokers ===

impl Brokers {
    /// Knows only the bootstrap addresses.
    pub fn new(context: Arc<Context>, access: Access, bootstrap_servers: &[String]) -> Self {
        let bootstrap = bootstrap_servers
            .iter()
            .map(|server| Broker::new(&context, &access, Address::parse(server), BOOTSTRAP))
            .collect();
        Self {
            context,
            access,
            bootstrap,
            known: BTreeMap::new(),
        }
    }

    /// Notes a broker's address. A bootstrap address that reads the same becomes that broker.
    pub fn learn(&mut self, node_id: i32, host: &str, port: i32) {
        let Some(address) = Address::new(host, port).filter(|_| node_id >= 0) else {
            return;
        };
        if let Some(known) = self.known.get(&node_id) {
            if known.address == address {
                return;
            }
            known.set_node_id(BOOTSTRAP);
        }
        let same = self
            .bootstrap
            .iter()
            .find(|broker| broker.address == address && broker.node_id() == BOOTSTRAP);
        let broker = match same {
            Some(broker) => {
                broker.set_node_id(node_id);
                Arc::clone(broker)
            }
            None => Broker::new(&self.context, &self.access, address, node_id),
        };
        self.known.insert(node_id, broker);
    }

    /// Forgets the brokers that are not among `listed`; their connections close.
    pub fn keep_only(&mut self, listed: &[i32]) {
        self.known.retain(|node_id, broker| {
            let keep = listed.contains(node_id);
            if !keep {
                broker.set_node_id(BOOTSTRAP);
            }
            keep
        });
    }

    fn known(&self, node_id: i32) -> Result<&Arc<Broker>, Failure> {
        self.known
            .get(&node_id)
            .ok_or_else(|| Failure::Unreachable {
                address: format!("broker {node_id}"),
                detail: "metadata lists no such broker".to_owned(),
            })
    }

    /// Asks the broker `node_id`, unless it is later than `latest`; `build` makes the question in
    /// the version negotiated.
    ///
    /// # Errors
    /// When it is not known, does not answer, or speaks no common version.
    pub async fn ask<R: Ask>(
        &self,
        node_id: i32,
        latest: Instant,
        build: impl FnOnce(i16) -> R,
    ) -> Result<R::Response, Failure> {
        self.ask_broker(self.known(node_id)?, latest, build).await
    }

    /// The version in which the broker `node_id` is asked `R`.
    ///
    /// # Errors
    /// When it is not known, not reachable, or speaks no common version.
    pub async fn version<R: Ask>(&self, node_id: i32) -> Result<i16, Failure> {
        let connection = self.known(node_id)?.connection(&self.bootstrap).await?;
        connection.version::<R>()
    }

    /// Asks the brokers one after another until one answers: those with an open connection first,
    /// then the known ones, then the bootstrap addresses.
    ///
    /// # Errors
    /// The last broker's failure, when none answers.
    pub async fn ask_any<R: Ask>(
        &self,
        latest: Instant,
        build: impl Fn(i16) -> R,
    ) -> Result<R::Response, Failure> {
        let mut candidates: Vec<&Arc<Broker>> = self.known.values().collect();
        candidates.sort_by_key(|broker| !broker.is_connected());
        let unclaimed = |broker: &&Arc<Broker>| broker.node_id() == BOOTSTRAP;
        candidates.extend(self.bootstrap.iter().filter(unclaimed));
        let mut last = Failure::Unreachable {
            address: self.context.cluster.clone(),
            detail: "no broker is known".to_owned(),
        };
        for broker in candidates {
            match self.ask_broker(broker, latest, &build).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    async fn ask_broker<R: Ask>(
        &self,
        broker: &Broker,
        latest: Instant,
        build: impl FnOnce(i16) -> R,
    ) -> Result<R::Response, Failure> {
        if Instant::now() >= latest {
            return Err(Failure::Timeout {
                address: broker.address.to_string(),
                api: R::NAME,
            });
        }
        let connection = broker.connection(&self.bootstrap).await?;
        let version = connection.version::<R>()?;
        let answer = connection
            .ask(version, &build(version), broker.deadline())
            .await;
        broker.judge(&connection, answer.as_ref().err()).await;
        answer
    }
}
