//! The epoch clock: one thread that makes running guests reach their preemption points, and that
//! watches the deadlines.
//!
//! An epoch costs every running guest a callback and the machine a wake-up, so there are none unless
//! something needs one: a guest runs *and*
//!
//! - somebody waits for a core (`Executor::has_waiting`), or
//! - a guest that may be running was killed (`urgent`), or
//! - a running guest has a limit of CPU time or a CPU rate, which only a preemption point can check, or its stack is to
//!   be looked at there (`limited`), or
//! - a task was woken while its guest runs, and its future is to see what for (`woken`).
//!
//! Guests that meter fuel have no epochs. What the clock asks for they see on their way out of host calls
//! (`asked`), as those with epochs do.
//!
//! Where a group has used up its CPU rate, the clock sleeps no longer than until it may go on, because
//! every worker may be busy then.
//!
//! # Protocol
//!
//! The clock thread sleeps on a condition variable behind `parked`; the rest of the state is atomics
//! that anybody writes.
//!
//! 1. The clock sets `parked`, executes a `SeqCst` fence (F1), and reads everything above. If
//!    something needs epochs it clears `parked` and ticks instead.
//! 2. Whoever makes one of those conditions true (a guest enters a poll, a task is queued or woken, a guest
//!    is killed, a timer becomes the first) writes its part first, executes a `SeqCst` fence (F2), and
//!    then reads `parked`.
//! 3. Of F1 and F2 one comes first in the single order of fences. If F1 does, step 2 reads `parked`
//!    as set and pokes. If F2 does, step 1 reads what step 2 wrote and does not sleep. Each condition
//!    is a conjunction (a guest runs *and* somebody waits); its two writers both fence and then read
//!    what the other writes, so that the one whose fence comes second sees both parts.
//! 4. A poke clears `parked` under the mutex and notifies. The clock holds the mutex from reading
//!    `parked` to waiting, so the notification is not lost.
//! 5. While it ticks, the clock sleeps one tick, or until the next deadline if that is sooner,
//!    increments the engines, and starts over at 1. A tick is as long as the shortest slice among the
//!    groups that compete, as the executor keeps it now, and no longer than an engine's slice. Whoever
//!    shortens it pokes.
//! 6. Two do not wait for a tick: a kill, and who queues something while the clock sleeps, since whoever runs may
//!    have used its slice long ago, and the system may let a thread that is woken wait for milliseconds while all
//!    cores are busy. They increment the engines themselves, unless that has just been done ([`LEAST_PAUSE`]), so that
//!    guests which kill or wake each other cannot slow down everybody else.
//! 7. When nothing needs epochs any more, the clock stays awake for one tick more: among many short polls something needs
//!    them again and again, and each time to wake a thread costs more than those polls. Meanwhile nobody pokes it. Who
//!    queues something increments the engines as in step 6; all others wait for the look at the end of that tick.
//! 8. Shutdown: `stop` sets the flag under the mutex and notifies; the thread leaves at the next pass.
//!
//! A watchdog restarts the loop if it panics (see [`thread`]).

pub(crate) mod pause;
mod simulated;
pub(crate) mod sleep;
pub(crate) mod thread;
pub(crate) mod timers;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Condvar, Mutex, Weak};
use std::time::{Duration, Instant};

use hart_executor::Executor;
use hart_executor::group::{LONGEST_TICK, SHORTEST_SLICE};
use wasmtime::{Engine, EngineWeak};

use crate::base::sync::lock;
use crate::sched::clock::timers::{Expire, TimerKey, Timers};
use crate::sched::machine::SharedMachine;

/// The clock's shared part.
pub(crate) struct Clock {
    /// Whose time it is, where no thread runs it.
    machine: Option<simulated::Time>,
    /// Guests being polled right now, over all workers.
    running: AtomicUsize,
    /// Guests that were killed and have not ended. Signed: the end may be counted before the kill.
    urgent: AtomicI64,
    /// Guests being polled right now that have a limit of CPU time.
    limited: AtomicUsize,
    /// Tasks that were woken in the poll that goes on. Signed: the end may be counted before the wake.
    woken: AtomicI64,
    /// How often guests that run were asked to come to a preemption point.
    asked: AtomicU64,
    /// Epoch increments so far (times the clock ticked, not times engines).
    epochs: AtomicU64,
    /// Whether the thread sleeps or is about to; see the protocol.
    parked: AtomicBool,
    /// Whether the thread neither ticks nor is parked: it was needed until now.
    lingers: AtomicBool,
    /// How long the present tick is, nanoseconds; meaningless while the thread is parked.
    tick: AtomicU64,
    /// When somebody else than the clock last incremented the engines: nanoseconds since `started`.
    hurried: AtomicU64,
    started: Instant,
    inner: Mutex<Inner>,
    wake: Condvar,
}

