//! Guest tasks: the tree of scopes, and what their joiners learn. How one ends is in [`ending`](super::ending).
//!
//! # Protocol
//!
//! 1. A guest is *live* from [`Guest::adopt`] to [`finish`](super::ending::finish). In between it waits for its slots
//!    ([`admission`](super::admission)), then it is a task of the executor, whose future owns the store.
//! 2. Its node in the tree of scopes stays until it has ended *and* has no children left: a child may
//!    outlive its parent, and still belongs to the scopes above. Parents own children; children only
//!    refer to their parents.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use crate::base::signal::Signal;
use crate::base::span::Followed;
use crate::base::sync::lock;
use crate::base::text;
use crate::engine::slots::Kind;
use crate::instance::admission::Admission;
use crate::instance::admission::queue::Candidate;
use crate::instance::cap::Cap;
use crate::instance::ended::Ended;
use crate::instance::events::Event;
use crate::instance::info::TaskInfo;
use crate::instance::record::RunRecord;
use crate::instance::run_slots::RunSlots;
use crate::quota::kill::Kill;
use crate::quota::limits::{LimitKind, LimitReached};
use crate::sched::task::control::Control;
use crate::wasi::rights::Rights;

/// One guest task.
pub(crate) struct Guest {
    pub(crate) id: u64,
    pub(crate) depth: u32,
    pub(crate) name: String,
    pub(crate) span: Option<Followed>,
    pub(crate) run: Arc<RunRecord>,
    pub(crate) tree: Arc<Tree>,
    pub(crate) control: Arc<Control>,
    /// What it may not do.
    pub(crate) denied: Rights,
    /// It may have a warm instance; see [`warm`](super::warm).
    pub(crate) reuse: bool,
    /// Its own timeout, if it was given one.
    pub(crate) timeout: Option<LimitReached>,
    /// When that is over, or a timeout of a task above it.
    pub(crate) deadline: Option<Instant>,
    parent: Weak<Guest>,
    /// The caps it counts against: those of its parent.
    pub(crate) caps: Option<Arc<Cap>>,
    /// The caps its children count against: the same, below its own if it has one.
    child_caps: Option<Arc<Cap>>,
    scope: Mutex<Scope>,
    /// Why its scope is closed, if it is. Set under the scope's lock.
    closed: OnceLock<Kill>,
    /// It is in the queue of its tree's [`Closing`].
    is_closing: AtomicBool,
    /// `finish` has begun.
    ending: AtomicBool,
    /// The outcome is visible.
    finished: AtomicBool,
    outcome: Mutex<Option<Ended>>,
    /// What it said of a trap to come.
    explanation: Mutex<Option<String>>,
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

/// What the guests of one run share, that knows them.
pub(crate) struct Tree {
    pub(crate) admission: Arc<Admission<Guest>>,
    /// What of it is to be ended.
    pub(crate) closing: Mutex<Closing>,
}

impl Tree {
    pub(crate) fn new(admission: Arc<Admission<Guest>>) -> Arc<Self> {
        Arc::new(Self {
            admission,
            closing: Mutex::default(),
        })
    }
}

/// Guests of a run that are to be ended; see [`ending`](super::ending).
#[derive(Default)]
pub(crate) struct Closing {
    /// Guests whose scopes are closed, and that may be killed themselves.
    pub(crate) tops: VecDeque<Arc<Guest>>,
    /// A task is at it.
    pub(crate) at_work: bool,
}

#[derive(Default)]
struct Scope {
    ended: bool,
    /// In the order of their spawns, so that a close is the same every time.
    children: BTreeMap<u64, Arc<Guest>>,
}

/// What tells one guest from another when it is made.
pub(crate) struct Traits {
    /// A number that no other task of the host has.
    pub(crate) id: u64,
    pub(crate) span: Option<Followed>,
    pub(crate) name: String,
    pub(crate) depth: u32,
    pub(crate) denied: Rights,
    pub(crate) reuse: bool,
    pub(crate) timeout: Option<LimitReached>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) parent: Weak<Guest>,
    /// The caps it counts against: those of its parent.
    pub(crate) caps: Option<Arc<Cap>>,
    /// The caps its children count against.
    pub(crate) child_caps: Option<Arc<Cap>>,
}

// === impl Guest ===

