//! The binary as a process that ends with its test.

use std::fs::File;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use evenkeel_scaler::grpc::wire::external_scaler_client::ExternalScalerClient;
use evenkeel_tools::demo::ports;
use tempfile::TempDir;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

/// How long anything here may take. Generous: only a failure waits for it.
const DEADLINE: Duration = Duration::from_secs(60);

/// A process that was started and may not be up, or be up no more.
pub struct Spawned {
    process: Child,
    folder: TempDir,
}

/// A server that is up.
pub struct Serve {
    /// Where KEDA calls.
    pub grpc: SocketAddr,
    /// Where people look.
    pub admin: SocketAddr,
    spawned: Spawned,
}

// === impl Spawned ===

impl Spawned {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).expect("a log")
    }

    /// Waits for the end; its status and everything it said.
    pub async fn end(&mut self) -> (ExitStatus, String) {
        let status = eventually("the process ends", async || {
            self.process.try_wait().expect("a child process")
        })
        .await;
        (status, self.log())
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

// === impl Serve ===

impl Serve {
    /// Starts the binary on free ports (later flags win) and does not wait for it.
    pub fn spawn(yaml: &str, flags: &[&str], environment: &[(&str, &str)]) -> Spawned {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("evenkeel.yaml"), yaml).expect("a config file");
        let log = File::create(folder.path().join("log")).expect("a log file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command.args([
            "serve",
            "--config",
            "evenkeel.yaml",
            "--ready-file",
            "ready",
        ]);
        for flag in ["--grpc-listen", "--admin-listen"] {
            if !flags.contains(&flag) {
                command.args([flag, "127.0.0.1:0"]);
            }
        }
        let process = command
            .args(flags)
            .envs(environment.iter().copied())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        Spawned { process, folder }
    }

    /// Starts the binary and waits until it listens.
    pub async fn start(yaml: &str) -> Self {
        Self::start_in(yaml, &[]).await
    }

    /// The same with variables of the environment.
    pub async fn start_in(yaml: &str, environment: &[(&str, &str)]) -> Self {
        let mut spawned = Self::spawn(yaml, &[], environment);
        let ready = spawned.path("ready");
        let text = eventually("the server listens", async || {
            if let Some(status) = spawned.process.try_wait().expect("a child process") {
                panic!("ended with {status}: {}", spawned.log());
            }
            std::fs::read_to_string(&ready).ok()
        })
        .await;
        let address = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
                .unwrap_or_else(|| panic!("no {name} address in {text:?}"))
        };
        Self {
            grpc: address("grpc"),
            admin: address("admin"),
            spawned,
        }
    }

    /// Asks the admin server; the status and what it says.
    pub async fn get(&self, path: &str) -> (u16, String) {
        evenkeel_scaler::tls::use_ring();
        let url = format!("http://{}/{path}", self.admin);
        let answer = in_time(reqwest::get(url)).await;
        let answer = answer.unwrap_or_else(|error| panic!("{error}: {}", self.spawned.log()));
        let status = answer.status().as_u16();
        (status, in_time(answer.text()).await.expect("text"))
    }

    /// A connection to the gRPC server.
    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).expect("an endpoint");
        in_time(endpoint.connect()).await.expect("a connection")
    }

    /// KEDA's side of a connection.
    pub async fn client(&self) -> ExternalScalerClient<Channel> {
        ExternalScalerClient::new(self.channel().await)
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.spawned.process.id();
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {pid}")])
            .status()
            .expect("a shell");
        assert!(status.success(), "SIG{name} was not sent");
    }

    /// Waits until the log contains `words`.
    pub async fn logged(&self, words: &str) {
        eventually(words, async || {
            self.spawned.log().contains(words).then_some(())
        })
        .await;
    }

    /// Waits for the end; its status and everything it said.
    pub async fn end(&mut self) -> (ExitStatus, String) {
        self.spawned.end().await
    }
}

/// An address that nobody listens on.
pub fn free_address() -> SocketAddr {
    ports::free().expect("a free port")
}

/// Fails instead of hanging.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("not within {DEADLINE:?}"))
}

async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
