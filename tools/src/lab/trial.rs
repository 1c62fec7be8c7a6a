//! One policy in one run: what is set up for it, what is looked at each second, how it is taken down.
//!
//! A trial has a namespace, a topic, a group, a producer and a ScaledObject of its own, so that several
//! may run beside each other on one site. It lasts as long as its load and no longer; what then still
//! waits is a figure.

use std::time::Duration;

use evenkeel_engine::{GroupState, Timestamp};
use evenkeel_scaler::observe::kafka::KafkaObserver;
use tokio::time::{Instant, MissedTickBehavior};

use super::LabError;
use super::cluster::late;
use super::document::Outcome;
use super::figures::{self, Change, Second};
use super::policies::{NAME, Place, Policy};
use super::scenario::{Apply, READY, Scenario};
use super::site::Site;
use super::workload::{Follow, Reports, Workload};
use crate::demo::programs::Producer;
use crate::demo::settings::{self, CAPACITY_PER_REPLICA};
use crate::demo::watch::{Sight, Watch};

/// How long the first replicas may take until all of them are members, beyond their start.
const JOIN_TIMEOUT: Duration = Duration::from_secs(180);

/// How often a line is shown.
const SHOW_SECONDS: u64 = 15;

/// A policy on its way.
#[derive(Debug)]
pub struct Trial<'site> {
    site: &'site Site,
    scenario: Scenario,
    policy: Policy,
    topic: String,
    group: String,
    watch: Watch<KafkaObserver>,
    follow: Follow,
    reports: Reports,
    /// When the load began; until then nothing is written down.
    begun: Option<Timestamp>,
    last_sight: Option<Sight>,
    seconds: Vec<Second>,
    changes: Vec<Change>,
}

// === impl Trial ===

impl<'site> Trial<'site> {
    /// Makes its topic and its workload, and waits until the first replicas have joined. The load has
    /// not begun.
    ///
    /// # Errors
    /// When a part says no, or the replicas do not join in time.
    pub async fn start(
        site: &'site Site,
        scenario: &Scenario,
        policy: Policy,
    ) -> Result<Self, LabError> {
        let topic = policy.topic();
        let group = format!("workers-{}", policy.name());
        let servers = site.broker.bootstrap_servers();
        let partitions = i32::try_from(scenario.partitions).unwrap_or(i32::MAX);
        let topics = site.broker.topics();
        topics.create_topic(&topic, partitions, 1, &[]).await?;
        site.commit_the_begin(&topic, &group).await?;
        let consumer = site.programs.consumer.display().to_string();
        let capacity = CAPACITY_PER_REPLICA / policy.consumers_a_pod();
        let arguments =
            settings::consumer_arguments("classic", &servers, &topic, &group, capacity, None);
        let workload = Workload {
            namespace: policy.name().to_owned(),
            name: NAME.to_owned(),
            replicas: scenario.replicas,
            command: policy.pod_command(consumer, arguments),
            start: scenario.start,
            ready: READY,
        };
        site.lab.apply(&workload.manifests()).await?;
        let mut trial = Self {
            watch: Watch::of(&servers, &topic, &group, site.clock),
            follow: Follow::start(&site.lab, policy.name(), NAME, site.clock),
            reports: Reports::new(&site.lab, policy.name()),
            site,
            scenario: scenario.clone(),
            policy,
            topic,
            group,
            begun: None,
            last_sight: None,
            seconds: Vec::new(),
            changes: Vec::new(),
        };
        trial.wait_for_members().await?;
        Ok(trial)
    }

    /// Plays the load to its end.
    ///
    /// # Errors
    /// When a part ends too early or says no.
    pub async fn play(&mut self, outcome: &Outcome) -> Result<Outcome, LabError> {
        if matches!(self.scenario.apply, Apply::Before(_)) {
            let before = self.scenario.before();
            let now = self.site.clock.now();
            let begins = self.site.begins.unwrap_or_else(|| now.plus(before));
            tokio::time::sleep(begins.minus(before).since(now)).await;
            self.apply().await?;
            tokio::time::sleep(begins.since(self.site.clock.now())).await;
        }
        let servers = self.site.broker.bootstrap_servers();
        let stretches = self.scenario.load.iter();
        let steps = stretches.map(|stretch| (stretch.rate(), Duration::from_secs(stretch.seconds)));
        let programs = &self.site.programs;
        let logs = self.site.logs(self.policy.name());
        let mut producer = Producer::start_steps(programs, &logs, &servers, &self.topic, steps)?;
        // What was reported and changed until now belongs to no second.
        self.reports.tally();
        self.note_changes();
        self.begun = Some(self.site.clock.now());
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut applied = matches!(self.scenario.apply, Apply::Before(_));
        loop {
            seconds.tick().await;
            producer.check()?;
            self.site.check().await?;
            let second = self.elapsed(self.site.clock.now());
            if second >= self.scenario.seconds() {
                break;
            }
            if let Apply::After(time) = self.scenario.apply
                && !applied
                && second >= time.as_secs()
            {
                applied = true;
                self.apply().await?;
            }
            self.look(second).await;
        }
        let produced = producer.end().await;
        let errors = self.site.lab.keda_errors(self.policy.name()).await;
        Ok(self.outcome(outcome, produced.acknowledged_total, errors))
    }

