//! Faults that earlier executors of this kind had, each with its name, and those that reading and modelling this
//! one brought up. Every test says which change to the source makes it fail; each was seen to.
//!
//! Most drive workers by hand, step by step, on a machine that writes down who was woken: what they hunt is a
//! missing call, which needs no luck to show.
#![cfg(not(loom))]

mod common;

use common::{Drops, Spins, Wakers, Yields, hang_guard, joined, on_machine, until_asleep};
use hart_executor::{
    Executor, INJECTOR_INTERVAL, Platform, Step, TryStealError, Worker, yield_now,
};
use std::{
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    thread,
};

/// A worker asleep, by hand.
fn sleeper(executor: &Executor) -> Worker {
    let mut worker = Worker::new(executor).unwrap();
    until_asleep(&mut worker);
    worker
}

/// A task that was polled once and waits.
fn idle_task(
    executor: &Executor,
    worker: &mut Worker,
    drops: &Drops,
) -> hart_executor::JoinHandle<()> {
    let value = drops.value();
    let handle = executor.spawn(async move {
        let _value = value;
        pending::<()>().await;
    });
    until_asleep(worker);
    handle
}

// === the thirteen ===

/// "Scheduling that never wakes a sleeper": by a spawn, a wake, `Scheduler::schedule`, a stealer, and in the
/// fair lane.
///
/// Fails if `notify` is removed from `Shared::enqueue`, from `schedule_on` or from `Stealer::spawn_n`.
#[test]
fn scheduling_wakes_a_sleeper() {
    let (executor, machine) = on_machine(2);
    let mut worker = sleeper(&executor);
    let mut woken = 0;
    let mut was_woken = |what: &str, worker: &mut Worker| {
        assert_eq!(machine.unparked(worker.id()), woken + 1, "{what}");
        until_asleep(worker);
        woken = machine.unparked(worker.id());
    };

    let wakers = Wakers::default();
    let theirs = wakers.clone();
    let handle = executor.spawn(poll_fn(move |cx| {
        theirs.keep(cx);
        Poll::Pending::<()>
    }));
    was_woken("spawn", &mut worker);
    for waker in wakers.take() {
        waker.wake();
    }
    was_woken("wake", &mut worker);
    worker.scheduler().schedule(&handle.task());
    was_woken("Scheduler::schedule", &mut worker);
    let group = executor.group().build();
    drop(executor.build_task().group(&group).spawn(Yields(1)));
    was_woken("spawn into a group", &mut worker);

    // A stealer: the worker has been woken by the spawn, and sleeps again before the task moves.
    drop(executor.spawn(async {}));
    let injector = executor.injector();
    let mut stealer = injector.try_steal().unwrap();
    until_asleep(&mut worker);
    woken = machine.unparked(worker.id());
    assert!(stealer.spawn_one(&worker.scheduler()));
    assert_eq!(machine.unparked(worker.id()), woken + 1, "Stealer::spawn_n");
    drop(stealer);
    until_asleep(&mut worker);
}

