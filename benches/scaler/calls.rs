//! GetMetrics and IsActive on 1,000 targets while the scaler polls their cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::fake::Cluster;
use super::served::{Served, metrics_of, target};
use super::{quantile, table};

const TARGETS: usize = 1_000;
/// The open loop's rate; KEDA with 1,000 ScaledObjects makes about 300 calls a second.
const CALLS_PER_SECOND: usize = 2_000;
/// Connections the open loop is spread over; KEDA's operator and its metrics adapter use one each.
const CONNECTIONS: usize = 2;
/// Calls in flight of the closed loop.
const CLOSED_LOOP: usize = 16;
const MEASURED: Duration = Duration::from_secs(10);

pub async fn bench() {
    let cluster = Cluster::start(TARGETS).await;
    let served = Served::start(&cluster.bootstrap_servers, 5).await;
    served.register(TARGETS).await;
    let mut rows = table(&[
        "1,000 targets while polling",
        "calls/s",
        "p50 ms",
        "p99 ms",
        "max ms",
    ]);
    for get_metrics in [true, false] {
        let method = if get_metrics {
            "GetMetrics"
        } else {
            "IsActive"
        };
        for (shape, calls) in [
            ("open loop", open_loop(&served, get_metrics).await),
            (
                "closed loop, 16 in flight",
                closed_loop(&served, get_metrics).await,
            ),
        ] {
            let mut latencies = calls;
            latencies.sort_by(f64::total_cmp);
            rows.add_row([
                format!("{method}, {shape}"),
                format!("{:.0}", latencies.len() as f64 / MEASURED.as_secs_f64()),
                format!("{:.3}", quantile(&latencies, 0.5)),
                format!("{:.3}", quantile(&latencies, 0.99)),
                format!("{:.3}", quantile(&latencies, 1.0)),
            ]);
        }
    }
    println!("{rows}\n");
}

/// Calls at a fixed rate, each begun on time whatever the last one does.
async fn open_loop(served: &Served, get_metrics: bool) -> Vec<f64> {
    let mut tasks = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let client = served.client().await;
        tasks.spawn(async move {
            let mut calls = JoinSet::new();
            let mut ticks =
                interval(Duration::from_secs(1) / (CALLS_PER_SECOND / CONNECTIONS) as u32);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let begun = Instant::now();
            let mut number = connection;
            while begun.elapsed() < MEASURED {
                ticks.tick().await;
                // Tokio's timer is exact to a millisecond: what is late by then is not the server.
                let begun = Instant::now();
                calls.spawn(call(client.clone(), number % TARGETS, get_metrics, begun));
                number += CONNECTIONS;
            }
            calls.join_all().await
        });
    }
    tasks.join_all().await.concat()
}

/// As many calls as it can answer.
async fn closed_loop(served: &Served, get_metrics: bool) -> Vec<f64> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..CLOSED_LOOP {
        let (client, next) = (served.client().await, Arc::clone(&next));
        tasks.spawn(async move {
            let begun = Instant::now();
            let mut latencies = Vec::new();
            while begun.elapsed() < MEASURED {
                let number = next.fetch_add(1, Ordering::Relaxed) % TARGETS;
                latencies.push(call(client.clone(), number, get_metrics, Instant::now()).await);
            }
            latencies
        });
    }
    tasks.join_all().await.concat()
}

type Client = evenkeel_scaler::grpc::wire::external_scaler_client::ExternalScalerClient<
    tonic::transport::Channel,
>;

/// One call; its latency in milliseconds since it was `begun`.
async fn call(mut client: Client, group: usize, get_metrics: bool, begun: Instant) -> f64 {
    if get_metrics {
        client.get_metrics(metrics_of(group)).await.unwrap();
    } else {
        client.is_active(target(group)).await.unwrap();
    }
    begun.elapsed().as_secs_f64() * 1_000.0
}
