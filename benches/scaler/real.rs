//! Requests, CPU and memory a tick on three real brokers, by the brokers' own request counters.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use bytes::BytesMut;
use evenkeel_scaler::grpc::wire::ScaledObjectRef;
use evenkeel_tools::counters::summed;
use evenkeel_tools::demo::broker::client::Client;
use evenkeel_tools::demo::broker::{BrokerOptions, EmbeddedCluster};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    FindCoordinatorRequest, GroupId, OffsetCommitRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use tokio::time::{Instant, sleep};

use super::served::{Served, http_get, metrics_of_on, name, target_on};
use super::{BROKERS, PARTITIONS, table};

/// How many groups, one target each.
const SIZES: [usize; 2] = [100, 1_000];
/// Groups that share a topic: 10,000 partitions are more than three small brokers should carry.
const GROUPS_PER_TOPIC: usize = 10;
const TICKS: u64 = 20;
const DEADLINE: Duration = Duration::from_secs(120);
/// The requests that an observer sends; the brokers' own and the topic administration are others.
const OBSERVING: [&str; 6] = [
    "ListOffsets",
    "OffsetFetch",
    "DescribeGroups",
    "ConsumerGroupDescribe",
    "FindCoordinator",
    "Metadata",
];

pub async fn bench() {
    let options = BrokerOptions {
        jmx: true,
        ..BrokerOptions::default()
    };
    let cluster = EmbeddedCluster::start_with(BROKERS as usize, options)
        .await
        .unwrap();
    let servers: Vec<String> = cluster.addresses();
    let mut rows = table(&[
        "groups, 10 a topic of 10 partitions, 3 real brokers",
        "requests/broker/tick",
        "requests/min at 5 s",
        "by api, a tick",
        "CPU ms/tick",
        "MiB resident",
    ]);
    let mut made = 0;
    for groups in SIZES {
        commit_all(&cluster, made..groups).await;
        made = groups;
        let served = Served::start(&servers, 1).await;
        let measured = measure(&cluster, &served, groups).await;
        rows.add_row([
            groups.to_string(),
            format!("{:.2}", measured.requests() / f64::from(BROKERS)),
            format!("{:.0}", measured.requests() * 12.0),
            measured.apis(),
            format!("{:.1}", measured.cpu_milliseconds),
            format!("{:.0}", measured.resident_megabytes),
        ]);
    }
    println!("{rows}\n");
}

/// What a tick costs.
pub struct Measured {
    /// Requests by api, all brokers together.
    by_api: BTreeMap<&'static str, f64>,
    pub cpu_milliseconds: f64,
    pub resident_megabytes: f64,
}

// === impl Measured ===

impl Measured {
    /// Requests, all brokers together.
    pub fn requests(&self) -> f64 {
        self.by_api.values().sum()
    }

    fn apis(&self) -> String {
        let apis = self.by_api.iter();
        let shown: Vec<String> = apis
            .map(|(api, requests)| format!("{api} {requests:.2}"))
            .collect();
        shown.join(", ")
    }
}

fn topic_of(group: usize) -> String {
    name(group / GROUPS_PER_TOPIC)
}

fn group_of(group: usize) -> String {
    format!("bench-{group}")
}

/// The target of group number `group`.
pub fn target_of(group: usize) -> ScaledObjectRef {
    target_on(&group_of(group), &topic_of(group))
}

/// Makes the topics of `groups`, and has each commit.
pub async fn commit_all(cluster: &EmbeddedCluster, groups: Range<usize>) {
    let server = &cluster.addresses()[0];
    for group in groups {
        let topic = topic_of(group);
        if group % GROUPS_PER_TOPIC == 0 {
            let topics = cluster.topics();
            let made = topics.create_topic(&topic, PARTITIONS, 1, &[]).await;
            made.unwrap();
        }
        commit(server, &group_of(group), &topic, PARTITIONS).await;
    }
}

