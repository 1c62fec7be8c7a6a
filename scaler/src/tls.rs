//! TLS: which cryptography it uses (ring, chosen once a process), and its two sides.
//!
//! [`client`] is how a server is trusted and who we are to it, [`server`] the other side. [`pem`] reads
//! the files, [`dates`] says until when a certificate holds, [`failure`] turns what goes wrong into a
//! sentence. Which server is spoken to, and when, is decided elsewhere.

pub mod client;
pub mod dates;
pub mod failure;
mod peer;
mod pem;
pub mod server;

/// Makes ring the process's provider; whoever builds a client or a server calls it first. A second
/// call changes nothing.
pub fn use_ring() {
    // Only an earlier call can have been first, with the same provider.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
}
