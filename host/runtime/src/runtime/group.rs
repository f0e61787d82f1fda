//! Groups of the embedder's own tasks, and what such a task is given.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use hart_executor::JoinHandle;
use wasmtime::{ResourceLimiter, Store};

use super::Inner;
use crate::account::{Account, Share};
use crate::clock::Expire;
use crate::task::{Control, Driven, Kill, Limited, Stop, TaskLimits, arm, arm_with, yield_once};
use crate::trace::Traced;
use crate::{BuildError, LimitKind, LimitReached, Limits, RunStats, Tenant, text};

/// Makes a [`Group`]. From [`Runtime::group`](crate::Runtime::group).
#[must_use = "a builder does nothing until `build`"]
pub struct GroupBuilder {
    runtime: Arc<Inner>,
    name: String,
    share: Share,
    limits: Limits,
    tenant: Option<Tenant>,
}

/// Tasks of one tenant or one job: the unit of fair share, limits and accounting. A handle; tasks go
/// on when it is dropped.
#[derive(Clone)]
pub struct Group {
    runtime: Arc<Inner>,
    account: Arc<Account>,
    id: u64,
}

/// What a task that [`Group::spawn`] started is given.
pub struct Cx {
    control: Arc<Control>,
}

/// A task of a group: a future of its output. Dropping it detaches.
#[must_use = "dropping it detaches the task and loses its output"]
pub struct Task<T> {
    state: State<T>,
}

enum State<T> {
    Spawned {
        control: Arc<Control>,
        handle: JoinHandle<Result<T, Stop>>,
    },
    Refused(TaskError),
}

/// Why a task has no output.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskError {
    /// It was cancelled.
    Cancelled,
    /// The runtime was closed.
    Closed,
    /// It reached a limit, or could not start because of one.
    Limit(LimitReached),
    /// It panicked; the text is the panic's message.
    Panicked(String),
}

// === impl GroupBuilder ===

impl GroupBuilder {
    pub(super) fn new(runtime: Arc<Inner>) -> Self {
        Self {
            runtime,
            name: String::new(),
            share: Share::default(),
            limits: Limits::new(),
            tenant: None,
        }
    }

    /// A name for traces and statistics; at most 64 bytes of it are kept.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = text::name(name.as_ref());
        self
    }

    /// Its share of the machine compared with other groups'. Default 100.
    pub fn weight(mut self, weight: u32) -> Self {
        self.share.weight = weight;
        self
    }

    /// Its slice: how long one of its tasks may run while others wait. A shorter one buys earlier turns
    /// for the same share: interactive work wants a short one. Default 1 ms, at least 100 us.
    pub fn slice(mut self, slice: Duration) -> Self {
        self.share.slice = slice;
        self
    }

    /// What its tasks may use: `memory`, `cpu_time`, `cpu_rate` and `tasks` together, `task_memory`,
    /// `task_cpu_time`, `fuel` and `timeout` (from its spawn) each. The other limits concern guests
    /// that spawn, which only [`Host`](crate::Host) knows.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The tenant whose share and limits it takes part in.
    pub fn tenant(mut self, tenant: &Tenant) -> Self {
        self.tenant = Some(tenant.clone());
        self
    }

    /// Makes the group.
    ///
    /// # Errors
    ///
    /// [`BuildError::Setting`] for a weight or a CPU rate of zero, and for a tenant of another runtime.
    pub fn build(self) -> Result<Group, BuildError> {
        if self
            .tenant
            .as_ref()
            .is_some_and(|tenant| !Arc::ptr_eq(&tenant.runtime, &self.runtime))
        {
            return Err(BuildError::Setting(
                "the tenant was made by another runtime: make it with this one".into(),
            ));
        }
        let tenant = self.tenant.map(|tenant| tenant.account);
        let account = Account::open(&self.runtime, self.name, self.share, self.limits, tenant)?;
        Ok(Group {
            id: self.runtime.next_id(),
            runtime: self.runtime,
            account,
        })
    }
}

impl fmt::Debug for GroupBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupBuilder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

