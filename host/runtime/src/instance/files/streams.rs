//! Streams of a file, which read and write on threads of the [host's](crate::sched::io_threads).
//!
//! wasmtime-wasi's own begin to read or to write at once, on any thread. These lend one first: a stream is moved into what
//! waits for the thread and then uses it, and comes back with the result. That begins when the guest asks for it, and goes
//! on whenever the guest looks or waits.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

use crate::instance::record::RunRecord;
use crate::quota::account::files::HeldFile;
use crate::sched::io_threads::IoThreads;

/// What is read for whoever waits before they read, as wasmtime-wasi does.
const AHEAD: usize = 4096;
/// What is taken at once.
const MOST: usize = 64 << 10;

/// Where a stream's operations are done, and the descriptor that it keeps open.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) threads: Arc<IoThreads>,
    pub(crate) run: Arc<RunRecord>,
    pub(crate) _file: Option<Arc<HeldFile>>,
}

/// A stream away on a thread, or on its way there, and what comes of it.
type Away<S, T> = BoxFuture<'static, (S, StreamResult<T>)>;

fn begin<S: Send + 'static, T: Send + 'static>(
    place: &Place,
    mut stream: S,
    operate: impl for<'a> FnOnce(&'a mut S) -> BoxFuture<'a, StreamResult<T>> + Send + 'static,
) -> Away<S, T> {
    let lend = place.threads.lend(place.run.id, &place.run.account);
    Box::pin(async move {
        let loan = lend.await;
        let result = loan.within(operate(&mut stream)).await;
        (stream, result)
    })
}

/// A look that wakes nobody.
fn look<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll(&mut Context::from_waker(Waker::noop()))
}

// === impl Input ===

/// Reads a file from some place on.
pub(crate) struct Input {
    place: Place,
    state: Reading,
}

enum Reading {
    Idle(DynInputStream),
    Away(Away<DynInputStream, Bytes>),
    /// Read and not taken.
    Has(DynInputStream, Bytes),
    Failed(StreamError),
    Closed,
}

impl Input {
    pub(crate) fn new(stream: DynInputStream, place: Place) -> Self {
        Self {
            place,
            state: Reading::Idle(stream),
        }
    }

    /// Begins to read, if that is not done or going on.
    fn begin(&mut self, size: usize) {
        self.state = match std::mem::replace(&mut self.state, Reading::Closed) {
            Reading::Idle(stream) => Reading::Away(begin(&self.place, stream, move |stream| {
                stream.blocking_read(size)
            })),
            other => other,
        };
    }

    /// Goes on with what was begun.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Reading::Away(away) = &mut self.state else {
            return Poll::Ready(());
        };
        let (stream, result) = std::task::ready!(away.poll_unpin(cx));
        self.state = match result {
            Ok(bytes) if bytes.is_empty() => Reading::Idle(stream),
            Ok(bytes) => Reading::Has(stream, bytes),
            Err(StreamError::Closed) => Reading::Closed,
            Err(error) => Reading::Failed(error),
        };
        Poll::Ready(())
    }

    /// Waits until there is something to take.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, size: usize) -> Poll<()> {
        self.begin(size);
        self.poll(cx)
    }

    /// Takes what was read.
    pub(super) fn take(&mut self, size: usize) -> StreamResult<Bytes> {
        match std::mem::replace(&mut self.state, Reading::Closed) {
            Reading::Has(stream, mut bytes) => {
                let taken = bytes.split_to(size.min(bytes.len()));
                self.state = match bytes.is_empty() {
                    true => Reading::Idle(stream),
                    false => Reading::Has(stream, bytes),
                };
                Ok(taken)
            }
            Reading::Failed(error) => Err(error),
            Reading::Closed => Err(StreamError::Closed),
            other => {
                self.state = other;
                Ok(Bytes::new())
            }
        }
    }
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_read(cx, AHEAD)).await;
    }
}

#[async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size > 0 {
            let _ = look(|cx| self.poll_read(cx, size));
        }
        self.take(size)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        std::future::poll_fn(|cx| self.poll_read(cx, size)).await;
        self.take(size)
    }

    async fn cancel(&mut self) {
        // What goes on keeps its thread until it is done; nobody waits for it.
        self.state = Reading::Closed;
    }
}

// === impl Output ===

/// Writes a file from some place on, or at its end.
pub(crate) struct Output {
    place: Place,
    state: Writing,
}

enum Writing {
    Idle(DynOutputStream),
    Away(Away<DynOutputStream, ()>),
    Failed(StreamError),
    Closed,
}

impl Output {
    pub(crate) fn new(stream: DynOutputStream, place: Place) -> Self {
        Self {
            place,
            state: Writing::Idle(stream),
        }
    }

    /// Begins to write; `false` where that goes on already, or has failed.
    pub(super) fn begin(&mut self, bytes: Bytes) -> bool {
        match std::mem::replace(&mut self.state, Writing::Closed) {
            Writing::Idle(stream) => {
                self.state = Writing::Away(begin(&self.place, stream, move |stream| {
                    stream.blocking_write_and_flush(bytes)
                }));
                true
            }
            other => {
                self.state = other;
                false
            }
        }
    }

    /// Goes on with what was begun.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Writing::Away(away) = &mut self.state else {
            return Poll::Ready(());
        };
        let (stream, result) = std::task::ready!(away.poll_unpin(cx));
        self.state = match result {
            Ok(()) => Writing::Idle(stream),
            Err(error) => Writing::Failed(error),
        };
        Poll::Ready(())
    }

    /// How the last operation went, once. Nothing may be going on.
    pub(super) fn result(&mut self) -> StreamResult<()> {
        match std::mem::replace(&mut self.state, Writing::Closed) {
            Writing::Failed(error) => Err(error),
            Writing::Closed => Err(StreamError::Closed),
            other => {
                self.state = other;
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if !self.begin(bytes) {
            self.result()?;
            return Err(StreamError::trap(
                "write not permitted: check_write not called first",
            ));
        }
        let _ = look(|cx| self.poll(cx));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.result()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        if look(|cx| self.poll(cx)).is_pending() {
            return Ok(0);
        }
        self.result().map(|()| MOST)
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.ready().await;
        self.result()?;
        self.begin(bytes);
        self.ready().await;
        self.result()
    }

    async fn cancel(&mut self) {
        // What the guest has written is written.
        self.ready().await;
        self.state = Writing::Closed;
    }
}
