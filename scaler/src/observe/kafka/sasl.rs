//! Who the scaler is to a broker: the SASL exchange on a connection whose versions are known, at its
//! start and again before the broker's session ends (KIP-368).
//!
//! [`scram`] is the one mechanism with more than one message, [`bearer`] the one whose secret is
//! fetched. Where secrets come from is decided in `crate::credentials`; when the exchange is repeated, by `brokers`.

mod bearer;
mod scram;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use self::bearer::Bearer;
use self::scram::{Digest, Scram};
use super::connection::Connection;
use super::failure::Failure;
use crate::config::access::{PasswordMechanism, SaslConfig};
use crate::credentials::{Login, Refresh, Rotating, Secret};
use crate::metrics::Metrics;
use crate::schema::shorten;

/// How much of a broker's own words an error repeats.
const SHOWN_CHARACTERS: usize = 200;

/// The version of SaslHandshake that is followed by SaslAuthenticate. Version 0 (Kafka 0.10) is
/// followed by bare frames, which cannot say why they fail.
const HANDSHAKE_VERSION: i16 = 1;

/// How the scaler authenticates itself to one cluster.
#[derive(Debug)]
pub enum Sasl {
    /// By a name and a password.
    Password {
        /// How the password is proven.
        mechanism: PasswordMechanism,
        /// Both.
        login: Box<Rotating<Login>>,
    },
    /// By a token.
    Bearer(Bearer),
}

// === impl Sasl ===

impl Sasl {
    /// As `config` says; no file is read yet. `setting` is its path in the configuration.
    pub fn new(setting: String, config: &SaslConfig, metrics: &Metrics) -> Self {
        match config {
            SaslConfig::Password {
                mechanism,
                username_file,
                password_file,
            } => {
                let login = Login::of(setting, username_file, password_file, metrics);
                Self::Password {
                    mechanism: *mechanism,
                    login: Box::new(login),
                }
            }
            SaslConfig::Bearer(config) => Self::Bearer(Bearer::new(setting, config, metrics)),
        }
    }

    /// Whether rights are given by policies of IAM.
    pub const fn is_by_iam(&self) -> bool {
        match self {
            Self::Password { .. } => false,
            Self::Bearer(bearer) => bearer.is_by_iam(),
        }
    }

    /// What to do where the broker does not accept it.
    const fn advice(&self) -> &'static str {
        match self {
            Self::Password { .. } => {
                "check the user's name and its secret in the profile's files, and that the broker \
                 knows it for this mechanism"
            }
            Self::Bearer(bearer) if bearer.is_by_iam() => {
                "check that the role's policy allows kafka-cluster:Connect on this cluster, and the \
                 region"
            }
            Self::Bearer(_) => {
                "check that the broker trusts the token's issuer, and its audience and scope"
            }
        }
    }

    /// Proves who the scaler is. Answers after how long the broker wants that again, if at all. What
    /// is refused is looked at anew before the next proof: it may have been replaced by now.
    ///
    /// # Errors
    /// When the files cannot be used, or the broker does not accept it.
    pub async fn prove(
        &self,
        connection: &Connection,
        deadline: Instant,
    ) -> Result<Option<Duration>, Failure> {
        let proven = self.exchange(connection, deadline).await;
        if let Err(Failure::Authentication { .. }) = &proven {
            match self {
                Self::Password { login, .. } => login.doubt(),
                Self::Bearer(bearer) => bearer.doubt(),
            }
        }
        proven
    }

    async fn exchange(
        &self,
        connection: &Connection,
        deadline: Instant,
    ) -> Result<Option<Duration>, Failure> {
        let exchange = Exchange {
            connection,
            deadline,
            advice: self.advice(),
        };
        match self {
            Self::Password { mechanism, login } => {
                let login = login.current().map_err(Failure::Credentials)?;
                exchange.choose(name(*mechanism)).await?;
                match mechanism {
                    PasswordMechanism::Plain => exchange.plain(&login).await,
                    PasswordMechanism::ScramSha256 => exchange.scram(Digest::Sha256, login).await,
                    PasswordMechanism::ScramSha512 => exchange.scram(Digest::Sha512, login).await,
                }
            }
            Self::Bearer(bearer) => {
                let message = bearer.message(deadline).await;
                let message = message.map_err(Failure::Credentials)?;
                exchange.choose("OAUTHBEARER").await?;
                exchange.bearer(&message).await
            }
        }
    }
}

impl Refresh for Sasl {
    fn refresh(&self) {
        match self {
            Self::Password { login, .. } => login.refresh(),
            Self::Bearer(bearer) => bearer.refresh(),
        }
    }
}

