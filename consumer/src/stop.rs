//! One flag that asks the whole process to drain and exit.
//!
//! Raised by a signal, by a standard output that nobody reads any more, or by a sink that failed.
//! It is never lowered again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The flag; clones share it.
#[derive(Clone, Debug, Default)]
pub struct StopSignal(Arc<AtomicBool>);

impl StopSignal {
    /// Asks everybody to drain and exit.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the process is to drain and exit.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Raises the flag at SIGTERM (Kubernetes) or SIGINT (a terminal).
    ///
    /// # Errors
    /// When the process may not handle signals.
    pub async fn raise_on_signals(self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop: draining");
        self.raise();
        Ok(())
    }
}
