//! What all tasks of a run share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::HostInner;
use super::admission::{COUNT, Sharer};
use super::component::Component;
use super::guest::Guest;
use super::outcome::{self, Ended};
use super::run::Outcome;
use super::site::Site;
use super::wasi::Recipe;
use crate::account::Account;
use crate::signal::Signal;
use crate::sync::lock;
use crate::task::Kill;
use crate::{LimitReached, RunError, RunStats};

/// One run: a root guest and everything it spawned.
pub(super) struct RunShared {
    pub(super) id: u64,
    pub(super) host: Arc<HostInner>,
    /// Where its tasks run.
    pub(super) site: Arc<Site>,
    pub(super) account: Arc<Account>,
    pub(super) component: Component,
    pub(super) recipe: Recipe,
    /// The depth that spawns may have, cut to what the pool allows.
    pub(super) depth: u32,
    /// Tasks that hold a place.
    pub(super) admitted: AtomicU64,
    /// Of these, those that wait for another task.
    blocked: AtomicU64,
    /// There until the run is over; guests refer to their run.
    root: Mutex<Option<Arc<Guest>>>,
    root_outcome: Mutex<Option<Ended>>,
    result: Mutex<Option<Result<Outcome, RunError>>>,
    /// Set once everything is gone, after `result`.
    over: AtomicBool,
    pub(super) finished: Signal,
}

impl RunShared {
    pub(super) fn new(
        host: Arc<HostInner>,
        site: Arc<Site>,
        id: u64,
        account: Arc<Account>,
        component: Component,
        recipe: Recipe,
        depth: u32,
    ) -> Self {
        Self {
            id,
            host,
            site,
            account,
            component,
            recipe,
            depth,
            admitted: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            root: Mutex::new(None),
            root_outcome: Mutex::new(None),
            result: Mutex::new(None),
            over: AtomicBool::new(false),
            finished: Signal::default(),
        }
    }

    // === impl RunShared: admission ===

    /// Whom its places count for.
    pub(super) fn sharer(&self) -> Sharer {
        match &self.account.tenant {
            Some(tenant) => Sharer::Tenant(tenant.tenant.id().as_u64()),
            None => Sharer::Run(self.id),
        }
    }

    /// How many places must be free for a task of this depth: `(D - d + 1) * w`.
    pub(super) fn demand(&self, depth: u32) -> u64 {
        #[cfg(feature = "planted-faults")]
        if crate::simulate::planted::is_planted() {
            return self.component.slots();
        }
        (u64::from(self.depth.saturating_sub(depth)) + 1) * self.component.slots()
    }

    /// Whether a task of this depth may have its memory; see [`admission`](super::admission).
    pub(super) fn has_memory_for(&self, depth: u32) -> bool {
        let limit = self.account.limits.memory_or_default();
        let initial = self.component.initial_memory();
        let below = u64::from(self.depth.saturating_sub(depth));
        let reserve = initial.saturating_mul(below).min(limit / 4);
        let held = self.account.memory().saturating_sub(self.account.spare());
        held.saturating_add(initial).saturating_add(reserve) <= limit
    }

    /// How many of a pool's places the run may hold: seven eighths, or what its root needs.
    pub(super) fn part(&self, places: u64) -> u64 {
        (places - places / 8).max(self.demand(0))
    }

    /// How many places it holds.
    pub(super) fn held(&self) -> u64 {
        self.admitted.load(COUNT) * self.component.slots()
    }

    /// Whether every task that holds a place waits for another one.
    pub(super) fn all_are_blocked(&self) -> bool {
        self.blocked.load(COUNT) >= self.admitted.load(COUNT)
    }

    /// Whether all its tasks that hold a place, and there are some, wait for another one.
    pub(super) fn stands_still(&self) -> bool {
        self.admitted.load(COUNT) > 0 && self.all_are_blocked()
    }

    /// One more task waits for another; says whether all do.
    pub(super) fn blocked(&self) -> bool {
        self.blocked.fetch_add(1, COUNT);
        self.all_are_blocked()
    }

    pub(super) fn unblocked(&self) {
        self.blocked.fetch_sub(1, COUNT);
    }

    /// Counts `bytes` as held, or names the limit that forbids it. Not under a lock: it may drop stores.
    pub(super) fn hold(&self, bytes: u64) -> Result<(), LimitReached> {
        let account = &self.account;
        account.hold(bytes).or_else(|reached| {
            if !self.host.runtime.relieve(account) {
                return Err(reached);
            }
            account.hold(bytes)
        })
    }

    // === impl RunShared: the end ===

    pub(super) fn set_root(&self, root: Arc<Guest>) {
        *lock(&self.root) = Some(root);
    }

    /// The root has ended; others may still be going.
    pub(super) fn root_ended(&self, ended: Ended) {
        *lock(&self.root_outcome) = Some(ended);
    }

    /// A task of the run is gone; the last one completes it.
    pub(super) fn task_gone(&self) {
        if self.account.task_ends() == 0 {
            self.complete();
        }
    }

    /// Nothing of the run is left. The root counts as a task until its outcome is there.
    pub(super) fn complete(&self) {
        let Some(ended) = lock(&self.root_outcome).take() else {
            tracing::error!("a run ended before its root");
            return;
        };
        self.host.kept.forget(self);
        let (stdout, stderr) = self.recipe.captured();
        let stats = self.stats();
        let result = outcome::for_owner(ended).map(|(exit_code, results)| Outcome {
            exit_code,
            results,
            stdout,
            stderr,
            stats,
        });
        *lock(&self.result) = Some(result);
        let _root = lock(&self.root).take();
        self.host.run_gone(self.id);
        // Release: pairs with the Acquire in `is_over`.
        self.over.store(true, Ordering::Release);
        self.finished.notify();
        self.host.idle.notify();
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Takes the result; there is one handle of a run, and it takes it once.
    pub(super) fn take_result(&self) -> Option<Result<Outcome, RunError>> {
        lock(&self.result).take()
    }

    /// Ends the run.
    pub(super) fn kill(&self, kill: Kill) {
        let root = lock(&self.root).clone();
        if let Some(root) = root {
            root.kill(kill);
        }
    }

    pub(super) fn stats(&self) -> RunStats {
        self.account.stats(self.id)
    }
}
