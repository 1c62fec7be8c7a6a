//! PostgreSQL, exactly once: one transaction a batch holds the rows and the offsets.
//!
//! The rows go in by binary COPY, then each partition's row of `consumer_offsets` is moved from
//! where the batch begins to where it ends. If it is not where the batch begins, another member has
//! written: the transaction is rolled back, whatever this member believes to own. That comparison is
//! the whole fence; it needs no epoch, no unique key and no clock. The rows are copied before the
//! offsets are compared, because the comparison takes the lock: a process that is stopped in the
//! middle of a long COPY then holds nothing that its successor needs.
//!
//! A COMMIT whose answer never came may have worked. The same batch is then tried again, finds the
//! offsets moved, and is given up like that of any other member that has been overtaken.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, TryFutureExt as _};
use tokio::runtime::Runtime;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, CopyInSink, Error, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::batch::{Record, Step};
use crate::sink::{Lease, Refusal, Sink, SinkError};
use rows::Rows;

pub mod rows;

/// Records in one message of a COPY: the database works on one while the next is made.
const MESSAGE_RECORDS: usize = 500;

/// How long a transaction may take before the connection counts as dead. The database then rolls it
/// back as soon as it notices.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// The database ends a session that waits in a transaction for longer: it is that of a process that
/// was stopped or cut off while it held a partition's row.
const IDLE_IN_TRANSACTION: &str = "-c idle_in_transaction_session_timeout=10s";

/// The tables.
const SCHEMA: &str = include_str!("../schema.sql");

const BEGIN_POSITIONS: &str = "INSERT INTO consumer_offsets \
    SELECT $1, $2, p, -1 FROM unnest($3::int[]) AS p ON CONFLICT DO NOTHING";

const READ_POSITIONS: &str = "SELECT kafka_partition, next_offset FROM consumer_offsets \
    WHERE consumer_group = $1 AND topic = $2 AND kafka_partition = ANY($3::int[])";

const ADVANCE: &str = "UPDATE consumer_offsets AS stored SET next_offset = step.until \
    FROM unnest($3::int[], $4::bigint[], $5::bigint[]) AS step (kafka_partition, since, until) \
    WHERE stored.consumer_group = $1 AND stored.topic = $2 \
    AND stored.kafka_partition = step.kafka_partition AND stored.next_offset = step.since";

/// One connection and what is written over it.
#[derive(Debug)]
pub struct Postgres {
    config: Config,
    group: String,
    topic: String,
    runtime: Runtime,
    session: Option<Session>,
}

/// A connection with its statements.
#[derive(Debug)]
struct Session {
    client: Client,
    copy: Statement,
    begin_positions: Statement,
    read_positions: Statement,
    advance: Statement,
}

/// Reads `postgres://user:password@host/database` or `host=... user=...`.
///
/// # Errors
/// A sentence that does not repeat the password.
pub fn parse_url(url: &str) -> Result<Config, String> {
    let complaint = |error: Error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error} ({})", cause.unwrap_or_default())
    };
    let mut config: Config = url.parse().map_err(complaint)?;
    // Its default is TLS where the server has it, which fails on the self-made certificate that
    // Debian gives every server. TLS that checks nothing is not offered.
    if config.get_ssl_mode() == SslMode::Prefer {
        config.ssl_mode(SslMode::Disable);
    }
    let theirs = config.get_options().unwrap_or_default();
    let options = format!("{IDLE_IN_TRANSACTION} {theirs}");
    config.options(options).connect_timeout(CONNECT_WITHIN);
    if config.get_application_name().is_none() {
        config.application_name(env!("CARGO_PKG_NAME"));
    }
    Ok(config)
}

/// Makes the tables where they are missing.
///
/// # Errors
/// What the database said.
pub fn create_tables(config: &Config) -> Result<(), SinkError> {
    let runtime = runtime()?;
    runtime.block_on(async {
        // Two that create the same table at once would get in each other's way.
        let locked = format!("BEGIN; SELECT pg_advisory_xact_lock(7202); {SCHEMA}; COMMIT");
        Ok(connect(config).await?.batch_execute(&locked).await?)
    })
}

// === impl Postgres ===

impl Postgres {
    /// Writes for one group and topic. It connects when there is something to do.
    ///
    /// # Errors
    /// When the system will not give a runtime.
    pub fn new(config: Config, group: String, topic: String) -> Result<Self, SinkError> {
        Ok(Self {
            config,
            group,
            topic,
            runtime: runtime()?,
            session: None,
        })
    }

    /// Does something over the connection, which is made first if need be and dropped if it is not
    /// known to be in order afterwards.
    fn run<Done>(
        &mut self,
        work: impl AsyncFnOnce(&mut Session) -> Result<Done, SinkError>,
    ) -> Result<Done, SinkError> {
        let (session, config) = (self.session.take(), &self.config);
        let worked = async {
            let mut session = match session {
                Some(session) => session,
                None => Session::open(config).await?,
            };
            let done = work(&mut session).await;
            if done.is_ok() || session.client.batch_execute("ROLLBACK").await.is_ok() {
                Ok((session, done))
            } else {
                done.map(|done| (session, Ok(done)))
            }
        };
        let answer = self
            .runtime
            .block_on(async { tokio::time::timeout(ANSWER_WITHIN, worked).await });
        let (session, done) = answer.map_err(|_| too_slow())??;
        self.session = Some(session);
        done
    }
}

impl Sink for Postgres {
    fn keeps_offsets(&self) -> bool {
        true
    }

