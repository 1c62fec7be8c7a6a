//! What happens to the replicas of the scaler while a load is on them, and what that came to.
//!
//! Each step leaves two replicas that are ready and a count that rests. Nothing here decides how a step
//! is made: the loads and the objects are set up by `main`.

use std::time::Duration;

use anyhow::Context as _;
use evenkeel_engine::Timestamp;
use evenkeel_tools::lab::probes::{self, Answer};
use tokio::time::sleep;

use super::{LOADS, NAMESPACE, Test, seconds};

/// How long a step is looked at.
const STEP: Duration = Duration::from_secs(75);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// How long the chart leaves an old pod after a new one is ready.
const MIN_READY: Duration = Duration::from_secs(10);
/// How long one is looked at after a fault, until what it did has been seen.
const AFTER: Duration = Duration::from_secs(30);
/// How long a leader is stopped.
const STOPPED: Duration = Duration::from_secs(60);
/// The scaler's poll, and how many a restarted one may take.
const POLL_SECONDS: f64 = 2.0;
const POLLS: f64 = 3.0;
/// What the next leader may take.
const TAKEOVER: Duration = Duration::from_secs(10);
/// How long a leader may answer without the API server: what its Lease is good for, and an answer's way.
const LEASE: Duration = Duration::from_secs(6);
/// The HPA's poll.
const SYNC_SECONDS: f64 = 15.0;

/// What a step of the load came to.
pub(super) struct Step {
    from: i64,
    /// The counts that the scaler answered, and those that the Deployment was asked for, each with the
    /// seconds until it first was.
    scaler: Vec<(i64, f64)>,
    deployment: Vec<(i64, f64)>,
}

// === impl Step ===

impl Step {
    /// When the Deployment was first asked for more.
    fn answered_after(&self) -> Option<f64> {
        let mut more = self.deployment.iter();
        let more = more.find(|(count, _)| *count > self.from);
        more.map(|(_, after)| *after)
    }

    fn words(&self) -> String {
        let path = |counts: &[(i64, f64)]| {
            counts
                .iter()
                .fold(self.from.to_string(), |path, (count, after)| {
                    format!("{path} -> {count} ({after:.1} s)")
                })
        };
        let (scaler, deployment) = (path(&self.scaler), path(&self.deployment));
        format!("scaler {scaler}; Deployment {deployment}")
    }
}

// === impl Test ===

impl Test {
    /// A step with nothing else going on.
    pub(super) async fn step_alone(&mut self) -> anyhow::Result<Step> {
        let (from, _) = self.rest().await?;
        let [_, rate, _] = LOADS;
        let before = self.errors().await;
        let begun = self.step_up(rate).await?;
        self.watch_until(begun, STEP).await;
        let step = self.step_since(begun, from);
        let errors = self.errors_since(before).await;
        let what = "a step of the load from 200 to 400 records/s, nothing else going on";
        let is_up = step.answered_after().is_some();
        self.report
            .add(what, "an answer", &step.words(), is_up, true);
        let what = "errors that KEDA counted meanwhile";
        self.report
            .add(what, "0", &words(errors), errors == Some(0), false);
        Ok(step)
    }

