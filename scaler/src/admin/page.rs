//! The web page: a handful of files inside the binary, and what a browser may do with them.
//!
//! There is nothing to build and nothing to install beside the binary, and the page loads nothing
//! from anywhere else. Names of targets come from outside; the policy of each answer holds even where
//! the script would forget it: a name that became markup could neither run nor load anything.

use axum::Router;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Its own script and style, its own server, nothing else; and no text becomes markup, because
/// browsers with trusted types refuse that to a page without a policy for it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

pub(super) const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, content type and text of each file.
const FILES: [(&str, &str, &str); 8] = [
    ("/", HTML, include_str!("page/page.html")),
    ("/page.css", STYLE, include_str!("page/page.css")),
    ("/page.js", SCRIPT, include_str!("page/page.js")),
    ("/list.js", SCRIPT, include_str!("page/list.js")),
    ("/target.js", SCRIPT, include_str!("page/target.js")),
    ("/charts.js", SCRIPT, include_str!("page/charts.js")),
    ("/ahead.js", SCRIPT, include_str!("page/ahead.js")),
    ("/words.js", SCRIPT, include_str!("page/words.js")),
];

/// The routes of the page.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES
        .into_iter()
        .fold(Router::new(), |router, (path, content_type, text)| {
            router.route(path, get(async move || answer(content_type, text)))
        })
}

/// One of them, with what a browser may do with it.
pub(super) fn answer(content_type: &'static str, text: impl IntoResponse) -> Response {
    let headers: [(HeaderName, &str); 2] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, super::with_type(content_type, text)).into_response()
}
