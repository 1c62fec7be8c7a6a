//! Exactly once, whatever happens: consumers come, go, are killed and frozen, the database and the
//! broker crash, while trades and poison keep coming. Real Kafka, real PostgreSQL, real processes.
//!
//! Afterwards every record that Kafka acknowledged, and did not delete unread, is in the table once or in
//! the dead letters once, the dead letters are the poison and nothing else, and each account's trades came
//! in their order. After
//! each blow the test waits until every partition has moved on, so its length is that of the recovery
//! and not of a sleep. `make test` goes through each blow once; `make chaos` goes on, in random order,
//! for `EVENKEEL_CHAOS_SECONDS`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails here"
)]

mod blows;
mod pooler;
mod troubles;
mod verdict;
mod world;

use std::time::Duration;

use blows::Blow;
use tokio::time::Instant;
use world::{Setting, World};

/// Where the order of the blows starts, so that a run can be had again.
const SEED: u64 = 1;

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_written_exactly_once_whatever_happens() {
    let length = std::env::var("EVENKEEL_CHAOS_SECONDS").ok();
    let length = length.map(|text| {
        let seconds = text
            .parse()
            .expect("EVENKEEL_CHAOS_SECONDS is a number of seconds");
        Duration::from_secs(seconds)
    });
    let began = Instant::now();
    let mut world = World::start(Setting::Classic).await;
    if length.is_some() {
        world.lock_seconds = 120;
    }
    for blow in Blow::each_once() {
        world.strike(blow).await;
    }
    let mut order = blows::Order::from(SEED);
    while length.is_some_and(|length| began.elapsed() < length) {
        world.strike(order.next()).await;
    }
    verdict::pass(world).await;
}

/// The broker decides there who has what, and takes it by other means.
#[tokio::test(flavor = "multi_thread")]
async fn a_kip_848_group_writes_exactly_once_too() {
    let mut world = World::start(Setting::Kip848).await;
    for blow in [
        Blow::Kill,
        Blow::FreezeInTransaction,
        Blow::Join,
        Blow::Leave,
    ] {
        world.strike(blow).await;
    }
    verdict::pass(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_behind_a_pooler_in_transaction_mode_writes_exactly_once_too() {
    let mut world = World::start(Setting::Pooled).await;
    for blow in [
        Blow::Kill,
        Blow::Freeze,
        Blow::CrashDatabase,
        Blow::ReadOnly,
        Blow::Leave,
    ] {
        world.strike(blow).await;
    }
    verdict::pass(world).await;
}
