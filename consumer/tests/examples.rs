//! The examples do what they say: the sink over HTTP against a server of the test's own, and Protobuf by a
//! schema registry, which is a small fake of its REST API, or the real one at `SCHEMA_REGISTRY_URL`. That
//! into another table is tried in `tests/postgres`.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "clippy's allowance for tests does not reach the helpers of a test crate"
)]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use batch_consumer::batch::Batch;
use batch_consumer::sink::{DeadLetter, Row, Sink, Step, WriteError, Written};
use http::{Event, Http};
use prost::Message as _;
use protobuf::{Fields, Order, Registered};
use rdkafka::Timestamp;
use rdkafka::message::OwnedMessage;
use serde_json::{Value, json};

#[path = "../examples/http.rs"]
mod http;
#[path = "../examples/protobuf.rs"]
mod protobuf;

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

const SUBJECTS: [&str; 2] = ["orders-value", "others-value"];

/// A registry's REST API, as far as it is needed: schemas get numbers from 1 on.
async fn registry() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let register = async |Path(subject): Path<String>| {
        let number = SUBJECTS.iter().position(|known| *known == subject).unwrap();
        json!({"id": number + 1}).to_string()
    };
    let versions = async |Path(id): Path<usize>| match SUBJECTS.get(id - 1) {
        Some(subject) => (StatusCode::OK, json!([{"subject": subject, "version": 1}]).to_string()),
        None => (StatusCode::NOT_FOUND, json!({"error_code": 40403}).to_string()),
    };
    let routes = Router::new()
        .route("/subjects/{subject}/versions", post(register))
        .route("/schemas/ids/{id}/versions", get(versions));
    tokio::spawn(axum::serve(listener, routes).into_future());
    url
}

/// Notes the orders that come to it.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<i64>>>);

impl Sink<Order> for Noting {
    async fn write(&mut self, rows: &[&Row<Order>], _: &[&DeadLetter], _: &[Step]) -> Written {
        self.0.lock().unwrap().extend(rows.iter().map(|row| row.value.cents()));
        Ok(())
    }
}

#[tokio::test]
async fn orders_in_protobuf_are_taken_and_those_of_other_schemas_are_not() {
    let url = match std::env::var("SCHEMA_REGISTRY_URL") {
        Ok(real) => real,
        Err(_) => registry().await,
    };
    let noting = Noting::default();
    let mut sink = Registered::new(&url, "orders", noting.clone()).unwrap();
    let client = reqwest::Client::new();
    let mut ids = Vec::new();
    for (subject, field) in SUBJECTS.into_iter().zip(["cents", "pence"]) {
        let schema =
            format!("syntax = \"proto3\"; message Order {{ string id = 1; int64 {field} = 2; }}");
        let body = json!({"schemaType": "PROTOBUF", "schema": schema}).to_string();
        let request = client.post(format!("{url}/subjects/{subject}/versions"));
        let request = request.header("content-type", "application/json").body(body);
        let answer = request.send().await.unwrap().bytes().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        ids.push(u32::try_from(answer["id"].as_u64().unwrap()).unwrap());
    }
    let record = |offset, schema: u32, cents| {
        let mut value = vec![0];
        value.extend(schema.to_be_bytes());
        value.push(0);
        value.extend(Fields { id: "a".to_owned(), cents }.encode_to_vec());
        let (topic, now) = ("orders".to_owned(), Timestamp::NotAvailable);
        OwnedMessage::new(Some(value), None, topic, now, 0, offset, None)
    };
    let mut batch = Batch::default();
    for (offset, schema) in (0..).zip([ids[0], ids[1], ids[0], 1_000_000]) {
        batch.push(record(offset, schema, 100 + offset));
    }
    let text = Some(b"{\"id\": 1}".to_vec());
    let (topic, now) = ("orders".to_owned(), Timestamp::NotAvailable);
    batch.push(OwnedMessage::new(text, None, topic, now, 0, 4, None));
    assert_eq!(batch.dead.len(), 1, "it is no Protobuf of a registry");

    let rows: Vec<_> = batch.rows.iter().collect();
    let refused = sink.write(&rows, &[], &[]).await;
    let Err(WriteError::Poison(refused)) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 3]);
    batch.bury(refused);
    let rows: Vec<_> = batch.rows.iter().collect();
    sink.write(&rows, &[], &[]).await.unwrap();
    assert_eq!(*noting.0.lock().unwrap(), [100, 102]);

    let mut away = Registered::new("http://127.0.0.1:1", "orders", noting).unwrap();
    let waits = away.write(&rows, &[], &[]).await;
    assert!(matches!(waits, Err(WriteError::Retry(_))), "{waits:?}");
}
