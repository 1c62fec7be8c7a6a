//! When events come: on ordinary days, where clocks are put forward and back, and never.

use super::*;

fn calendar(text: &str) -> Calendar {
    Calendar::read(text).unwrap()
}

fn at(text: &str) -> Timestamp {
    timestamp(text.parse().unwrap()).unwrap()
}

/// One event in Berlin.
fn berlin(start: &str, end: &str) -> Calendar {
    calendar(&format!(
        "- timezone: Europe/Berlin\n  start: \"{start}\"\n  {end}\n  desiredReplicas: 12\n"
    ))
}

/// What goes on or comes next, seen from `now`, in UTC.
fn next(calendar: &Calendar, now: &str) -> (String, String) {
    let next = calendar.occurrences(at(now), Duration::ZERO);
    let [one] = next.as_slice() else {
        panic!("{next:?}")
    };
    let utc = |at| moment(at).unwrap().to_string();
    (utc(one.event.starts_at), utc(one.event.ends_at))
}

#[track_caller]
fn check(calendar: &Calendar, now: &str, starts: &str, ends: &str) {
    let expected = (starts.to_owned(), ends.to_owned());
    assert_eq!(next(calendar, now), expected, "seen from {now}");
}

#[test]
fn an_event_is_the_one_that_goes_on_or_else_the_next() {
    // 2026-11-27 is a Friday.
    let events = berlin("0 8 * * 1-5", "end: 30 10 * * 1-5");
    for now in [
        "2026-11-26T09:30:00Z",
        "2026-11-27T06:59:59Z",
        "2026-11-27T07:00:00Z",
        "2026-11-27T09:29:59Z",
    ] {
        check(&events, now, "2026-11-27T07:00:00Z", "2026-11-27T09:30:00Z");
    }
    check(
        &events,
        "2026-11-27T09:30:00Z",
        "2026-11-30T07:00:00Z",
        "2026-11-30T09:30:00Z",
    );
    let lasting = berlin("0 8 * * 1-5", "duration: 150m");
    for now in ["2026-11-26T10:00:00Z", "2026-11-27T09:29:59Z"] {
        check(
            &lasting,
            now,
            "2026-11-27T07:00:00Z",
            "2026-11-27T09:30:00Z",
        );
    }
}

#[test]
fn an_end_on_every_day_does_not_make_other_days_events() {
    let events = berlin("0 8 * * 1", "end: 0 10 * * *");
    // A Tuesday between 8 and 10.
    check(
        &events,
        "2026-11-24T08:30:00Z",
        "2026-11-30T07:00:00Z",
        "2026-11-30T09:00:00Z",
    );
}

#[test]
fn an_event_may_go_on_over_midnight_and_over_its_own_next_start() {
    let nights = berlin("0 22 * * *", "end: 0 5 * * *");
    check(
        &nights,
        "2026-11-27T01:00:00Z",
        "2026-11-26T21:00:00Z",
        "2026-11-27T04:00:00Z",
    );
    let hours = berlin("0 * * * *", "end: 30 17 * * *");
    check(
        &hours,
        "2026-11-27T15:00:00Z",
        "2026-11-26T17:00:00Z",
        "2026-11-27T16:30:00Z",
    );
    let always = berlin("* * * * *", "duration: 1h");
    check(
        &always,
        "2026-11-27T15:00:30Z",
        "2026-11-27T14:01:00Z",
        "2026-11-27T15:01:00Z",
    );
}

#[test]
fn clocks_that_are_put_forward_move_an_event_with_them() {
    let events = berlin("0 8 * * *", "end: 0 9 * * *");
    for (now, starts, ends) in [
        (
            "2026-03-28T00:00:00Z",
            "2026-03-28T07:00:00Z",
            "2026-03-28T08:00:00Z",
        ),
        (
            "2026-03-28T08:00:00Z",
            "2026-03-29T06:00:00Z",
            "2026-03-29T07:00:00Z",
        ),
        (
            "2026-10-24T07:00:00Z",
            "2026-10-25T07:00:00Z",
            "2026-10-25T08:00:00Z",
        ),
    ] {
        check(&events, now, starts, ends);
    }
}

