//! Groups of the embedder's own tasks, and what such a task is given.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use hart_executor::JoinHandle;
use wasmtime::{ResourceLimiter, Store};

use crate::base::error::BuildError;
use crate::base::stats::RunStats;
use crate::base::text;
use crate::quota::account::Account;
use crate::quota::kill::Kill;
use crate::quota::limits::{LimitReached, Limits};
use crate::quota::share::Share;
use crate::runtime::handle::Runtime;
use crate::runtime::task::{State, Task, TaskError};
use crate::runtime::tenant::Tenant;
use crate::sched::clock::timers::Expire;
use crate::sched::core::Core;
use crate::sched::task::arm::{arm, arm_with};
use crate::sched::task::control::{Control, TaskLimits};
use crate::sched::task::driven::{Driven, Stop, yield_once};
use crate::sched::task::limiter::Limited;
use crate::sched::task::reached::limit_of;
use crate::sched::trace::task::Traced;

/// Makes a [`Group`]. From [`Runtime::group`](crate::Runtime::group).
#[must_use = "a builder does nothing until `build`"]
pub struct GroupBuilder {
    runtime: Arc<Core>,
    name: String,
    share: Share,
    limits: Limits,
    tenant: Option<Tenant>,
}

/// Tasks of one tenant or one job: the unit of fair share, limits and accounting. A handle; tasks go
/// on when it is dropped.
#[derive(Clone)]
pub struct Group {
    runtime: Arc<Core>,
    account: Arc<Account>,
    id: u64,
}

/// What a task that [`Group::spawn`] started is given.
pub struct Cx {
    control: Arc<Control>,
}

impl Runtime {
    /// A new group of tasks: the unit of fair share, limits and accounting.
    pub fn group(&self) -> GroupBuilder {
        GroupBuilder::new(self.owner.inner.clone())
    }
}

// === impl GroupBuilder ===

impl GroupBuilder {
    pub(crate) fn new(runtime: Arc<Core>) -> Self {
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
        let account = Account::open(
            &self.runtime.executor,
            self.name,
            self.share,
            self.limits,
            tenant,
            &self.runtime.files,
        )?;
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
    /// Before anything is instantiated in it; both budgets of a new store are "trap at once". The store's handles and
    /// what one host call may copy are limited, too, as [`Limits::handles`] and [`Limits::hostcall_fuel`] say: of each
    /// store by itself.
    ///
    /// The store may then be used by this task only, with the `_async` functions of wasmtime: a guest can be preempted
    /// wherever it comes back from the host, and epochs are incremented while tasks are polled. Anywhere else nothing
    /// preempts, limits or ends its guest. Where that can be seen, it is refused: a guest that comes to a preemption
    /// point, or grows a memory or a table, outside of its task ends with an error. A store that goes to another task is
    /// to be armed again there. The store's call hook is taken.
    ///
    /// # Errors
    ///
    /// If the store's engine was not [attached](crate::Runtime::attach) to the runtime, if it is called from another
    /// task, or after its task has ended.
    pub fn arm<T: 'static>(&self, store: &mut Store<T>) -> wasmtime::Result<()> {
        self.control.surround();
        arm(&self.control, store)
    }

    /// Like [`arm`](Self::arm), with a limiter of the embedder's own that is asked as well.
    ///
    /// # Errors
    ///
    /// As [`arm`](Self::arm).
    pub fn arm_with<T, L, F>(&self, store: &mut Store<T>, limiter: F) -> wasmtime::Result<()>
    where
        T: 'static,
        L: ResourceLimiter + 'static,
        F: FnMut(&mut T) -> &mut Limited<L> + Send + Sync + 'static,
    {
        self.control.surround();
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

    /// The limit that ended a call of the task's guest, of which `error` tells; `None` if it was something else.
    ///
    /// Limits of memory and of time end the task itself, which says so when it is joined
    /// ([`TaskError::Limit`]). Others are the embedder's to see, in the error of its call: those of fuel, of
    /// handles and of what one host call may copy.
    ///
    /// ```
    /// # use hart_host::{LimitKind, LimitReached, Limits, Preemption, Runtime, configure};
    /// # use wasmtime::{Config, Engine, Store, component::{Component, Linker}};
    /// # let runtime = Runtime::builder().workers(1).build()?;
    /// # let mut config = Config::new();
    /// # let fuel = Preemption::Fuel { slice: 1000 };
    /// # configure(&mut config, fuel);
    /// # let engine = Engine::new(&config)?;
    /// # runtime.attach(&engine, fuel)?;
    /// # let component = Component::new(&engine, r#"
    /// #     (component
    /// #         (core module $m (func (export "f") (loop $ever (br $ever))))
    /// #         (core instance $i (instantiate $m))
    /// #         (func (export "spin") (canon lift (core func $i "f"))))
    /// # "#)?;
    /// # let linker = Linker::<()>::new(&engine);
    /// let group = runtime.group().limits(Limits::new().task_fuel(50_000)).build()?;
    /// let task = group.spawn(async move |cx| {
    ///     let mut store = Store::new(&engine, ());
    ///     cx.arm(&mut store)?;
    ///     let instance = linker.instantiate_async(&mut store, &component).await?;
    ///     let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
    ///     let error = spin.call_async(&mut store, ()).await.unwrap_err();
    ///     Ok::<_, wasmtime::Error>(cx.limit_reached(&error))
    /// });
    /// let limit = task.wait()??.expect("it has used all its fuel");
    /// assert_eq!(limit.limit, LimitKind::TaskFuel);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn limit_reached(&self, error: &wasmtime::Error) -> Option<LimitReached> {
        limit_of(error, &self.control)
    }

    /// Why the task is being ended, if it is.
    pub fn killed(&self) -> Option<Kill> {
        self.control.killed()
    }

    /// Lets others run: the task goes to the back of its group's queue.
    pub async fn yield_now(&self) {
        self.control.yields();
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
