//! Guest tasks: the tree of scopes, how one ends, and what its joiners learn.
//!
//! # Protocol
//!
//! 1. A guest is *live* from [`Guest::adopt`] to [`Guest::finish`]. In between it waits for a place
//!    ([`admission`](super::admission)), then it is a task of the executor, whose future owns the store.
//! 2. Its node in the tree of scopes stays until it has ended *and* has no children left: a child may
//!    outlive its parent, and still belongs to the scopes above. Parents own children; children only
//!    refer to their parents.
//! 3. Killing sets the reason first (the first one stays), then takes the guest out of the queue or
//!    has its task cancelled. Whoever disposes of the future, for whatever reason, runs `finish`: the
//!    future's own `Drop` sees to that.
//! 4. Closing a scope sets its `closed` flag under the scope's lock, and so does every spawn look at
//!    it: a child is either seen by the close or refused.
//! 5. `finish`, once: the store is gone; memory, the place in the pool and the live counts are given
//!    back; then the outcome becomes visible and joiners are woken. Whoever has joined can rely on
//!    nothing of the task being left.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::bindings::Rights;
use super::engine::Kind;
use super::outcome::Ended;
use super::shared::RunShared;
use crate::clock::Expire;
use crate::signal::Signal;
use crate::sync::lock;
use crate::task::{Control, Kill};
use crate::{LimitKind, LimitReached};

/// One guest task.
pub(super) struct Guest {
    pub(super) id: u64,
    pub(super) depth: u32,
    pub(super) name: String,
    pub(super) run: Arc<RunShared>,
    pub(super) control: Arc<Control>,
    /// What it may not do.
    pub(super) denied: Rights,
    /// It may have an instance that was used before; see [`kept`](super::kept).
    pub(super) reuse: bool,
    /// Its own timeout, if it was given one.
    pub(super) timeout: Option<LimitReached>,
    /// When that is over, or a timeout of a task above it.
    deadline: Option<Instant>,
    parent: Weak<Guest>,
    /// The caps it counts against: those of its parent.
    caps: Option<Arc<Cap>>,
    /// The caps its children count against: the same, below its own if it has one.
    child_caps: Option<Arc<Cap>>,
    scope: Mutex<Scope>,
    /// `finish` has begun.
    ending: AtomicBool,
    /// The outcome is visible.
    finished: AtomicBool,
    /// Places in the pool that it holds.
    pub(super) places: AtomicU64,
    outcome: Mutex<Option<Ended>>,
    ended: Signal,
    /// Nobody has a handle any more.
    detached: AtomicBool,
    /// Bytes that the account holds for the result.
    result_bytes: AtomicU64,
    /// Waits for other tasks that this guest is in.
    waits: AtomicU32,
    /// It counts as blocked (see [`admission`](super::admission)), and its event loop will say when no longer.
    rests: AtomicBool,
}

#[derive(Default)]
struct Scope {
    closed: bool,
    ended: bool,
    /// In the order of their spawns, so that a close is the same every time.
    children: BTreeMap<u64, Arc<Guest>>,
}

/// A limit of live tasks that a guest's options set for what is below a task.
pub(super) struct Cap {
    live: AtomicU32,
    max: u32,
    above: Option<Arc<Cap>>,
}

/// What tells one guest from another when it is made.
pub(super) struct Traits {
    pub(super) name: String,
    pub(super) depth: u32,
    pub(super) denied: Rights,
    pub(super) reuse: bool,
    pub(super) timeout: Option<LimitReached>,
    pub(super) deadline: Option<Instant>,
    pub(super) parent: Weak<Guest>,
    /// The caps it counts against: those of its parent.
    pub(super) caps: Option<Arc<Cap>>,
    /// The caps its children count against.
    pub(super) child_caps: Option<Arc<Cap>>,
}

// === impl Cap ===

impl Cap {
    pub(super) fn new(max: u32, above: Option<Arc<Cap>>) -> Arc<Self> {
        Arc::new(Self {
            live: AtomicU32::new(0),
            max,
            above,
        })
    }

    fn chain(first: &Option<Arc<Cap>>) -> impl Iterator<Item = &Arc<Cap>> {
        std::iter::successors(first.as_ref(), |cap| cap.above.as_ref())
    }

    /// Counts one more task in every cap, or in none.
    pub(super) fn enter(first: &Option<Arc<Cap>>) -> Result<(), LimitReached> {
        for (passed, cap) in Self::chain(first).enumerate() {
            if cap.live.fetch_add(1, Ordering::Relaxed) >= cap.max {
                for cap in Self::chain(first).take(passed + 1) {
                    cap.live.fetch_sub(1, Ordering::Relaxed);
                }
                return Err(LimitReached::new(LimitKind::MaxTasks, u64::from(cap.max)));
            }
        }
        Ok(())
    }

