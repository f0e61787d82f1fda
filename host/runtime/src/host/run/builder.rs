//! Setting up a run.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Val;
use wasmtime_wasi::WasiCtxBuilder;

use crate::base::text;
use crate::engine::component::Interface;
use crate::engine::wave;
use crate::host::handle::{Host, HostInner};
use crate::host::run::handle::Run;
use crate::host::run::prepared::{Prepared, Terms};
use crate::instance::capability::{Capability, Erased};
use crate::instance::elsewhere::Reach;
use crate::instance::error::RunError;
use crate::instance::granted::Grant;
use crate::instance::lifecycle::{Body, Work};
use crate::instance::program::Reused;
use crate::instance::store::Component;
use crate::quota::limits::Limits;
use crate::quota::share::Share;
use crate::runtime::tenant::Tenant;
use crate::sched::preemption::Preemption;
use crate::wasi::grants::{DirAccess, Grants};
use crate::wasi::http::allowed::AllowedHost;
use crate::wasi::numbering::Numbering;
use crate::wasi::stdio::Stdio;

/// What a run is to do, what it is granted and what it may use. From
/// [`Host::command`](crate::Host::command), [`Host::invoke`](crate::Host::invoke) or
/// [`Host::call`](crate::Host::call). Nothing is granted unless it is said here.
#[must_use = "a run begins with `start`"]
pub struct RunBuilder<T: 'static = ()> {
    host: Arc<HostInner<T>>,
    component: Component<T>,
    target: Target<T>,
    data: Option<T>,
    name: Option<String>,
    grants: Grants,
    capabilities: Vec<Arc<dyn Grant>>,
    limits: Limits,
    share: Share,
    tenant: Option<Tenant>,
    prefer_wasi03: bool,
    waits: Option<bool>,
    reach: Reach,
}

pub(crate) enum Target<T: 'static> {
    Command,
    Call { export: String, args: Vec<Val> },
    Drive(Body<T>),
    Task { entry: String, input: Vec<u8> },
}

