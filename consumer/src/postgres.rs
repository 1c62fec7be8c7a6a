//! PostgreSQL, exactly once: one transaction a batch holds the rows, the dead letters and the offsets.
//!
//! The rows go in by binary COPY, then each partition's row of `consumer_offsets` is moved from where
//! the batch begins to where it ends. If it is not where the batch begins, somebody else has written:
//! the transaction fails, whatever this member believes to own. That comparison is the whole fence; it
//! needs no epoch, no unique key and no clock. It comes last, because it takes the lock: a process
//! that is stopped in the middle of a long COPY then holds nothing that its successor needs.
//!
//! A COMMIT whose answer never came may have worked. The same batch is then tried again, finds the
//! offsets moved, and is given up like that of any other member that has been overtaken.
//!
//! Nothing outlives a transaction but the connection itself, so that a pooler in transaction mode
//! works. The connection does not outlive any error but a refused row: whatever the server has become,
//! the next one is asked.

use std::error::Error as _;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::{Duration, UNIX_EPOCH};

use bytes::{BufMut as _, Bytes, BytesMut};
use clap::Args;
use futures_util::SinkExt as _;
use rdkafka::Message as _;
use rdkafka::message::Headers as _;
use tokio::task::JoinSet;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::types::{IsNull, ToSql, Type, WrongType};
use tokio_postgres::{Client, Config, CopyInSink, Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::sink::{
    DeadLetter, Decode, NOTHING_STORED, Positions, Row, Sink, Step, WriteError, Written,
};

/// Bytes in one message of a COPY, about: the database works on one while the next is made.
const MESSAGE_BYTES: usize = 64 * 1024;

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Made under a lock: two that create the same table at once would get in each other's way.
const CREATE_TABLES: &str = concat!(
    "BEGIN; SELECT pg_advisory_xact_lock(7202); ",
    include_str!("../schema.sql"),
    "; COMMIT"
);

/// No statement waits for longer than this, for a lock for example; what a client has begun ends when it
/// is gone, and no session holds offsets while its process is stopped or cut off. Constraints that wait
/// for the commit would hide the row they refuse.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '20s'; \
    SET LOCAL client_connection_check_interval = '1s'; \
    SET LOCAL idle_in_transaction_session_timeout = '10s'; SET CONSTRAINTS ALL IMMEDIATE;";

const BURY: &str = "COPY dead_letters (consumer_group, topic, kafka_partition, kafka_offset, kind, \
    reason, produced_at, key, value, header_names, header_values) FROM STDIN (FORMAT binary)";

/// Divides by zero, and so fails, if fewer have moved than should.
const ADVANCE: &str = "WITH moved AS (UPDATE consumer_offsets AS stored SET next_offset = step.until \
    FROM unnest($3::int[], $4::bigint[], $5::bigint[]) AS step (kafka_partition, since, until) \
    WHERE consumer_group = $1 AND topic = $2 AND stored.kafka_partition = step.kafka_partition \
    AND next_offset = since RETURNING 1) SELECT 1 / (count(*) = cardinality($3))::int FROM moved";

/// Makes rows where there are none, and has those of before know their cluster.
const POSITIONS: &str = "INSERT INTO consumer_offsets AS stored \
    SELECT $1, $2, partition, $5, $4 FROM unnest($3::int[]) AS partition \
    ON CONFLICT (consumer_group, topic, kafka_partition) \
    DO UPDATE SET cluster_id = coalesce(stored.cluster_id, $4) \
    RETURNING kafka_partition, next_offset, cluster_id";

/// Of a value that could not be encoded: why.
pub type EncodeError = Box<dyn std::error::Error + Sync + Send>;

/// A row that has a table.
pub trait Table: Decode {
    /// Statements before the COPY, in its transaction; for a staging table, for example.
    const BEFORE: &'static str = "";
    /// The statement that takes the rows.
    const COPY: &'static str;
    /// Statements after it, in the same transaction.
    const AFTER: &'static str = "";

    /// Adds one row: the columns of [`Table::COPY`] in order.
    ///
    /// # Errors
    /// When a value does not fit its type: the record becomes a dead letter.
    fn columns(row: &Row<Self>, columns: &mut Columns) -> Result<(), EncodeError>;
}

/// Rows in PostgreSQL's binary COPY format.
#[derive(Debug)]
pub struct Columns(pub BytesMut);

/// How that format begins: no flags, no extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Which database.
#[derive(Args, Clone, Debug)]
pub struct Database {
    /// postgres://user:password@host:port/database; plain, unless ?sslmode=require or verify-full,
    /// which both check the server's certificate and name, against the system's certificates (or
    /// SSL_CERT_FILE's)
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// Make the tables of schema.sql where they are missing
    #[arg(long, env = "CREATE_TABLES")]
    pub create_tables: bool,
}

/// One connection and what is written over it.
#[derive(Debug)]
pub struct Postgres<T> {
    config: Config,
    create_tables: bool,
    group: String,
    topic: String,
    session: Option<Session>,
    row: PhantomData<fn() -> T>,
}

/// A client, and the task that does its work: it ends with this, and the connection with it.
type Session = (Client, JoinSet<Result<(), Error>>);

impl Columns {
    /// The next row, whose columns are these.
    ///
    /// # Errors
    /// When a value does not fit.
    pub fn row(&mut self, values: &[(&(dyn ToSql + Sync), Type)]) -> Result<(), EncodeError> {
        self.0.put_i16(i16::try_from(values.len())?);
        for (value, kind) in values {
            let at = self.0.len();
            self.0.put_i32(-1);
            if let IsNull::No = value.to_sql_checked(kind, &mut self.0)? {
                let length = i32::try_from(self.0.len() - at - 4)?;
                let mut place = self.0.get_mut(at..).unwrap_or_default();
                place.put_i32(length);
            }
        }
        Ok(())
    }
}

impl Database {
    /// A session of its own.
    ///
    /// # Errors
    /// A sentence without the address, which may hold a password.
    pub async fn connect(&self) -> Result<Session, WriteError> {
        connect(&self.config().map_err(WriteError::Retry)?).await
    }

    /// Reads `postgres://user:password@host/database` or `host=... user=...`.
    fn config(&self) -> Result<Config, String> {
        // libpq's words for what is checked; here everything is, always.
        let url = self.database_url.replace("sslmode=verify-full", "sslmode=require");
        let mut config: Config = url
            .replace("sslmode=verify-ca", "sslmode=require")
            .parse()
            .map_err(|error: Error| {
                let example = "postgres://user:password@host:port/database";
                format!("--database-url: {}: {example}", sentence(&error))
            })?;
        // Its default is TLS where the server has it, which fails on the self-made certificate that Debian
        // gives every server. TLS that checks nothing is not offered.
        if config.get_ssl_mode() == SslMode::Prefer {
            config.ssl_mode(SslMode::Disable);
        }
        // After a failover an address may lead to a server that only reads.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.connect_timeout(CONNECT_WITHIN).tcp_user_timeout(4 * CONNECT_WITHIN);
        if config.get_application_name().is_none() {
            config.application_name(env!("CARGO_PKG_NAME"));
        }
        Ok(config)
    }
}

impl<T> Clone for Postgres<T> {
    fn clone(&self) -> Self {
        let (config, group, topic) = (self.config.clone(), self.group.clone(), self.topic.clone());
        let create_tables = self.create_tables;
        Self { config, create_tables, group, topic, session: None, row: PhantomData }
    }
}

impl<T: Table> Postgres<T> {
    /// Writes for one group and topic. It connects when there is something to do.
    ///
    /// # Errors
    /// When the address makes no sense. It is not repeated, as it may hold a password.
    pub fn new(database: &Database, group: &str, topic: &str) -> Result<Self, String> {
        let (config, create_tables) = (database.config()?, database.create_tables);
        let (group, topic) = (group.to_owned(), topic.to_owned());
        Ok(Self { config, create_tables, group, topic, session: None, row: PhantomData })
    }

    /// The session that there is, or a new one. It is out of our hands until it is known to be in order.
    async fn session(&mut self) -> Result<Session, WriteError> {
        if let Some(session) = self.session.take().filter(|(client, _)| !client.is_closed()) {
            return Ok(session);
        }
        let session = connect(&self.config).await?;
        if self.create_tables {
            session.0.batch_execute(CREATE_TABLES).await?;
            self.create_tables = false;
        }
        Ok(session)
    }

    /// Copies the rows and moves every partition's offset, if each is where it should be.
    async fn write_all(
        &self,
        client: &Client,
        rows: &[&Row<T>],
        dead: &[&DeadLetter],
        steps: &[Step],
    ) -> Written {
        let begin = format!("{BEGIN}{}", T::BEFORE);
        let mut copied = copy(client, &begin, T::COPY, rows, |row, to| T::columns(row, to)).await?;
        if !dead.is_empty() {
            copied.as_mut().finish().await?;
            let letter = |letter: &&DeadLetter, to: &mut Columns| self.letter(letter, to);
            copied = copy(client, "", BURY, dead, letter).await?;
        }
        let partitions: Vec<i32> = steps.iter().map(|step| step.partition).collect();
        let from: Vec<i64> = steps.iter().map(|step| step.from).collect();
        let to: Vec<i64> = steps.iter().map(|step| step.to).collect();
        let advance: [(&(dyn ToSql + Sync), Type); 5] = [
            (&self.group, Type::TEXT),
            (&self.topic, Type::TEXT),
            (&partitions, Type::INT4_ARRAY),
            (&from, Type::INT8_ARRAY),
            (&to, Type::INT8_ARRAY),
        ];
        // Sent one behind the other, without waiting in between. Of several errors the first is the
        // cause, and behind it COMMIT rolls back.
        let (copied, after, advanced, committed) = tokio::join!(
            copied.as_mut().finish(),
            client.batch_execute(T::AFTER),
            client.query_typed(ADVANCE, &advance),
            client.batch_execute("COMMIT")
        );
        copied?;
        after?;
        match advanced {
            Err(error) if error.code().is_some_and(|code| code.code() == "22012") => {
                Err(WriteError::Moved)
            }
            advanced => Ok(advanced.and(committed)?),
        }
    }

    fn letter(&self, letter: &DeadLetter, columns: &mut Columns) -> Result<(), EncodeError> {
        let (record, mut names, mut values) = (&letter.record, Vec::new(), Vec::new());
        for header in record.headers().into_iter().flat_map(|headers| headers.iter()) {
            names.push(header.key);
            values.push(header.value);
        }
        let produced_at = record.timestamp().to_millis().unwrap_or(0).unsigned_abs();
        columns.row(&[
            (&self.group, Type::TEXT),
            (&self.topic, Type::TEXT),
            (&record.partition(), Type::INT4),
            (&record.offset(), Type::INT8),
            (&letter.kind, Type::TEXT),
            (&letter.reason.replace('\0', ""), Type::TEXT),
            (&(UNIX_EPOCH + Duration::from_millis(produced_at)), Type::TIMESTAMPTZ),
            (&record.key(), Type::BYTEA),
            (&record.payload(), Type::BYTEA),
            (&names, Type::TEXT_ARRAY),
            (&values, Type::BYTEA_ARRAY),
        ])
    }

    /// Finds the rows that are refused: halves under savepoints, in order, so that of rows that exclude
    /// each other the first stays. Nothing of it is committed.
    async fn find_refused(
        &self,
        client: &Client,
        rows: &[&Row<T>],
    ) -> Result<Vec<(usize, String)>, WriteError> {
        client.batch_execute(BEGIN).await?;
        let (mut refused, mut parts) = (Vec::new(), vec![(0, rows)]);
        while let Some((index, part)) = parts.pop() {
            match self.try_part(client, part).await {
                Ok(()) => continue,
                Err(WriteError::Poison(mut why)) if part.len() == 1 => {
                    refused.extend(why.pop().map(|(_, why)| (index, why)));
                }
                Err(WriteError::Poison(_)) => {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([(index + left.len(), right), (index, left)]);
                }
                Err(other) => return Err(other),
            }
            client.batch_execute("ROLLBACK TO part").await?;
        }
        client.batch_execute("ROLLBACK").await?;
        Ok(refused)
    }

    async fn try_part(&self, client: &Client, rows: &[&Row<T>]) -> Written {
        let begin = format!("SAVEPOINT part; {}", T::BEFORE);
        let mut copied = copy(client, &begin, T::COPY, rows, |row, to| T::columns(row, to)).await?;
        copied.as_mut().finish().await?;
        Ok(client.batch_execute(T::AFTER).await?)
    }
}

impl<T: Table> Sink<T> for Postgres<T> {
    async fn positions(&mut self, cluster: &str, partitions: &[i32]) -> Positions {
        let session = self.session().await?;
        let ours: [(&(dyn ToSql + Sync), Type); 5] = [
            (&self.group, Type::TEXT),
            (&self.topic, Type::TEXT),
            (&partitions, Type::INT4_ARRAY),
            (&cluster, Type::TEXT),
            (&NOTHING_STORED, Type::INT8),
        ];
        let (_, stored, _) = tokio::try_join!(
            session.0.batch_execute(BEGIN),
            session.0.query_typed(POSITIONS, &ours),
            session.0.batch_execute("COMMIT")
        )?;
        self.session = Some(session);
        let other = |theirs: &String| theirs != cluster;
        if let Some(theirs) = stored.iter().map(|row| row.get(2)).find(other) {
            return Err(WriteError::Retry(format!(
                "the offsets stored for this group are those of Kafka cluster {theirs}, and \
                 this is {cluster}: store its own (next_offset and cluster_id)"
            )));
        }
        Ok(stored.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    async fn write(&mut self, rows: &[&Row<T>], dead: &[&DeadLetter], steps: &[Step]) -> Written {
        let session = self.session().await?;
        let mut written = self.write_all(&session.0, rows, dead, steps).await;
        if let Err(WriteError::Poison(reasons)) = written {
            session.0.batch_execute("ROLLBACK").await?;
            let found = self.find_refused(&session.0, rows).await?;
            let nobody =
                || WriteError::Retry(format!("refused, and no row is to blame: {reasons:?}"));
            written = Err(if found.is_empty() { nobody() } else { WriteError::Poison(found) });
        }
        if !matches!(written, Err(WriteError::Retry(_))) {
            self.session = Some(session);
        }
        written
    }
}

/// Begins, and copies rows; each message goes out while the next is made. What is left is to finish.
async fn copy<R>(
    client: &Client,
    begin: &str,
    statement: &str,
    rows: &[R],
    add: impl Fn(&R, &mut Columns) -> Result<(), EncodeError>,
) -> Result<Pin<Box<CopyInSink<Bytes>>>, WriteError> {
    let copy = async { client.copy_in(&client.prepare(statement).await?).await };
    // Sent one behind the other, without waiting in between.
    let ((), copy) = tokio::try_join!(client.batch_execute(begin), copy)?;
    let (mut copy, mut columns) = (Box::pin(copy), Columns(HEADER.into()));
    for row in rows {
        add(row, &mut columns).map_err(|error| {
            let is_ours = error.is::<WrongType>();
            let text = error.to_string();
            if is_ours { WriteError::Retry(text) } else { WriteError::Poison(vec![(0, text)]) }
        })?;
        if columns.0.len() >= MESSAGE_BYTES {
            copy.send(columns.0.split().freeze()).await?;
            columns.0.reserve(2 * MESSAGE_BYTES);
        }
    }
    columns.0.put_i16(-1);
    copy.send(columns.0.freeze()).await?;
    Ok(copy)
}

async fn connect(config: &Config) -> Result<Session, WriteError> {
    let mut work = JoinSet::new();
    if config.get_ssl_mode() == SslMode::Disable {
        let (client, connection) = config.connect(NoTls).await?;
        work.spawn(connection);
        return Ok((client, work));
    }
    // It trusts the system's certificates, or those of SSL_CERT_FILE.
    let (tls, _) = MakeRustlsConnect::with_native_certs().map_err(|errors| {
        let text = "no certificates to trust: install ca-certificates or set SSL_CERT_FILE";
        WriteError::Retry(format!("{text} {errors:?}"))
    })?;
    let (client, connection) = config.connect(tls).await?;
    work.spawn(connection);
    Ok((client, work))
}

/// Whose fault an error is. Only what PostgreSQL itself blames on the data is a row's, of which it is not
/// known yet: classes 22, 23 and 44, a row or key that is too long (54000), and what a trigger of yours
/// raises (P0001). A missing table or a wrong password must not send a whole topic to the dead letters.
impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        let Some(said) = error.as_db_error() else {
            return Self::Retry(sentence(&error));
        };
        let code = said.code().code();
        let text = format!("{} (SQLSTATE {code})", said.message());
        match (code.get(..2), code) {
            (Some("22" | "23" | "44"), _) | (_, "54000" | "P0001") => Self::Poison(vec![(0, text)]),
            (_, "42P01") => Self::Retry(text + ": apply schema.sql, or start with --create-tables"),
            _ => Self::Retry(text),
        }
    }
}

fn sentence(error: &Error) -> String {
    let cause = error.source().map(|cause| format!(" ({cause})"));
    format!("{error}{}", cause.unwrap_or_default())
}
