//! Connections over TLS: each handshake beside the others and bounded, so that a client that begins
//! one and falls silent holds up nobody.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use crate::tls::server::ServerTls;

/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Handshakes at once; further connections wait to be accepted. KEDA has one connection.
const HANDSHAKES: usize = 256;

/// The pause after a connection could not be accepted: out of file handles, mostly.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The connections of `listener` whose handshake succeeded. Accepting ends when it is dropped.
pub fn encrypted(
    listener: TcpListener,
    tls: Arc<ServerTls>,
) -> impl Stream<Item = std::io::Result<TlsStream<TcpStream>>> {
    let (done, ready) = mpsc::channel(HANDSHAKES);
    let permits = Arc::new(Semaphore::new(HANDSHAKES));
    tokio::spawn(async move {
        loop {
            let accepted = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (listener.accept().await, permit)
            };
            let (accepted, permit) = tokio::select! {
                accepted = accepted => accepted,
                () = done.closed() => return,
            };
            let Ok((stream, peer)) = accepted else {
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            };
            let (tls, done) = (Arc::clone(&tls), done.clone());
            tokio::spawn(async move {
                match handshake(&tls, stream).await {
                    // The server is gone if nobody takes it.
                    Ok(stream) => {
                        let _taken = done.send(Ok(stream)).await;
                    }
                    Err(why) => tracing::debug!(%peer, "no connection over TLS: {why}"),
                }
                drop(permit);
            });
        }
    });
    ReceiverStream::new(ready)
}

async fn handshake(tls: &ServerTls, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
    // A socket that refuses the option still works.
    let _ = stream.set_nodelay(true);
    let acceptor = TlsAcceptor::from(tls.current()?);
    match tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
        Ok(accepted) => accepted.map_err(|error| error.to_string()),
        Err(_) => Err(format!(
            "no handshake within {} s",
            HANDSHAKE_WITHIN.as_secs()
        )),
    }
}