struct Inner {
    stop: bool,
    timers: Timers,
    engines: Vec<Attached>,
}

/// An engine whose epochs this clock increments.
struct Attached {
    engine: EngineWeak,
    slice: Duration,
}

/// The least time between two increments, which cost every running guest a callback.
const LEAST_PAUSE: Duration = SHORTEST_SLICE;

impl Clock {
    pub(crate) fn new(machine: Option<SharedMachine>) -> Self {
        let machine = machine.map(simulated::Time::new);
        // The machine's own: where its deadlines are must not depend on when this runs.
        let started = machine
            .as_ref()
            .map_or_else(Instant::now, |time| time.start);
        Self {
            machine,
            running: AtomicUsize::new(0),
            urgent: AtomicI64::new(0),
            limited: AtomicUsize::new(0),
            woken: AtomicI64::new(0),
            asked: AtomicU64::new(0),
            epochs: AtomicU64::new(0),
            parked: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            tick: AtomicU64::new(0),
            hurried: AtomicU64::new(0),
            started,
            inner: Mutex::new(Inner {
                stop: false,
                timers: Timers::since(started),
                engines: Vec::new(),
            }),
            wake: Condvar::new(),
        }
    }

    /// Ends the thread, at its next pass.
    pub(crate) fn stop(&self) {
        lock(&self.inner).stop = true;
        self.wake.notify_all();
    }

    // === impl Clock: the time ===

    /// The time now, of the system or of the machine.
    pub(crate) fn now(&self) -> Instant {
        self.machine
            .as_ref()
            .map_or_else(Instant::now, simulated::Time::now)
    }

