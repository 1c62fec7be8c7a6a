//! One server over many clusters: those that cannot be reached answer nothing, and never a number;
//! those that can go on; and what was known stands while credentials fail.

use std::collections::HashMap;
use std::time::Duration;

use evenkeel_scaler::grpc::wire::external_scaler_client::ExternalScalerClient;
use evenkeel_scaler::grpc::wire::{GetMetricsRequest, ScaledObjectRef};
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::Channel;

use crate::authority::{Authority, Dates};
use crate::eventually::eventually;
use crate::process::{Serve, in_time};
use crate::provider::{Mood, Provider};
use crate::secured::{ORDERS, Secured};

type Keda = ExternalScalerClient<Channel>;

fn object(cluster: &str, more: &[(&str, &str)]) -> ScaledObjectRef {
    let metadata = [
        ("cluster", cluster),
        ("consumerGroup", ORDERS),
        ("topic", ORDERS),
    ];
    let metadata = metadata.iter().chain(more);
    ScaledObjectRef {
        name: cluster.to_owned(),
        namespace: "tests".to_owned(),
        scaler_metadata: metadata
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<HashMap<_, _>>(),
    }
}

/// The value that KEDA gets.
async fn value(keda: &mut Keda, object: &ScaledObjectRef) -> Result<f64, tonic::Status> {
    let request = GetMetricsRequest {
        scaled_object_ref: Some(object.clone()),
        metric_name: "replicas".to_owned(),
    };
    let answer = in_time(keda.get_metrics(request)).await?.into_inner();
    Ok(answer.metric_values[0].metric_value_float)
}

async fn until_known(keda: &mut Keda, object: &ScaledObjectRef) -> f64 {
    eventually("the target is known", async || {
        value(keda, object)
            .await
            .map_err(|status| status.to_string())
    })
    .await
}

/// How many ticks the loop of `cluster` has had.
async fn ticks(serve: &Serve, cluster: &str) -> u64 {
    let (_, metrics) = serve.get("metrics").await;
    let line = format!("evenkeel_ticks_total{{kafka_cluster=\"{cluster}\",kind=\"full\"}} ");
    let count = metrics.lines().find_map(|one| one.strip_prefix(&line));
    count.map_or(0, |count| count.parse().expect("a count"))
}

