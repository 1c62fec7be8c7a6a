//! A real broker with a listener of every kind, and the scaler's view of it through a profile.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_engine::{Committed, Reading};
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::config::Config;
use evenkeel_scaler::grpc::metadata;
use evenkeel_scaler::metrics::{KafkaConnectionLabels, KafkaRequestLabels, Metrics};
use evenkeel_scaler::observe::kafka::{Access, KafkaObserver, KafkaObserverConfig};
use evenkeel_scaler::observe::{Depth, KafkaReading, ObserveKafka as _, Request, TopicSelection};
use evenkeel_tools::demo::broker::client::Client;
use evenkeel_tools::demo::broker::{BrokerOptions, EmbeddedBroker, Listener};
use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, FindCoordinatorRequest, GroupId, OffsetCommitRequest,
    TopicName,
};
use kafka_protocol::protocol::StrBytes;
use ring::pbkdf2;
use tempfile::TempDir;

use crate::authority::{Authority, Dates};
use crate::eventually::eventually;

/// Far above what a broker takes, so that a busy machine makes nothing unknown.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Has the broker ask who may do what.
pub const AUTHORIZER: (&str, &str) = (
    "authorizer.class.name",
    "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
);

/// The topic, and the group that has committed in it.
pub const ORDERS: &str = "orders";
/// Its partitions.
const PARTITIONS: i32 = 3;
/// How the broker keeps SCRAM's keys.
const ITERATIONS: u32 = 4_096;
const SALT: &[u8] = b"a salt of the tests";

/// The user that the broker knows in PLAIN and in SCRAM, and its password.
pub const USER: &str = "evenkeel";
pub const PASSWORD: &str = "hush-4711";

/// The listeners: `LOGIN` for names and passwords over TLS, `MUTUAL` for client certificates,
/// `TOKEN` for OAUTHBEARER, `OPEN` for SASL without TLS, `EXPIRED`, `FUTURE`, `ELSEWHERE`
/// and `SOON` with certificates that are that.
const LISTENERS: &[Listener] = &[
    listener("LOGIN", "SASL_SSL"),
    listener("MUTUAL", "SSL"),
    listener("TOKEN", "SASL_SSL"),
    listener("OPEN", "SASL_PLAINTEXT"),
    listener("EXPIRED", "SSL"),
    listener("FUTURE", "SSL"),
    listener("ELSEWHERE", "SSL"),
    listener("SOON", "SSL"),
];

const fn listener(name: &'static str, protocol: &'static str) -> Listener {
    Listener { name, protocol }
}

/// The broker, with the files that lead to it.
pub struct Secured {
    pub broker: EmbeddedBroker,
    pub authority: Authority,
    pub folder: TempDir,
}

/// The scaler's view through one profile.
#[derive(Debug)]
pub struct View {
    observer: KafkaObserver,
    request: Request,
    pub metrics: Metrics,
}

// === impl Secured ===

impl Secured {
    /// Starts it. Sessions of `LOGIN` last `session`, or for ever where it is zero.
    pub async fn start(session: Duration) -> Self {
        Self::start_with(session, &[]).await
    }

    /// The same with an authorizer that knows no rights yet; the plaintext listener may do all.
    pub async fn start_with_authorizer() -> Self {
        let more = [AUTHORIZER, ("super.users", "User:ANONYMOUS")];
        Self::start_with(Duration::ZERO, &more).await
    }

    /// The same with more lines of server.properties.
    pub async fn start_with(session: Duration, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "authority");
        let mut properties = Vec::new();
        let mut set = |key: String, value: String| properties.push((key, value));
        for (name, host, dates) in [
            ("login", "127.0.0.1", Dates::Now),
            ("mutual", "127.0.0.1", Dates::Now),
            ("token", "127.0.0.1", Dates::Now),
            ("expired", "127.0.0.1", Dates::Past),
            ("future", "127.0.0.1", Dates::Future),
            ("elsewhere", "kafka.example", Dates::Now),
            ("soon", "127.0.0.1", Dates::Soon),
        ] {
            let pair = authority.server(&format!("broker-{name}"), host, dates);
            for (store, file) in [("keystore", pair.both), ("truststore", authority.ca())] {
                let prefix = format!("listener.name.{name}.ssl.{store}");
                set(format!("{prefix}.type"), "PEM".to_owned());
                set(format!("{prefix}.location"), file.display().to_string());
            }
        }
        set(
            "listener.name.mutual.ssl.client.auth".to_owned(),
            "required".to_owned(),
        );
        let module = "org.apache.kafka.common.security";
        for (name, mechanisms) in [
            ("login", &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"][..]),
            ("open", &["PLAIN", "SCRAM-SHA-512"][..]),
            ("token", &["OAUTHBEARER"][..]),
        ] {
            let prefix = format!("listener.name.{name}");
            set(
                format!("{prefix}.sasl.enabled.mechanisms"),
                mechanisms.join(","),
            );
            for mechanism in mechanisms {
                let jaas = match *mechanism {
                    "PLAIN" => format!(
                        "{module}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";"
                    ),
                    "OAUTHBEARER" => {
                        format!("{module}.oauthbearer.OAuthBearerLoginModule required;")
                    }
                    _ => format!("{module}.scram.ScramLoginModule required;"),
                };
                let mechanism = mechanism.to_lowercase();
                set(format!("{prefix}.{mechanism}.sasl.jaas.config"), jaas);
                set(
                    format!("{prefix}.{mechanism}.connections.max.reauth.ms"),
                    session.as_millis().to_string(),
                );
            }
        }
        for (key, value) in more {
            set((*key).to_owned(), (*value).to_owned());
        }
        let options = BrokerOptions {
            properties,
            listeners: LISTENERS.to_vec(),
            ..BrokerOptions::default()
        };
        let broker = EmbeddedBroker::start(options)
            .await
            .expect("the broker starts (make setup)");
        let topics = broker.topics();
        let made = topics.create_topic(ORDERS, PARTITIONS, 1, &[]).await;
        made.expect("the topic is made");
        let secured = Self {
            broker,
            authority,
            folder,
        };
        secured.commit().await;
        secured.set_password(PASSWORD).await;
        secured.write("username", USER);
        secured.write("password", PASSWORD);
        secured
    }

