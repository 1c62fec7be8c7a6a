//! Wires configuration, registry, loops and servers together, and takes them down in order.
//!
//! Both listeners are bound before anything starts, so that a port in use is said at once and
//! nothing is half up. From then on three tasks are essential: the gRPC server, the admin server
//! and the loops' supervisor. If one of them ends while it should not, the process ends with an
//! error and whoever runs it starts it again: a scaler that half works freezes every target it has.
//!
//! The way down: readiness goes, what was learned is written down and the lead given up, streams end with OK, calls in flight finish within `grpc.drain`,
//! the loops stop, and the admin server goes last so that the drain can be watched.

pub mod logging;
mod outside;
mod sources;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::outside::{Helpers, Outside};
use self::sources::RealSources;
use crate::admin::{self, AdminToken};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::cluster_loop::LoopContext;
use crate::control::registry::Registry;
use crate::control::supervisor::Supervisor;
use crate::credentials::{self, Refresh};
use crate::grpc;
use crate::kubernetes::{Cluster, ClusterError};
use crate::leader::{Leadership, Role};
use crate::metrics::Metrics;
use crate::notices::Notices;
use crate::observe::prometheus::PrometheusClientError;
use crate::tls::server::ServerTls;

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
    outside: Outside,
    grpc: TcpListener,
    grpc_tls: Option<Arc<ServerTls>>,
    admin: TcpListener,
    admin_token: Option<Arc<AdminToken>>,
    grpc_address: SocketAddr,
    admin_address: SocketAddr,
}

/// The essential tasks, and the means to end them.
#[derive(Debug)]
struct Running {
    /// Reads files again for as long as the process runs.
    _credentials: AbortOnDropHandle<()>,
    /// Says when calls can be answered.
    _ready: AbortOnDropHandle<()>,
    helpers: Helpers,
    loops: JoinHandle<()>,
    grpc_server: JoinHandle<Result<(), grpc::ServeError>>,
    admin_server: JoinHandle<std::io::Result<()>>,
    readiness: admin::Readiness,
    draining: CancellationToken,
    admin_end: CancellationToken,
    drain: Duration,
}

/// Looks at the certificates' dates as often as at files.
#[derive(Debug)]
struct Noticed(Notices);

