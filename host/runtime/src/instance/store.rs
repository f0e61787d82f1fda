//! What a guest's store holds.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_config::WasiConfigVariables;
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use crate::engine::component::{Interface, Linked};
use crate::instance::granted::TaskGrants;
use crate::instance::guest::Guest;
use crate::instance::handles::Handles;
use crate::instance::held_files::HeldFiles;
use crate::instance::held_http::HttpState;
use crate::instance::program::Program;
use crate::quota::account::files::HeldFile;
use crate::quota::account::payer::Payer;
use crate::quota::limits::LimitReached;
use crate::wasi::numbering::Known;

/// A component that is loaded, compiled and linked, of a host with data of type `T`. Cheap to clone; belongs to the
/// [`Host`](crate::Host) that loaded it.
pub type Component<T = ()> = Linked<GuestState<T>>;

/// What a guest's store holds: the `T` of wasmtime's `Linker<T>` and `Store<T>` where a [`Host`](crate::Host) makes them,
/// for imports of the embedder's own (see [`HostBuilder::imports`](crate::HostBuilder::imports)). `T` here is the
/// embedder's data: see [`HostBuilder::with_data`](crate::HostBuilder::with_data).
pub struct GuestState<T: 'static = ()> {
    /// Made when the guest first calls something of WASI: a task that only computes never pays for it.
    wasi: Option<Wasi>,
    /// The same for HTTP.
    http: Option<Box<HttpState>>,
    table: ResourceTable,
    /// Room in the table. It goes after the table.
    handles: Handles,
    /// Descriptors of what is in the table.
    pub(crate) files: HeldFiles,
    /// Of the embedder's capabilities.
    grants: TaskGrants,
    guest: Arc<Guest>,
    program: Arc<Program<Self, T>>,
    /// Of the code that the store's instance is of.
    interface: Arc<Interface>,
    /// How many runs it was for, this one included.
    uses: u32,
    /// The instance's, where instances have one.
    number: Option<u64>,
    data: T,
}

/// What views of a guest's store are made of, lent at the same time. From [`GuestState::parts`].
#[non_exhaustive]
pub struct GuestParts<'a, T> {
    /// The embedder's data.
    pub data: &'a mut T,
    /// What the guest has handles of.
    pub table: &'a mut ResourceTable,
    /// What the guest is granted of WASI.
    pub wasi: &'a mut WasiCtx,
}

