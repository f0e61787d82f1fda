//! What a host has of the embedder's own: imports, capabilities, hooks, a tracer, data.

use std::any::TypeId;
use std::sync::Arc;

use wasmtime::component::Linker;

use crate::base::span::Tracer;
use crate::host::builder::HostBuilder;
use crate::instance::capability::Capability;
use crate::instance::events::Event;
use crate::instance::store::GuestState;

impl<T: Send + 'static> HostBuilder<T> {
    /// Adds imports of the embedder's own to the linker, beside WASI and `hart:exec`.
    ///
    /// ```
    /// use hart_host::{Cache, Host};
    ///
    /// let host = Host::builder()
    ///     .cache(Cache::Off)
    ///     .imports(|linker| linker.root().func_wrap("answer", |_, ()| Ok((42_u32,))))
    ///     .build()?;
    /// let component = host.load(br#"
    ///     (component
    ///         (import "answer" (func $answer (result u32)))
    ///         (core func $lowered (canon lower (func $answer)))
    ///         (core module $m
    ///             (import "" "answer" (func $answer (result i32)))
    ///             (func (export "ask") (result i32) call $answer))
    ///         (core instance $i (instantiate $m
    ///             (with "" (instance (export "answer" (func $lowered))))))
    ///         (func (export "ask") (result u32) (canon lift (core func $i "ask"))))
    /// "#)?;
    /// let outcome = host.invoke(&component, "ask()")?.start()?.wait()?;
    /// assert_eq!(outcome.to_wave()?, "42");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn imports<F>(mut self, imports: F) -> Self
    where
        F: Fn(&mut Linker<GuestState<T>>) -> wasmtime::Result<()> + Send + Sync + 'static,
    {
        self.imports.push(Box::new(imports));
        self
    }

    /// The same, for components that use component-model async only: here functions may be asynchronous ones,
    /// which `func_wrap_concurrent` adds.
    ///
    /// Such components have what [`imports`](Self::imports) adds as well. The hook is called when the first
    /// one is loaded.
    pub fn async_imports<F>(mut self, imports: F) -> Self
    where
        F: Fn(&mut Linker<GuestState<T>>) -> wasmtime::Result<()> + Send + Sync + 'static,
    {
        self.async_imports.push(Box::new(imports));
        self
    }

    /// Has a capability of the embedder's own: components may import it, and runs may be
    /// [granted](crate::RunBuilder::grant) it. See [`Capability`].
    pub fn capability<C: Capability>(mut self) -> Self {
        self.capabilities.push(TypeId::of::<C>());
        self.imports(C::link).async_imports(C::link_async)
    }

    /// Calls `hook` for everything that happens to runs and tasks: see [`Event`]. May be called again for others. A host
    /// without hooks spends nothing on them.
    ///
    /// A hook is called where it happens, mostly on a worker, and at the run's expense. It may use the host, and must not
    /// take long: one that blocks holds up the thread that calls it, and nobody else, as other workers take over what waits
    /// there. One that panics is not called again; nothing else comes of that but an error of `tracing`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use hart_host::{Event, Host};
    ///
    /// let nanoseconds = Arc::new(AtomicU64::new(0));
    /// let counter = nanoseconds.clone();
    /// let host = Host::builder()
    ///     .on(move |event| {
    ///         if let Event::RunEnded { stats, .. } = event {
    ///             counter.fetch_add(stats.cpu_time.as_nanos() as u64, Ordering::Relaxed);
    ///         }
    ///     })
    ///     .build()?;
    /// let component = host.load(br#"
    ///     (component
    ///         (core module $m (func (export "f")))
    ///         (core instance $i (instantiate $m))
    ///         (func (export "f") (canon lift (core func $i "f"))))
    /// "#)?;
    /// host.invoke(&component, "f()")?.start()?.wait()?;
    /// assert!(nanoseconds.load(Ordering::Relaxed) > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Event<'_>) + Send + Sync + 'static,
    {
        self.hooks.push(Box::new(hook));
        self
    }

    /// Follows requests and tasks by spans of `tracer`'s, for distributed tracing: a span for each request of a
    /// [`Service`](crate::Service), for each task, below that of what spawned it, and for each request that a guest sends,
    /// whose headers `tracer` may add to. Default: none, which costs nothing.
    ///
    /// It is called where it happens, mostly on a worker, and under no lock. It must not take long. Where it panics,
    /// nothing comes of that but an error of `tracing`.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use hart_host::{Host, Span, SpanEnd, SpanNote, SpanOf, Tracer, http::HeaderMap};
    ///
    /// struct Lines(Arc<Mutex<Vec<String>>>);
    /// struct Line(Arc<Mutex<Vec<String>>>);
    ///
    /// impl Tracer for Lines {
    ///     fn start(&self, _of: &SpanOf<'_>) -> Option<Arc<dyn Span>> {
    ///         Some(Arc::new(Line(self.0.clone())))
    ///     }
    /// }
    /// impl Span for Line {
    ///     fn child(self: Arc<Self>, _of: &SpanOf<'_>) -> Option<Arc<dyn Span>> {
    ///         Some(self)
    ///     }
    ///     fn inject(&self, _headers: &mut HeaderMap) {}
    ///     fn note(&self, _note: &SpanNote<'_>) {}
    ///     fn end(&self, end: &SpanEnd<'_>) {
    ///         self.0.lock().unwrap().push(format!("{} {:?}", end.how, end.error));
    ///     }
    /// }
    ///
    /// let lines = Arc::<Mutex<Vec<String>>>::default();
    /// let host = Host::builder().tracer(Lines(lines.clone())).build()?;
    /// let component = host.load(br#"
    ///     (component
    ///         (core module $m (func (export "f")))
    ///         (core instance $i (instantiate $m))
    ///         (func (export "f") (canon lift (core func $i "f"))))
    /// "#)?;
    /// host.invoke(&component, "f()")?.start()?.wait()?;
    /// assert_eq!(lines.lock().unwrap()[..], ["returned None"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tracer(mut self, tracer: impl Tracer + 'static) -> Self {
        self.tracer = Some(Arc::new(tracer));
        self
    }

    /// Makes the data of the root of every run that is given none by [`RunBuilder::data`](crate::RunBuilder::data).
    pub fn data<F>(mut self, data: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
    {
        self.data = Some(Box::new(data));
        self
    }
}
