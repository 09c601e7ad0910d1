//! Whether a connection ended within the head of a request: the one attempt that never becomes a request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const RESTING: u8 = 0;
const BEGUN: u8 = 1;
const ANSWERING: u8 = 2;

/// How far the head of the next request came.
#[derive(Debug, Clone, Default)]
pub(super) struct Head(Arc<AtomicU8>);

impl Head {
    /// A whole head is there.
    pub(super) fn finished(&self) {
        self.0.store(ANSWERING, Ordering::SeqCst);
    }

    /// Its answer is on the way; what comes now begins the next one.
    pub(super) fn rests(&self) {
        self.0.store(RESTING, Ordering::SeqCst);
    }

    /// Whether something came that is not a whole head.
    pub(super) fn is_unfinished(&self) -> bool {
        self.0.load(Ordering::SeqCst) == BEGUN
    }
}

/// A connection that says when bytes of a new head come.
pub(super) struct Watched {
    stream: TcpStream,
    head: Head,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, head: Head) -> Self {
        Self { stream, head }
    }

    /// The connection itself, once no more heads come.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            // Within a request it stays as it is: these are its body.
            self.head.0.compare_exchange(RESTING, BEGUN, Ordering::SeqCst, Ordering::SeqCst).ok();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
