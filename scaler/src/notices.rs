//! What people have to know about certificates and credentials before it stops something: what ends
//! soon, what cannot be renewed, and checks that are off.
//!
//! Whoever reads a certificate or a secret notes it here; the page, the API, `evenkeel explain` and the
//! log say it. What fails already says so where it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{self, day};

/// From when on it is said that a certificate ends. Whoever renews certificates does it a third of
/// their life before they end: 30 days of 90. At 14 nobody does it any more.
pub const SOON: Duration = Duration::from_secs(14 * 86_400);

const DAY: u64 = 86_400;

/// Servers whose certificates are remembered of one cluster; those that end first stay.
const MAX_SERVERS: usize = 256;

/// Cheap to clone; all clones share what was noted.
#[derive(Clone, Debug, Default)]
pub struct Notices(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    /// When our own certificates end, by setting, in time since 1970.
    own: BTreeMap<String, Duration>,
    /// When those of servers end, by setting and address.
    servers: BTreeMap<String, BTreeMap<String, Duration>>,
    /// The settings under which every certificate is accepted.
    unverified: BTreeSet<String>,
    /// What is wrong with the newest files or answer of a setting.
    complaints: BTreeMap<String, String>,
    /// What was logged.
    logged: BTreeSet<String>,
}

// === impl Notices ===

impl Notices {
    /// The certificate of `setting`, which is ours, ends at `not_after`.
    pub fn own(&self, setting: &str, not_after: Duration) {
        self.noted().own.insert(setting.to_owned(), not_after);
    }

    /// The certificate of the server at `address`, which was reached under `setting`, ends at
    /// `not_after`. Answers when the first of that setting's ends.
    pub fn server(&self, setting: &str, address: &str, not_after: Duration) -> Duration {
        let mut noted = self.noted();
        let servers = noted.servers.entry(setting.to_owned()).or_default();
        servers.insert(address.to_owned(), not_after);
        if servers.len() > MAX_SERVERS {
            let last = servers.iter().max_by_key(|(_, not_after)| **not_after);
            let last = last.map(|(address, _)| address.clone());
            last.map(|address| servers.remove(&address));
        }
        servers.values().min().copied().unwrap_or(not_after)
    }

    /// Every certificate is accepted under `setting`.
    pub fn unverified(&self, setting: &str) {
        self.noted().unverified.insert(setting.to_owned());
    }

    /// What is wrong with the newest files of `setting`, or with what it is given by others; nothing
    /// where it is all right. It was logged.
    pub fn complaint(&self, setting: &str, complaint: Option<String>) {
        let mut noted = self.noted();
        match complaint {
            Some(complaint) => noted.complaints.insert(setting.to_owned(), complaint),
            None => noted.complaints.remove(setting),
        };
    }

    /// The sentences about the settings that `concerns` says yes to.
    pub fn sentences(&self, concerns: impl Fn(&str) -> bool) -> Vec<String> {
        let noted = self.noted();
        let complaints = noted.complaints.iter();
        let complaints = complaints.filter(|(setting, _)| concerns(setting));
        let complaints = complaints.map(|(setting, complaint)| format!("{setting}: {complaint}."));
        let mut all: Vec<String> = complaints.collect();
        all.extend(noted.sentences(clock::wall(), &concerns));
        all
    }

    /// Logs what is new; the days that are left make it new every day.
    pub fn log_new(&self) {
        let mut noted = self.noted();
        let said = noted.sentences(clock::wall(), |_| true).into_iter();
        let said: BTreeSet<String> = said.collect();
        for sentence in said.difference(&noted.logged) {
            tracing::warn!("{sentence}");
        }
        noted.logged = said;
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Noted ===

impl Noted {
    fn sentences(&self, now: Duration, concerns: impl Fn(&str) -> bool) -> Vec<String> {
        let own = self.own.iter().filter(|(setting, _)| concerns(setting));
        let own = own.filter(|(_, not_after)| **not_after < now + SOON);
        let own = own.map(|(setting, not_after)| {
            format!(
                "The certificate of {setting} {}: renew it in its Secret, which is read again without \
                 a restart.",
                ends(*not_after, now)
            )
        });
        let servers = self.servers.iter().filter(|(setting, _)| concerns(setting));
        let servers = servers.flat_map(|(setting, servers)| {
            // One that has ended refuses connections, which says so itself; or it was replaced.
            let soon = now..now + SOON;
            let servers = servers.iter().filter(move |one| soon.contains(one.1));
            servers.map(move |(address, not_after)| {
                format!(
                    "The certificate of {address} ({setting}) {}: renew it there.",
                    ends(*not_after, now)
                )
            })
        });
        let unverified = self.unverified.iter().filter(|setting| concerns(setting));
        let unverified = unverified.map(|setting| {
            format!(
                "{setting}.insecureSkipVerify is on: whoever answers is believed, and gets the \
                 credentials."
            )
        });
        own.chain(servers).chain(unverified).collect()
    }
}

fn ends(not_after: Duration, now: Duration) -> String {
    let at = day(not_after);
    match not_after.checked_sub(now).map(|left| left.as_secs() / DAY) {
        None => format!("expired on {at}"),
        Some(0) => format!("expires on {at}, within a day"),
        Some(1) => format!("expires on {at}, in a day"),
        Some(days) => format!("expires on {at}, in {days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_within_two_weeks_is_said_and_what_is_not_checked() {
        let notices = Notices::default();
        let now = Duration::from_secs(1_700_000_000);
        let days = |days: u64| now + Duration::from_secs(days * DAY + 60);
        notices.own("clusters.a.tls", days(13));
        notices.own("clusters.b.tls", days(14));
        notices.own("grpc.tls", now - Duration::from_secs(60));
        assert_eq!(
            notices.server("clusters.a", "kafka-1:9093", days(1)),
            days(1)
        );
        assert_eq!(
            notices.server("clusters.a", "kafka-2:9093", days(90)),
            days(1)
        );
        notices.server("clusters.a", "kafka-3:9093", now - Duration::from_secs(60));
        notices.unverified("prometheus.p.tls");
        let said = notices.noted().sentences(now, |_| true);
        assert_eq!(
            said,
            [
                "The certificate of clusters.a.tls expires on 2023-11-27 22:14 UTC, in 13 days: renew \
                 it in its Secret, which is read again without a restart.",
                "The certificate of grpc.tls expired on 2023-11-14 22:12 UTC: renew it in its Secret, \
                 which is read again without a restart.",
                "The certificate of kafka-1:9093 (clusters.a) expires on 2023-11-15 22:14 UTC, in a \
                 day: renew it there.",
                "prometheus.p.tls.insecureSkipVerify is on: whoever answers is believed, and gets the \
                 credentials.",
            ]
        );
        let of_p = notices
            .noted()
            .sentences(now, |setting| setting == "prometheus.p.tls");
        assert_eq!(of_p.len(), 1);
        // A certificate that was replaced is no notice any more.
        notices.server("clusters.a", "kafka-1:9093", days(90));
        notices.own("clusters.a.tls", days(90));
        notices.own("grpc.tls", days(90));
        assert_eq!(notices.noted().sentences(now, |_| true).len(), 1);
    }

    #[test]
    fn of_very_many_servers_those_that_end_first_are_remembered() {
        let notices = Notices::default();
        for nth in 0..1_000 {
            notices.server("clusters.a", &nth.to_string(), Duration::from_secs(nth));
        }
        let noted = notices.noted();
        let servers = &noted.servers["clusters.a"];
        assert_eq!(servers.len(), MAX_SERVERS);
        assert!(servers.contains_key("0") && !servers.contains_key("999"));
    }
}
