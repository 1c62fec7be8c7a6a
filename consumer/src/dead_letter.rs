//! Where records go that can never be written: a topic of their own, with the reason.
//!
//! A dead letter keeps the record's key, value, headers and timestamp, and says in headers of its
//! own where it came from and why it is here. It is acknowledged by all in-sync replicas before the
//! offset of its record moves. Whoever dies between the two leaves a second copy to its successor:
//! `origin-topic`, `origin-partition` and `origin-offset` tell that they are one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use crate::batch::Record;
use crate::refusal::refusal;
use crate::sink::{Lease, SinkError};

/// How long one look at the acknowledgements takes: how late the end of a lease is noticed.
const LOOK: Duration = Duration::from_millis(50);

/// Sends dead letters. The client is made when the first one comes: most consumers never need it.
#[derive(Clone)]
pub struct DeadLetters {
    client: ClientConfig,
    topic: String,
    origin_topic: String,
    producer: Option<Arc<BaseProducer<Deliveries>>>,
}

/// Counts deliveries; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    acknowledged: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

// === impl DeadLetters ===

impl DeadLetters {
    /// Dead letters of `origin_topic` go to `topic`, by a producer with these properties.
    pub fn new(mut client: ClientConfig, topic: String, origin_topic: String) -> Self {
        client.set("enable.idempotence", "true").set("acks", "all");
        Self {
            client,
            topic,
            origin_topic,
            producer: None,
        }
    }

    /// Sends them all, each with its reason, and waits until they are acknowledged.
    ///
    /// # Errors
    /// When one was not, or the lease ended: all of them have to be sent again.
    pub fn send(&mut self, letters: &[(&Record, &str)], lease: &Lease) -> Result<(), SinkError> {
        let producer = self.producer().map_err(|error| self.in_trouble(&error))?;
        let failed_before = producer.context().failed();
        for (record, reason) in letters {
            let mut letter = BaseRecord::<[u8], [u8]>::to(&self.topic);
            letter.key = record.key.as_deref();
            letter.payload = record.payload.as_deref();
            letter.timestamp = record
                .produced_at
                .and_then(|at| i64::try_from(at.as_millis()).ok());
            letter.headers = Some(self.headers(record, reason));
            while let Err((error, unsent)) = producer.send(letter) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(self.in_trouble(&error));
                }
                letter = unsent;
                wait(&producer, lease)?;
            }
        }
        while producer.in_flight_count() > 0 {
            wait(&producer, lease)?;
        }
        match producer.context().failed() - failed_before {
            0 => Ok(()),
            failed => Err(SinkError::Unavailable(format!(
                "{failed} dead letters were not taken by topic {}: does it exist, may we write it?",
                self.topic
            ))),
        }
    }

    fn producer(&mut self) -> Result<Arc<BaseProducer<Deliveries>>, KafkaError> {
        if let Some(producer) = &self.producer {
            return Ok(producer.clone());
        }
        let made = self.client.create_with_context(Deliveries::default())?;
        Ok(self.producer.insert(Arc::new(made)).clone())
    }

    fn headers(&self, record: &Record, reason: &str) -> OwnedHeaders {
        let (partition, offset) = (record.partition.to_string(), record.offset.to_string());
        let own = [
            ("dead-letter-reason", reason),
            ("origin-topic", &self.origin_topic),
            ("origin-partition", &partition),
            ("origin-offset", &offset),
        ];
        let theirs = record.headers.clone().unwrap_or_default();
        own.into_iter().fold(theirs, |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        })
    }

    fn in_trouble(&self, error: &KafkaError) -> SinkError {
        SinkError::Unavailable(format!(
            "no dead letters can be sent to topic {}: {}",
            self.topic,
            refusal(error)
        ))
    }
}

/// Looks at the acknowledgements.
fn wait(producer: &BaseProducer<Deliveries>, lease: &Lease) -> Result<(), SinkError> {
    producer.poll(LOOK);
    if lease.is_held() {
        Ok(())
    } else {
        Err(SinkError::GivenUp)
    }
}

// === impl Deliveries ===

impl Deliveries {
    /// Records that all in-sync replicas have.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Records that the client gave up: they may or may not be in the log.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl ClientContext for Deliveries {
    #[cfg(feature = "msk-iam")]
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    #[cfg(feature = "msk-iam")]
    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<rdkafka::client::OAuthToken, Box<dyn std::error::Error>> {
        crate::msk_iam::token()
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "record not delivered");
            }
        }
    }
}
