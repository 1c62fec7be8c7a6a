//! What a run came to: the samples of each second, and the figures of the closing table.
//!
//! The figures are the same for every policy. Message time is a record's age when it has been
//! written, from the consumers' own reports; the steady one is over the last minute of the highest
//! rate, when everything that was going to settle has. A reversal is a change against the one before
//! it within one step of the load: nothing outside had changed, so one of the two was wrong. Records
//! count as processed when their offsets are committed, and as lost when acknowledged records are not
//! in the log. Where the consumers write into a database, its rows are what counts.

use std::time::Duration;

use serde::Serialize;

use super::load::Load;

/// How much of the highest step's end is the steady state.
const STEADY: Duration = Duration::from_secs(60);

/// One second of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since the load began.
    pub second: u64,
    /// The load asked for, records/s.
    pub load_records_per_second: f64,
    /// Records that arrived, per second.
    pub inbound_records_per_second: Option<f64>,
    /// Records that the consumers wrote, per second.
    pub processed_records_per_second: f64,
    /// Records not yet committed.
    pub lag_records: Option<u64>,
    /// Mean age of the records written in this second.
    pub message_age_mean_seconds: Option<f64>,
    /// Greatest age of the records written in this second.
    pub message_age_max_seconds: Option<f64>,
    /// What the policy's metric asked for when last read.
    pub wanted_replicas: Option<u32>,
    /// Pods, those included that have not started yet.
    pub replicas: u32,
    /// Pods whose process runs.
    pub running_replicas: u32,
    /// The group's members.
    pub members: Option<u32>,
    /// The group's state.
    pub group_state: Option<&'static str>,
}

/// One change of the replica count.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Seconds since the load began.
    pub second: u64,
    /// Replicas before.
    pub from: u32,
    /// Replicas after.
    pub to: u32,
    /// Who set it.
    pub by: &'static str,
    /// Why.
    pub why: String,
}

/// Figures that are counted during the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    /// Records that Kafka acknowledged to the producer.
    pub acknowledged_records: u64,
    /// Records that the producer gave up.
    pub failed_records: u64,
    /// The sum of the log end offsets; unknown when Kafka could not be read at the end.
    pub log_end_records: Option<u64>,
    /// The sum of the committed offsets.
    pub committed_records: Option<u64>,
    /// Records that the consumers wrote, repeats included.
    pub written_records: u64,
    /// What is in the database; `None` where there is none.
    pub table: Option<TableCounts>,
    /// Rebalances of the group.
    pub rebalances: u32,
    /// Times that a partition went from one owner to another.
    pub partition_moves: u32,
    /// Consumers that ended without being asked to.
    pub pod_crashes: u32,
    /// Times that the policy had no answer.
    pub unanswered: u32,
}

/// Rows of the consumers' table at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableCounts {
    /// All.
    pub rows: u64,
    /// Those of different records.
    pub distinct_rows: u64,
}

/// The steady state.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Steady {
    /// Mean message time.
    pub message_age_mean_seconds: f64,
    /// Greatest message time.
    pub message_age_max_seconds: f64,
    /// Fewest replicas.
    pub replicas_min: u32,
    /// Most replicas.
    pub replicas_max: u32,
}

/// Everything that a run came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Which policy.
    pub policy: String,
    /// The HPA's behaviour and the ScaledObject's windows, in words.
    pub behavior: String,
    /// Partitions of the topic.
    pub partitions: u32,
    /// The load: rate and seconds of each step.
    pub load: Vec<(f64, u64)>,
    /// Whether it was ended before its time.
    pub interrupted: bool,
    /// The greatest message time of all, and when.
    pub peak_message_age: Option<(f64, u64)>,
    /// The steady state at the highest rate, where it was reached.
    pub steady: Option<Steady>,
    /// Replicas times minutes: what it cost.
    pub replica_minutes: f64,
    /// Changes against the one before within one step of the load.
    pub reversals: u32,
    /// Counted during the run.
    pub counts: Counts,
    /// Every change of the replica count.
    pub changes: Vec<Change>,
    /// Every second.
    pub samples: Vec<Sample>,
}