/// "An injector polled only when the local queue is empty": a task from outside is polled though the local
/// queue never is empty.
///
/// Fails if the look every `INJECTOR_INTERVAL` polls is removed from `Worker::next`.
#[test]
fn the_injector_is_polled_beside_a_busy_queue() {
    let (executor, _machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    drop(executor.spawn(Spins));
    drop(executor.spawn(Spins));
    assert_eq!(worker.tick_n(10).polled, 10);
    let task = executor.spawn(async {});
    worker.tick_n(INJECTOR_INTERVAL + 3);
    assert!(task.is_complete());
}

/// The same for the fair lane, where polls are long: a fast task from outside goes before the next guest.
///
/// Fails if the look before `next_fair` is removed from `Worker::next`.
#[test]
fn the_injector_goes_before_guests() {
    let (executor, _machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    let group = executor.group().build();
    for _ in 0..2 {
        drop(executor.build_task().group(&group).spawn(Spins));
    }
    assert_eq!(worker.tick_n(10).polled, 10);
    let task = executor.spawn(async {});
    assert_eq!(worker.tick_n(1).polled, 1);
    assert!(task.is_complete());
}

/// "A `run` future starved by a busy queue": it is polled again though the queue never is empty.
///
/// Fails if `run` polls its future only when a step found no task (`Step::Polled` leaves `polls` alone).
#[test]
fn a_busy_queue_does_not_starve_the_run_future() {
    let _guard = hang_guard();
    let executor = Executor::new();
    let mut worker = Worker::new(&executor).unwrap();
    drop(executor.spawn(Spins));
    drop(executor.spawn(Spins));
    worker
        .run(Yields(if cfg!(miri) { 20 } else { 100 }))
        .unwrap();
}

/// "A `close` starved by a busy queue": `run` returns, and a tick polls nothing after the close.
///
/// Fails (hangs) if the look at `is_closed` is removed from `step_entered`.
#[test]
fn a_busy_queue_does_not_starve_close() {
    let _guard = hang_guard();
    let executor = Executor::new();
    let mut worker = Worker::new(&executor).unwrap();
    let closing = executor.clone();
    for _ in 0..if cfg!(miri) { 10 } else { 100 } {
        drop(executor.spawn(Spins));
    }
    drop(executor.spawn(async move {
        Yields(10).await;
        closing.close();
        // A poll that is under way ends; nothing is polled after it.
        yield_now().await;
        unreachable!("polled after the close");
    }));
    assert!(worker.run(pending::<()>()).is_err());

    let executor = Executor::new();
    let mut worker = Worker::new(&executor).unwrap();
    for i in 0..100 {
        let closing = executor.clone();
        drop(executor.spawn(async move {
            if i == 2 {
                closing.close();
            }
        }));
    }
    assert_eq!(worker.tick().polled, 3);
}

/// "Cancelling an idle task that does nothing": its future is dropped before `cancel` returns.
///
/// Fails if `State::cancel` only sets the flag where the task is idle.
#[test]
fn cancelling_an_idle_task_drops_its_future() {
    let (executor, _machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    let drops = Drops::new();
    let handle = idle_task(&executor, &mut worker, &drops);
    assert_eq!(drops.count(), 0);
    handle.cancel();
    assert_eq!(drops.count(), 1);
    assert!(joined(handle).unwrap_err().is_cancelled());
}

/// "A join handle polled once and dropped that trips the executor at completion": the waker is dropped once and
/// is not woken.
///
/// Fails if `drop_handle` leaves `JOIN_WAKER` set.
#[test]
fn a_handle_may_be_polled_once_and_dropped() {
    struct Counting(common::Counted, Arc<AtomicUsize>);

    impl std::task::Wake for Counting {
        fn wake(self: Arc<Self>) {
            let _ = &self.0;
            self.1.fetch_add(1, SeqCst);
        }
    }

    let (executor, _machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    let (wakers, outputs) = (Drops::new(), Drops::new());
    let wakes = Arc::new(AtomicUsize::new(0));
    let value = outputs.value();
    let mut handle = executor.spawn(async move { value });
    let waker = Waker::from(Arc::new(Counting(wakers.value(), wakes.clone())));
    let polled = pin!(&mut handle).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    drop(waker);
    drop(handle);
    assert_eq!(wakers.count(), 1, "dropped with the handle");
    until_asleep(&mut worker);
    assert_eq!(outputs.count(), 1, "nobody joins");
    assert_eq!((wakers.count(), wakes.load(SeqCst)), (1, 0));
}

/// "A close undone by a dropped waiter": whatever is dropped or woken after the close, it stays closed, and
/// nothing stays queued.
///
/// Fails if `Idle::wake` clears `CLOSED` (as a stale word that is stored back would).
#[test]
fn a_close_stays() {
    let (executor, _machine) = on_machine(2);
    let mut worker = sleeper(&executor);
    let wakers = Wakers::default();
    let theirs = wakers.clone();
    let mut handle = executor.spawn(poll_fn(move |cx| {
        theirs.keep(cx);
        Poll::Pending::<()>
    }));
    assert!(common::poll_once(&mut handle).is_pending());
    until_asleep(&mut worker);
    let other = Worker::new(&executor).unwrap();
    executor.close();
    for waker in wakers.take() {
        waker.wake();
    }
    drop(handle);
    drop(other);
    executor.wake_one();
    assert!(executor.is_closed());
    assert_eq!(worker.step(), Step::Closed);
    assert_eq!(worker.tick().polled, 0);
    assert!(worker.run(pending::<()>()).is_err());
    drop(worker);
    assert!(executor.is_closed());
    assert!(Worker::new(&executor).is_err());
    assert!(executor.try_spawn(async {}).is_err());
    assert!(executor.injector().is_empty());
}

/// "`spawn_n` moving max + 1".
///
/// Fails if `move_to` compares with `<=`.
#[test]
fn spawn_n_moves_at_most_n() {
    let (executor, _machine) = on_machine(1);
    let worker = Worker::new(&executor).unwrap();
    for _ in 0..5 {
        drop(executor.spawn(async {}));
    }
    let injector = executor.injector();
    let mut stealer = injector.try_steal().unwrap();
    assert_eq!(stealer.spawn_n(&worker.scheduler(), 0), 0);
    assert_eq!(worker.scheduler().queue_len(), 0);
    assert_eq!(stealer.spawn_n(&worker.scheduler(), 2), 2);
    assert_eq!(worker.scheduler().queue_len(), 2);
    assert!(stealer.spawn_one(&worker.scheduler()));
    assert_eq!(stealer.spawn_half(&worker.scheduler()), 1);
    assert_eq!(stealer.spawn_n(&worker.scheduler(), 7), 1);
    assert_eq!(worker.scheduler().queue_len(), 5);
}

/// A stealer that moves tasks to the queue that it takes them from comes to an end.
///
/// Fails (hangs) if `move_to` is not bounded by what there was.
#[test]
fn a_stealer_onto_its_own_queue_ends() {
    let _guard = hang_guard();
    let (executor, _machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    drop(executor.spawn(async {}));
    let scheduler = worker.scheduler();
    let taken = executor
        .injector()
        .try_steal()
        .unwrap()
        .spawn_one(&scheduler);
    assert!(taken);
    let moved = scheduler
        .try_steal()
        .unwrap()
        .spawn_n(&scheduler, usize::MAX);
    assert_eq!((moved, scheduler.queue_len()), (1, 1));
    assert_eq!(worker.tick().polled, 1);
}

/// "A steal of zero from the injector that ends the search": the injector has tasks that cannot be had now;
/// another worker's queue has some that can.
///
/// Fails if `search` returns after the injector though it gave nothing while it was not empty.
#[test]
fn an_injector_that_gives_nothing_does_not_end_the_search() {
    let (executor, _machine) = on_machine(2);
    let victim = Worker::new(&executor).unwrap();
    let mut thief = Worker::new(&executor).unwrap();
    for _ in 0..3 {
        drop(executor.spawn(async {}));
    }
    let injector = executor.injector();
    let mut stealer = injector.try_steal().unwrap();
    assert_eq!(stealer.spawn_n(&victim.scheduler(), 2), 2);
    assert_eq!(injector.try_steal().unwrap_err(), TryStealError::Busy);
    assert_eq!(thief.step(), Step::Stole(1));
}

/// "An owner that hot-loops while a thief holds its queue": it goes to sleep, and is woken when the thief is done.
///
/// Fails if the second look of `step_entered` goes by the queue's length instead of taking from it.
#[test]
fn an_owner_sleeps_while_a_thief_holds_its_queue() {
    let (executor, machine) = on_machine(2);
    let mut worker = Worker::new(&executor).unwrap();
    drop(executor.spawn(async {}));
    let scheduler = worker.scheduler();
    assert!(
        executor
            .injector()
            .try_steal()
            .unwrap()
            .spawn_one(&scheduler)
    );
    let thief = scheduler.try_steal().unwrap();
    assert!(until_asleep(&mut worker) < 10);
    let before = machine.unparked(worker.id());
    drop(thief);
    assert_eq!(machine.unparked(worker.id()), before + 1);
    until_asleep(&mut worker);
    assert_eq!(executor.pending_tasks(), 0);
}

/// "Worker ids taken from a racing `len()`": no two workers that live have the same id, though others went.
///
/// Fails if `Slots::acquire` takes the number of active workers for the new id, free places or not.
#[test]
fn worker_ids_are_unique() {
    let (executor, _machine) = on_machine(1);
    let first = Worker::new(&executor).unwrap();
    let second = Worker::new(&executor).unwrap();
    let third = Worker::new(&executor).unwrap();
    drop(second);
    let fourth = Worker::new(&executor).unwrap();
    let fifth = Worker::new(&executor).unwrap();
    let mut ids = [first.id(), third.id(), fourth.id(), fifth.id()];
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");

    // And with threads, which race for them.
    let executor = Executor::new();
    let live = Mutex::new(std::collections::BTreeSet::new());
    let rounds = if cfg!(miri) { 3 } else { 200 };
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..rounds {
                    let worker = Worker::new(&executor).unwrap();
                    assert!(live.lock().unwrap().insert(worker.id()), "an id twice");
                    thread::yield_now();
                    assert!(live.lock().unwrap().remove(&worker.id()));
                }
            });
        }
    });
}

