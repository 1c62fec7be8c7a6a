//! Everything that runs in the chaos test, and how it is found, watched and ended.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use evenkeel_tools::demo::broker::{BrokerOptions, EmbeddedBroker};
use evenkeel_tools::demo::ports;
use evenkeel_tools::demo::postgres::EmbeddedPostgres;
use evenkeel_tools::demo::process::{self, bound_command};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::pooler::Pooler;

pub const TOPIC: &str = "trades";

const PARTITIONS: i32 = 16;
const MEMBERS: usize = 8;

/// Records/s; what 2 cores carry in a debug build with room to catch up.
const LOAD: &str = "800";

/// One record in so many is poison.
const POISON_SHARE: &str = "0.002";

/// Nothing here takes as long on a machine that works.
const DEADLINE: Duration = Duration::from_secs(180);

const POLL: Duration = Duration::from_millis(100);

/// How often the members' liveness is asked for.
const PROBE: Duration = Duration::from_secs(10);

/// The stage of the test.
pub struct World {
    pub broker: EmbeddedBroker,
    pub database: EmbeddedPostgres,
    producer: Child,
    /// The oldest first: blows fall on it, so that all get their share.
    members: VecDeque<Member>,
    folder: tempfile::TempDir,
    setting: Setting,
    pooler: Option<Pooler>,
    started: usize,
    began: Instant,
    /// What was deleted unread, or may have been: partition, from, to.
    pub gaps: Vec<(i32, i64, i64)>,
    /// Records that are large, and poison.
    pub large: u64,
    /// How long the table is locked.
    pub lock_seconds: u64,
    /// The table is free again.
    pub altered: Notify,
}

/// What the members live in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A classic group.
    Classic,
    /// A KIP-848 group.
    Kip848,
    /// A classic group, behind a pooler of connections.
    Pooled,
}

/// A consumer, and what the database knows it as.
pub struct Member {
    pub process: Child,
    pub name: String,
    port: u16,
}

/// What the producer said last.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Sent {
    pub produced_total: u64,
    pub poison_total: u64,
    pub acknowledged_total: u64,
    pub failed_total: u64,
    #[serde(rename = "final")]
    is_final: bool,
}

impl World {
    /// Starts the broker, the database, the members and the load.
    pub async fn start(setting: Setting) -> Self {
        let properties = [
            ("group.min.session.timeout.ms", "1000"),
            ("group.consumer.session.timeout.ms", "3000"),
            // On a busy machine it is not to be fenced: the producer would lose it too.
            ("broker.session.timeout.ms", "6000"),
        ];
        let broker = EmbeddedBroker::start(BrokerOptions {
            properties: properties
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .to_vec(),
            ..BrokerOptions::default()
        });
        let broker = broker.await.expect("Kafka starts (make setup)");
        let made = broker
            .topics()
            .create_topic(TOPIC, PARTITIONS, 1, &[("max.message.bytes", "5000000")])
            .await;
        made.expect("the topic is made");
        let database = EmbeddedPostgres::start()
            .await
            .expect("PostgreSQL starts (make setup)");
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("consumer/schema.sql");
        database.apply(&schema).await.expect("the schema applies");
        // The order in which rows came in; nothing else would show it.
        let arrival = "ALTER TABLE trades ADD COLUMN arrival bigint GENERATED ALWAYS AS IDENTITY";
        database.ask(arrival).await.expect("a column is added");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = File::create(folder.path().join("producer.json")).expect("a file");
        let producer = bound_command(&program("evenkeel-producer"))
            .args([
                "--bootstrap-servers",
                &broker.bootstrap_servers(),
                "--topic",
                TOPIC,
            ])
            .args([
                "--load",
                LOAD,
                "--poison-share",
                POISON_SHARE,
                "--accounts",
                "300",
            ])
            // A broker that is away must not make a record's fate unknown.
            .args(["--report-json", "-X", "message.timeout.ms=600000"])
            .stdout(output)
            .stderr(File::create(folder.path().join("producer.log")).expect("a file"))
            .spawn();
        let mut world = Self {
            broker,
            database,
            producer: producer.expect("the producer starts"),
            members: VecDeque::new(),
            pooler: None,
            folder,
            setting,
            started: 0,
            began: Instant::now(),
            gaps: Vec::new(),
            large: 0,
            lock_seconds: 25,
            altered: Notify::new(),
        };
        if setting == Setting::Pooled {
            let pooler = Pooler::start(&world.database.url(), world.folder.path());
            world.pooler = Some(pooler);
        }
        (0..MEMBERS).for_each(|_| world.add_member());
        world.wait_until_all_move_on().await;
        world
    }

