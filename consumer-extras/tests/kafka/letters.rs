//! Dead letters of any size, into the table and into a topic whose limit is smaller.

use batch_consumer::options::Connection;
use batch_consumer::postgres::Database;
use evenkeel_consumer::dead_letter_topic::DeadLetterTopic;
use evenkeel_consumer::redrive::{RedriveOptions, redrive};
use evenkeel_consumer::writers::Writers;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};

use crate::world::{TOPIC, World, trade, wait_for};

/// No JSON, of that many bytes.
fn poison(bytes: usize) -> String {
    "x".repeat(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_that_a_topic_does_not_take_goes_there_without_its_value_and_a_table_takes_all() {
    let world = World::start().await;
    world.broker.topics().delete_topic(TOPIC).await.unwrap();
    wait_for("another topic", async || {
        let large = [("max.message.bytes", "20000000")];
        world
            .broker
            .topics()
            .create_topic(TOPIC, 1, 1, &large)
            .await
            .is_ok()
    })
    .await;
    world
        .broker
        .topics()
        .create_topic("dead", 1, 1, &[])
        .await
        .unwrap();
    // Kafka's own limit for a topic is a little above 1 MB, which is the producer's too.
    let sizes = [100, 1_000_000, 1_048_000, 1_500_000, 6_000_000];
    let all = || sizes.iter().map(|size| poison(*size)).chain([trade(1)]);
    world.send(all());
    let sink = DeadLetterTopic::new(world.client(), Some("dead".to_owned()), world.postgres());
    let member = world.join_with(Writers::new(&sink, 2), &[]);
    world.wait_for_rows(1).await;
    let mut client = world.client();
    client
        .set("group.id", "eyes")
        .set("auto.offset.reset", "earliest");
    let eyes: BaseConsumer = client.create().unwrap();
    eyes.subscribe(&["dead"]).unwrap();
    let mut letters = Vec::new();
    wait_for("the dead letters", async || {
        if let Some(Ok(letter)) = eyes.poll(std::time::Duration::from_millis(100)) {
            let header = |wanted: &str| {
                let found = letter
                    .headers()?
                    .iter()
                    .find(|header| header.key == wanted)?;
                Some(String::from_utf8_lossy(found.value?).into_owned())
            };
            assert_eq!(header("origin-topic").as_deref(), Some(TOPIC));
            assert!(header("dead-letter-reason").is_some());
            let offset: usize = header("origin-offset").unwrap().parse().unwrap();
            let is_cut = header("value-too-large").is_some();
            letters.push((offset, letter.payload().map(<[u8]>::len), is_cut));
        }
        letters.len() == sizes.len()
    })
    .await;
    letters.sort_unstable();
    for (offset, size, is_cut) in &letters {
        let whole = sizes
            .get(*offset)
            .copied()
            .filter(|size| *size <= 1_000_000);
        let may_be_either = sizes.get(*offset) == Some(&1_048_000);
        assert!(
            may_be_either || (*size, *is_cut) == (whole, whole.is_none()),
            "{letters:?}"
        );
    }
    member.leave();
    // The table takes all of it; the same records again, by another group's rows.
    world
        .database
        .ask("UPDATE consumer_offsets SET next_offset = 0; TRUNCATE trades")
        .await
        .unwrap();
    let member = world.join(&[]);
    world.wait_for_rows(1).await;
    let sum = "SELECT sum(octet_length(value)) FROM dead_letters";
    let expected: usize = sizes.iter().sum();
    assert_eq!(world.number(sum).await, i64::try_from(expected).ok());
    member.leave();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_topic_that_is_missing_holds_the_batch_and_loses_nothing() {
    let world = World::start().await;
    world.send([trade(0), poison(10), trade(2)]);
    let mut client = world.client();
    client
        .set("allow.auto.create.topics", "false")
        .set("message.timeout.ms", "1000");
    let sink = DeadLetterTopic::new(
        client,
        Some("no topic: its name is wrong".to_owned()),
        world.postgres(),
    );
    let member = world.join_with(sink, &[]);
    wait_for("trouble", async || {
        member
            .metrics
            .trouble()
            .is_some_and(|why| why.contains("dead letters were not taken"))
    })
    .await;
    assert_eq!(world.number("SELECT count(*) FROM trades").await, Some(0));
    member.leave();
    let member = world.join(&[]);
    world.wait_for_rows(2).await;
    member.leave();
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_sent_again_when_what_refused_them_is_mended() {
    let world = World::start().await;
    let rule = "ALTER TABLE trades ADD CONSTRAINT small CHECK (quantity < 0)";
    world.database.ask(rule).await.unwrap();
    world.send([trade(0), poison(10), trade(2)]);
    let member = world.join(&[]);
    let letters = "SELECT count(*) FROM dead_letters";
    wait_for("the dead letters", async || {
        world.number(letters).await == Some(3)
    })
    .await;
    let mended = "ALTER TABLE trades DROP CONSTRAINT small";
    world.database.ask(mended).await.unwrap();
    let servers = world.broker.bootstrap_servers();
    let options = RedriveOptions {
        connection: Connection {
            bootstrap_servers: servers,
            properties: Vec::new(),
            log_format: "text".to_owned(),
        },
        database: Database {
            database_url: world.database.url(),
            create_tables: false,
        },
        topic: TOPIC.to_owned(),
        group: "workers".to_owned(),
    };
    assert_eq!(redrive(&options).await.unwrap(), 3);
    world.wait_for_rows(2).await;
    wait_for("the poison to be a letter again", async || {
        world.number(letters).await == Some(1)
    })
    .await;
    let again = "SELECT count(*) FROM dead_letters WHERE kafka_offset >= 3";
    assert_eq!(world.number(again).await, Some(1));
    member.leave();
}
