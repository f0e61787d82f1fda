//! Standard output and error of guests: counted against the run's limit, and safe to lose.
//!
//! What a guest writes in one call is written in one piece under the process's lock, so that lines of
//! tasks that write whole lines (as Rust's standard library does) do not mix. Writing to the process's
//! own streams blocks the worker while the reader is slow; that is confined to [`Sink::write`].

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use crate::account::Account;
use crate::sync::lock;
use crate::task::{Kill, kill_current};
use crate::{LimitKind, LimitReached, Limits};

/// A standard stream of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stdio {
    /// Standard input is empty; output is dropped.
    #[default]
    Null,
    /// The process's own.
    Inherit,
    /// Output is kept for [`Outcome`](crate::Outcome). Not for standard input.
    Capture,
    /// Standard input has these bytes. Not for output.
    Bytes(Vec<u8>),
}

/// Where an output stream goes.
#[derive(Clone)]
pub(super) enum Sink {
    Null,
    Stdout,
    Stderr,
    Capture(Arc<Mutex<Vec<u8>>>),
}

/// The most bytes a guest may offer in one write. wasmtime's own streams use the same figure.
const WRITE_SIZE: usize = 64 << 10;

impl Sink {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Null => Ok(()),
            Self::Stdout => io::stdout().lock().write_all(bytes),
            Self::Stderr => io::stderr().lock().write_all(bytes),
            Self::Capture(kept) => {
                lock(kept).extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    fn flush(&self) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().flush(),
            Self::Stderr => io::stderr().lock().flush(),
            Self::Null | Self::Capture(_) => Ok(()),
        }
    }
}

/// An output stream of one task.
#[derive(Clone)]
pub(super) struct Output {
    pub(super) sink: Sink,
    pub(super) account: Arc<Account>,
}

impl Output {
    /// Counts the bytes; an error names the limit they would break.
    fn count(&self, bytes: usize) -> Result<(), LimitReached> {
        let bytes = bytes as u64;
        let before = self.account.output.fetch_add(bytes, Ordering::Relaxed);
        if let Some(limit) = self.account.limits.output_bytes
            && before.saturating_add(bytes) > limit
        {
            self.account.output.fetch_sub(bytes, Ordering::Relaxed);
            return Err(LimitReached::new(LimitKind::OutputBytes, limit));
        }
        if let Sink::Capture(kept) = &self.sink
            && self.account.limits.output_bytes.is_none()
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

fn stream_error(error: io::Error) -> StreamError {
    match error.kind() {
        // The reader has gone: the guest sees a closed stream, as a native program sees EPIPE.
        io::ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        // A trap and not an error that the guest could ignore: a flood would go on.
        self.count(bytes.len())
            .map_err(|limit| StreamError::Trap(limit.into()))?;
        self.sink.write(&bytes).map_err(stream_error)
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        self.sink.flush().map_err(stream_error)
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_SIZE)
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let counted = self.count(bytes.len());
        if let Err(limit) = counted {
            // WASI 0.3 has errors here that the guest may ignore, and a flood would go on.
            kill_current(Kill::Limit(limit));
        }
        let written = counted.map_err(io::Error::other);
        Poll::Ready(
            written
                .and_then(|()| self.sink.write(bytes))
                .map(|()| bytes.len()),
        )
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.sink.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        match self.sink {
            Sink::Stdout => io::IsTerminal::is_terminal(&io::stdout()),
            Sink::Stderr => io::IsTerminal::is_terminal(&io::stderr()),
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