// === impl Group ===

impl Group {
    /// Spawns what `task` makes: a future in which the embedder creates its store, arms it and calls
    /// into its guest. The store belongs to that future and is dropped with it.
    ///
    /// It never fails here: a task that cannot start (the runtime is closed, a limit is reached) says
    /// so when it is joined.
    pub fn spawn<F, Fut>(&self, task: F) -> Task<Fut::Output>
    where
        F: FnOnce(Cx) -> Fut,
        Fut: Future + Send + 'static,
        Fut::Output: Send + 'static,
    {
        match self.try_spawn(task) {
            Ok((control, handle)) => Task {
                state: State::Spawned { control, handle },
            },
            Err(error) => Task {
                state: State::Refused(error),
            },
        }
    }

    #[expect(clippy::type_complexity, reason = "taken apart by the only caller")]
    fn try_spawn<F, Fut>(
        &self,
        task: F,
    ) -> Result<(Arc<Control>, JoinHandle<Result<Fut::Output, Stop>>), TaskError>
    where
        F: FnOnce(Cx) -> Fut,
        Fut: Future + Send + 'static,
        Fut::Output: Send + 'static,
    {
        self.account.task_starts().map_err(TaskError::Limit)?;
        let limits = &self.account.limits;
        let own = TaskLimits::of(limits);
        let control = Control::new(self.runtime.clone(), self.account.clone(), own);
        // Before the caller's closure, which may panic: then this closes the books.
        let ended = Ended(control.clone());
        let future = task(Cx {
            control: control.clone(),
        });
        let armed = Armed {
            driven: Driven::new(control.clone(), future),
            ended,
        };
        if let Some(timeout) = limits.timeout
            && let Some(deadline) = self.runtime.clock.now().checked_add(timeout)
        {
            let target: Weak<dyn Expire> = Arc::downgrade(&(control.clone() as Arc<dyn Expire>));
            control.set_timer(deadline, target);
        }
        let builder = self
            .runtime
            .executor
            .build_task()
            .kind("guest")
            .group(&self.account.group);
        let spawned = match &self.runtime.recorder {
            None => builder.try_spawn(armed),
            Some(recorder) => {
                let id = self.runtime.next_id();
                builder.try_spawn(Traced::new(recorder, &control, id, "", armed))
            }
        };
        let handle = spawned.map_err(|_| TaskError::Closed)?;
        control.spawned(handle.task());
        Ok((control, handle))
    }

    /// The group's number, unlike that of any other group or run of the runtime.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What the group used so far.
    pub fn stats(&self) -> RunStats {
        self.account.stats(self.id)
    }

    /// What its tasks may use.
    pub fn limits(&self) -> Limits {
        self.account.limits
    }

    /// The executor's group: for futures of the first layer, which take part in this group's share.
    pub fn executor_group(&self) -> &hart_executor::Group {
        &self.account.group
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("id", &self.id)
            .field("name", &self.account.group.name())
            .finish()
    }
}

// === impl Cx ===

impl Cx {
    /// Arms `store` for this task: its guest is preempted, killed and limited as the group says.
    /// Before anything is instantiated in it; both budgets of a new store are "trap at once".
    ///
    /// The store may then be used by this task only.
    ///
    /// # Errors
    ///
    /// If the store's engine was not [attached](crate::Runtime::attach) to the runtime.
    pub fn arm<T: 'static>(&self, store: &mut Store<T>) -> wasmtime::Result<()> {
        arm(&self.control, store)
    }

    /// Like [`arm`](Self::arm), with a limiter of the embedder's own that is asked as well.
    ///
    /// # Errors
    ///
    /// If the store's engine was not [attached](crate::Runtime::attach) to the runtime.
    pub fn arm_with<T, L, F>(&self, store: &mut Store<T>, limiter: F) -> wasmtime::Result<()>
    where
        T: 'static,
        L: ResourceLimiter + 'static,
        F: FnMut(&mut T) -> &mut Limited<L> + Send + Sync + 'static,
    {
        arm_with(&self.control, store, limiter)
    }

    /// What the group's tasks may use.
    pub fn limits(&self) -> Limits {
        self.control.account.limits
    }

    /// The executor's group, for futures that the task spawns itself.
    pub fn executor_group(&self) -> &hart_executor::Group {
        &self.control.account.group
    }

    /// Why the task is being ended, if it is.
    pub fn killed(&self) -> Option<Kill> {
        self.control.killed()
    }

    /// Lets others run: the task goes to the back of its group's queue.
    pub async fn yield_now(&self) {
        self.control.yielded.store(true, Ordering::Relaxed);
        yield_once().await;
    }
}

