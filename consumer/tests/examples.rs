//! The examples do what they say: the sink over HTTP against a server of the test's own. That into another
//! table is tried in `tests/postgres`.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "clippy's allowance for tests does not reach the helpers of a test crate"
)]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use batch_consumer::batch::Batch;
use batch_consumer::sink::{Sink, WriteError};
use http::{Event, Http};
use rdkafka::Timestamp;
use rdkafka::message::OwnedMessage;
use serde_json::{Value, json};

#[path = "../examples/http.rs"]
mod http;

fn batch(payloads: &[&str]) -> Batch<Event> {
    let mut batch = Batch::default();
    for (offset, payload) in (0..).zip(payloads) {
        let payload = Some(payload.as_bytes().to_vec());
        let (topic, now) = ("t".to_owned(), Timestamp::NotAvailable);
        batch.push(OwnedMessage::new(payload, None, topic, now, 3, offset, None));
    }
    batch
}

async fn write(sink: &mut Http, batch: &Batch<Event>) -> Result<(), WriteError> {
    let (rows, dead): (Vec<_>, Vec<_>) = (batch.rows.iter().collect(), batch.dead.iter().collect());
    sink.write(&rows, &dead, &[]).await
}

#[tokio::test]
async fn a_batch_is_posted_and_the_three_outcomes_are_told_apart() {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let answer = {
        let taken = Arc::clone(&taken);
        async move |body: String| {
            if body.contains("bad") {
                return StatusCode::UNPROCESSABLE_ENTITY;
            }
            if body.contains("busy") {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            taken.lock().unwrap().push(body);
            StatusCode::NO_CONTENT
        }
    };
    let routes =
        Router::new().route("/rows", post(answer.clone())).route("/dead-letters", post(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sink = Http::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(axum::serve(listener, routes).into_future());

    write(&mut sink, &batch(&["1", "no JSON", "\"two\""])).await.unwrap();
    // Whether keys keep their order is a feature of serde_json's, which another crate may turn on.
    let lines = |body: &String| -> Vec<Value> {
        body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let taken: Vec<Vec<Value>> = taken.lock().unwrap().iter().map(lines).collect();
    let reason = "expected ident at line 1 column 2";
    let expected = [
        vec![json!({"partition": 3, "offset": 1, "value": "no JSON", "reason": reason})],
        vec![
            json!({"partition": 3, "offset": 0, "value": 1}),
            json!({"partition": 3, "offset": 2, "value": "two"}),
        ],
    ];
    assert_eq!(taken, expected);

    let refused = write(&mut sink, &batch(&["1", "\"bad\"", "2"])).await;
    assert_eq!(refused, Err(WriteError::Poison(vec![(1, "the receiver refuses it".to_owned())])));
    let busy = write(&mut sink, &batch(&["\"busy\""])).await;
    assert!(matches!(busy, Err(WriteError::Retry(_))), "{busy:?}");
}
