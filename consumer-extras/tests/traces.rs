//! What a collector gets of a batch: one span, linked to the spans that sent its records.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails here"
)]

use std::sync::mpsc::{Receiver, channel};

use axum::body::Bytes;
use axum::{Router, routing::post};
use batch_consumer::sink::{DeadLetter, Row, Sink, Step, WriteError, Written};
use evenkeel_consumer::sinks::Raw;
use evenkeel_consumer::traces::{LINKS, Traced, provider_to};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use prost::Message as _;
use rdkafka::Timestamp;
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use tokio::runtime::Runtime;

const TRACE: [u8; 16] = [0xab; 16];

/// A sink that says the same each time.
#[derive(Clone)]
struct Says(Written);

impl Sink<Raw> for Says {
    async fn write(&mut self, _: &[&Row<Raw>], _: &[&DeadLetter], _: &[Step]) -> Written {
        self.0.clone()
    }
}

/// A record that the span of this number has sent; without one, that nobody has traced.
fn row(sender: Option<u64>) -> Row<Raw> {
    let trace: String = TRACE.iter().map(|byte| format!("{byte:02x}")).collect();
    let headers = sender.map(|sender| {
        let value = format!("00-{trace}-{sender:016x}-01");
        let header = Header {
            key: "Traceparent",
            value: Some(&value),
        };
        OwnedHeaders::new().insert(header)
    });
    let topic = "trades".to_owned();
    let at = Timestamp::NotAvailable;
    let record = OwnedMessage::new(None, None, topic, at, 0, 0, headers);
    Row { record, value: Raw }
}

/// A collector, and what comes to it.
fn collector(runtime: &Runtime) -> (String, Receiver<Bytes>) {
    let (send, received) = channel();
    let take = move |body: Bytes| {
        send.send(body).unwrap();
        async {}
    };
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)));
    let listener = listener.unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let routes = Router::new().route("/v1/traces", post(take));
    runtime.spawn(async { axum::serve(listener, routes).await });
    (url, received)
}

/// The span of a batch of these records, whose sink says this.
fn span(rows: &[Row<Raw>], says: Written) -> Span {
    let runtime = Runtime::new().unwrap();
    let (url, received) = collector(&runtime);
    let provider = provider_to(Some(&url)).unwrap();
    let mut sink = Traced::new(Says(says.clone()), Some(&provider), "trades", "workers");
    let rows: Vec<&Row<Raw>> = rows.iter().collect();
    assert_eq!(runtime.block_on(sink.write(&rows, &[], &[])), says);
    provider.shutdown().unwrap();
    let request = ExportTraceServiceRequest::decode(received.recv().unwrap()).unwrap();
    let scopes = request.resource_spans.into_iter();
    let spans = scopes.flat_map(|resource| resource.scope_spans);
    let mut spans = spans.flat_map(|scope| scope.spans);
    let span = spans.next().unwrap();
    assert_eq!(spans.next(), None, "one span a batch");
    span
}

#[test]
fn each_record_that_was_traced_is_a_link() {
    let span = span(
        &[row(Some(7)), row(None), row(Some(0)), row(Some(9))],
        Ok(()),
    );
    let senders: Vec<(&[u8], &[u8])> = span
        .links
        .iter()
        .map(|link| (&link.trace_id[..], &link.span_id[..]))
        .collect();
    let expected = [7_u64, 9].map(u64::to_be_bytes);
    assert_eq!(
        senders,
        [
            (&TRACE[..], &expected[0][..]),
            (&TRACE[..], &expected[1][..])
        ]
    );
    assert_eq!(span.name, "process trades");
    assert_eq!(
        (span.kind(), span.parent_span_id),
        (SpanKind::Consumer, vec![])
    );
    let count = span
        .attributes
        .iter()
        .find(|one| one.key == "messaging.batch.message_count");
    assert!(format!("{count:?}").contains("IntValue(4)"), "{count:?}");
}

#[test]
fn a_large_batch_has_no_more_links_than_a_span_may_have() {
    let rows: Vec<Row<Raw>> = (1..=500).map(|sender| row(Some(sender))).collect();
    assert_eq!(span(&rows, Ok(())).links.len(), LINKS);
}

#[test]
fn what_did_not_work_is_the_spans_status_and_quotes_no_record() {
    for (error, said) in [
        (
            WriteError::Retry("connection refused".to_owned()),
            "connection refused",
        ),
        (
            WriteError::Poison(vec![(0, "quoted".to_owned())]),
            "1 records become dead letters",
        ),
    ] {
        let status = span(&[row(None)], Err(error)).status.unwrap();
        assert_eq!(
            (status.code(), status.message.as_str()),
            (StatusCode::Error, said)
        );
    }
}

#[test]
fn a_collector_that_is_away_costs_nothing_but_spans() {
    let provider = provider_to(Some("http://127.0.0.1:1/v1/traces")).unwrap();
    let mut sink = Traced::new(Says(Ok(())), Some(&provider), "trades", "workers");
    let row = row(Some(7));
    let written = Runtime::new()
        .unwrap()
        .block_on(sink.write(&[&row], &[], &[]));
    assert_eq!(written, Ok(()));
}