    /// `host:port` of a listener.
    pub fn address(&self, listener: &str) -> String {
        self.broker.listener(listener).expect("there is one")
    }

    /// The whole path of a file in the tests' folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Writes a file into the tests' folder, and answers its whole path.
    pub fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self.path(name)
    }

    /// The profile's `sasl` for the user that is known.
    pub fn login(&self, mechanism: &str) -> String {
        let (username, password) = (self.path("username"), self.path("password"));
        format!(
            "sasl: {{mechanism: {mechanism}, usernameFile: {username}, passwordFile: {password}}}"
        )
    }

    /// The profile's `tls` that trusts the authority, and `more`.
    pub fn trust(&self, more: &str) -> String {
        format!("tls: {{ca: {}{more}}}", self.authority.ca().display())
    }

    /// The scaler's view through a profile with `lines` that leads to a listener.
    pub fn view(&self, listener: &str, lines: &[&str]) -> View {
        View::new(&self.address(listener), lines, REQUEST_TIMEOUT)
    }

    pub async fn client(&self) -> Client {
        let connected = Client::connect(&self.broker.bootstrap_servers()).await;
        connected.expect("the plaintext listener answers")
    }

    /// A group without members that has committed in every partition.
    async fn commit(&self) {
        let text = StrBytes::from_static_str(ORDERS);
        let partitions = (0..PARTITIONS).map(|partition| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(partition)
                .with_committed_offset(0)
        });
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(text.clone()))
            .with_partitions(partitions.collect());
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text.clone()))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        // The first to look for a coordinator makes the topic that holds commits.
        let coordinator = FindCoordinatorRequest::default().with_coordinator_keys(vec![text]);
        eventually("the group's coordinator takes commits", async || {
            let mut client = self.client().await;
            let _found = client.send(&coordinator).await;
            let answer = client.send(&request).await;
            let answer = answer.map_err(|error| error.to_string())?;
            let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            let errors: Vec<i16> = partitions.map(|partition| partition.error_code).collect();
            match errors.iter().all(|&error| error == 0) && !errors.is_empty() {
                true => Ok(()),
                false => Err(format!("{errors:?}")),
            }
        })
        .await;
    }

    /// Sets the user's password for SCRAM.
    pub async fn set_password(&self, password: &str) {
        let derive = |algorithm, length| {
            let mut salted = vec![0; length];
            let iterations = NonZeroU32::new(ITERATIONS).unwrap();
            pbkdf2::derive(
                algorithm,
                iterations,
                SALT,
                password.as_bytes(),
                &mut salted,
            );
            Bytes::from(salted)
        };
        let keys = [
            (1, derive(pbkdf2::PBKDF2_HMAC_SHA256, 32)),
            (2, derive(pbkdf2::PBKDF2_HMAC_SHA512, 64)),
        ];
        let mut client = self.client().await;
        for (mechanism, salted) in keys {
            let upsertion = ScramCredentialUpsertion::default()
                .with_name(StrBytes::from_static_str(USER))
                .with_mechanism(mechanism)
                .with_iterations(i32::try_from(ITERATIONS).unwrap())
                .with_salt(Bytes::from_static(SALT))
                .with_salted_password(salted);
            let request =
                AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsertion]);
            let answer = client.send(&request).await.unwrap();
            for result in &answer.results {
                assert_eq!(result.error_code, 0, "{result:?}");
            }
        }
    }
}

// === impl View ===

