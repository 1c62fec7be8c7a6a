//! On a real broker: it wakes, counts, holds while the broker is away, and goes on.

use std::collections::HashMap;
use std::time::Duration;

use super::process::{Serve, in_time};
use evenkeel_scaler::grpc::METRIC_NAME;
use evenkeel_scaler::grpc::wire::external_scaler_client::ExternalScalerClient;
use evenkeel_scaler::grpc::wire::{GetMetricsRequest, ScaledObjectRef};
use evenkeel_tools::demo::broker::{BrokerOptions, EmbeddedBroker, KafkaTools};
use tonic::transport::Channel;

const PARTITIONS: i32 = 3;

struct Tools {
    tools: KafkaTools,
    bootstrap_servers: String,
}

// === impl Tools ===

impl Tools {
    async fn run(&self, class: &str, arguments: &str) {
        let arguments = arguments.replace("BOOTSTRAP", &self.bootstrap_servers);
        let output = in_time(self.tools.run(class, arguments.split_whitespace()))
            .await
            .expect("the tool starts (make setup)");
        assert!(
            output.status.success(),
            "{class}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

async fn replicas(client: &mut ExternalScalerClient<Channel>, object: &ScaledObjectRef) -> i64 {
    let request = GetMetricsRequest {
        scaled_object_ref: Some(object.clone()),
        metric_name: METRIC_NAME.to_owned(),
    };
    let answer = in_time(client.get_metrics(request)).await.expect("a value");
    let values = answer.into_inner().metric_values;
    values.first().expect("one value").metric_value
}

#[tokio::test]
async fn a_sleeping_target_wakes_counts_its_lag_and_stands_through_an_outage() {
    let mut broker = EmbeddedBroker::start(BrokerOptions::default())
        .await
        .expect("the broker starts (make setup)");
    broker
        .topics()
        .create_topic("orders", PARTITIONS, 1, &[])
        .await
        .expect("the topic is made");
    let tools = Tools {
        tools: KafkaTools::provision()
            .await
            .expect("the tools (make setup)"),
        bootstrap_servers: broker.bootstrap_servers(),
    };
    tools
        .run(
            "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            "--bootstrap-server BOOTSTRAP --group orders --topic orders \
             --reset-offsets --to-earliest --execute",
        )
        .await;

    let serve = Serve::start("adhocClusters: true").await;
    let mut client = serve.client().await;
    let object = ScaledObjectRef {
        name: "orders".to_owned(),
        namespace: "shop".to_owned(),
        scaler_metadata: HashMap::from(
            [
                ("bootstrapServers", tools.bootstrap_servers.as_str()),
                ("consumerGroup", "orders"),
                ("topic", "orders"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        ),
    };
    let active = in_time(client.is_active(object.clone())).await;
    assert!(
        !active.expect("an answer").into_inner().result,
        "no lag yet"
    );

    let mut stream = in_time(client.stream_is_active(object.clone()))
        .await
        .expect("a stream")
        .into_inner();
    tools
        .run(
            "org.apache.kafka.tools.ProducerPerformance",
            "--topic orders --num-records 600 --record-size 20 --throughput -1 \
             --bootstrap-server BOOTSTRAP",
        )
        .await;
    in_time(async {
        while !stream
            .message()
            .await
            .expect("the stream goes on")
            .expect("the stream goes on")
            .result
        {}
    })
    .await;
    // The first poll may have lain in the middle of them.
    let lag = "evenkeel_target_lag_records{namespace=\"shop\",name=\"orders\"} 600.0";
    in_time(async {
        while !serve.get("metrics").await.1.contains(lag) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let awake = replicas(&mut client, &object).await;
    assert!(
        (1..=i64::from(PARTITIONS)).contains(&awake),
        "{awake} replicas"
    );

    broker.kill().await.expect("it is killed");
    serve.logged("cause=\"unreachable\"").await;
    assert_eq!(replicas(&mut client, &object).await, awake, "it holds");
    broker.restart().await.expect("it starts again");
    serve.logged("all sources answer again").await;
    assert_eq!(
        replicas(&mut client, &object).await,
        awake,
        "nothing changed"
    );

    let (_, metrics) = serve.get("metrics").await;
    let desired =
        format!("evenkeel_target_desired_replicas{{namespace=\"shop\",name=\"orders\"}} {awake}.0");
    for line in [desired.as_str(), lag] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}
