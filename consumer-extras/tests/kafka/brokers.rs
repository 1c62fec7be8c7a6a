//! A single broker that stands still: Kafka fences it, and it answers that there are no brokers. librdkafka
//! 2.12 then forgets it, at times for ever. Whoever has lost it has to end, so that another starts.

use std::time::Duration;

use evenkeel_tools::demo::process::signal_id;

use crate::world::{World, trade, wait_for};

const MEMBERS: usize = 4;
const ROWS: i64 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_has_lost_every_broker_ends_and_says_why() {
    let world = World::start_with(&[("broker.session.timeout.ms", "1000")]).await;
    let mut members: Vec<_> = (0..MEMBERS).map(|_| world.join(&[])).collect();
    let is_ready = |member: &crate::world::Member| {
        let (status, _) = member.metrics.readyz(batch_consumer::clock::now());
        status.is_success()
    };
    world.send((0..ROWS).map(trade));
    world.wait_for_rows(ROWS).await;
    let broker = world.broker.process_id().expect("it runs");
    for _ in 0..4 {
        signal_id(broker, "STOP").await;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        signal_id(broker, "CONT").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    world.send((ROWS..2 * ROWS).map(trade));
    // Each goes on, or ends and is replaced; none only stays.
    wait_for("every member to be there again", async || {
        let mut left = Vec::new();
        for member in members.drain(..) {
            match member.end() {
                Err(member) => left.push(member),
                Ok(ended) => {
                    let why = ended.expect_err("it was not asked to end").to_string();
                    assert!(why.contains("knows no broker any more"), "{why}");
                    left.push(world.join(&[]));
                }
            }
        }
        members = left;
        members.iter().all(is_ready)
    })
    .await;
    world.wait_for_rows(2 * ROWS).await;
}
