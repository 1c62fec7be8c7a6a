//! Prometheus with credentials: a real one with its own web configuration, and an HTTPS server that
//! shows what was sent to it.

use std::collections::HashMap;
use std::process::Stdio;

use evenkeel_engine::{Cause, PrometheusObservation};
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::config::Config;
use evenkeel_scaler::credentials::LOOK_EVERY;
use evenkeel_scaler::grpc::wire::ScaledObjectRef;
use evenkeel_scaler::metrics::Metrics;
use evenkeel_scaler::observe::prometheus::{
    BaselineReading, ObservePrometheus as _, PrometheusAccess, PrometheusObserver,
    PrometheusObserverConfig, PrometheusQuery,
};
use evenkeel_tools::demo::process::bound_command;

use crate::authority::{Authority, Dates, Pair};
use crate::eventually::eventually;
use crate::fake_broker::FakeCluster;
use crate::process::{Serve, free_address, in_time};
use crate::provider::{Mood, Provider};
use crate::secured::{REQUEST_TIMEOUT, pass};

/// The hash of Prometheus' own documentation, and what it is of.
const PASSWORD: &str = "test";
const HASH: &str = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay";
/// One number, as Prometheus answers it.
const SEVEN: &str =
    "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[4102444800,\"7\"]}}";

/// The scaler's view of the server at `url` through a profile with `lines`.
fn observer(url: &str, lines: &str) -> PrometheusObserver {
    evenkeel_scaler::tls::use_ring();
    let yaml = format!("prometheus:\n  main: {{url: '{url}', {lines}}}\n");
    let config = Config::read(&yaml, None, std::iter::empty());
    let config = config.unwrap_or_else(|errors| panic!("{errors:#}\n{yaml}"));
    let metrics = Metrics::default();
    let profile = &config.prometheus["main"];
    let access = PrometheusAccess::of("main", profile, REQUEST_TIMEOUT, &metrics);
    let access = access.map(|access| ("main".to_owned(), access.into()));
    let config = PrometheusObserverConfig {
        request_timeout: REQUEST_TIMEOUT,
        concurrency: 1,
    };
    let observer = PrometheusObserver::new(config, Clock::start(), metrics).unwrap();
    observer.with_access(access.into_iter().collect())
}

async fn ask(observer: &PrometheusObserver, url: &str) -> BaselineReading {
    let query = PrometheusQuery {
        url: url.to_owned(),
        profile: Some("main".to_owned()),
        query: "vector(7)".to_owned(),
    };
    observer.observe(&query, false).await
}

/// The address that a profile has.
fn base(provider: &Provider) -> String {
    provider.url().replace("/token", "")
}

async fn until_seven(observer: &PrometheusObserver, url: &str) {
    eventually("the server answers", async || {
        let reading = ask(observer, url).await;
        match reading.observation {
            PrometheusObservation::Known { .. } => Ok(()),
            _ => Err(format!("{reading:?}")),
        }
    })
    .await;
}

async fn refused(observer: &PrometheusObserver, url: &str) -> (Cause, String) {
    let reading = ask(observer, url).await;
    let problem = reading
        .problem
        .unwrap_or_else(|| panic!("known: {:?}", reading.observation));
    assert!(
        !problem.sentence.contains("0815"),
        "a secret shows: {problem:?}"
    );
    (problem.cause, problem.sentence)
}

fn files(pair: &Pair) -> (String, String) {
    (
        pair.cert.display().to_string(),
        pair.key.display().to_string(),
    )
}

#[tokio::test]
async fn a_real_prometheus_takes_a_password_and_a_client_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let (cert, key) = files(&authority.server("server", "127.0.0.1", Dates::Now));
    let (own_cert, own_key) = files(&authority.client("scaler", Dates::Now));
    let ca = authority.ca().display().to_string();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let config = write("prometheus.yml", "");
    let web = serde_json::json!({
        "tls_server_config": {
            "cert_file": cert, "key_file": key, "client_ca_file": ca,
            "client_auth_type": "RequireAndVerifyClientCert",
        },
        "basic_auth_users": {"scaler": HASH},
    });
    let web = write("web.yml", &web.to_string());
    let address = free_address();
    let mut command = bound_command("prometheus".as_ref());
    let _server = command
        .arg(format!("--config.file={config}"))
        .arg(format!("--web.config.file={web}"))
        .arg(format!("--web.listen-address={address}"))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.path().join("data").display()
        ))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("prometheus starts (make setup)");
    let url = format!("https://{address}");
    let username = write("username", "scaler\n");
    let password = write("password", PASSWORD);
    let basic = format!("basic: {{usernameFile: {username}, passwordFile: {password}}}");
    let mutual = format!("tls: {{ca: {ca}, cert: {own_cert}, key: {own_key}}}");
    let whole = observer(&url, &format!("{mutual}, {basic}"));
    until_seven(&whole, &url).await;

    let (cause, said) = refused(&observer(&url, &mutual), &url).await;
    assert_eq!(cause, Cause::Refused, "{said}");
    assert!(said.contains("401"), "{said}");
    let _no_certificate = refused(
        &observer(&url, &format!("tls: {{ca: {ca}}}, {basic}")),
        &url,
    )
    .await;
    let (_, said) = refused(&observer(&url, &basic), &url).await;
    assert!(said.contains("certificate"), "{said}");
    // A password that is no more is used no more, and the next one is.
    write("password", "wrong-0815");
    pass(LOOK_EVERY).await;
    let (_, said) = refused(&whole, &url).await;
    assert!(said.contains("401"), "{said}");
    // What was refused is looked at again at once.
    write("password", PASSWORD);
    until_seven(&whole, &url).await;
}

