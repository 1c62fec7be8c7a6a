//! One Prometheus profile out of its settings, and which of them go together.

use std::collections::BTreeSet;

use super::tls::tls;
use crate::config::access::{AwsConfig, HttpLogin, PrometheusAccessConfig};
use crate::config::{Globs, PrometheusConfig};
use crate::schema::Values;

const TOKEN: &str = "prometheus.NAME.bearerTokenFile";
const BASIC: &str = "prometheus.NAME.basic.";
const USERNAME: &str = "prometheus.NAME.basic.usernameFile";
const PASSWORD: &str = "prometheus.NAME.basic.passwordFile";
const SIGV4: &str = "prometheus.NAME.sigv4.";
const SIGNED: &str = "prometheus.NAME.sigv4.enabled";
const REGION: &str = "prometheus.NAME.sigv4.awsRegion";
const ROLE: &str = "prometheus.NAME.sigv4.awsRoleArn";
const HEADERS: &str = "prometheus.NAME.headers";
const HEADER_FILES: &str = "prometheus.NAME.headerFiles";
const PARAMETERS: &str = "prometheus.NAME.queryParameters";
const URL: &str = "prometheus.NAME.url";

/// Headers that say how a request travels, which the client sets.
const CLIENTS_HEADERS: [&str; 8] = [
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers whose values are secrets.
const SECRET_HEADERS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
/// Parameters that say what is asked, which the scaler sets.
const OWN_PARAMETERS: [&str; 6] = ["query", "lookback_delta", "start", "end", "step", "time"];

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
    let is_encrypted = tls.is_some();
    let allow_plaintext = values.boolean("prometheus.NAME.allowPlaintext");
    let login = login(values, url);
    let access = PrometheusAccessConfig {
        tls: tls.unwrap_or_default(),
        headers: values.pairs(HEADERS),
        header_files: values.named_files(HEADER_FILES),
        parameters: values.pairs(PARAMETERS),
        login,
    };
    headers(values, &access);
    for name in access.parameters.keys() {
        if OWN_PARAMETERS.contains(&name.as_str()) {
            values.wrong(PARAMETERS, format!("{name} is what the scaler itself says"));
        }
    }
    let has_secret = access.login.is_some() || !access.header_files.is_empty();
    if has_secret && url.starts_with("http://") && !allow_plaintext {
        values.wrong(
            URL,
            "is asked without TLS, which shows the profile's credentials: give an https:// address, \
             or say allowPlaintext: true",
        );
    }
    if is_encrypted && url.starts_with("http://") {
        values.wrong(
            URL,
            "speaks no TLS: give an https:// address, or remove tls",
        );
    }
    (is_encrypted || access != PrometheusAccessConfig::default()).then_some(access)
}

fn login(values: &mut Values, url: &str) -> Option<HttpLogin> {
    let token = values.path(TOKEN);
    let is_basic = values.is_any_given(BASIC);
    let is_any_signed = values.is_any_given(SIGV4);
    let is_signed = values.decided(SIGNED).unwrap_or(is_any_signed);
    if is_basic {
        values.require(USERNAME);
        values.require(PASSWORD);
    }
    let given = [
        (values.is_given(TOKEN), "bearerTokenFile"),
        (is_basic, "basic"),
        (is_signed, "sigv4"),
    ];
    let given: Vec<&str> = given.iter().filter(|one| one.0).map(|one| one.1).collect();
    if given.len() > 1 {
        let key = if values.is_given(TOKEN) {
            TOKEN
        } else {
            USERNAME
        };
        let why = format!(
            "{} exclude each other: keep one of them",
            given.join(" and ")
        );
        values.wrong(key, why);
    }
    let (username, password) = (values.path(USERNAME), values.path(PASSWORD));
    let aws = AwsConfig {
        region: values
            .text(REGION)
            .or_else(|| region_of(url).map(str::to_owned)),
        role_arn: values.text(ROLE),
    };
    match token {
        Some(token) => Some(HttpLogin::Bearer(token)),
        None if is_basic => Some(HttpLogin::Basic {
            username: username.unwrap_or_default(),
            password: password.unwrap_or_default(),
        }),
        None => is_signed.then_some(HttpLogin::Aws(aws)),
    }
}

/// Notes what is wrong with the names of headers.
fn headers(values: &mut Values, access: &PrometheusAccessConfig) {
    let plain = access.headers.keys().map(|name| (HEADERS, name));
    let of_files = access.header_files.keys().map(|name| (HEADER_FILES, name));
    let mut names = BTreeSet::new();
    for (key, written) in plain.chain(of_files) {
        let name = written.to_ascii_lowercase();
        if CLIENTS_HEADERS.contains(&name.as_str()) {
            values.wrong(key, format!("{written} is set by the client itself"));
        }
        if key == HEADERS && SECRET_HEADERS.contains(&name.as_str()) {
            let why = format!("{written} holds a secret: give it by headerFiles, as a file");
            values.wrong(key, why);
        }
        let is_logins = match &access.login {
            None => false,
            Some(HttpLogin::Aws(_)) => name == "authorization" || name.starts_with("x-amz-"),
            Some(HttpLogin::Bearer(_) | HttpLogin::Basic { .. }) => name == "authorization",
        };
        if is_logins {
            let why = format!("{written} is set by the profile's login: remove one of them");
            values.wrong(key, why);
        }
        if !names.insert(name) {
            values.wrong(key, format!("has {written} twice"));
        }
    }
}

/// The region that the address of a workspace says, such as
/// `https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1`.
fn region_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let host = rest.split(['/', ':']).next()?;
    let mut labels = host.split('.');
    labels.find(|label| matches!(*label, "aps-workspaces" | "aps-workspaces-fips"))?;
    let region = labels.next()?;
    labels.any(|label| label == "amazonaws").then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_read_from_a_workspaces_address() {
        for (url, region) in [
            (
                "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1",
                Some("eu-west-1"),
            ),
            (
                "https://aps-workspaces-fips.us-east-2.amazonaws.com:443/workspaces/ws-1",
                Some("us-east-2"),
            ),
            (
                "https://vpce-1.aps-workspaces.us-east-1.vpce.amazonaws.com/workspaces/ws-1",
                Some("us-east-1"),
            ),
            ("https://aps-workspaces.example.com/x", None),
            ("https://prometheus:9090", None),
            ("", None),
        ] {
            assert_eq!(region_of(url), region, "{url}");
        }
    }
}
