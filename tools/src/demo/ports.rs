//! Which ports the programs that we start listen on: free ones that no outgoing connection gets.
//!
//! A port is chosen some seconds before Java binds it. One that the system hands out (port 0) may
//! meanwhile become the local end of any connection of any process, and a broker that finds the
//! third of its listeners taken ends after it has answered on the first. Between two programs that
//! choose here at the same moment nothing decides: whoever starts them tries again.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;

/// Below the range of which Linux (from 32768) and others (from 49152) take the local ends of
/// connections.
const PORTS: Range<u16> = 20_000..32_000;

/// How many of them are tried before the system chooses.
const ATTEMPTS: u32 = 100;

/// Listens on a free port of the loopback; whoever keeps it is given no port twice.
///
/// # Errors
/// When the system has none.
pub fn hold() -> std::io::Result<TcpListener> {
    let drawn = RandomState::new();
    let count = u64::from(PORTS.end.abs_diff(PORTS.start));
    for attempt in 0..ATTEMPTS {
        let offset = u16::try_from(drawn.hash_one(attempt) % count).unwrap_or(0);
        if let Ok(held) = TcpListener::bind(("127.0.0.1", PORTS.start.saturating_add(offset))) {
            return Ok(held);
        }
    }
    TcpListener::bind(("127.0.0.1", 0))
}

/// An address of the loopback that was free a moment ago.
///
/// # Errors
/// As [`hold`].
pub fn free() -> std::io::Result<SocketAddr> {
    hold()?.local_addr()
}
