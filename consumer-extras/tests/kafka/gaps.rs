//! Offsets that Kafka no longer has, or does not have yet.

use axum::http::StatusCode;
use batch_consumer::clock;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::world::{TOPIC, World, trade, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_deleted_before_the_stored_offset_is_told_and_nothing_else_is_skipped() {
    for reset in ["earliest", "latest", "error"] {
        let world = World::start().await;
        world.send((0..30).map(trade));
        let stored = "INSERT INTO consumer_offsets VALUES ('workers', 'trades', 0, 5)";
        world.database.ask(stored).await.unwrap();
        world.delete_before(10).await;

        // A person may want to decide.
        let member = world.join(&["--auto-offset-reset", reset, "--on-gap", "stop"]);
        wait_for("the gap", async || {
            member.metrics.stuck_partitions.get() == 1
        })
        .await;
        assert_eq!(member.metrics.missed_records.get(), 5);
        assert_eq!(
            member.metrics.readyz(clock::now()).0,
            StatusCode::SERVICE_UNAVAILABLE
        );
        member.leave();
        world.wait_for_rows(0).await;

        let member = world.join(&["--auto-offset-reset", reset]);
        world.wait_for_rows(20).await;
        assert_eq!(member.metrics.missed_records.get(), 5);
        let (status, text) = member.metrics.readyz(clock::now());
        assert!(
            status == StatusCode::OK && text.contains("5 records were deleted"),
            "{text}"
        );
        world.send((30..40).map(trade));
        world.wait_for_rows(30).await;
        assert_eq!(member.metrics.missed_records.get(), 5);
        member.leave();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_deletes_before_a_member_that_runs_is_told_too() {
    let mut world = World::start().await;
    world.send((0..30).map(trade));
    // Fetches little ahead (a few of the producer's batches), so that most of what is deleted was not
    // fetched.
    let little = [
        "-X",
        "queued.min.messages=10",
        "-X",
        "queued.max.messages.kbytes=1",
    ];
    let member = world.join(&[&little[..], &["-X", "fetch.message.max.bytes=1000"]].concat());
    world.wait_for_rows(30).await;
    world.database.crash().await;
    world.send((30..2000).map(trade));
    wait_for("trouble", async || member.metrics.trouble().is_some()).await;
    world.delete_before(2000).await;
    world.send((2000..2100).map(trade));
    world.database.restart().await.unwrap();
    wait_for("the last record", async || {
        world.number("SELECT max(kafka_offset) FROM trades").await == Some(2099)
    })
    .await;
    let missed = i64::try_from(member.metrics.missed_records.get()).unwrap();
    assert!(missed > 0, "nothing was missed");
    world.wait_for_rows(2100 - missed).await;
    member.leave();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_transaction_leaves_no_lag() {
    let world = World::start().await;
    world.send((0..5).map(trade));
    let member = world.join(&[]);
    world.wait_for_rows(5).await;
    let mut client = world.client();
    let producer: BaseProducer = client.set("transactional.id", "aborts").create().unwrap();
    let within = std::time::Duration::from_secs(60);
    producer.init_transactions(within).unwrap();
    producer.begin_transaction().unwrap();
    for number in 5..10 {
        let payload = trade(number);
        producer
            .send(BaseRecord::<str, str>::to(TOPIC).payload(&payload))
            .unwrap();
    }
    producer.flush(within).unwrap();
    producer.abort_transaction(within).unwrap();
    wait_for("no lag", async || {
        let (committed, end) = world.committed_and_end();
        end == 11 && committed == end
    })
    .await;
    world.send((10..15).map(trade));
    world.wait_for_rows(10).await;
    member.leave();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_made_anew_under_a_member_stops_until_a_person_says_where() {
    let world = World::start().await;
    world.send((0..40).map(trade));
    let member = world.join(&[]);
    world.wait_for_rows(40).await;
    world.broker.topics().delete_topic(TOPIC).await.unwrap();
    wait_for("the topic anew", async || {
        world
            .broker
            .topics()
            .create_topic(TOPIC, 1, 1, &[])
            .await
            .is_ok()
    })
    .await;
    world.send((100..110).map(trade));
    wait_for("it to be told", async || {
        member.metrics.stuck_partitions.get() == 1
    })
    .await;
    world.wait_for_rows(40).await;
    member.leave();
    world
        .database
        .ask("UPDATE consumer_offsets SET next_offset = 0")
        .await
        .unwrap();
    let member = world.join(&[]);
    wait_for("the new ones", async || {
        world.number("SELECT count(*) FROM trades").await == Some(50)
    })
    .await;
    member.leave();
}
