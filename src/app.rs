//! Wires configuration, registry, loops and servers together, and takes them down in order.
//!
//! Both listeners are bound before anything starts, so that a port in use is said at once and
//! nothing is half up. From then on three tasks are essential: the gRPC server, the admin server
//! and the loops' supervisor. If one of them ends while it should not, the process ends with an
//! error and whoever runs it starts it again: a scaler that half works freezes every target it has.
//!
//! The way down: readiness goes, streams end with OK, calls in flight finish within `grpc.drain`,
//! the loops stop, and the admin server goes last so that the drain can be watched.

pub mod logging;
mod sources;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use self::sources::RealSources;
use crate::clock::Clock;
use crate::config::Config;
use crate::control::cluster_loop::LoopContext;
use crate::control::registry::Registry;
use crate::control::supervisor::Supervisor;
use crate::grpc;
use crate::metrics::Metrics;
use crate::observe::prometheus::PrometheusClientError;

/// How much longer than `grpc.drain` the servers get to end by themselves. They bound themselves, so
/// this only matters when one of them hangs; two seconds keep the whole within a pod's customary
/// grace period.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);

/// The whole process, bound and not yet running.
#[derive(Debug)]
pub struct App {
    config: Arc<Config>,
    clock: Clock,
    metrics: Metrics,
    registry: Arc<Registry>,
    sources: Arc<RealSources>,
    grpc: TcpListener,
    admin: TcpListener,
    grpc_address: SocketAddr,
    admin_address: SocketAddr,
}

/// Why the process cannot start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A listening address cannot be had.
    #[error("{setting} {address} cannot be listened on: {source}")]
    Listen {
        /// The setting it comes from.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Prometheus could never be asked.
    #[error(transparent)]
    Prometheus(#[from] PrometheusClientError),
    /// The gRPC server failed.
    #[error(transparent)]
    Grpc(#[from] grpc::ServeError),
    /// The admin server failed.
    #[error("the admin server failed: {0}")]
    Admin(#[source] std::io::Error),
    /// An essential task ended that should run on.
    #[error("{task} ended by itself, which is an error of this program")]
    Ended {
        /// Which.
        task: &'static str,
    },
    /// An essential task panicked.
    #[error("{task} crashed: {source}")]
    Crashed {
        /// Which.
        task: &'static str,
        /// The panic.
        source: JoinError,
    },
}

// === impl App ===

impl App {
    /// Binds both listeners and makes everything else; nothing runs yet.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub async fn build(config: Config) -> Result<Self, AppError> {
        // Only an earlier call in this process can have been first, with the same provider.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let config = Arc::new(config);
        let clock = Clock::start();
        let metrics = Metrics::default();
        let sources = Arc::new(RealSources::new(
            Arc::clone(&config),
            clock,
            metrics.clone(),
        )?);
        let (grpc, grpc_address) = listen("grpc.listen", config.grpc.listen).await?;
        let (admin, admin_address) = listen("admin.listen", config.admin.listen).await?;
        Ok(Self {
            registry: Arc::new(Registry::new(
                config.limits.targets,
                config.limits.history_points,
            )),
            config,
            clock,
            metrics,
            sources,
            grpc,
            admin,
            grpc_address,
            admin_address,
        })
    }

    /// Where the gRPC server listens: the real port where port 0 was asked for.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc_address
    }

    /// Where the admin server listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until `shutdown` is cancelled, then takes everything down in order.
    ///
    /// # Errors
    /// When an essential task failed, crashed or ended by itself.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), AppError> {
        let _admin_follows = self.admin;
        let grpc_readiness = grpc::Readiness::new().await;
        let supervisor = Supervisor::new(
            LoopContext {
                sources: self.sources,
                registry: Arc::clone(&self.registry),
                decide: evenkeel_engine::decide,
                poll: self.config.poll,
                prometheus_concurrency: self.config.limits.prometheus_concurrency,
                clock: self.clock,
                metrics: self.metrics.clone(),
            },
            self.config.limits.target_idle,
        );
        let mut loops = tokio::spawn(supervisor.run());

        let draining = shutdown.child_token();
        let scaler = grpc::Scaler::new(
            Arc::clone(&self.config),
            Arc::clone(&self.registry),
            self.clock,
            self.metrics.clone(),
            draining.clone(),
        );
        let mut grpc_server = tokio::spawn({
            let (config, readiness) = (Arc::clone(&self.config), grpc_readiness.clone());
            let draining = draining.clone();
            async move { grpc::serve(self.grpc, &config, scaler, readiness, draining).await }
        });

        grpc_readiness.ready().await;

        let failed = tokio::select! {
            () = shutdown.cancelled() => None,
            ended = &mut loops => Some(too_early("the loops' supervisor", ended)),
            ended = &mut grpc_server => Some(match ended {
                Ok(Err(error)) => error.into(),
                ended => too_early("the gRPC server", ended),
            }),
        };

        tracing::info!(drain = ?self.config.grpc.drain, "shutting down");
        draining.cancel();
        let grace = self.config.grpc.drain + DRAIN_MARGIN;
        if !grpc_server.is_finished() {
            in_time("the gRPC server", grace, &mut grpc_server).await;
        }
        loops.abort();
        grpc_server.abort();
        match failed {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

async fn listen(
    setting: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), AppError> {
    let failed = |source| AppError::Listen {
        setting,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn too_early<T>(task: &'static str, ended: Result<T, JoinError>) -> AppError {
    match ended {
        Ok(_) => AppError::Ended { task },
        Err(source) => AppError::Crashed { task, source },
    }
}

/// Waits for a server to end, but not for ever.
async fn in_time<T>(task: &str, grace: Duration, server: impl Future<Output = T>) {
    if tokio::time::timeout(grace, server).await.is_err() {
        tracing::warn!(?grace, "{task} did not end in time and is cut off");
    }
}
