//! Clients that take nothing of what is written to them: without a limit, one of them keeps a guest, and its place among
//! those that run, for as long as it likes.
//!
//! 1. HTTP/1.1, and all of a connection of HTTP/2: the socket takes no more ([`Patient`]).
//! 2. One stream of HTTP/2: its client leaves it no window ([`stream`]). Only hyper sees that. What can be seen of it is a
//!    stream that goes on waiting, although the app has something for it or was not asked ([`asks`], [`Asked`]).

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::sched::clock::Clock;
use crate::sched::clock::pause::Pause;

/// A connection that fails once the client has taken nothing for too long of what waits for it.
pub(super) struct Patient {
    stream: TcpStream,
    pause: Pause,
}

impl Patient {
    pub(super) fn new(stream: TcpStream, clock: Arc<Clock>, most: Duration) -> Self {
        let pause = Pause::new(clock, most);
        Self { stream, pause }
    }

    /// Waits until there may be something to read. Only after a read has found nothing.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(cx)
    }

    fn timed<R>(
        &mut self,
        written: Poll<io::Result<R>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        match written {
            Poll::Pending => self
                .pause
                .poll(cx)
                .map(|()| Err(io::ErrorKind::TimedOut.into())),
            Poll::Ready(written) => {
                self.pause.ends();
                Poll::Ready(written)
            }
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.timed(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.timed(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// A socket holds nothing back.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

thread_local! {
    /// Whether the stream that is polled has asked the app, and whether the app had nothing yet.
    static ASKED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// The answer of an app, told when it is asked for.
pub(super) async fn asks<R>(answer: impl Future<Output = R>) -> R {
    let mut answer = pin!(answer);
    poll_fn(|cx| {
        let polled = answer.as_mut().poll(cx);
        ASKED.set(Some(polled.is_pending()));
        polled
    })
    .await
}

/// The body of an answer, told when it is asked for.
pub(super) struct Asked<A>(pub(super) A);

impl<A: Body + Unpin> Body for Asked<A> {
    type Data = A::Data;
    type Error = A::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<A::Data>, A::Error>>> {
        let polled = Pin::new(&mut self.0).poll_frame(cx);
        ASKED.set(Some(polled.is_pending()));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Drives `stream`, a stream of HTTP/2, until its client takes nothing of it for too long.
pub(super) async fn stream(stream: impl Future<Output = ()>, clock: Arc<Clock>, most: Duration) {
    let mut stream = pin!(stream);
    let mut pause = Pause::new(clock, most);
    poll_fn(|cx| {
        ASKED.set(None);
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let asked = ASKED.get();
        if asked.is_some() {
            pause.ends();
        }
        match asked {
            Some(true) => Poll::Pending,
            // The app has something, or would be asked: it is the client that is waited for.
            Some(false) | None => pause.poll(cx),
        }
    })
    .await;
}
