//! What all tasks of a run share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hart_executor::Group;

use crate::base::signal::Signal;
use crate::base::stats::RunStats;
use crate::base::sync::lock;
use crate::engine::component::Interface;
use crate::engine::slots::Kind;
use crate::instance::elsewhere::Reach;
use crate::instance::ended::{Ended, Outcome};
use crate::instance::error::RunError;
use crate::instance::events::{Event, Hooks};
use crate::instance::granted::RunGrants;
use crate::instance::info::RunInfo;
use crate::instance::keyvalue::store::KeyValue;
use crate::instance::registry::{LiveRun, Registry};
use crate::instance::run_slots::RunSlots;
use crate::metrics::figures::RunFigures;
use crate::quota::account::{Account, Need};
use crate::quota::kill::Kill;
use crate::quota::limits::{LimitKind, LimitReached};
use crate::sched::core::Core;
use crate::sched::io_threads::Io;
use crate::wasi::grants::Recipe;
use crate::wasi::rights::Rights;

/// One run: a root guest and everything it spawned. It knows neither the host nor what its stores hold.
pub(crate) struct RunRecord {
    pub(crate) id: u64,
    pub(crate) runtime: Arc<Core>,
    pub(crate) registry: Arc<Registry>,
    /// Threads that wait for the system.
    pub(crate) io: Arc<Io>,
    /// Which engine it is on.
    pub(crate) kind: Kind,
    pub(crate) account: Arc<Account>,
    /// What it runs.
    pub(crate) interface: Arc<Interface>,
    pub(crate) recipe: Arc<Recipe>,
    /// What its guests store.
    pub(crate) keyvalue: KeyValue,
    /// What it was granted of the embedder's capabilities.
    pub(crate) grants: RunGrants,
    /// Where its tasks go that may run anywhere.
    pub(crate) reach: Reach,
    /// What is told of what happens.
    pub(crate) hooks: Option<Arc<Hooks>>,
    /// Other runs write to the same standard streams.
    pub(crate) shares_streams: bool,
    pub(crate) slots: Arc<RunSlots>,
    /// Whether its tasks may wait for slots; see [`admission`](super::admission).
    pub(crate) waits: bool,
    pub(crate) warm: Arc<dyn Warm>,
    /// Where it is counted what it has used, if it is.
    pub(crate) figures: Option<Arc<RunFigures>>,
    pub(crate) state: State,
}

/// What becomes of a run.
#[derive(Default)]
pub(crate) struct State {
    /// There until the run is over; guests refer to their run.
    root: Mutex<Option<Arc<dyn Root>>>,
    root_outcome: Mutex<Option<Ended>>,
    result: Mutex<Option<Result<Outcome, RunError>>>,
    /// Set once everything is gone, after `result`.
    over: AtomicBool,
    finished: Signal,
}

/// The instances that wait to be used again.
pub(crate) trait Warm: Send + Sync {
    /// Drops those of a run that is over.
    fn forget(&self, run: u64);
}

/// The root of a run.
pub(crate) trait Root: Send + Sync {
    /// Ends it and everything below it.
    fn kill(self: Arc<Self>, kill: Kill);
}

/// What the embedder's code is told of a run.
pub(crate) fn info(account: &Account, id: u64) -> RunInfo<'_> {
    let tenant = account.tenant.as_ref();
    RunInfo {
        id,
        name: account.group.name(),
        tenant: tenant.map(|tenant| tenant.tenant.name()),
        limits: account.limits,
    }
}

impl RunRecord {
    /// Counts `bytes` as held, or names the limit that forbids it. Not under a lock: it may drop stores.
    pub(crate) fn hold(&self, bytes: u64) -> Result<(), LimitReached> {
        let need = Need {
            bytes,
            ..Need::default()
        };
        self.reserve(need, |need| self.account.reserve(need))
    }

