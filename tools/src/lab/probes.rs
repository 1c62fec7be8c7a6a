//! Asks replicas of the scaler ten times a second, and works out who answered when.
//!
//! Each is asked twice: as KEDA asks, and as a replica that hands a call on, which only a leader
//! answers. So it shows who leads, and whether two ever do, without believing what they say of
//! themselves. Nothing is judged here.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenkeel_engine::Timestamp;
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::grpc::wire::external_scaler_client::ExternalScalerClient;
use evenkeel_scaler::grpc::wire::{GetMetricsRequest, ScaledObjectRef};
use tokio_util::task::AbortOnDropHandle;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);
/// What a replica waits for another leader, and a second more.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// What marks a call that a replica hands on.
const HANDED_ON: &str = "evenkeel-handed-on";
/// The one metric that there is.
const METRIC: &str = "evenkeel-replicas";

/// What one question brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who was asked.
    pub replica: u8,
    /// Whether it was asked for its own answer.
    pub is_own: bool,
    /// When it was asked.
    pub asked: Timestamp,
    /// When it answered, or had not.
    pub done: Timestamp,
    /// The count, or why there is none.
    pub count: Result<i64, String>,
}

/// The questions that are asked, and all answers.
#[derive(Debug)]
pub struct Probes {
    clock: Clock,
    target: ScaledObjectRef,
    answers: Arc<Mutex<Vec<Answer>>>,
    asking: HashMap<u8, [AbortOnDropHandle<()>; 2]>,
}

/// A target, as KEDA names it in its calls.
pub fn target(namespace: &str, name: &str, metadata: &[(&str, &str)]) -> ScaledObjectRef {
    let pairs = metadata.iter();
    ScaledObjectRef {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        scaler_metadata: pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

// === impl Probes ===

impl Probes {
    /// Of nobody yet.
    pub fn new(clock: Clock, target: ScaledObjectRef) -> Self {
        Self {
            clock,
            target,
            answers: Arc::default(),
            asking: HashMap::new(),
        }
    }

    /// Begins to ask a replica, until [`Probes::leave`].
    pub fn ask(&mut self, replica: u8, address: SocketAddr) {
        let tasks = [false, true].map(|is_own| {
            let asking = asking(
                (replica, is_own),
                address,
                self.target.clone(),
                self.clock,
                Arc::clone(&self.answers),
            );
            AbortOnDropHandle::new(tokio::spawn(asking))
        });
        self.asking.insert(replica, tasks);
    }

    /// Asks it no more.
    pub fn leave(&mut self, replica: u8) {
        self.asking.remove(&replica);
    }

    /// Asks these and no others.
    pub fn only(&mut self, replicas: &BTreeMap<u8, SocketAddr>) {
        self.asking
            .retain(|replica, _| replicas.contains_key(replica));
        for (replica, address) in replicas {
            if !self.asking.contains_key(replica) {
                self.ask(*replica, *address);
            }
        }
    }

    /// All answers that came after `from`, in the order in which they came.
    pub fn since(&self, from: Timestamp) -> Vec<Answer> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let found = answers.iter().filter(|answer| answer.done > from);
        found.cloned().collect()
    }
}

async fn asking(
    (replica, is_own): (u8, bool),
    address: SocketAddr,
    target: ScaledObjectRef,
    clock: Clock,
    answers: Arc<Mutex<Vec<Answer>>>,
) {
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{address}")) else {
        return;
    };
    let endpoint = endpoint
        .connect_timeout(ANSWER_WITHIN)
        .timeout(ANSWER_WITHIN);
    let mut client = ExternalScalerClient::new(endpoint.connect_lazy());
    loop {
        let mut request = Request::new(GetMetricsRequest {
            scaled_object_ref: Some(target.clone()),
            metric_name: METRIC.to_owned(),
        });
        if is_own {
            let yes = MetadataValue::from_static("1");
            request.metadata_mut().insert(HANDED_ON, yes);
        }
        let asked = clock.now();
        let count = match client.get_metrics(request).await {
            Ok(answer) => {
                let values = answer.into_inner().metric_values;
                Ok(values.iter().map(|value| value.metric_value).sum())
            }
            Err(status) => Err(format!("{:?}: {}", status.code(), status.message())),
        };
        let answer = Answer {
            replica,
            is_own,
            asked,
            done: clock.now(),
            count,
        };
        note(&answers, answer);
        tokio::time::sleep(PAUSE).await;
    }
}

fn note(answers: &Mutex<Vec<Answer>>, answer: Answer) {
    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    answers.push(answer);
}

/// The longest time between two counts, whoever gave them, as KEDA sees it.
pub fn longest_silence(answers: &[Answer], end: Timestamp) -> Duration {
    let counted = answers
        .iter()
        .filter(|answer| !answer.is_own && answer.count.is_ok());
    let mut times: Vec<Timestamp> = counted.map(|answer| answer.done).collect();
    times.push(end);
    times.sort_unstable();
    let pairs = times.windows(2).filter_map(|pair| match pair {
        [before, after] => Some(after.since(*before)),
        _ => None,
    });
    pairs.max().unwrap_or_default()
}

/// Who led, in turn, by their own answers. Those that overlap another's say nothing of an order.
pub fn leaders(answers: &[Answer]) -> Vec<u8> {
    let mut own: Vec<&Answer> = answers
        .iter()
        .filter(|answer| answer.is_own && answer.count.is_ok())
        .collect();
    own.sort_by_key(|answer| answer.done);
    let overlaps = |one: &Answer| {
        let mut others = own.iter().filter(|other| other.replica != one.replica);
        others.any(|other| other.asked <= one.done && one.asked <= other.done)
    };
    let clear = own.iter().filter(|answer| !overlaps(answer));
    let mut leaders: Vec<u8> = clear.map(|answer| answer.replica).collect();
    leaders.dedup();
    leaders
}

/// The different counts that were answered.
pub fn counts(answers: &[Answer]) -> Vec<i64> {
    let counts = answers
        .iter()
        .filter_map(|answer| answer.count.as_ref().ok());
    let mut counts: Vec<i64> = counts.copied().collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(replica: u8, is_own: bool, asked: u64, done: u64, known: bool) -> Answer {
        Answer {
            replica,
            is_own,
            asked: Timestamp::from_millis(asked),
            done: Timestamp::from_millis(done),
            count: if known {
                Ok(3)
            } else {
                Err("Unavailable".to_owned())
            },
        }
    }

    #[test]
    fn a_silence_is_nobody_s_answer() {
        let answers = [
            answer(2, false, 0, 10, true),
            answer(3, false, 5, 20, true),
            answer(2, false, 100, 4_100, false),
            answer(3, true, 100, 4_000, true),
            answer(3, false, 100, 5_020, true),
        ];
        let silence = longest_silence(&answers, Timestamp::from_millis(5_100));
        assert_eq!(silence, Duration::from_secs(5));
        assert_eq!(counts(&answers), [3]);
    }

    #[test]
    fn two_leaders_are_seen_and_an_answer_that_took_long_is_none() {
        let one_after_the_other = [
            answer(2, true, 0, 10, true),
            answer(2, true, 100, 900, true),
            answer(3, true, 700, 800, true),
            answer(3, true, 1_000, 1_010, true),
        ];
        assert_eq!(leaders(&one_after_the_other), [2, 3]);
        let at_the_same_time = [
            answer(2, true, 0, 10, true),
            answer(3, true, 20, 30, true),
            answer(2, true, 40, 50, true),
        ];
        assert_eq!(leaders(&at_the_same_time), [2, 3, 2]);
    }
}
