//! Amazon MSK by IAM: `evenkeel serve` with AWS's own chain in it. What is fake is the two ends:
//! whoever gives the keys, and the broker, which takes every token and writes it down.
//!
//! That a token is signed rightly is held against AWS's client for Python in `scaler/src/aws.rs`. No
//! real MSK was met.

use std::collections::HashMap;
use std::net::SocketAddr;

use axum::Router;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::routing::{get, post, put};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use evenkeel_scaler::grpc::wire::ScaledObjectRef;
use tokio::net::TcpListener;

use crate::eventually::eventually;
use crate::fake_broker::FakeCluster;
use crate::process::{Serve, in_time};

/// Kafka's numbers of these errors.
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const GROUP_AUTHORIZATION_FAILED: i16 = 30;

/// Keys of the environment.
const OWN: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "OWN"),
    ("AWS_SECRET_ACCESS_KEY", "hush-0815"),
];

/// Serves until the test ends.
async fn serve(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, routes).into_future());
    address
}

fn keys(key: &str) -> String {
    format!(
        "{{\"Code\": \"Success\", \"Type\": \"AWS-HMAC\", \"LastUpdated\": \"2020-01-01T00:00:00Z\", \
         \"AccessKeyId\": \"{key}\", \"SecretAccessKey\": \"hush-0815\", \"Token\": \"session\", \
         \"Expiration\": \"2999-01-01T00:00:00Z\"}}"
    )
}

/// STS, which gives keys for a word of the service account or for keys that are there.
async fn sts() -> SocketAddr {
    let assume = async |asked: String| {
        let (action, key) = if asked.contains("Action=AssumeRoleWithWebIdentity") {
            assert!(asked.contains("the%20service%20account%27s"), "{asked}");
            ("AssumeRoleWithWebIdentity", "WEB")
        } else {
            assert!(asked.contains("Action=AssumeRole&"), "{asked}");
            assert!(asked.contains("RoleSessionName=evenkeel"), "{asked}");
            ("AssumeRole", "ASSUMED")
        };
        let answer = format!(
            "<{action}Response><{action}Result><Credentials><AccessKeyId>{key}</AccessKeyId>\
             <SecretAccessKey>hush-0815</SecretAccessKey><SessionToken>session</SessionToken>\
             <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></{action}Result>\
             </{action}Response>"
        );
        ([(CONTENT_TYPE, "text/xml")], answer)
    };
    serve(Router::new().route("/", post(assume))).await
}

/// EKS's agent beside a pod.
async fn agent() -> SocketAddr {
    let answer = async |headers: HeaderMap| {
        assert_eq!(headers[AUTHORIZATION], "the pod's own");
        keys("POD")
    };
    serve(Router::new().route("/v1/credentials", get(answer))).await
}

/// The instance's metadata, version 2: nothing without a session.
async fn instance() -> SocketAddr {
    const ROLES: &str = "/latest/meta-data/iam/security-credentials";
    let has_session = |headers: &HeaderMap| {
        assert_eq!(headers["x-aws-ec2-metadata-token"], "a session");
    };
    let session = async || {
        (
            [("x-aws-ec2-metadata-token-ttl-seconds", "600")],
            "a session",
        )
    };
    let role = async move |headers: HeaderMap| {
        has_session(&headers);
        "nodes"
    };
    let of_role = async move |headers: HeaderMap| {
        has_session(&headers);
        keys("INSTANCE")
    };
    let routes = Router::new()
        .route("/latest/api/token", put(session))
        .route(&format!("{ROLES}/"), get(role))
        .route(&format!("{ROLES}/nodes"), get(of_role));
    serve(routes).await
}

/// Whose key it gives, what the profile says beside the mechanism, and the environment.
type Way<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// Whether `evenkeel serve` knows a target of `cluster`, or says `words` about it.
async fn answer(
    cluster: &FakeCluster,
    more: &str,
    environment: &[(&str, &str)],
    words: &str,
) -> (Serve, bool) {
    let servers = cluster.bootstrap_servers().join(",");
    let yaml = format!(
        "clusters:\n  msk:\n    bootstrapServers: '{servers}'\n    sasl: {{mechanism: AWS_MSK_IAM, \
         allowPlaintext: true{more}}}\n"
    );
    let mut all = vec![
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/nowhere"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
    ];
    all.extend(environment);
    let serve = Serve::start_in(&yaml, &all).await;
    let metadata = [("cluster", "msk"), ("consumerGroup", "g"), ("topic", "t")];
    let object = ScaledObjectRef {
        name: "msk".to_owned(),
        namespace: "tests".to_owned(),
        scaler_metadata: HashMap::from(metadata.map(|(key, value)| (key.into(), value.into()))),
    };
    let mut client = serve.client().await;
    let known = eventually(
        "the target is known, or said to be refused",
        async || match in_time(client.is_active(object.clone())).await {
            Ok(_) => Ok(true),
            Err(status) if status.message().contains(words) => Ok(false),
            Err(status) => Err(status.to_string()),
        },
    );
    let known = known.await;
    (serve, known)
}