    pub(super) fn leave(first: &Option<Arc<Cap>>) {
        for cap in Self::chain(first) {
            cap.live.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

// === impl Guest ===

impl Guest {
    /// Makes a guest that has been counted (in its account and its caps) but is in no scope yet.
    pub(super) fn new(run: Arc<RunShared>, control: Arc<Control>, traits: Traits) -> Arc<Self> {
        let Traits {
            name,
            depth,
            denied,
            reuse,
            timeout,
            deadline,
            parent,
            caps,
            child_caps,
        } = traits;
        run.host.live_guests.fetch_add(1, Ordering::Relaxed);
        run.host.guests.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            id: run.host.runtime.next_id(),
            depth,
            name,
            control,
            denied,
            reuse,
            timeout,
            deadline,
            parent,
            caps,
            child_caps,
            run,
            scope: Mutex::default(),
            ending: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            places: AtomicU64::new(0),
            outcome: Mutex::new(None),
            ended: Signal::default(),
            detached: AtomicBool::new(false),
            result_bytes: AtomicU64::new(0),
            waits: AtomicU32::new(0),
            rests: AtomicBool::new(false),
        })
    }

    /// Sets the timer that ends it in time, if it has a deadline.
    pub(super) fn set_timer(self: &Arc<Self>) {
        if let Some(deadline) = self.deadline {
            let target: Arc<dyn Expire> = self.clone();
            self.control.set_timer(deadline, Arc::downgrade(&target));
        }
    }

    /// The timeout of a task that this one spawns with `own`, and when it is over: what is below a task
    /// has no more time than the task. The root's belongs to the run, which ends with the root.
    pub(super) fn timeout_below(
        &self,
        own: Option<Duration>,
    ) -> (Option<LimitReached>, Option<Instant>) {
        let own = own.and_then(|own| {
            let reached = LimitReached::time(LimitKind::TaskTimeout, own);
            Some((reached, self.run.host.runtime.clock.now().checked_add(own)?))
        });
        let above = (self.depth > 0)
            .then_some(self.timeout.zip(self.deadline))
            .flatten();
        own.into_iter()
            .chain(above)
            .min_by_key(|(_, deadline)| *deadline)
            .unzip()
    }

    /// Takes `child` into this guest's scope; `false` if the scope is closed.
    #[must_use]
    pub(super) fn adopt(&self, child: &Arc<Guest>) -> bool {
        let mut scope = lock(&self.scope);
        if scope.closed {
            return false;
        }
        scope.children.insert(child.id, child.clone());
        true
    }

    pub(super) fn child_caps(&self) -> &Option<Arc<Cap>> {
        &self.child_caps
    }

    pub(super) fn scope_is_closed(&self) -> bool {
        lock(&self.scope).closed
    }

    // === impl Guest: killing ===

    /// Ends the guest and everything below it.
    pub(super) fn kill(self: &Arc<Self>, kill: Kill) {
        // Before the guest can see that its scope is closed, and end because of that.
        self.control.kill(kill);
        let mut victims = self.close_scope();
        victims.push(self.clone());
        self.run.host.bury(victims, kill);
    }

    /// Ends everything below the guest, which goes on and can spawn no more.
    pub(super) fn kill_children(self: &Arc<Self>, kill: Kill) {
        let victims = self.close_scope();
        if !victims.is_empty() {
            self.run.host.bury(victims, kill);
        }
    }

    /// Closes the scopes of this guest and of everything below it; returns what is below.
    fn close_scope(self: &Arc<Self>) -> Vec<Arc<Guest>> {
        let mut found: Vec<Arc<Guest>> = Vec::new();
        let mut next = 0;
        let close = |guest: &Guest, found: &mut Vec<Arc<Guest>>| {
            let mut scope = lock(&guest.scope);
            scope.closed = true;
            found.extend(scope.children.values().cloned());
        };
        close(self, &mut found);
        while let Some(guest) = found.get(next).cloned() {
            close(&guest, &mut found);
            next += 1;
        }
        found
    }

    // === impl Guest: the end ===

    /// Whether it has ended. The outcome is there, or was taken, if so.
    pub(super) fn is_finished(&self) -> bool {
        // Acquire: pairs with the Release in `publish`.
        self.finished.load(Ordering::Acquire)
    }

    /// Step 5 of the protocol. The store must be gone. Only the first call counts.
    pub(super) fn finish(self: &Arc<Self>, ended: Ended) {
        if self.ending.swap(true, Ordering::Relaxed) {
            return;
        }
        self.control.end();
        self.goes_on();
        self.run.site.admission.release(self);
        let ended = self.hold_result(ended);
        if matches!(ended, Ended::Trapped { .. }) {
            self.run.account.traps.fetch_add(1, Ordering::Relaxed);
        }
        self.leave_tree();
        Cap::leave(&self.caps);
        self.run.host.live_guests.fetch_sub(1, Ordering::Relaxed);
        if self.depth == 0 {
            self.run.root_ended(ended);
            self.kill_children(Kill::Cancelled);
            // Release: pairs with `is_finished`.
            self.finished.store(true, Ordering::Release);
            self.run.task_gone();
        } else {
            // The count first: a joiner may look at it.
            let last = self.run.account.task_ends() == 0;
            self.publish(ended);
            if last {
                self.run.complete();
            }
        }
        self.run.site.admission.pump();
    }

    fn publish(&self, ended: Ended) {
        let dropped = {
            let mut outcome = lock(&self.outcome);
            if self.detached.load(Ordering::Relaxed) {
                Some(ended)
            } else {
                *outcome = Some(ended);
                None
            }
        };
        if dropped.is_some() {
            self.release_result();
        }
        // Release: pairs with `is_finished`.
        self.finished.store(true, Ordering::Release);
        self.ended.notify();
    }

    /// Counts what a joiner will take; a result that is too large is none.
    fn hold_result(&self, ended: Ended) -> Ended {
        if self.depth == 0 {
            // Nobody joins it.
            return ended;
        }
        let (ended, size) = ended.for_keeping();
        let limit = self.run.account.limits.result_bytes_or_default();
        if size > limit {
            return Ended::Limit(LimitReached::new(LimitKind::ResultBytes, limit));
        }
        if let Err(limit) = self.run.hold(size) {
            return Ended::Limit(limit);
        }
        self.result_bytes.store(size, Ordering::Relaxed);
        ended
    }

    fn release_result(&self) {
        self.run
            .account
            .release(self.result_bytes.swap(0, Ordering::Relaxed));
    }

    /// Step 2 of the protocol: this node goes when nothing below it is left, and may be the last
    /// thing that kept the nodes above.
    fn leave_tree(self: &Arc<Self>) {
        let mut node = self.clone();
        {
            let mut scope = lock(&node.scope);
            scope.ended = true;
            if !scope.children.is_empty() {
                return;
            }
        }
        while let Some(parent) = node.parent.upgrade() {
            let mut scope = lock(&parent.scope);
            let removed = scope.children.remove(&node.id);
            let goes_too = scope.ended && scope.children.is_empty();
            drop(scope);
            drop(removed);
            if !goes_too {
                return;
            }
            node = parent;
        }
    }

    // === impl Guest: joining ===

    /// Waits until the guest has ended, as `waiter`, which counts as blocked meanwhile.
    pub(super) async fn wait(&self, waiter: &Arc<Guest>) {
        if self.is_finished() {
            return;
        }
        let _blocked = Blocked::new(waiter);
        self.ended.wait(|| self.is_finished()).await;
    }

    /// Registers for the end of the guest, for waits on several.
    pub(super) fn signal(&self) -> &Signal {
        &self.ended
    }

    /// Takes the outcome; `None` if it was taken before (or the guest has not ended).
    pub(super) fn take_outcome(&self) -> Option<Ended> {
        let ended = lock(&self.outcome).take();
        if ended.is_some() {
            self.release_result();
        }
        ended
    }

    /// Nobody will join: the result can go.
    pub(super) fn detach(&self) {
        let outcome = {
            let mut outcome = lock(&self.outcome);
            self.detached.store(true, Ordering::Relaxed);
            outcome.take()
        };
        if outcome.is_some() {
            self.release_result();
        }
    }
}

impl Expire for Guest {
    fn expire(self: Arc<Self>) {
        if let Some(timeout) = self.timeout {
            // The reason first: what is below is cancelled, this one ran out of time.
            self.control.kill(Kill::Limit(timeout));
            self.kill(Kill::Cancelled);
        }
    }
}

/// While it lives, the guest waits for another task of its run. One whose calls wait with the whole store counts
/// as blocked (see [`admission`](super::admission)); one with an event loop goes on, and [`Guest::rests`] says
/// when it has nothing else to do.
pub(super) struct Blocked {
    guest: Arc<Guest>,
}

impl Blocked {
    pub(super) fn new(guest: &Arc<Guest>) -> Self {
        let first = guest.waits.fetch_add(1, Ordering::Relaxed) == 0;
        if first && guest.run.site.kind == Kind::Plain {
            guest.run.site.admission.blocked(&guest.run);
        }
        Self {
            guest: guest.clone(),
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let last = self.guest.waits.fetch_sub(1, Ordering::Relaxed) == 1;
        if last && self.guest.run.site.kind == Kind::Plain {
            self.guest.run.unblocked();
        }
    }
}

impl Guest {
    /// Its event loop has nothing to do until something wakes it. It counts as blocked if any of what it waits
    /// for is a task.
    pub(super) fn rests(&self) {
        // Both are the business of whoever polls the guest, so nothing has to be ordered.
        if self.waits.load(Ordering::Relaxed) > 0 && !self.rests.swap(true, Ordering::Relaxed) {
            self.run.site.admission.blocked(&self.run);
        }
    }

    /// Its event loop goes on, or is gone.
    pub(super) fn goes_on(&self) {
        if self.rests.swap(false, Ordering::Relaxed) {
            self.run.unblocked();
        }
    }
}
