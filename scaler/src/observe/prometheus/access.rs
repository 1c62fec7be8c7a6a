//! Who the scaler is to a Prometheus of a profile: TLS files, a login of one kind or another, and
//! the headers and parameters that the profile adds. They go to the profile's own address only.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Request, RequestBuilder};
use tokio::time::Instant;

use crate::aws::{self, Aws};
use crate::config::PrometheusConfig;
use crate::config::access::{HttpLogin, PrometheusAccessConfig};
use crate::credentials::{self, Refresh, Rotating, Secret};
use crate::metrics::Metrics;
use crate::observe::http::HttpClient;
use crate::tls::client::ClientTls;

/// How one Prometheus is reached.
#[derive(Debug)]
pub struct PrometheusAccess {
    tls: Option<Arc<ClientTls>>,
    http: HttpClient,
    login: Option<Login>,
    headers: Option<Rotating<HeaderMap>>,
    parameters: Vec<(String, String)>,
}

#[derive(Debug)]
enum Login {
    Bearer(Rotating<Secret>),
    Basic(Rotating<credentials::Login>),
    Aws(Aws),
}

// === impl PrometheusAccess ===

impl PrometheusAccess {
    /// What the profile `name` says, if it says anything; no file is read yet. A request may take
    /// `timeout`.
    pub fn of(
        name: &str,
        profile: &PrometheusConfig,
        timeout: Duration,
        metrics: &Metrics,
    ) -> Option<Self> {
        let config = profile.access.as_ref()?;
        let setting = |what: &str| format!("prometheus.{name}.{what}");
        let tls = profile.url.starts_with("https://").then(|| {
            let tls = ClientTls::new(setting("tls"), &config.tls, metrics);
            Arc::new(tls)
        });
        let login = config.login.as_ref().map(|login| match login {
            HttpLogin::Bearer(token) => {
                Login::Bearer(Rotating::token(setting("bearerTokenFile"), token, metrics))
            }
            HttpLogin::Basic { username, password } => {
                let login = credentials::Login::of(setting("basic"), username, password, metrics);
                Login::Basic(login)
            }
            HttpLogin::Aws(aws) => Login::Aws(Aws::new(setting("sigv4"), aws, metrics)),
        });
        let has_headers = !config.headers.is_empty() || !config.header_files.is_empty();
        let headers = has_headers.then(|| headers(setting("headerFiles"), config, metrics));
        let parameters = config.parameters.iter();
        Some(Self {
            http: HttpClient::new(tls.clone(), timeout),
            tls,
            login,
            headers,
            parameters: parameters
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        })
    }

    /// The server does not accept who the scaler is: what proves it is looked at or asked for again
    /// before the next request. Answers what else may help.
    pub fn refused(&self) -> &'static str {
        match &self.login {
            None => return "",
            Some(Login::Bearer(token)) => token.doubt(),
            Some(Login::Basic(login)) => login.doubt(),
            Some(Login::Aws(aws)) => {
                aws.doubt();
                return "; check that the role's policy allows aps:QueryMetrics on this workspace, and the \
                        region";
            }
        }
        "; check the profile's files"
    }

    /// The client to ask with.
    ///
    /// # Errors
    /// A sentence, when the files of its TLS cannot be used.
    pub fn client(&self) -> Result<Client, String> {
        self.http.client()
    }

    /// The request with what the profile adds, and what proves who the scaler is.
    ///
    /// # Errors
    /// A sentence, when the files cannot be used, or AWS gives no keys before `deadline`.
    pub async fn sign(
        &self,
        request: RequestBuilder,
        deadline: Instant,
    ) -> Result<Request, String> {
        let mut request = request.query(&self.parameters);
        if let Some(headers) = &self.headers {
            request = request.headers((*headers.current()?).clone());
        }
        let built = |request: RequestBuilder| {
            let failed = |error: reqwest::Error| format!("the request cannot be made: {error}");
            request.build().map_err(|error| failed(error.without_url()))
        };
        match &self.login {
            None => built(request),
            Some(Login::Bearer(token)) => built(request.bearer_auth(token.current()?.expose())),
            Some(Login::Basic(login)) => {
                let login = login.current()?;
                built(request.basic_auth(login.name.expose(), Some(login.secret.expose())))
            }
            Some(Login::Aws(aws)) => {
                let keys = aws.keys(deadline).await?;
                let mut request = built(request)?;
                let query = request.url().query().map(aws::query);
                request.url_mut().set_query(query.as_deref());
                for (name, value) in keys.prometheus_headers(request.url().as_str())? {
                    insert(request.headers_mut(), &name, secret_value(&value))?;
                }
                Ok(request)
            }
        }
    }
}

impl Refresh for PrometheusAccess {
    fn refresh(&self) {
        if let Some(tls) = &self.tls {
            tls.refresh();
        }
        match &self.login {
            None => {}
            Some(Login::Bearer(token)) => token.refresh(),
            Some(Login::Basic(login)) => login.refresh(),
            Some(Login::Aws(aws)) => aws.refresh(),
        }
        if let Some(headers) = &self.headers {
            headers.refresh();
        }
    }
}

/// The headers of the configuration and those of its files.
fn headers(
    setting: String,
    config: &PrometheusAccessConfig,
    metrics: &Metrics,
) -> Rotating<HeaderMap> {
    let plain = config.headers.clone();
    let names: Vec<String> = config.header_files.keys().cloned().collect();
    let paths: Vec<PathBuf> = config.header_files.values().cloned().collect();
    Rotating::new(setting, paths, metrics, move |files| {
        let mut headers = HeaderMap::new();
        for (name, value) in &plain {
            insert(&mut headers, name, HeaderValue::from_str(value).ok())?;
        }
        for (name, file) in names.iter().zip(files) {
            insert(&mut headers, name, secret_value(&file.secret()?))?;
        }
        Ok(headers)
    })
}

fn insert(headers: &mut HeaderMap, name: &str, value: Option<HeaderValue>) -> Result<(), String> {
    let unfit = || format!("{name} and its value cannot be a header");
    let value = value.ok_or_else(unfit)?;
    headers.insert(
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?,
        value,
    );
    Ok(())
}

/// The text as a header's value that `Debug` does not show.
fn secret_value(secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(secret.expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}