#[test]
fn in_the_hour_that_does_not_exist_an_event_begins_when_the_clocks_have_jumped() {
    // 02:00 is 03:00 on 2026-03-29, at 01:00 UTC.
    let (starts, jump) = ("2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z");
    let inside = berlin("10 2 * * *", "end: 40 2 * * *");
    check(
        &inside,
        "2026-03-28T01:40:00Z",
        jump,
        "2026-03-29T01:40:00Z",
    );
    check(
        &inside,
        "2026-03-29T01:39:59Z",
        jump,
        "2026-03-29T01:40:00Z",
    );
    check(
        &inside,
        "2026-03-29T01:40:00Z",
        "2026-03-30T00:10:00Z",
        "2026-03-30T00:40:00Z",
    );
    let lasting = berlin("10 2 * * *", "duration: 30m");
    check(&lasting, starts, jump, "2026-03-29T01:40:00Z");
    let across = berlin("30 1 * * *", "end: 30 3 * * *");
    check(
        &across,
        starts,
        "2026-03-29T00:30:00Z",
        "2026-03-29T01:30:00Z",
    );
}

#[test]
fn in_the_hour_that_comes_twice_an_event_is_there_for_both() {
    // 03:00 is 02:00 again on 2026-10-25, at 01:00 UTC.
    let noon = "2026-10-24T12:00:00Z";
    let inside = berlin("10 2 * * *", "end: 40 2 * * *");
    for now in [noon, "2026-10-25T00:40:00Z", "2026-10-25T01:39:59Z"] {
        check(&inside, now, "2026-10-25T00:10:00Z", "2026-10-25T01:40:00Z");
    }
    check(
        &inside,
        "2026-10-25T01:40:00Z",
        "2026-10-26T01:10:00Z",
        "2026-10-26T01:40:00Z",
    );
    let lasting = berlin("10 2 * * *", "duration: 30m");
    check(
        &lasting,
        noon,
        "2026-10-25T00:10:00Z",
        "2026-10-25T01:40:00Z",
    );
    check(
        &lasting,
        "2026-10-25T01:39:59Z",
        "2026-10-25T00:10:00Z",
        "2026-10-25T01:40:00Z",
    );
}

#[test]
fn rare_days_come_when_they_come() {
    let leap = calendar("{timezone: UTC, start: 0 0 29 2 *, duration: 1h, desiredReplicas: 2}");
    check(
        &leap,
        "2026-11-29T00:00:00Z",
        "2028-02-29T00:00:00Z",
        "2028-02-29T01:00:00Z",
    );
    let month_end =
        calendar("{timezone: UTC, start: 0 6 L * *, end: 0 9 * * *, desiredReplicas: 2}");
    check(
        &month_end,
        "2026-12-30T10:00:00Z",
        "2026-12-31T06:00:00Z",
        "2026-12-31T09:00:00Z",
    );
    let first_monday =
        calendar("{timezone: UTC, start: 0 6 * * MON#1, end: 0 9 * * *, desiredReplicas: 2}");
    check(
        &first_monday,
        "2026-11-29T00:00:00Z",
        "2026-12-07T06:00:00Z",
        "2026-12-07T09:00:00Z",
    );
}

