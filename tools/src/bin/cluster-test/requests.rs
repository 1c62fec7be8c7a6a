//! What ScaledObjects that each want one replica cost the broker: KEDA's own `kafka` trigger, then evenkeel.
//!
//! The same ScaledObjects, KEDA and HPA with their defaults, one kind of trigger after the other. Requests and
//! connections are counted by the broker; what there is without any is taken away. Nothing comes in: who
//! decides what is not looked at. More targets than these are the benches' affair.

use std::time::Duration;

use anyhow::Context as _;
use evenkeel_tools::counters::{Counters, grown, summed};
use evenkeel_tools::demo::scaler;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{LAG_THRESHOLD, PARTITIONS, Test, metadata_of, scaled_object, seconds};

/// Their namespace and their topic.
const ASKED: &str = "asked";
const TARGETS: usize = 100;
/// From the last ScaledObject until everybody asks in his time.
const SETTLE: Duration = Duration::from_secs(90);
/// How long is measured: four polls of KEDA, eight looks of the HPA.
const MEASURED: Duration = Duration::from_secs(120);
/// What evenkeel may ask of what KEDA's own trigger asks.
const SHARE_MAX: f64 = 0.2;

/// What the broker counts of its clients.
struct Cost {
    /// Requests a minute, by api.
    requests: Counters,
    connections: f64,
}

// === impl Test ===

impl Test {
    /// Both kinds of triggers, one after the other.
    pub(super) async fn requests(&mut self) -> anyhow::Result<()> {
        self.clear().await;
        let topics = self.broker.topics();
        topics.create_topic(ASKED, PARTITIONS, 1, &[]).await?;
        let nobody = self.cost().await?;
        let servers = self.broker.bootstrap_servers();
        let address = self.scalers.address();
        let ours = |name: &str| {
            let mut object = scaled_object(ASKED, name, 1, &metadata_of(&address, name, ASKED));
            let spec = object.pointer_mut("/spec").and_then(Value::as_object_mut);
            spec.and_then(|spec| spec.remove("pollingInterval"));
            object
        };
        let theirs = |name: &str| {
            let mut object = ours(name);
            if let Some(trigger) = object.pointer_mut("/spec/triggers/0") {
                *trigger = json!({"type": "kafka", "metadata": {
                    "bootstrapServers": servers, "consumerGroup": name, "topic": ASKED,
                    "lagThreshold": LAG_THRESHOLD,
                }});
            }
            object
        };
        self.apply_all(ASKED, TARGETS, 1, theirs).await?;
        sleep(SETTLE).await;
        let theirs = self.cost().await?.beyond(&nobody);
        self.report.add(
            &format!("{TARGETS} ScaledObjects at one replica, KEDA's kafka trigger: requests a minute to the broker"),
            "known",
            &theirs.words(),
            theirs.all() > 0.0,
            true,
        );
        for _ in 0..2 {
            self.scalers.start_listed().await?;
        }
        self.apply_all(ASKED, TARGETS, 1, ours).await?;
        sleep(SETTLE).await;
        let ours = self.cost().await?.beyond(&nobody);
        let share = ours.all() / theirs.all();
        self.report.add(
            "the same, behind two replicas of evenkeel",
            "at most a fifth",
            &format!("{}: {share:.2}", ours.words()),
            share <= SHARE_MAX,
            true,
        );
        self.delete_all(ASKED).await;
        self.end_scalers().await;
        Ok(())
    }

    async fn cost(&self) -> anyhow::Result<Cost> {
        let (before, _) = self.counted().await?;
        let begun = self.clock.now();
        sleep(MEASURED).await;
        let (after, connections) = self.counted().await?;
        let minutes = seconds(self.clock.now().since(begun)) / 60.0;
        let mut requests = grown(&after, &before);
        for count in requests.values_mut() {
            *count /= minutes;
        }
        Ok(Cost {
            requests,
            connections,
        })
    }

    /// Requests so far, by api, and connections now.
    async fn counted(&self) -> anyhow::Result<(Counters, f64)> {
        let port = self
            .broker
            .jmx_port()
            .context("the broker counts nothing")?;
        let text = scaler::get(([127, 0, 0, 1], port).into(), "/metrics").await?;
        let connections = summed(&text, "kafka_connections", &["listener"]);
        Ok((
            summed(&text, "kafka_requests", &["request"]),
            connections.values().sum(),
        ))
    }
}

// === impl Cost ===

impl Cost {
    /// What it is beyond another.
    fn beyond(&self, other: &Self) -> Self {
        Self {
            requests: grown(&self.requests, &other.requests),
            connections: self.connections - other.connections,
        }
    }

    /// Requests a minute of all apis.
    fn all(&self) -> f64 {
        self.requests.values().sum()
    }

    fn words(&self) -> String {
        let each = self.requests.iter().filter(|(_, count)| **count >= 0.5);
        let each: Vec<String> = each
            .map(|(api, count)| format!("{api} {count:.0}"))
            .collect();
        format!(
            "{:.0} ({}), {:.0} connections",
            self.all(),
            each.join(", "),
            self.connections
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_without_any_is_taken_away() {
        let cost = |requests: &[(&str, f64)], connections| Cost {
            requests: requests
                .iter()
                .map(|(api, count)| ((*api).to_owned(), *count))
                .collect(),
            connections,
        };
        let nobody = cost(&[("Fetch", 120.0)], 1.0);
        let all = cost(
            &[("Fetch", 120.0), ("ListOffsets", 600.0), ("Metadata", 0.1)],
            5.0,
        );
        let beyond = all.beyond(&nobody);
        assert_eq!(beyond.words(), "600 (ListOffsets 600), 4 connections");
    }
}
