//! Whether this process may be sent work: what `/readyz` says.
//!
//! Set by whoever starts and drains the servers (`app`), read here. It says nothing of Kafka: a
//! scaler whose Kafka is away still answers KEDA, with a reason.

use tokio::sync::watch;

/// A phase in the life of the process, shared by all clones.
#[derive(Clone, Debug)]
pub struct Readiness(watch::Sender<Phase>);

/// The phases, in the only order in which they follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The servers are not up yet.
    Starting,
    /// The servers are up.
    Serving,
    /// A shutdown has begun.
    Draining,
}

// === impl Readiness ===

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// Starting.
    pub fn new() -> Self {
        Self(watch::Sender::new(Phase::Starting))
    }

    /// The servers are up. Without effect once a shutdown has begun.
    pub fn serving(&self) {
        self.advance(Phase::Serving);
    }

    /// A shutdown has begun; there is no way back.
    pub fn draining(&self) {
        self.advance(Phase::Draining);
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let later = phase > *current;
            if later {
                *current = phase;
            }
            later
        });
    }
}
