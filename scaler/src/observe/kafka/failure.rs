//! What can go wrong with a broker, as a value: the cause for the engine and a sentence for people.
//!
//! The one place where Kafka's error codes become causes. A failure says what happened; what it
//! happened to (a topic, a group) is added by whoever asked, in [`Failure::problem`].

use evenkeel_engine::Cause;
use kafka_protocol::ResponseError;

use crate::observe::Problem;

/// Why a question to Kafka has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The name has no address.
    #[error("{address} does not resolve ({detail}): check bootstrapServers and DNS")]
    Unresolved {
        /// `host:port`.
        address: String,
        /// What the resolver said.
        detail: String,
    },
    /// No connection could be opened.
    #[error("no connection to {address} ({detail}): check that the broker runs and is reachable")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// What the operating system said of the last address tried.
        detail: String,
    },
    /// The broker closed the connection.
    #[error(
        "{address} closed the connection ({detail}): if this happens at every attempt, the listener \
         probably expects TLS or SASL"
    )]
    Closed {
        /// `host:port`.
        address: String,
        /// How the connection ended.
        detail: String,
    },
    /// What answers to plaintext is TLS.
    #[error(
        "{address} answers in TLS: give the profile tls, or use the port of a plaintext listener"
    )]
    SpeaksTls {
        /// `host:port`.
        address: String,
    },
    /// The connection ended before the handshake of TLS did.
    #[error(
        "{address} ended the connection during the handshake of TLS ({detail}): if this happens at \
         every attempt, the port is probably a plaintext listener's"
    )]
    NoHandshake {
        /// `host:port`.
        address: String,
        /// How it ended.
        detail: String,
    },
    /// TLS failed.
    #[error("TLS with {address} failed: {detail}")]
    Tls {
        /// `host:port`.
        address: String,
        /// What is wrong, and what to do.
        detail: String,
    },
    /// The broker does not accept who we are.
    #[error("{address} does not accept who the scaler is: {detail}")]
    Authentication {
        /// `host:port`.
        address: String,
        /// Why, and what to do.
        detail: String,
    },
    /// The scaler has nothing to prove who it is with, or to check the broker with.
    #[error("{0}")]
    Credentials(String),
    /// An ad-hoc address leads where none may.
    #[error("{0}")]
    ClosedOff(String),
    /// No answer in time.
    #[error(
        "{address} did not answer {api} in time: check the broker's load, or raise \
         poll.requestTimeout"
    )]
    Timeout {
        /// `host:port`.
        address: String,
        /// What was asked.
        api: &'static str,
    },
    /// The answer is longer than may be.
    #[error(
        "{address} announced an answer of {length_bytes} bytes, the limit is {limit_bytes}: raise \
         limits.kafkaFrameBytes, or check that this is a plaintext Kafka listener"
    )]
    Oversized {
        /// `host:port`.
        address: String,
        /// The length that the frame claims; negative lengths as they came.
        length_bytes: i32,
        /// The bound.
        limit_bytes: usize,
    },
    /// The answer has no meaning.
    #[error("{address} gave an answer that is not Kafka's ({detail})")]
    Malformed {
        /// `host:port`.
        address: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The broker is too old or too new.
    #[error("{address} speaks no version of {api} that is known here")]
    Unsupported {
        /// `host:port`.
        address: String,
        /// What would have been asked.
        api: &'static str,
    },
    /// The broker named an error.
    #[error("the broker says {0}")]
    Broker(ResponseError),
    /// The group is none of consumers.
    #[error(
        "it is a share group or a streams group, which commits nothing that could be read as \
         consumers' lag: set consumerGroup to a group of consumers"
    )]
    OfAnotherKind,
    /// The answer leaves out what was asked for.
    #[error("the broker's answer does not mention it")]
    Unanswered,
    /// It became known too late in the tick to be asked.
    #[error("it has just become known and was not asked yet")]
    NotAsked,
}

// === impl Failure ===

