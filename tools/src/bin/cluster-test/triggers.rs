//! Triggers that are edited while KEDA and its HPA ask: one with a key that does not exist and its correction,
//! one that is handed to KEDA's own `kafka` scaler and back.
//!
//! What KEDA shows of a mistake, where, is its version's affair: it is noted. That replicas stay is not.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{LAG_THRESHOLD, NAME, NAMESPACE, TOPIC, Test, metadata, seconds};

/// A key that does not exist, and what we say of it.
const WRONG: &str = "lagTreshold";
const SENTENCE: &str = "lagTreshold: unknown key, did you mean lagThreshold?";
/// How long a wrong trigger is looked at: three looks of the HPA, and KEDA's poll.
const WRONG_FOR: Duration = Duration::from_secs(45);
/// How long KEDA and its HPA may take until an edit is in force.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(250);

const HPA: &str = "keda-hpa-trade-workers";
const WINDOW: &str =
    "/spec/advanced/horizontalPodAutoscalerConfig/behavior/scaleDown/stabilizationWindowSeconds";
const READY: &str = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}: {.status.conditions[?(@.type=="Ready")].message}"#;
const EVENTS: &str = r#"jsonpath={range .items[*]}{.reason}: {.message}{"\n"}{end}"#;
const METRIC: &str = "jsonpath={.metadata.uid} {.spec.metrics[*].external.metric.name}";

// === impl Test ===

impl Test {
    /// A key that does not exist: what is seen where, and that nothing moves.
    pub(super) async fn wrong(&mut self) -> anyhow::Result<()> {
        let (count, _) = self.rest().await?;
        let begun = self.clock.now();
        let path = format!("/spec/triggers/0/metadata/{WRONG}");
        self.edit(&json!([{"op": "add", "path": path, "value": "1"}]))
            .await?;
        sleep(WRONG_FOR).await;
        self.stays("wrong metadata", begun, count);
        let event = self.event("ScaledObject", NAME, SENTENCE).await?;
        self.seen("event of the ScaledObject", "our sentence", event);
        let ready = self.scaled_object_says(READY).await?;
        let ready = Some(ready).filter(|said| said.starts_with("False"));
        self.seen("READY of the ScaledObject", "False", ready);
        let event = self
            .event("HorizontalPodAutoscaler", HPA, "FailedGetExternalMetric")
            .await?;
        self.seen("event of the HPA", "FailedGetExternalMetric", event);
        let log = self.lab.folder().join("logs/keda-operator.log");
        let log = std::fs::read_to_string(log).unwrap_or_default();
        let said = log.contains(SENTENCE).then(|| "our sentence".to_owned());
        self.seen("log of KEDA's operator", "our sentence", said);
        let log = self.scalers.get(self.scalers.leader().await?)?.log();
        let said = log.contains(SENTENCE).then(|| "our sentence".to_owned());
        self.seen("log of the leader", "our sentence", said);
        self.edit(&json!([{"op": "remove", "path": path}])).await?;
        let took = self.ready_after().await?;
        let took = took.map(|took| format!("READY after {:.1} s", seconds(took)));
        self.seen("the key taken out again", "READY", took);
        Ok(())
    }

    /// To KEDA's own trigger and back, in place.
    pub(super) async fn moved(&mut self) -> anyhow::Result<()> {
        let (count, _) = self.rest().await?;
        let begun = self.clock.now();
        let servers = self.broker.bootstrap_servers();
        // So much lag a replica, and so long a window, that KEDA's rule has nothing to ask for meanwhile.
        let theirs = json!({"type": "kafka", "metadata": {
            "bootstrapServers": servers, "consumerGroup": NAME, "topic": TOPIC, "lagThreshold": LAG_THRESHOLD,
        }});
        self.replace(&theirs, 300, "to KEDA's own kafka trigger")
            .await?;
        let address = self.scalers.address();
        let metadata = BTreeMap::from(metadata(&address));
        let ours =
            json!({"type": "external-push", "metricType": "AverageValue", "metadata": metadata});
        self.replace(&ours, 0, "back to evenkeel").await?;
        self.rest().await?;
        self.stays("moved in place, and back", begun, count);
        Ok(())
    }

