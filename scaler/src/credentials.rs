//! What proves who the scaler is and whom it trusts: files that others write and replace, and what
//! others give for a while.
//!
//! Every user (Kafka, Prometheus, the gRPC server) reads files through [`Rotating`], and holds tokens
//! in a [`Renewed`], so that there is one rule for when they are had again and what happens when that
//! fails. What they mean is the user's to say; nothing here opens a connection.

pub mod login;
pub mod renewed;
pub mod rotating;
pub mod secret;

use std::sync::Arc;
use std::time::Duration;

pub use login::Login;
pub use renewed::{Given, Renewed};
pub use rotating::{Content, Rotating, is_token};
pub use secret::Secret;

/// How often files are looked at again: well within the 60 s that are promised, and a few small
/// reads from memory (Kubernetes mounts secrets in one) cost nothing.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Something that is read from files again and again.
pub trait Refresh: std::fmt::Debug + Send + Sync {
    /// Looks whether the files have changed, and takes over what they hold now.
    fn refresh(&self);
}

/// Looks at all of `credentials` every [`LOOK_EVERY`] for as long as it is polled: what is wrong
/// with a new file is said, and dates are shown, also while nothing uses it.
pub async fn keep(credentials: Vec<Arc<dyn Refresh>>) {
    loop {
        for one in &credentials {
            one.refresh();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
