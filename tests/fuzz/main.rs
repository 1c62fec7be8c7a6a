//! What comes from outside, bent at random: frames of brokers, KEDA's requests, Prometheus' answers, the
//! configuration. Nothing of it may panic, hang, or become a number that is none.
//!
//! Each test begins with good examples (`corpus`, and a scripted cluster) and bends them by
//! [`bend`]. proptest shrinks what fails and keeps it beside the test (`*.regressions`), so that it is
//! tried first from then on. `make test` runs some thousands of cases, `make fuzz` as many times more as it is told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here"
)]

mod answers;
mod bend;
mod calendar;
mod calls;
mod configuration;
#[path = "../support/fake_broker.rs"]
mod fake_broker;
mod frames;

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::test_runner::{Config, FileFailurePersistence};

static PANICS: AtomicUsize = AtomicUsize::new(0);
static HOOK: Once = Once::new();

/// `cases` of them, times `FUZZ_TIMES`; for the tests in the source file `source`.
fn cases(source: &'static str, cases: u32) -> Config {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            before(panic);
        }));
    });
    let times = std::env::var("FUZZ_TIMES").ok();
    let times = times.map_or(1, |times| times.parse().expect("FUZZ_TIMES is a number"));
    Config {
        cases: cases.saturating_mul(times),
        max_shrink_iters: 2_000,
        source_file: Some(source),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..Config::default()
    }
}

/// How often something has panicked, also where that was caught.
fn panics() -> usize {
    PANICS.load(Ordering::SeqCst)
}