    /// SIGKILL of the leader.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        let (count, capacity) = self.rest().await?;
        let leader = self.scalers.leader().await?;
        let before = self.errors().await;
        let killed = self.clock.now();
        self.scalers.take(leader)?.kill().await;
        sleep(AFTER).await;
        self.probes.leave(leader);
        let now = self.clock.now();
        let answers = self.probes.since(killed.minus(Duration::from_secs(2)));
        let silence = probes::longest_silence(&answers, now);
        let last = last_own(&answers, leader);
        let next = answers
            .iter()
            .find(|it| it.is_own && it.replica != leader && it.count.is_ok());
        let between = next.zip(last).map(|(next, last)| next.done.since(last));
        self.report.add(
            "kill -9 of the leader: from its last answer to the next one's first",
            "at most 10 s",
            &between.map_or("never".to_owned(), |it| format!("{:.1} s", seconds(it))),
            between.is_some_and(|it| it <= TAKEOVER),
            false,
        );
        let what = "the same as KEDA sees it: the longest time without an answer of any replica";
        let measured = format!("{:.1} s", seconds(silence));
        self.report
            .add(what, "at most 10 s", &measured, silence <= TAKEOVER, false);
        self.unchanged("kill -9 of the leader", killed, count, Some(capacity))
            .await?;
        self.leaders("kill -9 of the leader", &answers, 1);
        let errors = self.errors_since(before).await;
        let what = "kill -9 of the leader: errors that KEDA counted";
        self.report
            .add(what, "known", &words(errors), errors.is_some(), false);
        self.start_replica().await?;
        Ok(())
    }

    /// SIGSTOP of the leader for a minute, then SIGCONT.
    pub(super) async fn stop_and_go_on(&mut self) -> anyhow::Result<()> {
        let (count, capacity) = self.rest().await?;
        let leader = self.scalers.leader().await?;
        let stopped = self.clock.now();
        self.scalers.get(leader)?.signal("STOP").await;
        sleep(STOPPED).await;
        let continued = self.clock.now();
        self.scalers.get(leader)?.signal("CONT").await;
        sleep(AFTER).await;
        let answers = self.probes.since(stopped.minus(Duration::from_secs(2)));
        let silence = probes::longest_silence(&answers, self.clock.now());
        let of_old = |is_own: bool| {
            let of_old = answers
                .iter()
                .filter(|it| it.replica == leader && it.is_own == is_own);
            let counted = of_old.filter(|it| it.count.is_ok() && it.done > continued);
            counted.count()
        };
        let what = "SIGSTOP of the leader for 60 s: the longest time without an answer";
        let measured = format!("{:.1} s", seconds(silence));
        self.report
            .add(what, "at most 10 s", &measured, silence <= TAKEOVER, false);
        let own = of_old(true);
        let what = "after SIGCONT: answers of its own by the one that led";
        self.report.add(what, "0", &own.to_string(), own == 0, true);
        let handed_on = of_old(false);
        let what = "after SIGCONT: calls that it forwarded and answered";
        let measured = handed_on.to_string();
        self.report
            .add(what, "some", &measured, handed_on > 0, true);
        self.unchanged("SIGSTOP and SIGCONT", stopped, count, Some(capacity))
            .await?;
        self.leaders("SIGSTOP and SIGCONT", &answers, 1);
        Ok(())
    }

    /// A rolling update as the chart makes it, with a step of the load in the middle.
    pub(super) async fn roll(&mut self, alone: Option<&Step>) -> anyhow::Result<()> {
        let (from, capacity) = self.rest().await?;
        let leader = self.scalers.leader().await?;
        let mut old: Vec<u8> = self.scalers.replicas.iter().map(|it| it.number).collect();
        old.sort_by_key(|number| *number != leader);
        let before = self.errors().await;
        let rolled = self.clock.now();
        let mut begun = None;
        for number in old {
            self.start_replica().await?;
            sleep(MIN_READY).await;
            if begun.is_none() {
                let [_, _, rate] = LOADS;
                begun = Some(self.step_up(rate).await?);
                // So that the leader goes while the step is being seen.
                sleep(Duration::from_secs(1)).await;
            }
            self.scalers.take(number)?.end().await;
            self.probes.leave(number);
        }
        let begun = begun.context("there was no replica to replace")?;
        self.watch_until(begun, STEP).await;
        let answers = self.probes.since(rolled);
        let step = self.step_since(begun, from);
        let errors = self.errors_since(before).await;
        let what = "rolling update while the load steps: errors that KEDA counted";
        self.report
            .add(what, "0", &words(errors), errors == Some(0), false);
        let allowed = alone.and_then(|alone| Some(alone.answered_after()? + SYNC_SECONDS));
        let is_met = step
            .answered_after()
            .zip(allowed)
            .is_some_and(|(took, allowed)| took <= allowed);
        self.report.add(
            "a step of 400 records/s more in the middle of it",
            "one poll (15 s) more than without",
            &step.words(),
            is_met,
            false,
        );
        let what = "rolling update: the longest time without an answer";
        let silence = probes::longest_silence(&answers, self.clock.now());
        let measured = format!("{:.1} s", seconds(silence));
        self.report.add(
            what,
            "at most 3 s",
            &measured,
            silence <= Duration::from_secs(3),
            false,
        );
        self.leaders("rolling update", &answers, 2);
        self.keeps_capacity("rolling update", capacity).await
    }

    /// All replicas end, and others begin.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        let (count, capacity) = self.rest().await?;
        let restarted = self.clock.now();
        for replica in &self.scalers.replicas {
            self.probes.leave(replica.number);
        }
        self.scalers.end().await;
        let ended = self.clock.now();
        self.start_replica().await?;
        let ready = self.clock.now();
        self.start_replica().await?;
        sleep(AFTER).await;
        let answers = self.probes.since(ended);
        let first = answers.iter().find(|it| it.count == Ok(count));
        let took = first.map(|first| seconds(first.done.since(ready)));
        self.report.add(
            "restart of all replicas: from ready to the same recommendation",
            "within 3 polls (6 s)",
            &took.map_or("never".to_owned(), |it| format!("{it:.1} s")),
            took.is_some_and(|it| it <= POLLS * POLL_SECONDS),
            false,
        );
        self.unchanged("restart of all replicas", restarted, count, Some(capacity))
            .await
    }

    /// The API server goes away, and comes back.
    pub(super) async fn outage(&mut self) -> anyhow::Result<()> {
        let (count, capacity) = self.rest().await?;
        let time = Duration::from_secs(self.args.outage);
        self.lab.control("kill", "kube-apiserver").await?;
        let killed = self.clock.now();
        sleep(time).await;
        self.lab.control("start", "kube-apiserver").await?;
        let back = self.clock.now();
        for component in [
            "kube-controller-manager",
            "keda-operator",
            "keda-adapter",
            "podrunner",
        ] {
            self.lab.control("start", component).await?;
        }
        self.watch_until(back, STEP).await;
        let answers = self.probes.since(killed);
        let counted: Vec<&Answer> = answers.iter().filter(|it| it.count.is_ok()).collect();
        let away = killed.plus(time);
        let last = counted
            .iter()
            .filter(|it| it.done < away)
            .map(|it| it.done)
            .max();
        let first = counted.iter().find(|it| it.done >= away).map(|it| it.done);
        let last = last.map(|last| last.since(killed)).unwrap_or_default();
        self.report.add(
            &format!(
                "the API server away for {} s: the last answer",
                time.as_secs()
            ),
            "within the Lease's time (6 s)",
            &format!("after {:.1} s", seconds(last)),
            last <= LEASE,
            true,
        );
        let first = first.map(|first| seconds(first.since(back)));
        let measured = first.map_or("never".to_owned(), |it| format!("{it:.1} s"));
        let what = "the API server ready again: the first answer";
        self.report
            .add(what, "some", &measured, first.is_some(), true);
        self.unchanged("the API server away", killed, count, Some(capacity))
            .await?;
        self.rest().await?;
        let what = "the API server away: all goes on";
        self.report.add(
            what,
            "counts rest, nobody's word is needed",
            "yes",
            true,
            true,
        );
        Ok(())
    }

    /// Errors that KEDA has counted since; unknown where one of the two counts is, or it began anew.
    pub(super) async fn errors_since(&self, before: Option<u64>) -> Option<u64> {
        self.errors().await?.checked_sub(before?)
    }

    pub(super) async fn errors(&self) -> Option<u64> {
        self.lab.keda_errors(NAMESPACE).await
    }

    /// Adds a load; when its first record was acknowledged.
    async fn step_up(&mut self, rate: u32) -> anyhow::Result<Timestamp> {
        self.load(rate)?;
        let producer = self.producers.last_mut().context("no producer")?;
        while producer.line().acknowledged_total == 0 {
            producer.check()?;
            sleep(LOOK).await;
        }
        Ok(self.clock.now())
    }

    async fn watch_until(&mut self, begun: Timestamp, time: Duration) {
        while self.clock.now().since(begun) < time {
            self.look();
            sleep(LOOK).await;
        }
    }

    fn step_since(&mut self, begun: Timestamp, from: i64) -> Step {
        self.look();
        let answers = self.probes.since(begun);
        let answered = answers
            .iter()
            .filter_map(|it| Some((*it.count.as_ref().ok()?, it.done)));
        let asked = self.asked.iter().filter(|(at, _)| *at > begun);
        let asked = asked.map(|(at, count)| (i64::from(*count), *at));
        Step {
            from,
            scaler: first_times(from, begun, answered),
            deployment: first_times(from, begun, asked),
        }
    }

    /// That neither an answer nor the Deployment differs from `count`, and what was learned is known.
    pub(super) async fn unchanged(
        &mut self,
        what: &str,
        from: Timestamp,
        count: i64,
        capacity: Option<f64>,
    ) -> anyhow::Result<()> {
        self.stays(what, from, count);
        let answered = probes::counts(&self.probes.since(from));
        let title = format!("{what}: counts that were answered");
        self.report.add(
            &title,
            &count.to_string(),
            &format!("{answered:?}"),
            answered == [count],
            true,
        );
        match capacity {
            Some(capacity) => self.keeps_capacity(what, capacity).await,
            None => Ok(()),
        }
    }

    /// That the Deployment was asked for `count` replicas throughout.
    pub(super) fn stays(&mut self, what: &str, from: Timestamp, count: i64) {
        let asked = self.asked_since(from);
        let is_same = asked.iter().all(|asked| i64::from(*asked) == count);
        let title = format!("{what}: replicas asked for");
        self.report
            .add(&title, "unchanged", &format!("{asked:?}"), is_same, true);
    }

    async fn keeps_capacity(&mut self, what: &str, before: f64) -> anyhow::Result<()> {
        let inputs = self
            .detail()
            .await?
            .decision
            .map(|decision| decision.inputs);
        let known = inputs.and_then(|it| it.capacity_per_replica_records_per_second);
        let measured = known.map_or("forgotten".to_owned(), |it| format!("{it:.0}"));
        let is_kept = known.is_some_and(|known| (known / before - 1.0).abs() <= 0.1);
        let title = format!("{what}: learned capacity, records/s");
        self.report.add(
            &title,
            &format!("{before:.0}, within a tenth"),
            &measured,
            is_kept,
            true,
        );
        Ok(())
    }

    pub(super) fn leaders(&mut self, what: &str, answers: &[Answer], changes: usize) {
        let leaders = probes::leaders(answers);
        let measured = leaders
            .iter()
            .map(u8::to_string)
            .collect::<Vec<_>>()
            .join(", then ");
        let title = format!("{what}: who led, by their own answers");
        let goal = format!("one after the other, at most {} in turn", changes + 1);
        self.report
            .add(&title, &goal, &measured, leaders.len() <= changes + 1, true);
    }
}

/// Every count but `from` in the order in which they first came, each with the seconds until then.
fn first_times(
    from: i64,
    begun: Timestamp,
    counts: impl Iterator<Item = (i64, Timestamp)>,
) -> Vec<(i64, f64)> {
    let mut first: Vec<(i64, f64)> = Vec::new();
    for (count, at) in counts {
        if count != from && first.iter().all(|(known, _)| *known != count) {
            first.push((count, seconds(at.since(begun))));
        }
    }
    first
}

fn last_own(answers: &[Answer], replica: u8) -> Option<Timestamp> {
    let own = answers
        .iter()
        .filter(|it| it.replica == replica && it.is_own && it.count.is_ok());
    own.map(|it| it.done).max()
}

pub(super) fn words(count: Option<u64>) -> String {
    count.map_or("unknown".to_owned(), |count| count.to_string())
}
