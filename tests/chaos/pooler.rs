//! A PgBouncer in transaction mode before the database: each transaction may meet another session.
//!
//! It is started again when it ends, as a service is: releases up to 1.18 end themselves now and then over
//! a cancelled query (`bad client state`), which is one fault more for the consumer and none of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use evenkeel_tools::demo::ports;
use evenkeel_tools::demo::process::bound_command;
use tokio_util::task::AbortOnDropHandle;

/// How long after its end it is started again.
const AGAIN: Duration = Duration::from_millis(200);

/// Ended with the test.
pub struct Pooler {
    _task: AbortOnDropHandle<()>,
    port: u16,
}

impl Pooler {
    /// Before the database at this address.
    pub fn start(database: &str, folder: &Path) -> Self {
        let port = ports::free().expect("a free port").port();
        let address = database.rsplit_once('@').expect("an address").1;
        let (address, _) = address.split_once('/').expect("an address");
        let (host, its_port) = address.split_once(':').expect("an address");
        let settings = format!(
            "[databases]\npostgres = host={host} port={its_port} user=postgres pool_size=20\n\
             [pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\n\
             auth_type=any\npool_mode=transaction\nlogfile={}\n",
            folder.join("pgbouncer.log").display()
        );
        let file = folder.join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("a file");
        let found = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"];
        let program = found.into_iter().map(Path::new).find(|path| path.is_file());
        let mut command = bound_command(program.expect("PgBouncer is there (make setup)"));
        // It refuses to run as root, and so may not read what root alone may.
        if is_root() {
            open(folder);
            command.args(["-u", "nobody"]);
        }
        command
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let task = tokio::spawn(async move {
            loop {
                let mut process = command.spawn().expect("PgBouncer starts");
                let _ = process.wait().await;
                tokio::time::sleep(AGAIN).await;
            }
        });
        Self {
            _task: AbortOnDropHandle::new(task),
            port,
        }
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn open(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let all = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder, all).expect("our own folder");
}
