//! How tests wait for what another process does.

use std::time::Duration;

use tokio::time::Instant;

/// What a test waits for comes within seconds; a machine that compiles beside it may need longer.
/// Nothing is concluded from how long it took.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// How often it is looked again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Looks again and again until `look` finds what it looks for; its last complaint is the failure.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(complaint) if Instant::now() >= deadline => {
                panic!("waited {PATIENCE:?} until {what}; last seen: {complaint}")
            }
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}
