//! The server around the calls: health, reflection, bounds, and its end.

use evenkeel_scaler::grpc::Health;
use evenkeel_scaler::grpc::wire::external_scaler_client::ExternalScalerClient;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use crate::world::{PATIENCE, Running, known, metrics_of, scaled_object, with_metadata, within};

async fn health(client: &mut HealthClient<Channel>, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    match client.check(request).await {
        Ok(reply) => Ok(reply.into_inner().status()),
        Err(status) => Err(status.code()),
    }
}

#[tokio::test]
async fn health_tells_alive_from_ready() {
    let server = Running::start("").await;
    let mut client = HealthClient::new(server.channel().await);
    let alive = Ok(ServingStatus::Serving);
    for (ready, expected) in [
        (false, ServingStatus::NotServing),
        (true, ServingStatus::Serving),
        (false, ServingStatus::NotServing),
    ] {
        set(&server.health, ready).await;
        assert_eq!(health(&mut client, "").await, Ok(expected));
        assert_eq!(health(&mut client, "readiness").await, Ok(expected));
        assert_eq!(health(&mut client, "liveness").await, alive);
    }
    assert_eq!(health(&mut client, "nonsense").await, Err(Code::NotFound));
    server.stop().await;
}

async fn set(health: &Health, ready: bool) {
    if ready {
        health.ready().await;
    } else {
        health.not_ready().await;
    }
}

#[tokio::test]
async fn readiness_goes_when_the_shutdown_begins_and_a_watcher_cannot_delay_it_for_ever() {
    let server = Running::start("grpc: {drain: 300ms}").await;
    server.health.ready().await;
    let mut client = HealthClient::new(server.channel().await);
    let mut watch = client
        .watch(HealthCheckRequest {
            service: "readiness".to_owned(),
        })
        .await
        .unwrap()
        .into_inner();
    let status = within(watch.message()).await.unwrap().unwrap().status();
    assert_eq!(status, ServingStatus::Serving);
    server.world.shutdown.cancel();
    let status = within(watch.message()).await.unwrap().unwrap().status();
    assert_eq!(status, ServingStatus::NotServing);
    // The watch stays open; the server ends all the same.
    server.stop().await;
    drop(watch);
}

#[tokio::test]
async fn reflection_names_every_service_in_both_versions() {
    let server = Running::start("").await;
    let channel = server.channel().await;
    let expected = ["externalscaler.ExternalScaler", "grpc.health.v1.Health"];

    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let replies = client
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let reply = replies
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(listed)) =
        reply.message_response
    else {
        panic!("{reply:?}");
    };
    let names: Vec<&str> = listed
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for service in expected {
        assert!(names.contains(&service), "{names:?}");
    }

    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                "externalscaler.ExternalScaler".to_owned(),
            ),
        ),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let replies = client
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let reply = replies
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    assert!(
        matches!(
            reply.message_response,
            Some(v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_))
        ),
        "{reply:?}"
    );
    server.stop().await;
}

#[tokio::test]
async fn sixty_four_megabytes_of_metadata_are_refused_without_harm() {
    let server = Running::start("").await;
    let channel = server.channel().await;
    let mut client = ExternalScalerClient::new(channel);
    let huge = "x".repeat(64 * 1_024 * 1_024);
    let refused = client
        .get_metrics(metrics_of(with_metadata("consumer", &[("query", &huge)])))
        .await;
    // The server says so before it has read it all; a client that is still writing may see the
    // stream reset instead of the status.
    let code = refused.unwrap_err().code();
    assert!(
        matches!(
            code,
            Code::OutOfRange | Code::ResourceExhausted | Code::Internal | Code::Unknown
        ),
        "{code}"
    );
    let above_the_limit = with_metadata("consumer", &[("query", &"x".repeat(65_536))]);
    let refused = client.get_metric_spec(above_the_limit).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    assert!(server.world.registry.all().is_empty());
    client
        .get_metric_spec(scaled_object("consumer"))
        .await
        .unwrap();
    server.world.publish("consumer", known(2, true), &[]);
    let reply = client
        .get_metrics(metrics_of(scaled_object("consumer")))
        .await;
    assert_eq!(reply.unwrap().into_inner().metric_values[0].metric_value, 2);
    server.stop().await;
}

#[tokio::test]
async fn many_entries_within_the_limit_are_refused_with_a_short_sentence() {
    let server = Running::start("limits: {grpcMessageBytes: 16777216}").await;
    let mut client = server.client().await;
    let mut request = scaled_object("consumer");
    for number in 0..100_000 {
        request
            .scaler_metadata
            .insert(format!("key{number}"), "value".to_owned());
    }
    let asking = client.is_active(request);
    let status = tokio::time::timeout(PATIENCE, asking)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().len() < 4_096, "{}", status.message().len());
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_grpc_does_no_harm() {
    use tokio::io::AsyncWriteExt as _;

    let server = Running::start("").await;
    let mut socket = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\0\xff\xff")
        .await
        .unwrap();
    let mut client = server.client().await;
    client
        .get_metric_spec(scaled_object("consumer"))
        .await
        .unwrap();
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn no_call_is_lost_when_a_connection_reaches_its_age() {
    let server = Running::start("grpc: {maxConnectionAge: 1s}").await;
    let mut client = server.client().await;
    let mut stream = client
        .stream_metric_spec(scaled_object("consumer"))
        .await
        .unwrap()
        .into_inner();
    assert!(within(stream.message()).await.unwrap().is_some());
    // The stream's end is the sign that its connection's time is up.
    let ended = tokio::spawn(async move { within(stream.message()).await });
    let mut answered = 0;
    let mut after = 0;
    while after < 100 {
        after += i32::from(ended.is_finished());
        let asking = client.get_metric_spec(scaled_object("consumer"));
        match tokio::time::timeout(PATIENCE, asking).await.unwrap() {
            Ok(_) => answered += 1,
            // A call that was still queued in the client when the connection closed. KEDA's
            // client repeats such calls by itself; this one leaves it to us.
            Err(status) => assert_eq!(status.code(), Code::Cancelled, "{status}"),
        }
    }
    assert_eq!(ended.await.unwrap().unwrap(), None);
    // Whatever reached the server was answered.
    assert_eq!(server.world.calls("GetMetricSpec", "OK"), answered);
    server.stop().await;
}
