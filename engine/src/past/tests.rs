//! What is a surge, what comes again, and what becomes of it.

use super::*;

/// Wednesday 2026-11-11, in local days.
const WEDNESDAY: Minute = 20_768;

const NINE: Minute = 9 * 60;

/// Days of 10 records/s from a Wednesday on, with surges of five minutes: day, minute, height.
fn days(count: Minute, surges: &[(Minute, Minute, f64)]) -> Past {
    let rate = |minute: Minute| {
        let mut surges = surges.iter();
        let found =
            surges.find(|(day, at, _)| (day * DAY + at..day * DAY + at + 5).contains(&minute));
        found.map_or(10.0, |(_, _, height)| *height)
    };
    let minutes = (0..count * DAY).map(|minute| (WEDNESDAY * DAY + minute, rate(minute)));
    Past::of(minutes)
}

/// The surges of these days at one time.
fn each(days: impl IntoIterator<Item = Minute>, at: Minute) -> Vec<(Minute, Minute, f64)> {
    days.into_iter().map(|day| (day, at, 100.0)).collect()
}

/// On how many days it came, of how many and of which kind, where it is expected at nine.
fn check(past: &Past, day: Minute, expected: Option<(u32, u32, Kind)>) {
    let found = past.recurs((WEDNESDAY + day) * DAY + NINE);
    let found = found.map(|pattern| (pattern.came, pattern.of, pattern.kind));
    assert_eq!(found, expected, "day {day}");
}

#[test]
fn a_surge_is_faster_than_replicas_start() {
    let start = WEDNESDAY * DAY;
    let surges = |rates: &[f64]| {
        let minutes = (start..).zip(rates.iter().copied());
        Past::of(minutes).surges
    };
    let quiet = [10.0; 10];
    let after = |more: &[f64]| surges(&[&quiet[..], more, &quiet[..]].concat());
    assert_eq!(after(&[100.0, 120.0, 90.0]), [Surge(start + 10, 120.0, 3)]);
    assert_eq!(after(&[100.0; 20]), [Surge(start + 10, 100.0, 10)]);
    // The first minute is only a part of it.
    assert_eq!(after(&[40.0, 120.0, 90.0]), [Surge(start + 10, 120.0, 3)]);
    // A rise over minutes, a headroom, and what few records scatter.
    let rise: Vec<f64> = (0..30).map(|minute| 10.0 * 1.2_f64.powi(minute)).collect();
    assert_eq!(after(&rise[..20]), []);
    assert_eq!(after(&[12.9; 5]), []);
    assert_eq!(surges(&[&[0.5; 10][..], &[0.9], &[0.5; 20]].concat()), []);
    assert_eq!(
        surges(&[&[0.0; 10][..], &[40.0], &[0.0; 20]].concat()).len(),
        1
    );
}

#[test]
fn a_gap_is_neither_quiet_nor_a_surge() {
    let start = WEDNESDAY * DAY;
    let minutes = (0..60).filter(|minute| !(20..25).contains(minute));
    let past =
        Past::of(minutes.map(|minute| (start + minute, if minute < 25 { 1.0 } else { 99.0 })));
    assert_eq!(past.surges, []);
    assert_eq!(
        past.watched,
        [(start + 5, start + 11), (start + 30, start + 51)]
    );
}

#[test]
fn what_came_on_three_days_comes_again() {
    check(&days(2, &each([0, 1], NINE)), 2, None);
    check(&days(3, &each([0, 1, 2], NINE)), 3, Some((3, 3, Kind::Any)));
    // Within two minutes is the same time.
    let about = [(0, NINE - 2, 100.0), (1, NINE + 2, 70.0), (2, NINE, 130.0)];
    let past = days(3, &about);
    let pattern = past.recurs((WEDNESDAY + 3) * DAY + NINE).unwrap();
    let nine = (WEDNESDAY + 3) * DAY + NINE;
    assert_eq!((pattern.earliest, pattern.until), (nine - 2, nine + 2 + 5));
    assert_eq!(pattern.height, 70.0);
    check(
        &days(3, &[(0, NINE - 3, 100.0), (1, NINE, 70.0), (2, NINE, 70.0)]),
        3,
        None,
    );
    // Two of the same weekday do.
    check(
        &days(14, &each([0, 7], NINE)),
        14,
        Some((2, 2, Kind::Weekday)),
    );
    check(&days(15, &each([0, 7], NINE)), 15, None);
}

#[test]
fn a_day_off_does_not_end_it_and_two_in_a_row_do() {
    check(
        &days(6, &each([0, 1, 2, 3, 4], NINE)),
        6,
        Some((5, 6, Kind::Any)),
    );
    check(&days(7, &each([0, 1, 2, 3, 4], NINE)), 7, None);
    // What came once comes never.
    check(&days(6, &each([3], NINE)), 4, None);
    check(&days(6, &each([3], NINE)), 6, None);
}

