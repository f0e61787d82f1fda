//! Handles of sockets that are dropped.

use wasmtime::component::{LinkerInstance, Resource, ResourceType};
use wasmtime_wasi::sockets::{WasiSocketsCtxView, WasiSocketsView};

use crate::instance::store::GuestState;

/// How wasmtime-wasi drops a socket.
type Drops<S> = fn(&mut WasiSocketsCtxView<'_>, Resource<S>) -> wasmtime::Result<()>;

/// Replaces a resource of sockets: a handle that is dropped gives back its file descriptor.
pub(super) fn socket<T: Send + 'static, S: 'static>(
    interface: &mut LinkerInstance<'_, GuestState<T>>,
    name: &str,
    drops: Drops<S>,
) -> wasmtime::Result<()> {
    interface.resource(name, ResourceType::host::<S>(), move |mut store, handle| {
        let state = store.data_mut();
        state.files.drop_handle(handle);
        drops(&mut state.sockets(), Resource::new_own(handle))
    })
}
