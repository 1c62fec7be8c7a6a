//! Dead letters into a topic, in place of the table: at least once, since Kafka and a database do not
//! commit together.
//!
//! A letter keeps the record's key, value and headers, and says in headers of its own where it came from,
//! when that was produced and why it is here. Its own time is now, so that it is kept as long as the topic
//! keeps anything. One that is larger than the topic takes goes without its value: the origin tells where
//! that is. It is acknowledged by all in-sync replicas before the rows of its batch are written.

use batch_consumer::group::Access;
use batch_consumer::options::refusal;
use batch_consumer::sink::{DeadLetter, Positions, Row, Sink, Step, WriteError, Written};
use futures_util::future::try_join_all;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;

/// Sends dead letters, and leaves the rows to another sink. The client is made when the first letter
/// comes: most consumers never need it.
#[derive(Clone)]
pub struct DeadLetterTopic<S> {
    client: ClientConfig,
    topic: Option<String>,
    sink: S,
    producer: Option<FutureProducer<Tokens>>,
}

/// Gets tokens as the consumer does.
#[derive(Clone, Debug, Default)]
pub struct Tokens;

/// How tokens are got.
#[cfg(feature = "msk-iam")]
pub type OurAccess = crate::msk_iam::Msk;
/// How tokens are got.
#[cfg(not(feature = "msk-iam"))]
pub type OurAccess = ();

impl<S> DeadLetterTopic<S> {
    /// Letters go to `topic` by a producer with these properties, or, with none, to the sink.
    pub fn new(mut client: ClientConfig, topic: Option<String>, sink: S) -> Self {
        client.set("enable.idempotence", "true").set("acks", "all");
        // The topic's own limit decides.
        client.set("message.max.bytes", "1000000000");
        Self {
            client,
            topic,
            sink,
            producer: None,
        }
    }

    /// The client, made if need be.
    fn producer(&mut self) -> Result<&FutureProducer<Tokens>, KafkaError> {
        Ok(match self.producer.take() {
            Some(producer) => self.producer.insert(producer),
            None => self
                .producer
                .insert(self.client.create_with_context(Tokens)?),
        })
    }

    async fn send(&mut self, topic: &str, letters: &[&DeadLetter]) -> Result<(), KafkaError> {
        let producer = self.producer()?;
        try_join_all(letters.iter().map(|letter| send(producer, topic, letter))).await?;
        Ok(())
    }
}

/// Sends one, and waits until it is acknowledged.
async fn send(
    producer: &FutureProducer<Tokens>,
    topic: &str,
    letter: &DeadLetter,
) -> Result<(), KafkaError> {
    let (mut value, record) = (letter.record.payload(), &letter.record);
    loop {
        let mut headers = headers(letter);
        if value.is_none() && record.payload().is_some() {
            headers = headers.insert(Header {
                key: "value-too-large",
                value: Some("true"),
            });
        }
        let mut sent = FutureRecord::<[u8], [u8]>::to(topic).headers(headers);
        (sent.key, sent.payload) = (record.key(), value);
        let Err((error, _)) = producer.send(sent, Timeout::Never).await else {
            return Ok(());
        };
        let is_large = error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge);
        if !is_large || value.is_none() {
            return Err(error);
        }
        value = None;
    }
}

fn headers(letter: &DeadLetter) -> OwnedHeaders {
    let record = &letter.record;
    let own = [
        ("dead-letter-reason", letter.reason.clone()),
        ("origin-topic", record.topic().to_owned()),
        ("origin-partition", record.partition().to_string()),
        ("origin-offset", record.offset().to_string()),
        (
            "origin-timestamp",
            record
                .timestamp()
                .to_millis()
                .map(|at| at.to_string())
                .unwrap_or_default(),
        ),
    ];
    let theirs = record.headers().cloned().unwrap_or_default();
    own.iter().fold(theirs, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(value),
        })
    })
}

impl<T: Sync, S: Sink<T>> Sink<T> for DeadLetterTopic<S> {
    async fn positions(&mut self, cluster: &str, partitions: &[i32]) -> Positions {
        self.sink.positions(cluster, partitions).await
    }

    async fn write(&mut self, rows: &[&Row<T>], dead: &[&DeadLetter], steps: &[Step]) -> Written {
        let Some(topic) = self.topic.clone() else {
            return self.sink.write(rows, dead, steps).await;
        };
        if !dead.is_empty()
            && let Err(error) = self.send(&topic, dead).await
        {
            // A producer that has failed for good says so for ever: it is made anew.
            self.producer = None;
            return Err(WriteError::Retry(format!(
                "dead letters were not taken by topic {topic} ({}): does it exist, may we write it?",
                refusal(&error)
            )));
        }
        self.sink.write(rows, &[], steps).await
    }
}

impl ClientContext for Tokens {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = OurAccess::TOKENS;

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<rdkafka::client::OAuthToken, Box<dyn std::error::Error>> {
        OurAccess::token()
    }
}