#[tokio::test]
async fn a_token_goes_by_tls_and_no_redirect_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let pair = authority.server("server", "127.0.0.1", Dates::Now);
    let server = Provider::start(&pair).await;
    server.set(Mood::Says(200, "application/json", SEVEN));
    let token = folder.path().join("token");
    std::fs::write(&token, "hush-0815\n").unwrap();
    let lines = format!(
        "bearerTokenFile: {}, tls: {{ca: {}}}",
        token.display(),
        authority.ca().display()
    );
    let observer = observer(&base(&server), &lines);
    until_seven(&observer, &base(&server)).await;
    let request = server.last();
    assert!(
        request.contains("authorization: Bearer hush-0815\r\n"),
        "{request}"
    );
    server.set(Mood::Says(302, "text/html", ""));
    let (_, said) = refused(&observer, &base(&server)).await;
    assert!(said.contains("302"), "{said}");
    // Without its token it is not asked at all.
    let asked = server.requests();
    std::fs::remove_file(&token).unwrap();
    let nothing = self::observer(&base(&server), &lines);
    let (cause, said) = refused(&nothing, &base(&server)).await;
    assert_eq!((cause, server.requests()), (Cause::Refused, asked));
    assert!(said.contains("prometheus.main.bearerTokenFile"), "{said}");
}

#[tokio::test]
async fn two_tenants_of_one_address_get_their_own_headers_and_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let server = Provider::start(&authority.server("server", "127.0.0.1", Dates::Now)).await;
    server.set(Mood::Says(200, "application/json", SEVEN));
    let key = folder.path().join("key");
    std::fs::write(&key, "hush-0815\n").unwrap();
    let (ca, key_file) = (
        authority.ca().display().to_string(),
        key.display().to_string(),
    );
    let tls = format!("tls: {{ca: {ca}}}");
    let lines = format!(
        "{tls}, headers: ['X-Scope-OrgID=a, b'], headerFiles: [X-Api-Key={key_file}], \
         queryParameters: [dedup=true, partial_response=false]"
    );
    let address = base(&server);
    let first = observer(&address, &lines);
    until_seven(&first, &address).await;
    let request = server.last();
    for words in [
        "x-scope-orgid: a, b\r\n",
        "x-api-key: hush-0815\r\n",
        "&dedup=true&partial_response=false ",
    ] {
        assert!(request.contains(words), "{words:?} is not in {request}");
    }
    let other = observer(&address, &format!("{tls}, headers: [X-Scope-OrgID=c]"));
    until_seven(&other, &address).await;
    let request = server.last();
    assert!(request.contains("x-scope-orgid: c\r\n"), "{request}");
    assert!(!request.contains("x-api-key"), "{request}");
    // Another key is taken over, and one that cannot be a header is not.
    for text in ["hush-0816", "two\nlines", ""] {
        std::fs::write(&key, text).unwrap();
        pass(LOOK_EVERY).await;
        until_seven(&first, &address).await;
        let request = server.last();
        assert!(request.contains("x-api-key: hush-0816\r\n"), "{request}");
    }
}

/// What AWS makes of the signature is held beside `crate::aws`, against AWS's own client.
#[tokio::test]
async fn requests_to_amazon_are_signed_with_the_pods_keys() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let server = Provider::start(&authority.server("server", "127.0.0.1", Dates::Now)).await;
    server.set(Mood::Says(200, "application/json", SEVEN));
    let cluster = FakeCluster::start(1).await;
    cluster.change(|world| {
        world.topic("t", 1, 100);
        world.classic_group("g", "t", 40);
    });
    let yaml = format!(
        "adhocClusters: true\nprometheus:\n  amp:\n    url: '{}'\n    tls: {{ca: {}}}\n    \
         sigv4: {{awsRegion: eu-west-1}}\n",
        base(&server),
        authority.ca().display()
    );
    let keys = [
        ("AWS_ACCESS_KEY_ID", "OWN"),
        ("AWS_SECRET_ACCESS_KEY", "hush-0815"),
        ("AWS_SESSION_TOKEN", "session-0815"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let serve = Serve::start_in(&yaml, &keys).await;
    let servers = cluster.bootstrap_servers().join(",");
    let metadata = [
        ("bootstrapServers", servers.as_str()),
        ("consumerGroup", "g"),
        ("topic", "t"),
        ("prometheus", "amp"),
        ("query", "sum(rate(x[1m]) * 2)"),
    ];
    let object = ScaledObjectRef {
        name: "amp".to_owned(),
        namespace: "tests".to_owned(),
        scaler_metadata: HashMap::from(metadata.map(|(key, value)| (key.into(), value.into()))),
    };
    let mut client = serve.client().await;
    eventually("a signed request comes", async || {
        let _answer = in_time(client.is_active(object.clone())).await;
        match server.last().contains("authorization: ") {
            true => Ok(()),
            false => Err(server.last()),
        }
    })
    .await;
    let request = server.last();
    for words in [
        "GET /api/v1/query?query=sum%28rate%28x%5B1m%5D%29%20%2A%202%29&",
        "authorization: AWS4-HMAC-SHA256 Credential=OWN/",
        "/eu-west-1/aps/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token, ",
        "x-amz-security-token: session-0815\r\n",
    ] {
        assert!(request.contains(words), "{words:?} is not in {request}");
    }
    assert!(!request.contains("hush"), "{request}");
    server.set(Mood::Says(403, "application/json", "{\"message\":\"no\"}"));
    eventually("the missing right is named", async || {
        let _answer = in_time(client.is_active(object.clone())).await;
        let (_, detail) = serve.get("api/v1/targets/tests/amp").await;
        match detail.contains("aps:QueryMetrics") {
            true => Ok(()),
            false => Err(detail),
        }
    })
    .await;
}
