//! The life of an installation by helm: installed, upgraded, upgraded badly, rolled back, uninstalled, with
//! KEDA and its HPA asking throughout.
//!
//! The release answers for the target that the replicas before it answered for. It is left uninstalled, and
//! the ScaledObject with nobody behind it. How helm is called is `lab::release`'s affair.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use evenkeel_tools::lab::cluster::answer;
use evenkeel_tools::lab::probes::{self, Probes};
use evenkeel_tools::lab::release::{self, Release};
use serde_json::json;
use tokio::process::Command;
use tokio::time::sleep;

use super::{LOADS, NAME, NAMESPACE, Test, metadata, scaled_object, seconds};

/// What a replica is said to do, in records/s: so little that all loads together need the largest count, where
/// a poll that a busy machine reads late asks for nothing more.
const TOLD: &str = "40";
/// Between two looks at the pods.
const LOOK: Duration = Duration::from_millis(500);
/// What a scaler has to have seen before it lowers anything: the window of `metadata`, and a bit more.
const WINDOW: Duration = Duration::from_secs(80);
/// How long a bad pod is looked at, and what comes after a change.
const AFTER: Duration = Duration::from_secs(30);
/// How long the pods of a new release, and one that was killed, may take until they answer.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long an upgrade may take.
const REPLACED_WITHIN: Duration = Duration::from_secs(300);
/// How long nobody answers at the end.
const AWAY: Duration = Duration::from_secs(60);
/// What the next leader may take.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// An upgrade changes who leads twice at most; a rollback and the death of a follower do not.
const LEADERS_MAX: usize = 2;

// === impl Test ===

impl Test {
    /// All of it.
    pub(super) async fn life(&mut self) -> anyhow::Result<()> {
        let added = LOADS.iter().skip(self.producers.len());
        for rate in added {
            self.load(*rate)?;
        }
        self.rest().await?;
        self.install().await?;
        let (count, _) = self.rest().await?;
        let errors = self.errors().await;
        let begun = self.clock.now();
        self.upgrade().await?;
        self.upgrade_badly().await?;
        let rollback = self
            .release()?
            .helm(&["rollback", release::RELEASE, "--wait"]);
        let took = self.while_asked(rollback).await?;
        self.watch(AFTER).await?;
        // The pod that could not start may take its whole grace period to go.
        let only_listed = |release: &Release| release.pods.iter().all(|pod| pod.is_listed);
        let is_good = self.watch_until_so(READY_WITHIN, only_listed).await?;
        let what = "helm rollback --wait";
        let measured = format!("{:.0} s", seconds(took));
        self.report
            .add(what, "only the pods before", &measured, is_good, true);
        let what = "from helm upgrade to 30 s after helm rollback";
        self.unchanged(what, begun, count, None).await?;
        let answers = self.probes.since(begun);
        self.leaders(what, &answers, LEADERS_MAX);
        let silence = probes::longest_silence(&answers, self.clock.now());
        self.report.add(
            &format!("{what}: the longest time without an answer"),
            "at most 10 s",
            &format!("{:.1} s", seconds(silence)),
            silence <= SILENCE_MAX,
            false,
        );
        let counted = answers.iter().filter(|it| it.count.is_ok()).count();
        let time = seconds(self.clock.now().since(begun));
        let what = format!("{what}: answers in {time:.0} s, and errors that KEDA counted");
        let errors = self.errors_since(errors).await;
        let measured = format!("{counted}, {}", super::faults::words(errors));
        self.report
            .add(&what, "0 errors", &measured, errors == Some(0), false);
        self.uninstall(count).await
    }

