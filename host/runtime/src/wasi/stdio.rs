//! Standard output and error of guests: counted against the run's limit, and safe to lose.
//!
//! What a guest writes in one call is written in one piece, so that lines of tasks that write whole lines (as Rust's
//! standard library does) do not mix. Nobody waits for a slow reader but the guest that writes; see [`queue`].

mod end;
mod lines;
mod queue;
mod reader;
mod sink;
mod writer;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use crate::base::sync::lock;
use crate::quota::account::payer::Payer;
use crate::quota::kill::Kill;
use crate::quota::limits::{LimitKind, LimitReached, Limits};
use crate::sched::task::current::kill_current;
pub use end::flush_output;
pub(crate) use lines::Lines;
use queue::Refused;
pub use reader::Reader;
pub(crate) use sink::Sink;
pub use writer::Writer;

/// A standard stream of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stdio {
    /// Standard input is empty; output is dropped.
    #[default]
    Null,
    /// The process's own.
    ///
    /// Guests that write more than the reader takes wait, and so does the end of a run that ends by itself. Of a run that
    /// was ended, up to 64 KiB may be left to write: see [`flush_output`](crate::flush_output). Output goes past the
    /// buffer of [`std::io::stdout`], which an embedder that prints parts of lines has to flush before.
    Inherit,
    /// Output is kept for [`Outcome`](crate::Outcome). Not for standard input.
    Capture,
    /// Standard input has these bytes. Not for output.
    Bytes(Vec<u8>),
    /// Standard input is read from this: see [`Stdio::reader`]. Not for output.
    Reader(Reader),
    /// Output goes into this: see [`Stdio::writer`]. Not for standard input.
    Writer(Writer),
}

impl Stdio {
    /// Standard input from any reader: a pipe, a socket, half of a `tokio::io::duplex`.
    ///
    /// It is polled when the guest waits for input, on a worker, where the host's tokio runtime is entered. Nobody waits
    /// for a reader that never answers but the guest, which can be killed meanwhile. Clones are the same reader: what one
    /// run has read no other one reads again.
    pub fn reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self::Reader(Reader::new(reader))
    }

    /// Output into any writer.
    ///
    /// A task of the run's polls it, on a worker, where the host's tokio runtime is entered. Up to 64 KiB and one write
    /// wait for a writer that takes nothing, and count as the run's memory; then guests that write wait, and so does the
    /// end of a run that ends by itself. What a run that was ended has not written by then is dropped. Clones are the same
    /// writer: what guests write at once stays in one piece.
    ///
    /// ```
    /// # let host = hart_host::Host::builder().workers(1).build()?;
    /// # let component = host.load(br#"(component
    /// #     (core module $m (func (export "f")))
    /// #     (core instance $i (instantiate $m))
    /// #     (func (export "f") (canon lift (core func $i "f"))))"#)?;
    /// use hart_host::Stdio;
    ///
    /// // A log of the program's own: anything that is `AsyncWrite`.
    /// let log = Stdio::writer(Vec::new());
    /// let run = host.invoke(&component, "f()")?.stdout(log.clone()).stderr(log);
    /// run.start()?.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn writer(writer: impl AsyncWrite + Send + 'static) -> Self {
        Self::Writer(Writer::new(writer))
    }
}

/// The most bytes a guest may offer in one write. wasmtime's own streams use the same figure.
const WRITE_SIZE: usize = 64 << 10;

/// An output stream of one task.
pub(crate) struct Output {
    sink: Sink,
    payer: Arc<Payer>,
    /// Where each line is to begin with a prefix.
    lines: Option<Arc<Lines>>,
    /// Bytes that the guest may still write, having asked.
    permit: usize,
    /// A flush is done when so many bytes of the queue are written.
    flush: Option<u64>,
    /// Among those who wait for the queue.
    key: Option<u64>,
}

impl Output {
    pub(crate) fn new(sink: &Sink, payer: &Arc<Payer>, lines: Option<&Arc<Lines>>) -> Self {
        Self {
            sink: sink.clone(),
            payer: payer.clone(),
            lines: lines.cloned(),
            permit: 0,
            flush: None,
            key: None,
        }
    }

    /// Counts the bytes, and what is written before them; an error names the limit they would break.
    fn count(&self, bytes: &[u8]) -> Result<(), LimitReached> {
        let prefixes = self.lines.as_ref().map_or(0, |lines| lines.adds_to(bytes));
        let bytes = bytes.len() as u64 + prefixes;
        let account = self.payer.account();
        account.writes(bytes)?;
        if let Sink::Capture(kept) = &self.sink
            && account.limits.output_bytes.is_none()
            && lock(kept).len() as u64 + bytes > Limits::DEFAULT_CAPTURED_BYTES
        {
            return Err(LimitReached::new(
                LimitKind::OutputBytes,
                Limits::DEFAULT_CAPTURED_BYTES,
            ));
        }
        Ok(())
    }
}

