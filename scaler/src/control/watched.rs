//! One target as its loop sees it: from a reading of Kafka to a published decision.
//!
//! Holds the engine's state of the target, knows whether the target sleeps, and writes a log line
//! when a decision changes something. Does no I/O and does not know when it is called.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::{
    Cause, Decision, Desired, Observation, Past, PrometheusObservation, Reading, State, Timestamp,
    TopicObservation, Verdict,
};

use super::Decide;
use super::announcements::{Announcement, Announcements, needs_a_person};
use super::earlier::DAYS;
use super::from_log::FromLog;
use super::kept::{Found, KeptPast, Memory, Subject};
use super::recording::Tick;
use super::target::{Published, Recorded, Target};
use crate::calendar::{LocalTime, Upcoming, first_of_each};
use crate::observe::prometheus::{BaselineReading, PrometheusQuery};
use crate::observe::{
    Depth, Earlier, KafkaReading, Problem, Request, TopicSelection, WorkloadReading,
};

/// How often it is noted what has been learned.
const NOTED_EVERY: Duration = Duration::from_secs(30);
/// What was learned before is looked for so long; later what has been learned since counts for more.
const RECALLED_WITHIN: Duration = Duration::from_secs(300);

/// How often it is noted what has come in: that is larger, and what is lost is only a gap.
const PAST_NOTED_EVERY: Duration = Duration::from_secs(300);
/// Minutes of the last days that may be unknown without asking for them: a restart or two.
const FEW_MINUTES: u32 = 60;
const MINUTES_A_DAY: u32 = 1_440;

/// One target of a loop.
#[derive(Debug)]
pub(super) struct Watched {
    /// The target.
    pub(super) target: Arc<Target>,
    /// Its baseline's query, where it has one.
    pub(super) query: Option<PrometheusQuery>,
    state: State,
    upcoming: Upcoming,
    /// No reading was ever asked for.
    new: bool,
    /// No log was ever read: its history is still wanted.
    cold: bool,
    asleep: bool,
    log_ends: LogEnds,
    /// When Kafka last answered everything.
    data_at: Option<Timestamp>,
    said: Option<Said>,
    troubles: BTreeSet<Cause>,
    subject: Subject,
    /// Since when it is watched, until what was learned before has been looked for.
    looks_since: Option<Timestamp>,
    noted_at: Timestamp,
    days: Days,
    /// Something but a decision has changed the state since the last one.
    is_changed: bool,
    /// What needed a person when last decided.
    worries: BTreeSet<Verdict>,
}

/// How far it is known what came in on earlier days, where that counts.
#[derive(Debug)]
struct Days {
    /// What was kept has been looked for.
    is_recalled: bool,
    /// It was asked for what came in before.
    is_asked: bool,
    /// The logs that are asked, where nothing else can be.
    log: Option<FromLog>,
    /// The moment that the logs were last asked for.
    moment: Option<Timestamp>,
    noted_at: Timestamp,
}

/// The known log ends, by topic and partition.
type LogEnds = BTreeMap<String, BTreeMap<u32, u64>>;

/// What the last log line said.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Said {
    desired: Desired,
    verdict: Verdict,
}

/// The engine panicked: an error of this program, not of its inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine panicked, and the last decision stands: {message}")]
pub(super) struct EnginePanic {
    message: String,
}

// === impl Watched ===

impl Watched {
    /// A target that was just registered.
    pub(super) fn new(target: Arc<Target>, now: Timestamp) -> Self {
        let query = target
            .spec
            .prometheus
            .as_ref()
            .map(|prometheus| PrometheusQuery {
                url: prometheus.url.clone(),
                profile: prometheus.profile.clone(),
                query: prometheus.query.clone(),
            });
        Self {
            subject: Subject::of(&target.spec),
            looks_since: Some(now),
            noted_at: now,
            days: Days {
                is_recalled: false,
                is_asked: false,
                log: None,
                moment: None,
                noted_at: now,
            },
            is_changed: false,
            worries: BTreeSet::new(),
            upcoming: Upcoming::new(target.spec.calendar.clone()),
            target,
            query,
            state: State::default(),
            new: true,
            cold: true,
            asleep: false,
            log_ends: LogEnds::new(),
            data_at: None,
            said: None,
            troubles: BTreeSet::new(),
        }
    }

    /// Whether nothing was ever asked for it.
    pub(super) fn is_new(&self) -> bool {
        self.new
    }

    /// Whether it sleeps and somebody waits for it to wake.
    pub(super) fn sleeps_watched(&self) -> bool {
        self.asleep && self.target.streams() > 0
    }

