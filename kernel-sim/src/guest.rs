//! Guests of hart-host on the machine: the same host, scheduler and code, with everything that a guest can
//! see of the outside made from the seed.

mod files;
mod harts;
mod scratch;
mod wasi;

pub use self::wasi::Outside;
use self::{files::Files, harts::Harts, scratch::Scratch};
use crate::{
    config::Config,
    faults::Fault,
    machine::Machine,
    oracle::{Failure, Oracle},
    random::stream,
    run::{Outcome, run_on},
    sim::GuestHost,
};
use futures::FutureExt;
use hart_host::{
    BuildError, Cache, CallError, Component, DirAccess, Host, HostBuilder, Limits, LoadError,
    Preemption, RunBuilder, RunError, Stdio, simulate,
};
use std::{fmt, path::PathBuf, sync::Arc};

/// Units of fuel between two preemption points, where nothing else is said.
pub const SLICE: u64 = 10_000;

/// A component and what it is given: what runs on the machine.
///
/// # Examples
///
/// ```
/// use hart_sim::{Config, Guest};
///
/// let guest = Guest::new(br#"
///     (component
///         (core module $m (func (export "f") (result i32) i32.const 42))
///         (core instance $i (instantiate $m))
///         (func (export "answer") (result u32) (canon lift (core func $i "f"))))
/// "#)?.invoke("answer()");
/// let run = guest.run(&Config::new(7))?;
/// assert_eq!(run.result?.to_wave()?, "42");
/// assert!(run.machine.failure.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a guest does nothing until it runs"]
pub struct Guest {
    /// Compiled, by this very library, for the machine's engine.
    code: Arc<Vec<u8>>,
    invoke: Option<String>,
    name: Option<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    stdin: Vec<u8>,
    dirs: Vec<(PathBuf, String)>,
    scratch: Option<String>,
    limits: Limits,
    instances: u32,
    slice: u64,
}

/// What runs on a machine, under one seed after the other: a [`Guest`] or an [`HttpGuest`](crate::HttpGuest).
pub trait Simulated {
    /// The machine's side of a run.
    ///
    /// # Errors
    ///
    /// As [`Guest::run`].
    fn outcome(&self, config: &Config) -> Result<Outcome, GuestError>;
}

impl Simulated for Guest {
    fn outcome(&self, config: &Config) -> Result<Outcome, GuestError> {
        Ok(self.run(config)?.machine)
    }
}

/// A guest on a machine's host.
pub(crate) struct Placed {
    pub(crate) machine: Arc<Machine>,
    pub(crate) host: Host<Outside>,
    pub(crate) component: Component<Outside>,
}

/// What came of a guest on a machine.
#[derive(Debug)]
#[non_exhaustive]
pub struct GuestOutcome {
    /// The machine's side: statistics, the oracles, the trace.
    pub machine: Outcome,
    /// The guest's side.
    pub result: Result<hart_host::Outcome, RunError>,
    /// What the run depends on beside component, input, seed and options.
    pub depends_on: Vec<String>,
}

/// Why a guest could not be run at all.
#[derive(Debug)]
#[non_exhaustive]
pub enum GuestError {
    /// The engine could not be made.
    Build(BuildError),
    /// The component could not be loaded.
    Load(LoadError),
    /// The system has no thread for what guests read and write.
    Thread(std::io::Error),
    /// There is no place for the directory that the guest may write.
    Scratch(std::io::Error),
    /// What was to be called is not there.
    Call(CallError),
    /// It could not be started as it was set up.
    Start(RunError),
}

impl fmt::Display for GuestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(error) => error.fmt(f),
            Self::Load(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
            Self::Scratch(error) => write!(f, "no directory for what the guest writes: {error}"),
            Self::Thread(error) => write!(f, "no thread for files: {error}"),
            Self::Start(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for GuestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            Self::Build(error) => error,
            Self::Load(error) => error,
            Self::Call(error) => error,
            Self::Scratch(error) => error,
            Self::Thread(error) => error,
            Self::Start(error) => error,
        })
    }
}