    /// The chart, for the same target; the replicas before it go.
    async fn install(&mut self) -> anyhow::Result<()> {
        let helm = self.args.helm.as_deref();
        let folder = self.folder.path().join("release");
        let servers = self.broker.bootstrap_servers();
        let release = Release::new(
            (helm.context("--helm FILE is missing")?, &self.args.chart),
            &self.lab,
            &self.programs.evenkeel,
            &folder,
            &servers,
        );
        let release = self.release.insert(release.await?);
        let mut install = release.apply("install", &json!({}))?;
        let address = release.address();
        install.arg("--wait");
        let begun = self.clock.now();
        self.while_asked(install).await?;
        let mut is_led = false;
        while !is_led && self.clock.now().since(begun) < READY_WITHIN {
            self.watch(LOOK).await?;
            let release = self.release()?;
            let listed = release.pods.iter().filter(|pod| pod.is_listed).count();
            is_led = listed == 2 && release.leader().await.is_some();
        }
        let took = seconds(self.clock.now().since(begun));
        self.report.add(
            "helm install --wait: until two replicas answer, of which one leads",
            "they do",
            &format!("{took:.0} s"),
            is_led,
            true,
        );
        let mut trigger = metadata(&address).to_vec();
        trigger.push(("capacityPerReplica", TOLD));
        self.probes = Probes::new(self.clock, probes::target(NAMESPACE, NAME, &trigger));
        let object = scaled_object(NAMESPACE, NAME, 1, &trigger);
        self.lab.apply(&object.to_string()).await?;
        self.watch(AFTER).await?;
        self.scalers.end().await;
        self.watch(WINDOW).await
    }

    async fn upgrade(&mut self) -> anyhow::Result<()> {
        let changed = json!({"limits": {"targets": 1_000}});
        let before = configs(self.release()?);
        let mut upgrade = self.release()?.apply("upgrade", &changed)?;
        upgrade.arg("--wait");
        let begun = self.clock.now();
        self.while_asked(upgrade).await?;
        // helm does not wait for the seconds that a new pod has to be ready before an old one goes.
        let only_new = |release: &Release| {
            let configs = configs(release);
            configs.len() == 1 && configs != before
        };
        let is_done = self.watch_until_so(REPLACED_WITHIN, only_new).await?;
        let took = seconds(self.clock.now().since(begun));
        self.report.add(
            "helm upgrade --wait with another configuration: until the old pods are gone",
            "both have another ConfigMap",
            &format!("{took:.0} s"),
            is_done,
            true,
        );
        self.watch(AFTER).await?;
        Ok(())
    }

    /// A configuration that the process refuses; meanwhile a pod that answers is killed.
    async fn upgrade_badly(&mut self) -> anyhow::Result<()> {
        let bad = json!({"leader": {"leaseDuration": "90s"}});
        let good = configs(self.release()?);
        let upgrade = self.release()?.apply("upgrade", &bad)?;
        self.while_asked(upgrade).await?;
        self.watch(AFTER).await?;
        let release = self.release()?;
        let leader = release.leader().await.context("nobody leads")?.number();
        let is_good = |config: &String| good.contains(config);
        let (old, new): (Vec<_>, Vec<_>) =
            release.pods.iter().partition(|pod| is_good(&pod.config));
        let stay = old.iter().filter(|pod| pod.is_listed).count();
        let ended: Vec<String> = new
            .iter()
            .map(|pod| pod.ended.map_or("none".to_owned(), |code| code.to_string()))
            .collect();
        let measured = format!("{stay} answer, codes of new ones: {}", ended.join(", "));
        let is_refused = stay == 2 && ended == ["64"];
        let follower = old.iter().find(|pod| pod.number() != leader);
        let follower = follower.context("there is no follower")?;
        release.kill(follower).await?;
        let (name, killed) = (follower.name.clone(), self.clock.now());
        self.report.add(
            "helm upgrade with leader.leaseDuration 90s, which the process refuses",
            "2 answer, codes of new ones: 64",
            &measured,
            is_refused,
            true,
        );
        let is_back = |release: &Release| {
            let mut pods = release.pods.iter();
            pods.any(|pod| pod.name == name && pod.is_listed && pod.ended.is_some())
        };
        let is_back = self.watch_until_so(READY_WITHIN, is_back).await?;
        let measured = format!("{:.0} s", seconds(self.clock.now().since(killed)));
        self.report.add(
            "kill -9 of one that answers meanwhile: until it does again",
            "with the ConfigMap that it had",
            &measured,
            is_back,
            true,
        );
        Ok(())
    }

