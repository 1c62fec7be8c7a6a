//! What came on earlier days is prepared for by a scaler that has seen none of them: their history is in a
//! real Prometheus, or in the logs themselves.
//!
//! The surge comes in twelve minutes, and the target is told that starts take an hour, so that its lead
//! is longer than that: the replicas are asked for at once, however slow the machine is.

use std::fmt::Write as _;

use bytes::BytesMut;
use evenkeel_scaler::admin::api::TargetDetail;
use evenkeel_scaler::clock::Clock;
use evenkeel_tools::demo::broker::client::Client;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use crate::cluster::shared_broker;
use crate::process::Serve;
use crate::serve::{BRISK, Keda, explain};
use crate::servers::Prometheus;

const MINUTE: u64 = 60;
const DAY: u64 = 86_400;
/// Earlier days that had the surge.
const DAYS: u64 = 8;
/// Seconds between two samples.
const SCRAPE: u64 = 30;
/// Kafka's number for who does not lead, or does not know it yet.
const NOT_LEADER: i16 = 6;
/// Records per second, in general and for ten minutes a day.
const USUAL: u64 = 20;
const SURGE: u64 = 500;

/// A real Prometheus that has scraped a counter for eight days, on each of which a surge came a whole number
/// of days before `surge`.
async fn prometheus_with_days(now: u64, surge: u64) -> Prometheus {
    let mut samples = "# TYPE records counter\n".to_owned();
    let (mut written, from) = (0, surge - DAYS * DAY - 60 * MINUTE);
    for at in (from..now).step_by(usize::try_from(SCRAPE).expect("a step")) {
        let into_day = (at + DAY * (DAYS + 1) - surge) % DAY;
        written += SCRAPE * if into_day < 10 * MINUTE { SURGE } else { USUAL };
        // The count at the end of these seconds.
        let _ = writeln!(samples, "records_total {written} {}", at + SCRAPE);
    }
    samples.push_str("# EOF\n");
    Prometheus::with_samples(&samples).await
}

#[tokio::test]
async fn the_ninth_surge_is_prepared_for_by_the_history_of_eight_days() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    broker.create_topic("days", 16).await;
    let now = Clock::start().now().as_millis() / 1_000 / MINUTE * MINUTE;
    let surge = now + 12 * MINUTE;
    let prometheus = prometheus_with_days(now, surge).await;
    let metadata = [
        ("capacityPerReplica", "100"),
        ("serverAddress", &prometheus.url),
        ("query", "sum(rate(records_total[1m]))"),
        ("startupSeconds", "3600"),
        ("calendar", "on"),
    ];
    let serve = Serve::start(BRISK).await;
    let mut keda = Keda::new(&serve, servers, "days", &metadata).await;

    // 500 records/s over 16 partitions: two a replica are 62.5, three would be 94 of 80.
    keda.until_replicas(|replicas| replicas == 8).await;
    keda.until_active(true).await;
    let detail: TargetDetail = keda.fetch("").await.expect("an answer");
    let foresight = detail.foresight.expect("a calendar is learned");
    let next = &foresight.surges[0];
    assert_eq!(next.starts_at_millis, surge * 1_000, "{foresight:?}");
    assert_eq!((next.came_days, next.of_days), (8, 8), "{foresight:?}");
    let off = (next.records_per_second - SURGE as f64).abs();
    assert!(off < 10.0, "{foresight:?}");
    for point in keda.decisions(0).await.expect("an answer") {
        let is_before = point.at_millis < surge * 1_000;
        assert!(is_before, "asked for before it comes: {point:?}");
        assert!(
            point
                .desired_replicas
                .is_none_or(|replicas| [0, 8].contains(&replicas)),
            "one step: {point:?}"
        );
    }

    let admin = format!("http://{}", serve.admin);
    let asked = ["shop/days", "--ahead", "24h", "--server", &admin];
    let said = explain(&asked).await;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let words = "which takes 8 replicas: it came at about that time on 8 of 8 days (in ";
    assert!(said.contains(words), "{said}");
}

