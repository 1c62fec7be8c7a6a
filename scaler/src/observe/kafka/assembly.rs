//! From the answers of a tick to one reading a target.
//!
//! What failed is unknown with its cause exactly where it belongs: a partition, a topic, a group.
//! Nothing is left out because it failed, save a topic that the group once committed to and that is
//! gone.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_engine::{
    Cause, Committed, GroupObservation, LogOffsets, PartitionHistory, PartitionObservation,
    Reading, Timestamp, TopicObservation,
};

use super::failure::Failure;
use super::groups::GroupAnswer;
use super::log::{Answers, Question};
use super::metadata::{Leader, Metadata};
use super::offsets::Wanted;
use super::starts::Starts;
use crate::observe::{Earlier, KafkaReading, Problem, Request, Subscription, TopicSelection};

/// Problems of one reading. Beyond that they are only counted: nobody reads the thirtieth.
const PROBLEMS_PER_TARGET: usize = 20;

/// Names listed in one sentence before the rest is only counted.
const LISTED: usize = 8;

/// What is known of one group at the end of a tick.
#[derive(Clone, Debug)]
pub struct KnownGroup {
    /// What its coordinator answered last.
    pub answer: GroupAnswer,
    /// What was asked.
    pub wanted: Wanted,
    /// The topics that it has committed to or been assigned; where one of the two could not be read,
    /// those of before as well.
    pub own_topics: BTreeSet<String>,
    /// When a request last named it.
    pub used_at: Timestamp,
}

/// Everything that the readings of one tick are made of.
#[derive(Debug)]
pub struct Tick<'a> {
    /// The topics.
    pub metadata: &'a Metadata,
    /// The log starts.
    pub starts: &'a Starts,
    /// The answers of the leaders.
    pub answers: &'a Answers,
    /// When the log ends were asked.
    pub at: Timestamp,
    /// Whether rights are given by policies of IAM.
    pub is_by_iam: bool,
}

#[derive(Debug, Default)]
struct Problems {
    said: Vec<Problem>,
    unsaid: usize,
}

// === impl KnownGroup ===

impl KnownGroup {
    /// What a group is, after an answer; `before` is what was known until then.
    pub fn new(answer: GroupAnswer, wanted: Wanted, before: Option<&Self>, now: Timestamp) -> Self {
        let mut own_topics = assigned_topics(&answer);
        if let Ok(committed) = &answer.committed {
            for (topic, partitions) in committed {
                if partitions.values().any(|c| *c != Ok(Committed::Never)) {
                    own_topics.insert(topic.clone());
                }
            }
        }
        let mut known = Self {
            answer,
            wanted,
            own_topics,
            used_at: now,
        };
        if let Some(before) = before
            && !known.is_read()
        {
            known.own_topics.extend(before.own_topics.iter().cloned());
        }
        known
    }

    /// Whether everything asked was answered.
    fn is_read(&self) -> bool {
        self.answer.committed.is_ok() && self.answer.description.is_ok()
    }

    /// A group of which nothing is known.
    pub fn unknown(now: Timestamp) -> Self {
        let answer = GroupAnswer {
            committed: Err(Failure::NotAsked),
            description: Err(Failure::NotAsked),
        };
        Self::new(answer, Wanted::All, None, now)
    }

    /// Whether everything asked was answered, and `wanted` is part of what was asked.
    pub fn covers(&self, wanted: &Wanted) -> bool {
        let mut both = self.wanted.clone();
        both.merge(wanted.clone());
        self.is_read() && both == self.wanted
    }

    /// What the group has committed in a partition.
    pub fn committed(&self, topic: &str, partition: u32) -> Result<Committed, Failure> {
        match &self.answer.committed {
            Ok(topics) => match topics.get(topic).and_then(|p| p.get(&partition)) {
                Some(committed) => committed.clone(),
                None if self.wanted == Wanted::All => Ok(Committed::Never),
                // A partition that was not known when the group was asked.
                None => Err(Failure::NotAsked),
            },
            Err(failure) => Err(failure.clone()),
        }
    }