    fn positions(&mut self, partitions: &[i32]) -> Result<BTreeMap<i32, i64>, SinkError> {
        let (group, topic) = (self.group.clone(), self.topic.clone());
        self.run(async |session| {
            let client = &session.client;
            let which: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
                [&group, &topic, &partitions];
            client.execute(&session.begin_positions, &which).await?;
            let rows = client.query(&session.read_positions, &which).await?;
            let stored = rows.iter();
            stored
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .collect()
        })
    }

    fn write(
        &mut self,
        records: &[Record],
        steps: &[Step],
        lease: &Lease,
    ) -> Result<(), SinkError> {
        let (group, topic) = (self.group.clone(), self.topic.clone());
        self.run(async |session| {
            // Constraints that wait for the commit would hide which record they refuse.
            let begin = "BEGIN; SET CONSTRAINTS ALL IMMEDIATE";
            let begun = session.client.batch_execute(begin);
            if records.is_empty() {
                begun.await?;
                session.advance(&group, &topic, steps).await?;
            } else {
                let copied = session.copy_rows(records);
                // Sent one behind the other, without waiting in between.
                let ((), mut copy) = tokio::try_join!(begun.err_into(), copied)?;
                let moved = session.advance(&group, &topic, steps);
                let (finished, moved) = tokio::join!(copy.as_mut().finish(), moved);
                // Of two errors the first is the cause.
                finished?;
                moved?;
            }
            if !lease.is_held() {
                return Err(SinkError::GivenUp);
            }
            Ok(session.client.batch_execute("COMMIT").await?)
        })
    }
}

// === impl Session ===

impl Session {
    async fn open(config: &Config) -> Result<Self, SinkError> {
        let client = connect(config).await?;
        Ok(Self {
            copy: client.prepare(rows::COPY).await?,
            begin_positions: client.prepare(BEGIN_POSITIONS).await?,
            read_positions: client.prepare(READ_POSITIONS).await?,
            advance: client.prepare(ADVANCE).await?,
            client,
        })
    }

    /// Copies the rows; what is left is to finish it. Each message goes out while the next is made.
    async fn copy_rows(
        &self,
        records: &[Record],
    ) -> Result<Pin<Box<CopyInSink<Bytes>>>, SinkError> {
        let mut copy = Box::pin(self.client.copy_in(&self.copy).await?);
        let (mut rows, mut refusals) = (Rows::default(), Vec::new());
        for (number, records) in records.chunks(MESSAGE_RECORDS).enumerate() {
            match rows.encode(records) {
                Ok(message) if refusals.is_empty() => copy.send(message).await?,
                Ok(_) => {}
                Err(named) => refusals.extend(named.into_iter().map(|refusal| Refusal {
                    index: number * MESSAGE_RECORDS + refusal.index,
                    ..refusal
                })),
            }
        }
        if !refusals.is_empty() {
            return Err(SinkError::Undecodable(refusals));
        }
        copy.send(rows.end()).await?;
        Ok(copy)
    }

    /// Moves every partition's offset, or says that one of them is not where it should be.
    async fn advance(&self, group: &str, topic: &str, steps: &[Step]) -> Result<(), SinkError> {
        let partitions: Vec<i32> = steps.iter().map(|step| step.partition).collect();
        let since: Vec<i64> = steps.iter().map(|step| step.from).collect();
        let until: Vec<i64> = steps.iter().map(|step| step.to).collect();
        let moved = self
            .client
            .execute(
                &self.advance,
                &[&group, &topic, &partitions, &since, &until],
            )
            .await?;
        if usize::try_from(moved) == Ok(steps.len()) {
            Ok(())
        } else {
            Err(SinkError::Fenced)
        }
    }
}

async fn connect(config: &Config) -> Result<Client, SinkError> {
    if config.get_ssl_mode() == SslMode::Disable {
        let (client, connection) = config.connect(NoTls).await?;
        return Ok(spawn(client, connection));
    }
    let (client, connection) = config.connect(tls()?).await?;
    Ok(spawn(client, connection))
}

/// The connection does its work beside the client, on the same thread.
fn spawn(
    client: Client,
    connection: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> Client {
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the database has ended");
        }
    });
    client
}

/// TLS that trusts the system's certificates, or those of SSL_CERT_FILE.
fn tls() -> Result<MakeRustlsConnect, SinkError> {
    let (tls, _) = MakeRustlsConnect::with_native_certs().map_err(|errors| {
        let text = "no certificates to trust: install ca-certificates or set SSL_CERT_FILE";
        SinkError::Unavailable(format!("{text} {errors:?}"))
    })?;
    Ok(tls)
}

/// Each sink has a runtime of its own on the thread that writes: nothing else runs there.
fn runtime() -> Result<Runtime, SinkError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| SinkError::Broken(format!("no runtime for the database: {error}")))
}

fn too_slow() -> SinkError {
    let seconds = ANSWER_WITHIN.as_secs();
    SinkError::Unavailable(format!("the database has not answered for {seconds} s"))
}

/// Whose fault an error is. Only what PostgreSQL itself blames on the data (classes 22 and 23) is
/// the record's; a missing table or a wrong password must not send a whole topic to the dead letters.
impl From<Error> for SinkError {
    fn from(error: Error) -> Self {
        let Some(said) = error.as_db_error() else {
            let cause = std::error::Error::source(&error).map(|cause| format!(" ({cause})"));
            return Self::Unavailable(format!("{error}{}", cause.unwrap_or_default()));
        };
        let text = format!("{} (SQLSTATE {})", said.message(), said.code().code());
        let hint = match *said.code() {
            SqlState::UNDEFINED_TABLE => ": apply schema.sql, or start once with --create-tables",
            _ => "",
        };
        match said.code().code().get(..2) {
            Some("22" | "23") => Self::Refused(text),
            _ => Self::Unavailable(text + hint),
        }
    }
}
