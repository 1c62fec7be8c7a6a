//! A PostgreSQL of a test's own: a fresh cluster in a temporary folder, reached by a socket in it, so
//! that nothing can clash. It runs as an unprivileged user and is gone with its handle.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use batch_consumer::clock;
use batch_consumer::postgres::Database as Given;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running cluster; its one database is `postgres`.
pub struct Database {
    server: Option<Child>,
    /// More of postgres' command line.
    more: Vec<String>,
    folder: tempfile::TempDir,
    runtime: Runtime,
}

impl Database {
    /// Makes a cluster with the consumer's tables.
    pub fn start() -> Self {
        let mut database = Self::make();
        database.start_again();
        let owner = database.connect().unwrap();
        database.run(&owner, include_str!("../../schema.sql"));
        database
    }

    /// Makes a cluster without tables that takes TLS, and nothing but TLS, on the port that is
    /// returned. Its certificate, self-made, lies at the path.
    pub fn start_with_tls() -> (Self, u16, PathBuf) {
        let mut database = Self::make();
        let folder = database.folder.path();
        let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output();
        let made = made.expect("openssl is missing: apt-get install openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        if let Some((user, group)) = unprivileged() {
            chown(&key, Some(user), Some(group)).unwrap();
        }
        let rules = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
        std::fs::write(folder.join("data/pg_hba.conf"), rules).unwrap();
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        database.more = [
            "ssl=on".to_owned(),
            format!("ssl_key_file={}", key.display()),
            format!("ssl_cert_file={}", certificate.display()),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
        ]
        .map(|setting| format!("--{setting}"))
        .to_vec();
        database.start_again();
        (database, port, certificate)
    }

    fn make() -> Self {
        let folder = tempfile::Builder::new().prefix("batch-consumer-postgres-").tempdir().unwrap();
        if let Some((user, group)) = unprivileged() {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let made = command("initdb")
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--no-locale"])
            .args(["--username=postgres", "--pgdata"])
            .arg(folder.path().join("data"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "initdb failed: {said}");
        Self {
            server: None,
            more: vec!["--listen_addresses=".to_owned()],
            folder,
            runtime: Runtime::new().unwrap(),
        }
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
            .args(["-c", "fsync=off"])
            .args(&self.more)
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .stdout(Stdio::null())
            .spawn();
        self.server = Some(server.unwrap());
        let deadline = clock::now() + READY_WITHIN;
        while self.connect().is_none() {
            let log = std::fs::read_to_string(self.folder.path().join("log"));
            assert!(clock::now() < deadline, "PostgreSQL is not ready: {log:?}");
            std::thread::park_timeout(Duration::from_millis(20));
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
    pub fn url(&self) -> String {
        let folder = self.folder.path().display();
        let port = self.more.iter().find_map(|more| more.strip_prefix("--port="));
        let port = port.unwrap_or("5432");
        format!("host={folder} port={port} user=postgres dbname=postgres")
    }

    /// The same as the consumer's options.
    pub fn given(&self) -> Given {
        Given { database_url: self.url(), create_tables: false }
    }

    /// Where its socket lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A session of the test's own.
    pub fn connect(&self) -> Option<Client> {
        let connected = self.runtime.block_on(tokio_postgres::connect(&self.url(), NoTls));
        let (client, connection) = connected.ok()?;
        self.runtime.spawn(connection);
        Some(client)
    }

    /// Runs statements.
    pub fn run(&self, client: &Client, statements: &str) {
        self.runtime.block_on(client.batch_execute(statements)).unwrap();
    }

    /// Why statements are refused, if they are.
    pub fn refusal(&self, client: &Client, statements: &str) -> Option<String> {
        let error = self.runtime.block_on(client.batch_execute(statements)).err()?;
        Some(error.as_db_error().unwrap().message().to_owned())
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
pub fn unprivileged() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> u32 {
        let output = Command::new("id").args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().parse().expect("no user `postgres`: apt-get install postgresql")
    };
    (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"])))
}

/// Debian keeps the servers of all versions apart, and off the PATH.
fn find(program: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut folders: Vec<PathBuf> = versions.flatten().map(|e| e.path().join("bin")).collect();
    folders.sort();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let found = folders.iter().rev().map(|folder| folder.join(program));
    let mut found = found.filter(|path| Path::is_file(path));
    found.next().expect("PostgreSQL's server is missing: apt-get install postgresql")
}
