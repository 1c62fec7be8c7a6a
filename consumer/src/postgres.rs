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

use std::collections::BTreeMap;
use std::error::Error as _;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use clap::Args;
use futures_util::SinkExt as _;
use rdkafka::Message as _;
use rdkafka::message::Headers as _;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::types::{IsNull, ToSql, Type};
use tokio_postgres::{CancelToken, Client, Config, CopyInSink, Error, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::batch::{DeadLetter, Row};
use crate::sink::{Decode, Positions, Sink, Step, WriteError};

/// Bytes in one message of a COPY, about: the database works on one while the next is made.
const MESSAGE_BYTES: usize = 64 * 1024;

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// The tables.
const SCHEMA: &str = include_str!("../schema.sql");

/// No statement waits for longer than this, for a lock for example, and no session holds offsets while
/// its process is stopped or cut off. Constraints that wait for the commit would hide the row they
/// refuse.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '20s'; \
    SET LOCAL idle_in_transaction_session_timeout = '10s'; SET CONSTRAINTS ALL IMMEDIATE;";

const BURY: &str = "COPY dead_letters (consumer_group, topic, kafka_partition, kafka_offset, kind, \
    reason, produced_at, key, value, header_names, header_values) FROM STDIN (FORMAT binary)";

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

    /// Adds the columns of one row, those of [`Table::COPY`] in order.
    ///
    /// # Errors
    /// When a value does not fit its type: the record becomes a dead letter.
    fn columns(row: &Row<Self>, columns: &mut Columns) -> Result<(), EncodeError>;
}

/// Rows in PostgreSQL's binary COPY format, and how many columns the last one has.
#[derive(Debug)]
pub struct Columns(BytesMut, i16);

impl Default for Columns {
    fn default() -> Self {
        let mut bytes = BytesMut::with_capacity(2 * MESSAGE_BYTES);
        // The format's header: no flags, no extension.
        bytes.put_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        Self(bytes, 0)
    }
}

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

/// One connection and what is written over it. A clone has a connection of its own.
#[derive(Debug)]
pub struct Postgres<T> {
    config: Config,
    create_tables: bool,
    group: String,
    topic: String,
    session: Option<Client>,
    row: PhantomData<fn() -> T>,
}

/// An error, as far as it matters here.
#[derive(Debug)]
enum Failed {
    /// The offsets are not where the batch begins.
    Moved,
    /// PostgreSQL blames the data, or a value cannot be encoded.
    Refused(String),
    /// Anything else.
    Other(String),
}

impl Database {
    /// A session of its own.
    ///
    /// # Errors
    /// A sentence without the address, which may hold a password.
    pub async fn connect(&self) -> Result<Client, String> {
        connect(&parse_url(&self.database_url)?).await.map_err(|failed| match failed {
            Failed::Refused(reason) | Failed::Other(reason) => reason,
            Failed::Moved => "it has moved".to_owned(),
        })
    }
}

impl Columns {
    /// The next row, whose columns are those that `add` adds.
    ///
    /// # Errors
    /// When a value does not fit.
    pub fn row<R>(
        &mut self,
        row: R,
        add: impl Fn(R, &mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let at = self.0.len();
        self.0.put_i16(0);
        self.1 = 0;
        add(row, self)?;
        self.overwrite(at, &self.1.to_be_bytes());
        Ok(())
    }

    /// What is left of the rows, and their end.
    pub fn end(mut self) -> Bytes {
        self.0.put_i16(-1);
        self.0.freeze()
    }

    /// The next column.
    ///
    /// # Errors
    /// When the value does not fit.
    pub fn add(&mut self, value: &impl ToSql, kind: &Type) -> Result<(), EncodeError> {
        let at = self.0.len();
        self.0.put_i32(-1);
        if let IsNull::No = value.to_sql(kind, &mut self.0)? {
            let length = i32::try_from(self.0.len() - at - 4)?;
            self.overwrite(at, &length.to_be_bytes());
        }
        self.1 += 1;
        Ok(())
    }

    fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        if let Some(old) = self.0.get_mut(at..at + bytes.len()) {
            old.copy_from_slice(bytes);
        }
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
        let (config, create_tables) = (parse_url(&database.database_url)?, database.create_tables);
        let (group, topic) = (group.to_owned(), topic.to_owned());
        Ok(Self { config, create_tables, group, topic, session: None, row: PhantomData })
    }