impl<T: Send + 'static> RunBuilder<T> {
    pub(crate) fn new(host: &Host<T>, component: &Component<T>, target: Target<T>) -> Self {
        Self {
            host: host.inner().clone(),
            component: component.clone(),
            target,
            data: None,
            name: None,
            grants: Grants::default(),
            capabilities: Vec::new(),
            limits: Limits::new(),
            share: match host.preemption() {
                Preemption::Epoch { slice } => Share::of_slice(slice),
                Preemption::Fuel { .. } | Preemption::None => Share::default(),
            },
            tenant: None,
            prefer_wasi03: false,
            waits: None,
            reach: Reach::Nowhere,
        }
    }

    /// A name for traces and statistics; at most 64 bytes of it are kept. Default: the first
    /// argument, or `run`.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = Some(text::name(name.as_ref()));
        self
    }

    /// The embedder's data in the store of the run's root: see
    /// [`HostBuilder::with_data`](crate::HostBuilder::with_data). Default: what
    /// [`HostBuilder::data`](crate::HostBuilder::data) makes.
    pub fn data(mut self, data: T) -> Self {
        self.data = Some(data);
        self
    }

    /// Adds one argument. The first one is the program's name.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.grants.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<I>(mut self, args: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.grants.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable. The last value of a name wins, also over what
    /// [`inherit_env`](Self::inherit_env) added before.
    ///
    /// ```no_run
    /// # let host = hart_host::Host::builder().build()?;
    /// # let component = host.load(b"")?;
    /// // The guest has this process's variables, with another `HOME`.
    /// let run = host.command(&component).inherit_env().env("HOME", "/");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.grants.set_env(key.into(), value.into());
        self
    }

    /// Sets all of this process's environment variables, except those whose name or value is not UTF-8, which guests'
    /// variables have to be: a warning of `tracing` names each of these.
    pub fn inherit_env(mut self) -> Self {
        for (key, value) in std::env::vars_os() {
            match (key.into_string(), value.into_string()) {
                (Ok(key), Ok(value)) => self.grants.set_env(key, value),
                (key, _) => {
                    let key = key.unwrap_or_else(|key| key.to_string_lossy().into_owned());
                    tracing::warn!(
                        "the environment variable {} is left out: it is not UTF-8",
                        text::line(&key)
                    );
                }
            }
        }
        self
    }

    /// Grants a directory, which the guest sees as `guest`. That it exists is checked by
    /// [`start`](Self::start).
    pub fn dir(
        mut self,
        host: impl Into<PathBuf>,
        guest: impl Into<String>,
        access: DirAccess,
    ) -> Self {
        self.grants.dirs.push((host.into(), guest.into(), access));
        self
    }

    /// The root's standard input. Default: empty. Tasks that guests spawn have an empty one.
    pub fn stdin(mut self, stdin: Stdio) -> Self {
        self.grants.stdin = stdin;
        self
    }

    /// Standard output of all tasks, but for [`child_stdout`](Self::child_stdout). Default: dropped.
    pub fn stdout(mut self, stdout: Stdio) -> Self {
        self.grants.stdout = stdout;
        self
    }

    /// Standard error of all tasks, but for [`child_stderr`](Self::child_stderr). Default: dropped.
    pub fn stderr(mut self, stderr: Stdio) -> Self {
        self.grants.stderr = stderr;
        self
    }

    /// Standard output of the tasks that guests spawn, apart from the root's. Default: the root's.
    pub fn child_stdout(mut self, stdout: Stdio) -> Self {
        self.grants.child_stdout = Some(stdout);
        self
    }

    /// Standard error of the tasks that guests spawn, apart from the root's. Default: the root's.
    pub fn child_stderr(mut self, stderr: Stdio) -> Self {
        self.grants.child_stderr = Some(stderr);
        self
    }

    /// Hands on what a task writes in whole lines, so that lines of two tasks never mix, whatever these write at once. What
    /// a task has not ended is a line when the task ends, and one longer than 64 KiB is cut. Default: no, what is written at
    /// once stays in one piece.
    pub fn whole_lines(mut self, whole: bool) -> Self {
        self.grants.whole_lines = whole;
        self
    }

    /// Grants TCP, UDP and name look-ups, to and from everywhere.
    pub fn allow_network(mut self, allow: bool) -> Self {
        self.grants.network = allow;
        self
    }

    /// Lets guests send HTTP requests to this host, by `wasi:http`. May be called again for others. Default: none, whatever
    /// [`allow_network`](Self::allow_network) says, which is about sockets.
    pub fn allow_http(mut self, host: AllowedHost) -> Self {
        self.grants.http.push(host);
        self
    }

    /// Sets a value that guests read by `wasi:config`. The last value of a key wins. Default: none; tasks that are denied the
    /// environment see none.
    pub fn config_value(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.grants.config.push((key.into(), value.into()));
        self
    }

    /// Lets guests use `wasi:keyvalue`: a store in memory, with the empty identifier, which all tasks of the run share and
    /// which goes with the run. In a service each request has one of its own, whatever instance answers it. Default: no.
    ///
    /// What is stored counts as [memory](Limits::memory) of the run, 256 bytes more for each key. A guest is told as an error
    /// of `other` when there is no room for it. A store has 65,536 keys at most, a key 4,096 bytes, and one call names 1,000
    /// keys. Tasks that are denied the file system cannot open it, and those that are denied to write there change nothing.
    pub fn allow_keyvalue(mut self, allow: bool) -> Self {
        self.grants.has_keyvalue = allow;
        self
    }

    /// Puts a value into the store that [`allow_keyvalue`](Self::allow_keyvalue) grants, before the run begins. The last
    /// value of a key wins.
    pub fn keyvalue_data(mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.grants.keyvalue.push((key.into(), value.into()));
        self
    }

    /// Grants a capability of the embedder's own, which the host [has](crate::HostBuilder::capability): see
    /// [`Capability`]. The last value of a type wins.
    pub fn grant<C: Capability>(mut self, capability: C) -> Self {
        let grant: Arc<dyn Grant> = Arc::new(Erased(capability));
        self.capabilities.retain(|other| other.key() != grant.key());
        self.capabilities.push(grant);
        self
    }

    /// What the run may use. What is not set here is as in the host's own limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Its share of the machine compared with other runs'. Default 100.
    pub fn weight(mut self, weight: u32) -> Self {
        self.share.weight = weight;
        self
    }

    /// Its slice: how long one of its tasks may run while others wait. A shorter one buys earlier turns
    /// for the same share of the machine, so that interactive work is served first and nobody starves.
    /// Default: the host's slice, where it preempts by epochs; at least 100 us. Where it preempts by fuel,
    /// a slice of fuel is what a task may use, and this orders the turns.
    pub fn slice(mut self, slice: Duration) -> Self {
        self.share.slice = slice;
        self
    }

    /// The tenant whose share and limits it takes part in.
    pub fn tenant(mut self, tenant: &Tenant) -> Self {
        self.tenant = Some(tenant.clone());
        self
    }

    /// Where the component exports `wasi:cli/run` of WASI 0.2 and of 0.3 (see
    /// [`Component::commands`](crate::Component::commands)), a [command](crate::Host::command) runs that of 0.3.
    /// Default: that of 0.2, which is the test harness where a program of WASI 0.3 is tested.
    pub fn prefer_wasi03(mut self, prefer: bool) -> Self {
        self.prefer_wasi03 = prefer;
        self
    }

    /// Whether the run, and what it spawns, may wait for slots in the pool. Where it may not, it is refused if there is
    /// none for it now, with [`LimitKind::InnerInstances`](crate::LimitKind::InnerInstances).
    ///
    /// Default: yes; but no where [`start`](Self::start) is called in a guest's host call or in the body of
    /// [`Host::drive`](crate::Host::drive), on the thread that polls the guest. The guest keeps its slot while it waits
    /// for the run, so runs inside runs could wait for each other for ever. Say no where the same is done on another
    /// thread (a task of tokio's that the host call awaits), and yes where the guest does not wait for the run.
    ///
    /// ```
    /// use hart_host::{Cache, Host, LimitKind, RunError};
    ///
    /// let host = Host::builder().instances(1).cache(Cache::Off).build()?;
    /// let spinner = host.load(br#"
    ///     (component
    ///         (core module $m (func (export "f") (loop $again (br $again))))
    ///         (core instance $i (instantiate $m))
    ///         (func (export "spin") (canon lift (core func $i "f"))))
    /// "#)?;
    /// let first = host.invoke(&spinner, "spin()")?.start()?;
    /// while host.pool().in_use == 0 {
    ///     std::thread::yield_now();
    /// }
    /// let refused = host.invoke(&spinner, "spin()")?.waits(false).start();
    /// let limit = refused.unwrap_err().limit().map(|reached| reached.limit);
    /// assert_eq!(limit, Some(LimitKind::InnerInstances));
    /// first.cancel();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn waits(mut self, waits: bool) -> Self {
        self.waits = Some(waits);
        self
    }

    /// A hook for what has no method here, called for the context of every task of the run. Rights
    /// that a task was denied are taken away again afterwards; arguments, environment and standard
    /// streams that the hook sets are the root's only. Directories are opened once, by the call for the
    /// run itself; a task that may not write has only those of [`dir`](Self::dir).
    pub fn wasi<F>(mut self, hook: F) -> Self
    where
        F: Fn(&mut WasiCtxBuilder) + Send + Sync + 'static,
    {
        self.grants.hook = Some(Arc::new(hook));
        self
    }

    /// Starts the run.
    ///
    /// # Errors
    ///
    /// [`RunError::Setup`] if it cannot start as set up (a directory is not there, the component does
    /// not export what is to be called, it belongs to another host), [`RunError::Closed`] if the host
    /// is closed, [`RunError::Limit`] if the tenant may have no more tasks, if a task's input is larger than
    /// [`Limits::input_bytes`] or than there is memory for, or if the run does not [wait](Self::waits) and there is no slot
    /// for it.
    pub fn start(mut self) -> Result<Run, RunError> {
        let target = std::mem::replace(&mut self.target, Target::Command);
        let work = work_of(self.component.interface(), target, self.prefer_wasi03)?;
        let data = self.data.take();
        let name = self.name.take();
        let name = name.unwrap_or_else(|| default_name(&self.grants.args));
        let prepared = self.prepare(Reused::ByTasks)?;
        let data = prepared.data(data)?;
        Ok(Run::new(prepared.launch(name, work, data, None, None)?))
    }

    /// Says where its tasks go that may run anywhere.
    #[cfg(feature = "nats")]
    pub(crate) fn reach(&mut self, reach: Reach) {
        self.reach = reach;
    }

    /// Its instances have these numbers.
    pub(crate) fn numbered(mut self, numbering: Numbering) -> Self {
        self.grants.numbering = Some(numbering);
        self
    }

    /// Checks everything but what is to be done, and opens what was granted.
    pub(crate) fn prepare(self, reused: Reused) -> Result<Prepared<T>, RunError> {
        self.prepare_as(reused, false)
    }

    /// The same, where what is done has budgets of CPU time of its own.
    pub(crate) fn prepare_with_budgets(self, reused: Reused) -> Result<Prepared<T>, RunError> {
        self.prepare_as(reused, true)
    }

    fn prepare_as(self, reused: Reused, has_budgets: bool) -> Result<Prepared<T>, RunError> {
        Prepared::new(
            self.host,
            self.component,
            self.grants,
            Terms {
                capabilities: self.capabilities,
                limits: self.limits,
                share: self.share,
                tenant: self.tenant,
                waits: self.waits,
                reach: self.reach,
                has_budgets,
            },
            reused,
        )
    }
}