    async fn uninstall(&mut self, count: i64) -> anyhow::Result<()> {
        let begun = self.clock.now();
        let uninstall = ["uninstall", release::RELEASE, "--wait"];
        let uninstall = self.release()?.helm(&uninstall);
        self.while_asked(uninstall).await?;
        self.watch(AWAY).await?;
        let asked = self.asked_since(begun);
        let is_same = asked.iter().all(|asked| i64::from(*asked) == count);
        let what = "helm uninstall: replicas asked for in the minute after";
        self.report
            .add(what, "unchanged", &format!("{asked:?}"), is_same, true);
        let kinds = "deployments,services,serviceaccounts,roles,secrets,leases,configmaps";
        let left = ["get", kinds, "-n", release::NAMESPACE, "-o", "name"];
        let left = self.lab.ask(&left).await?;
        let name = |line: &str| line.rsplit('/').next().unwrap_or_default().to_owned();
        let ours = left.lines().filter(|line| name(line).contains("evenkeel"));
        let ours: Vec<&str> = ours.collect();
        let is_kept = |line: &&str| line.starts_with("lease") || line.contains("-learned-");
        self.report.add(
            "helm uninstall: what is left",
            "the Lease and what was learned",
            &ours.join(", "),
            ours.iter().all(is_kept),
            true,
        );
        self.probes.only(&BTreeMap::new());
        self.release = None;
        Ok(())
    }

    fn release(&self) -> anyhow::Result<&Release> {
        self.release.as_ref().context("nothing is installed")
    }

    /// Runs `helm`, looking at the pods meanwhile; how long it took.
    async fn while_asked(&mut self, mut helm: Command) -> anyhow::Result<Duration> {
        let begun = self.clock.now();
        let mut output = pin!(helm.output());
        let output = loop {
            tokio::select! {
                output = &mut output => break output,
                () = sleep(LOOK) => self.look_at_pods().await?,
            }
        };
        answer("helm", output)?;
        let took = self.clock.now().since(begun);
        self.look_at_pods().await?;
        Ok(took)
    }

    async fn watch(&mut self, time: Duration) -> anyhow::Result<()> {
        self.watch_until_so(time, |_| false).await?;
        Ok(())
    }

    /// Looks at the pods until they are as they should be, for so long at most; whether they are.
    async fn watch_until_so(
        &mut self,
        time: Duration,
        is_so: impl Fn(&Release) -> bool,
    ) -> anyhow::Result<bool> {
        let begun = self.clock.now();
        while !is_so(self.release()?) {
            if self.clock.now().since(begun) >= time {
                return Ok(false);
            }
            sleep(LOOK).await;
            self.look_at_pods().await?;
        }
        Ok(true)
    }

    /// Lists the pods that are ready, and asks them.
    async fn look_at_pods(&mut self) -> anyhow::Result<()> {
        self.look();
        let release = self.release.as_mut().context("nothing is installed")?;
        release.look(&self.lab).await?;
        let listed = release.pods.iter().filter(|pod| pod.is_listed);
        let asked = listed.map(|pod| {
            let [grpc, _] = pod.addresses();
            (pod.number(), grpc)
        });
        self.probes.only(&asked.collect());
        Ok(())
    }
}

/// The ConfigMaps of the pods that are there.
fn configs(release: &Release) -> Vec<String> {
    let mut configs: Vec<String> = release.pods.iter().map(|pod| pod.config.clone()).collect();
    configs.sort_unstable();
    configs.dedup();
    configs
}
