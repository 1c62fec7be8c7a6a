//! From when until when a certificate holds. Nothing is verified here.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::clock::{self, day};

/// A certificate's first and last moment, in time since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dates {
    /// It holds from here on.
    pub not_before: Duration,
    /// It holds until here.
    pub not_after: Duration,
}

// === impl Dates ===

impl Dates {
    /// Those of `certificate`; none where it cannot be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let validity = Certificate::from_der(certificate)
            .ok()?
            .tbs_certificate
            .validity;
        Some(Self {
            not_before: validity.not_before.to_unix_duration(),
            not_after: validity.not_after.to_unix_duration(),
        })
    }

    /// What is wrong with them now, if something is.
    pub fn fault(self) -> Option<String> {
        let now = clock::wall();
        if now > self.not_after {
            Some(format!("it expired on {}", day(self.not_after)))
        } else if now < self.not_before {
            Some(format!("it is not valid before {}", day(self.not_before)))
        } else {
            None
        }
    }
}
