//! How a component is loaded: how long that may take and how much memory, and who can end it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use futures::channel::oneshot;
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::engine::compile::{LoadCanceller, Patience};
use crate::engine::error::LoadError;
use crate::engine::header;
use crate::engine::load::{self, How, Unloaded, read_component};
use crate::engine::tier::Tier;
use crate::host::handle::Host;
use crate::instance::store::{Component, GuestState};
use crate::sched::priority;

/// Loads components under limits of its own: [`Host::loader`].
///
/// wasmtime 48 cannot stop its compiler and does not count its memory. So hart reads a component first and refuses what
/// would take too much of either, before anything is compiled: that is what [`max_memory`](Self::max_memory) is compared
/// with, an estimate that is above what most components take. The compiler's threads give up between two of its passes
/// over a function. Whoever called [`load`](Self::load) need not wait for that.
///
/// # Examples
///
/// ```
/// use hart_host::{Cache, Host, LoadError};
/// use std::time::Duration;
///
/// let host = Host::builder().workers(1).cache(Cache::Off).build()?;
/// let loader = host.loader().timeout(Duration::from_secs(20)).max_memory(1 << 30);
/// // Each component has two of the one before: a thousand million in all.
/// let mut text = String::from("(component (component $c0)");
/// for level in 1..30 {
///     let below = level - 1;
///     text += &format!(
///         "(component $c{level} (alias outer 1 $c{below} (component $p))
///              (instance (instantiate $p)) (instance (instantiate $p)))"
///     );
/// }
/// text += "(instance (instantiate $c29)))";
/// let refused = loader.load(text.as_bytes());
/// assert!(matches!(refused, Err(LoadError::TooComplex(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Loader<'a, T: 'static = ()> {
    host: &'a Host<T>,
    timeout: Option<Duration>,
    max_memory: u64,
    background: bool,
    core_modules: bool,
    tier: Tier,
    canceller: LoadCanceller,
}

impl Loader<'_> {
    /// What [`timeout`](Self::timeout) is by default.
    pub const TIMEOUT: Duration = Duration::from_secs(600);
    /// What [`max_memory`](Self::max_memory) is by default, in bytes.
    pub const MAX_MEMORY: u64 = load::MAX_MEMORY;
}

