//! Setting up a service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use super::guest::Handler;
use super::handle::{Inner, Service};
use super::queue::Queue;
use super::settings::Settings;
use crate::host::handle::Host;
use crate::host::run::builder::{RunBuilder, Target};
use crate::instance::error::RunError;
use crate::instance::program::Reused;
use crate::instance::store::Component;
use crate::wasi::numbering::{LogPrefix, Numbering};

/// A service that is being set up. From [`Host::service`].
#[must_use = "a service begins with `build`"]
pub struct ServiceBuilder<T: 'static = ()> {
    run: RunBuilder<T>,
    component: Component<T>,
    name: String,
    program: u64,
    settings: Settings<T>,
}

/// How often an instance answers by default: as wasmtime's own server has it.
const REUSE_WASI02: u32 = 1;
const REUSE_WASI03: u32 = 128;

impl<T: Send + 'static> Host<T> {
    /// A service of a component that exports `wasi:http/incoming-handler` of WASI 0.2 or `wasi:http/handler` of 0.3.
    ///
    /// ```no_run
    /// use hart_host::{Host, Limits};
    /// use std::time::Duration;
    ///
    /// let host = Host::builder().build()?;
    /// let component = host.load(&std::fs::read("hello.wasm")?)?;
    /// let service = host
    ///     .service(&component)
    ///     .run(|run| run.limits(Limits::new().timeout(Duration::from_secs(5))))
    ///     .concurrency(100)
    ///     .build()?;
    /// // It is a `tower::Service` and one of hyper's: mount it in your own server.
    /// # drop(service);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn service(&self, component: &Component<T>) -> ServiceBuilder<T> {
        ServiceBuilder {
            // What a request's run does is said for each of them.
            run: RunBuilder::new(self, component, Target::Command),
            component: component.clone(),
            name: "service".into(),
            program: self.inner().runtime.next_id(),
            settings: Settings {
                concurrency: 512,
                queue: 1024,
                patience: Duration::from_secs(10),
                reuse: None,
                idle: Duration::from_secs(1),
                body_limit: u64::MAX,
                body_pause: Duration::from_secs(60),
                quiet: false,
                prefix: LogPrefix::None,
                instances: Arc::default(),
                data: None,
            },
        }
    }
}

impl<T: Send + 'static> ServiceBuilder<T> {
    /// Its name, for statistics and logs. Default: `service`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What each request's run is granted and may use: everything that a [`RunBuilder`] has. Directories are opened once,
    /// by [`build`](Self::build).
    pub fn run(mut self, set: impl FnOnce(RunBuilder<T>) -> RunBuilder<T>) -> Self {
        self.run = set(self.run);
        self
    }

    /// The most requests that run at once. Default 512.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.settings.concurrency = requests;
        self
    }

    /// The most requests that wait for others to end. Default 1,024. The next one is refused with
    /// [`ServiceError::Busy`](crate::ServiceError::Busy).
    pub fn queue(mut self, requests: usize) -> Self {
        self.settings.queue = requests;
        self
    }

    /// How long a request waits at most before it is refused. Default 10 s.
    pub fn queue_timeout(mut self, patience: Duration) -> Self {
        self.settings.patience = patience;
        self
    }

    /// How many requests an instance answers, one after the other, before it is dropped. Default: 1 for components of WASI
    /// 0.2, 128 for those of 0.3, as wasmtime has it. What one request leaves in the instance, the next one finds.
    ///
    /// Two requests are never in one instance at the same time: one that computes would hold up the other.
    pub fn reuse(mut self, requests: u32) -> Self {
        self.settings.reuse = Some(requests);
        self
    }

    /// How long an instance waits for its next request before it is dropped. Default 1 s.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.settings.idle = idle;
        self
    }

    /// The most bytes that a request's body may have. Default: no limit, as bodies are streams.
    pub fn body_limit(mut self, bytes: u64) -> Self {
        self.settings.body_limit = bytes;
        self
    }

    /// How long a client may send nothing of a body that the guest waits for. Default 60 s.
    pub fn body_timeout(mut self, pause: Duration) -> Self {
        self.settings.body_pause = pause;
        self
    }

    /// Says nothing of the reason where a response is an error. Default: one line.
    pub fn quiet_errors(mut self, quiet: bool) -> Self {
        self.settings.quiet = quiet;
        self
    }

    /// What each line begins with that a guest writes to standard output or standard error. Default: nothing.
    pub fn log_prefix(mut self, prefix: LogPrefix) -> Self {
        self.settings.prefix = prefix;
        self
    }

    /// Takes the place of `service`: the numbers of its instances go on from there, so that no two of both have the same.
    ///
    /// A service numbers its instances from 0. A guest finds its instance's number in the variable `INSTANCE_ID`, unless
    /// [`RunBuilder::env`] sets that.
    pub fn succeeds(mut self, service: &Service<T>) -> Self {
        self.settings.instances = service.settings().instances.clone();
        self
    }

    /// Makes the embedder's data for a request, from its head. Default: what
    /// [`HostBuilder::data`](crate::HostBuilder::data) makes.
    pub fn data<F>(mut self, data: F) -> Self
    where
        F: Fn(&Parts) -> T + Send + Sync + 'static,
    {
        self.settings.data = Some(Arc::new(data));
        self
    }

    /// Checks everything, and opens what is granted.
    ///
    /// # Errors
    ///
    /// [`RunError::Setup`] if the component takes no HTTP requests, and as
    /// [`RunBuilder::start`] says.
    pub fn build(self) -> Result<Service<T>, RunError> {
        let Some(handler) = Handler::of(&self.component) else {
            return Err(RunError::Setup(
                "the component takes no HTTP requests: it exports neither wasi:http/incoming-handler of WASI 0.2 nor wasi:http/handler of 0.3".into(),
            ));
        };
        let settings = self.settings;
        let times = settings.reuse.unwrap_or(match handler.is_wasi03() {
            true => REUSE_WASI03,
            false => REUSE_WASI02,
        });
        let reused = Reused::ByRuns {
            program: self.program,
            times,
            idle: settings.idle,
        };
        let numbering = Numbering::new(&settings.instances, settings.prefix, &self.name);
        let mut prepared = self.run.numbered(numbering).prepare(reused)?;
        let figures = prepared.host_figures().map(|all| all.app(&self.name));
        if let Some(figures) = &figures {
            prepared.count_for(figures.runs.clone());
        }
        let clock = prepared.clock().clone();
        let queue = Queue::new(
            settings.concurrency,
            settings.queue,
            settings.patience,
            clock,
        );
        Ok(Service::new(Inner {
            prepared,
            handler,
            queue,
            name: self.name,
            settings,
            figures,
        }))
    }
}

impl<T> fmt::Debug for ServiceBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceBuilder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
