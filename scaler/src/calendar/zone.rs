//! Time zones by their names, and how far their clocks are from UTC: what the engine is told of them.
//!
//! The database is linked in, so that it is the same in an image and on a laptop. Which events there are
//! is `read`'s, and what recurs by these clocks is the engine's.

use evenkeel_engine::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::moment;
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
        assert_eq!(
            LocalTime::read("Europe/Berlim").unwrap_err(),
            "is no time zone of the IANA database, did you mean Europe/Berlin?"
        );
    }
}
