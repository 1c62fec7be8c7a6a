//! TLS towards the server of a profile, and which of its settings go together.

use crate::config::access::TlsConfig;
use crate::schema::Values;

/// TLS of the profiles of `section`, such as `clusters.NAME`; none where it is off.
pub(super) fn tls(values: &mut Values, section: &str) -> Option<TlsConfig> {
    let key = |name: &str| format!("{section}.tls.{name}");
    let is_given = values.is_any_given(&key(""));
    let config = TlsConfig {
        ca: values.path(&key("ca")),
        cert: values.path(&key("cert")),
        key: values.path(&key("key")),
        key_password_file: values.path(&key("keyPasswordFile")),
        server_name: values.host(&key("serverName")),
        insecure_skip_verify: values.boolean(&key("insecureSkipVerify")),
    };
    for (one, other) in [("cert", "key"), ("key", "cert"), ("keyPasswordFile", "key")] {
        if values.is_given(&key(one)) && !values.is_given(&key(other)) {
            values.wrong(&key(one), format!("is of use only with tls.{other}"));
        }
    }
    if config.ca.is_some() && config.insecure_skip_verify {
        values.wrong(
            &key("insecureSkipVerify"),
            "accepts every certificate, so tls.ca has no effect: remove one of them",
        );
    }
    let is_on = values.decided(&key("enabled")).unwrap_or(is_given);
    is_on.then_some(config)
}
