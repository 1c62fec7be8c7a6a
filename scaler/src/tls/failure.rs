//! What went wrong in TLS, as a sentence that says what to do. The server's name is added by whoever
//! spoke to it.

use rustls::{AlertDescription as Alert, CertificateError, Error, InvalidMessage};

use super::client::Own;
use crate::clock::day;

/// The sentence about an error of a TLS stream; none where the error is not TLS's own.
pub fn sentence(error: &std::io::Error, own: Own) -> Option<String> {
    let error: &Error = error.get_ref()?.downcast_ref()?;
    Some(match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::AlertReceived(alert) => alerted(*alert, own),
        Error::InvalidMessage(InvalidMessage::InvalidContentType)
        | Error::InappropriateMessage { .. } => {
            "it does not speak TLS: the port is probably a plaintext one; use the TLS listener's \
             port, or take tls out of the profile"
                .to_owned()
        }
        Error::PeerIncompatible(why) => {
            format!("it offers no version or cipher that is known here ({why:?})")
        }
        error => error.to_string(),
    })
}

fn certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::UnknownIssuer => {
            "its certificate is signed by a CA that is not trusted: give that CA's \
                             certificate as tls.ca"
                .to_owned()
        }
        E::Expired => "its certificate has expired: renew it".to_owned(),
        E::ExpiredContext { not_after, .. } => format!(
            "its certificate expired on {}: renew it",
            day(std::time::Duration::from_secs(not_after.as_secs()))
        ),
        E::NotValidYet => "its certificate is not valid yet: check both clocks".to_owned(),
        E::NotValidYetContext { not_before, .. } => format!(
            "its certificate is not valid before {}: check both clocks",
            day(std::time::Duration::from_secs(not_before.as_secs()))
        ),
        E::NotValidForName => "its certificate is for another name: give that as tls.serverName, \
                               or use an address that it names"
            .to_owned(),
        E::NotValidForNameContext {
            expected,
            presented,
        } => {
            // They come as `DnsName("kafka")`.
            let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
            let names: Vec<String> = presented.iter().map(bare).collect();
            let named = if names.is_empty() {
                "no name at all".to_owned()
            } else {
                names.join(", ")
            };
            format!(
                "its certificate is for {named} and not for {}: give one of its names as \
                 tls.serverName, or use an address that it names",
                expected.to_str()
            )
        }
        E::BadSignature => "its certificate is not signed by the CA that it names: \
                            tls.ca is probably an older one"
            .to_owned(),
        E::Revoked => "its certificate was revoked".to_owned(),
        error => format!("its certificate cannot be accepted ({error})"),
    }
}

/// What the other side complained about. Which alert it chooses for a certificate differs from one
/// implementation to another, so the sentence is one.
fn alerted(alert: Alert, own: Own) -> String {
    let is_of_certificate = matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::HandshakeFailure
    );
    match own {
        _ if !is_of_certificate => format!("it ended the handshake ({alert:?})"),
        Own::None => format!(
            "it refused the connection without a client certificate ({alert:?}): give tls.cert and \
             tls.key"
        ),
        Own::Certificate(dates) => match dates.and_then(super::dates::Dates::fault) {
            Some(fault) => format!("it refused our client certificate ({alert:?}): {fault}"),
            None => format!(
                "it refused our client certificate ({alert:?}): check that its CA is trusted there"
            ),
        },
    }
}
