//! Who may see the page and the API, where a token is configured: whoever shows it.
//!
//! Programs send it as a bearer token. Browsers ask for a name and a password by themselves when the
//! page answers with a challenge, and send both with every later request to it, so the token is taken
//! as a password too, with any name; there is no form, no cookie and no session. The API's own refusal
//! is no such challenge: an open page whose token was replaced says so, and does not ask every two
//! seconds.
//!
//! Probes and `/metrics` are outside: neither the kubelet nor a scrape job has a token by itself, and
//! a network policy can hold them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use ring::rand::SystemRandom;

use crate::config::AdminConfig;
use crate::credentials::{Content, Refresh, Rotating, Secret};
use crate::metrics::Metrics;

/// The shortest token: nothing here counts who guesses.
const SHORTEST: usize = 16;

/// What a browser asks its user for.
const CHALLENGE: HeaderValue =
    HeaderValue::from_static("Basic realm=\"evenkeel\", charset=\"UTF-8\"");
const API_CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"evenkeel\"");

/// The token that opens the page and the API.
#[derive(Debug)]
pub struct AdminToken {
    file: Rotating<Secret>,
    key: hmac::Key,
}

// === impl AdminToken ===

impl AdminToken {
    /// The configured one, if there is one; its file is not read yet.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn of(config: &AdminConfig, metrics: &Metrics) -> Result<Option<Self>, String> {
        let Some(path) = &config.token_file else {
            return Ok(None);
        };
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key =
            key.map_err(|_| "admin.tokenFile: the system has no random numbers".to_owned())?;
        let paths = vec![path.clone()];
        let file = Rotating::new("admin.tokenFile".to_owned(), paths, metrics, token);
        Ok(Some(Self { file, key }))
    }

    /// The file it is in.
    pub fn file(&self) -> &Rotating<Secret> {
        &self.file
    }

    /// Whether a request shows it. Takes as long for every wrong one: what is compared are two
    /// digests under a key that nobody knows.
    fn is_shown_by(&self, headers: &HeaderMap) -> bool {
        let Ok(token) = self.file.current() else {
            return false;
        };
        let Some(shown) = headers.get(header::AUTHORIZATION).and_then(shown) else {
            return false;
        };
        let tag = hmac::sign(&self.key, shown.expose().as_bytes());
        hmac::verify(&self.key, token.expose().as_bytes(), tag.as_ref()).is_ok()
    }
}

impl Refresh for AdminToken {
    fn refresh(&self) {
        self.file.refresh();
    }
}

/// Lets only those to `routes` who show the token. `is_page` says that a browser may ask its user.
pub(super) fn guard<S: Clone + Send + Sync + 'static>(
    routes: Router<S>,
    token: Option<&Arc<AdminToken>>,
    is_page: bool,
) -> Router<S> {
    let Some(token) = token else {
        return routes;
    };
    let guarded = (Arc::clone(token), is_page);
    routes.route_layer(middleware::from_fn_with_state(guarded, check))
}

async fn check(
    State((token, is_page)): State<(Arc<AdminToken>, bool)>,
    request: Request,
    next: Next,
) -> Response {
    match token.is_shown_by(request.headers()) {
        true => next.run(request).await,
        false => refusal(is_page),
    }
}

fn refusal(is_page: bool) -> Response {
    let sentence = "This needs the token of admin.tokenFile: in a browser as the password, with any \
                    name; with evenkeel explain and top by --token-file.";
    if is_page {
        let challenge = [(header::WWW_AUTHENTICATE, CHALLENGE)];
        return (StatusCode::UNAUTHORIZED, challenge, sentence).into_response();
    }
    let challenge = [(header::WWW_AUTHENTICATE, API_CHALLENGE)];
    let refused = super::refuse(StatusCode::UNAUTHORIZED, sentence.to_owned());
    (challenge, refused).into_response()
}

/// The token of the file, which may not be short.
fn token(files: &[Content<'_>]) -> Result<Secret, String> {
    let file = files.first().ok_or("no file")?;
    let token = file.token()?;
    if token.expose().len() < SHORTEST {
        return Err(format!(
            "{} holds a token of fewer than {SHORTEST} characters: make one by openssl rand -hex 32",
            file.path.display()
        ));
    }
    Ok(token)
}

/// The token that a header shows.
fn shown(value: &HeaderValue) -> Option<Secret> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Secret::new(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let login = Secret::new(String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?);
    let (_, password) = login.expose().split_once(':')?;
    Some(Secret::new(password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_by_programs_and_by_browsers() {
        let token_of = |text: &str| {
            let value = HeaderValue::from_str(text).unwrap();
            shown(&value).map(|token| token.expose().to_owned())
        };
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        assert_eq!(token_of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(token_of("bearer  abc ").as_deref(), Some("abc"));
        assert_eq!(token_of(&basic("me:a:b")).as_deref(), Some("a:b"));
        assert_eq!(token_of(&basic(":abc")).as_deref(), Some("abc"));
        for odd in ["abc", "Basic abc", "Digest abc", &basic("abc")] {
            assert_eq!(token_of(odd), None, "{odd}");
        }
    }
}
