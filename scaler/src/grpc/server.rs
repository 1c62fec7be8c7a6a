//! The socket of the gRPC server: bounds of its connections, and an orderly end.
//!
//! On shutdown readiness goes first, then every stream ends with OK (KEDA then comes back after 2 s
//! instead of backing off), calls in flight finish, and what is still open after the drain time is
//! cut. Connections over TLS come from [`incoming`](super::incoming).

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::health::Health;
use super::incoming::encrypted;
use super::layers;
use super::service::Scaler;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::tls::server::ServerTls;

/// How often an idle connection is probed. KEDA's client does not probe at all, so a peer that
/// vanished without a word would hold its connection, and its push streams, for good.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long a probe may stay unanswered.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that a call may take to send its request and get its answer; handlers themselves
/// are bounded at 2 s. It frees what a client holds that sends a request byte by byte; such a call
/// ends as CANCELLED.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// KEDA opens two streams a ScaledObject (StreamIsActive and StreamMetricSpec), all on one
/// connection.
const STREAMS_PER_TARGET: usize = 2;

/// What can go wrong with the server as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The reflection service could not be built from the compiled-in descriptors.
    #[error("the compiled-in protocol descriptors cannot be read")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("the gRPC server failed")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves on `listener` until `shutdown` is cancelled and the calls in flight are done, at most
/// `grpc.drain` after that.
///
/// `health` is the caller's to set; its readiness is withdrawn here when the shutdown begins.
///
/// # Errors
/// When the server cannot be built or its transport fails.
pub async fn serve(
    listener: TcpListener,
    config: &Config,
    scaler: Scaler,
    health: Health,
    metrics: &Metrics,
    shutdown: CancellationToken,
    tls: Option<Arc<ServerTls>>,
) -> Result<(), ServeError> {
    let limits = config.limits;
    let services = layers::services(limits, scaler, &health, metrics)?;
    // KEDA has one connection: room for all its streams beside as many calls as are let in.
    let streams = limits.targets.saturating_mul(STREAMS_PER_TARGET);
    let max_streams =
        u32::try_from(limits.grpc_concurrency.saturating_add(streams)).unwrap_or(u32::MAX);
    let server = Server::builder()
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .max_connection_age(config.grpc.max_connection_age)
        .max_concurrent_streams(max_streams)
        .timeout(CALL_TIMEOUT);

    let withdrawn = {
        let shutdown = shutdown.clone();
        async move {
            shutdown.cancelled().await;
            health.not_ready().await;
        }
    };
    let serving = async {
        match tls {
            None => {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                let serving = server.serve_with_incoming_shutdown(services, incoming, withdrawn);
                serving.await
            }
            Some(tls) => {
                let incoming = encrypted(listener, tls);
                let serving = server.serve_with_incoming_shutdown(services, incoming, withdrawn);
                serving.await
            }
        }
    };
    let drained = async {
        shutdown.cancelled().await;
        tokio::time::sleep(config.grpc.drain).await;
    };
    tokio::select! {
        served = serving => Ok(served?),
        () = drained => {
            tracing::warn!(drain = ?config.grpc.drain, "connections were still open after the drain time");
            Ok(())
        }
    }
}
