//! SASL OAUTHBEARER (RFC 7628): the message, and where its token comes from.
//!
//! A token is a file's content, an identity provider's answer to the scaler's own id and secret
//! (client credentials, RFC 6749 section 4.4), or a request signed for Amazon MSK, whose IAM takes it
//! by this mechanism (`crate::aws`). One answer is kept for all connections of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, StatusCode};
use tokio::time::Instant;

use crate::aws::Aws;
use crate::config::access::{BearerConfig, EndpointConfig, TokenConfig};
use crate::credentials::{Given, Login, Refresh, Renewed, Rotating, Secret, is_token};
use crate::metrics::Metrics;
use crate::observe::http::{self, HttpClient};
use crate::schema::shorten;
use crate::tls::client::ClientTls;

/// How long a token is used of which the endpoint does not say how long it holds: short enough that
/// few providers' tokens end earlier.
const UNSTATED_LIFE: Duration = Duration::from_secs(300);

/// How long one request for a token may take. It is made beside what uses the old token; a first
/// one is waited for only as long as a connection may take to open, and is there for the next try.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of one answer. Tokens have a few KiB.
const ANSWER_BYTES: usize = 256 * 1024;

/// How much of an endpoint's own words a sentence repeats.
const SHOWN_CHARACTERS: usize = 120;

/// Where tokens come from, and what goes with them.
#[derive(Debug)]
pub struct Bearer {
    tokens: Tokens,
    extensions: BTreeMap<String, String>,
}

#[derive(Debug)]
enum Tokens {
    File(Box<Rotating<Secret>>),
    Msk(Aws),
    Endpoint {
        endpoint: Arc<Endpoint>,
        token: Arc<Renewed<Secret>>,
    },
}

/// An identity provider.
#[derive(Debug)]
struct Endpoint {
    config: EndpointConfig,
    client: Rotating<Login>,
    tls: Arc<ClientTls>,
    http: HttpClient,
}

// === impl Bearer ===

impl Bearer {
    /// As `config` says; nothing is read or asked yet. `setting` is its path in the configuration.
    pub fn new(setting: String, config: &BearerConfig, metrics: &Metrics) -> Self {
        let tokens = match &config.token {
            TokenConfig::File(path) => {
                Tokens::File(Box::new(Rotating::token(setting, path, metrics)))
            }
            TokenConfig::Msk(aws) => Tokens::Msk(Aws::new(setting, aws, metrics)),
            TokenConfig::Endpoint(endpoint) => {
                let endpoint = Arc::new(Endpoint::new(&setting, endpoint, metrics));
                let asked = Arc::clone(&endpoint);
                let token = Renewed::new(setting, metrics, move || {
                    let endpoint = Arc::clone(&asked);
                    async move { endpoint.fetch().await.map_err(|why| endpoint.about(&why)) }
                });
                Tokens::Endpoint { endpoint, token }
            }
        };
        Self {
            tokens,
            extensions: config.extensions.clone(),
        }
    }

    /// Whether it is Amazon's IAM that reads the tokens.
    pub const fn is_by_iam(&self) -> bool {
        matches!(self.tokens, Tokens::Msk(_))
    }

    /// Has the token read or asked for again: the broker does not accept it.
    pub fn doubt(&self) {
        match &self.tokens {
            Tokens::File(file) => file.doubt(),
            Tokens::Msk(aws) => aws.doubt(),
            Tokens::Endpoint { token, .. } => token.doubt(),
        }
    }

    /// The message that proves who the scaler is.
    ///
    /// # Errors
    /// A sentence, when there is no token.
    pub async fn message(&self, deadline: Instant) -> Result<Secret, String> {
        let token = match &self.tokens {
            Tokens::File(file) => (*file.current()?).clone(),
            Tokens::Msk(aws) => aws.keys(deadline).await?.msk_token()?,
            Tokens::Endpoint { token, .. } => token.current(deadline).await?,
        };
        let mut message = format!("n,,\u{1}auth=Bearer {}\u{1}", token.expose());
        for (name, value) in &self.extensions {
            message.push_str(&format!("{name}={value}\u{1}"));
        }
        message.push('\u{1}');
        Ok(Secret::new(message))
    }
}

