//! `calendarEvents` as people write it: a YAML list of events with the keys of KEDA's cron trigger.
//!
//! Everything that is wrong is found at once. An event that can never come, such as one on the 30th of
//! February, is wrong. Whether it makes sense beside the other keys of a trigger is not decided here.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use evenkeel_engine::{EventLoad, MOST_EVENTS};
use jiff::civil::date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::{End, Planned, zone};
use crate::config::yaml::{self, Node, Value};
use crate::schema::{closest, duration, shorten};

/// The keys of an event: those of KEDA's cron trigger, and what it does not have.
pub const KEYS: [&str; 6] = [
    "timezone",
    "start",
    "end",
    "duration",
    "desiredReplicas",
    "recordsPerSecond",
];

/// No cron expression that makes sense is longer.
const MAX_CRON_BYTES: usize = 100;
/// What is shorter than the time that pods take to start is no event; what is longer is no event either.
const DURATIONS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(31 * 86_400));
/// As for minReplicas and maxReplicas.
const MAX_REPLICAS: u32 = 100_000;
/// As for capacityPerReplica.
const MAX_RATE: f64 = 1e12;
/// How much of a value an error repeats.
const SHOWN_CHARACTERS: usize = 60;

/// The events, or all that is wrong.
pub(super) fn events(text: &str) -> Result<Vec<Planned>, Vec<String>> {
    let documents = yaml::read(text).map_err(|error| {
        let line = error
            .line
            .map_or(String::new(), |line| format!("line {line}: "));
        let hint = if text.contains(": *") {
            "; a cron expression that begins with * has to be quoted"
        } else {
            ""
        };
        vec![format!("is no YAML: {line}{}{hint}", error.why)]
    })?;
    let list: Vec<&Node> = match documents.as_slice() {
        [one] if !one.items().is_empty() => one.items().iter().collect(),
        [one] if !one.entries().is_empty() => vec![one],
        _ => {
            let keys = KEYS.join(", ");
            return Err(vec![format!(
                "has to be a YAML list of events with the keys {keys}"
            )]);
        }
    };
    if list.len() > MOST_EVENTS {
        return Err(vec![format!(
            "has {} events, at most {MOST_EVENTS} can be",
            list.len()
        )]);
    }
    let zones = TimeZoneDatabase::bundled();
    let mut wrong = Vec::new();
    let mut events = Vec::new();
    for (nth, node) in list.into_iter().enumerate() {
        let mut reader = Reader {
            node,
            zones: &zones,
            wrong: Vec::new(),
        };
        let event = reader.event();
        let number = nth + 1;
        wrong.extend(
            reader
                .wrong
                .iter()
                .map(|why| format!("event {number}: {why}")),
        );
        events.extend(event);
    }
    if wrong.is_empty() {
        Ok(events)
    } else {
        Err(wrong)
    }
}

/// Reads one event.
struct Reader<'a> {
    node: &'a Node,
    zones: &'a TimeZoneDatabase,
    wrong: Vec<String>,
}

