//! The handle of an instance.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::channel::oneshot;
use futures::future::BoxFuture;
use wasmtime::Store;
use wasmtime::component::Accessor;

use super::call::Call;
use super::hold::Hold;
use super::job::{Body, Deliver};
use super::queue::Queue;
use crate::base::stats::RunStats;
use crate::instance::store::GuestState;

/// An instance that stays: calls of it are done one after the other, in one store, on whichever core is free. Cheap to clone.
///
/// It goes when the last handle is dropped, and the last call.
///
/// # Examples
///
/// ```
/// # let host = hart_host::Host::builder().workers(1).cache(hart_host::Cache::Off).build()?;
/// use std::time::Duration;
///
/// let counter = host.load(br#"
///     (component
///         (core module $m
///             (global $count (mut i32) (i32.const 0))
///             (func (export "next") (result i32)
///                 (global.set $count (i32.add (global.get $count) (i32.const 1)))
///                 (global.get $count))
///             (func (export "spin") (loop (br 0))))
///         (core instance $i (instantiate $m))
///         (func (export "next") (result u32) (canon lift (core func $i "next")))
///         (func (export "spin") (canon lift (core func $i "spin"))))
/// "#)?;
/// # futures::executor::block_on(async {
/// let plugin = host.instance(&counter).start().await?;
/// let next = || plugin.call(|store, instance| Box::pin(async move {
///     let next = instance.get_typed_func::<(), (u32,)>(&mut *store, "next")?;
///     Ok(next.call_async(&mut *store, ()).await?.0)
/// }));
/// assert_eq!(next().await?, 1);
/// assert_eq!(next().cpu(Duration::from_millis(50)).await?, 2);
///
/// // A call that exceeds its budget ends the instance.
/// let spins = plugin.call(|store, instance| Box::pin(async move {
///     let spin = instance.get_typed_func::<(), ()>(&mut *store, "spin")?;
///     spin.call_async(&mut *store, ()).await
/// }));
/// let error = spins.cpu(Duration::from_millis(5)).await.unwrap_err();
/// assert!(error.limit().is_some(), "{error}");
/// assert!(next().await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Instance<T: Send + 'static = ()> {
    hold: Arc<Hold<T>>,
}

/// What an [`Instance`] has done so far.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InstanceStats {
    /// Calls that were done well.
    pub calls: u64,
    /// Calls that returned an error. Those that were ended, by a limit for instance, are in none of the two.
    pub failed: u64,
    /// Instances that were made, one after the other.
    pub started: u64,
    /// Calls that wait for their turn.
    pub waiting: usize,
    /// What the present instance has used; `None` if there is none now.
    pub run: Option<RunStats>,
}

