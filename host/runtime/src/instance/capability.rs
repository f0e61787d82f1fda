//! Capabilities of the embedder's own: a database, a queue, whatever guests are to have beside WASI.

use std::any::{TypeId, type_name};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime::format_err;

use crate::instance::blocking::{Blocking, block};
use crate::instance::granted::{Grant, OfRun, TaskGrants};
use crate::instance::guest::Guest;
use crate::instance::info::RunInfo;
use crate::instance::store::GuestState;
use crate::wasi::rights::Rights;

/// Something that guests may be granted beside WASI: a database, a queue, a model. A value of the type is what one run is
/// granted of it.
///
/// A host [has](crate::HostBuilder::capability) a capability: then components that import it can be loaded. A run is
/// [granted](crate::RunBuilder::grant) it, with what its value says: which database, how many queries. So do the runs of
/// services and of live instances. Guests of other runs that use it end with an error that names it.
///
/// Tasks that a guest spawns have what their run has, unless they were denied the network or the file system: nobody
/// knows where a capability leads.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use hart_host::wasmtime::{self, component::Linker};
/// use hart_host::{Capability, GuestState, Host, RunInfo};
///
/// /// Numbers from here on, unlike those of all other tasks of the run.
/// struct Numbers(u32);
///
/// impl Capability for Numbers {
///     type Run = AtomicU32;
///     type State = Arc<AtomicU32>;
///
///     fn link<T: Send + 'static>(linker: &mut Linker<GuestState<T>>) -> wasmtime::Result<()> {
///         linker.root().func_wrap("number", |mut store, ()| {
///             let mut granted = store.data_mut().capability::<Numbers>();
///             Ok((granted.state()?.fetch_add(1, Ordering::Relaxed),))
///         })
///     }
///
///     fn prepare(&self, _run: &RunInfo<'_>) -> wasmtime::Result<AtomicU32> {
///         Ok(AtomicU32::new(self.0))
///     }
///
///     fn state(run: &Arc<AtomicU32>) -> wasmtime::Result<Arc<AtomicU32>> {
///         Ok(run.clone())
///     }
/// }
///
/// let host = Host::builder().capability::<Numbers>().build()?;
/// let component = host.load(br#"
///     (component
///         (import "number" (func $number (result u32)))
///         (core func $lowered (canon lower (func $number)))
///         (core module $m
///             (import "" "number" (func $number (result i32)))
///             (func (export "second") (result i32) (drop (call $number)) call $number))
///         (core instance $i (instantiate $m
///             (with "" (instance (export "number" (func $lowered))))))
///         (func (export "second") (result u32) (canon lift (core func $i "second"))))
/// "#)?;
/// let second = || host.invoke(&component, "second()");
/// assert_eq!(second()?.grant(Numbers(40)).start()?.wait()?.to_wave()?, "41");
/// assert_eq!(second()?.grant(Numbers(7)).start()?.wait()?.to_wave()?, "8");
/// assert!(second()?.start()?.wait().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A program with a database is in the repository:
/// [sql](https://github.com/hart-exec/hart/blob/main/tests/embedders/src/sql.rs).
pub trait Capability: Send + Sync + 'static {
    /// What the tasks of one run share: what is left of a budget, a pool of connections. It is dropped when the run is
    /// over.
    type Run: Send + Sync + 'static;

    /// What one task has, in its store: a connection, a transaction. It is dropped with the task; where an instance is used
    /// again, each task has its own.
    type State: Send + 'static;

    /// Adds its imports to a linker. Called once for each of the host's engines.
    ///
    /// # Errors
    ///
    /// Those of the linker; they end [`HostBuilder::build`](crate::HostBuilder::build).
    fn link<T: Send + 'static>(linker: &mut Linker<GuestState<T>>) -> wasmtime::Result<()>;

    /// Adds what only components with component-model async can import. Default: nothing.
    ///
    /// # Errors
    ///
    /// Those of the linker; they end the load of the first such component.
    fn link_async<T: Send + 'static>(linker: &mut Linker<GuestState<T>>) -> wasmtime::Result<()> {
        let _ = linker;
        Ok(())
    }

    /// A run that is granted this is about to start. In a service that is each request, on the thread that takes it; it
    /// must not take long.
    ///
    /// # Errors
    ///
    /// What keeps the run from starting: it ends with [`RunError::Setup`](crate::RunError::Setup).
    fn prepare(&self, run: &RunInfo<'_>) -> wasmtime::Result<Self::Run>;

    /// A task of the run uses it for the first time, on a worker.
    ///
    /// # Errors
    ///
    /// They end the task.
    fn state(run: &Arc<Self::Run>) -> wasmtime::Result<Self::State>;
}

