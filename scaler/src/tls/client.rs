//! The client's side of TLS: whom it trusts and who it is, from files that may be replaced.
//!
//! Trusted are the system's authorities, or those of the `ca` file and no others.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::dates::Dates;
use super::peer::ByCertificate;
use super::pem;
use crate::config::access::TlsConfig;
use crate::credentials::{Content, Refresh, Rotating};
use crate::metrics::Metrics;

/// Who we are to the server.
#[derive(Clone, Copy, Debug)]
pub enum Own {
    /// Nobody in particular.
    None,
    /// The holder of a certificate; its dates where they can be read.
    Certificate(Option<Dates>),
}

/// What one handshake needs.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// For rustls.
    pub config: Arc<ClientConfig>,
    /// Who we are to the server, for sentences.
    pub own: Own,
}

/// TLS towards one server or cluster.
#[derive(Debug)]
pub struct ClientTls {
    files: Rotating<Handshake>,
    server_name: Option<String>,
}

/// Where in the list of files each one is.
#[derive(Clone, Copy, Debug)]
struct Places {
    ca: Option<usize>,
    cert: Option<usize>,
    key: Option<usize>,
    key_password: Option<usize>,
}

// === impl ClientTls ===

impl ClientTls {
    /// TLS as `config` says; no file is read yet. `setting` is its path in the configuration.
    pub fn new(setting: String, config: &TlsConfig, metrics: &Metrics) -> Self {
        let mut paths: Vec<PathBuf> = Vec::new();
        let mut place = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| {
                paths.push(path.clone());
                paths.len() - 1
            })
        };
        let places = Places {
            ca: place(&config.ca),
            cert: place(&config.cert),
            key: place(&config.key),
            key_password: place(&config.key_password_file),
        };
        let skip_verify = config.insecure_skip_verify;
        let own = setting.clone();
        if skip_verify {
            tracing::warn!(
                setting,
                "insecureSkipVerify is on: whoever answers is believed, and gets the credentials"
            );
            metrics.note_unverified(&setting);
        }
        let expiry = metrics.clone();
        let make = move |files: &[Content<'_>]| {
            let handshake = handshake(files, places, skip_verify)?;
            if let Own::Certificate(Some(dates)) = handshake.own {
                expiry.note_certificate(&own, dates.not_after);
            }
            Ok(handshake)
        };
        Self {
            files: Rotating::new(setting, paths, metrics, make),
            server_name: config.server_name.clone(),
        }
    }

    /// What the next handshake needs.
    ///
    /// # Errors
    /// A sentence about the files, when they could never be used.
    pub fn current(&self) -> Result<Handshake, String> {
        self.files.current().map(|handshake| (*handshake).clone())
    }

    /// The name that the server at `host` has to prove.
    ///
    /// # Errors
    /// When it is no name that a certificate could have.
    pub fn server_name(&self, host: &str) -> Result<ServerName<'static>, String> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned())
            .map_err(|_| format!("{name} is no name that a certificate can have"))
    }
}

impl Refresh for ClientTls {
    fn refresh(&self) {
        self.files.refresh();
    }
}

fn handshake(
    files: &[Content<'_>],
    places: Places,
    skip_verify: bool,
) -> Result<Handshake, String> {
    let file = |place: Option<usize>| place.and_then(|place| files.get(place));
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if skip_verify {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ByCertificate {
                only: None,
                provider,
            }))
    } else {
        builder.with_root_certificates(roots(file(places.ca))?)
    };
    let identity = match (file(places.cert), file(places.key)) {
        (Some(cert), Some(key)) => Some(identity(cert, key, file(places.key_password))?),
        _ => None,
    };
    let own = match &identity {
        Some((chain, _)) => Own::Certificate(chain.first().and_then(Dates::of)),
        None => Own::None,
    };
    let config = match identity {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| format!("certificate and key cannot be used together: {error}"))?,
        None => builder.with_no_client_auth(),
    };
    Ok(Handshake {
        config: Arc::new(config),
        own,
    })
}

/// A certificate with its chain, and its key.
///
/// # Errors
/// A sentence, when one of the files cannot be read.
pub fn identity(
    cert: &Content<'_>,
    key: &Content<'_>,
    key_password: Option<&Content<'_>>,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let password = key_password.map(Content::secret).transpose()?;
    Ok((
        pem::certificates(cert)?,
        pem::private_key(key, password.as_ref())?,
    ))
}

fn roots(ca: Option<&Content<'_>>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(file) => {
            for certificate in pem::certificates(file)? {
                roots.add(certificate).map_err(|error| {
                    format!("{} holds no CA's certificate: {error}", file.path.display())
                })?;
            }
        }
        None => {
            // Of a system's hundred and fifty some are always odd.
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(
                    "the system has no CA certificates: install ca-certificates, or \
                     give the authority's own as tls.ca"
                        .to_owned(),
                );
            }
        }
    }
    Ok(roots)
}
