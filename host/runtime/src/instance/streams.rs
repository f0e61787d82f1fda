//! Streams of files and of TCP, whose buffers count as memory of the run.
//!
//! wasmtime-wasi reads ahead for a stream, and keeps what was written until it is where it belongs: up to 64 KiB each.
//! A stream is wrapped when it is made. What it may buffer is reserved when a call first makes it do so, and is given
//! back when the stream is dropped.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::pipe::{ClosedInputStream, ClosedOutputStream};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

use crate::instance::record::RunRecord;
use crate::instance::store::GuestState;
use crate::quota::limits::LimitReached;

/// The most that wasmtime-wasi reads or takes at once.
const MOST: usize = 64 << 10;
/// What it reads for whoever waits before they read.
const AHEAD: usize = 4096;

/// A stream, with what its buffer may take.
struct Counted<S> {
    stream: S,
    buffer: Buffer,
}

/// Bytes that are held for a stream.
pub(super) struct Buffer {
    run: Arc<RunRecord>,
    bytes: usize,
}

impl Buffer {
    /// Sees to it that `bytes` are held.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), LimitReached> {
        if let Some(missing) = bytes.checked_sub(self.bytes) {
            self.run.hold(missing as u64)?;
            self.bytes = bytes;
        }
        Ok(())
    }

    /// The same in a call, which ends the guest if they cannot be held.
    fn need(&mut self, bytes: usize) -> StreamResult<()> {
        self.hold(bytes)
            .map_err(|reached| StreamError::Trap(reached.into()))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.run.account.release(self.bytes as u64);
    }
}

#[async_trait]
impl Pollable for Counted<DynInputStream> {
    async fn ready(&mut self) {
        // Where it cannot be held nothing is read: the call that the guest makes next says why.
        if self.buffer.hold(AHEAD).is_ok() {
            self.stream.ready().await;
        }
    }
}

#[async_trait]
impl InputStream for Counted<DynInputStream> {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.buffer.need(size.min(MOST))?;
        self.stream.read(size)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.buffer.need(size.clamp(AHEAD, MOST))?;
        self.stream.blocking_read(size).await
    }

    fn skip(&mut self, count: usize) -> StreamResult<usize> {
        self.buffer.need(count.min(MOST))?;
        self.stream.skip(count)
    }

    async fn blocking_skip(&mut self, count: usize) -> StreamResult<usize> {
        self.buffer.need(count.clamp(AHEAD, MOST))?;
        self.stream.blocking_skip(count).await
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}

#[async_trait]
impl Pollable for Counted<DynOutputStream> {
    async fn ready(&mut self) {
        self.stream.ready().await;
    }
}

#[async_trait]
impl OutputStream for Counted<DynOutputStream> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        // However many there are: not every stream looks whether it has permitted so many.
        self.buffer.need(bytes.len())?;
        self.stream.write(bytes)
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.buffer.need(bytes.len())?;
        self.stream.blocking_write_and_flush(bytes).await
    }

    fn write_zeroes(&mut self, count: usize) -> StreamResult<()> {
        self.buffer.need(count.min(MOST))?;
        self.stream.write_zeroes(count)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.stream.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.stream.check_write()
    }

    async fn write_ready(&mut self) -> StreamResult<usize> {
        self.stream.write_ready().await
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}

impl<T: 'static> GuestState<T> {
    pub(super) fn buffer(&self) -> Buffer {
        Buffer {
            run: self.guest().run.clone(),
            bytes: 0,
        }
    }

    /// Counts so many bytes that a call keeps while it waits: the guest goes on meanwhile, and may make very many.
    pub(super) fn held(&self, bytes: usize) -> Result<Buffer, LimitReached> {
        let mut held = self.buffer();
        held.hold(bytes)?;
        Ok(held)
    }

    /// Counts the buffer of what `wrap` makes of the stream.
    pub(super) fn count_input(
        &mut self,
        stream: &Resource<DynInputStream>,
        wrap: impl FnOnce(DynInputStream) -> DynInputStream,
    ) -> wasmtime::Result<()> {
        let buffer = self.buffer();
        let entry = self.table().get_mut(stream)?;
        let stream = wrap(std::mem::replace(entry, Box::new(ClosedInputStream)));
        *entry = Box::new(Counted { stream, buffer });
        Ok(())
    }

    /// Counts the buffer of what `wrap` makes of the stream.
    pub(super) fn count_output(
        &mut self,
        stream: &Resource<DynOutputStream>,
        wrap: impl FnOnce(DynOutputStream) -> DynOutputStream,
    ) -> wasmtime::Result<()> {
        let buffer = self.buffer();
        let entry = self.table().get_mut(stream)?;
        let stream = wrap(std::mem::replace(entry, Box::new(ClosedOutputStream)));
        *entry = Box::new(Counted { stream, buffer });
        Ok(())
    }
}
