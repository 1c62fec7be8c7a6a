//! What the gRPC health service answers: the kubelet's probes, and whoever watches.
//!
//! Set by whoever starts and drains the server. It says nothing of Kafka: a scaler whose Kafka is
//! away still answers KEDA, with a reason.

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// The health services that say whether calls can be answered. The empty name is the whole server.
const READINESS_SERVICES: [&str; 2] = ["", "readiness"];
/// The health service that says whether the process runs.
const LIVENESS_SERVICE: &str = "liveness";

/// The serving status of the server. Cheap to clone, all clones say the same; starts as alive and
/// not ready.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
}

// === impl Health ===

impl Health {
    /// Alive, and not ready yet.
    pub async fn new() -> Self {
        let health = Self {
            reporter: HealthReporter::new(),
        };
        health.not_ready().await;
        health
            .reporter
            .set_service_status(LIVENESS_SERVICE, ServingStatus::Serving)
            .await;
        health
    }

    /// Calls can be answered.
    pub async fn ready(&self) {
        self.set(ServingStatus::Serving).await;
    }

    /// Calls cannot be answered, or not for much longer.
    pub async fn not_ready(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    /// The service that answers with it.
    pub(super) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    async fn set(&self, status: ServingStatus) {
        for service in READINESS_SERVICES {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
