//! Warm instances: they wait to be used again, as they are, by tasks of the run that they were made for.
//!
//! Only for tasks that were spawned so (`task-options.reuse`), and for the roots of a program that has many runs, such as
//! a service: whatever one leaves in its instance the next one finds.
//! What is reused is the store with its instance; everything that belongs to a task alone is made anew: its limits,
//! what of WASI it was granted, its books. A root passes its handles on to the next root as well, because a guest's
//! library keeps those of its streams and directories for as long as the instance lives.
//!
//! # Protocol
//!
//! 1. A task that returned `ok` gives its store to [`keep`](Reuse::keep), in its last poll. A store in which a call
//!    failed, for whatever reason, is never kept, nor one whose table has a handle left.
//! 2. [`take`](Reuse::take), when a task starts: an instance of the same run, whose tasks were denied the same rights.
//!    So whoever takes over a task that has fewer rights has no task that has more.
//! 3. Warm instances hold no slots of [`admission`](super::admission), whose argument does not know them. But they
//!    are in the pool, so there are never more of them than there are slots that nobody holds: `keep` looks at
//!    that, and whoever has got a slot and is about to fill it looks again, and drops those that are in its way
//!    ([`make_room`](Reuse::make_room)). Both look under this lock, after they have made known what they take (`count`,
//!    the slot), so that one of the two sees the other.
//! 4. Their memory stays counted for their run. Whoever would reach a limit because of that has it given back
//!    first ([`relieve`](Relief::relieve)).
//! 5. A run that is over has none but that of its root: [`forget`](Warm::forget), when its last task has ended. Keeping
//!    is an act of a task, so nothing comes after it. That of a root counts for the run that used it last, whose account
//!    lives as long, until another run of the program takes it, or the program goes
//!    ([`forget_program`](Reuse::forget_program)).
//! 6. One that nobody has taken for [`IDLE`], or for as long as its program says, is dropped, in a turn of its run's.
//!
//! This lock is taken before admission's, and stores are dropped under neither.

use std::any::TypeId;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use wasmtime::Store;
use wasmtime::component::Instance;

use crate::base::sync::lock;
use crate::engine::slots::Kind;
use crate::instance::admission::Admission;
use crate::instance::guest::Guest;
use crate::instance::program::{Reuse, Reused};
use crate::instance::record::{RunRecord, Warm};
use crate::instance::store::GuestState;
use crate::quota::account::Account;
use crate::quota::relief::Relief;
use crate::sched::clock::timers::Expire;
use crate::sched::core::Core;

/// How long an instance waits for another task. Guessed: long beside the pauses of a run that spawns again and again,
/// and nobody is refused anything meanwhile.
const IDLE: Duration = Duration::from_secs(5);

/// Instances that a host keeps, for each worker: more tasks than there are workers only wait for each other. Guessed.
const PER_WORKER: usize = 4;

/// The warm instances of a host.
pub(crate) struct WarmInstances<T: 'static> {
    /// Of the pool that they are in.
    admission: Arc<Admission<Guest>>,
    /// How many there are, or are about to be.
    count: AtomicUsize,
    state: Mutex<State<T>>,
    runtime: Arc<Core>,
    /// For timers.
    this: Weak<WarmInstances<T>>,
}

struct State<T: 'static> {
    /// The one that has waited longest first.
    instances: VecDeque<WarmInstance<T>>,
    /// When a timer will look for those that have waited for too long.
    timer: Option<Instant>,
}

/// An instance that nobody uses. Fields drop in order: its memory is there until the store is gone.
struct WarmInstance<T: 'static> {
    store: Store<GuestState<T>>,
    instance: Instance,
    bytes: Counted,
    /// It is for roots of this program's runs.
    program: Option<u64>,
    /// When it is dropped.
    until: Instant,
}

/// Bytes that are counted for a run.
struct Counted {
    account: Arc<Account>,
    bytes: u64,
}

/// Who uses instances again.
#[derive(Clone, Copy)]
enum Reuser {
    Task,
    Root {
        program: u64,
        times: u32,
        idle: Duration,
    },
}

// === impl WarmInstance ===