impl Failure {
    /// The label for the engine and for metrics.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Unresolved { .. }
            | Self::Unreachable { .. }
            | Self::Closed { .. }
            | Self::SpeaksTls { .. }
            | Self::NoHandshake { .. } => Cause::Unreachable,
            Self::Tls { .. }
            | Self::Authentication { .. }
            | Self::Credentials(_)
            | Self::ClosedOff(_) => Cause::Refused,
            Self::Timeout { .. } => Cause::Timeout,
            Self::Oversized { .. } | Self::Malformed { .. } | Self::Unanswered => Cause::Malformed,
            Self::Unsupported { .. } | Self::OfAnotherKind => Cause::Failed,
            Self::NotAsked => Cause::NotYetObserved,
            Self::Broker(error) => cause_of(*error),
        }
    }

    /// Whether the connection itself failed rather than a question on it.
    pub const fn is_of_connection(&self) -> bool {
        !matches!(
            self,
            Self::Broker(_)
                | Self::Unanswered
                | Self::NotAsked
                | Self::OfAnotherKind
                | Self::Unsupported { .. }
        )
    }

    /// Whether the partition's leader should be looked up again.
    pub fn leader_may_have_moved(&self) -> bool {
        match self {
            Self::Broker(error) => {
                cause_of(*error) == Cause::Moving
                    || matches!(
                        error,
                        ResponseError::UnknownTopicOrPartition | ResponseError::UnknownTopicId
                    )
            }
            failure => failure.is_of_connection(),
        }
    }

    /// Whether the group's coordinator should be looked up again.
    pub const fn coordinator_may_have_moved(&self) -> bool {
        match self {
            Self::Broker(error) => matches!(
                error,
                ResponseError::NotCoordinator | ResponseError::CoordinatorNotAvailable
            ),
            failure => failure.is_of_connection(),
        }
    }

    /// The problem to report: `what` could not be read. For refusals `permission` names the ACL
    /// that is missing.
    pub fn problem(&self, what: &str, permission: &str) -> Problem {
        let cause = self.cause();
        let advice = match (self, cause) {
            (Self::Broker(_), Cause::Refused) => {
                format!(": grant the scaler's principal {permission}")
            }
            (Self::Broker(_), Cause::NotFound) => {
                ": create it, or correct the trigger's metadata".to_owned()
            }
            (Self::Broker(_), Cause::Moving) => {
                ": usually temporary; if it continues, check the brokers".to_owned()
            }
            (Self::Broker(_), _) => ": look for it in the broker's log".to_owned(),
            // The others say themselves what to do.
            _ => String::new(),
        };
        let does_not_exist = match self {
            Self::Broker(
                ResponseError::UnknownTopicOrPartition | ResponseError::UnknownTopicId,
            ) => "it does not exist, ",
            _ => "",
        };
        Problem {
            cause,
            sentence: format!("{what}: {does_not_exist}{self}{advice}"),
        }
    }
}

/// The cause of an error that a broker named.
pub fn cause_of(error: ResponseError) -> Cause {
    use ResponseError as E;
    match error {
        E::UnknownTopicOrPartition
        | E::UnknownTopicId
        | E::InvalidTopicException
        | E::GroupIdNotFound
        | E::InvalidGroupId => Cause::NotFound,
        E::LeaderNotAvailable
        | E::NotLeaderOrFollower
        | E::BrokerNotAvailable
        | E::ReplicaNotAvailable
        | E::CoordinatorLoadInProgress
        | E::CoordinatorNotAvailable
        | E::NotCoordinator
        | E::KafkaStorageError
        | E::ListenerNotFound
        | E::FencedLeaderEpoch
        | E::UnknownLeaderEpoch
        | E::OffsetNotAvailable
        | E::UnstableOffsetCommit
        | E::PreferredLeaderNotAvailable => Cause::Moving,
        E::TopicAuthorizationFailed
        | E::GroupAuthorizationFailed
        | E::ClusterAuthorizationFailed
        | E::UnsupportedSaslMechanism
        | E::IllegalSaslState
        | E::SecurityDisabled
        | E::SaslAuthenticationFailed => Cause::Refused,
        E::RequestTimedOut => Cause::Timeout,
        E::NetworkException => Cause::Unreachable,
        E::CorruptMessage => Cause::Malformed,
        _ => Cause::Failed,
    }
}