/// What a tick costs over `TICKS` seconds, with every target known before.
pub async fn measure(cluster: &EmbeddedCluster, served: &Served, groups: usize) -> Measured {
    let mut client = served.client().await;
    let begun = Instant::now();
    for group in 0..groups {
        let target = target_of(group);
        client.get_metric_spec(target.clone()).await.unwrap();
        while let Err(status) = client.get_metrics(metrics_of_on(target.clone())).await {
            assert!(
                begun.elapsed() < DEADLINE,
                "target {group} stays unknown: {status}"
            );
            sleep(Duration::from_millis(50)).await;
        }
    }
    sleep(Duration::from_secs(3)).await;
    let (counted, usage, ticks) = (
        requests(cluster).await,
        served.usage(),
        served.ticks().await,
    );
    sleep(Duration::from_secs(TICKS)).await;
    let (after, usage_after) = (requests(cluster).await, served.usage());
    let ticks = served.ticks().await - ticks;
    let of = |counts: &BTreeMap<String, f64>, api: &str| counts.get(api).copied().unwrap_or(0.0);
    let by_api = OBSERVING
        .into_iter()
        .map(|api| (api, (of(&after, api) - of(&counted, api)) / ticks))
        .filter(|(_, requests)| *requests > 0.0)
        .collect();
    Measured {
        by_api,
        cpu_milliseconds: (usage_after.cpu_milliseconds - usage.cpu_milliseconds) / ticks,
        resident_megabytes: usage_after.resident_megabytes,
    }
}

/// What the brokers have counted so far, by api, all brokers together.
async fn requests(cluster: &EmbeddedCluster) -> BTreeMap<String, f64> {
    let mut requests = BTreeMap::new();
    for broker in 0..BROKERS as usize {
        let port = cluster.jmx_port(broker).expect("the counters are on");
        let text = http_get(&format!("127.0.0.1:{port}"), "/metrics").await;
        for (api, count) in summed(&text, "kafka_requests", &["request"]) {
            *requests.entry(api).or_default() += count;
        }
    }
    assert!(
        requests.contains_key("ListOffsets"),
        "the brokers count nothing: {requests:?}"
    );
    requests
}

/// Commits offset 0 in every partition of `topic` for a group without members.
pub async fn commit(bootstrap_server: &str, group: &str, topic: &str, partitions: i32) {
    let topics = vec![
        OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(
                (0..partitions)
                    .map(|partition| {
                        OffsetCommitRequestPartition::default()
                            .with_partition_index(partition)
                            .with_committed_offset(0)
                    })
                    .collect(),
            ),
    ];
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics);
    let find = FindCoordinatorRequest::default()
        .with_coordinator_keys(vec![text(group)])
        .with_key_type(0);
    let begun = Instant::now();
    loop {
        let mut client = Client::connect(bootstrap_server).await.unwrap();
        let found = client.send(&find).await.unwrap();
        let coordinator = &found.coordinators[0];
        if coordinator.error_code == 0 {
            let address = format!("{}:{}", coordinator.host, coordinator.port);
            let answer = Client::connect(&address)
                .await
                .unwrap()
                .send(&request)
                .await
                .unwrap();
            if answer.topics[0]
                .partitions
                .iter()
                .all(|partition| partition.error_code == 0)
            {
                return;
            }
        }
        assert!(begun.elapsed() < DEADLINE, "group {group} cannot commit");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Writes one record to partition 0 of `topic` and returns once it is acknowledged.
pub async fn produce(bootstrap_server: &str, topic: &str) {
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: -1,
        timestamp: 0,
        key: None,
        value: Some("a record".into()),
        headers: Default::default(),
    };
    let mut records = BytesMut::new();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    RecordBatchEncoder::encode(&mut records, [&record], &options).unwrap();
    let data = PartitionProduceData::default()
        .with_index(0)
        .with_records(Some(records.freeze()));
    // Since version 13 a topic goes by its id.
    let mut client = Client::connect(bootstrap_server).await.unwrap();
    let topic_id = client.metadata(&[topic]).await.unwrap().topics[0].topic_id;
    let topic = TopicProduceData::default()
        .with_name(TopicName(text(topic)))
        .with_topic_id(topic_id)
        .with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic]);
    let answer = client.send(&request).await.unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}