/// Whether every record came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Completeness {
    /// All that was acknowledged has been processed.
    Complete,
    /// Records that Kafka acknowledged are not in its log.
    Lost(u64),
    /// Records in the log have not been processed: not committed, or not in the table.
    Unprocessed(u64),
    /// Records are in the table more than once.
    Repeated(u64),
    /// Kafka could not be read at the end, or the run was interrupted.
    Unknown,
}

// === impl Report ===

impl Report {
    /// Works the figures out of what was seen.
    pub fn new(
        policy: String,
        behavior: String,
        partitions: u32,
        load: &Load,
        counts: Counts,
        changes: Vec<Change>,
        samples: Vec<Sample>,
    ) -> Self {
        let peak = samples
            .iter()
            .filter_map(|sample| Some((sample.message_age_max_seconds?, sample.second)))
            .max_by(|one, other| one.0.total_cmp(&other.0));
        let pod_seconds: u32 = samples.iter().map(|sample| sample.replicas).sum();
        Self {
            policy,
            behavior,
            partitions,
            load: load
                .steps()
                .iter()
                .map(|step| (step.rate, step.duration.as_secs()))
                .collect(),
            interrupted: false,
            peak_message_age: peak,
            steady: steady(&samples, load),
            replica_minutes: f64::from(pod_seconds) / 60.0,
            reversals: reversals(&changes, load),
            counts,
            changes,
            samples,
        }
    }

    /// Whether every record came through.
    pub fn completeness(&self) -> Completeness {
        let counts = &self.counts;
        let (false, Some(log_end), Some(committed)) = (
            self.interrupted,
            counts.log_end_records,
            counts.committed_records,
        ) else {
            return Completeness::Unknown;
        };
        if log_end < counts.acknowledged_records {
            return Completeness::Lost(counts.acknowledged_records - log_end);
        }
        let distinct = counts.table.map_or(committed, |table| table.distinct_rows);
        let left = log_end.saturating_sub(committed.min(distinct));
        let table = counts.table.unwrap_or_default();
        match (left, table.rows.saturating_sub(table.distinct_rows)) {
            (0, 0) => Completeness::Complete,
            (0, repeated) => Completeness::Repeated(repeated),
            (left, _) => Completeness::Unprocessed(left),
        }
    }
}

/// The steady state: the last minute of the highest rate, or the second half of a shorter step.
fn steady(samples: &[Sample], load: &Load) -> Option<Steady> {
    let (from, to) = load.peak();
    let length = STEADY.min((to - from) / 2);
    let begin = (to - length).as_secs();
    let window: Vec<&Sample> = samples
        .iter()
        .filter(|sample| (begin..to.as_secs()).contains(&sample.second))
        .collect();
    if window.last()?.second + 2 < to.as_secs() {
        return None;
    }
    let (mut records, mut aged, mut greatest) = (0.0, 0.0, 0.0_f64);
    for sample in &window {
        if let Some(mean) = sample.message_age_mean_seconds {
            records += sample.processed_records_per_second;
            aged += sample.processed_records_per_second * mean;
        }
        greatest = greatest.max(sample.message_age_max_seconds.unwrap_or(0.0));
    }
    (records > 0.0).then(|| Steady {
        message_age_mean_seconds: aged / records,
        message_age_max_seconds: greatest,
        replicas_min: window
            .iter()
            .map(|sample| sample.replicas)
            .min()
            .unwrap_or(0),
        replicas_max: window
            .iter()
            .map(|sample| sample.replicas)
            .max()
            .unwrap_or(0),
    })
}

