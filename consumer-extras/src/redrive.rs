//! Dead letters sent to their topic again, out of the table: once what refused them is mended.
//!
//! A letter goes with its key, value and headers, behind everything that is in the topic by now, and is
//! deleted when Kafka has acknowledged it: at least once. One that is refused again is a new letter, and
//! is not sent a second time.

use anyhow::Context as _;
use batch_consumer::options::{Connection, refusal};
use batch_consumer::postgres::Database;
use clap::Parser;
use futures_util::future::try_join_all;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use tokio_postgres::Row;

use crate::dead_letter_topic::Tokens;

/// Letters that are sent before they are deleted.
const AT_ONCE: i64 = 1000;

/// Sends the dead letters of a group to their topic again.
#[derive(Debug, Parser)]
#[command(version)]
pub struct RedriveOptions {
    /// The connection.
    #[command(flatten)]
    pub connection: Connection,
    /// The database.
    #[command(flatten)]
    pub database: Database,
    /// The topic they came from
    #[arg(long, env = "TOPIC")]
    pub topic: String,
    /// The consumer group
    #[arg(long, env = "GROUP_ID")]
    pub group: String,
}

/// Sends them all; returns how many.
///
/// # Errors
/// When Kafka or the database does not take part. What was sent before and not deleted is sent again.
pub async fn redrive(options: &RedriveOptions) -> anyhow::Result<u64> {
    let mut client = options.connection.client().map_err(anyhow::Error::msg)?;
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.max.bytes", "1000000000");
    // The partition that Java's clients would choose for the same key.
    client.set("partitioner", "murmur2_random");
    let producer: FutureProducer<Tokens> = client
        .create_with_context(Tokens)
        .map_err(|error| anyhow::anyhow!("no Kafka client: {}", refusal(&error)))?;
    let session = options.database.connect().await;
    let (database, _connection) = session.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let now = database.query_one("SELECT now()::text", &[]).await?;
    let now: String = now.get(0);
    let mut sent = 0;
    loop {
        let letters = database
            .query(
                "SELECT ctid::text, key, value, header_names, header_values FROM dead_letters \
                 WHERE consumer_group = $1 AND topic = $2 AND buried_at <= $3::text::timestamptz \
                 ORDER BY kafka_partition, kafka_offset LIMIT $4",
                &[&options.group, &options.topic, &now, &AT_ONCE],
            )
            .await?;
        if letters.is_empty() {
            return Ok(sent);
        }
        try_join_all(
            letters
                .iter()
                .map(|letter| send(&producer, &options.topic, letter)),
        )
        .await?;
        let places: Vec<String> = letters.iter().map(|letter| letter.get(0)).collect();
        let delete = "DELETE FROM dead_letters WHERE ctid = ANY ($1::text[]::tid[])";
        sent += database
            .execute(delete, &[&places])
            .await
            .context("the letters were sent")?;
    }
}

async fn send(producer: &FutureProducer<Tokens>, topic: &str, letter: &Row) -> anyhow::Result<()> {
    let (key, value): (Option<Vec<u8>>, Option<Vec<u8>>) = (letter.get(1), letter.get(2));
    let (names, values): (Vec<String>, Vec<Option<Vec<u8>>>) = (letter.get(3), letter.get(4));
    let headers = names
        .iter()
        .zip(&values)
        .fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: value.as_ref(),
            })
        });
    let mut record = FutureRecord::<[u8], [u8]>::to(topic).headers(headers);
    (record.key, record.payload) = (key.as_deref(), value.as_deref());
    let sent = producer.send(record, Timeout::Never).await;
    sent.map_err(|(error, _)| anyhow::anyhow!("Kafka did not take a letter: {}", refusal(&error)))?;
    Ok(())
}