#[tokio::test]
async fn every_way_of_awss_own_chain_gives_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let pod_word = write("pod", "the pod's own");
    let account_word = write("account", "the service account's own");
    let profile = "[profile of-tests]\nregion = eu-west-1\naws_access_key_id = PROFILE\n\
                   aws_secret_access_key = hush-0815\n";
    let profile = write("config", profile);
    let agent = format!("http://{}/v1/credentials", agent().await);
    let sts = format!("http://{}", sts().await);
    let instance = format!("http://{}", instance().await);
    let role = "arn:aws:iam::123456789012:role/scaler";
    let region = ", awsRegion: eu-west-1";
    let assumed = format!("{region}, awsRoleArn: '{role}'");
    let own = OWN;
    let through_sts = [own[0], own[1], ("AWS_ENDPOINT_URL_STS", &sts)];
    let ways: [Way<'_>; 6] = [
        ("OWN", region, &own),
        (
            "POD",
            region,
            &[
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &agent),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &pod_word),
            ],
        ),
        (
            "WEB",
            region,
            &[
                ("AWS_ENDPOINT_URL_STS", &sts),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", &account_word),
                ("AWS_ROLE_ARN", role),
            ],
        ),
        (
            "INSTANCE",
            region,
            &[
                ("AWS_EC2_METADATA_DISABLED", "false"),
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance),
            ],
        ),
        // The region is the profile's as well.
        (
            "PROFILE",
            "",
            &[("AWS_CONFIG_FILE", &profile), ("AWS_PROFILE", "of-tests")],
        ),
        ("ASSUMED", &assumed, &through_sts),
    ];
    for (key, more, environment) in ways {
        let cluster = FakeCluster::start(1).await;
        cluster.change(|world| {
            world.topic("t", 1, 100);
            world.classic_group("g", "t", 40);
        });
        let (serve, is_known) = answer(&cluster, more, environment, "never").await;
        assert!(is_known, "{key}");
        let shown = cluster.world().shown.first().cloned().expect("a token");
        let token = shown
            .strip_prefix("n,,\u{1}auth=Bearer ")
            .expect("RFC 7628");
        let token = token.trim_end_matches('\u{1}');
        let url = BASE64_URL_SAFE_NO_PAD.decode(token).expect("base64");
        let url = String::from_utf8(url).expect("text");
        let begins = "https://kafka.eu-west-1.amazonaws.com/?Action=kafka-cluster%3AConnect&";
        assert!(url.starts_with(begins), "{url}");
        assert!(url.contains(&format!("X-Amz-Credential={key}%2F")), "{url}");
        let (_, page) = serve.get("metrics").await;
        assert!(!page.contains("hush-0815"), "a secret shows");
    }
}

#[tokio::test]
async fn without_keys_a_sentence_says_what_the_pod_needs() {
    let cluster = FakeCluster::start(1).await;
    let (_serve, is_known) =
        answer(&cluster, ", awsRegion: eu-west-1", &[], "no keys from AWS").await;
    assert!(!is_known);
    assert!(cluster.world().shown.is_empty());
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_as_iam_calls_it() {
    let cluster = FakeCluster::start(1).await;
    cluster.change(|world| {
        world.topic("t", 1, 100);
        world.topics.get_mut("t").unwrap().error = TOPIC_AUTHORIZATION_FAILED;
        world.classic_group("g", "t", 40);
        world.group("g").error = GROUP_AUTHORIZATION_FAILED;
    });
    let region = ", awsRegion: eu-west-1";
    let (serve, is_known) = answer(&cluster, region, &OWN, "kafka-cluster:Describe").await;
    assert!(!is_known);
    let (_, detail) = serve.get("api/v1/targets/tests/msk").await;
    for words in [
        "DESCRIBE on topic t (in its IAM policy: kafka-cluster:DescribeTopic)",
        "DESCRIBE on group g and on the topics that it reads (in its IAM policy: \
         kafka-cluster:DescribeGroup and kafka-cluster:DescribeTopic)",
    ] {
        assert!(detail.contains(words), "{words:?} is not in {detail}");
    }
}
