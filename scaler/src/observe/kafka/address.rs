//! Where a broker is: a name and a port, as people write it and as brokers advertise it.

use std::fmt;
use std::net::SocketAddr;

use tokio::time::{Instant, timeout_at};

use super::failure::Failure;

/// Kafka's registered port, for addresses that name none.
const DEFAULT_PORT: u16 = 9092;

/// `host:port` of a broker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    host: String,
    port: u16,
}

// === impl Address ===

impl Address {
    /// An address as a broker advertises it; none when the port makes no sense.
    pub fn new(host: &str, port: i32) -> Option<Self> {
        let port = u16::try_from(port).ok().filter(|&port| port != 0)?;
        Some(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// An address as people write it. The configuration has checked it; a port that is not a number
    /// is left in the host, which then does not resolve, and that is reported.
    pub fn parse(text: &str) -> Self {
        let (host, port) = text
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)))
            .unwrap_or((text, DEFAULT_PORT));
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        Self {
            host: host.to_owned(),
            port,
        }
    }

    /// The name, or the IP address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// All socket addresses of the name.
    ///
    /// # Errors
    /// When the name has none, or the resolver does not answer before `deadline`.
    pub async fn resolve(&self, deadline: Instant) -> Result<Vec<SocketAddr>, Failure> {
        let unresolved = |detail: String| Failure::Unresolved {
            address: self.to_string(),
            detail,
        };
        let lookup = tokio::net::lookup_host((self.host.as_str(), self.port));
        let found: Vec<_> = match timeout_at(deadline, lookup).await {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(error)) => return Err(unresolved(error.to_string())),
            Err(_) => return Err(unresolved("the resolver did not answer".to_owned())),
        };
        if found.is_empty() {
            return Err(unresolved("the name has no address".to_owned()));
        }
        Ok(found)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, printed) in [
            ("kafka:9093", "kafka:9093"),
            ("kafka", "kafka:9092"),
            ("[::1]:9094", "[::1]:9094"),
            ("kafka:none", "[kafka:none]:9092"),
        ] {
            assert_eq!(Address::parse(text).to_string(), printed);
        }
    }

    #[test]
    fn an_advertised_port_outside_the_range_is_no_address() {
        assert_eq!(Address::new("kafka", 0), None);
        assert_eq!(Address::new("kafka", 65_536), None);
        assert_eq!(Address::new("kafka", -1), None);
    }
}