    /// The highest partition of a topic that the group has to do with.
    pub fn highest_partition(&self, topic: &str) -> Option<u32> {
        let committed = self.answer.committed.as_ref().ok();
        let committed = committed
            .and_then(|topics| topics.get(topic))
            .into_iter()
            .flatten()
            .filter(|(_, committed)| matches!(committed, Ok(Committed::At(_))))
            .map(|(&partition, _)| partition);
        let description = self.answer.description.as_ref().ok();
        let assigned = description
            .into_iter()
            .flat_map(|description| &description.observation.members)
            .flat_map(|member| &member.assigned)
            .filter(|assigned| assigned.topic == topic)
            .flat_map(|assigned| assigned.partitions.iter().copied());
        committed.chain(assigned).max()
    }

    /// The topics of a subscription.
    pub fn topics<'a>(&'a self, subscription: &'a Subscription) -> Vec<&'a str> {
        match &subscription.topics {
            TopicSelection::Named(names) => names.iter().map(String::as_str).collect(),
            TopicSelection::OfGroup => self.own_topics.iter().map(String::as_str).collect(),
            TopicSelection::Pattern(pattern) => self
                .own_topics
                .iter()
                .map(String::as_str)
                .filter(|topic| matches_whole(pattern, topic))
                .collect(),
        }
    }
}

fn assigned_topics(answer: &GroupAnswer) -> BTreeSet<String> {
    let description = answer.description.as_ref().ok();
    description
        .into_iter()
        .flat_map(|description| &description.observation.members)
        .flat_map(|member| member.assigned.iter().chain(member.target.iter().flatten()))
        .map(|assigned| assigned.topic.clone())
        .collect()
}

/// Whether all of the name matches. The leftmost match that begins the name may end before it while
/// another alternative reaches the end (`a|ab`): only then is the expression compiled anew, anchored.
fn matches_whole(pattern: &regex::Regex, topic: &str) -> bool {
    match pattern.find(topic) {
        Some(found) if found.start() > 0 => false,
        Some(found) if found.end() == topic.len() => true,
        Some(_) => regex::Regex::new(&format!("^(?:{})$", pattern.as_str()))
            .is_ok_and(|anchored| anchored.is_match(topic)),
        None => false,
    }
}

// === impl Tick ===

