//! `wasi:filesystem` of WASI 0.3.

use wasmtime::component::{Access, Accessor, FutureReader, Linker, Resource, StreamReader};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p3::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, Host,
    HostDescriptor, HostDescriptorWithStore, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p3::filesystem::{FilesystemError, FilesystemResult};

use super::streams03::{Lists, Reads, Writes, Written, ended};
use super::view::{Files, HasFiles};
use crate::instance::store::GuestState;

type Ends = FutureReader<Result<(), ErrorCode>>;
type State<'a, T> = Access<'a, GuestState<T>, HasFiles<T>>;

/// Replaces the interface. The linker must allow shadowing.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<GuestState<T>>,
) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasFiles<T>>(linker, |state| Files(state))
}

impl<T: Send + 'static> Host for Files<'_, T> {
    fn convert_error_code(&mut self, error: FilesystemError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }
}

impl<T: Send + 'static> HostDescriptor for Files<'_, T> {
    fn drop(&mut self, file: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.0.files.drop_handle(file.rep());
        HostDescriptor::drop(&mut self.0.filesystem(), file)
    }
}

/// What a call keeps while it waits for a thread. The guest goes on meanwhile, so it may make very many of them.
trait Kept {
    /// Bytes, beside those of the call itself.
    fn kept(&self) -> usize {
        0
    }
}

impl Kept for String {
    fn kept(&self) -> usize {
        self.len()
    }
}

impl Kept for u64 {}
impl Kept for Advice {}
impl Kept for NewTimestamp {}
impl Kept for PathFlags {}
impl Kept for Resource<Descriptor> {}

/// Methods that a thread does.
macro_rules! on_a_thread {
    ($($name:ident($($arg:ident: $type:ty),*) -> $returns:ty;)*) => {$(
        async fn $name(
            store: &Accessor<GuestState<T>, Self>,
            file: Resource<Descriptor>,
            $($arg: $type),*
        ) -> $returns {
            let kept = 0 $(+ $arg.kept())*;
            let (held, lend) = store.with(|mut store| {
                let files = store.get();
                (files.0.held(kept), files.lend())
            });
            let _held = held.map_err(FilesystemError::trap)?;
            let loan = lend.await;
            let wasi = store.with_getter::<WasiFilesystem>(WasiFilesystemView::filesystem);
            loan.within(
                <WasiFilesystem as HostDescriptorWithStore<GuestState<T>>>::$name(&wasi, file, $($arg),*)
            )
            .await
        }
    )*};
}

