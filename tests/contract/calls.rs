//! The unary calls: GetMetricSpec, GetMetrics and IsActive.

use std::time::Duration;

use evenkeel_engine::Cause;
use evenkeel_scaler::grpc::METRIC_NAME;
use evenkeel_scaler::grpc::service::FIRST_OBSERVATION_WAIT;
use evenkeel_scaler::grpc::wire::external_scaler_server::ExternalScaler as _;
use evenkeel_scaler::grpc::wire::{GetMetricsRequest, MetricSpec, MetricValue};
use tonic::{Code, Request};

use crate::world::{
    Running, World, known, metrics_of, scaled_object, unknown, until, with_metadata,
};

#[tokio::test]
async fn the_spec_is_one_constant_and_registers_the_target() {
    let server = Running::start("").await;
    let mut client = server.client().await;
    for pairs in [&[][..], &[("lagThreshold", "99"), ("maxReplicas", "7")]] {
        let spec = client
            .get_metric_spec(with_metadata("consumer", pairs))
            .await
            .unwrap();
        assert_eq!(
            spec.into_inner().metric_specs,
            [MetricSpec {
                metric_name: "evenkeel-replicas".to_owned(),
                target_size: 1,
                target_size_float: 1.0,
            }]
        );
    }
    assert_eq!(METRIC_NAME, "evenkeel-replicas");
    assert_eq!(server.world.registry.all().len(), 2);
    assert_eq!(server.world.calls("GetMetricSpec", "OK"), 2);
    server.stop().await;
}

#[tokio::test]
async fn exactly_one_value_comes_under_the_asked_name_in_both_fields() {
    let server = Running::start("").await;
    let mut client = server.client().await;
    client
        .get_metric_spec(scaled_object("consumer"))
        .await
        .unwrap();
    for (replicas, active) in [(14, true), (1, true), (0, false)] {
        server
            .world
            .publish("consumer", known(replicas, active), &[]);
        for name in [METRIC_NAME, "another", ""] {
            let request = GetMetricsRequest {
                metric_name: name.to_owned(),
                ..metrics_of(scaled_object("consumer"))
            };
            let values = client
                .get_metrics(request)
                .await
                .unwrap()
                .into_inner()
                .metric_values;
            assert_eq!(
                values,
                [MetricValue {
                    metric_name: name.to_owned(),
                    metric_value: i64::from(replicas),
                    metric_value_float: f64::from(replicas),
                }]
            );
        }
        let reply = client.is_active(scaled_object("consumer")).await.unwrap();
        assert_eq!(reply.into_inner().result, active);
    }
    assert_eq!(server.world.calls("GetMetrics", "OK"), 9);
    assert_eq!(server.world.calls("IsActive", "OK"), 3);
    server.stop().await;
}