#[test]
fn weekends_are_learned_in_one_and_a_working_day_does_not_suffer() {
    let working = [0, 1, 2, 5, 6, 7, 8, 9, 12];
    let past = days(13, &each(working, NINE));
    // Saturday and Sunday of the second week, then Monday.
    check(
        &days(10, &each(working.into_iter().take(8), NINE)),
        10,
        None,
    );
    check(
        &days(11, &each(working.into_iter().take(8), NINE)),
        11,
        None,
    );
    check(
        &days(12, &each(working.into_iter().take(8), NINE)),
        12,
        Some((8, 8, Kind::Working)),
    );
    check(&past, 13, Some((9, 9, Kind::Working)));
    // Only at weekends.
    let weekend = each([3, 4, 10, 11], NINE);
    check(&days(17, &weekend), 17, Some((4, 4, Kind::Weekend)));
    check(&days(18, &weekend[..3]), 19, None);
}

#[test]
fn month_ends_need_two_months() {
    // 2026-11-30, 2026-12-31 and 2027-01-29 are the last working days of their months.
    let month_ends = each([19, 50, 79], NINE);
    check(
        &days(79, &month_ends[..2]),
        79,
        Some((2, 2, Kind::MonthsLast)),
    );
    check(&days(100, &month_ends), 100, None);
}

#[test]
fn a_change_of_clocks_is_found_in_two_days() {
    let mut surges = each(0..12, NINE);
    surges.extend(each(12..14, NINE - 60));
    let nine = (WEDNESDAY + 14) * DAY + NINE;
    let past = days(14, &surges);
    assert!(past.recurs(nine).is_none());
    let pattern = past.recurs(nine - 60).unwrap();
    assert_eq!((pattern.came, pattern.of), (10, 10));
    let past = days(13, &surges);
    assert!(past.recurs(nine - DAY - 60).is_none());
}

#[test]
fn what_is_added_counts_only_where_nothing_was_watched() {
    let mut own = days(3, &each([0], NINE));
    let all = days(5, &each([1, 4], NINE));
    own.add(&all);
    let surges = |past: &Past| {
        past.surges
            .iter()
            .map(|surge| surge.0 / DAY - WEDNESDAY)
            .collect::<Vec<_>>()
    };
    assert_eq!(surges(&own), [0, 4]);
    let once = own.clone();
    own.add(&all);
    own.add(&once);
    assert_eq!(own, once);
    // What makes no sense is nothing.
    for senseless in [
        r#"{"watched":[[5,3]]}"#,
        r#"{"watched":[[1,9],[5,20]]}"#,
        r#"{"surges":[[9,1.0,1],[9,2.0,1]]}"#,
        r#"{"watched":[[1,9]],"surges":[[3,-1.0,1]]}"#,
    ] {
        let senseless: Past = serde_json::from_str(senseless).unwrap();
        own.add(&senseless);
        assert_eq!(own, once);
    }
}

#[test]
fn it_is_bounded_in_memory_and_in_bytes() {
    let mut past = Past::default();
    let mut minute = WEDNESDAY * DAY;
    for place in 0..200_000_u32 {
        minute += if place.is_multiple_of(701) { 9 } else { 1 };
        past.note(
            minute,
            if place.is_multiple_of(6) {
                98_765.4
            } else {
                1.0
            },
        );
    }
    assert!(past.surges.len() <= MOST_SURGES && past.watched.len() <= MOST_SPANS);
    assert!(past.surges.len() > MOST_SURGES / 2, "{}", past.surges.len());
    assert!(
        past.surges
            .iter()
            .all(|surge| past.has_watched(surge.0, surge.0))
    );
    let bytes = serde_json::to_string(&past).unwrap().len();
    assert!(bytes <= 64 * 1024, "{bytes}");
    let memory = past.surges.len() * size_of::<Surge>() + past.watched.len() * 8;
    assert!(memory <= 26 * 1024, "{memory}");
}

#[test]
fn the_present_is_watched_in_spans_of_twenty_seconds() {
    let (mut past, mut watch) = (Past::default(), Watch::default());
    let start = u64::from(WEDNESDAY * DAY) * 60;
    let mut poll = |from: u64, to: u64, every: u64, rate: u64| {
        for second in (from + 1..=to).filter(|second| second.is_multiple_of(every)) {
            let at = Timestamp::from_secs(start + second);
            // One poll in ten reads only a part, and the next one gets the rest.
            let is_whole = second % (10 * every) != 0;
            watch.take_in(&mut past, (rate * every, is_whole), 0, at);
        }
    };
    poll(0, 600, 2, 100);
    poll(600, 630, 2, 1_000);
    poll(630, 1_500, 2, 100);
    // A silence, and polls that are further apart.
    poll(2_000, 4_000, 40, 100);
    let [surge] = past.surges[..] else {
        panic!("{past:?}");
    };
    let height = f64::from(surge.1);
    assert_eq!((surge.0 - WEDNESDAY * DAY, surge.2), (10, 1), "{past:?}");
    assert!((900.0..=1_000.0).contains(&height), "{height}");
    assert_eq!(past.watched.len(), 2, "{past:?}");
}

