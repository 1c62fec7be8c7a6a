//! How a fake broker answers each request.

use std::collections::BTreeSet;
use std::sync::Mutex;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::consumer_group_describe_response as consumer;
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
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Request, StrBytes, decode_request_header_from_buffer,
};

use super::world::{Api, FakeGroup, FakeMember, Kind, World};

/// The answer to a frame, header and all; none where Kafka would close the connection.
pub fn answer(world: &Mutex<World>, node: i32, frame: &mut Bytes) -> Option<BytesMut> {
    let mut world = super::lock(world);
    let header = decode_request_header_from_buffer(frame).ok()?;
    let version = header.request_api_version;
    let api = Api::from_key(header.request_api_key)?;
    let spoken = world
        .versions
        .get(&api)
        .is_some_and(|(min, max)| (*min..=*max).contains(&version));
    let id = header.correlation_id;
    match api {
        Api::ApiVersions if !spoken => {
            let refusal = api_versions(&world).with_error_code(E::UnsupportedVersion.code());
            respond::<ApiVersionsRequest>(id, 0, refusal)
        }
        _ if !spoken => None,
        Api::ApiVersions => respond::<ApiVersionsRequest>(id, version, api_versions(&world)),
        Api::SaslHandshake => {
            let mechanisms = vec![text("OAUTHBEARER")];
            let answer = SaslHandshakeResponse::default().with_mechanisms(mechanisms);
            respond::<SaslHandshakeRequest>(id, version, answer)
        }
        Api::SaslAuthenticate => {
            let request = SaslAuthenticateRequest::decode(frame, version).ok()?;
            let shown = String::from_utf8_lossy(&request.auth_bytes).into_owned();
            world.shown.push(shown);
            respond::<SaslAuthenticateRequest>(id, version, SaslAuthenticateResponse::default())
        }
        Api::Metadata => {
            let request = MetadataRequest::decode(frame, version).ok()?;
            respond::<MetadataRequest>(id, version, metadata(&world, &request, version))
        }
        Api::FindCoordinator => {
            let request = FindCoordinatorRequest::decode(frame, version).ok()?;
            let answer = find_coordinator(&world, &request, version);
            respond::<FindCoordinatorRequest>(id, version, answer)
        }
        Api::OffsetFetch => {
            let request = OffsetFetchRequest::decode(frame, version).ok()?;
            let answer = offset_fetch(&world, node, &request, version);
            respond::<OffsetFetchRequest>(id, version, answer)
        }
        Api::DescribeGroups => {
            let request = DescribeGroupsRequest::decode(frame, version).ok()?;
            let answer = describe_groups(&world, node, &request, version);
            respond::<DescribeGroupsRequest>(id, version, answer)
        }
        Api::ConsumerGroupDescribe => {
            let request = ConsumerGroupDescribeRequest::decode(frame, version).ok()?;
            let answer = consumer_group_describe(&world, node, &request, version);
            respond::<ConsumerGroupDescribeRequest>(id, version, answer)
        }
        Api::ListOffsets => {
            let request = ListOffsetsRequest::decode(frame, version).ok()?;
            respond::<ListOffsetsRequest>(id, version, list_offsets(&world, node, &request))
        }
    }
}

fn respond<R: Request>(id: i32, version: i16, response: R::Response) -> Option<BytesMut> {
    let mut body = BytesMut::new();
    let header = ResponseHeader::default().with_correlation_id(id);
    header
        .encode(&mut body, R::Response::header_version(version))
        .unwrap();
    response.encode(&mut body, version).unwrap();
    Some(body)
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn api_versions(world: &World) -> ApiVersionsResponse {
    let api_keys = world.versions.iter().map(|(api, (min, max))| {
        ApiVersion::default()
            .with_api_key(*api as i16)
            .with_min_version(*min)
            .with_max_version(*max)
    });
    ApiVersionsResponse::default().with_api_keys(api_keys.collect())
}

fn metadata(world: &World, request: &MetadataRequest, version: i16) -> MetadataResponse {
    let brokers = world.brokers.iter().map(|(node, address)| {
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(*node))
            .with_host(text(&address.ip().to_string()))
            .with_port(i32::from(address.port()))
    });
    assert!(
        !request.allow_auto_topic_creation,
        "a question creates no topic"
    );
    let names = request
        .topics
        .iter()
        .flatten()
        .filter_map(|topic| topic.name.clone());
    let topics = names.map(|name| {
        let answer = MetadataResponseTopic::default().with_name(Some(name.clone()));
        let Some(topic) = world.topics.get(name.as_str()) else {
            return answer.with_error_code(E::UnknownTopicOrPartition.code());
        };
        if topic.error != 0 {
            return answer.with_error_code(topic.error);
        }
        let partitions = topic.partitions.iter().map(|(number, partition)| {
            let leader = partition.rumoured_leader.unwrap_or(partition.leader);
            let error = if leader < 0 {
                E::LeaderNotAvailable.code()
            } else {
                0
            };
            MetadataResponsePartition::default()
                .with_error_code(error)
                .with_partition_index(*number)
                .with_leader_id(BrokerId(leader))
        });
        let answer = answer.with_partitions(partitions.collect());
        if version >= 10 {
            answer.with_topic_id(uuid::Uuid::from_u128(topic.id))
        } else {
            answer
        }
    });
    MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_topics(topics.collect())
}

