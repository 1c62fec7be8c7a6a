//! Which cryptography TLS uses: ring, chosen once a process. Nothing else is decided here.

/// Makes ring the process's provider; whoever builds a client or a server calls it first. A second
/// call changes nothing.
pub fn use_ring() {
    // Only an earlier call can have been first, with the same provider.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
}
