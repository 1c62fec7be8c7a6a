//! Accepts a bounded number of connections and closes those that stand still.
//!
//! Probes and metrics have no authentication, so somebody who opens connections and says nothing must not
//! cost memory without end, nor keep the kubelet's probes out for ever. What a request may cost is
//! bounded elsewhere: handlers read memory only, and take no body.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Connections at once; the next one waits in the kernel's queue. Prometheus keeps one or two, the
/// kubelet one a probe, a browser up to six: this leaves room for dozens of people, and costs at
/// most a few megabytes of buffers.
pub const MAX_CONNECTIONS: usize = 256;

/// A connection on which nothing moved for this long is closed. Longer than the usual scrape
/// intervals (15 to 60 s), so that Prometheus keeps its connection; short enough that silent
/// connections make room again before three failed probes restart the pod.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// A listener that holds back when too many connections are open.
#[derive(Debug)]
pub(super) struct BoundedListener {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

/// A connection that counts while it lives and ends when it stands still.
#[derive(Debug)]
pub(super) struct BoundedStream {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

// === impl BoundedListener ===

impl BoundedListener {
    /// Bounds `listener`.
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        }
    }
}

impl Listener for BoundedListener {
    type Io = BoundedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // The semaphore is never closed, so the permit is always there.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        // axum's own accept waits and tries again on errors such as too many open files.
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let stream = BoundedStream {
            stream,
            deadline: Box::pin(tokio::time::sleep(IDLE_TIMEOUT)),
            _permit: permit,
        };
        (stream, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

// === impl BoundedStream ===

impl BoundedStream {
    /// Moves the deadline when something moved; fails when nothing did until then.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.deadline.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
            return result;
        }
        if self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watch(context, result)
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