/// Changes against the one before within one step of the load.
fn reversals(changes: &[Change], load: &Load) -> u32 {
    let step = |change: &Change| load.index_at(Duration::from_secs(change.second));
    let is_reversal = |pair: &&[Change]| match pair {
        [before, after] => {
            step(before) == step(after) && (before.to > before.from) != (after.to > after.from)
        }
        _ => false,
    };
    u32::try_from(changes.windows(2).filter(is_reversal).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> Load {
        Load::parse("200:60,1000:120,0:120", Duration::ZERO).expect("a load")
    }

    fn change(second: u64, from: u32, to: u32) -> Change {
        Change {
            second,
            from,
            to,
            by: "HPA",
            why: String::new(),
        }
    }

    #[test]
    fn a_reversal_is_within_one_step() {
        let check = |changes: &[(u64, u32, u32)], expected| {
            let changes: Vec<Change> = changes
                .iter()
                .map(|&(second, from, to)| change(second, from, to))
                .collect();
            assert_eq!(reversals(&changes, &load()), expected, "{changes:?}");
        };
        check(&[], 0);
        check(&[(0, 0, 1), (20, 1, 3), (70, 3, 12), (190, 12, 0)], 0);
        check(&[(70, 3, 12), (100, 12, 8), (120, 8, 12)], 2);
        check(&[(50, 3, 2), (70, 2, 12)], 0);
        check(&[(200, 12, 4), (600, 4, 5)], 1);
    }

    fn report(counts: Counts) -> Report {
        let samples = (0..300)
            .map(|second| Sample {
                second,
                processed_records_per_second: if second == 150 { 3_000.0 } else { 1_000.0 },
                message_age_mean_seconds: Some(if second == 150 { 4.0 } else { 1.0 }),
                message_age_max_seconds: Some(if second == 90 { 30.0 } else { 2.0 }),
                replicas: 6,
                ..Sample::default()
            })
            .collect();
        Report::new(
            "evenkeel".to_owned(),
            String::new(),
            24,
            &load(),
            counts,
            Vec::new(),
            samples,
        )
    }

    #[test]
    fn the_steady_state_is_the_last_minute_of_the_highest_rate() {
        let report = report(Counts::default());
        assert_eq!(report.peak_message_age, Some((30.0, 90)));
        let steady = report.steady.expect("the step was run to its end");
        let expected = (59.0 * 1_000.0 + 3_000.0 * 4.0) / 62_000.0;
        assert!((steady.message_age_mean_seconds - expected).abs() < 1e-9);
        assert_eq!(steady.message_age_max_seconds, 2.0);
        assert_eq!(report.replica_minutes, 30.0);
    }

    #[test]
    fn a_step_that_was_not_run_to_its_end_has_no_steady_state() {
        let mut samples = report(Counts::default()).samples;
        samples.truncate(150);
        assert_eq!(steady(&samples, &load()), None);
    }

    #[test]
    fn every_acknowledged_record_has_to_be_committed() {
        let check = |log_end, committed, expected| {
            let counts = Counts {
                acknowledged_records: 100,
                log_end_records: log_end,
                committed_records: committed,
                ..Counts::default()
            };
            assert_eq!(report(counts).completeness(), expected);
        };
        check(Some(100), Some(100), Completeness::Complete);
        check(Some(99), Some(99), Completeness::Lost(1));
        check(Some(100), Some(60), Completeness::Unprocessed(40));
        check(None, Some(100), Completeness::Unknown);
        for (rows, distinct_rows, expected) in [
            (100, 100, Completeness::Complete),
            (101, 100, Completeness::Repeated(1)),
            (100, 98, Completeness::Unprocessed(2)),
            (0, 0, Completeness::Unprocessed(100)),
        ] {
            let counts = Counts {
                acknowledged_records: 100,
                log_end_records: Some(100),
                committed_records: Some(100),
                table: Some(TableCounts {
                    rows,
                    distinct_rows,
                }),
                ..Counts::default()
            };
            assert_eq!(report(counts).completeness(), expected);
        }
        let mut interrupted = report(Counts::default());
        interrupted.interrupted = true;
        assert_eq!(interrupted.completeness(), Completeness::Unknown);
    }
}
