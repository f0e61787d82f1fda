//! Standard input from a reader of the embedder's.
//!
//! It is read when the guest waits for it, a chunk at a time. Whoever waits registers before they look, and the reader's
//! own waker wakes all of them: so it does not matter who of them was the last to poll it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError};

use crate::base::signal::Signal;
use crate::base::sync::lock;

/// The most bytes that are read at once. Guessed.
const CHUNK: usize = 8 << 10;

/// A reader of the embedder's, for standard input: see [`Stdio::reader`](crate::Stdio::reader). Clones are the same reader.
#[derive(Clone)]
pub struct Reader(Arc<Source>);

struct Source {
    reading: Mutex<Reading>,
    moved: Signal,
}

struct Reading {
    reader: Pin<Box<dyn AsyncRead + Send>>,
    /// What was read and is not taken yet.
    chunk: Bytes,
    /// Nothing follows. An error is told once.
    end: Option<io::Result<()>>,
}

impl Reader {
    pub(super) fn new(reader: impl AsyncRead + Send + 'static) -> Self {
        Self(Arc::new(Source {
            reading: Mutex::new(Reading {
                reader: Box::pin(reader),
                chunk: Bytes::new(),
                end: None,
            }),
            moved: Signal::default(),
        }))
    }

    fn input(&self) -> Input {
        Input {
            source: self.0.clone(),
            key: None,
        }
    }
}

impl PartialEq for Reader {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Reader {}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Wake for Source {
    fn wake(self: Arc<Self>) {
        self.moved.notify();
    }
}

/// A stream of it.
struct Input {
    source: Arc<Source>,
    /// Among those who wait.
    key: Option<u64>,
}

impl Input {
    /// Ready when there is something to take, or nothing will follow.
    fn poll_fill(&mut self, cx: &Context<'_>) -> Poll<()> {
        let source = &self.source;
        source.moved.register(&mut self.key, cx.waker());
        let mut reading = lock(&source.reading);
        if !reading.chunk.is_empty() || reading.end.is_some() {
            return Poll::Ready(());
        }
        let waker = Waker::from(source.clone());
        let mut bytes = [0; CHUNK];
        let mut buffer = ReadBuf::new(&mut bytes);
        let polled = reading
            .reader
            .as_mut()
            .poll_read(&mut Context::from_waker(&waker), &mut buffer);
        match polled {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => reading.end = Some(Ok(())),
            Poll::Ready(Ok(())) => reading.chunk = Bytes::copy_from_slice(buffer.filled()),
            Poll::Ready(Err(error)) => reading.end = Some(Err(error)),
        }
        Poll::Ready(())
    }

    /// Takes what there is, up to `size` bytes; `None` at the end.
    fn take(&self, size: usize) -> io::Result<Option<Bytes>> {
        let mut reading = lock(&self.source.reading);
        if reading.chunk.is_empty() {
            return match reading.end.take() {
                None => Ok(Some(Bytes::new())),
                Some(end) => {
                    reading.end = Some(Ok(()));
                    end.map(|()| None)
                }
            };
        }
        let size = size.min(reading.chunk.len());
        Ok(Some(reading.chunk.split_to(size)))
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.source.moved.remove(self.key);
    }
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_fill(cx)).await;
    }
}

#[async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> Result<Bytes, StreamError> {
        match self.take(size) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(StreamError::Closed),
            Err(error) => Err(StreamError::LastOperationFailed(error.into())),
        }
    }
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.poll_fill(cx).is_pending() {
            return Poll::Pending;
        }
        let taken = self.take(buffer.remaining())?;
        buffer.put_slice(&taken.unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl IsTerminal for Reader {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Reader {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.input())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.input())
    }
}
