//! Opening files: as wasmtime-wasi does, but for named pipes.
//!
//! Opening a named pipe blocks a thread for as long as nobody opens its other end, and nothing ends that: not
//! the end of the guest, not that of the run. Blocking threads are few and everybody's, so a guest with a
//! directory that has a pipe in it could take them all. Guests cannot make pipes; whoever may rename files
//! where there is one may still win a race against the look, and that is what the limit of blocking threads
//! is for.

use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, Host, HostDescriptor, OpenFlags, PathFlags,
};
use wasmtime_wasi::p3::bindings::filesystem::types as p3;

use super::state::GuestState;

type Opened = Result<Resource<Descriptor>, ErrorCode>;

/// Replaces `open-at`. The linker must allow shadowing.
pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker
        .instance("wasi:filesystem/types@0.2.12")?
        .func_wrap_async(
            "[method]descriptor.open-at",
            |mut store, (directory, follow, path, how, flags)| {
                Box::new(async move {
                    let state = store.data_mut();
                    Ok((open_at(state, directory, follow, path, how, flags).await?,))
                })
            },
        )
}

async fn open_at(
    state: &mut GuestState,
    directory: Resource<Descriptor>,
    follow: PathFlags,
    path: String,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> wasmtime::Result<Opened> {
    let mut files = state.filesystem();
    let same = Resource::new_borrow(directory.rep());
    // What cannot be looked at is for the opening itself to complain about. wasmtime-wasi does not know pipes
    // from sockets, which cannot be opened anyway.
    let is_pipe = !how.contains(OpenFlags::DIRECTORY)
        && HostDescriptor::stat_at(&mut files, same, follow, path.clone())
            .await
            .is_ok_and(|file| matches!(file.type_, DescriptorType::Fifo | DescriptorType::Unknown));
    if is_pipe {
        return Ok(Err(ErrorCode::Unsupported));
    }
    match HostDescriptor::open_at(&mut files, directory, follow, path, how, flags).await {
        Ok(opened) => Ok(Ok(opened)),
        Err(error) => Ok(Err(files.convert_error_code(error)?)),
    }
}

/// Replaces WASI 0.3's `open-at`. The linker must allow shadowing.
pub(super) fn add_to_linker_async(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker
        .instance("wasi:filesystem/types@0.3.0")?
        .func_wrap_concurrent(
            "[method]descriptor.open-at",
            |store, (directory, follow, path, how, flags)| {
                Box::pin(async move {
                    let files = store.with_getter(|state: &mut GuestState| state.filesystem());
                    Ok((open_at_async(&files, directory, follow, path, how, flags).await?,))
                })
            },
        )
}

async fn open_at_async(
    files: &Accessor<GuestState, WasiFilesystem>,
    directory: Resource<Descriptor>,
    follow: p3::PathFlags,
    path: String,
    how: p3::OpenFlags,
    flags: p3::DescriptorFlags,
) -> wasmtime::Result<Result<Resource<Descriptor>, p3::ErrorCode>> {
    use p3::HostDescriptorWithStore as Files;

    let same = Resource::new_borrow(directory.rep());
    // As above, and no more does wasmtime-wasi know pipes from others here.
    let is_pipe = !how.contains(p3::OpenFlags::DIRECTORY)
        && <WasiFilesystem as Files<GuestState>>::stat_at(files, same, follow, path.clone())
            .await
            .is_ok_and(|file| {
                matches!(
                    file.type_,
                    p3::DescriptorType::Fifo | p3::DescriptorType::Other(_)
                )
            });
    if is_pipe {
        return Ok(Err(p3::ErrorCode::Unsupported));
    }
    let opened =
        <WasiFilesystem as Files<GuestState>>::open_at(files, directory, follow, path, how, flags);
    match opened.await {
        Ok(opened) => Ok(Ok(opened)),
        Err(error) => Ok(Err(error.downcast()?)),
    }
}
