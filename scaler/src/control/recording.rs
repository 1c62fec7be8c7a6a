//! Decisions with everything that they were made of, so that they can be made again elsewhere.
//!
//! A recording is what a report of a wrong decision is made of: the policy, what the engine remembered
//! before the first decision, and for each what was observed and when. The engine is a pure function, so
//! the same version of it decides the same from that, byte for byte. Names of topics and ids of members
//! are in it, since what is remembered refers to them; addresses of members are replaced by their order,
//! because only which of them are the same matters; nothing else of how Kafka or Prometheus is reached.
//!
//! What this does not do: keep decisions of the past. What is decided from the request on is recorded.

use evenkeel_engine::{Decision, Observation, Policy, Reading, State, Timestamp, decide};
use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::oneshot;

/// The format that is written, and the newest that is read.
const FORMAT: u32 = 1;

/// Decisions of one recording.
pub const MOST_TICKS: usize = 60;

/// Partitions and members in all observations of one recording, some 100 bytes each. At least one
/// decision is recorded whatever its size.
const MOST_READINGS: usize = 100_000;

/// Decisions of one target, one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// The ScaledObject's namespace.
    pub namespace: String,
    /// The ScaledObject's name.
    pub name: String,
    /// How it is decided.
    pub policy: Policy,
    /// The decisions, oldest first.
    pub ticks: Vec<Tick>,
}

/// One decision and what it was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    /// What was remembered before; nothing where that is what the tick before has left.
    pub state: Option<Box<State>>,
    /// What was observed.
    pub observation: Observation,
    /// When it was decided.
    pub now: Timestamp,
    /// What was decided.
    pub decision: Decision,
}

/// What deciding again came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The decisions, in the recording's order.
    pub decisions: Vec<Decision>,
    /// The first that is not as recorded, counted from 0.
    pub differs_at: Option<usize>,
}

/// Why a text is of no use as a recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// Something else.
    #[error("this is no recording of `evenkeel explain --record`: {0}")]
    None(String),
    /// Only the beginning of one.
    #[error("the recording ends in the middle: was it copied whole?")]
    Truncated,
    /// Of a later version.
    #[error(
        "evenkeel {made_by} made this recording in format {format}, and evenkeel {this} reads formats up \
         to {FORMAT}: replay it with that version",
        this = env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// Its format.
        format: u32,
        /// The version that made it.
        made_by: String,
    },
    /// Not as it was written.
    #[error(
        "the recording was changed after it was made (its sha256 is another): replay it as `evenkeel \
         explain --record` wrote it"
    )]
    Altered,
    /// Of a version that remembers something else.
    #[error(
        "evenkeel {made_by} made this recording, and what it remembered cannot be read by evenkeel {this} \
         ({why}): replay it with that version",
        this = env!("CARGO_PKG_VERSION")
    )]
    OtherVersion {
        /// The version that made it.
        made_by: String,
        /// What could not be read.
        why: String,
    },
}

/// Collects the next decisions of a target.
#[derive(Debug)]
pub struct Recorder {
    wanted: usize,
    readings: usize,
    ticks: Vec<Tick>,
    done: oneshot::Sender<Vec<Tick>>,
}

/// A recording as it is written down.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    evenkeel_recording: u32,
    made_by: String,
    /// Of the recording's text.
    sha256: String,
    recording: Box<RawValue>,
}

/// Only what tells whether the rest can be read.
#[derive(Debug, Deserialize)]
struct Head {
    evenkeel_recording: u32,
    made_by: String,
}

// === impl Recording ===

impl Recording {
    /// The recording as one line of JSON.
    ///
    /// # Errors
    /// When it cannot be JSON.
    pub fn to_text(&self) -> serde_json::Result<String> {
        let recording = serde_json::value::to_raw_value(self)?;
        let written = Written {
            evenkeel_recording: FORMAT,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            sha256: sha256(recording.get()),
            recording,
        };
        Ok(serde_json::to_string(&written)? + "\n")
    }

    /// Reads what [`Self::to_text`] wrote.
    ///
    /// # Errors
    /// When it is something else, not whole, not as it was written, or of another version.
    pub fn of_text(text: &str) -> Result<Self, RecordingError> {
        let unfit = |error: serde_json::Error| match error.is_eof() {
            true => RecordingError::Truncated,
            false => RecordingError::None(error.to_string()),
        };
        let head: Head = serde_json::from_str(text).map_err(unfit)?;
        if head.evenkeel_recording > FORMAT {
            return Err(RecordingError::Newer {
                format: head.evenkeel_recording,
                made_by: head.made_by,
            });
        }
        let written: Written = serde_json::from_str(text).map_err(unfit)?;
        if sha256(written.recording.get()) != written.sha256 {
            return Err(RecordingError::Altered);
        }
        serde_json::from_str(written.recording.get()).map_err(|error| {
            RecordingError::OtherVersion {
                made_by: written.made_by,
                why: error.to_string(),
            }
        })
    }

