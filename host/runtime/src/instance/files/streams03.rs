//! Streams of WASI 0.3 that read files, write them and list directories.
//!
//! wasmtime-wasi's own take a blocking thread of tokio's, and for a listing keep it until the guest has read to the end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use rustix::fs::FileType;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, Resource, ResourceTable, Source, StreamConsumer, StreamProducer, StreamResult,
};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::types::HostDescriptor as _;
use wasmtime_wasi::p2::{FsResult, StreamError};
use wasmtime_wasi::p3::bindings::filesystem::types::{DescriptorType, DirectoryEntry, ErrorCode};

use super::listing::{Failed, Listing, Unreadable};
use super::streams::{Input, Output};
use super::view::Files;
use crate::instance::store::GuestState;
use crate::instance::streams::Buffer;

/// What is read or written at once, as in wasmtime-wasi.
const AT_ONCE: usize = 8192;

/// How a stream ended, for the future beside it.
pub(super) struct End(Option<oneshot::Sender<Result<(), ErrorCode>>>);

/// A new one, and the future's end of it.
pub(super) fn ended() -> (End, oneshot::Receiver<Result<(), ErrorCode>>) {
    let (sender, receiver) = oneshot::channel();
    (End(Some(sender)), receiver)
}

impl End {
    fn tell(&mut self, result: Result<(), ErrorCode>) {
        if let Some(sender) = self.0.take() {
            // Nobody may want to know.
            let _ = sender.send(result);
        }
    }

    /// Tells of an error; one that is the guest's own fault ends it.
    fn fail(&mut self, error: StreamError) -> wasmtime::Result<StreamResult> {
        match error {
            StreamError::Closed => self.tell(Ok(())),
            StreamError::LastOperationFailed(error) => {
                let code = error.downcast::<io::Error>();
                self.tell(Err(code.map_or(ErrorCode::Io, ErrorCode::from)));
            }
            StreamError::Trap(error) => return Err(error),
        }
        Ok(StreamResult::Dropped)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.tell(Ok(()));
    }
}

/// Calls `open` with a table in which there is nothing but the file, and takes what it has made there.
fn made<S: 'static>(
    file: &Descriptor,
    open: impl FnOnce(&mut WasiFilesystemCtxView<'_>, Resource<Descriptor>) -> FsResult<Resource<S>>,
) -> wasmtime::Result<S> {
    let mut table = ResourceTable::new();
    let file = table.push(file.clone())?;
    let made = open(
        &mut WasiFilesystemCtxView {
            ctx: &mut WasiFilesystemCtx::default(),
            table: &mut table,
        },
        file,
    )?;
    Ok(table.delete(made)?)
}

impl<T: Send + 'static> Files<'_, T> {
    pub(super) fn descriptor(
        &mut self,
        file: &Resource<Descriptor>,
    ) -> wasmtime::Result<Descriptor> {
        Ok(self.0.table().get(file)?.clone())
    }
}

// === impl Reads ===

/// Reads a file.
pub(super) struct Reads {
    input: Input,
    buffer: Buffer,
    end: End,
}

impl Reads {
    /// `None` where that cannot be read, which `end` tells.
    pub(super) fn new<T: Send + 'static>(
        files: &mut Files<'_, T>,
        file: &Resource<Descriptor>,
        offset: u64,
        mut end: End,
    ) -> wasmtime::Result<Option<Self>> {
        let descriptor = files.descriptor(file)?;
        if let Descriptor::Dir(_) = descriptor {
            end.tell(Err(ErrorCode::IsDirectory));
            return Ok(None);
        }
        let stream = made(&descriptor, |wasi, file| wasi.read_via_stream(file, offset))?;
        Ok(Some(Self {
            input: Input::new(stream, files.place(file)),
            buffer: files.0.buffer(),
            end,
        }))
    }
}

impl<T: Send + 'static> StreamProducer<GuestState<T>> for Reads {
    type Item = u8;
    type Buffer = Bytes;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, GuestState<T>>,
        mut destination: Destination<'a, u8, Bytes>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        self.buffer.hold(AT_ONCE)?;
        if self.input.poll_read(cx, AT_ONCE).is_pending() {
            // What is read meanwhile is there for the next one.
            return match finish {
                true => Poll::Ready(Ok(StreamResult::Cancelled)),
                false => Poll::Pending,
            };
        }
        Poll::Ready(match self.input.take(AT_ONCE) {
            Ok(bytes) => {
                destination.set_buffer(bytes);
                Ok(StreamResult::Completed)
            }
            Err(error) => self.end.fail(error),
        })
    }
}

// === impl Writes ===

/// Where a stream writes.
pub(super) enum Written {
    From(u64),
    AtTheEnd,
}