    /// Every second of it.
    pub fn seconds(&self) -> &[Second] {
        &self.seconds
    }

    async fn apply(&self) -> Result<(), LabError> {
        let servers = self.site.broker.bootstrap_servers();
        let place = Place {
            namespace: self.policy.name(),
            bootstrap_servers: &servers,
            topic: &self.topic,
            group: &self.group,
            prometheus: self.site.prometheus(),
            evenkeel: &self.site.programs.evenkeel,
            scaler: &self.site.scaler_address,
        };
        let scaled_object = self.policy.scaled_object(&self.scenario, &place).await?;
        self.say("the ScaledObject is applied");
        self.site.lab.apply(&scaled_object).await
    }

    async fn wait_for_members(&mut self) -> Result<(), LabError> {
        let limit = self.scenario.start + READY + JOIN_TIMEOUT;
        let deadline = Instant::now() + limit;
        let replicas = self.scenario.replicas;
        let wanted = replicas * self.policy.consumers_a_pod();
        loop {
            let sight = self.watch.look(self.site.clock.now()).await;
            self.note_changes();
            let asked = self.follow.last().map(|replicas| replicas.asked);
            let members = self.watch.group().map_or(0, |group| group.members);
            // A group of none has no state to wait for.
            let settled = wanted == 0
                || self
                    .watch
                    .group()
                    .is_some_and(|group| group.state == GroupState::Stable.label());
            if sight.is_some() && asked == Some(replicas) && members == wanted && settled {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let what = format!(
                    "{}: {wanted} members, {members} are there",
                    self.policy.name()
                );
                return Err(late(&what, limit));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn look(&mut self, second: u64) {
        let sight = self.watch.look(self.site.clock.now()).await;
        let tally = self.reports.tally();
        self.note_changes();
        let arrived = match (&self.last_sight, &sight) {
            (Some(before), Some(after)) => {
                Some(after.log_end_total.saturating_sub(before.log_end_total))
            }
            _ => None,
        };
        self.seconds.push(Second {
            second,
            load: self.scenario.rate_at(second),
            arrived,
            // A sum of nothing is -0.
            written: tally.records + 0.0,
            age_mean: tally.age_mean_seconds,
            age_max: tally.age_max_seconds,
            lag: sight.as_ref().map(Sight::lag_records),
            replicas: self.follow.last().unwrap_or_default(),
            members: self.watch.group().map(|group| group.members),
            load_average: load_average(),
        });
        if sight.is_some() {
            self.last_sight = sight;
        }
        if second.is_multiple_of(SHOW_SECONDS) {
            self.show();
        }
    }

    fn note_changes(&mut self) {
        let mut before = self.follow.last().map(|replicas| replicas.asked);
        for (at, replicas) in self.follow.changes() {
            if let Some(from) = before.filter(|from| *from != replicas.asked) {
                let change = Change {
                    second: self.elapsed(at),
                    from,
                    to: replicas.asked,
                };
                self.say(&format!("{from} -> {} replicas", change.to));
                self.changes.push(change);
            }
            before = Some(replicas.asked);
        }
    }

    fn elapsed(&self, at: Timestamp) -> u64 {
        self.begun.map_or(0, |begun| at.since(begun).as_secs())
    }

    fn outcome(&self, outcome: &Outcome, acknowledged: u64, errors: Option<u64>) -> Outcome {
        let averages = self.seconds.iter().filter_map(|second| second.load_average);
        let count = averages.clone().count();
        #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
        let mean = (count > 0).then(|| averages.clone().sum::<f64>() / count as f64);
        Outcome {
            policy: self.policy,
            acknowledged_records: acknowledged,
            committed_records: self.last_sight.as_ref().map(|sight| sight.committed_total),
            rebalances: self.watch.rebalances().count(),
            partition_moves: self.watch.rebalances().moves(),
            keda_errors: errors,
            load_average_mean: mean,
            load_average_max: averages.reduce(f64::max),
            spans: figures::of_spans(&self.scenario, &self.seconds, &self.changes),
            ..outcome.clone()
        }
    }

    fn show(&self) {
        let Some(second) = self.seconds.last() else {
            return;
        };
        let number = |value: Option<u64>| value.map_or("unknown".to_owned(), |it| it.to_string());
        let age = second.age_mean;
        self.say(&format!(
            "{:.0}/s in, {:.0}/s out, {} replicas asked for, {} ready, {} members, message time {}, \
             {} waiting, load average {}",
            second.load,
            second.written,
            second.replicas.asked,
            second.replicas.ready,
            number(second.members.map(u64::from)),
            age.map_or("unknown".to_owned(), |age| format!("{age:.1} s")),
            number(second.lag),
            second.load_average.map_or("unknown".to_owned(), |it| format!("{it:.1}")),
        ));
    }

    fn say(&self, what: &str) {
        let elapsed = self.elapsed(self.site.clock.now());
        let (run, policy) = (self.scenario.name, self.policy.name());
        eprintln!(
            "{run} {policy} {elapsed}/{} s: {what}",
            self.scenario.seconds()
        );
    }
}

/// The machine's load average over a minute, where the system tells it.
fn load_average() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}
