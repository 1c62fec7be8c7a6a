//! The HTTP server: `/metrics`, `/livez` and `/readyz`. It reads what is counted and decides nothing
//! but which state is fit to be alive and which to be ready.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::registry::Registry;

use super::Metrics;
use crate::clock;
use crate::stop::StopSignal;

/// What the handlers see.
#[derive(Clone)]
struct Served {
    registry: Arc<Registry>,
    metrics: Metrics,
    stop: StopSignal,
}

/// Serves `/metrics`, `/livez` (the consuming thread turns) and `/readyz` (and the sink works, and
/// it is not draining). A database that is down is no reason to restart: only `/readyz` tells.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn serve(address: SocketAddr, metrics: Metrics, stop: StopSignal) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "metrics are served");
    axum::serve(listener, routes(metrics, stop)).await
}

fn routes(metrics: Metrics, stop: StopSignal) -> Router {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let registry = Arc::new(registry);
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(Served {
            registry,
            metrics,
            stop,
        })
}

async fn show_metrics(State(served): State<Served>) -> impl IntoResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &served.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn livez(State(served): State<Served>) -> (StatusCode, &'static str) {
    if served.metrics.is_turning(clock::now()) {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the consuming thread is silent\n",
        )
    }
}

async fn readyz(State(served): State<Served>) -> (StatusCode, String) {
    if served.stop.is_raised() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    if let Some(reason) = served.metrics.sink_trouble() {
        return (StatusCode::SERVICE_UNAVAILABLE, reason + "\n");
    }
    if served.metrics.stuck_partitions() > 0 {
        let text = "partitions are stuck behind what is stored: see the log\n".to_owned();
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    }
    let (status, text) = livez(State(served)).await;
    (status, text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sink_in_trouble_is_alive_and_not_ready() {
        let served = Served {
            registry: Arc::default(),
            metrics: Metrics::default(),
            stop: StopSignal::default(),
        };
        served.metrics.turned(clock::now());
        let ready = async || readyz(State(served.clone())).await;
        assert_eq!(ready().await.0, StatusCode::OK);
        served
            .metrics
            .sink_in_trouble("connection refused".to_owned());
        let expected = (
            StatusCode::SERVICE_UNAVAILABLE,
            "connection refused\n".to_owned(),
        );
        assert_eq!(ready().await, expected);
        assert_eq!(livez(State(served.clone())).await.0, StatusCode::OK);
        served.metrics.sink_works();
        assert_eq!(ready().await.0, StatusCode::OK);
        served.metrics.set_stuck_partitions(1);
        assert_eq!(ready().await.0, StatusCode::SERVICE_UNAVAILABLE);
        served.metrics.set_stuck_partitions(0);
        served.stop.raise();
        assert_eq!(ready().await.1, "draining\n");
    }
}