impl Tick<'_> {
    /// The partitions of a topic that a subscription counts.
    pub fn selected<'a>(
        partitions: &'a BTreeMap<u32, Leader>,
        subscription: &'a Subscription,
    ) -> impl Iterator<Item = u32> + 'a {
        partitions.keys().copied().filter(|&partition| {
            subscription
                .partitions
                .as_ref()
                .is_none_or(|selection| selection.contains(partition))
        })
    }

    /// The reading of one request.
    pub fn reading(&self, request: &Request, group: &KnownGroup) -> KafkaReading {
        let subscription = &*request.subscription;
        let mut problems = Problems::default();
        let group_reading = group_reading(subscription, group, self.is_by_iam, &mut problems);
        let names = group.topics(subscription);
        // Where the group could not be read, that has been said and nothing more is known.
        if names.is_empty() && group.is_read() {
            problems.say(nothing_to_read(subscription, group));
        }
        let mut topics = Vec::new();
        for name in names {
            if self.is_gone(name, subscription, group) {
                problems.say(Problem {
                    cause: Cause::NotFound,
                    sentence: format!(
                        "topic {name}, to which group {} has committed, does not exist any more: \
                         it is left out",
                        subscription.consumer_group
                    ),
                });
                continue;
            }
            topics.push(self.topic(name, request, group, &mut problems));
        }
        KafkaReading {
            at: self.at,
            topics,
            group: group_reading,
            problems: problems.into_all(),
            earlier: self.earlier(request, group),
        }
    }

    fn earlier(&self, request: &Request, group: &KnownGroup) -> Option<Earlier> {
        let question = Question::since(request.earlier?);
        let subscription = &*request.subscription;
        let mut earlier = Earlier::default();
        for name in group.topics(subscription) {
            let partitions = self.metadata.topic(name)?.partitions.as_ref().ok()?;
            for partition in Self::selected(partitions, subscription) {
                let log = self.log(name, partition, request).ok()?;
                if log.end == 0 {
                    continue;
                }
                let offset = match self.answer(question, name, partition).ok()? {
                    // No record is as new as that.
                    -1 => log.end,
                    offset => u64::try_from(offset).ok()?,
                };
                earlier.records = earlier.records.saturating_add(offset);
                earlier.partitions += 1;
                earlier.at_start += usize::from(offset <= log.start);
            }
        }
        (earlier.partitions > 0).then_some(earlier)
    }

    /// Whether a topic that was found through the group is gone and nobody reads it.
    fn is_gone(&self, name: &str, subscription: &Subscription, group: &KnownGroup) -> bool {
        let of_group = !matches!(subscription.topics, TopicSelection::Named(_));
        let missing = self.metadata.topic(name).is_some_and(|topic| {
            let failure = topic.partitions.as_ref().err();
            failure.is_some_and(|failure| failure.cause() == Cause::NotFound)
        });
        of_group && missing && !assigned_topics(&group.answer).contains(name)
    }

    fn topic(
        &self,
        name: &str,
        request: &Request,
        group: &KnownGroup,
        problems: &mut Problems,
    ) -> TopicObservation {
        let subscription = &*request.subscription;
        let iam = match self.is_by_iam {
            true => " (in its IAM policy: kafka-cluster:DescribeTopic)",
            false => "",
        };
        let permission = format!("DESCRIBE on topic {name}{iam}");
        let unknown = |failure: &Failure, problems: &mut Problems| {
            problems.say(failure.problem(&format!("topic {name}"), &permission));
            Reading::Unknown(failure.cause())
        };
        let partitions = match self.metadata.topic(name).map(|topic| &topic.partitions) {
            Some(Ok(partitions)) => partitions,
            Some(Err(failure)) => {
                return TopicObservation {
                    name: name.to_owned(),
                    partitions: unknown(failure, problems),
                };
            }
            None => {
                return TopicObservation {
                    name: name.to_owned(),
                    partitions: unknown(&Failure::NotAsked, problems),
                };
            }
        };
        self.recreated(name, problems);
        let mut failed: BTreeMap<(&str, String), (Failure, Vec<u32>)> = BTreeMap::new();
        let mut fail = |what: &'static str, failure: Failure, partition: u32| {
            let cause = failure.cause();
            let (_, partitions) = failed
                .entry((what, failure.to_string()))
                .or_insert((failure, Vec::new()));
            partitions.push(partition);
            cause
        };
        let observed: Vec<PartitionObservation> = Self::selected(partitions, subscription)
            .map(|partition| {
                let log = self.log(name, partition, request);
                let committed = group.committed(name, partition);
                PartitionObservation {
                    partition,
                    history: self.history(name, partition, request, log.as_ref().ok()),
                    log: match log {
                        Ok(log) => Reading::Known(log),
                        Err(failure) => Reading::Unknown(fail("the log", failure, partition)),
                    },
                    committed: match committed {
                        Ok(committed) => Reading::Known(committed),
                        // Said once for the whole group.
                        Err(failure) if group.answer.committed.is_err() => {
                            Reading::Unknown(failure.cause())
                        }
                        Err(failure) => {
                            Reading::Unknown(fail("the committed offset", failure, partition))
                        }
                    },
                }
            })
            .collect();
        for ((what, _), (failure, numbers)) in failed {
            let what = format!("{what} of topic {name}, {}", listed(&numbers));
            problems.say(failure.problem(&what, &permission));
        }
        if observed.is_empty() {
            problems.say(Problem {
                cause: Cause::NotFound,
                sentence: format!(
                    "partitionLimitation selects none of the {} partitions of topic {name}",
                    partitions.len()
                ),
            });
        }
        TopicObservation {
            name: name.to_owned(),
            partitions: Reading::Known(observed),
        }
    }

    fn recreated(&self, name: &str, problems: &mut Problems) {
        if self
            .metadata
            .topic(name)
            .is_some_and(|topic| topic.recreated_at.is_some())
        {
            problems.say(Problem {
                cause: Cause::Stale,
                sentence: format!(
                    "topic {name} was deleted and created again: offsets committed before that \
                     mean nothing in it; reset the group's offsets if its consumers do not"
                ),
            });
        }
    }

    fn answer(&self, question: Question, topic: &str, partition: u32) -> Result<i64, Failure> {
        self.answers
            .get(&question)
            .and_then(|topics| topics.get(topic))
            .and_then(|partitions| partitions.get(&partition))
            .cloned()
            .unwrap_or(Err(Failure::NotAsked))
    }

    fn log(&self, topic: &str, partition: u32, request: &Request) -> Result<LogOffsets, Failure> {
        let end = self.answer(
            Question::end(request.subscription.isolation),
            topic,
            partition,
        )?;
        let malformed = |which: &str, offset: i64| Failure::Malformed {
            address: "the leader".to_owned(),
            detail: format!("a log {which} of {offset}"),
        };
        let end = u64::try_from(end).map_err(|_| malformed("end", end))?;
        let start = match self.starts.get(topic, partition) {
            Some(start) => start,
            None => {
                let start = self.answer(Question::START, topic, partition)?;
                u64::try_from(start).map_err(|_| malformed("start", start))?
            }
        };
        // The start may have been asked a moment after the end, and have passed it by retention.
        Ok(LogOffsets {
            start,
            end: end.max(start),
        })
    }

    fn history(
        &self,
        topic: &str,
        partition: u32,
        request: &Request,
        log: Option<&LogOffsets>,
    ) -> Option<PartitionHistory> {
        if !request.cold {
            return None;
        }
        let at = self.at.minus(request.subscription.history);
        let end = match self.answer(Question::since(at), topic, partition).ok()? {
            // No record is as new as that: the log ended then where it ends now.
            -1 => log?.end,
            offset => u64::try_from(offset).ok()?,
        };
        Some(PartitionHistory { at, end })
    }
}