/// "Victims found by `iter().nth(i)`": a victim is found though the workers before it are gone.
///
/// Fails if `steal_round` goes over as many places as there are active workers.
#[test]
fn victims_behind_gaps_are_found() {
    let (executor, _machine) = on_machine(4);
    let mut thief = Worker::new(&executor).unwrap();
    let gone: Vec<_> = (0..9).map(|_| Worker::new(&executor).unwrap()).collect();
    let victim = Worker::new(&executor).unwrap();
    drop(gone);
    for _ in 0..4 {
        drop(executor.spawn(async {}));
    }
    let injector = executor.injector();
    let moved = injector
        .try_steal()
        .unwrap()
        .spawn_n(&victim.scheduler(), 4);
    assert_eq!(moved, 4);
    assert_eq!(thief.step(), Step::Stole(2));
}

/// "`spawned` and `woken` counters that always read 0".
///
/// Fails if `enqueue` calls no `count`, or `schedule_woken` does not add to `external_wakes`.
#[test]
fn counters_count() {
    let (executor, _machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    let wakers = Wakers::default();
    let theirs = wakers.clone();
    let inside = executor.clone();
    drop(executor.spawn(poll_fn(move |cx| {
        theirs.keep(cx);
        Poll::Pending::<()>
    })));
    let tick = worker.tick();
    assert_eq!((tick.polled, tick.completed), (1, 0));
    assert_eq!(
        (tick.spawned, tick.woken_internal, tick.woken_external),
        (0, 0, 0)
    );
    for waker in wakers.take() {
        waker.wake();
    }
    assert_eq!(worker.tick().woken_external, 1);
    let theirs = wakers.clone();
    drop(executor.spawn(async move {
        for waker in theirs.take() {
            waker.wake();
        }
        drop(inside.spawn(async {}));
    }));
    let tick = worker.tick();
    assert_eq!((tick.polled, tick.completed), (3, 2));
    assert_eq!(
        (tick.spawned, tick.woken_internal, tick.woken_external),
        (1, 1, 0)
    );
    let workers = executor.workers();
    assert_eq!((workers[0].polls, workers[0].completed), (5, 2));
    assert_eq!((workers[0].spawned, workers[0].woken), (1, 1));
    assert!(workers[0].steals > 0 && workers[0].stolen > 0);
}

/// "A `wake()` by value during a poll that is lost".
///
/// Fails if `wake_by_value` does not set `QUEUED` while `RUNNING`.
#[test]
fn a_wake_by_value_during_a_poll_counts() {
    let (executor, _machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    let mut polls = 0;
    let task = executor.spawn(poll_fn(move |cx| {
        polls += 1;
        if polls == 2 {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        waker.wake();
        Poll::Pending
    }));
    until_asleep(&mut worker);
    assert!(task.is_complete());
}

// === further ones ===

/// A worker that polls its `run` future is counted neither as a searcher nor as asleep: nobody may rely on it.
/// Here it was woken for the sake of that future, and while the future keeps the thread a task comes from
/// outside: the other worker has to be woken.
///
/// Fails if `stand_down` before the poll of the future is removed from `run`.
#[test]
fn nobody_relies_on_a_worker_that_polls_its_run_future() {
    let _guard = hang_guard();
    let (executor, machine) = on_machine(2);
    let mut other = sleeper(&executor);
    let mut worker = Worker::new(&executor).unwrap();
    let waker: Arc<Mutex<Option<Waker>>> = Arc::default();
    let parked = waker.clone();
    machine.on_park(move |_| {
        let waker = parked.lock().unwrap().take();
        waker.expect("parked twice").wake();
    });
    let mut polls = 0;
    let result = worker.run(poll_fn(|cx| {
        polls += 1;
        if polls == 1 {
            *waker.lock().unwrap() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let spawned = thread::scope(|threads| {
            let outside = threads.spawn(|| executor.spawn(async {}));
            outside.join().unwrap()
        });
        assert_eq!(machine.unparked(other.id()), 1);
        Poll::Ready(spawned)
    }));
    until_asleep(&mut other);
    assert!(result.unwrap().is_complete());
}

/// A task that was put back alone, without a notification, is offered to the others before the worker does
/// anything else: here it polls its `run` future.
///
/// Fails if `offer_queue` is removed from `stand_down`.
#[test]
fn a_lone_task_is_offered_before_the_run_future_is_polled() {
    let _guard = hang_guard();
    let (executor, machine) = on_machine(2);
    let other = Arc::new(Mutex::new(SendWorker(sleeper(&executor))));
    let other_id = other.lock().unwrap().0.id();
    let mut worker = Worker::new(&executor).unwrap();
    let seen = Arc::new(AtomicUsize::new(usize::MAX));
    let noted = seen.clone();
    let (inside, theirs) = (machine.clone(), other.clone());
    let mut polls = 0;
    let task = executor.spawn(poll_fn(move |cx| {
        polls += 1;
        if polls == if cfg!(miri) { 40 } else { 100 } {
            return Poll::Ready(());
        }
        // While it is in nobody's queue, the other worker goes to sleep.
        until_asleep(&mut theirs.lock().unwrap().0);
        noted.store(inside.unparked(other_id), SeqCst);
        cx.waker().wake_by_ref();
        Poll::Pending
    }));
    let mut offered = false;
    worker
        .run(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            if task.is_complete() {
                return Poll::Ready(());
            }
            offered |= machine.unparked(other_id) > seen.load(SeqCst);
            Poll::Pending
        }))
        .unwrap();
    assert!(offered);
}

/// A worker is bound to its thread; this one is only ever used on one.
struct SendWorker(Worker);
// SAFETY: the test that uses it has one thread.
unsafe impl Send for SendWorker {}

/// The waker of a `run` that is over keeps nobody awake who is driven by steps afterwards.
///
/// Fails (does not come to rest) if `step` does not take `run_woken`.
#[test]
fn a_late_wake_of_a_run_future_does_not_keep_a_worker_awake() {
    let (executor, _machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    let waker = worker
        .run(poll_fn(|cx| Poll::Ready(cx.waker().clone())))
        .unwrap();
    waker.wake();
    until_asleep(&mut worker);
}

/// A tick of a worker that has announced its sleep takes the announcement back: else it would be listed twice and
/// woken twice, or, woken already, be counted as searching for good, and nobody would be woken any more.
///
/// Fails if `retract` is removed from the beginning of `tick_n`.
#[test]
fn a_tick_takes_an_announcement_back() {
    let (executor, machine) = on_machine(2);
    let mut worker = Worker::new(&executor).unwrap();
    let mut other = sleeper(&executor);
    assert_eq!(worker.step(), Step::Announced);
    // The worker with the lower id is woken first.
    drop(executor.spawn(async {}));
    assert_eq!(machine.unparked(worker.id()), 1);
    assert_eq!(worker.tick().polled, 1);
    until_asleep(&mut other);
    let before = machine.unparked(other.id());
    drop(executor.spawn(async {}));
    assert_eq!(machine.unparked(other.id()), before + 1);
    until_asleep(&mut other);

    assert_eq!(worker.step(), Step::Announced);
    let _ = worker.tick();
    until_asleep(&mut other);
    assert!(executor.wake_one(), "the other");
    assert!(!executor.wake_one());
}

/// A panic in the `run` future leaves no trace in the counts: afterwards the others are still woken.
///
/// Fails if `stand_down` before the poll of the future is removed from `run`.
#[test]
fn a_panic_of_the_run_future_leaves_the_counts_right() {
    let (executor, machine) = on_machine(2);
    let mut other = sleeper(&executor);
    let mut worker = Worker::new(&executor).unwrap();
    let waker: Arc<Mutex<Option<Waker>>> = Arc::default();
    let parked = waker.clone();
    machine.on_park(move |_| {
        let waker = parked.lock().unwrap().take();
        waker.expect("parked twice").wake();
    });
    let mut polls = 0;
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        worker.run(poll_fn(|cx| {
            polls += 1;
            assert!(polls == 1, "on purpose");
            *waker.lock().unwrap() = Some(cx.waker().clone());
            Poll::<()>::Pending
        }))
    }));
    assert!(panicked.is_err());
    assert!(
        machine.current_worker().is_none(),
        "the core's cell is left"
    );
    until_asleep(&mut other);
    let before = machine.unparked(other.id());
    drop(executor.spawn(async {}));
    assert_eq!(machine.unparked(other.id()), before + 1);
}