    /// Says what happens, for whoever looks at a failed run.
    pub fn say(&self, what: &str) {
        println!("{:6.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    /// How many members there are.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Starts a member; small batches and short pauses, so that blows fall in the middle of things.
    pub fn add_member(&mut self) {
        self.started += 1;
        let name = format!("member-{}", self.started);
        let port = ports::free().expect("a free port").port();
        let log = self.folder.path().join(format!("{name}.log"));
        let pooled = self.pooler.as_ref().map(Pooler::url);
        let url = pooled.unwrap_or_else(|| self.database.url());
        let url = format!("{url}?application_name={name}");
        // In a KIP-848 group the broker says.
        let (protocol, timing): (_, &[&str]) = match self.setting {
            Setting::Kip848 => ("consumer", &[]),
            _ => (
                "classic",
                &[
                    "--session-timeout-seconds",
                    "3",
                    "--heartbeat-interval-seconds",
                    "0.3",
                ],
            ),
        };
        let member = bound_command(&program("evenkeel-consumer"))
            .args(["--bootstrap-servers", &self.broker.bootstrap_servers()])
            .args(["--topic", TOPIC, "--group", "workers", "--sink", "postgres"])
            .args(["--database-url", &url, "--writers", "2"])
            .args(["--batch-size", "50", "--batch-timeout-seconds", "0.05"])
            .args(["--group-protocol", protocol])
            .args(timing)
            .args(["--metrics-listen", &format!("127.0.0.1:{port}")])
            .stdout(Stdio::null())
            .stderr(File::create(log).expect("a file"))
            .spawn();
        self.members.push_back(Member {
            process: member.expect("the consumer starts"),
            name,
            port,
        });
    }

    /// Kills one (SIGKILL).
    pub async fn kill_member(&mut self) {
        let mut member = self.oldest();
        process::kill(&mut member.process).await;
    }

    /// Asks one to end, and holds it to its word.
    pub async fn end_member(&mut self) {
        self.await_oldest().await;
        let mut member = self.oldest();
        // Its own bound is 27 s.
        let status = process::end(&mut member.process, Duration::from_secs(40)).await;
        let status = status.expect("its end can be seen");
        assert!(
            status.success(),
            "{} did not drain: {status}\n{}",
            member.name,
            self.logs()
        );
    }

    /// Freezes one (SIGSTOP).
    pub async fn freeze_member(&mut self) -> Member {
        let member = self.oldest();
        process::signal(&member.process, "STOP").await;
        member
    }

    /// Freezes one that waits inside its transaction for the offsets, which then are its own: the
    /// database lets it have them, and it does not know.
    pub async fn freeze_member_in_transaction(&mut self) -> Member {
        let held =
            "BEGIN; LOCK TABLE consumer_offsets IN EXCLUSIVE MODE; SELECT pg_sleep(1); COMMIT";
        loop {
            let member = self.oldest();
            let waits = format!(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{}' \
                 AND wait_event_type = 'Lock' AND query LIKE 'WITH moved%'",
                member.name
            );
            let freeze = async {
                let deadline = Instant::now() + Duration::from_secs(1);
                while Instant::now() < deadline {
                    let said = self.database.ask(&waits).await.unwrap_or_default();
                    if said.trim().parse().is_ok_and(|count: u32| count > 0) {
                        process::signal(&member.process, "STOP").await;
                        return true;
                    }
                }
                false
            };
            let (locked, frozen) = tokio::join!(self.database.ask(held), freeze);
            locked.expect("the offsets can be locked");
            if frozen {
                return member;
            }
            self.members.push_back(member);
        }
    }

    /// Waits until another member waits for the offsets that `frozen` holds, or the database has
    /// taken them from it.
    pub async fn wait_until_another_waits_for(&self, frozen: &Member) {
        let query = format!(
            "SELECT count(*) FILTER (WHERE application_name <> '{name}' AND wait_event_type = 'Lock'), \
             count(*) FILTER (WHERE application_name = '{name}' AND state LIKE 'idle in tr%') \
             FROM pg_stat_activity",
            name = frozen.name
        );
        self.wait_for("another member to want the same offsets", async || {
            let said = self.database.ask(&query).await.ok()?;
            let (waiting, holding) = said.trim().split_once('|')?;
            (waiting != "0" || holding == "0").then_some(())
        })
        .await;
    }

    /// Lets it go on.
    pub async fn thaw(&mut self, member: Member) {
        process::signal(&member.process, "CONT").await;
        self.members.push_back(member);
    }

    /// Waits until the oldest is ready, as who is not may be about to be killed.
    async fn await_oldest(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            self.kill_silent().await;
            self.replace_killed();
            let port = self.members.front().map(|member| member.port);
            let said = ask(port.unwrap_or_default(), "/readyz").await;
            let said = said.unwrap_or_default();
            if said.starts_with("HTTP/1.1 200") {
                return;
            }
            assert!(Instant::now() < deadline, "{said}\n{}", self.logs());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Does what a kubelet would, first half: kills those whose liveness probe fails.
    async fn kill_silent(&self) {
        for member in &self.members {
            let said = ask(member.port, "/livez").await.unwrap_or_default();
            if said.starts_with("HTTP/1.1 503") {
                let why = said.lines().last().unwrap_or_default();
                self.say(&format!("{} is killed: {why}", member.name));
                process::signal(&member.process, "KILL").await;
            }
        }
    }

    /// And the second: starts others in their place. None ends in any other way.
    pub fn replace_killed(&mut self) {
        for _ in 0..self.members.len() {
            let mut member = self.oldest();
            match member.process.try_wait().expect("its end can be seen") {
                None => self.members.push_back(member),
                Some(status) => {
                    let fine = status.signal() == Some(9) || self.has_lost_all_brokers(&member);
                    assert!(fine, "{}: {status}\n{}", member.name, self.logs());
                    self.add_member();
                }
            }
        }
    }

    /// Whether it has ended because its client knew no broker any more. It says so.
    fn has_lost_all_brokers(&self, member: &Member) -> bool {
        let log = self.folder.path().join(format!("{}.log", member.name));
        let said = std::fs::read_to_string(log).unwrap_or_default();
        said.contains("knows no broker any more")
    }

    fn oldest(&mut self) -> Member {
        self.members.pop_front().expect("there is a member")
    }

    /// Waits until every partition's offset has moved on from where it is now.
    pub async fn wait_until_all_move_on(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        let mut before: Option<Vec<(i32, i64)>> = None;
        let mut probe_at = Instant::now();
        loop {
            if probe_at <= Instant::now() {
                self.kill_silent().await;
                self.replace_killed();
                probe_at = Instant::now() + PROBE;
            }
            if let Some(now) = self.reached().await {
                let before = before.get_or_insert_with(|| now.clone());
                let mut both = before.iter().zip(&now);
                if both.all(|(before, now)| before.1 < now.1) {
                    return;
                }
            }
            let late = Instant::now() >= deadline;
            assert!(!late, "not all move on:\n{}", self.logs());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Where each partition's rows end, once all have some.
    async fn reached(&self) -> Option<Vec<(i32, i64)>> {
        let reached = "SELECT kafka_partition, next_offset FROM consumer_offsets ORDER BY 1";
        let now = self.database.ask(reached).await.ok()?;
        let number = |line: &str| -> Option<(i32, i64)> {
            let (partition, offset) = line.split_once('|')?;
            Some((partition.parse().ok()?, offset.parse().ok()?))
        };
        let now: Vec<(i32, i64)> = now.lines().filter_map(number).collect();
        (now.len() >= usize::try_from(PARTITIONS).ok()?).then_some(now)
    }

    /// Polls until there is something.
    pub async fn wait_for<Seen>(
        &self,
        what: &str,
        mut seen: impl AsyncFnMut() -> Option<Seen>,
    ) -> Seen {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(seen) = seen().await {
                return seen;
            }
            if Instant::now() >= deadline {
                panic!("waited in vain for {what}:\n{}", self.logs());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends the load, and tells what it was.
    pub async fn end(&mut self) -> Sent {
        let status = process::end(&mut self.producer, Duration::from_secs(60)).await;
        assert!(
            status.is_some_and(|status| status.success()),
            "{}",
            self.logs()
        );
        let text = std::fs::read_to_string(self.folder.path().join("producer.json"));
        let text = text.expect("the producer has reported");
        let last = text.lines().last().expect("a last line");
        let sent: Sent = serde_json::from_str(last).expect("a report");
        assert!(sent.is_final, "{last}");
        sent
    }

    /// Ends the members and everything else.
    pub async fn strike_down(&mut self) {
        while !self.members.is_empty() {
            self.end_member().await;
        }
        self.database.crash().await;
        self.broker.stop().await;
    }

    /// The ends of all logs.
    pub fn logs(&self) -> String {
        let files = std::fs::read_dir(self.folder.path()).expect("the folder is there");
        let mut paths: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
        paths.sort();
        let tails = paths.iter().map(|path| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            format!("{}:\n{}\n", path.display(), process::tail(&text, 40))
        });
        tails.collect()
    }
}

/// What a member's server says, if it does.
async fn ask(port: u16, path: &str) -> Option<String> {
    let said = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await.ok()?;
        Some(said)
    };
    tokio::time::timeout(Duration::from_secs(2), said)
        .await
        .ok()?
}

fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_evenkeel")).with_file_name(name);
    let hint = "is not built: `cargo build --workspace` (make setup)";
    assert!(path.is_file(), "{name} {hint}");
    path
}
