//! Prometheus' answers, and those of what is none, over HTTP.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use evenkeel_engine::PrometheusObservation;
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::metrics::Metrics;
use evenkeel_scaler::observe::prometheus::{
    ObservePrometheus as _, PrometheusObserver, PrometheusObserverConfig, PrometheusQuery,
};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use tokio::net::TcpListener;

use crate::bend::{bend_all, bends};
use crate::{cases, panics};

const ANSWERS: [&str; 8] = [
    r#"{"status":"success","data":{"resultType":"scalar","result":[4102444800,"7"]}}"#,
    r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[4102444800.123,"4200.5"]}]}}"#,
    r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
    r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[4102444800,"1"],[4102444805,"2"]]}]}}"#,
    r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[4102444800,"NaN"]}]}}"#,
    r#"{"status":"success","data":{"resultType":"string","result":[4102444800,"x"]}}"#,
    r#"{"status":"error","errorType":"bad_data","error":"parse error: unclosed left parenthesis"}"#,
    "<html><body>Log in</body></html>",
];
const STATUSES: [u16; 8] = [200, 200, 200, 204, 302, 400, 401, 503];

#[test]
fn no_answer_of_a_prometheus_does_harm() {
    evenkeel_scaler::tls::use_ring();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let said: Arc<Mutex<(u16, Vec<u8>)>> = Arc::default();
    let says = Arc::clone(&said);
    let address = runtime.block_on(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(async move || {
            let (status, body) = says.lock().unwrap().clone();
            (StatusCode::from_u16(status).unwrap(), body)
        });
        tokio::spawn(axum::serve(listener, router).into_future());
        address
    });
    let config = PrometheusObserverConfig {
        request_timeout: Duration::from_secs(60),
        concurrency: 1,
    };
    let observer = PrometheusObserver::new(config, Clock::start(), Metrics::default()).unwrap();
    let query = PrometheusQuery {
        url: format!("http://{address}"),
        profile: None,
        query: "x".to_owned(),
    };
    let answer = (
        select(ANSWERS.to_vec()),
        select(STATUSES.to_vec()),
        bends(),
        any::<bool>(),
    );
    let outcome =
        TestRunner::new(cases(file!(), 1_000)).run(&answer, |(answer, status, bends, cold)| {
            let before = panics();
            let mut body = answer.as_bytes().to_vec();
            bend_all(&mut body, &bends);
            *said.lock().unwrap() = (status, body.clone());
            let reading = runtime.block_on(observer.observe(&query, cold));
            match reading.observation {
                PrometheusObservation::Known {
                    records_per_second, ..
                } => {
                    prop_assert!(records_per_second.is_finite() && records_per_second >= 0.0);
                    prop_assert!((200..300).contains(&status));
                    // A 0 that nobody said would scale down.
                    let says_zero = String::from_utf8_lossy(&body).contains(['0', '.', '-']);
                    prop_assert!(records_per_second > 0.0 || says_zero, "{:?}", body);
                }
                PrometheusObservation::NotConfigured => prop_assert!(false, "it is configured"),
                PrometheusObservation::Unknown(_) => {
                    let problem = reading.problem.expect("a sentence");
                    prop_assert!(problem.sentence.len() < 2_000, "{}", problem.sentence);
                    prop_assert!(!problem.sentence.contains(char::is_control));
                }
            }
            prop_assert_eq!(panics(), before);
            Ok(())
        });
    runtime.shutdown_background();
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
