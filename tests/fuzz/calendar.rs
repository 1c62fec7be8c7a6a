//! `calendarEvents`: cron expressions, time zones and YAML of any kind, seen from any moment.

use std::time::Duration;

use evenkeel_engine::Timestamp;
use evenkeel_scaler::calendar::{Calendar, LISTED};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::bend::{bend_text, bends};
use crate::{cases, panics};

/// Fields of cron expressions as people write them, and worse.
const FIELDS: [&str; 26] = [
    "*", "*/5", "*/0", "0", "5", "23", "31", "59", "60", "1-5", "5-1", "1,15", "10/20", "L", "LW",
    "15W", "31W", "1#1", "1#5", "1#6", "7L", "MON", "feb", "?", "-1", "",
];

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "Mars/Olympus",
];

fn cron() -> impl Strategy<Value = String> {
    // Mostly ordinary ones: of five fields at random hardly any comes true.
    prop_oneof![
        2 => (0..60, 0..24).prop_map(|(minute, hour)| format!("{minute} {hour} * * *")),
        3 => vec(select(FIELDS.to_vec()), 5).prop_map(|fields| fields.join(" ")),
        1 => vec(select(FIELDS.to_vec()), 0..7).prop_map(|fields| fields.join(" ")),
    ]
}

fn event() -> impl Strategy<Value = String> {
    let until = prop_oneof![
        cron().prop_map(|end| format!("end: '{end}'")),
        (60_u64..200_000).prop_map(|seconds| format!("duration: {seconds}s")),
    ];
    (select(ZONES.to_vec()), cron(), until).prop_map(|(zone, start, until)| {
        format!("- {{timezone: {zone}, start: '{start}', {until}, desiredReplicas: 3}}\n")
    })
}

fn events() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => vec(event(), 1..3).prop_map(|events| events.concat()),
        1 => (event(), bends()).prop_map(|(event, bends)| bend_text(&event, &bends)),
    ]
}

proptest! {
    #![proptest_config(cases(file!(), 500))]

    #[test]
    fn no_event_does_harm(
        text in events(),
        now in prop_oneof![4 => 1_700_000_000_000_u64..2_100_000_000_000, 1 => any::<u64>()],
    ) {
        let before = panics();
        match Calendar::read(&text) {
            Ok(calendar) => {
                let now = Timestamp::from_millis(now);
                for within in [Duration::ZERO, LISTED] {
                    for one in calendar.occurrences(now, within) {
                        prop_assert!(one.event.starts_at < one.event.ends_at, "{one:?}");
                        prop_assert!(now < one.event.ends_at, "{one:?}");
                        prop_assert!(!calendar.words(one).is_empty(), "{one:?}");
                    }
                }
            }
            Err(errors) => prop_assert!(!errors.is_empty()),
        }
        prop_assert_eq!(panics(), before);
    }
}
