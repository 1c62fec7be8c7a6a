//! The server's side of TLS: who we are, and whom we let in, from files that may be replaced.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::client::identity;
use super::dates::Dates;
use super::pem;
use crate::config::access::ServerTlsConfig;
use crate::credentials::{Content, Refresh, Rotating};
use crate::metrics::Metrics;

/// The protocol that gRPC is spoken over.
const HTTP2: &[u8] = b"h2";

/// TLS towards clients.
#[derive(Debug)]
pub struct ServerTls(Rotating<ServerConfig>);

// === impl ServerTls ===

impl ServerTls {
    /// TLS as `config` says; no file is read yet. `setting` is its path in the configuration.
    pub fn new(setting: String, config: &ServerTlsConfig, metrics: &Metrics) -> Self {
        let mut paths: Vec<PathBuf> = vec![config.cert.clone(), config.key.clone()];
        let has_client_ca = config.client_ca.is_some();
        paths.extend(config.client_ca.clone());
        paths.extend(config.key_password_file.clone());
        let own = setting.clone();
        let expiry = metrics.clone();
        let make = move |files: &[Content<'_>]| {
            let [cert, key, more @ ..] = files else {
                return Err("needs a certificate and a key".to_owned());
            };
            let (client_ca, password) = match (has_client_ca, more) {
                (true, [client_ca, rest @ ..]) => (Some(client_ca), rest.first()),
                (_, rest) => (None, rest.first()),
            };
            let (chain, key) = identity(cert, key, password)?;
            if let Some(dates) = chain.first().and_then(Dates::of) {
                expiry.note_certificate(&own, dates.not_after);
            }
            let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?;
            let builder = match client_ca {
                None => builder.with_no_client_auth(),
                Some(file) => {
                    let mut roots = RootCertStore::empty();
                    roots.add_parsable_certificates(pem::certificates(file)?);
                    let provider = Arc::new(ring::default_provider());
                    let verifier =
                        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                    builder.with_client_cert_verifier(verifier.build().map_err(|error| {
                        format!("{} cannot be trusted by: {error}", file.path.display())
                    })?)
                }
            };
            let mut server = builder
                .with_single_cert(chain, key)
                .map_err(|error| format!("certificate and key cannot be used together: {error}"))?;
            server.alpn_protocols = vec![HTTP2.to_vec()];
            Ok(server)
        };
        Self(Rotating::new(setting, paths, metrics, make))
    }

    /// What the next handshake needs.
    ///
    /// # Errors
    /// A sentence about the files, when they could never be used.
    pub fn current(&self) -> Result<Arc<ServerConfig>, String> {
        self.0.current()
    }
}

impl Refresh for ServerTls {
    fn refresh(&self) {
        self.0.refresh();
    }
}
