//! The loops under paused time, with observers that answer as the test says.
//!
//! Time here is virtual: a `sleep` of the test lets the loops run for as long as it says, and takes
//! no time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here"
)]

#[path = "control/world.rs"]
mod world;

use std::time::Duration;

use evenkeel_engine::{Cause, Desired, PrometheusObservation};
use evenkeel_scaler::control::kept::{Found, Subject};
use evenkeel_scaler::control::target::Target;
use evenkeel_scaler::observe::Depth::{Full, LogEndsOnly};
use evenkeel_scaler::observe::Problem;
use tokio::time::sleep;
use world::{Answer, World, panic_on_thirteen};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_new_target_is_observed_at_once_and_cold_and_then_at_the_poll_interval() {
    let world = World::start();
    world.register("a", "main");
    sleep(11 * SECOND).await;
    assert_eq!(
        world.calls("main"),
        vec![
            (0, vec![("a".to_owned(), Full, true)]),
            (5_000, vec![("a".to_owned(), Full, false)]),
            (10_000, vec![("a".to_owned(), Full, false)]),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn targets_of_one_cluster_share_one_call() {
    let world = World::start();
    world.register("b", "main");
    world.register("a", "main");
    world.register("c", "other");
    sleep(SECOND).await;
    assert_eq!(
        world.calls("main"),
        vec![(
            0,
            vec![("a".to_owned(), Full, true), ("b".to_owned(), Full, true)]
        )]
    );
    assert_eq!(
        world.calls("other"),
        vec![(0, vec![("c".to_owned(), Full, true)])]
    );
}

#[tokio::test(start_paused = true)]
async fn a_target_that_registers_between_two_ticks_does_not_wait_and_does_not_move_the_pace() {
    let world = World::start();
    world.register("a", "main");
    sleep(2 * SECOND).await;
    world.register("b", "main");
    sleep(4 * SECOND).await;
    assert_eq!(
        world.calls("main"),
        vec![
            (0, vec![("a".to_owned(), Full, true)]),
            (2_000, vec![("b".to_owned(), Full, true)]),
            (
                5_000,
                vec![("a".to_owned(), Full, false), ("b".to_owned(), Full, false)]
            ),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_history_is_asked_for_until_a_log_was_read() {
    let world = World::start();
    world.answer("main", Answer::Unknown(Cause::Unreachable));
    world.register("a", "main");
    sleep(6 * SECOND).await;
    world.answer("main", Answer::Known);
    sleep(10 * SECOND).await;
    let cold: Vec<bool> = world
        .calls("main")
        .iter()
        .map(|(_, requests)| requests[0].2)
        .collect();
    assert_eq!(cold, vec![true, true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_sleeping_target_with_a_stream_has_its_log_ends_read_every_second() {
    let world = World::start();
    let target = world.register("a", "main");
    let _stream = target.open_stream();
    sleep(6 * SECOND + SECOND / 2).await;
    let depths: Vec<_> = world
        .calls("main")
        .iter()
        .map(|(at, requests)| (*at, requests[0].1))
        .collect();
    assert_eq!(
        depths,
        vec![
            (0, Full),
            (1_000, LogEndsOnly),
            (2_000, LogEndsOnly),
            (3_000, LogEndsOnly),
            (4_000, LogEndsOnly),
            (5_000, Full),
            (6_000, LogEndsOnly),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_sleeping_target_that_nobody_streams_is_left_to_the_poll_interval() {
    let world = World::start();
    world.register("a", "main");
    sleep(6 * SECOND).await;
    assert_eq!(world.calls("main").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_grows_wakes_its_target_within_the_asleep_interval() {
    let world = World::start();
    let target = world.register("a", "main");
    let other = world.register("b", "main");
    let _streams = (target.open_stream(), other.open_stream());
    sleep(SECOND + SECOND / 2).await;
    world.log_end("a", 7);
    sleep(SECOND).await;
    let calls = world.calls("main");
    assert_eq!(
        calls.last(),
        Some(&(2_000, vec![("a".to_owned(), Full, false)])),
        "only the target whose log grew, and in the same tick: {calls:?}"
    );
    assert!(world.active("a"));
    assert!(!world.active("b"));
    sleep(SECOND).await;
    let calls = world.calls("main");
    assert_eq!(
        calls.last(),
        Some(&(3_000, vec![("b".to_owned(), LogEndsOnly, false)])),
        "awake now: {calls:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn ticks_missed_by_a_slow_one_are_skipped() {
    let world = World::start();
    world.answer("main", Answer::After(12 * SECOND));
    world.register("a", "main");
    sleep(SECOND).await;
    world.answer("main", Answer::Known);
    sleep(20 * SECOND).await;
    let times: Vec<u64> = world.calls("main").iter().map(|(at, _)| *at).collect();
    assert_eq!(times, vec![0, 12_000, 17_000]);
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_never_returns_is_replaced_and_its_targets_are_unknown() {
    let world = World::start();
    world.answer("main", Answer::Never);
    let target = world.register("a", "main");
    let _stream = target.open_stream();
    sleep(31 * SECOND).await;
    let published = world.published("a");
    assert_eq!(
        published.decision.desired,
        Desired::Unknown {
            cause: Cause::Timeout
        }
    );
    assert!(
        published.problems[0].contains("did not answer everything within 30 s"),
        "{:?}",
        published.problems
    );
    world.answer("main", Answer::Known);
    sleep(40 * SECOND).await;
    assert!(matches!(
        world.published("a").decision.desired,
        Desired::Known { .. }
    ));
    assert_eq!(
        world.observers_made("main"),
        3,
        "one for each tick that hung, and one"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_cluster_does_not_stall_another() {
    let world = World::start();
    world.answer("slow", Answer::Never);
    world.register("a", "slow");
    world.register("b", "fast");
    sleep(21 * SECOND).await;
    assert_eq!(world.calls("fast").len(), 5);
    assert_eq!(world.calls("slow").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_nobody_asks_for_is_forgotten_and_its_loop_ends() {
    let world = World::start();
    world.register("a", "main");
    let kept = world.register("b", "kept");
    let stream = kept.open_stream();
    sleep(61 * SECOND).await;
    assert_eq!(world.registered(), vec!["b"]);
    let calls = world.calls("main").len();
    assert_eq!(world.observers_alive("main"), 0);
    sleep(60 * SECOND).await;
    assert_eq!(world.calls("main").len(), calls, "no loop runs on");

    world.register("a", "main");
    sleep(SECOND).await;
    let again = world.calls("main");
    assert_eq!(
        again.last().map(|(_, requests)| requests.clone()),
        Some(vec![("a".to_owned(), Full, true)]),
        "it came back and starts cold"
    );
    drop(stream);
    sleep(2 * SECOND).await;
    assert_eq!(world.registered(), vec!["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_engine_leaves_the_last_decision_and_the_other_targets_alone() {
    let world = World::start_with(panic_on_thirteen);
    world.register("a", "main");
    world.register("b", "main");
    sleep(SECOND).await;
    let before = world.published("a").decision;
    world.log_end("a", 13);
    sleep(6 * SECOND).await;
    assert_eq!(world.published("a").decision, before);
    assert!(world.published("b").decision.at > before.at);
    assert_eq!(world.metrics.engine_panics.get(), 1);
    world.log_end("a", 14);
    sleep(5 * SECOND).await;
    assert!(world.published("a").decision.at > before.at, "it goes on");
    let calls = world.calls("main");
    assert_eq!(
        calls.last().map(|(_, requests)| requests[0].2),
        Some(true),
        "the state is gone, so the history is asked for again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_panics_is_started_again() {
    let world = World::start();
    world.answer("main", Answer::Panic);
    world.register("a", "main");
    sleep(SECOND / 2).await;
    world.answer("main", Answer::Known);
    sleep(3 * SECOND).await;
    assert_eq!(world.metrics.loop_panics.get(), 1);
    assert!(matches!(
        world.published("a").decision.desired,
        Desired::Known { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_may_not_be_observed_says_why_and_is_tried_again() {
    let world = World::start();
    world.refuse(Some(Problem {
        cause: Cause::Refused,
        sentence: "too many ad-hoc clusters".to_owned(),
    }));
    world.register("a", "main");
    sleep(SECOND).await;
    let published = world.published("a");
    assert_eq!(published.problems, vec!["too many ad-hoc clusters"]);
    assert_eq!(
        published.decision.desired,
        Desired::Unknown {
            cause: Cause::Refused
        }
    );
    world.refuse(None);
    sleep(5 * SECOND).await;
    assert_eq!(world.published("a").problems, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn data_is_as_old_as_the_last_complete_reading() {
    let world = World::start();
    world.answer("main", Answer::Unknown(Cause::Unreachable));
    world.register("a", "main");
    sleep(SECOND).await;
    assert_eq!(world.published("a").data_at, None, "nothing was ever read");
    world.answer("main", Answer::Known);
    sleep(5 * SECOND).await;
    let data_at = world.published("a").data_at;
    assert_eq!(data_at, Some(world.published("a").decision.at));
    world.answer("main", Answer::Unknown(Cause::Moving));
    sleep(10 * SECOND).await;
    let published = world.published("a");
    assert_eq!(published.data_at, data_at);
    assert!(Some(published.decision.at) > data_at);
}

#[tokio::test(start_paused = true)]
async fn targets_that_share_a_query_ask_it_once_a_tick() {
    let world = World::start();
    world.baseline("http://one/", Some(Duration::ZERO));
    world.register_with_baseline("a", "main", "http://one/");
    world.register_with_baseline("b", "main", "http://one/");
    sleep(6 * SECOND).await;
    assert_eq!(world.asked("http://one/"), vec![(0, true), (5_000, false)]);
    for name in ["a", "b"] {
        assert!(
            matches!(
                world.seen_baseline(name),
                PrometheusObservation::Known { .. }
            ),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_prometheus_that_never_answers_holds_no_tick_up_and_is_asked_no_second_time() {
    let world = World::start();
    world.baseline("http://dead/", None);
    world.baseline("http://live/", Some(Duration::ZERO));
    world.register_with_baseline("a", "main", "http://dead/");
    world.register_with_baseline("b", "main", "http://live/");
    sleep(11 * SECOND).await;
    let times: Vec<u64> = world.calls("main").iter().map(|(at, _)| *at).collect();
    assert_eq!(times, vec![0, 5_000, 10_000]);
    assert_eq!(world.asked("http://dead/").len(), 1);
    assert_eq!(world.asked("http://live/").len(), 3);
    assert_eq!(
        world.seen_baseline("a"),
        PrometheusObservation::Unknown(Cause::NotYetObserved)
    );
    assert!(matches!(
        world.seen_baseline("b"),
        PrometheusObservation::Known { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_baseline_that_comes_late_counts_at_the_next_tick() {
    let world = World::start();
    world.baseline("http://slow/", Some(2 * SECOND));
    world.register_with_baseline("a", "main", "http://slow/");
    sleep(SECOND).await;
    assert_eq!(
        world.seen_baseline("a"),
        PrometheusObservation::Unknown(Cause::NotYetObserved)
    );
    sleep(5 * SECOND).await;
    assert!(matches!(
        world.seen_baseline("a"),
        PrometheusObservation::Known { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn what_came_in_on_earlier_days_is_asked_for_once_and_outlives_an_edit() {
    let world = World::start();
    let url = "http://prometheus:9090";
    let surges = |target: &Target| {
        let found = world.memory.pasts.find(&Subject::of(&target.spec));
        match found {
            Found::Learned(kept) => (kept.time_zone.clone(), kept.past.surges()),
            other => panic!("{other:?}"),
        }
    };
    world.minutes_fail(2);
    let target = world.register_with_days("a", url, 1, "UTC");
    let asked_for = target.open_stream();
    // It fails, is asked again after one minute, and then after two.
    for (seconds, asked) in [(20, 1), (60, 2), (90, 2), (60, 2 + 28)] {
        sleep(seconds * SECOND).await;
        assert_eq!(world.minutes_asked(url), asked);
    }
    sleep(600 * SECOND).await;
    assert_eq!(world.minutes_asked(url), 30);
    let (zone, known) = surges(&target);
    assert_eq!(zone, "UTC");
    assert!((27..=28).contains(&known), "{known}");
    // Other metadata of the same group and topics.
    drop(asked_for);
    let edited = world.register_with_days("a", url, 2, "UTC");
    let asked_for = edited.open_stream();
    sleep(600 * SECOND).await;
    assert_eq!(world.minutes_asked(url), 30);
    assert_eq!(surges(&edited), ("UTC".to_owned(), known));
    // By other clocks the minutes that are kept are others.
    drop(asked_for);
    let moved = world.register_with_days("a", url, 3, "Asia/Tokyo");
    let _asked_for = moved.open_stream();
    sleep(600 * SECOND).await;
    assert_eq!(world.minutes_asked(url), 58);
    assert_eq!(surges(&moved).0, "Asia/Tokyo");
}

#[tokio::test(start_paused = true)]
async fn where_days_do_not_recur_nothing_is_asked_of_them() {
    let world = World::start();
    let url = "http://prometheus:9090";
    world.register_with_baseline("a", "main", url);
    sleep(600 * SECOND).await;
    assert_eq!(world.minutes_asked(url), 0);
}
