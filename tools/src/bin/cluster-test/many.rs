//! 1,000 targets: what they cost the API server at rest, and the memory of a replica.
//!
//! They are asleep: nothing is in their topic, and their Deployments have no replicas. KEDA's operator is
//! away: what is counted is the scaler's alone. What others ask meanwhile is measured without the scalers,
//! and taken away.

use std::time::Duration;

use anyhow::Context as _;
use evenkeel_scaler::grpc::wire::external_scaler_client::ExternalScalerClient;
use evenkeel_tools::counters::{Counters, grown, summed};
use evenkeel_tools::lab::probes;
use tokio::time::sleep;

use super::{PARTITIONS, Test, metadata_of, scaled_object, seconds};

/// Their namespace and their topic.
const MANY: &str = "many";
const TARGETS: usize = 1_000;
/// From the last target's registration until things are at rest.
const SETTLE: Duration = Duration::from_secs(90);
/// What the scaler asks the API server about.
const ASKED: [&str; 6] = [
    "configmaps",
    "deployments",
    "events",
    "leases",
    "scaledobjects",
    "statefulsets",
];
/// How long is measured.
const MEASURED: Duration = Duration::from_secs(60);
/// What a resource may be asked for a second.
const REQUESTS_MAX: f64 = 2.0;
/// What the memory may be of that without Kubernetes.
const MEMORY_MAX: f64 = 1.5;

// === impl Test ===

impl Test {
    /// Registers them, and measures.
    pub(super) async fn many(&mut self) -> anyhow::Result<()> {
        self.clear().await;
        self.lab.control("kill", "keda-operator").await?;
        let topics = self.broker.topics();
        topics.create_topic(MANY, PARTITIONS, 1, &[]).await?;
        let address = self.scalers.address();
        let object = |name: &str| scaled_object(MANY, name, 0, &metadata_of(&address, name, MANY));
        self.apply_all(MANY, TARGETS, 0, object).await?;
        sleep(SETTLE).await;
        let without = self.requests_a_second().await?;
        let watches_without = self.watches().await?;
        let mut numbers = Vec::new();
        for _ in 0..2 {
            numbers.push(self.scalers.start_listed().await?);
        }
        for number in &numbers {
            self.register(*number).await?;
        }
        sleep(SETTLE).await;
        let with = self.requests_a_second().await?;
        let watches = self.watches().await?;
        let rates = grown(&with, &without);
        let total: f64 = rates.values().sum();
        let each = rates.iter().filter(|(_, rate)| **rate >= 0.01);
        let each: Vec<String> = each
            .map(|(what, rate)| format!("{what} {rate:.2}"))
            .collect();
        self.report.add(
            "1,000 targets: requests to the API server a second at rest, of two replicas",
            "at most 2",
            &format!("{total:.2} ({})", each.join(", ")),
            total <= REQUESTS_MAX,
            true,
        );
        let watches = grown(&watches, &watches_without);
        let each = watches
            .iter()
            .map(|(what, count)| format!("{what} {count:.0}"));
        self.report.add(
            "1,000 targets: watches of two replicas",
            "one a kind and replica",
            &each.collect::<Vec<_>>().join(", "),
            !watches.is_empty() && watches.values().all(|count| *count <= 2.0),
            true,
        );
        let leader = self.scalers.leader().await?;
        let knows = self
            .scalers
            .get(leader)?
            .memory_kib()
            .context("no memory")?;
        self.end_scalers().await;
        let number = self.scalers.start(false)?;
        sleep(Duration::from_secs(2)).await;
        self.register(number).await?;
        sleep(SETTLE + MEASURED).await;
        let alone = self
            .scalers
            .get(number)?
            .memory_kib()
            .context("no memory")?;
        self.end_scalers().await;
        #[expect(clippy::cast_precision_loss, reason = "a size of memory")]
        let share = knows as f64 / alone as f64;
        self.report.add(
            "1,000 targets: memory of the leader, and of a replica that does not know Kubernetes",
            "at most 1.5 times as much",
            &format!("{} and {} MiB: {share:.2}", knows / 1024, alone / 1024),
            share <= MEMORY_MAX,
            true,
        );
        Ok(())
    }

    /// Asks a replica about each of them once, as KEDA begins.
    async fn register(&self, number: u8) -> anyhow::Result<()> {
        let grpc = self.scalers.get(number)?.grpc;
        let mut client = ExternalScalerClient::connect(format!("http://{grpc}")).await?;
        let address = self.scalers.address();
        for number in 0..TARGETS {
            let name = format!("target-{number}");
            let target = probes::target(MANY, &name, &metadata_of(&address, &name, MANY));
            client.get_metric_spec(target).await?;
        }
        Ok(())
    }

    /// Requests that ended within a minute, a second, by verb and resource.
    async fn requests_a_second(&self) -> anyhow::Result<Counters> {
        let before = self.metric("apiserver_request_total").await?;
        let begun = self.clock.now();
        sleep(MEASURED).await;
        let after = self.metric("apiserver_request_total").await?;
        let time = seconds(self.clock.now().since(begun));
        let mut rates = grown(&after, &before);
        rates.retain(|what, _| ASKED.iter().any(|asked| what.ends_with(asked)));
        for rate in rates.values_mut() {
            *rate /= time;
        }
        Ok(rates)
    }

    async fn watches(&self) -> anyhow::Result<Counters> {
        let mut all = self.metric("apiserver_longrunning_requests").await?;
        all.retain(|what, _| what.starts_with("WATCH "));
        Ok(all)
    }

    async fn metric(&self, name: &str) -> anyhow::Result<Counters> {
        let text = self.lab.ask(&["get", "--raw", "/metrics"]).await?;
        Ok(summed(&text, name, &["verb", "resource"]))
    }
}
