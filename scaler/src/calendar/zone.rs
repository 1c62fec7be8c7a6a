//! Time zones by their names, and how far their clocks are from UTC: what the engine is told of them.
//!
//! The database is linked in, so that it is the same in an image and on a laptop. Which events there are
//! is `read`'s, and what recurs by these clocks is the engine's.

use evenkeel_engine::{Expected, Timestamp};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::{moment, times};
use crate::schema::closest;

/// The clocks by which a target's days recur (`calendarTimeZone`).
#[derive(Clone, Debug)]
pub struct LocalTime(TimeZone);

impl Default for LocalTime {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

// === impl LocalTime ===

impl LocalTime {
    /// The clocks of the time zone of this name.
    ///
    /// # Errors
    /// What is wrong with the name, and what may be meant.
    pub fn read(name: &str) -> Result<Self, String> {
        named(&TimeZoneDatabase::bundled(), name).map(|(_, zone)| Self(zone))
    }

    /// The time zone's name, as the database has it.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// A surge that is expected in words: how much, from when to when, and why.
    pub fn words(&self, surge: &Expected) -> String {
        let rate = surge.records_per_second;
        let rate = if rate < 10.0 {
            format!("{rate:.1}")
        } else {
            format!("{rate:.0}")
        };
        let when = times(&self.0, (surge.starts_at, surge.ends_at)).unwrap_or_default();
        let takes = match surge.replicas {
            None => String::new(),
            Some(1) => ", which takes 1 replica".to_owned(),
            Some(replicas) => format!(", which takes {replicas} replicas"),
        };
        let (name, came, of, days) = (self.name(), surge.came, surge.of, surge.days);
        format!(
            "{rate} records/s {when}, {name}{takes}: it came at about that time on {came} of {of} {days}"
        )
    }

    /// How far they are ahead of UTC, in whole minutes.
    pub fn offset_minutes(&self, now: Timestamp) -> i32 {
        moment(now).map_or(0, |now| self.0.to_offset(now).seconds() / 60)
    }
}

/// The time zone of this name, with the name that the database has.
pub(super) fn named(zones: &TimeZoneDatabase, name: &str) -> Result<(String, TimeZone), String> {
    if let Ok(zone) = zones.get(name) {
        let name = zone.iana_name().unwrap_or(name).to_owned();
        return Ok((name, zone));
    }
    let names: Vec<String> = zones.available().map(|name| name.to_string()).collect();
    let meant = closest(name, names.iter().map(String::as_str));
    let meant = meant.map_or(String::new(), |name| format!(", did you mean {name}?"));
    Err(format!("is no time zone of the IANA database{meant}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_as_far_from_utc_as_they_are_at_that_moment() {
        let check = |name: &str, seconds: u64, expected: i32| {
            let clocks = LocalTime::read(name).unwrap();
            let minutes = clocks.offset_minutes(Timestamp::from_secs(seconds));
            assert_eq!(minutes, expected, "{name}");
        };
        // 2026-01-15 and 2026-07-15, each at noon.
        let (winter, summer) = (1_768_478_400, 1_784_116_800);
        check("UTC", winter, 0);
        check("Europe/Berlin", winter, 60);
        check("Europe/Berlin", summer, 120);
        check("America/New_York", winter, -300);
        check("Asia/Kathmandu", summer, 345);
        assert_eq!(LocalTime::default().offset_minutes(Timestamp::default()), 0);
        assert_eq!(LocalTime::default().name(), "UTC");
        let berlin = LocalTime::read("europe/berlin").unwrap();
        assert_eq!(berlin.name(), "Europe/Berlin");
        let surge = Expected {
            starts_at: Timestamp::from_secs(winter),
            ends_at: Timestamp::from_secs(winter + 600),
            records_per_second: 4_999.7,
            replicas: Some(12),
            came: 9,
            of: 10,
            days: "working days",
        };
        assert_eq!(
            berlin.words(&surge),
            "5000 records/s from Thu 2026-01-15 13:00 to 13:10, Europe/Berlin, which takes 12 replicas: it \
             came at about that time on 9 of 10 working days"
        );
        assert_eq!(
            LocalTime::read("Europe/Berlim").unwrap_err(),
            "is no time zone of the IANA database, did you mean Europe/Berlin?"
        );
    }
}