async fn detail(serve: &Serve, cluster: &str) -> serde_json::Value {
    let (status, text) = serve.get(&format!("api/v1/targets/tests/{cluster}")).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn clusters_that_cannot_be_reached_give_no_number_and_hold_up_no_other() {
    let kafka = Secured::start(Duration::from_secs(2)).await;
    let stranger = Authority::new(kafka.folder.path(), "stranger");
    let pair = kafka.authority.server("provider", "127.0.0.1", Dates::Now);
    let provider = |mood: Mood| {
        let pair = pair.clone();
        async move {
            let provider = Provider::start(&pair).await;
            provider.set(mood);
            provider
        }
    };
    let html = provider(Mood::Says(200, "text/html", "<html>Log in</html>")).await;
    let refusing = provider(Mood::Says(
        401,
        "application/json",
        "{\"error\":\"invalid_client\"}",
    ))
    .await;
    let ending = provider(Mood::Gives(0)).await;
    let slow = provider(Mood::Silent).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap().to_string();

    let (id, secret) = (
        kafka.write("client-id", "scaler"),
        kafka.write("client-secret", "s"),
    );
    let ca = kafka.authority.ca().display().to_string();
    let of = |provider: &Provider| {
        format!(
            "sasl: {{mechanism: OAUTHBEARER, tokenEndpoint: '{}', clientIdFile: {id}, \
             clientSecretFile: {secret}, ca: {ca}}}",
            provider.url()
        )
    };
    let trust = kafka.trust("");
    let login = kafka.login("SCRAM-SHA-512");
    let wrong = login.replace(&kafka.path("password"), &kafka.write("wrong", "wrong"));
    let strange = format!("tls: {{ca: {}}}", stranger.ca().display());
    let address = |listener: &str| kafka.address(listener);
    // What is wrong, where it leads, the profile, and a part of the sentence.
    let bad: Vec<(&str, String, Vec<&str>, &str)> = vec![
        ("html", address("TOKEN"), vec![&trust], "no JSON"),
        (
            "refusing",
            address("TOKEN"),
            vec![&trust],
            "(invalid_client)",
        ),
        (
            "ending",
            address("TOKEN"),
            vec![&trust],
            "less than a second",
        ),
        ("slow", address("TOKEN"), vec![&trust], "answer"),
        (
            "password",
            address("LOGIN"),
            vec![&trust, &wrong],
            "does not accept who the scaler is",
        ),
        (
            "mechanism",
            address("TOKEN"),
            vec![&trust, &login],
            "does not offer SCRAM-SHA-512",
        ),
        (
            "authority",
            address("MUTUAL"),
            vec![&strange],
            "a CA that is not trusted",
        ),
        ("expired", address("EXPIRED"), vec![&trust], "expired on"),
        (
            "future",
            address("FUTURE"),
            vec![&trust],
            "is not valid before",
        ),
        (
            "name",
            address("ELSEWHERE"),
            vec![&trust],
            "and not for 127.0.0.1",
        ),
        (
            "nobody",
            address("MUTUAL"),
            vec![&trust],
            "without a client certificate",
        ),
        (
            "plaintext",
            kafka.broker.bootstrap_servers(),
            vec![&trust],
            "plaintext",
        ),
        ("tls", address("EXPIRED"), vec![], "TLS"),
        (
            "silent",
            silent,
            vec![&trust],
            "the handshake of TLS in time",
        ),
    ];
    let providers = [
        ("html", &html),
        ("refusing", &refusing),
        ("ending", &ending),
        ("slow", &slow),
    ];
    let mut yaml = format!(
        "poll: {{interval: 200ms, requestTimeout: 10s}}\nclusters:\n  good:\n    bootstrapServers: \
         ['{}']\n    {trust}\n    {login}\n",
        address("LOGIN")
    );
    for (name, address, lines, _) in &bad {
        yaml.push_str(&format!("  {name}:\n    bootstrapServers: ['{address}']\n"));
        let of_provider = providers
            .iter()
            .find(|one| one.0 == *name)
            .map(|one| of(one.1));
        for line in lines
            .iter()
            .map(|line| (*line).to_owned())
            .chain(of_provider)
        {
            yaml.push_str(&format!("    {line}\n"));
        }
    }
    let mut serve = Serve::start(&yaml).await;
    let mut keda = serve.client().await;
    let good = object("good", &[]);
    let first = until_known(&mut keda, &good).await;
    let before = ticks(&serve, "good").await;

    for (name, _, _, words) in &bad {
        let object = object(name, &[]);
        eventually(name, async || {
            let refusal = value(&mut keda, &object).await.expect_err("never a number");
            assert_eq!(refusal.code(), Code::Unavailable, "{name}: {refusal}");
            let awake = in_time(keda.is_active(object.clone())).await;
            assert_eq!(
                awake.expect_err("nor whether it is awake").code(),
                Code::Unavailable
            );
            let problems = detail(&serve, name).await["problems"].to_string();
            match problems.contains(words) {
                true => Ok(()),
                false => Err(problems),
            }
        })
        .await;
    }

    // The other went on all the while, through sessions of 2 s, and every tick of it knew everything.
    let after = eventually("the good cluster's loop goes on", async || {
        match ticks(&serve, "good").await {
            count if count >= before + 20 => Ok(count),
            count => Err(format!("{count} ticks, before {before}")),
        }
    })
    .await;
    assert!(after > before);
    assert_eq!(value(&mut keda, &good).await.unwrap(), first);
    let (_, history) = serve.get("api/v1/targets/tests/good/history").await;
    let history: serde_json::Value = serde_json::from_str(&history).unwrap();
    let points = history["points"].as_array().unwrap().iter();
    let replicas = points.map(|point| point["desired_replicas"].as_f64());
    let since_known = replicas.skip_while(Option::is_none);
    let odd: Vec<_> = since_known
        .filter(|replicas| *replicas != Some(first))
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
    let (_, metrics) = serve.get("metrics").await;
    let count = |line: &str| {
        let lines = metrics.lines().filter(|one| one.starts_with(line));
        let counts = lines.filter_map(|one| one.rsplit(' ').next()?.parse::<u64>().ok());
        counts.sum::<u64>()
    };
    let opened = "evenkeel_kafka_connections_total{kafka_cluster=\"good\",result=\"";
    assert_eq!(count(&format!("{opened}ok")), 1, "{metrics}");
    assert_eq!(count(opened), 1, "{metrics}");
    let proofs = metrics
        .lines()
        .filter(|line| line.contains("api=\"SaslHandshake\",result=\"ok\""));
    let proofs = proofs.filter(|line| line.contains("cluster=\"good\""));
    let proofs: u64 = proofs
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    assert!(proofs >= 3, "sessions were renewed: {proofs}");
    serve.signal("TERM");
    let (status, log) = serve.end().await;
    assert!(
        status.success() && !log.contains("panicked"),
        "{status}: {log}"
    );
}

#[tokio::test]
async fn what_was_known_stands_when_credentials_vanish_and_then_it_is_unknown_and_not_0() {
    let kafka = Secured::start(Duration::ZERO).await;
    let provider =
        Provider::start(&kafka.authority.server("provider", "127.0.0.1", Dates::Now)).await;
    // The broker ends the session with the token.
    provider.set(Mood::Gives(8));
    let (ca, id) = (
        kafka.authority.ca().display().to_string(),
        kafka.write("id", "scaler"),
    );
    let secret = kafka.write("client-secret", "s");
    let yaml = format!(
        "poll: {{interval: 200ms}}\nclusters:\n  orders:\n    bootstrapServers: ['{}']\n    {}\n    \
         sasl: {{mechanism: OAUTHBEARER, tokenEndpoint: '{}', clientIdFile: {id}, \
         clientSecretFile: {secret}, ca: {ca}}}\n",
        kafka.address("TOKEN"),
        kafka.trust(""),
        provider.url(),
    );
    let serve = Serve::start(&yaml).await;
    let mut keda = serve.client().await;
    let object = object(
        "orders",
        &[("minReplicas", "2"), ("maxStalenessSeconds", "15")],
    );
    let first = until_known(&mut keda, &object).await;
    assert_eq!(first, 2.0);
    std::fs::remove_file(&secret).unwrap();
    drop(provider);

    // It is said that there is no next token while the last one still holds.
    let notice = eventually("the page says what has vanished", async || {
        let detail = detail(&serve, "orders").await;
        assert_eq!(
            value(&mut keda, &object).await.ok(),
            Some(first),
            "{detail:#}"
        );
        let notices = detail["notices"].to_string();
        match notices.contains("no token from") {
            true => Ok(notices),
            false => Err(notices),
        }
    })
    .await;
    assert!(notice.contains("for as long as it holds"), "{notice}");
    // Then the connection ends, and the last decision stands until it is too old.
    eventually("the target is unknown", async || {
        match value(&mut keda, &object).await {
            Ok(value) => {
                assert_eq!(value, first);
                Err(detail(&serve, "orders").await.to_string())
            }
            Err(refusal) => {
                assert_eq!(refusal.code(), Code::Unavailable, "{refusal}");
                Ok(())
            }
        }
    })
    .await;
    let detail = detail(&serve, "orders").await;
    assert!(
        detail["problems"].to_string().contains("no token from"),
        "{detail:#}"
    );
}