/// A broker's own words, as far as they are shown.
fn printable(words: &str) -> String {
    let printable: String = words.chars().filter(|c| !c.is_control()).collect();
    shorten(&printable, SHOWN_CHARACTERS)
}

const fn name(mechanism: PasswordMechanism) -> &'static str {
    match mechanism {
        PasswordMechanism::Plain => "PLAIN",
        PasswordMechanism::ScramSha256 => "SCRAM-SHA-256",
        PasswordMechanism::ScramSha512 => "SCRAM-SHA-512",
    }
}

/// The messages of one proof.
#[derive(Clone, Copy, Debug)]
struct Exchange<'a> {
    connection: &'a Connection,
    deadline: Instant,
    /// What to do where the broker refuses.
    advice: &'static str,
}

// === impl Exchange ===

impl Exchange<'_> {
    /// Says which mechanism follows.
    async fn choose(&self, mechanism: &'static str) -> Result<(), Failure> {
        let request =
            SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let answer = self
            .connection
            .ask(HANDSHAKE_VERSION, &request, self.deadline)
            .await?;
        let detail = match ResponseError::try_from_code(answer.error_code) {
            None => return Ok(()),
            Some(ResponseError::UnsupportedSaslMechanism) => {
                let offered: Vec<&str> = answer.mechanisms.iter().map(|name| &**name).collect();
                let offered = shorten(&offered.join(", "), SHOWN_CHARACTERS);
                format!("it does not offer {mechanism}, it offers {offered}: correct sasl.mechanism")
            }
            Some(ResponseError::IllegalSaslState) => {
                "this listener takes no SASL: use the port of one that does, or take sasl out of the \
                 profile"
                    .to_owned()
            }
            Some(error) => format!("it says {error}"),
        };
        Err(self.connection.refused(detail))
    }

    /// Sends one message; the broker's, and after how long it wants the proof again.
    async fn send(&self, message: &[u8]) -> Result<(Bytes, Option<Duration>), Failure> {
        let version = self.connection.version::<SaslAuthenticateRequest>()?;
        let request =
            SaslAuthenticateRequest::default().with_auth_bytes(Bytes::copy_from_slice(message));
        let answer = self
            .connection
            .ask(version, &request, self.deadline)
            .await?;
        if let Some(error) = ResponseError::try_from_code(answer.error_code) {
            let words = answer.error_message.as_deref().unwrap_or_default();
            let words = printable(words);
            return Err(self.connection.refused(match error {
                ResponseError::SaslAuthenticationFailed => format!("{words}: {}", self.advice),
                error => format!("it says {error} ({words})"),
            }));
        }
        let lifetime = u64::try_from(answer.session_lifetime_ms).unwrap_or_default();
        let lifetime = (lifetime > 0).then(|| Duration::from_millis(lifetime));
        Ok((answer.auth_bytes, lifetime))
    }

    async fn plain(&self, login: &Login) -> Result<Option<Duration>, Failure> {
        let (username, password) = (login.name.expose(), login.secret.expose());
        let message = Secret::new(format!("\0{username}\0{password}"));
        let (_, lifetime) = self.send(message.expose().as_bytes()).await?;
        Ok(lifetime)
    }

    async fn bearer(&self, message: &Secret) -> Result<Option<Duration>, Failure> {
        let (refusal, lifetime) = self.send(message.expose().as_bytes()).await?;
        if refusal.is_empty() {
            return Ok(lifetime);
        }
        // A refusal is a text that has to be acknowledged before it becomes an error.
        self.send(b"\x01").await?;
        let words = printable(&String::from_utf8_lossy(&refusal));
        Err(self.connection.refused(format!("{words}: {}", self.advice)))
    }

    async fn scram(&self, digest: Digest, login: Arc<Login>) -> Result<Option<Duration>, Failure> {
        let odd = |why: String| self.connection.refused(why);
        let scram = Scram::new(digest, login.name.expose()).map_err(odd)?;
        let (challenge, _) = self.send(scram.first().as_bytes()).await?;
        // Deriving a key takes milliseconds, on purpose; a tick of others should not wait for it.
        let derived = tokio::task::spawn_blocking(move || {
            let proof = scram.prove(&challenge, login.secret.expose())?;
            Ok::<_, String>(proof)
        });
        let proof = match derived.await {
            Ok(proof) => proof.map_err(odd)?,
            Err(_) => return Err(odd("the proof could not be made".to_owned())),
        };
        let (verdict, lifetime) = self.send(proof.message.as_bytes()).await?;
        proof.check(&verdict).map_err(odd)?;
        Ok(lifetime)
    }
}