impl fmt::Debug for Cx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx")
            .field("killed", &self.killed())
            .finish_non_exhaustive()
    }
}

// === impl Task ===

impl<T> Task<T> {
    /// Ends the task: at once if it does not run, at the guest's next preemption point if it does. A
    /// task that has ended keeps its output.
    pub fn cancel(&self) {
        if let State::Spawned { control, .. } = &self.state {
            control.kill(Kill::Cancelled);
            control.runtime.reap(control.clone());
        }
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        match &self.state {
            State::Spawned { handle, .. } => handle.is_complete(),
            State::Refused(_) => true,
        }
    }

    /// Blocks this thread until the task has ended.
    ///
    /// # Errors
    ///
    /// As the future.
    pub fn wait(self) -> Result<T, TaskError> {
        crate::block::on(self)
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().state {
            State::Refused(error) => Poll::Ready(Err(error.clone())),
            State::Spawned { control, handle } => {
                Pin::new(handle).poll(cx).map(|joined| match joined {
                    Ok(Ok(output)) => Ok(output),
                    Ok(Err(Stop::Killed(kill))) => Err(kill.into()),
                    Ok(Err(Stop::Panicked(text))) => Err(TaskError::Panicked(text)),
                    Ok(Err(Stop::Trapped)) => Err(TaskError::Panicked("a simulated trap".into())),
                    Err(error) if error.is_closed() => Err(TaskError::Closed),
                    Err(error) if error.is_panic() => {
                        Err(TaskError::Panicked("in a destructor".into()))
                    }
                    Err(_) => Err(control
                        .killed()
                        .map_or(TaskError::Cancelled, TaskError::from)),
                })
            }
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("finished", &self.is_finished())
            .finish()
    }
}

// === impl TaskError ===

impl From<Kill> for TaskError {
    fn from(kill: Kill) -> Self {
        match kill {
            Kill::Cancelled => Self::Cancelled,
            Kill::Closed => Self::Closed,
            Kill::Limit(limit) => Self::Limit(limit),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::Closed => f.write_str("the runtime was closed"),
            Self::Limit(limit) => limit.fmt(f),
            Self::Panicked(text) => write!(f, "the task panicked: {text}"),
        }
    }
}

impl std::error::Error for TaskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Limit(limit) => Some(limit),
            _ => None,
        }
    }
}

// === the task's future ===

/// The future that the executor polls. Fields drop in order: the store goes before the books close.
struct Armed<F> {
    driven: Driven<F>,
    ended: Ended,
}

struct Ended(Arc<Control>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end();
        self.0.account.task_ends();
    }
}

impl<F: Future> Future for Armed<F> {
    type Output = Result<F::Output, Stop>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.driven).poll(cx);
        let Poll::Ready(result) = polled else {
            return Poll::Pending;
        };
        let control = &this.ended.0;
        control.account.charge_poll();
        // What a killed task returns is mostly the error that its guest was stopped with.
        Poll::Ready(match control.killed() {
            Some(kill) if result.is_ok() => Err(Stop::Killed(kill)),
            _ => result,
        })
    }
}

impl Expire for Control {
    fn expire(self: Arc<Self>) {
        let timeout = self.account.limits.timeout.unwrap_or_default();
        self.kill(Kill::Limit(LimitReached::time(LimitKind::Timeout, timeout)));
        self.runtime.clone().reap(self);
    }
}
