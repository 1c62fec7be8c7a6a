//! The sink where servers are not as they should be: read-only, locked, of another Kafka cluster.

use std::time::Duration;

use batch_consumer::sink::WriteError;

use super::consumers::wait_for;
use super::database::Database;
use super::{COUNT, Writer, step, trades};

/// Sessions of consumers.
const SESSIONS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'batch-consumer'";

/// Which of them was made last.
const NEWEST: &str = "SELECT coalesce(max(extract(epoch FROM backend_start) * 1000000), 0)::bigint \
    FROM pg_stat_activity WHERE application_name = 'batch-consumer'";

#[test]
fn a_server_that_only_reads_costs_the_session_and_one_that_writes_again_is_used() {
    let database = Database::start();
    let mut writer = Writer::new(&database);
    writer.positions("kafka", &[0]).unwrap();
    let made_first = database.number(NEWEST);
    let owner = database.connect().unwrap();
    let set = |to: &str| {
        let statement = format!("ALTER SYSTEM SET default_transaction_read_only = {to}");
        database.run(&owner, "SET default_transaction_read_only = off");
        database.run(&owner, &statement);
        database.run(&owner, "SELECT pg_reload_conf()");
        wait_for("the setting", || {
            let shown = format!(
                "SELECT count(*) FROM pg_settings WHERE name = 'default_transaction_read_only' \
                 AND reset_val = '{to}'"
            );
            database.number(&shown) == 1
        });
    };
    set("on");
    let refused = writer.write(&trades(&[(0, 0)]), &[step(0, -1, 1)]);
    assert!(matches!(&refused, Err(WriteError::Retry(_))), "{refused:?}");
    wait_for("the session to go", || {
        writer.pass();
        database.number(SESSIONS) == 0
    });
    // Such a server is not taken at all.
    let refused = writer.write(&trades(&[(0, 0)]), &[step(0, -1, 1)]);
    assert!(
        matches!(&refused, Err(WriteError::Retry(why)) if why.contains("does not allow writes")),
        "{refused:?}"
    );
    set("off");
    writer.write(&trades(&[(0, 0)]), &[step(0, -1, 1)]).unwrap();
    assert!(database.number(NEWEST) > made_first);
    assert_eq!(database.number(COUNT), 1);
}

#[test]
fn a_write_that_is_given_up_ends_on_the_server_too() {
    let database = Database::start();
    let mut writer = Writer::new(&database);
    writer.positions("kafka", &[0]).unwrap();
    let blocker = database.connect().unwrap();
    // As an ALTER TABLE does, while it works.
    database.run(&blocker, "BEGIN; LOCK TABLE trades IN ACCESS EXCLUSIVE MODE");
    for _ in 0..3 {
        let (rows, steps) = (trades(&[(0, 0)]), [step(0, -1, 1)]);
        writer.give_up(&rows, &steps, Duration::from_secs(1));
        // The cancellation goes out on the writer's thread; nobody waits for it in a consumer either.
        writer.pass();
    }
    wait_for("no session to wait for the lock", || {
        writer.pass();
        database.number("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0
    });
    database.run(&blocker, "COMMIT");
    writer.write(&trades(&[(0, 0)]), &[step(0, -1, 1)]).unwrap();
    assert_eq!(database.number(SESSIONS), 1);
    assert_eq!(database.number(COUNT), 1);
}

#[test]
fn the_transaction_bounds_its_own_waits() {
    let database = Database::start();
    let mut writer = Writer::new(&database);
    writer.positions("kafka", &[0]).unwrap();
    let owner = database.connect().unwrap();
    let note = "CREATE TABLE settings (name text, value text); \
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        INSERT INTO settings SELECT name, setting FROM pg_settings WHERE name IN \
        ('statement_timeout', 'idle_in_transaction_session_timeout'); RETURN NEW; END $$; \
        CREATE TRIGGER note BEFORE INSERT ON trades FOR EACH ROW EXECUTE FUNCTION note()";
    database.run(&owner, note);
    writer.write(&trades(&[(0, 0)]), &[step(0, -1, 1)]).unwrap();
    let bounded = "SELECT count(*) FROM settings WHERE value::int BETWEEN 1 AND 30000";
    assert_eq!(database.number(bounded), 2);
}

#[test]
fn offsets_of_another_kafka_cluster_are_not_used() {
    let database = Database::start();
    let mut writer = Writer::new(&database);
    writer.positions("first", &[0]).unwrap();
    writer.write(&trades(&[(0, 0)]), &[step(0, -1, 1)]).unwrap();
    let mirrored = writer.positions("second", &[0]);
    assert!(
        matches!(&mirrored, Err(WriteError::Retry(why)) if why.contains("first") && why.contains("second")),
        "{mirrored:?}"
    );
    assert_eq!(writer.positions("first", &[0]).unwrap()[&0], 1);
    // A table of before knows none: it takes the first that asks.
    let owner = database.connect().unwrap();
    database.run(&owner, "UPDATE consumer_offsets SET cluster_id = NULL");
    assert_eq!(writer.positions("second", &[0]).unwrap()[&0], 1);
    assert!(writer.positions("first", &[0]).is_err());
}

#[test]
fn the_schema_brings_tables_of_before_up_to_date() {
    let database = Database::start();
    let owner = database.connect().unwrap();
    database.run(
        &owner,
        "ALTER TABLE consumer_offsets DROP COLUMN cluster_id; DROP TABLE dead_letters",
    );
    database.run(&owner, "INSERT INTO consumer_offsets VALUES ('workers', 'trades', 0, 7)");
    let given = batch_consumer::postgres::Database { create_tables: true, ..database.given() };
    let mut writer = Writer::at(&given);
    assert_eq!(
        writer.positions("kafka", &[0, 1]).unwrap().into_iter().collect::<Vec<_>>(),
        [(0, 7), (1, -1)]
    );
}
