//! Where ad-hoc addresses never lead: link-local addresses, and those at which clouds give machines
//! their metadata and credentials.
//!
//! Whoever may write a ScaledObject chooses an ad-hoc address, and the scaler goes there from where it
//! stands: what only it can reach should not become reachable through it. Names are judged by what
//! they resolve to, at the moment of connecting, and so is what a broker advertises. Profiles are the
//! operator's and not judged. Other private addresses are where Kafka is, so they stay open: a
//! NetworkPolicy or `adhocClusters: false` closes them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Metadata services whose addresses are not link-local: Alibaba Cloud's and Oracle Cloud's older one,
/// and Azure's WireServer.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// The first halves of those in IPv6: AWS's (metadata, DNS, time and Pod Identity share it) and
/// Google Cloud's.
const METADATA_V6: [[u16; 2]; 2] = [[0xfd00, 0x0ec2], [0xfd20, 0x00ce]];

/// An ad-hoc name leads where none may.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it leads to {}", WHERE)]
pub(super) struct LeadsToClosed;

/// Resolves the names of ad-hoc addresses for the HTTP client.
#[derive(Debug)]
pub(super) struct OpenOnly;

/// What is closed, in words.
const WHERE: &str = "a link-local address or to a cloud's metadata, where no ad-hoc address may: correct it, or give \
     it a profile";

/// Whether `address`, `host:port` or a URL, names a closed address outright. What a name leads to
/// turns out when it is connected to.
pub fn names_closed(address: &str) -> bool {
    let url = match address.contains("://") {
        true => Url::parse(address),
        false => Url::parse(&format!("http://{address}")),
    };
    let host = url.as_ref().ok().and_then(Url::host_str);
    let host = host.map(|host| host.trim_start_matches('[').trim_end_matches(']'));
    let address = host.and_then(|host| host.parse().ok());
    address.is_some_and(is_closed)
}

/// The sentence about an ad-hoc address that leads to a closed one.
pub fn refusal(address: &str) -> String {
    format!("{address} leads to {WHERE}")
}

/// Whether no ad-hoc address may lead to `address`.
pub fn is_closed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local() || METADATA_V4.contains(&address),
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            address.is_unicast_link_local()
                || METADATA_V6.contains(&[first, second])
                || within(address).is_some_and(|inner| is_closed(IpAddr::V4(inner)))
        }
    }
}

/// The IPv4 address that one of IPv6 stands for: mapped, compatible, or by the well-known prefixes of
/// NAT64 and 6to4.
fn within(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

impl Resolve for OpenOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The client puts its own port in.
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().any(|address| is_closed(address.ip())) {
                return Err(LeadsToClosed.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_leads_to() {
        let closed = async |name: &str| {
            let found = OpenOnly.resolve(name.parse().unwrap()).await;
            found.is_err_and(|error| error.is::<LeadsToClosed>())
        };
        // The system's resolver reads these as addresses.
        assert!(closed("0xa9fea9fe").await);
        assert!(closed("169.16689662").await);
        assert!(!closed("localhost").await);
    }

    #[test]
    fn closed_addresses_are_known_as_they_are_written() {
        for (text, closed) in [
            ("169.254.169.254:9092", true),
            ("[fe80::1]:9092", true),
            ("http://169.254.169.254/latest", true),
            ("https://0xa9fea9fe:443", true),
            ("http://[::ffff:a9fe:a9fe]", true),
            ("kafka:9092", false),
            ("http://prometheus:9090", false),
            ("127.0.0.1:9092", false),
        ] {
            assert_eq!(names_closed(text), closed, "{text}");
        }
    }

    #[test]
    fn metadata_is_closed_however_it_is_written_and_brokers_are_not() {
        for (text, closed) in [
            ("169.254.169.254", true),
            ("169.254.170.23", true),
            ("100.100.100.200", true),
            ("fe80::1", true),
            ("febf::1", true),
            ("fd00:ec2::254", true),
            ("fd20:ce::254", true),
            ("::ffff:169.254.169.254", true),
            ("::169.254.169.254", true),
            ("64:ff9b::a9fe:a9fe", true),
            ("2002:a9fe:a9fe::1", true),
            ("10.0.0.1", false),
            ("127.0.0.1", false),
            ("100.100.100.201", false),
            ("192.168.0.1", false),
            ("::1", false),
            ("fd00::1", false),
            ("fec0::1", false),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(is_closed(text.parse().unwrap()), closed, "{text}");
        }
    }
}
