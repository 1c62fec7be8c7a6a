//! A sink over HTTP: each batch is one POST of JSON lines. Nobody compares offsets there, so a batch that
//! is cut off comes again: at least once. Partition and offset are in each line, for the receiver to tell.
//!
//! `https://` is spoken by ring, with the system's authorities.

use std::time::Duration;

use batch_consumer::consume::{Stop, run};
use batch_consumer::metrics::Metrics;
use batch_consumer::options::{Options, parse, refuse};
use batch_consumer::sink::{DeadLetter, Decode, Row, Sink, Step, WriteError, Written};
use clap::Parser;
use rdkafka::message::{Message as _, OwnedMessage};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(30);

/// Any JSON.
#[derive(Clone, Debug)]
pub struct Event(Value);

impl Decode for Event {
    fn decode(record: &OwnedMessage) -> Result<Self, String> {
        let payload = record.payload().ok_or("it has no value")?;
        serde_json::from_slice(payload).map(Self).map_err(|error| error.to_string())
    }
}

/// Where batches are sent, and the records that can never be.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    url: String,
}

impl Http {
    /// To this address.
    ///
    /// # Errors
    /// When the system gives no client.
    pub fn new(url: &str) -> Result<Self, String> {
        // A process has one provider of cryptography; only an earlier call can have been first.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(WITHIN).build();
        Ok(Self { client: client.map_err(|error| error.to_string())?, url: url.to_owned() })
    }

    /// Whether it was taken; `None` if the receiver blames what was sent.
    async fn post(&self, path: &str, lines: &[Value]) -> Result<Option<()>, WriteError> {
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let sent = self.client.post(format!("{}{path}", self.url)).body(body).send().await;
        match sent.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => Ok(Some(())),
            Ok(StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) => Ok(None),
            Ok(status) => Err(WriteError::Retry(format!("{} answers {status}", self.url))),
            Err(error) => Err(WriteError::Retry(error.to_string())),
        }
    }
}

fn line(row: &Row<Event>) -> Value {
    let (partition, offset) = (row.record.partition(), row.record.offset());
    json!({"partition": partition, "offset": offset, "value": row.value.0})
}

impl Sink<Event> for Http {
    async fn write(&mut self, rows: &[&Row<Event>], dead: &[&DeadLetter], _: &[Step]) -> Written {
        let letters = dead.iter().map(|letter| {
            let value = String::from_utf8_lossy(letter.record.payload().unwrap_or_default());
            let (partition, offset) = (letter.record.partition(), letter.record.offset());
            json!({"partition": partition, "offset": offset, "value": value, "reason": letter.reason})
        });
        let letters: Vec<Value> = letters.collect();
        if !letters.is_empty() && self.post("/dead-letters", &letters).await?.is_none() {
            return Err(WriteError::Retry("the receiver refuses dead letters".to_owned()));
        }
        let lines: Vec<Value> = rows.iter().map(|row| line(row)).collect();
        if lines.is_empty() || self.post("/rows", &lines).await?.is_some() {
            return Ok(());
        }
        // One by one, to find out which.
        let mut refused = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            if self.post("/rows", std::slice::from_ref(line)).await?.is_none() {
                refused.push((index, "the receiver refuses it".to_owned()));
            }
        }
        if refused.is_empty() { Ok(()) } else { Err(WriteError::Poison(refused)) }
    }
}

#[derive(Debug, Parser)]
struct Given {
    #[command(flatten)]
    options: Options,
    /// Where to: http://host:port
    #[arg(long, env = "SINK_URL")]
    sink_url: String,
}

#[allow(dead_code, reason = "the tests take the rest of this file")]
fn main() -> anyhow::Result<()> {
    let Given { options, sink_url } = parse();
    let sink = Http::new(&sink_url).unwrap_or_else(|error| refuse(error));
    run::<_, _, ()>(options, sink, Metrics::default(), Stop::default())
}
