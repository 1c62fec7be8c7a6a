//! The program itself: TLS to the database, tables that it makes, and what it never says.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::consumers::{World, wait_for};
use super::database::Database;
use super::{COUNT, LETTERS};

const TABLES: &str = "SELECT count(*) FROM pg_tables WHERE tablename = 'trades'";

fn start(servers: &str, url: &str, environment: &[(&str, &str)]) -> Child {
    start_with(servers, url, environment, &["--metrics-listen", "none"])
}

fn start_with(servers: &str, url: &str, environment: &[(&str, &str)], more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_batch-consumer"))
        .args(["--topic", "trades", "--group", "workers"])
        .args(more)
        .args(["--bootstrap-servers", servers, "--create-tables", "--database-url", url])
        .envs(environment.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills it, and tells what it has said.
fn end(mut consumer: Child) -> String {
    let _ = consumer.kill();
    let said = consumer.wait_with_output().unwrap().stderr;
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn tls_is_spoken_where_it_is_asked_for_and_the_certificate_is_checked() {
    let mut world = World::new();
    world.send(4, |_, payload| payload);
    let servers = world.cluster.bootstrap_servers();
    let (database, port, certificate) = Database::start_with_tls();
    let (_elsewhere, _, unrelated) = Database::start_with_tls();
    let start = |more: &str, trusted: &Path| {
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres{more}");
        start(&servers, &url, &[("SSL_CERT_FILE", trusted.to_str().unwrap())])
    };
    // It goes on trying, and says why.
    let refused = [
        ("", &certificate, "no encryption"),
        ("?sslmode=require", &unrelated, "certificate"),
        ("?sslmode=verify-full", &unrelated, "certificate"),
    ];
    for (more, trusted, word) in refused {
        let mut consumer = start(more, trusted);
        let mut output = consumer.stderr.take().unwrap();
        let (said, seen) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            use std::io::{BufRead as _, BufReader};
            for line in BufReader::new(&mut output).lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        wait_for(word, || seen.try_iter().any(|line| line.contains(word)));
        assert!(consumer.try_wait().unwrap().is_none(), "it goes on");
        end(consumer);
        assert_eq!(database.number(TABLES), 0);
    }
    for more in ["?sslmode=require", "?sslmode=verify-full"] {
        let consumer = start(more, &certificate);
        wait_for("the tables", || database.number(TABLES) == 1);
        end(consumer);
        let owner = database.connect().unwrap();
        database.run(&owner, "DROP TABLE trades");
    }
}

/// A page of the consumer's, and its status.
fn page(port: u16, path: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn a_database_that_hangs_is_no_reason_to_restart_and_is_told_by_readyz() {
    let mut world = World::new();
    world.send(4, |_, payload| payload);
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let more = [("METRICS_LISTEN", format!("127.0.0.1:{port}"))];
    let more = more.each_ref().map(|(name, value)| (*name, value.as_str()));
    let consumer =
        start_with(&world.cluster.bootstrap_servers(), &world.database.url(), &more, &[]);
    let says = |path, status: &str, word: &str| {
        page(port, path).is_some_and(|page| page.contains(status) && page.contains(word))
    };
    wait_for("the rows", || world.database.number(COUNT) == 4);
    wait_for("readiness", || says("/readyz", "200 OK", "ok"));
    assert!(says("/metrics", "200 OK", "kafka_messages_processed_total{status=\"success\"} 4"));
    let blocker = world.database.connect().unwrap();
    world.database.run(&blocker, "BEGIN; LOCK TABLE trades IN ACCESS EXCLUSIVE MODE");
    world.send(4, |_, payload| payload);
    wait_for("it to be told", || says("/readyz", "503", "sink: canceling statement"));
    assert!(says("/livez", "200 OK", "ok"));
    world.database.run(&blocker, "COMMIT");
    wait_for("the rest", || world.database.number(COUNT) == 8);
    wait_for("readiness", || says("/readyz", "200 OK", "ok"));
    end(consumer);
}

#[test]
fn tables_are_made_when_the_database_comes() {
    let mut world = World::new();
    world.send(4, |_, payload| payload);
    let owner = world.database.connect().unwrap();
    world.database.run(&owner, "DROP TABLE trades, consumer_offsets, dead_letters");
    world.database.crash();
    let mut consumer = start(&world.cluster.bootstrap_servers(), &world.database.url(), &[]);
    let mut output = consumer.stderr.take().unwrap();
    let mut said = [0; 1];
    // Its first words; it has begun.
    std::io::Read::read_exact(&mut output, &mut said).unwrap();
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    std::thread::park_timeout(std::time::Duration::from_millis(500));
    assert!(consumer.try_wait().unwrap().is_none(), "it has given up");
    world.database.start_again();
    wait_for("the rows", || {
        world.database.number(TABLES) == 1 && world.database.number(COUNT) == 4
    });
    end(consumer);
}

#[test]
fn what_is_secret_is_not_said() {
    let mut world = World::new();
    let servers = world.cluster.bootstrap_servers();
    let (protocol, key) = ("KAFKA_SECURITY_PROTOCOL", "KAFKA_SSL_KEY_LOCATION");
    let key_that_is_missing =
        [("KAFKA_SSL_KEY_PASSWORD", "hush-1"), (protocol, "SSL"), (key, "/nowhere")];
    for (more, word) in [
        (&[("KAFKA_PASSWORT", "hush-1")][..], "passwort"),
        (&[(protocol, "hush-1")][..], "security.protocol"),
        (&key_that_is_missing[..], "ssl.key.location"),
    ] {
        let consumer = start(&servers, &world.database.url(), more);
        let output = consumer.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(word) && !said.contains("hush"),
            "{said}"
        );
    }
    // A poison record's words are in the dead letters, and nowhere else.
    world.send(8, |number, payload| match number {
        0 => payload.replace("IBM", "hush-3").replace('}', ""),
        1 => payload.replace("\"IBM\"", "\"hush-3\\u0000\""),
        2 => payload.replace("\"quantity\":1", "\"quantity\":\"hush-3\""),
        _ => payload,
    });
    let consumer = start(&servers, &world.database.url(), &[("RUST_LOG", "debug")]);
    wait_for("all of them", || {
        (world.database.number(COUNT), world.database.number(LETTERS)) == (5, 3)
    });
    let said = end(consumer);
    assert!(!said.contains("hush"), "{said}");
    let kept =
        "SELECT count(*) FROM dead_letters WHERE convert_from(value, 'UTF8') LIKE '%hush-3%'";
    assert_eq!(world.database.number(kept), 3);
}