    /// Does something in a transaction, over a connection that is made first if need be and dropped if
    /// it is not known to be in order afterwards.
    async fn run<Done>(
        &mut self,
        work: impl AsyncFnOnce(&Client, &Self) -> Result<Done, Failed>,
    ) -> Result<Done, Failed> {
        let client = match self.session.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => self.connect().await?,
        };
        let mut unfinished = Unfinished(Some((client.cancel_token(), self.config.get_ssl_mode())));
        let done = work(&client, self).await;
        unfinished.0 = None;
        let is_in_order = match done {
            Ok(_) => true,
            Err(Failed::Other(_)) => false,
            Err(_) => client.batch_execute("ROLLBACK").await.is_ok(),
        };
        self.session = is_in_order.then_some(client);
        done
    }

    async fn connect(&mut self) -> Result<Client, Failed> {
        let client = connect(&self.config).await?;
        if self.create_tables {
            // Two that create the same table at once would get in each other's way.
            let locked = format!("BEGIN; SELECT pg_advisory_xact_lock(7202); {SCHEMA}; COMMIT");
            client.batch_execute(&locked).await?;
            self.create_tables = false;
        }
        Ok(client)
    }

    /// Copies the rows and moves every partition's offset, if each is where it should be.
    async fn write_all(
        &self,
        client: &Client,
        rows: &[&Row<T>],
        dead: &[&DeadLetter],
        steps: &[Step],
    ) -> Result<(), Failed> {
        let begin = format!("{BEGIN}{}", T::BEFORE);
        let mut copy =
            copy(client, &begin, T::COPY, rows, |row, columns| T::columns(row, columns)).await?;
        if !dead.is_empty() {
            copy.as_mut().finish().await?;
            let letter = |letter: &&DeadLetter, columns: &mut Columns| self.letter(letter, columns);
            copy = self::copy(client, "", BURY, dead, letter).await?;
        }
        let steps_list: Vec<String> = steps
            .iter()
            .map(|step| format!("({}, {}, {})", step.partition, step.from, step.to))
            .collect();
        // Divides by zero, and so fails, if fewer have moved.
        let advance = format!(
            "WITH moved AS (UPDATE consumer_offsets AS stored SET next_offset = step.until \
             FROM (VALUES {}) AS step (kafka_partition, since, until) WHERE {} \
             AND stored.kafka_partition = step.kafka_partition AND stored.next_offset = step.since \
             RETURNING 1) SELECT 1 / (count(*) = {})::int FROM moved; COMMIT",
            steps_list.join(", "),
            self.ours(),
            steps.len()
        );
        // Sent one behind the other, without waiting in between. Of several errors the first is the
        // cause, and the offsets are moved by none.
        let (copied, after, advanced) = tokio::join!(
            copy.as_mut().finish(),
            client.batch_execute(T::AFTER),
            client.batch_execute(&advance)
        );
        copied?;
        after?;
        match advanced {
            Err(error) if error.code().is_some_and(|code| code.code() == "22012") => {
                Err(Failed::Moved)
            }
            advanced => Ok(advanced?),
        }
    }

    fn ours(&self) -> String {
        format!("consumer_group = {} AND topic = {}", quoted(&self.group), quoted(&self.topic))
    }

    fn letter(&self, letter: &DeadLetter, columns: &mut Columns) -> Result<(), EncodeError> {
        let (record, mut names, mut values) = (&letter.record, Vec::new(), Vec::new());
        for header in record.headers().into_iter().flat_map(|headers| headers.iter()) {
            names.push(header.key);
            values.push(header.value);
        }
        let produced_at = record.timestamp().to_millis().unwrap_or(0).unsigned_abs();
        let produced_at = std::time::UNIX_EPOCH + Duration::from_millis(produced_at);
        columns.add(&self.group, &Type::TEXT)?;
        columns.add(&self.topic, &Type::TEXT)?;
        columns.add(&record.partition(), &Type::INT4)?;
        columns.add(&record.offset(), &Type::INT8)?;
        columns.add(&letter.kind, &Type::TEXT)?;
        columns.add(&letter.reason.replace('\0', ""), &Type::TEXT)?;
        columns.add(&produced_at, &Type::TIMESTAMPTZ)?;
        columns.add(&record.key(), &Type::BYTEA)?;
        columns.add(&record.payload(), &Type::BYTEA)?;
        columns.add(&names, &Type::TEXT_ARRAY)?;
        columns.add(&values, &Type::BYTEA_ARRAY)
    }

    /// Finds the rows that are refused: halves under savepoints, in order, so that of rows that exclude
    /// each other the first stays. Nothing of it is committed.
    async fn find_refused(
        &self,
        client: &Client,
        rows: &[&Row<T>],
    ) -> Result<Vec<(usize, String)>, Failed> {
        client.batch_execute(BEGIN).await?;
        let (mut refused, mut parts) = (Vec::new(), vec![(0, rows)]);
        while let Some((index, part)) = parts.pop() {
            let begin = format!("SAVEPOINT part; {}", T::BEFORE);
            let copied = async {
                copy(client, &begin, T::COPY, part, |row, columns| T::columns(row, columns))
                    .await?
                    .as_mut()
                    .finish()
                    .await?;
                Ok(client.batch_execute(T::AFTER).await?)
            };
            match copied.await {
                Ok(()) => continue,
                Err(Failed::Refused(reason)) if part.len() == 1 => refused.push((index, reason)),
                Err(Failed::Refused(_)) => {
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
}

impl<T: Table> Sink<T> for Postgres<T> {
    async fn positions(&mut self, cluster: &str, partitions: &[i32]) -> Positions {
        let stored = self.run(async |client, this| {
            let (group, topic, cluster_id) =
                (quoted(&this.group), quoted(&this.topic), quoted(cluster));
            let ours = format!("{} AND kafka_partition = ANY (ARRAY{partitions:?})", this.ours());
            let sql = format!(
                "{BEGIN} INSERT INTO consumer_offsets SELECT {group}, {topic}, ours, -1, {cluster_id} \
                 FROM unnest(ARRAY{partitions:?}) AS ours ON CONFLICT DO NOTHING; \
                 UPDATE consumer_offsets SET cluster_id = {cluster_id} \
                 WHERE {ours} AND cluster_id IS NULL; \
                 COMMIT; SELECT * FROM consumer_offsets WHERE {ours}"
            );
            let mut stored = BTreeMap::new();
            for row in client.simple_query(&sql).await? {
                let SimpleQueryMessage::Row(row) = row else { continue };
                let theirs = row.get("cluster_id").unwrap_or_default();
                if theirs != cluster {
                    return Err(Failed::Other(format!(
                        "the offsets stored for this group are those of Kafka cluster {theirs}, and \
                         this is {cluster}: store its own (next_offset and cluster_id)"
                    )));
                }
                let number = |name| row.get(name).and_then(|text| text.parse::<i64>().ok());
                let partition = number("kafka_partition").and_then(|one| i32::try_from(one).ok());
                stored.extend(partition.zip(number("next_offset")));
            }
            Ok(stored)
        });
        stored.await.map_err(Failed::into_write_error)
    }

    async fn write(
        &mut self,
        rows: &[&Row<T>],
        dead: &[&DeadLetter],
        steps: &[Step],
    ) -> Result<(), WriteError> {
        let written =
            self.run(async |client, this| this.write_all(client, rows, dead, steps).await);
        let reason = match written.await {
            Ok(()) => return Ok(()),
            Err(Failed::Refused(reason)) => reason,
            Err(failed) => return Err(failed.into_write_error()),
        };
        let found = self.run(async |client, this| this.find_refused(client, rows).await);
        match found.await {
            Ok(found) if found.is_empty() => {
                Err(WriteError::Retry(format!("refused, and no row is to blame: {reason}")))
            }
            Ok(found) => Err(WriteError::Poison(found)),
            Err(failed) => Err(failed.into_write_error()),
        }
    }
}

/// Begins, and copies rows; each message goes out while the next is made. What is left is to finish.
async fn copy<R>(
    client: &Client,
    begin: &str,
    statement: &str,
    rows: &[R],
    add: impl Fn(&R, &mut Columns) -> Result<(), EncodeError>,
) -> Result<Pin<Box<CopyInSink<Bytes>>>, Failed> {
    let copy = async { client.copy_in(&client.prepare(statement).await?).await };
    // Sent one behind the other, without waiting in between.
    let ((), copy) = tokio::try_join!(client.batch_execute(begin), copy)?;
    let mut copy = Box::pin(copy);
    let mut columns = Columns::default();
    for row in rows {
        columns.row(row, &add).map_err(|error| Failed::Refused(error.to_string()))?;
        if columns.0.len() >= MESSAGE_BYTES {
            copy.send(columns.0.split().freeze()).await?;
            columns.0.reserve(2 * MESSAGE_BYTES);
        }
    }
    copy.send(columns.end()).await?;
    Ok(copy)
}

/// Ends on the server what was dropped in the middle: a session would go on waiting for a lock.
struct Unfinished(Option<(CancelToken, SslMode)>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some((token, ssl)) = self.0.take() else {
            return;
        };
        // At worst the timeouts of its transaction end it.
        let cancel = async move {
            match tls() {
                Ok(tls) if ssl != SslMode::Disable => token.cancel_query(tls).await,
                _ => token.cancel_query(NoTls).await,
            }
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(cancel);
        }
    }
}

/// Reads `postgres://user:password@host/database` or `host=... user=...`.
fn parse_url(url: &str) -> Result<Config, String> {
    // libpq's words for what is checked; here everything is, always.
    let checked = |url: String, mode: &str| url.replace(mode, "sslmode=require");
    let url =
        ["sslmode=verify-full", "sslmode=verify-ca"].into_iter().fold(url.to_owned(), checked);
    let mut config: Config = url.parse().map_err(|error: Error| {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        format!("--database-url: {error} ({cause}): postgres://user:password@host:port/database")
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

async fn connect(config: &Config) -> Result<Client, Failed> {
    // The connection does its work beside the client, on the same thread.
    if config.get_ssl_mode() == SslMode::Disable {
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        return Ok(client);
    }
    let (client, connection) = config.connect(tls()?).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// TLS that trusts the system's certificates, or those of SSL_CERT_FILE.
fn tls() -> Result<MakeRustlsConnect, Failed> {
    let (tls, _) = MakeRustlsConnect::with_native_certs().map_err(|errors| {
        let text = "no certificates to trust: install ca-certificates or set SSL_CERT_FILE";
        Failed::Other(format!("{text} {errors:?}"))
    })?;
    Ok(tls)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whose fault an error is. Only what PostgreSQL itself blames on the data is the row's: classes 22, 23
/// and 44, a row or key that is too long (54000), and what a trigger of yours raises (P0001). A missing
/// table or a wrong password must not send a whole topic to the dead letters.
impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let Some(said) = error.as_db_error() else {
            let cause = error.source().map(|cause| format!(" ({cause})"));
            return Self::Other(format!("{error}{}", cause.unwrap_or_default()));
        };
        let code = said.code().code();
        let text = format!("{} (SQLSTATE {code})", said.message());
        match (code.get(..2), code) {
            (Some("22" | "23" | "44"), _) | (_, "54000" | "P0001") => Self::Refused(text),
            (_, "42P01") => Self::Other(text + ": apply schema.sql, or start with --create-tables"),
            _ => Self::Other(text),
        }
    }
}

impl Failed {
    fn into_write_error(self) -> WriteError {
        match self {
            Self::Moved => WriteError::Moved,
            Self::Refused(reason) | Self::Other(reason) => WriteError::Retry(reason),
        }
    }
}
