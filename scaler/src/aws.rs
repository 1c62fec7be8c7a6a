//! AWS: whose keys the scaler has, and what it signs with them.
//!
//! The keys come from AWS's own chain: the environment, a profile, web identity (IRSA), the container
//! endpoint (EKS Pod Identity, ECS), the instance; and from a role that is assumed with those, where
//! one is configured. All of that is AWS's own code. Decided here is which request is signed.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningInstructions, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::time::Instant;

use crate::clock;
use crate::config::access::AwsConfig;
use crate::credentials::{Given, Refresh, Renewed, Secret};
use crate::metrics::Metrics;

/// How long a token for MSK holds: the most that MSK accepts.
const TOKEN_LIFETIME: Duration = Duration::from_secs(900);

/// After how long keys are asked for again that do not say when they end: those of the environment
/// or of a profile, which somebody may have replaced.
const UNSTATED_LIFE: Duration = Duration::from_secs(900);

/// How long the chain may take. An agent that is not there is tried several times by AWS's own code.
const KEYS_WITHIN: Duration = Duration::from_secs(20);

/// The name of Amazon Managed Prometheus in signatures.
const MANAGED_PROMETHEUS: &str = "aps";

/// The name under which a role is assumed, which AWS's own logs show.
const SESSION_NAME: &str = "evenkeel";

/// Keys, renewed before they end.
#[derive(Debug)]
pub struct Aws {
    keys: Arc<Renewed<Keys>>,
}

/// Keys and where they are for.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The configured region, or the chain's.
    region: Option<String>,
    credentials: Credentials,
}

// === impl Aws ===

impl Aws {
    /// Keys as `config` says; nothing is asked yet. `setting` is its path in the configuration.
    pub fn new(setting: String, config: &AwsConfig, metrics: &Metrics) -> Self {
        let config = config.clone();
        let ask = move || {
            let config = config.clone();
            async move {
                let found = tokio::time::timeout(KEYS_WITHIN, find(&config)).await;
                let why = match found {
                    Ok(Ok(given)) => return Ok(given),
                    Ok(Err(why)) => why,
                    Err(_) => format!("no answer for {} s", KEYS_WITHIN.as_secs()),
                };
                Err(format!(
                    "no keys from AWS ({why}): give the pod a role, by EKS Pod Identity or IRSA"
                ))
            }
        };
        Self {
            keys: Renewed::new(setting, metrics, ask),
        }
    }

    /// Keys that hold now.
    ///
    /// # Errors
    /// A sentence, when none can be had before `deadline`.
    pub async fn keys(&self, deadline: Instant) -> Result<Keys, String> {
        self.keys.current(deadline).await
    }

    /// Has the keys asked for again: somebody does not accept what they signed.
    pub fn doubt(&self) {
        self.keys.doubt();
    }
}

impl Refresh for Aws {
    fn refresh(&self) {
        self.keys.renew_if_due();
    }
}

async fn find(wanted: &AwsConfig) -> Given<Keys> {
    let https = Provider::Rustls(CryptoMode::Ring);
    let https = aws_smithy_http_client::Builder::new().tls_provider(https);
    let mut loader =
        aws_config::defaults(BehaviorVersion::latest()).http_client(https.build_https());
    if let Some(region) = &wanted.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let chain = loader.load().await;
    let region = chain.region().map(ToString::to_string);
    let provider = match &wanted.role_arn {
        None => chain.credentials_provider().ok_or("the chain is empty")?,
        Some(role) => {
            let role = aws_config::sts::AssumeRoleProvider::builder(role)
                .session_name(SESSION_NAME)
                .configure(&chain);
            SharedCredentialsProvider::new(role.build().await)
        }
    };
    let credentials = provider
        .provide_credentials()
        .await
        .map_err(|error| with_causes(&error))?;
    let life = match credentials.expiry() {
        None => UNSTATED_LIFE,
        Some(end) => end.duration_since(now()).unwrap_or_default(),
    };
    Ok((
        Keys {
            region,
            credentials,
        },
        life,
    ))
}

/// What a form asks, written as AWS reads it: to some of its servers a form's `+` is a plus.
pub fn query(form: &str) -> String {
    let form = form.replace('+', "%20");
    form.replace('*', "%2A").replace("%7E", "~")
}

/// AWS's errors say what is wrong in their causes only.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn now() -> SystemTime {
    UNIX_EPOCH + clock::wall()
}

// === impl Keys ===