/// A panic payload that panics when it is dropped, where nobody joins: it must not end the worker.
///
/// Fails if `quietly` drops what it caught outside of `catch`.
#[cfg(feature = "std")]
#[test]
fn a_payload_that_panics_stays_inside() {
    /// Panics with a smaller one when dropped.
    struct Bomb(usize);

    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0 > 0 {
                std::panic::panic_any(Bomb(self.0 - 1));
            }
        }
    }

    // What panics for the third time is forgotten, which Miri would rightly call a leak.
    let depth = if cfg!(miri) { 1 } else { 3 };
    let (executor, _machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    drop(executor.spawn(async move { std::panic::panic_any(Bomb(depth)) }));
    until_asleep(&mut worker);
    assert_eq!(executor.pending_tasks(), 0);
}

/// Tasks that were cancelled while they were queued are not counted as polled.
///
/// Fails if `tick_n` counts what `Worker::poll` only skipped.
#[test]
fn a_tick_counts_polls_only() {
    let (executor, _machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    let task = executor.spawn(async {});
    drop(executor.spawn(async {}));
    task.cancel();
    assert_eq!(worker.tick().polled, 1);
}

/// A future's drop that calls back into the executor, in the course of a close: spawns, cancels, wakes, closes.
///
/// Fails (deadlocks or recurses) if foreign code runs under a lock, for example if `Live::pop` kept its shard.
#[test]
fn drops_may_call_back() {
    struct CallsBack(Executor, Option<hart_executor::TaskRef>, Arc<AtomicBool>);

    impl Drop for CallsBack {
        fn drop(&mut self) {
            assert!(self.0.try_spawn(async {}).is_err());
            if let Some(other) = &self.1 {
                other.wake();
                other.cancel();
            }
            self.0.close();
            self.0.wake_one();
            let _ = self.0.pending_tasks();
            self.2.store(true, SeqCst);
        }
    }

    let _guard = hang_guard();
    let (executor, _machine) = on_machine(2);
    let mut worker = Worker::new(&executor).unwrap();
    let group = executor.group().build();
    let called = Arc::new(AtomicBool::new(false));
    let mut other = None;
    for i in 0..40 {
        let back = CallsBack(executor.clone(), other.take(), called.clone());
        let builder = executor.build_task().group((i % 2 == 0).then_some(&group));
        let handle = builder.spawn(async move {
            let _back = back;
            pending::<()>().await;
        });
        other = Some(handle.task());
        if i == 20 {
            worker.tick();
        }
    }
    executor.close();
    assert!(called.load(SeqCst));
    assert_eq!(executor.pending_tasks(), 0);
}

/// Two idle workers and one task: whoever stole it polls it.
///
/// Fails if what was stolen can be stolen again before the thief's next step: in lockstep the two take it
/// from one another for ever.
#[test]
fn a_lone_task_is_not_stolen_back_and_forth() {
    let (executor, _machine) = on_machine(2);
    let mut workers = [(); 2].map(|()| Worker::new(&executor).unwrap());
    drop(executor.spawn(async {}));
    for turn in 0..8 {
        let _ = workers[turn % 2].step();
    }
    assert_eq!(executor.pending_tasks(), 0);
}

/// A worker that has stolen and is not stepped again: others get what it holds.
///
/// Fails if the task that it would have polled next goes with it.
#[test]
fn a_thief_that_leaves_gives_back_what_it_stole() {
    let (executor, _machine) = on_machine(2);
    let mut owner = Worker::new(&executor).unwrap();
    drop(executor.spawn(async {}));
    assert_eq!(owner.step(), Step::Stole(1));
    let mut thief = Worker::new(&executor).unwrap();
    assert_eq!(thief.step(), Step::Stole(1));
    drop(thief);
    until_asleep(&mut owner);
    assert_eq!(executor.pending_tasks(), 0);
}