impl Reader<'_> {
    fn event(&mut self) -> Option<Planned> {
        if self.node.entries().is_empty() {
            self.wrong
                .push(format!("has to have the keys {}", KEYS.join(", ")));
            return None;
        }
        for entry in self.node.entries() {
            if !KEYS.contains(&entry.key.as_str()) {
                let key = shorten(&entry.key, SHOWN_CHARACTERS);
                let meant = closest(&entry.key, KEYS);
                let meant = meant.map_or(String::new(), |key| format!(", did you mean {key}?"));
                self.wrong.push(format!("{key}: unknown key{meant}"));
            }
        }
        let zone = self.zone();
        let start = self.start();
        let end = self.end();
        let load = self.load();
        let (zone_name, zone) = zone?;
        Some(Planned {
            start: start?,
            end: end?,
            zone,
            zone_name,
            load: load?,
        })
    }

    /// What `key` says; none where it is absent or empty.
    fn text(&mut self, key: &str) -> Option<String> {
        match &self.node.get(key)?.value {
            Value::Text(text) | Value::Other(text) => {
                let text = text.trim();
                (!text.is_empty()).then(|| text.to_owned())
            }
            Value::Null => None,
            Value::List(_) | Value::Map(_) => {
                self.wrong.push(format!("{key}: has to be one value"));
                None
            }
        }
    }

    fn refuse<T>(&mut self, key: &str, value: &str, why: &str) -> Option<T> {
        let value = shorten(value, SHOWN_CHARACTERS);
        self.wrong.push(format!("{key} = {value:?}: {why}"));
        None
    }

    fn zone(&mut self) -> Option<(String, TimeZone)> {
        let Some(name) = self.text("timezone") else {
            let why =
                "timezone is missing: a name such as Europe/Berlin or America/New_York, or UTC";
            self.wrong.push(why.to_owned());
            return None;
        };
        match zone::named(self.zones, &name) {
            Ok(zone) => Some(zone),
            Err(why) => self.refuse("timezone", &name, &why),
        }
    }

    fn start(&mut self) -> Option<Cron> {
        match self.text("start") {
            Some(text) => self.cron("start", &text),
            None => {
                let why = "start is missing: a cron expression such as 0 8 * * 1-5";
                self.wrong.push(why.to_owned());
                None
            }
        }
    }

    fn end(&mut self) -> Option<End> {
        match (self.text("end"), self.text("duration")) {
            (Some(end), None) if Some(&end) == self.text("start").as_ref() => self.refuse(
                "end",
                &end,
                "is when it starts, too: it would never be over",
            ),
            (Some(end), None) => self.cron("end", &end).map(|end| End::At(Box::new(end))),
            (None, Some(long)) => {
                let (least, most) = DURATIONS;
                match duration(&long).filter(|long| (least..=most).contains(long)) {
                    Some(long) => Some(End::After(long)),
                    None => {
                        let why = "has to be a duration such as 45m or 2h, from 60s to 744h";
                        self.refuse("duration", &long, why)
                    }
                }
            }
            (Some(_), Some(_)) => {
                self.wrong
                    .push("end and duration: keep one of them".to_owned());
                None
            }
            (None, None) => {
                let why =
                    "end is missing: a cron expression such as 0 10 * * 1-5, or give duration";
                self.wrong.push(why.to_owned());
                None
            }
        }
    }

    fn load(&mut self) -> Option<EventLoad> {
        match (self.text("desiredReplicas"), self.text("recordsPerSecond")) {
            (Some(replicas), None) => {
                let read = replicas.parse().ok();
                match read.filter(|replicas| (1..=MAX_REPLICAS).contains(replicas)) {
                    Some(replicas) => Some(EventLoad::Replicas(replicas)),
                    None => {
                        let why = format!("has to be a whole number from 1 to {MAX_REPLICAS}");
                        self.refuse("desiredReplicas", &replicas, &why)
                    }
                }
            }
            (None, Some(rate)) => {
                let read = rate.parse().ok();
                match read.filter(|rate: &f64| *rate > 0.0 && *rate <= MAX_RATE) {
                    Some(rate) => Some(EventLoad::RecordsPerSecond(rate)),
                    None => self.refuse("recordsPerSecond", &rate, "has to be a number above 0"),
                }
            }
            (Some(_), Some(_)) => {
                let why = "desiredReplicas and recordsPerSecond: keep one of them";
                self.wrong.push(why.to_owned());
                None
            }
            (None, None) => {
                self.wrong
                    .push("desiredReplicas is missing, or give recordsPerSecond".to_owned());
                None
            }
        }
    }

    /// A cron expression as KEDA takes it, that comes true some day.
    fn cron(&mut self, key: &str, text: &str) -> Option<Cron> {
        if text.len() > MAX_CRON_BYTES {
            let why = format!("is longer than {MAX_CRON_BYTES} bytes");
            return self.refuse(key, text, &why);
        }
        // As in KEDA: five fields, and the days of the month or of the week where both are given.
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .dom_and_dow(false)
            .sloppy_ranges(true)
            .build();
        let cron = match parser.parse(text) {
            Ok(cron) => cron,
            Err(error) => {
                let error = error.to_string();
                let (_, reason) = error.split_once(": ").unwrap_or(("", &error));
                let why = format!(
                    "has to be a cron expression of five fields, minute hour day month weekday: {}",
                    shorten(reason, 2 * SHOWN_CHARACTERS)
                );
                return self.refuse(key, text, &why);
            }
        };
        let some_day = date(2001, 1, 1).at(0, 0, 0, 0);
        if cron.find_next_occurrence(&some_day, true).is_err() {
            return self.refuse(key, text, "never comes: there is no such day");
        }
        Some(cron)
    }
}