impl View {
    /// Through a profile with `lines` that leads to `address`.
    pub fn new(address: &str, lines: &[&str], request_timeout: Duration) -> Self {
        let lines: String = lines.iter().map(|line| format!("\n    {line}")).collect();
        let yaml = format!("clusters:\n  main:\n    bootstrapServers: ['{address}']{lines}\n");
        let config = Config::read(&yaml, None, std::iter::empty());
        let config = config.unwrap_or_else(|errors| panic!("{errors:#}\n{yaml}"));
        let given = [
            ("cluster", "main"),
            ("consumerGroup", ORDERS),
            ("topic", ORDERS),
        ];
        let given: HashMap<String, String> = given
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let spec = metadata::parse("tests", ORDERS, &given, &config).unwrap();
        let metrics = Metrics::default();
        let profile = &config.clusters["main"];
        let observer = KafkaObserverConfig {
            name: "main".to_owned(),
            bootstrap_servers: profile.bootstrap_servers.clone(),
            access: Access::of("main", profile, &metrics),
            request_timeout,
            frame_limit_bytes: config.limits.kafka_frame_bytes,
        };
        Self {
            observer: KafkaObserver::new(observer, Clock::start(), metrics.clone()),
            request: Request {
                subscription: Arc::clone(&spec.subscription),
                depth: Depth::Full,
                cold: false,
                earlier: None,
            },
            metrics,
        }
    }

    /// One tick.
    pub async fn observe(&mut self) -> KafkaReading {
        let request = std::slice::from_ref(&self.request);
        self.observer.observe(request).await.remove(0)
    }

    /// One tick for the target and another of the same group that reads `topic`.
    pub async fn observe_beside(&mut self, topic: &str) -> (KafkaReading, KafkaReading) {
        let mut beside = self.request.clone();
        let mut subscription = (*beside.subscription).clone();
        subscription.topics = TopicSelection::Named(vec![topic.to_owned()]);
        beside.subscription = Arc::new(subscription);
        let requests = [self.request.clone(), beside];
        let mut readings = self.observer.observe(&requests).await;
        let beside = readings.remove(1);
        (readings.remove(0), beside)
    }

    /// One tick for a target of the same group that reads all of `topics`.
    pub async fn observe_topics(&mut self, topics: &[&str]) -> KafkaReading {
        let mut request = self.request.clone();
        let mut subscription = (*request.subscription).clone();
        let topics = topics.iter().map(|topic| (*topic).to_owned());
        subscription.topics = TopicSelection::Named(topics.collect());
        request.subscription = Arc::new(subscription);
        self.observer.observe(&[request]).await.remove(0)
    }

    /// One tick in which everything has to be known.
    #[track_caller]
    pub fn known(&mut self) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let reading = self.observe().await;
            assert!(is_known(&reading), "{caller}: {reading:#?}");
        }
    }

    /// Observes until everything is known.
    pub async fn until_known(&mut self) {
        eventually("everything is known", async || {
            let reading = self.observe().await;
            match is_known(&reading) {
                true => Ok(()),
                false => Err(format!("{reading:#?}")),
            }
        })
        .await;
    }

    /// One tick in which nothing may be known; what is said about it.
    pub async fn refused(&mut self) -> String {
        let reading = self.observe().await;
        assert!(nothing_known(&reading), "{reading:#?}");
        assert!(!reading.problems.is_empty(), "it says what is wrong");
        let problems = reading.problems.iter();
        let sentences: Vec<&str> = problems.map(|problem| &*problem.sentence).collect();
        let said = sentences.join("\n");
        assert!(!said.contains(PASSWORD), "a secret shows: {said}");
        said
    }

    /// How many connections were opened.
    pub fn connections(&self) -> u64 {
        let labels = KafkaConnectionLabels {
            kafka_cluster: "main".to_owned(),
            result: "ok",
        };
        self.metrics.kafka_connections.get_or_create(&labels).get()
    }

    /// How many questions of this kind were answered by the one broker there is.
    pub fn answered(&self, api: &'static str) -> u64 {
        let of = |broker: &str| {
            let labels = KafkaRequestLabels {
                kafka_cluster: "main".to_owned(),
                broker: broker.to_owned(),
                api,
                result: "ok",
            };
            self.metrics.kafka_requests.get_or_create(&labels).get()
        };
        of("bootstrap") + of("1")
    }
}

pub fn is_known(reading: &KafkaReading) -> bool {
    let all = reading.topics.iter().all(|topic| {
        topic.partitions.known().is_some_and(|partitions| {
            partitions.len() == usize::try_from(PARTITIONS).unwrap()
                && partitions.iter().all(|partition| {
                    partition.log.known().is_some()
                        && partition.committed == Reading::Known(Committed::At(0))
                })
        })
    });
    all && !reading.topics.is_empty() && reading.group.known().is_some()
}

fn nothing_known(reading: &KafkaReading) -> bool {
    let none = reading.topics.iter().all(|topic| {
        topic.partitions.known().is_none_or(|partitions| {
            partitions.iter().all(|partition| {
                partition.log.known().is_none() && partition.committed.known().is_none()
            })
        })
    });
    none && reading.group.known().is_none()
}

/// Lets `time` pass for whatever reads the clock, without waiting for it.
pub async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}