#[test]
fn what_is_kept_fits_and_is_the_newest() {
    let mut all = Vec::new();
    for day in 0..20 {
        all.extend(each([day], NINE).into_iter().chain(each([day], 2 * NINE)));
    }
    let past = days(20, &all);
    let bytes = |past: &Past| serde_json::to_string(past).unwrap().len();
    assert_eq!(past.within(64 * 1024), past);
    for room in [0, 30, 100, 500, 1_000] {
        let part = past.within(room);
        assert!(bytes(&part) <= room.max(64), "{room}: {part:?}");
        let first = past.surges.len() - part.surges.len();
        assert_eq!(part.surges, past.surges[first..]);
        // What is left out counts as never watched.
        let known = part.surges.first().map_or(0, |surge| surge.0);
        assert!(
            part.watched_minutes(0, known.saturating_sub(DAY)) == 0,
            "{part:?}"
        );
    }
    let start = WEDNESDAY * DAY;
    assert_eq!(past.watched_minutes(start, start + DAY), DAY - 5);
    assert_eq!(past.watched_minutes(start + 20 * DAY, LATEST), 0);
}

/// A day of polls once a minute with these surges; what is expected, and whether it stands.
fn follow(past: &Past, day: Minute, came: &[Minute]) -> Vec<(Minute, usize)> {
    let mut foreseen = Foreseen::default();
    let mut told = Vec::new();
    for minute in 0..DAY {
        let now = moment((WEDNESDAY + day) * DAY + minute, 0);
        let surge = came.iter().any(|at| (*at..at + 5).contains(&minute));
        foreseen.follow(past, Some(if surge { 90.0 } else { 10.0 }), 0, now);
        let ahead = now.plus(Duration::from_secs(120));
        let standing = foreseen
            .events()
            .filter(|event| event.starts_at <= ahead)
            .count();
        if told.last().is_none_or(|(_, last)| *last != standing) {
            told.push((minute, standing));
        }
    }
    told
}

#[test]
fn a_floor_ends_with_the_surge_and_a_holiday_keeps_nothing_after_the_first() {
    let mut surges = each(0..5, NINE);
    surges.extend(each(0..5, 2 * NINE));
    let past = days(5, &surges);
    let both = [
        (0, 0),
        (NINE - 2, 1),
        (NINE + 5, 0),
        (2 * NINE - 2, 1),
        (2 * NINE + 5, 0),
    ];
    assert_eq!(follow(&past, 5, &[NINE, 2 * NINE]), both);
    // Half a day.
    assert_eq!(follow(&past, 5, &[NINE]), both);
    assert_eq!(follow(&past, 5, &[]), both[..3]);
}

#[test]
fn how_often_it_was_right_is_counted_and_what_nobody_could_see_is_not() {
    let past = days(5, &each(0..5, NINE));
    let check = |rate: fn(bool) -> Option<f64>, expected: (u64, u64, f64)| {
        let mut foreseen = Foreseen::default();
        for minute in 0..NINE + 90 {
            let now = moment((WEDNESDAY + 5) * DAY + minute, 0);
            let surge = (NINE..NINE + 5).contains(&minute);
            foreseen.follow(&past, rate(surge), 0, now);
            let first = foreseen.events().next();
            if let Some(event) = first.filter(|event| event.starts_at <= now) {
                foreseen.note_spent(event, 3, now);
            }
        }
        let Foresight {
            expected: next,
            hits,
            misses,
            missed_replica_seconds,
        } = foreseen.foresight();
        assert_eq!((hits, misses, missed_replica_seconds), expected);
        // Of the next day.
        assert_eq!(next.len(), 1, "{next:?}");
        assert_eq!((next[0].came, next[0].of, next[0].days), (5, 5, "days"));
    };
    check(|surge| Some(if surge { 90.0 } else { 10.0 }), (1, 0, 0.0));
    check(|_| Some(10.0), (0, 1, 3.0 * 240.0));
    check(|_| None, (0, 0, 0.0));
}

#[test]
fn what_surges_take_is_worked_out_one_by_one_and_again_a_minute_later() {
    let mut surges = each(0..5, NINE);
    surges.extend(each(0..5, 2 * NINE));
    let past = days(5, &surges);
    let mut foreseen = Foreseen::default();
    let now = moment((WEDNESDAY + 5) * DAY, 0);
    foreseen.follow(&past, Some(10.0), 0, now);
    for replicas in [4, 5] {
        let event = foreseen.to_size(now).unwrap();
        foreseen.note_size(event, replicas, now);
    }
    let sized: Vec<_> = foreseen.foresight().expected;
    let sized: Vec<_> = sized.iter().map(|next| next.replicas).collect();
    assert_eq!(sized, [Some(4), Some(5)]);
    assert_eq!(foreseen.to_size(now), None);
    let later = now.plus(Duration::from_secs(60));
    assert!(foreseen.to_size(later).is_some());
}
