//! Brokers whose answers are bent, observed by the real observer over real sockets.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::Reading;
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::metrics::Metrics;
use evenkeel_scaler::observe::kafka::{Access, KafkaObserver, KafkaObserverConfig};
use evenkeel_scaler::observe::{
    Depth, Isolation, KafkaReading, ObserveKafka as _, Request, Subscription, TopicSelection,
};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use crate::bend::{bend_all, bends};
use crate::fake_broker::{Api, Change, FakeCluster, How};
use crate::{cases, panics};

/// Bent answers name brokers that are none: short, so that waiting for those stays short.
const IMPATIENCE: Duration = Duration::from_millis(200);
/// Only what hangs takes as long.
const DEADLINE: Duration = Duration::from_secs(60);
const FRAME_LIMIT: usize = 1 << 20;

async fn cluster() -> FakeCluster {
    let cluster = FakeCluster::start(2).await;
    cluster.change(|world| {
        world.topic("t", 4, 100);
        world.topic("u", 2, 0);
        world.classic_group("classic", "t", 40);
        world.consumer_group("consumer", "t", 40);
    });
    cluster
}

fn request(group: &str, topics: TopicSelection, cold: bool) -> Request {
    let subscription = Subscription {
        consumer_group: group.to_owned(),
        topics,
        partitions: None,
        isolation: Isolation::ReadCommitted,
        history: Duration::from_secs(300),
    };
    Request {
        subscription: Arc::new(subscription),
        depth: Depth::Full,
        cold,
        earlier: None,
    }
}

fn requests() -> Vec<Request> {
    let named = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned());
        TopicSelection::Named(names.collect())
    };
    vec![
        request("classic", named(&["t", "u"]), true),
        request("consumer", TopicSelection::OfGroup, false),
        request("nobody", named(&["t"]), false),
    ]
}

/// What a reading may never be: a log that ends before it begins.
fn check(reading: &KafkaReading) -> Result<(), TestCaseError> {
    for topic in &reading.topics {
        let Reading::Known(partitions) = &topic.partitions else {
            continue;
        };
        for partition in partitions {
            if let Reading::Known(log) = partition.log {
                prop_assert!(log.start <= log.end, "{reading:#?}");
            }
        }
    }
    Ok(())
}

#[test]
fn no_frame_of_a_broker_does_harm() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = runtime.block_on(cluster());
    let strategy = (select(Api::OBSERVING.to_vec()), 1..4_usize, bends());
    let outcome = TestRunner::new(cases(file!(), 400)).run(&strategy, |(api, times, bends)| {
        let before = panics();
        let change = Change(Arc::new(move |body: &mut Vec<u8>| {
            // The number of the question stays: without it the answer is not looked at.
            let rest = &mut body.split_off(body.len().min(4));
            bend_all(rest, &bends);
            body.append(rest);
        }));
        cluster.change(|world| {
            world.faults.clear();
            world.fault(None, Some(api), How::Changed(change), times);
        });
        let config = KafkaObserverConfig {
            name: "bent".to_owned(),
            bootstrap_servers: cluster.bootstrap_servers(),
            access: Access::adhoc(),
            request_timeout: IMPATIENCE,
            frame_limit_bytes: FRAME_LIMIT,
        };
        let observed = runtime.block_on(async {
            let mut observer = KafkaObserver::new(config, Clock::start(), Metrics::default());
            let requests = requests();
            let mut readings = Vec::new();
            for _ in 0..2 {
                let tick = tokio::time::timeout(DEADLINE, observer.observe(&requests));
                readings.push(tick.await);
            }
            readings
        });
        for readings in observed {
            let readings = readings.map_err(|_| TestCaseError::fail("it hangs"))?;
            prop_assert_eq!(readings.len(), 3);
            for reading in &readings {
                check(reading)?;
            }
        }
        prop_assert_eq!(panics(), before);
        Ok(())
    });
    runtime.shutdown_background();
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
