//! Opening files: as wasmtime-wasi does, but for named pipes.
//!
//! Opening a named pipe blocks a thread for as long as nobody opens its other end, and nothing ends that: not
//! the end of the guest, not that of the run. Blocking threads are few and everybody's, so a guest with a
//! directory that has a pipe in it could take them all. Guests cannot make pipes; whoever may rename files
//! where there is one may still win a race against the look, and that is what the limit of blocking threads
//! is for.

use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, Host, HostDescriptor, OpenFlags, PathFlags,
};

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
