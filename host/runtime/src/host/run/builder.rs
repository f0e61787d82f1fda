//! Setting up a run.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use wasmtime::component::Val;
use wasmtime_wasi::WasiCtxBuilder;

use super::Run;
use crate::account::{Account, Share};
use crate::host::admission::depth_for;
use crate::host::bindings::Rights;
use crate::host::component::Component;
use crate::host::guest::{Guest, Traits};
use crate::host::outcome::Ended;
use crate::host::shared::RunShared;
use crate::host::start::{Body, Start};
use crate::host::stdio::Stdio;
use crate::host::wasi::{DirAccess, Grants, Recipe};
use crate::host::{Host, HostInner};
use crate::sync::lock;
use crate::task::{Control, Kill, TaskLimits};
use crate::{LimitKind, LimitReached, Limits, Preemption, RunError, Tenant, text};

/// What a run is to do, what it is granted and what it may use. From
/// [`Host::command`](crate::Host::command), [`Host::invoke`](crate::Host::invoke) or
/// [`Host::call`](crate::Host::call). Nothing is granted unless it is said here.
#[must_use = "a run begins with `start`"]
pub struct RunBuilder {
    host: Arc<HostInner>,
    component: Component,
    target: Target,
    name: Option<String>,
    grants: Grants,
    limits: Limits,
    share: Share,
    tenant: Option<Tenant>,
}

pub(in crate::host) enum Target {
    Command,
    Call { export: String, args: Vec<Val> },
    Drive(Body),
}

impl RunBuilder {
    pub(in crate::host) fn new(host: &Host, component: &Component, target: Target) -> Self {
        Self {
            host: host.inner().clone(),
            component: component.clone(),
            target,
            name: None,
            grants: Grants::default(),
            limits: Limits::new(),
            share: match host.preemption() {
                Preemption::Epoch { slice } => Share::of_slice(slice),
                Preemption::Fuel { .. } | Preemption::None => Share::default(),
            },
            tenant: None,
        }
    }

    /// A name for traces and statistics; at most 64 bytes of it are kept. Default: the first
    /// argument, or `run`.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = Some(text::name(name.as_ref()));
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

    /// Adds an environment variable.
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.grants.env.push((key.into(), value.into()));
        self
    }

    /// Adds all of this process's environment variables that are text.
    pub fn inherit_env(mut self) -> Self {
        let own = std::env::vars_os();
        self.grants.env.extend(
            own.filter_map(|(key, value)| {
                Some((key.into_string().ok()?, value.into_string().ok()?))
            }),
        );
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

    /// Standard output of all tasks. Default: dropped.
    pub fn stdout(mut self, stdout: Stdio) -> Self {
        self.grants.stdout = stdout;
        self
    }

    /// Standard error of all tasks. Default: dropped.
    pub fn stderr(mut self, stderr: Stdio) -> Self {
        self.grants.stderr = stderr;
        self
    }

    /// Grants TCP, UDP and name look-ups, to and from everywhere.
    pub fn allow_network(mut self, allow: bool) -> Self {
        self.grants.network = allow;
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
    /// is closed, [`RunError::Limit`] if the tenant may have no more tasks.
    pub fn start(self) -> Result<Run, RunError> {
        let host = self.host;
        if host.is_closed() || host.is_draining() {
            return Err(RunError::Closed);
        }
        let Some(site) = host.site_of(&self.component).cloned() else {
            return Err(RunError::Setup(
                "the component was loaded by another host: load it with this one".into(),
            ));
        };
        if self
            .tenant
            .as_ref()
            .is_some_and(|tenant| !Arc::ptr_eq(&tenant.runtime, &host.runtime))
        {
            return Err(RunError::Setup(
                "the tenant was made by another host: make it with this one".into(),
            ));
        }
        let start = start_of(&self.component, self.target)?;
        let limits = self.limits.or(&host.limits);
        let places = site.admission.places();
        let slots = self.component.slots();
        let Some(depth) = depth_for(
            places,
            slots,
            self.component.has_entry(),
            limits.depth_or_default(),
        ) else {
            return Err(RunError::Setup(format!(
                "one instance of the component takes {slots} places of the pool, which has {places}: raise `HostBuilder::instances` to {slots} or more"
            )));
        };
        let name = self.name.unwrap_or_else(|| default_name(&self.grants.args));
        let recipe = Recipe::new(self.grants, host.runtime.machine.is_some())?;
        let tenant = self.tenant.map(|tenant| tenant.account);
        let account = Account::open(&host.runtime, name.clone(), self.share, limits, tenant)
            .map_err(|error| RunError::Setup(error.to_string()))?;
        account.task_starts().map_err(RunError::Limit)?;

        let id = host.runtime.next_id();
        let own = TaskLimits {
            table_elements: Some(site.bounds.table),
            ..TaskLimits::of(&limits)
        };
        let control = Control::new(host.runtime.clone(), account.clone(), own);
        let shared = Arc::new(RunShared::new(
            host.clone(),
            site.clone(),
            id,
            account,
            self.component,
            recipe,
            depth,
        ));
        let traits = Traits {
            name,
            depth: 0,
            denied: Rights::empty(),
            reuse: false,
            timeout: limits
                .timeout
                .map(|timeout| LimitReached::time(LimitKind::Timeout, timeout)),
            deadline: limits
                .timeout
                .and_then(|timeout| host.runtime.clock.now().checked_add(timeout)),
            parent: Weak::new(),
            caps: None,
            child_caps: None,
        };
        let root = Guest::new(shared.clone(), control, traits);
        shared.set_root(root.clone());
        host.runs_started.fetch_add(1, Ordering::Relaxed);
        lock(&host.runs).insert(id, Arc::downgrade(&shared));
        root.set_timer();
        // A host that is closed meanwhile: the run's outcome says so.
        if !site.admission.submit(root.clone(), start) {
            root.finish(Ended::Killed(Kill::Closed));
        }
        Ok(Run::new(shared))
    }
}

impl fmt::Debug for RunBuilder {
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

/// What the root is to do, or why it cannot.
fn start_of(component: &Component, target: Target) -> Result<Start, RunError> {
    match target {
        Target::Drive(body) => Ok(Start::Drive(body)),
        Target::Command if component.is_command() => Ok(Start::Command),
        Target::Command => {
            let others = component.exports();
            Err(RunError::Setup(match others.is_empty() {
                true => "the component exports no wasi:cli/run, so it is no command, nor anything else: build it as a program".into(),
                false => text::line(&format!(
                    "the component exports no wasi:cli/run, so it is no command: build it as a program, or invoke one of its functions: {}",
                    others.join(", ")
                )),
            }))
        }
        Target::Call { export, args } => {
            let Some(function) = component.function(&export) else {
                return Err(RunError::Setup(text::line(&format!(
                    "the component exports no function `{export}`"
                ))));
            };
            let takes = function.ty.params().len();
            if takes != args.len() {
                return Err(RunError::Setup(text::line(&format!(
                    "`{export}` takes {takes} arguments and was given {}",
                    args.len()
                ))));
            }
            Ok(Start::Call {
                function: function.at,
                args,
            })
        }
    }
}
