//! No secret is shown: everything that a run with known secrets prints and answers is searched for
//! each of them, with every crate logging all it can.
//!
//! The run has a profile of every kind, some of which fail. What the errors of the configuration
//! repeat is held by `config/load/tests.rs`.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use evenkeel_scaler::grpc::wire::ScaledObjectRef;
use tokio::process::Command;

use crate::authority::Dates;
use crate::eventually::eventually;
use crate::fake_broker::FakeCluster;
use crate::grpc::connect;
use crate::process::{Serve, in_time};
use crate::provider::{Mood, Provider, token};
use crate::secured::{ORDERS, PASSWORD, Secured};

const WRONG_PASSWORD: &str = "wrong-password-zq01";
const CLIENT_SECRET: &str = "client secret%zq02";
const OTHER_CLIENT_SECRET: &str = "other-client-secret-zq03";
const KEY_PASSWORD: &str = "key-password-zq04";
const BASIC_PASSWORD: &str = "basic-password-zq05";
const BEARER: &str = "bearer-token-zq06";
const HEADER: &str = "header-value-zq07";
const ADMIN_TOKEN: &str = "admin-token-admin-token-zq08";
const WRONG_ADMIN_TOKEN: &str = "wrong-admin-token-zq09";
const AWS_SECRET: &str = "aws-secret-zq10";
const AWS_SESSION: &str = "aws-session-zq11";

const SEVEN: &str =
    "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[4102444800,\"7\"]}}";

/// Everything that may not show: the secrets as they are and as they travel, and how all tokens,
/// signatures and keys begin.
fn secrets() -> Vec<String> {
    let plain = [
        PASSWORD,
        WRONG_PASSWORD,
        CLIENT_SECRET,
        OTHER_CLIENT_SECRET,
        KEY_PASSWORD,
        BASIC_PASSWORD,
        BEARER,
        HEADER,
        ADMIN_TOKEN,
        WRONG_ADMIN_TOKEN,
        AWS_SECRET,
        AWS_SESSION,
    ];
    let mut all: Vec<String> = plain.map(str::to_owned).into();
    all.extend(plain.map(|secret| BASE64_STANDARD_NO_PAD.encode(secret)));
    // As basic authentication sends it.
    all.push(BASE64_STANDARD.encode(format!("scaler:{BASIC_PASSWORD}")));
    all.push(BASE64_STANDARD_NO_PAD.encode(format!("\0evenkeel\0{PASSWORD}")));
    // As a form sends it.
    all.push("client+secret%25zq02".to_owned());
    all.push("client%20secret%25zq02".to_owned());
    // Every token for the broker, every one for MSK, every signature, every key.
    let tokens = token("s", 0);
    all.push(tokens.split_once('.').unwrap().0.to_owned());
    all.push(BASE64_STANDARD_NO_PAD.encode("https://kafka.eu-wes"));
    all.push("X-Amz-Signature=".to_owned());
    all.push("Signature=".to_owned());
    all.push("PRIVATE KEY".to_owned());
    all
}

/// Fails where `text`, which is what `who` said, holds one of them.
fn search(who: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        if let Some(at) = text.find(secret.as_str()) {
            let from = text[..at].rfind('\n').map_or(0, |at| at + 1);
            let line = text[from..].lines().next().unwrap_or_default();
            panic!("{who} shows {secret:?}: {line}");
        }
    }
}

