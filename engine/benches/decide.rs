//! How long one decision takes: `cargo bench -p evenkeel-engine`.
//!
//! Standard library only, no statistics beyond the fastest and the median of many: the question is
//! whether a poll of a large cluster is dominated by deciding (it must not be), not the last percent.
//! Each line decides for one target that has been observed for ten minutes: its skewed partitions
//! are written and read, and its group is stable. With a calendar it knows as many surges of 28 days as
//! a target may remember.

use std::time::Duration;

use evenkeel_engine::{
    AssignedTopic, Committed, GroupObservation, GroupProtocol, GroupState, LogOffsets, Member,
    Observation, OffsetReset, PartitionObservation, Past, Policy, PrometheusObservation, Reading,
    State, Timestamp, TopicObservation, Tuning, WorkloadObservation, decide,
};

/// Seconds from one decision to the next.
const TICK: u64 = 5;

/// Decisions before the first that is measured.
const WATCHED: u64 = 120;

/// The second of the first that is measured: the 29th day, which a full past is before.
const BEGIN: u64 = 28 * 86_400 + 3_600;

/// How many targets memory is measured with.
const TARGETS: u32 = 1_000;

fn policy(learns_calendar: bool) -> Policy {
    Policy {
        min_replicas: 0,
        max_replicas: None,
        allow_idle_consumers: false,
        limit_to_partitions_with_lag: false,
        exclude_persistent_lag: false,
        offset_reset: OffsetReset::Latest,
        scale_to_zero_on_invalid_offset: false,
        read_committed: false,
        lag_threshold_records: 10,
        activation_lag_records: 0,
        activation_records_per_second: None,
        capacity_per_replica: Some(100.0),
        target_utilization: 0.8,
        catch_up: Duration::from_secs(120),
        target_lag: None,
        scale_down_window: Duration::from_secs(300),
        scale_up_window: Duration::ZERO,
        rebalance_hold: Duration::from_secs(120),
        startup: Duration::from_secs(60),
        max_staleness: Duration::from_secs(120),
        poll_interval: Duration::from_secs(5),
        learns_calendar,
        calendar_max_replicas: None,
        tuning: Tuning::default(),
    }
}

/// The world `seconds` after the start: partition `p` gets 20 + p % 11 records a second.
fn observation(partitions: u32, seconds: u64, assignor: &str) -> Observation {
    let observed = (0..partitions).map(|partition| {
        let end = (20 + u64::from(partition % 11)) * seconds;
        PartitionObservation {
            partition,
            log: Reading::Known(LogOffsets { start: 0, end }),
            committed: Reading::Known(Committed::At(end.saturating_sub(400))),
            history: None,
        }
    });
    let replicas = partitions.div_ceil(3);
    let members = (0..replicas).map(|place| Member {
        id: format!("consumer-{place:08}"),
        host: format!("/10.{}.{}.{}", place >> 16, (place >> 8) & 255, place & 255),
        assigned: vec![AssignedTopic {
            topic: "trades".to_owned(),
            partitions: (0..)
                .map(|round| place + round * replicas)
                .take_while(|&one| one < partitions)
                .collect(),
        }],
        target: None,
    });
    Observation {
        at: Timestamp::from_secs(seconds),
        topics: vec![TopicObservation {
            name: "trades".to_owned(),
            partitions: Reading::Known(observed.collect()),
        }],
        group: Reading::Known(GroupObservation {
            protocol: GroupProtocol::Classic,
            state: GroupState::Stable,
            assignor: assignor.to_owned(),
            members: members.collect(),
        }),
        prometheus: PrometheusObservation::NotConfigured,
        workload: WorkloadObservation::NotConfigured,
        events: Vec::new(),
        utc_offset_minutes: 0,
    }
}

/// The most that is remembered of 28 days: 73 surges on each, at the same times.
fn full_past() -> Past {
    let minutes = (0..28 * 1_440).map(|minute| {
        let is_surge = minute % 1_440 % 19 == 0 && minute % 1_440 < 73 * 19;
        (minute, if is_surge { 5_000.0 } else { 100.0 })
    });
    Past::of(minutes)
}

/// A target that has been observed for ten minutes, and its policy.
fn watched(partitions: u32, assignor: &str, past: Option<&Past>) -> (Policy, State) {
    let policy = policy(past.is_some());
    let mut state = State::default();
    if let Some(past) = past {
        state = state.with_past(past);
    }
    for seconds in (0..WATCHED).map(|tick| BEGIN - TICK * (WATCHED - tick)) {
        let observation = observation(partitions, seconds, assignor);
        (state, _) = decide(&policy, state, &observation, Timestamp::from_secs(seconds));
    }
    (policy, state)
}

/// Microseconds of each decision of `rounds`.
#[expect(
    clippy::disallowed_methods,
    reason = "measuring time is what a bench is for; nothing is decided by it"
)]
fn measure(partitions: u32, assignor: &str, past: Option<&Past>, rounds: u64) -> Vec<f64> {
    let (policy, mut state) = watched(partitions, assignor, past);
    let mut microseconds = Vec::new();
    for round in 0..rounds {
        let seconds = BEGIN + round * TICK;
        let observation = observation(partitions, seconds, assignor);
        let now = Timestamp::from_secs(seconds);
        let started = std::time::Instant::now();
        let (next, decision) = decide(&policy, state, &observation, now);
        let elapsed = started.elapsed();
        std::hint::black_box(decision);
        state = next;
        microseconds.push(elapsed.as_secs_f64() * 1e6);
    }
    microseconds.sort_by(f64::total_cmp);
    microseconds
}

/// KiB of memory that this process has.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let figure = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    figure.unwrap_or(f64::NAN)
}

/// How much memory targets have, one without and one with a calendar.
fn print_memory(past: &Past) {
    let mut all = Vec::new();
    println!("KiB a target of 24 partitions, mean of {TARGETS}");
    for (surges, past) in [(0, None), (past.surges(), Some(past))] {
        let before = resident();
        all.extend((0..TARGETS).map(|_| watched(24, "range", past)));
        let each = (resident() - before) / f64::from(TARGETS);
        println!("{each:>10.1} with {surges} surges known");
    }
    std::hint::black_box(all);
}

fn main() {
    let past = full_past();
    print_memory(&past);
    println!(
        "{:>10} {:>20} {:>12} {:>12} {:>12} {:>22}",
        "partitions", "assignor", "fastest us", "median us", "mean us", "mean with a calendar"
    );
    for (partitions, rounds) in [(24, 2_000), (1_000, 300), (10_000, 60)] {
        for assignor in ["cooperative-sticky", "range"] {
            let without = measure(partitions, assignor, None, rounds);
            let with = measure(partitions, assignor, Some(&past), rounds);
            let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
            let at = |index: usize| without.get(index).copied().unwrap_or(f64::NAN);
            println!(
                "{partitions:>10} {assignor:>20} {:>12.1} {:>12.1} {:>12.1} {:>22.1}",
                at(0),
                at(without.len() / 2),
                mean(&without),
                mean(&with),
            );
        }
    }
}