fn coordinator(world: &World, group: &str) -> Coordinator {
    let node = world.groups.get(group).map_or(1, |group| group.coordinator);
    let answer = Coordinator::default().with_key(text(group));
    match world.brokers.get(&node) {
        Some(address) => answer
            .with_node_id(BrokerId(node))
            .with_host(text(&address.ip().to_string()))
            .with_port(i32::from(address.port())),
        None => answer
            .with_node_id(BrokerId(-1))
            .with_error_code(E::CoordinatorNotAvailable.code()),
    }
}

fn find_coordinator(
    world: &World,
    request: &FindCoordinatorRequest,
    version: i16,
) -> FindCoordinatorResponse {
    if version >= 4 {
        let keys = request.coordinator_keys.iter();
        let found = keys.map(|key| coordinator(world, key)).collect();
        return FindCoordinatorResponse::default().with_coordinators(found);
    }
    let found = coordinator(world, &request.key);
    FindCoordinatorResponse::default()
        .with_error_code(found.error_code)
        .with_node_id(found.node_id)
        .with_host(found.host)
        .with_port(found.port)
}

/// The error that every question about a group answers, if any.
fn group_error(world: &World, node: i32, group: &str) -> i16 {
    let coordinator = world.groups.get(group).map_or(1, |group| group.coordinator);
    if coordinator != node {
        return E::NotCoordinator.code();
    }
    world.groups.get(group).map_or(0, |group| group.error)
}

/// The error that OffsetFetch answers for a whole group, if any.
fn offsets_error(world: &World, node: i32, group: &str) -> i16 {
    match group_error(world, node, group) {
        0 => world
            .groups
            .get(group)
            .map_or(0, |group| group.offsets_error),
        error => error,
    }
}

/// Topic, partition, offset, error.
type Commit = (String, i32, i64, i16);

fn commits(group: Option<&FakeGroup>, asked: Option<Vec<(String, Vec<i32>)>>) -> Vec<Commit> {
    let empty = FakeGroup::default();
    let group = group.unwrap_or(&empty);
    let keys: Vec<(String, i32)> = match asked {
        Some(topics) => topics
            .into_iter()
            .flat_map(|(topic, numbers)| numbers.into_iter().map(move |n| (topic.clone(), n)))
            .collect(),
        None => group.committed.keys().cloned().collect(),
    };
    keys.into_iter()
        .map(|key| {
            let offset = group.committed.get(&key).copied().unwrap_or(-1);
            let error = group.committed_errors.get(&key).copied().unwrap_or(0);
            (key.0, key.1, if error == 0 { offset } else { -1 }, error)
        })
        .collect()
}

fn offset_fetch(
    world: &World,
    node: i32,
    request: &OffsetFetchRequest,
    version: i16,
) -> OffsetFetchResponse {
    if version < 8 {
        let group = request.group_id.as_str();
        let error = offsets_error(world, node, group);
        let asked = request.topics.as_ref().map(|topics| {
            let topics = topics.iter();
            topics
                .map(|t| (t.name.to_string(), t.partition_indexes.clone()))
                .collect()
        });
        let commits = if error == 0 {
            commits(world.groups.get(group), asked)
        } else {
            Vec::new()
        };
        let topics = commits.chunk_by(|one, other| one.0 == other.0).map(|same| {
            let partitions = same.iter().map(|(_, number, offset, error)| {
                OffsetFetchResponsePartition::default()
                    .with_partition_index(*number)
                    .with_committed_offset(*offset)
                    .with_error_code(*error)
            });
            OffsetFetchResponseTopic::default()
                .with_name(TopicName(text(&same[0].0)))
                .with_partitions(partitions.collect())
        });
        return OffsetFetchResponse::default()
            .with_topics(topics.collect())
            .with_error_code(error);
    }
    let groups = request.groups.iter().map(|asked| {
        let group = asked.group_id.as_str();
        let error = offsets_error(world, node, group);
        let topics = asked.topics.as_ref().map(|topics| {
            let topics = topics.iter();
            topics
                .map(|t| (t.name.to_string(), t.partition_indexes.clone()))
                .collect()
        });
        let commits = if error == 0 {
            commits(world.groups.get(group), topics)
        } else {
            Vec::new()
        };
        let topics = commits.chunk_by(|one, other| one.0 == other.0).map(|same| {
            let partitions = same.iter().map(|(_, number, offset, error)| {
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(*number)
                    .with_committed_offset(*offset)
                    .with_error_code(*error)
            });
            OffsetFetchResponseTopics::default()
                .with_name(TopicName(text(&same[0].0)))
                .with_partitions(partitions.collect())
        });
        OffsetFetchResponseGroup::default()
            .with_group_id(asked.group_id.clone())
            .with_topics(topics.collect())
            .with_error_code(error)
    });
    OffsetFetchResponse::default().with_groups(groups.collect())
}