impl Refresh for Bearer {
    fn refresh(&self) {
        match &self.tokens {
            Tokens::File(file) => file.refresh(),
            Tokens::Msk(aws) => aws.refresh(),
            Tokens::Endpoint { endpoint, token } => {
                endpoint.client.refresh();
                endpoint.tls.refresh();
                token.renew_if_due();
            }
        }
    }
}

// === impl Endpoint ===

impl Endpoint {
    fn new(setting: &str, config: &EndpointConfig, metrics: &Metrics) -> Self {
        let tls = ClientTls::new(format!("{setting}.ca"), &config.tls, metrics);
        let tls = Arc::new(tls);
        let (id, secret) = (&config.client_id_file, &config.client_secret_file);
        Self {
            client: Login::of(format!("{setting}.clientSecretFile"), id, secret, metrics),
            config: config.clone(),
            http: HttpClient::new(Some(Arc::clone(&tls)), FETCH_TIMEOUT),
            tls,
        }
    }

    fn about(&self, what: &str) -> String {
        format!("no token from {}: {what}", self.config.url)
    }

    async fn fetch(&self) -> Given<Secret> {
        let client = self.client.current()?;
        let http = self.http.client()?;
        let mut form = vec![("grant_type", "client_credentials".to_owned())];
        if !self.config.scopes.is_empty() {
            form.push(("scope", self.config.scopes.join(" ")));
        }
        let request = |form: &[(&str, String)]| http.post(&self.config.url).form(form);
        let (id, secret) = (client.name.expose(), client.secret.expose());
        let by_header = request(&form).basic_auth(encoded(id), Some(encoded(secret)));
        match self.answer(by_header).await {
            Err((StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED, _)) => {}
            answer => return answer.map_err(|(_, why)| why),
        }
        // Some providers take id and secret in the form only.
        form.push(("client_id", id.to_owned()));
        form.push(("client_secret", secret.to_owned()));
        self.answer(request(&form)).await.map_err(|(_, why)| why)
    }

    async fn answer(
        &self,
        request: RequestBuilder,
    ) -> Result<(Secret, Duration), (StatusCode, String)> {
        let failed = |why: String| (StatusCode::OK, why);
        let answer = request
            .send()
            .await
            .map_err(|error| failed(http::failed(&error)))?;
        let status = answer.status();
        let kind = answer.headers().get(CONTENT_TYPE);
        let kind = kind
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or("nothing");
        let kind = shorten(kind, SHOWN_CHARACTERS);
        let body = http::body(answer, ANSWER_BYTES).await.map_err(failed)?;
        let json: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let Some(json) = json else {
            return Err((
                status,
                format!("it answered {status} with {kind} and no JSON: check tokenEndpoint"),
            ));
        };
        let word = |name: &str| json.get(name).and_then(serde_json::Value::as_str);
        if status != StatusCode::OK {
            let error = shorten(word("error").unwrap_or("no reason"), SHOWN_CHARACTERS);
            let why =
                format!("it answered {status} ({error}): check the client's id, secret and scopes");
            return Err((status, why));
        }
        let token = word("access_token").filter(|token| is_token(token));
        let token = token.ok_or_else(|| failed("its answer holds no access_token".to_owned()))?;
        // Seconds, which some write as text.
        let life = match json.get("expires_in") {
            None => UNSTATED_LIFE,
            Some(life) => life
                .as_f64()
                .or_else(|| life.as_str()?.parse().ok())
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .unwrap_or_default(),
        };
        if life < Duration::from_secs(1) {
            return Err(failed("its token holds for less than a second".to_owned()));
        }
        Ok((Secret::new(token.to_owned()), life))
    }
}

/// As RFC 6749 wants an id or a secret in a header: as in a form.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
            char::from(byte).to_string()
        }
        b' ' => "+".to_owned(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
