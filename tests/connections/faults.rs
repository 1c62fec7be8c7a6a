//! Servers that are none: what never ends is bounded.

use std::time::Duration;

use tokio::net::TcpListener;

use crate::secured::View;

/// Short enough to wait for.
const IMPATIENCE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    let mut view = View::new(
        &address,
        &["tls: {enabled: true, insecureSkipVerify: true}"],
        IMPATIENCE,
    );
    let said = view.refused().await;
    assert!(
        said.contains("did not answer the handshake of TLS in time"),
        "{said}"
    );
    accepting.abort();
}
