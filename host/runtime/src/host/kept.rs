//! Instances that wait to be used again, as they are, by tasks of the run that they were made for.
//!
//! Only for tasks that were spawned so (`task-options.reuse`): whatever one leaves in its instance the next one finds.
//! What is reused is the store with its instance; everything that belongs to a task alone is made anew: its limits,
//! what of WASI it was granted, its books.
//!
//! # Protocol
//!
//! 1. A task that returned `ok` gives its store to [`keep`](Kept::keep), in its last poll. A store in which a call
//!    failed, for whatever reason, is never kept, nor one whose table has a handle left.
//! 2. [`take`](Kept::take), when a task starts: an instance of the same run, whose tasks were denied the same rights.
//!    So whoever takes over a task that has fewer rights has no task that has more.
//! 3. Kept instances hold no places of [`admission`](super::admission), whose argument does not know them. But they
//!    are in the pool, so there are never more of them than there are places that nobody holds: `keep` looks at
//!    that, and whoever has got a place and is about to fill it looks again, and drops those that are in its way
//!    ([`make_room`](Kept::make_room)). Both look under this lock, after they have made known what they take (`count`,
//!    the place), so that one of the two sees the other.
//! 4. Their memory stays counted for their run. Whoever would reach a limit because of that has it given back
//!    first ([`relieve`](Relief::relieve)).
//! 5. A run that is over has none: [`forget`](Kept::forget), when its last task has ended. Keeping is an act of a task,
//!    so nothing comes after it.
//! 6. One that nobody has taken for [`IDLE`] is dropped, on a worker.
//!
//! This lock is taken before admission's, and stores are dropped under neither.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use wasmtime::Store;
use wasmtime::component::Instance;

use super::admission::COUNT;
use super::engine::Kind;
use super::guest::Guest;
use super::shared::RunShared;
use super::site::Site;
use super::state::GuestState;
use crate::account::Account;
use crate::clock::Expire;
use crate::runtime::{Inner, Relief};
use crate::sync::lock;

/// How long an instance waits for another task. Guessed: long beside the pauses of a run that spawns again and again,
/// and nobody is refused anything meanwhile.
const IDLE: Duration = Duration::from_secs(5);

/// Instances that a host keeps, for each worker: more tasks than there are workers only wait for each other. Guessed.
const PER_WORKER: usize = 4;

/// The kept instances of a host.
pub(super) struct Kept {
    /// How many there are, or are about to be.
    count: AtomicUsize,
    state: Mutex<State>,
    runtime: Arc<Inner>,
    /// For timers.
    this: Weak<Kept>,
}

#[derive(Default)]
struct State {
    /// The one that has waited longest first.
    instances: VecDeque<Spare>,
    /// A timer will look for those that have waited for too long.
    timer: bool,
}

/// An instance that nobody uses. Fields drop in order: its memory is there until the store is gone.
struct Spare {
    store: Store<GuestState>,
    instance: Instance,
    bytes: Counted,
    since: Instant,
}

/// Bytes that are counted for a run.
struct Counted {
    account: Arc<Account>,
    bytes: u64,
}

// === impl Spare ===

impl Spare {
    /// Who used it last.
    fn guest(&self) -> &Guest {
        self.store.data().guest()
    }

    fn run(&self) -> &Arc<RunShared> {
        &self.guest().run
    }

    fn places(&self) -> u64 {
        self.run().component.slots()
    }

    fn is_for(&self, guest: &Guest) -> bool {
        Arc::ptr_eq(self.run(), &guest.run)
            && self.guest().denied == guest.denied
            && guest.control.may_have_instance(self.bytes.bytes)
    }
}

// === impl Counted ===

impl Counted {
    /// They are counted for a task now.
    fn pass_on(mut self) -> u64 {
        let bytes = std::mem::take(&mut self.bytes);
        self.account.uses_spare(bytes);
        bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.account.uses_spare(self.bytes);
        self.account.release(self.bytes);
    }
}

// === impl Kept ===