    /// The moment of the past for which its logs are to be asked, if any.
    pub(super) fn wants_moment(&mut self, now: Timestamp) -> Option<Timestamp> {
        let log = self.days.log.as_mut()?;
        let clocks = &self.target.spec.local_time;
        let past = &self.state;
        let is_known = |from: u32, to: u32| {
            let at = Timestamp::from_secs(u64::from(from) * 60);
            let first = Past::minute(at, clocks.offset_minutes(at));
            past.has_watched(first, first.saturating_add(to.saturating_sub(from)))
        };
        log.wants(is_known, now)
    }

    /// What to ask Kafka for it; for how much had arrived before this moment where it wants that, too.
    pub(super) fn request(
        &mut self,
        depth: Depth,
        moment: Option<Timestamp>,
        now: Timestamp,
    ) -> Request {
        self.new = false;
        self.days.moment =
            moment.filter(|_| depth == Depth::Full && self.wants_moment(now) == moment);
        Request {
            earlier: self.days.moment,
            subscription: Arc::clone(&self.target.spec.subscription),
            depth,
            cold: self.cold,
        }
    }

    /// Whether a log has grown (or came to be known) since the last full reading.
    pub(super) fn woken_by(&self, reading: &KafkaReading) -> bool {
        let ends = log_ends(&reading.topics);
        ends.iter().any(|(topic, partitions)| {
            let before = self.log_ends.get(topic);
            partitions
                .iter()
                .any(|(partition, end)| before.and_then(|ends| ends.get(partition)) != Some(end))
        })
    }

    /// A reading for when Kafka gave none: everything that was known is unknown.
    pub(super) fn unknown_reading(&self, problem: &Problem, at: Timestamp) -> KafkaReading {
        let names: Vec<String> = match &self.target.spec.subscription.topics {
            TopicSelection::Named(names) => names.clone(),
            TopicSelection::Pattern(_) | TopicSelection::OfGroup => {
                self.log_ends.keys().cloned().collect()
            }
        };
        KafkaReading {
            at,
            topics: names
                .into_iter()
                .map(|name| TopicObservation {
                    name,
                    partitions: Reading::Unknown(problem.cause),
                })
                .collect(),
            group: Reading::Unknown(problem.cause),
            problems: vec![problem.clone()],
            earlier: None,
        }
    }

