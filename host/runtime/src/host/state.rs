//! What a guest's store holds.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::component::Copy;
use super::guest::Guest;
use super::pools::Seat;

/// What a guest's store holds: the `T` of the host's `Linker<T>`, for imports of the embedder's own
/// (see [`HostBuilder::imports`](super::HostBuilder::imports)).
pub struct GuestState {
    /// Made when the guest first calls something of WASI: a task that only computes never pays for it.
    wasi: Option<WasiCtx>,
    table: ResourceTable,
    guest: Arc<Guest>,
    data: Option<Box<dyn Any + Send>>,
    seat: Seat,
}

impl GuestState {
    pub(super) fn new(guest: Arc<Guest>, seat: Seat) -> Self {
        let run = &guest.run;
        Self {
            // A hook of the embedder's is promised a call for every task.
            wasi: run.recipe.has_hook().then(|| context(&guest)),
            table: ResourceTable::new(),
            data: run.host.data.as_ref().map(|make| make()),
            guest,
            seat,
        }
    }

    /// The embedder's own data, as [`HostBuilder::data`](super::HostBuilder::data) made it for this
    /// task; `None` if it made none or of another type.
    pub fn data<D: Any>(&mut self) -> Option<&mut D> {
        self.data.as_deref_mut()?.downcast_mut()
    }

    /// The number of the task that the store belongs to.
    pub fn task_id(&self) -> u64 {
        self.guest.id
    }

    /// The number of the run that the task belongs to.
    pub fn run_id(&self) -> u64 {
        self.guest.run.id
    }

    /// How deep the task is below the root, whose depth is 0.
    pub fn depth(&self) -> u32 {
        self.guest.depth
    }

    /// Drops what belongs to its task; whether that has left nothing, so that another one may follow.
    pub(super) fn is_left_empty(&mut self) -> bool {
        self.wasi = None;
        let is_empty = self.table.is_empty();
        // What it has grown to for the last one is not the next one's.
        self.table = ResourceTable::new();
        is_empty
    }

    /// It is for another task from now on; returns the last one.
    pub(super) fn pass_to(&mut self, guest: Arc<Guest>) -> Arc<Guest> {
        self.wasi = guest.run.recipe.has_hook().then(|| context(&guest));
        std::mem::replace(&mut self.guest, guest)
    }

    pub(super) fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }

    /// Its component, in the pool that the store is in.
    pub(super) fn copy(&self) -> &Copy {
        self.guest.run.component.copy(&self.seat)
    }

    pub(super) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

fn context(guest: &Guest) -> WasiCtx {
    let run = &guest.run;
    run.recipe
        .context(&run.account, guest.denied, guest.depth == 0)
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: self.wasi.get_or_insert_with(|| context(&self.guest)),
            table: &mut self.table,
        }
    }
}

impl fmt::Debug for GuestState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestState")
            .field("task", &self.guest.id)
            .field("run", &self.guest.run.id)
            .finish_non_exhaustive()
    }
}
