//! Requests, CPU and memory a tick on the scripted fake cluster, at growing numbers of groups.
//!
//! The fake cluster is this program again as a child, so that its CPU is not the scaler's.

use std::process::Stdio;
use std::time::Duration;

use evenkeel_tools::demo::process::bound_command;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::sleep;

use super::fake_broker::FakeCluster;
use super::served::{Served, name};
use super::{BROKERS, PARTITIONS, table};

/// The argument that makes this program the fake cluster.
pub const CHILD: &str = "fake-cluster";
/// How many groups, one target each.
const SIZES: [usize; 4] = [10, 100, 1_000, 5_000];
/// Ticks that are averaged over.
const TICKS: u64 = 20;

pub async fn bench() {
    let mut rows = table(&[
        "groups x 10 partitions, 3 fake brokers",
        "requests/broker/tick",
        "requests/min at 5 s",
        "connections",
        "CPU ms/tick",
        "MiB resident",
    ]);
    for groups in SIZES {
        let mut cluster = Cluster::start(groups).await;
        let served = Served::start(&cluster.bootstrap_servers, 1).await;
        served.register(groups).await;
        // The first ticks find coordinators, leaders and protocols.
        sleep(Duration::from_secs(3)).await;
        cluster.take().await;
        let (usage, ticks) = (served.usage(), served.ticks().await);
        sleep(Duration::from_secs(TICKS)).await;
        let counted = cluster.take().await;
        let (after, ticks) = (served.usage(), served.ticks().await - ticks);
        let requests = counted["requests"].as_f64().unwrap() / ticks;
        rows.add_row([
            groups.to_string(),
            format!("{:.2}", requests / f64::from(BROKERS)),
            format!("{:.0}", requests * 12.0),
            counted["connections"].to_string(),
            format!(
                "{:.1}",
                (after.cpu_milliseconds - usage.cpu_milliseconds) / ticks
            ),
            format!("{:.0}", after.resident_megabytes),
        ]);
    }
    println!("{rows}\n");
}

/// The fake cluster as a child process.
pub struct Cluster {
    pub bootstrap_servers: Vec<String>,
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Cluster {
    pub async fn start(groups: usize) -> Self {
        let mut child = bound_command(&std::env::current_exe().unwrap())
            .args([CHILD, &groups.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = output.next_line().await.unwrap().unwrap();
        let bootstrap_servers = serde_json::from_str(&line).unwrap();
        Self {
            bootstrap_servers,
            _child: child,
            input,
            output,
        }
    }

    /// What was counted since the last call.
    pub async fn take(&mut self) -> Value {
        self.input.write_all(b"take\n").await.unwrap();
        serde_json::from_str(&self.output.next_line().await.unwrap().unwrap()).unwrap()
    }
}

/// The child: prints its addresses, then answers each line of input with its counters.
pub async fn run_child(groups: usize) {
    let cluster = FakeCluster::start(BROKERS).await;
    {
        let mut world = cluster.world();
        for group in 0..groups {
            world.topic(&name(group), PARTITIONS, 1_000);
            world.classic_group(&name(group), &name(group), 900);
        }
    }
    println!("{}", json!(cluster.bootstrap_servers()));
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_)) = input.next_line().await {
        let counted = {
            let mut world = cluster.world();
            let requests = std::mem::take(&mut world.journal).len();
            json!({ "requests": requests, "connections": world.connections.values().sum::<usize>() })
        };
        println!("{counted}");
    }
}
