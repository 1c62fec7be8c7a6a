//! What the scaler asks of a Kubernetes cluster: the only place that knows `kube`.
//!
//! [`workloads`] watches ScaledObjects and what they scale, [`lease`] chooses one of several replicas,
//! [`config_maps`] hold texts over restarts, [`events`] writes down what was decided, [`live`] is for a person who asks; [`watch`]
//! is one list and watch, [`scaled_object`] and [`workload`] read single objects. Everything here is
//! optional: without a cluster, or without a right, the rest works and says what it lacks.
//!
//! It decides nothing about replicas.

pub mod config_maps;
pub mod events;
pub mod lease;
pub mod live;
mod scaled_object;
mod watch;
mod workload;
pub mod workloads;

use std::path::Path;
use std::time::Duration;

use evenkeel_engine::Cause;
use k8s_openapi::jiff;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::clock;
use crate::config::kubernetes::KubernetesConfig;
use crate::observe::Problem;

/// Where a pod finds the token of its service account.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How long a connection to the API server may take, and how long an answer may pause.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A cluster that can be asked, and where in it the scaler's own objects are.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
}

/// Why there is no cluster where there should be one.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig {path} cannot be used: {why}")]
    Kubeconfig {
        /// Which.
        path: String,
        /// Why.
        why: kube::config::KubeconfigError,
    },
    /// This is no pod, or one without a token.
    #[error(
        "the cluster cannot be reached as a pod does: {0}; give the pod the token of its service \
         account (serviceAccount.automount in the chart), set kubernetes.kubeconfig, or set \
         kubernetes.enabled to false"
    )]
    NotAPod(#[from] kube::config::InClusterError),
    /// There is neither a kubeconfig nor a pod's token.
    #[error("no cluster is configured: {0}; give --kubeconfig")]
    NoneConfigured(#[from] kube::config::InferConfigError),
    /// The client cannot be made.
    #[error("the client of the cluster cannot be made: {0}")]
    Client(#[from] kube::Error),
    /// Something needs the cluster, and there is none.
    #[error(
        "{setting} needs the cluster, and there is no token of a service account: give the pod one \
         (serviceAccount.automount in the chart), or set kubernetes.kubeconfig"
    )]
    Needed {
        /// Which setting.
        setting: &'static str,
    },
}

// === impl Cluster ===

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// The cluster that `config` means; none where it means none. Does no I/O but to read files.
    ///
    /// # Errors
    /// When there should be one, and files or the environment do not tell how it is reached.
    pub async fn of(config: &KubernetesConfig) -> Result<Option<Self>, ClusterError> {
        let found = config.kubeconfig.is_some() || Path::new(TOKEN).exists();
        if !config.enabled.unwrap_or(found) {
            return Ok(None);
        }
        let mut reached = match &config.kubeconfig {
            Some(path) => from_kubeconfig(path).await?,
            None => kube::Config::incluster()?,
        };
        let namespace = config.namespace.clone();
        let namespace = namespace.unwrap_or_else(|| reached.default_namespace.clone());
        reached.connect_timeout = Some(CONNECT_TIMEOUT);
        reached.write_timeout = Some(ANSWER_TIMEOUT);
        let client = Client::try_from(reached)?;
        Ok(Some(Self { client, namespace }))
    }

    /// The cluster that a person's own configuration means: `path`, or what kubectl would take.
    ///
    /// # Errors
    /// When it cannot be used.
    pub async fn of_user(path: Option<&Path>) -> Result<Self, ClusterError> {
        let reached = match path {
            Some(path) => from_kubeconfig(path).await?,
            None => kube::Config::infer().await?,
        };
        let namespace = reached.default_namespace.clone();
        let client = Client::try_from(reached)?;
        Ok(Self { client, namespace })
    }

    /// Where the scaler's own objects are.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

async fn from_kubeconfig(path: &Path) -> Result<kube::Config, ClusterError> {
    let unusable = |why| ClusterError::Kubeconfig {
        path: path.display().to_string(),
        why,
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(unusable)?;
    let options = KubeConfigOptions::default();
    kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(unusable)
}

/// The wall's time as objects carry it, for people: nothing is decided by it.
fn wall() -> jiff::Timestamp {
    let micros = i64::try_from(clock::wall().as_micros()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).unwrap_or_default()
}

/// Asks, for no longer than an answer may take.
async fn in_time<T>(asked: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Refused> {
    match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Refused::of(&error)),
        Err(_) => Err(Refused::late(ANSWER_TIMEOUT)),
    }
}

/// Why the API server gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refused {
    /// The HTTP status, where it answered with one.
    code: Option<u16>,
    cause: Cause,
    why: String,
}

// === impl Refused ===

impl Refused {
    fn of(error: &kube::Error) -> Self {
        let (code, why) = match error {
            kube::Error::Api(status) => (Some(status.code), status.message.clone()),
            error => (None, with_sources(error)),
        };
        let cause = match code {
            Some(401 | 403) => Cause::Refused,
            Some(404) => Cause::NotFound,
            Some(_) => Cause::Failed,
            None if matches!(error, kube::Error::SerdeError(_)) => Cause::Malformed,
            None => Cause::Unreachable,
        };
        Self { code, cause, why }
    }

    fn late(after: Duration) -> Self {
        Self {
            code: None,
            cause: Cause::Timeout,
            why: format!("no answer within {} s", after.as_secs_f64()),
        }
    }

    /// Whether the answer is that somebody else was there first.
    fn is_conflict(&self) -> bool {
        self.code == Some(409)
    }

    /// A sentence about `what` could not be done.
    fn problem(&self, what: &str) -> Problem {
        let advice = match self.cause {
            Cause::Refused => {
                ": grant it (kubernetes.rights in the chart), or set the matching key of kubernetes to false"
            }
            _ => "",
        };
        Problem {
            cause: self.cause,
            sentence: format!("the API server of Kubernetes: {what}: {}{advice}", self.why),
        }
    }
}

/// An error with what caused it: hyper's own text alone says "client error (Connect)".
fn with_sources(error: &kube::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}