/// The body of a key's file, which is a secret in itself.
fn body(path: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.contains("-----"));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn nothing_that_a_run_prints_or_answers_holds_a_secret() {
    let kafka = Secured::start(Duration::ZERO).await;
    let (ca, trust) = (kafka.authority.ca().display().to_string(), kafka.trust(""));
    let pair = |name: &str| kafka.authority.server(name, "127.0.0.1", Dates::Now);
    let provider = Provider::start(&pair("provider")).await;
    let refusing = Provider::start(&pair("refusing")).await;
    refusing.set(Mood::Says(
        401,
        "application/json",
        "{\"error\":\"invalid_client\"}",
    ));
    let prometheus = Provider::start(&pair("prometheus")).await;
    prometheus.set(Mood::Says(200, "application/json", SEVEN));
    let msk = FakeCluster::start(1).await;
    msk.change(|world| {
        world.topic(ORDERS, 1, 100);
        world.classic_group(ORDERS, ORDERS, 40);
    });
    let client = kafka.authority.client("scaler", Dates::Now);
    let server = kafka
        .authority
        .server("keda", "evenkeel.keda.svc", Dates::Now);
    let encrypted = kafka.path("encrypted.key");
    crate::tls::openssl(&[
        "pkcs8",
        "-topk8",
        "-v2",
        "aes-256-cbc",
        "-passout",
        &format!("pass:{KEY_PASSWORD}"),
        "-in",
        &server.key.display().to_string(),
        "-out",
        &encrypted,
    ]);

    let file = |name: &str, text: &str| kafka.write(name, &format!("{text}\n"));
    let admin_token = file("admin-token", ADMIN_TOKEN);
    let login = |mechanism: &str| kafka.login(mechanism);
    let wrong = login("PLAIN").replace(&kafka.path("password"), &file("wrong", WRONG_PASSWORD));
    let endpoint = |provider: &Provider, secret: &str| {
        format!(
            "sasl: {{mechanism: OAUTHBEARER, tokenEndpoint: '{}', clientIdFile: {}, \
             clientSecretFile: {secret}, ca: {ca}}}",
            provider.url(),
            file("client-id", "scaler"),
        )
    };
    let of_file = format!(
        "sasl: {{mechanism: OAUTHBEARER, tokenFile: {}}}",
        file("token", &token("scaler", 3_600))
    );
    let mutual = format!(
        ", cert: {}, key: {}",
        client.cert.display(),
        client.key.display()
    );
    let half = format!(", cert: {}, key: {encrypted}", client.cert.display());
    let secret = file("client-secret", CLIENT_SECRET);
    let other_secret = file("other-client-secret", OTHER_CLIENT_SECRET);
    let clusters = [
        ("plain", "LOGIN", vec![trust.clone(), login("PLAIN")]),
        (
            "scram",
            "LOGIN",
            vec![trust.clone(), login("SCRAM-SHA-512")],
        ),
        ("wrong", "LOGIN", vec![trust.clone(), wrong]),
        ("mutual", "MUTUAL", vec![kafka.trust(&mutual)]),
        ("half", "MUTUAL", vec![kafka.trust(&half)]),
        ("file", "TOKEN", vec![trust.clone(), of_file]),
        (
            "provider",
            "TOKEN",
            vec![trust.clone(), endpoint(&provider, &secret)],
        ),
        (
            "refusing",
            "TOKEN",
            vec![trust.clone(), endpoint(&refusing, &other_secret)],
        ),
    ];
    let url = prometheus.url().replace("/token", "");
    let basic = format!(
        "basic: {{usernameFile: {}, passwordFile: {}}}",
        file("basic-user", "scaler"),
        file("basic-password", BASIC_PASSWORD)
    );
    let servers = [
        ("basic", basic),
        (
            "bearer",
            format!("bearerTokenFile: {}", file("bearer", BEARER)),
        ),
        (
            "header",
            format!("headerFiles: [X-Api-Key={}]", file("header", HEADER)),
        ),
        ("signed", "sigv4: {awsRegion: eu-west-1}".to_owned()),
    ];
    let mut yaml = format!(
        "admin: {{tokenFile: {admin_token}}}\ngrpc:\n  tls: {{cert: {}, key: {encrypted}, \
         keyPasswordFile: {}}}\nclusters:\n  msk:\n    bootstrapServers: ['{}']\n    sasl: \
         {{mechanism: AWS_MSK_IAM, allowPlaintext: true, awsRegion: eu-west-1}}\n",
        server.cert.display(),
        file("key-password", KEY_PASSWORD),
        msk.bootstrap_servers().join(","),
    );
    for (name, listener, lines) in &clusters {
        let address = kafka.address(listener);
        yaml.push_str(&format!("  {name}:\n    bootstrapServers: ['{address}']\n"));
        yaml.extend(lines.iter().map(|line| format!("    {line}\n")));
    }
    yaml.push_str("prometheus:\n");
    for (name, line) in &servers {
        yaml.push_str(&format!(
            "  {name}:\n    url: '{url}'\n    tls: {{ca: {ca}}}\n    {line}\n"
        ));
    }
    let environment = [
        ("EVENKEEL_LOG", "trace"),
        ("AWS_ACCESS_KEY_ID", "OWN"),
        ("AWS_SECRET_ACCESS_KEY", AWS_SECRET),
        ("AWS_SESSION_TOKEN", AWS_SESSION),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let mut serve = Serve::start_in(&yaml, &environment).await;
    let mut secrets = secrets();
    for key in [&client.key, &server.key, &encrypted.into()] {
        secrets.extend(body(key));
    }

    // Each cluster is asked until it is known or refused, and each Prometheus until it was asked.
    let mut keda = connect(&serve, &kafka.authority, None).await.unwrap();
    let names = clusters.iter().map(|cluster| cluster.0).chain(["msk"]);
    let mut said = String::new();
    for (cluster, prometheus) in names.zip(servers.iter().map(|server| server.0).cycle()) {
        let metadata = [
            ("cluster", cluster),
            ("consumerGroup", ORDERS),
            ("topic", ORDERS),
            ("prometheus", prometheus),
            ("query", "vector(7)"),
        ];
        let object = ScaledObjectRef {
            name: cluster.to_owned(),
            namespace: "tests".to_owned(),
            scaler_metadata: HashMap::from(metadata.map(|(key, value)| (key.into(), value.into()))),
        };
        let fails = matches!(cluster, "wrong" | "half" | "refusing");
        let answer = eventually(cluster, async || {
            let answer = in_time(keda.is_active(object.clone())).await;
            match (&answer, fails) {
                (Ok(_), false) => Ok(format!("{answer:?}")),
                (Err(status), true) if !status.message().contains("not yet") => {
                    Ok(format!("{status} {status:?}"))
                }
                _ => Err(format!("{answer:?}")),
            }
        });
        said.push_str(&answer.await);
    }
    search("KEDA's answer", &said, &secrets);
    assert!(provider.requests() > 0 && refusing.requests() > 0 && prometheus.requests() > 0);

    // What people see.
    let http = reqwest::Client::new();
    let mut seen = 0;
    for path in [
        "",
        "page.js",
        "metrics",
        "livez",
        "readyz",
        "api/v1/targets",
        "api/v1/targets/tests/wrong",
        "api/v1/targets/tests/provider",
        "api/v1/targets/tests/refusing",
        "api/v1/targets/tests/half",
        "api/v1/targets/tests/plain/history",
        "nothing",
    ] {
        for token in [ADMIN_TOKEN, WRONG_ADMIN_TOKEN] {
            let url = format!("http://{}/{path}", serve.admin);
            let answer = in_time(http.get(url).bearer_auth(token).send())
                .await
                .unwrap();
            let head = format!("{:?}", answer.headers());
            let text = in_time(answer.text()).await.unwrap();
            seen += usize::from(text.contains("tests"));
            search(path, &format!("{head}\n{text}"), &secrets);
        }
    }
    assert!(seen >= 6, "only {seen} answers are about the targets");
    let wrong_token = file("wrong-admin-token", WRONG_ADMIN_TOKEN);
    for arguments in [
        &[
            "explain",
            "tests/wrong",
            "--history",
            "--token-file",
            &admin_token,
        ][..],
        &[
            "explain",
            "tests/provider",
            "--json",
            "--token-file",
            &admin_token,
        ],
        &["explain", "tests/refusing", "--token-file", &admin_token],
        &["top", "--once", "--token-file", &admin_token],
        &["top", "--json", "--token-file", &wrong_token],
    ] {
        let program = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(arguments)
            .env("EVENKEEL_SERVER", format!("http://{}", serve.admin))
            .env("EVENKEEL_LOG", "trace")
            .output();
        let output = in_time(program).await.unwrap();
        for text in [output.stdout, output.stderr] {
            search(
                &arguments.join(" "),
                &String::from_utf8(text).unwrap(),
                &secrets,
            );
        }
    }

    // Files that cannot be used are talked about, too.
    for (name, text) in [
        ("admin-token", "short-zq12"),
        ("token", "two words zq12"),
        ("header", "two\nlines-zq12"),
        ("password", "zq12\0"),
    ] {
        kafka.write(name, text);
    }
    secrets.push("zq12".to_owned());
    serve.logged("holds a zero byte").await;
    serve.logged("is no token").await;
    serve.logged("fewer than 16 characters").await;
    serve.logged("cannot be a header").await;
    serve.signal("TERM");
    let (status, log) = serve.end().await;
    assert!(status.success(), "{status}");
    for crate_name in ["hyper_util", "aws", "evenkeel_scaler", "h2"] {
        assert!(log.contains(crate_name), "{crate_name} logged nothing");
    }
    search("the log", &log, &secrets);

    // And what is kept in memory does not show in `Debug`.
    kafka.write("password", PASSWORD);
    let mut view = kafka.view("LOGIN", &[&trust, &login("PLAIN")]);
    view.until_known().await;
    search("Debug", &format!("{view:#?}"), &secrets);
    let mut view = kafka.view("TOKEN", &[&trust, &endpoint(&provider, &secret)]);
    view.until_known().await;
    search("Debug", &format!("{view:#?}"), &secrets);
}
