//! HTTP towards a server with TLS files of its own, and answers that are bounded.
//!
//! No redirect is followed: it is nearly always a login page, and would carry credentials to
//! wherever the answer says.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, Response};
use rustls::ClientConfig;

use crate::tls::client::ClientTls;

/// A client that is made anew when the files of its TLS change.
#[derive(Debug)]
pub struct HttpClient {
    tls: Option<Arc<ClientTls>>,
    timeout: Duration,
    made: Mutex<Option<(Option<Arc<ClientConfig>>, Client)>>,
}

// === impl HttpClient ===

impl HttpClient {
    /// Nothing is made before it is needed. Without `tls` it speaks none. A request may take
    /// `timeout`, answer included.
    pub fn new(tls: Option<Arc<ClientTls>>, timeout: Duration) -> Self {
        Self {
            tls,
            timeout,
            made: Mutex::new(None),
        }
    }

    /// The client, with the files as they are now.
    ///
    /// # Errors
    /// A sentence, when the files cannot be used.
    pub fn client(&self) -> Result<Client, String> {
        let config = match &self.tls {
            Some(tls) => Some(tls.current()?.config),
            None => None,
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, client)) = made.as_ref()
            && of.as_ref().map(Arc::as_ptr) == config.as_ref().map(Arc::as_ptr)
        {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .user_agent(concat!("evenkeel/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(self.timeout);
        let client = match &config {
            Some(config) => client.tls_backend_preconfigured((**config).clone()),
            // A small image may hold no authorities at all, and plaintext needs none.
            None => client.tls_certs_only([]),
        };
        let client = client
            .build()
            .map_err(|error| format!("the HTTP client cannot be made: {error}"))?;
        *made = Some((config, client.clone()));
        Ok(client)
    }
}

/// What an answer holds, at most `limit` bytes of it.
///
/// # Errors
/// A sentence, when it is longer or breaks off.
pub async fn body(mut answer: Response, limit: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(format!("its answer is longer than {limit} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Why a request failed, down to the innermost reason and without its address.
pub fn failed(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    let mut reason: &dyn std::error::Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    if let Some(io) = reason.downcast_ref::<std::io::Error>()
        && let Some(sentence) = crate::tls::failure::sentence(io, crate::tls::client::Own::None)
    {
        return sentence;
    }
    reason.to_string()
}
