//! The Prometheus adapter against a real Prometheus, and against servers that misbehave as a real
//! one cannot be made to.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here"
)]

#[expect(dead_code, reason = "the tests of the calendar use the rest of it")]
#[path = "prometheus/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::http::{StatusCode, header};
use axum::routing::get;
use evenkeel_engine::{Cause, PrometheusObservation};
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::metrics::{Metrics, PrometheusRequestLabels};
use evenkeel_scaler::observe::prometheus::{
    BaselineReading, ObservePrometheus as _, PrometheusObserver, PrometheusObserverConfig,
    PrometheusQuery,
};
use servers::{Exporter, Prometheus, eventually, fake, silent};
use tokio::sync::Semaphore;

/// Long enough for a busy machine; every test that runs into a timeout sets its own.
const PATIENT: Duration = Duration::from_secs(30);

struct Fixture {
    observer: PrometheusObserver,
    metrics: Metrics,
    clock: Clock,
}

// === impl Fixture ===

impl Fixture {
    fn new() -> Self {
        Self::with(PATIENT, 4)
    }

    fn with(request_timeout: Duration, concurrency: usize) -> Self {
        evenkeel_scaler::tls::use_ring();
        let metrics = Metrics::default();
        let clock = Clock::start();
        let config = PrometheusObserverConfig {
            request_timeout,
            concurrency,
        };
        Self {
            observer: PrometheusObserver::new(config, clock, metrics.clone()).expect("a client"),
            metrics,
            clock,
        }
    }

    async fn ask(&self, url: &str, query: &str, cold: bool) -> BaselineReading {
        let query = PrometheusQuery {
            url: url.to_owned(),
            profile: None,
            query: query.to_owned(),
        };
        self.observer.observe(&query, cold).await
    }

    fn counted(&self, result: &'static str) -> u64 {
        self.metrics
            .prometheus_requests
            .get_or_create(&PrometheusRequestLabels { result })
            .get()
    }
}

#[track_caller]
fn check(reading: &BaselineReading, expected: Result<f64, (Cause, &str)>) {
    match (reading, expected) {
        (
            BaselineReading {
                observation:
                    PrometheusObservation::Known {
                        records_per_second, ..
                    },
                problem: None,
            },
            Ok(value),
        ) => assert!(
            (records_per_second - value).abs() < 1e-9,
            "{records_per_second} instead of {value}"
        ),
        (
            BaselineReading {
                observation: PrometheusObservation::Unknown(cause),
                problem: Some(problem),
            },
            Err((expected, words)),
        ) => {
            assert_eq!(*cause, expected, "{}", problem.sentence);
            assert_eq!(problem.cause, expected);
            assert!(
                problem.sentence.contains(words),
                "\"{}\" does not say \"{words}\"",
                problem.sentence
            );
        }
        (reading, expected) => panic!("{reading:?} instead of {expected:?}"),
    }
}

fn is_known(reading: &BaselineReading) -> bool {
    matches!(reading.observation, PrometheusObservation::Known { .. })
}

