//! A span for each write of a batch, for OpenTelemetry.
//!
//! A batch has many senders and no parent, so each record's `traceparent` (W3C) becomes a link to the span
//! that sent it. What is linked is what a collector shows: the first [`LINKS`] of them. A write that is
//! tried again is a span of its own, with the reason of the one before as its status.
//!
//! It decides nothing about the batch. Spans go out by OTLP over HTTP on a thread of their own, and a
//! collector that is away costs spans and nothing else.

use batch_consumer::sink::{DeadLetter, Decode, Positions, Row, Sink, Step, WriteError, Written};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{
    Link, Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use rdkafka::message::{Headers as _, Message as _, OwnedMessage};

/// Links of one span at most. OpenTelemetry's own default for a span.
pub const LINKS: usize = 128;

/// Where a collector is, in OpenTelemetry's own words.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// A sink whose writes are spans.
#[derive(Clone, Debug)]
pub struct Traced<S> {
    sink: S,
    /// None where nobody wants spans.
    tracer: Option<SdkTracer>,
    topic: String,
    group: String,
}

/// A record's headers.
struct OfRecord<'a>(&'a OwnedMessage);

/// What sends spans to the collector that the environment names (`OTEL_EXPORTER_OTLP_ENDPOINT`, such as
/// `http://localhost:4318`, and the rest of OpenTelemetry's variables); none where it names none. Not to
/// be called on an asynchronous runtime's threads. Its `shutdown` sends what is left.
///
/// # Errors
/// When the variables make no sense.
pub fn provider() -> anyhow::Result<Option<SdkTracerProvider>> {
    let is_named = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match ENDPOINTS.iter().any(is_named) {
        true => provider_to(None).map(Some),
        false => Ok(None),
    }
}

/// The same to the URL that takes traces (`.../v1/traces`), or to what the environment says.
///
/// # Errors
/// When it makes no sense.
pub fn provider_to(url: Option<&str>) -> anyhow::Result<SdkTracerProvider> {
    // The one crypto provider there is; an earlier call has done the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = SpanExporter::builder().with_http();
    let exporter = match url {
        Some(url) => exporter.with_endpoint(url).build()?,
        None => exporter.build()?,
    };
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .build())
}

// === impl Traced ===

impl<S> Traced<S> {
    /// Spans for each write of `sink`, where there is somebody to send them to.
    pub fn new(sink: S, provider: Option<&SdkTracerProvider>, topic: &str, group: &str) -> Self {
        let tracer = provider.map(|provider| provider.tracer(env!("CARGO_PKG_NAME")));
        let (topic, group) = (topic.to_owned(), group.to_owned());
        Self {
            sink,
            tracer,
            topic,
            group,
        }
    }
}

impl<T: Decode, S: Sink<T>> Sink<T> for Traced<S> {
    async fn positions(&mut self, cluster: &str, partitions: &[i32]) -> Positions {
        self.sink.positions(cluster, partitions).await
    }

    async fn write(&mut self, rows: &[&Row<T>], dead: &[&DeadLetter], steps: &[Step]) -> Written {
        let Some(tracer) = &self.tracer else {
            return self.sink.write(rows, dead, steps).await;
        };
        let records = rows.iter().map(|row| &row.record);
        let records = records.chain(dead.iter().map(|letter| &letter.record));
        let count = i64::try_from(rows.len() + dead.len()).unwrap_or(i64::MAX);
        let builder = tracer
            .span_builder(format!("process {}", self.topic))
            .with_kind(SpanKind::Consumer)
            .with_links(links(records))
            .with_attributes([
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.operation.name", "process"),
                KeyValue::new("messaging.operation.type", "process"),
                KeyValue::new("messaging.destination.name", self.topic.clone()),
                KeyValue::new("messaging.consumer.group.name", self.group.clone()),
                KeyValue::new("messaging.batch.message_count", count),
            ]);
        let mut span = tracer.build_with_context(builder, &Context::new());
        let written = self.sink.write(rows, dead, steps).await;
        if let Err(error) = &written {
            span.set_status(Status::error(reason(error)));
        }
        span.end();
        written
    }
}

/// Which spans have sent these records.
fn links<'a>(records: impl Iterator<Item = &'a OwnedMessage>) -> Vec<Link> {
    let propagator = TraceContextPropagator::new();
    let sender = |record| {
        let context = propagator.extract_with_context(&Context::new(), &OfRecord(record));
        let sender = context.span().span_context().clone();
        sender.is_valid().then(|| Link::with_context(sender))
    };
    records.filter_map(sender).take(LINKS).collect()
}

/// Why a write did not work, without anything of a record.
fn reason(error: &WriteError) -> String {
    match error {
        WriteError::Retry(why) => why.clone(),
        WriteError::Poison(rows) => format!("{} records become dead letters", rows.len()),
        WriteError::Moved => "somebody else has written these partitions".to_owned(),
    }
}

impl Extractor for OfRecord<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let mut headers = self.0.headers()?.iter();
        let header = headers.find(|header| header.key.eq_ignore_ascii_case(key))?;
        std::str::from_utf8(header.value?).ok()
    }

    fn keys(&self) -> Vec<&str> {
        let headers = self.0.headers().into_iter();
        headers
            .flat_map(|headers| headers.iter().map(|header| header.key))
            .collect()
    }
}