    /// Decides all of it again.
    pub fn replay(&self) -> Replay {
        let mut state = State::default();
        let mut replay = Replay {
            decisions: Vec::with_capacity(self.ticks.len()),
            differs_at: None,
        };
        for (place, tick) in self.ticks.iter().enumerate() {
            let before = tick.state.as_deref().cloned().unwrap_or(state);
            let (after, decision) = decide(&self.policy, before, &tick.observation, tick.now);
            if replay.differs_at.is_none() && bytes(&decision) != bytes(&tick.decision) {
                replay.differs_at = Some(place);
            }
            replay.decisions.push(decision);
            state = after;
        }
        replay
    }
}

// === impl Recorder ===

impl Recorder {
    /// One that hands over so many decisions, or fewer where they are large.
    pub fn new(wanted: usize) -> (Self, oneshot::Receiver<Vec<Tick>>) {
        let (done, recorded) = oneshot::channel();
        let recorder = Self {
            wanted: wanted.clamp(1, MOST_TICKS),
            readings: 0,
            ticks: Vec::new(),
            done,
        };
        (recorder, recorded)
    }

    /// Whether nobody waits for it any more.
    pub fn is_given_up(&self) -> bool {
        self.done.is_closed()
    }

    /// Whether what is remembered before the first decision is still to come.
    pub fn is_new(&self) -> bool {
        self.ticks.is_empty()
    }

    /// Takes in a decision; what is left of it to do, or nothing once all are handed over.
    pub fn with(mut self, mut tick: Tick) -> Option<Self> {
        if self.is_new() && tick.state.is_none() {
            return Some(self);
        }
        hide_addresses(&mut tick.observation);
        self.readings = self.readings.saturating_add(readings(&tick.observation));
        self.ticks.push(tick);
        if self.ticks.len() < self.wanted && self.readings < MOST_READINGS {
            return Some(self);
        }
        // Whoever waited for it may have gone.
        let _ = self.done.send(self.ticks);
        None
    }
}

/// Gives members other addresses that are the same, and in the same order, where theirs are. Those that
/// share one with everybody on their machine still do.
fn hide_addresses(observation: &mut Observation) {
    let Reading::Known(group) = &mut observation.group else {
        return;
    };
    let mut hosts: Vec<String> = group.members.iter().map(|one| one.host.clone()).collect();
    hosts.sort();
    hosts.dedup();
    let shared = group.members.iter().filter(|one| one.shares_its_address());
    let shared = shared.map(|one| one.host.clone()).min();
    for member in &mut group.members {
        let place = hosts.partition_point(|host| *host < member.host);
        member.host = match &shared {
            _ if member.shares_its_address() => "127.0.0.1".to_owned(),
            Some(shared) if member.host < *shared => format!("0-host-{place:08}"),
            _ => format!("2-host-{place:08}"),
        };
    }
}

fn readings(observation: &Observation) -> usize {
    let topics = observation.topics.iter();
    let partitions = topics.filter_map(|topic| topic.partitions.known());
    let members = observation.group.known();
    let members = members.map_or(0, |group| group.members.len());
    partitions.map(Vec::len).sum::<usize>() + members
}

/// A decision as it is compared; nothing where it cannot be written, which no decision is equal to.
fn bytes(decision: &Decision) -> Option<Vec<u8>> {
    serde_json::to_vec(decision).ok()
}

