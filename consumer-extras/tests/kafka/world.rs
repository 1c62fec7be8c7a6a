//! A broker, a database, and members in this process.

use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use batch_consumer::clock;
use batch_consumer::consume::{Stop, consume};
use batch_consumer::metrics::Metrics;
use batch_consumer::options::Options;
use batch_consumer::postgres::{Database, Postgres};
use batch_consumer::sink::Sink;
use batch_consumer::trade::Trade;
use clap::Parser;
use evenkeel_tools::demo::broker::{BrokerOptions, EmbeddedBroker};
use evenkeel_tools::demo::postgres::EmbeddedPostgres;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

pub const TOPIC: &str = "trades";
const DEADLINE: Duration = Duration::from_secs(180);

pub struct World {
    pub broker: EmbeddedBroker,
    pub database: EmbeddedPostgres,
}

/// One consumer on its own threads.
pub struct Member {
    pub metrics: Metrics,
    stop: Stop,
    thread: JoinHandle<anyhow::Result<()>>,
}

#[derive(Debug, Parser)]
struct Given {
    #[command(flatten)]
    options: Options,
}

pub fn trade(number: i64) -> String {
    format!(
        "{{\"account_id\":\"account\",\"trade_id\":\"trade-{number}\",\"symbol\":\"IBM\",\
         \"trade_type\":\"BUY\",\"quantity\":1,\"price\":1.5,\"timestamp\":1700000000000}}"
    )
}

impl World {
    /// With one topic of one partition.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same on a broker with more properties.
    pub async fn start_with(properties: &[(&str, &str)]) -> Self {
        let given = properties.iter();
        let options = BrokerOptions {
            properties: given
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            ..BrokerOptions::default()
        };
        let broker = EmbeddedBroker::start(options).await;
        let broker = broker.expect("Kafka starts (make setup)");
        let database = EmbeddedPostgres::start()
            .await
            .expect("PostgreSQL starts (make setup)");
        let world = Self { broker, database };
        world.make_topic(&[]).await;
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let schema = folder.join("../consumer/schema.sql");
        world
            .database
            .apply(&schema)
            .await
            .expect("the schema applies");
        world
    }

    pub async fn make_topic(&self, properties: &[(&str, &str)]) {
        let made = self
            .broker
            .topics()
            .create_topic(TOPIC, 1, 1, properties)
            .await;
        made.expect("the topic is made");
    }

    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.broker.bootstrap_servers());
        client
    }

    pub fn send(&self, payloads: impl IntoIterator<Item = String>) {
        let mut client = self.client();
        client.set("message.max.bytes", "100000000");
        // A consumer cannot fetch less than one of the producer's batches.
        client.set("batch.num.messages", "10");
        let producer: ThreadedProducer<DefaultProducerContext> = client.create().unwrap();
        for payload in payloads {
            let record = BaseRecord::<str, str>::to(TOPIC).payload(&payload);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(DEADLINE).unwrap();
    }

    /// Deletes what lies before an offset.
    pub async fn delete_before(&self, offset: i64) {
        let deleted = self.broker.topics().delete_records(TOPIC, 0, offset).await;
        deleted.expect("the records are deleted");
    }

    pub fn postgres(&self) -> Postgres<Trade> {
        let given = Database {
            database_url: self.database.url(),
            create_tables: false,
        };
        Postgres::new(&given, "workers", TOPIC).unwrap()
    }

    pub fn join(&self, more: &[&str]) -> Member {
        self.join_with(self.postgres(), more)
    }

    pub fn join_with(&self, sink: impl Sink<Trade>, more: &[&str]) -> Member {
        let servers = self.broker.bootstrap_servers();
        let given = [
            "test",
            "--topic",
            TOPIC,
            "--group",
            "workers",
            "--bootstrap-servers",
            &servers,
        ];
        let batches = ["--batch-size", "10", "--batch-timeout-seconds", "0.02"];
        let options = Given::parse_from(given.iter().chain(&batches).chain(more)).options;
        let client = options.client().unwrap();
        let (stop, metrics) = (Stop::default(), Metrics::default());
        let thread = std::thread::spawn({
            let (stop, metrics) = (stop.clone(), metrics.clone());
            move || consume::<Trade, _, ()>(options, client, sink, metrics, &stop)
        });
        Member {
            metrics,
            stop,
            thread,
        }
    }

    pub async fn number(&self, query: &str) -> Option<i64> {
        self.database.ask(query).await.ok()?.trim().parse().ok()
    }

    pub async fn wait_for_rows(&self, rows: i64) {
        wait_for("the rows", async || {
            self.number("SELECT count(*) FROM trades").await >= Some(rows)
        })
        .await;
        let distinct = "SELECT count(DISTINCT kafka_offset) FROM trades";
        assert_eq!(self.number(distinct).await, Some(rows));
        assert_eq!(self.number("SELECT count(*) FROM trades").await, Some(rows));
    }

    /// What the group has committed, and where the log ends.
    pub fn committed_and_end(&self) -> (i64, i64) {
        let asking: BaseConsumer = self.client().set("group.id", "workers").create().unwrap();
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition(TOPIC, 0);
        let committed = asking.committed_offsets(list, DEADLINE).unwrap();
        let committed = committed
            .elements()
            .first()
            .and_then(|one| one.offset().to_raw());
        let (_, end) = asking.fetch_watermarks(TOPIC, 0, DEADLINE).unwrap();
        (committed.unwrap(), end)
    }
}

impl Member {
    /// How it ended, if it has.
    pub fn end(self) -> Result<anyhow::Result<()>, Self> {
        match self.thread.is_finished() {
            true => Ok(self.thread.join().unwrap()),
            false => Err(self),
        }
    }

    pub fn leave(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap().unwrap();
    }
}

pub async fn wait_for(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let deadline = clock::now() + DEADLINE;
    while !reached().await {
        assert!(clock::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
