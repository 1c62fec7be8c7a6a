//! Tables: which lag counts.

use crate::world::{World, is_active, policy, replicas};
use crate::{
    Committed, Decision, Inputs, LogOffsets, OffsetReset, Policy, Reading, Stage, State, Verdict,
    decide,
};

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

/// The records of the lag that are not counted, by the trail.
fn left_out(decision: &Decision) -> u64 {
    let mut trail = decision.trail.iter();
    let lag = trail.find(|step| step.stage == Stage::Lag).unwrap();
    match lag.why.split_once(" of them not counted") {
        Some((before, _)) => before.rsplit(' ').next().unwrap().parse().unwrap(),
        None => 0,
    }
}

/// What a decision says of commits that stand still.
fn standing_still(decision: &Decision) -> Option<&str> {
    let verdicts = [Verdict::StuckPartition, Verdict::MembersStalled];
    let mut findings = decision.findings.iter();
    let found = findings.find(|finding| verdicts.contains(&finding.verdict));
    found.map(|finding| &*finding.why)
}

/// Members that work off one partition after the other, known for five minutes at little load.
fn in_turn(partitions: usize, members: u32, records: fn(usize) -> f64) -> World {
    let policy = Policy {
        max_replicas: Some(members),
        ..policy()
    };
    let mut world = World::new(policy, vec![1.0; partitions], members as usize);
    world.in_turn = Some(records);
    world.minutes(5);
    world
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
    let left_out = left_out(&decision);
    assert!(left_out > 8_000 && left_out <= decision.inputs.lag_records);
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

/// Loads are polls and records/s of each partition.
fn check_turns(partitions: usize, members: u32, records: fn(usize) -> f64, loads: &[(usize, f64)]) {
    let mut world = in_turn(partitions, members, records);
    for &(polls, rate) in loads {
        world.rates.fill(rate);
        for poll in 0..polls {
            let decision = world.poll();
            let at = || format!("of {partitions}, {rate}/s, poll {poll}: {decision:#?}");
            assert_eq!(standing_still(&decision), None, "{}", at());
            // What commits normally take, 10 s, counts for nothing anyway.
            let normal = world.rates.iter().sum::<f64>() * 10.0;
            let most = decision.inputs.lag_records as f64 * 0.1 + normal;
            assert!(left_out(&decision) as f64 <= most, "{}", at());
        }
    }
}

#[test]
fn partitions_that_wait_for_their_turn_are_not_stuck_and_count() {
    // Turns of 30 to 60 s.
    let records = |partition: usize| 3_000.0 + 1_000.0 * (partition % 4) as f64;
    check_turns(12, 1, records, &[(480, 20.0)]);
}

#[test]
fn nor_are_those_of_owners_with_few_and_uneven_numbers() {
    // Three, two and two; four and three.
    check_turns(7, 3, |_| 7_000.0, &[(480, 70.0)]);
    check_turns(14, 4, |_| 5_000.0, &[(480, 50.0)]);
}

#[test]
fn nor_those_that_wait_for_as_many_records_as_a_consumer_polls() {
    // max.poll.records.
    check_turns(24, 1, |_| 500.0, &[(480, 10.0)]);
}

#[test]
fn nor_those_that_wait_until_others_are_worked_off_whole() {
    check_turns(12, 1, |_| f64::INFINITY, &[(9, 100.0), (240, 0.0)]);
}

#[test]
fn a_stuck_partition_is_found_however_many_others_wait() {
    // Whether the owner works off one after the other, records/s each, and found after so many seconds.
    for (turns, rate, found) in [(true, 5.0, 75), (true, 20.0, 620), (false, 20.0, 620)] {
        let mut world = in_turn(12, 1, |_| 3_000.0);
        world.in_turn = world.in_turn.filter(|_| turns);
        world.poison = Some(5);
        world.rates.fill(rate);
        let begun = world.seconds;
        for _ in 0..360 {
            let decision = world.poll();
            let why = standing_still(&decision);
            let late = world.seconds - begun > found;
            assert!(
                why.is_some() || !late,
                "{turns} {rate}: {}",
                world.seconds - begun
            );
            assert!(
                why.is_none_or(|why| why.starts_with("trades-5 ")),
                "{why:?}"
            );
        }
    }
}

#[test]
fn a_stuck_partition_among_others_that_wait_raises_nothing_for_long() {
    let mut world = in_turn(12, 1, |_| 3_000.0);
    world.policy.max_replicas = None;
    world.rates.fill(40.0);
    let mut healthy = world.clone();
    world.poison = Some(5);
    world.minutes(40);
    healthy.minutes(40);
    assert_eq!(replicas(&world.poll()), replicas(&healthy.poll()));
}

#[test]
fn a_member_that_stops_while_partitions_wait_for_their_turn_is_stalled() {
    let mut world = in_turn(12, 1, |_| 3_000.0);
    world.rates.fill(20.0);
    world.minutes(10);
    world.downstream = 0.0;
    world.minutes(3);
    let decision = world.poll();
    assert_eq!(decision.verdict, Verdict::MembersStalled, "{decision:#?}");
    let stuck = |one: &crate::Finding| one.verdict == Verdict::StuckPartition;
    assert!(!decision.findings.iter().any(stuck), "{decision:#?}");
}

#[test]
fn a_lag_is_never_said_to_be_older_than_its_first_record() {
    // Records that begin before the first poll, or after some.
    for (quiet_polls, unseen_seconds) in [(0, 50), (120, 0)] {
        let mut world = World::new(policy(), vec![0.0; 4], 0);
        world.follow = false;
        world.polls(quiet_polls);
        world.rates.fill(100.0);
        for _ in 0..unseen_seconds {
            world.second();
        }
        let begun = world.seconds;
        for _ in 0..120 {
            let decision = world.poll();
            let age = decision.inputs.lag_seconds.unwrap_or(0.0);
            let seen = (world.seconds - begun) as f64;
            let waited = seen + f64::from(unseen_seconds);
            assert!(age <= waited && age + 20.0 >= seen, "{age} of {waited} s");
        }
    }
}
