//! The sink behind PgBouncer in transaction mode, where each transaction may meet another session.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use batch_consumer::postgres::Database as Given;
use batch_consumer::sink::WriteError;

use super::consumers::wait_for;
use super::database::{Database, unprivileged};
use super::{COUNT, REACHED, Writer, batch, step, trade, trades};

/// A PgBouncer of a test's own, ended with the test.
struct Pooler {
    process: Child,
    port: u16,
}

impl Pooler {
    fn start(database: &Database) -> Self {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let folder = database.folder();
        let settings = format!(
            "[databases]\npostgres = host={folder} user=postgres pool_size=2\n[pgbouncer]\n\
             listen_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\nauth_type=any\n\
             pool_mode=transaction\nserver_lifetime=1\nlogfile={folder}/pgbouncer.log\n",
            folder = folder.display()
        );
        let file = folder.join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
            .into_iter()
            .find(|at| Path::new(at).is_file());
        let program = program.expect("PgBouncer is missing: apt-get install pgbouncer");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some((user, group)) = unprivileged() {
            let ids =
                ["--reuid", &user.to_string(), "--regid", &group.to_string()].map(str::to_owned);
            command.arg("--clear-groups").args(ids);
        }
        let process =
            command.args(["--", program]).arg(&file).stderr(Stdio::null()).spawn().unwrap();
        wait_for("PgBouncer", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { process, port }
    }

    fn given(&self) -> Given {
        let database_url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        Given { database_url, create_tables: true }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn writers_share_sessions_of_a_pool_in_transaction_mode() {
    let database = Database::start();
    let pooler = Pooler::start(&database);
    // More writers than sessions, each with a partition of its own.
    std::thread::scope(|scope| {
        for partition in 0..6 {
            let given = pooler.given();
            scope.spawn(move || {
                let mut writer = Writer::at(&given);
                writer.positions("kafka", &[partition]).unwrap();
                let mut from = -1;
                for to in 1..=20 {
                    let rows = trades(&[(partition, to - 1)]);
                    writer.write(&rows, &[step(partition, from, to)]).unwrap();
                    from = to;
                }
                let again = writer.write(&trades(&[(partition, 0)]), &[step(partition, -1, 1)]);
                assert_eq!(again, Err(WriteError::Moved));
                let refused = batch(&[(partition, 20, trade(20).replace("IBM", "\\u0000"))]);
                let refused = writer.write(&refused, &[step(partition, 20, 21)]);
                assert!(matches!(&refused, Err(WriteError::Poison(_))), "{refused:?}");
                writer.write(&trades(&[(partition, 20)]), &[step(partition, 20, 21)]).unwrap();
            });
        }
    });
    assert_eq!((database.number(COUNT), database.number(REACHED)), (6 * 21, 6 * 21));
}