impl Guest {
    /// A component or a core module, binary or text, compiled here once for all its runs.
    ///
    /// # Errors
    ///
    /// As [`Host::load`].
    pub fn new(component: &[u8]) -> Result<Self, GuestError> {
        let machine = Arc::new(Machine::new(&Config::new(0)));
        let host = host(&machine, None, 1, 1, SLICE)?;
        let code = host.loader().core_modules(true).precompile(component);
        let code = code.map_err(GuestError::Load)?;
        Ok(Self {
            code: Arc::new(code),
            invoke: None,
            name: None,
            args: vec!["guest".into()],
            env: Vec::new(),
            stdin: Vec::new(),
            dirs: Vec::new(),
            scratch: None,
            limits: Limits::new(),
            instances: 1_000,
            slice: SLICE,
        })
    }

    /// Calls an export, written in WAVE, instead of `wasi:cli/run`.
    pub fn invoke(mut self, call: impl Into<String>) -> Self {
        self.invoke = Some(call.into());
        self
    }

    /// Its name and its first argument.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.args[0].clone_from(&name);
        self.name = Some(name);
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds a variable to its environment, which is empty else.
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Its standard input, which is empty else.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Grants a real directory, to be read. The run depends on what is in it.
    pub fn dir(mut self, host: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        self.dirs.push((host.into(), guest.into()));
        self
    }

    /// Grants a directory to read and write, under this name: empty at the start of a run, and gone at its end.
    pub fn scratch(mut self, guest: impl Into<String>) -> Self {
        self.scratch = Some(guest.into());
        self
    }

    /// What it may use.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Places in the pool. Default 1,000; the fault `pool` draws fewer.
    pub fn instances(mut self, instances: u32) -> Self {
        self.instances = instances;
        self
    }

    /// Units of fuel between two preemption points. Default [`SLICE`].
    pub fn slice(mut self, units: u64) -> Self {
        self.slice = units;
        self
    }

    /// Runs it on a machine.
    ///
    /// # Errors
    ///
    /// If it could not be started. What it does after that is in the outcome.
    ///
    /// # Panics
    ///
    /// As [`run`](crate::run).
    pub fn run(&self, config: &Config) -> Result<GuestOutcome, GuestError> {
        let config = config.of_guests();
        let files = self.files()?;
        let _entered = files.as_ref().map(|files| files.enter());
        let scratch = self.make_scratch()?;
        let Placed {
            machine,
            host,
            component,
        } = self.place(&config, files.as_ref())?;
        let builder = match &self.invoke {
            Some(call) => host.invoke(&component, call).map_err(GuestError::Call)?,
            None => host.command(&component),
        };
        let mut builder = self
            .set_up(builder, scratch.as_ref())
            .stdin(Stdio::Bytes(self.stdin.clone()))
            .stdout(Stdio::Capture)
            .stderr(Stdio::Capture);
        if let Some(name) = &self.name {
            builder = builder.name(name);
        }
        let executor = host.runtime().executor().clone();
        let run = builder.start().map_err(GuestError::Start)?;
        let canceller = run.canceller();
        let cancels = canceller.clone();
        let guests = Guests::new(host, move || cancels.cancel());
        let guest_host: Box<dyn GuestHost> = Box::new(guests);
        let mut outcome = run_on(&config, machine, executor, Some(guest_host), |_| {});
        outcome.stats.preemptions = canceller.stats().preemptions;
        let never = || {
            Err(RunError::Other(
                "the machine stopped before the run was over".into(),
            ))
        };
        let result = run.now_or_never().unwrap_or_else(never);
        if outcome.failure.is_none() {
            outcome.failure = self.judge(&config, &outcome, &result);
        }
        drop(scratch);
        Ok(GuestOutcome {
            machine: outcome,
            result,
            depends_on: self.depends_on(),
        })
    }

    /// The thread for files, where it may have any.
    pub(crate) fn files(&self) -> Result<Option<Arc<Files>>, GuestError> {
        if self.dirs.is_empty() && self.scratch.is_none() {
            return Ok(None);
        }
        Files::new()
            .map(|files| Some(Arc::new(files)))
            .map_err(GuestError::Thread)
    }

    /// The directory that it may write.
    pub(crate) fn make_scratch(&self) -> Result<Option<Scratch>, GuestError> {
        let scratch = self.scratch.as_ref().map(|_| Scratch::new());
        scratch.transpose().map_err(GuestError::Scratch)
    }

