//! `wasi:filesystem` of WASI 0.2.

use rustix::fs::FileType;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
    DirectoryEntryStream, ErrorCode, Host, HostDescriptor, HostDirectoryEntryStream,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::listing::{Failed, Listing, Unreadable};
use super::streams::{Input, Output};
use super::view::{Files, HasFiles};
use crate::instance::store::GuestState;

/// Replaces the interface. The linker must allow shadowing.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<GuestState<T>>,
) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasFiles<T>>(linker, |state| Files(state))
}

impl<T: Send + 'static> Files<'_, T> {
    fn wasi(&mut self) -> WasiFilesystemCtxView<'_> {
        self.0.filesystem()
    }

    /// The stream that `make` makes of a file, on the host's threads and counted.
    fn output(
        &mut self,
        file: Resource<Descriptor>,
        make: impl FnOnce(
            &mut WasiFilesystemCtxView<'_>,
            Resource<Descriptor>,
        ) -> FsResult<Resource<DynOutputStream>>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let place = self.place(&file);
        let stream = make(&mut self.wasi(), file)?;
        self.0
            .count_output(&stream, |stream| Box::new(Output::new(stream, place)))
            .map_err(FsError::trap)?;
        Ok(stream)
    }
}

impl<T: Send + 'static> Host for Files<'_, T> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        self.wasi().convert_error_code(error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.wasi().filesystem_error_code(error)
    }
}

/// Methods that a thread does.
macro_rules! on_a_thread {
    ($($name:ident($($arg:ident: $type:ty),*) -> $returns:ty;)*) => {$(
        async fn $name(&mut self, file: Resource<Descriptor>, $($arg: $type),*) -> $returns {
            let loan = self.lend().await;
            loan.within(HostDescriptor::$name(&mut self.wasi(), file, $($arg),*)).await
        }
    )*};
}

impl<T: Send + 'static> HostDescriptor for Files<'_, T> {
    on_a_thread! {
        advise(offset: u64, length: u64, advice: Advice) -> FsResult<()>;
        sync_data() -> FsResult<()>;
        get_flags() -> FsResult<DescriptorFlags>;
        get_type() -> FsResult<DescriptorType>;
        set_size(size: u64) -> FsResult<()>;
        set_times(accessed: NewTimestamp, modified: NewTimestamp) -> FsResult<()>;
        read(length: u64, offset: u64) -> FsResult<(Vec<u8>, bool)>;
        write(bytes: Vec<u8>, offset: u64) -> FsResult<u64>;
        sync() -> FsResult<()>;
        create_directory_at(path: String) -> FsResult<()>;
        stat() -> FsResult<DescriptorStat>;
        stat_at(follow: PathFlags, path: String) -> FsResult<DescriptorStat>;
        set_times_at(
            follow: PathFlags,
            path: String,
            accessed: NewTimestamp,
            modified: NewTimestamp
        ) -> FsResult<()>;
        link_at(
            follow: PathFlags,
            path: String,
            directory: Resource<Descriptor>,
            link: String
        ) -> FsResult<()>;
        readlink_at(path: String) -> FsResult<String>;
        remove_directory_at(path: String) -> FsResult<()>;
        rename_at(path: String, directory: Resource<Descriptor>, name: String) -> FsResult<()>;
        symlink_at(target: String, path: String) -> FsResult<()>;
        unlink_file_at(path: String) -> FsResult<()>;
        is_same_object(other: Resource<Descriptor>) -> wasmtime::Result<bool>;
        metadata_hash() -> FsResult<MetadataHashValue>;
        metadata_hash_at(follow: PathFlags, path: String) -> FsResult<MetadataHashValue>;
    }

    async fn open_at(
        &mut self,
        directory: Resource<Descriptor>,
        follow: PathFlags,
        path: String,
        how: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let Ok(held) = self.0.new_file() else {
            return Err(ErrorCode::InsufficientMemory.into());
        };
        let loan = self.lend().await;
        let mut wasi = self.wasi();
        let opened = open_at(&mut wasi, directory, follow, path, how, flags);
        let opened = loan.within(opened).await?;
        self.0.files.keep(opened.rep(), held);
        Ok(opened)
    }

    async fn read_directory(
        &mut self,
        directory: Resource<Descriptor>,
    ) -> FsResult<Resource<DirectoryEntryStream>> {
        let Descriptor::Dir(directory) = self.descriptor(&directory).map_err(FsError::trap)? else {
            return Err(ErrorCode::NotDirectory.into());
        };
        let held = self.0.buffer();
        let loan = self.lend().await;
        let read = loan
            .block(move || Listing::read(&directory.dir, held))
            .await;
        let listing = read.map_err(|failed| match failed {
            Failed::Io(error) => error.into(),
            Failed::Limit(reached) => FsError::trap(reached),
        })?;
        Ok(Resource::new_own(self.0.table().push(listing)?.rep()))
    }

    fn drop(&mut self, file: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.0.files.drop_handle(file.rep());
        HostDescriptor::drop(&mut self.wasi(), file)
    }

    fn read_via_stream(
        &mut self,
        file: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<DynInputStream>> {
        let place = self.place(&file);
        let stream = self.wasi().read_via_stream(file, offset)?;
        self.0
            .count_input(&stream, |stream| Box::new(Input::new(stream, place)))
            .map_err(FsError::trap)?;
        Ok(stream)
    }

    fn write_via_stream(
        &mut self,
        file: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.output(file, |wasi, file| wasi.write_via_stream(file, offset))
    }

    fn append_via_stream(
        &mut self,
        file: Resource<Descriptor>,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.output(file, |wasi, file| wasi.append_via_stream(file))
    }
}

async fn open_at(
    files: &mut WasiFilesystemCtxView<'_>,
    directory: Resource<Descriptor>,
    follow: PathFlags,
    path: String,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> FsResult<Resource<Descriptor>> {
    let same = Resource::new_borrow(directory.rep());
    // What cannot be looked at is for the opening itself to complain about. wasmtime-wasi does not know pipes
    // from sockets, which cannot be opened anyway.
    let is_pipe = HostDescriptor::stat_at(files, same, follow, path.clone())
        .await
        .is_ok_and(|file| matches!(file.type_, DescriptorType::Fifo | DescriptorType::Unknown));
    if is_pipe {
        // It would open what was to be a directory, and look afterwards.
        return Err(match how.contains(OpenFlags::DIRECTORY) {
            true => ErrorCode::NotDirectory.into(),
            false => ErrorCode::Unsupported.into(),
        });
    }
    HostDescriptor::open_at(files, directory, follow, path, how, flags).await
}

/// What the table has behind a guest's `directory-entry-stream`, of which nobody else knows.
fn listing(stream: &Resource<DirectoryEntryStream>) -> Resource<Listing> {
    Resource::new_own(stream.rep())
}

impl<T: Send + 'static> HostDirectoryEntryStream for Files<'_, T> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        match self.0.table().get_mut(&listing(&stream))?.next() {
            Some(Ok((kind, name))) => Ok(Some(DirectoryEntry {
                type_: descriptor_type(kind),
                name,
            })),
            Some(Err(Unreadable::Io(error))) => Err(error.into()),
            Some(Err(Unreadable::NotUtf8)) => Err(ErrorCode::IllegalByteSequence.into()),
            None => Ok(None),
        }
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.0.table().delete(listing(&stream))?;
        Ok(())
    }
}

/// As wasmtime-wasi tells them.
fn descriptor_type(kind: FileType) -> DescriptorType {
    match kind {
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        _ => DescriptorType::Unknown,
    }
}
