//! Whether a connection of HTTP/1 is between two requests.
//!
//! hyper keeps buffers and states for as long as it has a connection, some 20 KiB. So where nothing is under way it is taken
//! from hyper, and given back when the client sends something. Nothing is under way where all of this holds:
//!
//! 1. hyper has read a request since it was given the connection, and that request had no body. What is left of a body
//!    that nobody read would be taken for the next request.
//! 2. The response is dropped with its body, and what hyper wrote of it is flushed.
//! 3. hyper has asked for more since then, and there was none. What it has read behind the request comes back from it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::serve::patience::Patient;

/// A client's stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Waits until there may be something to read, without a buffer for it. Only after a read has found nothing.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Stream for Patient {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_readable(self, cx)
    }
}

impl Stream for TlsStream<Patient> {
    /// The read that found nothing has left nothing that is decrypted already.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_ref().0.poll_readable(cx)
    }
}

/// What is known of a connection while hyper has it. Everything happens in the polls of one task, so `Relaxed` is enough.
#[derive(Default)]
pub(super) struct Between {
    /// Requests whose responses are not dropped.
    live: AtomicUsize,
    /// hyper has read a request.
    began: AtomicBool,
    /// One of them had a body.
    had_body: AtomicBool,
    /// Bytes were read since the last request began.
    has_more: AtomicBool,
    /// The last read found nothing.
    waits: AtomicBool,
    /// Something was written and not flushed.
    unsent: AtomicBool,
}

impl Between {
    /// A request begins. It is over when what this returns is dropped.
    pub(super) fn begins<B: Body>(self: &Arc<Self>, body: &B) -> Underway {
        self.live.fetch_add(1, Ordering::Relaxed);
        self.began.store(true, Ordering::Relaxed);
        if !body.is_end_stream() {
            self.had_body.store(true, Ordering::Relaxed);
        }
        self.has_more.store(false, Ordering::Relaxed);
        Underway(self.clone())
    }

    /// Whether a request has begun to come, of which hyper has not read the head. After a body nobody knows: what has come
    /// may be the rest of that.
    pub(super) fn is_in_head(&self) -> bool {
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        self.live.load(Ordering::Relaxed) == 0 && is(&self.has_more) && !is(&self.had_body)
    }

    /// Whether nothing is under way, after a poll in which hyper has done what it can.
    pub(super) fn is_here(&self) -> bool {
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        self.live.load(Ordering::Relaxed) == 0
            && is(&self.began)
            && is(&self.waits)
            && !is(&self.had_body)
            && !is(&self.has_more)
            && !is(&self.unsent)
    }
}

/// A request that is not over.
pub(super) struct Underway(Arc<Between>);

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a response. Until it is dropped its request is under way.
pub(super) struct Counted<B> {
    pub(super) body: B,
    pub(super) _underway: Underway,
}

impl<B: Body + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that hyper reads and writes.
pub(super) struct Watched<S> {
    pub(super) stream: S,
    /// What was read before: it comes first.
    pub(super) ahead: Bytes,
    pub(super) between: Arc<Between>,
}

impl<S: Stream> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = if this.ahead.is_empty() {
            Pin::new(&mut this.stream).poll_read(cx, buffer)
        } else {
            let count = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.ahead.split_to(count));
            Poll::Ready(Ok(()))
        };
        let between = &this.between;
        between.waits.store(polled.is_pending(), Ordering::Relaxed);
        if buffer.filled().len() > before {
            between.has_more.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: Stream> Watched<S> {
    fn writes(&mut self) -> Pin<&mut S> {
        self.between.unsent.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream)
    }
}

impl<S: Stream> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().writes().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().writes().poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes once it has written everything.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        this.between.unsent.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
