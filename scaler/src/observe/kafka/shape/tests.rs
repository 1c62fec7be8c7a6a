//! The field tables against the encoder: a message with something in every field, in every version
//! that is spoken, has the shape that its table says, to the byte.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use kafka_protocol::messages::consumer_group_describe_response as consumer;
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, StrBytes};

use super::*;
use crate::observe::kafka::protocol::Ask;

/// Checks the message that `build` makes in each of `versions`: whole it fits to the byte, cut
/// anywhere it does not.
fn check<T: Encodable>(
    shape: &Shape,
    versions: std::ops::RangeInclusive<i16>,
    build: impl Fn(i16) -> T,
) {
    for version in versions {
        let mut bytes = BytesMut::new();
        build(version).encode(&mut bytes, version).unwrap();
        let name = std::any::type_name::<T>();
        let beyond = shape.beyond(&bytes, version).map(<[u8]>::len);
        assert_eq!(beyond, Some(0), "{name} version {version}");
        for length in 0..bytes.len() {
            let fits = shape.fits(&bytes[..length], version);
            assert!(!fits, "{name} version {version} cut at {length}");
        }
    }
}

fn check_answer<R: Ask<Response: Encodable>>(build: impl Fn(i16) -> R::Response) {
    check(&R::SHAPE, R::SPOKEN.min..=R::SPOKEN.max, build);
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn unknown_tags() -> BTreeMap<i32, Bytes> {
    BTreeMap::from([(77, Bytes::from_static(b"later"))])
}

#[test]
fn api_versions() {
    check_answer::<ApiVersionsRequest>(|version| {
        let api = ApiVersion::default().with_api_key(3).with_max_version(9);
        let answer = ApiVersionsResponse::default().with_api_keys(vec![api; 2]);
        if version < 3 {
            return answer;
        }
        let supported = SupportedFeatureKey::default().with_name(text("kraft.version"));
        let finalized = FinalizedFeatureKey::default().with_name(text("group.version"));
        answer
            .with_supported_features(vec![supported])
            .with_finalized_features_epoch(5)
            .with_finalized_features(vec![finalized; 2])
            .with_zk_migration_ready(true)
            .with_unknown_tagged_fields(unknown_tags())
    });
}

#[test]
fn metadata() {
    check_answer::<MetadataRequest>(|version| {
        let broker = MetadataResponseBroker::default()
            .with_host(text("kafka"))
            .with_rack(Some(text("a")));
        let partition = MetadataResponsePartition::default()
            .with_replica_nodes(vec![BrokerId(1), BrokerId(2)])
            .with_isr_nodes(vec![BrokerId(1)])
            .with_offline_replicas(if version >= 5 {
                vec![BrokerId(2)]
            } else {
                Vec::new()
            });
        let topic = MetadataResponseTopic::default()
            .with_name(Some(TopicName(text("orders"))))
            .with_partitions(vec![partition; 2]);
        let answer = MetadataResponse::default()
            .with_brokers(vec![broker; 2])
            .with_cluster_id(Some(text("id")))
            .with_topics(vec![topic; 2]);
        if version < 9 {
            return answer;
        }
        answer.with_unknown_tagged_fields(unknown_tags())
    });
}

#[test]
fn find_coordinator() {
    check_answer::<FindCoordinatorRequest>(|version| {
        if version < 4 {
            return FindCoordinatorResponse::default()
                .with_host(text("kafka"))
                .with_error_message(Some(text("none")));
        }
        let found = Coordinator::default()
            .with_key(text("group"))
            .with_host(text("kafka"));
        FindCoordinatorResponse::default().with_coordinators(vec![found; 2])
    });
}

#[test]
fn offset_fetch() {
    check_answer::<OffsetFetchRequest>(|version| {
        if version < 8 {
            let partition = OffsetFetchResponsePartition::default().with_metadata(Some(text("m")));
            let topic = OffsetFetchResponseTopic::default()
                .with_name(TopicName(text("orders")))
                .with_partitions(vec![partition; 2]);
            return OffsetFetchResponse::default().with_topics(vec![topic; 2]);
        }
        let partition = OffsetFetchResponsePartitions::default().with_metadata(Some(text("m")));
        let topic = OffsetFetchResponseTopics::default()
            .with_name(TopicName(text("orders")))
            .with_partitions(vec![partition; 2]);
        let group = OffsetFetchResponseGroup::default()
            .with_group_id(GroupId(text("group")))
            .with_topics(vec![topic; 2]);
        OffsetFetchResponse::default().with_groups(vec![group; 2])
    });
}

#[test]
fn describe_groups() {
    check_answer::<DescribeGroupsRequest>(|version| {
        let member = DescribedGroupMember::default()
            .with_member_id(text("member"))
            .with_group_instance_id((version >= 4).then(|| text("static")))
            .with_client_id(text("client"))
            .with_client_host(text("/10.0.0.1"))
            .with_member_metadata(Bytes::from_static(b"metadata"))
            .with_member_assignment(Bytes::from_static(b"assignment"));
        let group = DescribedGroup::default()
            .with_error_message((version >= 6).then(|| text("none")))
            .with_group_id(GroupId(text("group")))
            .with_group_state(text("Stable"))
            .with_protocol_type(text("consumer"))
            .with_protocol_data(text("range"))
            .with_members(vec![member; 2]);
        DescribeGroupsResponse::default().with_groups(vec![group; 2])
    });
}

#[test]
fn consumer_group_describe() {
    check_answer::<ConsumerGroupDescribeRequest>(|version| {
        let topic = consumer::TopicPartitions::default()
            .with_topic_name(TopicName(text("orders")))
            .with_partitions(vec![1, 2, 3]);
        let assignment = consumer::Assignment::default().with_topic_partitions(vec![topic; 2]);
        let member = consumer::Member::default()
            .with_member_id(text("member"))
            .with_instance_id(Some(text("static")))
            .with_rack_id(Some(text("a")))
            .with_client_id(text("client"))
            .with_client_host(text("/10.0.0.1"))
            .with_subscribed_topic_names(vec![TopicName(text("orders")); 2])
            .with_subscribed_topic_regex(Some(text("o.*")))
            .with_assignment(assignment.clone())
            .with_target_assignment(assignment)
            .with_member_type(if version >= 1 { 1 } else { -1 });
        let group = consumer::DescribedGroup::default()
            .with_error_message(Some(text("none")))
            .with_group_id(GroupId(text("group")))
            .with_group_state(text("Stable"))
            .with_assignor_name(text("uniform"))
            .with_members(vec![member; 2]);
        ConsumerGroupDescribeResponse::default().with_groups(vec![group; 2])
    });
}

#[test]
fn list_offsets() {
    check_answer::<ListOffsetsRequest>(|version| {
        let epoch = if version >= 4 { 3 } else { -1 };
        let partition = ListOffsetsPartitionResponse::default().with_leader_epoch(epoch);
        let topic = ListOffsetsTopicResponse::default()
            .with_name(TopicName(text("orders")))
            .with_partitions(vec![partition; 2]);
        ListOffsetsResponse::default().with_topics(vec![topic; 2])
    });
}

#[test]
fn a_members_assignment() {
    check(&ASSIGNMENT, 0..=3, |_version| {
        let topic = TopicPartition::default()
            .with_topic(TopicName(text("orders")))
            .with_partitions(vec![1, 2, 3]);
        ConsumerProtocolAssignment::default()
            .with_assigned_partitions(vec![topic; 2])
            .with_user_data(Some(Bytes::from_static(b"data")))
    });
}

#[test]
fn a_known_tag_that_does_not_fill_its_size_does_not_fit() {
    // No error, no apis, no throttling; one tag, 1 (eight bytes), said to be nine bytes long.
    let mut bytes = vec![0, 0, 1, 0, 0, 0, 0, 1, 1, 9];
    bytes.extend([0; 9]);
    assert!(!API_VERSIONS.fits(&bytes, 3));
    bytes[9] = 8;
    assert!(API_VERSIONS.fits(&bytes, 3));
}