impl Guest {
    /// Makes a guest that has been counted (in its account and its caps) but is in no scope yet.
    pub(crate) fn new(
        run: Arc<RunRecord>,
        tree: Arc<Tree>,
        control: Arc<Control>,
        traits: Traits,
    ) -> Arc<Self> {
        let Traits {
            id,
            span,
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
        run.registry.guest_starts();
        control.goes_into_pool();
        Arc::new(Self {
            id,
            depth,
            span,
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
            tree,
            scope: Mutex::default(),
            closed: OnceLock::new(),
            is_closing: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            outcome: Mutex::new(None),
            explanation: Mutex::default(),
            ended: Signal::default(),
            detached: AtomicBool::new(false),
            result_bytes: AtomicU64::new(0),
            waits: AtomicU32::new(0),
            rests: AtomicBool::new(false),
        })
    }

    /// Tells the embedder's hooks what happens to the task.
    pub(crate) fn tell<'a>(&'a self, event: impl FnOnce(TaskInfo<'a>) -> Event<'a>) {
        self.run.tell(|run| {
            event(TaskInfo {
                run,
                id: self.id,
                name: &self.name,
                depth: self.depth,
            })
        });
    }

    /// The timeout of a task that this one spawns with `own`, and when it is over: what is below a task
    /// has no more time than the task. The root's belongs to the run, which ends with the root.
    pub(crate) fn timeout_below(
        &self,
        own: Option<Duration>,
    ) -> (Option<LimitReached>, Option<Instant>) {
        let own = own.and_then(|own| {
            let reached = LimitReached::time(LimitKind::TaskTimeout, own);
            Some((reached, self.run.runtime.clock.now().checked_add(own)?))
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
    pub(crate) fn adopt(&self, child: &Arc<Guest>) -> bool {
        let mut scope = lock(&self.scope);
        if self.scope_is_closed() {
            return false;
        }
        scope.children.insert(child.id, child.clone());
        true
    }

    pub(crate) fn child_caps(&self) -> &Option<Arc<Cap>> {
        &self.child_caps
    }

    pub(crate) fn scope_is_closed(&self) -> bool {
        self.closed.get().is_some()
    }

    // === impl Guest: killing ===

    /// Closes the scope; says whether anything is in it. The first reason stays.
    pub(crate) fn close(&self, kill: Kill) -> bool {
        let scope = lock(&self.scope);
        self.closed.get_or_init(|| kill);
        !scope.children.is_empty()
    }

    /// Why its scope is closed, if it is.
    pub(crate) fn closed_by(&self) -> Option<Kill> {
        self.closed.get().copied()
    }

    /// Closes the scope, and lists up to `most` of what is in it, in the order of their spawns, from the one behind
    /// `after`.
    pub(crate) fn close_and_list(
        &self,
        kill: Kill,
        after: Option<u64>,
        most: usize,
    ) -> Vec<Arc<Guest>> {
        let scope = lock(&self.scope);
        self.closed.get_or_init(|| kill);
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let children = scope.children.range((behind, Bound::Unbounded));
        children
            .take(most)
            .map(|(_, child)| child.clone())
            .collect()
    }

    /// It is in the queue of its tree from now on; says whether it was before.
    pub(crate) fn enters_closing(&self) -> bool {
        // AcqRel, here and below: whoever finds it in the queue has closed the scope before, and whoever takes it out
        // looks at the scope after.
        self.is_closing.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn leaves_closing(&self) {
        self.is_closing.swap(false, Ordering::AcqRel);
    }

    /// Why it is being ended, if it is: it may be in a scope that was closed, and not be reached yet.
    pub(crate) fn killed(&self) -> Option<Kill> {
        self.control.killed().or_else(|| {
            let above = |guest: &Arc<Guest>| guest.parent.upgrade();
            std::iter::successors(self.parent.upgrade(), above).find_map(|guest| guest.closed_by())
        })
    }

    // === impl Guest: the end ===

    /// Whether it has ended. The outcome is there, or was taken, if so.
    pub(crate) fn is_finished(&self) -> bool {
        // Acquire: pairs with the Release in `publish`.
        self.finished.load(Ordering::Acquire)
    }

    /// Its end begins; says whether it had begun before.
    pub(crate) fn begins_to_end(&self) -> bool {
        self.ending.swap(true, Ordering::Relaxed)
    }

    /// The outcome of a root is its run's.
    pub(crate) fn set_finished(&self) {
        // Release: pairs with `is_finished`.
        self.finished.store(true, Ordering::Release);
    }

    /// Makes the outcome visible, and wakes joiners.
    pub(crate) fn publish(&self, ended: Ended) {
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
        self.set_finished();
        self.ended.notify();
    }

    /// Counts what a joiner will take; a result that is too large is none.
    pub(crate) fn hold_result(&self, ended: Ended) -> Ended {
        let limit = self.run.account.limits.result_bytes_or_default();
        let too_large = |size| size > limit;
        let reached = || Ended::Limit(LimitReached::new(LimitKind::ResultBytes, limit));
        if self.depth == 0 {
            // Nobody joins it: what it returned is the owner's, and no longer the run's.
            return match &ended {
                Ended::Returned(bytes) | Ended::Failed(bytes) if too_large(bytes.len() as u64) => {
                    reached()
                }
                _ => ended,
            };
        }
        let (ended, size) = ended.for_keeping();
        if too_large(size) {
            return reached();
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
    pub(crate) fn leave_tree(self: &Arc<Self>) {
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

    // === impl Guest: what a trap is explained with ===

    /// Keeps what the guest says of a trap to come, as long as there is memory for it.
    pub(crate) fn explain_trap(&self, said: &str) {
        let mut explanation = lock(&self.explanation);
        // Counted once, for all that may follow.
        if explanation.is_some() || self.control.hold(text::MAX_TEXT as u64).is_ok() {
            *explanation = Some(text::lines(said));
        }
    }

    pub(crate) fn take_explanation(&self) -> Option<String> {
        lock(&self.explanation).take()
    }

    // === impl Guest: joining ===

    /// Waits until the guest has ended, as `waiter`, which counts as blocked meanwhile.
    pub(crate) async fn wait(&self, waiter: &Arc<Guest>) {
        if self.is_finished() {
            return;
        }
        let _blocked = Blocked::new(waiter);
        self.ended.wait(|| self.is_finished()).await;
    }

    /// Registers for the end of the guest, for waits on several.
    pub(crate) fn signal(&self) -> &Signal {
        &self.ended
    }

    /// Takes the outcome; `None` if it was taken before (or the guest has not ended).
    pub(crate) fn take_outcome(&self) -> Option<Ended> {
        let ended = lock(&self.outcome).take();
        if ended.is_some() {
            self.release_result();
        }
        ended
    }

    /// Nobody will join: the result can go.
    pub(crate) fn detach(&self) {
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

impl Candidate for Guest {
    fn id(&self) -> u64 {
        self.id
    }

    fn depth(&self) -> u32 {
        self.depth
    }

    fn slots(&self) -> &Arc<RunSlots> {
        &self.run.slots
    }

    fn reserve_memory(&self) {
        // Where even this much is not left, the instantiation says so, with the limit's name.
        let _ = self.control.reserve(self.run.interface.initial_memory());
        let _ = self.control.hold(INSTANCE_BYTES);
    }
}

/// What is counted as memory for an instance beside its linear memories and tables: the touched pages of its
/// stack, wasmtime's bookkeeping. A guest that is parked in a host call holds some 47 KiB in all.
const INSTANCE_BYTES: u64 = 48 << 10;

/// While it lives, the guest waits for another task of its run. One whose calls wait with the whole store counts
/// as blocked (see [`admission`](super::admission)); one with an event loop goes on, and [`Guest::rests`] says
/// when it has nothing else to do.
pub(crate) struct Blocked {
    guest: Arc<Guest>,
}

impl Blocked {
    pub(crate) fn new(guest: &Arc<Guest>) -> Self {
        let first = guest.waits.fetch_add(1, Ordering::Relaxed) == 0;
        if first && guest.run.kind == Kind::Plain {
            guest.tree.admission.blocked(&guest.run.slots);
        }
        Self {
            guest: guest.clone(),
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let last = self.guest.waits.fetch_sub(1, Ordering::Relaxed) == 1;
        if last && self.guest.run.kind == Kind::Plain {
            self.guest.run.slots.unblocks();
        }
    }
}

impl Guest {
    /// Its event loop has nothing to do until something wakes it. It counts as blocked if any of what it waits
    /// for is a task.
    pub(crate) fn rests(&self) {
        // Both are the business of whoever polls the guest, so nothing has to be ordered.
        if self.waits.load(Ordering::Relaxed) > 0 && !self.rests.swap(true, Ordering::Relaxed) {
            self.tree.admission.blocked(&self.run.slots);
        }
    }

    /// Its event loop goes on, or is gone.
    pub(crate) fn goes_on(&self) {
        if self.rests.swap(false, Ordering::Relaxed) {
            self.run.slots.unblocks();
        }
    }
}
