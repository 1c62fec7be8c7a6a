//! Who the scaler is to a Prometheus of a profile: TLS files, and a bearer token or a name and a
//! password. They go to the profile's own address only.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, RequestBuilder};

use crate::config::access::{HttpLogin, PrometheusAccessConfig};
use crate::credentials::{Content, Refresh, Rotating, Secret};
use crate::metrics::Metrics;
use crate::observe::http::HttpClient;
use crate::tls::client::ClientTls;

/// How one Prometheus is reached.
#[derive(Debug)]
pub struct PrometheusAccess {
    tls: Arc<ClientTls>,
    http: HttpClient,
    login: Option<Rotating<Login>>,
}

#[derive(Debug)]
enum Login {
    Bearer(Secret),
    Basic { username: Secret, password: Secret },
}

// === impl PrometheusAccess ===

impl PrometheusAccess {
    /// What the profile `name` says; no file is read yet. A request may take `timeout`.
    pub fn of(
        name: &str,
        config: &PrometheusAccessConfig,
        timeout: Duration,
        metrics: &Metrics,
    ) -> Self {
        let setting = format!("prometheus.{name}.tls");
        let tls = Arc::new(ClientTls::new(setting, &config.tls, metrics));
        let login = config.login.as_ref().map(|login| {
            let (what, paths): (_, Vec<PathBuf>) = match login {
                HttpLogin::Bearer(token) => ("bearerTokenFile", vec![token.clone()]),
                HttpLogin::Basic { username, password } => {
                    ("basic", vec![username.clone(), password.clone()])
                }
            };
            let setting = format!("prometheus.{name}.{what}");
            Rotating::new(setting, paths, metrics, read)
        });
        Self {
            http: HttpClient::new(Arc::clone(&tls), timeout),
            tls,
            login,
        }
    }

    /// The client to ask with.
    ///
    /// # Errors
    /// A sentence, when the files of its TLS cannot be used.
    pub fn client(&self) -> Result<Client, String> {
        self.http.client()
    }

    /// The request with what proves who the scaler is.
    ///
    /// # Errors
    /// A sentence, when the files cannot be used.
    pub fn sign(&self, request: RequestBuilder) -> Result<RequestBuilder, String> {
        let Some(login) = &self.login else {
            return Ok(request);
        };
        Ok(match &*login.current()? {
            Login::Bearer(token) => request.bearer_auth(token.expose()),
            Login::Basic { username, password } => {
                request.basic_auth(username.expose(), Some(password.expose()))
            }
        })
    }
}

impl Refresh for PrometheusAccess {
    fn refresh(&self) {
        self.tls.refresh();
        if let Some(login) = &self.login {
            login.refresh();
        }
    }
}

fn read(files: &[Content<'_>]) -> Result<Login, String> {
    match files {
        [token] => token.token().map(Login::Bearer),
        [username, password] => Ok(Login::Basic {
            username: username.secret()?,
            password: password.secret()?,
        }),
        _ => Err("needs one file or two".to_owned()),
    }
}