    /// Puts another trigger and another window of the HPA in place, until the HPA has its metric.
    async fn replace(
        &mut self,
        trigger: &Value,
        window_seconds: u32,
        what: &str,
    ) -> anyhow::Result<()> {
        let before = self.hpa(METRIC).await?;
        let uid = before.split(' ').next().unwrap_or_default().to_owned();
        self.edit(&json!([
            {"op": "replace", "path": "/spec/triggers/0", "value": trigger},
            {"op": "replace", "path": WINDOW, "value": window_seconds},
        ]))
        .await?;
        let applied = self.clock.now();
        let deadline = Instant::now() + IN_FORCE_WITHIN;
        let mut now = before.clone();
        while now == before && Instant::now() < deadline {
            sleep(LOOK).await;
            // Between the two KEDA may have none.
            now = self.hpa(METRIC).await.unwrap_or_else(|_| before.clone());
        }
        let took = seconds(self.clock.now().since(applied));
        let is_met = now != before && now.split(' ').next() == Some(&uid);
        self.report.add(
            &format!("{what}: the HPA has the other metric"),
            "the same HPA (uid)",
            &format!(
                "{} after {took:.1} s",
                if is_met { "the same" } else { &now }
            ),
            is_met,
            true,
        );
        Ok(())
    }

    /// How long it takes until KEDA says READY, if it does.
    pub(super) async fn ready_after(&self) -> anyhow::Result<Option<Duration>> {
        let begun = self.clock.now();
        let deadline = Instant::now() + IN_FORCE_WITHIN;
        while Instant::now() < deadline {
            if self.scaled_object_says(READY).await?.starts_with("True") {
                return Ok(Some(self.clock.now().since(begun)));
            }
            sleep(LOOK).await;
        }
        Ok(None)
    }

    /// A figure of what KEDA shows: whatever its version does, nothing of ours is wrong.
    fn seen(&mut self, place: &str, goal: &str, measured: Option<String>) {
        let is_met = measured.is_some();
        let measured = measured.unwrap_or_else(|| "nothing of it".to_owned());
        let what = format!("wrong metadata: {place}");
        self.report.add(
            &what,
            goal,
            &measured.trim().replace('|', "/"),
            is_met,
            false,
        );
    }

    /// Patches the ScaledObject.
    pub(super) async fn edit(&self, patch: &Value) -> anyhow::Result<()> {
        let patch = patch.to_string();
        let object = ["patch", "scaledobject", NAME, "-n", NAMESPACE];
        let arguments = object.into_iter().chain(["--type=json", "-p", &patch]);
        self.lab.ask(&arguments.collect::<Vec<_>>()).await?;
        Ok(())
    }

    async fn scaled_object_says(&self, output: &str) -> anyhow::Result<String> {
        let object = ["get", "scaledobject", NAME, "-n", NAMESPACE, "-o", output];
        Ok(self.lab.ask(&object).await?)
    }

    async fn hpa(&self, output: &str) -> anyhow::Result<String> {
        let object = ["get", "hpa", HPA, "-n", NAMESPACE, "-o", output];
        Ok(self.lab.ask(&object).await?)
    }

    /// The last event of an object that says `what`.
    async fn event(&self, kind: &str, name: &str, what: &str) -> anyhow::Result<Option<String>> {
        let of = format!("involvedObject.kind={kind},involvedObject.name={name}");
        let arguments = [
            "get",
            "events",
            "-n",
            NAMESPACE,
            "--field-selector",
            &of,
            "-o",
            EVENTS,
        ];
        let events = self.lab.ask(&arguments).await?;
        let said = events.lines().rev().find(|line| line.contains(what));
        Ok(said.map(str::to_owned))
    }
}
