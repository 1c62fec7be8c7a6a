//! What is the same for every call: counted and timed once, refused at once where too many are in
//! flight.

use std::time::Duration;

use evenkeel_scaler::grpc::Health;
use evenkeel_scaler::grpc::layers::observe::Observe;
use evenkeel_scaler::grpc::wire::external_scaler_client::ExternalScalerClient;
use futures::FutureExt as _;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::codegen::http;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1;

use crate::world::{
    Running, World, known, metrics_of, scaled_object, until, with_metadata, within,
};

/// A client of `world`'s services without a socket.
async fn in_process(world: &World) -> ExternalScalerClient<Observe<Routes>> {
    ExternalScalerClient::new(world.services(&Health::new().await))
}

/// The code of an answer that is only an error, to these bytes as the body of a call.
async fn code_of(channel: &mut Channel, path: &str, body: &str) -> Code {
    std::future::poll_fn(|context| channel.poll_ready(context))
        .await
        .unwrap();
    let request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .body(Body::new(body.to_owned()))
        .unwrap();
    let response = within(channel.call(request)).await.unwrap();
    Status::from_header_map(response.headers()).unwrap().code()
}

#[tokio::test]
async fn what_no_handler_sees_is_counted_with_its_code_and_never_with_the_callers_words() {
    let server = Running::start("").await;
    let mut client = server.client().await;
    let oversized = with_metadata("consumer", &[("query", &"x".repeat(65_536))]);
    let refused = client.get_metric_spec(oversized).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    assert_eq!(server.world.calls("GetMetricSpec", "OUT_OF_RANGE"), 1);

    let mut channel = server.channel().await;
    for path in [
        "/externalscaler.ExternalScaler/MadeUp",
        "/made.up.Service/Method",
        "/",
    ] {
        assert_eq!(
            code_of(&mut channel, path, "").await,
            Code::Unimplemented,
            "{path}"
        );
    }
    assert_eq!(server.world.calls("other", "UNIMPLEMENTED"), 3);
    assert_eq!(server.world.timed("other"), 3);

    // Seven is no compression flag; and a message of five bytes that is no message of ours.
    let path = "/externalscaler.ExternalScaler/IsActive";
    for frame in ["\x07\0\0\0\0", "\0\0\0\0\x05abcde"] {
        assert_eq!(code_of(&mut channel, path, frame).await, Code::Internal);
    }
    assert_eq!(server.world.calls("IsActive", "INTERNAL"), 2);
    assert!(server.world.registry.all().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn every_answered_call_is_counted_and_timed_once() {
    let server = Running::start("").await;
    let channel = server.channel().await;
    let mut client = ExternalScalerClient::new(channel.clone());
    let object = || scaled_object("consumer");
    client.get_metric_spec(object()).await.unwrap();
    server.world.publish("consumer", known(3, true), &[]);
    client.get_metrics(metrics_of(object())).await.unwrap();
    client.is_active(object()).await.unwrap();
    client.is_active(scaled_object("")).await.unwrap_err();
    let mut health = HealthClient::new(channel.clone());
    let mut check = async |service: &str| {
        let service = service.to_owned();
        health.check(HealthCheckRequest { service }).await
    };
    check("liveness").await.unwrap();
    check("nonsense").await.unwrap_err();
    let mut reflection = v1::server_reflection_client::ServerReflectionClient::new(channel);
    let request = v1::ServerReflectionRequest::default();
    let replies = reflection
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let mut replies = replies.unwrap().into_inner();
    // An empty request is answered with an error of its own, and the stream ends.
    while let Ok(Some(_)) = within(replies.message()).await {}

    for (method, codes) in [
        ("GetMetricSpec", &["OK"][..]),
        ("GetMetrics", &["OK"]),
        ("IsActive", &["OK", "INVALID_ARGUMENT"]),
        ("Health/Check", &["OK", "NOT_FOUND"]),
        (
            "ServerReflection/ServerReflectionInfo",
            &["INVALID_ARGUMENT"],
        ),
    ] {
        for code in codes {
            assert_eq!(server.world.calls(method, code), 1, "{method} {code}");
        }
        let calls = u64::try_from(codes.len()).unwrap();
        assert_eq!(server.world.timed(method), calls, "{method}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stream_is_timed_when_it_opens_and_counted_when_it_ends() {
    let server = Running::start("").await;
    let object = || scaled_object("consumer");
    let mut leaving = server.client().await;
    let left = leaving.stream_is_active(object()).await.unwrap();
    let mut client = server.client().await;
    let active = client.stream_is_active(object()).await.unwrap();
    let specs = client.stream_metric_spec(object()).await.unwrap();
    assert_eq!(server.world.timed("StreamIsActive"), 2);
    assert_eq!(server.world.timed("StreamMetricSpec"), 1);
    let world = &server.world;
    let ended = |method| world.calls(method, "OK") + world.calls(method, "CANCELLED");
    assert_eq!(ended("StreamIsActive") + ended("StreamMetricSpec"), 0);

    drop((left, leaving));
    until("the client that left is counted", || {
        world.calls("StreamIsActive", "CANCELLED") == 1
    })
    .await;
    world.shutdown.cancel();
    let (mut active, mut specs) = (active.into_inner(), specs.into_inner());
    while within(active.message()).await.unwrap().is_some() {}
    while within(specs.message()).await.unwrap().is_some() {}
    assert_eq!(world.calls("StreamIsActive", "OK"), 1);
    assert_eq!(world.calls("StreamMetricSpec", "OK"), 1);
    assert_eq!(world.timed("StreamIsActive"), 2);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_waits_for_any_more_is_counted_as_cancelled() {
    let world = World::new("");
    let mut client = in_process(&world).await;
    let call = client.get_metrics(metrics_of(scaled_object("consumer")));
    assert!(call.now_or_never().is_none(), "nothing is known yet");
    assert_eq!(world.registry.all().len(), 1, "the handler was reached");
    assert_eq!(world.calls("GetMetrics", "CANCELLED"), 1);
    assert_eq!(world.timed("GetMetrics"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_above_the_limit_is_refused_at_once_and_never_with_a_count() {
    let world = World::new("limits: {grpcConcurrency: 2}");
    let services = world.services(&Health::new().await);
    let mut client = ExternalScalerClient::new(services.clone());
    // Held: nothing is known of these two until the test publishes it.
    let held = ["one", "two"].map(|name| {
        let mut client = client.clone();
        tokio::spawn(async move { client.get_metrics(metrics_of(scaled_object(name))).await })
    });
    while world.registry.all().len() < 2 {
        tokio::task::yield_now().await;
    }

    let began = Instant::now();
    let three = || scaled_object("three");
    let refused = [
        client.get_metrics(metrics_of(three())).await.unwrap_err(),
        client.is_active(three()).await.unwrap_err(),
        client.stream_is_active(three()).await.unwrap_err(),
    ];
    for status in refused {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(
            status.message().contains("limits.grpcConcurrency"),
            "{status}"
        );
    }
    for method in ["GetMetrics", "IsActive", "StreamIsActive"] {
        assert_eq!(world.calls(method, "RESOURCE_EXHAUSTED"), 1, "{method}");
        assert_eq!(world.timed(method), 1, "{method}");
    }
    // KEDA drops a trigger that has no spec, and a probe that fails restarts the pod.
    client.get_metric_spec(three()).await.unwrap();
    client.stream_metric_spec(three()).await.unwrap();
    let mut health = HealthClient::new(services);
    health.check(HealthCheckRequest::default()).await.unwrap();
    // The paused clock moves only when nothing else can: none of these answers waited for a timer.
    assert_eq!(began.elapsed(), Duration::ZERO);

    for name in ["one", "two"] {
        world.publish(name, known(7, true), &[]);
    }
    for held in held {
        let values = held.await.unwrap().unwrap().into_inner().metric_values;
        assert_eq!(values[0].metric_value, 7);
    }
    world.publish("three", known(5, true), &[]);
    let reply = client.get_metrics(metrics_of(three())).await.unwrap();
    assert_eq!(reply.into_inner().metric_values[0].metric_value, 5);
}

#[tokio::test(start_paused = true)]
async fn open_streams_leave_the_limit_to_calls() {
    let world = World::new("limits: {grpcConcurrency: 1}");
    let mut client = in_process(&world).await;
    let mut open = Vec::new();
    for number in 0..10 {
        let object = scaled_object(&format!("c{number}"));
        let stream = client.stream_is_active(object).await.unwrap();
        open.push(stream.into_inner());
    }
    world.publish("c0", known(2, true), &[]);
    let object = scaled_object("c0");
    assert!(client.is_active(object).await.unwrap().into_inner().result);
    let pushed = open[0].message().now_or_never().unwrap().unwrap();
    assert!(pushed.unwrap().result);
}
