//! From an address to a connection that can be used: a stream, the versions, and who we are.
//!
//! The transport (`transport`, plaintext) and the authentication (none) are the places where TLS and
//! SASL will stand; nothing else knows which are in use.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::address::Address;
use super::connection::{Connection, Context};
use super::failure::Failure;
use super::transport::Transport;
use crate::metrics::KafkaConnectionLabels;

/// How the scaler proves who it is, once versions are negotiated.
#[derive(Clone, Copy, Debug, Default)]
pub enum Authentication {
    /// Not at all.
    #[default]
    Anonymous,
}

/// Opens a connection to one of `resolved`, the addresses of `address`, and negotiates.
///
/// # Errors
/// When it cannot be opened, or what answers is not a Kafka broker.
pub async fn connect(
    context: &Arc<Context>,
    address: &Address,
    resolved: &[SocketAddr],
    node_id: i32,
    deadline: Instant,
) -> Result<Connection, Failure> {
    let opened = establish(context, address, resolved, node_id, deadline).await;
    let result = match &opened {
        Ok(_) => "ok",
        Err(failure) => failure.cause().label(),
    };
    context
        .metrics
        .kafka_connections
        .get_or_create(&KafkaConnectionLabels {
            cluster: context.cluster.clone(),
            result,
        })
        .inc();
    opened
}

async fn establish(
    context: &Arc<Context>,
    address: &Address,
    resolved: &[SocketAddr],
    node_id: i32,
    deadline: Instant,
) -> Result<Connection, Failure> {
    let stream = Transport::default()
        .open(address, resolved, deadline)
        .await?;
    let mut connection = Connection::over(context, address.to_string(), stream, node_id);
    connection.negotiate(deadline).await?;
    Authentication::default()
        .prove(&connection, deadline)
        .await?;
    Ok(connection)
}

// === impl Authentication ===

impl Authentication {
    /// Proves who the scaler is on a fresh connection whose versions are known.
    ///
    /// # Errors
    /// When the broker does not accept it.
    pub async fn prove(self, _connection: &Connection, _deadline: Instant) -> Result<(), Failure> {
        let Self::Anonymous = self;
        Ok(())
    }
}