/// Why the process cannot start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A listening address cannot be had.
    #[error("{setting} {address} cannot be listened on")]
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
    /// Files that a server needs from its start on cannot be used.
    #[error("{0}")]
    Credentials(String),
    /// The cluster of Kubernetes cannot be asked.
    #[error(transparent)]
    Kubernetes(#[from] ClusterError),
    /// The gRPC server failed.
    #[error(transparent)]
    Grpc(#[from] grpc::ServeError),
    /// The admin server failed.
    #[error("the admin server failed")]
    Admin(#[source] std::io::Error),
    /// An essential task ended that should run on.
    #[error("{task} ended by itself, which is an error of this program")]
    Ended {
        /// Which.
        task: &'static str,
    },
    /// An essential task panicked.
    #[error("{task} crashed")]
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
        crate::tls::use_ring();
        let config = Arc::new(config);
        let clock = Clock::start();
        let metrics = Metrics::default();
        let sources = RealSources::new(Arc::clone(&config), clock, metrics.clone())?;
        let tls = config.grpc.tls.as_ref();
        let tls = tls.map(|tls| ServerTls::new("grpc.tls".to_owned(), tls, &metrics));
        let grpc_tls = tls.map(Arc::new);
        if let Some(tls) = &grpc_tls {
            // Later a bad file keeps the one before; now there is none.
            tls.current().map_err(AppError::Credentials)?;
        }
        let admin_token = AdminToken::of(&config.admin, &metrics).map_err(AppError::Credentials)?;
        let admin_token = admin_token.map(Arc::new);
        if let Some(token) = &admin_token {
            token.file().current().map_err(AppError::Credentials)?;
        }
        let cluster = Cluster::of(&config.kubernetes).await?;
        let outside = Outside::of(&config, cluster, clock)?;
        let sources = Arc::new(sources.with_workloads(outside.workloads()));
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
            outside,
            grpc,
            grpc_tls,
            admin,
            admin_token,
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
        let mut running = self.start().await;
        let failed = tokio::select! {
            () = shutdown.cancelled() => None,
            error = running.failure() => Some(error),
        };
        running.stop().await;
        match failed {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    async fn start(self) -> Running {
        let health = grpc::Health::new().await;
        let readiness = admin::Readiness::new();
        let leadership = self.outside.leadership();
        let draining = CancellationToken::new();
        let admin_end = CancellationToken::new();
        let router = admin::router(
            Arc::clone(&self.registry),
            &self.metrics,
            self.config.limits,
            self.clock,
            (readiness.clone(), leadership.clone()),
            self.admin_token.as_ref(),
        );
        let scaler = grpc::Scaler::new(
            Arc::clone(&self.config),
            Arc::clone(&self.registry),
            self.clock,
            grpc::Forward::new(leadership.clone(), self.grpc_tls.clone()),
            draining.clone(),
        );
        let metrics = self.metrics.clone();
        let mut credentials = self.sources.credentials();
        let grpc_tls = self.grpc_tls.clone();
        credentials.extend(grpc_tls.map(|tls| tls as Arc<dyn Refresh>));
        credentials.push(Arc::new(Noticed(self.metrics.notices.clone())));
        credentials.extend(self.admin_token.map(|token| token as Arc<dyn Refresh>));
        let credentials = tokio::spawn(credentials::keep(credentials));
        let supervisor = Supervisor::new(
            LoopContext {
                sources: self.sources,
                registry: self.registry,
                kept: self.outside.kept(),
                announcements: self.outside.announcements(),
                decide: evenkeel_engine::decide,
                poll: self.config.poll,
                prometheus_concurrency: self.config.limits.prometheus_concurrency,
                clock: self.clock,
                metrics: self.metrics.clone(),
            },
            self.config.limits.target_idle,
        );
        let port = self.grpc_address.port();
        let outside = self.outside;
        let helpers = outside
            .start(port, self.grpc_tls.clone(), self.metrics)
            .await;
        let ready = tokio::spawn(become_ready(leadership, readiness.clone(), health.clone()));
        let drain = self.config.grpc.drain;
        let grpc_server = tokio::spawn({
            let draining = draining.clone();
            async move {
                let tls = self.grpc_tls;
                grpc::serve(
                    self.grpc,
                    &self.config,
                    scaler,
                    health,
                    &metrics,
                    draining,
                    tls,
                )
                .await
            }
        });
        let admin_server = tokio::spawn(admin::serve(
            self.admin,
            router,
            admin_end.clone().cancelled_owned(),
        ));
        let loops = tokio::spawn(supervisor.run());
        Running {
            _credentials: AbortOnDropHandle::new(credentials),
            _ready: AbortOnDropHandle::new(ready),
            helpers,
            loops,
            grpc_server,
            admin_server,
            readiness,
            draining,
            admin_end,
            drain,
        }
    }
}

// === impl Running ===

impl Running {
    /// Waits for the first essential task to end, which none should.
    async fn failure(&mut self) -> AppError {
        tokio::select! {
            ended = &mut self.loops => too_early("the loops' supervisor", ended),
            ended = &mut self.grpc_server => match ended {
                Ok(Err(error)) => error.into(),
                ended => too_early("the gRPC server", ended),
            },
            ended = &mut self.admin_server => match ended {
                Ok(Err(error)) => AppError::Admin(error),
                ended => too_early("the admin server", ended),
            },
        }
    }

    async fn stop(mut self) {
        tracing::info!(drain = ?self.drain, "shutting down");
        self.readiness.draining();
        // Whoever asks meanwhile is answered, by whoever leads.
        self.helpers.hand_over().await;
        self.draining.cancel();
        let grace = self.drain + DRAIN_MARGIN;
        end_in_time("the gRPC server", grace, &mut self.grpc_server).await;
        self.loops.abort();
        self.admin_end.cancel();
        end_in_time("the admin server", DRAIN_MARGIN, &mut self.admin_server).await;
    }
}

impl Refresh for Noticed {
    fn refresh(&self) {
        self.0.log_new();
    }
}

/// Says that calls can be answered, as soon as they can: at once where this is the only replica, and
/// otherwise from when a leader was first known. Later nobody may lead for a while; then the answer is
/// an error that says so, which an address that is taken out of the Service could not.
async fn become_ready(
    mut leadership: Leadership,
    readiness: admin::Readiness,
    health: grpc::Health,
) {
    while matches!(leadership.role(), Role::Silent { .. }) {
        leadership.changed().await;
    }
    health.ready().await;
    readiness.serving();
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
async fn end_in_time<T>(task: &str, grace: Duration, server: &mut JoinHandle<T>) {
    // One that has ended before was the reason to stop, and was told of there.
    if server.is_finished() {
        return;
    }
    if tokio::time::timeout(grace, &mut *server).await.is_err() {
        tracing::warn!(?grace, "{task} did not end in time and is cut off");
        server.abort();
    }
}