impl<'a, T: Send + 'static> Loader<'a, T> {
    fn new(host: &'a Host<T>) -> Self {
        Self {
            host,
            timeout: Some(Loader::TIMEOUT),
            max_memory: Loader::MAX_MEMORY,
            background: false,
            core_modules: false,
            tier: host.inner().tier,
            canceller: LoadCanceller::default(),
        }
    }

    /// Gives up after so long, with [`LoadError::TimedOut`]. By default after [`TIMEOUT`](Loader::TIMEOUT).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Refuses what would take more than so many bytes of memory to load, by an estimate, with
    /// [`LoadError::TooComplex`]. By default that is [`MAX_MEMORY`](Loader::MAX_MEMORY). A single function may take a
    /// quarter of it, text may have a 128th of it. Functions that fit are compiled at the same time as far as their
    /// memory allows.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.max_memory = bytes;
        self
    }

    /// Loads while the host serves others: on threads of the lowest priority (`nice` 19), and compiles on half of the cores
    /// at most. It takes longer where the cores are busy. `imports` of [`load_with`](Self::load_with) are called on the
    /// caller's thread all the same.
    #[must_use]
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Whether core modules are loaded too. By default they are refused, with [`LoadError::CoreModule`].
    ///
    /// A component is made of the module, with wasmtime's adapter for WASI 0.1: a program (one that exports `_start`) is
    /// a command, and `proc_exit` keeps its code. The functions that the module exports, the first 1,000 of them, can be
    /// called under their own names, if they take up to 16 numbers and return at most one: `s32`, `s64`, `f32` and `f64`
    /// in WAVE. `_initialize` is called when an instance is made. What imports anything but functions of WASI 0.1 is refused with
    /// [`LoadError::UnusableModule`]. A module that says which component it is to be, in a section that tools such as
    /// wit-bindgen write, becomes that: it may import what components may.
    ///
    /// To load a module takes four times its length of memory, out of [`max_memory`](Self::max_memory).
    ///
    /// ```
    /// # let host = hart_host::Host::builder().cache(hart_host::Cache::Off).build()?;
    /// let text = br#"(module
    ///     (func (export "add_one") (param i32) (result i32)
    ///         (i32.add (local.get 0) (i32.const 1))))"#;
    /// let component = host.loader().core_modules(true).load(text)?;
    /// let outcome = host.invoke(&component, "add_one(41)")?.start()?.wait()?;
    /// assert_eq!(outcome.to_wave()?, "42");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn core_modules(mut self, allowed: bool) -> Self {
        self.core_modules = allowed;
        self
    }

    /// Which code the component runs. By default what [`HostBuilder::tier`](crate::HostBuilder::tier) says.
    ///
    /// ```
    /// use hart_host::{Cache, Host, Tier};
    ///
    /// let host = Host::builder().cache(Cache::Off).build()?;
    /// let component = host.loader().tier(Tier::Baseline).load(b"(component)")?;
    /// assert!(component.is_baseline());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// What cancels loads of this loader, from another thread.
    ///
    /// ```
    /// # let host = hart_host::Host::builder().cache(hart_host::Cache::Off).build()?;
    /// let loader = host.loader();
    /// loader.canceller().cancel();
    /// let refused = loader.load(b"(component)");
    /// assert!(matches!(refused, Err(hart_host::LoadError::Cancelled)));
    /// # Ok::<(), hart_host::BuildError>(())
    /// ```
    pub fn canceller(&self) -> LoadCanceller {
        self.canceller.clone()
    }

    fn begin<'b>(&self, bytes: &'b [u8]) -> Result<(Unloaded<'b>, Patience), LoadError> {
        self.host.open()?;
        let figures = self.host.inner().figures.as_ref();
        let took = figures.map(|figures| figures.compile.clone());
        let patience = Patience::new(&self.canceller, self.timeout).counts(took);
        patience.check()?;
        let unloaded = Unloaded::new(bytes, self.max_memory, self.core_modules)?;
        patience.check()?;
        Ok((unloaded, patience))
    }

    fn how<'b>(&'b self, patience: &'b Patience) -> How<'b> {
        How {
            patience,
            max_memory: self.max_memory,
            background: self.background,
            tier: self.tier,
            cache: self.host.inner().cache.as_ref(),
        }
    }

    /// As [`Host::load`].
    ///
    /// # Errors
    ///
    /// As [`Host::load`].
    pub fn load(&self, bytes: &[u8]) -> Result<Component<T>, LoadError> {
        if self.background {
            priority::on_background_thread(|| self.load_here(bytes)).map_err(LoadError::Thread)?
        } else {
            self.load_here(bytes)
        }
    }

    /// Loads on this thread, whatever its priority is.
    fn load_here(&self, bytes: &[u8]) -> Result<Component<T>, LoadError> {
        let (unloaded, patience) = self.begin(bytes)?;
        let site = self.host.inner().site(unloaded.kind())?;
        unloaded.load(&site.pool, self.how(&patience), &site.linker)
    }

    /// As [`Host::load_async`].
    ///
    /// # Errors
    ///
    /// As [`Host::load`].
    pub async fn load_async(&self, bytes: impl Into<Vec<u8>>) -> Result<Component<T>, LoadError> {
        let bytes = bytes.into();
        let host = self.host.clone();
        let (timeout, max_memory) = (self.timeout, self.max_memory);
        let (background, core_modules, tier) = (self.background, self.core_modules, self.tier);
        let canceller = self.canceller.clone();
        let (sender, loaded) = oneshot::channel();
        let load = move || {
            if background {
                priority::lower();
            }
            let loader = Loader {
                host: &host,
                timeout,
                max_memory,
                background,
                core_modules,
                tier,
                canceller,
            };
            // Nobody waits for it any more.
            let _ = sender.send(loader.load_here(&bytes));
        };
        std::thread::Builder::new()
            .name("hart-load".into())
            .spawn(load)
            .map_err(LoadError::Thread)?;
        // A thread that panics has dropped the sender.
        let failed = |_| {
            Err(LoadError::Invalid(
                "hart failed on it; please report this".into(),
            ))
        };
        loaded.await.unwrap_or_else(failed)
    }

    /// As [`Host::load_with`].
    ///
    /// # Errors
    ///
    /// As [`Host::load_with`].
    pub fn load_with<F>(&self, bytes: &[u8], imports: F) -> Result<Component<T>, LoadError>
    where
        F: FnOnce(&mut Linker<GuestState<T>>) -> wasmtime::Result<()>,
    {
        let (unloaded, patience) = self.begin(bytes)?;
        let site = self.host.inner().site(unloaded.kind())?;
        let mut linker = site.linker.clone();
        linker.allow_shadowing(true);
        imports(&mut linker).map_err(LoadError::Imports)?;
        unloaded.load(&site.pool, self.how(&patience), &linker)
    }

    /// As [`Host::load_file`].
    ///
    /// # Errors
    ///
    /// As [`Host::load_file`].
    pub fn load_file(&self, path: impl AsRef<Path>) -> Result<Component<T>, LoadError> {
        self.load(&read_component(path.as_ref())?)
    }

    /// As [`Host::precompile`].
    ///
    /// # Errors
    ///
    /// As [`Host::precompile`].
    pub fn precompile(&self, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
        let (unloaded, patience) = self.begin(bytes)?;
        let site = self.host.inner().site(unloaded.kind())?;
        let inner = self.host.inner();
        let profile = inner.blueprint.wanted.profile;
        unloaded.precompile(&site.pool, profile, inner.preemption, self.how(&patience))
    }
}

