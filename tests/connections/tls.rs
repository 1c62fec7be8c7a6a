//! Certificates: who is trusted, who we are, and what is said where that fails.

use std::process::Command;
use std::time::Duration;

use evenkeel_scaler::grpc::wire::ScaledObjectRef;
use evenkeel_scaler::metrics::SettingLabels;

use crate::authority::{Authority, Dates};
use crate::eventually::eventually;
use crate::grpc::connect;
use crate::process::{Serve, in_time};
use crate::secured::{ORDERS, REQUEST_TIMEOUT, Secured, View};

fn setting() -> SettingLabels {
    SettingLabels {
        setting: "clusters.main.tls".to_owned(),
    }
}

/// Runs openssl, which is how people make and convert keys.
pub fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output();
    let output = output.expect("openssl is there (make setup)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

#[tokio::test]
async fn certificates_are_checked_on_both_sides_and_what_is_wrong_is_said() {
    let kafka = Secured::start(Duration::ZERO).await;
    let client = kafka.authority.client("scaler", Dates::Now);
    let (cert, key) = (client.cert.display(), client.key.display());

    // Keys as they come: PKCS#8, SEC1, encrypted.
    let sec1 = kafka.path("sec1.key");
    openssl(&["ec", "-in", &key.to_string(), "-out", &sec1]);
    let encrypted = kafka.path("encrypted.key");
    openssl(&[
        "pkcs8",
        "-topk8",
        "-v2",
        "aes-256-cbc",
        "-passout",
        "pass:key-0815",
        "-in",
        &key.to_string(),
        "-out",
        &encrypted,
    ]);
    let password = kafka.write("key-password", "key-0815\n");
    for with_key in [
        format!("key: {key}"),
        format!("key: {sec1}"),
        format!("key: {encrypted}, keyPasswordFile: {password}"),
    ] {
        let tls = kafka.trust(&format!(", cert: {cert}, {with_key}"));
        let mut view = kafka.view("MUTUAL", &[&tls]);
        view.known().await;
        let expiry = view.metrics.certificate_expiries.get_or_create(&setting());
        assert_eq!(expiry.get(), 3_786_912_000, "2090-01-01");
    }

    let check = async |listener: &str, tls: &str, words: &[&str]| {
        let said = kafka.view(listener, &[tls]).refused().await;
        for word in words {
            assert!(said.contains(word), "{word:?} is not in: {said}");
        }
        assert!(!said.contains("0815"), "a secret shows: {said}");
    };
    check(
        "MUTUAL",
        &kafka.trust(""),
        &["without a client certificate", "tls.cert"],
    )
    .await;
    let other = Authority::new(kafka.folder.path(), "stranger");
    let strange = other.client("strange", Dates::Now);
    let (strange_cert, strange_key) = (strange.cert.display(), strange.key.display());
    let tls = kafka.trust(&format!(", cert: {strange_cert}, key: {strange_key}"));
    check("MUTUAL", &tls, &["refused our client certificate"]).await;
    let old = kafka.authority.client("old", Dates::Past);
    let tls = kafka.trust(&format!(
        ", cert: {}, key: {}",
        old.cert.display(),
        old.key.display()
    ));
    check(
        "MUTUAL",
        &tls,
        &["refused our client certificate", "it expired on 2021-01-01"],
    )
    .await;
    let tls = kafka.trust(&format!(", cert: {cert}, key: {strange_key}"));
    check("MUTUAL", &tls, &["cannot be used together"]).await;
    let tls = kafka.trust(&format!(", cert: {cert}, key: {encrypted}"));
    check("MUTUAL", &tls, &["is encrypted: give keyPasswordFile"]).await;
    let wrong = kafka.write("wrong-password", "0815");
    let tls = format!(", cert: {cert}, key: {encrypted}, keyPasswordFile: {wrong}");
    check("MUTUAL", &kafka.trust(&tls), &["cannot be decrypted"]).await;
    let no_ca = kafka.write("no-ca", "hello");
    check(
        "MUTUAL",
        &format!("tls: {{ca: {no_ca}}}"),
        &["holds no certificate"],
    )
    .await;

    let untrusted = format!("tls: {{ca: {}}}", other.ca().display());
    check(
        "MUTUAL",
        &untrusted,
        &["a CA that is not trusted", "tls.ca"],
    )
    .await;
    check("MUTUAL", "tls: {enabled: true}", &["tls.ca"]).await;
    let trust = kafka.trust("");
    check(
        "EXPIRED",
        &trust,
        &["its certificate expired on 2021-01-01"],
    )
    .await;
    check("FUTURE", &trust, &["is not valid before 2080-01-01"]).await;
    check(
        "ELSEWHERE",
        &trust,
        &[
            "for kafka.example",
            "and not for 127.0.0.1",
            "tls.serverName",
        ],
    )
    .await;
    let named = kafka.trust(", serverName: kafka.example");
    kafka.view("ELSEWHERE", &[&named]).known().await;

    let mut careless = kafka.view("EXPIRED", &["tls: {insecureSkipVerify: true}"]);
    careless.known().await;
    let unverified = careless.metrics.tls_unverified.get_or_create(&setting());
    assert_eq!(unverified.get(), 1, "it says so");

    // The wrong kind of port, both ways.
    let mut plain = View::new(
        &kafka.broker.bootstrap_servers(),
        &[&trust],
        REQUEST_TIMEOUT,
    );
    let said = plain.refused().await;
    assert!(said.contains("plaintext"), "{said}");
    let said = kafka.view("EXPIRED", &[]).refused().await;
    assert!(said.contains("TLS"), "{said}");
}

#[tokio::test]
async fn what_ends_soon_or_is_not_checked_is_said_on_the_page_by_explain_and_in_the_log() {
    let kafka = Secured::start(Duration::ZERO).await;
    let client = kafka.authority.client("scaler", Dates::Soon);
    let server = kafka
        .authority
        .server("keda", "evenkeel.keda.svc", Dates::Soon);
    let soon = kafka.address("SOON");
    let own = format!(
        ", cert: {}, key: {}",
        client.cert.display(),
        client.key.display()
    );
    let yaml = format!(
        "grpc: {{tls: {{cert: {}, key: {}}}}}\nclusters:\n  main:\n    bootstrapServers: ['{soon}']\n    \
         {}\n  careless: {{bootstrapServers: ['127.0.0.1:1'], tls: {{insecureSkipVerify: true}}}}\n",
        server.cert.display(),
        server.key.display(),
        kafka.trust(&own),
    );
    let serve = Serve::start(&yaml).await;
    let metadata = [
        ("cluster", "main"),
        ("consumerGroup", ORDERS),
        ("topic", ORDERS),
    ];
    let object = ScaledObjectRef {
        name: ORDERS.to_owned(),
        namespace: "tests".to_owned(),
        scaler_metadata: metadata
            .map(|(key, value)| (key.into(), value.into()))
            .into(),
    };
    let mut keda = connect(&serve, &kafka.authority, None).await.unwrap();
    eventually("the target is known", async || {
        let answer = in_time(keda.is_active(object.clone())).await;
        answer.map_err(|status| status.to_string())
    })
    .await;
    let ends = |what: &str| format!("The certificate of {what} expires on ");
    let of_target = [
        ends("clusters.main.tls"),
        ends("grpc.tls"),
        ends(&format!("{soon} (clusters.main)")),
    ];
    let unchecked = "clusters.careless.tls.insecureSkipVerify is on";
    let said = |(status, text): (u16, String)| {
        assert_eq!(status, 200, "{text}");
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        let notices = answer["notices"].as_array().unwrap().iter();
        let notices: Vec<String> = notices
            .map(|one| one.as_str().unwrap().to_owned())
            .collect();
        notices
    };
    let all = said(serve.get("api/v1/targets").await);
    let of_one = said(serve.get("api/v1/targets/tests/orders").await);
    assert_eq!((all.len(), of_one.len()), (4, 3), "{all:#?} {of_one:#?}");
    for (notice, words) in of_one.iter().zip(&of_target) {
        assert!(
            notice.starts_with(words) && notice.contains("in 6 days"),
            "{notice}"
        );
    }
    assert!(
        all.iter().any(|notice| notice.starts_with(unchecked)),
        "{all:#?}"
    );
    for words in of_target.iter().map(String::as_str).chain([unchecked]) {
        serve.logged(words).await;
    }
    let address = format!("http://{}", serve.admin);
    for command in [&["explain", "tests/orders"][..], &["top", "--once"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(command)
            .env("EVENKEEL_SERVER", &address)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        for words in &of_target {
            assert!(text.contains(words), "{words:?} is not in {text}");
        }
    }
    let (_, metrics) = serve.get("metrics").await;
    for setting in ["clusters.main", "clusters.main.tls", "grpc.tls"] {
        let metric =
            format!("evenkeel_certificate_expiry_timestamp_seconds{{setting=\"{setting}\"}}");
        assert!(metrics.contains(&metric), "{metric} is not in {metrics}");
    }
}
