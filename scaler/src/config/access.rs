//! How a server is reached and who the scaler is there, as configured: names of files, never what
//! they hold.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// TLS towards a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Certificates of the authorities that are trusted; the system's where absent.
    pub ca: Option<PathBuf>,
    /// The client's certificate with its chain; goes with `key`.
    pub cert: Option<PathBuf>,
    /// The client's private key.
    pub key: Option<PathBuf>,
    /// The password of an encrypted `key`.
    pub key_password_file: Option<PathBuf>,
    /// The name that the server's certificate has to have, where it is not the address's.
    pub server_name: Option<String>,
    /// Accept every certificate.
    pub insecure_skip_verify: bool,
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsConfig {
    /// The server's certificate with its chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The password of an encrypted `key`.
    pub key_password_file: Option<PathBuf>,
    /// Certificates of the authorities whose clients are let in; everybody where absent.
    pub client_ca: Option<PathBuf>,
}

/// How the scaler authenticates itself to a Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaslConfig {
    /// By a name and a password.
    Password {
        /// How the password is proven.
        mechanism: PasswordMechanism,
        /// Holds the name.
        username_file: PathBuf,
        /// Holds the password.
        password_file: PathBuf,
    },
    /// By a token (OAUTHBEARER).
    Bearer(BearerConfig),
}

/// A token, and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BearerConfig {
    /// Where it comes from.
    pub token: TokenConfig,
    /// SASL extensions by their names.
    pub extensions: BTreeMap<String, String>,
}

/// How a Prometheus is reached, and who the scaler is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrometheusAccessConfig {
    /// How its certificate is checked, and the client's own.
    pub tls: TlsConfig,
    /// Who the scaler is.
    pub login: Option<HttpLogin>,
    /// Headers of every request, by their names.
    pub headers: BTreeMap<String, String>,
    /// The same, whose values files hold.
    pub header_files: BTreeMap<String, PathBuf>,
    /// Parameters of every request, by their names.
    pub parameters: BTreeMap<String, String>,
}

/// Who the scaler is to an HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpLogin {
    /// The holder of the token in this file.
    Bearer(PathBuf),
    /// A user with a password.
    Basic {
        /// Holds the name.
        username: PathBuf,
        /// Holds the password.
        password: PathBuf,
    },
    /// Whoever has these keys at AWS, by a signature for Amazon Managed Prometheus.
    Aws(AwsConfig),
}

/// Whose keys are used at AWS, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsConfig {
    /// The region; that of AWS's own chain where absent.
    pub region: Option<String>,
    /// A role to assume with the chain's keys.
    pub role_arn: Option<String>,
}

/// Where a token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenConfig {
    /// This file holds it.
    File(PathBuf),
    /// An identity provider gives it.
    Endpoint(EndpointConfig),
    /// It is signed for Amazon MSK with these keys.
    Msk(AwsConfig),
}

/// An identity provider, asked for client credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// Its address.
    pub url: String,
    /// Holds the client's id.
    pub client_id_file: PathBuf,
    /// Holds the client's secret.
    pub client_secret_file: PathBuf,
    /// What is asked for; nothing in particular where empty.
    pub scopes: Vec<String>,
    /// How its certificate is checked.
    pub tls: TlsConfig,
}

/// How a password is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordMechanism {
    /// It is sent.
    Plain,
    /// RFC 7677: it is never sent.
    ScramSha256,
    /// The same over SHA-512.
    ScramSha512,
}
