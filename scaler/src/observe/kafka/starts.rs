//! Where logs start, kept between ticks, and whether an end contradicts it.
//!
//! A log's start moves when retention deletes, minutes apart, so asking for it with every end would
//! double the requests for nothing. It is asked again when it is old, when a group's commit lies
//! before it (the lag then hangs on it), and when the end says that the log is another one.

use std::collections::HashMap;
use std::time::Duration;

use evenkeel_engine::{Committed, Timestamp};

use super::log::{Answers, Partitions, Question};
use crate::observe::Isolation;

/// How old a log start may get. Brokers look for expired segments every five minutes
/// (`log.retention.check.interval.ms`), so half a minute is never far behind; with ticks of five
/// seconds it is one request in six.
pub const LOG_START_AGE: Duration = Duration::from_secs(30);

/// One partition's log.
#[derive(Clone, Copy, Debug, Default)]
struct Log {
    /// The start and when it was asked.
    start: Option<(u64, Timestamp)>,
    /// The last end seen: high watermark, last stable offset.
    ends: [Option<u64>; 2],
    used_at: Timestamp,
}

/// What is kept of all logs, by topic and partition.
#[derive(Debug, Default)]
pub struct Starts {
    logs: HashMap<String, HashMap<u32, Log>>,
}

// === impl Starts ===

impl Starts {
    /// A partition's log start, if it is known.
    pub fn get(&self, topic: &str, partition: u32) -> Option<u64> {
        let (start, _) = self.logs.get(topic)?.get(&partition)?.start?;
        Some(start)
    }

    /// Whether a partition's start has to be asked now. `unless_known` leaves age out of account.
    pub fn is_due(
        &self,
        topic: &str,
        partition: u32,
        committed: Option<Committed>,
        not_before: Option<Timestamp>,
        unless_known: bool,
        now: Timestamp,
    ) -> bool {
        let known = self.logs.get(topic).and_then(|logs| logs.get(&partition));
        let Some((start, asked_at)) = known.and_then(|log| log.start) else {
            return true;
        };
        not_before.is_some_and(|not_before| asked_at < not_before)
            || (!unless_known && now.since(asked_at) >= LOG_START_AGE)
            || matches!(committed, Some(Committed::At(offset)) if offset < start)
    }

    /// Takes what was answered; answers the partitions whose end lies before their start or before
    /// the last end: their logs are not what they were, their starts are forgotten.
    pub fn note(&mut self, answers: &Answers, now: Timestamp) -> Partitions {
        let mut odd = Partitions::new();
        if let Some(starts) = answers.get(&Question::START) {
            for (topic, partitions) in starts {
                for (&partition, answer) in partitions {
                    if let Some(start) = answer.as_ref().ok().and_then(|&s| u64::try_from(s).ok()) {
                        self.log(topic, partition).start = Some((start, now));
                    }
                }
            }
        }
        for (slot, isolation) in [Isolation::ReadUncommitted, Isolation::ReadCommitted]
            .into_iter()
            .enumerate()
        {
            let Some(ends) = answers.get(&Question::end(isolation)) else {
                continue;
            };
            for (topic, partitions) in ends {
                for (&partition, answer) in partitions {
                    let log = self.log(topic, partition);
                    log.used_at = now;
                    let Some(end) = answer.as_ref().ok().and_then(|&e| u64::try_from(e).ok())
                    else {
                        continue;
                    };
                    let last = log.ends.get_mut(slot).and_then(|last| last.replace(end));
                    let before_start = log.start.is_some_and(|(start, _)| end < start);
                    if before_start || last.is_some_and(|last| end < last) {
                        log.start = None;
                        odd.entry(topic.clone()).or_default().insert(partition);
                    }
                }
            }
        }
        odd
    }

    fn log(&mut self, topic: &str, partition: u32) -> &mut Log {
        self.logs
            .entry(topic.to_owned())
            .or_default()
            .entry(partition)
            .or_default()
    }

    /// Forgets partitions that nobody wanted to know of in `idle`.
    pub fn forget_unused(&mut self, idle: Duration, now: Timestamp) {
        for logs in self.logs.values_mut() {
            logs.retain(|_, log| now.since(log.used_at) < idle);
        }
        self.logs.retain(|_, logs| !logs.is_empty());
    }
}
