//! The requests that are sent, the versions of them that are spoken, and how answers are decoded.
//!
//! The range of versions is the intersection of what `kafka-protocol` encodes and what is used here:
//! Metadata from 4 (older versions cannot forbid the creation of topics), OffsetFetch from 2 (all
//! of a group's offsets), ListOffsets from 2 (isolation level): Kafka 0.11 and newer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataRequest, MetadataResponse, OffsetFetchRequest, OffsetFetchResponse,
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, VersionRange};

use super::shape::{self, Shape};

/// A request that this adapter sends. `kafka_protocol`'s own trait of the kind is there only with
/// its broker's half, which the scaler does not need.
pub trait Ask: Encodable + HeaderVersion + Send + Sync {
    /// What answers it.
    type Response: Decodable + HeaderVersion + Send;
    /// As Kafka numbers it.
    const KEY: ApiKey;
    /// As Kafka names it.
    const NAME: &'static str;
    /// The versions that are spoken.
    const SPOKEN: VersionRange;
    /// The shape of the answer.
    const SHAPE: Shape;
}

macro_rules! asks {
    ($($request:ty => $response:ty: $key:ident $name:literal, $min:literal to $max:literal, $shape:path;)*) => {$(
        impl Ask for $request {
            type Response = $response;
            const KEY: ApiKey = ApiKey::$key;
            const NAME: &'static str = $name;
            const SPOKEN: VersionRange = VersionRange { min: $min, max: $max };
            const SHAPE: Shape = $shape;
        }
    )*};
}

asks! {
    ApiVersionsRequest => ApiVersionsResponse: ApiVersions "ApiVersions", 0 to 3, shape::API_VERSIONS;
    SaslHandshakeRequest => SaslHandshakeResponse: SaslHandshake "SaslHandshake", 1 to 1, shape::SASL_HANDSHAKE;
    SaslAuthenticateRequest => SaslAuthenticateResponse: SaslAuthenticate "SaslAuthenticate", 0 to 2, shape::SASL_AUTHENTICATE;
    MetadataRequest => MetadataResponse: Metadata "Metadata", 4 to 13, shape::METADATA;
    FindCoordinatorRequest => FindCoordinatorResponse: FindCoordinator "FindCoordinator", 1 to 6, shape::FIND_COORDINATOR;
    OffsetFetchRequest => OffsetFetchResponse: OffsetFetch "OffsetFetch", 2 to 9, shape::OFFSET_FETCH;
    DescribeGroupsRequest => DescribeGroupsResponse: DescribeGroups "DescribeGroups", 0 to 6, shape::DESCRIBE_GROUPS;
    ConsumerGroupDescribeRequest => ConsumerGroupDescribeResponse: ConsumerGroupDescribe "ConsumerGroupDescribe", 0 to 1, shape::CONSUMER_GROUP_DESCRIBE;
    ListOffsetsRequest => ListOffsetsResponse: ListOffsets "ListOffsets", 2 to 10, shape::LIST_OFFSETS;
}

/// Decodes the body of an answer.
///
/// # Errors
/// A sentence about what is wrong with it. The decoder's own panics count as that too: the shape
/// check should leave none, but the bytes come from outside.
pub fn decode<T: Decodable>(shape: &Shape, mut body: Bytes, version: i16) -> Result<T, String> {
    if !shape.fits(&body, version) {
        return Err(format!("{} bytes of another shape", body.len()));
    }
    match catch_unwind(AssertUnwindSafe(|| T::decode(&mut body, version))) {
        Ok(Ok(message)) => Ok(message),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the decoder gave up".to_owned()),
    }
}