    /// Makes a machine with a host, and puts it there.
    pub(crate) fn place(
        &self,
        config: &Config,
        files: Option<&Arc<Files>>,
    ) -> Result<Placed, GuestError> {
        let machine = Arc::new(Machine::new(config));
        let slots = self.slots(config);
        let host = host(&machine, files.cloned(), config.harts, slots, self.slice)?;
        // SAFETY: the code comes from `precompile` of a host of the same settings, in `new`, and nobody
        // else can get at it.
        let component = unsafe { host.load_precompiled(&self.code) }.map_err(GuestError::Load)?;
        Ok(Placed {
            machine,
            host,
            component,
        })
    }

    /// What it is given and may use.
    pub(crate) fn set_up(
        &self,
        mut builder: RunBuilder<Outside>,
        scratch: Option<&Scratch>,
    ) -> RunBuilder<Outside> {
        builder = builder.args(self.args.iter().cloned()).limits(self.limits);
        for (key, value) in &self.env {
            builder = builder.env(key, value);
        }
        for (outside, inside) in &self.dirs {
            builder = builder.dir(outside, inside, DirAccess::ReadOnly);
        }
        if let (Some(scratch), Some(inside)) = (scratch, &self.scratch) {
            builder = builder.dir(scratch.path(), inside, DirAccess::ReadWrite);
        }
        builder
    }

    /// Whether the guest ended as one does that has nothing to complain of.
    fn judge(
        &self,
        config: &Config,
        outcome: &Outcome,
        result: &Result<hart_host::Outcome, RunError>,
    ) -> Option<Failure> {
        let seen = match result {
            Ok(ended) if ended.exit_code == 0 => return None,
            _ if config.faults.harm_guests() || !config.guest_must_succeed => return None,
            Ok(ended) => format!("the guest exits with {}", ended.exit_code),
            Err(error) => error.to_string(),
        };
        Some(Failure {
            oracle: Oracle::Guest,
            seen,
            step: outcome.stats.steps,
            at: outcome.stats.time,
            last: outcome.last.clone(),
        })
    }

    fn slots(&self, config: &Config) -> u32 {
        if config.faults.has(Fault::Pool) {
            stream(config.seed, 5).u32(2..=12).min(self.instances)
        } else {
            self.instances
        }
    }

    pub(crate) fn title(&self) -> &str {
        &self.args[0]
    }

    pub(crate) fn depends_on(&self) -> Vec<String> {
        self.dirs
            .iter()
            .map(|(outside, _)| format!("the directory {}", outside.display()))
            .collect()
    }
}

/// A host on the machine.
pub(crate) fn host(
    machine: &Arc<Machine>,
    files: Option<Arc<Files>>,
    harts: usize,
    instances: u32,
    slice: u64,
) -> Result<Host<Outside>, GuestError> {
    HostBuilder::with_data(|_, parent: &Outside| parent.of_a_child())
        .data(Outside::of_runs(machine.clone()))
        .workers(harts)
        .instances(instances)
        .cache(Cache::Off)
        .preemption(Preemption::Fuel { slice })
        .imports(wasi::p2::add_to_linker)
        .imports(wasi::p2::add_http_to_linker)
        .async_imports(wasi::p3::add_to_linker)
        .build_on(Arc::new(Harts::new(machine.clone(), files)))
        .map_err(GuestError::Build)
}

/// The runner's view of the host.
pub(crate) struct Guests {
    host: Host<Outside>,
    /// What the fault `cancel` does.
    cancel: Box<dyn Fn() + Send + Sync>,
}

impl Guests {
    pub(crate) fn new(host: Host<Outside>, cancel: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            host,
            cancel: Box::new(cancel),
        }
    }
}

impl GuestHost for Guests {
    fn close(&self) {
        self.host.close();
    }

    fn cancel(&self) {
        (self.cancel)();
    }

    fn is_idle(&self) -> bool {
        self.host.live_guests() == 0
    }

    fn next_deadline(&self) -> Option<u64> {
        simulate::next_deadline(&self.host)
    }

    fn expire(&self) {
        simulate::expire(&self.host);
    }
}