impl Kept {
    pub(super) fn new(runtime: Arc<Inner>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            count: AtomicUsize::new(0),
            state: Mutex::default(),
            runtime,
            this: this.clone(),
        })
    }

    /// Whether a task may use an instance again, or leave its own. One with an event loop has no end at which nothing
    /// is going on in it. An embedder's own data is made for each task, and its resources may be in there.
    fn is_reusable(guest: &Guest) -> bool {
        guest.reuse && guest.run.site.kind == Kind::Plain && guest.run.host.data.is_none()
    }

    /// Takes an instance for `guest`, if there is one. Step 2.
    pub(super) fn take(&self, guest: &Arc<Guest>) -> Option<(Store<GuestState>, Instance)> {
        if !Self::is_reusable(guest) || self.is_empty() {
            return None;
        }
        let spare = {
            let mut state = lock(&self.state);
            // The last one that was used is the one that is still in a cache.
            let at = state.instances.iter().rposition(|s| s.is_for(guest))?;
            self.remove(&mut state, at)?
        };
        let Spare {
            mut store,
            instance,
            bytes,
            ..
        } = spare;
        let last = store.data_mut().pass_to(guest.clone());
        guest.control.take_instance(bytes.pass_on());
        guest.run.account.reused.fetch_add(1, Ordering::Relaxed);
        drop(last);
        Some((store, instance))
    }

    /// Keeps the instance of a task that has returned, or drops it. Step 1.
    pub(super) fn keep(
        &self,
        guest: &Arc<Guest>,
        mut store: Store<GuestState>,
        instance: Instance,
    ) {
        let killed = guest.control.killed().is_some();
        if !Self::is_reusable(guest) || killed || !store.data_mut().is_left_empty() {
            return;
        }
        let run = &guest.run;
        let spare = Spare {
            bytes: Counted {
                account: run.account.clone(),
                bytes: guest.control.leave_instance(),
            },
            since: self.runtime.clock.now(),
            store,
            instance,
        };
        run.account.has_spare(spare.bytes.bytes);
        let (surplus, set_timer) = {
            let mut state = lock(&self.state);
            // Made known first: step 3.
            self.count.fetch_add(1, Ordering::Relaxed);
            state.instances.push_back(spare);
            // The task's own place is given back right after this.
            let own = guest.places.load(COUNT);
            let surplus = if state.is_too_many_for(&run.site, own) {
                // Somebody is about to fill the place that this one would be in.
                let own = state.instances.len() - 1;
                self.remove(&mut state, own)
            } else if state.instances.len() > PER_WORKER * self.runtime.workers() {
                self.remove(&mut state, 0)
            } else {
                None
            };
            let waits = !state.instances.is_empty();
            (
                surplus,
                waits && !std::mem::replace(&mut state.timer, waits),
            )
        };
        drop(surplus);
        if set_timer {
            self.set_timer();
        }
    }

    /// Drops instances that are in places which guests hold by now, the longest kept first. Step 3: to be called by
    /// whoever holds a place that it has not filled.
    pub(super) fn make_room(&self, site: &Arc<Site>) {
        // Relaxed: whoever keeps one raises it before it asks admission, whose lock we held when we got our place.
        if self.is_empty() {
            return;
        }
        let mut in_the_way = Vec::new();
        let mut state = lock(&self.state);
        while state.is_too_many_for(site, 0) {
            let oldest = state
                .instances
                .iter()
                .position(|spare| Arc::ptr_eq(&spare.run().site, site));
            in_the_way.extend(oldest.and_then(|at| self.remove(&mut state, at)));
        }
        drop(state);
    }

    /// Drops what was kept for a run that is over.
    pub(super) fn forget(&self, run: &RunShared) {
        self.drop_those(|spare| std::ptr::eq(&**spare.run(), run));
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Takes out the one at `at`.
    fn remove(&self, state: &mut State, at: usize) -> Option<Spare> {
        let removed = state.instances.remove(at);
        if removed.is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }

    /// Drops all of which `which` says so; says whether there were any.
    fn drop_those(&self, which: impl Fn(&Spare) -> bool) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut state = lock(&self.state);
        let instances = std::mem::take(&mut state.instances);
        let (dropped, left): (VecDeque<_>, _) = instances.into_iter().partition(which);
        state.instances = left;
        self.count.fetch_sub(dropped.len(), Ordering::Relaxed);
        drop(state);
        !dropped.is_empty()
    }

    /// Step 6.
    fn sweep(&self) {
        let now = self.runtime.clock.now();
        self.drop_those(|spare| now.saturating_duration_since(spare.since) >= IDLE);
        let again = {
            let mut state = lock(&self.state);
            state.timer = !state.instances.is_empty();
            state.timer
        };
        if again {
            self.set_timer();
        }
    }

    fn set_timer(&self) {
        let this: Weak<dyn Expire> = self.this.clone();
        let clock = &self.runtime.clock;
        clock.at(clock.now() + IDLE, this);
    }
}

impl State {
    /// Whether there are more in a pool than it has places that nobody holds, apart from `own`.
    fn is_too_many_for(&self, site: &Arc<Site>, own: u64) -> bool {
        let kept = self
            .instances
            .iter()
            .filter(|spare| Arc::ptr_eq(&spare.run().site, site));
        let kept: u64 = kept.map(Spare::places).sum();
        let places = site.admission.ready() + own;
        kept > 0 && kept + site.admission.in_use() > places
    }
}

impl Expire for Kept {
    fn expire(self: Arc<Self>) {
        let runtime = self.runtime.clone();
        runtime.spawn_aside("reaper", async move { self.sweep() });
    }
}

impl Relief for Kept {
    fn relieve(&self, account: &Account) -> bool {
        self.drop_those(|spare| spare.bytes.account.shares_limits_with(account))
    }
}
