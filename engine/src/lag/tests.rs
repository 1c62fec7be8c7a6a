//! Tables: which lag counts.

use crate::world::{World, is_active, policy, replicas};
use crate::{Committed, Inputs, LogOffsets, OffsetReset, Policy, Reading, State, Verdict, decide};

/// The figures of one partition with this log and commit, seen for the first time.
fn check(policy: Policy, start: u64, end: u64, committed: Committed) -> (Inputs, bool) {
    let world = World::new(policy.clone(), vec![0.0], 1);
    let mut observation = world.observation();
    if let Reading::Known(partitions) = &mut observation.topics[0].partitions {
        partitions[0].log = Reading::Known(LogOffsets { start, end });
        partitions[0].committed = Reading::Known(committed);
        partitions[0].history = None;
    }
    let (_, decision) = decide(&policy, State::default(), &observation, world.now());
    let active = is_active(&decision);
    (decision.inputs, active)
}

#[test]
fn lag_runs_from_the_commit_or_from_what_retention_has_left() {
    for (start, end, committed, expected) in [
        (0, 100, 40, 60),
        (70, 100, 40, 30),
        (0, 100, 100, 0),
        (500, 100, 0, 0),
        (0, u64::MAX, 0, u64::MAX),
    ] {
        let (inputs, active) = check(policy(), start, end, Committed::At(committed));
        assert_eq!(
            inputs.lag_records, expected,
            "{start}..{end} from {committed}"
        );
        assert_eq!(active, expected > 0);
    }
}

#[test]
fn without_a_commit_the_reset_policy_says_what_is_lag() {
    let with = |offset_reset, scale_to_zero| Policy {
        offset_reset,
        scale_to_zero_on_invalid_offset: scale_to_zero,
        ..policy()
    };
    for (offset_reset, scale_to_zero, lag, awake) in [
        (OffsetReset::Earliest, false, 60, true),
        (OffsetReset::Earliest, true, 0, false),
        (OffsetReset::Latest, false, 0, true),
        (OffsetReset::Latest, true, 0, false),
    ] {
        // A commit behind the end is of a log that began anew: clients reset by the same policy.
        for committed in [Committed::Never, Committed::At(400)] {
            let (inputs, active) = check(with(offset_reset, scale_to_zero), 40, 100, committed);
            assert_eq!(
                (inputs.lag_records, active),
                (lag, awake),
                "{offset_reset:?} {scale_to_zero} {committed:?}"
            );
            // Where nothing is, nothing waits for a first commit.
            let (inputs, active) = check(with(offset_reset, scale_to_zero), 40, 40, committed);
            assert_eq!((inputs.lag_records, active), (0, false), "{offset_reset:?}");
        }
    }
}

#[test]
fn the_breath_of_a_batch_consumer_does_not_count() {
    let mut world = World::new(policy(), vec![40.0; 8], 4);
    world.commit_seconds = 20;
    world.minutes(5);
    let mut breath = 0;
    for _ in 0..24 {
        let decision = world.poll();
        breath = breath.max(decision.inputs.lag_records);
        assert_eq!(
            decision.inputs.lag_counted_records, 0,
            "{:#?}",
            decision.inputs
        );
    }
    assert!(breath > 4_000, "{breath}");
}

#[test]
fn a_poison_partition_is_named_and_its_lag_shown_and_not_counted() {
    let mut world = World::new(policy(), vec![30.0; 8], 4);
    world.minutes(5);
    world.poison = Some(6);
    world.minutes(5);
    let decision = world.poll();
    assert!(decision.inputs.lag_records > 8_000);
    assert_eq!(decision.inputs.lag_counted_records, 0);
    assert_eq!(decision.verdict, Verdict::StuckPartition);
    assert!(
        decision.findings[0].why.starts_with("trades-6 "),
        "{:?}",
        decision.findings
    );
    // The number is the rate's, and the trail says what it left out: partition 6's nine thousand.
    assert!(
        decision.reason.starts_with("240 records/s come in"),
        "{}",
        decision.reason
    );
    let mut trail = decision.trail.iter();
    let lag = trail.find(|step| step.stage == crate::Stage::Lag).unwrap();
    let (_, left_out) = lag.why.split_once(" are not committed, ").unwrap();
    let left_out: u64 = left_out.split(' ').next().unwrap().parse().unwrap();
    assert!(
        left_out > 8_000 && left_out <= decision.inputs.lag_records,
        "{}",
        lag.why
    );
}

#[test]
fn members_that_commit_nothing_anywhere_are_reported_and_nothing_is_lowered() {
    let mut world = World::new(policy(), vec![30.0; 8], 4);
    world.minutes(6);
    let before = replicas(&world.poll());
    world.downstream = 0.0;
    world.scale_rates(0.1);
    world.minutes(15);
    let decision = world.poll();
    assert_eq!(decision.verdict, Verdict::MembersStalled, "{decision:#?}");
    assert_eq!(replicas(&decision), before);
}

#[test]
fn a_commit_behind_the_last_stable_offset_is_none_of_a_log_that_began_anew() {
    let policy = Policy {
        offset_reset: OffsetReset::Earliest,
        read_committed: true,
        ..policy()
    };
    let (inputs, active) = check(policy, 40, 100, Committed::At(400));
    assert_eq!((inputs.lag_records, active), (0, false));
}
