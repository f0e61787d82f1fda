//! What runs begin with: a command, a call, or a body of the embedder's.

use futures::future::BoxFuture;
use wasmtime::Store;
use wasmtime::component::{Instance, Val};

use crate::engine::error::CallError;
use crate::engine::wave;
use crate::host::handle::Host;
use crate::host::run::builder::{RunBuilder, Target};
use crate::instance::store::{Component, GuestState};
use crate::runtime::tenant::TenantBuilder;

impl<T: Send + 'static> Host<T> {
    /// A run of a command: its `wasi:cli/run`.
    pub fn command(&self, component: &Component<T>) -> RunBuilder<T> {
        RunBuilder::new(self, component, Target::Command)
    }

    /// A run that calls an export, written in WAVE: `f(1, "x")`. The name is one that [`call`](Self::call) takes.
    ///
    /// # Errors
    ///
    /// [`CallError`] if it cannot be read, if there is no such export or more than one, or if the arguments do not fit.
    pub fn invoke(&self, component: &Component<T>, wave: &str) -> Result<RunBuilder<T>, CallError> {
        let (export, args) = wave::parse(component.interface().functions(), wave)?;
        Ok(self.call(component, &export, args))
    }

    /// A run that calls an export with arguments. That it exists and takes as many is checked by
    /// [`RunBuilder::start`].
    ///
    /// `export` is a full name as [`Component::exports`] has it, such as `a:b/one@1.2.0#f`, or a shorter one that means
    /// one function only: `a:b/one#f`, `one.f` or `f`. Besides `#` it may have `.` or `/`, and the version may come last,
    /// as wasmtime's command has it: `a:b/one.f@1.2.0`.
    pub fn call(&self, component: &Component<T>, export: &str, args: Vec<Val>) -> RunBuilder<T> {
        RunBuilder::new(
            self,
            component,
            Target::Call {
                export: export.to_owned(),
                args,
            },
        )
    }

    /// A run of the embedder's own: `body` gets the root's store, armed, and its instance, and may call
    /// what it exports as often as it likes. What it returns are the run's results; its error ends the
    /// run as that of a call does.
    ///
    /// # Examples
    ///
    /// ```
    /// # let host = hart_host::Host::builder().cache(hart_host::Cache::Off).build()?;
    /// let counter = host.load(br#"
    ///     (component
    ///         (core module $m
    ///             (global $count (mut i32) (i32.const 0))
    ///             (func (export "next") (result i32)
    ///                 (global.set $count (i32.add (global.get $count) (i32.const 1)))
    ///                 (global.get $count)))
    ///         (core instance $i (instantiate $m))
    ///         (func (export "next") (result u32) (canon lift (core func $i "next"))))
    /// "#)?;
    /// let run = host.drive(&counter, |store, instance| Box::pin(async move {
    ///     let next = instance.get_typed_func::<(), (u32,)>(&mut *store, "next")?;
    ///     next.call_async(&mut *store, ()).await?;
    ///     let (count,) = next.call_async(&mut *store, ()).await?;
    ///     Ok(vec![wasmtime::component::Val::U32(count)])
    /// }));
    /// assert_eq!(run.start()?.wait()?.to_wave()?, "2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drive<F>(&self, component: &Component<T>, body: F) -> RunBuilder<T>
    where
        F: for<'a> FnOnce(
                &'a mut Store<GuestState<T>>,
                Instance,
            ) -> BoxFuture<'a, wasmtime::Result<Vec<Val>>>
            + Send
            + 'static,
    {
        RunBuilder::new(self, component, Target::Drive(Box::new(body)))
    }

    /// A run of one task: `hart:exec/entry.run` with this `entry` and `input`, as a guest's own `spawn` calls it. What it
    /// returned is [`Outcome::returned`](crate::Outcome::returned); an error of its own is no error of the run.
    ///
    /// # Examples
    ///
    /// ```
    /// # let host = hart_host::Host::builder().cache(hart_host::Cache::Off).build()?;
    /// // A guest whose tasks all return their input.
    /// let echo = host.load(br#"
    ///     (component
    ///         (core module $m
    ///             (memory (export "memory") 1)
    ///             (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 64)
    ///             (func (export "run") (param i32 i32 i32 i32) (result i32)
    ///                 (i32.store8 (i32.const 0) (i32.const 0))
    ///                 (i32.store (i32.const 4) (local.get 2))
    ///                 (i32.store (i32.const 8) (local.get 3))
    ///                 i32.const 0))
    ///         (core instance $i (instantiate $m))
    ///         (func $run (param "entry" string) (param "input" (list u8)) (result (result (list u8) (error (list u8))))
    ///             (canon lift (core func $i "run") (memory $i "memory") (realloc (func $i "realloc"))))
    ///         (instance $entry (export "run" (func $run)))
    ///         (export "hart:exec/entry@0.1.0" (instance $entry)))
    /// "#)?;
    /// let outcome = host.task(&echo, "echo", b"hi".to_vec()).start()?.wait()?;
    /// assert_eq!(outcome.returned, Some(Ok(b"hi".to_vec())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn task(
        &self,
        component: &Component<T>,
        entry: impl Into<String>,
        input: Vec<u8>,
    ) -> RunBuilder<T> {
        let entry = entry.into();
        RunBuilder::new(self, component, Target::Task { entry, input })
    }

    /// A new tenant: a group of runs that share a weight and limits.
    pub fn tenant(&self) -> TenantBuilder {
        TenantBuilder::new(self.inner().runtime.clone())
    }
}