impl<T: 'static> WarmInstance<T> {
    /// Who used it last.
    fn guest(&self) -> &Guest {
        self.store.data().guest()
    }

    fn run(&self) -> &Arc<RunRecord> {
        &self.guest().run
    }

    fn slots(&self) -> u64 {
        self.run().slots.each
    }

    fn is_for(&self, guest: &Guest, program: Option<u64>) -> bool {
        let is_of_its_kind = match program {
            Some(_) => self.program == program,
            None => self.program.is_none() && Arc::ptr_eq(self.run(), &guest.run),
        };
        is_of_its_kind
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

// === impl WarmInstances ===

impl<T: Send + 'static> WarmInstances<T> {
    pub(crate) fn new(runtime: Arc<Core>, admission: Arc<Admission<Guest>>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            admission,
            count: AtomicUsize::new(0),
            state: Mutex::new(State {
                instances: VecDeque::new(),
                timer: None,
            }),
            runtime,
            this: this.clone(),
        })
    }

    /// Whether a task may use an instance again, or leave its own, and whose: see [`WarmInstance::program`].
    ///
    /// Of spawned tasks, one with an event loop has no end at which nothing is going on in it. An embedder's own data is
    /// made for each task, and the guest's resources may be in there.
    fn reuse(guest: &Guest, reused: Reused) -> Option<Reuser> {
        if !guest.reuse {
            return None;
        }
        match reused {
            Reused::ByRuns {
                program,
                times,
                idle,
            } if guest.depth == 0 => (times > 1).then_some(Reuser::Root {
                program,
                times,
                idle,
            }),
            _ => {
                let has_data = TypeId::of::<T>() != TypeId::of::<()>();
                let is_plain = guest.run.kind == Kind::Plain;
                (is_plain && !has_data).then_some(Reuser::Task)
            }
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Takes out the one at `at`.
    fn remove(&self, state: &mut State<T>, at: usize) -> Option<WarmInstance<T>> {
        let removed = state.instances.remove(at);
        if removed.is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }

    /// Drops all of which `which` says so; says whether there were any.
    fn drop_those(&self, which: impl Fn(&WarmInstance<T>) -> bool) -> bool {
        !self.take_those(which).is_empty()
    }

    /// Takes out all of which `which` says so.
    fn take_those(&self, which: impl Fn(&WarmInstance<T>) -> bool) -> VecDeque<WarmInstance<T>> {
        if self.is_empty() {
            return VecDeque::new();
        }
        let mut state = lock(&self.state);
        // Mostly there are none: every run that ends asks.
        if !state.instances.iter().any(&which) {
            return VecDeque::new();
        }
        let instances = std::mem::take(&mut state.instances);
        let (dropped, left): (VecDeque<_>, _) = instances.into_iter().partition(which);
        state.instances = left;
        self.count.fetch_sub(dropped.len(), Ordering::Relaxed);
        dropped
    }

    /// Step 6. Each is dropped at the expense of the run that it was kept for.
    fn sweep(&self) {
        let now = self.runtime.clock.now();
        let idle = |spare: &WarmInstance<T>| spare.until <= now;
        for spare in self.take_those(idle) {
            let group = spare.run().account.group.clone();
            self.runtime
                .spawn_for(&group, "reaper", async move { drop(spare) });
        }
        let next = {
            let mut state = lock(&self.state);
            state.timer = state.instances.iter().map(|spare| spare.until).min();
            state.timer
        };
        self.set_timer(next);
    }

    fn set_timer(&self, at: Option<Instant>) {
        if let Some(at) = at {
            let this: Weak<dyn Expire> = self.this.clone();
            self.runtime.clock.at(at, this);
        }
    }
}

impl<T: Send + 'static> Reuse<GuestState<T>> for WarmInstances<T> {
    /// Step 2.
    fn take(&self, guest: &Arc<Guest>, reused: Reused) -> Option<(Store<GuestState<T>>, Instance)> {
        if self.is_empty() {
            return None;
        }
        let program = match Self::reuse(guest, reused)? {
            Reuser::Task => None,
            Reuser::Root { program, .. } => Some(program),
        };
        let spare = {
            let mut state = lock(&self.state);
            // The last one that was used is the one that is still in a cache.
            let mut instances = state.instances.iter();
            let at = instances.rposition(|spare| spare.is_for(guest, program))?;
            self.remove(&mut state, at)?
        };
        let WarmInstance {
            mut store,
            instance,
            bytes,
            ..
        } = spare;
        let last = match program {
            None => {
                guest.control.take_instance(bytes.pass_on());
                store.data_mut().pass_to(guest.clone())
            }
            Some(_) => {
                // Where the new run has no room for it, it makes one of its own, and is told so.
                guest.run.hold(bytes.bytes).ok()?;
                let Ok(last) = store.data_mut().pass_on(guest.clone()) else {
                    guest.run.account.release(bytes.bytes);
                    return None;
                };
                guest.control.take_instance(bytes.bytes);
                drop(bytes);
                last
            }
        };
        guest.run.account.reused.fetch_add(1, Ordering::Relaxed);
        drop(last);
        Some((store, instance))
    }

    /// Step 1.
    fn keep(
        &self,
        guest: &Arc<Guest>,
        reused: Reused,
        mut store: Store<GuestState<T>>,
        instance: Instance,
    ) {
        let Some(reuser) = Self::reuse(guest, reused) else {
            return;
        };
        let state = store.data_mut();
        let (is_good, idle, program) = match reuser {
            Reuser::Task => (state.is_left_empty(), IDLE, None),
            Reuser::Root {
                program,
                times,
                idle,
            } => (state.uses() < times, idle, Some(program)),
        };
        if !is_good || guest.control.killed().is_some() {
            return;
        }
        let run = &guest.run;
        let until = self.runtime.clock.now() + idle;
        let spare = WarmInstance {
            bytes: Counted {
                account: run.account.clone(),
                bytes: guest.control.leave_instance(),
            },
            until,
            program,
            store,
            instance,
        };
        run.account.has_spare(spare.bytes.bytes);
        let (surplus, timer) = {
            let mut state = lock(&self.state);
            // Made known first: step 3.
            self.count.fetch_add(1, Ordering::Relaxed);
            state.instances.push_back(spare);
            // The task's own slots are given back right after this.
            let own = run.slots.each;
            let is_task = |spare: &WarmInstance<T>| spare.program.is_none();
            let surplus = if state.is_too_many_for(&self.admission, own) {
                // Somebody is about to fill the slots that this one would be in.
                let own = state.instances.len() - 1;
                self.remove(&mut state, own)
            } else if program.is_none()
                && state.instances.iter().filter(|s| is_task(s)).count()
                    > PER_WORKER * self.runtime.workers()
            {
                let first = state.instances.iter().position(is_task);
                first.and_then(|first| self.remove(&mut state, first))
            } else {
                None
            };
            let is_sooner = state.timer.is_none_or(|at| until < at);
            let timer = (is_sooner && !state.instances.is_empty()).then_some(until);
            state.timer = timer.or(state.timer);
            (surplus, timer)
        };
        drop(surplus);
        self.set_timer(timer);
    }

    /// Step 3. The longest kept go first.
    fn make_room(&self) {
        // Relaxed: whoever keeps one raises it before it asks admission, whose lock we held when we got our slot.
        if self.is_empty() {
            return;
        }
        let mut in_the_way = Vec::new();
        let mut state = lock(&self.state);
        while state.is_too_many_for(&self.admission, 0) {
            in_the_way.extend(self.remove(&mut state, 0));
        }
        drop(state);
    }

    /// Step 5.
    fn forget_program(&self, program: u64) {
        self.drop_those(|spare| spare.program == Some(program));
    }
}

impl<T: Send + 'static> Warm for WarmInstances<T> {
    /// Step 5.
    fn forget(&self, run: u64) {
        self.drop_those(|spare| spare.program.is_none() && spare.run().id == run);
    }
}

impl<T: 'static> State<T> {
    /// Whether there are more in the pool than it has slots that nobody holds, apart from `own`.
    fn is_too_many_for(&self, admission: &Admission<Guest>, own: u64) -> bool {
        let kept: u64 = self.instances.iter().map(WarmInstance::slots).sum();
        kept > 0 && kept + admission.in_use() > admission.slots() + own
    }
}

impl<T: Send + 'static> Expire for WarmInstances<T> {
    fn expire(self: Arc<Self>) {
        let runtime = self.runtime.clone();
        runtime.spawn_aside("reaper", async move { self.sweep() });
    }
}

impl<T: Send + 'static> Relief for WarmInstances<T> {
    fn relieve(&self, account: &Account) -> bool {
        self.drop_those(|spare| spare.bytes.account.shares_limits_with(account))
    }
}
