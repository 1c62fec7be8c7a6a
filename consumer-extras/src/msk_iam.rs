//! Tokens for Amazon MSK with IAM's access control; compiled in by the cargo feature `msk-iam`.
//!
//! A token is a request that is signed and never sent: the broker reads from it who may connect, and
//! asks AWS. The keys come from AWS's default chain: the environment, a profile, web identity (IRSA),
//! the container endpoint (EKS Pod Identity, ECS), the instance. All of it is AWS's own code; what is
//! decided here is which request is signed, and for how long it holds. It is held against what AWS's
//! client for Python makes of the same request, and has not met a real MSK.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::BehaviorVersion;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use batch_consumer::clock;
use batch_consumer::group::Access;
use http::Request;
use rdkafka::client::OAuthToken;

/// How long a token holds: the most that MSK accepts. librdkafka asks for the next one after 80 %.
const TOKEN_LIFETIME: Duration = Duration::from_secs(900);

/// How long the keys may take. The thread that polls waits for them, so this has to stay below the
/// least `max.poll.interval.ms` (20 s). librdkafka asks again 10 s after a failure.
const KEYS_WITHIN: Duration = Duration::from_secs(10);

/// Makes tokens by IAM.
#[derive(Clone, Copy, Debug)]
pub struct Msk;

impl Access for Msk {
    const TOKENS: bool = true;

    fn token() -> Result<OAuthToken, Box<dyn Error>> {
        token()
    }
}

/// The next token. Blocks, for [`KEYS_WITHIN`] at most; not for a thread that runs async code.
///
/// # Errors
/// A sentence, when no keys or no region can be found.
pub fn token() -> Result<OAuthToken, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let asked = runtime.block_on(async { tokio::time::timeout(KEYS_WITHIN, keys()).await });
    // A look-up of a name may still hang: nobody waits for it.
    runtime.shutdown_background();
    let found = asked.unwrap_or_else(|_| {
        let seconds = KEYS_WITHIN.as_secs();
        Err(format!("AWS has not answered for {seconds} s").into())
    });
    let (region, keys) = found.map_err(|error| {
        format!("no keys from AWS ({error}): give the pod a role, and AWS_REGION")
    })?;
    let now = UNIX_EPOCH + clock::since_epoch();
    Ok(OAuthToken {
        token: URL_SAFE_NO_PAD.encode(presigned(&region, &keys, now)?),
        principal_name: keys.access_key_id().to_owned(),
        lifetime_ms: i64::try_from(ends_at(&keys, now).as_millis())?,
    })
}

/// The region and the keys of AWS's default chain.
async fn keys() -> Result<(String, Credentials), Box<dyn Error>> {
    let https = Provider::Rustls(CryptoMode::Ring);
    let https = aws_smithy_http_client::Builder::new().tls_provider(https);
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(https.build_https());
    let config = config.load().await;
    let region = config.region().ok_or("no region")?;
    let provider = config.credentials_provider().ok_or("no provider")?;
    let keys = provider.provide_credentials().await.map_err(with_causes)?;
    Ok((region.to_string(), keys))
}

/// The request that the broker reads, signed.
fn presigned(region: &str, keys: &Credentials, now: SystemTime) -> Result<String, Box<dyn Error>> {
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(TOKEN_LIFETIME);
    let identity = keys.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("kafka-cluster")
        .time(now)
        .settings(settings)
        .build()?;
    let url = format!("https://kafka.{region}.amazonaws.com/?Action=kafka-cluster%3AConnect");
    let request = SignableRequest::new("GET", &url, [].into_iter(), SignableBody::Bytes(&[]))?;
    let (signature, _) = sign(request, &parameters.into())?.into_parts();
    let mut request = Request::get(&url).body(())?;
    signature.apply_to_request_http1x(&mut request);
    // Not signed: for whoever looks into MSK's logs.
    let name = concat!(env!("CARGO_PKG_NAME"), "%2F", env!("CARGO_PKG_VERSION"));
    Ok(format!("{}&User-Agent={name}", request.uri()))
}

/// When the token ends, since the epoch: with its keys at the latest.
fn ends_at(keys: &Credentials, now: SystemTime) -> Duration {
    let token_ends = now + TOKEN_LIFETIME;
    let ends = keys
        .expiry()
        .map_or(token_ends, |keys_end| keys_end.min(token_ends));
    ends.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// AWS's errors say what is wrong in their causes only.
fn with_causes(error: impl Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(serde::Deserialize)]
    struct Presigned {
        region: String,
        key: String,
        secret: String,
        session_token: Option<String>,
        signed_at: u64,
        url: String,
    }

    fn parts(url: &str) -> (&str, BTreeMap<&str, &str>) {
        let (address, parameters) = url.split_once('?').unwrap();
        let pairs = parameters.split('&').map(|pair| pair.split_once('='));
        (address, pairs.map(Option::unwrap).collect())
    }

    #[test]
    fn it_signs_as_awss_own_client_for_python_does() {
        let cases = include_str!("../tests/msk_iam/presigned.json");
        let cases: Vec<Presigned> = serde_json::from_str(cases).unwrap();
        assert_eq!(cases.len(), 2, "one with a session token, one without");
        for case in cases {
            let keys = Credentials::new(case.key, case.secret, case.session_token, None, "test");
            let at = UNIX_EPOCH + Duration::from_secs(case.signed_at);
            let ours = presigned(&case.region, &keys, at).unwrap();
            let (address, mut parameters) = parts(&ours);
            let name = parameters.remove("User-Agent").unwrap();
            assert!(name.starts_with("evenkeel-consumer%2F"), "{name}");
            assert_eq!((address, parameters), parts(&case.url));
        }
    }

    #[test]
    fn a_token_ends_with_its_keys() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        for (keys_end_after, token_ends) in [(None, 1900), (Some(60), 1060), (Some(3600), 1900)] {
            let expiry = keys_end_after.map(|seconds| now + Duration::from_secs(seconds));
            let keys = Credentials::new("key", "secret", None, expiry, "test");
            assert_eq!(ends_at(&keys, now), Duration::from_secs(token_ends));
        }
    }
}