#[tokio::test]
async fn a_real_prometheus_is_understood_whatever_the_query_gives() {
    let prometheus = Prometheus::start(None).await;
    let fixture = Fixture::new();
    for (query, expected) in [
        ("vector(123.25)", Ok(123.25)),
        ("vector(0)", Ok(0.0)),
        ("scalar(vector(7))", Ok(7.0)),
        ("8", Ok(8.0)),
        ("vector(NaN)", Err((Cause::Malformed, "NaN"))),
        ("vector(1) / 0", Err((Cause::Malformed, "infinite"))),
        ("-1 * vector(3)", Err((Cause::Malformed, "-3"))),
        (
            r#"vector(1) or label_replace(vector(2), "topic", "b", "", "")"#,
            Err((
                Cause::Malformed,
                "2 series and a rate is one number: wrap it in sum(...)",
            )),
        ),
        (
            "no_such_metric",
            Err((Cause::NotFound, "returns nothing: its series have ended")),
        ),
        (
            "sum(rate(x[1m]",
            Err((Cause::Failed, "parse error: unclosed left parenthesis")),
        ),
        ("up[5m]", Err((Cause::Malformed, "a range, not a number"))),
        (r#""text""#, Err((Cause::Malformed, "text, not a number"))),
    ] {
        check(&fixture.ask(&prometheus.url, query, false).await, expected);
    }
    assert_eq!(fixture.counted("ok"), 4);
    assert_eq!(fixture.counted("malformed"), 6);
    assert_eq!(fixture.counted("not_found"), 1);
    assert_eq!(fixture.counted("failed"), 1);
}

#[tokio::test]
async fn at_a_cold_start_a_series_that_has_just_ended_gives_its_last_value_with_its_age() {
    let exporter = Exporter::start(42.0).await;
    let prometheus = Prometheus::start(Some(&exporter)).await;
    let fixture = Fixture::new();
    let query = "sum(orders_per_second)";
    let living = eventually("the exporter is scraped", async || {
        let reading = fixture.ask(&prometheus.url, query, false).await;
        is_known(&reading).then_some(reading)
    })
    .await;
    check(&living, Ok(42.0));

    exporter.fail();
    let ended = eventually("the series ends", async || {
        let reading = fixture.ask(&prometheus.url, query, false).await;
        (!is_known(&reading)).then_some(reading)
    })
    .await;
    check(&ended, Err((Cause::NotFound, "have ended")));

    // The history is asked in steps of 5 s, so one of them falls on the series within that time.
    let before = fixture.clock.now();
    let cold = eventually(
        "a step of the history has fallen on the series",
        async || {
            let reading = fixture.ask(&prometheus.url, query, true).await;
            is_known(&reading).then_some(reading)
        },
    )
    .await;
    check(&cold, Ok(42.0));
    let PrometheusObservation::Known { at, .. } = cold.observation else {
        panic!("{cold:?}");
    };
    assert!(at < before.plus(PATIENT), "the value is not dated ahead");

    check(
        &fixture
            .ask(&prometheus.url, "sum(order_per_second)", true)
            .await,
        Err((
            Cause::NotFound,
            "has not in the last 300 s: check the metric's name",
        )),
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_a_timeout() {
    let fixture = Fixture::with(Duration::from_millis(200), 4);
    let server = silent().await;
    check(
        &fixture.ask(&server.url, "up", false).await,
        Err((Cause::Timeout, "not answered within 200 ms")),
    );
    let stalls = fake(Router::new().route(
        "/api/v1/query",
        get(async || {
            let start = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
            let stalled = futures::StreamExt::chain(start, futures::stream::pending());
            Body::from_stream(stalled)
        }),
    ))
    .await;
    check(
        &fixture.ask(&stalls.url, "up", false).await,
        Err((Cause::Timeout, "not answered within 200 ms")),
    );
    assert_eq!(fixture.counted("timeout"), 2);
}

#[tokio::test]
async fn nobody_listening_is_unreachable_and_an_address_that_is_none_is_refused() {
    let fixture = Fixture::new();
    let url = servers::nobody().await;
    check(
        &fixture.ask(&url, "up", false).await,
        Err((Cause::Unreachable, "Connection refused")),
    );
    for url in ["not an address", "file:///etc/passwd", "prometheus:9090"] {
        check(
            &fixture.ask(url, "up", false).await,
            Err((Cause::Refused, "has no usable address")),
        );
    }
}

#[tokio::test]
async fn an_ad_hoc_address_never_leads_to_metadata() {
    let observer = Fixture::new();
    for url in [
        "http://169.254.169.254/latest",
        "http://0xa9fea9fe",
        "http://[fe80::1]:9090",
    ] {
        let reading = observer.ask(url, "vector(1)", false).await;
        check(
            &reading,
            Err((Cause::Refused, "leads to a link-local address")),
        );
    }
}

#[tokio::test]
async fn what_stands_in_front_of_a_prometheus_is_told_from_it() {
    let fixture = Fixture::new();
    let status = |status: u16| {
        let status = StatusCode::from_u16(status).expect("a status");
        get(async move || (status, [(header::LOCATION, "/login")], "<html>"))
    };
    let server = fake(
        Router::new()
            .route("/200/api/v1/query", status(200))
            .route("/302/api/v1/query", status(302))
            .route("/401/api/v1/query", status(401))
            .route("/403/api/v1/query", status(403))
            .route("/502/api/v1/query", status(502)),
    )
    .await;
    for (path, expected) in [
        ("200", (Cause::Malformed, "not Prometheus' JSON")),
        ("302", (Cause::Failed, "redirected")),
        ("401", (Cause::Refused, "wants credentials")),
        ("403", (Cause::Refused, "wants credentials")),
        ("404", (Cause::Failed, "check the address and its path")),
        ("502", (Cause::Failed, "HTTP 502")),
    ] {
        let url = format!("{}/{path}", server.url);
        check(&fixture.ask(&url, "up", false).await, Err(expected));
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let fixture = Fixture::new();
    let server = fake(Router::new().route(
        "/api/v1/query",
        get(async || {
            let block = Bytes::from(vec![b' '; 64 * 1024]);
            Body::from_stream(futures::stream::repeat_with(move || {
                Ok::<_, std::io::Error>(block.clone())
            }))
        }),
    ))
    .await;
    check(
        &fixture.ask(&server.url, "up", false).await,
        Err((
            Cause::Malformed,
            "far more than one number: wrap it in sum(...)",
        )),
    );
}

#[tokio::test]
async fn an_answer_evaluated_long_before_it_was_asked_for_is_stale() {
    let fixture = Fixture::new();
    let evaluated_at = fixture
        .clock
        .now()
        .minus(Duration::from_secs(300))
        .as_millis()
        / 1_000;
    let server = fake(Router::new().route(
        "/api/v1/query",
        get(async move || {
            format!(
                r#"{{"status":"success","data":{{"resultType":"scalar","result":[{evaluated_at},"7"]}}}}"#
            )
        }),
    ))
    .await;
    check(
        &fixture.ask(&server.url, "up", false).await,
        Err((Cause::Stale, "a cache stands in between")),
    );
}

#[tokio::test]
async fn a_query_arrives_as_it_was_written_and_a_password_is_never_shown() {
    let fixture = Fixture::new();
    let server = fake(Router::new().route(
        "/behind/a/path/api/v1/query",
        get(async |Query(asked): Query<BTreeMap<String, String>>| {
            (StatusCode::UNPROCESSABLE_ENTITY, {
                let heard = format!("{} {}", asked["query"], asked["lookback_delta"]);
                let heard = heard.replace('"', "'");
                format!(r#"{{"status":"error","errorType":"execution","error":"{heard}"}}"#)
            })
        }),
    ))
    .await;
    let query = r#"sum(rate(x{topic=~"a&b|c#d%20+é"}[1m])) + 1"#;
    let url = server.url.replace("http://", "http://reader:secret@") + "/behind/a/path/";
    let reading = fixture.ask(&url, query, false).await;
    check(
        &reading,
        Err((
            Cause::Failed,
            "failed: sum(rate(x{topic=~'a&b|c#d%20+é'}[1m])) + 1 120s",
        )),
    );
    let sentence = reading.problem.expect("a problem").sentence;
    assert!(!sentence.contains("secret"), "{sentence}");
    assert!(!sentence.contains("reader"), "{sentence}");
}

#[tokio::test]
async fn queries_in_flight_are_bounded() {
    let fixture = Fixture::with(PATIENT, 2);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(Semaphore::new(0));
    let server = {
        let (now, most, gate) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&gate));
        fake(Router::new().route(
            "/api/v1/query",
            get(async move || {
                let in_flight = now.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(in_flight, Ordering::SeqCst);
                gate.acquire().await.expect("an open gate").forget();
                now.fetch_sub(1, Ordering::SeqCst);
                r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#
            }),
        ))
        .await
    };
    let queries: Vec<String> = (0..10).map(|number| format!("x{number}")).collect();
    let all = futures::future::join_all(
        queries
            .iter()
            .map(|query| fixture.ask(&server.url, query, false)),
    );
    let open_the_gate = async {
        eventually("two are in flight", async || {
            (now.load(Ordering::SeqCst) == 2).then_some(())
        })
        .await;
        gate.add_permits(10);
    };
    let (answers, ()) = tokio::join!(all, open_the_gate);
    assert_eq!(answers.len(), 10);
    assert_eq!(most.load(Ordering::SeqCst), 2);
}
