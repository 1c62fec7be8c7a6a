//! Group members and load: the programs of `consumer/` as processes, which end with their test.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use evenkeel_tools::demo::process;
use tokio::process::{Child, Command};

/// Longer than the programs take to drain: a batch in flight and the last revocation.
const LEAVE_WITHIN: Duration = Duration::from_secs(40);

/// A consumer that writes nothing in a lifetime: it owns partitions and commits nothing.
pub const SLOW: &[&str] = &["--batch-processing-time", "600"];

/// A consumer that writes at once.
pub const QUICK: &[&str] = &["--batch-processing-time", "0"];

/// A running program.
#[derive(Debug)]
pub struct Program {
    child: Child,
}

/// The program of this name, which `cargo build --workspace` puts beside the tests.
pub fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("a test knows where it is");
    here.ancestors()
        .skip(1)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is not built: run `make setup`"))
}

/// A consumer of `topic` in `group`.
pub fn join(bootstrap_servers: &str, topic: &str, group: &str, more: &[&[&str]]) -> Program {
    let mut command = process::bound_command(&program("evenkeel-consumer"));
    command
        .args(["--bootstrap-servers", bootstrap_servers])
        .args(["--topic", topic, "--group", group])
        .args(["--sink", "simulate", "--metrics-listen", "none"])
        .args(more.concat());
    Program::start(command)
}

/// A producer at `load` (records per second, a comma list with `more` for its steps).
pub fn load(bootstrap_servers: &str, topic: &str, load: &str, more: &[&str]) -> Program {
    Program::start(producer(bootstrap_servers, topic, load, more))
}

/// Puts exactly `records` records into `topic`, spread over its partitions.
pub async fn produce(bootstrap_servers: &str, topic: &str, records: u32) {
    // A plan of half a second at twice the records is made up exactly at its end.
    let rate = (u64::from(records) * 2).to_string();
    let mut command = producer(
        bootstrap_servers,
        topic,
        &rate,
        &["--step-seconds", "0.5", "--null-keys", "--report-json"],
    );
    let output = command.output().await.expect("the producer starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let last: serde_json::Value = said
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok())
        .unwrap_or_else(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            panic!("the producer reported nothing: {complaint}")
        });
    assert_eq!(last["acknowledged_total"], records, "{last}");
}

fn producer(bootstrap_servers: &str, topic: &str, load: &str, more: &[&str]) -> Command {
    let mut command = process::bound_command(&program("evenkeel-producer"));
    command
        .args(["--bootstrap-servers", bootstrap_servers])
        .args(["--topic", topic, "--load", load])
        .args(more);
    command
}

// === impl Program ===

impl Program {
    fn start(mut command: Command) -> Self {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        Self { child }
    }

    /// Asks it to end, and waits until it has: it leaves its group in order.
    pub async fn leave(mut self) {
        let status = process::end(&mut self.child, LEAVE_WITHIN).await;
        let status = status.expect("its end is seen");
        assert!(status.success(), "it drains and ends in order: {status}");
    }

    /// Stops it where it stands: no heartbeat, no poll, nothing.
    pub async fn freeze(&self) {
        self.signal("STOP").await;
    }

    /// Lets it go on.
    pub async fn thaw(&self) {
        self.signal("CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let shell = process::find_program("sh").expect("every machine has a shell");
        let status = process::bound_command(&shell)
            .args(["-c", "kill -\"$0\" \"$1\"", signal, &id])
            .status()
            .await
            .expect("the shell starts");
        assert!(status.success(), "kill -{signal}: {status}");
    }
}
