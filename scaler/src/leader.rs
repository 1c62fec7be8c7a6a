//! Who answers: this replica of the scaler, another one, or nobody for now.
//!
//! Where several replicas run, one leads: it answers, and the others hand their calls on to it. A
//! replica answers only while it is certain that no other may, and that certainty ends by itself: it
//! is a moment on the monotonic clock, so a process that was stopped for a minute knows better when it
//! goes on. How a leader is found is not decided here (`kubernetes::lease`).

use std::sync::Arc;

use evenkeel_engine::Timestamp;
use tokio::sync::watch;

use crate::clock::Clock;

/// Another replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Who it is, for people.
    pub identity: String,
    /// Its gRPC server, `host:port`.
    pub address: String,
    /// SHA-256 of the certificate that it has, in hexadecimal, where it speaks TLS.
    pub certificate: Option<String>,
}

/// How this replica stands among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There are no others.
    Alone,
    /// It leads, and no other may before then.
    Leads {
        /// The end of that, if nothing renews it.
        until: Timestamp,
    },
    /// Another leads.
    Follows(Peer),
    /// It does not lead, and nobody is known to.
    Nobody {
        /// Why, for people.
        why: String,
    },
}

/// Who is to answer a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// This replica.
    Answer,
    /// This one.
    Forward(Peer),
    /// Nobody can.
    Silent {
        /// Why, for people.
        why: String,
    },
}

/// How this replica stands, as it changes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership {
    clock: Clock,
    standing: watch::Receiver<Standing>,
    /// Keeps the channel open where nobody else does.
    _alone: Option<Arc<watch::Sender<Standing>>>,
}

// === impl Leadership ===

impl Leadership {
    /// The only replica there is: it always answers.
    pub fn alone(clock: Clock) -> Self {
        let (sender, standing) = watch::channel(Standing::Alone);
        Self {
            clock,
            standing,
            _alone: Some(Arc::new(sender)),
        }
    }

    /// One of several; whoever holds the sender says how it stands.
    pub fn among_others(clock: Clock) -> (watch::Sender<Standing>, Self) {
        let why = "no leader has been looked for yet".to_owned();
        let (sender, standing) = watch::channel(Standing::Nobody { why });
        let leadership = Self {
            clock,
            standing,
            _alone: None,
        };
        (sender, leadership)
    }

    /// Who is to answer a call that is answered now.
    pub fn role(&self) -> Role {
        match &*self.standing.borrow() {
            Standing::Alone => Role::Answer,
            Standing::Leads { until } if self.clock.now() < *until => Role::Answer,
            Standing::Leads { .. } => Role::Silent {
                why: "this replica led, and could not renew its Lease in time".to_owned(),
            },
            Standing::Follows(peer) => Role::Forward(peer.clone()),
            Standing::Nobody { why } => Role::Silent { why: why.clone() },
        }
    }

    /// Whether this replica answers now.
    pub fn answers(&self) -> bool {
        self.role() == Role::Answer
    }

    /// Whether there may be other replicas.
    pub fn is_among_others(&self) -> bool {
        *self.standing.borrow() != Standing::Alone
    }

    /// Wakes when the standing has changed.
    pub async fn changed(&mut self) {
        if self.standing.changed().await.is_err() {
            // Nobody will say any more: the process is ending.
            std::future::pending::<()>().await;
        }
    }
}