impl Output {
    /// Takes all of `bytes`, which were counted.
    fn put(&self, bytes: Bytes) -> Result<(), Refused> {
        match &self.lines {
            Some(lines) => lines.put(&bytes),
            None => self.sink.put(bytes, &self.payer.account()),
        }
    }

    /// Whether a flush that was asked for is done.
    fn is_flushed(&self) -> bool {
        match (&self.sink, self.flush) {
            (Sink::Queued(queue), Some(bytes)) => queue.has_written(bytes),
            _ => true,
        }
    }

    /// Whether it takes more.
    fn is_ready(&self) -> bool {
        match &self.sink {
            Sink::Queued(queue) => self.is_flushed() && queue.is_ready(),
            _ => true,
        }
    }

    fn has_room(&self) -> io::Result<bool> {
        match &self.sink {
            Sink::Queued(queue) => queue.has_room(),
            _ => Ok(true),
        }
    }

    fn begin_flush(&mut self) {
        if let Sink::Queued(queue) = &self.sink {
            self.flush = Some(queue.accepted());
        }
    }

    /// Has the waker woken when the queue moves, and looks again; ready if `condition` holds.
    fn poll_until(&mut self, cx: &Context<'_>, condition: fn(&Self) -> bool) -> Poll<()> {
        if condition(self) {
            return Poll::Ready(());
        }
        if let Sink::Queued(queue) = &self.sink {
            queue.moved().register(&mut self.key, cx.waker());
        }
        if condition(self) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Clone for Output {
    fn clone(&self) -> Self {
        Self::new(&self.sink, &self.payer, self.lines.as_ref())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Sink::Queued(queue) = &self.sink {
            queue.moved().remove(self.key);
        }
    }
}

fn stream_error(error: io::Error) -> StreamError {
    match error.kind() {
        // The reader has gone: the guest sees a closed stream, as a native program sees EPIPE.
        io::ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_until(cx, Self::is_ready)).await;
    }
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        // A guest that did not ask may write where it would have been allowed to.
        let permit = match self.permit {
            0 if self.has_room().map_err(stream_error)? => WRITE_SIZE,
            permit => permit,
        };
        if bytes.len() > permit {
            return Err(StreamError::trap(
                "more was written than check-write allows",
            ));
        }
        self.permit = permit - bytes.len();
        // A trap and not an error that the guest could ignore: a flood would go on.
        self.count(&bytes)
            .map_err(|limit| StreamError::Trap(limit.into()))?;
        self.put(bytes).map_err(|refused| match refused {
            Refused::Io(error) => stream_error(error),
            Refused::Limit(limit) => StreamError::Trap(limit.into()),
        })
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        self.has_room().map_err(stream_error)?;
        self.begin_flush();
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        let has_room = self.has_room().map_err(stream_error)?;
        if !self.is_flushed() {
            return Ok(0);
        }
        self.flush = None;
        // All or nothing, so that a line is not cut because there is little room.
        self.permit = if has_room { WRITE_SIZE } else { 0 };
        Ok(self.permit)
    }

    async fn write_ready(&mut self) -> Result<usize, StreamError> {
        // Other tasks may be faster, any number of times.
        loop {
            self.ready().await;
            let permit = self.check_write()?;
            if permit > 0 {
                return Ok(permit);
            }
        }
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = &bytes[..bytes.len().min(WRITE_SIZE)];
        if self.poll_until(cx, Self::is_ready).is_pending() {
            return Poll::Pending;
        }
        self.has_room()?;
        let counted = self.count(bytes).map_err(Refused::Limit);
        let put = counted.and_then(|()| self.put(Bytes::copy_from_slice(bytes)));
        Poll::Ready(match put {
            Ok(()) => Ok(bytes.len()),
            Err(Refused::Io(error)) => Err(error),
            Err(Refused::Limit(limit)) => {
                // WASI 0.3 has errors here that the guest may ignore, and a flood would go on.
                kill_current(Kill::Limit(limit));
                Err(io::Error::other(limit))
            }
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.flush.is_none() {
            self.begin_flush();
        }
        if self.poll_until(cx, Self::is_flushed).is_pending() {
            return Poll::Pending;
        }
        self.flush = None;
        Poll::Ready(self.has_room().map(drop))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        match self.sink {
            Sink::Queued(ref queue) => queue.is_terminal(),
            Sink::Direct(end) => end.is_terminal(),
            Sink::Null | Sink::Capture(_) => false,
        }
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}
