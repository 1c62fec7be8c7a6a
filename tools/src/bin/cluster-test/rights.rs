//! The chart's rights without one at a time: the scaler says which is missing, and does the rest.
//!
//! A replica is started for each, because what is watched already goes on without the right. What each
//! right is for is the chart's README's affair.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{NAME, NAMESPACE, Test, scalers};

/// How long it may take until the missing right is named: an outage is called one after a while.
const NAMED_WITHIN: Duration = Duration::from_secs(60);
/// How long one that may not answer is asked.
const SILENT_FOR: Duration = Duration::from_secs(12);
const LOOK: Duration = Duration::from_millis(500);

/// A right that is taken away.
struct Missing {
    /// What for, as the page says it.
    what: &'static str,
    /// The object that grants it, and the rule in it.
    object: &'static [&'static str],
    rule: usize,
    /// The resource that has to be named.
    resource: &'static str,
    /// Whether KEDA is answered without.
    answers: bool,
}

const ROLE: &[&str] = &["role", "trial-evenkeel", "-n", "scaling"];
const CLUSTER_ROLE: &[&str] = &["clusterrole", "trial-evenkeel-scaling"];

const ALL: [Missing; 6] = [
    Missing {
        what: "get and update the Lease",
        object: ROLE,
        rule: 0,
        resource: "leases",
        answers: false,
    },
    Missing {
        what: "create the Lease, which is gone",
        object: ROLE,
        rule: 1,
        resource: "leases",
        answers: false,
    },
    Missing {
        what: "get and update the ConfigMaps",
        object: ROLE,
        rule: 2,
        resource: "configmaps",
        answers: true,
    },
    Missing {
        what: "read ScaledObjects",
        object: CLUSTER_ROLE,
        rule: 0,
        resource: "scaledobjects",
        answers: true,
    },
    Missing {
        what: "read Deployments and StatefulSets",
        object: CLUSTER_ROLE,
        rule: 1,
        resource: "deployments",
        answers: true,
    },
    Missing {
        what: "write Events, where maxReplicaCount is too small",
        object: CLUSTER_ROLE,
        rule: 2,
        resource: "events",
        answers: true,
    },
];

// === impl Test ===

impl Test {
    /// Each right away once, then all of them back, with two replicas.
    pub(super) async fn rights(&mut self) -> anyhow::Result<()> {
        for missing in &ALL {
            self.without(missing).await?;
        }
        self.limit(24).await?;
        scalers::grant(&self.lab, &self.manifests).await?;
        self.end_scalers().await;
        for _ in 0..2 {
            self.start_replica().await?;
        }
        Ok(())
    }

    async fn without(&mut self, missing: &Missing) -> anyhow::Result<()> {
        self.end_scalers().await;
        scalers::grant(&self.lab, &self.manifests).await?;
        if missing.what.starts_with("create") {
            let delete = ["delete", "lease", "trial-evenkeel", "-n", "scaling"];
            self.lab.ask(&delete).await?;
        }
        if missing.resource == "events" {
            self.limit(6).await?;
        }
        let remove = format!(r#"[{{"op":"remove","path":"/rules/{}"}}]"#, missing.rule);
        let mut patch = vec!["patch"];
        patch.extend(missing.object);
        patch.extend(["--type=json", "-p", &remove]);
        self.lab.ask(&patch).await?;
        let number = self.scalers.start(true)?;
        self.probes.ask(number, self.scalers.get(number)?.grpc);
        let begun = self.clock.now();
        let deadline = Instant::now() + NAMED_WITHIN;
        let (mut named, mut counted) = (None, false);
        while Instant::now() < deadline {
            sleep(LOOK).await;
            named = self.named(number, missing.resource).await?;
            let answers = self.probes.since(begun);
            counted = answers
                .iter()
                .any(|it| it.replica == number && it.count.is_ok());
            let silent = !missing.answers && self.clock.now().since(begun) >= SILENT_FOR;
            if named.is_some() && (counted || silent) {
                break;
            }
        }
        let is_met = named.is_some() && counted == missing.answers;
        let does = if counted {
            "answers"
        } else {
            "does not answer"
        };
        self.report.add(
            &format!("without the right to {}", missing.what),
            if missing.answers {
                "named, answers"
            } else {
                "named, does not answer"
            },
            &format!(
                "{does}; {}",
                named.as_deref().unwrap_or("says nothing of it")
            ),
            is_met,
            true,
        );
        Ok(())
    }

    /// The sentence in which a replica names `resource` as refused.
    async fn named(&self, number: u8, resource: &str) -> anyhow::Result<Option<String>> {
        let replica = self.scalers.get(number)?;
        let mut said = vec![replica.readiness().await];
        if let Some(detail) = replica.target(NAMESPACE, NAME).await {
            said.extend(detail.problems);
            said.extend(detail.notices);
        }
        said.extend(replica.log().lines().map(str::to_owned));
        let names = |line: &&String| line.contains("forbidden") && line.contains(resource);
        Ok(said.iter().find(names).map(|line| line.replace('|', "/")))
    }

    async fn limit(&self, replicas: u32) -> anyhow::Result<()> {
        let path = "/spec/maxReplicaCount";
        self.edit(&json!([{"op": "replace", "path": path, "value": replicas}]))
            .await
    }

    pub(super) async fn end_scalers(&mut self) {
        for replica in &self.scalers.replicas {
            self.probes.leave(replica.number);
        }
        self.scalers.end().await;
    }
}
