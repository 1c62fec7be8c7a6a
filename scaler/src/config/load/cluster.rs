//! One Kafka profile out of its settings, and which of them go together.

use std::collections::BTreeMap;

use super::tls::tls;
use crate::config::access::{
    AwsConfig, BearerConfig, EndpointConfig, PasswordMechanism, SaslConfig, TlsConfig, TokenConfig,
};
use crate::config::{ClusterConfig, Globs};
use crate::schema::Values;

/// The profile. What is wrong is noted in `values`.
pub(super) fn cluster(values: &mut Values) -> ClusterConfig {
    let tls = tls(values, "clusters.NAME");
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

/// Every setting of `sasl` that one mechanism or another has no use for.
const OPTIONS: [&str; 11] = [
    USERNAME,
    PASSWORD,
    TOKEN,
    ENDPOINT,
    CLIENT_ID,
    CLIENT_SECRET,
    SCOPES,
    EXTENSIONS,
    CA,
    REGION,
    ROLE,
];
const MECHANISM: &str = "clusters.NAME.sasl.mechanism";
const USERNAME: &str = "clusters.NAME.sasl.usernameFile";
const PASSWORD: &str = "clusters.NAME.sasl.passwordFile";
const TOKEN: &str = "clusters.NAME.sasl.tokenFile";
const ENDPOINT: &str = "clusters.NAME.sasl.tokenEndpoint";
const CLIENT_ID: &str = "clusters.NAME.sasl.clientIdFile";
const CLIENT_SECRET: &str = "clusters.NAME.sasl.clientSecretFile";
const SCOPES: &str = "clusters.NAME.sasl.scopes";
const EXTENSIONS: &str = "clusters.NAME.sasl.extensions";
const CA: &str = "clusters.NAME.sasl.ca";
const REGION: &str = "clusters.NAME.sasl.awsRegion";
const ROLE: &str = "clusters.NAME.sasl.awsRoleArn";

fn sasl(values: &mut Values, is_encrypted: bool) -> Option<SaslConfig> {
    if !values.is_any_given("clusters.NAME.sasl.") {
        return None;
    }
    let allow_plaintext = values.boolean("clusters.NAME.sasl.allowPlaintext");
    values.require(MECHANISM);
    let Some(mechanism) = values.word(MECHANISM) else {
        // What else is wrong is said all the same.
        for file in [USERNAME, PASSWORD, TOKEN, CLIENT_ID, CLIENT_SECRET, CA] {
            let _noted = values.path(file);
        }
        let _noted = (values.text(REGION), values.text(ROLE));
        let _noted = (
            values.url(ENDPOINT),
            values.texts(SCOPES),
            values.pairs(EXTENSIONS),
        );
        return None;
    };
    if matches!(mechanism, "PLAIN" | "OAUTHBEARER" | "AWS_MSK_IAM")
        && !is_encrypted
        && !allow_plaintext
    {
        values.wrong(
            MECHANISM,
            "sends what proves who the scaler is readable without TLS: give the profile tls, or \
             say sasl.allowPlaintext: true",
        );
    }
    Some(match mechanism {
        "OAUTHBEARER" => SaslConfig::Bearer(bearer(values, allow_plaintext)),
        "AWS_MSK_IAM" => SaslConfig::Bearer(msk(values)),
        "PLAIN" => password(values, PasswordMechanism::Plain),
        "SCRAM-SHA-256" => password(values, PasswordMechanism::ScramSha256),
        _ => password(values, PasswordMechanism::ScramSha512),
    })
}

fn password(values: &mut Values, mechanism: PasswordMechanism) -> SaslConfig {
    takes(values, &[USERNAME, PASSWORD], &[]);
    SaslConfig::Password {
        mechanism,
        username_file: values.path(USERNAME).unwrap_or_default(),
        password_file: values.path(PASSWORD).unwrap_or_default(),
    }
}

fn bearer(values: &mut Values, allow_plaintext: bool) -> BearerConfig {
    let extensions = values.pairs(EXTENSIONS);
    if extensions.contains_key("auth") {
        values.wrong(EXTENSIONS, "auth is the token's own name");
    }
    let is_word = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !extensions.keys().all(is_word) {
        values.wrong(EXTENSIONS, "their names have to be of letters");
    }
    let token = if values.is_given(TOKEN) {
        takes(values, &[TOKEN], &[EXTENSIONS]);
        TokenConfig::File(values.path(TOKEN).unwrap_or_default())
    } else {
        takes(
            values,
            &[ENDPOINT, CLIENT_ID, CLIENT_SECRET],
            &[SCOPES, EXTENSIONS, CA],
        );
        let url = values.url(ENDPOINT).unwrap_or_default();
        if url.starts_with("http://") && !allow_plaintext {
            values.wrong(
                ENDPOINT,
                "sends the client's secret readable: give an https:// address, or say \
                 sasl.allowPlaintext: true",
            );
        }
        TokenConfig::Endpoint(EndpointConfig {
            url,
            client_id_file: values.path(CLIENT_ID).unwrap_or_default(),
            client_secret_file: values.path(CLIENT_SECRET).unwrap_or_default(),
            scopes: values.texts(SCOPES),
            tls: TlsConfig {
                ca: values.path(CA),
                ..TlsConfig::default()
            },
        })
    };
    BearerConfig { token, extensions }
}

fn msk(values: &mut Values) -> BearerConfig {
    takes(values, &[], &[REGION, ROLE]);
    let brokers = values.addresses("clusters.NAME.bootstrapServers");
    let of_brokers = || {
        let brokers = brokers.unwrap_or_default();
        let regions = brokers.iter().find_map(|broker| region_of(broker));
        regions.map(str::to_owned)
    };
    BearerConfig {
        token: TokenConfig::Msk(AwsConfig {
            region: values.text(REGION).or_else(of_brokers),
            role_arn: values.text(ROLE),
        }),
        extensions: BTreeMap::new(),
    }
}

/// The region that the name of an MSK broker says, such as `b-1.main.x1y2.c2.kafka.eu-west-1.amazonaws.com`.
fn region_of(host: &str) -> Option<&str> {
    let labels: Vec<&str> = host.split('.').collect();
    let at = labels
        .iter()
        .position(|label| matches!(*label, "kafka" | "kafka-serverless"))?;
    let region = labels.get(at + 1)?;
    (labels.get(at + 2) == Some(&"amazonaws")).then_some(*region)
}

/// Notes what a mechanism needs and does not have, and what it has no use for.
fn takes(values: &mut Values, needs: &[&str], knows: &[&str]) {
    for key in needs {
        values.require(key);
    }
    for key in OPTIONS {
        if values.is_given(key) && !needs.contains(&key) && !knows.contains(&key) {
            values.wrong(
                key,
                "is of no use beside the other settings of sasl: remove it",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_read_from_a_brokers_name() {
        for (host, region) in [
            (
                "b-1.main.x1y2.c2.kafka.eu-west-1.amazonaws.com",
                Some("eu-west-1"),
            ),
            (
                "boot-x1y2.c1.kafka-serverless.us-east-2.amazonaws.com",
                Some("us-east-2"),
            ),
            (
                "b-1.main.x1.c2.kafka.cn-north-1.amazonaws.com.cn",
                Some("cn-north-1"),
            ),
            ("kafka.example.com", None),
            ("kafka", None),
        ] {
            assert_eq!(region_of(host), region, "{host}");
        }
    }
}