#[test]
fn what_follows_within_a_day_is_listed_and_the_engine_gets_the_first_of_each() {
    let events = calendar(
        "- {timezone: UTC, start: 0 */6 * * *, duration: 30m, recordsPerSecond: 1500}\n\
         - {timezone: Asia/Tokyo, start: 0 9 * * *, end: 0 10 * * *, desiredReplicas: 1}\n",
    );
    let now = at("2026-11-29T06:10:00Z");
    let listed = events.occurrences(now, LISTED);
    let words: Vec<String> = listed.iter().map(|one| events.words(*one)).collect();
    assert_eq!(
        words,
        [
            "1500 records/s from Sun 2026-11-29 06:00 to 06:30, UTC",
            "1500 records/s from Sun 2026-11-29 12:00 to 12:30, UTC",
            "1500 records/s from Sun 2026-11-29 18:00 to 18:30, UTC",
            "1500 records/s from Mon 2026-11-30 00:00 to 00:30, UTC",
            "1500 records/s from Mon 2026-11-30 06:00 to 06:30, UTC",
            "1 replica from Mon 2026-11-30 09:00 to 10:00, Asia/Tokyo",
        ]
    );
    let mut upcoming = Upcoming::new(events.clone());
    let firsts = first_of_each(upcoming.at(now));
    assert_eq!(firsts, [listed[0].event, listed[5].event]);
    let later = at("2026-11-29T06:30:00Z");
    assert_eq!(
        first_of_each(upcoming.at(later)),
        [listed[1].event, listed[5].event]
    );
    let often = calendar("{timezone: UTC, start: '* * * * *', duration: 60s, desiredReplicas: 1}");
    assert_eq!(often.occurrences(now, LISTED).len(), MOST_LISTED);
    assert!(Upcoming::new(Calendar::default()).at(now).is_empty());
}

/// From one look to the next nothing is missed, wherever clocks are put forward or back.
#[test]
fn occurrences_follow_each_other_through_a_year() {
    for zone in [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kolkata",
    ] {
        for (start, end) in [
            ("30 2 * * *", "end: 15 3 * * *"),
            ("30 1 * * *", "duration: 90m"),
            ("*/20 * * * 0", "end: 10,30,50 * * * *"),
        ] {
            let events = calendar(&format!(
                "{{timezone: {zone}, start: '{start}', {}, desiredReplicas: 1}}",
                end.replace(": ", ": '") + "'"
            ));
            let mut now = at("2026-01-01T00:00:00Z");
            let until = at("2027-01-01T00:00:00Z");
            let mut count = 0;
            while now < until {
                let event = events.occurrences(now, Duration::ZERO)[0].event;
                assert!(
                    event.starts_at < event.ends_at && now < event.ends_at,
                    "{event:?}"
                );
                assert!(event.starts_at >= now || count == 0 || event.ends_at > now);
                let before = events.occurrences(event.starts_at, Duration::ZERO)[0].event;
                assert_eq!(before, event, "{zone} {start} {end}");
                now = event.ends_at;
                count += 1;
            }
            let days = if start.starts_with('*') { 52 * 72 } else { 365 };
            assert!(
                (days - 8..=days + 80).contains(&count),
                "{zone} {start}: {count}"
            );
        }
    }
}

#[track_caller]
fn check_wrong(text: &str, expected: &[&str]) {
    assert_eq!(Calendar::read(text).unwrap_err(), expected, "{text}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    check_wrong(
        "- timezone: Europe/Berln\n  start: 0 25 * * *\n  end: 0 10 30 2 *\n  desiredReplica: 5\n\
         - start: 0 8 * * *\n  end: 0 8 * * *\n  duration: 5\n  desiredReplicas: 0\n  recordsPerSecond: many\n\
         - timezone: UTC\n  start: 0 8 * * *\n  end: 0 8 * * *\n  recordsPerSecond: -1\n\
         - timezone: UTC\n  start: 0 0 8 * * *\n  duration: 5s\n  desiredReplicas: '0'\n\
         - timezone: [UTC]\n  desiredReplicas: 1.5\n",
        &[
            "event 1: desiredReplica: unknown key, did you mean desiredReplicas?",
            "event 1: timezone = \"Europe/Berln\": is no time zone of the IANA database, did you mean \
             Europe/Berlin?",
            "event 1: start = \"0 25 * * *\": has to be a cron expression of five fields, minute hour day \
             month weekday: Number out of bounds.",
            "event 1: end = \"0 10 30 2 *\": never comes: there is no such day",
            "event 1: desiredReplicas is missing, or give recordsPerSecond",
            "event 2: timezone is missing: a name such as Europe/Berlin or America/New_York, or UTC",
            "event 2: end and duration: keep one of them",
            "event 2: desiredReplicas and recordsPerSecond: keep one of them",
            "event 3: end = \"0 8 * * *\": is when it starts, too: it would never be over",
            "event 3: recordsPerSecond = \"-1\": has to be a number above 0",
            "event 4: start = \"0 0 8 * * *\": has to be a cron expression of five fields, minute hour day \
             month weekday: Pattern must have 5 fields when seconds are disallowed.",
            "event 4: duration = \"5s\": has to be a duration such as 45m or 2h, from 60s to 744h",
            "event 4: desiredReplicas = \"0\": has to be a whole number from 1 to 100000",
            "event 5: timezone: has to be one value",
            "event 5: timezone is missing: a name such as Europe/Berlin or America/New_York, or UTC",
            "event 5: start is missing: a cron expression such as 0 8 * * 1-5",
            "event 5: end is missing: a cron expression such as 0 10 * * 1-5, or give duration",
            "event 5: desiredReplicas = \"1.5\": has to be a whole number from 1 to 100000",
        ],
    );
}

