//! How it starts, what it answers without a Kafka, how it ends.

use std::collections::HashMap;

use super::process::{Serve, free_address, in_time};
use evenkeel_scaler::grpc::METRIC_NAME;
use evenkeel_scaler::grpc::wire::{GetMetricsRequest, ScaledObjectRef};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

fn scaled_object(name: &str, bootstrap_servers: &str) -> ScaledObjectRef {
    ScaledObjectRef {
        name: name.to_owned(),
        namespace: "shop".to_owned(),
        scaler_metadata: HashMap::from(
            [
                ("bootstrapServers", bootstrap_servers),
                ("consumerGroup", "orders"),
                ("topic", "orders"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        ),
    }
}

fn metrics_of(object: &ScaledObjectRef) -> GetMetricsRequest {
    GetMetricsRequest {
        scaled_object_ref: Some(object.clone()),
        metric_name: METRIC_NAME.to_owned(),
    }
}

#[tokio::test]
async fn it_starts_says_so_drains_on_sigterm_and_ends_with_0() {
    let mut serve = Serve::start("adhocClusters: true").await;
    let mut health = HealthClient::new(serve.channel().await);
    let answer = in_time(health.check(HealthCheckRequest::default()))
        .await
        .unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving);

    for path in ["livez", "readyz", "metrics", "api/v1/targets"] {
        assert_eq!(serve.get(path).await.0, 200, "{path}");
    }

    let object = scaled_object("orders", &free_address().to_string());
    let mut stream = in_time(serve.client().await.stream_is_active(object))
        .await
        .unwrap()
        .into_inner();

    serve.signal("TERM");
    let end = in_time(async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                end => return end,
            }
        }
    })
    .await;
    assert!(matches!(end, Ok(None)), "the stream ends with OK: {end:?}");
    let admin = serve.admin;
    let (status, log) = serve.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("ended in order"), "{log}");
    assert!(
        TcpStream::connect(admin).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut serve = Serve::start("").await;
    // A connection that says nothing keeps the drain waiting.
    let _mute = TcpStream::connect(serve.grpc).await.unwrap();
    serve.signal("INT");
    serve.logged("a second one ends at once").await;
    assert_eq!(serve.get("readyz").await.0, 503, "the drain can be watched");
    serve.signal("TERM");
    let (status, log) = serve.end().await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("ending at once"), "{log}");
}

#[tokio::test]
async fn a_wrong_configuration_ends_with_64_and_everything_that_is_wrong() {
    let (status, log) = Serve::spawn("poll:\n  interval: never\n  request: 1s\n", &[], &[])
        .end()
        .await;
    assert_eq!(status.code(), Some(64), "{log}");
    assert!(log.contains("poll.interval"), "{log}");
    assert!(log.contains("poll.request"), "{log}");
    assert!(!log.contains("listening"), "{log}");
}

#[tokio::test]
async fn a_log_level_that_is_none_ends_with_64() {
    let (status, log) = Serve::spawn("", &[], &[("EVENKEEL_LOG", "evenkeel=loud")])
        .end()
        .await;
    assert_eq!(status.code(), Some(64), "{log}");
    assert!(log.contains("evenkeel=loud"), "{log}");
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, setting) in [
        ("--grpc-listen", "grpc.listen"),
        ("--admin-listen", "admin.listen"),
    ] {
        let (status, log) = Serve::spawn("", &[flag, &address], &[]).end().await;
        assert_eq!(status.code(), Some(1), "{log}");
        let sentence = format!("{setting} {address} cannot be listened on: Address already in use");
        assert!(log.contains(&sentence), "{log}");
        assert_eq!(log.matches("Address already in use").count(), 1, "{log}");
    }
}

#[tokio::test]
async fn without_a_kafka_the_spec_is_answered_and_a_value_is_unavailable_with_a_sentence() {
    let serve = Serve::start("adhocClusters: true").await;
    let mut client = serve.client().await;
    let address = free_address().to_string();
    let object = scaled_object("orders", &address);

    let spec = in_time(client.get_metric_spec(object.clone()))
        .await
        .unwrap();
    assert_eq!(spec.into_inner().metric_specs.len(), 1);

    let refusal = in_time(client.get_metrics(metrics_of(&object)))
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
    assert!(refusal.message().contains(&address), "{refusal:?}");
    assert!(
        refusal.message().contains("refused"),
        "the sentence says what is wrong: {refusal:?}"
    );
    let refusal = in_time(client.is_active(object)).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
}

#[tokio::test]
async fn at_debug_every_call_is_logged_with_its_target_code_and_reason() {
    let serve = Serve::start_in("", &[("EVENKEEL_LOG", "evenkeel=debug")]).await;
    let mut client = serve.client().await;
    let mut object = scaled_object("orders", "localhost:1");
    in_time(client.get_metric_spec(object.clone()))
        .await
        .unwrap();
    object.scaler_metadata.remove("topic");
    object
        .scaler_metadata
        .insert("lagTreshold".to_owned(), "5".to_owned());
    in_time(client.is_active(object)).await.unwrap_err();
    for (method, outcome) in [
        ("GetMetricSpec", r#"code="OK""#),
        ("IsActive", r#"code="INVALID_ARGUMENT""#),
    ] {
        let span = format!(r#"rpc{{method="{method}" namespace="shop" name="orders"}}: "#);
        serve.logged(&span).await;
        serve.logged(outcome).await;
    }
    serve.logged("did you mean lagThreshold?").await;
}

#[tokio::test]
async fn one_cluster_without_a_profile_too_many_is_told_the_limit() {
    let serve = Serve::start("adhocClusters: true\nlimits:\n  adhocClusters: 1").await;
    let mut client = serve.client().await;
    let first = scaled_object("first", &free_address().to_string());
    let second = scaled_object("second", &free_address().to_string());
    let limit = "which is limits.adhocClusters";
    let refusal = in_time(client.get_metrics(metrics_of(&first)))
        .await
        .unwrap_err();
    assert!(!refusal.message().contains(limit), "{refusal:?}");
    let refusal = in_time(client.get_metrics(metrics_of(&second)))
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
    assert!(refusal.message().contains(limit), "{refusal:?}");
}