impl<T> fmt::Debug for Loader<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("timeout", &self.timeout)
            .field("max_memory", &self.max_memory)
            .field("background", &self.background)
            .field("core_modules", &self.core_modules)
            .field("tier", &self.tier)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Whether these bytes are compiled code, as [`precompile`](Self::precompile) makes it, or `wasmtime compile`.
    pub fn is_precompiled(bytes: &[u8]) -> bool {
        header::is_precompiled(bytes)
    }
}

impl<T: Send + 'static> Host<T> {
    /// Loads components under limits that are not the default ones, and so that it can be cancelled.
    pub fn loader(&self) -> Loader<'_, T> {
        Loader::new(self)
    }

    /// Loads a component, binary or text (for core modules, see [`Loader::core_modules`]), and compiles it on threads that are not workers, while this one waits. That
    /// takes milliseconds to seconds; async code should do it where blocking is allowed. It has the limits of a
    /// [`Loader`] by default.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says what the bytes are instead, or what is the matter with them.
    pub fn load(&self, bytes: &[u8]) -> Result<Component<T>, LoadError> {
        self.loader().load(bytes)
    }

    /// The same for async code, on any executor: loads on a thread of its own, in the background, so that whoever is served
    /// meanwhile goes first (see [`Loader::background`]). A load whose future is dropped goes on to its end; a [`Loader`]
    /// has what [cancels](Loader::canceller) it.
    ///
    /// ```
    /// # let host = hart_host::Host::builder().workers(1).build()?;
    /// # futures::executor::block_on(async {
    /// let component = host.load_async(b"(component)").await?;
    /// # drop(component);
    /// # Ok::<(), hart_host::LoadError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub async fn load_async(&self, bytes: impl Into<Vec<u8>>) -> Result<Component<T>, LoadError> {
        self.loader().background(true).load_async(bytes).await
    }

    /// Loads a component with imports of its own: `imports` adds them to a copy of the host's linker,
    /// where they may replace what the host provides. The tasks that the component spawns have them
    /// too.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), and [`LoadError::Imports`] if `imports` fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # let host = hart_host::Host::builder().cache(hart_host::Cache::Off).build()?;
    /// let text = br#"
    ///     (component
    ///         (import "answer" (func $answer (result u32)))
    ///         (core func $lowered (canon lower (func $answer)))
    ///         (core module $m
    ///             (import "" "answer" (func $answer (result i32)))
    ///             (func (export "ask") (result i32) (call $answer)))
    ///         (core instance $i (instantiate $m
    ///             (with "" (instance (export "answer" (func $lowered))))))
    ///         (func (export "ask") (result u32) (canon lift (core func $i "ask"))))
    /// "#;
    /// let component = host.load_with(text, |linker| {
    ///     linker.root().func_wrap("answer", |_, ()| Ok((42_u32,)))
    /// })?;
    /// let outcome = host.invoke(&component, "ask()")?.start()?.wait()?;
    /// assert_eq!(outcome.to_wave()?, "42");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn load_with<F>(&self, bytes: &[u8], imports: F) -> Result<Component<T>, LoadError>
    where
        F: FnOnce(&mut Linker<GuestState<T>>) -> wasmtime::Result<()>,
    {
        self.loader().load_with(bytes, imports)
    }

    /// wasmtime's engine on which such a component would run: one with component-model async, or one without.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), for what can be seen without compiling.
    pub fn engine_for(&self, bytes: &[u8]) -> Result<&Engine, LoadError> {
        let (unloaded, _) = self.loader().begin(bytes)?;
        Ok(&self.inner().site(unloaded.kind())?.pool.engine)
    }

    /// Loads a component from a file, binary or text.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), and [`LoadError::Read`] if the file cannot be read.
    pub fn load_file(&self, path: impl AsRef<Path>) -> Result<Component<T>, LoadError> {
        self.loader().load_file(path)
    }

    /// Compiles a component to native code, for [`load_precompiled`](Self::load_precompiled) on a host
    /// with the same preemption mode, profile, wasmtime version and machine. What hart has to know of the component
    /// stands before the code.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), except that imports are not looked at.
    pub fn precompile(&self, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
        self.loader().precompile(bytes)
    }

    /// Loads what [`precompile`](Self::precompile) made.
    ///
    /// # Errors
    ///
    /// [`LoadError::NotPrecompiled`], [`LoadError::Incompatible`] or [`LoadError::PreemptionMismatch`]
    /// if the bytes are not for this host, [`LoadError::MissingImport`] as for [`load`](Self::load).
    ///
    /// # Safety
    ///
    /// The bytes are native code, which is run as it is. They must come from
    /// [`precompile`](Self::precompile), unchanged, by somebody whom you trust as you trust the
    /// program that calls this.
    pub unsafe fn load_precompiled(&self, bytes: &[u8]) -> Result<Component<T>, LoadError> {
        self.open()?;
        let inner = self.inner();
        let (header, code) = header::read(bytes)?;
        let host = inner.preemption.mode();
        if header.preemption != host {
            return Err(LoadError::PreemptionMismatch { host });
        }
        let ours = inner.blueprint.wanted.profile;
        if header.profile != ours {
            let (its, ours) = (header.profile.name(), ours.name());
            return Err(LoadError::Incompatible(format!(
                "it was compiled for the pool profile `{its}`, and this host has `{ours}`"
            )));
        }
        let site = inner.site(header.kind)?;
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { load::load_precompiled(&site.pool, &site.linker, header, code) }
    }

    fn open(&self) -> Result<(), LoadError> {
        if self.inner().registry.is_closed() {
            Err(LoadError::Closed)
        } else {
            Ok(())
        }
    }
}
