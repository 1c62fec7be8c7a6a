//! From zero: how soon after its acknowledgement a record makes StreamIsActive say true.

use std::time::Duration;

use evenkeel_tools::demo::broker::{BrokerOptions, EmbeddedBroker};
use tokio::time::{Instant, sleep, timeout};

use super::real::{commit, produce};
use super::served::{Served, target_on};
use super::{PARTITIONS, quantile, table};

const WAKES: usize = 20;
const DEADLINE: Duration = Duration::from_secs(60);

pub async fn bench() {
    let broker = EmbeddedBroker::start(BrokerOptions::default())
        .await
        .unwrap();
    let mut seconds = Vec::new();
    let served = Served::start(&[broker.bootstrap_servers()], 5).await;
    for wake in 0..WAKES {
        let topic = format!("wake-{wake}");
        broker
            .topics()
            .create_topic(&topic, PARTITIONS, 1, &[])
            .await
            .unwrap();
        commit(&broker.bootstrap_servers(), &topic, &topic, PARTITIONS).await;
        let mut client = served.client().await;
        let mut stream = client
            .stream_is_active(target_on(&topic, &topic))
            .await
            .unwrap()
            .into_inner();
        let first = timeout(DEADLINE, stream.message())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(!first.result, "an empty topic is not active");
        // Not in step with the poll: anywhere within its second.
        sleep(Duration::from_millis((wake * 53 % 1_000) as u64)).await;
        produce(&broker.bootstrap_servers(), &topic).await;
        let acknowledged = Instant::now();
        loop {
            let message = timeout(DEADLINE, stream.message())
                .await
                .unwrap()
                .unwrap()
                .unwrap();
            if message.result {
                break;
            }
        }
        seconds.push(acknowledged.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let mut rows = table(&["from zero, push stream open, real broker", "p50 s", "max s"]);
    rows.add_row([
        format!("first record to StreamIsActive true, {WAKES} times"),
        format!("{:.2}", quantile(&seconds, 0.5)),
        format!("{:.2}", quantile(&seconds, 1.0)),
    ]);
    println!("{rows}\n");
}
