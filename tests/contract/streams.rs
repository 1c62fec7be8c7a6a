//! The two streams: StreamIsActive sends edges, StreamMetricSpec one constant.

use std::time::Duration;

use evenkeel_engine::Cause;
use evenkeel_scaler::grpc::wire::external_scaler_server::ExternalScaler as _;
use futures::{FutureExt as _, StreamExt as _};
use tonic::Request;

use crate::world::{PATIENCE, Running, World, known, scaled_object, unknown, until, within};

#[tokio::test(start_paused = true)]
async fn only_waking_up_is_pushed_after_the_state_on_opening() {
    let world = World::new("");
    let opened = world
        .scaler
        .stream_is_active(Request::new(scaled_object("consumer")));
    let mut stream = opened.await.unwrap().into_inner();
    let mut pushed = || {
        stream
            .next()
            .now_or_never()
            .map(|reply| reply.unwrap().unwrap().result)
    };
    assert_eq!(pushed(), None, "nothing is known yet");
    for (desired, expected) in [
        (unknown(Cause::Timeout), None),
        (known(0, false), Some(false)),
        (known(0, false), None),
        (known(1, true), Some(true)),
        (known(9, true), None),
        (unknown(Cause::Timeout), None),
        (known(9, true), None),
        (known(0, false), None),
        (unknown(Cause::Timeout), None),
        (known(0, false), None),
        (known(2, true), Some(true)),
    ] {
        world.publish("consumer", desired, &[]);
        assert_eq!(pushed(), expected, "{desired:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_that_is_too_old_is_not_pushed() {
    let world = World::new("");
    let request = Request::new(scaled_object("consumer"));
    world.scaler.get_metric_spec(request).await.unwrap();
    world.publish("consumer", known(3, true), &[]);
    tokio::time::advance(Duration::from_secs(121)).await;
    let opened = world
        .scaler
        .stream_is_active(Request::new(scaled_object("consumer")));
    let mut stream = opened.await.unwrap().into_inner();
    assert!(stream.next().now_or_never().is_none());
    world.publish("consumer", known(3, true), &[]);
    let reply = stream.next().now_or_never().unwrap();
    assert!(reply.unwrap().unwrap().result);
}

#[tokio::test(start_paused = true)]
async fn streams_end_with_their_connections_age() {
    let world = World::new("grpc: {maxConnectionAge: 60s}");
    let opened = world
        .scaler
        .stream_is_active(Request::new(scaled_object("consumer")));
    let mut edges = opened.await.unwrap().into_inner();
    let opened = world
        .scaler
        .stream_metric_spec(Request::new(scaled_object("consumer")));
    let mut specs = opened.await.unwrap().into_inner();
    assert!(specs.next().await.unwrap().is_ok());
    tokio::time::advance(Duration::from_secs(59)).await;
    assert!(edges.next().now_or_never().is_none());
    assert!(specs.next().now_or_never().is_none());
    // The paused clock moves on by itself to the next timer, which is the streams' end.
    assert!(edges.next().await.is_none());
    assert!(specs.next().await.is_none());
}

#[tokio::test]
async fn over_the_wire_a_sleeping_target_is_woken_and_the_shutdown_ends_the_stream_well() {
    let server = Running::start("").await;
    let mut client = server.client().await;
    let mut stream = client
        .stream_is_active(scaled_object("consumer"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(server.world.target("consumer").streams(), 1);
    server.world.publish("consumer", known(0, false), &[]);
    assert!(!within(stream.message()).await.unwrap().unwrap().result);
    server.world.publish("consumer", known(1, true), &[]);
    assert!(within(stream.message()).await.unwrap().unwrap().result);
    server.world.shutdown.cancel();
    // An OK is what makes KEDA come back at once instead of backing off.
    assert_eq!(within(stream.message()).await.unwrap(), None);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_no_longer_counts() {
    let server = Running::start("").await;
    let mut client = server.client().await;
    let stream = client
        .stream_is_active(scaled_object("consumer"))
        .await
        .unwrap();
    let target = server.world.target("consumer");
    assert_eq!(target.streams(), 1);
    drop(stream);
    drop(client);
    until("the stream is given up", || target.streams() == 0).await;
    server.stop().await;
}

#[tokio::test]
async fn the_spec_comes_at_once_and_its_stream_stays_open_until_the_shutdown() {
    let server = Running::start("").await;
    let mut client = server.client().await;
    let mut stream = client
        .stream_metric_spec(scaled_object("consumer"))
        .await
        .unwrap()
        .into_inner();
    let spec = within(stream.message()).await.unwrap().unwrap();
    assert_eq!(spec.metric_specs.len(), 1);
    assert_eq!(spec.metric_specs[0].target_size, 1);
    assert!(stream.message().now_or_never().is_none());
    server.world.shutdown.cancel();
    assert_eq!(within(stream.message()).await.unwrap(), None);
    server.stop().await;
}

#[tokio::test]
async fn one_connection_carries_the_streams_of_many_targets_and_calls_beside_them() {
    // KEDA has one connection for all ScaledObjects; HTTP/2 servers commonly stop at 200 streams.
    const TARGETS: usize = 300;
    let server = Running::start("limits: {grpcConcurrency: 8}").await;
    let mut client = server.client().await;
    let mut streams = Vec::new();
    for number in 0..TARGETS {
        let opening = client.stream_is_active(scaled_object(&format!("c{number}")));
        let opened = tokio::time::timeout(PATIENCE, opening).await;
        streams.push(
            opened
                .expect("another stream is let in")
                .unwrap()
                .into_inner(),
        );
    }
    let asking = client.get_metric_spec(scaled_object("c0"));
    tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("a call is let in")
        .unwrap();
    for number in 0..TARGETS {
        server
            .world
            .publish(&format!("c{number}"), known(1, true), &[]);
    }
    for stream in &mut streams {
        assert!(within(stream.message()).await.unwrap().unwrap().result);
    }
    server.stop().await;
}
