//! A real PostgreSQL from the system's packages, started and stopped by us.
//!
//! A fresh cluster in a temporary folder on a free loopback port, with no data and no passwords; gone
//! when its handle is dropped. PostgreSQL refuses to run as root, so root becomes the package's own
//! user `postgres` for it. Not for production data: a crash of the machine may lose what it holds.
//! What is in it is asked through `psql`, so that the scaler links no database client.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{ports, process};

/// How long a start may take, on a machine that compiles beside it.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How often it is asked meanwhile.
const READY_POLL: Duration = Duration::from_millis(50);

/// How often a start is tried with another port when somebody takes ours first.
const PORT_ATTEMPTS: u32 = 4;

/// How much of its log's end an error shows.
const LOG_TAIL_LINES: usize = 20;

/// Where Debian keeps the servers of all versions, off the PATH.
const DEBIAN_FOLDER: &str = "/usr/lib/postgresql";

/// A running server with one database.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    // Declared before the folder: the process ends before its data goes.
    server: Option<Child>,
    port: u16,
    programs: Programs,
    folder: TempDir,
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Something that we need is not there.
    #[error("{0} was not found: `make setup` installs PostgreSQL (Debian's package `postgresql`)")]
    Missing(&'static str),
    /// A file or a process could not be worked with.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// One of its programs failed.
    #[error("{program} failed; it said:\n{output}")]
    Failed {
        /// Which.
        program: &'static str,
        /// The end of its output.
        output: String,
    },
}

/// Where its programs are and as whom they run.
#[derive(Clone, Debug)]
struct Programs {
    setpriv: PathBuf,
    initdb: PathBuf,
    postgres: PathBuf,
    psql: PathBuf,
    /// The user and group to become, if we are root.
    user: Option<(u32, u32)>,
}

// === impl EmbeddedPostgres ===

impl EmbeddedPostgres {
    /// Makes a cluster, starts it and waits until it answers.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start; the error carries the end of its log.
    pub async fn start() -> Result<Self, PostgresError> {
        let programs = Programs::find().await?;
        let folder = tempfile::Builder::new()
            .prefix("evenkeel-postgres-")
            .tempdir()
            .map_err(io("making a folder for PostgreSQL"))?;
        if let Some((user, group)) = programs.user {
            chown(folder.path(), Some(user), Some(group))
                .map_err(io("handing PostgreSQL its folder"))?;
        }
        let mut initdb = programs.command(&programs.initdb);
        initdb
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8"])
            .args(["--no-locale", "--username=postgres", "--pgdata"])
            .arg(folder.path().join("data"));
        said("initdb", initdb).await?;
        let mut server = Self {
            server: None,
            port: 0,
            programs,
            folder,
        };
        let mut attempt = 1;
        loop {
            server.port = ports::free().map_err(io("finding a port"))?.port();
            match server.restart().await {
                Err(PostgresError::Failed { output, .. })
                    if output.contains("Address already in use") && attempt < PORT_ATTEMPTS =>
                {
                    attempt += 1;
                }
                result => return result.map(|()| server),
            }
        }
    }

    /// How to reach it, for any client.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Applies a file of SQL.
    ///
    /// # Errors
    /// What psql said.
    pub async fn apply(&self, file: &Path) -> Result<(), PostgresError> {
        let mut psql = self.psql();
        psql.arg("--file").arg(file);
        said("psql", psql).await.map(drop)
    }

    /// Asks something; rows come as lines, columns by `|`.
    ///
    /// # Errors
    /// What psql said.
    pub async fn ask(&self, query: &str) -> Result<String, PostgresError> {
        let mut psql = self.psql();
        psql.args(["--command", query]);
        said("psql", psql).await
    }

    /// Ends it without any order (its own `immediate` shutdown); what was not committed is lost.
    pub async fn crash(&mut self) {
        if let Some(mut server) = self.server.take() {
            process::signal(&server, "QUIT").await;
            let _ = server.wait().await;
        }
    }