#[tokio::test]
async fn two_calls_of_one_trigger_read_one_target() {
    let server = Running::start("").await;
    let mut first = server.client().await;
    let mut second = server.client().await;
    for client in [&mut first, &mut second] {
        client.get_metric_spec(scaled_object("one")).await.unwrap();
        client.get_metric_spec(scaled_object("two")).await.unwrap();
    }
    assert_eq!(server.world.registry.all().len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn a_call_waits_for_the_first_decision() {
    let server = Running::start("").await;
    let mut client = server.client().await;
    let waiting = tokio::spawn(async move {
        client
            .get_metrics(metrics_of(scaled_object("consumer")))
            .await
    });
    until("the call registers the target", || {
        server.world.registry.find("shop", "consumer").is_some()
    })
    .await;
    server.world.publish("consumer", known(3, true), &[]);
    let values = waiting.await.unwrap().unwrap().into_inner().metric_values;
    assert_eq!(values[0].metric_value, 3);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_the_first_decision_is_bounded() {
    let world = World::new("");
    let began = tokio::time::Instant::now();
    let request = Request::new(metrics_of(scaled_object("consumer")));
    let status = world.scaler.get_metrics(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.message().contains("Kafka has not answered"),
        "{status}"
    );
    // Virtual time: the bound itself, not how fast the machine is.
    assert!(began.elapsed() <= FIRST_OBSERVATION_WAIT + Duration::from_millis(10));
    let request = Request::new(scaled_object("consumer"));
    let status = world.scaler.is_active(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let request = Request::new(scaled_object("consumer"));
    assert!(world.scaler.get_metric_spec(request).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_ends_with_the_server() {
    let world = World::new("");
    let request = Request::new(metrics_of(scaled_object("consumer")));
    let (status, ()) = tokio::join!(world.scaler.get_metrics(request), async {
        tokio::task::yield_now().await;
        world.shutdown.cancel();
    });
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("shutting down"), "{status}");
}

#[tokio::test]
async fn unknown_is_an_error_that_names_its_problems_and_never_zero() {
    let server = Running::start("").await;
    let mut client = server.client().await;
    client
        .get_metric_spec(scaled_object("consumer"))
        .await
        .unwrap();
    let problems = [
        "topic orders does not exist: create it",
        "group trades: not authorised",
    ];
    server
        .world
        .publish("consumer", unknown(Cause::NotFound), &problems);
    let value = client
        .get_metrics(metrics_of(scaled_object("consumer")))
        .await;
    let active = client.is_active(scaled_object("consumer")).await;
    for status in [value.unwrap_err(), active.unwrap_err()] {
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("not_found"), "{status}");
        for problem in problems {
            assert!(status.message().contains(problem), "{status}");
        }
    }
    assert!(
        client
            .get_metric_spec(scaled_object("consumer"))
            .await
            .is_ok()
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_decision_counts_until_it_is_too_old_and_no_longer() {
    let world = World::new("");
    let ask = || {
        world
            .scaler
            .get_metrics(Request::new(metrics_of(scaled_object("consumer"))))
    };
    let request = Request::new(scaled_object("consumer"));
    world.scaler.get_metric_spec(request).await.unwrap();
    world.publish("consumer", known(5, true), &["broker 1: no answer"]);
    tokio::time::advance(Duration::from_secs(120)).await;
    assert!(ask().await.is_ok());
    tokio::time::advance(Duration::from_millis(1)).await;
    let status = ask().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("120.001s old"), "{status}");
    assert!(status.message().contains("broker 1: no answer"), "{status}");
    let request = Request::new(scaled_object("consumer"));
    assert_eq!(
        world.scaler.is_active(request).await.unwrap_err().code(),
        Code::Unavailable
    );
    let request = Request::new(scaled_object("consumer"));
    assert!(world.scaler.get_metric_spec(request).await.is_ok());
}

#[tokio::test]
async fn wrong_metadata_is_refused_with_every_error_by_every_call_whose_words_keda_hands_on() {
    let server = Running::start("").await;
    let mut client = server.client().await;
    let wrong = || {
        with_metadata(
            "consumer",
            &[
                ("lagTreshold", "5"),
                ("catchUpSeconds", "soon"),
                ("password", "hunter2"),
            ],
        )
    };
    // KEDA drops the words of an error of these two, and before 2.20 makes an HPA on CPU of it.
    let spec = client.get_metric_spec(wrong()).await.unwrap();
    assert_eq!(spec.into_inner().metric_specs.len(), 1);
    assert!(client.stream_metric_spec(wrong()).await.is_ok());
    let refusals = [
        client.get_metrics(metrics_of(wrong())).await.unwrap_err(),
        client.is_active(wrong()).await.unwrap_err(),
        client.stream_is_active(wrong()).await.unwrap_err(),
    ];
    for status in refusals {
        assert_eq!(status.code(), Code::InvalidArgument);
        let message = status.message();
        assert!(message.contains("3 errors"), "{message}");
        assert!(message.contains("did you mean lagThreshold?"), "{message}");
        assert!(message.contains("catchUpSeconds = \"soon\""), "{message}");
        assert!(message.contains("profile"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    assert!(server.world.registry.all().is_empty());
    assert_eq!(server.world.calls("StreamIsActive", "INVALID_ARGUMENT"), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_request_without_a_scaled_object_is_refused() {
    let server = Running::start("").await;
    let mut client = server.client().await;
    let status = client
        .get_metrics(GetMetricsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = client.is_active(scaled_object("")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    server.stop().await;
}

#[tokio::test]
async fn what_a_profile_does_not_allow_is_permission_denied() {
    let server =
        Running::start("clusters: {kafka: {bootstrapServers: [kafka:9092], namespaces: [other]}}")
            .await;
    let mut client = server.client().await;
    let status = client
        .is_active(scaled_object("consumer"))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("namespace shop"), "{status}");
    let also_wrong = with_metadata("consumer", &[("lagThreshold", "x")]);
    let status = client.is_active(also_wrong).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    server.stop().await;
}

#[tokio::test]
async fn a_full_registry_refuses_values_and_still_gives_the_spec() {
    let server = Running::start("limits: {targets: 1}").await;
    let mut client = server.client().await;
    client
        .get_metric_spec(scaled_object("first"))
        .await
        .unwrap();
    let second = || scaled_object("second");
    client.get_metric_spec(second()).await.unwrap();
    for status in [
        client.get_metrics(metrics_of(second())).await.unwrap_err(),
        client.is_active(second()).await.unwrap_err(),
        client.stream_is_active(second()).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("limits.targets"), "{status}");
    }
    server.stop().await;
}