impl Keys {
    /// A token for MSK: a request to connect that is signed and never sent; the broker reads from it
    /// who the scaler is.
    ///
    /// # Errors
    /// A sentence, when no region is known.
    pub fn msk_token(&self) -> Result<Secret, String> {
        let url = self
            .presigned(self.region()?, now())
            .map_err(|error| format!("the token for MSK cannot be signed: {error}"))?;
        Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(url)))
    }

    fn presigned(
        &self,
        region: &str,
        at: SystemTime,
    ) -> Result<String, Box<dyn std::error::Error>> {
        let url = format!("https://kafka.{region}.amazonaws.com/?Action=kafka-cluster%3AConnect");
        let mut settings = SigningSettings::default();
        settings.expires_in = Some(TOKEN_LIFETIME);
        settings.signature_location = SignatureLocation::QueryParams;
        let instructions = self.signed(&url, "kafka-cluster", region, settings, at)?;
        let mut request = axum::http::Request::get(&url).body(())?;
        instructions.apply_to_request_http1x(&mut request);
        // Not signed: for whoever looks into MSK's logs.
        let name = concat!("evenkeel%2F", env!("CARGO_PKG_VERSION"));
        Ok(format!("{}&User-Agent={name}", request.uri()))
    }

    /// The headers that sign a GET of `url` for Amazon Managed Prometheus. What the address asks has
    /// to be written as AWS writes it, nothing but letters, digits and `-._~` as themselves.
    ///
    /// # Errors
    /// A sentence, when no region is known.
    pub fn prometheus_headers(&self, url: &str) -> Result<Vec<(String, Secret)>, String> {
        self.headers(url, self.region()?, now())
            .map_err(|error| format!("the request cannot be signed: {error}"))
    }

    fn headers(
        &self,
        url: &str,
        region: &str,
        at: SystemTime,
    ) -> Result<Vec<(String, Secret)>, Box<dyn std::error::Error>> {
        let settings = SigningSettings::default();
        let instructions = self.signed(url, MANAGED_PROMETHEUS, region, settings, at)?;
        let header = |(name, value): (&str, &str)| (name.to_owned(), Secret::new(value.to_owned()));
        Ok(instructions.headers().map(header).collect())
    }

    fn region(&self) -> Result<&str, String> {
        let region = self.region.as_deref();
        region.ok_or_else(|| "no region is known: give awsRegion in the profile".to_owned())
    }

    fn signed(
        &self,
        url: &str,
        service: &str,
        region: &str,
        settings: SigningSettings,
        at: SystemTime,
    ) -> Result<SigningInstructions, Box<dyn std::error::Error>> {
        let unsigned = SignableRequest::new("GET", url, [].into_iter(), SignableBody::Bytes(&[]))?;
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .settings(settings)
            .time(at)
            .name(service)
            .region(region)
            .identity(&identity)
            .build()?;
        let (instructions, _) = sign(unsigned, &parameters.into())?.into_parts();
        Ok(instructions)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn parameters(url: &str) -> BTreeMap<&str, &str> {
        let (_, parameters) = url.split_once('?').unwrap();
        let pairs = parameters.split('&').map(|pair| pair.split_once('='));
        pairs.map(Option::unwrap).collect()
    }

    fn keys(case: &serde_json::Value) -> (Keys, String, SystemTime) {
        let text = |name: &str| case[name].as_str().map(str::to_owned);
        let (key, secret) = (text("key").unwrap(), text("secret").unwrap());
        let credentials = Credentials::new(key, &secret, text("session_token"), None, "test");
        let signed_at = Duration::from_secs(case["signed_at"].as_u64().unwrap());
        let keys = Keys {
            region: None,
            credentials,
        };
        assert!(!format!("{keys:?}").contains(&secret), "{keys:?}");
        (keys, text("region").unwrap(), UNIX_EPOCH + signed_at)
    }

    #[test]
    fn requests_to_prometheus_are_signed_as_awss_own_client_for_python_does() {
        let cases = include_str!("aws/signed.json");
        let cases: serde_json::Value = serde_json::from_str(cases).unwrap();
        for case in cases.as_array().unwrap() {
            let (keys, region, at) = keys(case);
            let text = |name: &str| case[name].as_str().unwrap();
            let asked = format!("{}?{}", text("url"), query(text("form")));
            let headers = keys.headers(&asked, &region, at).unwrap();
            let headers: BTreeMap<String, String> = headers
                .into_iter()
                .map(|(name, value)| (name, value.expose().to_owned()))
                .collect();
            let theirs: BTreeMap<String, String> =
                serde_json::from_value(case["headers"].clone()).unwrap();
            assert_eq!(headers, theirs);
        }
    }

    /// The requests that it signed lie beside the consumer, with the program that makes them.
    #[test]
    fn it_signs_as_awss_own_client_for_python_does() {
        let cases = include_str!("../../consumer-extras/tests/msk_iam/presigned.json");
        let cases: serde_json::Value = serde_json::from_str(cases).unwrap();
        for case in cases.as_array().unwrap() {
            let (keys, region, at) = keys(case);
            let ours = keys.presigned(&region, at).unwrap();
            let mut signed = parameters(&ours);
            let name = signed.remove("User-Agent").unwrap();
            assert!(name.starts_with("evenkeel%2F"), "{name}");
            let theirs = case["url"].as_str().unwrap();
            assert_eq!(signed, parameters(theirs));
            assert_eq!(
                ours.split_once('?').unwrap().0,
                theirs.split_once('?').unwrap().0
            );
        }
    }
}
