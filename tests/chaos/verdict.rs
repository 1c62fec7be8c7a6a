//! What has to hold when everything has been sent.

use std::collections::BTreeMap;

use evenkeel_tools::demo::broker::KafkaTools;

use crate::world::{DEAD_LETTERS, Sent, World};

const CONSOLE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

/// Rows that came before an earlier trade of the same account. The producer numbers its trades.
const OUT_OF_ORDER: &str = "SELECT count(*) FROM (
    SELECT split_part(trade_id, '-', 3)::bigint AS number,
           lag(split_part(trade_id, '-', 3)::bigint)
               OVER (PARTITION BY account_id ORDER BY arrival) AS before
    FROM trades) AS pairs WHERE number <= before";

/// Ends the load, waits until all that was sent has been dealt with, judges, and ends the rest.
pub async fn pass(mut world: World) {
    let sent = world.end().await;
    judge(&world, sent).await;
    world.strike_down().await;
}

async fn judge(world: &World, sent: Sent) {
    assert_eq!(sent.failed_total, 0, "records of unknown fate: {sent:?}");
    assert_eq!(sent.acknowledged_total, sent.produced_total);
    let reached = "SELECT sum(next_offset) FROM consumer_offsets";
    let ends = world.wait_for("all offsets", async || {
        let reached = number(world, reached).await?;
        (reached >= sent.acknowledged_total).then_some(reached)
    });
    assert_eq!(
        ends.await,
        sent.acknowledged_total,
        "the log has more than was acknowledged"
    );

    let good = sent.acknowledged_total - sent.poison_total;
    let letters = dead_letters(world, sent.poison_total).await;
    let copies: usize = letters.values().map(|copies| copies - 1).sum();
    println!("{sent:?}; dead letters that came twice: {copies}");
    for (what, query, expected) in [
        ("rows", "SELECT count(*) FROM trades", good),
        (
            "trades",
            "SELECT count(DISTINCT trade_id) FROM trades",
            good,
        ),
        (
            "records",
            "SELECT count(DISTINCT (kafka_partition, kafka_offset)) FROM trades",
            good,
        ),
        ("rows out of order", OUT_OF_ORDER, 0),
    ] {
        let found = number(world, query).await.expect("the database answers");
        assert_eq!(found, expected, "{what}; {sent:?}\n{}", world.logs());
    }
    assert_eq!(letters.len() as u64, sent.poison_total, "{letters:?}");
    // Many at once: an hour has thousands, each of which would go through all rows.
    let origins: Vec<String> = letters
        .keys()
        .map(|(partition, offset)| format!("({partition}, {offset})"))
        .collect();
    for origins in origins.chunks(1000) {
        let query = format!(
            "SELECT kafka_partition, kafka_offset FROM trades \
             JOIN (VALUES {}) AS letter (partition, record) \
             ON kafka_partition = letter.partition AND kafka_offset = letter.record",
            origins.join(", ")
        );
        let found = world.database.ask(&query).await;
        let found = found.expect("the database answers");
        assert_eq!(found.trim(), "", "dead letters that are in the table too");
    }
}

async fn number(world: &World, query: &str) -> Option<u64> {
    let said = world.database.ask(query).await.ok()?;
    said.trim().parse().ok()
}

/// How often each origin is among the dead letters, as Kafka's own consumer reads them.
async fn dead_letters(world: &World, at_least: u64) -> BTreeMap<(String, String), usize> {
    let tools = KafkaTools::provision()
        .await
        .expect("Kafka's tools are there (make setup)");
    let servers = world.broker.bootstrap_servers();
    let arguments = [
        "--bootstrap-server",
        &servers,
        "--topic",
        DEAD_LETTERS,
        "--from-beginning",
        "--timeout-ms",
        "5000",
        "--formatter-property",
        "print.headers=true",
    ];
    let output = tools
        .run(CONSOLE_CONSUMER, arguments)
        .await
        .expect("the tool starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let mut letters = BTreeMap::new();
    for line in text.lines() {
        let header = |name: &str| {
            let headers = line.split('\t').next().unwrap_or_default();
            let found = headers.split(',').find_map(|pair| pair.strip_prefix(name));
            found
                .unwrap_or_else(|| panic!("no {name} in {line}"))
                .to_owned()
        };
        header("dead-letter-reason:");
        assert_eq!(header("origin-topic:"), "trades");
        let origin = (header("origin-partition:"), header("origin-offset:"));
        *letters.entry(origin).or_default() += 1;
        // The two kinds of poison that the producer makes.
        assert!(
            !line.ends_with('}') || line.contains("\"symbol\":\"\\u0000\""),
            "{line}"
        );
    }
    assert!(
        letters.len() as u64 >= at_least,
        "{} letters: {errors}",
        letters.len()
    );
    letters
}
