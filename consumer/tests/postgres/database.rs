//! A PostgreSQL of a test's own: a fresh cluster in a temporary folder, reached by a socket in it, so
//! that nothing can clash. It runs as an unprivileged user and is gone with its handle.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use evenkeel_consumer::clock;
use evenkeel_consumer::postgres::parse_url;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls};

const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running cluster; its one database is `postgres`.
pub struct Database {
    server: Option<Child>,
    folder: tempfile::TempDir,
    runtime: Runtime,
}

impl Database {
    /// Makes a cluster with the consumer's tables.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("evenkeel-postgres-")
            .tempdir()
            .unwrap();
        if let Some((user, group)) = unprivileged() {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let made = command("initdb")
            .args([
                "--no-sync",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
            ])
            .args(["--username=postgres", "--pgdata"])
            .arg(folder.path().join("data"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "initdb failed: {said}");
        let mut database = Self {
            server: None,
            folder,
            runtime: Runtime::new().unwrap(),
        };
        database.start_again();
        evenkeel_consumer::postgres::create_tables(&database.config()).unwrap();
        database
    }

    /// Starts it on the data that it has, and waits until it answers.
    pub fn start_again(&mut self) {
        let folder = self.folder.path();
        let server = command("postgres")
            .arg("-D")
            .arg(folder.join("data"))
            .arg("-k")
            .arg(folder)
            // A crash of the machine is not tested here, only one of the server.
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .stdout(Stdio::null())
            .spawn();
        self.server = Some(server.unwrap());
        let deadline = clock::now() + READY_WITHIN;
        while self.connect().is_none() {
            let log = std::fs::read_to_string(self.folder.path().join("log"));
            assert!(clock::now() < deadline, "PostgreSQL is not ready: {log:?}");
            clock::wait_until(clock::now() + Duration::from_millis(20));
        }
    }

    /// Ends it without any order; what was not committed is lost.
    pub fn crash(&mut self) {
        if let Some(mut server) = self.server.take() {
            let quit = ["-c", "kill -QUIT \"$0\"", &server.id().to_string()].map(str::to_owned);
            Command::new("/bin/sh").args(quit).status().unwrap();
            server.wait().unwrap();
        }
    }

    /// How to reach it.
    pub fn config(&self) -> Config {
        let folder = self.folder.path().display();
        parse_url(&format!("host={folder} user=postgres dbname=postgres")).unwrap()
    }

    /// A session of the test's own.
    pub fn connect(&self) -> Option<Client> {
        let connected = self.runtime.block_on(self.config().connect(NoTls));
        let (client, connection) = connected.ok()?;
        self.runtime.spawn(connection);
        Some(client)
    }

    /// Runs statements.
    pub fn run(&self, client: &Client, statements: &str) {
        self.runtime
            .block_on(client.batch_execute(statements))
            .unwrap();
    }

    /// The one number that a query gives.
    pub fn number(&self, query: &str) -> i64 {
        let client = self.connect().unwrap();
        let row = self.runtime.block_on(client.query_one(query, &[])).unwrap();
        row.get(0)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.crash();
    }
}

/// One of PostgreSQL's programs, as an unprivileged user, ended with the thread that starts it.
fn command(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some((user, group)) = unprivileged() {
        command.args(["--clear-groups", "--regid", &group.to_string()]);
        command.args(["--reuid", &user.to_string()]);
    }
    command.arg("--").arg(find(program)).current_dir("/");
    command
}

/// The user and group to become, if we are root: PostgreSQL refuses to run as root.
fn unprivileged() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> u32 {
        let output = Command::new("id").args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim()
            .parse()
            .expect("no user `postgres`: apt-get install postgresql")
    };
    (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"])))
}

/// Debian keeps the servers of all versions apart, and off the PATH.
fn find(program: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut folders: Vec<PathBuf> = versions.flatten().map(|e| e.path().join("bin")).collect();
    folders.sort();
    folders.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let found = folders.iter().rev().map(|folder| folder.join(program));
    let mut found = found.filter(|path| Path::is_file(path));
    found
        .next()
        .expect("PostgreSQL's server is missing: apt-get install postgresql")
}
