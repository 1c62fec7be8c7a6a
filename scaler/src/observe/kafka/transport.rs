//! How bytes travel to a broker: plaintext or TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::failure::Failure;
use crate::tls::client::{ClientTls, Own};
use crate::tls::dates::Dates;
use crate::tls::failure::sentence;

/// How bytes travel.
#[derive(Clone, Debug, Default)]
pub enum Transport {
    /// As they are.
    #[default]
    Plaintext,
    /// Encrypted, to a broker that has proven its name.
    Tls(Arc<ClientTls>),
}

/// An open byte stream and the socket address at its other end.
pub struct Stream {
    /// What the broker sends.
    pub reading: Box<dyn AsyncRead + Send + Unpin>,
    /// What is sent to it.
    pub writing: Box<dyn AsyncWrite + Send + Unpin>,
    /// Where it leads.
    pub peer: SocketAddr,
    /// Who we are in TLS; none where it is plaintext.
    pub own: Option<Own>,
    /// Until when the broker's certificate holds, in time since 1970; none where it is plaintext.
    pub not_after: Option<Duration>,
}

// === impl Transport ===

impl Transport {
    /// Opens a stream to the first of `resolved` that accepts. The time until `deadline` is split
    /// evenly among those not tried yet, so that one that drops packets does not use it all.
    ///
    /// # Errors
    /// When none accepts, or the one that does fails the handshake of TLS.
    pub async fn open(
        &self,
        address: &Address,
        resolved: &[SocketAddr],
        deadline: Instant,
    ) -> Result<Stream, Failure> {
        let (io, peer) = connect(address, resolved, deadline).await?;
        match self {
            Self::Plaintext => {
                let (reading, writing) = io.into_split();
                Ok(Stream {
                    reading: Box::new(reading),
                    writing: Box::new(writing),
                    peer,
                    own: None,
                    not_after: None,
                })
            }
            Self::Tls(tls) => encrypt(tls, address, io, peer, deadline).await,
        }
    }
}

async fn connect(
    address: &Address,
    resolved: &[SocketAddr],
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), Failure> {
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
                return Ok((io, peer));
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

async fn encrypt(
    tls: &ClientTls,
    address: &Address,
    io: TcpStream,
    peer: SocketAddr,
    deadline: Instant,
) -> Result<Stream, Failure> {
    let handshake = tls.current().map_err(Failure::Credentials)?;
    let name = tls
        .server_name(address.host())
        .map_err(Failure::Credentials)?;
    let connector = TlsConnector::from(handshake.config);
    let encrypted = match timeout_at(deadline, connector.connect(name, io)).await {
        Ok(Ok(encrypted)) => encrypted,
        Ok(Err(error)) => {
            return Err(match sentence(&error, handshake.own) {
                Some(detail) => Failure::Tls {
                    address: address.to_string(),
                    detail,
                },
                None => Failure::NoHandshake {
                    address: address.to_string(),
                    detail: error.to_string(),
                },
            });
        }
        Err(_) => {
            return Err(Failure::Timeout {
                address: address.to_string(),
                api: "the handshake of TLS",
            });
        }
    };
    let (_, session) = encrypted.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let not_after = certificate.and_then(Dates::of).map(|dates| dates.not_after);
    let (reading, writing) = tokio::io::split(encrypted);
    Ok(Stream {
        reading: Box::new(reading),
        writing: Box::new(writing),
        peer,
        own: Some(handshake.own),
        not_after,
    })
}
