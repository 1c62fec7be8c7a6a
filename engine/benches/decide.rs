//! How long one decision takes: `cargo bench -p evenkeel-engine`.
//!
//! Standard library only, no statistics beyond the fastest and the median of many: the question is
//! whether a poll of a large cluster is dominated by deciding (it must not be), not the last percent.
//! Each line decides for one target that has been observed for ten minutes: its skewed partitions
//! are written and read, and its group is stable.

use std::time::Duration;

use evenkeel_engine::{
    AssignedTopic, Committed, GroupObservation, GroupProtocol, GroupState, LogOffsets, Member,
    Observation, OffsetReset, PartitionObservation, Policy, PrometheusObservation, Reading, State,
    Timestamp, TopicObservation, Tuning, WorkloadObservation, decide,
};

fn policy() -> Policy {
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
        learns_calendar: true,
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

#[expect(
    clippy::disallowed_methods,
    reason = "measuring time is what a bench is for; nothing is decided by it"
)]
fn measure(partitions: u32, assignor: &str, rounds: u64) -> (f64, f64) {
    let policy = policy();
    let mut state = State::default();
    let mut microseconds = Vec::new();
    for round in 0..120 + rounds {
        let seconds = 1_000 + round * 5;
        let observation = observation(partitions, seconds, assignor);
        let now = Timestamp::from_secs(seconds);
        let started = std::time::Instant::now();
        let (next, decision) = decide(&policy, state, &observation, now);
        let elapsed = started.elapsed();
        std::hint::black_box(decision);
        state = next;
        if round >= 120 {
            microseconds.push(elapsed.as_secs_f64() * 1e6);
        }
    }
    microseconds.sort_by(f64::total_cmp);
    let at = |index: usize| microseconds.get(index).copied().unwrap_or(f64::NAN);
    (at(0), at(microseconds.len() / 2))
}

fn main() {
    println!(
        "{:>10} {:>20} {:>12} {:>12}",
        "partitions", "assignor", "fastest us", "median us"
    );
    for (partitions, rounds) in [(24, 2_000), (1_000, 300), (10_000, 60)] {
        for assignor in ["cooperative-sticky", "range"] {
            let (fastest, median) = measure(partitions, assignor, rounds);
            println!("{partitions:>10} {assignor:>20} {fastest:>12.1} {median:>12.1}");
        }
    }
}
