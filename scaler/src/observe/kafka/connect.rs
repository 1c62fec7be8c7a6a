//! From an address to a connection that can be used: a stream, the versions, and who we are.
//!
//! [`Access`] holds both halves of that, the transport (`transport`) and the authentication (`sasl`);
//! nothing else knows which are in use.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::address::Address;
use super::connection::{Connection, Context};
use super::failure::Failure;
use super::sasl::Sasl;
use super::transport::Transport;
use crate::config::ClusterConfig;
use crate::credentials::Refresh;
use crate::metrics::{KafkaConnectionLabels, Metrics};
use crate::observe::reach;
use crate::tls::client::ClientTls;

/// How one cluster is reached, and who the scaler is there. Cheap to clone; all clones share what
/// they have read.
#[derive(Clone, Debug, Default)]
pub struct Access {
    transport: Transport,
    sasl: Option<Arc<Sasl>>,
    is_adhoc: bool,
}

// === impl Access ===

impl Access {
    /// Plaintext and nobody, to addresses that a trigger names: some are closed to those.
    pub fn adhoc() -> Self {
        Self {
            is_adhoc: true,
            ..Self::default()
        }
    }

    /// What the profile `name` says; no file is read yet. Without one, plaintext and nobody.
    pub fn of(name: &str, profile: &ClusterConfig, metrics: &Metrics) -> Self {
        let setting = |what: &str| format!("clusters.{name}.{what}");
        let transport = match &profile.tls {
            Some(tls) => Transport::Tls(Arc::new(ClientTls::new(setting("tls"), tls, metrics))),
            None => Transport::Plaintext,
        };
        let sasl = profile.sasl.as_ref();
        Self {
            transport,
            sasl: sasl.map(|sasl| Arc::new(Sasl::new(setting("sasl"), sasl, metrics))),
            is_adhoc: false,
        }
    }

    /// Whether `address` may be connected to, now that it is known where it leads.
    ///
    /// # Errors
    /// When it is an ad-hoc cluster's, or was advertised by one, and leads where none may.
    pub fn permit(&self, address: &Address, resolved: &[SocketAddr]) -> Result<(), Failure> {
        let is_closed = |address: &SocketAddr| reach::is_closed(address.ip());
        match self.is_adhoc && resolved.iter().any(is_closed) {
            true => Err(Failure::ClosedOff(reach::refusal(&address.to_string()))),
            false => Ok(()),
        }
    }

    /// Whether rights are given by policies of IAM rather than by Kafka's own.
    pub fn is_by_iam(&self) -> bool {
        self.sasl.as_ref().is_some_and(|sasl| sasl.is_by_iam())
    }

    /// Everything in it that is read from files.
    pub fn credentials(&self) -> Vec<Arc<dyn Refresh>> {
        let mut all: Vec<Arc<dyn Refresh>> = Vec::new();
        if let Transport::Tls(tls) = &self.transport {
            all.push(Arc::clone(tls) as Arc<dyn Refresh>);
        }
        if let Some(sasl) = &self.sasl {
            all.push(Arc::clone(sasl) as Arc<dyn Refresh>);
        }
        all
    }

    /// Proves on an open connection who the scaler is, where that is asked for; while it lasts no
    /// other question goes out on it.
    ///
    /// # Errors
    /// When the broker does not accept it. The connection is of no more use then.
    pub async fn prove(&self, connection: &Connection, deadline: Instant) -> Result<(), Failure> {
        let Some(sasl) = &self.sasl else {
            return Ok(());
        };
        let _alone = connection.alone(deadline).await?;
        let lifetime = sasl.prove(connection, deadline).await?;
        connection.proven(lifetime);
        Ok(())
    }
}

/// Opens a connection to one of `resolved`, the addresses of `address`, and negotiates.
///
/// # Errors
/// When it cannot be opened, what answers is not a Kafka broker, or it does not accept who we are.
pub async fn connect(
    context: &Arc<Context>,
    access: &Access,
    address: &Address,
    resolved: &[SocketAddr],
    node_id: i32,
    deadline: Instant,
) -> Result<Connection, Failure> {
    let opened = establish(context, access, address, resolved, node_id, deadline).await;
    let result = match &opened {
        Ok(_) => "ok",
        Err(failure) => failure.cause().label(),
    };
    context
        .metrics
        .kafka_connections
        .get_or_create(&KafkaConnectionLabels {
            kafka_cluster: context.cluster.clone(),
            result,
        })
        .inc();
    opened
}

async fn establish(
    context: &Arc<Context>,
    access: &Access,
    address: &Address,
    resolved: &[SocketAddr],
    node_id: i32,
    deadline: Instant,
) -> Result<Connection, Failure> {
    let stream = access.transport.open(address, resolved, deadline).await?;
    if let Some(not_after) = stream.not_after {
        let setting = format!("clusters.{}", context.cluster);
        let metrics = &context.metrics;
        metrics.note_server_certificate(&setting, &address.to_string(), not_after);
    }
    let mut connection = Connection::over(context, address.to_string(), stream, node_id);
    connection.negotiate(deadline).await?;
    access.prove(&connection, deadline).await?;
    Ok(connection)
}