    /// See [`simulate::next_deadline`](crate::simulate::next_deadline).
    pub(crate) fn next_simulated(&self) -> Option<u64> {
        let time = self.machine.as_ref()?;
        let next = lock(&self.inner).timers.next()?;
        let after = next.saturating_duration_since(time.start);
        Some(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX))
    }

    /// See [`simulate::expire`](crate::simulate::expire).
    pub(crate) fn expire_simulated(&self) {
        if self.machine.is_none() {
            return;
        }
        let due = lock(&self.inner).timers.due(self.now());
        for target in due {
            target.expire();
        }
    }

    // === impl Clock: epochs ===

    /// Adds an engine, or changes the slice of one that was added before.
    pub(crate) fn attach(&self, engine: &Engine, slice: Duration) {
        let mut inner = lock(&self.inner);
        inner.engines.retain(|a| {
            a.engine
                .upgrade()
                .is_some_and(|e| !Engine::same(&e, engine))
        });
        inner.engines.push(Attached {
            engine: engine.weak(),
            slice,
        });
    }

    /// How many times epochs were incremented.
    pub(crate) fn epochs(&self) -> u64 {
        self.epochs.load(Ordering::Relaxed)
    }

    /// A guest's poll begins. Pairs with [`leave`](Self::leave).
    pub(crate) fn enter(&self, limited: bool, executor: &Executor) {
        self.running.fetch_add(1, Ordering::Relaxed);
        if limited {
            self.limited.fetch_add(1, Ordering::Relaxed);
        }
        // F2 of the protocol.
        fence(Ordering::SeqCst);
        if self.parked.load(Ordering::Relaxed)
            && (limited
                || self.urgent.load(Ordering::Relaxed) > 0
                || executor.has_waiting()
                || executor.next_refill().is_some())
        {
            self.poke();
        }
    }

    /// A guest's poll ends.
    pub(crate) fn leave(&self, limited: bool) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        if limited {
            self.limited.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A guest that has not ended was killed.
    pub(crate) fn killed(&self) {
        self.urgent.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.running.load(Ordering::Relaxed) == 0 {
            return;
        }
        if self.parked.load(Ordering::Relaxed) {
            self.poke();
        }
        self.hurry();
    }

    /// Brings running guests to a preemption point now, unless that has just been done: then the clock's
    /// next tick does.
    fn hurry(&self) {
        let now = nanoseconds(self.started.elapsed());
        let pause = nanoseconds(LEAST_PAUSE);
        let due =
            |last: u64| (last == 0 || now.saturating_sub(last) >= pause).then_some(now.max(1));
        let hurried = self
            .hurried
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, due);
        if hurried.is_ok() {
            self.increment(&mut lock(&self.inner));
        }
    }

    /// Asks every guest that runs to come to a preemption point: increments every engine.
    fn increment(&self, inner: &mut Inner) {
        // Release: pairs with the Acquire in `asked`. Whoever sees it sees the kill that it is for.
        self.asked.fetch_add(1, Ordering::Release);
        let before = inner.engines.len();
        inner.engines.retain(|attached| {
            let engine = attached.engine.upgrade();
            if let Some(engine) = &engine {
                engine.increment_epoch();
            }
            engine.is_some()
        });
        if before > 0 {
            self.epochs.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A guest that was killed has ended.
    pub(crate) fn buried(&self) {
        self.urgent.fetch_sub(1, Ordering::Relaxed);
    }

    /// A task was woken while it is being polled. Pairs with [`heeded`](Self::heeded).
    pub(crate) fn woken(&self) {
        self.woken.fetch_add(1, Ordering::Relaxed);
        // F2 of the protocol. The poll's beginning, counted in `running`, happened before the wake.
        fence(Ordering::SeqCst);
        if self.parked.load(Ordering::Relaxed) {
            self.poke();
        }
    }

    /// The poll has ended in which a task was woken.
    pub(crate) fn heeded(&self) {
        self.woken.fetch_sub(1, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn count_woken(&self) -> i64 {
        self.woken.load(Ordering::Relaxed)
    }

    /// How often guests that run were asked to come to a preemption point.
    pub(crate) fn asked(&self) -> u64 {
        // Acquire: pairs with the Release in `increment`.
        self.asked.load(Ordering::Acquire)
    }

    /// Something was queued that nobody idle will take, while the shortest slice was `slice`.
    pub(crate) fn contended(&self, slice: Duration) {
        fence(Ordering::SeqCst);
        if self.running.load(Ordering::Relaxed) == 0 {
            return;
        }
        if self.parked.load(Ordering::Relaxed) {
            self.poke();
            self.hurry();
        } else if self.lingers.load(Ordering::Relaxed) {
            self.hurry();
        } else if self.tick.load(Ordering::Relaxed) > nanoseconds(slice.max(LEAST_PAUSE)) {
            self.poke();
        }
    }

    /// Calls `expire` of `target` at `deadline`, unless it is gone by then.
    pub(crate) fn at(&self, deadline: Instant, target: Weak<dyn Expire>) -> TimerKey {
        let (key, first) = lock(&self.inner).timers.insert(deadline, target);
        if first {
            // The thread sleeps until what was the first deadline before, ticking or not.
            self.wake.notify_all();
        }
        key
    }

    /// Forgets a deadline.
    pub(crate) fn forget(&self, key: TimerKey) {
        // Dropped after the lock is released: it may be the last reference.
        let _target = lock(&self.inner).timers.remove(key);
    }

    /// Whether a running guest must be brought to a preemption point.
    fn needs_epochs(&self, executor: &Executor) -> bool {
        self.running.load(Ordering::Relaxed) > 0
            && (self.urgent.load(Ordering::Relaxed) > 0
                || self.limited.load(Ordering::Relaxed) > 0
                || self.woken.load(Ordering::Relaxed) > 0
                || executor.has_waiting())
    }

    /// How long a tick is now. Where no engine has epochs it is there for guests that come out of host calls, and
    /// to look for workers that are stuck.
    fn tick(&self, executor: &Executor, inner: &Inner) -> Duration {
        let engines = inner.engines.iter().map(|attached| attached.slice);
        let tick = engines.chain(executor.shortest_slice()).min();
        tick.unwrap_or(LONGEST_TICK)
            .clamp(LEAST_PAUSE, LONGEST_TICK)
    }

    fn poke(&self) {
        let _inner = lock(&self.inner);
        self.parked.store(false, Ordering::Relaxed);
        self.wake.notify_all();
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fault: a newcomer that waits for a thread to be woken, twice, while the guest that it waits for ran alone and has
    // used its slice long ago; newcomers who cost running guests a callback each.
    #[test]
    fn a_newcomer_does_not_wait_for_a_sleeping_clock() {
        let clock = Clock::new(None);
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config).unwrap();
        clock.attach(&engine, Duration::from_millis(1));
        // There is no thread: what it would do is not done.
        let comes = || {
            clock.parked.store(true, Ordering::Relaxed);
            clock.contended(Duration::from_millis(1));
        };
        comes();
        assert_eq!(clock.epochs(), 0, "nobody runs");
        clock.enter(false, &Executor::new());
        comes();
        assert_eq!(clock.epochs(), 1);
        for _ in 0..10_000 {
            comes();
        }
        // Nor for one that is awake, and looks again after a tick.
        let before = clock.epochs();
        clock.parked.store(false, Ordering::Relaxed);
        clock.lingers.store(true, Ordering::Relaxed);
        std::thread::sleep(2 * LEAST_PAUSE);
        clock.contended(Duration::from_millis(1));
        assert_eq!(clock.epochs(), before + 1);
        let pauses = clock.started.elapsed().as_nanos() / LEAST_PAUSE.as_nanos();
        assert!(u128::from(clock.epochs()) <= pauses + 2);
    }
}
