//! The bytes on the wire, written out by hand: KEDA's field numbers and types.

use evenkeel_scaler::grpc::wire::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
    MetricValue, ScaledObjectRef,
};
use prost::Message;

/// Checks that `message` is `bytes`, both ways.
#[track_caller]
fn check<M: Message + Default + PartialEq + std::fmt::Debug>(message: M, bytes: &[u8]) {
    assert_eq!(message.encode_to_vec(), bytes);
    assert_eq!(M::decode(bytes).unwrap(), message);
}

#[test]
fn a_scaled_object_is_name_namespace_and_metadata() {
    check(
        ScaledObjectRef {
            name: "ab".to_owned(),
            namespace: "c".to_owned(),
            scaler_metadata: [("k".to_owned(), "vw".to_owned())].into(),
        },
        b"\x0a\x02ab\x12\x01c\x1a\x07\x0a\x01k\x12\x02vw",
    );
}

#[test]
fn activity_is_one_bool_and_absent_when_false() {
    check(IsActiveResponse { result: true }, b"\x08\x01");
    check(IsActiveResponse { result: false }, b"");
}

#[test]
fn a_spec_is_name_integer_and_double() {
    check(
        GetMetricSpecResponse {
            metric_specs: vec![MetricSpec {
                metric_name: "m".to_owned(),
                target_size: 1,
                target_size_float: 1.0,
            }],
        },
        b"\x0a\x0e\x0a\x01m\x10\x01\x19\x00\x00\x00\x00\x00\x00\xf0\x3f",
    );
}

#[test]
fn a_request_for_metrics_is_scaled_object_and_name() {
    check(
        GetMetricsRequest {
            scaled_object_ref: Some(ScaledObjectRef {
                name: "a".to_owned(),
                ..ScaledObjectRef::default()
            }),
            metric_name: "m".to_owned(),
        },
        b"\x0a\x03\x0a\x01a\x12\x01m",
    );
}

#[test]
fn a_value_is_name_integer_and_double() {
    check(
        GetMetricsResponse {
            metric_values: vec![MetricValue {
                metric_name: "m".to_owned(),
                metric_value: 300,
                metric_value_float: 300.0,
            }],
        },
        b"\x0a\x0f\x0a\x01m\x10\xac\x02\x19\x00\x00\x00\x00\x00\xc0\x72\x40",
    );
}
