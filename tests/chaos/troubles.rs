//! Blows that leave every process alive: what Kafka deletes, what a database refuses for a while, and
//! records that only some limits let through.

use std::process::Stdio;
use std::time::Duration;

use evenkeel_tools::demo::broker::KafkaTools;
use tokio::io::AsyncWriteExt as _;

use crate::world::{TOPIC, World};

/// More than a member holds of a partition, in batches and in what it has fetched ahead.
const DELETED_AT_LEAST: i64 = 400;

/// Between the limit of a producer's client and that of the topic.
const LARGE_BYTES: usize = 1_500_000;

impl World {
    /// Deletes of one partition what its owner cannot write, while the database is away.
    pub async fn delete_unread(&mut self) {
        let partition = i32::try_from(self.gaps.len() % 16).unwrap_or(0);
        let stored =
            format!("SELECT next_offset FROM consumer_offsets WHERE kafka_partition = {partition}");
        let said = self
            .database
            .ask(&stored)
            .await
            .expect("the database answers");
        let stored: i64 = said.trim().parse().expect("an offset");
        self.database.crash().await;
        let deleted = self.wait_for("enough to be deleted", async || {
            // -1 is everything that is there.
            let deleted = self
                .broker
                .topics()
                .delete_records(TOPIC, partition, -1)
                .await
                .ok()?;
            (deleted >= stored + DELETED_AT_LEAST).then_some(deleted)
        });
        self.gaps.push((partition, stored, deleted.await));
        self.database
            .restart()
            .await
            .expect("PostgreSQL starts again");
    }

    /// A server that only reads, as after a failover, and then one that writes.
    pub async fn let_only_read(&self) {
        self.set_read_only("on").await;
        let refused = "25006";
        self.wait_for("a member to be refused", async || {
            let logs = self.logs();
            (logs.contains(refused) || logs.contains("does not allow writes")).then_some(())
        })
        .await;
        self.set_read_only("off").await;
    }

    async fn set_read_only(&self, to: &str) {
        let statement = format!("ALTER SYSTEM SET default_transaction_read_only = {to}");
        for statement in [statement.as_str(), "SELECT pg_reload_conf()"] {
            self.database
                .ask(statement)
                .await
                .expect("the setting is changed");
        }
    }

    /// Holds the table as an ALTER TABLE does that rewrites it, longer than a statement may wait, and looks
    /// whether sessions pile up behind it.
    pub async fn alter_table(&self) {
        let held = format!(
            "BEGIN; LOCK TABLE trades IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep({}); COMMIT",
            self.lock_seconds
        );
        let sessions =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'member-%'";
        let watch = async {
            let mut most = 0;
            loop {
                let said = self.database.ask(sessions).await.unwrap_or_default();
                most = most.max(said.trim().parse().unwrap_or(0));
                tokio::select! {
                    biased;
                    () = self.altered.notified() => break most,
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
            }
        };
        let hold = async {
            self.database
                .ask(&held)
                .await
                .expect("the table can be locked");
            self.altered.notify_one();
        };
        let (most, ()) = tokio::join!(watch, hold);
        // Two writers each, and one that is being made while another is being cancelled.
        assert!(
            most <= 4 * self.members(),
            "{most} sessions: {}",
            self.logs()
        );
    }

    /// Poison that is larger than most clients send.
    pub async fn send_large(&mut self) {
        let tools = KafkaTools::provision()
            .await
            .expect("Kafka's tools are there (make setup)");
        let mut command = tools.command("org.apache.kafka.tools.ConsoleProducer");
        let mut producer = command
            .args([
                "--bootstrap-server",
                &self.broker.bootstrap_servers(),
                "--topic",
                TOPIC,
            ])
            .args(["--command-property", "max.request.size=5000000"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the tool starts");
        let mut input = producer.stdin.take().expect("it reads");
        let line = "x".repeat(LARGE_BYTES) + "\n";
        input
            .write_all(line.as_bytes())
            .await
            .expect("it reads all of it");
        drop(input);
        let status = producer.wait().await.expect("its end can be seen");
        assert!(status.success(), "the tool failed");
        self.large += 1;
        let letters =
            format!("SELECT count(*) FROM dead_letters WHERE octet_length(value) = {LARGE_BYTES}");
        self.wait_for("the large one", async || {
            let said = self.database.ask(&letters).await.ok()?;
            (said.trim().parse::<u64>().ok()? == self.large).then_some(())
        })
        .await;
    }
}