impl<T> fmt::Debug for RunBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunBuilder")
            .field("component", &self.component)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

fn default_name(args: &[String]) -> String {
    let program = args
        .first()
        .map(|program| program.rsplit(['/', '\\']).next().unwrap_or(program));
    text::name(
        program
            .filter(|program| !program.is_empty())
            .unwrap_or("run"),
    )
}

/// What is said of a component that has no tasks.
pub(crate) const NO_ENTRY: &str = "the component exports no hart:exec/entry, so it has no task that could be called: build it as a guest with tasks, as `hart new` shows";

/// What the root is to do, or why it cannot.
fn work_of<T>(
    interface: &Interface,
    target: Target<T>,
    prefer_wasi03: bool,
) -> Result<Work<T>, RunError> {
    match target {
        Target::Drive(body) => Ok(Work::Drive(body)),
        Target::Task { entry, input } => match interface.has_entry() {
            true => Ok(Work::Entry { entry, input }),
            false => Err(RunError::Setup(NO_ENTRY.into())),
        },
        Target::Command => {
            if let Some(function) = interface.command(prefer_wasi03) {
                return Ok(Work::Command(function));
            }
            let others = interface.invocable();
            Err(RunError::Setup(match others.is_empty() {
                true => "the component exports no wasi:cli/run, so it is no command, nor anything else: build it as a program".into(),
                false => text::line(&format!(
                    "the component exports no wasi:cli/run, so it is no command: build it as a program, or invoke one of its functions: {}",
                    others.join(", ")
                )),
            }))
        }
        Target::Call { export, args } => {
            let function = wave::find(interface.functions(), &export)
                .map_err(|error| RunError::Setup(text::line(&error.to_string())))?;
            let takes = function.ty.params().len();
            if takes != args.len() {
                return Err(RunError::Setup(text::line(&format!(
                    "`{export}` takes {takes} arguments and was given {}",
                    args.len()
                ))));
            }
            Ok(Work::Call {
                function: function.at,
                args,
            })
        }
    }
}
