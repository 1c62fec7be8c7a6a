//! Which connection profile a trigger will meet, in words. Judges nothing: what is wrong with it the
//! server's own check says.

use evenkeel_scaler::config::Config;
use evenkeel_scaler::config::access::{
    HttpLogin, PasswordMechanism, SaslConfig, TlsConfig, TokenConfig,
};
use evenkeel_scaler::control::target::{ClusterRef, PrometheusRef};

/// Where Kafka is for a trigger, and how the server will speak with it.
pub fn words(cluster: &ClusterRef, config: &Config) -> String {
    let name = match cluster {
        ClusterRef::Adhoc(addresses) => {
            return format!(
                "Kafka at {}, which is no profile's: without TLS, without credentials",
                addresses.join(", ")
            );
        }
        ClusterRef::Profile(name) => name,
    };
    let Some(profile) = config.clusters.get(name) else {
        return format!("Kafka by the profile {name}");
    };
    format!(
        "Kafka by the profile {name}: {}, {}, {}",
        profile.bootstrap_servers.join(", "),
        tls(profile.tls.as_ref()),
        profile.sasl.as_ref().map_or("without SASL", mechanism)
    )
}

/// Where Prometheus is for a trigger, and who the server will be there.
pub fn rate_words(prometheus: &PrometheusRef, config: &Config) -> String {
    let profile = prometheus.profile.as_ref();
    let Some((name, profile)) = profile.and_then(|name| Some((name, config.prometheus.get(name)?)))
    else {
        return format!(
            "the inbound rate at {}, which is no profile's: without credentials",
            prometheus.url
        );
    };
    let login = match profile
        .access
        .as_ref()
        .and_then(|access| access.login.as_ref())
    {
        None => "without credentials",
        Some(HttpLogin::Bearer(_)) => "a bearer token",
        Some(HttpLogin::Basic { .. }) => "a password",
        Some(HttpLogin::Aws(_)) => "AWS signatures",
    };
    format!(
        "the inbound rate by the profile {name}: {}, {login}",
        prometheus.url
    )
}

fn tls(tls: Option<&TlsConfig>) -> &'static str {
    match tls {
        None => "without TLS",
        Some(tls) if tls.insecure_skip_verify => "TLS that checks no certificate",
        Some(tls) if tls.cert.is_some() => "TLS with a client certificate",
        Some(_) => "TLS",
    }
}

fn mechanism(sasl: &SaslConfig) -> &'static str {
    match sasl {
        SaslConfig::Password { mechanism, .. } => match mechanism {
            PasswordMechanism::Plain => "PLAIN",
            PasswordMechanism::ScramSha256 => "SCRAM-SHA-256",
            PasswordMechanism::ScramSha512 => "SCRAM-SHA-512",
        },
        SaslConfig::Bearer(bearer) => match bearer.token {
            TokenConfig::File(_) | TokenConfig::Endpoint(_) => "OAUTHBEARER",
            TokenConfig::Msk(_) => "AWS_MSK_IAM",
        },
    }
}
