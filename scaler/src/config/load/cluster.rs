//! One Kafka profile out of its settings, and which of them go together.

use crate::config::access::{PasswordMechanism, SaslConfig, TlsConfig};
use crate::config::{ClusterConfig, Globs};
use crate::schema::Values;

/// The profile. What is wrong is noted in `values`.
pub(super) fn cluster(values: &mut Values) -> ClusterConfig {
    let tls = tls(values);
    let sasl = sasl(values, tls.is_some());
    ClusterConfig {
        namespaces: Globs(values.globs("clusters.NAME.namespaces")),
        topics: Globs(values.globs("clusters.NAME.topics")),
        consumer_groups: Globs(values.globs("clusters.NAME.consumerGroups")),
        bootstrap_servers: values
            .addresses("clusters.NAME.bootstrapServers")
            .unwrap_or_default(),
        tls,
        sasl,
    }
}

fn tls(values: &mut Values) -> Option<TlsConfig> {
    const CERT: &str = "clusters.NAME.tls.cert";
    const KEY: &str = "clusters.NAME.tls.key";
    const PASSWORD: &str = "clusters.NAME.tls.keyPasswordFile";
    let is_given = values.is_any_given("clusters.NAME.tls.");
    let config = TlsConfig {
        ca: values.path("clusters.NAME.tls.ca"),
        cert: values.path(CERT),
        key: values.path(KEY),
        key_password_file: values.path(PASSWORD),
        server_name: values.host("clusters.NAME.tls.serverName"),
        insecure_skip_verify: values.boolean("clusters.NAME.tls.insecureSkipVerify"),
    };
    for (key, other, name) in [
        (CERT, KEY, "key"),
        (KEY, CERT, "cert"),
        (PASSWORD, KEY, "key"),
    ] {
        if values.is_given(key) && !values.is_given(other) {
            values.wrong(key, format!("is of use only with tls.{name}"));
        }
    }
    if config.ca.is_some() && config.insecure_skip_verify {
        values.wrong(
            "clusters.NAME.tls.insecureSkipVerify",
            "accepts every certificate, so tls.ca has no effect: remove one of them",
        );
    }
    let is_on = values
        .decided("clusters.NAME.tls.enabled")
        .unwrap_or(is_given);
    is_on.then_some(config)
}

fn sasl(values: &mut Values, is_encrypted: bool) -> Option<SaslConfig> {
    const MECHANISM: &str = "clusters.NAME.sasl.mechanism";
    const USERNAME: &str = "clusters.NAME.sasl.usernameFile";
    const PASSWORD: &str = "clusters.NAME.sasl.passwordFile";
    if !values.is_any_given("clusters.NAME.sasl.") {
        return None;
    }
    let allow_plaintext = values.boolean("clusters.NAME.sasl.allowPlaintext");
    values.require(MECHANISM);
    let mechanism = match values.word(MECHANISM) {
        Some("PLAIN") => PasswordMechanism::Plain,
        Some("SCRAM-SHA-256") => PasswordMechanism::ScramSha256,
        _ => PasswordMechanism::ScramSha512,
    };
    if mechanism == PasswordMechanism::Plain && !is_encrypted && !allow_plaintext {
        values.wrong(
            MECHANISM,
            "sends the password readable without TLS: give the profile tls, or say \
             sasl.allowPlaintext: true",
        );
    }
    for key in [USERNAME, PASSWORD] {
        values.require(key);
    }
    Some(SaslConfig::Password {
        mechanism,
        username_file: values.path(USERNAME).unwrap_or_default(),
        password_file: values.path(PASSWORD).unwrap_or_default(),
    })
}
