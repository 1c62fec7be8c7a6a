//! The reference consumer and its producer on secured listeners: TLS with SCRAM, and with tokens of an
//! identity provider. What they do with records is `tests/chaos`' matter.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use evenkeel_tools::demo::process::bound_command;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::acl::{GROUP, READ, TOPIC, grant_to};
use crate::authority::Dates;
use crate::provider::{Mood, Provider};
use crate::secured::{ORDERS, PASSWORD, Secured, USER};

/// Far above what it takes.
const IN_TIME: Duration = Duration::from_secs(120);
/// Long enough to be refused. Where a machine is so slow that nothing is said by then, more is waited.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

/// As many as the producer writes.
const RECORDS: usize = 20;

/// A program of the consumer's, with these properties of librdkafka.
fn program(
    kafka: &Secured,
    name: &str,
    listener: &str,
    properties: &[(&str, &str)],
) -> tokio::process::Command {
    // `make test` builds it beside.
    let path = Path::new(env!("CARGO_BIN_EXE_evenkeel")).with_file_name(name);
    let mut command = bound_command(&path);
    command
        .env("BOOTSTRAP_SERVERS", kafka.address(listener))
        .env("TOPIC", ORDERS)
        .env("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
        .env("KAFKA_SSL_CA_LOCATION", kafka.authority.ca())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for (name, value) in properties {
        let name = name.to_uppercase().replace('.', "_");
        command.env(format!("KAFKA_{name}"), value);
    }
    command
}

async fn produce(mut producer: tokio::process::Command) {
    let rate = RECORDS.to_string();
    let produced = producer
        .args(["--load", &rate, "--step-seconds", "1"])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&produced.stderr).into_owned();
    assert!(produced.status.success(), "{said}");
}

/// Reads all records in a group; none where they do not come in time, and then what was said.
async fn consume(
    mut consumer: tokio::process::Command,
    group: &str,
    within: Duration,
) -> Result<(), String> {
    let mut consumer = consumer
        .args(["--group", group, "--sink", "stdout"])
        .args([
            "--metrics-listen",
            "none",
            "--auto-offset-reset",
            "earliest",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(consumer.stdout.take().unwrap()).lines();
    let read = async {
        for _ in 0..RECORDS {
            lines.next_line().await.unwrap().expect("another record");
        }
    };
    let came = tokio::time::timeout(within, read).await;
    consumer.start_kill().unwrap();
    let said = consumer.wait_with_output().await.unwrap().stderr;
    came.map_err(|_| String::from_utf8_lossy(&said).into_owned())
}

/// Writes records and reads them again.
async fn goes_through(kafka: &Secured, listener: &str, group: &str, properties: &[(&str, &str)]) {
    produce(program(kafka, "evenkeel-producer", listener, properties)).await;
    let consumer = program(kafka, "evenkeel-consumer", listener, properties);
    consume(consumer, group, IN_TIME)
        .await
        .unwrap_or_else(|said| panic!("{listener}: the records do not come through: {said}"));
}

#[tokio::test]
async fn the_consumer_reads_by_tls_with_a_password_and_with_tokens_of_a_provider() {
    let kafka = Secured::start(Duration::ZERO).await;
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let properties = [
            ("sasl.mechanism", mechanism),
            ("sasl.username", USER),
            ("sasl.password", PASSWORD),
        ];
        goes_through(&kafka, "LOGIN", mechanism, &properties).await;
    }
    let pair = kafka.authority.server("provider", "127.0.0.1", Dates::Now);
    let provider = Provider::start(&pair).await;
    provider.set(Mood::Gives(3_600));
    let authority = kafka.authority.ca();
    let properties = [
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.method", "oidc"),
        ("sasl.oauthbearer.token.endpoint.url", &provider.url()),
        ("sasl.oauthbearer.client.id", "consumer"),
        ("sasl.oauthbearer.client.secret", "hush"),
        ("https.ca.location", authority.to_str().unwrap()),
    ];
    goes_through(&kafka, "TOKEN", "by-token", &properties).await;
    assert!(provider.requests() >= 2, "one for each of the two programs");
}

#[tokio::test]
async fn the_documented_rights_of_a_consumer_are_enough_and_each_missing_one_is_said() {
    let kafka = Secured::start_with_authorizer().await;
    let properties = [
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", USER),
        ("sasl.password", PASSWORD),
    ];
    let mut producer = program(&kafka, "evenkeel-producer", "LOGIN", &properties);
    // Whoever writes has other rights.
    producer
        .env("BOOTSTRAP_SERVERS", kafka.broker.bootstrap_servers())
        .env("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT");
    produce(producer).await;
    let consumer = || program(&kafka, "evenkeel-consumer", "LOGIN", &properties);
    let refused = async |words: &str| {
        let mut within = REFUSED_WITHIN;
        loop {
            let said = consume(consumer(), ORDERS, within).await;
            let said = said.expect_err("nothing is read without the right");
            if said.contains(words) {
                return;
            }
            assert!(within < IN_TIME, "{words:?} is not in {said}");
            within *= 2;
        }
    };
    refused("Group authorization failed").await;
    grant_to(&kafka, GROUP, READ).await;
    refused("Topic authorization failed").await;
    grant_to(&kafka, TOPIC, READ).await;
    consume(consumer(), ORDERS, IN_TIME)
        .await
        .expect("both rights are enough");
}