    /// Starts it again on the same data and port, crashing it first where it runs, and waits until
    /// it answers.
    ///
    /// # Errors
    /// With the end of its log, when it does not.
    pub async fn restart(&mut self) -> Result<(), PostgresError> {
        self.crash().await;
        let folder = self.folder.path();
        let log = folder.join("log");
        let output = std::fs::File::create(&log).map_err(io("opening PostgreSQL's log"))?;
        let mut command = self.programs.command(&self.programs.postgres);
        command
            .arg("-D")
            .arg(folder.join("data"))
            .arg("-k")
            .arg(folder)
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "max_connections=200"])
            .stderr(Stdio::from(output));
        let mut server = command.spawn().map_err(io("starting PostgreSQL"))?;
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        while self.ask("SELECT 1").await.is_err() {
            let ended = !matches!(server.try_wait(), Ok(None));
            if ended || tokio::time::Instant::now() >= deadline {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(PostgresError::Failed {
                    program: "postgres",
                    output: process::tail(&text, LOG_TAIL_LINES),
                });
            }
            tokio::time::sleep(READY_POLL).await;
        }
        self.server = Some(server);
        Ok(())
    }

    fn psql(&self) -> Command {
        let mut command = process::bound_command(&self.programs.psql);
        command
            .args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet"])
            .args(["--set", "ON_ERROR_STOP=1", "--dbname"])
            .arg(self.url());
        command
    }
}

// === impl Programs ===

impl Programs {
    async fn find() -> Result<Self, PostgresError> {
        let setpriv = process::find_program("setpriv").ok_or(PostgresError::Missing("setpriv"))?;
        let is_root = id(&["-u"]).await? == 0;
        let user = if is_root {
            let user = id(&["-u", "postgres"]).await;
            let group = id(&["-g", "postgres"]).await;
            let missing = |_| PostgresError::Missing("the user `postgres`");
            Some((user.map_err(missing)?, group.map_err(missing)?))
        } else {
            None
        };
        Ok(Self {
            setpriv,
            initdb: server_program("initdb").ok_or(PostgresError::Missing("initdb"))?,
            postgres: server_program("postgres").ok_or(PostgresError::Missing("postgres"))?,
            psql: process::find_program("psql").ok_or(PostgresError::Missing("psql"))?,
            user,
        })
    }

    /// A program of the server, as its user. A change of user forgets the signal that ends a child
    /// with its parent, so it is asked for once more behind it.
    fn command(&self, program: &Path) -> Command {
        let mut command = process::bound_command(&self.setpriv);
        command.args(["--pdeathsig", "KILL"]);
        if let Some((user, group)) = self.user {
            command.args(["--clear-groups", "--regid", &group.to_string()]);
            command.args(["--reuid", &user.to_string()]);
        }
        command.arg("--").arg(program).current_dir("/");
        command
    }
}

/// The newest version that is installed.
fn server_program(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN_FOLDER).into_iter().flatten();
    let mut folders: Vec<PathBuf> = versions.flatten().map(|entry| entry.path()).collect();
    let number = |folder: &PathBuf| -> Option<u32> { folder.file_name()?.to_str()?.parse().ok() };
    folders.sort_by_key(number);
    let programs = folders
        .iter()
        .rev()
        .map(|folder| folder.join("bin").join(name));
    let mut programs = programs.filter(|path| path.is_file());
    programs.next().or_else(|| process::find_program(name))
}

async fn id(arguments: &[&str]) -> Result<u32, PostgresError> {
    let program = process::find_program("id").ok_or(PostgresError::Missing("id"))?;
    let mut command = process::bound_command(&program);
    command.args(arguments);
    let said = said("id", command).await?;
    said.trim()
        .parse()
        .map_err(|_| PostgresError::Missing("a user id"))
}

/// Runs a program to its end and hands back what it said.
async fn said(program: &'static str, mut command: Command) -> Result<String, PostgresError> {
    let output = command
        .output()
        .await
        .map_err(io("running a program of PostgreSQL"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(PostgresError::Failed {
        program,
        output: process::tail(&text, LOG_TAIL_LINES),
    })
}

/// Names what was being done in an error of the operating system.
fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> PostgresError {
    move |source| PostgresError::Io { what, source }
}
