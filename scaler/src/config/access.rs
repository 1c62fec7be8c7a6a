//! How a server is reached and who the scaler is there, as configured: names of files, never what
//! they hold.

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
