//! The reference consumer and its producer on secured listeners: TLS with SCRAM, and with tokens of an
//! identity provider. What they do with records is `tests/chaos`' matter.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use evenkeel_tools::demo::process::bound_command;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::authority::Dates;
use crate::provider::{Mood, Provider};
use crate::secured::{ORDERS, PASSWORD, Secured, USER};

/// As many as the producer writes.
const RECORDS: usize = 20;

/// Writes records and reads them again, with these properties of librdkafka.
async fn goes_through(kafka: &Secured, listener: &str, group: &str, properties: &[(&str, &str)]) {
    let program = |name: &str| {
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
    };
    let rate = RECORDS.to_string();
    let produced = program("evenkeel-producer")
        .args(["--load", &rate, "--step-seconds", "1"])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&produced.stderr).into_owned();
    assert!(produced.status.success(), "{listener}: {said}");
    let mut consumer = program("evenkeel-consumer")
        .args(["--group", group, "--sink", "stdout"])
        .args([
            "--metrics-listen",
            "none",
            "--auto-offset-reset",
            "earliest",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(consumer.stdout.take().unwrap()).lines();
    let read = async {
        for _ in 0..RECORDS {
            lines.next_line().await.unwrap().expect("another record");
        }
    };
    tokio::time::timeout(Duration::from_secs(120), read)
        .await
        .unwrap_or_else(|_| panic!("{listener}: the records do not come through"));
    consumer.kill().await.unwrap();
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
