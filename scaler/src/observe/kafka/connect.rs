//! From an address to a byte stream: names, sockets, and the two seams of a connection.
//!
//! The transport (plaintext) and the authentication (none) are the places where TLS and SASL will
//! stand; nothing outside this file knows which are in use.

use std::fmt;
use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::connection::Connection;
use super::failure::Failure;

/// Kafka's registered port, for addresses that name none.
const DEFAULT_PORT: u16 = 9092;

/// `host:port` of a broker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    host: String,
    port: u16,
}

/// How bytes travel.
#[derive(Clone, Copy, Debug, Default)]
pub enum Transport {
    /// As they are.
    #[default]
    Plaintext,
}

/// How the scaler proves who it is, once versions are negotiated.
#[derive(Clone, Copy, Debug, Default)]
pub enum Authentication {
    /// Not at all.
    #[default]
    Anonymous,
}

/// An open byte stream and the socket address at its other end.
pub struct Stream {
    /// The stream.
    pub io: TcpStream,
    /// Where it leads.
    pub peer: SocketAddr,
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

// === impl Transport ===

impl Transport {
    /// Opens a stream to the first of `resolved` that accepts. The time until `deadline` is split
    /// evenly among those not tried yet, so that one that drops packets does not use it all.
    ///
    /// # Errors
    /// When none accepts.
    pub async fn open(
        self,
        address: &Address,
        resolved: &[SocketAddr],
        deadline: Instant,
    ) -> Result<Stream, Failure> {
        let Self::Plaintext = self;
        let mut detail = "no address to try".to_owned();
        let mut left = u32::try_from(resolved.len()).unwrap_or(u32::MAX);
        for &peer in resolved {
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / left.max(1);
            left = left.saturating_sub(1);
            match timeout_at(now + share, TcpStream::connect(peer)).await {
                Ok(Ok(io)) => {
                    // Requests are small and answers are waited for: Nagle's delay only hurts. A
                    // socket that refuses the option still works.
                    let _ = io.set_nodelay(true);
                    return Ok(Stream { io, peer });
                }
                Ok(Err(error)) => detail = format!("{peer}: {error}"),
                Err(_) => detail = format!("{peer}: no answer to the connection attempt"),
            }
        }
        Err(Failure::Unreachable {
            address: address.to_string(),
            detail,
        })
    }
}

// === impl Authentication ===

impl Authentication {
    /// Proves who the scaler is on a fresh connection whose versions are known.
    ///
    /// # Errors
    /// When the broker does not accept it.
    pub async fn prove(self, _connection: &Connection, _deadline: Instant) -> Result<(), Failure> {
        let Self::Anonymous = self;
        Ok(())
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
