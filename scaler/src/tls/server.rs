//! The server's side of TLS: who we are, and whom we let in, from files that may be replaced; and the
//! client's side towards other replicas of ours, which are let in by their certificate.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::client::identity;
use super::dates::Dates;
use super::peer::{ByCertificate, ClientsAndPeers, fingerprint};
use super::pem;
use crate::config::access::ServerTlsConfig;
use crate::credentials::{Content, Refresh, Rotating};
use crate::metrics::Metrics;

/// The protocol that gRPC is spoken over.
const HTTP2: &[u8] = b"h2";

/// TLS towards clients, and towards other replicas.
#[derive(Debug)]
pub struct ServerTls(Rotating<Identity>);

/// Who we are.
#[derive(Debug)]
struct Identity {
    server: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

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
            let own_certificate = chain.first().cloned();
            let builder = match client_ca {
                None => builder.with_no_client_auth(),
                Some(file) => {
                    let mut roots = RootCertStore::empty();
                    roots.add_parsable_certificates(pem::certificates(file)?);
                    let provider = Arc::new(ring::default_provider());
                    let verifier =
                        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                    let clients = verifier.build().map_err(|error| {
                        format!("{} cannot be trusted by: {error}", file.path.display())
                    })?;
                    builder.with_client_cert_verifier(Arc::new(ClientsAndPeers {
                        clients,
                        own: own_certificate,
                    }))
                }
            };
            let mut server = builder
                .with_single_cert(chain.clone(), key.clone_key())
                .map_err(|error| format!("certificate and key cannot be used together: {error}"))?;
            server.alpn_protocols = vec![HTTP2.to_vec()];
            Ok(Identity {
                server: Arc::new(server),
                chain,
                key,
            })
        };
        Self(Rotating::new(setting, paths, metrics, make))
    }

    /// What the next handshake needs.
    ///
    /// # Errors
    /// A sentence about the files, when they could never be used.
    pub fn current(&self) -> Result<Arc<ServerConfig>, String> {
        self.0
            .current()
            .map(|identity| Arc::clone(&identity.server))
    }

    /// SHA-256 of the certificate, in hexadecimal: what other replicas know us by.
    pub fn certificate(&self) -> Option<String> {
        let identity = self.0.current().ok()?;
        identity.chain.first().map(fingerprint)
    }

    /// The client's side of a connection to the replica whose certificate is `certificate`.
    ///
    /// # Errors
    /// A sentence about the files, when they could never be used.
    pub fn towards(&self, certificate: String) -> Result<ClientConfig, String> {
        let identity = self.0.current()?;
        let provider = Arc::new(ring::default_provider());
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ByCertificate {
                only: Some(certificate),
                provider: Arc::clone(&provider),
            }))
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(|error| error.to_string())?;
        client.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(client)
    }
}

impl Refresh for ServerTls {
    fn refresh(&self) {
        self.0.refresh();
    }
}