/// A capability in the hands of one task, while the guest calls it. From [`GuestState::capability`].
///
/// It is also what bindings of `bindgen!` want: their `Host` is implemented for `Granted<'_, C>`, and
/// `add_to_linker::<_, Granted<'static, C>>(linker, GuestState::capability::<C>)` adds it.
pub struct Granted<'a, C> {
    states: &'a mut TaskGrants,
    table: &'a mut ResourceTable,
    guest: &'a Arc<Guest>,
    capability: PhantomData<fn() -> C>,
}

impl<C: Capability> HasData for Granted<'static, C> {
    type Data<'a> = Granted<'a, C>;
}

impl<T: 'static> GuestState<T> {
    /// The capability `C`, for the task that the store belongs to.
    pub fn capability<C: Capability>(&mut self) -> Granted<'_, C> {
        let (states, table, guest) = self.grants();
        Granted {
            states,
            table,
            guest,
            capability: PhantomData,
        }
    }
}

impl<C: Capability> Granted<'_, C> {
    /// The task's state, which is made when the task first asks.
    ///
    /// # Errors
    ///
    /// Where the run was not granted the capability, or the task was denied the network or the file system; and those of
    /// [`Capability::state`]. Return them: they end the task.
    pub fn state(&mut self) -> wasmtime::Result<&mut C::State> {
        let guest = self.guest;
        let key = TypeId::of::<C>();
        self.states.get_or_make(key, || {
            let name = type_name::<C>();
            if guest.denied.contains(Rights::NETWORK) || guest.denied.contains(Rights::FILESYSTEM) {
                return Err(format_err!(
                    "the task may not use {name}: it was denied the network or the file system"
                ));
            }
            let Some(run) = guest.run.grants.get(key) else {
                return Err(format_err!(
                    "the run was not granted {name}: grant it with `RunBuilder::grant`"
                ));
            };
            let run = run.downcast().expect("a capability has one type");
            C::state(&run)
        })
    }

    /// What the guest has handles of: resources of the capability go there.
    pub fn table(&mut self) -> &mut ResourceTable {
        self.table
    }

    /// Does `operate` on a thread of the host's, at the run's expense: for what blocks, or computes for long. It is handed
    /// a [`Blocking`], by which it learns when to give up.
    ///
    /// There are 16 such threads, unless [`Limits::blocking_threads`](crate::Limits::blocking_threads) says otherwise, of
    /// which a run has 4 at most and a tenant 8. Further operations wait for their turn; files have threads of their own. Give
    /// runs whose guests say what is done a limit of CPU time, or all threads may be busy for as long as they like. On a
    /// [simulated machine](crate::simulate) it is done on this thread.
    ///
    /// # Panics
    ///
    /// Where `operate` does: that ends the guest.
    pub fn blocking<R, F>(&self, operate: F) -> impl Future<Output = R> + Send + use<R, F, C>
    where
        R: Send + 'static,
        F: FnOnce(Blocking) -> R + Send + 'static,
    {
        block(self.guest.clone(), operate)
    }
}

impl<C> fmt::Debug for Granted<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granted")
            .field("capability", &type_name::<C>())
            .field("task", &self.guest.id)
            .finish_non_exhaustive()
    }
}

/// A capability without its type.
pub(crate) struct Erased<C>(pub(crate) C);

impl<C: Capability> Grant for Erased<C> {
    fn key(&self) -> TypeId {
        TypeId::of::<C>()
    }

    fn name(&self) -> &'static str {
        type_name::<C>()
    }

    fn prepare(&self, run: &RunInfo<'_>) -> wasmtime::Result<OfRun> {
        Ok(Arc::new(self.0.prepare(run)?))
    }
}