impl<T: 'static> GuestState<T> {
    pub(crate) fn new(
        guest: Arc<Guest>,
        program: Arc<Program<Self, T>>,
        interface: Arc<Interface>,
        data: T,
    ) -> Self {
        let run = &guest.run;
        let number = run.recipe.number();
        Self {
            // A hook of the embedder's is promised a call for every task.
            wasi: run.recipe.has_hook().then(|| Wasi::new(&guest, number)),
            http: None,
            table: Handles::table(),
            handles: Handles::new(&run.account),
            files: HeldFiles::default(),
            grants: TaskGrants::default(),
            guest,
            program,
            interface,
            uses: 1,
            number,
            data,
        }
    }

    /// The embedder's data, of this task.
    pub fn data(&self) -> &T {
        &self.data
    }

    /// The embedder's data, of this task.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.data
    }

    /// Data, table and WASI at the same time, as views need them: those of wasmtime's `bindgen!`, and of crates that
    /// implement WASI's interfaces.
    ///
    /// ```
    /// use hart_host::{Cache, GuestState, HostBuilder};
    /// use hart_host::wasmtime_wasi::random::{WasiRandom, WasiRandomCtx};
    /// use hart_host::wasmtime_wasi::p2::bindings::random::random;
    ///
    /// /// Each task has numbers of its own.
    /// struct Numbers {
    ///     random: WasiRandomCtx,
    /// }
    ///
    /// let host = HostBuilder::with_data(|_, _: &Numbers| Numbers { random: WasiRandomCtx::default() })
    ///     .data(|| Numbers { random: WasiRandomCtx::default() })
    ///     .imports(|linker| {
    ///         linker.allow_shadowing(true);
    ///         random::add_to_linker::<_, WasiRandom>(linker, |state: &mut GuestState<Numbers>| {
    ///             &mut state.parts().data.random
    ///         })?;
    ///         linker.allow_shadowing(false);
    ///         Ok(())
    ///     })
    ///     .cache(Cache::Off)
    ///     .build()?;
    /// # drop(host);
    /// # Ok::<(), hart_host::BuildError>(())
    /// ```
    pub fn parts(&mut self) -> GuestParts<'_, T> {
        self.handles.make_room(&mut self.table, &self.guest);
        GuestParts {
            data: &mut self.data,
            table: &mut self.table,
            wasi: &mut self
                .wasi
                .get_or_insert_with(|| Wasi::new(&self.guest, self.number))
                .context,
        }
    }

    /// What capabilities are made of.
    pub(crate) fn grants(&mut self) -> (&mut TaskGrants, &mut ResourceTable, &Arc<Guest>) {
        self.handles.make_room(&mut self.table, &self.guest);
        (&mut self.grants, &mut self.table, &self.guest)
    }

    /// What the task reads by `wasi:config`.
    pub(crate) fn config(&self) -> &WasiConfigVariables {
        self.guest.run.recipe.config(self.guest.denied)
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

    /// The data alone, of a store that came to nothing.
    pub(crate) fn into_data(self) -> T {
        self.data
    }

    /// Drops what belongs to its task; whether that has left nothing, so that another one may follow.
    pub(crate) fn is_left_empty(&mut self) -> bool {
        self.wasi = None;
        self.http = None;
        let is_empty = self.table.is_empty();
        // What it has grown to for the last one is not the next one's.
        self.table = Handles::table();
        self.handles = Handles::new(&self.guest.run.account);
        self.files = HeldFiles::default();
        self.grants = TaskGrants::default();
        is_empty
    }

    /// It is for another task of the same run from now on; returns the last one.
    pub(crate) fn pass_to(&mut self, guest: Arc<Guest>) -> Arc<Guest> {
        let has_hook = guest.run.recipe.has_hook();
        self.wasi = has_hook.then(|| Wasi::new(&guest, self.number));
        std::mem::replace(&mut self.guest, guest)
    }

    /// It is for the root of another run from now on, with everything that the instance has handles of. Returns the last
    /// task, or the limit of the new run that forbids it.
    pub(crate) fn pass_on(&mut self, guest: Arc<Guest>) -> Result<Arc<Guest>, LimitReached> {
        self.handles.pass_to(&guest)?;
        if let Some(wasi) = &self.wasi {
            wasi.payer.set(&guest.run.account);
        }
        // Made anew when they are needed: they are of a run.
        self.http = None;
        self.grants = TaskGrants::default();
        self.uses += 1;
        Ok(std::mem::replace(&mut self.guest, guest))
    }

    /// The task has ended, and lines that it has not ended do so with it.
    pub(crate) fn end_lines(&self) {
        if let Some(wasi) = &self.wasi {
            wasi.known.end_lines();
        }
    }

    /// How many runs it was for.
    pub(crate) fn uses(&self) -> u32 {
        self.uses
    }

    pub(crate) fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }

    /// Of the code that the store's instance is of.
    pub(crate) fn interface(&self) -> &Arc<Interface> {
        &self.interface
    }

    pub(crate) fn program(&self) -> &Arc<Program<Self, T>> {
        &self.program
    }

    /// The table, with room for what a call may put into it.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        self.handles.make_room(&mut self.table, &self.guest);
        &mut self.table
    }

    /// Counts a file descriptor that is about to be opened.
    pub(crate) fn new_file(&self) -> Result<Arc<HeldFile>, LimitReached> {
        let run = &self.guest.run;
        HeldFile::new(&run.account).inspect_err(|reached| run.reached(*reached))
    }

    /// Whether one more handle has room, or the limit that forbids it.
    pub(crate) fn room_for_a_handle(&mut self) -> Result<(), LimitReached> {
        let probe = self.table().push(());
        match probe {
            Ok(probe) => {
                let _ = self.table.delete(probe);
            }
            Err(_) => {
                if let Some(reached) = self.guest.control.handles_limit() {
                    return Err(reached);
                }
            }
        }
        Ok(())
    }
}

/// What WASI keeps for one task.
struct Wasi {
    context: WasiCtx,
    payer: Arc<Payer>,
    known: Known,
}

impl Wasi {
    fn new(guest: &Guest, number: Option<u64>) -> Self {
        let recipe = &guest.run.recipe;
        let payer = Payer::new(&guest.run.account);
        let known = recipe.known(number, &payer, guest.depth == 0);
        let context = recipe.context(&payer, guest.denied, guest.depth == 0, &known);
        Self {
            context,
            payer,
            known,
        }
    }
}

impl<T: Send + 'static> WasiView for GuestState<T> {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let parts = self.parts();
        WasiCtxView {
            ctx: parts.wasi,
            table: parts.table,
        }
    }
}

impl<T: Send + 'static> WasiHttpView for GuestState<T> {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.handles.make_room(&mut self.table, &self.guest);
        let http = self.http.get_or_insert_with(|| HttpState::new(&self.guest));
        http.before_call(&mut self.table, &self.guest);
        WasiHttpCtxView {
            hooks: &mut http.outgoing,
            table: &mut self.table,
            ctx: &mut http.context,
        }
    }
}

impl<T: 'static> fmt::Debug for GuestState<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestState")
            .field("task", &self.guest.id)
            .field("run", &self.guest.run.id)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for GuestParts<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestParts").finish_non_exhaustive()
    }
}
