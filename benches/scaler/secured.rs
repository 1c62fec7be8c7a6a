//! TLS and SASL beside plaintext, on the same brokers in one run: what a tick costs, how many
//! connections there are, and how soon a scaler that has just started knows its first target.

use std::time::Duration;

use evenkeel_tools::demo::broker::{BrokerOptions, EmbeddedCluster, Listener};
use tokio::time::{Instant, sleep};

use super::authority::{Authority, Dates};
use super::real::{commit_all, measure, target_of};
use super::served::{Served, metrics_of_on};
use super::{BROKERS, quantile, table};

const GROUPS: usize = 1_000;
/// Scalers that are started for the time to the first observation.
const STARTS: usize = 20;
const DEADLINE: Duration = Duration::from_secs(60);
const LISTENER: &str = "LOGIN";

pub async fn bench() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let pair = authority.server("broker", "127.0.0.1", Dates::Now);
    let mut properties = vec![(
        "listener.name.login.sasl.enabled.mechanisms".to_owned(),
        "PLAIN".to_owned(),
    )];
    for (store, file) in [("keystore", &pair.both), ("truststore", &authority.ca())] {
        let prefix = format!("listener.name.login.ssl.{store}");
        properties.push((format!("{prefix}.type"), "PEM".to_owned()));
        properties.push((format!("{prefix}.location"), file.display().to_string()));
    }
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
    properties.push((
        "listener.name.login.plain.sasl.jaas.config".to_owned(),
        format!("{module} required user_evenkeel=\"hush\";"),
    ));
    let options = BrokerOptions {
        jmx: true,
        properties,
        listeners: vec![Listener {
            name: LISTENER,
            protocol: "SASL_SSL",
        }],
        ..BrokerOptions::default()
    };
    let cluster = EmbeddedCluster::start_with(BROKERS as usize, options).await;
    let cluster = cluster.unwrap();
    commit_all(&cluster, 0..GROUPS).await;
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let secured = format!(
        ", tls: {{ca: {}}}, sasl: {{mechanism: PLAIN, usernameFile: {}, passwordFile: {}}}",
        authority.ca().display(),
        file("username", "evenkeel"),
        file("password", "hush"),
    );
    let mut rows = table(&[
        "1,000 groups, 10 a topic of 10 partitions, 3 real brokers",
        "requests/broker/tick",
        "connections",
        "CPU ms/tick",
        "MiB resident",
        "start to first observation, ms: median",
        "worst of 20",
    ]);
    for (name, servers, more) in [
        ("plaintext", cluster.addresses(), ""),
        (
            "SASL_SSL, PLAIN",
            cluster.listeners(LISTENER),
            secured.as_str(),
        ),
    ] {
        let mut waits = Vec::new();
        for _ in 0..STARTS {
            waits.push(first_observation(&servers, more).await);
        }
        waits.sort_by(f64::total_cmp);
        let served = Served::start_with(&servers, 1, more).await;
        let measured = measure(&cluster, &served, GROUPS).await;
        rows.add_row([
            name.to_owned(),
            format!("{:.2}", measured.requests() / f64::from(BROKERS)),
            format!("{:.0}", served.connections().await),
            format!("{:.1}", measured.cpu_milliseconds),
            format!("{:.0}", measured.resident_megabytes),
            format!("{:.0}", quantile(&waits, 0.5)),
            format!("{:.0}", quantile(&waits, 1.0)),
        ]);
    }
    println!("{rows}\n");
}

/// Milliseconds from the first question to a scaler without any connection to the first answer.
async fn first_observation(servers: &[String], more: &str) -> f64 {
    let served = Served::start_with(servers, 1, more).await;
    let mut client = served.client().await;
    let target = target_of(0);
    let begun = Instant::now();
    while let Err(status) = client.get_metrics(metrics_of_on(target.clone())).await {
        assert!(begun.elapsed() < DEADLINE, "it stays unknown: {status}");
        sleep(Duration::from_millis(1)).await;
    }
    begun.elapsed().as_secs_f64() * 1_000.0
}