fn group_reading(
    subscription: &Subscription,
    group: &KnownGroup,
    is_by_iam: bool,
    problems: &mut Problems,
) -> Reading<GroupObservation> {
    let name = &subscription.consumer_group;
    let iam = match is_by_iam {
        true => " (in its IAM policy: kafka-cluster:DescribeGroup and kafka-cluster:DescribeTopic)",
        false => "",
    };
    let permission = format!("DESCRIBE on group {name} and on the topics that it reads{iam}");
    let (committed, description) = (&group.answer.committed, &group.answer.description);
    match (committed.as_ref().err(), description.as_ref().err()) {
        (Some(one), Some(other)) if one == other => {
            problems.say(one.problem(&format!("group {name}"), &permission));
        }
        (one, other) => {
            if let Some(failure) = one {
                let what = format!("the committed offsets of group {name}");
                problems.say(failure.problem(&what, &permission));
            }
            if let Some(failure) = other {
                problems.say(failure.problem(&format!("group {name}"), &permission));
            }
        }
    }
    match description {
        Ok(description) => {
            for problem in &description.problems {
                problems.say(problem.clone());
            }
            let of_group = !matches!(subscription.topics, TopicSelection::Named(_));
            match committed {
                // Which topics there are is not known, and a group without topics would look idle.
                Err(failure) if of_group && group.own_topics.is_empty() => {
                    Reading::Unknown(failure.cause())
                }
                _ => Reading::Known(description.observation.clone()),
            }
        }
        Err(failure) => Reading::Unknown(failure.cause()),
    }
}

fn nothing_to_read(subscription: &Subscription, group: &KnownGroup) -> Problem {
    let name = &subscription.consumer_group;
    let sentence = match &subscription.topics {
        TopicSelection::Named(_) => "the trigger names no topic".to_owned(),
        TopicSelection::Pattern(pattern) if !group.own_topics.is_empty() => format!(
            "none of the {} topics of group {name} matches topicPattern {}",
            group.own_topics.len(),
            pattern.as_str()
        ),
        _ => format!(
            "group {name} has committed nothing and been assigned nothing, so its topics are \
             unknown: start a consumer of it once, or set topic"
        ),
    };
    Problem {
        cause: Cause::NotFound,
        sentence,
    }
}

fn listed(numbers: &[u32]) -> String {
    let shown: Vec<String> = numbers.iter().take(LISTED).map(u32::to_string).collect();
    let shown = shown.join(", ");
    match (numbers.len(), numbers.len().saturating_sub(LISTED)) {
        (1, _) => format!("partition {shown}"),
        (_, 0) => format!("partitions {shown}"),
        (_, more) => format!("partitions {shown} and {more} more"),
    }
}

// === impl Problems ===

impl Problems {
    fn say(&mut self, problem: Problem) {
        if self.said.contains(&problem) {
            return;
        }
        if self.said.len() < PROBLEMS_PER_TARGET {
            self.said.push(problem);
        } else {
            self.unsaid += 1;
        }
    }

    fn into_all(mut self) -> Vec<Problem> {
        if self.unsaid > 0 {
            self.said.push(Problem {
                cause: Cause::Failed,
                sentence: format!("{} more problems like these", self.unsaid),
            });
        }
        self.said
    }
}