/// Writes a file.
pub(super) struct Writes {
    output: Output,
    /// How much is being written.
    writing: Option<usize>,
    buffer: Buffer,
    end: End,
}

impl Writes {
    /// `None` where that cannot be written, which `end` tells.
    pub(super) fn new<T: Send + 'static>(
        files: &mut Files<'_, T>,
        file: &Resource<Descriptor>,
        written: Written,
        mut end: End,
    ) -> wasmtime::Result<Option<Self>> {
        let descriptor = files.descriptor(file)?;
        let refused = match &descriptor {
            Descriptor::Dir(_) => Some(ErrorCode::BadDescriptor),
            Descriptor::File(file) => file
                .perms
                .write_not_permitted()
                .then_some(ErrorCode::NotPermitted),
        };
        if let Some(refused) = refused {
            end.tell(Err(refused));
            return Ok(None);
        }
        let stream = made(&descriptor, |wasi, file| match written {
            Written::From(offset) => wasi.write_via_stream(file, offset),
            Written::AtTheEnd => wasi.append_via_stream(file),
        })?;
        Ok(Some(Self {
            output: Output::new(stream, files.place(file)),
            writing: None,
            buffer: files.0.buffer(),
            end,
        }))
    }
}

impl<T: Send + 'static> StreamConsumer<GuestState<T>> for Writes {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, GuestState<T>>,
        source: Source<'_, u8>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let this = &mut *self;
        let mut source = source.as_direct(store);
        let written = match this.writing {
            Some(writing) => writing,
            None => {
                let bytes = source.remaining();
                let bytes = &bytes[..bytes.len().min(AT_ONCE)];
                if bytes.is_empty() {
                    return Poll::Ready(Ok(StreamResult::Completed));
                }
                this.buffer.hold(AT_ONCE)?;
                this.output.begin(Bytes::copy_from_slice(bytes));
                *this.writing.insert(bytes.len())
            }
        };
        // Also where the guest would rather not wait: nobody knows how much is written before all of it is.
        ready!(this.output.poll(cx));
        this.writing = None;
        Poll::Ready(match this.output.result() {
            Ok(()) => {
                source.mark_read(written);
                Ok(StreamResult::Completed)
            }
            Err(error) => this.end.fail(error),
        })
    }
}

// === impl Lists ===

/// Lists a directory, up to the first entry that cannot be read.
pub(super) struct Lists {
    reads: Option<BoxFuture<'static, Result<Listing, Failed>>>,
    listing: Option<Listing>,
    end: End,
}

impl Lists {
    /// `None` where there is none, which `end` tells.
    pub(super) fn new<T: Send + 'static>(
        files: &mut Files<'_, T>,
        directory: &Resource<Descriptor>,
        mut end: End,
    ) -> wasmtime::Result<Option<Self>> {
        let Descriptor::Dir(directory) = files.descriptor(directory)? else {
            end.tell(Err(ErrorCode::NotDirectory));
            return Ok(None);
        };
        let (lend, held) = (files.lend(), files.0.buffer());
        let reads = async move {
            let loan = lend.await;
            loan.block(move || Listing::read(&directory.dir, held))
                .await
        };
        Ok(Some(Self {
            reads: Some(reads.boxed()),
            listing: None,
            end,
        }))
    }
}

impl<T: Send + 'static> StreamProducer<GuestState<T>> for Lists {
    type Item = DirectoryEntry;
    type Buffer = Option<DirectoryEntry>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, GuestState<T>>,
        mut destination: Destination<'a, DirectoryEntry, Option<DirectoryEntry>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        if let Some(reads) = &mut self.reads {
            let read = match reads.poll_unpin(cx) {
                Poll::Ready(read) => read,
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            };
            self.reads = None;
            match read {
                Ok(listing) => self.listing = Some(listing),
                Err(Failed::Io(error)) => self.end.tell(Err(error.into())),
                Err(Failed::Limit(reached)) => return Poll::Ready(Err(reached.into())),
            }
        }
        let result = match self.listing.as_mut().and_then(Iterator::next) {
            Some(Ok((kind, name))) => {
                let type_ = descriptor_type(kind);
                destination.set_buffer(Some(DirectoryEntry { type_, name }));
                return Poll::Ready(Ok(StreamResult::Completed));
            }
            Some(Err(Unreadable::Io(error))) => Err(error.into()),
            Some(Err(Unreadable::NotUtf8)) => Err(ErrorCode::IllegalByteSequence),
            None => Ok(()),
        };
        self.end.tell(result);
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

/// As `stat` tells them.
fn descriptor_type(kind: FileType) -> DescriptorType {
    match kind {
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        _ => DescriptorType::Other(None),
    }
}
