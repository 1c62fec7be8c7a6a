//! What has to hold when everything has been sent.

use crate::world::{Sent, World};

/// Dead letters that are in the table too.
const BOTH: &str =
    "SELECT count(*) FROM trades JOIN dead_letters USING (kafka_partition, kafka_offset)";

/// Dead letters that are not one of the two kinds of poison that the producer makes.
const NO_POISON: &str = "SELECT count(*) FROM dead_letters WHERE topic <> 'trades' \
    OR convert_from(value, 'UTF8') NOT LIKE '%\"symbol\":\"\\\\u0000\"%' \
    AND convert_from(value, 'UTF8') LIKE '%}'";

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
    let all = sent.acknowledged_total + world.large;
    let reached = "SELECT sum(next_offset) FROM consumer_offsets";
    let ends = world.wait_for("all offsets", async || {
        let reached = number(world, reached).await?;
        (reached >= all).then_some(reached)
    });
    assert_eq!(ends.await, all, "the log has more than was acknowledged");

    let missing = missing(world).await;
    println!("{sent:?}; deleted unread: {missing}");
    let poison = sent.poison_total + world.large;
    let rows = number(world, "SELECT count(*) FROM trades").await;
    let letters = number(world, "SELECT count(*) FROM dead_letters").await;
    let (rows, letters) = (rows.expect("an answer"), letters.expect("an answer"));
    // What was deleted may have been poison or not.
    assert_eq!(
        rows + letters,
        all - missing,
        "{rows} rows, {letters} letters; {}",
        world.logs()
    );
    assert!(
        letters <= poison && poison - letters <= missing,
        "{letters} of {poison}"
    );
    for (what, query, expected) in [
        (
            "trades",
            "SELECT count(DISTINCT trade_id) FROM trades",
            rows,
        ),
        (
            "records",
            "SELECT count(DISTINCT (kafka_partition, kafka_offset)) FROM trades",
            rows,
        ),
        ("rows out of order", OUT_OF_ORDER, 0),
        (
            "dead records",
            "SELECT count(DISTINCT (kafka_partition, kafka_offset)) FROM dead_letters",
            letters,
        ),
        ("dead letters in the table too", BOTH, 0),
        ("dead letters that are no poison", NO_POISON, 0),
    ] {
        let found = number(world, query).await.expect("the database answers");
        assert_eq!(found, expected, "{what}; {sent:?}\n{}", world.logs());
    }
}

/// How many records were deleted unread: of those that may have been, what is nowhere.
async fn missing(world: &World) -> u64 {
    let mut missing = 0;
    for (partition, from, to) in &world.gaps {
        let query = format!(
            "SELECT count(*) FROM generate_series({from}::bigint, {to}::bigint - 1) AS record \
             WHERE NOT EXISTS (SELECT FROM trades WHERE kafka_partition = {partition} \
             AND kafka_offset = record) AND NOT EXISTS (SELECT FROM dead_letters \
             WHERE kafka_partition = {partition} AND kafka_offset = record)"
        );
        let found = number(world, &query).await.expect("the database answers");
        assert!(found > 0, "nothing of {from}..{to} was missed");
        missing += found;
    }
    missing
}

async fn number(world: &World, query: &str) -> Option<u64> {
    let said = world.database.ask(query).await.ok()?;
    said.trim().parse().ok()
}
