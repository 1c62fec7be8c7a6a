//! The demo as a program: whatever ends it, nothing that it started outlives it.
//!
//! Both tests wait until a broker, a scaler, a producer and a consumer run, and then end the demo: in
//! order (Ctrl-C) and in the middle of everything (SIGKILL).
#![allow(clippy::expect_used, reason = "a test's own helpers may fail the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;

/// A machine that compiles beside the test needs most of it.
const DEADLINE: Duration = Duration::from_secs(120);

/// How each child can be told by its command line.
const CHILDREN: [&str; 4] = [
    "kafka.Kafka",
    "serve",
    "evenkeel-producer",
    "evenkeel-consumer",
];

#[tokio::test]
async fn ctrl_c_ends_every_process_in_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut demo = start(folder.path());
    let children = wait_for_children(&mut demo).await;
    signal(&demo, "INT").await;
    let status = tokio::time::timeout(DEADLINE, demo.wait()).await;
    let status = status.expect("it ends").expect("it can be waited for");
    assert_eq!(status.code(), Some(130));
    let left: Vec<&u32> = children
        .iter()
        .filter(|child| is_running(**child))
        .collect();
    assert!(left.is_empty(), "{left:?} have outlived the demo");
}

#[tokio::test]
async fn a_crash_of_the_demo_leaves_no_process_behind() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut demo = start(folder.path());
    let children = wait_for_children(&mut demo).await;
    demo.start_kill().expect("it can be killed");
    demo.wait().await.expect("it can be waited for");
    wait_until("every child is gone", || {
        !children.iter().any(|child| is_running(*child))
    })
    .await;
}

/// Starts the demo; what a crash leaves lying goes with `folder`.
fn start(folder: &Path) -> Child {
    let program = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
    for name in ["evenkeel-consumer", "evenkeel-producer"] {
        assert!(
            program.with_file_name(name).is_file(),
            "{name} is not built: `cargo build --workspace` (make setup)"
        );
    }
    Command::new(program)
        .args(["demo", "--load", "300:300", "--pod-start-seconds", "0"])
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the demo starts")
}

/// Waits until all the children are there, and returns their ids.
async fn wait_for_children(demo: &mut Child) -> BTreeSet<u32> {
    let id = demo.id().expect("the demo runs");
    let mut ids = BTreeSet::new();
    wait_until("all children run", || {
        let ended = demo.try_wait().expect("it can be asked");
        assert!(ended.is_none(), "the demo has ended: {ended:?}");
        let children = children_of(id);
        ids = children.iter().map(|(child, _)| *child).collect();
        CHILDREN
            .iter()
            .all(|name| children.iter().any(|(_, line)| line.contains(name)))
    })
    .await;
    ids
}

async fn wait_until(what: &str, mut seen: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !seen() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The direct children of a process, each with its command line.
fn children_of(parent: u32) -> Vec<(u32, String)> {
    let processes = fs::read_dir("/proc").expect("this needs Linux");
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|id| status_of(*id).is_some_and(|(of, _)| of == parent))
        .filter_map(|id| {
            let line = fs::read(format!("/proc/{id}/cmdline")).ok()?;
            Some((id, String::from_utf8_lossy(&line).replace('\0', " ")))
        })
        .collect()
}

/// Whether a process runs; one that has ended and is not yet buried does not.
fn is_running(id: u32) -> bool {
    status_of(id).is_some_and(|(_, state)| state != 'Z')
}

/// The parent of a process and the letter of its state.
fn status_of(id: u32) -> Option<(u32, char)> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1).map(str::to_owned)
    };
    Some((
        field("PPid:")?.parse().ok()?,
        field("State:")?.chars().next()?,
    ))
}

async fn signal(process: &Child, name: &str) {
    let id = process.id().expect("it runs").to_string();
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} \"$0\""), &id])
        .status()
        .await;
    assert!(sent.expect("the shell runs").success());
}