    /// Counts `need` by `reserve`, or nothing of it and names the limit that forbids it. Not under a lock: it may drop
    /// stores, to make room.
    pub(crate) fn reserve(
        &self,
        need: Need,
        reserve: impl Fn(Need) -> Result<(), LimitReached>,
    ) -> Result<(), LimitReached> {
        reserve(need).or_else(|reached| {
            let of_memory = matches!(reached.limit, LimitKind::Memory | LimitKind::TenantMemory);
            if !of_memory || !self.runtime.relieve(&self.account) {
                return Err(reached);
            }
            reserve(need)
        })?;
        self.account.holds_for_good(need.bytes);
        Ok(())
    }

    /// Whether its stores have event loops, on which several calls go on at once.
    pub(crate) fn has_events(&self) -> bool {
        self.kind == Kind::Concurrent
    }

    /// Tells the embedder's hooks what happens to the run.
    pub(crate) fn tell<'a>(&'a self, event: impl FnOnce(RunInfo<'a>) -> Event<'a>) {
        if let Some(hooks) = &self.hooks {
            hooks.tell(&event(info(&self.account, self.id)));
        }
    }

    /// Something that a task of it has of this machine, if it was denied this, and the rights of which one has to be denied
    /// for it not to.
    pub(crate) fn tie(&self, denied: Rights) -> Option<(&'static str, Rights)> {
        let of_wasi = self.recipe.tie(denied);
        let is_closed = denied.contains(Rights::NETWORK) || denied.contains(Rights::FILESYSTEM);
        let has_capabilities = !is_closed && !self.grants.is_empty();
        of_wasi.or(has_capabilities.then_some((
            "a capability of the embedder's",
            Rights::NETWORK | Rights::FILESYSTEM,
        )))
    }

    /// A limit ended a task of it, or refused something to it.
    pub(crate) fn reached(&self, limit: LimitReached) {
        if let Some(figures) = &self.figures {
            figures.reached(limit.limit);
        }
    }

    // === impl RunRecord: the end ===

    pub(crate) fn set_root(&self, root: Arc<dyn Root>) {
        *lock(&self.state.root) = Some(root);
    }

    /// The root has ended; others may still be going.
    pub(crate) fn root_ended(&self, ended: Ended) {
        *lock(&self.state.root_outcome) = Some(ended);
    }

    /// A task of the run is gone; the last one completes it.
    pub(crate) fn task_gone(&self) {
        if self.account.task_ends() == 0 {
            self.complete();
        }
    }

    /// Nothing of the run is left. The root counts as a task until its outcome is there.
    pub(crate) fn complete(&self) {
        let Some(ended) = lock(&self.state.root_outcome).take() else {
            tracing::error!("a run ended before its root");
            return;
        };
        self.warm.forget(self.id);
        self.keyvalue.clear();
        self.grants.clear();
        if !self.shares_streams {
            self.recipe.leave_streams();
        }
        let captured = self.recipe.captured();
        let stats = self.account.stats(self.id);
        if let Some(figures) = &self.figures {
            figures.ended(&stats);
        }
        self.tell(|run| Event::RunEnded { run, stats: &stats });
        let result = ended.for_owner(stats).map(|outcome| Outcome {
            stdout: captured.stdout,
            stderr: captured.stderr,
            child_stdout: captured.child_stdout,
            child_stderr: captured.child_stderr,
            ..outcome
        });
        *lock(&self.state.result) = Some(result);
        let _root = lock(&self.state.root).take();
        self.registry.run_is_over(self.id);
        // Release: pairs with the Acquire in `is_over`.
        self.state.over.store(true, Ordering::Release);
        self.state.finished.notify();
        self.registry.idle.notify();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.over.load(Ordering::Acquire)
    }

    /// Notified when the run is over.
    pub(crate) fn finished(&self) -> &Signal {
        &self.state.finished
    }

    /// Takes the result; there is one handle of a run, and it takes it once.
    pub(crate) fn take_result(&self) -> Option<Result<Outcome, RunError>> {
        lock(&self.state.result).take()
    }
}

impl LiveRun for RunRecord {
    fn kill(&self, kill: Kill) {
        let root = lock(&self.state.root).clone();
        if let Some(root) = root {
            root.kill(kill);
        }
    }

    fn group(&self) -> &Group {
        &self.account.group
    }

    fn stats(&self) -> RunStats {
        self.account.stats(self.id)
    }
}