/// The bytes that a group's leader would have written.
fn assignment(member: &FakeMember) -> Bytes {
    if let Some(raw) = &member.raw_assignment {
        return Bytes::copy_from_slice(raw);
    }
    let topics = member.assigned.iter().map(|(topic, numbers)| {
        consumer_protocol_assignment::TopicPartition::default()
            .with_topic(TopicName(text(topic)))
            .with_partitions(numbers.clone())
    });
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    ConsumerProtocolAssignment::default()
        .with_assigned_partitions(topics.collect())
        .encode(&mut bytes, 0)
        .unwrap();
    bytes.freeze()
}

fn describe_groups(
    world: &World,
    node: i32,
    request: &DescribeGroupsRequest,
    version: i16,
) -> DescribeGroupsResponse {
    let groups = request.groups.iter().map(|id| {
        let answer = DescribedGroup::default().with_group_id(id.clone());
        let error = group_error(world, node, id);
        if error != 0 {
            return answer.with_error_code(error);
        }
        let known = world
            .groups
            .get(id.as_str())
            .filter(|group| group.kind == Kind::Classic);
        let Some(group) = known else {
            let error = if version >= 6 {
                E::GroupIdNotFound.code()
            } else {
                0
            };
            let message = not_a(world, id, "classic").filter(|_| version >= 6);
            return answer
                .with_group_state(text("Dead"))
                .with_error_message(message)
                .with_error_code(error);
        };
        let stable = group.state == "Stable";
        let members = group.members.iter().map(|member| {
            let assigned = if stable {
                assignment(member)
            } else {
                Bytes::new()
            };
            DescribedGroupMember::default()
                .with_member_id(text(&member.id))
                .with_client_host(text(&member.host))
                .with_member_assignment(assigned)
        });
        let assignor = if stable { group.assignor.as_str() } else { "" };
        answer
            .with_group_state(text(&group.state))
            .with_protocol_type(text(&group.protocol_type))
            .with_protocol_data(text(assignor))
            .with_members(members.collect())
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

/// Kafka's sentence about a group of another kind than asked for.
fn not_a(world: &World, id: &GroupId, kind: &str) -> Option<StrBytes> {
    let known = world.groups.contains_key(id.as_str());
    known.then(|| text(&format!("Group {} is not a {kind} group.", id.as_str())))
}

fn consumer_group_describe(
    world: &World,
    node: i32,
    request: &ConsumerGroupDescribeRequest,
    version: i16,
) -> ConsumerGroupDescribeResponse {
    let assigned = |topics: &[(String, Vec<i32>)]| {
        let topics = topics.iter().map(|(topic, numbers)| {
            consumer::TopicPartitions::default()
                .with_topic_name(TopicName(text(topic)))
                .with_partitions(numbers.clone())
        });
        consumer::Assignment::default().with_topic_partitions(topics.collect())
    };
    let groups = request.group_ids.iter().map(|id| {
        let answer = consumer::DescribedGroup::default().with_group_id(id.clone());
        let error = group_error(world, node, id);
        if error != 0 {
            return answer.with_error_code(error);
        }
        let known = world
            .groups
            .get(id.as_str())
            .filter(|group| group.kind == Kind::Consumer);
        let Some(group) = known else {
            return answer
                .with_error_message(not_a(world, id, "consumer"))
                .with_error_code(E::GroupIdNotFound.code());
        };
        let members = group.members.iter().map(|member| {
            let described = consumer::Member::default()
                .with_member_id(text(&member.id))
                .with_client_host(text(&member.host))
                .with_assignment(assigned(&member.assigned))
                .with_target_assignment(assigned(&member.target));
            if version >= 1 {
                described.with_member_type(1)
            } else {
                described
            }
        });
        answer
            .with_group_state(text(&group.state))
            .with_assignor_name(text(&group.assignor))
            .with_members(members.collect())
    });
    ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
}

fn list_offsets(world: &World, node: i32, request: &ListOffsetsRequest) -> ListOffsetsResponse {
    let mut seen = BTreeSet::new();
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let number = asked.partition_index;
            let answer = ListOffsetsPartitionResponse::default()
                .with_partition_index(number)
                .with_offset(-1);
            if !seen.insert((topic.name.clone(), number)) {
                return answer.with_error_code(E::InvalidRequest.code());
            }
            let known = world.topics.get(topic.name.as_str());
            let Some(partition) = known.and_then(|topic| topic.partitions.get(&number)) else {
                return answer.with_error_code(E::UnknownTopicOrPartition.code());
            };
            if partition.leader != node {
                return answer.with_error_code(E::NotLeaderOrFollower.code());
            }
            if partition.error != 0 {
                return answer.with_error_code(partition.error);
            }
            let answer = answer.with_timestamp(partition.dated.unwrap_or(-1));
            answer.with_offset(match asked.timestamp {
                -1 if request.isolation_level == 1 => partition.stable_end.unwrap_or(partition.end),
                -1 => partition.end,
                -2 => partition.start,
                _ => partition.since.unwrap_or(-1),
            })
        });
        ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}
