//! The one place where a refusal becomes a gRPC status.
//!
//! KEDA treats every status alike (it logs the sentence and tries again), so the sentence matters
//! more than the code: it says what is wrong and what to do. The codes are for other clients, and
//! for the metrics.

use std::time::Duration;

use evenkeel_engine::Cause;
use tonic::{Code, Status};

use crate::control::registry::RegistryFull;
use crate::schema::{Errors, shorten};

/// The longest sentence. It travels percent-encoded in an HTTP/2 header, and 8 KiB of headers is
/// what some clients take.
const MAX_SENTENCE_CHARACTERS: usize = 2_000;
/// How many problems one sentence lists.
const MAX_PROBLEMS: usize = 8;

/// Why a call gets no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request lacks the ScaledObject.
    #[error("the request names no ScaledObject: scaledObjectRef is missing")]
    NoScaledObject,
    /// The trigger's metadata is wrong, or asks for what is not allowed.
    #[error(transparent)]
    Metadata(#[from] Errors),
    /// No room for another target.
    #[error(transparent)]
    Full(#[from] RegistryFull),
    /// Nothing was observed yet.
    #[error(
        "nothing is known about this target yet: Kafka has not answered within {waited:?} since \
         the call; it is asked again at every poll"
    )]
    NotYet {
        /// How long the call waited.
        waited: Duration,
    },
    /// What is known is not enough for a decision: a topic that does not exist, brokers that do not
    /// answer, a permission that is missing. UNAVAILABLE for all of them, since each can be mended while
    /// KEDA asks on.
    #[error("no decision ({}){}", .cause.label(), listed(.problems))]
    Unknown {
        /// Why.
        cause: Cause,
        /// What went wrong while observing.
        problems: Vec<String>,
    },
    /// The last decision is too old.
    #[error(
        "the last decision is {age:?} old, which is more than maxStalenessSeconds allows{}",
        listed(.problems)
    )]
    Stale {
        /// How old it is.
        age: Duration,
        /// What went wrong while observing.
        problems: Vec<String>,
    },
    /// Too many calls are in flight. KEDA asks again at its next poll and leaves the replicas alone.
    #[error(
        "{limit} calls are in flight, which is limits.grpcConcurrency: ask again; raise it where \
         KEDA has more ScaledObjects than that"
    )]
    Overloaded {
        /// The limit.
        limit: usize,
    },
    /// Another replica is to answer, and none is known that would.
    #[error("no replica of the scaler leads, so none answers: {why}")]
    NoLeader {
        /// Why.
        why: String,
    },
    /// The server is going away.
    #[error("the server is shutting down: ask again")]
    ShuttingDown,
}

// === impl Refusal ===

impl Refusal {
    /// The gRPC code. A topic that does not exist is [`Self::Unknown`], so UNAVAILABLE and not
    /// NOT_FOUND; once it was there, the last decision stands first, for `maxStalenessSeconds`.
    pub fn code(&self) -> Code {
        match self {
            Self::Metadata(errors) if errors.only_forbidden() => Code::PermissionDenied,
            Self::NoScaledObject | Self::Metadata(_) => Code::InvalidArgument,
            Self::Full(_) | Self::Overloaded { .. } => Code::ResourceExhausted,
            Self::NotYet { .. }
            | Self::Unknown { .. }
            | Self::Stale { .. }
            | Self::NoLeader { .. }
            | Self::ShuttingDown => Code::Unavailable,
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self::new(
            refusal.code(),
            shorten(&refusal.to_string(), MAX_SENTENCE_CHARACTERS),
        )
    }
}

fn listed(problems: &[String]) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let mut text = String::from(": ");
    let shown: Vec<&str> = problems
        .iter()
        .take(MAX_PROBLEMS)
        .map(String::as_str)
        .collect();
    text.push_str(&shown.join("; "));
    if problems.len() > shown.len() {
        text.push_str(&format!("; and {} more", problems.len() - shown.len()));
    }
    text
}

/// A code as the gRPC specification spells it, for metrics.
pub const fn code_label(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
