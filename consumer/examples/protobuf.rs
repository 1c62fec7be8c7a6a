//! Orders in Protobuf behind a schema registry, in the wire format of Confluent's serializers: a zero, four
//! bytes of the schema's id, which message of the schema's file it is, then the message.
//!
//! ```sql
//! CREATE TABLE orders (id text NOT NULL, cents bigint NOT NULL);
//! ```
//!
//! Protobuf reads almost any bytes as almost any message. So the registry is asked once for each id whether
//! it belongs to the topic's subject; records of other schemas become dead letters, and while the registry
//! is away, batches wait.

use std::collections::BTreeMap;
use std::time::Duration;

use batch_consumer::consume::{Stop, run};
use batch_consumer::metrics::Metrics;
use batch_consumer::options::{Options, parse, refuse};
use batch_consumer::postgres::{Columns, Database, EncodeError, Postgres, Table};
use batch_consumer::sink::{DeadLetter, Decode, Positions, Row, Sink, Step, WriteError, Written};
use clap::Parser;
use prost::Message;
use rdkafka::message::{Message as _, OwnedMessage};
use reqwest::Client;
use serde_json::Value;
use tokio_postgres::types::Type;

/// How long the registry may take.
const WITHIN: Duration = Duration::from_secs(10);

/// The registry's own code for an id that it does not know.
const NO_SUCH_SCHEMA: u64 = 40403;

/// As in `orders.proto`: `message Order { string id = 1; int64 cents = 2; }`.
#[derive(Clone, PartialEq, Message)]
pub struct Fields {
    /// The order's own name.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its price.
    #[prost(int64, tag = "2")]
    pub cents: i64,
}

/// An order, and the schema it was written by.
#[derive(Clone, Debug)]
pub struct Order {
    schema: u32,
    fields: Fields,
}

impl Order {
    /// Its price.
    pub fn cents(&self) -> i64 {
        self.fields.cents
    }
}

impl Decode for Order {
    fn decode(record: &OwnedMessage) -> Result<Self, String> {
        let value = record.payload().ok_or("it has no value")?;
        let Some((&[0, id @ ..], message)) = value.split_first_chunk::<5>() else {
            return Err("it does not begin with a schema's id".to_owned());
        };
        // The path to the message in its file: its length, and each step as a zigzag varint. The first
        // message of the file has a short form, a single 0.
        let [0, message @ ..] = message else {
            return Err("it is not the first message of its schema".to_owned());
        };
        let fields = Fields::decode(message).map_err(|error| error.to_string())?;
        Ok(Self { schema: u32::from_be_bytes(id), fields })
    }
}

impl Table for Order {
    const COPY: &'static str = "COPY orders (id, cents) FROM STDIN (FORMAT binary)";

    fn columns(row: &Row<Self>, columns: &mut Columns) -> Result<(), EncodeError> {
        let order = &row.value.fields;
        columns.row(&[(&order.id, Type::TEXT), (&order.cents, Type::INT8)])
    }
}

/// Lets through what is of the topic's own schemas.
#[derive(Clone, Debug)]
pub struct Registered<S> {
    client: Client,
    registry: String,
    subject: String,
    /// Whether they are ours.
    schemas: BTreeMap<u32, bool>,
    sink: S,
}

impl<S> Registered<S> {
    /// In front of `sink`, by the registry at this address.
    ///
    /// # Errors
    /// When the system gives no client.
    pub fn new(registry: &str, topic: &str, sink: S) -> Result<Self, String> {
        // A process has one provider of cryptography; only an earlier call can have been first.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(WITHIN).build();
        let client = client.map_err(|error| error.to_string())?;
        let (registry, subject) = (registry.to_owned(), format!("{topic}-value"));
        Ok(Self { client, registry, subject, schemas: BTreeMap::new(), sink })
    }

    async fn is_ours(&mut self, schema: u32) -> Result<bool, WriteError> {
        if let Some(is_ours) = self.schemas.get(&schema) {
            return Ok(*is_ours);
        }
        let retry = |why: String| WriteError::Retry(format!("the schema registry: {why}"));
        let url = format!("{}/schemas/ids/{schema}/versions", self.registry);
        let answer = self.client.get(url).send().await;
        let answer = answer.map_err(|error| retry(error.to_string()))?;
        let status = answer.status();
        let text = answer.bytes().await.map_err(|error| retry(error.to_string()))?;
        let said: Value = serde_json::from_slice(&text).map_err(|_| retry(status.to_string()))?;
        let code = said.get("error_code").and_then(Value::as_u64);
        let is_of = |one: &Value| one.get("subject").is_some_and(|is| *is == *self.subject);
        let is_ours = match (said.as_array(), code) {
            (Some(versions), _) => versions.iter().any(is_of),
            (None, Some(NO_SUCH_SCHEMA)) => false,
            _ => return Err(retry(said.to_string())),
        };
        self.schemas.insert(schema, is_ours);
        Ok(is_ours)
    }
}

impl<S: Sink<Order>> Sink<Order> for Registered<S> {
    async fn positions(&mut self, cluster: &str, partitions: &[i32]) -> Positions {
        self.sink.positions(cluster, partitions).await
    }

    async fn write(
        &mut self,
        rows: &[&Row<Order>],
        dead: &[&DeadLetter],
        steps: &[Step],
    ) -> Written {
        let mut refused = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let schema = row.value.schema;
            if !self.is_ours(schema).await? {
                refused.push((index, format!("schema {schema} is none of {}", self.subject)));
            }
        }
        if refused.is_empty() {
            self.sink.write(rows, dead, steps).await
        } else {
            Err(WriteError::Poison(refused))
        }
    }
}

#[derive(Debug, Parser)]
struct Given {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    database: Database,
    /// The schema registry: http://host:port
    #[arg(long, env = "SCHEMA_REGISTRY_URL")]
    schema_registry_url: String,
}

#[allow(dead_code, reason = "the tests take the rest of this file")]
fn main() -> anyhow::Result<()> {
    let Given { options, database, schema_registry_url } = parse();
    let sink = Postgres::<Order>::new(&database, &options.group, &options.topic);
    let sink = sink.unwrap_or_else(|error| refuse(error));
    let sink = Registered::new(&schema_registry_url, &options.topic, sink);
    let sink = sink.unwrap_or_else(|error| refuse(error));
    run::<Order, _, ()>(options, sink, Metrics::default(), Stop::default())
}
