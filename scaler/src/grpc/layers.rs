//! The services in the layers that are the same for every call.
//!
//! From the outside in: [`observe`] counts, times and traces; a bound on the calls in flight, over
//! all connections, refuses at once what exceeds it; then the services. The transport outside of
//! them ([`super::server`]) limits the time of a call. What a call means is not known here.
//!
//! Two kinds of calls take no part in that bound. Health checks: a probe that fails restarts
//! the pod or takes it out of DNS. The spec: KEDA drops a trigger whose spec it cannot get, and the
//! HPA then follows the ScaledObject's other triggers alone, which may be downwards. Both answer
//! from memory without waiting, so what bounds them is the transport: streams a connection, bytes a
//! message, seconds a call.
//!
//! What is refused gets RESOURCE_EXHAUSTED. To KEDA all codes but UNIMPLEMENTED are alike: it asks
//! once more at once, then leaves the replicas alone and says so in an event. For people UNAVAILABLE
//! means that too little is known of Kafka; this means that a limit of evenkeel is reached.

pub mod observe;

use axum::error_handling::HandleErrorLayer;
use tonic::Status;
use tonic::body::Body;
use tonic::service::{LayerExt as _, Routes};
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{BoxError, ServiceBuilder};

use self::observe::Observe;
use super::health::Health;
use super::service::Scaler;
use super::status::Refusal;
use super::wire::FILE_DESCRIPTOR_SET;
use super::wire::external_scaler_server::ExternalScalerServer;
use crate::config::Limits;
use crate::metrics::Metrics;

/// The calls that answer the constant spec.
const SPEC_PATHS: [&str; 2] = [observe::GET_METRIC_SPEC, observe::STREAM_METRIC_SPEC];

/// The scaler, health and reflection in their layers, without a socket.
///
/// # Errors
/// When the compiled-in descriptors cannot be read.
pub fn services(
    limits: Limits,
    scaler: Scaler,
    health: &Health,
    metrics: &Metrics,
) -> Result<Observe<Routes>, tonic_reflection::server::Error> {
    let scaler =
        ExternalScalerServer::new(scaler).max_decoding_message_size(limits.grpc_message_bytes);
    // A call holds its permit until its answer begins: an open stream holds none.
    let limit = limits.grpc_concurrency;
    let bounded = ServiceBuilder::new()
        // The services never fail, so the only error is the load shedding's.
        .layer(HandleErrorLayer::new(async move |_: BoxError| {
            Status::from(Refusal::Overloaded { limit }).into_http::<Body>()
        }))
        .load_shed()
        .layer(GlobalConcurrencyLimitLayer::new(limit));
    let mut router = Routes::new(health.service())
        .add_service(bounded.named_layer(scaler.clone()))
        .add_service(bounded.named_layer(reflection().build_v1()?))
        .add_service(bounded.named_layer(reflection().build_v1alpha()?))
        .into_axum_router();
    // A whole path goes before the service's own route.
    for path in SPEC_PATHS {
        router = router.route_service(path, scaler.clone());
    }
    Ok(Observe::new(
        Routes::from(router).prepare(),
        metrics.clone(),
    ))
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