fn sha256(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use evenkeel_engine::{
        AssignedTopic, Committed, GroupObservation, GroupProtocol, GroupState, LogOffsets, Member,
        PartitionObservation, PrometheusObservation, TopicObservation, WorkloadObservation,
    };
    use evenkeel_sim::rivals::default_policy;

    use super::*;

    /// Four partitions of a growing log, owned in turns by members at `hosts`.
    fn observation(second: u64, hosts: &[&str]) -> Observation {
        let partition = |number: u32| PartitionObservation {
            partition: number,
            log: Reading::Known(LogOffsets {
                start: 0,
                end: 1_000 + second * (100 + u64::from(number)),
            }),
            committed: Reading::Known(Committed::At(900 + second * 90)),
            history: None,
        };
        let owned = |place: usize| (0..4).filter(move |number| *number % hosts.len() == place);
        let member = |(place, host): (usize, &&str)| Member {
            id: format!("consumer-{place}"),
            host: (*host).to_owned(),
            assigned: vec![AssignedTopic {
                topic: "orders".to_owned(),
                partitions: owned(place)
                    .map(|number| u32::try_from(number).unwrap())
                    .collect(),
            }],
            target: None,
        };
        Observation {
            at: Timestamp::from_secs(second),
            topics: vec![TopicObservation {
                name: "orders".to_owned(),
                partitions: Reading::Known((0..4).map(partition).collect()),
            }],
            group: Reading::Known(GroupObservation {
                protocol: GroupProtocol::Classic,
                state: GroupState::Stable,
                assignor: "cooperative-sticky".to_owned(),
                members: hosts.iter().enumerate().map(member).collect(),
            }),
            prometheus: PrometheusObservation::NotConfigured,
            workload: WorkloadObservation::NotConfigured,
            events: Vec::new(),
            utc_offset_minutes: 0,
        }
    }

    /// Some decisions after a minute of others.
    fn recording(decisions: usize, hosts: &[&str]) -> Recording {
        let policy = default_policy(Some(97.3), 4);
        let (recorder, mut recorded) = Recorder::new(decisions);
        let (mut recorder, mut state) = (Some(recorder), State::default());
        for second in (0..120_u64).step_by(2) {
            let (observation, now) = (observation(second, hosts), Timestamp::from_secs(second));
            let before = state.clone();
            let decision;
            (state, decision) = decide(&policy, state, &observation, now);
            if second >= 60
                && let Some(known) = recorder.take()
            {
                recorder = known.with(Tick {
                    state: (second == 60).then(|| Box::new(before)),
                    observation,
                    now,
                    decision,
                });
            }
        }
        Recording {
            namespace: "shop".to_owned(),
            name: "orders".to_owned(),
            policy,
            ticks: recorded.try_recv().unwrap(),
        }
    }

    const HOSTS: [&str; 4] = ["/10.1.0.9", "/10.1.0.12", "/10.1.0.9", "/10.0.0.3"];

    #[test]
    fn what_was_recorded_is_read_and_decided_again_to_the_byte() {
        for hosts in [&HOSTS[..], &["/127.0.0.1", "/10.1.0.9", "/192.168.0.1"]] {
            let recording = recording(7, hosts);
            let text = recording.to_text().unwrap();
            let read = Recording::of_text(&text).unwrap();
            assert_eq!(read, recording);
            assert_eq!(read.to_text().unwrap(), text);
            let replay = read.replay();
            assert_eq!(replay.differs_at, None);
            assert_eq!(replay.decisions.len(), 7);
            for host in hosts.iter().filter(|host| !host.contains("127")) {
                assert!(!text.contains(host.trim_start_matches('/')), "{host}");
            }
        }
    }

    #[test]
    fn another_decision_is_found_where_it_was_made() {
        let mut recording = recording(3, &HOSTS);
        recording.ticks[1].decision.reason.push('.');
        assert_eq!(recording.replay().differs_at, Some(1));
    }

    #[test]
    fn what_is_no_whole_recording_of_a_known_version_is_one_clear_error() {
        let check = |text: &str, expected: &str| {
            let error = Recording::of_text(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains('\n'), "{error}");
        };
        let text = recording(2, &HOSTS).to_text().unwrap();
        for end in [0, 1, 30, text.len() / 2, text.len() - 3] {
            check(&text[..end], "copied whole?");
        }
        let newer = text.replace("\"evenkeel_recording\":1", "\"evenkeel_recording\":2");
        check(&newer, "in format 2");
        check(
            &text.replacen("\"end\":", "\"end\":1", 1),
            "was changed after",
        );
        check(&text.replacen("shop", "stop", 1), "was changed after");
        for other in ["{}", "[]", "null", "kind: Deployment", &text[1..]] {
            check(other, "no recording");
        }
        let before = written(text.replacen("\"now\":", "\"then\":", 1));
        check(&before, "replay it with that version");
        check(&before, "`now`");
    }

    /// The same with the digest of what is in it.
    fn written(text: String) -> String {
        let mut written: Written = serde_json::from_str(&text).unwrap();
        written.sha256 = sha256(written.recording.get());
        serde_json::to_string(&written).unwrap()
    }

    #[test]
    fn a_recording_is_bounded_in_decisions_and_in_size() {
        let (recorder, mut recorded) = Recorder::new(usize::MAX);
        let tick = recording(1, &HOSTS).ticks.remove(0);
        let mut large = tick.clone();
        if let Reading::Known(partitions) = &mut large.observation.topics[0].partitions {
            *partitions = vec![partitions[0]; MOST_READINGS / 2];
        }
        let mut ticks = std::iter::repeat_n(tick.clone(), MOST_TICKS);
        let left = ticks.try_fold(recorder, |left, tick| left.with(tick));
        assert!(left.is_none());
        assert_eq!(recorded.try_recv().unwrap().len(), MOST_TICKS);

        let (recorder, mut recorded) = Recorder::new(MOST_TICKS);
        let left = recorder.with(large.clone()).unwrap();
        assert!(left.with(large).is_none());
        assert_eq!(recorded.try_recv().unwrap().len(), 2);
    }

    #[test]
    fn a_recording_begins_with_what_was_remembered() {
        let (recorder, _recorded) = Recorder::new(2);
        let mut tick = recording(1, &HOSTS).ticks.remove(0);
        let state = tick.state.take();
        let recorder = recorder.with(tick.clone()).unwrap();
        assert!(recorder.is_new(), "nothing can be made again from this");
        let recorder = recorder
            .with(Tick {
                state,
                ..tick.clone()
            })
            .unwrap();
        assert!(!recorder.is_new());
        assert!(recorder.with(tick).is_none());
    }
}