impl<T: Send + 'static> Instance<T> {
    pub(super) fn new(queue: Arc<Queue<T>>) -> Self {
        Self {
            hold: Arc::new(Hold(queue)),
        }
    }

    /// A call: `body` gets the store, armed, and wasmtime's instance in it, and returns anything. Calls wait for each other,
    /// first in, first out.
    ///
    /// An error that `body` returns ends the instance: of a guest that has trapped nothing can be used again. An error of the
    /// embedder's own that leaves the guest as it was belongs into the result.
    ///
    /// A body that awaits another call of the same instance waits for itself, until a [limit](Call::wall) ends it.
    ///
    /// Typed bindings of `wasmtime::component::bindgen!` are made in the body, of the store and the instance:
    /// `Plugin::new(&mut *store, &instance)?`.
    pub fn call<R, F>(&self, body: F) -> Call<T, R>
    where
        R: Send + 'static,
        F: for<'a> FnOnce(
                &'a mut Store<GuestState<T>>,
                wasmtime::component::Instance,
            ) -> BoxFuture<'a, wasmtime::Result<R>>
            + Send
            + 'static,
    {
        let (sender, result) = oneshot::channel();
        let body = Body::Alone(Box::new(move |store, instance| {
            delivers(body(store, instance), sender)
        }));
        Call::new(self.hold.clone(), body, result)
    }

    /// A call that others may go on beside: `body` gets access to the store's event loop. For components with
    /// component-model async, whose functions are called by `call_concurrent` of wasmtime.
    ///
    /// Up to [`InstanceBuilder::concurrency`](crate::InstanceBuilder::concurrency) of them are done at once, as long as no
    /// other [`call`](Self::call) waits before them. They share one store, so they share its end: an error, a budget that
    /// is used up or a caller that is dropped ends all of them, with the instance. What the instance computes counts for the
    /// [budgets](Call::cpu) of all that go on meanwhile, as nobody can tell for which of them it does. What a function
    /// leaves to be done after it has returned goes on while calls of this kind do.
    ///
    /// A component without component-model async ends with an error that says so.
    ///
    /// ```
    /// # let host = hart_host::Host::builder().workers(1).build()?;
    /// # let component = host.load(br#"(component
    /// #     (core func $return (canon task.return (result u32)))
    /// #     (core module $m
    /// #         (import "" "return" (func $return (param i32)))
    /// #         (func (export "f") (result i32) (call $return (i32.const 42)) (i32.const 0))
    /// #         (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
    /// #     (core instance $i (instantiate $m (with "" (instance (export "return" (func $return))))))
    /// #     (func (export "answer") async (result u32)
    /// #         (canon lift (core func $i "f") async (callback (core func $i "callback")))))"#)?;
    /// # futures::executor::block_on(async {
    /// let plugin = host.instance(&component).start().await?;
    /// let ask = || plugin.call_concurrent(|store, instance| Box::pin(async move {
    ///     let answer = store.with(|store| instance.get_typed_func::<(), (u32,)>(store, "answer"))?;
    ///     Ok(answer.call_concurrent(store, ()).await?.0)
    /// }));
    /// let (one, other) = futures::join!(ask().into_future(), ask().into_future());
    /// assert_eq!((one?, other?), (42, 42));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn call_concurrent<R, F>(&self, body: F) -> Call<T, R>
    where
        R: Send + 'static,
        F: for<'a> FnOnce(
                &'a Accessor<GuestState<T>>,
                wasmtime::component::Instance,
            ) -> BoxFuture<'a, wasmtime::Result<R>>
            + Send
            + 'static,
    {
        let (sender, result) = oneshot::channel();
        let body = Body::Together(Box::new(move |store, instance| {
            delivers(body(store, instance), sender)
        }));
        Call::new(self.hold.clone(), body, result)
    }

    /// Ends the present instance, with the call that it is at. What follows is as
    /// [`restart`](crate::InstanceBuilder::restart) says.
    pub fn kill(&self) {
        self.hold.0.kill();
    }

    /// What it has done so far.
    pub fn stats(&self) -> InstanceStats {
        let queue = &self.hold.0;
        let (waiting, life) = queue.look();
        let counts = &queue.counts;
        InstanceStats {
            calls: counts.done.load(Ordering::Relaxed),
            failed: counts.failed.load(Ordering::Relaxed),
            started: counts.started.load(Ordering::Relaxed),
            waiting,
            run: life.and_then(|life| life.stats()),
        }
    }
}

/// What a call does, and then the delivery of its result.
fn delivers<'a, R: Send + 'static>(
    doing: BoxFuture<'a, wasmtime::Result<R>>,
    sender: oneshot::Sender<R>,
) -> BoxFuture<'a, wasmtime::Result<Deliver>> {
    Box::pin(async move {
        let result = doing.await?;
        let deliver: Deliver = Box::new(move || {
            // A caller that is gone has no use for it.
            let _ = sender.send(result);
        });
        Ok(deliver)
    })
}

impl<T: Send + 'static> Clone for Instance<T> {
    fn clone(&self) -> Self {
        Self {
            hold: self.hold.clone(),
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Instance<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