#[test]
fn what_is_no_list_of_events_says_what_would_be() {
    let keys = "has to be a YAML list of events with the keys timezone, start, end, duration, desiredReplicas, \
                recordsPerSecond";
    for text in ["soon", "[]", "{}", "---\n"] {
        check_wrong(text, &[keys]);
    }
    let one = Calendar::read("- tomorrow\n").unwrap_err();
    assert_eq!(
        one,
        [keys.replace(
            "has to be a YAML list of events with",
            "event 1: has to have"
        )]
    );
    assert!(Calendar::read("- [").unwrap_err()[0].starts_with("is no YAML: line "));
    let unquoted = "{timezone: UTC, start: * 8 * * *, duration: 1h, desiredReplicas: 1}";
    let unquoted = &Calendar::read(unquoted).unwrap_err()[0];
    assert!(
        unquoted.ends_with("a cron expression that begins with * has to be quoted"),
        "{unquoted}"
    );
    let many = "- {timezone: UTC, start: 0 8 * * *, duration: 1h, desiredReplicas: 1}\n".repeat(33);
    check_wrong(&many, &["has 33 events, at most 32 can be"]);
    let long = format!(
        "{{timezone: UTC, start: '{}', duration: 1h, desiredReplicas: 1}}",
        "1,".repeat(60)
    );
    assert!(Calendar::read(&long).unwrap_err()[0].ends_with("is longer than 100 bytes"));
}

#[test]
fn what_kedas_cron_trigger_takes_is_taken() {
    for start in [
        "0 8 * * MON-FRI",
        "5/15 * * * *",
        "0 8 1,15 * *",
        "*/5 8-10 * JAN,dec *",
        "0 8 ? * 1",
    ] {
        let text = format!(
            "timezone: Asia/Kolkata\nstart: \"{start}\"\nend: 59 23 * * *\ndesiredReplicas: \"10\"\n"
        );
        assert!(
            Calendar::read(&text).is_ok(),
            "{start}: {:?}",
            Calendar::read(&text)
        );
    }
    // In Vixie's cron and KEDA's: the first of the month, and Mondays.
    let either = calendar("{timezone: UTC, start: 0 6 1 * 1, duration: 1h, desiredReplicas: 2}");
    check(
        &either,
        "2026-11-29T00:00:00Z",
        "2026-11-30T06:00:00Z",
        "2026-11-30T07:00:00Z",
    );
    check(
        &either,
        "2026-11-30T07:00:00Z",
        "2026-12-01T06:00:00Z",
        "2026-12-01T07:00:00Z",
    );
}

#[test]
fn the_example_of_the_documentation_is_right() {
    let text = include_str!("../../../docs/calendar.md");
    let (_, rest) = text.split_once("calendarEvents: |\n").unwrap();
    let (events, _) = rest.split_once("```").unwrap();
    let events = calendar(events);
    let next = events.occurrences(at("2026-11-29T12:00:00Z"), Duration::ZERO);
    for one in next {
        let words = events.words(one);
        assert!(
            text.contains(&format!("triggers[0] expects {words}\n")),
            "{words}"
        );
    }
}