/// Writes ten minutes of records into each partition of `topic` as if they had come from `from` on, in
/// seconds since 1970: so many a second, all partitions together.
async fn write_dated(servers: &str, topic: &str, partitions: u64, from: u64, rate: u64) {
    let mut client = Client::connect(servers).await.expect("the broker answers");
    let known = client.metadata(&[topic]).await.expect("the topic is known");
    let topic_id = known.topics[0].topic_id;
    let name = TopicName(StrBytes::from_string(topic.to_owned()));
    for minute in 0..10 {
        let each = rate * MINUTE / partitions;
        let millis = (from + minute * MINUTE) * 1_000;
        let record = |nth: u64| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: TimestampType::Creation,
            offset: i64::try_from(nth).expect("an offset"),
            // One batch counts on from that of no producer, -1.
            sequence: i32::try_from(nth).expect("a number") - 1,
            timestamp: i64::try_from(millis + nth * MINUTE * 1_000 / each).expect("a moment"),
            key: None,
            value: Some("a record".into()),
            headers: Default::default(),
        };
        let records: Vec<Record> = (0..each).map(record).collect();
        let mut encoded = BytesMut::new();
        let options = RecordEncodeOptions {
            version: 2,
            compression: Compression::None,
        };
        RecordBatchEncoder::encode(&mut encoded, &records, &options).expect("a batch");
        let encoded = encoded.freeze();
        let mut left: Vec<i32> = (0..i32::try_from(partitions).expect("partitions")).collect();
        // Metadata shows a leader a moment before the broker knows that it leads.
        while !left.is_empty() {
            let data = left.iter().map(|partition| {
                PartitionProduceData::default()
                    .with_index(*partition)
                    .with_records(Some(encoded.clone()))
            });
            let topic = TopicProduceData::default()
                .with_name(name.clone())
                .with_topic_id(topic_id)
                .with_partition_data(data.collect());
            let request = ProduceRequest::default()
                .with_acks(-1)
                .with_timeout_ms(10_000)
                .with_topic_data(vec![topic]);
            let answer = client.send(&request).await.expect("an answer");
            for partition in &answer.responses[0].partition_responses {
                let code = partition.error_code;
                assert!(code == 0 || code == NOT_LEADER, "{partition:?}");
                left.retain(|number| code != 0 || *number != partition.index);
            }
        }
    }
}

#[tokio::test]
async fn the_next_surge_is_prepared_for_by_what_the_logs_tell_of_six_days() {
    let broker = shared_broker();
    let servers = &broker.bootstrap_servers;
    broker
        .create_topic_with("dated", 4, &[("retention.ms", "-1")])
        .await;
    let now = Clock::start().now().as_millis() / 1_000 / MINUTE * MINUTE;
    let surge = now + 12 * MINUTE;
    for back in (1..=6).rev() {
        write_dated(servers, "dated", 4, surge - back * DAY, 20).await;
    }
    let metadata = [
        ("capacityPerReplica", "10"),
        ("startupSeconds", "3600"),
        ("calendar", "on"),
    ];
    // One moment is asked for with each poll.
    let serve = Serve::start("poll:\n  interval: 100ms\n").await;
    let mut keda = Keda::new(&serve, servers, "dated", &metadata).await;

    // 20 records/s over 4 partitions: two a replica are 10 of 8.
    let mut tries = 0;
    loop {
        let known: Result<TargetDetail, String> = keda.fetch("").await;
        let foresight = known.ok().and_then(|detail| detail.foresight);
        if let Some(next) = foresight.as_ref().and_then(|known| known.surges.first()) {
            assert_eq!(next.starts_at_millis, surge * 1_000, "{foresight:?}");
            assert!(next.came_days >= 3 && next.came_days == next.of_days);
            assert!(
                (next.records_per_second - 20.0).abs() < 1.0,
                "{foresight:?}"
            );
            break;
        }
        // However slow the machine is: it goes on as long as the logs are read.
        tries += 1;
        assert!(tries < 6_000, "nothing is expected: {foresight:?}");
        keda.replicas().await.ok();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    keda.until_replicas(|replicas| replicas == 4).await;
    keda.until_active(true).await;
}
