//! One Prometheus profile out of its settings, and which of them go together.

use super::tls::tls;
use crate::config::access::{HttpLogin, PrometheusAccessConfig};
use crate::config::{Globs, PrometheusConfig};
use crate::schema::Values;

const TOKEN: &str = "prometheus.NAME.bearerTokenFile";
const USERNAME: &str = "prometheus.NAME.basic.usernameFile";
const PASSWORD: &str = "prometheus.NAME.basic.passwordFile";
const URL: &str = "prometheus.NAME.url";

/// The profile. What is wrong is noted in `values`.
pub(super) fn prometheus(values: &mut Values) -> PrometheusConfig {
    let url = values.url(URL).unwrap_or_default();
    PrometheusConfig {
        query: values.text("prometheus.NAME.query"),
        namespaces: Globs(values.globs("prometheus.NAME.namespaces")),
        access: access(values, &url),
        url,
    }
}

fn access(values: &mut Values, url: &str) -> Option<PrometheusAccessConfig> {
    let tls = tls(values, "prometheus.NAME");
    let allow_plaintext = values.boolean("prometheus.NAME.allowPlaintext");
    let token = values.path(TOKEN);
    let is_basic = values.is_any_given("prometheus.NAME.basic.");
    if is_basic {
        values.require(USERNAME);
        values.require(PASSWORD);
        if values.is_given(TOKEN) {
            values.wrong(TOKEN, "is of no use beside basic: remove one of them");
        }
    }
    let (username, password) = (values.path(USERNAME), values.path(PASSWORD));
    let login = match token {
        Some(token) => Some(HttpLogin::Bearer(token)),
        None if is_basic => Some(HttpLogin::Basic {
            username: username.unwrap_or_default(),
            password: password.unwrap_or_default(),
        }),
        None => None,
    };
    if login.is_some() && url.starts_with("http://") && !allow_plaintext {
        values.wrong(
            URL,
            "is asked without TLS, which shows the profile's credentials: give an https:// address, \
             or say allowPlaintext: true",
        );
    }
    if tls.is_some() && url.starts_with("http://") {
        values.wrong(
            URL,
            "speaks no TLS: give an https:// address, or remove tls",
        );
    }
    if tls.is_none() && login.is_none() {
        return None;
    }
    Some(PrometheusAccessConfig {
        tls: tls.unwrap_or_default(),
        login,
    })
}
