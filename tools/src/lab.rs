//! Real parts around evenkeel for runs that a person starts: Kubernetes' control plane and KEDA from a
//! folder of scripts (the lab), a broker, Prometheus, consumers as pods, a load.
//!
//! No figure is decided here and nothing of `make test` needs it: a lab is not part of this project. The
//! parts know nothing of each other's purpose: [`cluster`] starts the lab and talks to its API server,
//! [`site`] adds Kafka, Prometheus and the scaler, [`workload`] is a Deployment of consumers that can be
//! followed, [`policies`] are the ScaledObjects that compete, [`days`] is a Prometheus that knows earlier
//! days. [`scenario`] says what happens in a run, [`trial`] plays it for one policy, [`figures`] works out
//! what it came to and [`document`] writes that down. [`scalers`] are several replicas of the scaler behind
//! one name, [`release`] is the chart that helm installs, and [`probes`] see who of them answers.

pub mod cluster;
pub mod days;
pub mod document;
pub mod figures;
pub mod policies;
pub mod probes;
pub mod release;
pub mod report;
pub mod scalers;
pub mod scenario;
pub mod site;
pub mod trial;
pub mod workload;

use crate::demo::DemoError;
use crate::demo::broker::BrokerError;

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A program of ours, or a file.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// No broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Something else listens where the lab would.
    #[error("port {port} is taken: is another lab running? HARNESS_PORT moves this one")]
    PortTaken {
        /// The API server's port.
        port: u16,
    },
    /// Another program said no.
    #[error("{what} failed; it said:\n{said}")]
    Failed {
        /// What was being done.
        what: String,
        /// The end of its output.
        said: String,
    },
    /// Something did not happen in time.
    #[error("{what}: not within {seconds} s")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
}
