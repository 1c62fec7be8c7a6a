//! How bytes travel to a broker: plaintext, the place where TLS will stand.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::address::Address;
use super::failure::Failure;

/// How bytes travel.
#[derive(Clone, Copy, Debug, Default)]
pub enum Transport {
    /// As they are.
    #[default]
    Plaintext,
}

/// An open byte stream and the socket address at its other end.
pub struct Stream {
    /// The stream.
    pub io: TcpStream,
    /// Where it leads.
    pub peer: SocketAddr,
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