impl<T: Send + 'static> HostDescriptorWithStore<GuestState<T>> for HasFiles<T> {
    on_a_thread! {
        advise(offset: u64, length: u64, advice: Advice) -> FilesystemResult<()>;
        sync_data() -> FilesystemResult<()>;
        get_flags() -> FilesystemResult<DescriptorFlags>;
        get_type() -> FilesystemResult<DescriptorType>;
        set_size(size: u64) -> FilesystemResult<()>;
        set_times(accessed: NewTimestamp, modified: NewTimestamp) -> FilesystemResult<()>;
        sync() -> FilesystemResult<()>;
        create_directory_at(path: String) -> FilesystemResult<()>;
        stat() -> FilesystemResult<DescriptorStat>;
        stat_at(follow: PathFlags, path: String) -> FilesystemResult<DescriptorStat>;
        set_times_at(
            follow: PathFlags,
            path: String,
            accessed: NewTimestamp,
            modified: NewTimestamp
        ) -> FilesystemResult<()>;
        link_at(
            follow: PathFlags,
            path: String,
            directory: Resource<Descriptor>,
            link: String
        ) -> FilesystemResult<()>;
        readlink_at(path: String) -> FilesystemResult<String>;
        remove_directory_at(path: String) -> FilesystemResult<()>;
        rename_at(
            path: String,
            directory: Resource<Descriptor>,
            name: String
        ) -> FilesystemResult<()>;
        symlink_at(target: String, path: String) -> FilesystemResult<()>;
        unlink_file_at(path: String) -> FilesystemResult<()>;
        metadata_hash() -> FilesystemResult<MetadataHashValue>;
        metadata_hash_at(follow: PathFlags, path: String) -> FilesystemResult<MetadataHashValue>;
    }

    async fn is_same_object(
        store: &Accessor<GuestState<T>, Self>,
        file: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        let loan = store.with(|mut store| store.get().lend()).await;
        let wasi = store.with_getter::<WasiFilesystem>(WasiFilesystemView::filesystem);
        let same = <WasiFilesystem as HostDescriptorWithStore<GuestState<T>>>::is_same_object(
            &wasi, file, other,
        );
        loan.within(same).await
    }

    async fn open_at(
        store: &Accessor<GuestState<T>, Self>,
        directory: Resource<Descriptor>,
        follow: PathFlags,
        path: String,
        how: OpenFlags,
        flags: DescriptorFlags,
    ) -> FilesystemResult<Resource<Descriptor>> {
        let (held, file, lend) = store.with(|mut store| {
            let files = store.get();
            (files.0.held(path.kept()), files.0.new_file(), files.lend())
        });
        let _held = held.map_err(FilesystemError::trap)?;
        let Ok(file) = file else {
            return Err(ErrorCode::InsufficientMemory.into());
        };
        let loan = lend.await;
        let wasi = store.with_getter::<WasiFilesystem>(WasiFilesystemView::filesystem);
        let opened = loan
            .within(open_at(&wasi, directory, follow, path, how, flags))
            .await?;
        store.with(|mut store| store.get().0.files.keep(opened.rep(), file));
        Ok(opened)
    }

    fn read_via_stream(
        mut store: State<'_, T>,
        file: Resource<Descriptor>,
        offset: u64,
    ) -> wasmtime::Result<(StreamReader<u8>, Ends)> {
        let (end, ends) = ended();
        let stream = match Reads::new(&mut store.get(), &file, offset, end)? {
            Some(reads) => StreamReader::new(&mut store, reads)?,
            None => StreamReader::new(&mut store, std::iter::empty())?,
        };
        Ok((stream, FutureReader::new(&mut store, ends)?))
    }

    fn write_via_stream(
        store: State<'_, T>,
        file: Resource<Descriptor>,
        data: StreamReader<u8>,
        offset: u64,
    ) -> wasmtime::Result<Ends> {
        write(store, &file, data, Written::From(offset))
    }

    fn append_via_stream(
        store: State<'_, T>,
        file: Resource<Descriptor>,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<Ends> {
        write(store, &file, data, Written::AtTheEnd)
    }

    fn read_directory(
        mut store: State<'_, T>,
        directory: Resource<Descriptor>,
    ) -> wasmtime::Result<(StreamReader<DirectoryEntry>, Ends)> {
        let (end, ends) = ended();
        let stream = match Lists::new(&mut store.get(), &directory, end)? {
            Some(lists) => StreamReader::new(&mut store, lists)?,
            None => StreamReader::new(&mut store, std::iter::empty())?,
        };
        Ok((stream, FutureReader::new(&mut store, ends)?))
    }
}

fn write<T: Send + 'static>(
    mut store: State<'_, T>,
    file: &Resource<Descriptor>,
    mut data: StreamReader<u8>,
    written: Written,
) -> wasmtime::Result<Ends> {
    let (end, ends) = ended();
    match Writes::new(&mut store.get(), file, written, end)? {
        Some(writes) => data.pipe(&mut store, writes)?,
        None => data.close(&mut store)?,
    }
    FutureReader::new(&mut store, ends)
}

async fn open_at<T: Send + 'static>(
    wasi: &Accessor<GuestState<T>, WasiFilesystem>,
    directory: Resource<Descriptor>,
    follow: PathFlags,
    path: String,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> FilesystemResult<Resource<Descriptor>> {
    type Wasi = WasiFilesystem;

    let same = Resource::new_borrow(directory.rep());
    let looked =
        <Wasi as HostDescriptorWithStore<GuestState<T>>>::stat_at(wasi, same, follow, path.clone());
    // As in 0.2, and no more does wasmtime-wasi know pipes from others here.
    let is_pipe = looked
        .await
        .is_ok_and(|file| matches!(file.type_, DescriptorType::Fifo | DescriptorType::Other(_)));
    if is_pipe {
        return Err(match how.contains(OpenFlags::DIRECTORY) {
            true => ErrorCode::NotDirectory.into(),
            false => ErrorCode::Unsupported.into(),
        });
    }
    <Wasi as HostDescriptorWithStore<GuestState<T>>>::open_at(
        wasi, directory, follow, path, how, flags,
    )
    .await
}