    /// Decides from a full reading and publishes.
    ///
    /// # Errors
    /// When the engine panicked; then nothing is published, and the target starts over cold.
    pub(super) fn decide(
        &mut self,
        decide: Decide,
        reading: KafkaReading,
        baseline: Option<BaselineReading>,
        workload: WorkloadReading,
        (kept, announcements): (&Memory, &Announcements),
        now: Timestamp,
    ) -> Result<Verdict, EnginePanic> {
        self.read_days(reading.earlier, now);
        let mut problems = reading.problems;
        problems.extend(workload.problem);
        let prometheus = match baseline {
            None => PrometheusObservation::NotConfigured,
            Some(baseline) => {
                problems.extend(baseline.problem);
                baseline.observation
            }
        };
        let group_is_empty = reading
            .group
            .known()
            .is_some_and(|group| group.members.is_empty());
        let upcoming = Arc::clone(self.upcoming.at(now));
        let observation = Observation {
            at: reading.at,
            topics: reading.topics,
            group: reading.group,
            prometheus,
            workload: workload.observation,
            events: first_of_each(&upcoming),
            utc_offset_minutes: self.target.spec.local_time.offset_minutes(now),
        };
        self.remember(&observation);
        self.recall(kept, now);
        // As long as another replica leads, what it answers is what was asked for.
        if let Some(replicas) = self.target.heard() {
            let state = std::mem::take(&mut self.state);
            self.state = state.with_asked(replicas, &self.target.spec.policy, now);
            self.is_changed = true;
        }
        let changed = std::mem::take(&mut self.is_changed);
        let recorded = self.target.to_record(&self.state, changed);

        let state = std::mem::take(&mut self.state);
        let policy = &self.target.spec.policy;
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            decide(policy, state, &observation, now)
        }));
        let (state, decision) = match outcome {
            Ok(outcome) => outcome,
            Err(panic) => {
                // The state went down with it, which is as well: it may be what caused it. A cold
                // target never lowers before it has watched for a whole window.
                self.cold = true;
                self.looks_since = None;
                self.days.is_asked = false;
                self.asleep = false;
                self.target.stop_recording();
                return Err(EnginePanic {
                    message: panic_message(panic.as_ref()),
                });
            }
        };
        self.state = state;
        if let Recorded::Tick(state) = recorded {
            self.target.note(Tick {
                state,
                observation,
                now,
                decision: decision.clone(),
            });
        }
        self.note(kept, now);
        self.asleep = group_is_empty
            && matches!(
                decision.desired,
                Desired::Known {
                    active: false,
                    replicas: _
                }
            );
        self.announce(&decision, announcements);
        self.say(&decision, &problems);
        let verdict = decision.verdict;
        let learns = self.target.spec.policy.learns_calendar;
        self.target.publish(Published {
            decision,
            problems: problems
                .into_iter()
                .map(|problem| problem.sentence)
                .collect(),
            upcoming,
            foresight: learns.then(|| self.state.foresight()),
            data_at: self.data_at,
        });
        Ok(verdict)
    }

    /// Takes up what is kept of the target, as soon as that has been read.
    fn recall(&mut self, kept: &Memory, now: Timestamp) {
        if let Some(since) = self.looks_since {
            let found = kept.learned.find(&self.subject);
            if !matches!(found, Found::NotYet) || now.since(since) > RECALLED_WITHIN {
                self.looks_since = None;
            }
            if let Found::Learned(learned) = found {
                let state = std::mem::take(&mut self.state);
                self.state = state.with_learned(&learned, &self.target.spec.policy, now);
                self.is_changed = true;
            }
        }
        if !self.days.is_recalled && self.target.spec.policy.learns_calendar {
            let found = kept.pasts.find(&self.subject);
            self.days.is_recalled = !matches!(found, Found::NotYet);
            if let Found::Learned(kept) = found {
                self.recall_days(&kept);
            }
        }
    }

    fn recall_days(&mut self, kept: &KeptPast) {
        let zone = self.target.spec.local_time.name();
        let key = &self.target.spec.key;
        if !kept.past.is_sound() {
            tracing::warn!(
                namespace = key.namespace,
                name = key.name,
                "what is kept of earlier days makes no sense: it is learned anew"
            );
        } else if kept.time_zone != zone {
            tracing::info!(
                namespace = key.namespace,
                name = key.name,
                "what is kept of earlier days is by the clocks of {}, and days recur by those of {zone}: \
                 it is learned anew",
                kept.time_zone
            );
        } else {
            self.learn(&kept.past);
        }
    }

    /// Takes up what came in before it was watched.
    pub(super) fn learn(&mut self, past: &Past) {
        let state = std::mem::take(&mut self.state);
        self.state = state.with_past(past);
        self.is_changed = true;
    }

    /// Takes up what the logs tell of earlier days, where they were asked.
    fn read_days(&mut self, answer: Option<Earlier>, now: Timestamp) {
        let Some(mut log) = self.days.log.take() else {
            return;
        };
        if self.days.moment.take().is_some() {
            log.take_in(answer, now);
        }
        while let Some(past) = log.found(&self.target.spec.local_time) {
            self.learn(&past);
        }
        let Some(end) = log.end_in_words() else {
            self.days.log = Some(log);
            return;
        };
        let key = &self.target.spec.key;
        tracing::info!(
            namespace = key.namespace,
            name = key.name,
            surges = self.state.past().surges(),
            "what came in on earlier days has been read from the logs: {end}"
        );
    }

    /// The query and the clocks by which it is to be asked what came in on earlier days: once, where days
    /// recur and much of them is not known. Without a query the logs are asked from now on.
    pub(super) fn wants_earlier(
        &mut self,
        now: Timestamp,
    ) -> Option<(&PrometheusQuery, &LocalTime)> {
        let spec = &self.target.spec;
        let clocks = &spec.local_time;
        if !spec.policy.learns_calendar || !self.days.is_recalled || self.days.is_asked {
            return None;
        }
        self.days.is_asked = true;
        let minute = Past::minute(now, clocks.offset_minutes(now));
        let all = DAYS * MINUTES_A_DAY;
        let watched = self.state.past();
        let watched = watched.watched_minutes(minute.saturating_sub(all), minute);
        if watched.saturating_add(FEW_MINUTES) >= all {
            return None;
        }
        let Some(query) = self.query.as_ref() else {
            self.days.log = Some(FromLog::new(now));
            return None;
        };
        Some((query, clocks))
    }

    /// Notes what has been learned, and what has come in. Not before what is kept is known: it would be taken
    /// for older than this.
    fn note(&mut self, kept: &Memory, now: Timestamp) {
        if self.looks_since.is_none() && now.since(self.noted_at) >= NOTED_EVERY {
            self.noted_at = now;
            kept.learned.note(&self.subject, self.state.learned(), now);
        }
        if self.days.is_recalled && now.since(self.days.noted_at) >= PAST_NOTED_EVERY {
            self.days.noted_at = now;
            let past = self.state.past();
            if past.watched_minutes(0, u32::MAX) > 0 {
                let time_zone = self.target.spec.local_time.name().to_owned();
                let known = KeptPast { time_zone, past };
                kept.pasts.note(&self.subject, known, now);
            }
        }
    }

    fn remember(&mut self, observation: &Observation) {
        let ends = log_ends(&observation.topics);
        if !ends.is_empty() {
            self.cold = false;
            self.log_ends = ends;
        }
        if is_complete(observation) {
            self.data_at = Some(observation.at);
        }
    }

    /// Tells people when the count changed, when something began that needs a person, and when there is
    /// no answer any more.
    fn announce(&mut self, decision: &Decision, announcements: &Announcements) {
        let key = &self.target.spec.key;
        let announcement = |is_warning, verdict: Verdict, note: String| Announcement {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            is_warning,
            reason: verdict.label(),
            note,
        };
        let before = self.said.map(|said| said.desired);
        match (before, decision.desired) {
            (Some(Desired::Known { replicas: from, .. }), Desired::Known { replicas: to, .. })
                if from != to =>
            {
                let note = || format!("{from} -> {to}: {}", decision.reason);
                announcements.say(|| announcement(false, decision.verdict, note()));
            }
            (Some(Desired::Known { .. }), Desired::Unknown { .. }) => {
                let note = || format!("no answer, so replicas stay: {}", decision.reason);
                announcements.say(|| announcement(true, decision.verdict, note()));
            }
            _ => {}
        }
        let worries: BTreeMap<Verdict, &String> = decision
            .findings
            .iter()
            .filter(|finding| needs_a_person(finding.verdict))
            .map(|finding| (finding.verdict, &finding.why))
            .collect();
        for (verdict, why) in &worries {
            if !self.worries.contains(verdict) {
                announcements.say(|| announcement(true, *verdict, (*why).clone()));
            }
        }
        self.worries = worries.into_keys().collect();
    }

    /// One line when the decision changed, and one when what is wrong changed.
    fn say(&mut self, decision: &Decision, problems: &[Problem]) {
        let key = &self.target.spec.key;
        let said = Said {
            desired: decision.desired,
            verdict: decision.verdict,
        };
        if self.said != Some(said) {
            self.said = Some(said);
            let (replicas, active) = match decision.desired {
                Desired::Known { replicas, active } => (Some(replicas), Some(active)),
                Desired::Unknown { .. } => (None, None),
            };
            let figures = decision.figures();
            tracing::info!(
                namespace = key.namespace,
                name = key.name,
                verdict = decision.verdict.label(),
                replicas,
                active,
                reason = decision.reason,
                observed_replicas = figures.map(|inputs| inputs.observed_replicas),
                partitions = figures.map(|inputs| inputs.partitions),
                lag_records = figures.map(|inputs| inputs.lag_records),
                inbound_records_per_second = figures.and_then(|inputs| inputs.inbound_up),
                capacity_per_replica = figures.and_then(|inputs| inputs.capacity_per_replica),
                rebalancing = figures.map(|inputs| inputs.rebalancing),
                "decided"
            );
        }
        let troubles: BTreeSet<Cause> = problems.iter().map(|problem| problem.cause).collect();
        if self.troubles != troubles {
            for problem in problems {
                tracing::warn!(
                    namespace = key.namespace,
                    name = key.name,
                    cause = problem.cause.label(),
                    "{}",
                    problem.sentence
                );
            }
            if troubles.is_empty() {
                tracing::info!(
                    namespace = key.namespace,
                    name = key.name,
                    "all sources answer again"
                );
            }
            self.troubles = troubles;
        }
    }
}

fn log_ends(topics: &[TopicObservation]) -> LogEnds {
    topics
        .iter()
        .filter_map(|topic| {
            let ends: BTreeMap<u32, u64> = topic
                .partitions
                .known()?
                .iter()
                .filter_map(|partition| Some((partition.partition, partition.log.known()?.end)))
                .collect();
            (!ends.is_empty()).then(|| (topic.name.clone(), ends))
        })
        .collect()
}

/// Whether Kafka answered everything that was asked. The baseline does not count: without it the
/// offsets still tell the rate.
fn is_complete(observation: &Observation) -> bool {
    observation.group.known().is_some()
        && observation.topics.iter().all(|topic| {
            topic.partitions.known().is_some_and(|partitions| {
                partitions.iter().all(|partition| {
                    partition.log.known().is_some() && partition.committed.known().is_some()
                })
            })
        })
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(message) = panic.downcast_ref::<&str>() {
        (*message).to_owned()
    } else if let Some(message) = panic.downcast_ref::<String>() {
        message.clone()
    } else {
        "without a message".to_owned()
    }
}
